//! The soak: several gateways on one PostgreSQL take very many applications while one of them is
//! killed every few seconds, the server crashes, and partners fail; then the ledger compares.
//! `tests/soak` runs the whole with the release build and its arguments come in the environment;
//! what `tests/run` runs is short. Prints one line of JSON. Depends on world and ledger.

use std::{
    env,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    database::{Database, Postgres},
    harness::{Plan, TONGBAN, until},
    ledger::{Kind, differences},
    receiver::Act,
    world::{COURSE, World},
};

/// How hard it is.
struct Terms {
    applications: u32,
    gateways: usize,
    /// Seconds between two kills.
    kill_every: u64,
    /// How often the database server crashes.
    restarts: u32,
    /// Of a hundred messages, so many meet a partner that fails.
    failing: u32,
    /// Applications on their way at once.
    at_once: usize,
}

impl Terms {
    fn asked() -> Self {
        let number = |name: &str, otherwise: u32| {
            let given = env::var(format!("TONGBAN_SOAK_{name}")).ok();
            given
                .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
        };
        Self {
            applications: number("APPLICATIONS", 200_000),
            gateways: number("GATEWAYS", 3) as usize,
            kill_every: number("KILL_EVERY", 5).into(),
            restarts: number("RESTARTS", 2),
            failing: number("FAILING", 20),
            at_once: number("AT_ONCE", 64) as usize,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server; see tests/postgres"]
async fn short() {
    let terms = Terms {
        applications: 600,
        gateways: 3,
        kill_every: 3,
        restarts: 1,
        failing: 20,
        at_once: 24,
    };
    soak(terms).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes its time; tests/soak runs it"]
async fn whole() {
    soak(Terms::asked()).await;
}

async fn soak(terms: Terms) {
    let plan = Plan::new()
        .set("dispatch", "attempt_ms", 4000)
        .set("dispatch", "lease_ms", 9000)
        .set("dispatch", "backoff_ms", 50)
        .set("dispatch", "backoff_cap_ms", 1000)
        .set("dispatch", "breaker_open_ms", 100)
        .set("dispatch", "attempts", 500)
        .set("telemetry", "log", "\"warn,tongban::cli=info\"");
    let database = Database::Postgres(Postgres::alone().await);
    let world = World::planned(plan, database, terms.gateways).await;
    fail(&world, terms.failing);
    let (began, done) = (Instant::now(), AtomicU32::new(0));
    let kills = AtomicUsize::new(0);
    // Work ends first; harm is what happens until then.
    tokio::select! {
        () = work(&world, &terms, &done) => {}
        ((), ()) = async { tokio::join!(kill(&world, &terms, &kills), crash(&world, &terms, &done)) } => {}
    }
    let working = began.elapsed();
    assert!(kills.load(Ordering::Relaxed) > 0, "it was over before a gateway was killed");
    report(&world, &terms, kills.into_inner(), (began, working)).await;
}

/// The receivers fail in every way they know.
fn fail(world: &World, percent: u32) {
    use Act::{Babble, Cut, Status, StoreAndBabble, StoreAndCut, StoreSilently, Vanish};
    let ways = [
        Vanish,
        StoreSilently,
        Status(500, None),
        Status(503, Some(1)),
        Babble,
        StoreAndBabble,
        Cut,
        StoreAndCut,
    ];
    for one in [&world.platform, &world.away] {
        one.lean();
        one.dice(percent, ways.clone());
    }
}

async fn work(world: &World, terms: &Terms, done: &AtomicU32) {
    let next = AtomicU32::new(0);
    let desk = || async {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= terms.applications {
                return;
            }
            world.short_course(n).await;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(5000) {
                eprintln!("{done} of {} applications", terms.applications);
            }
        }
    };
    futures::future::join_all((0..terms.at_once).map(|_| desk())).await;
}

/// One gateway after the other.
async fn kill(world: &World, terms: &Terms, kills: &AtomicUsize) {
    loop {
        tokio::time::sleep(Duration::from_secs(terms.kill_every)).await;
        // Where a start takes longer than that, none would live to do anything.
        let all = || async { (world.crew.edges().len() == terms.gateways).then_some(()) };
        until("all gateways to serve", COURSE, all).await;
        world.crew.kill(kills.fetch_add(1, Ordering::Relaxed));
    }
}

/// The database server, at equal parts of the work.
async fn crash(world: &World, terms: &Terms, done: &AtomicU32) {
    let Database::Postgres(postgres) = &world.database else { panic!("no server") };
    for part in 1..=terms.restarts {
        let due = terms.applications / (terms.restarts + 1) * part;
        while done.load(Ordering::Relaxed) < due {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        postgres.restart().await;
    }
    std::future::pending().await
}

async fn report(world: &World, terms: &Terms, kills: usize, (began, working): (Instant, Duration)) {
    world.crew.restart().await;
    let evidence = world.evidence().await;
    let found = differences(&evidence);
    let rows = &evidence.rows;
    let good = |status: Option<u16>| status.is_some_and(|status| status < 300);
    let arrivals = || evidence.receivers.iter().flat_map(|(_, arrivals)| arrivals);
    let messages = arrivals().filter(|one| !one.question).count();
    println!(
        "{}",
        json!({
            "applications": terms.applications,
            "stored": rows.applications.len(),
            "lost": found.of(Kind::Lost),
            "duplicated": found.of(Kind::Doubled),
            "outOfOrder": found.of(Kind::Disordered),
            "otherDifferences": found.of(Kind::Other),
            "gateways": terms.gateways,
            "gatewaysKilled": kills,
            "databaseRestarts": terms.restarts,
            "partnersFailPercent": terms.failing,
            "calls": evidence.said.len(),
            "callsNotAnswered": evidence.said.iter().filter(|said| !good(said.status)).count(),
            "callsReplayed": evidence.said.iter().filter(|said| said.replayed).count(),
            "deliveries": rows.deliveries.len(),
            "messages": messages,
            "questions": arrivals().count() - messages,
            "events": rows.events.len(),
            "leaves": rows.leaves.len(),
            "applicationsPerSecond": (f64::from(terms.applications) / working.as_secs_f64()).round(),
            "seconds": began.elapsed().as_secs(),
            "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        })
    );
    let texts = found.texts();
    let some = texts[..texts.len().min(50)].join("\n");
    assert!(texts.is_empty(), "{} differences:\n{some}", texts.len());
    assert_eq!(rows.applications.len(), terms.applications as usize);
}

#[cfg(not(debug_assertions))]
#[test]
fn a_release_build_has_no_fault_points() {
    let binary = std::fs::read(TONGBAN).unwrap();
    let name = b"TONGBAN_FAILPOINTS";
    assert!(!binary.windows(name.len()).any(|bytes| bytes == name), "it can be armed");
}

#[cfg(debug_assertions)]
#[test]
fn a_debug_build_has_fault_points() {
    let binary = std::fs::read(TONGBAN).unwrap();
    let name = b"TONGBAN_FAILPOINTS";
    assert!(binary.windows(name.len()).any(|bytes| bytes == name), "it cannot be armed");
}
