//! What waits: it is counted as it stands, and what is held back by an earlier delivery goes when
//! that one has gone, whatever became of it in between.

use super::*;
use crate::store::{by_hand::Reason, rows::Progress, totals::Outbox};

promises! {
    what_is_held_back_goes_once_what_was_before_it_has_gone,
    what_is_discarded_is_never_sent_and_holds_nothing_back,
    a_key_that_shares_its_first_half_with_another_is_another_key,
}

async fn outbox(store: &dyn Store, party: &str) -> (i64, i64) {
    let totals = store.totals().await.unwrap();
    let found = totals.outboxes.into_iter().find(|outbox| outbox.party == party);
    let Outbox { due, parked, oldest, .. } = found.unwrap_or_default();
    assert_eq!(oldest > 0, due > 0, "{party}: the oldest of {due} is {oldest} µs old");
    (due, parked)
}

/// An application whose delivery waits, and the news of its withdrawal behind it.
async fn two_deliveries(store: &dyn Store, n: u8) {
    let id = accepted(store, n).await;
    let withdrawn = change(id, n + 100, EventType::ApplicationWithdrawn, None);
    let withdrawn = Change { party: "23".into(), ..withdrawn };
    assert!(matches!(store.apply(withdrawn).await.unwrap(), Applied::Done(_)));
}

async fn what_is_held_back_goes_once_what_was_before_it_has_gone(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let store = &*store;
    two_deliveries(store, 1).await;
    assert_eq!(outbox(store, "national").await, (2, 0));
    assert_eq!(outbox(store, "23").await, (0, 0));
    let first = lease_one(store, "national").await.unwrap();
    assert!(lease_one(store, "national").await.is_none(), "the second waits");
    let number = first.delivery();
    store.settle(first, Settlement::Refused { note: "E4".into() }).await.unwrap();
    assert_eq!(outbox(store, "national").await, (1, 1));
    assert!(lease_one(store, "national").await.is_none(), "a parked one holds it back");
    assert_eq!(store.revive(vec![number]).await.unwrap(), 1);
    assert_eq!(outbox(store, "national").await, (2, 0));
    let first = lease_one(store, "national").await.unwrap();
    assert_eq!(first.delivery(), number);
    let again = Settlement::Again {
        due: clock::now_micros(),
        unknown: true,
        counted: true,
        note: String::new(),
    };
    store.settle(first, again).await.unwrap();
    assert_eq!(delivered(store, "national").await, DeliveryKind::Application);
    let second = lease_one(store, "national").await.unwrap();
    let (kind, behind) = (second.kind(), second.delivery());
    assert_eq!(kind, DeliveryKind::Event);
    store.settle(second, Settlement::Delivered).await.unwrap();
    assert_eq!(outbox(store, "national").await, (0, 0));
    // What is sent once more goes before what came after it, which is not held for good.
    assert_eq!(store.resend(vec![behind, number]).await.unwrap(), 2);
    assert_eq!(outbox(store, "national").await, (2, 0));
    assert_eq!(delivered(store, "national").await, DeliveryKind::Application);
    assert_eq!(delivered(store, "national").await, DeliveryKind::Event);
    assert_eq!(outbox(store, "national").await, (0, 0));
}

async fn what_is_discarded_is_never_sent_and_holds_nothing_back(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let store = &*store;
    two_deliveries(store, 1).await;
    let first = lease_one(store, "national").await.unwrap();
    let number = first.delivery();
    let reason = || "INC-2026-1".parse::<Reason>().unwrap();
    assert_eq!(store.discard(vec![number], reason()).await.unwrap(), 0, "it is on its way");
    store.settle(first, Settlement::Refused { note: "E4".into() }).await.unwrap();
    let before = clock::now_micros() + 1;
    store.forget(before).await.unwrap();
    assert_eq!(store.purge(before, 9).await.unwrap(), 0, "it may still be sent");
    assert_eq!(store.discard(vec![number, 999], reason()).await.unwrap(), 1);
    assert_eq!(outbox(store, "national").await, (1, 0));
    assert!(store.parked().await.unwrap().is_empty());
    let second = lease_one(store, "national").await.unwrap();
    assert_ne!(second.delivery(), number);
    store.settle(second, Settlement::Refused { note: "E4".into() }).await.unwrap();
    let parked: Vec<i64> = store.parked().await.unwrap().iter().map(|one| one.delivery).collect();
    assert_eq!(store.discard(parked, reason()).await.unwrap(), 1);
    assert_eq!(outbox(store, "national").await, (0, 0));
    for again in [store.revive(vec![number]), store.resend(vec![number])] {
        assert_eq!(again.await.unwrap(), 0, "it is given up for good");
    }
    assert!(lease_one(store, "national").await.is_none());
    let of = store.exchanged("national", 0, i64::MAX).await.unwrap();
    assert!(of.iter().all(|one| one.progress == Progress::Discarded), "{of:?}");
    assert_eq!(store.purge(before, 9).await.unwrap(), 1, "nothing holds it back");
    let entries = place.leaves().into_iter().map(|(_, _, entry)| entry);
    let entries: Vec<String> = entries.map(|one| String::from_utf8(one).unwrap()).collect();
    let said = |entry: &&String| {
        entry.contains("\"what\":\"DISCARDED\"") && entry.contains("\"state\":\"INC-2026-1\"")
    };
    assert_eq!(entries.iter().filter(said).count(), 2);
    place.agrees().await;
}

#[tokio::test]
async fn what_is_held_back_stays_so_over_a_restart_and_is_counted_once() {
    let place = Place::new(Engine::Sqlite);
    let store = place.open().await;
    two_deliveries(&*store, 1).await;
    two_deliveries(&*store, 2).await;
    let first = lease_one(&*store, "national").await.unwrap();
    drop((first, store));
    let store = place.open().await;
    let store = &*store;
    assert_eq!(outbox(store, "national").await, (4, 0));
    let leases = store.lease("national", 10, clock::now_micros() + HOUR).await.unwrap();
    assert_eq!(leases.len(), 2, "one of each application");
    assert!(leases.iter().all(|lease| lease.kind() == DeliveryKind::Application));
    assert_eq!(leases.iter().filter(|lease| lease.unknown()).count(), 1);
    for lease in leases {
        store.settle(lease, Settlement::Delivered).await.unwrap();
    }
    let leases = store.lease("national", 10, clock::now_micros() + HOUR).await.unwrap();
    assert!(leases.len() == 2 && leases.iter().all(|one| one.kind() == DeliveryKind::Event));
}

async fn a_key_that_shares_its_first_half_with_another_is_another_key(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let alike = |last: u8| {
        let mut key = [7; 32];
        key[31] = last;
        key
    };
    for n in [1, 2] {
        let mut application = new(n);
        application.key.key = alike(n);
        application.benefits = vec![[[5; 15].as_slice(), &[n]].concat().try_into().unwrap()];
        assert!(matches!(store.accept(application).await.unwrap(), Accepted::New(_)));
    }
    drop(store);
    let store = place.open().await;
    for n in [1, 2] {
        let mut application = new(n);
        application.key.key = alike(n);
        let Accepted::Replayed(first) = store.accept(application).await.unwrap() else { panic!() };
        assert_eq!(first.acceptance_number, format!("CASE-{n}"));
        let mut other = new(n + 10);
        other.benefits = vec![[[5; 15].as_slice(), &[n]].concat().try_into().unwrap()];
        let Accepted::Duplicate { first: holder, .. } = store.accept(other).await.unwrap() else {
            panic!()
        };
        assert_eq!(holder.to_string(), first.id);
    }
}
