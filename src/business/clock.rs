//! Statutory limits (办理时限): how each begins, pauses, goes on, ends, and when it has something to
//! say. Pure functions over the deadlines of one application; which limits a business has stands
//! in its own file, each with its source. Days are those of China.

use jiff::civil::Date;

use crate::model::{
    calendar::{Calendar, Due},
    clock::{china_date, midnight},
    lifecycle,
    pb::{
        self, DayUnit, Deadline, DeadlineKind, DeadlineState, EventType, State,
        application::Details,
    },
};

/// Days by which an estimate is looked at early: worked weekend days bring a last day forward.
const DOUBT: i64 = 5;

/// A statutory limit of a business.
pub struct Limit {
    /// Which.
    pub kind: DeadlineKind,
    /// How long.
    pub length: Length,
    /// From when.
    pub starts: Start,
    /// What ends it.
    pub stops: &'static [EventType],
    /// Whether it stands still while papers are awaited (`SUPPLEMENT_REQUIRED`).
    pub pauses: bool,
    /// What its passing causes, in the state in which it does; of others lateness is only told.
    pub passing: Option<(State, EventType)>,
    /// The regulation; `[P]` for what is this project's own.
    pub source: &'static str,
}

/// Length of a limit. The day it is counted from is not counted (Civil Code art. 201).
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// Working days (工作日).
    WorkingDays(u16),
    /// Calendar days; a last day that is a rest day moves (Civil Code art. 203).
    Days(u16),
    /// The booked day itself.
    BookedDay,
}

/// What a limit is counted from.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// The day on which the papers were complete.
    Complete,
    /// The day of acceptance.
    Accepted,
    /// The day of the first of these events; of a limit that ends and begins anew, of each.
    On(&'static [EventType]),
    /// The last day of another limit, when this event comes.
    After(DeadlineKind, EventType),
}

/// Something a clock has to say.
#[derive(Clone, Debug)]
pub struct Strike {
    /// `DEADLINE_NEAR`, `DEADLINE_PASSED`, or what the passing causes.
    pub event: EventType,
    /// The limit it is about.
    pub deadline: Deadline,
}

/// The limits that run when an application is taken in. What is near or over then is said by the
/// answer, not by an event.
pub fn begin(
    limits: &[Limit],
    application: &pb::Application,
    now: i64,
    calendar: &Calendar,
) -> Vec<Deadline> {
    let day = |time: &Option<prost_types::Timestamp>| {
        time.as_ref().map(|time| china_date(time.seconds.saturating_mul(1_000_000)))
    };
    let booked = application.state() == State::Booked;
    let begun = limits.iter().filter_map(|limit| {
        let from = match (limit.starts, limit.length) {
            (Start::Accepted, Length::BookedDay) if booked => booked_day(application),
            (_, Length::BookedDay) => None,
            // Until the papers are complete no clock runs (一次性告知 comes first).
            (Start::Complete, _) => day(&application.complete_time),
            (Start::Accepted, _) => day(&application.accept_time),
            (Start::On(_) | Start::After(..), _) => None,
        }?;
        let mut deadline = start(limit, from, calendar);
        let today = china_date(now);
        if limit.passing.is_none() {
            deadline.set_state(standing(&deadline, today));
        }
        Some(shown_one(&deadline, today, calendar))
    });
    begun.collect()
}

/// What a step does to the limits; `opinion` is the day of the township's that it brings, if any.
pub fn advance(
    limits: &[Limit],
    deadlines: &mut Vec<Deadline>,
    (event, to, opinion): (EventType, State, Option<Date>),
    now: i64,
    calendar: &Calendar,
) {
    let today = china_date(now);
    recount(deadlines, calendar);
    for deadline in deadlines.iter_mut().filter(|deadline| is_active(deadline)) {
        let Some(limit) = limit_of(limits, deadline) else { continue };
        // Until the check has passed nothing is accepted (受理): a period that would be over by
        // then runs from that day, so that nobody loses the days to think, or those to collect.
        if limit.kind == DeadlineKind::CoolingOff
            && to == State::Cooling
            && due(deadline).is_some_and(|due| due < today)
        {
            *deadline = start(limit, today, calendar);
            continue;
        }
        let paused = deadline.state() == DeadlineState::Paused;
        let over = lifecycle::is_closed(to) || event == EventType::DecisionMade;
        if limit.stops.contains(&event) {
            let of_township = limit.kind == DeadlineKind::TownshipOpinion;
            let done = if of_township { opinion } else { Some(today) };
            let by = |day: Date| paused || due(deadline).is_none_or(|due| day <= due);
            let in_time = done.is_some_and(by);
            let state = if in_time { DeadlineState::Met } else { DeadlineState::Missed };
            stop(deadline, state, today, calendar);
        } else if over {
            stop(deadline, DeadlineState::Ended, today, calendar);
        } else if limit.pauses && !paused && to == State::SupplementRequired {
            pause(deadline, today, calendar);
        } else if paused && to != State::SupplementRequired {
            resume(deadline, today, calendar);
        }
    }
    for limit in limits {
        let from = match limit.starts {
            Start::On(events) if events.contains(&event) => Some(today),
            Start::After(kind, cause) if cause == event => {
                deadlines.iter().rfind(|one| one.kind() == kind).and_then(due)
            }
            _ => None,
        };
        let begun = deadlines.iter().any(|one| one.kind() == limit.kind && is_active(one));
        let again = limit.kind == DeadlineKind::Supplement;
        let known = deadlines.iter().any(|one| one.kind() == limit.kind);
        if let Some(from) = from
            && !begun
            && (again || !known)
        {
            deadlines.push(start(limit, from, calendar));
        }
    }
    for deadline in deadlines {
        *deadline = shown_one(deadline, today, calendar);
    }
}

/// When a clock next has something to say, microseconds UTC; `None` for never.
pub fn wake(limits: &[Limit], deadlines: &[Deadline], state: State) -> Option<i64> {
    let speaks = deadlines.iter().filter_map(|deadline| {
        let limit = limit_of(limits, deadline)?;
        if limit.passing.is_some_and(|(waits_in, _)| waits_in != state) {
            return None;
        }
        let day = match deadline.state() {
            DeadlineState::Running => near(deadline)?.min(due(deadline)?),
            DeadlineState::Near => due(deadline)?.tomorrow().ok()?,
            _ => return None,
        };
        // An estimate may lie too late: it is looked at early, and again each day.
        let ahead = if deadline.estimated { DOUBT } else { 0 };
        Some(midnight(day.checked_sub(jiff::ToSpan::days(ahead)).unwrap_or(day)))
    });
    speaks.min()
}

/// When to look again after nothing was to be said at `now`: not before the next day.
pub fn wake_later(wake: Option<i64>, now: i64) -> Option<i64> {
    let tomorrow = china_date(now).tomorrow().map_or(i64::MAX, midnight);
    wake.map(|wake| wake.max(tomorrow))
}

/// The first thing that is to be said at `now`; marks it as said.
pub fn strike(
    limits: &[Limit],
    deadlines: &mut [Deadline],
    state: State,
    now: i64,
    calendar: &Calendar,
) -> Option<Strike> {
    let today = china_date(now);
    recount(deadlines, calendar);
    for deadline in deadlines.iter_mut() {
        let (Some(limit), Some(due)) = (limit_of(limits, deadline), due(deadline)) else {
            continue;
        };
        let running = matches!(deadline.state(), DeadlineState::Running | DeadlineState::Near);
        if !running || limit.passing.is_some_and(|(waits_in, _)| waits_in != state) {
            continue;
        }
        // The cooling-off period is served by its passing; of the others that is a failure.
        let served = limit.kind == DeadlineKind::CoolingOff;
        let event = match limit.passing {
            // Nobody loses a right by an estimate.
            Some(_) if today > due && deadline.estimated && !served => continue,
            Some((_, event)) if today > due => {
                let ended = if served { DeadlineState::Met } else { DeadlineState::Missed };
                stop(deadline, ended, today, calendar);
                event
            }
            _ => match standing(deadline, today) {
                now if now == deadline.state() => continue,
                DeadlineState::Passed => {
                    deadline.set_state(DeadlineState::Passed);
                    EventType::DeadlinePassed
                }
                _ => {
                    deadline.set_state(DeadlineState::Near);
                    EventType::DeadlineNear
                }
            },
        };
        let deadline = shown_one(deadline, today, calendar);
        return Some(Strike { event, deadline });
    }
    None
}

/// The limits with the days they have left as of `now`.
pub fn shown(deadlines: &[Deadline], now: i64, calendar: &Calendar) -> Vec<Deadline> {
    let today = china_date(now);
    let mut deadlines = deadlines.to_vec();
    recount(&mut deadlines, calendar);
    deadlines.iter().map(|deadline| shown_one(deadline, today, calendar)).collect()
}

fn shown_one(deadline: &Deadline, today: Date, calendar: &Calendar) -> Deadline {
    let running = is_active(deadline) && deadline.state() != DeadlineState::Paused;
    let mut shown = deadline.clone();
    if let (true, Some(due)) = (running, due(deadline)) {
        shown.remaining = days_left(deadline, today, due, calendar);
    }
    shown
}

fn start(limit: &Limit, from: Date, calendar: &Calendar) -> Deadline {
    let (length, unit) = match limit.length {
        Length::WorkingDays(count) => (count, DayUnit::WorkingDays),
        Length::Days(count) => (count, DayUnit::CalendarDays),
        Length::BookedDay => (0, DayUnit::CalendarDays),
    };
    let mut deadline = Deadline {
        kind: limit.kind as i32,
        length: i32::from(length),
        remaining: i32::from(length),
        started: from.to_string(),
        source: limit.source.to_owned(),
        ..Deadline::default()
    };
    deadline.set_unit(unit);
    deadline.set_state(DeadlineState::Running);
    count_from(&mut deadline, from, length, matches!(limit.length, Length::Days(_)), calendar);
    deadline
}

/// Counts anew what was an estimate and no longer is: the year's calendar has been published.
fn recount(deadlines: &mut [Deadline], calendar: &Calendar) {
    for deadline in deadlines.iter_mut().filter(|one| is_active(one) && one.estimated) {
        let (from, left) = match deadline.resumed.parse() {
            Ok(resumed) => (Some(resumed), deadline.resumed_with),
            Err(_) => (deadline.started.parse().ok(), deadline.length),
        };
        let (Some(from), Ok(left)) = (from, u16::try_from(left)) else { continue };
        if deadline.state() != DeadlineState::Paused {
            let roll = deadline.unit() == DayUnit::CalendarDays;
            count_from(deadline, from, left, roll, calendar);
        }
    }
}

/// Sets the last day, and the day on which 80 % of the whole length are used.
fn count_from(deadline: &mut Deadline, from: Date, left: u16, roll: bool, calendar: &Calendar) {
    let counted = |count: u16, roll: bool| -> Due {
        match deadline.unit() {
            DayUnit::WorkingDays => calendar.after_working_days(from, count),
            _ => calendar.after_days(from, count, roll),
        }
    };
    let length = u16::try_from(deadline.length).unwrap_or_default();
    let quiet = (length * 4).div_ceil(5);
    let due = counted(left, roll);
    let near = counted(quiet.saturating_sub(length.saturating_sub(left)), false).day.min(due.day);
    deadline.due = due.day.to_string();
    deadline.estimated = due.estimated;
    deadline.near = near.to_string();
}

fn stop(deadline: &mut Deadline, state: DeadlineState, today: Date, calendar: &Calendar) {
    if let Some(due) = due(deadline) {
        deadline.remaining = days_left(deadline, today, due, calendar);
    }
    deadline.set_state(state);
    deadline.stopped = today.to_string();
}

/// It stands still with the days it has left. What is late already stays so.
fn pause(deadline: &mut Deadline, today: Date, calendar: &Calendar) {
    let Some(due) = due(deadline).filter(|due| today <= *due) else { return };
    deadline.remaining = days_left(deadline, today, due, calendar);
    deadline.set_state(DeadlineState::Paused);
    deadline.due.clear();
    deadline.near.clear();
    deadline.stopped = today.to_string();
}

/// It goes on with the days it had left; it does not begin anew.
fn resume(deadline: &mut Deadline, today: Date, calendar: &Calendar) {
    let left = u16::try_from(deadline.remaining).unwrap_or_default();
    let length = u16::try_from(deadline.length).unwrap_or_default();
    deadline.resumed = today.to_string();
    deadline.resumed_with = deadline.remaining;
    count_from(deadline, today, left, true, calendar);
    // What was near before the pause has been told.
    let was_near = length.saturating_sub(left) >= (length * 4).div_ceil(5);
    let state = if was_near { DeadlineState::Near } else { DeadlineState::Running };
    deadline.set_state(state);
}

/// How a running limit stands on a day.
fn standing(deadline: &Deadline, today: Date) -> DeadlineState {
    if due(deadline).is_some_and(|due| today > due) {
        DeadlineState::Passed
    } else if near(deadline).is_some_and(|near| today >= near) {
        DeadlineState::Near
    } else {
        DeadlineState::Running
    }
}

fn days_left(deadline: &Deadline, today: Date, due: Date, calendar: &Calendar) -> i32 {
    match deadline.unit() {
        DayUnit::WorkingDays => calendar.working_days_between(today, due),
        _ => today.until(due).map_or(0, |span| span.get_days()),
    }
}

/// Whether a limit of that kind has begun, and what it is for has not happened.
pub(super) fn is_awaited(deadlines: &[Deadline], kind: DeadlineKind) -> bool {
    deadlines.iter().any(|deadline| deadline.kind() == kind && is_active(deadline))
}

fn is_active(deadline: &Deadline) -> bool {
    use DeadlineState as S;
    matches!(deadline.state(), S::Running | S::Near | S::Passed | S::Paused)
}

fn limit_of<'a>(limits: &'a [Limit], deadline: &Deadline) -> Option<&'a Limit> {
    limits.iter().find(|limit| limit.kind == deadline.kind())
}

fn due(deadline: &Deadline) -> Option<Date> {
    deadline.due.parse().ok()
}

fn near(deadline: &Deadline) -> Option<Date> {
    deadline.near.parse().ok()
}

fn booked_day(application: &pb::Application) -> Option<Date> {
    match &application.details {
        Some(Details::MarriageRegistration(body)) => body.registration_date.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
