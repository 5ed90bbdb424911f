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
    covered: Covered,
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
    office: String,
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
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Routes(HashMap<(Business, String), Vec<Route>>);

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
        let covered = (date(&table.covered.from), date(&table.covered.until));
        if let (Some(from), Some(until)) = covered
            && from <= until
        {
            let gaps = routes.gaps(divisions, (from, until));
            faults.extend(gaps.into_iter().map(|gap| Fault::new(file, 0, gap)));
        } else {
            faults.push(Fault::new(
                file,
                1,
                "`covered` must hold two dates, `from` not after `until`",
            ));
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
        for name in &entry.businesses {
            let Some(business) = Business::from_code(name.get_ref()) else {
                say(name.span(), format!("`{}` is no business", name.get_ref()));
                continue;
            };
            for division in &entry.divisions {
                let code = division.get_ref();
                if !is_division(code, divisions) {
                    say(division.span(), format!("`{code}` is no division of the table"));
                    continue;
                }
                let authority = Authority { level, office: entry.office.clone() };
                let there = self.0.entry((business, code.clone())).or_default();
                if there.iter().any(|other| other.from <= until && from <= other.until) {
                    let text =
                        format!("`{code}` has two authorities for {} on one day", business.code());
                    say(division.span(), text);
                }
                there.push(Route { from, until, authority });
            }
        }
    }

    /// Who decides the business in a county (six digits) on that day.
    pub fn authority(&self, business: Business, county: &str, day: Date) -> Option<&Authority> {
        [6, 4, 2, 0].into_iter().find_map(|length| {
            let prefix = county.get(..length)?;
            let there = self.0.get(&(business, prefix.to_owned()))?;
            let route = there.iter().find(|route| route.from <= day && day <= route.until)?;
            Some(&route.authority)
        })
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
                let there = self.0.get(&(business, county.get(..length)?.to_owned()))?;
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
        let all: Vec<String> = Business::ALL.iter().map(|b| format!("\"{}\"", b.code())).collect();
        format!(
            "[[route]]\nbusinesses = [{}]\ndivisions = [{divisions}]\n{dates}\nlevel = \"county\"\n\
             office = \"x\"\nsource = \"s\"\n",
            all.join(", ")
        )
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
        assert!(twice[0].1.contains("two authorities") && twice[0].0 == 11, "{twice:?}");
        let unknown = faults(&(whole.clone() + &route("\"239999\"", "from = 2020-01-01")));
        assert!(unknown[0].1.contains("no division"), "{unknown:?}");
        let never = route("\"23\"", "from = 2025-01-01\nuntil = 2024-01-01");
        assert!(faults(&(whole.clone() + &never))[0].1.contains("never holds"));
        let business = whole.replace("child_recognition", "divination");
        assert!(faults(&business).iter().any(|fault| fault.1.contains("`divination`")));
    }
}
