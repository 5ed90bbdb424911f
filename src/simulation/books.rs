//! What the parties know: the messages each received, what they were told of their own
//! applications, and what they did with those of others. Nothing here is asked of the gateway.

use std::collections::BTreeMap;

use crate::model::{
    pb::{self, EventType},
    problem::Reason,
};

/// What the gateway answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// Taken; the application as it was answered.
    Taken(Box<pb::Application>),
    Refused(Reason),
}

/// One submission under one key.
pub(super) struct Submission {
    pub(super) party: &'static str,
    pub(super) number: String,
    pub(super) key: String,
    pub(super) person: u64,
    pub(super) told: Told,
    /// The last event that the store held then.
    pub(super) as_of: i64,
}

/// A change that was answered.
pub(super) struct Made {
    pub(super) party: &'static str,
    pub(super) application: String,
    pub(super) event: EventType,
    pub(super) told: Told,
}

/// A message on its way to a party.
#[derive(Default)]
pub(super) struct Message {
    /// What the gateway has sent may have arrived, and it has not been told whether.
    pub(super) doubt: bool,
    pub(super) stored: bool,
}

/// An event or application that a party stored.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) party: &'static str,
    pub(super) number: String,
    pub(super) application: String,
}

/// A case as one of its sides knows it.
#[derive(Default)]
pub(super) struct Case {
    /// What the side was told, in order.
    pub(super) told: Vec<EventType>,
}

/// An event as a watcher saw it.
pub(super) type Seen = (i64, String, i32);

#[derive(Default)]
pub(super) struct Books {
    pub(super) submissions: Vec<Submission>,
    pub(super) made: Vec<Made>,
    pub(super) messages: BTreeMap<(&'static str, String), Message>,
    /// In the order of their effect.
    pub(super) stored: Vec<Stored>,
    pub(super) cases: BTreeMap<(&'static str, String), Case>,
    pub(super) watched: BTreeMap<&'static str, Vec<Seen>>,
    /// How long the audit log was, and the digest of its leaves.
    pub(super) logs: Vec<(usize, Vec<u8>)>,
}

impl Books {
    pub(super) fn message(&mut self, party: &'static str, number: &str) -> &mut Message {
        self.messages.entry((party, number.to_owned())).or_default()
    }

    pub(super) fn case(&mut self, party: &'static str, number: &str) -> &mut Case {
        self.cases.entry((party, number.to_owned())).or_default()
    }
}
