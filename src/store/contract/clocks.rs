//! Clocks in the store: they speak once, both sides are told, and what comes too late finds that
//! the limit has spoken first.

use super::*;

const DAY: i64 = 24 * HOUR;

/// An application for which papers were asked.
async fn asked(store: &dyn Store) -> Uuid {
    let id = accepted(store, 1).await;
    for (n, event) in [(2, EventType::ApplicationAccepted), (3, EventType::SupplementRequested)] {
        let step = change(id, n, event, None);
        assert!(matches!(store.apply(step).await.unwrap(), Applied::Done(_)));
    }
    id
}

fn supplement(id: Uuid, now: i64) -> Change {
    let event = EventType::SupplementSubmitted;
    Change { party: "23".into(), now, ..change(id, 4, event, None) }
}

async fn papers_that_do_not_come_end_the_application_and_both_sides_are_told(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let id = asked(&*store).await;
    let now = clock::now_micros();
    assert_eq!(store.strike(now, 10).await.unwrap(), 0);
    assert_eq!(store.strike(now + 60 * DAY, 10).await.unwrap(), 1);
    assert_eq!(store.strike(now + 60 * DAY, 10).await.unwrap(), 0, "nothing is said twice");
    let application = store.application(id).await.unwrap().unwrap();
    assert_eq!(application.state(), State::Expired);
    let events = store.events(id).await.unwrap();
    let last = events.last().unwrap();
    assert_eq!((last.r#type(), last.party.as_str()), (EventType::ApplicationExpired, "gateway"));
    assert_eq!(last.deadline.as_ref().unwrap().kind(), pb::DeadlineKind::Supplement);
    // The person may apply again, and late papers change nothing.
    let late = store.apply(supplement(id, now + 60 * DAY)).await.unwrap();
    assert!(matches!(late, Applied::Refused(Refusal::Illegal(State::Expired))));
    assert!(matches!(
        store.accept(NewApplication { key: key(9, 9), ..new(1) }).await.unwrap(),
        Accepted::New(_)
    ));
    // Two applications to the handler, what it did to the submitter, the end to both.
    assert_eq!(store.totals().await.unwrap().outbox().due, 2 + 2 + 2);
}

async fn a_late_step_finds_that_the_limit_spoke_first_though_nobody_looked(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let id = asked(&*store).await;
    drop(store);
    let store = place.open().await;
    let late = store.apply(supplement(id, clock::now_micros() + 60 * DAY)).await.unwrap();
    assert!(matches!(late, Applied::Refused(Refusal::Illegal(State::Expired))), "{late:?}");
}

async fn papers_in_time_arrive_once_and_the_clock_goes_on(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let id = asked(&*store).await;
    let now = clock::now_micros();
    let paused = store.application(id).await.unwrap().unwrap().deadlines;
    let decision = |deadlines: &[pb::Deadline]| {
        let kind = pb::DeadlineKind::Decision;
        deadlines.iter().find(|one| one.kind() == kind).cloned().unwrap()
    };
    assert_eq!(decision(&paused).state(), pb::DeadlineState::Paused);
    assert!(matches!(store.apply(supplement(id, now)).await.unwrap(), Applied::Done(_)));
    assert!(matches!(store.apply(supplement(id, now)).await.unwrap(), Applied::Replayed(_)));
    let again = Change { key: key(5, 5), ..supplement(id, now) };
    let again = store.apply(again).await.unwrap();
    assert!(matches!(again, Applied::Refused(Refusal::Illegal(State::Accepted))));
    let running = store.application(id).await.unwrap().unwrap().deadlines;
    assert_eq!(decision(&running).state(), pb::DeadlineState::Running);
}

async fn a_decision_and_a_withdrawal_that_cross_leave_one_of_them(engine: Engine) {
    for decision_first in [true, false] {
        let place = Place::new(engine);
        let store = place.open().await;
        let id = accepted(&*store, 1).await;
        let accept = change(id, 2, EventType::ApplicationAccepted, None);
        assert!(matches!(store.apply(accept).await.unwrap(), Applied::Done(_)));
        let decide = change(id, 3, EventType::DecisionMade, Some(Outcome::Granted));
        let withdraw =
            Change { party: "23".into(), ..change(id, 4, EventType::ApplicationWithdrawn, None) };
        let (first, second, state) = match decision_first {
            true => (decide, withdraw, State::Approved),
            false => (withdraw, decide, State::Withdrawn),
        };
        assert!(matches!(store.apply(first).await.unwrap(), Applied::Done(_)));
        let crossed = store.apply(second).await.unwrap();
        assert!(matches!(crossed, Applied::Refused(Refusal::Illegal(now)) if now == state));
    }
}

promises![
    papers_that_do_not_come_end_the_application_and_both_sides_are_told,
    a_late_step_finds_that_the_limit_spoke_first_though_nobody_looked,
    papers_in_time_arrive_once_and_the_clock_goes_on,
    a_decision_and_a_withdrawal_that_cross_leave_one_of_them,
];
