//! Goes round every code list in turn, so that a run of the demo uses every code of every list.

use std::{collections::BTreeMap, sync::Arc};

use crate::{model::codes::Codes, sim::by_hand};

/// Where each list stands.
#[derive(Clone, Debug)]
pub(super) struct Cycle {
    codes: Arc<Codes>,
    place: usize,
    at: BTreeMap<String, usize>,
}

impl Cycle {
    /// `place` 0 to 3: simulators begin a quarter of each list apart.
    pub(super) const fn new(codes: Arc<Codes>, place: usize) -> Self {
        Self { codes, place, at: BTreeMap::new() }
    }

    /// Every round begun anew, at the beginning of each list.
    pub(super) fn afresh(&self) -> Self {
        Self { codes: Arc::clone(&self.codes), place: 0, at: BTreeMap::new() }
    }

    /// The next canonical code of a list; empty when there is no such list.
    pub(super) fn next(&mut self, list: &str) -> String {
        let codes = Arc::clone(&self.codes);
        let Some(codes) = codes.get(list) else { return String::new() };
        let rows: Vec<&str> = codes.rows.iter().map(|row| row.0.as_str()).collect();
        let start = rows.len() * self.place / 4;
        self.of(list, &rows, start)
    }

    /// The next of `items`, a round of its own by `name`.
    pub(super) fn among(&mut self, name: &str, items: &[&str]) -> String {
        let start = items.len() * self.place / 4;
        self.of(name, items, start)
    }

    /// True once in `every` times, for the round of that name.
    pub(super) fn once_in(&mut self, name: &str, every: usize) -> bool {
        self.count(name).is_multiple_of(every.max(1))
    }

    /// Counts, from 1.
    pub(super) fn count(&mut self, name: &str) -> usize {
        let at = self.at.entry(name.into()).or_default();
        *at += 1;
        *at
    }

    fn of(&mut self, name: &str, items: &[&str], start: usize) -> String {
        let at = self.at.entry(name.into()).or_insert(start);
        let code = items[*at % items.len()].to_owned();
        *at += 1;
        code
    }
}

/// How one party writes canonical codes.
#[derive(Clone, Debug)]
pub(super) struct Writing {
    codes: Arc<Codes>,
    folder: &'static str,
}

impl Writing {
    pub(super) const fn new(codes: Arc<Codes>, folder: &'static str) -> Self {
        Self { codes, folder }
    }

    /// The party's word for a code; the code itself where the list has no column for the party.
    pub(super) fn code(&self, list: &str, code: &str) -> String {
        if let Some(rows) = by_hand::list(self.folder, list) {
            let row = rows.iter().find(|row| row.0 == code);
            return row.map_or(code, |row| row.1).to_owned();
        }
        let theirs = self.codes.get(list).and_then(|list| list.to_party(self.folder, code));
        theirs.unwrap_or(code).to_owned()
    }

    /// The canonical code of the party's word, of the lists that decide.
    pub(super) fn read(&self, list: &str, word: &str) -> String {
        let rows = by_hand::list(self.folder, list).unwrap_or_default();
        let row = rows.iter().find(|row| row.1 == word);
        row.map_or(word, |row| row.0).to_owned()
    }
}
