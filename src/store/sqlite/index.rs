//! What the writer keeps in memory instead of in random-key indexes on disk: which idempotency
//! keys were used and which benefits people have open applications for. It only says where to
//! look; the rows decide, so what is left over from a batch that failed does no harm. Rebuilt at
//! start; a batch's own additions stay in an [`Overlay`] until its transaction is committed.

use std::collections::HashMap;

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
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let room = |sql| {
            let count = connection.query_row(sql, [], |row| row.get::<_, i64>(0))?;
            Ok::<_, rusqlite::Error>(Places::with_room(usize::try_from(count).unwrap_or(0)))
        };
        let mut index = Self {
            keys: room("SELECT count(*) FROM idempotency")?,
            open: room("SELECT count(*) FROM applications WHERE open > 0")?,
        };
        // All of these read an index that holds just these columns, in the order of its pages.
        let mut query =
            connection.prepare("SELECT substr(key, 1, 8), seq FROM idempotency ORDER BY seq")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            index.keys.insert(u64::from_be_bytes(row.get(0)?), row.get(1)?);
        }
        let mut query = connection
            .prepare("SELECT seq, benefits FROM applications WHERE open > 0 ORDER BY seq")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let place = row.get(0)?;
            for benefit in split(row.get_ref(1)?.as_blob()?) {
                index.open.insert(bits(&benefit), place);
            }
        }
        Ok(index)
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
