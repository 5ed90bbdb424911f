//! What is over long enough loses its content, and everything else keeps it.

use super::*;
use crate::store::rows::{Expired, Filter};

promises! {
    what_ended_loses_its_content_and_keeps_row_events_and_leaves,
    what_is_open_paid_or_not_delivered_keeps_its_content,
    a_person_may_apply_again_after_the_purge,
}

const NAME: &[u8] = "王小·明𠅤".as_bytes();

/// An application that was withdrawn and whose deliveries were all made.
async fn ended(store: &dyn Store, n: u8) -> Uuid {
    let id = accepted(store, n).await;
    delivered(store, "national").await;
    let mut withdrawal = change(id, n + 100, EventType::ApplicationWithdrawn, None);
    withdrawal.party = "23".into();
    withdrawal.event.reason = "王小·明𠅤 moved".into();
    assert!(matches!(store.apply(withdrawal).await.unwrap(), Applied::Done(_)));
    delivered(store, "national").await;
    id
}

/// After everything so far, its keys forgotten.
async fn later(store: &dyn Store) -> i64 {
    let later = clock::now_micros() + 1;
    store.forget(later).await.unwrap();
    later
}

async fn what_ended_loses_its_content_and_keeps_row_events_and_leaves(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let (gone, other) = (ended(&*store, 1).await, ended(&*store, 2).await);
    let kept = accepted(&*store, 3).await;
    let now = clock::now_micros() + 1;
    let held = Expired { due: 0, held_back: 2 };
    assert_eq!(store.expired(now).await.unwrap(), held, "keys are answered from the content");
    assert_eq!(store.purge(now, 10).await.unwrap(), 0);
    let before = later(&*store).await;
    assert_eq!(store.expired(before).await.unwrap(), Expired { due: 2, held_back: 0 });
    assert_eq!(store.purge(0, 10).await.unwrap(), 0, "nothing ended so early");
    let leaves = store.totals().await.unwrap().leaves;
    assert_eq!(store.purge(before, 1).await.unwrap(), 1);
    assert_eq!(store.purge(before, 10).await.unwrap(), 1);
    assert_eq!(store.purge(before, 10).await.unwrap(), 0);
    assert_eq!(store.totals().await.unwrap().leaves, leaves + 2);
    for id in [gone, other] {
        assert!(store.application(id).await.unwrap().is_none());
        assert!(store.header(id).await.unwrap().is_none());
        assert!(store.events(id).await.unwrap().is_empty());
        let late = change(id, 50, EventType::ApplicationAccepted, None);
        let refused = store.apply(late).await.unwrap();
        assert!(matches!(refused, Applied::Refused(Refusal::NotFound)), "{refused:?}");
    }
    assert_eq!(store.application(kept).await.unwrap().unwrap().acceptance_number, "CASE-3");
    let (seen, _) = store.events_after("23", 0, 100).await.unwrap();
    assert!(seen.iter().all(|event| event.application_id == kept.to_string()));
    let filter = Filter {
        party: "23".into(),
        business: None,
        state: None,
        home_division: String::new(),
        limit: 10,
        before: None,
    };
    assert_eq!(store.list(filter).await.unwrap().0.len(), 1);
    // Operations that make everything due again leave it alone: there is nothing to send.
    assert_eq!(store.resend((1..10).collect()).await.unwrap(), 0);
    place.agrees().await;
    assert_eq!(place.prove().await.purged, 2);
}

async fn what_is_open_paid_or_not_delivered_keeps_its_content(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    accepted(&*store, 1).await;
    let parked = accepted(&*store, 2).await;
    let mut withdrawal = change(parked, 102, EventType::ApplicationWithdrawn, None);
    withdrawal.party = "23".into();
    assert!(matches!(store.apply(withdrawal).await.unwrap(), Applied::Done(_)));
    for _ in 0..2 {
        if let Some(lease) = lease_one(&*store, "national").await {
            let note = "no".into();
            store.settle(lease, Settlement::Refused { note }).await.unwrap();
        }
    }
    let before = later(&*store).await;
    assert_eq!(store.purge(before, 10).await.unwrap(), 0);
    assert_eq!(store.expired(before).await.unwrap(), Expired { due: 0, held_back: 1 });
    assert!(store.application(parked).await.unwrap().is_some());
    place.agrees().await;
}

async fn a_person_may_apply_again_after_the_purge(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = ended(&*store, 1).await;
    let before = later(&*store).await;
    assert_eq!(store.purge(before, 10).await.unwrap(), 1);
    // Their key is free again, too.
    assert_ne!(accepted(&*store, 1).await, first);
    drop(store);
    let store = place.open().await;
    assert!(matches!(store.accept(new(1)).await.unwrap(), Accepted::Replayed(_)));
    place.agrees().await;
}

/// Ciphertext of what was purged must not be left in free pages either: who holds the key could
/// read it still.
#[tokio::test]
async fn what_was_purged_is_gone_from_the_file() {
    let place = Place::new(Engine::Sqlite);
    let store = place.open().await;
    for n in 1..=60 {
        ended(&*store, n).await;
    }
    let kept = accepted(&*store, 90).await;
    let columns = "SELECT id, body FROM applications UNION ALL \
                   SELECT id, detail FROM events e JOIN applications a ON a.seq = e.application \
                   WHERE detail IS NOT NULL";
    let file = rusqlite::Connection::open(place.file()).unwrap();
    let mut query = file.prepare(columns).unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let sealed: Vec<([u8; 16], Vec<u8>)> = rows.map(Result::unwrap).collect();
    assert_eq!(sealed.len(), 121);
    drop(query);
    let before = later(&*store).await;
    assert_eq!(store.purge(before, 100).await.unwrap(), 60);
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let bytes = place.bytes();
    let is_there = |part: &[u8]| bytes.iter().any(|file| contains(file, part));
    for (id, value) in sealed {
        // Any run of it would do to show that it was not overwritten.
        let left = value.chunks_exact(16).any(&is_there);
        assert_eq!(left, id == *kept.as_bytes());
    }
    assert!(!is_there(NAME));
}

fn contains(file: &[u8], part: &[u8]) -> bool {
    file.windows(part.len()).any(|window| window == part)
}
