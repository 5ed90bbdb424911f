//! What each write does within the transaction.

use std::sync::PoisonError;

use rusqlite::params;

use crate::{
    audit::Leaf,
    model::{
        lifecycle::Step,
        pb::{self, EventType, State},
    },
    store::{
        StoreError,
        advance::{self, By},
        holding, likeness,
        record::{ApplicationRow, NewDelivery, NewEvent, Prepared, seal},
        rows::{Accepted, Applied, Change, IdempotencyKey, Recalled, Refusal},
        sqlite::{clocks, holds, outbox, read, writer::Scope},
        take,
    },
};

pub(super) fn accept(scope: &mut Scope<'_>, prepared: Prepared) -> Result<Accepted, StoreError> {
    let Prepared { new, body, salt, leaf: first_leaf } = &prepared;
    match recall(scope, &new.key)? {
        Some(Recalled::Answer(first)) => return Ok(Accepted::Replayed(first)),
        Some(Recalled::KeyReused) => return Ok(Accepted::KeyReused),
        None => {}
    }
    for benefit in &new.benefits {
        if let Some(first) = holds::holder(scope, benefit)? {
            return holds::duplicate(scope, first, new);
        }
    }
    let like = holds::like(scope, new)?;
    let ids = like.iter().map(|earlier| earlier.id);
    let asked = likeness::asked(new, ids, scope.vault)?;
    let (kept, answer) = match &asked {
        Some(asked) => (Some(&asked.kept), Some(asked.answer.clone())),
        None => (None, None),
    };
    let id = new.id.as_bytes();
    let application = &new.application;
    let (submitter, handler) = (&application.submitting_party, &application.handling_party);
    let wake = prepared.wake();
    let row = scope
        .transaction
        .prepare_cached(
            "INSERT INTO applications (id, business, state, version, submitter, handler, \
             acceptance_number, home_division, home_name, open, benefits, salt, trace, created, \
             updated, body, wake, kept, alike) \
             VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10, ?11, ?12, ?12, ?13, ?14, \
             ?15, ?16)",
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
            kept,
            new.likeness.as_ref().map(|likeness| likeness.own),
        ])?;
    let received = (EventType::ApplicationReceived, application.state());
    event(scope, row, 1, received, submitter, new.now, None)?;
    if let Some(receiver) = prepared.receiver(scope.terms) {
        outbox::add(scope, &NewDelivery::first(row, new, receiver))?;
    }
    idempotency(scope, &new.key, row, new.now, answer)?;
    leaf(scope, first_leaf)?;
    scope.overlay.open(&new.benefits, row);
    holds::note(scope, like, new.id)?;
    Ok(Accepted::New(asked.map_or(prepared.new.application, |asked| asked.application)))
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
        clocks::strike_one(scope, &mut row, change.now)?;
    }
    let step = match advance::step(row.standing(), &change.event, change.expected_version) {
        Ok(step) => step,
        Err(refusal) => return Ok(Applied::Refused(refusal)),
    };
    let touched = holding::touched(&row, step, &change.event, scope.vault)?;
    let holders = holds::holders(scope, &touched)?;
    let means = (scope.vault, scope.terms);
    if let Some(refusal) = holding::refusal(&row, &change.event, &holders, means)? {
        return Ok(Applied::Refused(refusal));
    }
    let by = By { party: &change.party, system: &change.system, time: change.now };
    let application = take(scope, &mut row, Cause { step, event: &change.event, by })?;
    let answer = seal(scope.vault, &row.id, "answer", &application)?;
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
    // Rows are in the order of time: only the table's beginning is looked at.
    let mut query = scope.transaction.prepare_cached(
        "DELETE FROM idempotency WHERE seq IN (SELECT seq FROM \
         (SELECT seq, created FROM idempotency ORDER BY seq LIMIT 1000) WHERE created < ?1) \
         RETURNING key, seq",
    )?;
    let keys = query.query_map([before], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let keys = keys.collect::<rusqlite::Result<Vec<([u8; 32], i64)>>>()?;
    keys.iter().for_each(|(key, place)| scope.overlay.forget_key(key, *place));
    Ok(keys.len())
}

/// What brings an application forward.
pub(super) struct Cause<'a> {
    pub(super) step: Step,
    pub(super) event: &'a pb::ApplicationEvent,
    pub(super) by: By<'a>,
}

/// Takes the step and writes what comes of it; returns the application.
pub(super) fn take(
    scope: &mut Scope<'_>,
    row: &mut ApplicationRow,
    cause: Cause<'_>,
) -> Result<pb::Application, StoreError> {
    let means = (scope.vault, scope.terms);
    let taken = take::take(row, cause.step, cause.event, cause.by, means)?;
    if taken.revised {
        scope
            .transaction
            .prepare_cached("UPDATE applications SET revised = ?2 WHERE seq = ?1")?
            .execute(params![row.seq, row.revised])?;
    }
    if taken.kept {
        clocks::write(scope, row)?;
    }
    scope
        .transaction
        .prepare_cached(
            "UPDATE applications SET state = ?2, version = ?3, updated = ?4 WHERE seq = ?1",
        )?
        .execute(params![row.seq, row.state as i32, row.version, row.updated])?;
    let NewEvent { sequence, r#type, state, party, time, detail, .. } = taken.event;
    event(scope, row.seq, sequence, (r#type, state), &party, time, detail)?;
    leaf(scope, &taken.leaf)?;
    for delivery in &taken.deliveries {
        outbox::add(scope, delivery)?;
    }
    if let Some(holding) = &taken.holding {
        holds::settle(scope, row, holding, time)?;
    }
    Ok(taken.application)
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
    let places = {
        let index = scope.index.read().unwrap_or_else(PoisonError::into_inner);
        scope.overlay.key(&index, &key.key)
    };
    read::recall(scope.transaction, scope.vault, &places, key)
}
