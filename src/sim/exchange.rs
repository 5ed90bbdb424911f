//! The hub as the national data-sharing exchange platform: hands out keys, checks signatures, answers
//! by page. Written from the convention alone and shares nothing with the gateway's side of it.

use std::{
    collections::HashMap,
    fmt::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;
use aws_lc_rs::{
    cipher::{AES_128, PaddedBlockEncryptingKey, UnboundCipherKey},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::HeaderMap;
use serde_json::{Value, json};

use crate::{
    model::clock,
    sim::{
        fates::{Fate, fate},
        faults::{Fault, Faults},
        library,
        voice::{Document, JSON},
    },
};

const AUTH: &str = "/gxjh/auth";
const SERVICE: &str = "/gxjh/service";
const SERVICES: [&str; 5] = [
    "s_1100000000002_1001",
    "s_1100000000002_1002",
    "s_1100000000002_1003",
    "s_1100000000002_1004",
    "s_1100000000002_1005",
];
/// How long a handed-out key is good: one public client caches it 30 minutes.
const KEY_MILLIS: i64 = 30 * 60 * 1000;
/// How far a request's time may be from ours.
const SKEW_MILLIS: i64 = 10 * 60 * 1000;

/// What is said to a question.
pub(super) enum Told {
    Document(Document),
    /// Nothing, ever.
    Silence,
}

pub(super) struct Exchange {
    app_key: String,
    /// The two last keys of each service, and their ends: who was given a new one may still use
    /// the one before.
    keys: Mutex<HashMap<String, Vec<(String, i64)>>>,
}

impl Exchange {
    pub(super) fn open(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("{} can't be read", file.display()))?;
        Ok(Self { app_key: text.trim().into(), keys: Mutex::default() })
    }

    pub(super) fn serves(path: &str) -> bool {
        path == AUTH || path == SERVICE
    }

    pub(super) fn answer(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
        faults: &Faults,
    ) -> Told {
        let told = |value: Value| {
            Told::Document(Document { content_type: JSON, body: value.to_string().into_bytes() })
        };
        if faults.strikes(Fault::Silent) {
            return Told::Silence;
        }
        if faults.strikes(Fault::NotGranted) {
            return told(json!({"code": "E-106", "message": "不在授权列表中"}));
        }
        if path == AUTH {
            return told(self.hand_out(body));
        }
        if faults.strikes(Fault::OldKey) {
            self.keys().clear();
        }
        if faults.strikes(Fault::Complaint) {
            return told(json!({"status": "success", "result": {"errormsg": "查询超时"}}));
        }
        let form = form(body);
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let identity = |name: &str| {
            let header = headers.get(name).and_then(|value| value.to_str().ok());
            header.unwrap_or_else(|| field(name)).to_owned()
        };
        let four = ["gjgxjhpt_rid", "gjgxjhpt_sid", "gjgxjhpt_rtime", "gjgxjhpt_sign"];
        let [rid, sid, rtime, sign] = four.map(identity);
        let now = clock::now_micros() / 1000;
        let fresh = rtime.parse().is_ok_and(|time: i64| (now - time).abs() < SKEW_MILLIS);
        let known = self.keys().get(&sid).is_some_and(|keys| {
            let mut good = keys.iter().filter(|(_, end)| now < *end);
            good.any(|(key, _)| signed(key, &format!("{sid}{rid}{rtime}")) == sign)
        });
        if !fresh || !known {
            return told(json!({"code": "-1", "message": "调用失败"}));
        }
        let number = match field("cert_num_man") {
            "" => field("id_card"),
            number => number,
        };
        if fate(number) == Fate::Unanswered {
            return Told::Silence;
        }
        let rows = records(&sid, &field, number);
        let (start, limit) = (field("start").parse().unwrap_or(0), field("limit").parse());
        // Whatever is asked for, a page has two rows at most: platforms have limits of their own.
        let limit = limit.unwrap_or(20).min(2);
        let page: Vec<Value> = rows.into_iter().skip(start).take(limit).collect();
        told(json!({"status": "success", "result": page}))
    }

    fn hand_out(&self, body: &[u8]) -> Value {
        let ask: Value = serde_json::from_slice(body).unwrap_or_default();
        let get = |name: &str| ask[name].as_str().unwrap_or_default();
        let (rid, sid, rtime) = (get("gjgxjhpt_rid"), get("gjgxjhpt_sid"), get("gjgxjhpt_rtime"));
        if signed(&self.app_key, &format!("{sid}{rid}{rtime}")) != get("gjgxjhpt_sign") {
            return json!({"code": "-1", "message": "签名错误"});
        }
        if !SERVICES.contains(&sid) {
            return json!({"code": "E-106", "message": "不在授权列表中"});
        }
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let end = clock::now_micros() / 1000 + KEY_MILLIS;
        let Some(sealed) = encrypted(&self.app_key, &secret) else {
            return json!({"code": "-1", "message": "密钥长度错误"});
        };
        let mut keys = self.keys();
        let of_service = keys.entry(sid.to_owned()).or_default();
        of_service.push((secret, end));
        if of_service.len() > 2 {
            of_service.remove(0);
        }
        json!({"code": "0", "message": "成功", "data": {
            "secret": sealed,
            "secretEndTime": end,
        }})
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<(String, i64)>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn records<'f>(sid: &str, field: &impl Fn(&str) -> &'f str, number: &str) -> Vec<Value> {
    let today = clock::china_date(clock::now_micros());
    match sid {
        "s_1100000000002_1001" => library::marriages(field("name_man"), number),
        "s_1100000000002_1002" => library::divorces(number, today),
        "s_1100000000002_1003" => library::benefits(number, today),
        "s_1100000000002_1004" => library::certificates(number, field("cert_no"), today),
        _ => vec![library::household(number, field("huji_code"))],
    }
}

fn signed(key: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

/// AES-128, ECB, PKCS #5 padding, Base64.
fn encrypted(app_key: &str, secret: &str) -> Option<String> {
    let key = UnboundCipherKey::new(&AES_128, app_key.as_bytes()).ok()?;
    let key = PaddedBlockEncryptingKey::ecb_pkcs7(key).ok()?;
    let mut bytes = secret.as_bytes().to_vec();
    key.encrypt(&mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}

fn form(body: &[u8]) -> HashMap<String, String> {
    let text = String::from_utf8_lossy(body);
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes().iter();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let mut digits = String::new();
                    for digit in rest.by_ref().take(2) {
                        _ = write!(digits, "{}", char::from(*digit));
                    }
                    bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
                }
                byte => bytes.push(*byte),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}
