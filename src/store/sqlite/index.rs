//! What the writer keeps in memory instead of in random-key indexes on disk: which idempotency
//! keys were used and which benefits people have open applications for. It only says where to
//! look; the rows decide, so what is left over from a batch that failed does no harm. Rebuilt at
//! start; a batch's own additions stay in an [`Overlay`] until its transaction is committed.

use std::{collections::HashMap, thread};

use rusqlite::Connection;

use crate::store::{holding::split, sqlite::places::Places};

/// 128 bits of a key's SHA-256, or the keyed digest of a person and a benefit.
type Short = [u8; 16];

/// The committed state: rows of `idempotency` by key, rows of `applications` by benefit.
#[derive(Default)]
pub(super) struct Index {
    keys: Places,
    open: Places,
}

/// What the batch at hand adds to it and takes from it.
#[derive(Default)]
pub(super) struct Overlay {
    keys: Steps,
    open: Steps,
}

/// Under a key, in the order of the batch: a place, and whether it comes or goes.
type Steps = HashMap<u64, Vec<(i64, bool)>>;

impl Index {
    /// Reads both tables at once, each over a connection of its own.
    pub(super) fn load([one, two]: &mut [Connection; 2]) -> rusqlite::Result<Self> {
        thread::scope(|scope| {
            let keys = scope.spawn(move || keys(one));
            let open = open(two)?;
            let keys = keys.join().unwrap_or(Err(rusqlite::Error::UnwindingPanic))?;
            Ok(Self { keys, open })
        })
    }

    /// The rows that may be those of an idempotency key.
    pub(super) fn key(&self, key: &[u8; 32]) -> Vec<i64> {
        self.keys.find(bits(key)).collect()
    }

    /// Takes over what was committed.
    pub(super) fn merge(&mut self, overlay: Overlay) {
        apply(&mut self.keys, overlay.keys);
        apply(&mut self.open, overlay.open);
    }
}

impl Overlay {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.open.is_empty()
    }

    /// The rows that may be those of an idempotency key, this batch's among them.
    pub(super) fn key(&self, index: &Index, key: &[u8; 32]) -> Vec<i64> {
        candidates(&index.keys, &self.keys, bits(key))
    }

    pub(super) fn add_key(&mut self, key: &[u8; 32], place: i64) {
        self.keys.entry(bits(key)).or_default().push((place, true));
    }

    pub(super) fn forget_key(&mut self, key: &[u8], place: i64) {
        self.keys.entry(bits(key)).or_default().push((place, false));
    }

    /// The applications that may hold a benefit.
    pub(super) fn holders(&self, index: &Index, benefit: &Short) -> Vec<i64> {
        candidates(&index.open, &self.open, bits(benefit))
    }

    pub(super) fn open(&mut self, benefits: &[Short], place: i64) {
        for benefit in benefits {
            self.open.entry(bits(benefit)).or_default().push((place, true));
        }
    }

    pub(super) fn close(&mut self, benefits: &[Short], place: i64) {
        for benefit in benefits {
            self.open.entry(bits(benefit)).or_default().push((place, false));
        }
    }
}

// Each of these reads an index that holds just its columns, in the order of its pages.

fn keys(connection: &Connection) -> rusqlite::Result<Places> {
    let mut keys = Places::default();
    let mut query =
        connection.prepare("SELECT substr(key, 1, 8), seq FROM idempotency ORDER BY seq")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        keys.insert(u64::from_be_bytes(row.get(0)?), row.get(1)?);
    }
    Ok(keys)
}

fn open(connection: &Connection) -> rusqlite::Result<Places> {
    let mut open = Places::default();
    let mut query =
        connection.prepare("SELECT seq, benefits FROM applications WHERE open > 0 ORDER BY seq")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let place = row.get(0)?;
        for benefit in split(row.get_ref(1)?.as_blob()?) {
            open.insert(bits(&benefit), place);
        }
    }
    Ok(open)
}

fn candidates(committed: &Places, steps: &Steps, bits: u64) -> Vec<i64> {
    let added = steps.get(&bits).into_iter().flatten().filter(|(_, comes)| *comes);
    committed.find(bits).chain(added.map(|(place, _)| *place)).collect()
}

fn apply(places: &mut Places, steps: Steps) {
    for (bits, steps) in steps {
        for (place, comes) in steps {
            if comes {
                places.insert(bits, place);
            } else {
                places.remove(bits, place);
            }
        }
    }
}

/// The first 64 bits.
fn bits(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}
