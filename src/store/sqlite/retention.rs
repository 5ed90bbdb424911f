//! Retention: what is over long enough loses its content; the row, its events and its leaves stay,
//! and a leaf says so. PIPL art. 19 (shortest time necessary), 47 (erasure).

use rusqlite::{Connection, params};

use crate::{
    model::{clock, pb::State},
    store::{
        StoreError, advance,
        rows::Expired,
        sqlite::{write::leaf, writer::Scope},
    },
};

/// Ended before `?1` and holding nothing: neither open nor paid.
const ENDED: &str = "FROM applications a WHERE a.open = 0 AND a.purged IS NULL AND a.updated < ?1";
/// Nothing of it is still to be sent, no clock of it still runs, and no idempotency key that would
/// have to be answered from it is kept: keys are forgotten in the order of their time.
const DONE: &str = "AND a.wake IS NULL AND NOT EXISTS ( \
     SELECT 1 FROM deliveries d WHERE d.application = a.seq AND d.state IN (0, 1, 3)) \
     AND a.updated < coalesce((SELECT created FROM idempotency ORDER BY seq LIMIT 1), ?1)";

/// Purges up to `limit` applications that ended before `before`; returns how many.
pub(super) fn purge(scope: &mut Scope<'_>, before: i64, limit: usize) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let due = {
        let sql = format!(
            "SELECT a.seq, a.id, a.version, a.state {ENDED} {DONE} \
                           ORDER BY a.updated LIMIT ?2"
        );
        let mut query = scope.transaction.prepare_cached(&sql)?;
        let rows = query.query_map([before, limit], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        rows.collect::<rusqlite::Result<Vec<(i64, [u8; 16], i64, i32)>>>()?
    };
    let now = clock::now_micros();
    for (seq, id, version, state) in &due {
        erase(scope, *seq, now)?;
        let state = State::try_from(*state).unwrap_or_default();
        leaf(scope, &advance::purge_entry(id, *version, state, now).leaf())?;
    }
    Ok(due.len())
}

fn erase(scope: &Scope<'_>, seq: i64, now: i64) -> Result<(), StoreError> {
    // Without the salt the commitments in the log say nothing any more.
    let erasures = [
        "UPDATE applications SET body = x'', revised = NULL, kept = NULL, salt = x'', \
         benefits = x'', alike = NULL, acceptance_number = '', home_name = '', purged = ?2 WHERE seq = ?1",
        "UPDATE events SET detail = NULL WHERE application = ?1 AND detail IS NOT NULL AND ?2 > 0",
    ];
    for sql in erasures {
        scope.transaction.prepare_cached(sql)?.execute(params![seq, now])?;
    }
    Ok(())
}

/// What [`purge`] would purge in all, and what it would hold back.
pub(super) fn expired(connection: &Connection, before: i64) -> Result<Expired, StoreError> {
    let count = |sql: &str| connection.prepare(sql)?.query_row([before], |row| row.get(0));
    let ended: i64 = count(&format!("SELECT count(*) {ENDED}"))?;
    let due: i64 = count(&format!("SELECT count(*) {ENDED} {DONE}"))?;
    Ok(Expired { due, held_back: ended - due })
}
