//! The official calendar (工作日历): which days are working days, and where a limit counted in days
//! ends. `config/calendar/<year>.csv`: first line `# ` and the source, then `date,day,name` where
//! day is `off` (a holiday, or a weekday exchanged for one) or `work` (a weekend day worked
//! instead, 调休). All other days are as the week has them.
//!
//! 全国年节及纪念日放假办法; each year's notice of the State Council's General Office. Counting: Civil
//! Code art. 201 (the first day is not counted) and art. 203 (a last day that is a rest day moves).

use std::{collections::HashMap, fs, path::Path};

use jiff::civil::{Date, Weekday};

use crate::model::fault::Fault;

/// Longest run of rest days that is believed; eight or nine is the most there has been.
const LONGEST_REST: u16 = 31;
/// How many days ahead the calendar must be known.
const REACH: u16 = 90;

/// The working days of the published years; beyond them an estimate.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    /// Days that are not as the week has them: whether they are worked.
    exceptions: HashMap<Date, bool>,
    /// First and last published year.
    years: Option<(i16, i16)>,
}

/// The last day of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The day.
    pub day: Date,
    /// A year whose calendar is not published took part in the count.
    pub estimated: bool,
}

impl Calendar {
    /// Loads every year.
    ///
    /// # Errors
    /// Every faulty line, and a year that is missing between two others.
    pub fn load(folder: &Path) -> Result<Self, Vec<Fault>> {
        let listed = fs::read_dir(folder)
            .map_err(|error| vec![Fault::new(folder, 0, format!("cannot be read: {error}"))])?;
        let files = listed.filter_map(Result::ok).map(|entry| entry.path());
        let mut files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|end| end == "csv")).collect();
        files.sort();
        let (mut calendar, mut faults, mut years) = (Self::default(), Vec::new(), Vec::new());
        for file in &files {
            let year = file.file_stem().and_then(|stem| stem.to_str()?.parse::<i16>().ok());
            match year {
                Some(year) => {
                    years.push(year);
                    calendar.add(file, year, &mut faults);
                }
                None => faults.push(Fault::new(file, 0, "must be named after its year: 2026.csv")),
            }
        }
        if let (Some(first), Some(last)) = (years.first(), years.last()) {
            calendar.years = Some((*first, *last));
            for year in (*first..*last).filter(|year| !years.contains(year)) {
                let text = format!("{year}.csv is missing between {first} and {last}");
                faults.push(Fault::new(folder, 0, text));
            }
        } else {
            faults.push(Fault::new(folder, 0, "holds no year"));
        }
        if faults.is_empty() { Ok(calendar) } else { Err(faults) }
    }

    fn add(&mut self, file: &Path, year: i16, faults: &mut Vec<Fault>) {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                faults.push(Fault::new(file, 0, format!("cannot be read: {error}")));
                return;
            }
        };
        for (number, line) in text.lines().enumerate().skip(2) {
            let mut say = |text: &str| faults.push(Fault::new(file, number + 1, text));
            let mut cells = line.split(',');
            let date = cells.next().and_then(|cell| cell.parse::<Date>().ok());
            let (Some(date), Some(day), Some(_), None) =
                (date, cells.next(), cells.next(), cells.next())
            else {
                say("expected `date,day,name`");
                continue;
            };
            let worked = match day {
                "off" => false,
                "work" => true,
                _ => {
                    say("the day must be `off` or `work`");
                    continue;
                }
            };
            if date.year() != year {
                say("is a day of another year");
            }
            if worked && !is_weekend(date) {
                say("is a weekday, worked anyway");
            }
            if self.exceptions.insert(date, worked).is_some() {
                say("stands twice");
            }
        }
    }

    /// Whether the year's own calendar is in the table.
    pub fn is_published(&self, year: i16) -> bool {
        self.years.is_some_and(|(first, last)| (first..=last).contains(&year))
    }

    /// First and last published year.
    pub fn years(&self) -> Option<(i16, i16)> {
        self.years
    }

    /// The last published year.
    pub fn last_published(&self) -> Option<i16> {
        self.years.map(|(_, last)| last)
    }

    /// What is missing of the calendar on that day, in words for operations: limits that reach into
    /// an unpublished year are estimates. The next year's is published in November; the longest
    /// limits, both of a divorce, reach two to three months ahead.
    pub fn missing(&self, today: Date) -> Option<String> {
        let reach = [today, later(today, REACH)];
        let year = reach.into_iter().map(Date::year).find(|year| !self.is_published(*year))?;
        Some(format!(
            "no working days are published for {year}: limits that reach into it are estimates; \
             add config/calendar/{year}.csv from the State Council's notice"
        ))
    }

    /// Whether the day is worked. In a year without a calendar: Monday to Friday but for the
    /// holidays of fixed date.
    pub fn is_working(&self, day: Date) -> bool {
        match self.exceptions.get(&day) {
            Some(worked) => *worked,
            None => !is_weekend(day) && (self.is_published(day.year()) || !is_fixed_holiday(day)),
        }
    }

    /// The day `count` working days after `from`, which is not counted.
    pub fn after_working_days(&self, from: Date, count: u16) -> Due {
        let (mut day, mut left) = (from, count);
        let most = count.saturating_mul(3).saturating_add(LONGEST_REST);
        for _ in 0..most {
            if left == 0 {
                break;
            }
            day = day.tomorrow().unwrap_or(day);
            left -= u16::from(self.is_working(day));
        }
        self.due(from, day)
    }

    /// The day `count` days after `from`, which is not counted; with `roll` a last day that is a
    /// rest day moves to the first working day after it.
    pub fn after_days(&self, from: Date, count: u16, roll: bool) -> Due {
        let mut day = later(from, count);
        for _ in 0..LONGEST_REST {
            if !roll || self.is_working(day) {
                break;
            }
            day = later(day, 1);
        }
        self.due(from, day)
    }

    /// Working days after `from` up to and including `to`; negative when `to` is before `from`.
    pub fn working_days_between(&self, from: Date, to: Date) -> i32 {
        let (first, last, sign) = if from <= to { (from, to, 1) } else { (to, from, -1) };
        let days = first.series(jiff::ToSpan::day(1)).skip(1).take_while(|day| *day <= last);
        sign * i32::try_from(days.filter(|day| self.is_working(*day)).count()).unwrap_or(i32::MAX)
    }

    fn due(&self, from: Date, day: Date) -> Due {
        Due { day, estimated: (from.year()..=day.year()).any(|year| !self.is_published(year)) }
    }
}

/// `count` days after `day`; at the end of time, that.
fn later(day: Date, count: u16) -> Date {
    day.checked_add(jiff::ToSpan::days(i64::from(count))).unwrap_or(Date::MAX)
}

fn is_weekend(day: Date) -> bool {
    matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// Holidays of fixed date by the 2024 text of 全国年节及纪念日放假办法 art. 2.
fn is_fixed_holiday(day: Date) -> bool {
    matches!((day.month(), day.day()), (1, 1) | (5, 1 | 2) | (10, 1..=3))
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn official() -> Calendar {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/calendar");
        Calendar::load(&folder).unwrap()
    }

    #[test]
    fn spring_festival_national_day_and_their_make_up_days_are_counted() {
        let calendar = official();
        let after = |from, count| calendar.after_working_days(from, count).day;
        // 2026: Saturday 14 February is worked, 15 to 23 are off, Saturday 28 is worked.
        assert_eq!(after(date(2026, 2, 13), 1), date(2026, 2, 14));
        assert_eq!(after(date(2026, 2, 13), 2), date(2026, 2, 24));
        assert_eq!(after(date(2026, 2, 13), 6), date(2026, 2, 28));
        // 2025: Sunday 28 September is worked, 1 to 8 October are off, Saturday 11 is worked.
        assert_eq!(after(date(2025, 9, 26), 3), date(2025, 9, 30));
        assert_eq!(after(date(2025, 9, 30), 1), date(2025, 10, 9));
        assert_eq!(after(date(2025, 9, 30), 3), date(2025, 10, 11));
        // 29 February 2024 was a working Thursday.
        assert_eq!(after(date(2024, 2, 28), 1), date(2024, 2, 29));
        assert_eq!(calendar.after_days(date(2024, 1, 30), 30, true).day, date(2024, 2, 29));
    }

    #[test]
    fn a_last_day_of_rest_moves_to_the_first_working_day() {
        let calendar = official();
        // The thirtieth day is 16 February 2026, within the Spring Festival.
        assert_eq!(calendar.after_days(date(2026, 1, 17), 30, true).day, date(2026, 2, 24));
        assert_eq!(calendar.after_days(date(2026, 1, 17), 30, false).day, date(2026, 2, 16));
        // A worked Saturday is no day of rest.
        assert_eq!(calendar.after_days(date(2026, 1, 15), 30, true).day, date(2026, 2, 14));
    }

    #[test]
    fn a_year_without_calendar_makes_an_estimate_that_says_so() {
        let calendar = official();
        let last = calendar.last_published().unwrap();
        let published = calendar.after_working_days(date(last, 12, 1), 10);
        assert!(!published.estimated);
        let due = calendar.after_working_days(date(last, 12, 30), 3);
        assert!(due.estimated);
        assert!(!calendar.is_working(date(last + 1, 1, 1)), "a holiday of fixed date");
        assert!(Calendar::default().after_working_days(date(2026, 3, 2), 5).estimated);
    }

    #[test]
    fn every_fault_of_a_year_is_told_with_its_line() {
        let folder = std::env::temp_dir().join(format!("tongban-cal-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let lines = "# source\ndate,day,name\n2026-01-01,off,a\n2026-01-01,off,a\n\
                     2026-01-05,work,b\n2025-01-01,off,c\n2026-02-30,off,d\n2026-03-01,free,e\n";
        fs::write(folder.join("2026.csv"), lines).unwrap();
        fs::write(folder.join("2023.csv"), "# source\ndate,day,name\n").unwrap();
        let faults = Calendar::load(&folder).unwrap_err();
        fs::remove_dir_all(&folder).unwrap();
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [4, 5, 6, 7, 8, 0, 0], "{faults:?}");
    }

    #[test]
    fn a_missing_year_is_told_before_it_begins() {
        let calendar = official();
        let last = calendar.last_published().unwrap();
        assert_eq!(calendar.missing(date(last, 10, 2)), None);
        assert!(calendar.missing(date(last, 10, 3)).is_some(), "a divorce may end next year");
        assert!(calendar.missing(date(last + 1, 1, 1)).unwrap().contains(&format!("{}", last + 1)));
    }

    proptest! {
        #[test]
        fn counting_forward_and_between_agree(start in 0_i64..4000, count in 0_u16..60) {
            let calendar = official();
            let from = date(2015, 1, 1).checked_add(jiff::ToSpan::days(start)).unwrap();
            let due = calendar.after_working_days(from, count).day;
            prop_assert_eq!(calendar.working_days_between(from, due), i32::from(count));
            prop_assert!(count == 0 || calendar.is_working(due));
        }
    }
}
