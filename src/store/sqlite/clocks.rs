//! Statutory clocks within the transaction: a clock whose hour has come causes an event of its own.

use rusqlite::params;

use crate::store::{
    StoreError,
    advance::{self, By},
    record::ApplicationRow,
    sqlite::{
        read,
        write::{Cause, take},
        writer::Scope,
    },
    take::{SAYINGS, strike as say, tell},
};

/// Writes what stands beside the content: the clocks, and when they next have something to say.
pub(super) fn write(scope: &Scope<'_>, row: &ApplicationRow) -> Result<(), StoreError> {
    scope
        .transaction
        .prepare_cached("UPDATE applications SET kept = ?2, wake = ?3 WHERE seq = ?1")?
        .execute(params![row.seq, row.kept, row.wake])?;
    Ok(())
}

/// Lets every clock that is due at `now` speak, at most `limit` applications; returns how many.
pub(super) fn strike(scope: &mut Scope<'_>, now: i64, limit: usize) -> Result<usize, StoreError> {
    let due = {
        let mut query = scope.transaction.prepare_cached(
            "SELECT seq FROM applications WHERE wake <= ?1 ORDER BY wake, seq LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.query_map([now, limit], |row| row.get::<_, i64>(0))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?
    };
    for seq in &due {
        let mut row = read::by_seq(scope.transaction, *seq)?;
        strike_one(scope, &mut row, now)?;
    }
    Ok(due.len())
}

/// Lets the clocks of one application speak.
pub(super) fn strike_one(
    scope: &mut Scope<'_>,
    row: &mut ApplicationRow,
    now: i64,
) -> Result<(), StoreError> {
    for _ in 0..SAYINGS {
        let said = say(row, now, (scope.vault, scope.terms))?;
        write(scope, row)?;
        let Some(event) = said else { return Ok(()) };
        tell(row, &event);
        if let Ok(step) = advance::step(row.standing(), &event, 0) {
            take(scope, row, Cause { step, event: &event, by: By::gateway(now) })?;
        }
    }
    Ok(())
}
