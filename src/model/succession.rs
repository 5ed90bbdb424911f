//! Changes of county-level divisions (行政区划变更): merged, split, renamed, recoded, raised to another
//! kind. `config/succession.csv` beside the table of divisions: first line `# ` and the source, then
//! `date,kind,old_code,old_name,new_code,new_name,towns,note`. A split has a row for each part;
//! `towns` may hold the 9-digit prefixes that went to it, with spaces between.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use jiff::civil::Date;

use crate::model::fault::Fault;

/// One row: where a withdrawn code went.
#[derive(Clone, Debug)]
struct Change {
    date: Date,
    to: u32,
    towns: Vec<String>,
    line: usize,
}

/// What has become of withdrawn codes.
#[derive(Clone, Debug, Default)]
pub struct Succession(BTreeMap<u32, Vec<Change>>);

/// Where a code is today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heir {
    /// Its one successor.
    One(u32),
    /// It was split, and the code does not say between which part; one of these.
    OneOf(Vec<u32>),
    /// It was never withdrawn, or never known.
    None,
}

const KINDS: [&str; 5] = ["merged", "split", "renamed", "recoded", "upgraded"];

impl Succession {
    /// Reads the table; `stands` says whether a code is a county-level division today.
    ///
    /// # Errors
    /// Every faulty line, every code that leads nowhere, every circle.
    pub fn load(file: &Path, stands: impl Fn(u32) -> bool) -> Result<Self, Vec<Fault>> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| vec![Fault::new(file, 0, format!("cannot be read: {error}"))])?;
        let (mut table, mut faults) = (Self::default(), Vec::new());
        for (number, line) in text.lines().enumerate().skip(2) {
            let line_number = number + 1;
            match row(line, line_number) {
                Some((old, change)) => table.0.entry(old).or_default().push(change),
                None => faults.push(Fault::new(
                    file,
                    line_number,
                    "expected `date,kind,old_code,old_name,new_code,new_name,towns,note`",
                )),
            }
        }
        for (old, changes) in &table.0 {
            let line = changes.first().map_or(0, |change| change.line);
            if stands(*old) {
                let text = format!("{old} stands in the table of divisions; it was not withdrawn");
                faults.push(Fault::new(file, line, text));
            }
            if let Some(text) = table.end(*old, &stands) {
                faults.push(Fault::new(file, line, text));
            }
        }
        if faults.is_empty() { Ok(table) } else { Err(faults) }
    }

    /// What is wrong with the ways that lead on from a code.
    fn end(&self, old: u32, stands: &impl Fn(u32) -> bool) -> Option<String> {
        let (mut open, mut seen) = (vec![old], HashSet::new());
        while let Some(code) = open.pop() {
            if !seen.insert(code) {
                return Some(format!("{old} comes back to {code}: a circle"));
            }
            for change in self.0.get(&code).into_iter().flatten() {
                match (self.0.contains_key(&change.to), stands(change.to)) {
                    (_, true) => {}
                    (true, false) => open.push(change.to),
                    (false, false) => {
                        let to = change.to;
                        return Some(format!("{old} leads to {to}, which is no division today"));
                    }
                }
            }
        }
        None
    }

    /// What a code of 6, 9 or 12 digits has become.
    pub fn heir(&self, code: &str) -> Heir {
        let Some(old) = code.get(..6).and_then(|county| county.parse().ok()) else {
            return Heir::None;
        };
        let mut ends = Vec::new();
        self.follow(old, code, &mut ends);
        ends.sort_unstable();
        ends.dedup();
        match ends[..] {
            [] => Heir::None,
            [one] => Heir::One(one),
            _ => Heir::OneOf(ends),
        }
    }

    /// The table has no circle: [`Self::load`] saw to it.
    fn follow(&self, old: u32, code: &str, ends: &mut Vec<u32>) {
        let Some(changes) = self.0.get(&old) else { return };
        let town = |change: &&Change| {
            change.towns.iter().any(|town| code.len() >= 9 && code.starts_with(town.as_str()))
        };
        let named: Vec<&Change> = changes.iter().filter(town).collect();
        let parts = if named.is_empty() { changes.iter().collect() } else { named };
        for change in parts {
            if self.0.contains_key(&change.to) {
                self.follow(change.to, "", ends);
            } else {
                ends.push(change.to);
            }
        }
    }

    /// When the code was withdrawn.
    pub fn withdrawn(&self, code: &str) -> Option<Date> {
        let old: u32 = code.get(..6)?.parse().ok()?;
        self.0.get(&old)?.first().map(|change| change.date)
    }
}

fn row(line: &str, number: usize) -> Option<(u32, Change)> {
    let cells: Vec<&str> = line.split(',').collect();
    let [date, kind, old, _, new, _, towns, _] = cells[..] else { return None };
    let code = |text: &str| (text.len() == 6).then(|| text.parse().ok()).flatten();
    KINDS.contains(&kind).then_some(())?;
    let towns: Vec<String> = towns.split_whitespace().map(str::to_owned).collect();
    let prefix = |town: &String| town.len() == 9 && town.bytes().all(|byte| byte.is_ascii_digit());
    towns.iter().all(prefix).then_some(())?;
    Some((code(old)?, Change { date: date.parse().ok()?, to: code(new)?, towns, line: number }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &str, today: &[u32]) -> Result<Succession, Vec<Fault>> {
        let file = std::env::temp_dir().join(format!("succession-{}.csv", uuid::Uuid::new_v4()));
        std::fs::write(&file, format!("# s\nhead\n{rows}")).unwrap();
        let loaded = Succession::load(&file, |code| today.contains(&code));
        std::fs::remove_file(file).unwrap();
        loaded
    }

    #[test]
    fn a_chain_ends_today_and_a_split_asks_unless_the_town_tells() {
        let rows = "2012-01-01,renamed,110228,a,110300,b,,\n2015-01-01,merged,110300,b,110118,c,,\n\
                    2016-01-01,split,130421,d,130402,e,130421001,\n2016-01-01,split,130421,d,130403,f,,\n";
        let table = table(rows, &[110_118, 130_402, 130_403]).unwrap();
        assert_eq!(table.heir("110228"), Heir::One(110_118));
        assert_eq!(table.heir("130421"), Heir::OneOf(vec![130_402, 130_403]));
        assert_eq!(table.heir("130421001"), Heir::One(130_402));
        assert_eq!(table.heir("230102"), Heir::None);
    }

    #[test]
    fn a_circle_a_dead_end_and_a_code_that_stands_are_told_with_their_lines() {
        let circle =
            "2012-01-01,renamed,110228,a,110229,b,,\n2013-01-01,renamed,110229,b,110228,a,,\n";
        let faults = table(circle, &[]).unwrap_err();
        assert!(faults[0].message.contains("circle") && faults[0].line == 3, "{faults:?}");
        let dead = table("2012-01-01,renamed,110228,a,999999,b,,\n", &[]).unwrap_err();
        assert!(dead[0].message.contains("no division today"));
        let stands = table("2012-01-01,renamed,110228,a,110118,b,,\n", &[110_118, 110_228]);
        assert!(stands.unwrap_err()[0].message.contains("was not withdrawn"));
        let form = table("2012-01-01,vanished,110228,a,110118,b,,\n", &[110_118]).unwrap_err();
        assert_eq!(form[0].line, 3);
    }
}
