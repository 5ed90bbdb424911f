//! The fault matrix: every step of the way, failing in every way, on every store, with one process
//! and with three. In each cell four applications go their whole way while the step fails; then
//! everything is killed and started again, settles, and the ledger compares. What is not ignored,
//! `lean` and `server` are run by `tests/run`; `docs/reliability.md` says how the whole is run.
//! Depends on world and ledger.

mod partners;
mod server;
mod surroundings;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use crate::{
    database::Engine,
    ledger,
    world::{Callbacks, World},
};

/// How a step fails: the words of the table, and the line that arms it.
struct Way {
    name: &'static str,
    line: &'static str,
    /// Armed again as often once it was hit: kills fall into different moments.
    rounds: usize,
    /// How long the cell lasts at least.
    length: Duration,
}

const QUICK: Duration = Duration::ZERO;
const SLOW: Duration = Duration::from_millis(3500);

const WAYS: [Way; 6] = [
    Way { name: "failed and not done", line: "before fail 5", rounds: 1, length: QUICK },
    Way { name: "failed but done", line: "after fail 5", rounds: 1, length: QUICK },
    // Above the call's, the attempt's and the lease's deadline of `world::short`.
    Way { name: "slow, then done", line: "before slow 2300 2", rounds: 1, length: SLOW },
    Way { name: "done, then slow", line: "after slow 2300 2", rounds: 1, length: SLOW },
    Way { name: "killed before", line: "before kill", rounds: 3, length: QUICK },
    Way { name: "killed after", line: "after kill", rounds: 3, length: QUICK },
];

/// A world in which `step` fails in every way.
async fn row(engine: Engine, processes: usize, step: &str) {
    let world = World::start(engine, processes).await;
    for way in &WAYS {
        cell(&world, step, way).await;
    }
}

/// A world in which some steps fail, each in one way.
async fn some(engine: Engine, processes: usize, cells: &[(&str, &str)]) {
    let world = World::start(engine, processes).await;
    for (step, name) in cells {
        let way = WAYS.iter().find(|way| way.name == *name).unwrap();
        cell(&world, step, &Way { rounds: 1, ..*way }).await;
    }
}

async fn cell(world: &World, step: &str, way: &Way) {
    let watch = Cell::begin(world, &format!("{step} {}", way.name));
    let faults = async {
        for _ in 0..way.rounds {
            world.crew.arm(&format!("{step} {}", way.line));
            world.crew.hit().await;
        }
    };
    let seen = sent(world);
    let courses = world.courses(4, Callbacks::Plain);
    tokio::pin!(faults, courses);
    tokio::select! {
        () = &mut courses => {}
        () = &mut faults => courses.await,
    }
    let hits = world.crew.disarm();
    // Until the last slow one has ended as well, be it too late.
    tokio::time::sleep_until((watch.began + way.length).into()).await;
    if way.length == SLOW && matches!(step, "seal" | "send") && way.line.starts_with("before") {
        // What was held up too long before it was sent was not sent beside the next attempt.
        let (different, all) = sent(world);
        assert_eq!(different - seen.0, all - seen.1, "{}: something was sent twice", watch.name);
    }
    watch.end(hits).await;
}

/// How many different messages were sent, and how many in all.
fn sent(world: &World) -> (usize, usize) {
    let messages = [world.platform.messages(), world.away.messages()].concat();
    let numbers: HashSet<&str> = messages.iter().map(|message| &*message.number).collect();
    (numbers.len(), messages.len())
}

/// One cell while it runs.
struct Cell<'a> {
    world: &'a World,
    name: String,
    began: Instant,
    starts: usize,
}

impl<'a> Cell<'a> {
    fn begin(world: &'a World, name: &str) -> Self {
        let engine = world.database.engine().word();
        let name = format!("{engine} × {}: {name}", world.crew.size());
        Self { world, name, began: Instant::now(), starts: world.crew.starts() }
    }

    /// Kills everything, starts it again, lets it settle, and has the ledger compare. `hits` says
    /// how often there was what the cell is about.
    async fn end(self, hits: usize) {
        let Self { world, name, began, starts } = self;
        assert!(hits > 0, "{name}: never happened");
        world.crew.restart().await;
        let evidence = world.evidence().await;
        let found = ledger::differences(&evidence);
        let found = found.texts();
        let outcome = match found.len() {
            0 => "as promised".to_owned(),
            count => format!("{count} differences"),
        };
        let (rows, starts) = (&evidence.rows, world.crew.starts() - starts);
        println!(
            "| {name} | {hits} | {starts} | {:.1} s | {} | {} | {} | {outcome} |",
            began.elapsed().as_secs_f64(),
            rows.applications.len(),
            rows.deliveries.len(),
            rows.leaves.len(),
        );
        assert!(found.is_empty(), "{name}: {outcome}:\n{}", found.join("\n"));
    }
}

/// A module of tests for a store and a number of processes: one for each step.
macro_rules! rows {
    ($name:ident: $engine:ident, $processes:literal $(, $ignored:meta)?) => {
        rows!(@ $name, $engine, $processes, ($(#[$ignored])?),
            accept commit lease seal send read settle notify);
    };
    (@ $name:ident, $engine:ident, $processes:literal, $ignored:tt, $($step:ident)*) => {
        mod $name {
            use crate::{database::Engine, matrix::row};
            $(rows!(@@ $engine, $processes, $ignored, $step);)*
        }
    };
    (@@ $engine:ident, $processes:literal, ($($ignored:tt)*), $step:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $($ignored)*
        async fn $step() {
            row(Engine::$engine, $processes, stringify!($step)).await;
        }
    };
}

rows!(sqlite_one: Sqlite, 1);
rows!(sqlite_three: Sqlite, 3, ignore = "the whole matrix");
rows!(postgres_one: Postgres, 1, ignore = "the whole matrix; needs TONGBAN_TEST_POSTGRES");
rows!(postgres_three: Postgres, 3, ignore = "the whole matrix; needs TONGBAN_TEST_POSTGRES");

mod lean {
    use crate::{database::Engine, matrix::some};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite_three() {
        let cells = [("commit", "killed after"), ("settle", "killed before")];
        some(Engine::Sqlite, 3, &cells).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
    async fn postgres_one() {
        let cells = [
            ("accept", "failed but done"),
            ("commit", "killed after"),
            ("read", "slow, then done"),
            ("notify", "failed and not done"),
        ];
        some(Engine::Postgres, 1, &cells).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
    async fn postgres_three() {
        let cells = [
            ("commit", "failed but done"),
            ("lease", "killed after"),
            ("seal", "failed and not done"),
            ("send", "killed after"),
            ("settle", "slow, then done"),
        ];
        some(Engine::Postgres, 3, &cells).await;
    }
}
