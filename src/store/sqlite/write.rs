//! What each write does within the transaction.

use std::sync::PoisonError;

use rusqlite::params;

use crate::{
    audit::{Entry, Kind, Leaf},
    model::{
        clock, lifecycle,
        lifecycle::Step,
        pb::{self, EventType, State},
    },
    store::{
        StoreError,
        advance::{self, By, Standing},
        rows::{
            Accepted, Applied, Change, DeliveryKind, IdempotencyKey, Lease, Reach, Recalled,
            Refusal, Settlement,
        },
        sqlite::{
            read::{self, ApplicationRow},
            writer::{Prepared, Scope},
        },
    },
};

pub(super) fn accept(scope: &mut Scope<'_>, prepared: Prepared) -> Result<Accepted, StoreError> {
    let Prepared { new, body, salt, leaf: first_leaf } = prepared;
    match recall(scope, &new.key)? {
        Some(Recalled::Answer(first)) => return Ok(Accepted::Replayed(first)),
        Some(Recalled::KeyReused) => return Ok(Accepted::KeyReused),
        None => {}
    }
    if let Some(first) = holder(scope, &new.benefits) {
        return Ok(Accepted::Duplicate { first: uuid::Uuid::from_bytes(first) });
    }
    let id = new.id.as_bytes();
    let application = &new.application;
    let (submitter, handler) = (&application.submitting_party, &application.handling_party);
    let row = scope
        .transaction
        .prepare_cached(
            "INSERT INTO applications (id, business, state, version, submitter, handler, \
             acceptance_number, home_division, home_name, open, benefits, salt, trace, created, \
             updated, body) VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10, ?11, ?12, ?12, ?13)",
        )?
        .insert(params![
            id,
            application.business,
            State::Received as i32,
            submitter,
            handler,
            application.acceptance_number,
            application.home_division,
            application.home_division_name,
            new.benefits.concat(),
            salt,
            new.trace.to_string(),
            new.now,
            body,
        ])?;
    let received = (EventType::ApplicationReceived, State::Received);
    event(scope, row, 1, received, submitter, new.now, None)?;
    if new.reach.handler {
        delivery(scope, (row, id), handler, DeliveryKind::Application, 1, new.now)?;
    }
    idempotency(scope, &new.key, row, new.now, None)?;
    leaf(scope, &first_leaf)?;
    scope.overlay.open(&new.benefits, *id);
    Ok(Accepted::New(Box::new(new.application)))
}

pub(super) fn apply(scope: &mut Scope<'_>, change: &Change) -> Result<Applied, StoreError> {
    match recall(scope, &change.key)? {
        Some(Recalled::Answer(first)) => return Ok(Applied::Replayed(first)),
        Some(Recalled::KeyReused) => return Ok(Applied::KeyReused),
        None => {}
    }
    let Some(row) = read::by_id(scope.transaction, change.id)? else {
        return Ok(Applied::Refused(Refusal::NotFound));
    };
    let step = match advance::step(standing(&row), &change.event, change.expected_version) {
        Ok(step) => step,
        Err(refusal) => return Ok(Applied::Refused(refusal)),
    };
    let by = By { party: &change.party, system: &change.system, time: change.now };
    let application = take(scope, &row, step, &change.event, by, change.reach)?;
    let answer = scope.seal(&row.id, "answer", &application)?;
    idempotency(scope, &change.key, row.seq, change.now, Some(answer))?;
    Ok(Applied::Done(Box::new(application)))
}

pub(super) fn leaf(scope: &mut Scope<'_>, leaf: &Leaf) -> Result<(), StoreError> {
    // The log counts from 0; SQLite numbers an empty table's first row 1 of its own accord.
    scope
        .transaction
        .prepare_cached(
            "INSERT INTO leaves (position, hash, entry) \
             SELECT coalesce(max(position) + 1, 0), ?1, ?2 FROM leaves",
        )?
        .execute(params![leaf.hash, leaf.entry])?;
    Ok(())
}

pub(super) fn lease(
    scope: &mut Scope<'_>,
    party: &str,
    limit: usize,
    until: i64,
) -> Result<Vec<Lease>, StoreError> {
    struct Due {
        seq: i64,
        application: i64,
        kind: i64,
        event: i64,
        message: [u8; 16],
        leased: bool,
        attempts: u32,
        unknown: bool,
        created: i64,
    }
    let mut query = scope.transaction.prepare_cached(
        "SELECT d.seq, d.application, d.kind, d.event, d.message, d.state = 1, d.attempts, \
         d.unknown, d.created FROM deliveries d \
         WHERE d.party = ?1 AND d.due <= ?2 AND d.state IN (0, 1) AND NOT EXISTS ( \
           SELECT 1 FROM deliveries e WHERE e.application = d.application \
           AND e.party = d.party AND e.seq < d.seq AND e.state IN (0, 1, 3)) \
         ORDER BY d.due, d.seq LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let due = query.query_map(params![party, clock::now_micros(), limit], |row| {
        Ok(Due {
            seq: row.get(0)?,
            application: row.get(1)?,
            kind: row.get(2)?,
            event: row.get(3)?,
            message: row.get(4)?,
            leased: row.get(5)?,
            attempts: row.get(6)?,
            unknown: row.get(7)?,
            created: row.get(8)?,
        })
    })?;
    let due = due.collect::<rusqlite::Result<Vec<Due>>>()?;
    let mut leases = Vec::with_capacity(due.len());
    for delivery in due {
        let attempt = delivery.attempts + 1;
        let unknown = delivery.unknown || delivery.leased;
        scope
            .transaction
            .prepare_cached(
                "UPDATE deliveries SET state = 1, attempts = ?2, due = ?3, unknown = ?4 \
                 WHERE seq = ?1",
            )?
            .execute(params![delivery.seq, attempt, until, unknown])?;
        let row = read::by_seq(scope.transaction, delivery.application)?;
        let kind = DeliveryKind::from_number(delivery.kind)
            .ok_or_else(|| StoreError::Corrupt("a delivery of no known kind".into()))?;
        let event = match kind {
            DeliveryKind::Event => {
                let (seq, event) = (delivery.application, delivery.event);
                Some(Box::new(read::event_of(scope.transaction, scope.vault, seq, event)?))
            }
            DeliveryKind::Application | DeliveryKind::Result => None,
        };
        leases.push(Lease {
            delivery: delivery.seq,
            until,
            attempt,
            kind,
            message: delivery.message,
            unknown,
            created: delivery.created,
            application: Box::new(row.application(scope.vault)?),
            event,
            sequence: delivery.event,
            trace: row.trace,
            party: party.to_owned(),
        });
    }
    Ok(leases)
}

pub(super) fn settle(
    scope: &mut Scope<'_>,
    lease: &Lease,
    settlement: Settlement,
) -> Result<(), StoreError> {
    let now = clock::now_micros();
    let (state, due, uncounted, unknown, note) = match &settlement {
        Settlement::Delivered { .. } => (2, now, 0, false, ""),
        Settlement::Refused { note, .. } => (3, now, 0, false, note.as_str()),
        Settlement::Parked { note, unknown, .. } => (3, now, 0, *unknown, note.as_str()),
        Settlement::Again { due, unknown, counted, note } => {
            (0, *due, i64::from(!counted), *unknown, note.as_str())
        }
    };
    // Only the holder of the lease settles: `due` is when it ends and names it.
    let settled = scope
        .transaction
        .prepare_cached(
            "UPDATE deliveries SET state = ?3, due = ?4, attempts = attempts - ?5, unknown = ?6, \
             note = ?7 WHERE seq = ?1 AND state = 1 AND due = ?2",
        )?
        .execute(params![lease.delivery, lease.until, state, due, uncounted, unknown, note])?;
    if settled == 0 {
        return Ok(()); // The lease had expired; whoever holds it now asks the receiver.
    }
    let (what, step, reach) = match settlement {
        Settlement::Again { .. } => return Ok(()),
        Settlement::Delivered { reach } => ("DELIVERED", lease.step_when_delivered(), reach),
        Settlement::Refused { reach, .. } => ("REFUSED", failed(lease), reach),
        Settlement::Parked { reach, .. } => ("PARKED", failed(lease), reach),
    };
    leaf(scope, &delivery_entry(lease, what, now).leaf())?;
    let Some(r#type) = step else { return Ok(()) };
    let row = read::by_id(scope.transaction, id_of(&lease.application)?)?;
    let row = row.ok_or_else(|| StoreError::Corrupt("a delivery without application".into()))?;
    let event = pb::ApplicationEvent { r#type: r#type as i32, ..Default::default() };
    // No step: the handling side was quicker than our record, or it was withdrawn meanwhile.
    if let Ok(step) = advance::step(standing(&row), &event, 0) {
        take(scope, &row, step, &event, By { party: "gateway", system: "", time: now }, reach)?;
    }
    Ok(())
}

pub(super) fn revive(scope: &mut Scope<'_>, deliveries: &[i64]) -> Result<usize, StoreError> {
    let mut revived = 0;
    let now = clock::now_micros();
    for delivery in deliveries {
        let changed = scope
            .transaction
            .prepare_cached(
                "UPDATE deliveries SET state = 0, due = ?2, attempts = 0 WHERE seq = ?1 AND state = 3",
            )?
            .execute(params![delivery, now])?;
        revived += changed;
        if changed == 1 {
            let entry = Entry {
                kind: Kind::Delivery,
                time: now,
                party: "gateway".into(),
                system: "operations".into(),
                application: String::new(),
                sequence: *delivery,
                what: "REPLAYED".into(),
                state: String::new(),
                content: String::new(),
            };
            leaf(scope, &entry.leaf())?;
        }
    }
    Ok(revived)
}

pub(super) fn forget(scope: &mut Scope<'_>, before: i64) -> Result<usize, StoreError> {
    // Rows are in the order of time, so that a batch is a run at the table's beginning.
    let mut query = scope.transaction.prepare_cached(
        "DELETE FROM idempotency WHERE seq IN \
         (SELECT seq FROM idempotency WHERE created < ?1 ORDER BY seq LIMIT 1000) \
         RETURNING substr(key, 1, 16)",
    )?;
    let keys = query.query_map([before], |row| row.get(0))?;
    let keys = keys.collect::<rusqlite::Result<Vec<[u8; 16]>>>()?;
    let count = keys.len();
    keys.into_iter().for_each(|key| scope.overlay.forget_key(key));
    Ok(count)
}

/// Takes the step: new state and version, event, leaf, delivery; returns the application.
fn take(
    scope: &mut Scope<'_>,
    row: &ApplicationRow,
    step: Step,
    event_of: &pb::ApplicationEvent,
    by: By<'_>,
    reach: Reach,
) -> Result<pb::Application, StoreError> {
    let version = row.version + 1;
    let mut content = row.content(scope.vault)?;
    if let Some(revised) = advance::revise(&content, event_of) {
        content = revised;
        let sealed = scope.seal(&row.id, "revised", &content)?;
        scope
            .transaction
            .prepare_cached("UPDATE applications SET revised = ?2 WHERE seq = ?1")?
            .execute(params![row.seq, sealed])?;
    }
    let closed = lifecycle::is_closed(step.to);
    scope
        .transaction
        .prepare_cached(
            "UPDATE applications SET state = ?2, version = ?3, updated = ?4, open = ?5 WHERE seq = ?1",
        )?
        .execute(params![row.seq, step.to as i32, version, by.time, !closed])?;
    if closed {
        scope.overlay.close(&row.benefits);
    }
    let detail = advance::detail(event_of);
    let sealed = match detail.is_empty() {
        true => None,
        false => Some(scope.vault.seal(&row.id, "detail", &detail)?),
    };
    event(scope, row.seq, version, (step.event, step.to), by.party, by.time, sealed)?;
    let id = uuid::Uuid::from_bytes(row.id).to_string();
    let entry = advance::event_entry(&id, version, step.event, step.to, by, &row.salt, &detail);
    leaf(scope, &entry.leaf())?;
    if let Some((kind, to_submitter)) = advance::delivery(step.effect, reach) {
        let party = if to_submitter { &row.submitter } else { &row.handler };
        delivery(scope, (row.seq, &row.id), party, kind, version, by.time)?;
    }
    Ok(row.with_header(content, step.to, version, by.time))
}

fn event(
    scope: &mut Scope<'_>,
    row: i64,
    sequence: i64,
    (event, state): (EventType, State),
    party: &str,
    time: i64,
    detail: Option<Vec<u8>>,
) -> Result<(), StoreError> {
    scope.last_event = scope
        .transaction
        .prepare_cached(
            "INSERT INTO events (application, sequence, type, state, party, time, detail) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .insert(params![row, sequence, event as i32, state as i32, party, time, detail])?;
    Ok(())
}

fn delivery(
    scope: &mut Scope<'_>,
    (row, id): (i64, &[u8; 16]),
    party: &str,
    kind: DeliveryKind,
    sequence: i64,
    now: i64,
) -> Result<(), StoreError> {
    let message = advance::message_number(id, sequence, kind, party);
    scope
        .transaction
        .prepare_cached(
            "INSERT INTO deliveries (application, party, kind, event, message, state, attempts, \
             due, unknown, note, created) VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, ?6, 0, '', ?6)",
        )?
        .execute(params![row, party, kind.number(), sequence, message, now])?;
    Ok(())
}

fn idempotency(
    scope: &mut Scope<'_>,
    key: &IdempotencyKey,
    row: i64,
    now: i64,
    answer: Option<Vec<u8>>,
) -> Result<(), StoreError> {
    let place = scope
        .transaction
        .prepare_cached(
            "INSERT INTO idempotency (key, content, application, created, answer) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .insert(params![key.key, key.content, row, now, answer])?;
    scope.overlay.add_key(&key.key, place);
    Ok(())
}

fn recall(scope: &Scope<'_>, key: &IdempotencyKey) -> Result<Option<Recalled>, StoreError> {
    let place = {
        let index = scope.index.read().unwrap_or_else(PoisonError::into_inner);
        scope.overlay.key(&index, &key.key)
    };
    match place {
        Some(place) => read::answer(scope.transaction, scope.vault, place, &key.content),
        None => Ok(None),
    }
}

fn holder(scope: &Scope<'_>, benefits: &[[u8; 16]]) -> Option<[u8; 16]> {
    let index = scope.index.read().unwrap_or_else(PoisonError::into_inner);
    scope.overlay.holder(&index, benefits)
}

const fn standing(row: &ApplicationRow) -> Standing {
    Standing { business: row.business, state: row.state, version: row.version }
}

fn id_of(application: &pb::Application) -> Result<uuid::Uuid, StoreError> {
    uuid::Uuid::try_parse(&application.id).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// A delivery of the application itself that ends without arriving fails the application.
fn failed(lease: &Lease) -> Option<EventType> {
    (lease.kind == DeliveryKind::Application).then_some(EventType::DeliveryFailed)
}

fn delivery_entry(lease: &Lease, what: &str, now: i64) -> Entry {
    Entry {
        kind: Kind::Delivery,
        time: now,
        party: lease.party.clone(),
        system: String::new(),
        application: lease.application.id.clone(),
        sequence: lease.sequence,
        what: what.to_owned(),
        state: lease.kind.word().to_owned(),
        content: hex::encode(lease.message),
    }
}
