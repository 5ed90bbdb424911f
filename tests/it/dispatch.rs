//! The way out, against a partner that misbehaves as the test says: lost answers, errors, garbage,
//! refusals; parking and replaying; order.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    harness::{House, Plan, SOON, said, until},
    papers,
    receiver::{Act, Arrival, Dialect, Receiver},
};

/// A house whose messages to the national hub go to the receiver.
async fn with_hub(plan: Plan) -> (House, Receiver) {
    let hub = Receiver::bind().await;
    let house = House::start(plan.endpoint("national", &hub.url)).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    (house, hub)
}

/// `message`, `question` … as they arrived, all of one number.
fn course(arrivals: &[Arrival]) -> Vec<&'static str> {
    assert!(arrivals.iter().all(|a| a.number == arrivals[0].number), "the number changed");
    arrivals.iter().map(|a| if a.question { "question" } else { "message" }).collect()
}

async fn one(house: &House, n: u32) -> String {
    let caller = house.caller("44");
    caller.submit(&format!("d-{n}"), &papers::subsidy(n, "510104")).await.expect(201).id()
}

/// Delivers one application while the hub does `act` with the first message.
async fn after(act: Act) -> Vec<&'static str> {
    let (house, hub) = with_hub(Plan::new().hasty()).await;
    hub.script([act]);
    let id = one(&house, 1).await;
    house.caller("44").state(&id, &["FORWARDED"]).await;
    let arrivals = hub.arrivals();
    assert_eq!(hub.stored().len(), 1);
    course(&arrivals)
}

#[tokio::test]
async fn a_good_answer_needs_no_question() {
    assert_eq!(after(Act::Store).await, ["message"]);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_and_not_sent_again() {
    assert_eq!(after(Act::StoreSilently).await, ["message", "question"]);
}

#[tokio::test]
async fn what_did_not_arrive_is_asked_for_and_sent_again_under_its_number() {
    assert_eq!(after(Act::Vanish).await, ["message", "question", "message"]);
}

#[tokio::test]
async fn a_server_error_may_have_done_the_work_and_is_asked_about() {
    assert_eq!(after(Act::Status(500, None)).await, ["message", "question", "message"]);
}

#[tokio::test]
async fn an_answer_that_is_not_understood_is_pending_and_neither_success_nor_failure() {
    assert_eq!(after(Act::Babble).await, ["message", "question", "message"]);
    assert_eq!(after(Act::StoreAndBabble).await, ["message", "question"]);
}

#[tokio::test]
async fn a_retry_after_is_heeded() {
    for status in [503, 429] {
        let (house, hub) = with_hub(Plan::new().hasty()).await;
        hub.script([Act::Status(status, Some(2))]);
        let id = one(&house, 1).await;
        house.caller("44").state(&id, &["FORWARDED"]).await;
        let arrivals = hub.arrivals();
        assert_eq!(course(&arrivals), ["message", "message"], "{status}");
        let waited = arrivals[1].at - arrivals[0].at;
        assert!(waited >= Duration::from_millis(1990), "{status}: came back after {waited:?}");
        assert!(waited < Duration::from_secs(20), "{status}: came back after {waited:?}");
    }
}

#[tokio::test]
async fn a_partner_that_fails_for_a_while_gets_everything_once_it_is_back() {
    let (house, hub) = with_hub(Plan::new().hasty()).await;
    hub.always(Some(Act::Status(502, None)));
    for n in 0..30 {
        one(&house, n).await;
    }
    // The breaker opens: the hub sees a few probes, not every message again and again.
    hub.gets(8).await;
    hub.always(None);
    hub.stores(30).await;
    until("the queue to be empty", SOON, || async {
        (house.gauge("tongban_outbox_due").await == 0).then_some(())
    })
    .await;
    assert_eq!(hub.stored().len(), 30);
    assert!(house.log().contains("party does not answer; pausing"), "the breaker never opened");
}

fn parked(house: &House) -> Vec<Value> {
    let listed = house.command(&["deliveries", "list", "--json"]);
    assert!(listed.status.success(), "{}", said(&listed));
    let list: Value = serde_json::from_slice(&listed.stdout).unwrap();
    list.as_array().unwrap().clone()
}

#[tokio::test]
async fn what_cannot_be_delivered_is_parked_visibly_and_replayed_on_command() {
    let away = Receiver::bind().await;
    let plan = Plan::new().hasty().set("dispatch", "attempts", 3).endpoint("44", &away.url);
    let (house, hub) = with_hub(plan).await;
    let away = away.open(Dialect::P44, &house.certificates("44"));
    let caller = house.caller("44");
    hub.always(Some(Act::Status(500, None)));
    let id = one(&house, 1).await;
    let stuck = caller.state(&id, &["UNDELIVERABLE"]).await;
    assert_eq!(stuck["version"], "2");
    // The submitting side is told.
    away.stores(1).await;
    assert!(away.messages()[0].body.contains("无法送达"), "{}", away.messages()[0].body);
    let list = parked(&house);
    assert_eq!(list.len(), 1, "{list:?}");
    let row = &list[0];
    assert_eq!(row["applicationId"], id.as_str());
    assert_eq!(row["party"], "national");
    assert_eq!(row["kind"], "application");
    assert_eq!(row["attempts"], 3);
    assert_eq!(row["messageNumber"], hub.arrivals()[0].number.as_str());
    assert!(row["note"].as_str().unwrap().contains("500"), "{row}");
    assert_eq!(house.gauge("tongban_outbox_parked").await, 1);
    let plain = house.command(&["deliveries", "list"]);
    assert!(said(&plain).contains("1 parked"), "{}", said(&plain));

    hub.always(None);
    let number = row["id"].to_string();
    let replayed = house.command(&["deliveries", "replay", &number, "--json"]);
    assert!(replayed.status.success(), "{}", said(&replayed));
    caller.state(&id, &["FORWARDED"]).await;
    assert_eq!(hub.stored().len(), 1);
    assert!(parked(&house).is_empty());
    // What is not parked cannot be replayed.
    let again = house.command(&["deliveries", "replay", &number]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(said(&again).contains("not parked"), "{}", said(&again));
}

#[tokio::test]
async fn a_refusal_is_final_until_someone_looks_at_it() {
    let (house, hub) = with_hub(Plan::new().hasty()).await;
    hub.script([Act::Refuse]);
    let id = one(&house, 1).await;
    house.caller("44").state(&id, &["UNDELIVERABLE"]).await;
    assert_eq!(hub.arrivals().len(), 1, "a refusal is not repeated");
    assert!(parked(&house)[0]["note"].as_str().unwrap().contains("E409"));
    let all = house.command(&["deliveries", "replay", "all"]);
    assert!(all.status.success(), "{}", said(&all));
    house.caller("44").state(&id, &["FORWARDED"]).await;
}

#[tokio::test]
async fn events_of_one_application_arrive_in_order_whatever_fails() {
    let (home, away) = (Receiver::bind().await, Receiver::bind().await);
    let plan = Plan::new().hasty().endpoint("23", &home.url).endpoint("44", &away.url);
    let house = House::start(plan).await;
    let home = home.open(Dialect::P23, &house.certificates("23"));
    let away = away.open(Dialect::P44, &house.certificates("44"));
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let mut ids = Vec::new();
    for n in 0..4 {
        let application = papers::subsidy(n, "230103");
        ids.push(submitter.submit(&format!("o-{n}"), &application).await.expect(201).id());
    }
    home.stores(4).await;
    // The first messages to the submitter are lost in every way there is.
    away.script([
        Act::Status(500, None),
        Act::Vanish,
        Act::StoreSilently,
        Act::Babble,
        Act::Status(429, Some(1)),
        Act::StoreAndBabble,
        Act::Vanish,
    ]);
    for id in &ids {
        let path = |verb: &str| format!("/v1/applications/{id}:{verb}");
        let send = async |verb: &str, body: Value| {
            handler.post(&path(verb), &format!("{verb}-{id}"), &body).await.expect(200);
        };
        send("accept", json!({})).await;
        send("requestSupplement", json!({"missingMaterials": ["403"], "reason": "缺"})).await;
        let more = json!({"materials": [papers::subsidy(1, "230103")["materials"][0]]});
        submitter.post(&path("supplement"), &format!("s-{id}"), &more).await.expect(200);
        send(
            "decide",
            json!({"decision": {
                "outcome": "DENIED", "decidedOn": "2026-01-20", "office": "南岗区民政局",
                "reasonCode": "11", "reason": "不在范围"
            }}),
        )
        .await;
    }
    for id in &ids {
        submitter.state(id, &["NOTIFIED"]).await;
    }
    let messages = away.messages();
    for id in &ids {
        let own: Vec<&Arrival> = messages.iter().filter(|m| m.body.contains(id.as_str())).collect();
        let mut order: Vec<&str> = Vec::new();
        for message in own {
            let sequence = message.body.split_once("seq=\"").unwrap().1;
            let sequence = sequence.split_once('"').unwrap().0;
            // A repetition of the last is what at-least-once means; an earlier one is not.
            if order.last() != Some(&sequence) {
                order.push(sequence);
            }
        }
        let numbers: Vec<u32> = order.iter().map(|sequence| sequence.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 3, "accepted, supplement asked for, decided: {numbers:?}");
        assert!(numbers.is_sorted_by(|a, b| a < b), "{id}: {numbers:?}");
    }
    assert_eq!(away.stored().len(), 12, "each event's effect once");
}

#[tokio::test]
async fn marriage_goes_to_the_hub_and_back_in_xml() {
    let (house, hub) = with_hub(Plan::new().hasty()).await;
    let caller = house.caller("44");
    let id = caller.submit("m-1", &papers::marriage(1)).await.expect(201).id();
    caller.state(&id, &["VERIFYING"]).await;
    let check = hub.messages()[0].body.clone();
    assert!(check.contains("<biz_code>HY01</biz_code>"), "{check}");
    assert!(check.contains("王𠅤") && check.contains("阿依古丽·买买提"), "{check}");
    // The registry may not decide before the hub has answered.
    let granted = json!({"decision": {
        "outcome": "GRANTED", "decidedOn": "2026-01-12", "office": "天河区民政局",
        "certificateNumber": "J440106-2026-000001"
    }});
    let path = format!("/v1/applications/{id}:decide");
    caller.post(&path, "m-2", &granted).await.expect(409);
    push_event(&house, &id, "11").await;
    caller.state(&id, &["VERIFIED"]).await;
    caller.post(&path, "m-3", &granted).await.expect(200);
    caller.state(&id, &["UPLOADED"]).await;
    let result = hub.messages()[1].body.clone();
    assert!(result.contains("<biz_code>HY02</biz_code>"), "{result}");
    assert!(result.contains("J440106-2026-000001"), "{result}");
}

/// The hub says what its check found, as XML, sealed.
pub(crate) async fn push_event(house: &House, id: &str, event: &str) {
    let number = papers::number();
    let fields = [
        ("head.ver", "1.0"),
        ("head.msg_id", &number),
        ("head.biz_code", "HY03"),
        ("head.app_id", id),
        ("head.key_id", "gw-2026"),
        ("head.sign_alg", "HMAC-SHA256"),
        ("body.app_id", id),
        ("body.event_type", event),
    ];
    let mut document = json!({"head": {}, "body": {}});
    for (path, value) in fields {
        let (part, name) = path.split_once('.').unwrap();
        document[part][name] = value.into();
    }
    let key = std::fs::read_to_string(house.certs().join("national.seal.key")).unwrap();
    // The leaves of this tree and of its XML are the same, so one seal fits both.
    let sealed = papers::sealed(&document, &hex::decode(key.trim()).unwrap());
    let part = |part: &str| -> String {
        let fields = sealed[part].as_object().unwrap();
        fields.iter().map(|(n, v)| format!("<{n}>{}</{n}>", v.as_str().unwrap())).collect()
    };
    let xml = format!(
        "<message><head>{}</head><body>{}</body><sign>{}</sign></message>",
        part("head"),
        part("body"),
        sealed["sign"].as_str().unwrap()
    );
    let taken = house.caller("national").native("/national/messages", &xml).await.expect(200);
    assert!(taken.text.contains("<code>0</code>"), "{}", taken.text);
}
