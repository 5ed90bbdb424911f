//! One person, one benefit: who holds a benefit, because of an open application or because it is
//! paid, and what becomes of it.

use std::sync::PoisonError;

use rusqlite::{OptionalExtension as _, params};

use crate::{
    business,
    model::{
        lifecycle::{self, Step},
        pb::{self, EventType},
    },
    store::{
        StoreError,
        advance::{self, By, Hold, Open},
        rows::Accepted,
        sqlite::{
            index::split,
            read::{self, ApplicationRow},
            write::take,
            writer::Scope,
        },
    },
};

/// Who holds the benefits after the step.
pub(super) fn settle(
    scope: &mut Scope<'_>,
    row: &ApplicationRow,
    step: Step,
    content: &pb::Application,
) -> Result<(), StoreError> {
    let hold = advance::hold(step, content, row.open);
    let paid = match hold {
        Hold::AsIs => return Ok(()),
        Hold::Release => {
            scope.overlay.close(&row.benefits, row.seq);
            set_open(scope, row.seq, Open::Closed)?;
            return Ok(());
        }
        Hold::Pay | Hold::Take(_) => business::held(content),
    };
    let paid: Vec<[u8; 16]> = paid.iter().map(|text| scope.vault.digest(text)).collect();
    if let Hold::Take(_) = hold {
        for benefit in &paid {
            if let Some((before, _)) = holder(scope, &[*benefit])? {
                set_open(scope, before, Open::Closed)?;
                scope.overlay.close(benefit, before);
            }
        }
    }
    scope.overlay.close(&row.benefits, row.seq);
    if hold == Hold::Take(false) {
        set_open(scope, row.seq, Open::Closed)?;
    } else {
        scope.overlay.open(&paid, row.seq);
        scope
            .transaction
            .prepare_cached("UPDATE applications SET benefits = ?2 WHERE seq = ?1")?
            .execute(params![row.seq, paid.concat()])?;
        set_open(scope, row.seq, Open::Paid)?;
    }
    Ok(())
}

fn set_open(scope: &Scope<'_>, seq: i64, open: Open) -> Result<(), StoreError> {
    scope
        .transaction
        .prepare_cached("UPDATE applications SET open = ?2 WHERE seq = ?1")?
        .execute(params![seq, open as i64])?;
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
    let row = row.ok_or_else(|| StoreError::Corrupt("a benefit held by no application".into()))?;
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
        let by = By { party: "gateway", system: "", time: now };
        take(scope, &row, lifecycle::notice(row.state, refused), &event, by)?;
    }
    Ok(Accepted::Duplicate { first: id, paid })
}

/// Who holds one of the benefits: row and id.
pub(super) fn holder(
    scope: &Scope<'_>,
    benefits: &[[u8; 16]],
) -> Result<Option<(i64, [u8; 16])>, StoreError> {
    for benefit in benefits {
        let candidates = {
            let index = scope.index.read().unwrap_or_else(PoisonError::into_inner);
            scope.overlay.holders(&index, benefit)
        };
        for seq in candidates {
            let mut query = scope.transaction.prepare_cached(
                "SELECT id, benefits FROM applications WHERE seq = ?1 AND open > 0",
            )?;
            let row = query.query_row([seq], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)));
            if let Some((id, held)) = row.optional()?
                && split(&held).any(|held| held == *benefit)
            {
                return Ok(Some((seq, id)));
            }
        }
    }
    Ok(None)
}
