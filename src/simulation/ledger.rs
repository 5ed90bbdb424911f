//! The one checker: what callers were answered = what is stored = what parties did = what the
//! audit log holds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    audit::leaf_hash,
    business,
    model::{
        lifecycle::{self, Effect},
        pb::{Business, EventType, State},
    },
    simulation::{
        books::{Books, Seen, Told},
        held::{Application, Event, Held, digest, leaves, open},
        world::{PARTIES, World},
    },
};

/// Remembers the audit log as it is: it may only grow.
pub(super) fn remember_log(world: &World) {
    let leaves = leaves(&open(world));
    let log = (leaves.len(), digest(&leaves));
    world.with(|state| state.books.logs.push(log));
}

/// Everything that does not fit together; also writes what happened into the trace.
pub(super) fn check(world: &World) {
    let held = Held::read(&open(world));
    let name = |row: i64| held.applications.iter().find(|a| a.row == row).map(|a| &a.number);
    for event in &held.events {
        let what = event.r#type.as_str_name();
        world.note(&format!("{:?} #{} {what} at {}", name(event.row), event.sequence, event.time));
    }
    let faults = world.with(|state| {
        let mut faults = Vec::new();
        answers(&held, &state.books, &mut faults);
        changes(&held, &state.books, &mut faults);
        steps(&held, &mut faults);
        benefits(&held, &state.books, &mut faults);
        deliveries(&held, &state.books, &mut faults);
        order(&held, &state.books, &mut faults);
        watches(&held, &state.books, &mut faults);
        log(&held, &state.books, &mut faults);
        faults
    });
    faults.into_iter().for_each(|fault| world.fault(fault));
}

/// Who was told of an application finds it, the same each time; nobody else's is there.
fn answers(held: &Held, books: &Books, faults: &mut Vec<String>) {
    let mut told = BTreeSet::new();
    let mut by_key: BTreeMap<(&str, &str), &Told> = BTreeMap::new();
    for submission in &books.submissions {
        let number = &submission.number;
        match &submission.told {
            Told::Taken(application) => {
                if application.acceptance_number != *number {
                    faults.push(format!("{number}: was answered another application"));
                }
                _ = told.insert(application.id.clone());
            }
            Told::Refused(reason) if reason.code() != "DUPLICATE_APPLICATION" => {
                faults.push(format!("{number}: refused as {}", reason.code()));
            }
            Told::Refused(_) => {}
        }
        let key = (submission.party, submission.key.as_str());
        let first = by_key.entry(key).or_insert(&submission.told);
        if **first != submission.told {
            faults.push(format!("{number}: two answers to one key"));
        }
    }
    for application in &held.applications {
        let number = &application.number;
        if !told.remove(&application.id) && !taken_late(held, books, application) {
            faults.push(format!("{number} is stored and nobody was answered it"));
        }
    }
    told.iter().for_each(|_| faults.push("an application was answered and is not stored".into()));
}

/// Whether an application was taken after its caller had been told that it was a duplicate. A
/// refusal is not kept under the key: of two copies of one request the first may be refused and
/// the second, once the benefit is free, taken.
fn taken_late(held: &Held, books: &Books, application: &Application) -> bool {
    let first = held.events_of(application.row).first().map_or(0, |event| event.seq);
    books.submissions.iter().any(|submission| {
        submission.number == application.number
            && matches!(submission.told, Told::Refused(_))
            && submission.as_of < first
    })
}

/// What a party was answered as taken happened once, and nothing else happened in its name.
fn changes(held: &Held, books: &Books, faults: &mut Vec<String>) {
    let mut taken: BTreeMap<(String, &str, EventType), i64> = BTreeMap::new();
    for made in books.made.iter().filter(|made| matches!(made.told, Told::Taken(_))) {
        *taken.entry((made.application.clone(), made.party, made.event)).or_default() += 1;
    }
    for application in &held.applications {
        for event in held.events_of(application.row) {
            let first = event.r#type == EventType::ApplicationReceived;
            let party = PARTIES.into_iter().find(|party| *party == event.party);
            if let Some(party) = party.filter(|_| !first) {
                *taken.entry((application.id.clone(), party, event.r#type)).or_default() -= 1;
            }
        }
    }
    for ((_, party, event), difference) in taken.into_iter().filter(|(_, left)| *left != 0) {
        let event = event.as_str_name();
        faults.push(format!("{party}: {event} was taken {difference} times more than it happened"));
    }
}

/// Events are numbered without gaps, and each is a step of the business's machine.
fn steps(held: &Held, faults: &mut Vec<String>) {
    for application in &held.applications {
        let number = &application.number;
        let events = held.events_of(application.row);
        let gapless = events.iter().zip(1..).all(|(event, n)| event.sequence == n);
        if !gapless || i64::try_from(events.len()).unwrap() != application.version {
            faults.push(format!("{number}: events are not numbered 1 to its version"));
        }
        if events.last().is_none_or(|last| last.state != application.state) {
            faults.push(format!("{number}: its state is not that of its last event"));
        }
        for pair in events.windows(2) {
            if effect(application.business, pair[0].state, pair[1]).is_none() {
                faults.push(format!("{number}: no step of the machine: {pair:?}"));
            }
        }
        let last = application.state;
        if !lifecycle::is_closed(last) {
            faults.push(format!("{number}: came to rest in {}", last.as_str_name()));
        }
    }
}

/// What must be delivered because of an event.
fn effect(business: Business, from: State, event: &Event) -> Option<Effect> {
    if lifecycle::is_notice(event.r#type) {
        return (from == event.state).then_some(Effect::TellBoth);
    }
    let mut arrows = business::machine(business).iter();
    let arrow = arrows
        .find(|step| step.from == from && step.event == event.r#type && step.to == event.state);
    arrow.map(|step| step.effect)
}

/// Of one person, no two subsidy applications are open or paid at once.
fn benefits(held: &Held, books: &Books, faults: &mut Vec<String>) {
    let person = |id: &str| {
        let of = |told: &Told| matches!(told, Told::Taken(application) if application.id == id);
        books.submissions.iter().find(|submission| of(&submission.told)).map(|s| s.person)
    };
    let mut holders: BTreeMap<(u64, i32), i64> = BTreeMap::new();
    for event in &held.events {
        let Some(application) = held.applications.iter().find(|a| a.row == event.row) else {
            continue;
        };
        let Some(person) = person(&application.id) else { continue };
        let place = (person, application.business as i32);
        if event.r#type == EventType::ApplicationReceived {
            if let Some(other) = holders.insert(place, event.row) {
                let of = held.applications.iter().find(|a| a.row == other).map(|a| &a.number);
                faults.push(format!("{}: while {of:?} holds the benefit", application.number));
            }
        } else if ends_hold(held, application, event) {
            holders.retain(|_, holder| *holder != event.row);
        }
    }
}

/// Whether the benefit is free again: the application is over, and nothing was granted that is
/// paid.
fn ends_hold(held: &Held, application: &Application, event: &Event) -> bool {
    let granted =
        held.events_of(application.row).iter().any(|event| event.state == State::Approved);
    let paid = application.business == Business::DisabilitySubsidy && granted;
    lifecycle::is_closed(event.state) && !paid
}

/// Each event reached those who must be told, each message took effect once, no message came of
/// nothing.
fn deliveries(held: &Held, books: &Books, faults: &mut Vec<String>) {
    for application in &held.applications {
        let mut wanted = BTreeSet::new();
        let mut before = State::Unspecified;
        for event in held.events_of(application.row) {
            let (submitter, handler) = (&application.submitter, &application.handler);
            let (kind, parties) = match effect(application.business, before, event) {
                _ if event.sequence == 1 => (1, vec![handler]),
                Some(Effect::TellSubmitter) => (2, vec![submitter]),
                Some(Effect::TellHandler) => (2, vec![handler]),
                Some(Effect::TellBoth) => (2, vec![submitter, handler]),
                Some(Effect::SendApplication) => (1, vec![handler]),
                Some(Effect::SendResult) => (3, vec![handler]),
                Some(Effect::None) | None => (0, vec![]),
            };
            wanted.extend(parties.into_iter().map(|party| (event.sequence, kind, party.as_str())));
            before = event.state;
        }
        let own = held.deliveries.iter().filter(|delivery| delivery.row == application.row);
        let made: BTreeSet<_> = own.map(|d| (d.event, d.kind, d.party.as_str())).collect();
        if made != wanted {
            let number = &application.number;
            faults.push(format!("{number}: must be delivered {wanted:?}, is {made:?}"));
        }
    }
    let mut effects: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for stored in &books.stored {
        *effects.entry((stored.party, &stored.number)).or_default() += 1;
    }
    for delivery in &held.deliveries {
        let count = effects.remove(&(delivery.party.as_str(), delivery.number.as_str()));
        let what = format!("delivery {} to {}", delivery.seq, delivery.party);
        match (delivery.state, count) {
            (2, Some(1)) => {}
            (2, None) => faults.push(format!("{what} is settled, and was never received")),
            (2, Some(count)) => faults.push(format!("{what} took effect {count} times")),
            (state, _) => faults.push(format!("{what} came to rest in state {state}")),
        }
    }
    for (party, _) in effects.keys() {
        faults.push(format!("{party} received a message that is no delivery"));
    }
}

/// What is about one application reached each party in the order of its events.
fn order(held: &Held, books: &Books, faults: &mut Vec<String>) {
    let mut last: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for stored in &books.stored {
        let delivery =
            held.deliveries.iter().find(|d| d.number == stored.number && d.party == stored.party);
        let Some(delivery) = delivery else { continue };
        let place = (stored.party, stored.application.as_str());
        if last.insert(place, delivery.event).is_some_and(|last| last > delivery.event) {
            let (event, party) = (delivery.event, stored.party);
            faults.push(format!("event {event} of row {} reached {party} late", delivery.row));
        }
    }
}

/// Each watcher saw every event of its party, once, in order.
fn watches(held: &Held, books: &Books, faults: &mut Vec<String>) {
    for party in PARTIES {
        let of_party = |event: &&Event| {
            held.applications
                .iter()
                .any(|a| a.row == event.row && (a.submitter == party || a.handler == party))
        };
        let happened = held.events.iter().filter(of_party);
        let happened: Vec<(i64, i32)> = happened.map(|e| (e.seq, e.r#type as i32)).collect();
        let seen = books.watched.get(party).map(Vec::as_slice).unwrap_or_default();
        let seen: Vec<(i64, i32)> =
            seen.iter().map(|(seq, _, what): &Seen| (*seq, *what)).collect();
        if seen != happened {
            let (seen, happened) = (seen.len(), happened.len());
            faults.push(format!("{party} watched {seen} events of {happened}, or in disorder"));
        }
    }
}

/// The log has no gap, each leaf is the hash of its entry, each event has its leaf, in order; each
/// delivery ended as often as the log says; the log of before is the beginning of that of now.
fn log(held: &Held, books: &Books, faults: &mut Vec<String>) {
    let mut events = Vec::new();
    let mut ends: BTreeMap<(String, String), i64> = BTreeMap::new();
    for (leaf, position) in held.leaves.iter().zip(0..) {
        if leaf.position != position || leaf.hash != leaf_hash(&leaf.entry) {
            faults.push(format!("leaf {position}: a gap, or not the hash of its entry"));
        }
        let entry: Value = serde_json::from_slice(&leaf.entry).unwrap();
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        match text("kind").as_str() {
            "event" => {
                let sequence = entry["sequence"].as_i64().unwrap();
                events.push((text("application"), sequence, text("what"), text("state")));
            }
            "delivery" => *ends.entry((text("content"), text("what"))).or_default() += 1,
            _ => {}
        }
    }
    let id = |row: i64| held.applications.iter().find(|a| a.row == row).map(|a| a.id.clone());
    let happened: Vec<_> = held
        .events
        .iter()
        .map(|event| {
            let (what, state) = (event.r#type.as_str_name(), event.state.as_str_name());
            (id(event.row).unwrap_or_default(), event.sequence, what.to_owned(), state.to_owned())
        })
        .collect();
    if events != happened {
        let (leaves, events) = (events.len(), happened.len());
        faults.push(format!("{leaves} leaves of events for {events} events, or in disorder"));
    }
    for delivery in held.deliveries.iter().filter(|delivery| delivery.state == 2) {
        let told = ends.get(&(delivery.number.clone(), "DELIVERED".to_owned()));
        if told != Some(&1) {
            faults.push(format!("delivery {} has {told:?} leaves that it is made", delivery.seq));
        }
    }
    for (length, before) in &books.logs {
        let begins = held.leaves.get(..*length).map(digest);
        if begins.as_ref() != Some(before) {
            faults.push(format!("the log's first {length} leaves are not what they were"));
        }
    }
}
