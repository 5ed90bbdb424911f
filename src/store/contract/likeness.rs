//! Who may be the same person although no number says so: asked about, never refused, whichever of
//! the two comes first, also at the same moment and after a restart.

use super::*;
use crate::{
    business::{self, likeness},
    model::pb::application::Details,
    store::likeness::Likeness,
};

const NUMBER: &str = "230103201903020021";
const OTHER: &str = "510104201903020044";

/// A child of that name and number who comes with that guardian.
fn child(store: &dyn Store, n: u8, name: &str, number: &str, guardian: &str) -> NewApplication {
    let mut new = new(n);
    let application = &mut new.application;
    application.set_business(pb::Business::ChildRecognition);
    application.applicant = Some(pb::Person {
        name: name.into(),
        resident_id: number.into(),
        birth_date: "2019-03-02".into(),
        ..Default::default()
    });
    let guardian = pb::Representative { resident_id: guardian.into(), ..Default::default() };
    application.guardian = Some(guardian);
    let body = pb::ChildRecognition { child_kind: "1".into(), ..Default::default() };
    application.details = Some(Details::ChildRecognition(body));
    new.content = content_of(application);
    let digests = |texts: Vec<String>| texts.iter().map(|text| store.digest(text)).collect();
    new.benefits = digests(business::claims(application));
    let texts = likeness::of(application).unwrap();
    new.likeness = Some(Likeness {
        own: store.digest(&texts.own),
        sought: digests(texts.sought),
        same: digests(texts.same),
    });
    new
}

/// Which others an application is asked about.
fn others(application: &pb::Application) -> Vec<&str> {
    let checks = application.checks.iter().filter(|check| likeness::is_question(check));
    checks.map(|check| check.application_id.as_str()).collect()
}

async fn taken(store: &dyn Store, new: NewApplication) -> Box<pb::Application> {
    match store.accept(new).await.unwrap() {
        Accepted::New(application) => application,
        other => panic!("{other:?}"),
    }
}

async fn stored(store: &dyn Store, id: &str) -> pb::Application {
    store.application(id.parse().unwrap()).await.unwrap().unwrap()
}

async fn step(store: &dyn Store, id: &str, n: u8, event: EventType, outcome: Option<Outcome>) {
    let mut change = change(id.parse().unwrap(), n, event, outcome);
    if event == EventType::ApplicationWithdrawn {
        change.party = "23".into();
    }
    if let Some(decision) = &mut change.event.decision {
        decision.decided_on = "2026-11-25".into();
    }
    let done = store.apply(change).await.unwrap();
    assert!(matches!(done, Applied::Done(_)), "{done:?}");
}

async fn both_are_asked_about_each_other_and_neither_is_refused(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = taken(&*store, child(&*store, 1, "娜仁·其木格", "", "a")).await;
    assert!(others(&first).is_empty());
    // The number is known to this window, the guardian is another.
    let second = taken(&*store, child(&*store, 2, "娜仁 其木格", NUMBER, "b")).await;
    assert_eq!(others(&second), [&first.id]);
    let read = stored(&*store, &second.id).await;
    assert_eq!(read, *second, "what was answered is what is stored");
    let earlier = stored(&*store, &first.id).await;
    assert_eq!(others(&earlier), [&second.id]);
    assert_eq!(earlier.version, first.version, "nothing happened to it");
    assert!(!earlier.checks[0].says.is_empty());
    // A third is asked about both; the others have their question already.
    let third = taken(&*store, child(&*store, 3, "娜仁其木格", "", "c")).await;
    assert_eq!(others(&third), [&first.id, &second.id]);
    assert_eq!(others(&stored(&*store, &first.id).await), [&second.id]);
    place.agrees().await;
}

async fn two_numbers_are_two_people_and_one_claim_is_a_duplicate(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let numbered = taken(&*store, child(&*store, 1, "王小明", NUMBER, "a")).await;
    let other = taken(&*store, child(&*store, 2, "王小明", OTHER, "a")).await;
    assert!(others(&other).is_empty() && others(&numbered).is_empty());
    let again = store.accept(child(&*store, 3, "王小明", NUMBER, "b")).await.unwrap();
    assert!(matches!(again, Accepted::Duplicate { .. }), "{again:?}");
    let stranger = taken(&*store, child(&*store, 4, "王小红", "", "a")).await;
    assert!(others(&stranger).is_empty());
    let bare = taken(&*store, child(&*store, 5, "王小明", "", "c")).await;
    assert_eq!(others(&bare), [&numbered.id, &other.id]);
    let again = store.accept(child(&*store, 6, "王小明", "", "c")).await.unwrap();
    assert!(matches!(again, Accepted::Duplicate { .. }), "{again:?}");
}

async fn the_question_is_replayed_delivered_and_left_by_a_grant(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = taken(&*store, child(&*store, 1, "王小明", NUMBER, "a")).await;
    let second = taken(&*store, child(&*store, 2, "王小明", "", "b")).await;
    let again = store.accept(child(&*store, 2, "王小明", "", "b")).await.unwrap();
    assert!(matches!(again, Accepted::Replayed(again) if again == second));
    assert_eq!(delivered(&*store, "national").await, DeliveryKind::Application);
    let lease = lease_one(&*store, "national").await.unwrap();
    assert_eq!(others(lease.application()), [&first.id]);
    store.settle(lease, Settlement::Delivered).await.unwrap();
    step(&*store, &second.id, 10, EventType::ApplicationAccepted, None).await;
    let granted = Some(Outcome::Granted);
    step(&*store, &second.id, 11, EventType::DecisionMade, granted).await;
    assert_eq!(others(&stored(&*store, &second.id).await), [&first.id]);
}

async fn who_is_paid_is_found_also_after_a_restart_and_who_ended_is_not(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = taken(&*store, child(&*store, 1, "王小明", "", "a")).await;
    step(&*store, &first.id, 10, EventType::ApplicationAccepted, None).await;
    step(&*store, &first.id, 11, EventType::DecisionMade, Some(Outcome::Granted)).await;
    drop(store);
    let store = place.open().await;
    let second = taken(&*store, child(&*store, 2, "王小明", "", "b")).await;
    assert_eq!(others(&second), [&first.id]);
    assert!(others(&stored(&*store, &first.id).await).is_empty(), "it is decided");
    step(&*store, &second.id, 12, EventType::ApplicationWithdrawn, None).await;
    let third = taken(&*store, child(&*store, 3, "王小明", "", "c")).await;
    assert_eq!(others(&third), [&first.id], "the second is over");
}

async fn who_was_taken_in_by_an_earlier_release_is_found(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = taken(&*store, child(&*store, 1, "王小明", "", "a")).await;
    drop(store);
    let back = match engine {
        Engine::Sqlite => {
            "DROP INDEX applications_alike; ALTER TABLE applications DROP COLUMN alike; \
             PRAGMA user_version = 4"
        }
        Engine::Postgres => {
            "ALTER TABLE applications DROP COLUMN alike; DROP TABLE turns; DROP TABLE outbox; \
             DROP INDEX deliveries_waiting; UPDATE tongban_schema SET version = 2"
        }
    };
    match engine {
        Engine::Sqlite => {
            // The writer ends by itself and may hold the file still.
            let file = rusqlite::Connection::open(place.file()).unwrap();
            file.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
            file.execute_batch(back).unwrap();
        }
        Engine::Postgres => drop(place.sql(back.to_owned())),
    }
    let store = place.open().await;
    let second = taken(&*store, child(&*store, 2, "王小明", NUMBER, "b")).await;
    assert_eq!(others(&second), [&first.id]);
    place.agrees().await;
}

async fn of_two_at_the_same_moment_at_least_the_later_is_asked(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    for n in 1..=50_u8 {
        let name = format!("王小明{n}");
        let number = if n % 2 == 0 { NUMBER } else { "" };
        let one = child(&*store, n, &name, number, "a");
        let two = child(&*store, n + 100, &name, "", "b");
        let other = Arc::clone(&store);
        let two = tokio::spawn(async move { taken(&*other, two).await });
        let (one, two) = (taken(&*store, one).await, two.await.unwrap());
        assert_eq!(others(&one).len() + others(&two).len(), 1, "the later alone learns of it now");
        assert_eq!(others(&stored(&*store, &one.id).await), [&two.id]);
        assert_eq!(others(&stored(&*store, &two.id).await), [&one.id]);
        // The next round's child may have the same number.
        step(&*store, &one.id, 255 - n, EventType::ApplicationWithdrawn, None).await;
    }
}

promises![
    both_are_asked_about_each_other_and_neither_is_refused,
    two_numbers_are_two_people_and_one_claim_is_a_duplicate,
    the_question_is_replayed_delivered_and_left_by_a_grant,
    who_is_paid_is_found_also_after_a_restart_and_who_ended_is_not,
    who_was_taken_in_by_an_earlier_release_is_found,
    of_two_at_the_same_moment_at_least_the_later_is_asked,
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn of_two_at_the_same_moment_at_two_gateways_at_least_the_later_is_asked() {
    let place = Place::new(Engine::Postgres);
    let (one, other) = (place.open().await, place.open().await);
    for n in 1..=50_u8 {
        let name = format!("王小明{n}");
        let mine = child(&*one, n, &name, if n % 2 == 0 { NUMBER } else { "" }, "a");
        let theirs = child(&*other, n + 100, &name, "", "b");
        let store = Arc::clone(&other);
        let theirs = tokio::spawn(async move { taken(&*store, theirs).await });
        let (mine, theirs) = (taken(&*one, mine).await, theirs.await.unwrap());
        assert_eq!(others(&mine).len() + others(&theirs).len(), 1);
        assert_eq!(others(&stored(&*other, &mine.id).await), [&theirs.id]);
        assert_eq!(others(&stored(&*one, &theirs.id).await), [&mine.id]);
        step(&*one, &mine.id, 255 - n, EventType::ApplicationWithdrawn, None).await;
    }
}
