//! Watching events: nothing is lost and nothing comes twice, over restarts and broken streams, on
//! gRPC and as server-sent events.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use serde_json::Value;
use tokio::{sync::Mutex, time::timeout};
use tongban::model::pb;
use tonic::Streaming;

use crate::{
    harness::{Caller, House, Plan, SOON},
    papers,
};

async fn next(stream: &mut Streaming<pb::ApplicationEvent>) -> Option<pb::ApplicationEvent> {
    timeout(SOON, stream.message()).await.expect("an event in time").ok().flatten()
}

async fn watch(house: &House, party: &str, after: &str) -> Streaming<pb::ApplicationEvent> {
    let request = pb::WatchApplicationsRequest { after_event: after.to_owned() };
    house.grpc(party).await.watch_applications(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_watch_tells_what_happens_and_only_to_whom_it_concerns() {
    let house = House::start(Plan::new()).await;
    let mut ours = watch(&house, "44", "").await;
    let mut theirs = watch(&house, "23", "0").await;
    let id = house.caller("44").submit("w-1", &papers::subsidy(1, "510104")).await.expect(201).id();
    let event = next(&mut ours).await.unwrap();
    assert_eq!(event.application_id, id);
    assert_eq!(event.r#type(), pb::EventType::ApplicationReceived);
    // The first that 23 sees is of its own application, though another came before.
    let own =
        house.caller("44").submit("w-2", &papers::subsidy(2, "230103")).await.expect(201).id();
    assert_eq!(next(&mut theirs).await.unwrap().application_id, own);
    // Empty means new ones only.
    let mut late = watch(&house, "44", "").await;
    let third = house.caller("44").submit("w-3", &papers::subsidy(3, "510104")).await.expect(201);
    assert_eq!(next(&mut late).await.unwrap().application_id, third.id());
}

#[tokio::test]
async fn a_grpc_watch_resumes_over_kills_without_loss_or_repetition() {
    let mut house = House::start(Plan::new()).await;
    let mut seen: Vec<pb::ApplicationEvent> = Vec::new();
    let mut ids = Vec::new();
    for round in 0..3 {
        let after = seen.last().map_or_else(|| "0".to_owned(), |event| event.id.clone());
        let mut stream = watch(&house, "44", &after).await;
        for n in 0..20 {
            let n = round * 20 + n;
            let key = format!("r-{n}");
            let taken = house.caller("44").submit(&key, &papers::subsidy(100 + n, "510104")).await;
            ids.push(taken.expect(201).id());
            // Half of them are read while the gateway lives, half after it was killed.
            if n % 2 == 0 {
                seen.extend(next(&mut stream).await);
            }
        }
        house.kill();
        // What the stream had in its buffers still counts.
        while let Some(event) = next(&mut stream).await {
            seen.push(event);
        }
        house.run().await;
    }
    let after = seen.last().map_or_else(|| "0".to_owned(), |event| event.id.clone());
    let mut stream = watch(&house, "44", &after).await;
    while seen.len() < ids.len() {
        seen.extend(next(&mut stream).await);
    }
    let told: Vec<&str> = seen.iter().map(|event| event.application_id.as_str()).collect();
    assert_eq!(told, ids);
    let numbers: Vec<u64> = seen.iter().map(|event| event.id.parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

/// Reads server-sent events until the stream ends or `enough` are there.
async fn sse(caller: &Caller, last: &str, seen: &Arc<Mutex<Vec<(String, Value)>>>, enough: usize) {
    let mut request = caller
        .request(Method::GET, "/v1/applications:watch?afterEvent=0")
        .header("Accept", "text/event-stream")
        .timeout(Duration::from_secs(300));
    if !last.is_empty() {
        request = caller
            .request(Method::GET, "/v1/applications:watch")
            .header("Last-Event-ID", last)
            .timeout(Duration::from_secs(300));
    }
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let mut buffer = String::new();
    while seen.lock().await.len() < enough {
        let chunk = timeout(SOON, response.chunk()).await.expect("a chunk in time");
        let Ok(Some(chunk)) = chunk else { return };
        buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((event, rest)) = buffer.split_once("\n\n") {
            let line = |name: &str| {
                let lines = event.lines().filter_map(|line| line.strip_prefix(name));
                lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
            };
            let (id, data) = (line("id:"), line("data:"));
            if !data.is_empty() {
                seen.lock().await.push((id, serde_json::from_str(&data).unwrap()));
            }
            buffer = rest.to_owned();
        }
    }
}

#[tokio::test]
async fn server_sent_events_resume_after_the_last_event_id() {
    let mut house = House::start(Plan::new()).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut ids = Vec::new();
    for round in 0..2 {
        let (caller, shared) = (house.caller("44"), Arc::clone(&seen));
        let last =
            seen.lock().await.last().map_or(String::new(), |(id, _): &(String, Value)| id.clone());
        let enough = (round + 1) * 10 + 5;
        let reader =
            tokio::spawn(async move { sse(&caller, &last, &shared, enough as usize).await });
        for n in 0..20 {
            let n = round * 20 + n;
            let application = papers::child(n, "510104");
            let taken = house.caller("44").submit(&format!("s-{n}"), &application).await;
            ids.push(taken.expect(201).id());
        }
        timeout(SOON, reader).await.unwrap().unwrap();
        house.kill();
        house.run().await;
    }
    let last = seen.lock().await.last().unwrap().0.clone();
    sse(&house.caller("44"), &last, &seen, ids.len()).await;
    let seen = seen.lock().await;
    let told: Vec<&str> =
        seen.iter().map(|(_, event)| event["applicationId"].as_str().unwrap()).collect();
    assert_eq!(told, ids);
    for (id, event) in seen.iter() {
        assert_eq!(event["id"], id.as_str(), "the SSE id is the event's id");
    }
}

#[tokio::test]
async fn an_event_id_that_is_none_is_refused() {
    let house = House::start(Plan::new()).await;
    let refused =
        house.caller("44").get("/v1/applications:watch?afterEvent=soon").await.expect(400);
    assert_eq!(refused.json()["reason"], "INVALID_ARGUMENT");
}
