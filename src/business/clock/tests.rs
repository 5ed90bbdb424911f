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
        let now = morning(day);
        advance(self.limits, &mut self.deadlines, (event, to), now, &self.calendar);
        self.state = to;
        self
    }

    /// What is said on that day, in order.
    fn said(&mut self, day: &str) -> Vec<EventType> {
        let mut said = Vec::new();
        while let Some(struck) =
            strike(self.limits, &mut self.deadlines, self.state, morning(day), &self.calendar)
        {
            said.push(struck.event);
            assert!(said.len() < 9, "{said:?}");
        }
        // What has been said does not wake again; what is to be said lies ahead.
        let wake = wake(self.limits, &self.deadlines, self.state);
        assert!(wake.is_none_or(|wake| wake > morning(day)), "{day}");
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

/// business, limit, day it is counted from, day before near, near, last day, day after.
type Boundary = (Business, DeadlineKind, &'static str, [&'static str; 4]);

const BOUNDARIES: &[Boundary] = &[
    // 3 working days over the Spring Festival of 2026 (14 worked, 15-23 off).
    (
        Business::DisabilitySubsidy,
        DeadlineKind::Forward,
        "2026-02-13",
        ["2026-02-24", "2026-02-25", "2026-02-25", "2026-02-26"],
    ),
    (
        Business::ChildRecognition,
        DeadlineKind::Forward,
        "2025-09-29",
        ["2025-10-09", "2025-10-10", "2025-10-10", "2025-10-11"],
    ),
    (
        Business::OldAgeAllowance,
        DeadlineKind::Forward,
        "2024-02-27",
        ["2024-02-29", "2024-03-01", "2024-03-01", "2024-03-02"],
    ),
    (
        Business::SocialAssistance,
        DeadlineKind::Forward,
        "2026-04-02",
        ["2026-04-07", "2026-04-08", "2026-04-08", "2026-04-09"],
    ),
    // 10 working days over National Day 2025 (28 September worked, 1-8 off, 11 October worked).
    (
        Business::DisabilitySubsidy,
        DeadlineKind::Decision,
        "2025-09-24",
        ["2025-10-10", "2025-10-11", "2025-10-14", "2025-10-15"],
    ),
    (
        Business::ChildRecognition,
        DeadlineKind::TownshipOpinion,
        "2024-02-08",
        ["2024-02-29", "2024-03-01", "2024-03-06", "2024-03-07"],
    ),
    (
        Business::OldAgeAllowance,
        DeadlineKind::Decision,
        "2026-03-02",
        ["2026-03-23", "2026-03-24", "2026-03-30", "2026-03-31"],
    ),
    (
        Business::SocialAssistance,
        DeadlineKind::Decision,
        "2026-03-02",
        ["2026-04-02", "2026-04-03", "2026-04-14", "2026-04-15"],
    ),
];

#[test]
fn each_limit_speaks_on_its_day_and_not_before() {
    for (business, kind, from, [quiet, near, last, after]) in BOUNDARIES {
        let forward = *kind == DeadlineKind::Forward;
        // A forwarded application's own first limit is met and says nothing more.
        let case = || {
            let mut case = Case::taken(*business, from, from);
            if !forward {
                case.step(from, E::ApplicationForwarded, State::Forwarded);
            }
            case
        };
        let at = format!("{business:?} {kind:?}");
        assert_eq!(case().last(*kind).near, *near, "{at}");
        assert_eq!(case().last(*kind).due, *last, "{at}");
        assert_eq!(case().said(quiet), [], "{at}");
        assert_eq!(case().said(near), [E::DeadlineNear], "{at}");
        assert_eq!(case().said(last), [E::DeadlineNear], "{at}");
        assert_eq!(case().left(*kind, last), 0, "{at}");
        assert_eq!(case().said(after), [E::DeadlinePassed], "{at}");
        let mut twice = case();
        assert_eq!(twice.said(near), [E::DeadlineNear], "{at}");
        assert_eq!(twice.said(after), [E::DeadlinePassed], "{at}");
        assert_eq!(twice.said(after), [], "{at}");
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
fn a_cooling_off_period_that_ended_before_the_check_ends_when_the_check_has_passed() {
    let mut case = Case::taken(Business::DivorceRegistration, "2026-01-05", "2026-02-10");
    assert_eq!(case.said("2026-02-10"), [], "nobody may collect what is not checked");
    case.step("2026-02-10", E::CheckPassed, State::Cooling);
    assert!(wake(case.limits, &case.deadlines, case.state).unwrap() < morning("2026-02-10"));
    assert_eq!(case.said("2026-02-10"), [E::CoolingEnded]);
}

#[test]
fn a_booked_couple_that_does_not_come_is_a_no_show_the_day_after() {
    let mut application = pb::Application {
        accept_time: Some(to_proto(morning("2026-05-11"))),
        details: Some(Details::MarriageRegistration(pb::MarriageRegistration {
            registration_date: "2026-05-20".into(),
            ..Default::default()
        })),
        ..Default::default()
    };
    application.set_business(Business::MarriageRegistration);
    application.set_state(State::Received);
    assert!(Case::of(&application, "2026-05-11").deadlines.is_empty(), "they are there");
    application.set_state(State::Booked);
    let mut case = Case::of(&application, "2026-05-11");
    assert_eq!(case.said("2026-05-19"), []);
    assert_eq!(case.said("2026-05-20"), [E::DeadlineNear]);
    assert_eq!(case.said("2026-05-21"), [E::AppearanceMissed]);
    let mut case = Case::of(&application, "2026-05-11");
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
