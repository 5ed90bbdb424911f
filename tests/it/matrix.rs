//! The fault matrix: every step of the way, failing in every way, on every store, with one process
//! and with three. In each cell four applications go their whole way while the step fails; then
//! everything is killed and started again, settles, and the ledger compares. `TONGBAN_MATRIX=all`
//! runs every cell, without it a selection; `--nocapture` shows the table. Depends on world and
//! ledger.

mod partners;
mod surroundings;

use std::time::{Duration, Instant};

use crate::{
    ledger,
    world::{Callbacks, World, short},
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

/// One gateway on SQLite fails at `step` in every way.
async fn row(step: &str) {
    let world = World::start(short(), 1, &[]).await;
    for way in &WAYS {
        cell(&world, step, way).await;
    }
}

async fn cell(world: &World, step: &str, way: &Way) {
    let (began, starts) = (Instant::now(), world.crew.starts());
    let mut hits = 0;
    let faults = async {
        for _ in 0..way.rounds {
            world.crew.arm(&format!("{step} {}", way.line));
            world.crew.hit().await;
        }
    };
    let courses = world.courses(4, Callbacks::Plain);
    tokio::pin!(faults, courses);
    tokio::select! {
        () = &mut courses => {}
        () = &mut faults => courses.await,
    }
    hits += world.crew.disarm();
    // Until the last slow one has ended as well, be it too late.
    tokio::time::sleep_until((began + way.length).into()).await;
    let what = format!("SQLite, 1 process: {step} {}", way.name);
    assert!(hits > 0, "{what}: was never hit");
    compare(world, &what, began, starts, hits).await;
}

/// Kills everything, starts it again, lets it settle, and has the ledger compare.
async fn compare(world: &World, what: &str, began: Instant, starts: usize, hits: usize) {
    world.crew.restart().await;
    let evidence = world.evidence().await;
    let found = ledger::differences(&evidence);
    println!(
        "| {what} | hit {hits} | {} starts | {:.1} s | {} applications, {} messages, {} leaves | {} |",
        world.crew.starts() - starts,
        began.elapsed().as_secs_f64(),
        evidence.rows.applications.len(),
        evidence.rows.deliveries.len(),
        evidence.rows.leaves.len(),
        if found.is_empty() {
            "as promised".to_owned()
        } else {
            format!("{} differences", found.len())
        },
    );
    assert!(found.is_empty(), "{what}: {} differences:\n{}", found.len(), found.join("\n"));
}

macro_rules! rows {
    ($($step:ident),*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $step() {
            row(stringify!($step)).await;
        }
    )*};
}

rows!(accept, commit, lease, seal, send, read, settle, notify);
