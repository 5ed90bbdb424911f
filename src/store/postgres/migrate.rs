//! Brings the database's tables up to this version, from whichever gateway comes first while the
//! others wait, and makes sure that it is written with our key.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    model::pb::Business,
    store::{
        StoreError, likeness,
        postgres::{
            connection::{Connection, Trouble},
            loaded::{application, application_columns},
        },
        vault::Vault,
    },
};

/// The scripts in order; `tongban_schema.version` counts those that ran.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/postgres/0001_first.sql"),
    include_str!("../migrations/postgres/0002_retention.sql"),
    include_str!("../migrations/postgres/0003_likeness.sql"),
    include_str!("../migrations/postgres/0004_backlog.sql"),
];

/// The script after which open applications of earlier releases get their likeness.
const LIKENESS: usize = 3;

/// How often it is tried: two gateways that start at once may collide.
const TRIES: u32 = 20;

/// What is wrong with a store that can be read, in words for the operator.
type Verdict = Result<(), String>;

/// Runs the scripts that have not run, and makes sure that the key is the store's.
///
/// # Errors
/// In words for the operator.
pub(super) async fn migrate(connection: &mut Connection, vault: &Vault) -> Verdict {
    let mut tries = 0;
    loop {
        tries += 1;
        match run(connection, vault).await {
            Ok(verdict) => return verdict,
            Err(Trouble::Again(_)) if tries < TRIES => {}
            Err(trouble) => return Err(StoreError::from(trouble).to_string()),
        }
        // A transaction that failed ends with the connection if not so.
        drop(connection.client.batch_execute("ROLLBACK").await);
        sleep(Duration::from_millis(50)).await;
    }
}

async fn run(connection: &mut Connection, vault: &Vault) -> Result<Verdict, Trouble> {
    connection.client.batch_execute(FIRST).await.map_err(collided)?;
    // The row's lock makes the second gateway wait until the first has finished.
    connection.client.batch_execute(PATIENTLY).await?;
    let Some((version, theirs)) = found(connection, LOCKED).await? else {
        return Ok(Err("holds no row in tongban_schema".into()));
    };
    let verdict = fits(version, theirs, vault);
    if verdict.is_ok() {
        let ran = usize::try_from(version).unwrap_or(usize::MAX);
        for (index, script) in MIGRATIONS.iter().enumerate().skip(ran) {
            connection.client.batch_execute(script).await?;
            if index + 1 == LIKENESS {
                likenesses(connection, vault).await?;
            }
        }
        let done = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
        let ours = key(vault);
        connection
            .query("UPDATE tongban_schema SET version = $1, key = $2", &[&done, &ours])
            .await?;
    }
    connection.client.batch_execute("COMMIT").await?;
    Ok(verdict)
}

/// Writes the likeness of what is open or paid; its content is sealed, no script can.
async fn likenesses(connection: &mut Connection, vault: &Vault) -> Result<(), Trouble> {
    let business = Business::ChildRecognition as i32;
    let mut last = 0_i64;
    loop {
        let rows = connection.query(OPEN, &[&business, &last]).await?;
        let Some(end) = rows.last() else { return Ok(()) };
        last = end.try_get(0)?;
        for row in &rows {
            let row = application(row)?;
            let Some(own) = likeness::own(&row, vault)? else { continue };
            let sql = "UPDATE applications SET alike = $2 WHERE seq = $1";
            connection.query(sql, &[&row.seq, &&own[..]]).await?;
        }
    }
}

/// Refuses a database that holds no store, or one of another version or key.
///
/// # Errors
/// In words for the operator.
pub(super) async fn known(connection: &mut Connection, vault: &Vault) -> Verdict {
    let told = |trouble: Trouble| StoreError::from(trouble).to_string();
    let there = "SELECT to_regclass('tongban_schema') IS NOT NULL";
    let rows = connection.query(there, &[]).await.map_err(told)?;
    let is_there = rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false));
    let found = if is_there { found(connection, SEEN).await.map_err(told)? } else { None };
    match found {
        None => Err("holds no store; is store.url right?".into()),
        Some((version, _)) if usize::try_from(version).is_ok_and(|v| v < MIGRATIONS.len()) => {
            Err(format!("was written by an older Tongban (schema {version}); run `serve` first"))
        }
        Some((version, theirs)) => fits(version, theirs, vault),
    }
}

/// Under another key nothing could be read, and a person could apply twice unnoticed, since the
/// digests would differ too: the first key is remembered by a digest of its own.
fn fits(version: i32, theirs: Option<Vec<u8>>, vault: &Vault) -> Verdict {
    if usize::try_from(version).is_ok_and(|version| version > MIGRATIONS.len()) {
        return Err(format!("was written by a newer Tongban (schema {version}); upgrade this one"));
    }
    if theirs.is_some_and(|theirs| theirs != key(vault)) {
        let other = "store.key_file is not the key that this store was written with";
        return Err(format!("{other}; restore the key"));
    }
    Ok(())
}

fn key(vault: &Vault) -> Vec<u8> {
    vault.digest("tongban store key").to_vec()
}

/// The version of the tables and the digest of the key.
async fn found(
    connection: &mut Connection,
    sql: &'static str,
) -> Result<Option<(i32, Option<Vec<u8>>)>, Trouble> {
    let rows = connection.query(sql, &[]).await?;
    rows.first().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

/// `IF NOT EXISTS` looks before it locks: what is said then is not always a unique violation.
fn collided(error: tokio_postgres::Error) -> Trouble {
    match Trouble::from(error) {
        Trouble::Other(error) => Trouble::Again(error.to_string()),
        other => other,
    }
}

/// A page of the open and paid applications of a business.
const OPEN: &str = concat!(
    application_columns!(),
    "WHERE a.open > 0 AND a.business = $1 AND a.seq > $2 ORDER BY a.seq LIMIT 100"
);
// A server that is still recovering locks nothing, and can be verified.
const SEEN: &str = "SELECT version, key FROM tongban_schema";
const LOCKED: &str = "SELECT version, key FROM tongban_schema FOR UPDATE";
const FIRST: &str = "CREATE TABLE IF NOT EXISTS tongban_schema (\
     one boolean PRIMARY KEY DEFAULT true CHECK (one), version integer NOT NULL, key bytea); \
     INSERT INTO tongban_schema (version) VALUES (0) ON CONFLICT DO NOTHING";
const PATIENTLY: &str =
    "BEGIN; SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '10min'";
