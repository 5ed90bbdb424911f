//! Backup beside a busy gateway, restoring, and holding a store against its audit log: by the
//! commands alone, on the real binary.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use rusqlite::Connection;
use serde_json::Value;

use crate::{
    harness::{Caller, House, Plan, SOON, said, until},
    papers,
    receiver::{Act, Dialect, Receiver},
};

fn told(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", said(output));
    said(output)
}

/// Submits until told to stop; returns the ids, in order.
async fn busy(caller: Caller, next: Arc<AtomicU32>, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut ids = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let answer = caller.submit(&format!("b-{n}"), &papers::subsidy(n, "510104")).await;
        ids.push(answer.expect(201).id());
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_busy_gateway_is_whole_and_what_is_restored_goes_on() {
    let hub = Receiver::bind().await;
    let plan = Plan::new().hasty().endpoint("national", &hub.url);
    let mut house = House::start(plan).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    let (next, stop) = (Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
    let callers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(busy(house.caller("44"), Arc::clone(&next), Arc::clone(&stop))))
        .collect();
    hub.stores(20).await;
    // A small store is copied between two calls: until calls did come meanwhile.
    let mut meanwhile = 0;
    for n in 0.. {
        assert!(n < 50, "nothing was taken while copies were made");
        let (before, name) = (next.load(Ordering::Relaxed), format!("copy-{n}.db"));
        let command = ["backup", "--to", &name, "--json"];
        let made = tokio::task::block_in_place(|| house.command(&command));
        assert_eq!(told(&made)["wrong"], 0);
        meanwhile += next.load(Ordering::Relaxed) - before;
        if meanwhile > 10 {
            break;
        }
    }
    let made =
        tokio::task::block_in_place(|| house.command(&["backup", "--to", "copy.db", "--json"]));
    let copy = told(&made);
    assert_eq!(copy["wrong"], 0);
    let held = usize::try_from(copy["applications"].as_u64().unwrap()).unwrap();
    assert!(held >= 20);
    let file = house.root().join("copy.db");
    assert_eq!(copy["bytes"], fs::metadata(&file).unwrap().len());
    assert!(!house.root().join("copy.db.partial").exists());
    let again = house.command(&["backup", "--to", "copy.db"]);
    assert!(refused(&again).contains("a backup replaces nothing"));
    stop.store(true, Ordering::Relaxed);
    let mut ids = Vec::new();
    for caller in callers {
        ids.extend(caller.await.unwrap());
    }
    let refusal = house.command(&["restore", "--from", "copy.db"]);
    assert!(refused(&refusal).contains("another gateway holds this store"));
    hub.stores(ids.len()).await;
    assert!(house.stop().await.success());
    // The store has gone on since.
    let newer = refused(&house.command(&["restore", "--from", "copy.db"]));
    assert!(newer.contains("holds entries that the copy does not"), "{newer}");
    let restored =
        told(&house.command(&["restore", "--from", "copy.db", "--discard-newer", "--json"]));
    assert_eq!((&restored["root"], &restored["leaves"]), (&copy["root"], &copy["leaves"]));
    let kept = restored["replaced"].as_str().unwrap();
    assert!(house.root().join(kept).exists());
    let arrived = hub.arrivals().len();
    house.run().await;
    until("everything to be delivered or known to be", SOON, || async {
        (house.gauge("tongban_outbox_due").await == 0).then_some(())
    })
    .await;
    // What was stored since the copy was made is asked for, not sent again.
    let since = &hub.arrivals()[arrived..];
    assert!(since.iter().all(|arrival| arrival.question), "{since:?}");
    assert_eq!(since.len(), usize::try_from(restored["askedFirst"].as_u64().unwrap()).unwrap());
    let caller = house.caller("44");
    let mut there = 0;
    for id in &ids {
        let answer = caller.get(&format!("/v1/applications/{id}")).await;
        there += usize::from(answer.status.is_success());
    }
    assert_eq!(there, held, "the copy holds what it says");
    assert_eq!(told(&house.command(&["audit", "verify", "--json"]))["wrong"], 0);
    // The store that was put aside is whole, and can itself be put back.
    assert!(house.stop().await.success());
    let all = told(&house.command(&["restore", "--from", kept, "--discard-newer", "--json"]));
    assert_eq!(all["applications"], ids.len());
}

#[tokio::test]
async fn what_was_not_delivered_when_the_copy_was_made_is_delivered_once() {
    let hub = Receiver::bind().await;
    let mut house = House::start(Plan::new().hasty().endpoint("national", &hub.url)).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    hub.always(Some(Act::Status(500, None)));
    let caller = house.caller("44");
    let id = caller.submit("w-1", &papers::subsidy(1, "510104")).await.expect(201).id();
    let other = caller.submit("w-2", &papers::subsidy(2, "510104")).await.expect(201).id();
    told(&house.command(&["backup", "--to", "copy.db", "--json"]));
    // After the copy: both are delivered, and a third is taken that the copy does not know.
    hub.always(None);
    hub.stores(2).await;
    caller.submit("w-3", &papers::subsidy(3, "510104")).await.expect(201);
    hub.stores(3).await;
    assert!(house.stop().await.success());
    told(&house.command(&["restore", "--from", "copy.db", "--discard-newer", "--json"]));
    let messages = hub.messages().len();
    house.run().await;
    for id in [&id, &other] {
        house.caller("44").state(id, &["FORWARDED"]).await;
    }
    assert_eq!(hub.messages().len(), messages, "sent again without need");
    assert_eq!(hub.stored().len(), 3);
}

#[tokio::test]
async fn a_copy_that_is_damaged_or_of_another_key_is_not_put_in_place() {
    let mut house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let id = caller.submit("d-1", &papers::subsidy(1, "510104")).await.expect(201).id();
    told(&house.command(&["backup", "--to", "copy.db", "--json"]));
    assert!(house.stop().await.success());
    let root = house.root().to_owned();
    let change = |sql: &str| {
        fs::copy(root.join("copy.db"), root.join("changed.db")).unwrap();
        let file = Connection::open(root.join("changed.db")).unwrap();
        assert!(file.execute(sql, []).unwrap() > 0);
    };
    for sql in [
        "UPDATE events SET party = '99'",
        "DELETE FROM leaves",
        "UPDATE applications SET version = 7",
    ] {
        change(sql);
        let verified = house.command(&["audit", "verify", "--database", "sqlite://changed.db"]);
        let said = refused(&verified);
        assert!(said.contains("does not agree with its audit log"), "{said}");
        let from = ["restore", "--from", "changed.db", "--discard-newer"];
        let said = refused(&house.command(&from));
        assert!(said.contains("does not agree with its audit log"), "{said}");
    }
    // Cut short, as when the disk was full.
    let bytes = fs::read(root.join("copy.db")).unwrap();
    fs::write(root.join("changed.db"), &bytes[..bytes.len() / 2]).unwrap();
    refused(&house.command(&["restore", "--from", "changed.db", "--discard-newer"]));
    fs::write(root.join("changed.db"), "no database at all").unwrap();
    refused(&house.command(&["restore", "--from", "changed.db", "--discard-newer"]));
    let key = house.certs().join("store.key");
    let right = fs::read_to_string(&key).unwrap();
    fs::write(&key, "0".repeat(64)).unwrap();
    let said = refused(&house.command(&["restore", "--from", "copy.db", "--discard-newer"]));
    assert!(said.contains("store.key_file is not the key"), "{said}");
    fs::write(&key, right).unwrap();
    // Nothing of all this has touched the store, and nothing is left lying about.
    let names = names(&root.join("data"));
    assert!(names.iter().all(|name| !name.contains("restoring")), "{names:?}");
    house.run().await;
    house.caller("44").get(&format!("/v1/applications/{id}")).await.expect(200);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_any_more_is_replaced_when_told_so() {
    let mut house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let id = caller.submit("c-1", &papers::subsidy(1, "510104")).await.expect(201).id();
    told(&house.command(&["backup", "--to", "copy.db", "--json"]));
    house.kill();
    let data = house.root().join("data");
    // The disk has failed, and took the write-ahead log that SIGKILL left along.
    for file in ["tongban.db", "tongban.db-wal"] {
        fs::write(data.join(file), vec![7; 8192]).unwrap();
    }
    let said = refused(&house.command(&["restore", "--from", "copy.db"]));
    assert!(said.contains("nobody can tell"), "{said}");
    told(&house.command(&["restore", "--from", "copy.db", "--discard-newer", "--json"]));
    let names = names(&data);
    assert!(
        names.iter().any(|name| name.contains("replaced-") && name.ends_with("Z")),
        "{names:?}"
    );
    house.run().await;
    house.caller("44").get(&format!("/v1/applications/{id}")).await.expect(200);
    assert_eq!(told(&house.command(&["audit", "verify", "--json"]))["wrong"], 0);
}

#[tokio::test]
async fn a_copy_goes_where_there_is_no_store_yet() {
    let mut house = House::start(Plan::new()).await;
    house.caller("44").submit("n-1", &papers::subsidy(1, "510104")).await.expect(201);
    told(&house.command(&["backup", "--to", "copy.db", "--json"]));
    house.kill();
    fs::remove_dir_all(house.root().join("data")).unwrap();
    let restored = told(&house.command(&["restore", "--from", "copy.db", "--json"]));
    assert_eq!((&restored["applications"], &restored["replaced"]), (&1.into(), &Value::Null));
    // The same copy again has nothing newer to lose but the entry of its restoring.
    let said = refused(&house.command(&["restore", "--from", "copy.db"]));
    assert!(said.contains("up to leaf 1"), "{said}");
}

fn names(folder: &Path) -> HashSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
