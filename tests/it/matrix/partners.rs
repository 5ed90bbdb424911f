//! Partners that misbehave, and lines to them that break.

use std::{sync::Arc, time::Duration};

use crate::{
    database::Engine,
    matrix::Cell,
    receiver::{Act, Receiver},
    world::{ACCEPT, Callbacks, World},
};

/// Runs one cell: `prepare` the world, courses, and the ledger.
async fn cell(world: &World, name: &str, callbacks: Callbacks, prepare: impl AsyncFnOnce(&World)) {
    let (cell, seen) = (Cell::begin(world, &format!("partner {name}")), arrivals(world));
    prepare(world).await;
    world.courses(4, callbacks).await;
    cell.end(arrivals(world) - seen).await;
}

fn arrivals(world: &World) -> usize {
    [&world.platform, &world.away].iter().map(|one| one.arrivals().len()).sum()
}

/// Both receivers do these with the next messages.
fn both(world: &World, acts: &[Act]) {
    let script = |one: &Receiver| one.script(acts.iter().cloned());
    [&world.platform, &world.away].into_iter().for_each(script);
}

async fn answers_badly(engine: Engine, processes: usize) {
    use Act::{Babble, Cut, Hang, Status, StoreAndBabble, StoreAndCut, StoreAndHang};
    let world = World::start(engine, processes).await;
    let scripts = [
        ("garbage", vec![Babble, StoreAndBabble, Babble, StoreAndBabble]),
        ("half-open: never answers", vec![Hang, StoreAndHang, StoreAndHang, Hang]),
        ("reset in mid-body", vec![Cut, StoreAndCut, Cut, StoreAndCut]),
        ("errors", vec![Status(500, None), Status(503, Some(1)), Status(429, None)]),
    ];
    for (name, script) in scripts {
        cell(&world, name, Callbacks::Plain, async |world| both(world, &script)).await;
    }
    let bad = [Act::Vanish, Act::StoreSilently, Cut, StoreAndCut, Babble, Status(502, None)];
    [&world.platform, &world.away].iter().for_each(|one| one.dice(20, bad.clone()));
    cell(&world, "fails in 20 of 100", Callbacks::Plain, async |_| {}).await;
}

async fn calls_back_badly(engine: Engine, processes: usize) {
    let world = World::start(engine, processes).await;
    cell(&world, "duplicate callbacks", Callbacks::Doubled, async |_| {}).await;
    cell(&world, "callbacks reordered", Callbacks::Reordered, async |_| {}).await;
    // The platform says that it has taken up the application, and then that it has received it.
    let desk = world.desk("23").clone();
    world.platform.before_answering(Some(Arc::new(move |id: String| {
        let desk = desk.clone();
        Box::pin(async move { desk.tell(&id, ACCEPT, "", 200).await })
    })));
    cell(&world, "callback before our commit", Callbacks::Plain, async |_| {}).await;
}

async fn loses_its_line(engine: Engine, processes: usize) {
    let world = World::start(engine, processes).await;
    cell(&world, "connections cut", Callbacks::Plain, async |world| {
        world.courses(4, Callbacks::Plain).await;
        world.lines.iter().for_each(|line| line.cut());
    })
    .await;
    cell(&world, "half-open: connections frozen", Callbacks::Plain, async |world| {
        // There must be connections to freeze.
        world.courses(4, Callbacks::Plain).await;
        world.lines.iter().for_each(|line| line.freeze());
    })
    .await;
    cell(&world, "line stalled for a while", Callbacks::Plain, async |world| {
        world.lines.iter().for_each(|line| line.stall(true));
        let courses = world.courses(4, Callbacks::Plain);
        tokio::join!(courses, async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            world.lines.iter().for_each(|line| line.stall(false));
        });
    })
    .await;
}

mod sqlite_one {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn answers_badly() {
        super::answers_badly(Engine::Sqlite, 1).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn calls_back_badly() {
        super::calls_back_badly(Engine::Sqlite, 1).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn loses_its_line() {
        super::loses_its_line(Engine::Sqlite, 1).await;
    }
}

mod postgres_three {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "the whole matrix; needs TONGBAN_TEST_POSTGRES"]
    async fn answers_badly() {
        super::answers_badly(Engine::Postgres, 3).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "the whole matrix; needs TONGBAN_TEST_POSTGRES"]
    async fn calls_back_badly() {
        super::calls_back_badly(Engine::Postgres, 3).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "the whole matrix; needs TONGBAN_TEST_POSTGRES"]
    async fn loses_its_line() {
        super::loses_its_line(Engine::Postgres, 3).await;
    }
}
