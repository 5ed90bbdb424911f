//! Several gateways on one PostgreSQL, with nothing configured between them: any of them answers
//! any request, what one holds when it dies the others take over, and the database may die too.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    harness::{Answer, Caller, House, Plan, SOON, Schema, repository, until},
    papers,
    receiver::{Dialect, Receiver},
};

/// A house on PostgreSQL with so many gateways; the house's own is the first.
async fn gateways(plan: Plan, count: usize) -> Vec<House> {
    let house = House::build(plan.schema(Schema::new()));
    let others: Vec<House> = (1..count).map(|n| house.replica(&format!("replica-{n}"))).collect();
    let mut all: Vec<House> = [house].into_iter().chain(others).collect();
    // At once: the first tables are made by two that know nothing of each other.
    futures::future::join_all(all.iter_mut().map(House::run)).await;
    all.reverse(); // The house goes last.
    all
}

#[tokio::test]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn any_gateway_answers_any_request() {
    let all = gateways(Plan::new(), 2).await;
    let (one, other) = (all[0].caller("44"), all[1].caller("44"));
    let paper = papers::subsidy(1, "230103");
    let taken = one.submit("a-1", &paper).await.expect(201);
    let again = other.submit("a-1", &paper).await.expect(201);
    assert_eq!((again.id(), again.header("idempotency-replayed")), (taken.id(), "true"));
    let path = format!("/v1/applications/{}", taken.id());
    let read = one.get(&path).await.expect(200).json();
    assert_eq!(other.get(&path).await.expect(200).json(), read);
    assert_eq!(read["acceptanceNumber"], taken.json()["acceptanceNumber"]);
    let reused = other.submit("a-1", &papers::subsidy(2, "230103")).await.expect(422);
    assert_eq!(reused.json()["reason"], "IDEMPOTENCY_KEY_REUSED");
    let handlers = [all[0].caller("23"), all[1].caller("23")];
    handlers[1].post(&format!("{path}:accept"), "a-2", &json!({})).await.expect(200);
    let decision = json!({"decision": {"outcome": "DENIED", "reason": "不符合条件", "reasonCode": "11",
        "decidedOn": "2026-01-20", "office": "哈尔滨市南岗区民政局"}});
    handlers[0].post(&format!("{path}:decide"), "a-3", &decision).await.expect(200);
    let again = handlers[1].post(&format!("{path}:decide"), "a-3", &decision).await.expect(200);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(one.get(&path).await.expect(200).json()["state"], "REJECTED");
}

#[tokio::test]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn of_one_key_or_one_person_at_two_gateways_at_once_one_is_taken() {
    const ROUNDS: u32 = 300;
    let all = gateways(Plan::new(), 2).await;
    let callers = [all[0].caller("44"), all[1].caller("44")];
    let round = async |n: u32| -> bool {
        let paper = papers::subsidy(n, "510104");
        let (mine, theirs) = (format!("k-{n}"), format!("other-{n}"));
        // Every third round races one key; the others race one person under two keys.
        let second = if n.is_multiple_of(3) { &mine } else { &theirs };
        let (a, b) =
            tokio::join!(callers[0].submit(&mine, &paper), callers[1].submit(second, &paper));
        if n.is_multiple_of(3) {
            let (a, b) = (a.expect(201), b.expect(201));
            assert_eq!(a.id(), b.id());
            let replayed = |answer: &Answer| answer.header("idempotency-replayed") == "true";
            assert!(replayed(&a) != replayed(&b), "one of them was first");
            return replayed(&b);
        }
        let first_won = a.status.as_u16() == 201;
        let (taken, refused) = if first_won { (a, b) } else { (b, a) };
        let refused = refused.expect(409).json();
        assert_eq!(refused["reason"], "DUPLICATE_APPLICATION");
        assert_eq!(refused["applicationId"], taken.expect(201).id());
        first_won
    };
    let won = stream::iter(0..ROUNDS).map(round).buffer_unordered(8);
    let won = won.filter(|first| std::future::ready(*first)).count().await;
    assert!((1..ROUNDS as usize).contains(&won), "the first won {won} of {ROUNDS}: no race");
}

#[tokio::test]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn what_a_killed_gateway_was_delivering_the_others_deliver_and_ask_first() {
    const SENT: u32 = 8;
    // Connections are taken, nobody speaks: every attempt waits.
    let hub = Receiver::bind().await;
    let plan = Plan::new().hasty().endpoint("national", &hub.url);
    let schema = Schema::new();
    let mut house = House::build(plan.schema(schema.clone()));
    house.run().await;
    let caller = house.caller("44");
    for n in 0..SENT {
        caller.submit(&format!("l-{n}"), &papers::subsidy(n, "510104")).await.expect(201);
    }
    until("every lease to be out", SOON, || {
        let leased = schema.sql("SELECT count(*) FROM deliveries WHERE state = 1");
        std::future::ready((leased == [SENT.to_string()]).then_some(()))
    })
    .await;
    house.kill();
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    let mut other = house.replica("other");
    other.run().await;
    hub.stores(SENT as usize).await;
    let mut told = BTreeMap::<String, Vec<bool>>::new();
    for arrival in hub.arrivals() {
        told.entry(arrival.number).or_default().push(arrival.question);
    }
    // It may have arrived: asked first, and sent once it was not known.
    assert_eq!(told.len(), SENT as usize);
    assert!(told.values().all(|told| *told == [true, false]), "{told:?}");
    until("the queue to be empty", SOON, || async {
        (other.gauge("tongban_outbox_due").await == 0).then_some(())
    })
    .await;
    assert_eq!(other.gauge("tongban_outbox_parked").await, 0);
}

/// Reads server-sent events at one gateway until its stream breaks or all are there.
async fn listen(caller: &Caller, seen: &Mutex<Vec<(u64, String)>>, enough: usize) {
    let last = seen.lock().unwrap().last().map_or(0, |(number, _)| *number).to_string();
    let request = caller
        .request(Method::GET, "/v1/applications:watch")
        .header("Last-Event-ID", last)
        .timeout(Duration::from_secs(300));
    let Ok(mut response) = request.send().await else { return };
    assert_eq!(response.status().as_u16(), 200);
    let mut text = String::new();
    while seen.lock().unwrap().len() < enough {
        let chunk = timeout(SOON, response.chunk()).await.expect("a chunk in time");
        let Ok(Some(chunk)) = chunk else { return };
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(data)) = (line("id:"), line("data:")) {
                let data: Value = serde_json::from_str(data).unwrap();
                let application = data["applicationId"].as_str().unwrap().to_owned();
                seen.lock().unwrap().push((id.trim().parse().unwrap(), application));
            }
            text = rest.to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn a_watch_goes_on_at_another_gateway_without_loss_or_repetition() {
    const SENT: u32 = 120;
    let mut all = gateways(Plan::new(), 3).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    // Two go on taking applications in while the one that is watched dies.
    let writers: Vec<_> = [(0, 1), (1, 2)]
        .map(|(first, at)| {
            let caller = all[at].caller("44");
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for n in (first..SENT).step_by(2) {
                    let key = format!("w-{n}");
                    let taken = caller.submit(&key, &papers::subsidy(n, "510104")).await;
                    ids.push(taken.expect(201).id());
                }
                ids
            })
        })
        .into();
    let watched = {
        let (caller, seen) = (all[0].caller("44"), Arc::clone(&seen));
        tokio::spawn(async move { listen(&caller, &seen, SENT as usize).await })
    };
    until("some events", SOON, || {
        std::future::ready((seen.lock().unwrap().len() > 10).then_some(()))
    })
    .await;
    all[0].kill();
    timeout(SOON, watched).await.unwrap().unwrap();
    assert!(seen.lock().unwrap().len() < SENT as usize, "it had seen everything before the kill");
    listen(&all[1].caller("44"), &seen, SENT as usize).await;
    let mut sent = BTreeSet::new();
    for writer in writers {
        sent.extend(writer.await.unwrap());
    }
    let seen = seen.lock().unwrap();
    let told: BTreeSet<String> = seen.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!((seen.len(), told), (SENT as usize, sent));
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "in one order");
}

/// A PostgreSQL of the test's own, that it may kill.
struct Cluster {
    folder: PathBuf,
    url: String,
}

impl Cluster {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("tongban-pg-{}", uuid::Uuid::new_v4()));
        let mut cluster = Self { folder, url: String::new() };
        cluster.url = cluster.control("start");
        cluster
    }

    fn control(&self, action: &str) -> String {
        let script = repository().join("tests/postgres");
        let said = Command::new(script).arg(action).arg(&self.folder).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.control("stop");
        std::fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}

/// Submits at one gateway until told to stop; what was answered 2xx, by person.
async fn submit(caller: Caller, next: Arc<AtomicU32>, stop: Arc<AtomicBool>) -> Vec<(u32, String)> {
    let mut taken = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let n = next.fetch_add(1, Ordering::Relaxed);
        // Until it is answered: a caller asks again with its key.
        let answer = until("an answer", SOON, || async {
            let paper = papers::subsidy(n, "510104");
            let sent = caller.try_post("/v1/applications", &format!("d-{n}"), &paper).await.ok()?;
            assert!(sent.status.as_u16() == 201 || sent.status.is_server_error(), "{sent:?}");
            sent.status.is_success().then_some(sent)
        })
        .await;
        taken.push((n, answer.id()));
    }
    taken
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server's programs; see tests/postgres"]
async fn a_database_that_crashes_under_load_loses_nothing_and_is_found_again() {
    let cluster = Cluster::start();
    let hub = Receiver::bind().await;
    let plan = Plan::new().hasty().endpoint("national", &hub.url);
    let schema = Schema::within(&cluster.url);
    let house = House::build(plan.schema(schema.clone()));
    let mut all = [house.replica("replica"), house];
    futures::future::join_all(all.iter_mut().map(House::run)).await;
    let hub = hub.open(Dialect::National, &all[0].certificates("national"));
    let (next, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..4)
        .map(|n| submit(all[n % 2].caller("44"), Arc::clone(&next), Arc::clone(&stop)))
        .map(tokio::spawn)
        .collect();
    for round in 1..=2 {
        until("work before the crash", SOON, || async {
            (next.load(Ordering::Relaxed) > round * 40).then_some(())
        })
        .await;
        cluster.control("restart");
    }
    until("work after the crash", SOON, || async {
        (next.load(Ordering::Relaxed) > 160).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let mut taken = BTreeMap::new();
    for caller in callers {
        taken.extend(caller.await.unwrap());
    }
    let reader = all[1].caller("44");
    for (n, id) in &taken {
        let read = reader.get(&format!("/v1/applications/{id}")).await.expect(200).json();
        assert_eq!(read["acceptanceNumber"], papers::subsidy(*n, "510104")["acceptanceNumber"]);
    }
    let distinct: HashSet<&String> = taken.values().collect();
    assert_eq!(distinct.len(), taken.len(), "one id for two people");
    hub.stores(taken.len()).await;
    until("the queue to be empty", SOON, || async {
        (all[0].gauge("tongban_outbox_due").await == 0).then_some(())
    })
    .await;
    let count = |what: &str| -> i64 { schema.sql(what)[0].parse().unwrap() };
    assert_eq!(count("SELECT count(*) FROM applications"), i64::try_from(taken.len()).unwrap());
    for (table, place, log) in [("leaves", "position + 1", "leaves"), ("events", "seq", "events")] {
        let rows = count(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(rows, count(&format!("SELECT max({place}) FROM {table}")), "no gap in {table}");
        assert_eq!(rows, count(&format!("SELECT {log} FROM log")));
    }
    for gateway in &mut all {
        assert!(gateway.stop().await.success());
    }
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server's programs; see tests/postgres"]
async fn readiness_follows_the_database() {
    let cluster = Cluster::start();
    let mut house = House::build(Plan::new().schema(Schema::within(&cluster.url)));
    house.run().await;
    let url = format!("http://{}/readyz", house.metrics());
    let status = async || reqwest::get(&url).await.map(|answer| answer.status().as_u16()).ok();
    cluster.control("stop");
    until("it not to be ready", SOON, async || (status().await == Some(503)).then_some(())).await;
    let refused = house.caller("44").submit("r-1", &papers::subsidy(1, "510104")).await;
    assert!(refused.status.is_server_error(), "{refused:?}");
    cluster.control("start");
    until("it to be ready again", SOON, async || (status().await == Some(200)).then_some(())).await;
    house.caller("44").submit("r-1", &papers::subsidy(1, "510104")).await.expect(201);
    assert!(house.stop().await.success());
}
