//! One person, one benefit: whichever province, window or spelling an application came through,
//! also when two come at once; and nobody learns more of the other than they may know.

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Caller, House, Plan},
    papers,
};

const ROUNDS: u32 = 1000;

/// The same person as another window writes them down.
fn elsewhere(n: u32, home: &str) -> Value {
    let mut paper = papers::subsidy(n, home);
    paper["applicant"]["name"] = "娜仁 其木格".into();
    paper["acceptanceNumber"] = format!("HLJ-{n}").into();
    paper["acceptingDivision"] = "230103001".into();
    paper
}

/// Both at the same moment; the accepted one first.
async fn round(one: &Caller, other: &Caller, n: u32) -> (Answer, Answer) {
    let home = if n.is_multiple_of(2) { "510104" } else { "330106" };
    let (mine, theirs) = (papers::subsidy(n, home), elsewhere(n, home));
    let (mine_key, their_key) = (format!("one-{n}"), format!("other-{n}"));
    let (a, b) = tokio::join!(one.submit(&mine_key, &mine), other.submit(&their_key, &theirs));
    if a.status.as_u16() == 201 { (a, b) } else { (b, a) }
}

#[tokio::test]
async fn of_two_provinces_at_once_one_is_taken_and_the_other_learns_only_that_there_is_one() {
    let house = House::start(Plan::new()).await;
    let (one, other) = (house.caller("44"), house.caller("23"));
    let mut rounds = stream::iter(0..ROUNDS).map(|n| round(&one, &other, n)).buffer_unordered(16);
    let mut first_won = 0;
    while let Some((taken, refused)) = rounds.next().await {
        let (taken, refused) = (taken.expect(201).json(), refused.expect(409).json());
        assert_eq!(refused["reason"], "DUPLICATE_APPLICATION");
        assert_eq!(refused.get("applicationId"), None, "the other party may not see it: {refused}");
        let told = refused.to_string();
        for secret in [&taken["id"], &taken["acceptanceNumber"], &taken["submittingParty"]] {
            let secret = format!("\"{}\"", secret.as_str().unwrap());
            assert!(!told.contains(&secret), "{told}");
        }
        first_won += u32::from(taken["submittingParty"] == "44");
    }
    // Both sides win some, or the rounds were no race.
    assert!((1..ROUNDS).contains(&first_won), "44 won {first_won} of {ROUNDS}");
}

#[tokio::test]
async fn the_handling_side_learns_which_and_both_sides_of_the_first_are_told_once() {
    let house = House::start(Plan::new()).await;
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let first = submitter.submit("h-1", &papers::subsidy(1, "230102")).await.expect(201).id();
    for n in 0..3 {
        let refused = handler.submit(&format!("h-2-{n}"), &elsewhere(1, "510104")).await;
        assert_eq!(refused.expect(409).json()["applicationId"], first.as_str());
    }
    let events = submitter.get(&format!("/v1/applications/{first}/events")).await.expect(200);
    let events = events.json()["events"].clone();
    let told: Vec<_> = events.as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(told.iter().filter(|told| **told == "DUPLICATE_REFUSED").count(), 1, "{events}");
    let notice = events.as_array().unwrap().iter().find(|e| e["type"] == "DUPLICATE_REFUSED");
    assert_eq!(notice.unwrap()["party"], "gateway", "not who asked");
}

/// A child whose number the window does not know, with another guardian than [`papers::child`]'s.
fn without_number(n: u32, home: &str) -> Value {
    let mut paper = named(n, home);
    paper["applicant"].as_object_mut().unwrap().remove("residentId");
    paper["acceptanceNumber"] = format!("XS-{n}").into();
    paper["acceptingDivision"] = "230103001".into();
    paper["guardian"]["residentId"] = papers::citizen("230103", "19700101", 7, true).into();
    paper["childRecognition"]["householdKind"] = "3".into();
    paper
}

/// A child of a name of its own.
fn named(n: u32, home: &str) -> Value {
    let mut paper = papers::child(n, home);
    let own = char::from_u32(0x4e00 + n).unwrap();
    paper["applicant"]["name"] = format!("李{own}").into();
    paper
}

/// The questions whether it is the same child as another.
fn alike(application: &Value) -> Vec<&Value> {
    let checks = application["checks"].as_array().into_iter().flatten();
    checks.filter(|check| check["rule"] == "I1").collect()
}

#[tokio::test]
async fn of_two_that_may_be_one_child_at_once_none_is_refused_and_both_are_asked_about() {
    let house = House::start(Plan::new()).await;
    let (one, other) = (house.caller("44"), house.caller("23"));
    let read = async |caller: &Caller, id: &str| {
        caller.get(&format!("/v1/applications/{id}")).await.expect(200).json()
    };
    for n in 0..50 {
        let (mine, theirs) = (named(n, "510104"), without_number(n, "510104"));
        let (mine_key, their_key) = (format!("one-{n}"), format!("other-{n}"));
        let (a, b) = tokio::join!(one.submit(&mine_key, &mine), other.submit(&their_key, &theirs));
        let (a, b) = (a.expect(201).json(), b.expect(201).json());
        assert_eq!(alike(&a).len() + alike(&b).len(), 1, "the later alone knows: {a} {b}");
        for (caller, mine, theirs) in [(&one, &a, &b), (&other, &b, &a)] {
            let now = read(caller, mine["id"].as_str().unwrap()).await;
            assert_eq!(alike(&now).len(), 1, "{now}");
            for told in [mine, &now] {
                let told = told.to_string();
                assert!(
                    !told.contains(theirs["id"].as_str().unwrap()),
                    "not theirs to see: {told}"
                );
                assert!(!told.contains(theirs["acceptanceNumber"].as_str().unwrap()), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn who_decides_on_both_learns_which_and_a_grant_leaves_the_question() {
    let house = House::start(Plan::new()).await;
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let first = handler.submit("l-1", &without_number(60, "230103")).await.expect(201).id();
    let taken = submitter.submit("l-2", &named(60, "230103")).await.expect(201);
    let (id, taken) = (taken.id(), taken.json());
    assert_eq!(alike(&taken).len(), 1, "{taken}");
    assert_eq!(alike(&taken)[0].get("applicationId"), None, "{taken}");
    assert_eq!(alike(&taken)[0]["askedOf"], "HUMAN");
    let replayed = submitter.submit("l-2", &named(60, "230103")).await.expect(201);
    assert_eq!(replayed.json(), taken);
    let path = |verb: &str| format!("/v1/applications/{id}{verb}");
    let seen = handler.get(&path("")).await.expect(200).json();
    assert_eq!(alike(&seen)[0]["applicationId"], first.as_str());
    let listed = handler.get("/v1/applications").await.expect(200).json();
    let listed = listed["applications"].as_array().unwrap().clone();
    let of = |id: &str| listed.iter().find(|one| one["id"] == id).unwrap();
    assert_eq!(alike(of(&id))[0]["applicationId"], first.as_str());
    assert_eq!(alike(of(&first))[0]["applicationId"], id.as_str());
    handler.post(&path(":accept"), "l-3", &json!({})).await.expect(200);
    let decision = json!({"decision": {"outcome": "GRANTED", "decidedOn": "2026-01-20",
        "office": "哈尔滨市南岗区民政局", "monthlyAmountFen": "150000", "paidFrom": "2026-02"}});
    let granted = handler.post(&path(":decide"), "l-4", &decision).await.expect(200).json();
    assert_eq!(alike(&granted)[0]["applicationId"], first.as_str());
    let own = submitter.get(&path("")).await.expect(200).json();
    assert_eq!((alike(&own).len(), alike(&own)[0].get("applicationId")), (1, None));
    for caller in [&submitter, &handler] {
        let events = caller.get(&path("/events")).await.expect(200);
        assert!(events.text.contains("\"I1\"") && !events.text.contains(&first), "{events:?}");
    }
}

#[tokio::test]
async fn a_granted_benefit_is_moved_by_a_transfer_and_not_granted_twice() {
    let house = House::start(Plan::new()).await;
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let grant = async |key: &str, paper: &Value, paid_from: &str| {
        let id = submitter.submit(key, paper).await.expect(201).id();
        let path = |verb: &str| format!("/v1/applications/{id}:{verb}");
        handler.post(&path("accept"), &format!("{key}-a"), &json!({})).await.expect(200);
        let decision = json!({"decision": {
            "outcome": "GRANTED", "decidedOn": "2026-01-20", "office": "哈尔滨市南岗区民政局",
            "monthlyAmountFen": "12400", "paidFrom": paid_from
        }});
        handler.post(&path("decide"), &format!("{key}-d"), &decision).await.expect(200);
        id
    };
    grant("t-1", &papers::subsidy(3, "230103"), "2026-01").await;
    let refused = submitter.submit("t-2", &elsewhere(3, "230102")).await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().contains("being paid"), "{refused}");
    let mut transfer = papers::subsidy(3, "230102");
    let body = &mut transfer["disabilitySubsidy"];
    body["action"] = "6".into();
    let gap = submitter.submit("t-3", &transfer).await.expect(400).json();
    let fields: Vec<_> =
        gap["violations"].as_array().unwrap().iter().map(|v| &v["field"]).collect();
    assert_eq!(fields, ["disabilitySubsidy.lastPaidMonth", "disabilitySubsidy.previousDivision"]);
    let body = &mut transfer["disabilitySubsidy"];
    body["previousDivision"] = "230103".into();
    body["lastPaidMonth"] = "2026-06".into();
    grant("t-4", &transfer, "2026-07").await;
    let mut exit = papers::subsidy(3, "230102");
    exit["disabilitySubsidy"]["action"] = "5".into();
    exit["disabilitySubsidy"]["exitReason"] = "10".into();
    grant("t-5", &exit, "").await;
    submitter.submit("t-6", &papers::subsidy(3, "230102")).await.expect(201);
}
