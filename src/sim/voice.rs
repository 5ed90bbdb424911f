//! How a system speaks: what a simulator must be able to write and read in its own words, and
//! the ways of writing times that more than one of them has.

use jiff::{Timestamp, civil::Date, civil::DateTime, tz::Offset};

use hyper::HeaderMap;

use crate::sim::{
    case::{Form, Received, Report},
    exchange::Told,
    faults::Faults,
};

/// A call to the gateway.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub path: String,
    pub content_type: &'static str,
    /// The `Idempotency-Key`, where the call needs one.
    pub key: Option<String>,
    pub body: Vec<u8>,
}

/// What the gateway's answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Taken: the application's id, and the rules that are left as questions.
    Done(String, Vec<String>),
    /// Refused for good: the reason.
    Refused(String),
    /// Not understood: say it again.
    Unclear,
}

/// A document to answer with.
pub(super) struct Document {
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

/// How one system speaks.
pub(super) trait Voice: Send + Sync {
    /// The call that submits a form under a message number.
    fn submission(&self, form: &Form, message: &str) -> Call;

    /// The call that reports an event.
    fn report(&self, report: &Report, message: &str) -> Call;

    /// What the gateway's answer to `call` says.
    fn said(&self, call: &Call, status: u16, body: &[u8]) -> Said;

    /// Path of the messages; the status question is asked below it.
    fn path(&self) -> &'static str;

    /// Reads a message.
    fn read(&self, bytes: &[u8]) -> anyhow::Result<Received>;

    /// The answer to a message: stored, or why it is refused.
    fn answer(&self, xml: bool, message: &str, refused: Option<&str>) -> Document;

    /// The answer to the status question.
    fn status(&self, xml: bool, message: &str, stored: bool) -> Document;

    /// Whether questions about people are asked at that path.
    fn is_asked(&self, _path: &str) -> bool {
        false
    }

    /// The answer to a question about people.
    fn tell(&self, _path: &str, _headers: &HeaderMap, _body: &[u8], _faults: &Faults) -> Told {
        Told::Silence
    }
}

pub(super) const JSON: &str = "application/json; charset=utf-8";
pub(super) const XML: &str = "application/xml; charset=utf-8";

/// The time in China.
pub(super) fn china(time: Timestamp) -> DateTime {
    Offset::constant(8).to_datetime(time)
}

/// `2026-11-23T09:30:00+08:00`.
pub(super) fn rfc3339(time: Timestamp) -> String {
    china(time).strftime("%Y-%m-%dT%H:%M:%S+08:00").to_string()
}

/// `20261123093000`.
pub(super) fn compact(time: Timestamp) -> String {
    china(time).strftime("%Y%m%d%H%M%S").to_string()
}

/// `2026年11月23日 09:30:00`.
pub(super) fn chinese(time: Timestamp) -> String {
    china(time).strftime("%Y年%m月%d日 %H:%M:%S").to_string()
}

/// A date by pattern; empty for none.
pub(super) fn day(date: Option<Date>, pattern: &str) -> String {
    date.map(|date| date.strftime(pattern).to_string()).unwrap_or_default()
}

/// A date written by pattern, as `yyyy-MM-dd`; as it stands when it is no such date.
pub(super) fn iso(text: &str, pattern: &str) -> String {
    Date::strptime(pattern, text).map_or_else(|_| text.to_owned(), |date| date.to_string())
}

/// Yuan with two decimals.
pub(super) fn yuan(fen: i64) -> String {
    if fen == 0 { String::new() } else { format!("{}.{:02}", fen / 100, fen % 100) }
}

/// Fen from yuan with up to two decimals; empty for no amount.
pub(super) fn fen(text: &str) -> String {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let amount = format!("{whole}{part:0<2}").parse::<i64>();
    amount.map(|fen| fen.to_string()).unwrap_or_default()
}

/// A month, as `yyyy-MM`; `pattern` is that of its first day.
pub(super) fn month(text: &str, pattern: &str) -> String {
    let first = iso(&format!("{text}01"), pattern);
    if text.is_empty() { String::new() } else { first.get(..7).unwrap_or_default().to_owned() }
}
