//! What the writer keeps in memory instead of in random-key indexes on disk: which idempotency
//! keys were used and which benefits people have open applications for. Rebuilt at start; a
//! batch's own additions stay in an [`Overlay`] until its transaction is committed.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::store::holding::split;

/// 128 bits of a key's SHA-256: enough that no two keys meet by chance.
type Short = [u8; 16];

/// The committed state.
#[derive(Default)]
pub(super) struct Index {
    keys: HashMap<Short, i64>,
    open: HashMap<Short, Short>,
}

/// What the batch at hand adds to it.
#[derive(Default)]
pub(super) struct Overlay {
    keys: HashMap<Short, i64>,
    open: HashMap<Short, Option<Short>>,
    forgotten: Vec<Short>,
}

impl Index {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut index = Self::default();
        let mut query = connection.prepare("SELECT substr(key, 1, 16), seq FROM idempotency")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            index.keys.insert(row.get(0)?, row.get(1)?);
        }
        let mut query =
            connection.prepare("SELECT id, benefits FROM applications WHERE open > 0")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let id: Short = row.get(0)?;
            for benefit in split(row.get_ref(1)?.as_blob()?) {
                index.open.insert(benefit, id);
            }
        }
        Ok(index)
    }

    /// The place of an idempotency key.
    pub(super) fn key(&self, key: &[u8; 32]) -> Option<i64> {
        self.keys.get(&short(key)).copied()
    }

    /// Takes over what was committed.
    pub(super) fn merge(&mut self, overlay: Overlay) {
        for key in overlay.forgotten {
            self.keys.remove(&key);
        }
        self.keys.extend(overlay.keys);
        for (benefit, holder) in overlay.open {
            match holder {
                Some(id) => self.open.insert(benefit, id),
                None => self.open.remove(&benefit),
            };
        }
    }
}

impl Overlay {
    pub(super) fn key(&self, index: &Index, key: &[u8; 32]) -> Option<i64> {
        self.keys.get(&short(key)).copied().or_else(|| index.key(key))
    }

    pub(super) fn add_key(&mut self, key: &[u8; 32], place: i64) {
        self.keys.insert(short(key), place);
    }

    pub(super) fn forget_key(&mut self, key: Short) {
        self.forgotten.push(key);
    }

    /// Who has an open application for one of the benefits.
    pub(super) fn holder(&self, index: &Index, benefits: &[Short]) -> Option<Short> {
        benefits.iter().find_map(|benefit| match self.open.get(benefit) {
            Some(holder) => *holder,
            None => index.open.get(benefit).copied(),
        })
    }

    pub(super) fn open(&mut self, benefits: &[Short], id: Short) {
        self.open.extend(benefits.iter().map(|benefit| (*benefit, Some(id))));
    }

    pub(super) fn close(&mut self, benefits: &[Short]) {
        self.open.extend(benefits.iter().map(|benefit| (*benefit, None)));
    }
}

fn short(key: &[u8; 32]) -> Short {
    let mut short = [0; 16];
    short.copy_from_slice(&key[..16]);
    short
}
