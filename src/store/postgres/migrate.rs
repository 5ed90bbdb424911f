//! Brings the database's tables up to this version, from whichever gateway comes first while the
//! others wait, and makes sure that it is written with our key.

use std::time::Duration;

use tokio::time::sleep;

use crate::store::{
    StoreError,
    postgres::connection::{Connection, Trouble},
    vault::Vault,
};

/// The scripts in order; `tongban_schema.version` counts those that ran.
const MIGRATIONS: &[&str] = &[include_str!("../migrations/postgres/0001_first.sql")];

/// How often creating the table that orders migrations is tried: two gateways may collide on it.
const TRIES: u32 = 20;

/// Runs the scripts that have not run.
///
/// # Errors
/// In words for the operator.
pub(super) async fn migrate(connection: &mut Connection) -> Result<(), String> {
    for attempt in 0.. {
        match connection.client.batch_execute(FIRST).await {
            Ok(()) => break,
            // `IF NOT EXISTS` looks before it locks: the other one has just created it.
            Err(_) if attempt < TRIES => sleep(Duration::from_millis(50)).await,
            Err(error) => return Err(StoreError::from(error).to_string()),
        }
    }
    let outcome = run(connection).await;
    if outcome.is_err() {
        // The connection is not used any further; its end would do as well.
        drop(connection.client.batch_execute("ROLLBACK").await);
    }
    outcome
}

async fn run(connection: &mut Connection) -> Result<(), String> {
    let told = |error: Trouble| StoreError::from(error).to_string();
    let failed = |error: tokio_postgres::Error| told(error.into());
    // The row's lock makes the second gateway wait until the first has finished.
    connection.client.batch_execute(PATIENTLY).await.map_err(failed)?;
    let version = version(connection).await?.unwrap_or_default();
    for script in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(usize::MAX)) {
        connection.client.batch_execute(script).await.map_err(failed)?;
    }
    let done = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    connection.query("UPDATE tongban_schema SET version = $1", &[&done]).await.map_err(told)?;
    connection.client.batch_execute("COMMIT").await.map_err(failed)
}

/// Refuses a database that is not there yet, or written by a newer Tongban.
///
/// # Errors
/// In words for the operator.
pub(super) async fn known(connection: &mut Connection) -> Result<(), String> {
    match version(connection).await? {
        Some(version) if usize::try_from(version) == Ok(MIGRATIONS.len()) => Ok(()),
        Some(version) => Err(format!("was written by an older Tongban (schema {version})")),
        None => Err("holds no store; is store.url right?".into()),
    }
}

async fn version(connection: &mut Connection) -> Result<Option<i32>, String> {
    let told = |error: Trouble| StoreError::from(error).to_string();
    let there = "SELECT to_regclass('tongban_schema') IS NOT NULL";
    let rows = connection.query(there, &[]).await.map_err(told)?;
    let is_there = rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false));
    if !is_there {
        return Ok(None);
    }
    let rows = connection
        .query("SELECT version FROM tongban_schema FOR UPDATE", &[])
        .await
        .map_err(told)?;
    let version: Option<i32> = rows.first().and_then(|row| row.try_get(0).ok());
    match version {
        Some(version) if usize::try_from(version).is_ok_and(|found| found > MIGRATIONS.len()) => {
            Err(format!("was written by a newer Tongban (schema {version}); upgrade this one"))
        }
        found => Ok(found),
    }
}

/// Under another key nothing could be read, and a person could apply twice unnoticed, since the
/// digests would differ too: the first key is remembered by a digest of its own.
///
/// # Errors
/// In words for the operator.
pub(super) async fn fits(connection: &mut Connection, vault: &Vault) -> Result<(), String> {
    let told = |error: Trouble| StoreError::from(error).to_string();
    let ours = vault.digest("tongban store key").to_vec();
    let first = "UPDATE tongban_schema SET key = $1 WHERE key IS NULL";
    connection.query(first, &[&ours]).await.map_err(told)?;
    let rows = connection.query("SELECT key FROM tongban_schema", &[]).await.map_err(told)?;
    let theirs: Option<Vec<u8>> = rows.first().and_then(|row| row.try_get(0).ok());
    if theirs.is_some_and(|theirs| theirs == ours) {
        return Ok(());
    }
    Err("store.key_file is not the key that this store was written with; restore the key".into())
}

const FIRST: &str = "CREATE TABLE IF NOT EXISTS tongban_schema (\
     one boolean PRIMARY KEY DEFAULT true CHECK (one), version integer NOT NULL, key bytea); \
     INSERT INTO tongban_schema (version) VALUES (0) ON CONFLICT DO NOTHING";
const PATIENTLY: &str =
    "BEGIN; SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '10min'";
