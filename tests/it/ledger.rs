//! The ledger: compares, from outside, what callers were answered with what is stored, with what
//! receivers did, with what the audit log holds, with what the watcher was told; says every
//! difference. Written from the documents and not with the gateway's code. `planted` shows that it
//! finds what is wrong. Depends on world for what callers and watcher know, on receiver for what
//! arrived.

mod evidence;
mod planted;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

pub(crate) use crate::ledger::evidence::{Delivery, Event, Evidence, Rows};
use crate::receiver::Arrival;

/// The deliveries that an event asks for: kind, and to whom. `docs/states.md`, accept and forward.
fn asked_for<'a>(
    event: &str,
    before: &str,
    (submitter, handler): (&'a str, &'a str),
) -> Vec<(&'static str, &'a str)> {
    match event {
        "APPLICATION_RECEIVED" => vec![("application", handler)],
        "APPLICATION_FORWARDED" if before != "UNDELIVERABLE" => vec![],
        "APPLICATION_FORWARDED" | "DELIVERY_FAILED" | "APPLICATION_ACCEPTED" => {
            vec![("event", submitter)]
        }
        "SUPPLEMENT_REQUESTED" | "DECISION_MADE" | "REVIEW_REPORTED" => vec![("event", submitter)],
        "SUPPLEMENT_SUBMITTED" | "APPLICATION_WITHDRAWN" => vec![("event", handler)],
        "DECISION_DELIVERED" => vec![],
        _ => vec![("event", submitter), ("event", handler)],
    }
}

/// Where an event may lead from where the application stood. `docs/states.md`.
fn leads(from: &str, event: &str) -> &'static [&'static str] {
    match (from, event) {
        ("", "APPLICATION_RECEIVED") => &["RECEIVED"],
        ("RECEIVED" | "UNDELIVERABLE", "APPLICATION_FORWARDED") => &["FORWARDED"],
        ("RECEIVED", "DELIVERY_FAILED") => &["UNDELIVERABLE"],
        ("RECEIVED" | "FORWARDED" | "UNDELIVERABLE", "APPLICATION_ACCEPTED")
        | ("SUPPLEMENT_REQUIRED", "SUPPLEMENT_SUBMITTED") => &["ACCEPTED"],
        ("ACCEPTED", "SUPPLEMENT_REQUESTED") => &["SUPPLEMENT_REQUIRED"],
        ("ACCEPTED", "DECISION_MADE") => &["APPROVED", "REJECTED"],
        ("APPROVED" | "REJECTED", "DECISION_DELIVERED") => &["NOTIFIED"],
        (
            "RECEIVED" | "FORWARDED" | "ACCEPTED" | "SUPPLEMENT_REQUIRED" | "UNDELIVERABLE",
            "APPLICATION_WITHDRAWN",
        ) => &["WITHDRAWN"],
        _ => &[],
    }
}

/// What kind of a promise was broken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Lost,
    Doubled,
    Disordered,
    Other,
}

/// The differences that were found.
#[derive(Debug, Default)]
pub(crate) struct Found(Vec<(Kind, String)>);

impl Found {
    fn lost(&mut self, text: String) {
        self.0.push((Kind::Lost, text));
    }

    fn doubled(&mut self, text: String) {
        self.0.push((Kind::Doubled, text));
    }

    /// More or fewer than were due.
    fn count(&mut self, is: usize, due: usize, text: String) {
        self.0.push((if is < due { Kind::Lost } else { Kind::Doubled }, text));
    }

    fn push(&mut self, text: String) {
        self.0.push((Kind::Other, text));
    }

    pub(crate) fn of(&self, kind: Kind) -> usize {
        self.0.iter().filter(|(one, _)| *one == kind).count()
    }

    /// All of them, in words.
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }
}

/// Every difference; none when all is as promised.
pub(crate) fn differences(evidence: &Evidence) -> Found {
    let mut found = Found::default();
    let rows = &evidence.rows;
    answers(evidence, &mut found);
    courses(rows, &mut found);
    deliveries(rows, &mut found);
    audit(evidence, &mut found);
    for (party, arrivals) in &evidence.receivers {
        receiver(rows, party, arrivals, &mut found);
    }
    watch(evidence, &mut found);
    listing(evidence, &mut found);
    found
}

/// What callers were answered is what is stored: an application for each key, an event for each
/// change, and nothing that nobody asked for.
fn answers(evidence: &Evidence, found: &mut Found) {
    let rows = &evidence.rows;
    let mut ids: HashMap<(&str, &str), BTreeSet<&str>> = HashMap::new();
    let (mut asked, mut fresh) = (HashSet::new(), HashSet::new());
    let mut changes: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for said in &evidence.said {
        let good = said.status.is_some_and(|status| status < 300);
        if said.event == "APPLICATION_RECEIVED" {
            asked.insert(said.case.as_str());
        }
        if !good {
            continue;
        }
        ids.entry((said.party, &said.key)).or_default().insert(&said.id);
        if !said.replayed && !fresh.insert((said.party, said.key.as_str())) {
            found.doubled(format!("done again and not replayed: {said:?}"));
        }
        let stored = rows.applications.get(&said.id);
        match (said.event, stored) {
            (_, None) => found.lost(format!("answered and not stored: {said:?}")),
            ("APPLICATION_RECEIVED", Some(row)) => {
                if row.acceptance_number != said.case || row.submitter != said.party {
                    found.push(format!("answered with another's id: {said:?} is {row:?}"));
                }
            }
            _ => {
                changes.insert((&said.id, said.event, &said.key));
                if said.id != said.case {
                    found.push(format!("a change of one answered with another: {said:?}"));
                }
            }
        }
    }
    for ((party, key), ids) in ids.iter().filter(|(_, ids)| ids.len() > 1) {
        found.doubled(format!("key {key} of {party} made {ids:?}"));
    }
    let mut cases: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, row) in &rows.applications {
        cases.entry(&row.acceptance_number).or_default().push(id);
    }
    for (case, ids) in cases {
        if ids.len() > 1 {
            found.doubled(format!("case {case} is stored as {ids:?}"));
        }
        if !asked.contains(case) {
            found.push(format!("case {case} is stored and nobody submitted it"));
        }
    }
    let mut made: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (id, event, _) in changes {
        *made.entry((id, event)).or_default() += 1;
    }
    let mut stored: HashMap<(&str, &str), usize> = HashMap::new();
    for event in &rows.events {
        *stored.entry((&event.application, &event.what)).or_default() += 1;
    }
    for ((id, event), count) in made {
        let stored = stored.get(&(id, event)).copied().unwrap_or_default();
        if stored != count {
            let text = format!("{id}: {count} calls made {event}, {stored} are stored");
            found.count(stored, count, text);
        }
    }
}

/// The events of each application are numbered without gaps, lead from state to state as drawn,
/// and end where the application stands. The order of all events has no gap.
fn courses(rows: &Rows, found: &mut Found) {
    for (place, event) in rows.events.iter().enumerate() {
        if event.number != place as i64 + 1 {
            found.push(format!("event {} stands at place {}", event.number, place + 1));
            break;
        }
    }
    let mut last: HashMap<&str, (i64, &str)> = HashMap::new();
    for event in &rows.events {
        let Some(row) = rows.applications.get(&event.application) else {
            found.push(format!("an event without application: {event:?}"));
            continue;
        };
        let (sequence, from) =
            last.insert(&event.application, (event.sequence, &event.state)).unwrap_or((0, ""));
        if event.sequence != sequence + 1 {
            found.push(format!(
                "{} goes from event {sequence} to {}",
                event.application, event.sequence
            ));
        }
        if !leads(from, &event.what).contains(&event.state.as_str()) {
            found.push(format!(
                "{}: {} leads from {from} to {}",
                event.application, event.what, event.state
            ));
        }
        let by_caller = event.party != "gateway";
        if by_caller && event.party != row.submitter && event.party != row.handler {
            found.push(format!("{} was changed by {}", event.application, event.party));
        }
    }
    for (id, row) in &rows.applications {
        match last.get(id.as_str()) {
            Some((version, state)) if *version == row.version && *state == row.state => {}
            other => found.push(format!("{id} is {row:?} and its last event is {other:?}")),
        }
    }
}

/// Each event has the deliveries it asks for, once each and under a number of their own; all are
/// delivered.
fn deliveries(rows: &Rows, found: &mut Found) {
    let mut stored: BTreeMap<(&str, i64, &str, &str), Vec<&Delivery>> = BTreeMap::new();
    for one in &rows.deliveries {
        let place = (one.application.as_str(), one.event, one.kind, one.party.as_str());
        stored.entry(place).or_default().push(one);
        if one.state != "delivered" {
            found.lost(format!("not delivered: {one:?}"));
        }
    }
    let mut before: HashMap<&str, &str> = HashMap::new();
    for event in &rows.events {
        let from = before.insert(&event.application, &event.state).unwrap_or_default();
        let Some(row) = rows.applications.get(&event.application) else { continue };
        let sides = (row.submitter.as_str(), row.handler.as_str());
        for (kind, party) in asked_for(&event.what, from, sides) {
            let place = (event.application.as_str(), event.sequence, kind, party);
            match stored.remove(&place).map_or(0, |all| all.len()) {
                1 => {}
                count => {
                    let text = format!("{count} deliveries of {place:?}, {}", event.what);
                    found.count(count, 1, text);
                }
            }
        }
    }
    for place in stored.keys() {
        found.push(format!("a delivery that no event asks for: {place:?}"));
    }
    counts(rows, found);
    let numbers: HashSet<&str> = rows.deliveries.iter().map(|one| one.message.as_str()).collect();
    if numbers.len() != rows.deliveries.len() {
        found.push("two deliveries have one message number".to_owned());
    }
}

/// What is counted for the metrics is what there is.
fn counts(rows: &Rows, found: &mut Found) {
    let mut there: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for one in &rows.deliveries {
        let (waiting, parked) = there.entry(one.party.clone()).or_default();
        match one.state {
            "delivered" | "discarded" => {}
            "parked" => *parked += 1,
            _ => *waiting += 1,
        }
    }
    if there != rows.outbox {
        found.push(format!("counted are {:?}, there are {there:?}", rows.outbox));
    }
}

/// The log has no gap, each leaf is the hash of its entry, each event and each end of a delivery
/// has its leaf once, in order, and each refusal that a caller was told has one.
fn audit(evidence: &Evidence, found: &mut Found) {
    let rows = &evidence.rows;
    let mut events: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in &rows.events {
        events.entry(&event.application).or_default().push(event);
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut delivered: HashMap<String, usize> = HashMap::new();
    let mut refused: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (place, leaf) in rows.leaves.iter().enumerate() {
        if leaf.position != place as i64 {
            found.push(format!("leaf {} stands at place {place}", leaf.position));
        }
        let hashed = digest(&SHA256, &[&[0], leaf.entry.as_bytes()].concat());
        if hashed.as_ref() != leaf.hash {
            found.push(format!("leaf {} is not the hash of its entry", leaf.position));
        }
        let Ok(entry) = serde_json::from_str::<BTreeMap<String, Value>>(&leaf.entry) else {
            found.push(format!("leaf {} holds no entry", leaf.position));
            continue;
        };
        if serde_json::to_string(&entry).ok().as_ref() != Some(&leaf.entry) {
            found.push(format!("the entry of leaf {} is not canonical", leaf.position));
        }
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("kind") {
            "event" => {
                let (id, next) =
                    (text("application"), seen.entry(text("application").to_owned()).or_default());
                let event = events.get(id).and_then(|all| all.get(*next));
                *next += 1;
                let same = event.is_some_and(|event| {
                    entry["sequence"] == event.sequence
                        && entry["time"] == event.time
                        && [text("what"), text("state"), text("party")]
                            == [&event.what, &event.state, &event.party]
                });
                if !same {
                    found.push(format!("leaf {} is of no event: {}", leaf.position, leaf.entry));
                }
            }
            "delivery" if text("what") == "DELIVERED" => {
                *delivered.entry(text("content").to_owned()).or_default() += 1;
            }
            "refusal" => {
                let place = (text("party").to_owned(), text("what").to_owned());
                *refused.entry(place).or_default() += 1;
            }
            _ => {}
        }
    }
    for (id, events) in &events {
        let leaves = seen.get(*id).copied().unwrap_or_default();
        if leaves != events.len() {
            found.push(format!("{id} has {} events and {leaves} leaves", events.len()));
        }
    }
    for one in &rows.deliveries {
        let (leaves, due) = (delivered.remove(&one.message), usize::from(one.state == "delivered"));
        if leaves.unwrap_or_default() != due {
            found.push(format!("{leaves:?} leaves say that it was delivered: {one:?}"));
        }
    }
    if !delivered.is_empty() {
        found.push(format!("leaves of deliveries that are none: {delivered:?}"));
    }
    let mut told: BTreeMap<(String, String), usize> = BTreeMap::new();
    for said in evidence.said.iter().filter(|s| s.status.is_some_and(|s| (400..500).contains(&s))) {
        *told.entry((said.party.to_owned(), said.reason.clone())).or_default() += 1;
    }
    for (place, told) in told {
        let leaves = refused.get(&place).copied().unwrap_or_default();
        if leaves < told {
            found.push(format!("{told} refusals of {place:?} were told, {leaves} are logged"));
        }
    }
}

/// A receiver did the work of each message once, of each application in order, and got a number
/// again only after it was asked for it and did not know it.
fn receiver(rows: &Rows, party: &str, arrivals: &[Arrival], found: &mut Found) {
    let numbers: HashMap<&str, &Delivery> = rows
        .deliveries
        .iter()
        .filter(|one| one.party == party)
        .map(|one| (one.message.as_str(), one))
        .collect();
    let mut done: HashMap<&str, usize> = HashMap::new();
    let mut order: HashMap<&str, i64> = HashMap::new();
    // How often a number may come: once, and once more for each time that it was turned away or
    // asked for in vain. The question of a second attempt may overtake a first one that is slow on
    // its way: so much is saved up, and no more.
    let mut may: HashMap<&str, u8> = HashMap::new();
    for arrival in arrivals {
        let number = arrival.number.as_str();
        let Some(delivery) = numbers.get(number) else {
            found.push(format!("{party} got {number}, which is no delivery"));
            continue;
        };
        if arrival.question {
            if !arrival.stored {
                may.insert(number, may.get(number).map_or(2, |left| (left + 1).min(2)));
            }
            continue;
        }
        let left = may.entry(number).or_insert(1);
        if *left == 0 {
            found.doubled(format!("{party} got {number} again and was not asked: {delivery:?}"));
        }
        *left = left.saturating_sub(u8::from(!arrival.turned_away));
        if arrival.application != delivery.application {
            found.push(format!("{party} got {} as {delivery:?}", arrival.application));
        }
        if arrival.stored {
            *done.entry(number).or_default() += 1;
            let last = order.insert(&delivery.application, delivery.event).unwrap_or_default();
            if last > delivery.event {
                let (id, event) = (&delivery.application, delivery.event);
                let text = format!("{party} did event {event} of {id} after event {last}");
                found.0.push((Kind::Disordered, text));
            }
        }
    }
    for (number, delivery) in numbers {
        let done = done.get(number).copied().unwrap_or_default();
        let due = usize::from(delivery.state == "delivered");
        if done != due {
            found.count(done, due, format!("{party} did {done} times: {delivery:?}"));
        }
    }
}

/// The watcher was told each event of its party once, in order.
fn watch(evidence: &Evidence, found: &mut Found) {
    let Some((party, watched)) = &evidence.watched else { return };
    let rows = &evidence.rows;
    let concerns = |event: &&Event| {
        let row = rows.applications.get(&event.application);
        row.is_some_and(|row| row.submitter == *party || row.handler == *party)
    };
    let stored: Vec<_> = rows.events.iter().filter(concerns).collect();
    if stored.len() != watched.len() {
        found.push(format!(
            "{} events concern {party}, the watcher was told {}",
            stored.len(),
            watched.len()
        ));
    }
    for (stored, told) in stored.iter().zip(watched) {
        let same = told.number == stored.number as u64
            && (told.application.as_str(), told.sequence) == (&stored.application, stored.sequence);
        if !same {
            found.push(format!("the watcher was told {told:?} where {stored:?} was next"));
            break;
        }
    }
}

/// What the gateway lists is what is stored.
fn listing(evidence: &Evidence, found: &mut Found) {
    let Some((party, listed)) = &evidence.listed else { return };
    let mut known = BTreeMap::new();
    for one in listed {
        if known.insert(one.id.as_str(), (one.state.as_str(), one.version)).is_some() {
            found.push(format!("{} is listed twice", one.id));
        }
    }
    for (id, row) in evidence.rows.applications.iter().filter(|(_, row)| row.submitter == *party) {
        match known.remove(id.as_str()) {
            Some((state, version)) if state == row.state && version == row.version => {}
            other => found.push(format!("{id} is {row:?} and is listed as {other:?}")),
        }
    }
    if !known.is_empty() {
        found.push(format!("listed and not stored: {known:?}"));
    }
}
