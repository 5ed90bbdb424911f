//! Makes an embedded store ready: the lock that only one gateway holds, the settings of a connection,
//! its tables brought up to this version, the key tried, and what a dead holder left put right.

use std::{
    fs::{File, TryLockError},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    model::{clock, pb::Business},
    store::{
        StoreError, likeness,
        sqlite::read::{APPLICATION, row},
        vault::Vault,
    },
};

/// Waits a little for a gateway that is just stopping.
pub(super) fn hold(path: &Path) -> Result<File, String> {
    let name = path.display();
    let file = File::create(path).map_err(|error| format!("{name}: {error}"))?;
    let patience = Instant::now() + Duration::from_secs(5);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(format!("{name}: {error}")),
            Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                thread::sleep(Duration::from_millis(50));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(format!("another gateway holds this store ({name}); stop it first"));
            }
        }
    }
}

/// Under another key nothing could be read, and a person could apply twice unnoticed, since the
/// digests would differ too: the last application must open.
pub(super) fn fits(connection: &Connection, vault: &Vault) -> Result<(), String> {
    let last = connection
        .query_row(
            "SELECT id, body FROM applications WHERE purged IS NULL ORDER BY seq DESC LIMIT 1",
            [],
            |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, Vec<u8>>(1)?)),
        )
        .optional()
        .map_err(|error| error.to_string())?;
    let Some((id, body)) = last else { return Ok(()) };
    let other = "store.key_file is not the key that this store was written with; restore the key";
    vault.unseal(&id, "body", &body).map(drop).map_err(|_| other.to_owned())
}

/// Who held a lease is gone, since we hold the lock: what it sent may have arrived.
pub(super) fn end_leases(connection: &Connection) -> rusqlite::Result<usize> {
    connection.execute(
        "UPDATE deliveries SET state = 0, unknown = 1, due = ?1 WHERE state = 1",
        [clock::now_micros()],
    )
}

pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    // What is purged must not lie about in free pages.
    connection.pragma_update(None, "secure_delete", "ON")?;
    // Checkpoint from the writer at about 64 MB: smaller costs up to 40 % (performance.md §1).
    connection.pragma_update(None, "wal_autocheckpoint", 16_000)?;
    connection.pragma_update(None, "cache_size", -32_768)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// The scripts in order; `user_version` counts those that ran.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/sqlite/0001_first.sql"),
    include_str!("../migrations/sqlite/0002_clocks.sql"),
    include_str!("../migrations/sqlite/0003_backlog.sql"),
    include_str!("../migrations/sqlite/0004_retention.sql"),
    include_str!("../migrations/sqlite/0005_likeness.sql"),
];

/// How many scripts ran on it.
pub(super) fn schema(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// The script after which open applications of earlier releases get their likeness.
const LIKENESS: usize = 5;

/// Runs the scripts that have not run, each in a transaction of its own.
///
/// # Errors
/// In words for the operator.
pub(super) fn migrate(connection: &mut Connection, vault: &Vault) -> Result<(), String> {
    let told = |error: rusqlite::Error| error.to_string();
    let version = schema(connection).map_err(told)?;
    if version > MIGRATIONS.len() {
        return Err(format!("was written by a newer Tongban (schema {version}); upgrade this one"));
    }
    for (index, script) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction().map_err(told)?;
        transaction.execute_batch(script).map_err(told)?;
        if index + 1 == LIKENESS {
            fits(&transaction, vault)?;
            likenesses(&transaction, vault).map_err(|error| error.to_string())?;
        }
        let done = i64::try_from(index + 1).unwrap_or(i64::MAX);
        transaction.pragma_update(None, "user_version", done).map_err(told)?;
        transaction.commit().map_err(told)?;
    }
    Ok(())
}

/// Writes the likeness of what is open or paid; its content is sealed, no script can.
fn likenesses(connection: &Connection, vault: &Vault) -> Result<(), StoreError> {
    let sql = format!("{APPLICATION} WHERE a.open > 0 AND a.business = ?1");
    let mut query = connection.prepare(&sql)?;
    let mut found = Vec::new();
    for row in query.query_map([Business::ChildRecognition as i32], row)? {
        let row = row?;
        found.extend(likeness::own(&row, vault)?.map(|own| (row.seq, own)));
    }
    for (seq, own) in found {
        let sql = "UPDATE applications SET alike = ?2 WHERE seq = ?1";
        connection.execute(sql, params![seq, own])?;
    }
    Ok(())
}
