//! One person, one benefit: held by an open application, then by the one that is paid, moved by a
//! transfer, free again after an exit; and also so after a restart.

use super::*;
use crate::{business, model::pb::application::Details};

const PERSON: &str = "11010519491231002X";
const MEMBER: &str = "230103197603020028";

/// What is applied for.
#[derive(Clone)]
struct Paper {
    details: Details,
    home: &'static str,
    person: &'static str,
}

/// An application for the subsidies of `kind`, or to do `action` to them.
fn subsidy(kind: &str, action: &str) -> Paper {
    let body = pb::DisabilitySubsidy {
        subsidy_kind: kind.into(),
        action: action.into(),
        previous_division: if action == "6" { "510104".into() } else { String::new() },
        last_paid_month: if action == "6" { "2026-09".into() } else { String::new() },
        ..Default::default()
    };
    Paper { details: Details::DisabilitySubsidy(body), home: "510104", person: PERSON }
}

/// A household's subsistence allowance (kind 1), a person's support of the extremely poor (2).
fn assistance(kind: &str, action: &str, members: &[&str]) -> Paper {
    let member =
        |id: &&str| pb::HouseholdMember { resident_id: (*id).into(), ..Default::default() };
    let body = pb::SocialAssistance {
        kind: kind.into(),
        action: action.into(),
        members: members.iter().map(member).collect(),
        ..Default::default()
    };
    Paper { details: Details::SocialAssistance(body), home: "510104", person: PERSON }
}

fn child(action: &str, home: &'static str, previous: &str) -> Paper {
    let body = pb::ChildRecognition {
        child_kind: "1".into(),
        action: action.into(),
        previous_division: previous.into(),
        last_paid_month: if action == "6" { "2026-09".into() } else { String::new() },
        ..Default::default()
    };
    Paper { details: Details::ChildRecognition(body), home, person: MEMBER }
}

fn about(store: &dyn Store, n: u8, paper: &Paper) -> NewApplication {
    let mut new = new(n);
    let application = &mut new.application;
    application.set_business(match paper.details {
        Details::SocialAssistance(_) => pb::Business::SocialAssistance,
        Details::ChildRecognition(_) => pb::Business::ChildRecognition,
        _ => pb::Business::DisabilitySubsidy,
    });
    application.home_division = paper.home.into();
    application.applicant =
        Some(pb::Person { resident_id: paper.person.into(), ..pb::Person::default() });
    application.details = Some(paper.details.clone());
    new.content = content_of(application);
    new.benefits = business::claims(application).iter().map(|claim| store.digest(claim)).collect();
    new
}

async fn taken_up(store: &dyn Store, n: u8, paper: &Paper) -> Uuid {
    let id = match store.accept(about(store, n, paper)).await.unwrap() {
        Accepted::New(application) => application.id.parse().unwrap(),
        other => panic!("{other:?}"),
    };
    let accept = change(id, n + 100, EventType::ApplicationAccepted, None);
    assert!(matches!(store.apply(accept).await.unwrap(), Applied::Done(_)));
    id
}

/// The decision on it, in November 2026.
fn decide(id: Uuid, n: u8, outcome: Outcome) -> Change {
    let mut decide = change(id, n + 150, EventType::DecisionMade, Some(outcome));
    decide.event.decision.as_mut().unwrap().decided_on = "2026-11-25".into();
    decide
}

async fn granted(store: &dyn Store, n: u8, paper: &Paper) -> Uuid {
    let id = taken_up(store, n, paper).await;
    let done = store.apply(decide(id, n, Outcome::Granted)).await.unwrap();
    assert!(matches!(done, Applied::Done(_)), "{done:?}");
    id
}

async fn events(store: &dyn Store, id: Uuid) -> Vec<pb::ApplicationEvent> {
    store.events(id).await.unwrap()
}

async fn is_free(store: &dyn Store, n: u8, paper: &Paper) -> bool {
    // Free for a moment only: what was taken is withdrawn again.
    match store.accept(about(store, n, paper)).await.unwrap() {
        Accepted::New(application) => {
            let id = application.id.parse().unwrap();
            let withdraw = change(id, n + 100, EventType::ApplicationWithdrawn, None);
            let withdraw = Change { party: "23".into(), ..withdraw };
            assert!(matches!(store.apply(withdraw).await.unwrap(), Applied::Done(_)));
            true
        }
        Accepted::Duplicate { .. } => false,
        other => panic!("{other:?}"),
    }
}

async fn duplicate_of(store: &dyn Store, n: u8, paper: &Paper) -> (Uuid, bool) {
    match store.accept(about(store, n, paper)).await.unwrap() {
        Accepted::Duplicate { first, paid, .. } => (first, paid),
        other => panic!("{other:?}"),
    }
}

async fn a_granted_benefit_is_not_granted_a_second_time_also_after_a_restart(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = granted(&*store, 1, &subsidy("1", "1")).await;
    assert_eq!(duplicate_of(&*store, 2, &subsidy("1", "1")).await, (first, true));
    drop(store);
    let store = place.open().await;
    assert_eq!(duplicate_of(&*store, 3, &subsidy("1", "")).await, (first, true));
}

async fn a_refused_application_leaves_the_person_free_to_apply_again(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let id = taken_up(&*store, 1, &subsidy("1", "1")).await;
    let denied = store.apply(decide(id, 1, Outcome::Denied)).await.unwrap();
    assert!(matches!(denied, Applied::Done(_)));
    assert!(matches!(
        store.accept(about(&*store, 2, &subsidy("1", "1"))).await.unwrap(),
        Accepted::New(_)
    ));
}

async fn a_transfer_moves_the_benefit_and_an_exit_frees_it(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    granted(&*store, 1, &subsidy("1", "1")).await;
    let moved = granted(&*store, 2, &subsidy("1", "6")).await;
    assert_eq!(duplicate_of(&*store, 3, &subsidy("1", "1")).await, (moved, true));
    granted(&*store, 4, &subsidy("1", "5")).await;
    drop(store);
    let store = place.open().await;
    granted(&*store, 5, &subsidy("1", "1")).await;
}

async fn two_changes_of_one_benefit_are_not_open_at_once(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    granted(&*store, 1, &subsidy("1", "1")).await;
    let change = about(&*store, 2, &subsidy("1", "2"));
    let id = change.id;
    assert!(matches!(store.accept(change).await.unwrap(), Accepted::New(_)));
    assert_eq!(duplicate_of(&*store, 3, &subsidy("1", "6")).await, (id, false));
}

async fn nobody_applies_for_what_is_just_being_moved_from_elsewhere(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let transfer = about(&*store, 1, &subsidy("1", "6"));
    let id = transfer.id;
    assert!(matches!(store.accept(transfer).await.unwrap(), Accepted::New(_)));
    assert_eq!(duplicate_of(&*store, 2, &subsidy("1", "1")).await, (id, false));
}

async fn both_sides_of_the_first_are_told_of_a_second_once_and_nothing_else_changes(
    engine: Engine,
) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = about(&*store, 1, &subsidy("1", "1"));
    let id = first.id;
    assert!(matches!(store.accept(first).await.unwrap(), Accepted::New(_)));
    for n in 2..5 {
        duplicate_of(&*store, n, &subsidy("1", "1")).await;
    }
    let events = store.events(id).await.unwrap();
    let types: Vec<_> = events.iter().map(pb::ApplicationEvent::r#type).collect();
    assert_eq!(types, [EventType::ApplicationReceived, EventType::DuplicateRefused]);
    assert_eq!(events[1].state(), State::Received);
    assert_eq!(events[1].reason, "");
    delivered(&*store, "national").await;
    for party in ["national", "23"] {
        let lease = lease_one(&*store, party).await.unwrap();
        assert_eq!(lease.event().unwrap().r#type(), EventType::DuplicateRefused, "{party}");
        store.settle(lease, Settlement::Delivered).await.unwrap();
    }
    assert_eq!(store.totals().await.unwrap().leaves, 6);
}

async fn what_ends_of_two_granted_together_is_free_and_the_other_goes_on_also_after_a_restart(
    engine: Engine,
) {
    let place = Place::new(engine);
    let store = place.open().await;
    let both = granted(&*store, 1, &subsidy("3", "1")).await;
    granted(&*store, 2, &subsidy("1", "5")).await;
    drop(store);
    let store = place.open().await;
    assert_eq!(duplicate_of(&*store, 3, &subsidy("2", "1")).await, (both, true));
    assert!(is_free(&*store, 4, &subsidy("1", "1")).await);
    // The rest of it moves, and then nothing of the first is left.
    let moved = granted(&*store, 5, &subsidy("2", "6")).await;
    drop(store);
    let store = place.open().await;
    assert_eq!(duplicate_of(&*store, 6, &subsidy("2", "1")).await, (moved, true));
}

async fn of_two_applied_for_the_one_that_is_granted_is_held(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let id = taken_up(&*store, 1, &subsidy("3", "1")).await;
    let mut decide = decide(id, 1, Outcome::Granted);
    decide.event.decision.as_mut().unwrap().granted_kind = "2".into();
    assert!(matches!(store.apply(decide).await.unwrap(), Applied::Done(_)));
    drop(store);
    let store = place.open().await;
    assert_eq!(duplicate_of(&*store, 2, &subsidy("2", "1")).await, (id, true));
    assert!(is_free(&*store, 3, &subsidy("1", "1")).await);
}

async fn a_benefit_is_ended_and_changed_only_where_it_is_paid(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = granted(&*store, 1, &subsidy("1", "1")).await;
    for (n, action) in [(2, "2"), (3, "3"), (4, "4"), (5, "5")] {
        let elsewhere = Paper { home: "440305", ..subsidy("1", action) };
        let id = taken_up(&*store, n, &elsewhere).await;
        let before = store.totals().await.unwrap().leaves;
        let refused = store.apply(decide(id, n, Outcome::Granted)).await.unwrap();
        let refusal = Refusal::PaidElsewhere("homeDivision");
        assert!(matches!(refused, Applied::Refused(why) if why == refusal), "{action} {refused:?}");
        assert_eq!(store.totals().await.unwrap().leaves, before);
        assert_eq!(store.header(id).await.unwrap().unwrap().state, State::Accepted);
        let denied = store.apply(decide(id, n + 10, Outcome::Denied)).await.unwrap();
        assert!(matches!(denied, Applied::Done(_)));
    }
    assert_eq!(duplicate_of(&*store, 6, &subsidy("1", "1")).await, (first, true));
    let rest = Paper { home: "510104001", ..subsidy("1", "3") };
    granted(&*store, 7, &rest).await;
    assert_eq!(duplicate_of(&*store, 8, &subsidy("1", "1")).await, (first, true));
}

async fn a_transfer_takes_from_the_division_that_it_names_whatever_its_code_is_today(
    engine: Engine,
) {
    let place = Place::new(engine);
    let store = place.open().await;
    // 卢湾区 was merged into 黄浦区 in 2011.
    granted(&*store, 1, &Paper { home: "310101", ..subsidy("1", "1") }).await;
    let wrong = taken_up(&*store, 2, &subsidy("1", "6")).await;
    let refused = store.apply(decide(wrong, 2, Outcome::Granted)).await.unwrap();
    let refusal = Refusal::PaidElsewhere("disabilitySubsidy.previousDivision");
    assert!(matches!(refused, Applied::Refused(why) if why == refusal), "{refused:?}");
    let denied = store.apply(decide(wrong, 12, Outcome::Denied)).await.unwrap();
    assert!(matches!(denied, Applied::Done(_)));
    let mut named = subsidy("1", "6");
    if let Details::DisabilitySubsidy(body) = &mut named.details {
        body.previous_division = "310103".into();
    }
    let moved = granted(&*store, 3, &named).await;
    assert_eq!(duplicate_of(&*store, 4, &subsidy("1", "1")).await, (moved, true));
}

async fn the_place_that_paid_is_told_the_last_month_that_it_pays(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = granted(&*store, 1, &subsidy("3", "1")).await;
    granted(&*store, 2, &subsidy("1", "6")).await;
    granted(&*store, 3, &subsidy("2", "5")).await;
    let told = events(&*store, first).await;
    let told: Vec<_> = told[3..].iter().map(|e| (e.r#type(), &*e.last_paid_month)).collect();
    assert_eq!(told, [(EventType::BenefitMoved, "2026-09"), (EventType::BenefitEnded, "2026-11")]);
    for (party, before) in [("national", 0), ("23", 2)] {
        let mut told = Vec::new();
        while let Some(lease) = lease_one(&*store, party).await {
            let event = lease.event().map(|event| (event.r#type(), event.application_id.clone()));
            told.extend(event.filter(|(_, id)| *id == first.to_string()));
            store.settle(lease, Settlement::Delivered).await.unwrap();
        }
        // What the party was told of its own steps comes before.
        let types: Vec<_> = told.into_iter().skip(before).map(|(told, _)| told).collect();
        assert_eq!(types, [EventType::BenefitMoved, EventType::BenefitEnded], "{party}");
    }
}

async fn a_change_holds_from_then_on_what_was_held_before_and_what_it_adds(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    granted(&*store, 1, &subsidy("1", "1")).await;
    let changed = granted(&*store, 2, &subsidy("3", "2")).await;
    drop(store);
    let store = place.open().await;
    assert_eq!(duplicate_of(&*store, 3, &subsidy("1", "1")).await, (changed, true));
    assert_eq!(duplicate_of(&*store, 4, &subsidy("2", "1")).await, (changed, true));
}

async fn a_child_that_moves_is_paid_where_it_went_and_not_where_it_was(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = granted(&*store, 1, &child("1", "510104", "")).await;
    assert_eq!(duplicate_of(&*store, 2, &child("", "230103", "")).await, (first, true));
    let moved = granted(&*store, 3, &child("6", "230103", "510104")).await;
    assert_eq!(duplicate_of(&*store, 4, &child("1", "510104", "")).await, (moved, true));
    granted(&*store, 5, &child("5", "230103", "")).await;
    assert!(is_free(&*store, 6, &child("1", "230103", "")).await);
}

async fn an_allowance_turns_into_support_for_one_and_goes_on_for_the_household(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = granted(&*store, 1, &assistance("1", "1", &[MEMBER])).await;
    assert_eq!(duplicate_of(&*store, 2, &assistance("2", "1", &[])).await, (first, true));
    let support = granted(&*store, 3, &assistance("2", "2", &[])).await;
    assert_eq!(duplicate_of(&*store, 4, &assistance("2", "1", &[])).await, (support, true));
    let member = Paper { person: MEMBER, ..assistance("1", "1", &[]) };
    assert_eq!(duplicate_of(&*store, 5, &member).await, (first, true));
    // The household's allowance ends as a whole, also when not every member is named.
    let end = Paper { person: MEMBER, ..assistance("1", "5", &[]) };
    granted(&*store, 6, &end).await;
    drop(store);
    let store = place.open().await;
    assert!(is_free(&*store, 7, &member).await);
}

async fn the_end_of_a_household_s_allowance_frees_members_that_it_does_not_name(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    granted(&*store, 1, &assistance("1", "1", &[MEMBER])).await;
    granted(&*store, 2, &assistance("1", "5", &[])).await;
    assert!(is_free(&*store, 3, &Paper { person: MEMBER, ..assistance("2", "1", &[]) }).await);
}

promises![
    a_granted_benefit_is_not_granted_a_second_time_also_after_a_restart,
    a_refused_application_leaves_the_person_free_to_apply_again,
    a_transfer_moves_the_benefit_and_an_exit_frees_it,
    two_changes_of_one_benefit_are_not_open_at_once,
    nobody_applies_for_what_is_just_being_moved_from_elsewhere,
    both_sides_of_the_first_are_told_of_a_second_once_and_nothing_else_changes,
    what_ends_of_two_granted_together_is_free_and_the_other_goes_on_also_after_a_restart,
    of_two_applied_for_the_one_that_is_granted_is_held,
    a_benefit_is_ended_and_changed_only_where_it_is_paid,
    a_transfer_takes_from_the_division_that_it_names_whatever_its_code_is_today,
    the_place_that_paid_is_told_the_last_month_that_it_pays,
    a_change_holds_from_then_on_what_was_held_before_and_what_it_adds,
    a_child_that_moves_is_paid_where_it_went_and_not_where_it_was,
    an_allowance_turns_into_support_for_one_and_goes_on_for_the_household,
    the_end_of_a_household_s_allowance_frees_members_that_it_does_not_name,
];
