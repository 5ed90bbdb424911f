//! A store agrees with its audit log, and does not once anything of it was changed by hand.

use super::*;

promises! {
    a_store_agrees_with_its_log_whatever_happened_to_it,
    every_change_by_hand_is_found,
}

/// Four applications: decided, parked and replayed, withdrawn and purged, and one just taken in.
async fn eventful(place: &Place) {
    let store = place.open().await;
    let purged = accepted(&*store, 1).await;
    delivered(&*store, "national").await;
    let mut withdrawal = change(purged, 11, EventType::ApplicationWithdrawn, None);
    (withdrawal.party, withdrawal.event.reason) = ("23".into(), "moved".into());
    store.apply(withdrawal).await.unwrap();
    delivered(&*store, "national").await;
    let now = clock::now_micros() + 1;
    store.forget(now).await.unwrap();
    assert_eq!(store.purge(now, 9).await.unwrap(), 1);
    let decided = accepted(&*store, 2).await;
    delivered(&*store, "national").await;
    for (n, event, decision) in [
        (12, EventType::ApplicationAccepted, None),
        (13, EventType::DecisionMade, Some(Outcome::Denied)),
    ] {
        store.apply(change(decided, n, event, decision)).await.unwrap();
        delivered(&*store, "23").await;
    }
    accepted(&*store, 3).await;
    let lease = lease_one(&*store, "national").await.unwrap();
    let parked = Settlement::Parked { unknown: true, note: "no answer".into() };
    store.settle(lease, parked).await.unwrap();
    let again = store.parked().await.unwrap().iter().map(|one| one.delivery).collect();
    assert_eq!(store.revive(again).await.unwrap(), 1);
    accepted(&*store, 4).await;
    store.record(crate::audit::Entry::parse(REFUSAL).unwrap()).await.unwrap();
}

const REFUSAL: &[u8] = br#"{"application":"","content":"","kind":"refusal","party":"23","sequence":0,"state":"SubmitApplication","system":"t","time":1,"v":1,"what":"INVALID_ARGUMENT"}"#;

async fn a_store_agrees_with_its_log_whatever_happened_to_it(engine: Engine) {
    let place = Place::new(engine);
    drop(place.open().await);
    let empty = place.prove().await;
    assert_eq!((empty.leaves, empty.wrong, empty.last_leaf), (0, 0, None));
    eventful(&place).await;
    let report = place.agrees().await;
    assert_eq!((report.applications, report.purged), (4, 1));
    let leaves = place.leaves();
    assert_eq!(report.leaves, i64::try_from(leaves.len()).unwrap());
    assert_eq!(report.last_leaf, leaves.last().map(|leaf| leaf.1));
    let mut tree = crate::audit::tree::Tree::default();
    leaves.iter().for_each(|leaf| tree.push(leaf.1));
    assert_eq!(report.root, tree.root());
}

async fn every_change_by_hand_is_found(engine: Engine) {
    // What is changed, and words of what is found.
    let changes = [
        ("DELETE FROM leaves WHERE position = 3", "stands where leaf 3 belongs"),
        (
            "UPDATE leaves SET hash = (SELECT hash FROM leaves WHERE position = 0) WHERE position = 1",
            "its hash is not that of its entry",
        ),
        (
            "UPDATE leaves SET entry = (SELECT entry FROM leaves WHERE position = 0) WHERE position = 1",
            "its hash is not that of its entry",
        ),
        ("DELETE FROM events WHERE seq = 3", "is missing"),
        (
            "INSERT INTO events (seq, application, sequence, type, state, party, time) \
             SELECT max(seq) + 1, 1, 99, 1, 1, '23', 1 FROM events",
            "has no leaf",
        ),
        ("UPDATE events SET state = 9 WHERE seq = 2", "another state"),
        ("UPDATE events SET type = 9 WHERE seq = 2", "another type"),
        ("UPDATE events SET party = '99' WHERE seq = 2", "another party"),
        ("UPDATE events SET time = time + 1 WHERE seq = 2", "another time"),
        ("UPDATE events SET detail = NULL WHERE detail IS NOT NULL", "does not open"),
        ("UPDATE applications SET version = version + 1 WHERE seq = 2", "version"),
        ("UPDATE applications SET state = 1 WHERE seq = 2", "not that of its last event"),
        ("UPDATE applications SET salt = benefits WHERE seq = 4", "does not open"),
        ("UPDATE applications SET body = salt WHERE seq = 2", "does not open"),
        ("UPDATE applications SET purged = 1 WHERE seq = 4", "purged without a leaf"),
        ("UPDATE applications SET purged = NULL WHERE seq = 1", "the log says purged"),
        ("UPDATE deliveries SET state = 2 WHERE state = 0", "the log says"),
        ("UPDATE deliveries SET state = 5 WHERE state = 0", "the log says"),
        ("UPDATE deliveries SET state = 0 WHERE state = 2", "the log says Delivered"),
        ("DELETE FROM deliveries WHERE state = 2", "its delivery is missing"),
    ];
    // What is found does not depend on where it was read, and a database is slow to set up.
    let every = match engine {
        Engine::Sqlite => 1,
        Engine::Postgres => 5,
    };
    for (sql, found) in changes.into_iter().step_by(every) {
        let place = Place::new(engine);
        eventful(&place).await;
        place.change(sql);
        let report = place.prove().await;
        assert!(report.wrong > 0, "nothing was found after {sql}");
        let told = report.findings.join("\n");
        assert!(told.contains(found), "after {sql}: {told}");
    }
}
