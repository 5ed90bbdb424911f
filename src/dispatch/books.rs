//! What a party says it holds of a day: the question for reconciliation, over the same client that
//! delivers. The answer is JSON whatever format the party's messages have
//! (`docs/reconciliation.md`). Depends on config and translate.

use std::{sync::Arc, time::Duration};

use jiff::civil::Date;
use serde::Deserialize;

use crate::{
    config::{Config, Party},
    dispatch::{
        link::{Call, Failure, Link},
        partner::{Asked, Partner},
    },
    model::{fault::Fault, pb::Business, trace::TraceContext},
    translate::Translator,
};

/// Most bytes of an answer: half a million messages.
const ANSWER_BYTES: usize = 128 << 20;
/// Longest an answer may take: the party may have to search for it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A party's books of one day.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Books {
    /// The day.
    pub day: Date,
    /// How many messages of ours it received that day.
    pub count: u64,
    /// Digest of their sorted numbers.
    pub digest: String,
    /// `SM3` or `SHA-256`.
    pub digest_algorithm: String,
    /// The messages, when asked for the list.
    #[serde(default)]
    pub messages: Vec<HeldMessage>,
    /// What it submitted to us; a party may leave it out.
    pub submitted: Option<SubmittedBook>,
}

/// A message that a party holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldMessage {
    /// Its number.
    pub message_number: String,
    /// The application it is about, where the party says so.
    #[serde(default)]
    pub application_id: String,
}

/// Applications that a party submitted on a day and was told of as stored.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmittedBook {
    /// How many.
    pub count: u64,
    /// Digest of their sorted ids.
    pub digest: String,
    /// Their ids, when asked for the list.
    #[serde(default)]
    pub applications: Vec<String>,
}

/// Asks one party about its books.
pub struct Correspondent {
    partner: Partner,
}

impl Correspondent {
    /// `None` when the party is asked nothing: it has no `reconcile_path`.
    ///
    /// # Errors
    /// What is wrong with the party's endpoint, key or certificates.
    pub fn new(
        config: &Config,
        party: &Party,
        translator: &Arc<Translator>,
    ) -> Result<Option<Self>, Vec<Fault>> {
        let asked = party.entry.delivery.clone().filter(|d| !d.reconcile_path.is_empty());
        let Some(delivery) = asked else { return Ok(None) };
        let link = Link::https(config, party)?;
        let partner = Partner::new(config, party, translator, (delivery, link))?;
        Ok(Some(Self { partner }))
    }

    /// What the party holds of `day`; with every message when `list`.
    ///
    /// # Errors
    /// Why there is no answer, in words for operations.
    pub async fn books(&self, day: Date, list: bool) -> Result<Books, String> {
        let (link, delivery) = self.partner.way();
        let path = delivery.reconcile_path.replace("{day}", &day.to_string());
        let list = if list { "?list=true" } else { "" };
        let call = Call {
            url: format!("{}{path}{list}", delivery.endpoint),
            document: None,
            content_type: "application/json",
            traceparent: TraceContext::new().to_string(),
            patience: PATIENCE,
            most: ANSWER_BYTES,
        };
        let reply = link.exchange(call).await.map_err(|failure| {
            let connected = failure != Failure::NotConnected;
            let what = if connected { "no answer" } else { "cannot connect" };
            format!("the party's books of {day}: {what}")
        })?;
        if !reply.status.is_success() {
            return Err(format!("the party's books of {day}: HTTP {}", reply.status.as_u16()));
        }
        let body = reply.body.ok_or_else(|| format!("the party's books of {day}: cut short"))?;
        // The place of the mistake, not the text: it is the party's.
        let books: Books = serde_json::from_slice(&body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("the party's books of {day}: not understood at line {line}, column {column}")
        })?;
        if books.day != day {
            return Err(format!("the party's books of {day}: are of another day"));
        }
        Ok(books)
    }

    /// Whether the party stores that message; `None` when it does not say.
    pub async fn holds(&self, message_number: &str, business: Business) -> Option<bool> {
        match self.partner.ask(message_number, business, &TraceContext::new()).await {
            Asked::Stored => Some(true),
            Asked::Unknown => Some(false),
            Asked::NoAnswer(_) => None,
        }
    }
}
