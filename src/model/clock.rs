//! Time: UTC microseconds for rows, RFC 3339 on the wire, Asia/Shanghai dates for the rules.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::Offset};

use crate::failpoint;

/// Now, in microseconds since 1970-01-01 UTC.
pub fn now_micros() -> i64 {
    #[cfg(test)]
    if let Some(now) = simulated::now() {
        return now;
    }
    Timestamp::now().as_microsecond() + failpoint::clock_shift()
}

/// The wall clock of a simulation: goes with the runtime's clock, which may be paused, and can be
/// set forward and back. Each thread has its own.
#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::Cell;

    use tokio::time::Instant;

    thread_local! {
        static WALL: Cell<Option<(i64, Instant)>> = const { Cell::new(None) };
    }

    pub(crate) fn now() -> Option<i64> {
        let (set, at) = WALL.get()?;
        Some(set + i64::try_from(at.elapsed().as_micros()).unwrap())
    }

    /// Sets the clock; `None` gives the thread the real one back.
    pub(crate) fn set(now: Option<i64>) {
        WALL.set(now.map(|now| (now, Instant::now())));
    }
}

/// The civil date in China at that moment; China keeps UTC+8 without summer time since 1991.
pub fn china_date(micros: i64) -> Date {
    let moment = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    Offset::constant(8).to_datetime(moment).date()
}

/// The moment at which that day begins in China, in microseconds since 1970-01-01 UTC.
pub fn midnight(day: Date) -> i64 {
    let moment = Offset::constant(8).to_timestamp(day.to_datetime(jiff::civil::Time::midnight()));
    moment.map_or(i64::MAX, |moment| moment.as_microsecond())
}

/// Full years between birth and `day`, as the Civil Code counts them (周岁).
pub fn full_years(birth: Date, day: Date) -> i16 {
    let before_birthday = (day.month(), day.day()) < (birth.month(), birth.day());
    day.year() - birth.year() - i16::from(before_birthday)
}

/// Full months between `since` and `day`.
pub fn full_months(since: Date, day: Date) -> i32 {
    let months = |date: Date| i32::from(date.year()) * 12 + i32::from(date.month());
    months(day) - months(since) - i32::from(day.day() < since.day())
}

/// A protobuf timestamp of that moment.
pub fn to_proto(micros: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

/// Whether a protobuf timestamp is a moment within the years 2000 to 2100, no later than `now`
/// plus ten minutes of clock difference.
pub fn is_plausible(time: &prost_types::Timestamp, now: i64) -> bool {
    let Ok(moment) = Timestamp::new(time.seconds, time.nanos) else { return false };
    let latest = Timestamp::from_microsecond(now).unwrap_or(Timestamp::UNIX_EPOCH)
        + SignedDuration::from_mins(10);
    moment.as_second() >= 946_684_800 && moment <= latest
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_year_is_full_on_the_birthday() {
        assert_eq!(full_years(date(2004, 2, 29), date(2026, 2, 28)), 21);
        assert_eq!(full_years(date(2004, 2, 29), date(2026, 3, 1)), 22);
        assert_eq!(full_years(date(2004, 11, 23), date(2026, 11, 23)), 22);
    }

    #[test]
    fn a_month_is_full_on_its_day() {
        assert_eq!(full_months(date(2026, 5, 24), date(2026, 11, 23)), 5);
        assert_eq!(full_months(date(2026, 5, 23), date(2026, 11, 23)), 6);
        assert_eq!(full_months(date(2025, 12, 31), date(2026, 2, 28)), 1);
        assert_eq!(full_months(date(2026, 12, 1), date(2026, 11, 1)), -1);
    }

    #[test]
    fn the_day_begins_at_sixteen_hours_utc() {
        let before: Timestamp = "2026-11-23T15:59:59Z".parse().unwrap();
        assert_eq!(china_date(before.as_microsecond()), date(2026, 11, 23));
        assert_eq!(china_date(before.as_microsecond() + 1_000_000), date(2026, 11, 24));
    }
}
