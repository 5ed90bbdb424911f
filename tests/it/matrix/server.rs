//! What happens to a database server and on the way to it: connections cut, frozen and stalled, a
//! crash, a lock that another holds, transactions that cannot be serialized. On PostgreSQL, with
//! three gateways.

use std::time::Duration;

use crate::{
    database::{Database, Postgres},
    harness::{SOON, until},
    matrix::Cell,
    world::{Callbacks, World},
};

const GATEWAYS: usize = 3;

fn postgres(world: &World) -> &Postgres {
    let Database::Postgres(postgres) = &world.database else { panic!("no server") };
    postgres
}

/// One cell: courses, and meanwhile what is done to the server once work is in progress.
async fn cell(world: &World, name: &str, harm: impl AsyncFnOnce(&Postgres)) {
    let cell = Cell::begin(world, &format!("database {name}"));
    let harm = async {
        let stored = || world.platform.stored().len();
        let some = stored() + 1;
        until("work in progress", SOON, || async { (stored() >= some).then_some(()) }).await;
        harm(postgres(world)).await;
    };
    tokio::join!(world.courses(8, Callbacks::Plain), harm);
    cell.end(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn loses_its_line() {
    let world = World::on(Database::Postgres(Postgres::shared().await), GATEWAYS).await;
    cell(&world, "connections cut", async |postgres| {
        for _ in 0..5 {
            postgres.line.cut();
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    })
    .await;
    cell(&world, "half-open: connections frozen", async |postgres| postgres.line.freeze()).await;
    cell(&world, "line stalled for a while", async |postgres| {
        postgres.line.stall(true);
        tokio::time::sleep(Duration::from_secs(6)).await;
        postgres.line.stall(false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn is_held_by_others() {
    let world = World::on(Database::Postgres(Postgres::shared().await), GATEWAYS).await;
    for table in ["log", "deliveries"] {
        cell(&world, &format!("lock timeout ({table})"), async |postgres| {
            let other = postgres.connect().await.unwrap();
            let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
            other.batch_execute(&lock).await.unwrap();
            // Longer than a gateway waits for a lock (4 s).
            tokio::time::sleep(Duration::from_secs(5)).await;
            other.batch_execute("ROLLBACK").await.unwrap();
        })
        .await;
    }
    let failures = || world.crew.log().matches("SQLSTATE 40001").count();
    let before = failures();
    cell(&world, "serialization failure", async |postgres| {
        let admin = postgres.connect().await.unwrap();
        let name: String = admin.query_one("SELECT current_database()", &[]).await.unwrap().get(0);
        let strict =
            format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'");
        admin.batch_execute(&strict).await.unwrap();
        postgres.line.cut();
        world.courses(16, Callbacks::Doubled).await;
    })
    .await;
    assert!(failures() > before, "no transaction failed to be serialized");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server; see tests/postgres"]
async fn restarts() {
    let world = World::on(Database::Postgres(Postgres::alone().await), GATEWAYS).await;
    for name in ["restart", "restart again"] {
        cell(&world, name, async |postgres| postgres.restart().await).await;
    }
}
