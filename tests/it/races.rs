//! Steps that cross: a decision and a withdrawal, one supplement twice, papers that are not what
//! they say, a second marriage while a divorce cools; each through the public interface.

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Caller, House, Plan},
    papers,
};

const ROUNDS: u32 = 60;

fn path(id: &str, verb: &str) -> String {
    format!("/v1/applications/{id}:{verb}")
}

/// An application that the handling side has taken up.
async fn taken_up(submitter: &Caller, handler: &Caller, n: u32) -> String {
    let paper = papers::subsidy(n, "230103");
    let id = submitter.submit(&format!("s-{n}"), &paper).await.expect(201).id();
    handler.post(&path(&id, "accept"), &format!("a-{n}"), &json!({})).await.expect(200);
    id
}

async fn events(caller: &Caller, id: &str) -> Vec<Value> {
    let answer = caller.get(&format!("/v1/applications/{id}/events")).await.expect(200).json();
    answer["events"].as_array().unwrap().clone()
}

fn count(events: &[Value], what: &str) -> usize {
    events.iter().filter(|event| event["type"] == what).count()
}

#[tokio::test]
async fn a_decision_and_a_withdrawal_at_once_leave_one_of_them() {
    let house = House::start(Plan::new()).await;
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let denied = json!({"decision": {
        "outcome": "DENIED", "decidedOn": decided_on(), "office": "哈尔滨市南岗区民政局",
        "reasonCode": "99", "reason": "不符合条件"
    }});
    let mut decided = 0;
    for n in 0..ROUNDS {
        let id = taken_up(&submitter, &handler, n).await;
        let (decide, withdraw) = (path(&id, "decide"), path(&id, "withdraw"));
        let (decide_key, withdraw_key) = (format!("d-{n}"), format!("w-{n}"));
        let withdrawal = json!({"reason": "不再申请"});
        let (one, other) = tokio::join!(
            handler.post(&decide, &decide_key, &denied),
            submitter.post(&withdraw, &withdraw_key, &withdrawal)
        );
        let (won, lost, state) = match one.status.as_u16() {
            200 => (one, other, "REJECTED"),
            _ => (other, one, "WITHDRAWN"),
        };
        won.expect(200);
        let refused = lost.expect(409).json();
        assert_eq!(refused["reason"], "ILLEGAL_TRANSITION", "{refused}");
        let all = events(&submitter, &id).await;
        let ends = [count(&all, "DECISION_MADE"), count(&all, "APPLICATION_WITHDRAWN")];
        decided += ends[0];
        assert_eq!(ends.iter().sum::<usize>(), 1, "{all:?}");
        let ending = all.iter().find(|event| event["state"] == state);
        assert!(ending.is_some(), "{state}: {all:?}");
    }
    // Both sides win some, or the rounds were no race.
    assert!((1..ROUNDS as usize).contains(&decided), "{decided} of {ROUNDS} were decided");
}

/// Today in China, on which decisions are made.
fn decided_on() -> String {
    let now = jiff::Timestamp::now();
    jiff::tz::Offset::constant(8).to_datetime(now).date().to_string()
}

fn paper(n: u32) -> Value {
    json!({
        "kind": "113", "fileName": "户口簿.jpg", "sizeBytes": "1000",
        "sha256": format!("{n:064x}"), "reference": format!("https://files.example/{n}")
    })
}

#[tokio::test]
async fn a_supplement_that_comes_twice_counts_once_and_a_second_one_is_told_so() {
    let house = House::start(Plan::new()).await;
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    for n in 0..10 {
        let id = taken_up(&submitter, &handler, n).await;
        let asked = json!({"missingMaterials": ["113"], "reason": "请补充户口簿"});
        handler.post(&path(&id, "requestSupplement"), &format!("r-{n}"), &asked).await.expect(200);
        let verb = path(&id, "supplement");
        let (handed, key) = (json!({"materials": [paper(n)]}), format!("p-{n}"));
        let other_key = format!("q-{n}");
        let (one, same, other) = tokio::join!(
            submitter.post(&verb, &key, &handed),
            submitter.post(&verb, &key, &handed),
            submitter.post(&verb, &other_key, &handed)
        );
        let same_statuses = (one.status.as_u16(), same.status.as_u16());
        match other.status.as_u16() {
            // The other key was first: both of the one key find that the papers are there.
            200 => assert_eq!(same_statuses, (409, 409)),
            _ => {
                assert_eq!(same_statuses, (200, 200));
                assert_eq!(one.json(), same.json(), "one answer to one key");
            }
        }
        let all = events(&submitter, &id).await;
        assert_eq!(count(&all, "SUPPLEMENT_SUBMITTED"), 1, "{all:?}");
        let now = submitter.get(&format!("/v1/applications/{id}")).await.expect(200).json();
        assert_eq!(now["materials"].as_array().unwrap().len(), 2);
    }
}

/// Papers for each of these, while the clock passes midnight after some were answered.
async fn around_midnight(house: &House, ids: &[String], midnight: jiff::Timestamp) -> Vec<Answer> {
    house.set_clock(midnight - jiff::Span::new().seconds(30));
    let submitter = house.caller("44");
    let handed = json!({"materials": [paper(1)]});
    let calls = ids.iter().map(async |id| {
        submitter.post(&path(id, "supplement"), &format!("late-{id}"), &handed).await
    });
    let mut calls = stream::iter(calls).buffered(6);
    let mut answers = Vec::new();
    while let Some(answer) = calls.next().await {
        answers.push(answer);
        if answers.len() == ids.len() / 3 {
            house.set_clock(midnight + jiff::Span::new().seconds(1));
        }
    }
    answers
}

#[tokio::test]
async fn papers_that_come_as_their_limit_runs_out_are_taken_or_told_that_it_is_over() {
    let mut house = House::build(Plan::new());
    let days = ["2026-03-02T02:00:00Z", "2026-05-06T02:00:00Z", "2026-07-06T02:00:00Z"];
    house.set_clock(days[0].parse().unwrap());
    house.run().await;
    for (round, day) in days.iter().enumerate() {
        house.set_clock(day.parse().unwrap());
        let (submitter, handler) = (house.caller("44"), house.caller("23"));
        let asked = json!({"missingMaterials": ["113"], "reason": "请补充户口簿"});
        let (mut ids, mut due) = (Vec::new(), String::new());
        for n in 0..31 {
            let id = taken_up(&submitter, &handler, u32::try_from(round).unwrap() * 31 + n).await;
            let verb = path(&id, "requestSupplement");
            let waits = handler.post(&verb, &format!("r-{id}"), &asked).await.expect(200).json();
            let limits = waits["deadlines"].as_array().unwrap();
            let limit = limits.iter().find(|one| one["kind"] == "SUPPLEMENT").unwrap();
            assert_eq!(limit.get("estimated"), None, "its year is published: {limit}");
            due = limit["due"].as_str().unwrap().to_owned();
            ids.push(id);
        }
        let silent = ids.pop().unwrap();
        let last: jiff::civil::Date = due.parse().unwrap();
        let china = jiff::tz::Offset::constant(8);
        let midnight = last.tomorrow().unwrap().at(0, 0, 0, 0);
        let midnight = china.to_timestamp(midnight).unwrap();
        let answers = around_midnight(&house, &ids, midnight).await;
        // The clocks have been looked at: who handed in nothing has expired.
        let reader = house.caller("44");
        reader.state(&silent, &["EXPIRED"]).await;
        let mut taken = 0;
        for (id, answer) in ids.iter().zip(answers) {
            taken += usize::from(one_of_both(&reader, id, answer).await);
        }
        assert!((ids.len() / 3..ids.len()).contains(&taken), "{taken} were taken: no race");
    }
}

/// Taken and not over, or over and told so; whether it was taken.
async fn one_of_both(reader: &Caller, id: &str, answer: Answer) -> bool {
    let all = events(reader, id).await;
    let happened = (count(&all, "SUPPLEMENT_SUBMITTED"), count(&all, "APPLICATION_EXPIRED"));
    let now = reader.get(&format!("/v1/applications/{id}")).await.expect(200).json();
    let papers = now["materials"].as_array().unwrap().len();
    if answer.status.as_u16() == 200 {
        assert_eq!((happened, papers), ((1, 0), 2), "{all:?}");
        assert_eq!(now["state"], "ACCEPTED");
        return true;
    }
    let refused = answer.expect(409).json();
    assert_eq!(refused["reason"], "ILLEGAL_TRANSITION", "{refused}");
    assert_eq!(refused["state"], "EXPIRED", "{refused}");
    assert_eq!((happened, papers), ((0, 1), 1), "{all:?}");
    assert_eq!(now["state"], "EXPIRED");
    false
}

#[tokio::test]
async fn papers_handed_in_later_are_looked_at_like_the_first() {
    let house = House::start(Plan::new()).await;
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let id = taken_up(&submitter, &handler, 1).await;
    let asked = json!({"missingMaterials": ["113"], "reason": "请补充户口簿"});
    handler.post(&path(&id, "requestSupplement"), "r-1", &asked).await.expect(200);
    let mut wrong = paper(1);
    wrong["sizeBytes"] = "99999999999".into();
    wrong.as_object_mut().unwrap().remove("reference");
    let mut damaged = paper(2);
    damaged["content"] = "AAECAw==".into();
    damaged["sizeBytes"] = "4".into();
    let handed = json!({"materials": [wrong, damaged]});
    let refused = submitter.post(&path(&id, "supplement"), "p-1", &handed).await.expect(400).json();
    let fields: Vec<_> =
        refused["violations"].as_array().unwrap().iter().map(|v| v["field"].clone()).collect();
    let expected = ["materials[0].reference", "materials[0].sizeBytes", "materials[1].sha256"];
    assert_eq!(fields, expected, "{refused}");
    let handed = json!({"materials": [paper(3)]});
    submitter.post(&path(&id, "supplement"), "p-2", &handed).await.expect(200);
}

/// A divorce of the couple that [`papers::marriage`] would marry.
fn divorce(n: u32) -> Value {
    let mut paper = papers::marriage(n);
    let couple = paper["marriageRegistration"].clone();
    paper["business"] = "DIVORCE_REGISTRATION".into();
    paper["acceptanceNumber"] = format!("LH-2026-{n:08}").into();
    paper.as_object_mut().unwrap().remove("marriageRegistration");
    let mut body = json!({
        "registryCode": "440106", "registryName": "广州市天河区民政局婚姻登记处",
        "receiptNumber": format!("LHSL-{n}"), "agreementSha256": couple["declarationSha256"],
        "marriageCertificateNumber": "J440106-2019-000317", "marriedOn": "2019-05-20",
        "bothPresent": true, "bothCapable": true, "agreementOnChildren": true,
        "agreementOnProperty": true, "registeredInChina": true
    });
    for (side, spouse) in [("man", &couple["man"]), ("woman", &couple["woman"])] {
        body[side] = spouse.clone();
        body[side]["maritalStatus"] = "20".into();
    }
    paper["divorceRegistration"] = body;
    paper
}

#[tokio::test]
async fn who_is_divorcing_at_one_registry_cannot_marry_at_another_by_any_document() {
    let house = House::start(Plan::new()).await;
    let (one, other) = (house.caller("44"), house.caller("23"));
    one.submit("v-1", &divorce(1)).await.expect(201);
    let numbers = divorce(1)["divorceRegistration"]["man"]["person"]["residentId"].clone();
    let number = numbers.as_str().unwrap();
    let short = format!("{}{}", &number[..6], &number[8..17]);
    for (n, by) in ["citizen number", "15 digits", "passport after all"].into_iter().enumerate() {
        let mut marriage = papers::marriage(1);
        marriage["acceptanceNumber"] = format!("HY-2026-9{n}").into();
        // Another woman: the man alone is the one who may not.
        let woman = &papers::marriage(77)["marriageRegistration"]["woman"];
        marriage["marriageRegistration"]["woman"] = woman.clone();
        let man = &mut marriage["marriageRegistration"]["man"];
        if n > 0 {
            man["person"].as_object_mut().unwrap().remove("residentId");
            man["documentKind"] = if n == 1 { "7" } else { "5" }.into();
            man["documentNumber"] = if n == 1 { short.clone() } else { number.to_owned() }.into();
        }
        let refused = other.submit(&format!("v-m{n}"), &marriage).await.expect(409).json();
        assert_eq!(refused["reason"], "DUPLICATE_APPLICATION", "{by}: {refused}");
        assert!(refused["detail"].as_str().unwrap().contains("离婚冷静期"), "{by}: {refused}");
        assert_eq!(refused.get("applicationId"), None, "{by}");
    }
}
