//! What only a shared store promises: two gateways on one database are as good as one, also when
//! they do the same thing at the same moment. Two stores opened on one place play them.

use std::collections::HashSet;

use futures::{StreamExt as _, stream};

use super::*;

/// Two gateways on one database.
async fn two() -> (Place, [Arc<dyn Store>; 2]) {
    let place = Place::new(Engine::Postgres);
    let (one, other) = tokio::join!(place.open(), place.open());
    (place, [one, other])
}

/// What both say who are asked the same at once.
async fn both<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    stores: &[Arc<dyn Store>; 2],
    ask: impl Fn(Arc<dyn Store>) -> F,
) -> (T, T) {
    let one = tokio::spawn(ask(Arc::clone(&stores[0])));
    let other = tokio::spawn(ask(Arc::clone(&stores[1])));
    (one.await.unwrap(), other.await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn two_that_start_at_once_make_the_tables_once() {
    for _ in 0..5 {
        let (_place, stores) = two().await;
        accepted(&*stores[0], 1).await;
        assert_eq!(stores[1].totals().await.unwrap().leaves, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn a_key_used_at_both_at_once_makes_one_application_and_one_change() {
    let (_place, stores) = two().await;
    // Eight at a time, so that a batch holds several races.
    stream::iter(1..=60).for_each_concurrent(8, |n| raced(&stores, n)).await;
    assert_eq!(stores[0].totals().await.unwrap().leaves, 120);
}

/// One key at both at once for an application, then one for a change of it.
async fn raced(stores: &[Arc<dyn Store>; 2], n: u8) {
    let accepted =
        both(stores, move |store| async move { store.accept(new(n)).await.unwrap() }).await;
    let (first, again) = match accepted {
        (Accepted::New(first), Accepted::Replayed(again))
        | (Accepted::Replayed(again), Accepted::New(first)) => (first, again),
        other => panic!("{other:?}"),
    };
    assert_eq!(first, again);
    let id = first.id.parse().unwrap();
    let applied = both(stores, move |store| async move {
        let step = change(id, n + 100, EventType::ApplicationAccepted, None);
        store.apply(step).await.unwrap()
    })
    .await;
    let once = matches!(
        applied,
        (Applied::Done(_), Applied::Replayed(_)) | (Applied::Replayed(_), Applied::Done(_))
    );
    assert!(once, "{applied:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn a_benefit_asked_for_at_both_at_once_is_given_once() {
    let (_place, stores) = two().await;
    for n in 1..=60 {
        let one = {
            let store = Arc::clone(&stores[0]);
            tokio::spawn(async move { store.accept(new(n)).await.unwrap() })
        };
        let twice = NewApplication { benefits: vec![[200; 16], [n; 16]], ..new(n) };
        let other = NewApplication { key: key(n + 100, n), ..twice };
        let other = stores[1].accept(other).await.unwrap();
        let (taken, refused) = match (one.await.unwrap(), other) {
            (Accepted::New(taken), Accepted::Duplicate { first, .. })
            | (Accepted::Duplicate { first, .. }, Accepted::New(taken)) => (taken, first),
            // Who was taken in with both benefits holds the second one from now on.
            other => panic!("{other:?}"),
        };
        assert_eq!(taken.id, refused.to_string());
        let mut gone = change(refused, n + 180, EventType::ApplicationWithdrawn, None);
        gone.party = "23".into();
        assert!(matches!(stores[0].apply(gone).await.unwrap(), Applied::Done(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn leases_are_shared_out_and_none_is_out_twice() {
    let (place, stores) = two().await;
    for n in 1..=100 {
        accepted(&*stores[usize::from(n % 2)], n).await;
    }
    place.agrees().await;
    let take = |store: Arc<dyn Store>| async move {
        let mut mine = Vec::new();
        loop {
            let leases = store.lease("national", 3, clock::now_micros() + HOUR).await.unwrap();
            if leases.is_empty() {
                return mine;
            }
            mine.extend(leases.iter().map(Lease::delivery));
            for lease in leases {
                store.settle(lease, Settlement::Delivered).await.unwrap();
            }
        }
    };
    let (one, other) = both(&stores, take).await;
    assert!(!one.is_empty() && !other.is_empty(), "one did it all");
    let all: HashSet<i64> = one.iter().chain(&other).copied().collect();
    assert_eq!((all.len(), one.len() + other.len()), (100, 100));
    // Counted by both at once.
    place.agrees().await;
    let totals = stores[0].totals().await.unwrap();
    let waiting = totals.outboxes.iter().map(|outbox| (outbox.party.as_str(), outbox.due));
    assert_eq!(waiting.collect::<Vec<_>>(), [("national", 0)]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn a_clock_that_strikes_at_both_at_once_says_it_once() {
    let (_place, stores) = two().await;
    let mut ids = Vec::new();
    for n in 1..=20 {
        let id = accepted(&*stores[0], n).await;
        for (m, event) in
            [(100, EventType::ApplicationAccepted), (150, EventType::SupplementRequested)]
        {
            let step = change(id, n + m, event, None);
            assert!(matches!(stores[1].apply(step).await.unwrap(), Applied::Done(_)));
        }
        ids.push(id);
    }
    let late = clock::now_micros() + 60 * 24 * HOUR;
    let (one, other) =
        both(&stores, move |store| async move { store.strike(late, 100).await.unwrap() }).await;
    assert!(one + other >= 20, "{one} and {other}");
    for id in ids {
        let events = stores[0].events(id).await.unwrap();
        let over = events.iter().filter(|one| one.r#type() == EventType::ApplicationExpired);
        assert_eq!(over.count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn who_has_seen_an_event_has_seen_all_before_it_while_both_write() {
    let (place, stores) = two().await;
    let writers: Vec<_> = (0..4_u8)
        .map(|writer| {
            let store = Arc::clone(&stores[usize::from(writer % 2)]);
            tokio::spawn(async move {
                for n in 0..50 {
                    accepted(&*store, writer * 50 + n + 1).await;
                }
            })
        })
        .collect();
    let (mut numbers, mut cursor) = (Vec::new(), 0);
    let mut changes = stores[1].changes();
    while numbers.len() < 200 {
        let (events, next) = stores[1].events_after("23", cursor, 7).await.unwrap();
        if next == cursor {
            let soon = std::time::Duration::from_secs(30);
            tokio::time::timeout(soon, changes.changed()).await.unwrap().unwrap();
        }
        cursor = next;
        numbers.extend(events.iter().map(|event| event.id.parse::<i64>().unwrap()));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    let positions: Vec<i64> = place.leaves().iter().map(|leaf| leaf.0).collect();
    assert_eq!(positions, (0..200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn everything_holds_where_transactions_are_serializable() {
    let place = Place::new(Engine::Postgres);
    let url = format!("{}%20-cdefault_transaction_isolation%3Dserializable", place.url());
    let open = || async {
        let store = Postgres::open(&url, Vault::new(&[1; 32]).unwrap(), (64, 2), terms()).await;
        Arc::new(store.unwrap()) as Arc<dyn Store>
    };
    let (one, other) = tokio::join!(open(), open());
    let stores = [one, other];
    for n in 1..=30 {
        let answers =
            both(&stores, move |store| async move { store.accept(new(n)).await.unwrap() }).await;
        assert!(
            matches!(
                answers,
                (Accepted::New(_), Accepted::Replayed(_))
                    | (Accepted::Replayed(_), Accepted::New(_))
            ),
            "{answers:?}"
        );
    }
    assert_eq!(stores[0].totals().await.unwrap().leaves, 30);
}
