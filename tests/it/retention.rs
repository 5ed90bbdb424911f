//! Retention by policy: what ended long ago is erased by the running gateway and by command, and
//! then answers as if it had never been; its leaves stay.

use serde_json::{Value, json};

use crate::{
    harness::{House, Plan, SOON, on_postgres, said, until},
    papers,
    receiver::{Act, Dialect, Receiver},
};

/// A little more than four years, in microseconds.
const LONG: i64 = 4 * 366 * 24 * 3600 * 1_000_000;

/// Makes everything in the store as old as that.
fn age(house: &House) {
    house.sql(&format!("UPDATE applications SET updated = updated - {LONG}"));
    house.sql(&format!("UPDATE idempotency SET created = created - {LONG}"));
}

fn purge(house: &House, more: &[&str]) -> Value {
    let output = house.command(&[&["purge", "--json"], more].concat());
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn what_ended_long_ago_is_erased_and_answers_as_if_it_had_never_been() {
    let home = Receiver::bind().await;
    let plan = Plan::new().hasty().endpoint("23", &home.url);
    let mut house = House::start(plan).await;
    let home = home.open(Dialect::P23, &house.certificates("23"));
    let caller = house.caller("44");
    let mut ids = Vec::new();
    for n in 0..3 {
        let answer = caller.submit(&format!("p-{n}"), &papers::subsidy(n, "230103")).await;
        ids.push(answer.expect(201).id());
        caller.state(&ids[ids.len() - 1], &["FORWARDED"]).await;
    }
    let reason = json!({"reason": "回原籍办理"});
    for (n, id) in ids.iter().take(2).enumerate() {
        let path = format!("/v1/applications/{id}:withdraw");
        caller.post(&path, &format!("w-{n}"), &reason).await.expect(200);
    }
    home.stores(5).await;
    until("all to be delivered", SOON, || async {
        (house.gauge("tongban_outbox_due").await == 0).then_some(())
    })
    .await;
    // Nothing is old yet.
    assert_eq!(purge(&house, &[]), json!({"purged": 0, "due": 0, "heldBack": 0}));
    assert!(house.stop().await.success());
    age(&house);
    // The keys are forgotten first; the gateway does both when it starts and every hour.
    let held = json!({"purged": 0, "due": 0, "heldBack": 2});
    assert_eq!(purge(&house, &["--dry-run"]), held);
    house.run().await;
    let caller = house.caller("44");
    for id in &ids[..2] {
        let path = format!("/v1/applications/{id}");
        until("it to be purged", SOON, || async {
            (caller.get(&path).await.status.as_u16() == 404).then_some(())
        })
        .await;
        assert_eq!(caller.get(&path).await.expect(404).json()["reason"], "NOT_FOUND");
        caller.get(&format!("{path}/events")).await.expect(404);
        caller.post(&format!("{path}:withdraw"), "late", &reason).await.expect(404);
    }
    let list = caller.get("/v1/applications").await.expect(200).json();
    let listed: Vec<&str> = list["applications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["id"].as_str().unwrap())
        .collect();
    assert_eq!(listed, [&ids[2]], "what is open is kept, however old");
    assert_eq!(purge(&house, &[]), json!({"purged": 0, "due": 0, "heldBack": 0}));
    let verified = house.command(&["audit", "verify", "--json"]);
    assert!(verified.status.success(), "{}", said(&verified));
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&verified["applications"], &verified["purged"]), (&json!(3), &json!(2)));
    // The person may apply again, and the key is free.
    let again = caller.submit("p-0", &papers::subsidy(0, "230103")).await.expect(201);
    assert_ne!(again.id(), ids[0]);
    assert!(house.log().contains("past their retention was purged"));
}

#[tokio::test]
async fn what_cannot_be_delivered_is_held_back_until_it_is_discarded() {
    let (home, away) = (Receiver::bind().await, Receiver::bind().await);
    let plan = Plan::new().hasty().endpoint("23", &home.url).endpoint("44", &away.url);
    let mut house = House::start(plan).await;
    let home = home.open(Dialect::P23, &house.certificates("23"));
    let _away = away.open(Dialect::P44, &house.certificates("44"));
    home.always(Some(Act::Refuse));
    let caller = house.caller("44");
    let id = caller.submit("d-1", &papers::subsidy(1, "230103")).await.expect(201).id();
    caller.state(&id, &["UNDELIVERABLE"]).await;
    let path = format!("/v1/applications/{id}");
    let reason = json!({"reason": "回原籍办理"});
    caller.post(&format!("{path}:withdraw"), "d-2", &reason).await.expect(200);
    assert!(house.stop().await.success());
    age(&house);
    house.run().await;
    let held = json!({"purged": 0, "due": 0, "heldBack": 1});
    until("its keys to be forgotten", SOON, || async {
        let left = house.sql("SELECT 'a key' FROM idempotency");
        left.is_empty().then_some(())
    })
    .await;
    assert_eq!(purge(&house, &[]), held);
    let listed = house.command(&["deliveries", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let number = listed[0]["id"].to_string();
    let discard = |more: &[&str]| house.command(&[&["deliveries", "discard"], more].concat());
    for bad in [vec![&*number], vec![&*number, "--reason=王小明"], vec!["--reason=OPS-7"]] {
        assert_eq!(discard(&bad).status.code(), Some(2), "{bad:?}");
    }
    let done = discard(&[&number, "--reason=OPS-7", "--json"]);
    assert!(done.status.success(), "{}", said(&done));
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(told, json!({"asked": 1, "discarded": 1}));
    // What waited behind it goes out, by itself, and is refused as well.
    until("the second to be parked", SOON, || async {
        (house.gauge("tongban_outbox_parked").await == 1).then_some(())
    })
    .await;
    assert_eq!(home.messages().len(), 2);
    assert_eq!(discard(&[&number, "--reason=OPS-7"]).status.code(), Some(1));
    assert_eq!(purge(&house, &[]), held);
    let listed = house.command(&["deliveries", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let second = listed[0]["id"].to_string();
    assert!(discard(&[&second, "--reason=OPS-7"]).status.success());
    until("its submitter to have been told", SOON, || async {
        (house.gauge("tongban_outbox_due").await == 0).then_some(())
    })
    .await;
    assert_eq!(purge(&house, &[]), json!({"purged": 1, "due": 0, "heldBack": 0}));
    house.caller("44").get(&path).await.expect(404);
    let leaf = "SELECT 'a leaf' FROM leaves WHERE entry LIKE '%\"state\":\"OPS-7\"%DISCARDED%'";
    let leaf = if on_postgres() {
        leaf.replace("entry", "convert_from(entry, 'UTF8')")
    } else {
        leaf.into()
    };
    assert_eq!(house.sql(&leaf).len(), 2);
    let verified = house.command(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
}

#[tokio::test]
async fn a_purge_by_hand_needs_a_day_that_has_come() {
    let house = House::start(Plan::new().set("retention", "content_days", 0)).await;
    let said = |more: &[&str]| {
        let output = house.command(&[&["purge"], more].concat());
        assert_eq!(output.status.code(), Some(1));
        said(&output)
    };
    assert!(said(&[]).contains("give --before"));
    assert!(said(&["--before", "2999-01-01"]).contains("a day that has come"));
    assert!(purge(&house, &["--before", "2020-01-01", "--dry-run"])["due"] == 0);
}
