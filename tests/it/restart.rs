//! SIGKILL at any instant: what was answered 2xx is there afterwards, answers its key again with
//! the same id, and reaches its receiver once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    harness::{Caller, House, Plan, SOON, until},
    papers,
    receiver::{Dialect, Receiver},
};

struct Room(Semaphore);

impl Default for Room {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

/// What callers know while gateways come and go.
#[derive(Default)]
struct Ledger {
    caller: Mutex<Option<Caller>>,
    next: AtomicU32,
    /// How many more may be sent: enough for each kill to fall into work, not thousands.
    room: Room,
    /// Person and id of what was answered 2xx.
    taken: Mutex<BTreeMap<u32, String>>,
    /// Persons whose call broke: it may or may not have been taken.
    unknown: Mutex<Vec<u32>>,
}

impl Ledger {
    fn taken(&self) -> usize {
        self.taken.lock().unwrap().len()
    }
}

fn key(n: u32) -> String {
    format!("restart-{n}")
}

async fn submit_until_the_end(ledger: Arc<Ledger>) {
    while let Ok(permit) = ledger.room.0.acquire().await {
        permit.forget();
        let caller = ledger.caller.lock().unwrap().clone().unwrap();
        let n = ledger.next.fetch_add(1, Ordering::Relaxed);
        let sent =
            caller.try_post("/v1/applications", &key(n), &papers::subsidy(n, "510104")).await;
        match sent {
            Ok(answer) if answer.status.is_success() => {
                ledger.taken.lock().unwrap().insert(n, answer.id());
            }
            Ok(answer) => assert!(answer.status.is_server_error(), "{answer:?}"),
            Err(_) => {
                ledger.unknown.lock().unwrap().push(n);
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_every_kill_and_is_delivered_once() {
    const KILLS: usize = 6;
    let hub = Receiver::bind().await;
    let mut house = House::start(Plan::new().hasty().endpoint("national", &hub.url)).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    let ledger = Arc::new(Ledger::default());
    *ledger.caller.lock().unwrap() = Some(house.caller("44"));
    let callers: Vec<_> =
        (0..4).map(|_| tokio::spawn(submit_until_the_end(Arc::clone(&ledger)))).collect();
    for _ in 0..KILLS {
        // The kill falls into work in progress of both ways, in and out.
        ledger.room.0.add_permits(60);
        let (taken, stored) = (ledger.taken() + 25, hub.stored().len() + 10);
        until("work before the kill", SOON, || async {
            (ledger.taken() >= taken && hub.stored().len() >= stored).then_some(())
        })
        .await;
        house.kill();
        house.run().await;
        *ledger.caller.lock().unwrap() = Some(house.caller("44"));
    }
    ledger.room.0.close();
    for caller in callers {
        caller.await.unwrap();
    }
    let caller = house.caller("44");
    let mut applications = HashSet::new();
    let taken = ledger.taken.lock().unwrap().clone();
    assert!(taken.len() >= KILLS * 25);
    for (n, id) in &taken {
        let read = caller.get(&format!("/v1/applications/{id}")).await.expect(200).json();
        assert_eq!(read["acceptanceNumber"], papers::subsidy(*n, "510104")["acceptanceNumber"]);
        let again = caller.submit(&key(*n), &papers::subsidy(*n, "510104")).await.expect(201);
        assert_eq!((again.id(), again.header("idempotency-replayed")), (id.clone(), "true"));
        assert!(applications.insert(id.clone()), "one id for two people");
    }
    // What broke is asked again with its key, and is one application then, whatever it was.
    let unknown = ledger.unknown.lock().unwrap().clone();
    for n in &unknown {
        let taken = caller.submit(&key(*n), &papers::subsidy(*n, "510104")).await.expect(201);
        assert!(applications.insert(taken.id()), "one id for two people");
    }
    delivered_once(&hub, &applications).await;
    until("the queue to be empty", SOON, || async {
        (house.gauge("tongban_outbox_due").await == 0).then_some(())
    })
    .await;
    assert_eq!(house.gauge("tongban_outbox_parked").await, 0);
    assert_eq!(hub.stored().len(), applications.len(), "nothing came after the end");
}

/// One message number for each application, and one application for each message number.
async fn delivered_once(hub: &Receiver, applications: &HashSet<String>) {
    hub.stores(applications.len()).await;
    let mut numbers: HashMap<String, HashSet<String>> = HashMap::new();
    for message in hub.messages() {
        let body: Value = serde_json::from_str(&message.body).unwrap();
        let id = body["head"]["app_id"].as_str().unwrap().to_owned();
        numbers.entry(id).or_default().insert(message.number);
    }
    let delivered: HashSet<String> = numbers.keys().cloned().collect();
    assert_eq!(&delivered, applications);
    assert!(numbers.values().all(|numbers| numbers.len() == 1), "a number changed on the way");
}

#[tokio::test]
async fn a_polite_end_lets_calls_finish_and_leaves_nothing_behind() {
    let mut house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let calls: Vec<_> = (0..20)
        .map(|n| {
            let caller = caller.clone();
            tokio::spawn(async move {
                caller.try_post("/v1/applications", &key(n), &papers::subsidy(n, "510104")).await
            })
        })
        .collect();
    until("the first to be taken", SOON, || async {
        (house.gauge("tongban_audit_leaves").await > 0).then_some(())
    })
    .await;
    let ended = house.stop().await;
    assert!(ended.success(), "{ended:?}: {}", house.log());
    house.run().await;
    let caller = house.caller("44");
    for (n, call) in calls.into_iter().enumerate() {
        let n = u32::try_from(n).unwrap();
        // A call that came too late may be refused; one that was answered is kept.
        if let Ok(answer) = call.await.unwrap()
            && answer.status.is_success()
        {
            let again = caller.submit(&key(n), &papers::subsidy(n, "510104")).await.expect(201);
            assert_eq!(again.id(), answer.id());
        }
    }
}
