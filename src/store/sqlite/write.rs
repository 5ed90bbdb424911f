//! What each write does within the transaction.

use std::sync::PoisonError;

use rusqlite::params;

use crate::{
    audit::Leaf,
    business::{self, clock},
    model::{
        lifecycle::Step,
        pb::{self, EventType, State},
    },
    store::{
        StoreError,
        advance::{self, By, Standing},
        rows::{Accepted, Applied, Change, DeliveryKind, IdempotencyKey, Recalled, Refusal},
        sqlite::{
            clocks, holds, outbox,
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
    if let Some(first) = holds::holder(scope, &new.benefits) {
        return holds::duplicate(scope, first, new.now);
    }
    let id = new.id.as_bytes();
    let application = &new.application;
    let (submitter, handler) = (&application.submitting_party, &application.handling_party);
    let limits = business::limits(application.business());
    let wake = clock::wake(limits, &application.deadlines, application.state());
    let row = scope
        .transaction
        .prepare_cached(
            "INSERT INTO applications (id, business, state, version, submitter, handler, \
             acceptance_number, home_division, home_name, open, benefits, salt, trace, created, \
             updated, body, wake) \
             VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10, ?11, ?12, ?12, ?13, ?14)",
        )?
        .insert(params![
            id,
            application.business,
            application.state,
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
            wake,
        ])?;
    let received = (EventType::ApplicationReceived, application.state());
    event(scope, row, 1, received, submitter, new.now, None)?;
    if scope.terms.takers.contains(handler) && application.state() == State::Received {
        outbox::add(scope, (row, id), handler, DeliveryKind::Application, 1, new.now)?;
    }
    idempotency(scope, &new.key, row, new.now, None)?;
    leaf(scope, &first_leaf)?;
    scope.overlay.open(&new.benefits, *id);
    Ok(Accepted::New(new.application))
}

pub(super) fn apply(scope: &mut Scope<'_>, change: &Change) -> Result<Applied, StoreError> {
    match recall(scope, &change.key)? {
        Some(Recalled::Answer(first)) => return Ok(Applied::Replayed(first)),
        Some(Recalled::KeyReused) => return Ok(Applied::KeyReused),
        None => {}
    }
    let Some(mut row) = read::by_id(scope.transaction, change.id)? else {
        return Ok(Applied::Refused(Refusal::NotFound));
    };
    // A limit that has run out speaks first: what comes after midnight is late, whether or not
    // the clocks have been looked at since.
    if row.wake.is_some_and(|wake| wake <= change.now) {
        clocks::strike_one(scope, row.seq, change.now)?;
        row = read::by_seq(scope.transaction, row.seq)?;
    }
    let step = match advance::step(standing(&row), &change.event, change.expected_version) {
        Ok(step) => step,
        Err(refusal) => return Ok(Applied::Refused(refusal)),
    };
    let by = By { party: &change.party, system: &change.system, time: change.now };
    let application = take(scope, &row, step, &change.event, by)?;
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
pub(super) fn take(
    scope: &mut Scope<'_>,
    row: &ApplicationRow,
    step: Step,
    event_of: &pb::ApplicationEvent,
    by: By<'_>,
) -> Result<pb::Application, StoreError> {
    let version = row.version + 1;
    let mut content = row.content(scope.vault)?;
    if let Some(revised) = advance::revise(&content, event_of, by.time) {
        content = revised;
        let sealed = scope.seal(&row.id, "revised", &content)?;
        scope
            .transaction
            .prepare_cached("UPDATE applications SET revised = ?2 WHERE seq = ?1")?
            .execute(params![row.seq, sealed])?;
    }
    clocks::keep(scope, row, &mut content, step, by.time)?;
    scope
        .transaction
        .prepare_cached(
            "UPDATE applications SET state = ?2, version = ?3, updated = ?4 WHERE seq = ?1",
        )?
        .execute(params![row.seq, step.to as i32, version, by.time])?;
    holds::settle(scope, row, step, &content)?;
    let detail = advance::detail(event_of);
    let sealed = match detail.is_empty() {
        true => None,
        false => Some(scope.vault.seal(&row.id, "detail", &detail)?),
    };
    event(scope, row.seq, version, (step.event, step.to), by.party, by.time, sealed)?;
    let id = uuid::Uuid::from_bytes(row.id).to_string();
    let entry = advance::event_entry(&id, version, step.event, step.to, by, &row.salt, &detail);
    leaf(scope, &entry.leaf())?;
    let sides = (row.submitter.as_str(), row.handler.as_str());
    for (kind, party) in advance::deliveries(step.effect, scope.terms, sides, by.party) {
        outbox::add(scope, (row.seq, &row.id), party, kind, version, by.time)?;
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
    scope.news = true;
    scope.last_event = scope
        .transaction
        .prepare_cached(
            "INSERT INTO events (application, sequence, type, state, party, time, detail) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .insert(params![row, sequence, event as i32, state as i32, party, time, detail])?;
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

pub(super) const fn standing(row: &ApplicationRow) -> Standing {
    Standing { business: row.business, state: row.state, version: row.version }
}
