//! The national data-sharing exchange platform's call convention (domain.md §7, after several
//! public clients [S26a]): four `gjgxjhpt_*` fields, a key handed out per service, records by page.
//! Nothing personal leaves here but in the call itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use reqwest::{Client, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    breaker::{Admission, Breaker},
    config::{self, KeyCipher, QuestionIdentity, Verification},
    model::{clock, fault::Fault, trace::TraceContext},
    verify::{
        Failure, Subject,
        key::{self, Key, KeyRing},
    },
};

/// What is asked, each by a service of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Marriage,
    Divorce,
    Benefits,
    Certificate,
    Household,
}

impl Question {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Marriage => "marriage",
            Self::Divorce => "divorce_applications",
            Self::Benefits => "benefits",
            Self::Certificate => "certificate",
            Self::Household => "household",
        }
    }
}

/// The platform, as one requester may ask it.
pub(super) struct Exchange {
    party: String,
    deadline: Duration,
    services: Vec<(Question, Service)>,
    wire: Arc<Wire>,
    url: String,
    identity: QuestionIdentity,
    page: usize,
    pages: usize,
}

struct Service {
    id: String,
    keys: Arc<KeyRing>,
    breaker: Breaker,
}

/// What fetching a key needs; shared with the call in progress.
struct Wire {
    client: Client,
    auth_url: String,
    requester: String,
    app_key: Vec<u8>,
    cipher: KeyCipher,
    deadline: Duration,
}

/// How one call to the platform ended, if not with records.
enum Refused {
    /// It answered with that code or complaint.
    Code(String),
    /// It did not answer, or not understandably.
    Failed(Failure),
}

impl Exchange {
    pub(super) fn new(
        party: &str,
        settings: &Verification,
        exchange: &config::Exchange,
        client: &Client,
    ) -> Result<Self, Fault> {
        let file = &exchange.app_key_file;
        let text = std::fs::read_to_string(file)
            .map_err(|error| Fault::new(file, 0, format!("cannot be read: {error}")))?;
        let app_key = text.trim().as_bytes().to_vec();
        if key::algorithm(app_key.len()).is_none() {
            let what = "must hold the application key, 16, 24 or 32 characters";
            return Err(Fault::new(file, 1, what));
        }
        let ids = &exchange.services;
        let services = [
            (Question::Marriage, &ids.marriage),
            (Question::Divorce, &ids.divorce_applications),
            (Question::Benefits, &ids.benefits),
            (Question::Certificate, &ids.certificate),
            (Question::Household, &ids.household),
        ];
        let service = |id: &String| Service {
            id: id.clone(),
            keys: KeyRing::new(Duration::from_secs(exchange.refresh_ahead_seconds)),
            breaker: breaker(settings),
        };
        let services = services.into_iter();
        let services = services.filter_map(|(q, id)| id.as_ref().map(|id| (q, service(id))));
        let deadline = Duration::from_millis(settings.deadline_ms);
        Ok(Self {
            party: party.to_owned(),
            deadline,
            services: services.collect(),
            wire: Arc::new(Wire {
                client: client.clone(),
                auth_url: format!("{}{}", settings.endpoint, exchange.auth_path),
                requester: exchange.requester.clone(),
                app_key,
                cipher: exchange.key_cipher,
                deadline,
            }),
            url: format!("{}{}", settings.endpoint, exchange.path),
            identity: exchange.identity,
            page: exchange.page,
            pages: exchange.pages,
        })
    }

    pub(super) fn party(&self) -> &str {
        &self.party
    }

    pub(super) const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Every record the platform has about the person, before `until`.
    pub(super) async fn records(
        &self,
        question: Question,
        person: Subject<'_>,
        more: &[(&str, &str)],
        until: Instant,
        trace: &TraceContext,
    ) -> Result<Vec<Value>, Failure> {
        let service = self.services.iter().find(|(q, _)| *q == question).map(|(_, s)| s);
        let service = service.ok_or_else(|| {
            Failure::new("no service of that question is configured", Duration::from_secs(600))
        })?;
        if let Admission::NotBefore(when) = service.breaker.admit(Instant::now()) {
            let wait = when.saturating_duration_since(Instant::now());
            return Err(Failure::new("the breaker is open", wait));
        }
        let began = Instant::now();
        let asked = self.all_pages(service, question, person, more, (until, trace)).await;
        match &asked {
            // An answer about our grant says that the service lives.
            Ok(_) | Err(Refused::Code(_)) => service.breaker.succeeded(),
            Err(Refused::Failed(_)) => {
                if service.breaker.failed(began, Instant::now()) {
                    tracing::warn!(service = service.id, "questions rest: the breaker opened");
                }
            }
        }
        asked.map_err(|refused| match refused {
            Refused::Failed(failure) => failure,
            Refused::Code(code) => {
                tracing::error!(service = service.id, code, "the exchange refuses our question");
                Failure::new(format!("refused with code {code}"), Duration::from_secs(600))
            }
        })
    }

    async fn all_pages(
        &self,
        service: &Service,
        question: Question,
        person: Subject<'_>,
        more: &[(&str, &str)],
        (until, trace): (Instant, &TraceContext),
    ) -> Result<Vec<Value>, Refused> {
        let mut records = Vec::new();
        for page in 0..self.pages {
            let (start, limit) = ((page * self.page).to_string(), self.page.to_string());
            let mut fields = match question {
                Question::Marriage | Question::Divorce => {
                    // One person of either sex is asked for by the man's fields.
                    vec![("name_man", person.name), ("cert_num_man", person.number)]
                }
                _ => vec![("name", person.name), ("id_card", person.number)],
            };
            fields.extend(more.iter().filter(|(_, value)| !value.is_empty()));
            fields.extend([("start", start.as_str()), ("limit", limit.as_str())]);
            let found = self.one_page(service, &fields, (until, trace)).await?;
            let last = found.len() != self.page;
            records.extend(found);
            if last {
                return Ok(records);
            }
        }
        Err(Refused::Failed(Failure::new("more records than are read", Duration::from_secs(600))))
    }

    /// One page; with a new key when the platform does not take the one we have.
    async fn one_page(
        &self,
        service: &Service,
        fields: &[(&str, &str)],
        (until, trace): (Instant, &TraceContext),
    ) -> Result<Vec<Value>, Refused> {
        let key = self.key(service, None, until).await?;
        match self.call(service, &key, fields, (until, trace)).await {
            Err(Refused::Code(code)) if code == CALL_FAILED => {}
            other => return other,
        }
        let key = self.key(service, Some(key.number), until).await?;
        match self.call(service, &key, fields, (until, trace)).await {
            // "The call failed", twice: the service behind the platform is out of order.
            Err(Refused::Code(code)) if code == CALL_FAILED => {
                Err(Refused::Failed(Failure::new("code -1, also with a new key", LATER)))
            }
            other => other,
        }
    }

    async fn key(
        &self,
        service: &Service,
        refused: Option<u64>,
        until: Instant,
    ) -> Result<Arc<Key>, Refused> {
        let (wire, id) = (Arc::clone(&self.wire), service.id.clone());
        let fetched = service.keys.key(refused, || async move { wire.fetch_key(&id).await });
        match tokio::time::timeout_at(until.into(), fetched).await {
            Ok(Ok(key)) => Ok(key),
            Ok(Err(failure)) => Err(Refused::Failed(failure)),
            Err(_) => Err(Refused::Failed(Failure::new("no key in time", LATER))),
        }
    }

    async fn call(
        &self,
        service: &Service,
        key: &Key,
        fields: &[(&str, &str)],
        (until, trace): (Instant, &TraceContext),
    ) -> Result<Vec<Value>, Refused> {
        let rtime = (clock::now_micros() / 1000).to_string();
        let rid = self.wire.requester.as_str();
        let sign = key::sign(&key.hmac, (rid, &service.id, &rtime));
        let identity = [
            ("gjgxjhpt_rid", rid),
            ("gjgxjhpt_sid", &service.id),
            ("gjgxjhpt_rtime", &rtime),
            ("gjgxjhpt_sign", &sign),
        ];
        let mut request = self.wire.client.post(&self.url);
        let mut form = fields.to_vec();
        match self.identity {
            QuestionIdentity::Form => form.extend(identity),
            QuestionIdentity::Header => {
                for (name, value) in identity {
                    request = request.header(name, value);
                }
            }
        }
        request = request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
            .header("traceparent", trace.to_string())
            .body(encoded(&form));
        let left = until.saturating_duration_since(Instant::now());
        let body = body(request.timeout(left)).await.map_err(Refused::Failed)?;
        records_of(&body)
    }
}

impl Wire {
    /// Asks for the key of a service: its bytes and its end, microseconds UTC.
    async fn fetch_key(&self, sid: &str) -> Result<(Vec<u8>, i64), Failure> {
        let rtime = (clock::now_micros() / 1000).to_string();
        let app_key = hmac::Key::new(hmac::HMAC_SHA256, &self.app_key);
        let ask = json!({
            "gjgxjhpt_rid": self.requester,
            "gjgxjhpt_sid": sid,
            "gjgxjhpt_rtime": rtime,
            "gjgxjhpt_sign": key::sign(&app_key, (&self.requester, sid, &rtime)),
        });
        let request = self.client.post(&self.auth_url).json(&ask).timeout(self.deadline);
        let body = body(request).await?;
        let told = || Failure::new("the answer to the call for a key was not understood", LATER);
        let answer: Value = serde_json::from_slice(&body).map_err(|_| told())?;
        let code = code_of(&answer["code"]).ok_or_else(told)?;
        if code != "0" {
            let wait = if code == CALL_FAILED { LATER } else { Duration::from_secs(600) };
            return Err(Failure::new(format!("no key: code {code}"), wait));
        }
        let secret = answer["data"]["secret"].as_str().unwrap_or_default();
        let bytes = key::decrypt(self.cipher, &self.app_key, secret)
            .ok_or_else(|| Failure::new("the handed-out key does not decrypt", LATER))?;
        let ends = key::end_time(&answer["data"]["secretEndTime"]).ok_or_else(told)?;
        if ends <= clock::now_micros() {
            return Err(Failure::new("the handed-out key has ended already", LATER));
        }
        Ok((bytes, ends))
    }
}

/// The breaker of one service.
pub(super) fn breaker(settings: &Verification) -> Breaker {
    Breaker::new(
        settings.breaker_failures,
        Duration::from_millis(settings.breaker_open_ms),
        Duration::from_millis(settings.deadline_ms.saturating_mul(2)),
    )
}

/// Sends and reads the whole answer.
pub(super) async fn body(request: reqwest::RequestBuilder) -> Result<Vec<u8>, Failure> {
    let mut response = request.send().await.map_err(|error| {
        let note = if error.is_timeout() { "no answer in time" } else { "no answer" };
        Failure::new(note, LATER)
    })?;
    let status = response.status();
    if !status.is_success() {
        let after = response.headers().get(header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let heeded =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let wait = after.filter(|_| heeded).map_or(LATER, Duration::from_secs);
        return Err(Failure::new(format!("HTTP {}", status.as_u16()), wait.min(LONGEST)));
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => return Err(Failure::new("the answer is too long", LATER)),
            Ok(None) => return Ok(body),
            Err(_) => return Err(Failure::new("the answer was cut short", LATER)),
        }
    }
}

/// The records in an answer: `{"status":"success","result":…}`, or why there are none.
fn records_of(body: &[u8]) -> Result<Vec<Value>, Refused> {
    let strange = || Refused::Failed(Failure::new("the answer was not understood", LATER));
    let answer: Value = serde_json::from_slice(body).map_err(|_| strange())?;
    if answer["status"] != "success" {
        // The platform itself speaks of errors by code, before any service was asked.
        return match code_of(&answer["code"]) {
            Some(code) if code != "0" => Err(Refused::Code(code)),
            _ => Err(strange()),
        };
    }
    let result = match &answer["result"] {
        // Some services put their JSON into a text.
        Value::String(text) => serde_json::from_str(text).map_err(|_| strange())?,
        other => other.clone(),
    };
    match result {
        Value::Array(rows) if rows.iter().all(Value::is_object) => Ok(rows),
        Value::Object(row) if row.contains_key("errormsg") => {
            // Its words are the service's and may name the person: only that it is one is told.
            Err(Refused::Failed(Failure::new("the service answered with an error", LATER)))
        }
        Value::Object(row) if !row.is_empty() => Ok(vec![Value::Object(row)]),
        _ => Err(strange()),
    }
}

/// A short code in text or number; anything longer is no code, and might be anything.
fn code_of(value: &Value) -> Option<String> {
    let code = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let good = (1..=12).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    good.then_some(code)
}

/// `application/x-www-form-urlencoded`, UTF-8.
fn encoded(fields: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                    out.push(char::from(byte));
                }
                b' ' => out.push('+'),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    out
}

/// The platform's "the call failed"; also said of a key that it no longer takes.
const CALL_FAILED: &str = "-1";
/// When an ordinary failure is worth another try.
const LATER: Duration = Duration::from_secs(5);
/// Longest a `Retry-After` of the platform is passed on.
const LONGEST: Duration = Duration::from_secs(600);
/// Most bytes read of an answer.
const ANSWER_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(answer: Value) -> Result<usize, String> {
        match records_of(answer.to_string().as_bytes()) {
            Ok(rows) => Ok(rows.len()),
            Err(Refused::Code(code)) => Err(code),
            Err(Refused::Failed(failure)) => Err(failure.note),
        }
    }

    #[test]
    fn only_a_list_of_records_or_one_record_is_an_answer() {
        let good = |result| json!({"status": "success", "result": result});
        assert_eq!(rows(good(json!([]))), Ok(0));
        assert_eq!(rows(good(json!([{"a": 1}, {"a": 2}]))), Ok(2));
        assert_eq!(rows(good(json!({"op_type": "IA"}))), Ok(1));
        assert_eq!(rows(good(json!("[{\"op_type\":\"IA\"}]"))), Ok(1));
        assert_eq!(rows(json!({"code": "E-106", "message": "x"})), Err("E-106".into()));
        assert_eq!(rows(json!({"code": -1})), Err("-1".into()));
        let strange = "the answer was not understood";
        for answer in [
            json!({"status": "success"}),
            json!({"status": "success", "result": null}),
            json!({"status": "success", "result": {}}),
            json!({"status": "success", "result": ["x"]}),
            json!({"status": "success", "result": "查无此人"}),
            json!({"status": "fail", "result": []}),
            json!({"code": "0"}),
            json!({"code": "230102196802290011 王小明"}),
            json!([]),
        ] {
            assert_eq!(rows(answer.clone()), Err(strange.into()), "{answer}");
        }
        let error = good(json!({"errormsg": "王小明 230102196802290011 超时"}));
        assert_eq!(rows(error), Err("the service answered with an error".into()));
    }

    #[test]
    fn forms_are_encoded_byte_by_byte() {
        let fields = [("name_man", "王 明·"), ("cert_num_man", "11010519491231002X")];
        let text = "name_man=%E7%8E%8B+%E6%98%8E%C2%B7&cert_num_man=11010519491231002X";
        assert_eq!(encoded(&fields), text);
    }
}
