//! What messages are made of: kind, envelope, answers and replies; plain data.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use serde_json::Value;

use crate::model::{
    pb::{self, Business},
    problem::Violation,
};

/// What a message carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A whole application.
    #[default]
    Application,
    /// What happened to one.
    Event,
    /// A whole application with its decision.
    Result,
}

impl Kind {
    /// The word of `[format.envelope.head] message_kind`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Event => "event",
            Self::Result => "result",
        }
    }

    /// The kind of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Application, Self::Event, Self::Result].into_iter().find(|kind| kind.word() == word)
    }
}

/// The logical envelope (报文头) of a message.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Number of the message, 32 hexadecimal digits; the idempotency key.
    pub message_number: String,
    /// What it is about.
    pub business: Business,
    /// What it carries.
    pub kind: Kind,
    /// The other logical fields by name, as `[format.envelope.head]` names them. Times are
    /// RFC 3339.
    pub fields: BTreeMap<&'static str, String>,
}

/// Names of the logical fields besides number and kind.
pub(crate) const HEAD_FIELDS: [&str; 16] = [
    "accepting_division",
    "application_id",
    "case_number",
    "home_division",
    "idempotency_key",
    "key_id",
    "message_type",
    "nonce",
    "receiver",
    "sender",
    "sent_at",
    "sequence",
    "sign_algorithm",
    "trace_id",
    "version",
    "signature",
];

/// A message of a party, opened.
pub struct Message {
    /// Its envelope.
    pub head: Head,
    pub(crate) tree: Value,
}

/// A key that messages are sealed with.
pub struct SealKey(pub(crate) hmac::Key);

impl SealKey {
    /// A key for HMAC-SHA256.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }
}

/// What a party's answer to a message means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It stored the message.
    Stored,
    /// It understood and refused it, for good.
    Refused {
        /// Its code.
        code: String,
    },
    /// Neither: pending, never success or failure.
    NotUnderstood,
}

/// What a party's answer to the status question means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has the message.
    Stored,
    /// It does not know the message.
    Unknown,
    /// Neither.
    NotUnderstood,
}

/// What is told a party about a message it sent.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// Whether it was taken.
    pub stored: bool,
    /// One sentence.
    pub message: String,
    /// Number of the message answered.
    pub message_number: String,
    /// The gateway's id of the application.
    pub application_id: String,
    /// Where it stands.
    pub state: String,
    /// Why it was refused, `docs/errors.md`.
    pub reason: String,
    /// What was wrong, paths as the party wrote them.
    pub violations: Vec<Violation>,
    /// The trace, 32 hexadecimal digits.
    pub trace_id: String,
    /// The application that was taken: who decides, what is to be made sure of, by when.
    pub application: Option<Box<pb::Application>>,
}
