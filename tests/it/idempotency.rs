//! Idempotency keys: one key, one application, whoever comes how often at once.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;
use tongban::model::pb;
use tonic_types::StatusExt as _;

use crate::{
    harness::{House, Plan, answer, keyed},
    papers,
    submit::canonical,
};

#[tokio::test]
async fn fifty_callers_with_one_key_make_one_application() {
    let house = House::start(Plan::new()).await;
    let application = papers::subsidy(1, "510104");
    let mut rest = Vec::new();
    let mut grpc = Vec::new();
    for n in 0..50 {
        if n % 2 == 0 {
            let (caller, application) = (house.caller("44"), application.clone());
            rest.push(tokio::spawn(async move {
                caller.submit("one", &application).await.expect(201).id()
            }));
        } else {
            let mut client = house.grpc("44").await;
            let application = Some(canonical(&application));
            let request = keyed("one", pb::SubmitApplicationRequest { application });
            grpc.push(tokio::spawn(async move {
                client.submit_application(request).await.unwrap().into_inner().id
            }));
        }
    }
    let mut ids = BTreeSet::new();
    for call in rest.into_iter().chain(grpc) {
        ids.insert(call.await.unwrap());
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    let list = house.caller("44").get("/v1/applications").await.expect(200).json();
    assert_eq!(list["applications"].as_array().unwrap().len(), 1);
    assert_eq!(house.gauge("tongban_audit_leaves").await, 1);
    assert_eq!(house.gauge("tongban_outbox_due").await, 1);
}

#[tokio::test]
async fn fifty_callers_with_one_key_and_different_content_make_one_application() {
    let house = House::start(Plan::new()).await;
    let calls = (0..50).map(|n| {
        let caller = house.caller("44");
        tokio::spawn(async move { caller.submit("one", &papers::subsidy(200 + n, "510104")).await })
    });
    let mut taken = 0;
    for call in calls.collect::<Vec<_>>() {
        let answer = call.await.unwrap();
        match answer.status.as_u16() {
            201 => taken += 1,
            422 => assert_eq!(answer.json()["reason"], "IDEMPOTENCY_KEY_REUSED"),
            other => panic!("{other}: {}", answer.text),
        }
    }
    assert_eq!(taken, 1);
    let list = house.caller("44").get("/v1/applications").await.expect(200).json();
    assert_eq!(list["applications"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_key_with_other_content_is_refused_and_changes_nothing() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let first = caller.submit("k", &papers::subsidy(2, "510104")).await.expect(201);
    let before = caller.get(&format!("/v1/applications/{}", first.id())).await.text;

    let other = papers::subsidy(3, "510104");
    let refused = caller.submit("k", &other).await.expect(422);
    assert_eq!(refused.json()["reason"], "IDEMPOTENCY_KEY_REUSED");
    let request = pb::SubmitApplicationRequest { application: Some(canonical(&other)) };
    let status = house.grpc("44").await.submit_application(keyed("k", request)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("IDEMPOTENCY_KEY_REUSED", "tongban"));

    let after = caller.get(&format!("/v1/applications/{}", first.id())).await.text;
    assert_eq!(before, after);
    let list = caller.get("/v1/applications").await.expect(200).json();
    assert_eq!(list["applications"].as_array().unwrap().len(), 1);
    // The refused content is free to come under a key of its own.
    caller.submit("k-2", &other).await.expect(201);
}

#[tokio::test]
async fn a_key_belongs_to_one_party_and_one_operation() {
    let house = House::start(Plan::new()).await;
    let (ours, theirs) = (house.caller("44"), house.caller("23"));
    let id = ours.submit("k", &papers::subsidy(4, "510104")).await.expect(201).id();
    let other = theirs.submit("k", &papers::subsidy(5, "510104")).await.expect(201);
    assert_ne!(other.id(), id);
    let path = format!("/v1/applications/{id}:withdraw");
    let withdrawn = ours.post(&path, "k", &json!({"reason": "搬家"})).await.expect(200);
    assert_eq!(withdrawn.json()["state"], "WITHDRAWN");
    let again = ours.post(&path, "k", &json!({"reason": "搬家"})).await.expect(200);
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = ours.post(&path, "k", &json!({"reason": "别的"})).await.expect(422);
    assert_eq!(other.json()["reason"], "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn a_key_must_be_there_and_have_its_form() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let application = papers::subsidy(6, "510104");
    let missing = caller.post("/v1/applications", "", &application).await.expect(400);
    assert_eq!(missing.json()["reason"], "IDEMPOTENCY_KEY_REQUIRED");
    let long = "k".repeat(129);
    for (what, key) in [("empty", ""), ("129 characters", long.as_str()), ("a blank", "a b")] {
        let request = caller
            .request(Method::POST, "/v1/applications")
            .header("Idempotency-Key", key)
            .json(&application);
        let refused = answer(request).await.unwrap();
        assert_eq!(refused.status.as_u16(), 400, "{what}: {}", refused.text);
    }
    let request = pb::SubmitApplicationRequest { application: Some(canonical(&application)) };
    let status = house.grpc("44").await.submit_application(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(status.get_details_error_info().unwrap().reason, "IDEMPOTENCY_KEY_REQUIRED");
    caller.submit(&"k".repeat(128), &application).await.expect(201);
    let list = caller.get("/v1/applications").await.expect(200).json();
    assert_eq!(list["applications"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_party_whose_own_system_repeats_a_message_gets_one_application() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("23");
    let document = papers::golden("23-disability.json", 21);
    let first = caller.native("/native/disability_subsidy", &document).await.expect(200).json();
    let again = caller.native("/native/disability_subsidy", &document).await.expect(200).json();
    assert_eq!(first["sj"]["bjbh"], again["sj"]["bjbh"]);
    let changed = document.replace("6228480170123456783", "6228480170123456791");
    let refused = caller.native("/native/disability_subsidy", &changed).await.expect(422).json();
    assert_eq!(refused["yy"], "IDEMPOTENCY_KEY_REUSED", "{refused}");
}
