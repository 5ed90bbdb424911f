//! More than can be done: new work is turned away at once with a time to come back, what was taken
//! goes on, no party takes the others' room, and memory has a bound. The store is made slow by
//! holding its write lock from outside.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use reqwest::Method;
use serde_json::json;
use tokio::{net::TcpStream, task::JoinSet};
use tongban::model::pb;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    harness::{Answer, Caller, House, Plan, SOON, answer, keyed, until},
    papers,
    receiver::{Dialect, Receiver},
    submit::canonical,
};

/// Nobody writes to the house's store while this lives. The gateway's writer waits for 5 s.
struct Held(rusqlite::Connection);

impl Held {
    fn new(house: &House) -> Self {
        let store = rusqlite::Connection::open(house.root().join("data/tongban.db")).unwrap();
        store.busy_timeout(SOON).unwrap();
        store.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(store)
    }

    fn release(self) {
        self.0.execute_batch("COMMIT").unwrap();
    }
}

/// Submits `count` applications from number `from` on, all at once.
fn flood(caller: &Caller, from: u32, count: u32) -> JoinSet<(u32, Duration, Answer)> {
    let mut calls = JoinSet::new();
    for n in from..from + count {
        let caller = caller.clone();
        calls.spawn(async move {
            let began = Instant::now();
            let answer = caller.submit(&format!("o-{n}"), &papers::subsidy(n, "510104")).await;
            (n, began.elapsed(), answer)
        });
    }
    calls
}

fn shed(answer: &Answer) -> bool {
    if answer.status.as_u16() == 201 {
        return false;
    }
    assert_eq!(answer.status.as_u16(), 503, "{answer:?}");
    if answer.json()["reason"] == "UNAVAILABLE" {
        return false; // The lock was held for longer than the writer waits.
    }
    assert_eq!(answer.json()["reason"], "OVERLOADED");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1, "{answer:?}");
    true
}

#[tokio::test]
async fn a_party_that_lists_without_end_keeps_no_other_from_its_list() {
    let house = House::start(Plan::new()).await;
    let (flooding, other) = (house.caller("44"), house.caller("23"));
    other.submit("o-0", &papers::subsidy(0, "510104")).await.expect(201);
    let mut filling = flood(&flooding, 1, 100);
    while let Some(filled) = filling.join_next().await {
        filled.unwrap().2.expect(201);
    }
    let mut lists = JoinSet::new();
    let list = "/v1/applications?pageSize=200";
    for _ in 0..400 {
        let caller = flooding.clone();
        lists.spawn(async move { caller.get(list).await });
    }
    until("the flood to be in", SOON, || async {
        (house.counter("tongban_calls_in_progress{party=\"44\"}").await >= 200).then_some(())
    })
    .await;
    for _ in 0..3 {
        let answer = other.get(list).await.expect(200);
        assert_eq!(answer.json()["applications"].as_array().unwrap().len(), 1);
    }
    assert!(house.counter("tongban_calls_in_progress{party=\"44\"}").await > 0, "it was over");
    let mut listed = 0;
    while let Some(answer) = lists.join_next().await {
        listed += usize::from(!shed_read(&answer.unwrap()));
    }
    assert!(listed > 0);
}

/// Whether a read was turned away; else it was answered.
fn shed_read(answer: &Answer) -> bool {
    if answer.status.is_success() {
        return false;
    }
    assert_eq!(answer.status.as_u16(), 503, "{answer:?}");
    assert_eq!(answer.json()["reason"], "OVERLOADED");
    true
}

#[tokio::test]
async fn a_full_queue_sheds_at_once_keeps_room_for_others_and_loses_nothing() {
    let receiver = Receiver::bind().await;
    let plan = Plan::new().hasty().set("limits", "store_queue", 40);
    let house = House::start(plan.endpoint("national", &receiver.url)).await;
    let receiver = receiver.open(Dialect::National, &house.certificates("national"));
    let (flooding, other) = (house.caller("44"), house.caller("23"));
    // Connections and tokens are there before the flood.
    for caller in [&flooding, &other] {
        caller.get("/v1/applications").await.expect(200);
    }
    let held = Held::new(&house);
    let mut calls = flood(&flooding, 0, 100);
    let (mut shed_calls, mut again, mut longest) = (0, Vec::new(), Duration::ZERO);
    // Half of the queue is for one party, less what deliveries and clocks have in it.
    while shed_calls < 60 {
        let (n, took, answer) = calls.join_next().await.unwrap().unwrap();
        assert_ne!(answer.status.as_u16(), 201, "nothing can be written: {answer:?}");
        if shed(&answer) {
            (shed_calls, longest) = (shed_calls + 1, longest.max(took));
        } else {
            again.push(n);
        }
    }
    assert!(longest < SOON / 6, "{longest:?}");
    // gRPC says the same in its own words.
    let request = pb::SubmitApplicationRequest {
        application: Some(canonical(&papers::subsidy(300, "510104"))),
    };
    let refused = house.grpc("44").await.submit_application(keyed("g-1", request)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(refused.get_details_error_info().unwrap().reason, "OVERLOADED");
    assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some());
    assert!(house.gauge("tongban_store_queue_depth").await > 0);
    assert_eq!(house.gauge("tongban_store_queue_capacity").await, 40);
    // Another party finds room: its call waits for the store like those of the first that got in.
    let mut others = flood(&other, 400, 3);
    until("the others to be in the queue", SOON, || async {
        (house.counter("tongban_calls_in_progress{party=\"23\"}").await >= 3).then_some(())
    })
    .await;
    held.release();
    let mut taken = 0;
    for calls in [&mut calls, &mut others] {
        while let Some(done) = calls.join_next().await {
            let (n, _, answer) = done.unwrap();
            if shed(&answer) {
                assert!(n < 400, "the other party was turned away");
            } else if answer.status.as_u16() == 201 {
                taken += 1;
            } else {
                again.push(n);
            }
        }
    }
    // Whose answer was that nothing is known may come again with the key.
    for n in again {
        let caller = if n < 400 { &flooding } else { &other };
        caller.submit(&format!("o-{n}"), &papers::subsidy(n, "510104")).await.expect(201);
        taken += 1;
    }
    assert!(taken > 3, "of the flood some got in");
    receiver.stores(taken).await;
    until("all to be delivered", SOON, || async {
        (house.gauge("tongban_outbox_due").await == 0).then_some(())
    })
    .await;
    assert_eq!(receiver.stored().len(), taken);
    assert!(house.counter("tongban_shed_total{full=\"store_queue\",party=\"44\"}").await >= 60);
}

#[tokio::test]
async fn bodies_in_memory_have_a_bound_for_all_parties_together() {
    let plan = Plan::new().set("limits", "body_bytes", 1_000_000).set(
        "limits",
        "body_bytes_in_flight",
        1_500_000,
    );
    let house = House::start(plan).await;
    let caller = house.caller("44");
    let long = |n: u32| {
        // Blanks count as much as anything else.
        let body = format!("{}{}", papers::subsidy(n, "510104"), " ".repeat(600_000));
        caller
            .request(Method::POST, "/v1/applications")
            .header("Idempotency-Key", format!("b-{n}"))
            .header("Content-Type", "application/json")
            .body(body)
    };
    let held = Held::new(&house);
    let mut calls = JoinSet::new();
    for n in 0..12 {
        let request = long(n);
        calls.spawn(async move { answer(request).await.unwrap() });
    }
    // Two fit.
    for _ in 0..10 {
        assert!(shed(&calls.join_next().await.unwrap().unwrap()));
    }
    // gRPC does not say before how long a message is.
    let refused = house.grpc("44").await.submit_application(keyed("b-g", inline(50))).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(refused.get_details_error_info().unwrap().reason, "OVERLOADED");
    let full = house.gauge("tongban_body_bytes_in_flight").await;
    assert!((1_200_000..=1_500_000).contains(&full), "{full}");
    held.release();
    while let Some(answer) = calls.join_next().await {
        assert!(!shed(&answer.unwrap()));
    }
    // What was held is given back, and what was turned away may come again.
    until("the bytes to be given back", SOON, || async {
        (house.gauge("tongban_body_bytes_in_flight").await == 0).then_some(())
    })
    .await;
    house.grpc("44").await.submit_application(keyed("b-g", inline(50))).await.unwrap();
    answer(long(5)).await.unwrap().expect(201);
}

/// An application with a paper of 600 kB in it.
fn inline(n: u32) -> pb::SubmitApplicationRequest {
    let content = vec![b'a'; 600_000];
    let mut application = canonical(&papers::subsidy(n, "510104"));
    let material = &mut application.materials[0];
    material.sha256 = hex::encode(digest::digest(&digest::SHA256, &content));
    (material.size_bytes, material.content) = (600_000, content);
    material.reference.clear();
    pb::SubmitApplicationRequest { application: Some(application) }
}

#[tokio::test]
async fn a_party_has_its_connections_and_leaves_the_others_theirs() {
    let house = House::start(Plan::new().set("limits", "connections_per_party", 3)).await;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(house.tls("44")));
    let mut kept = Vec::new();
    for _ in 0..3 {
        let stream = TcpStream::connect(house.edge()).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        kept.push(connector.connect(name, stream).await.unwrap());
    }
    let name = "tongban_connections{party=\"44\"}";
    until("three connections", SOON, || async { (house.counter(name).await == 3).then_some(()) })
        .await;
    let application = papers::subsidy(1, "510104");
    let (party, other) = (house.caller("44"), house.caller("23"));
    assert!(party.try_post("/v1/applications", "c-1", &application).await.is_err());
    other.submit("c-2", &application).await.expect(201);
    drop(kept);
    until("a place to be free", SOON, || async {
        let application = papers::subsidy(2, "510104");
        let again = party.try_post("/v1/applications", "c-1", &application).await;
        again.ok().filter(|answer| answer.status.as_u16() == 201)
    })
    .await;
}

#[tokio::test]
async fn a_watch_that_is_not_read_holds_up_nobody_and_misses_nothing() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let request = caller.request(Method::GET, "/v1/applications:watch?afterEvent=0");
    let mut slow = request.timeout(SOON * 5).send().await.unwrap();
    for n in 0..30 {
        let taken = caller.submit(&format!("w-{n}"), &papers::subsidy(n, "510104")).await;
        let id = taken.expect(201).id();
        let path = format!("/v1/applications/{id}:withdraw");
        let withdrawn = caller.post(&path, &format!("x-{n}"), &json!({"reason": "搬家"})).await;
        withdrawn.expect(200);
    }
    // Who reads is told meanwhile.
    let told = house.caller("44").get("/v1/applications?pageSize=200").await.expect(200).json();
    assert_eq!(told["applications"].as_array().unwrap().len(), 30);
    let (mut text, mut seen) = (String::new(), Vec::new());
    while seen.len() < 60 {
        let chunk = tokio::time::timeout(SOON, slow.chunk()).await.unwrap().unwrap().unwrap();
        text.push_str(&String::from_utf8_lossy(&chunk));
        let whole: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        seen = whole.iter().map(|id| id.trim().parse::<u64>().unwrap()).collect();
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
}
