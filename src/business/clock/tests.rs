//! Every limit of every business at its boundary: the day before it is near, near, the last day,
//! the day after; across Spring Festival, National Day with its make-up days, 29 February, and the
//! end of the published years.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::{
    business,
    model::{calendar::tests::official, clock::to_proto, pb::Business},
};

/// One application's clocks, driven by days.
struct Case {
    limits: &'static [Limit],
    deadlines: Vec<Deadline>,
    state: State,
    calendar: Calendar,
}

/// Nine in the morning of that day in China.
fn morning(day: &str) -> i64 {
    midnight(day.parse().unwrap()) + 9 * 3600 * 1_000_000
}

impl Case {
    fn taken(business: Business, accepted: &str, today: &str) -> Self {
        let time = Some(to_proto(morning(accepted)));
        let mut application =
            pb::Application { accept_time: time, complete_time: time, ..Default::default() };
        application.set_business(business);
        application.set_state(State::Received);
        Self::of(&application, today)
    }

    fn of(application: &pb::Application, today: &str) -> Self {
        let (limits, calendar) = (business::limits(application.business()), official());
        let deadlines = begin(limits, application, morning(today), &calendar);
        Self { limits, deadlines, state: application.state(), calendar }
    }

    fn step(&mut self, day: &str, event: EventType, to: State) -> &mut Self {
        self.step_with(day, (event, to), day.parse().ok())
    }

    /// A step that brings an opinion of that day, or none.
    fn step_with(
        &mut self,
        day: &str,
        (event, to): (EventType, State),
        opinion: Option<Date>,
    ) -> &mut Self {
        let (now, step) = (morning(day), (event, to, opinion));
        advance(self.limits, &mut self.deadlines, step, now, &self.calendar);
        self.state = to;
        self
    }

    /// What is said on that day, in order.
    fn said(&mut self, day: &str) -> Vec<EventType> {
        self.strikes(day).into_iter().map(|struck| struck.event).collect()
    }

    fn strikes(&mut self, day: &str) -> Vec<Strike> {
        let mut said = Vec::new();
        while let Some(struck) =
            strike(self.limits, &mut self.deadlines, self.state, morning(day), &self.calendar)
        {
            said.push(struck);
            assert!(said.len() < 9, "{said:?}");
        }
        // What has been said does not wake again; what is to be said lies ahead. Estimates are
        // looked at again each day.
        let wake = wake(self.limits, &self.deadlines, self.state);
        let estimated = self.deadlines.iter().any(|one| one.estimated && is_active(one));
        assert!(estimated || wake.is_none_or(|wake| wake > morning(day)), "{day}");
        said
    }

    fn last(&self, kind: DeadlineKind) -> &Deadline {
        self.deadlines.iter().rfind(|one| one.kind() == kind).unwrap()
    }

    fn left(&self, kind: DeadlineKind, day: &str) -> i32 {
        let shown = shown(&self.deadlines, morning(day), &self.calendar);
        shown.iter().rfind(|one| one.kind() == kind).unwrap().remaining
    }
}

use EventType as E;

/// One row of `boundaries.txt`.
struct Boundary<'a> {
    business: Business,
    kind: DeadlineKind,
    window: &'a str,
    from: &'a str,
    quiet: &'a str,
    near: &'a str,
    last: &'a str,
    after: &'a str,
}

fn boundaries() -> impl Iterator<Item = Boundary<'static>> {
    let lines = include_str!("boundaries.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [business, kind, window, from, quiet, near, last, after] = cells[..] else {
            panic!("{line}");
        };
        let business = Business::from_code(business).unwrap();
        let kind = DeadlineKind::from_str_name(kind).unwrap();
        Boundary { business, kind, window, from, quiet, near, last, after }
    })
}

impl Boundary<'_> {
    /// An application in which the limit begins on `from`.
    fn case(&self) -> Case {
        use DeadlineKind as K;
        if self.kind == K::Appearance {
            return booked(self.from, self.last);
        }
        let mut case = Case::taken(self.business, self.from, self.from);
        let couple = business::travel(self.business) == business::Travel::ToNationalHub;
        let from = self.from;
        match self.kind {
            K::Forward => return case,
            K::Supplement if couple => {
                case.step(from, E::CheckConflict, State::EvidenceRequired);
                return case;
            }
            K::CoolingOff => {
                case.step(from, E::CheckPassed, State::Cooling);
                return case;
            }
            K::Collection => {
                case.step(from, E::CheckPassed, State::Cooling);
                let cooled = due(case.last(K::CoolingOff)).unwrap().tomorrow().unwrap().to_string();
                assert_eq!(case.said(&cooled), [E::CoolingEnded]);
                case.step(&cooled, E::CoolingEnded, State::Collectable);
                return case;
            }
            _ => {}
        }
        case.step(from, E::ApplicationForwarded, State::Forwarded);
        let (event, state) = match self.kind {
            K::CountyDecision => (E::ReviewReported, State::Accepted),
            K::Supplement => (E::SupplementRequested, State::SupplementRequired),
            K::Notice => (E::DecisionMade, State::Approved),
            _ => (E::ApplicationAccepted, State::Accepted),
        };
        case.step(from, event, state);
        case
    }

    /// What this limit says on that day.
    fn said(&self, case: &mut Case, day: &str) -> Vec<EventType> {
        let said = case.strikes(day).into_iter().filter(|one| one.deadline.kind() == self.kind);
        said.map(|one| one.event).collect()
    }
}

#[test]
fn each_limit_speaks_on_its_day_and_not_before() {
    for row in boundaries() {
        let at = format!("{:?} {:?} {}", row.business, row.kind, row.window);
        let limit = business::limits(row.business).iter().find(|limit| limit.kind == row.kind);
        let passing = limit.unwrap().passing.map_or(E::DeadlinePassed, |(_, event)| event);
        assert_eq!(row.case().last(row.kind).near, row.near, "{at}");
        assert_eq!(row.case().last(row.kind).due, row.last, "{at}");
        assert_eq!(row.said(&mut row.case(), row.quiet), [], "{at}");
        assert_eq!(row.said(&mut row.case(), row.near), [E::DeadlineNear], "{at}");
        assert_eq!(row.said(&mut row.case(), row.last), [E::DeadlineNear], "{at}");
        assert_eq!(row.case().left(row.kind, row.last), 0, "{at}");
        assert_eq!(row.said(&mut row.case(), row.after), [passing], "{at}");
        let mut twice = row.case();
        assert_eq!(row.said(&mut twice, row.near), [E::DeadlineNear], "{at}");
        assert_eq!(row.said(&mut twice, row.after), [passing], "{at}");
        assert_eq!(row.said(&mut twice, row.after), [], "{at}");
    }
}

#[test]
fn every_limit_is_tried_over_both_festivals_and_the_leap_day() {
    for business in Business::ALL {
        for limit in business::limits(business) {
            let rows =
                boundaries().filter(|row| (row.business, row.kind) == (business, limit.kind));
            let mut windows: Vec<&str> = rows.map(|row| row.window).collect();
            windows.sort_unstable();
            let all = ["29 february", "national day", "spring festival"];
            assert_eq!(windows, all, "{business:?} {:?}", limit.kind);
        }
    }
}

#[test]
fn what_is_done_in_time_is_met_and_on_the_day_after_missed() {
    for (day, state) in [("2025-10-14", DeadlineState::Met), ("2025-10-15", DeadlineState::Missed)]
    {
        let mut case = Case::taken(Business::DisabilitySubsidy, "2025-09-24", "2025-09-24");
        case.step("2025-09-24", E::ApplicationForwarded, State::Forwarded)
            .step("2025-09-25", E::ApplicationAccepted, State::Accepted)
            .step(day, E::DecisionMade, State::Approved);
        assert_eq!(case.last(DeadlineKind::Forward).state(), DeadlineState::Met);
        assert_eq!(case.last(DeadlineKind::Decision).state(), state);
        // 3 working days to tell the applicant run from the decision.
        assert_eq!(case.last(DeadlineKind::Notice).state(), DeadlineState::Running);
        case.step(day, E::DecisionDelivered, State::Notified);
        assert_eq!(case.last(DeadlineKind::Notice).state(), DeadlineState::Met);
        assert_eq!(case.said("2030-01-01"), []);
    }
}

#[test]
fn papers_awaited_over_a_holiday_cost_the_deciding_side_nothing() {
    let mut case = Case::taken(Business::DisabilitySubsidy, "2026-02-02", "2026-02-02");
    case.step("2026-02-02", E::ApplicationForwarded, State::Forwarded)
        .step("2026-02-03", E::ApplicationAccepted, State::Accepted)
        .step("2026-02-10", E::SupplementRequested, State::SupplementRequired);
    // 3 to 10 February are six of ten; it stands still.
    assert_eq!(case.last(DeadlineKind::Decision).state(), DeadlineState::Paused);
    assert_eq!(case.left(DeadlineKind::Decision, "2026-02-20"), 4);
    assert_eq!(case.said("2026-02-20"), []);
    case.step("2026-02-25", E::SupplementSubmitted, State::Accepted);
    assert_eq!(case.last(DeadlineKind::Supplement).state(), DeadlineState::Met);
    // 26, 27, 28 (worked Saturday) February, 2 March.
    assert_eq!(case.last(DeadlineKind::Decision).due, "2026-03-02");
    assert_eq!(case.last(DeadlineKind::Decision).near, "2026-02-27");
    // Asked again, the 30 days begin anew and the ten go on.
    case.step("2026-02-26", E::SupplementRequested, State::SupplementRequired);
    assert_eq!(case.left(DeadlineKind::Decision, "2026-03-20"), 3);
    assert_eq!(case.last(DeadlineKind::Supplement).due, "2026-03-30", "28 March is a Saturday");
}

#[test]
fn papers_that_do_not_come_in_thirty_days_end_the_application() {
    let mut case = Case::taken(Business::ChildRecognition, "2026-03-02", "2026-03-02");
    case.step("2026-03-02", E::ApplicationForwarded, State::Forwarded)
        .step("2026-03-02", E::ApplicationAccepted, State::Accepted)
        .step("2026-03-03", E::SupplementRequested, State::SupplementRequired);
    assert_eq!(case.last(DeadlineKind::Supplement).due, "2026-04-02");
    assert_eq!(case.said("2026-04-02"), [E::DeadlineNear]);
    assert_eq!(case.said("2026-04-03"), [E::ApplicationExpired]);
    case.step("2026-04-03", E::ApplicationExpired, State::Expired);
    assert!(case.deadlines.iter().all(|deadline| !is_active(deadline)));
}

#[test]
fn the_county_has_its_own_days_from_the_townships_report() {
    let mut case = Case::taken(Business::ChildRecognition, "2026-03-02", "2026-03-02");
    case.step("2026-03-02", E::ApplicationForwarded, State::Forwarded)
        .step("2026-03-03", E::ApplicationAccepted, State::Accepted)
        .step("2026-03-09", E::ReviewReported, State::Accepted);
    assert_eq!(case.last(DeadlineKind::TownshipOpinion).state(), DeadlineState::Met);
    assert_eq!(case.last(DeadlineKind::CountyDecision).due, "2026-03-30");
    assert_eq!(case.said("2026-03-24"), []);
    assert_eq!(case.said("2026-03-25"), [E::DeadlineNear]);
    assert_eq!(case.said("2026-03-31"), [E::DeadlinePassed]);
}

#[test]
fn a_county_meets_the_townships_limit_only_by_its_opinion() {
    for (decided, opinion, state) in [
        ("2026-03-10", None, DeadlineState::Missed),
        ("2026-03-23", Some(date(2026, 3, 23)), DeadlineState::Met),
        ("2026-03-24", Some(date(2026, 3, 23)), DeadlineState::Met),
        ("2026-03-24", Some(date(2026, 3, 24)), DeadlineState::Missed),
    ] {
        let mut case = Case::taken(Business::ChildRecognition, "2026-03-02", "2026-03-02");
        case.step("2026-03-02", E::ApplicationForwarded, State::Forwarded).step(
            "2026-03-02",
            E::ApplicationAccepted,
            State::Accepted,
        );
        assert_eq!(case.last(DeadlineKind::TownshipOpinion).due, "2026-03-23");
        case.step_with(decided, (E::DecisionMade, State::Approved), opinion);
        let township = case.last(DeadlineKind::TownshipOpinion);
        assert_eq!(township.state(), state, "{decided} {opinion:?}");
        assert!(
            case.deadlines.iter().all(|one| one.kind() == DeadlineKind::Notice || !is_active(one))
        );
    }
}

/// Accepted, last day of the cooling-off period, last day to collect.
const DIVORCES: &[(&str, &str, &str)] = &[
    // The example of domain §2.2.
    ("2026-01-05", "2026-02-04", "2026-03-06"),
    // The thirtieth day falls into the Spring Festival, and the other on a worked Saturday.
    ("2026-01-17", "2026-02-24", "2026-03-26"),
    ("2026-01-15", "2026-02-14", "2026-03-16"),
    // 29 February counts; the last day to collect is a Saturday and moves to Monday.
    ("2024-01-30", "2024-02-29", "2024-04-01"),
    // National Day: both ends move.
    ("2025-09-03", "2025-10-09", "2025-11-10"),
];

#[test]
fn a_divorce_cools_and_is_collected_in_its_days_both_ends_moved_off_rest_days() {
    for (accepted, cooled, collected) in DIVORCES {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let next = |text: &str| day(text).tomorrow().unwrap().to_string();
        let mut case = Case::taken(Business::DivorceRegistration, accepted, accepted);
        assert_eq!(case.last(DeadlineKind::CoolingOff).due, *cooled);
        case.step(accepted, E::ApplicationForwarded, State::Verifying).step(
            accepted,
            E::CheckPassed,
            State::Cooling,
        );
        assert!(!case.said(cooled).contains(&E::CoolingEnded), "{accepted}");
        assert_eq!(case.said(&next(cooled)), [E::CoolingEnded], "{accepted}");
        case.step(&next(cooled), E::CoolingEnded, State::Collectable);
        assert_eq!(case.last(DeadlineKind::CoolingOff).state(), DeadlineState::Met);
        assert_eq!(case.last(DeadlineKind::Collection).due, *collected, "{accepted}");
        assert!(!case.said(collected).contains(&E::CollectionLapsed));
        assert_eq!(case.said(&next(collected)), [E::CollectionLapsed], "{accepted}");
        case.step(&next(collected), E::CollectionLapsed, State::DeemedWithdrawn);
        assert_eq!(case.last(DeadlineKind::Collection).state(), DeadlineState::Missed);
    }
}

#[test]
fn a_check_that_passes_after_the_period_begins_it_and_one_within_it_does_not() {
    let mut case = Case::taken(Business::DivorceRegistration, "2026-01-05", "2026-02-10");
    assert_eq!(case.said("2026-02-10"), [], "nobody may collect what is not checked");
    case.step("2026-02-10", E::CheckPassed, State::Cooling);
    assert_eq!(case.last(DeadlineKind::CoolingOff).started, "2026-02-10");
    assert_eq!(case.last(DeadlineKind::CoolingOff).due, "2026-03-12");
    assert_eq!(case.said("2026-02-10"), []);
    let mut case = Case::taken(Business::DivorceRegistration, "2026-01-05", "2026-02-04");
    case.step("2026-02-04", E::CheckPassed, State::Cooling);
    assert_eq!(case.last(DeadlineKind::CoolingOff).due, "2026-02-04");
}

/// A couple that booked on one day for another.
fn booked(accepted: &str, day: &str) -> Case {
    let mut application = pb::Application {
        accept_time: Some(to_proto(morning(accepted))),
        details: Some(Details::MarriageRegistration(pb::MarriageRegistration {
            registration_date: day.to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    };
    application.set_business(Business::MarriageRegistration);
    application.set_state(State::Booked);
    Case::of(&application, accepted)
}

#[test]
fn a_booked_couple_that_does_not_come_is_a_no_show_the_day_after() {
    let mut case = booked("2026-05-11", "2026-05-20");
    assert_eq!(case.said("2026-05-19"), []);
    assert_eq!(case.said("2026-05-20"), [E::DeadlineNear]);
    assert_eq!(case.said("2026-05-21"), [E::AppearanceMissed]);
    let mut case = booked("2026-05-11", "2026-05-20");
    case.step("2026-05-20", E::ApplicationAccepted, State::Received);
    assert_eq!(case.last(DeadlineKind::Appearance).state(), DeadlineState::Met);
    assert_eq!(case.said("2026-05-21"), []);
}

#[test]
fn what_was_late_when_it_came_is_said_by_the_answer_and_by_no_event() {
    let mut case = Case::taken(Business::DisabilitySubsidy, "2026-01-12", "2026-03-02");
    assert_eq!(case.last(DeadlineKind::Forward).state(), DeadlineState::Passed);
    assert!(case.left(DeadlineKind::Forward, "2026-03-02") < -20);
    assert_eq!(case.said("2026-03-02"), []);
    case.step("2026-03-02", E::ApplicationForwarded, State::Forwarded);
    assert_eq!(case.last(DeadlineKind::Forward).state(), DeadlineState::Missed);
}

#[test]
fn a_limit_into_a_year_without_calendar_says_that_it_is_an_estimate() {
    let last = official().last_published().unwrap();
    let from = date(last, 12, 28).to_string();
    let mut case = Case::taken(Business::DisabilitySubsidy, &from, &from);
    case.step(&from, E::ApplicationForwarded, State::Forwarded);
    assert!(case.last(DeadlineKind::Decision).estimated);
    let within = Case::taken(Business::DisabilitySubsidy, "2026-03-02", "2026-03-02");
    assert!(!within.last(DeadlineKind::Forward).estimated);
}

#[test]
fn a_couple_that_is_there_has_no_appearance_to_miss() {
    let case = Case::taken(Business::MarriageRegistration, "2026-05-11", "2026-05-11");
    assert!(case.deadlines.is_empty());
}

#[test]
fn an_application_whose_papers_are_not_complete_has_no_clock_yet() {
    let mut application = pb::Application {
        accept_time: Some(to_proto(morning("2026-03-02"))),
        ..Default::default()
    };
    application.set_business(Business::DisabilitySubsidy);
    application.set_state(State::Received);
    assert!(Case::of(&application, "2026-03-02").deadlines.is_empty());
}

/// The official calendar without its last year, whose days are then estimates.
fn a_year_ago() -> (Calendar, i16) {
    let folder = std::env::temp_dir().join(format!("tongban-year-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).unwrap();
    for year in [2024, 2025] {
        let file = format!("config/calendar/{year}.csv");
        let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        std::fs::copy(from, folder.join(format!("{year}.csv"))).unwrap();
    }
    let calendar = Calendar::load(&folder).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    (calendar, 2025)
}

#[test]
fn an_estimate_is_counted_anew_once_the_year_is_published() {
    let mut case = Case::taken(Business::DisabilitySubsidy, "2025-12-29", "2025-12-29");
    case.calendar = a_year_ago().0;
    case.step("2025-12-29", E::ApplicationForwarded, State::Forwarded);
    // Without the notice: 30, 31 December, 2 January, 5 to 9, 12, 13.
    assert_eq!(case.last(DeadlineKind::Decision).due, "2026-01-13");
    assert!(case.last(DeadlineKind::Decision).estimated);
    case.calendar = official();
    // 2 January is off and Sunday, the 4th, worked: the same day, for certain.
    let shown = shown(&case.deadlines, morning("2026-01-05"), &case.calendar);
    let decision = shown.iter().find(|one| one.kind() == DeadlineKind::Decision).unwrap();
    assert_eq!((decision.due.as_str(), decision.estimated), ("2026-01-13", false));
    // Over the Spring Festival it moves by the days that nobody could know, and speaks by them.
    let mut case = Case::taken(Business::SocialAssistance, "2025-12-29", "2025-12-29");
    case.calendar = a_year_ago().0;
    case.step("2025-12-29", E::ApplicationForwarded, State::Forwarded);
    assert_eq!(case.last(DeadlineKind::Decision).due, "2026-02-10");
    case.step("2026-01-05", E::ApplicationAccepted, State::Accepted)
        .step("2026-01-06", E::SupplementRequested, State::SupplementRequired)
        .step("2026-01-12", E::SupplementSubmitted, State::Accepted);
    assert_eq!(case.last(DeadlineKind::Decision).due, "2026-02-16");
    case.calendar = official();
    assert_eq!(case.said("2026-02-10"), [E::DeadlineNear]);
    assert_eq!(case.last(DeadlineKind::Decision).due, "2026-02-14", "a worked Saturday");
    assert_eq!(case.said("2026-02-15"), [E::DeadlinePassed]);
}

#[test]
fn nobody_loses_a_right_by_an_estimate() {
    let mut case = Case::taken(Business::DivorceRegistration, "2025-11-20", "2025-11-20");
    case.calendar = a_year_ago().0;
    case.step("2025-11-20", E::CheckPassed, State::Cooling);
    assert_eq!(case.said("2025-12-23"), [E::CoolingEnded], "the 20th was a Saturday");
    case.step("2025-12-23", E::CoolingEnded, State::Collectable);
    let collection = case.last(DeadlineKind::Collection);
    assert!(collection.estimated);
    assert_eq!(collection.due, "2026-01-21");
    assert_eq!(case.said("2026-01-16"), [E::DeadlineNear]);
    assert_eq!(case.said("2026-01-22"), [], "not that they did not come");
    let asked = wake(case.limits, &case.deadlines, case.state);
    let again = wake_later(asked, morning("2026-01-22")).unwrap();
    assert_eq!(again, midnight(date(2026, 1, 23)), "it is looked at every day");
    case.calendar = official();
    assert_eq!(case.said("2026-01-23"), [E::CollectionLapsed]);
}

#[test]
fn every_limit_names_its_source_and_every_passing_is_a_step_of_the_machine() {
    for business in Business::ALL {
        assert!(!business::limits(business).is_empty(), "{business:?}");
        for limit in business::limits(business) {
            assert!(!limit.source.is_empty());
            if let Some((state, event)) = limit.passing {
                let step = lifecycle::step_of(business::machine(business), state, event, false);
                assert!(step.is_some(), "{business:?} {event:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn a_pause_neither_gains_nor_loses_a_working_day(
        start in 0_i64..3000, used in 0_u16..10, away in 0_i64..40,
    ) {
        let calendar = official();
        let from = date(2015, 1, 5).checked_add(jiff::ToSpan::days(start)).unwrap();
        let limits = business::limits(Business::DisabilitySubsidy);
        let limit = limits.iter().find(|limit| limit.kind == DeadlineKind::Decision).unwrap();
        let mut deadline = super::start(limit, from, &calendar);
        let asked = calendar.after_working_days(from, used).day;
        pause(&mut deadline, asked, &calendar);
        prop_assert_eq!(deadline.remaining, 10 - i32::from(used));
        let back = asked.checked_add(jiff::ToSpan::days(away)).unwrap();
        resume(&mut deadline, back, &calendar);
        let due = due(&deadline).unwrap();
        prop_assert_eq!(calendar.working_days_between(back, due), 10 - i32::from(used));
        if away == 0 {
            prop_assert_eq!(due, calendar.after_working_days(from, 10).day);
        }
    }
}
