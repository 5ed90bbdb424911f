//! One person, one benefit: who holds a benefit, because of an open application or because it is
//! paid, and what becomes of it.

use std::{collections::BTreeSet, sync::PoisonError};

use rusqlite::{OptionalExtension as _, params};

use crate::{
    model::{
        lifecycle,
        pb::{self, EventType},
    },
    store::{
        StoreError,
        advance::{By, Open},
        holding::{self, Benefit, Holding},
        likeness,
        record::ApplicationRow,
        rows::{Accepted, NewApplication},
        sqlite::{
            clocks, read,
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
    let mut places = BTreeSet::new();
    for benefit in benefits {
        places.extend(holder(scope, benefit)?);
    }
    places.into_iter().map(|place| read::by_seq(scope.transaction, place)).collect()
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
            scope.overlay.close(&[&gone, taking.benefits()].concat(), before.seq);
            write(scope, &before)?;
            if let Some((step, event)) = notice {
                take(scope, &mut before, Cause { step, event: &event, by: By::gateway(now) })?;
            }
        }
    }
    scope.overlay.close(&holding.freed, row.seq);
    scope.overlay.open(&holding.held, row.seq);
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
    first: i64,
    new: &NewApplication,
) -> Result<Accepted, StoreError> {
    let mut row = read::by_seq(scope.transaction, first)?;
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
    let mut held = Vec::new();
    for benefit in &new.benefits {
        held.extend(holder(scope, benefit)?.map(|_| *benefit));
    }
    Ok(Accepted::Duplicate { first: uuid::Uuid::from_bytes(row.id), paid, held })
}

/// The open and paid applications that a new one is like, the oldest first.
pub(super) fn like(
    scope: &Scope<'_>,
    new: &NewApplication,
) -> Result<Vec<ApplicationRow>, StoreError> {
    let Some(own) = &new.likeness else { return Ok(Vec::new()) };
    let mut places = BTreeSet::new();
    for sought in &own.sought {
        let mut query = scope.transaction.prepare_cached(
            "SELECT seq, benefits FROM applications \
             WHERE alike = ?1 AND alike IS NOT NULL AND open > 0 ORDER BY seq",
        )?;
        let mut rows = query.query([sought])?;
        let mut found = 0;
        while found < likeness::MOST
            && let Some(row) = rows.next()?
        {
            let benefits: Vec<u8> = row.get(1)?;
            if !likeness::is_same(own, &benefits) {
                places.insert(row.get(0)?);
                found += 1;
            }
        }
    }
    let places = places.into_iter().take(likeness::MOST);
    places.map(|place| read::by_seq(scope.transaction, place)).collect()
}

/// Asks the earlier applications about the new one.
pub(super) fn note(
    scope: &Scope<'_>,
    like: Vec<ApplicationRow>,
    new: uuid::Uuid,
) -> Result<(), StoreError> {
    for mut earlier in like {
        if likeness::note(&mut earlier, new, scope.vault)? {
            clocks::write(scope, &earlier)?;
        }
    }
    Ok(())
}

/// The row of the application that holds a benefit, if one does.
pub(super) fn holder(scope: &Scope<'_>, benefit: &Benefit) -> Result<Option<i64>, StoreError> {
    let candidates = {
        let index = scope.index.read().unwrap_or_else(PoisonError::into_inner);
        scope.overlay.holders(&index, benefit)
    };
    for place in candidates {
        let mut query = scope
            .transaction
            .prepare_cached("SELECT benefits FROM applications WHERE seq = ?1 AND open > 0")?;
        let held: Option<Vec<u8>> = query.query_row([place], |row| row.get(0)).optional()?;
        if held.is_some_and(|held| holding::split(&held).any(|held| held == *benefit)) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}
