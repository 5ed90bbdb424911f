//! One receiver: writes a delivery in its format, seals it, sends it over mutual TLS and reads
//! the answer; asks what became of a message before it sends it again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use tokio::time::timeout;

use crate::{
    config::{Config, Delivery, Party},
    dispatch::{
        link::{Call, Failure, Link},
        now,
    },
    failpoint::{self, Step},
    model::{clock, fault::Fault, pb::Business, trace::TraceContext},
    store::rows::{DeliveryKind, Lease},
    translate::{Answer, Format, Head, Kind, SealKey, Status, Translator, Wire},
};

/// Most bytes read of an answer.
const ANSWER_BYTES: usize = 1 << 20;

/// How an attempt ended. Notes hold the receiver's codes and words of ours, nothing personal.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The receiver stored it.
    Delivered,
    /// The receiver understood and refused it, or it cannot be written in its format.
    Refused { note: String },
    /// It certainly did not arrive, or the receiver asked to come later.
    Again { after: Option<Duration>, note: String },
    /// It may have arrived: ask before sending again.
    Unknown { note: String },
}

impl Outcome {
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused { .. } => "refused",
            Self::Again { .. } => "again",
            Self::Unknown { .. } => "unknown",
        }
    }

    pub(super) fn note(&self) -> &str {
        match self {
            Self::Delivered => "",
            Self::Refused { note } | Self::Again { note, .. } | Self::Unknown { note } => note,
        }
    }
}

pub(super) struct Partner {
    code: String,
    folder: String,
    delivery: Delivery,
    key: Option<SealKey>,
    gateway: String,
    attempt: Duration,
    link: Link,
    translator: Arc<Translator>,
}

impl Partner {
    pub(super) fn new(
        config: &Config,
        party: &Party,
        translator: &Arc<Translator>,
        (delivery, link): (Delivery, Link),
    ) -> Result<Self, Vec<Fault>> {
        let key = party.seal_key().map_err(|fault| vec![fault])?.map(|key| SealKey::new(&key));
        Ok(Self {
            code: party.entry.code.clone(),
            folder: party.folder.clone(),
            delivery,
            key,
            gateway: config.gateway.id.clone(),
            attempt: Duration::from_millis(config.dispatch.attempt_ms),
            link,
            translator: Arc::clone(translator),
        })
    }

    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// The way to the party, and where it leads.
    pub(super) const fn way(&self) -> (&Link, &Delivery) {
        (&self.link, &self.delivery)
    }

    /// One attempt, which does not go on when the lease ends: another may have it then.
    pub(super) async fn deliver(
        &self,
        lease: &Lease,
        ends: Instant,
        trace: &TraceContext,
    ) -> Outcome {
        let Some(format) = self.translator.format(&self.folder) else {
            return Outcome::Refused { note: "the party has no format".into() };
        };
        let wire = format.wire(lease.application().business());
        if lease.unknown() {
            let (number, business) = (lease.message_number(), lease.application().business());
            match self.ask(&number, business, trace).await {
                Asked::Stored => return Outcome::Delivered,
                Asked::Unknown => {}
                Asked::NoAnswer(note) => return Outcome::Unknown { note },
            }
        }
        let again = |note| Outcome::Again { after: None, note };
        let written = failpoint::at(Step::Seal, again, async { self.write(format, lease) });
        match written.await {
            Ok(document) => {
                let left = ends.saturating_duration_since(now());
                if left.is_zero() {
                    return again("its lease ended before it was sent".into());
                }
                self.send(document, wire, left.min(self.attempt), trace).await
            }
            Err(outcome) => outcome,
        }
    }

    /// The message in the receiver's format, sealed.
    fn write(&self, format: &Format, lease: &Lease) -> Result<Vec<u8>, Outcome> {
        let head = self.head(lease);
        let document = match (lease.kind(), lease.event()) {
            (DeliveryKind::Event, Some(event)) => {
                format.write_event(&head, event, self.key.as_ref())
            }
            (DeliveryKind::Event, None) => {
                return Err(Outcome::Refused { note: "the event is missing".into() });
            }
            (DeliveryKind::Application | DeliveryKind::Result, _) => {
                format.write_application(&head, lease.application(), self.key.as_ref())
            }
        };
        // The table lacks something: only a person can mend it, and then replay.
        let refused = |error| Outcome::Refused { note: format!("cannot be written: {error}") };
        document.map_err(refused)
    }

    async fn send(
        &self,
        document: Vec<u8>,
        wire: Wire,
        longest: Duration,
        trace: &TraceContext,
    ) -> Outcome {
        let call = self.call(&self.delivery.message_path, content_type(wire), trace);
        let call = Call { document: Some(document), patience: longest, ..call };
        // Nothing leaves after the deadline, whatever held it up.
        let replied = timeout(longest, self.link.exchange(call)).await;
        let reply = match replied.unwrap_or(Err(Failure::Late)) {
            Ok(reply) => reply,
            Err(Failure::NotConnected) => {
                return Outcome::Again { after: None, note: "cannot connect".into() };
            }
            Err(Failure::Late) => return Outcome::Unknown { note: "no answer in time".into() },
            Err(Failure::Broken) => return Outcome::Unknown { note: "no answer".into() },
        };
        let (status, after) = (reply.status, reply.retry_after);
        if status == StatusCode::TOO_MANY_REQUESTS {
            let after = Some(after.unwrap_or_default());
            return Outcome::Again { after, note: "HTTP 429".into() };
        }
        let Some(body) = reply.body else {
            return Outcome::Unknown { note: format!("HTTP {status}, answer cut short") };
        };
        if status.is_server_error() {
            // It may have done the work before it failed. With Retry-After it says it did not.
            let note = format!("HTTP {}", status.as_u16());
            return match after {
                Some(after) if status == StatusCode::SERVICE_UNAVAILABLE => {
                    Outcome::Again { after: Some(after), note }
                }
                _ => Outcome::Unknown { note },
            };
        }
        let format = self.translator.format(&self.folder);
        match format.map(|format| format.answer(wire, &body)) {
            Some(Answer::Stored) if status.is_success() => Outcome::Delivered,
            Some(Answer::Refused { code }) => {
                Outcome::Refused { note: format!("refused with code {code}") }
            }
            _ => Outcome::Unknown { note: format!("HTTP {}, not understood", status.as_u16()) },
        }
    }

    /// The status question.
    pub(super) async fn ask(
        &self,
        message_number: &str,
        business: Business,
        trace: &TraceContext,
    ) -> Asked {
        let Some(format) = self.translator.format(&self.folder) else {
            return Asked::NoAnswer("status question: the party has no format".into());
        };
        let wire = format.wire(business);
        let path = self.delivery.status_path.replace("{message_number}", message_number);
        let call = self.call(&path, content_type(wire), trace);
        let Ok(reply) = self.link.exchange(call).await else {
            return Asked::NoAnswer("status question: no answer".into());
        };
        let status = reply.status;
        // An error page may by chance look like an answer; a 404 with a document is one.
        let answered = status.is_success() || status == StatusCode::NOT_FOUND;
        match format.status(wire, &reply.body.unwrap_or_default()) {
            Status::Stored if answered => Asked::Stored,
            Status::Unknown if answered => Asked::Unknown,
            _ => Asked::NoAnswer(format!("status question: HTTP {}", status.as_u16())),
        }
    }

    /// A question at `path`, within the time of one attempt.
    fn call(&self, path: &str, content_type: &'static str, trace: &TraceContext) -> Call {
        Call {
            url: format!("{}{path}", self.delivery.endpoint),
            document: None,
            content_type,
            traceparent: trace.to_string(),
            patience: self.attempt,
            most: ANSWER_BYTES,
        }
    }

    fn head(&self, lease: &Lease) -> Head {
        let application = lease.application();
        let kind = match lease.kind() {
            DeliveryKind::Application => Kind::Application,
            DeliveryKind::Event => Kind::Event,
            DeliveryKind::Result => Kind::Result,
        };
        let now = rfc3339(clock::now_micros());
        let sequence = lease.sequence().to_string();
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let number = lease.message_number();
        let fields = [
            ("message_type", message_type(lease.kind())),
            ("sender", self.gateway.as_str()),
            ("receiver", &self.code),
            ("accepting_division", &application.accepting_division),
            ("home_division", &application.home_division),
            ("case_number", &application.acceptance_number),
            ("application_id", &application.id),
            ("sequence", &sequence),
            ("sent_at", &now),
            ("nonce", &nonce),
            ("key_id", &self.delivery.seal.key_id),
            ("sign_algorithm", if self.key.is_some() { "HMAC-SHA256" } else { "" }),
            ("idempotency_key", &number),
            ("version", "1.0"),
        ];
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let fields = fields.map(|(name, value)| (name, value.to_owned())).collect();
        Head { message_number: number.clone(), business: application.business(), kind, fields }
    }
}

/// What a party says of one message.
pub(super) enum Asked {
    Stored,
    Unknown,
    NoAnswer(String),
}

/// A moment to the second, RFC 3339.
fn rfc3339(micros: i64) -> String {
    let seconds = jiff::Timestamp::from_second(micros.div_euclid(1_000_000));
    seconds.map(|moment| moment.to_string()).unwrap_or_default()
}

const fn message_type(kind: DeliveryKind) -> &'static str {
    match kind {
        DeliveryKind::Application => "REQ",
        DeliveryKind::Event => "EVENT",
        DeliveryKind::Result => "RESULT",
    }
}

const fn content_type(wire: Wire) -> &'static str {
    match wire {
        Wire::Json => "application/json; charset=utf-8",
        Wire::Xml => "application/xml; charset=utf-8",
    }
}
