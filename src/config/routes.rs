//! Who decides what where, from when until when: `routes.toml`. The longest division that fits
//! decides; the table must leave no county without an authority on any day that it covers.
//! Depends on model only.

use std::{collections::HashMap, fs, ops::Range, path::Path};

use jiff::{ToSpan as _, civil::Date};
use serde::Deserialize;
use toml::Spanned;

use crate::model::{
    divisions::Divisions,
    fault::Fault,
    pb::{AuthorityLevel, Business},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    covered: Spanned<Covered>,
    #[serde(default, rename = "route")]
    routes: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Covered {
    from: toml::value::Datetime,
    until: toml::value::Datetime,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    businesses: Vec<Spanned<String>>,
    /// Prefixes of division codes: `""` the whole country, `"23"`, `"2301"`, `"230102"`.
    divisions: Vec<Spanned<String>>,
    from: Spanned<toml::value::Datetime>,
    until: Option<Spanned<toml::value::Datetime>>,
    level: Level,
    /// `{name}` is the county's name.
    office: Spanned<String>,
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    County,
    Township,
    Registry,
}

/// Who decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// At which level.
    pub level: AuthorityLevel,
    /// What the office is called; `{name}` is the county's name.
    pub office: String,
}

#[derive(Clone, Debug)]
struct Route {
    from: Date,
    until: Date,
    authority: Authority,
    /// Where its division stands in the file.
    at: Range<usize>,
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    table: HashMap<(Business, String), Vec<Route>>,
    /// The days on which every county has an authority for every business.
    covered: Option<(Date, Date)>,
}

impl Routes {
    /// Reads the table and proves that it leaves no gap.
    ///
    /// # Errors
    /// Every fault: unknown business or division, dates that never hold, two routes for one
    /// division on one day, a county without an authority on some day of the covered range.
    pub fn load(file: &Path, divisions: &Divisions) -> Result<Self, Vec<Fault>> {
        let text = fs::read_to_string(file)
            .map_err(|error| vec![Fault::new(file, 0, format!("cannot be read: {error}"))])?;
        let at = |span: &Range<usize>| {
            text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1)
        };
        let table: File = toml::from_str(&text).map_err(|error| {
            let line = at(&error.span().unwrap_or_default());
            vec![Fault::new(file, line, error.message().to_owned())]
        })?;
        let (mut routes, mut faults) = (Self::default(), Vec::new());
        for entry in &table.routes {
            let mut say =
                |span: Range<usize>, text: String| faults.push(Fault::new(file, at(&span), text));
            routes.add(entry.get_ref(), divisions, &mut say);
        }
        let covered = (date(&table.covered.get_ref().from), date(&table.covered.get_ref().until));
        if let (Some(from), Some(until)) = covered
            && from <= until
        {
            routes.covered = Some((from, until));
            let line = at(&table.covered.span());
            let gaps = routes.gaps(divisions, (from, until));
            faults.extend(gaps.into_iter().map(|gap| Fault::new(file, line, gap)));
            for (span, text) in routes.never(divisions) {
                faults.push(Fault::new(file, at(&span), text));
            }
        } else {
            let text = "`covered` must hold two dates, `from` not after `until`";
            faults.push(Fault::new(file, at(&table.covered.span()), text));
        }
        if faults.is_empty() { Ok(routes) } else { Err(faults) }
    }

    fn add(
        &mut self,
        entry: &Entry,
        divisions: &Divisions,
        say: &mut impl FnMut(Range<usize>, String),
    ) {
        let until = entry.until.as_ref().map_or(Some(Date::MAX), |until| date(until.get_ref()));
        let (Some(from), Some(until)) = (date(entry.from.get_ref()), until) else {
            say(entry.from.span(), "`from` and `until` must be dates: 2026-01-31".into());
            return;
        };
        if until < from {
            say(entry.from.span(), "`until` is before `from`: the route never holds".into());
        }
        let level = match entry.level {
            Level::County => AuthorityLevel::County,
            Level::Township => AuthorityLevel::Township,
            Level::Registry => AuthorityLevel::Registry,
        };
        if let Some(text) = odd_office(entry.office.get_ref()) {
            say(entry.office.span(), text);
        }
        for name in &entry.businesses {
            let Some(business) = Business::from_code(name.get_ref()) else {
                say(name.span(), format!("`{}` is no business", name.get_ref()));
                continue;
            };
            if decided_by_a_registry(business) != (level == AuthorityLevel::Registry) {
                let text = "marriage and divorce are decided by a registry, and nothing else is";
                say(name.span(), format!("`{}`: {text}", name.get_ref()));
            }
            for division in &entry.divisions {
                let code = division.get_ref();
                if !is_division(code, divisions) {
                    say(division.span(), format!("`{code}` is no division of the table"));
                    continue;
                }
                let authority = Authority { level, office: entry.office.get_ref().clone() };
                let there = self.table.entry((business, code.clone())).or_default();
                if there.iter().any(|other| other.from <= until && from <= other.until) {
                    let text =
                        format!("`{code}` has two authorities for {} on one day", business.code());
                    say(division.span(), text);
                }
                there.push(Route { from, until, authority, at: division.span() });
            }
        }
    }

    /// Who decides the business in a county (six digits) on that day.
    pub fn authority(&self, business: Business, county: &str, day: Date) -> Option<&Authority> {
        [6, 4, 2, 0].into_iter().find_map(|length| {
            let prefix = county.get(..length)?;
            let there = self.table.get(&(business, prefix.to_owned()))?;
            let route = there.iter().find(|route| route.from <= day && day <= route.until)?;
            Some(&route.authority)
        })
    }

    /// The days on which every county has an authority for every business.
    pub fn covered(&self) -> Option<(Date, Date)> {
        self.covered
    }

    /// The routes that decide nowhere, since lines of smaller divisions decide everywhere in theirs.
    fn never(&self, divisions: &Divisions) -> Vec<(Range<usize>, String)> {
        let mut told = Vec::new();
        for ((business, division), routes) in &self.table {
            let counties: Vec<String> = divisions
                .counties()
                .map(|county| format!("{county:06}"))
                .filter(|county| county.starts_with(division.as_str()))
                .collect();
            for route in routes {
                let decides = counties.iter().any(|county| {
                    let days = self.days_of_change(*business, county, route);
                    days.into_iter().any(|day| {
                        let decider = self.authority(*business, county, day);
                        decider.is_some_and(|decider| std::ptr::eq(decider, &route.authority))
                    })
                });
                if !decides {
                    let text = format!(
                        "`{division}` decides {} nowhere: smaller divisions have lines of their own",
                        business.code()
                    );
                    told.push((route.at.clone(), text));
                }
            }
        }
        told
    }

    /// The days of a route on which another decider may begin in a county.
    fn days_of_change(&self, business: Business, county: &str, route: &Route) -> Vec<Date> {
        let longer = [2, 4, 6].into_iter().filter_map(|length| county.get(..length));
        let lines = longer.filter_map(|prefix| self.table.get(&(business, prefix.to_owned())));
        let ends = lines.flatten().filter_map(|line| line.until.checked_add(1.day()).ok());
        let within = |day: &Date| route.from <= *day && *day <= route.until;
        std::iter::once(route.from).chain(ends.filter(within)).collect()
    }

    /// Each business and county with its first day without an authority, alike ones together.
    fn gaps(&self, divisions: &Divisions, covered: (Date, Date)) -> Vec<String> {
        let mut found: HashMap<(Business, Date), Vec<String>> = HashMap::new();
        for county in divisions.counties() {
            let county = format!("{county:06}");
            for business in Business::ALL {
                if let Some(day) = self.gap(business, &county, covered) {
                    found.entry((business, day)).or_default().push(county.clone());
                }
            }
        }
        let mut told: Vec<String> = found
            .into_iter()
            .map(|((business, day), mut counties)| {
                counties.sort();
                let more = counties.len() - 1;
                let first = &counties[0];
                let others = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("{} has no authority in {first}{others} on {day}", business.code())
            })
            .collect();
        told.sort();
        told
    }

    /// The first covered day on which nobody decides: the day after some route ends, or the first.
    fn gap(&self, business: Business, county: &str, (from, until): (Date, Date)) -> Option<Date> {
        let mut day = from;
        while day <= until {
            let end = [0, 2, 4, 6].into_iter().filter_map(|length| {
                let there = self.table.get(&(business, county.get(..length)?.to_owned()))?;
                let fits = there.iter().filter(|route| route.from <= day && day <= route.until);
                fits.map(|route| route.until).max()
            });
            // Covered up to the last end among those that hold today; then look again.
            match end.max() {
                None => return Some(day),
                Some(end) if end >= until => return None,
                Some(end) => day = end.checked_add(1.day()).ok()?,
            }
        }
        None
    }
}

/// Couples are served by registries (婚姻登记机关), everybody else by offices.
fn decided_by_a_registry(business: Business) -> bool {
    matches!(business, Business::MarriageRegistration | Business::DivorceRegistration)
}

/// What is wrong with the name of an office.
fn odd_office(office: &str) -> Option<String> {
    let rest = office.replace("{name}", "");
    if rest.trim().is_empty() {
        return Some("`office` must say what the office is called".into());
    }
    rest.contains(['{', '}']).then(|| "`office` can only hold {name}, the county's name".into())
}

fn date(text: &toml::value::Datetime) -> Option<Date> {
    text.to_string().parse().ok()
}

/// The whole country, a province, a prefecture or a county.
fn is_division(code: &str, divisions: &Divisions) -> bool {
    match code.len() {
        0 => true,
        2 => divisions.get(&format!("{code}0000")).is_some(),
        4 => divisions.counties().any(|county| format!("{county:06}").starts_with(code)),
        6 => divisions.county(code).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn divisions() -> Divisions {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        Divisions::load(&folder.join("divisions.csv")).unwrap()
    }

    fn committed() -> Routes {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        Routes::load(&folder.join("routes.toml"), &divisions()).unwrap()
    }

    fn faults(routes: &str) -> Vec<(usize, String)> {
        faults_of("covered = { from = 2020-01-01, until = 2030-12-31 }\n", routes)
    }

    fn faults_of(covered: &str, routes: &str) -> Vec<(usize, String)> {
        let file = std::env::temp_dir().join(format!("routes-{}.toml", uuid::Uuid::new_v4()));
        fs::write(&file, format!("{covered}{routes}")).unwrap();
        let loaded = Routes::load(&file, &divisions());
        fs::remove_file(file).unwrap();
        loaded.err().unwrap_or_default().into_iter().map(|f| (f.line, f.message)).collect()
    }

    fn route(divisions: &str, dates: &str) -> String {
        let one = |level: &str, couples: bool| {
            let of = Business::ALL.into_iter().filter(|b| decided_by_a_registry(*b) == couples);
            let all: Vec<String> = of.map(|business| format!("\"{}\"", business.code())).collect();
            format!(
                "[[route]]\nbusinesses = [{}]\ndivisions = [{divisions}]\n{dates}\n\
                 level = \"{level}\"\noffice = \"x\"\nsource = \"s\"\n",
                all.join(", ")
            )
        };
        one("county", false) + &one("registry", true)
    }

    #[test]
    fn power_that_a_county_handed_down_is_the_townships_from_its_day() {
        let routes = committed();
        let level =
            |county, day| routes.authority(Business::SocialAssistance, county, day).unwrap().level;
        assert_eq!(level("230103", date(2020, 12, 31)), AuthorityLevel::County);
        assert_eq!(level("230103", date(2021, 1, 1)), AuthorityLevel::Township);
        assert_eq!(level("440305", date(2026, 1, 1)), AuthorityLevel::County);
        let marriage = routes.authority(Business::MarriageRegistration, "230103", date(2026, 1, 1));
        assert_eq!(marriage.unwrap().level, AuthorityLevel::Registry);
    }

    #[test]
    fn a_county_without_an_authority_is_told_with_its_first_day() {
        assert_eq!(faults(&route("\"\"", "from = 2020-01-01")), []);
        let backwards = "covered = { from = 2030-01-01, until = 2020-12-31 }\n";
        assert!(faults_of(backwards, "")[0].1.contains("`from` not after"), "nothing is proved");
        let late = faults(&route("\"\"", "from = 2021-01-01"));
        assert_eq!(late.len(), 6, "{late:?}");
        assert!(late[0].1.contains("more on 2020-01-01"), "{late:?}");
        let hole = route("\"\"", "from = 2020-01-01\nuntil = 2025-06-30")
            + &route("\"\"", "from = 2025-07-02");
        assert!(faults(&hole)[0].1.ends_with("on 2025-07-01"));
        // A longer division fills what the shorter one leaves, for its own counties only.
        let part = hole + &route("\"23\"", "from = 2025-07-01\nuntil = 2025-07-01");
        let told = faults(&part);
        assert!(told[0].1.contains("in 11"), "{told:?}");
    }

    #[test]
    fn overlaps_unknown_names_and_dates_that_never_hold_are_told_with_their_lines() {
        let whole = route("\"\"", "from = 2020-01-01");
        let twice = faults(&(whole.clone() + &route("\"\"", "from = 2029-01-01")));
        assert!(twice[0].1.contains("two authorities") && twice[0].0 == 18, "{twice:?}");
        let unknown = faults(&(whole.clone() + &route("\"239999\"", "from = 2020-01-01")));
        assert!(unknown[0].1.contains("no division"), "{unknown:?}");
        let never = route("\"23\"", "from = 2025-01-01\nuntil = 2024-01-01");
        assert!(faults(&(whole.clone() + &never))[0].1.contains("never holds"));
        let business = whole.replace("child_recognition", "divination");
        assert!(faults(&business).iter().any(|fault| fault.1.contains("`divination`")));
    }

    #[test]
    fn levels_names_and_lines_that_decide_nowhere_are_told() {
        let whole = route("\"\"", "from = 2020-01-01");
        let says = |text: &str, line: usize, what: &str| {
            let told = faults(text);
            assert!(told.iter().any(|f| f.0 == line && f.1.contains(what)), "{told:?}");
        };
        says(&whole.replace("level = \"registry\"", "level = \"township\""), 10, "by a registry");
        says(&whole.replace("level = \"county\"", "level = \"registry\""), 3, "nothing else is");
        says(&whole.replace("office = \"x\"", "office = \" \""), 7, "what the office is called");
        says(&whole.replace("office = \"x\"", "office = \"{nam}局\""), 7, "only hold {name}");
        assert_eq!(faults(&whole.replace("office = \"x\"", "office = \"{name}民政局\"")), []);
        // All four districts of 三亚市 have lines of their own: its own line decides nowhere.
        let districts = "\"460202\", \"460203\", \"460204\", \"460205\"";
        let counties = route(districts, "from = 2020-01-01");
        let city = route("\"4602\"", "from = 2021-01-01");
        says(&(whole.clone() + &counties + &city), 32, "decides disability_subsidy nowhere");
        let ended = counties.replace("from = 2020-01-01", "from = 2020-01-01\nuntil = 2025-12-31");
        assert_eq!(faults(&(whole.clone() + &ended + &city)), [], "it does from 2026 on");
    }
}
