//! Reads the embedded store for [`Checker`], within one snapshot and a row at a time.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, Row, Rows};

use crate::store::{
    StoreError,
    copies::Tell,
    proof::{ApplicationRow, Checker, DeliveryRow, EventRow, LeafRow, Report},
    sqlite::ready::{MIGRATIONS, fits, schema},
    vault::Vault,
};

/// How long a lock of the database is waited for.
const BUSY: Duration = Duration::from_secs(5);
/// How often progress is told, in rows.
const STRIDE: i64 = 4096;

/// Opens a store that nothing is written to: a running gateway's, or a copy.
///
/// # Errors
/// There is none, it is of another schema, or the key is not its key.
pub(in crate::store) fn open(path: &Path, vault: &Vault) -> Result<Connection, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    if !path.exists() {
        return Err(told(&"does not exist"));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| told(&error))?;
    connection.busy_timeout(BUSY).map_err(|error| told(&error))?;
    let version = schema(&connection).map_err(|error| told(&error))?;
    if version != MIGRATIONS.len() {
        let needed = MIGRATIONS.len();
        return Err(told(&format!(
            "has schema {version}, this Tongban reads {needed}; start the gateway on it once, or \
             use the Tongban that wrote it"
        )));
    }
    fits(&connection, vault).map_err(|error| told(&error))?;
    Ok(connection)
}

/// Holds the store against its log.
///
/// # Errors
/// It cannot be read.
pub(in crate::store) fn prove(
    connection: &Connection,
    vault: &Vault,
    tell: &mut Tell<'_>,
) -> Result<Report, StoreError> {
    let snapshot = connection.unchecked_transaction()?;
    let mut checker = Checker::new(vault);
    let sound: String = snapshot.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        checker.wrong(format_args!("the file is damaged: {sound}"));
    }
    deliveries(&snapshot, &mut checker)?;
    leaves(&snapshot, &mut checker, tell)?;
    applications(&snapshot, &mut checker)?;
    Ok(checker.finish())
}

fn deliveries(connection: &Connection, checker: &mut Checker<'_>) -> Result<(), StoreError> {
    let mut query =
        connection.prepare("SELECT seq, message, state FROM deliveries ORDER BY seq")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, message, state) = (row.get(0)?, row.get(1)?, row.get(2)?);
        checker.delivery(&DeliveryRow { seq, message, state });
    }
    Ok(())
}

fn leaves(
    connection: &Connection,
    checker: &mut Checker<'_>,
    tell: &mut Tell<'_>,
) -> Result<(), StoreError> {
    let last = "SELECT coalesce(max(position) + 1, 0) FROM leaves";
    let all: i64 = connection.query_row(last, [], |row| row.get(0))?;
    let mut leaves = connection.prepare("SELECT position, hash, entry FROM leaves ORDER BY 1")?;
    let mut events = connection.prepare(
        "SELECT a.id, e.sequence, e.type, e.state, e.party, e.time, e.detail, \
         CASE WHEN e.sequence = 1 AND a.purged IS NULL THEN a.body END, a.salt, \
         a.purged IS NOT NULL \
         FROM events e CROSS JOIN applications a ON a.seq = e.application ORDER BY e.seq",
    )?;
    let (mut leaves, mut events) = (leaves.query([])?, events.query([])?);
    while let Some(row) = leaves.next()? {
        let (position, hash, entry) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let mut wanted = checker.leaf(&LeafRow { position, hash, entry });
        while wanted {
            wanted = checker.event(event(&mut events)?);
        }
        if position % STRIDE == 0 {
            tell("verifying", position.unsigned_abs(), all.unsigned_abs());
        }
    }
    while let Some(left) = event(&mut events)? {
        checker.event(Some(left));
    }
    Ok(())
}

fn event(rows: &mut Rows<'_>) -> Result<Option<EventRow>, StoreError> {
    let read = |row: &Row<'_>| -> rusqlite::Result<EventRow> {
        Ok(EventRow {
            application: row.get(0)?,
            sequence: row.get(1)?,
            r#type: row.get(2)?,
            state: row.get(3)?,
            party: row.get(4)?,
            time: row.get(5)?,
            detail: row.get(6)?,
            body: row.get(7)?,
            salt: row.get(8)?,
            purged: row.get(9)?,
        })
    };
    Ok(rows.next()?.map(read).transpose()?)
}

fn applications(connection: &Connection, checker: &mut Checker<'_>) -> Result<(), StoreError> {
    let mut query = connection.prepare(
        "SELECT a.id, a.version, a.state, a.purged IS NOT NULL, \
         (SELECT count(DISTINCT sequence) FROM events e WHERE e.application = a.seq), \
         e.sequence, e.state FROM applications a \
         LEFT JOIN events e ON e.application = a.seq AND e.sequence = \
           (SELECT max(sequence) FROM events f WHERE f.application = a.seq) ORDER BY a.seq",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        checker.application(&ApplicationRow {
            id: row.get(0)?,
            version: row.get(1)?,
            state: row.get(2)?,
            purged: row.get(3)?,
            events: row.get(4)?,
            last: row.get::<_, Option<i64>>(5)?.unwrap_or(0),
            last_state: row.get::<_, Option<i32>>(6)?.unwrap_or(0),
        });
    }
    Ok(())
}
