//! One person, one benefit: who holds a benefit, because of an open application or because it is
//! paid, and what becomes of it.

use std::{collections::BTreeSet, sync::PoisonError};

use rusqlite::params;

use crate::{
    model::{
        lifecycle,
        pb::{self, EventType},
    },
    store::{
        StoreError,
        advance::{By, Open},
        holding::{self, Benefit, Holding},
        record::ApplicationRow,
        rows::{Accepted, NewApplication},
        sqlite::{
            read,
            write::{Cause, take},
            writer::Scope,
        },
    },
};

/// The applications that hold one of the benefits.
pub(super) fn holders(
    scope: &Scope<'_>,
    benefits: &[Benefit],
) -> Result<Vec<ApplicationRow>, StoreError> {
    let ids: BTreeSet<_> = benefits.iter().filter_map(|one| holder(scope, &[*one])).collect();
    let rows = ids.into_iter().map(|id| {
        let row = read::by_id(scope.transaction, uuid::Uuid::from_bytes(id))?;
        row.ok_or_else(|| StoreError::Corrupt("a benefit held by no application".into()))
    });
    rows.collect()
}

/// Writes who holds the benefits after a step, and what the rows themselves say of it.
pub(super) fn settle(
    scope: &mut Scope<'_>,
    row: &ApplicationRow,
    holding: &Holding,
    now: i64,
) -> Result<(), StoreError> {
    if let Some(taking) = &holding.taken {
        for mut before in holders(scope, taking.benefits())? {
            let (gone, notice) = holding::lose(&mut before, taking);
            scope.overlay.close(&gone);
            write(scope, &before)?;
            if let Some((step, event)) = notice {
                take(scope, &mut before, Cause { step, event: &event, by: By::gateway(now) })?;
            }
        }
    }
    scope.overlay.close(&holding.freed);
    scope.overlay.open(&holding.held, row.id);
    write(scope, row)
}

fn write(scope: &Scope<'_>, row: &ApplicationRow) -> Result<(), StoreError> {
    scope
        .transaction
        .prepare_cached("UPDATE applications SET open = ?2, benefits = ?3 WHERE seq = ?1")?
        .execute(params![row.seq, row.open as i64, row.benefits])?;
    Ok(())
}

/// A second application is refused, and both sides of the first are told so, once: that somebody
/// asked again, not who or where.
pub(super) fn duplicate(
    scope: &mut Scope<'_>,
    first: [u8; 16],
    new: &NewApplication,
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
        take(scope, &mut row, Cause { step, event: &event, by: By::gateway(new.now) })?;
    }
    let held = new.benefits.iter().copied().filter(|one| holder(scope, &[*one]).is_some());
    Ok(Accepted::Duplicate { first: id, paid, held: held.collect() })
}

/// Who holds one of the benefits.
pub(super) fn holder(scope: &Scope<'_>, benefits: &[Benefit]) -> Option<[u8; 16]> {
    let index = scope.index.read().unwrap_or_else(PoisonError::into_inner);
    scope.overlay.holder(&index, benefits)
}
