//! Changes of county-level divisions (行政区划变更): merged, split, renamed, recoded, raised to another
//! kind. `config/succession.csv` beside the table of divisions: first line `# ` and the source, then
//! `date,kind,old_code,old_name,new_code,new_name,towns,note`. A split has a row for each part;
//! `towns` may hold the 9-digit prefixes that went to it, with spaces between. A county that lost
//! towns and stands has a row that must name them.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use jiff::civil::Date;

use crate::model::{clock, fault::Fault};

/// One row: where a withdrawn code went.
#[derive(Clone, Debug)]
struct Change {
    date: Date,
    /// One code became several.
    split: bool,
    to: u32,
    name: String,
    towns: Vec<String>,
    line: usize,
}

/// What has become of withdrawn codes.
#[derive(Clone, Debug, Default)]
pub struct Succession {
    /// Codes of counties that were withdrawn.
    withdrawn: BTreeMap<u32, Vec<Change>>,
    /// Towns that left a county which stands: nine digits, the county they went to, the year.
    left: HashMap<u32, (u32, i16)>,
}

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
    /// Reads the table; `name` is what a county-level division that stands today is called.
    ///
    /// # Errors
    /// Every faulty line, every code that leads nowhere or into two without a split, every circle.
    pub fn load<'n>(
        file: &Path,
        name: impl Fn(u32) -> Option<&'n str>,
    ) -> Result<Self, Vec<Fault>> {
        let stands = |code: u32| name(code).is_some();
        let text = std::fs::read_to_string(file)
            .map_err(|error| vec![Fault::new(file, 0, format!("cannot be read: {error}"))])?;
        let (mut table, mut faults) = (Self::default(), Vec::new());
        for (number, line) in text.lines().enumerate().skip(2) {
            let line_number = number + 1;
            let read = row(line, line_number);
            if let Some((old, change)) = &read
                && let Some(text) = table.odd(*old, change, name(change.to))
            {
                faults.push(Fault::new(file, line_number, text));
            }
            match read {
                Some((old, change)) if stands(old) => {
                    let fault = table.take_away(old, &change, &stands);
                    faults.extend(fault.map(|text| Fault::new(file, line_number, text)));
                }
                Some((old, change)) => {
                    let parts = table.withdrawn.entry(old).or_default();
                    if parts.iter().any(|other| other.to == change.to) {
                        let text = format!("{old} leads to {} twice", change.to);
                        faults.push(Fault::new(file, line_number, text));
                    }
                    parts.push(change);
                }
                None => faults.push(Fault::new(
                    file,
                    line_number,
                    "expected `date,kind,old_code,old_name,new_code,new_name,towns,note`",
                )),
            }
        }
        for (old, changes) in &table.withdrawn {
            let line = changes.first().map_or(0, |change| change.line);
            if let Some(text) = table.end(*old, &mut Vec::new(), &stands) {
                faults.push(Fault::new(file, line, text));
            }
        }
        if faults.is_empty() { Ok(table) } else { Err(faults) }
    }

    /// What cannot be of a row beside those before it.
    fn odd(&self, old: u32, change: &Change, heir: Option<&str>) -> Option<String> {
        if change.date > clock::china_date(clock::now_micros()) {
            return Some(format!("{old} is gone only from {} on: add the row then", change.date));
        }
        if let Some(heir) = heir.filter(|heir| !heir.ends_with(&change.name)) {
            return Some(format!("{} is called {heir} today, not {}", change.to, change.name));
        }
        let before = self.withdrawn.get(&old).into_iter().flatten();
        for other in before {
            if !(change.split && other.split) {
                return Some(format!("{old} has two successors; only a split has"));
            }
            if let Some(town) = change.towns.iter().find(|town| other.towns.contains(town)) {
                return Some(format!("{town} went to {} and to {}", other.to, change.to));
            }
        }
        None
    }

    /// Notes the towns that left a county which stands, or says what is wrong with the row.
    fn take_away(
        &mut self,
        old: u32,
        change: &Change,
        stands: &impl Fn(u32) -> bool,
    ) -> Option<String> {
        if change.towns.is_empty() {
            let text = "stands in the table of divisions; it was not withdrawn: take it out, or \
                        name the towns that left it";
            return Some(format!("{old} {text}"));
        }
        let to = change.to;
        if !stands(to) || to == old {
            return Some(format!("{old} leads to {to}, which is no other division of today"));
        }
        let towns = change.towns.iter().filter_map(|town| town.parse::<u32>().ok());
        let mut twice = None;
        for town in towns {
            if self.left.insert(town, (to, change.date.year())).is_some() {
                twice = Some(format!("{town} left {old} twice"));
            }
        }
        twice
    }

    /// The county that a township (9 or 12 digits) left its own for, and the year.
    pub fn left(&self, code: &str) -> Option<(u32, i16)> {
        self.left.get(&code.get(..9)?.parse().ok()?).copied()
    }

    /// What is wrong with the ways that lead on from a code; `way` is how it was come to.
    fn end(&self, old: u32, way: &mut Vec<u32>, stands: &impl Fn(u32) -> bool) -> Option<String> {
        if way.contains(&old) {
            return Some(format!("{} comes back to {old}: a circle", way[0]));
        }
        way.push(old);
        let changes = self.withdrawn.get(&old).into_iter().flatten();
        let fault = changes.filter(|change| !stands(change.to)).find_map(|change| {
            let to = change.to;
            if let Some(next) = self.withdrawn.get(&to) {
                let gone = next.iter().any(|next| next.date < change.date);
                let late = gone.then(|| format!("{old} leads to {to}, gone by {}", change.date));
                self.end(to, way, stands).or(late)
            } else {
                Some(format!("{old} leads to {to}, which is no division today"))
            }
        });
        way.pop();
        fault
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
        let Some(changes) = self.withdrawn.get(&old) else { return };
        let town = |change: &&Change| {
            change.towns.iter().any(|town| code.len() >= 9 && code.starts_with(town.as_str()))
        };
        let named: Vec<&Change> = changes.iter().filter(town).collect();
        let parts = if named.is_empty() { changes.iter().collect() } else { named };
        for change in parts {
            if self.withdrawn.contains_key(&change.to) {
                self.follow(change.to, "", ends);
            } else {
                ends.push(change.to);
            }
        }
    }

    /// The year in which the code was withdrawn.
    pub fn withdrawn_in(&self, code: &str) -> Option<i16> {
        let old: u32 = code.get(..6)?.parse().ok()?;
        self.withdrawn.get(&old)?.first().map(|change| change.date.year())
    }

    /// How many codes have been withdrawn.
    pub fn count(&self) -> usize {
        self.withdrawn.len()
    }
}

fn row(line: &str, number: usize) -> Option<(u32, Change)> {
    let cells: Vec<&str> = line.split(',').collect();
    let [date, kind, old, _, new, name, towns, _] = cells[..] else { return None };
    let code = |text: &str| (text.len() == 6).then(|| text.parse().ok()).flatten();
    KINDS.contains(&kind).then_some(())?;
    let towns: Vec<String> = towns.split_whitespace().map(str::to_owned).collect();
    let prefix = |town: &String| town.len() == 9 && town.bytes().all(|byte| byte.is_ascii_digit());
    let own = |town: &String| prefix(town) && town.starts_with(old);
    towns.iter().all(own).then_some(())?;
    let (date, to, split) = (date.parse().ok()?, code(new)?, kind == "split");
    Some((code(old)?, Change { date, split, to, name: name.to_owned(), towns, line: number }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &str, today: &[u32]) -> Result<Succession, Vec<Fault>> {
        let file = std::env::temp_dir().join(format!("succession-{}.csv", uuid::Uuid::new_v4()));
        std::fs::write(&file, format!("# s\nhead\n{rows}")).unwrap();
        // What stands is called as the last row that leads there says.
        let names = rows.lines().filter_map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            Some((cells.get(4)?.parse::<u32>().ok()?, *cells.get(5)?))
        });
        let names: HashMap<u32, &str> = names.collect();
        let name = |code: u32| names.get(&code).copied().unwrap_or("某省某县");
        let loaded = Succession::load(&file, |code| today.contains(&code).then(|| name(code)));
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
    fn parts_of_a_split_that_merge_again_are_no_circle() {
        let rows = "2012-01-01,split,110228,a,110301,b,,\n2012-01-01,split,110228,a,110302,c,,\n\
                    2014-01-01,merged,110301,b,110303,d,,\n2014-01-01,merged,110302,c,110303,d,,\n\
                    2016-01-01,renamed,110303,d,110118,e,,\n";
        assert_eq!(table(rows, &[110_118]).unwrap().heir("110228"), Heir::One(110_118));
    }

    #[test]
    fn towns_that_left_a_county_which_stands_are_known_by_their_digits() {
        let row = "2021-04-09,split,330110,a,330113,b,330110001,\n";
        let found = table(row, &[330_110, 330_113]).unwrap();
        assert_eq!(found.left("330110001"), Some((330_113, 2021)));
        assert_eq!(found.left("330110001002"), Some((330_113, 2021)));
        assert_eq!((found.left("330110002"), found.left("330110")), (None, None));
        let gone = table(row, &[330_110]).unwrap_err();
        assert!(gone[0].message.contains("no other division"), "{gone:?}");
        let twice = table(&row.repeat(2), &[330_110, 330_113]).unwrap_err();
        assert!(twice[0].line == 4 && twice[0].message.contains("twice"), "{twice:?}");
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
        let twice = "2012-01-01,split,110228,a,110118,b,,\n2012-01-01,split,110228,a,110118,b,,\n";
        assert!(table(twice, &[110_118]).unwrap_err()[0].message.contains("twice"));
        let foreign = "2012-01-01,split,110228,a,110118,b,110229001,\n";
        assert_eq!(table(foreign, &[110_118]).unwrap_err()[0].line, 3);
        let says = |rows: &str, today: &[u32], what: &str| {
            let faults = table(rows, today).unwrap_err();
            assert!(faults.iter().any(|fault| fault.message.contains(what)), "{faults:?}");
        };
        let two = "2012-01-01,merged,110228,a,110118,b,,\n2012-01-01,merged,110228,a,110119,c,,\n";
        says(two, &[110_118, 110_119], "only a split");
        let town = "2012-01-01,split,110228,a,110118,b,110228001,\n\
                    2012-01-01,split,110228,a,110119,c,110228001,\n";
        says(town, &[110_118, 110_119], "went to");
        says("2099-01-01,renamed,110228,a,110118,b,,\n", &[110_118], "add the row then");
        let late =
            "2015-01-01,merged,110228,a,110300,b,,\n2012-01-01,renamed,110300,b,110118,c,,\n";
        says(late, &[110_118], "gone by");
        let called =
            "2012-01-01,merged,110228,a,110118,b,,\n2013-01-01,merged,110229,d,110118,c,,\n";
        says(called, &[110_118], "is called");
        let form = table("2012-01-01,vanished,110228,a,110118,b,,\n", &[110_118]).unwrap_err();
        assert_eq!(form[0].line, 3);
    }
}
