//! One person, one benefit: held by an open application, then by the one that is paid, moved by a
//! transfer, free again after an exit; and also so after a restart.

use super::*;
use crate::{business, model::pb::application::Details};

const PERSON: &str = "11010519491231002X";

/// An application for the living subsidy, or to do `action` to it.
fn about(store: &dyn Store, n: u8, action: &str) -> NewApplication {
    let mut new = new(n);
    let application = &mut new.application;
    application.applicant =
        Some(pb::Person { resident_id: PERSON.into(), ..pb::Person::default() });
    application.details = Some(Details::DisabilitySubsidy(pb::DisabilitySubsidy {
        subsidy_kind: "1".into(),
        action: action.into(),
        ..Default::default()
    }));
    let content = pb::Application {
        id: String::new(),
        submitting_party: String::new(),
        handling_party: String::new(),
        state: 0,
        ..(**application).clone()
    };
    new.content = content.encode_to_vec();
    new.benefits = business::claims(application).iter().map(|claim| store.digest(claim)).collect();
    new
}

async fn granted(store: &dyn Store, n: u8, action: &str) -> Uuid {
    let id = match store.accept(about(store, n, action)).await.unwrap() {
        Accepted::New(application) => application.id.parse().unwrap(),
        other => panic!("{other:?}"),
    };
    decided(store, id, n, Outcome::Granted).await;
    id
}

async fn decided(store: &dyn Store, id: Uuid, n: u8, outcome: Outcome) {
    let accept = change(id, n + 100, EventType::ApplicationAccepted, None);
    assert!(matches!(store.apply(accept).await.unwrap(), Applied::Done(_)));
    let decide = change(id, n + 150, EventType::DecisionMade, Some(outcome));
    assert!(matches!(store.apply(decide).await.unwrap(), Applied::Done(_)));
}

async fn duplicate_of(store: &dyn Store, n: u8, action: &str) -> (Uuid, bool) {
    match store.accept(about(store, n, action)).await.unwrap() {
        Accepted::Duplicate { first, paid } => (first, paid),
        other => panic!("{other:?}"),
    }
}

async fn a_granted_benefit_is_not_granted_a_second_time_also_after_a_restart(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = granted(&*store, 1, "1").await;
    assert_eq!(duplicate_of(&*store, 2, "1").await, (first, true));
    drop(store);
    let store = place.open().await;
    assert_eq!(duplicate_of(&*store, 3, "").await, (first, true));
}

async fn a_refused_application_leaves_the_person_free_to_apply_again(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = about(&*store, 1, "1");
    let id = first.id;
    assert!(matches!(store.accept(first).await.unwrap(), Accepted::New(_)));
    decided(&*store, id, 1, Outcome::Denied).await;
    assert!(matches!(store.accept(about(&*store, 2, "1")).await.unwrap(), Accepted::New(_)));
}

async fn a_transfer_moves_the_benefit_and_an_exit_frees_it(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    granted(&*store, 1, "1").await;
    let moved = granted(&*store, 2, "6").await;
    assert_eq!(duplicate_of(&*store, 3, "1").await, (moved, true));
    granted(&*store, 4, "5").await;
    drop(store);
    let store = place.open().await;
    granted(&*store, 5, "1").await;
}

async fn two_changes_of_one_benefit_are_not_open_at_once(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    granted(&*store, 1, "1").await;
    let change = about(&*store, 2, "2");
    let id = change.id;
    assert!(matches!(store.accept(change).await.unwrap(), Accepted::New(_)));
    assert_eq!(duplicate_of(&*store, 3, "6").await, (id, false));
}

async fn nobody_applies_for_what_is_just_being_moved_from_elsewhere(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let transfer = about(&*store, 1, "6");
    let id = transfer.id;
    assert!(matches!(store.accept(transfer).await.unwrap(), Accepted::New(_)));
    assert_eq!(duplicate_of(&*store, 2, "1").await, (id, false));
}

async fn both_sides_of_the_first_are_told_of_a_second_once_and_nothing_else_changes(
    engine: Engine,
) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = about(&*store, 1, "1");
    let id = first.id;
    assert!(matches!(store.accept(first).await.unwrap(), Accepted::New(_)));
    for n in 2..5 {
        duplicate_of(&*store, n, "1").await;
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

promises![
    a_granted_benefit_is_not_granted_a_second_time_also_after_a_restart,
    a_refused_application_leaves_the_person_free_to_apply_again,
    a_transfer_moves_the_benefit_and_an_exit_frees_it,
    two_changes_of_one_benefit_are_not_open_at_once,
    nobody_applies_for_what_is_just_being_moved_from_elsewhere,
    both_sides_of_the_first_are_told_of_a_second_once_and_nothing_else_changes,
];
