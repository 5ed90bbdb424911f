//! One person, one benefit: who holds a benefit, because of an open application or because it is
//! paid, and what becomes of it.

use std::sync::PoisonError;

use rusqlite::params;

use crate::{
    model::{
        lifecycle,
        pb::{self, EventType},
    },
    store::{
        StoreError,
        advance::{By, Open},
        record::ApplicationRow,
        rows::Accepted,
        sqlite::{
            read,
            write::{Cause, take},
            writer::Scope,
        },
        take::Holding,
    },
};

/// Writes who holds the benefits after a step, and what the row itself says of it.
pub(super) fn settle(
    scope: &mut Scope<'_>,
    row: &ApplicationRow,
    holding: &Holding,
) -> Result<(), StoreError> {
    for benefit in &holding.taken_over {
        if let Some(before) = holder(scope, &[*benefit]) {
            set_open(scope, &before, Open::Closed)?;
        }
    }
    scope.overlay.close(&holding.freed);
    scope.overlay.open(&holding.held, row.id);
    scope
        .transaction
        .prepare_cached("UPDATE applications SET open = ?2, benefits = ?3 WHERE seq = ?1")?
        .execute(params![row.seq, row.open as i64, row.benefits])?;
    Ok(())
}

fn set_open(scope: &Scope<'_>, id: &[u8; 16], open: Open) -> Result<(), StoreError> {
    scope
        .transaction
        .prepare_cached("UPDATE applications SET open = ?2 WHERE id = ?1")?
        .execute(params![id, open as i64])?;
    Ok(())
}

/// A second application is refused, and both sides of the first are told so, once: that somebody
/// asked again, not who or where.
pub(super) fn duplicate(
    scope: &mut Scope<'_>,
    first: [u8; 16],
    now: i64,
) -> Result<Accepted, StoreError> {
    let id = uuid::Uuid::from_bytes(first);
    let row = read::by_id(scope.transaction, id)?;
    let mut row =
        row.ok_or_else(|| StoreError::Corrupt("a benefit held by no application".into()))?;
    let refused = EventType::DuplicateRefused;
    let told: bool = scope
        .transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM events WHERE application = ?1 AND type = ?2)",
        )?
        .query_row(params![row.seq, refused as i32], |row| row.get(0))?;
    let paid = row.open == Open::Paid;
    if !told {
        let event = pb::ApplicationEvent { r#type: refused as i32, ..Default::default() };
        let step = lifecycle::notice(row.state, refused);
        take(scope, &mut row, Cause { step, event: &event, by: By::gateway(now) })?;
    }
    Ok(Accepted::Duplicate { first: id, paid })
}

/// Who holds one of the benefits.
pub(super) fn holder(scope: &Scope<'_>, benefits: &[[u8; 16]]) -> Option<[u8; 16]> {
    let index = scope.index.read().unwrap_or_else(PoisonError::into_inner);
    scope.overlay.holder(&index, benefits)
}
