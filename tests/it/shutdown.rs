//! A polite end: what was answered is kept, what is in progress ends or is handed over, all within
//! the deadline; a second signal ends it at once.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use reqwest::Method;
use tokio::time::timeout;
use tongban::model::pb;

use crate::{
    harness::{House, Plan, SOON, until},
    papers,
    receiver::{Act, Dialect, Receiver},
};

/// State, attempts and whether it may have arrived, of each delivery to the hub.
fn deliveries(house: &House) -> Vec<String> {
    house.sql(
        "SELECT state || ' ' || attempts || CASE WHEN unknown THEN ' unknown' ELSE '' END \
         FROM deliveries WHERE party = 'national' ORDER BY 1",
    )
}

#[tokio::test]
async fn deliveries_without_an_answer_are_given_back_and_asked_for_first() {
    let hub = Receiver::bind().await;
    // Leases are longer than this test: only what is given back can go out again.
    let plan = Plan::new()
        .set("limits", "stop_seconds", 8)
        .set("dispatch", "attempt_ms", 60_000)
        .set("dispatch", "lease_ms", 900_000)
        .endpoint("national", &hub.url);
    let mut house = House::start(plan).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    hub.script([Act::StoreAndHang, Act::Hang]);
    let caller = house.caller("44");
    let mut ids = Vec::new();
    for n in 0..2 {
        let answer = caller.submit(&format!("g-{n}"), &papers::subsidy(n, "510104")).await;
        ids.push(answer.expect(201).id());
    }
    hub.gets(2).await;
    let began = Instant::now();
    let ended = house.stop().await;
    assert!(ended.success(), "{ended:?}: {}", house.log());
    assert!(began.elapsed() < Duration::from_secs(12), "it took {:?}", began.elapsed());
    assert_eq!(deliveries(&house), ["0 0 unknown", "0 0 unknown"], "due and not counted");
    house.run().await;
    let caller = house.caller("44");
    for id in &ids {
        caller.state(id, &["FORWARDED"]).await;
    }
    // One had arrived and is not sent again; the other one is.
    assert_eq!(hub.messages().len(), 3);
    assert_eq!(hub.stored().len(), 2);
    assert_eq!(hub.arrivals().iter().filter(|arrival| arrival.question).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_with_a_watch_open_nothing_that_was_answered_is_lost() {
    let hub = Receiver::bind().await;
    let mut house = House::start(Plan::new().hasty().endpoint("national", &hub.url)).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    let request = pb::WatchApplicationsRequest { after_event: "0".into() };
    let watch = house.grpc("44").await.watch_applications(request).await.unwrap();
    let mut grpc_watch = watch.into_inner();
    let sse = house
        .caller("44")
        .request(Method::GET, "/v1/applications:watch?afterEvent=0")
        .header("Accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    let calls: Vec<_> = (0..6)
        .map(|lane| {
            let caller = house.caller("44");
            tokio::spawn(async move {
                let mut taken = Vec::new();
                for n in (lane * 400).. {
                    let paper = papers::subsidy(n, "510104");
                    match caller.try_post("/v1/applications", &format!("l-{n}"), &paper).await {
                        Ok(answer) if answer.status.is_success() => taken.push((n, answer.id())),
                        Ok(answer) => assert!(answer.status.is_server_error(), "{answer:?}"),
                        Err(_) => break,
                    }
                }
                taken
            })
        })
        .collect();
    hub.stores(15).await;
    let began = Instant::now();
    let ended = house.stop().await;
    assert!(ended.success(), "{ended:?}: {}", house.log());
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
    let mut taken = Vec::new();
    for call in calls {
        taken.extend(call.await.unwrap());
    }
    assert!(taken.len() >= 15);
    // Both watches were told why they end, after everything that had happened.
    let streamed = timeout(SOON, async {
        let mut received = 0;
        loop {
            match grpc_watch.message().await {
                Ok(Some(event)) => {
                    received += usize::from(event.r#type() == pb::EventType::ApplicationReceived);
                }
                other => return (received, other.unwrap_err()),
            }
        }
    });
    let (received, why) = streamed.await.unwrap();
    assert!(received > 0);
    assert!(why.message().contains("the gateway goes down"), "{why:?}");
    assert!(timeout(SOON, sse.text()).await.unwrap().unwrap().contains("APPLICATION_RECEIVED"));
    assert!(house.log().trim_end().ends_with("}"), "the last line is whole");
    assert!(house.log().lines().last().unwrap().contains("\"stopped\""));
    house.run().await;
    let caller = house.caller("44");
    for (n, id) in &taken {
        let again = caller.submit(&format!("l-{n}"), &papers::subsidy(*n, "510104")).await;
        assert_eq!(again.expect(201).id(), *id);
    }
    until("everything to be delivered", SOON, || async {
        (house.gauge("tongban_outbox_due").await == 0).then_some(())
    })
    .await;
    let messages: Vec<String> = hub.messages().into_iter().map(|one| one.number).collect();
    let different: std::collections::HashSet<&String> = messages.iter().collect();
    assert_eq!(messages.len(), different.len(), "something was sent twice");
}

#[tokio::test]
async fn it_says_that_it_is_not_ready_and_a_second_signal_ends_it_at_once() {
    let hub = Receiver::bind().await;
    let plan = Plan::new()
        .set("limits", "stop_seconds", 600)
        .set("dispatch", "attempt_ms", 300_000)
        .set("dispatch", "lease_ms", 900_000)
        .endpoint("national", &hub.url);
    let mut house = House::start(plan).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    hub.script([Act::Hang]);
    let caller = house.caller("44");
    caller.submit("s-1", &papers::subsidy(1, "510104")).await.expect(201);
    hub.gets(1).await;
    let pid = house.pid();
    let signal = || {
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
    };
    signal();
    let readyz = format!("http://{}/readyz", house.metrics());
    until("it to say so", SOON, || async {
        let answer = reqwest::get(&readyz).await.ok()?;
        (answer.status().as_u16() == 503).then_some(())
    })
    .await;
    assert_eq!(reqwest::get(&readyz).await.unwrap().text().await.unwrap(), "stopping\n");
    let live = format!("http://{}/livez", house.metrics());
    assert!(reqwest::get(&live).await.unwrap().status().is_success());
    assert!(
        caller.try_post("/v1/applications", "s-2", &papers::subsidy(2, "510104")).await.is_err()
    );
    let began = Instant::now();
    let ended = house.stop().await;
    assert_eq!(ended.code(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
    let log = house.log();
    let last = log.lines().last().unwrap();
    assert_eq!(last, "tongban: told to stop a second time; stopped at once");
}
