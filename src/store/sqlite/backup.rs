//! A copy of the embedded store made beside the running gateway, and putting one back. A copy gets
//! its name, and its place, only once it is whole, on disk and verified against its audit log.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{Context, SHA256};
use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _,
    backup::{Backup, StepResult},
    params,
};

use crate::{
    audit::{Entry, Kind},
    model::clock,
    store::{
        copies::{Copied, Restored, Tell},
        proof::Report,
        sqlite::{
            outbox::HELD,
            proof,
            ready::{fits, hold, migrate},
        },
        vault::Vault,
    },
};

/// Pages copied at a time, 4 MiB, and the pause after them, which leaves the disk to the gateway.
const STEP: i32 = 1024;
const PAUSE: Duration = Duration::from_millis(4);
/// How long a copy waits for a lock before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Copies the store to `to`, which must not exist.
///
/// # Errors
/// In words for the operator; nothing stands at `to` then.
pub(in crate::store) fn back_up(
    store: &Path,
    to: &Path,
    vault: &Vault,
    tell: &mut Tell<'_>,
) -> Result<Copied, String> {
    if to.exists() {
        return Err(format!("{} exists; a backup replaces nothing", to.display()));
    }
    drop(proof::open(store, vault)?);
    let partial = beside(to, "partial");
    let made = copy(store, &partial, tell).and_then(|()| verified(&partial, vault, tell)).and_then(
        |report| {
            let (bytes, sha256) = digest(&partial).map_err(told(&partial))?;
            // A link, since a rename would replace what came to stand there meanwhile.
            fs::hard_link(&partial, to).map_err(told(to))?;
            Ok(Copied { bytes, sha256, report })
        },
    );
    remove(&partial);
    sync_folder(to)?;
    made
}

/// Puts the copy `from` in the place of the store, which no gateway may hold.
///
/// # Errors
/// In words for the operator; the store is as it was then.
pub(in crate::store) fn restore(
    from: &Path,
    store: &Path,
    vault: &Vault,
    discard_newer: bool,
    tell: &mut Tell<'_>,
) -> Result<Restored, String> {
    if !from.exists() {
        return Err(format!("{} does not exist", from.display()));
    }
    if let Some(folder) = store.parent() {
        fs::create_dir_all(folder).map_err(told(folder))?;
    }
    let _lock = hold(&store.with_extension("lock"))?;
    let partial = beside(store, "restoring");
    let restored = copy(from, &partial, tell)
        .and_then(|()| if discard_newer { Ok(()) } else { nothing_newer(store, &partial) })
        .and_then(|()| brought_up_to_date(&partial, vault))
        .and_then(|()| verified(&partial, vault, tell))
        .and_then(|report| {
            let asked_first = hand_over(&partial, &report).map_err(told(&partial))?;
            sync(&partial).map_err(told(&partial))?;
            let replaced = put_aside(store)?;
            fs::rename(&partial, store).map_err(told(store))?;
            sync_folder(store)?;
            Ok(Restored { report, asked_first, replaced })
        });
    if restored.is_err() {
        remove(&partial);
    }
    restored
}

/// Copies one snapshot, in steps; writers go on meanwhile, and are not in it.
fn copy(from: &Path, partial: &Path, tell: &mut Tell<'_>) -> Result<(), String> {
    remove(partial);
    // Nobody else reads what is kept here.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial);
    drop(file.map_err(told(partial))?);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(told(from))?;
    source.busy_timeout(PATIENCE).map_err(told(from))?;
    // Held to the end: without it each commit of the gateway would make the copy begin again.
    let snapshot = source.unchecked_transaction().map_err(told(from))?;
    snapshot
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .map_err(told(from))?;
    let mut target = Connection::open(partial).map_err(told(partial))?;
    let copying = Backup::new(&snapshot, &mut target).map_err(told(partial))?;
    let mut stuck = Instant::now();
    loop {
        match copying.step(STEP).map_err(told(partial))? {
            StepResult::Done => break,
            StepResult::More => stuck = Instant::now(),
            _ if stuck.elapsed() > PATIENCE => {
                return Err(format!("{} is locked by another program", from.display()));
            }
            _ => {}
        }
        let progress = copying.progress();
        let all = progress.pagecount.unsigned_abs().into();
        tell("copying", all - u64::from(progress.remaining.unsigned_abs()), all);
        thread::sleep(PAUSE);
    }
    drop(copying);
    single(&target).map_err(told(partial))?;
    drop(target);
    sync(partial).map_err(told(partial))
}

/// Makes the file whole by itself, without a write-ahead log beside it.
fn single(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "DELETE")
}

fn brought_up_to_date(copy: &Path, vault: &Vault) -> Result<(), String> {
    let mut connection = Connection::open(copy).map_err(told(copy))?;
    migrate(&mut connection, vault).map_err(told(copy))?;
    fits(&connection, vault).map_err(told(copy))
}

fn verified(copy: &Path, vault: &Vault, tell: &mut Tell<'_>) -> Result<Report, String> {
    let connection = proof::open(copy, vault)?;
    let report = proof::prove(&connection, vault, tell).map_err(told(copy))?;
    if report.wrong > 0 {
        let (wrong, list) = (report.wrong, report.findings.join("\n"));
        return Err(format!(
            "the copy does not agree with its audit log in {wrong} places:\n{list}"
        ));
    }
    Ok(report)
}

/// Refuses when the store holds what the copy does not.
fn nothing_newer(store: &Path, copy: &Path) -> Result<(), String> {
    if !store.exists() {
        return Ok(());
    }
    let flag =
        "--discard-newer puts the copy in its place all the same and keeps the store beside it";
    let name = store.display();
    let open = |path| Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let here = open(store).and_then(|connection| last_leaf(&connection));
    let Some((position, hash)) = here.map_err(|error| {
        format!("nobody can tell whether {name} holds anything newer ({error}); {flag}")
    })?
    else {
        return Ok(());
    };
    let there: Option<Vec<u8>> = open(copy)
        .and_then(|connection| {
            let sql = "SELECT hash FROM leaves WHERE position = ?1";
            connection.query_row(sql, [position], |row| row.get(0)).optional()
        })
        .map_err(told(copy))?;
    if there.as_ref() == Some(&hash) {
        return Ok(());
    }
    Err(format!("{name} holds entries that the copy does not, up to leaf {position}; {flag}"))
}

fn last_leaf(connection: &Connection) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
    let sql = "SELECT position, hash FROM leaves ORDER BY position DESC LIMIT 1";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// What happened after the copy was made is not known here: whatever it did not see delivered may
/// have been. The restoring is itself an entry of the log.
fn hand_over(copy: &Path, report: &Report) -> rusqlite::Result<usize> {
    let mut connection = Connection::open(copy)?;
    let transaction = connection.transaction()?;
    let now = clock::now_micros();
    let asked_first = transaction.execute(
        "UPDATE deliveries SET unknown = 1, due = iif(due = ?2, due, ?1), \
         state = iif(state = 1, 0, state) WHERE state IN (0, 1, 3)",
        [now, HELD],
    )?;
    let entry = Entry {
        kind: Kind::Operation,
        time: now,
        party: "gateway".into(),
        system: "operations".into(),
        application: String::new(),
        sequence: report.leaves,
        what: "RESTORED".into(),
        state: String::new(),
        content: hex::encode(report.root),
    };
    let leaf = entry.leaf();
    transaction.execute(
        "INSERT INTO leaves (position, hash, entry) VALUES (?1, ?2, ?3)",
        params![report.leaves, leaf.hash, leaf.entry],
    )?;
    transaction.commit()?;
    Ok(asked_first)
}

/// Keeps the store that stands there under another name.
fn put_aside(store: &Path) -> Result<Option<PathBuf>, String> {
    if !store.exists() {
        return Ok(None);
    }
    let stamp = jiff::Timestamp::from_microsecond(clock::now_micros()).unwrap_or_default();
    let aside = beside(store, &format!("replaced-{}", stamp.strftime("%Y%m%dT%H%M%SZ")));
    // What its write-ahead log holds goes into it; a store that cannot be read takes it along, for
    // SQLite would take a log left here for that of the copy.
    let emptied = Connection::open(store).and_then(|connection| single(&connection));
    fs::hard_link(store, &aside).map_err(told(&aside))?;
    if emptied.is_err() {
        for end in ["-wal", "-shm"] {
            let (from, to) = (with_end(store, end), with_end(&aside, end));
            match fs::rename(&from, &to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(told(&from)(error));
                }
                _ => {}
            }
        }
    }
    Ok(Some(aside))
}

fn digest(file: &Path) -> io::Result<(u64, [u8; 32])> {
    let mut file = File::open(file)?;
    let (mut context, mut bytes) = (Context::new(&SHA256), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        context.update(&buffer[..count]);
        bytes += count as u64;
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(context.finish().as_ref());
    Ok((bytes, sha256))
}

fn sync(file: &Path) -> io::Result<()> {
    File::open(file)?.sync_all()
}

fn sync_folder(file: &Path) -> Result<(), String> {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or_else(|| Path::new("."));
    sync(folder).map_err(told(folder))
}

fn remove(partial: &Path) {
    // What is not there, or cannot be removed, is met when the next copy is made.
    fs::remove_file(partial).unwrap_or_default();
    fs::remove_file(with_end(partial, "-journal")).unwrap_or_default();
}

/// `data/tongban.db` → `data/tongban.db.restoring`.
fn beside(file: &Path, end: &str) -> PathBuf {
    with_end(file, &format!(".{end}"))
}

fn with_end(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn told<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}
