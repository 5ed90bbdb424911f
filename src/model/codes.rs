//! Code lists (代码表): `config/codes/*.csv`.
//!
//! The first line of a file is a comment that names the standard. The second line is the header
//! `code,name` and, where a party writes other codes, one more column named after the party's
//! folder. A row is one code of the canonical model; an empty cell in a party's column means the
//! party has no counterpart. Where several rows share one party code, the first row is the one
//! the party's code is read as.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use crate::model::fault::Fault;

/// One code list.
#[derive(Clone, Debug, Default)]
pub struct CodeList {
    /// The standard, as the first line names it.
    pub standard: String,
    /// Canonical code and name, in the file's order.
    pub rows: Vec<(String, String)>,
    known: HashMap<String, usize>,
    to_party: HashMap<String, Vec<Option<String>>>,
    from_party: HashMap<String, HashMap<String, usize>>,
}

/// Every code list by name (the file's name without `.csv`).
#[derive(Clone, Debug, Default)]
pub struct Codes(BTreeMap<String, CodeList>);

impl CodeList {
    /// Parses the text of a code list.
    ///
    /// # Errors
    /// Every faulty line, as `(line, what is wrong)`.
    pub fn parse(text: &str) -> Result<Self, Vec<(usize, String)>> {
        let mut lines = text.lines();
        let mut list = Self::default();
        let standard = lines.next().and_then(|line| line.strip_prefix('#'));
        let Some(standard) = standard.map(str::trim).filter(|text| !text.is_empty()) else {
            return Err(vec![(1, "the first line must be `# ` and the standard's name".into())]);
        };
        list.standard = standard.to_owned();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let ["code", "name", parties @ ..] = header.as_slice() else {
            return Err(vec![(2, "the header must begin with `code,name`".into())]);
        };
        let mut faults = Vec::new();
        for (number, line) in lines.enumerate().map(|(index, line)| (index + 3, line)) {
            if let Err(fault) = list.add(line, parties) {
                faults.push((number, fault));
            }
        }
        if faults.is_empty() { Ok(list) } else { Err(faults) }
    }

    fn add(&mut self, line: &str, parties: &[&str]) -> Result<(), String> {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let [code, name, theirs @ ..] = cells.as_slice() else {
            return Err("a row needs at least a code and a name".into());
        };
        if theirs.len() != parties.len() {
            return Err(format!(
                "{} cells, but the header names {}",
                cells.len(),
                parties.len() + 2
            ));
        }
        let index = self.rows.len();
        if self.known.insert((*code).to_owned(), index).is_some() {
            return Err(format!("code `{code}` stands twice"));
        }
        self.rows.push(((*code).to_owned(), (*name).to_owned()));
        for (party, theirs) in parties.iter().zip(theirs) {
            let cell = (!theirs.is_empty()).then(|| (*theirs).to_owned());
            if let Some(cell) = &cell {
                let codes = self.from_party.entry((*party).to_owned()).or_default();
                codes.entry(cell.clone()).or_insert(index);
            }
            self.to_party.entry((*party).to_owned()).or_default().push(cell);
        }
        Ok(())
    }

    /// Whether `code` is a canonical code of the list.
    pub fn contains(&self, code: &str) -> bool {
        self.known.contains_key(code)
    }

    /// The Chinese name of a canonical code.
    pub fn name(&self, code: &str) -> Option<&str> {
        self.known.get(code).map(|index| self.rows[*index].1.as_str())
    }

    /// What `party` (its folder's name) writes for canonical `code`; the code itself when the
    /// list has no column for the party; `None` when there is no counterpart.
    pub fn to_party(&self, party: &str, code: &str) -> Option<&str> {
        let index = *self.known.get(code)?;
        match self.to_party.get(party) {
            Some(column) => column[index].as_deref(),
            None => Some(&self.rows[index].0),
        }
    }

    /// The canonical code for what `party` wrote.
    pub fn from_party(&self, party: &str, theirs: &str) -> Option<&str> {
        let index = match self.from_party.get(party) {
            Some(codes) => *codes.get(theirs)?,
            None => *self.known.get(theirs)?,
        };
        Some(&self.rows[index].0)
    }

    /// Canonical codes that `party` has no counterpart for.
    pub fn gaps(&self, party: &str) -> Vec<&str> {
        let rows = self.rows.iter().map(|(code, _)| code.as_str());
        rows.filter(|code| self.to_party(party, code).is_none()).collect()
    }
}

impl Codes {
    /// Loads every `*.csv` of the folder.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(folder: &Path) -> Result<Self, Vec<Fault>> {
        let mut codes = Self::default();
        let mut faults = Vec::new();
        let entries = fs::read_dir(folder)
            .map_err(|error| vec![Fault::new(folder, 0, format!("cannot be read: {error}"))])?;
        let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
        paths.sort();
        for path in paths {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            match fs::read_to_string(&path) {
                Err(error) => faults.push(Fault::new(&path, 0, format!("cannot be read: {error}"))),
                Ok(text) => match CodeList::parse(&text) {
                    Ok(list) => _ = codes.0.insert(name, list),
                    Err(lines) => faults.extend(
                        lines.into_iter().map(|(line, text)| Fault::new(&path, line, text)),
                    ),
                },
            }
        }
        if faults.is_empty() { Ok(codes) } else { Err(faults) }
    }

    /// The list of that name.
    pub fn get(&self, name: &str) -> Option<&CodeList> {
        self.0.get(name)
    }

    /// Every list with its name, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &CodeList)> {
        self.0.iter().map(|(name, list)| (name.as_str(), list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEX: &str = "# GB/T 2261.1-2003\ncode,name,44-x\n1,男,M\n2,女,F\n9,未说明,\n";

    #[test]
    fn a_party_column_maps_both_ways_and_shows_its_gaps() {
        let list = CodeList::parse(SEX).unwrap();
        assert_eq!(list.to_party("44-x", "1"), Some("M"));
        assert_eq!(list.from_party("44-x", "F"), Some("2"));
        assert_eq!(list.to_party("other", "9"), Some("9"));
        assert_eq!(list.gaps("44-x"), ["9"]);
    }

    #[test]
    fn every_faulty_line_is_named() {
        let faults = CodeList::parse("# x\ncode,name\n1,a\n1,b\n2\n").unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.0).collect::<Vec<_>>(), [4, 5]);
    }
}
