//! What is kept, seen from outside: the first answer to a key, a leaf for every event, one gateway
//! to a store, and a store that no other key opens.

use std::fs;

use serde_json::json;

use crate::{
    harness::{House, Plan, SOON, on_postgres, until},
    papers,
    receiver::{Dialect, Receiver},
};

#[tokio::test]
async fn a_key_gets_the_first_answer_again_though_the_application_went_on() {
    let hub = Receiver::bind().await;
    let house = House::start(Plan::new().hasty().endpoint("national", &hub.url)).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    let caller = house.caller("44");
    let first = caller.submit("k-1", &papers::subsidy(1, "510104")).await.expect(201);
    hub.stores(1).await;
    let now = caller.state(&first.id(), &["FORWARDED"]).await;
    assert_eq!(now["version"], "2");
    let again = caller.submit("k-1", &papers::subsidy(1, "510104")).await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.text, first.text, "the stored answer, word for word");
}

#[tokio::test]
async fn every_event_and_every_refusal_has_its_leaf() {
    let home = Receiver::bind().await;
    let house = House::start(Plan::new().hasty().endpoint("23", &home.url)).await;
    let home = home.open(Dialect::P23, &house.certificates("23"));
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let id = submitter.submit("l-1", &papers::subsidy(1, "230103")).await.expect(201).id();
    home.stores(1).await;
    submitter.state(&id, &["FORWARDED"]).await;
    let path = |verb: &str| format!("/v1/applications/{id}:{verb}");
    handler.post(&path("accept"), "l-2", &json!({})).await.expect(200);
    // Refused: illegal now, of the other side, of another version, of another content, faulty.
    handler.post(&path("accept"), "l-3", &json!({})).await.expect(409);
    submitter.post(&path("accept"), "l-4", &json!({})).await.expect(403);
    let old = json!({"reason": "x", "expectedVersion": "1"});
    submitter.post(&path("withdraw"), "l-5", &old).await.expect(409);
    submitter.submit("l-1", &papers::subsidy(2, "230103")).await.expect(422);
    submitter.submit("l-6", &json!({})).await.expect(400);
    submitter.submit("l-7", &papers::subsidy(1, "230103")).await.expect(409);
    let events = submitter.get(&format!("/v1/applications/{id}/events")).await.expect(200).json();
    let events = i64::try_from(events["events"].as_array().unwrap().len()).unwrap();
    // The fourth tells both sides that somebody asked for the same benefit again.
    assert_eq!(events, 4);
    home.stores(2).await;
    let leaves = || async {
        let leaves = house.gauge("tongban_audit_leaves").await;
        (leaves == events + 7).then_some(())
    };
    until("a leaf for each", SOON, leaves).await;
    let now = submitter.get(&format!("/v1/applications/{id}")).await.expect(200).json();
    assert_eq!((&now["state"], &now["version"]), (&json!("ACCEPTED"), &json!("4")));
}

#[tokio::test]
async fn one_gateway_holds_a_store() {
    let house = House::start(Plan::new()).await;
    if !on_postgres() {
        let said = house.refused(&[]).await;
        assert!(said.contains("another gateway holds this store"), "{said}");
    }
    // The first goes on, and commands beside it work.
    house.caller("44").submit("o-1", &papers::subsidy(1, "510104")).await.expect(201);
    assert!(house.command(&["deliveries", "list"]).status.success());
}

#[tokio::test]
async fn a_store_is_not_opened_with_another_key() {
    let mut house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let id = caller.submit("v-1", &papers::subsidy(1, "510104")).await.expect(201).id();
    assert!(house.stop().await.success());
    let key = house.certs().join("store.key");
    let right = fs::read_to_string(&key).unwrap();
    fs::write(&key, format!("{}\n", "0".repeat(64))).unwrap();
    let said = house.refused(&[]).await;
    assert!(said.contains("store.key_file is not the key"), "{said}");
    fs::write(&key, right).unwrap();
    house.run().await;
    house.caller("44").get(&format!("/v1/applications/{id}")).await.expect(200);
}

#[tokio::test]
async fn a_party_decides_in_its_own_format_and_the_other_reads_it_in_its_own() {
    let (home, away) = (Receiver::bind().await, Receiver::bind().await);
    let plan = Plan::new().hasty().endpoint("23", &home.url).endpoint("44", &away.url);
    let house = House::start(plan).await;
    let home = home.open(Dialect::P23, &house.certificates("23"));
    let away = away.open(Dialect::P44, &house.certificates("44"));
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let document = papers::golden("44-disability.xml", 5);
    submitter.native("/native/disability_subsidy", &document).await.expect(200);
    home.stores(1).await;
    let came: serde_json::Value = serde_json::from_str(&home.messages()[0].body).unwrap();
    assert_eq!(came["bwt"]["bwlx"], "CJBT-SQ");
    assert_eq!(came["ywsj"]["sqr"]["xm"], "娜仁·其木格");
    assert_eq!(came["ywsj"]["sqr"]["mz"], "02");
    let id = came["bwt"]["bjbh"].as_str().unwrap();
    let event = |kind: &str, more: serde_json::Value| {
        let mut body = json!({"bjbh": id, "ywlb": "CJBT", "sjlx": kind, "fssj": "20260324153000"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let head = json!({"bwbh": papers::number(), "bwlx": "CJBT-SJ", "fsf": "23",
            "jsf": "tongban-23", "fssj": "20260324153000"});
        json!({"bwt": head, "ywsj": body}).to_string()
    };
    let native = "/native/disability_subsidy";
    handler.native(native, &event("SL", json!({}))).await.expect(200);
    // A refusal must say why; both faults at once, in the party's own paths.
    let bare = json!({"bjjg": {"jg": "2", "bjrq": "20260324", "bjdw": "南岗区民政局"}});
    let refused = handler.native(native, &event("BJ", bare)).await.expect(400);
    for path in ["ywsj.bjjg.yydm", "ywsj.bjjg.yy"] {
        assert!(refused.text.contains(&format!("\"{path}\"")), "{path}: {}", refused.text);
    }
    let granted = json!({"bjjg": {"jg": "1", "bjrq": "20260324", "bjdw": "南岗区民政局",
        "bzje": "327.50", "slny": "202603"}});
    handler.native(native, &event("BJ", granted)).await.expect(200);
    away.stores(2).await;
    let told = away.messages()[1].body.clone();
    assert!(told.contains("<Date>2026年03月24日</Date>"), "{told}");
    assert!(told.contains("<MonthlyAmount>327.50</MonthlyAmount>"), "{told}");
    submitter.state(id, &["NOTIFIED"]).await;
}
