//! Holds a store against its audit log: every leaf is that of its entry and stands in its place,
//! every event has its leaf and every leaf its event, what was committed to is what is stored or
//! was purged with a leaf that says so, every delivery ended as the log says. Takes rows one at a
//! time, in the order of the methods of [`Checker`]; memory grows only with deliveries and purged
//! applications, by 32 and 16 bytes each. Knows no SQL.

mod rows;

use std::{collections::VecDeque, fmt};

use prost::encoding::{DecodeContext, decode_key, skip_field};
use uuid::Uuid;

pub use crate::store::proof::rows::{ApplicationRow, DeliveryRow, EventRow, LeafRow, Report};
use crate::{
    audit::{Entry, Kind, commitment, leaf_hash, tree::Tree},
    model::pb::{EventType, State},
    store::{advance, rows::DeliveryKind, vault::Vault},
};

/// Most findings that are told one by one.
const SHOWN: usize = 20;
/// How far events are read ahead to see whether a leaf or an event is missing.
const AHEAD: usize = 2;

/// The check, as far as it has come.
pub struct Checker<'a> {
    vault: &'a Vault,
    report: Report,
    tree: Tree,
    deliveries: Vec<Delivery>,
    /// The beginning of a message number, and the place in `deliveries`; sorted.
    numbers: Vec<(u64, usize)>,
    /// Applications that a leaf says were purged.
    purged: Vec<[u8; 16]>,
    /// A leaf whose event has not been found yet.
    waiting: Option<(i64, Entry)>,
    early: VecDeque<EventRow>,
    events_end: bool,
}

struct Delivery {
    seq: i64,
    state: u8,
    said: Said,
}

/// What the log said last of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Delivered,
    GivenUp,
    DueAgain,
    Discarded,
}

impl<'a> Checker<'a> {
    /// Begins.
    pub fn new(vault: &'a Vault) -> Self {
        Self {
            vault,
            report: Report::default(),
            tree: Tree::default(),
            deliveries: Vec::new(),
            numbers: Vec::new(),
            purged: Vec::new(),
            waiting: None,
            early: VecDeque::new(),
            events_end: false,
        }
    }

    /// Notes something wrong.
    pub fn wrong(&mut self, what: impl fmt::Display) {
        self.report.wrong += 1;
        if self.report.findings.len() < SHOWN {
            self.report.findings.push(what.to_string());
        }
    }

    /// First: every delivery, in the order of their numbers.
    pub fn delivery(&mut self, row: &DeliveryRow) {
        self.report.deliveries += 1;
        self.numbers.push((short(&row.message), self.deliveries.len()));
        let state = u8::try_from(row.state).unwrap_or(u8::MAX);
        self.deliveries.push(Delivery { seq: row.seq, state, said: Said::Nothing });
    }

    /// Then: every leaf, in the order of the log. `true`: an event is wanted now.
    pub fn leaf(&mut self, row: &LeafRow) -> bool {
        let expected = self.report.leaves;
        if expected == 0 {
            self.numbers.sort_unstable();
        }
        let position = row.position;
        if position != expected {
            self.wrong(format_args!("leaf {position}: stands where leaf {expected} belongs"));
        }
        self.report.leaves = position + 1;
        let hash = leaf_hash(&row.entry);
        if hash[..] != row.hash[..] {
            self.wrong(format_args!("leaf {position}: its hash is not that of its entry"));
        }
        self.tree.push(hash);
        self.report.last_leaf = Some(hash);
        let Some(entry) = Entry::parse(&row.entry) else {
            self.wrong(format_args!("leaf {position}: its entry is not well-formed"));
            return false;
        };
        self.report.last_time = entry.time;
        match entry.kind {
            Kind::Event => {
                self.waiting = Some((position, entry));
                return self.pair();
            }
            Kind::Delivery => self.ended(position, &entry),
            Kind::Operation if entry.what == advance::PURGED => self.note_purge(position, &entry),
            Kind::Operation | Kind::Refusal | Kind::Access => {}
        }
        false
    }

    /// The next event when one is wanted, `None` when there is no more; `true`: one more is wanted.
    /// After the last leaf: every event that is left.
    pub fn event(&mut self, row: Option<EventRow>) -> bool {
        match row {
            Some(row) => {
                self.report.events += 1;
                self.early.push_back(row);
            }
            None => self.events_end = true,
        }
        if self.waiting.is_none() {
            self.strand(self.early.len());
            return false;
        }
        self.pair()
    }

    /// Last: every application.
    pub fn application(&mut self, row: &ApplicationRow) {
        if self.report.applications == 0 {
            self.strand(self.early.len());
            self.purged.sort_unstable();
        }
        self.report.applications += 1;
        self.report.purged += i64::from(row.purged);
        let id = Uuid::from_bytes(row.id);
        if row.version != row.events || row.version != row.last {
            let (version, events, last) = (row.version, row.events, row.last);
            self.wrong(format_args!(
                "application {id}: version {version}, but {events} events up to number {last}"
            ));
        }
        if row.state != row.last_state {
            self.wrong(format_args!("application {id}: its state is not that of its last event"));
        }
        let said = self.purged.binary_search(&row.id).is_ok();
        match (row.purged, said) {
            (true, false) => self.wrong(format_args!("application {id}: purged without a leaf")),
            (false, true) => {
                self.wrong(format_args!("application {id}: the log says purged, but it is not"));
            }
            _ => {}
        }
    }

    /// The end.
    pub fn finish(mut self) -> Report {
        self.strand(self.early.len());
        for Delivery { seq, state, said } in std::mem::take(&mut self.deliveries) {
            let agrees = match state {
                2 => said == Said::Delivered,
                3 => said == Said::GivenUp,
                5 => said == Said::Discarded,
                _ => matches!(said, Said::Nothing | Said::DueAgain),
            };
            if !agrees {
                self.wrong(format_args!("delivery {seq}: the log says {said:?} of it last"));
            }
        }
        self.report.root = self.tree.root();
        self.report
    }

    /// Brings the leaf that waits together with its event; `true`: an event is wanted.
    fn pair(&mut self) -> bool {
        let Some((position, leaf)) = self.waiting.take() else { return false };
        let is_of = |event: &EventRow| {
            event.sequence == leaf.sequence
                && Uuid::from_bytes(event.application).to_string() == leaf.application
        };
        if let Some(at) = self.early.iter().position(is_of) {
            self.strand(at);
            if let Some(event) = self.early.pop_front() {
                self.compare(position, &leaf, &event);
            }
            return false;
        }
        if self.early.len() < AHEAD && !self.events_end {
            self.waiting = Some((position, leaf));
            return true;
        }
        let (id, number) = (&leaf.application, leaf.sequence);
        self.wrong(format_args!("leaf {position}: event {number} of application {id} is missing"));
        false
    }

    /// The first `count` of the events read ahead have no leaf.
    fn strand(&mut self, count: usize) {
        for event in self.early.drain(..count).collect::<Vec<_>>() {
            let (id, number) = (Uuid::from_bytes(event.application), event.sequence);
            self.wrong(format_args!("event {number} of application {id}: has no leaf"));
        }
    }

    fn compare(&mut self, position: i64, leaf: &Entry, event: &EventRow) {
        let r#type = EventType::try_from(event.r#type).map(|known| known.as_str_name());
        let state = State::try_from(event.state).map(|known| known.as_str_name());
        let same = [
            ("type", r#type == Ok(leaf.what.as_str())),
            ("state", state == Ok(leaf.state.as_str())),
            ("party", leaf.party == event.party),
            ("time", leaf.time == event.time),
        ];
        for (what, _) in same.into_iter().filter(|(_, same)| !same) {
            self.wrong(format_args!("leaf {position}: another {what} than that of its event"));
        }
        if event.purged {
            if event.detail.is_some() || !event.salt.is_empty() {
                let id = &leaf.application;
                self.wrong(format_args!("application {id}: purged, but content or salt is there"));
            }
        } else if !self.opens(&leaf.content, event) {
            self.wrong(format_args!("leaf {position}: its commitment does not open"));
        }
    }

    /// Whether what is stored is what the leaf commits to.
    fn opens(&self, committed: &str, event: &EventRow) -> bool {
        let (column, sealed) = match (&event.body, &event.detail) {
            (Some(body), None) if event.sequence == 1 => ("body", body),
            (None, Some(detail)) => ("detail", detail),
            // It brought nothing.
            (None, None) => return committed.is_empty(),
            (Some(_), _) => return false,
        };
        let Ok(salt) = <&[u8; 16]>::try_from(&event.salt[..]) else { return false };
        let Ok(content) = self.vault.unseal(&event.application, column, sealed) else {
            return false;
        };
        let ends = if column == "body" { ends(&content) } else { vec![content.len()] };
        ends.into_iter().any(|end| commitment(salt, &content[..end]) == committed)
    }

    /// What a leaf says of a delivery.
    fn ended(&mut self, position: i64, leaf: &Entry) {
        let said = match leaf.what.as_str() {
            "DELIVERED" => Said::Delivered,
            "REFUSED" | "PARKED" => Said::GivenUp,
            "REPLAYED" | "RESENT" => Said::DueAgain,
            "DISCARDED" => Said::Discarded,
            _ => return self.wrong(format_args!("leaf {position}: no known end of a delivery")),
        };
        let found = match said {
            // These name the delivery by its number: nothing else is known where they are made.
            Said::DueAgain | Said::Discarded => {
                self.deliveries.binary_search_by_key(&leaf.sequence, |d| d.seq).ok()
            }
            _ => message_number(leaf).and_then(|message| self.numbered(&message)),
        };
        match found {
            Some(at) => self.deliveries[at].said = said,
            None => self.wrong(format_args!("leaf {position}: its delivery is missing")),
        }
    }

    fn numbered(&self, message: &[u8; 16]) -> Option<usize> {
        let short = short(message);
        let at = self.numbers.binary_search_by_key(&short, |(number, _)| *number).ok()?;
        Some(self.numbers[at].1)
    }

    fn note_purge(&mut self, position: i64, leaf: &Entry) {
        match Uuid::try_parse(&leaf.application) {
            Ok(id) => self.purged.push(id.into_bytes()),
            Err(_) => self.wrong(format_args!("leaf {position}: purges no application")),
        }
    }
}

/// The message number that the leaf of a delivery names, when it is that of what it says.
fn message_number(leaf: &Entry) -> Option<[u8; 16]> {
    let id = Uuid::try_parse(&leaf.application).ok()?;
    let kinds = [DeliveryKind::Application, DeliveryKind::Event, DeliveryKind::Result];
    let kind = kinds.into_iter().find(|kind| kind.word() == leaf.state)?;
    let number = advance::message_number(id.as_bytes(), leaf.sequence, kind, &leaf.party);
    (hex::encode(number) == leaf.content).then_some(number)
}

fn short(message: &[u8; 16]) -> u64 {
    let [first @ .., _, _, _, _, _, _, _, _] = *message;
    u64::from_be_bytes(first)
}

/// Where the application as submitted may end within the body: behind it the gateway put what it
/// added itself, and nothing tells the one from the other but the numbers of the fields.
fn ends(body: &[u8]) -> Vec<usize> {
    let mut ends = vec![0];
    let mut rest = body;
    while !rest.is_empty() {
        let Ok((field, wire)) = decode_key(&mut rest) else { return Vec::new() };
        let skipped = skip_field(wire, field, &mut rest, DecodeContext::default());
        if skipped.is_err() {
            return Vec::new();
        }
        if !KEPT.contains(&field) {
            ends.clear();
        }
        ends.push(body.len() - rest.len());
    }
    ends
}

/// The fields of [`advance::kept`].
const KEPT: [u32; 3] = [24, 25, 26];

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::model::pb;

    #[test]
    fn what_the_gateway_keeps_may_be_cut_off_and_nothing_else() {
        let all = pb::Application {
            acceptance_number: "CASE".into(),
            deadlines: vec![pb::Deadline::default(); 2],
            checks: vec![pb::RuleCheck::default()],
            handling_authority: Some(pb::HandlingAuthority::default()),
            ..Default::default()
        };
        let kept = advance::kept(&all).encode_to_vec();
        assert_eq!(ends(&kept).first(), Some(&0), "a field of `kept` is not in KEPT");
        assert_eq!(ends(&kept).len(), 5);
        let content = pb::Application { acceptance_number: "CASE".into(), ..Default::default() };
        let content = content.encode_to_vec();
        let ends_of_both = ends(&[&*content, &*kept].concat());
        assert_eq!(ends_of_both.first(), Some(&content.len()));
        assert_eq!(ends(&content), [content.len()]);
        assert!(ends(b"\xff").is_empty());
    }
}
