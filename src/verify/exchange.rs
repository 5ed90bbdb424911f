//! The national data-sharing exchange platform's call convention (domain.md §7, after several
//! public clients \[S26a\]): four `gjgxjhpt_*` fields, a key handed out per service, records by page.
//! Nothing personal leaves here but in the call itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use reqwest::{Client, header};
use serde_json::{Value, json};

use crate::{
    breaker::{Admission, Breaker},
    config::{self, KeyCipher, QuestionIdentity, Verification},
    model::{clock, fault::Fault, trace::TraceContext},
    verify::{
        Failure, RESTS, Subject,
        answer::{LATER, Refused, body, code_of, encoded, records_of},
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
            return Err(Failure::new(RESTS, wait));
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
        let mut records: Vec<Value> = Vec::new();
        let mut before = 0;
        while records.len() < self.pages * self.page {
            let (start, limit) = (records.len().to_string(), self.page.to_string());
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
            // A platform may give shorter pages than it was asked for: only an empty one is the end,
            // or the same again from one that passes over `start`.
            if found.is_empty() || records.get(before..) == Some(found.as_slice()) {
                return Ok(records);
            }
            before = records.len();
            records.extend(found);
        }
        Err(Refused::Failed(Failure::new("more records than are read", Duration::from_secs(600))))
    }

    /// One page; with a new key when the platform does not take the one we have. Twice, because a
    /// key that was fetched ahead may have been handed out before the platform forgot its keys.
    async fn one_page(
        &self,
        service: &Service,
        fields: &[(&str, &str)],
        (until, trace): (Instant, &TraceContext),
    ) -> Result<Vec<Value>, Refused> {
        let mut refused = None;
        for _ in 0..3 {
            let key = self.key(service, refused, until).await?;
            match self.call(service, &key, fields, (until, trace)).await {
                Err(Refused::Code(code)) if code == CALL_FAILED => refused = Some(key.number),
                other => return other,
            }
        }
        // "The call failed", with new keys too: the service behind the platform is out of order.
        Err(Refused::Failed(Failure::new("code -1, also with new keys", LATER)))
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

/// The platform's "the call failed"; also said of a key that it no longer takes.
const CALL_FAILED: &str = "-1";
