//! Retention on PostgreSQL: as in the embedded store, what is over long enough loses its content;
//! row, events and leaves stay, and a leaf says so. Gateways share the work: none waits for rows
//! that another one has locked.

use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    audit::Leaf,
    model::{clock, pb::State},
    store::{
        StoreError, advance,
        postgres::{
            connection::{Connection, Trouble},
            flush,
            writes::Writes,
        },
        rows::Expired,
    },
};

/// Purges up to `limit` applications that ended before `before`; returns how many. After an error
/// the connection may be within a transaction.
pub(super) async fn purge(
    connection: &mut Connection,
    before: i64,
    limit: usize,
) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let steps = [("BEGIN", vec![]), (DUE, vec![Box::new(before) as _, Box::new(limit) as _])];
    let answers = connection.script(&steps).await?;
    let due = answers.last().map(Vec::as_slice).unwrap_or_default();
    let now = clock::now_micros();
    let seqs = due.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let leaves = due.iter().map(|row| leaf(row, now)).collect::<Result<Vec<_>, _>>()?;
    let writes = Writes { leaves, ..Writes::default() };
    connection
        .script(&[
            (ERASE, vec![Box::new(seqs.clone()) as _, Box::new(now) as _]),
            (ERASE_EVENTS, vec![Box::new(seqs) as _]),
            (flush::LOG, flush::log(&writes)),
            ("COMMIT", vec![]),
        ])
        .await?;
    Ok(writes.leaves.len())
}

fn leaf(row: &Row, now: i64) -> Result<Leaf, Trouble> {
    let state = State::try_from(row.try_get::<_, i32>(3)?).unwrap_or_default();
    let id = row.try_get::<_, Uuid>(1)?;
    Ok(advance::purge_entry(id.as_bytes(), row.try_get(2)?, state, now).leaf())
}

/// What [`purge`] would purge in all, and what it would hold back.
pub(super) async fn expired(
    connection: &mut Connection,
    before: i64,
) -> Result<Expired, StoreError> {
    let rows = connection.query(COUNT, &[&before]).await?;
    let row = rows.first().ok_or_else(|| StoreError::Corrupt("a count without a row".into()))?;
    let (ended, due): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Expired { due, held_back: ended - due })
}

/// Ended before `$1` and holding nothing: neither open nor paid.
macro_rules! ended {
    () => {
        "FROM applications a WHERE a.open = 0 AND a.purged IS NULL AND a.updated < $1 "
    };
}

/// Nothing of it is still to be sent, no clock of it still runs, and no idempotency key that would
/// have to be answered from it is kept.
macro_rules! done {
    () => {
        "a.wake IS NULL AND NOT EXISTS (SELECT 1 FROM deliveries d \
         WHERE d.application = a.seq AND d.state <> 2 AND d.state <> 5) \
         AND a.updated < coalesce((SELECT min(created) FROM idempotency), $1) "
    };
}

const DUE: &str = concat!(
    "SELECT a.seq, a.id, a.version, a.state ",
    ended!(),
    "AND ",
    done!(),
    "ORDER BY a.updated LIMIT $2 FOR UPDATE OF a SKIP LOCKED"
);
const COUNT: &str = concat!("SELECT count(*), count(*) FILTER (WHERE ", done!(), ") ", ended!());
// Without the salt the commitments in the log say nothing any more.
const ERASE: &str = "UPDATE applications SET body = '', revised = NULL, kept = NULL, salt = '', \
     benefits = '', alike = NULL, acceptance_number = '', home_name = '', purged = $2 WHERE seq = ANY($1)";
const ERASE_EVENTS: &str =
    "UPDATE events SET detail = NULL WHERE application = ANY($1) AND detail IS NOT NULL";
