//! The table of administrative divisions (行政区划) down to county level: `config/divisions.csv`.
//!
//! First line: `# ` and the source. Then `code,name,level` where level is `province`,
//! `prefecture` or `county`. GB/T 2260; names in full, `黑龙江省哈尔滨市南岗区`.

use std::{collections::HashMap, fs, path::Path};

use jiff::civil::Date;

use crate::model::{
    fault::Fault,
    succession::{Heir, Succession},
};

/// Level of a division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Province (省级).
    Province,
    /// Prefecture (地级).
    Prefecture,
    /// County (县级): the level that an application's home division must at least name.
    County,
}

/// One division.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    /// Full name.
    pub name: String,
    /// Level.
    pub level: Level,
}

/// The table, and what has become of codes that were withdrawn.
#[derive(Clone, Debug, Default)]
pub struct Divisions {
    table: HashMap<u32, Division>,
    succession: Succession,
    /// The day whose divisions the table holds, as its first line names it.
    state_of: Option<Date>,
}

/// The county-level division that a code means today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Today<'a> {
    /// The code stands.
    Stands(&'a Division),
    /// It was withdrawn; this is its successor, six digits, since that year.
    Became(String, &'a Division, i16),
    /// It was split, and the code does not say into which part; six digits each.
    OneOf(Vec<String>),
    /// No such code.
    Unknown,
}

impl Divisions {
    /// Loads the table.
    ///
    /// # Errors
    /// Every faulty line.
    pub fn load(file: &Path) -> Result<Self, Vec<Fault>> {
        let text = fs::read_to_string(file)
            .map_err(|error| vec![Fault::new(file, 0, format!("cannot be read: {error}"))])?;
        let mut table = HashMap::new();
        let mut faults = Vec::new();
        for (number, line) in text.lines().enumerate().skip(2) {
            match row(line) {
                Some((code, division)) => {
                    if table.insert(code, division).is_some() {
                        faults.push(Fault::new(file, number + 1, "this code stands twice"));
                    }
                }
                None => faults.push(Fault::new(file, number + 1, "expected `code,name,level`")),
            }
        }
        if table.is_empty() {
            faults.push(Fault::new(file, 0, "holds no division"));
        }
        let succession = Succession::load(&file.with_file_name("succession.csv"), |code| {
            let county = table.get(&code).filter(|division| division.level == Level::County);
            county.map(|county| county.name.as_str())
        });
        let succession = succession.map_err(|more| faults.extend(more)).unwrap_or_default();
        let head = text.lines().next().unwrap_or_default();
        let state_of = head.split([' ', ',', ';']).find_map(|word| word.parse().ok());
        if faults.is_empty() { Ok(Self { table, succession, state_of }) } else { Err(faults) }
    }

    /// The county-level division a 6, 9 or 12-digit code belongs to: its 6-digit code and entry.
    pub fn county<'a, 'c>(&'a self, code: &'c str) -> Option<(&'c str, &'a Division)> {
        if !matches!(code.len(), 6 | 9 | 12) || !code.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let county = &code[..6];
        let division = self.table.get(&county.parse().ok()?)?;
        (division.level == Level::County).then_some((county, division))
    }

    /// What a 6, 9 or 12-digit code means today: it may have been withdrawn since it was written.
    pub fn today(&self, code: &str) -> Today<'_> {
        if let Some((_, division)) = self.county(code) {
            // Its county stands, but the town may have left it.
            let left = self.succession.left(code);
            let new =
                left.and_then(|(county, year)| Some((county, self.table.get(&county)?, year)));
            return new.map_or(Today::Stands(division), |(county, division, year)| {
                Today::Became(format!("{county:06}"), division, year)
            });
        }
        if !matches!(code.len(), 6 | 9 | 12) {
            return Today::Unknown;
        }
        let whole = code;
        match self.succession.heir(code) {
            Heir::None => Today::Unknown,
            Heir::OneOf(codes) => {
                Today::OneOf(codes.iter().map(|code| format!("{code:06}")).collect())
            }
            Heir::One(code) => match self.table.get(&code) {
                Some(division) => {
                    let year = self.succession.withdrawn_in(whole).unwrap_or_default();
                    Today::Became(format!("{code:06}"), division, year)
                }
                None => Today::Unknown,
            },
        }
    }

    /// That the table is over a year old on that day, in words for operations: the ministry
    /// publishes the changes of each year.
    pub fn stale(&self, today: Date) -> Option<String> {
        let state = self.state_of?;
        let old = state.checked_add(jiff::ToSpan::years(1)).is_ok_and(|later| later < today);
        old.then(|| {
            format!(
                "the table of divisions is of {state}, over a year old: add the changes since to \
                 config/divisions.csv and config/succession.csv from the ministry's yearly table"
            )
        })
    }

    /// Codes of counties that were withdrawn and lead to one of today.
    pub fn successions(&self) -> usize {
        self.succession.count()
    }

    /// Whether two codes mean the same county-level division today; of one that was split, a part.
    pub fn same_county(&self, one: &str, other: &str) -> bool {
        let (one, other) = (self.counties_of(one), self.counties_of(other));
        one.iter().any(|county| other.contains(county))
    }

    /// The county-level divisions that a code may mean today, six digits each.
    fn counties_of(&self, code: &str) -> Vec<String> {
        match self.today(code) {
            Today::Became(county, ..) => vec![county],
            Today::OneOf(counties) => counties,
            Today::Stands(_) | Today::Unknown => vec![code.chars().take(6).collect()],
        }
    }

    /// The county-level division, 6 digits, that a code belongs to today; `None` when it is no code
    /// of any, or the division was split and the code does not say into which part.
    pub fn county_today(&self, code: &str) -> Option<String> {
        match self.today(code) {
            Today::Stands(_) => code.get(..6).map(str::to_owned),
            Today::Became(county, ..) => Some(county),
            Today::OneOf(_) | Today::Unknown => None,
        }
    }

    /// The entry of a 6-digit code of any level.
    pub fn get(&self, code: &str) -> Option<&Division> {
        self.table.get(&code.parse().ok()?)
    }

    /// Every county-level code, in no order.
    pub fn counties(&self) -> impl Iterator<Item = u32> {
        self.table.iter().filter(|(_, d)| d.level == Level::County).map(|(code, _)| *code)
    }
}

fn row(line: &str) -> Option<(u32, Division)> {
    let mut cells = line.split(',');
    let (code, name, level) = (cells.next()?, cells.next()?, cells.next()?);
    let level = match level {
        "province" => Level::Province,
        "prefecture" => Level::Prefecture,
        "county" => Level::County,
        _ => return None,
    };
    let whole = code.len() == 6 && !name.is_empty() && cells.next().is_none();
    whole.then_some(())?;
    Some((code.parse().ok()?, Division { name: name.to_owned(), level }))
}
