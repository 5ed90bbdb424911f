//! What operations do with a PostgreSQL, with the server's own tools and `tongban audit verify`: a
//! dump restored elsewhere, recovery to a point in time, a server that has not been promoted yet,
//! TLS to it. Real servers, real binary.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    database::{Server, program},
    harness::{Caller, House, Plan, SOON, Schema, said, until},
    papers,
    receiver::{Act, Dialect, Receiver},
};

/// `tongban audit verify` of the database there, which must agree.
fn verified(house: &House, url: &str) -> Value {
    let output = house.command(&["audit", "verify", "--json", "--database", url]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(house: &House, arguments: &[&str]) -> String {
    let output = house.command(arguments);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    said(&output)
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", said(&done));
}

async fn submit(caller: &Caller, people: std::ops::Range<u32>) -> Vec<String> {
    let mut ids = Vec::new();
    for n in people {
        let answer = caller.submit(&format!("s-{n}"), &papers::subsidy(n, "510104")).await;
        ids.push(answer.expect(201).id());
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn a_dump_restored_elsewhere_agrees_with_its_log() {
    let schema = Schema::new();
    let url = schema.url.clone();
    let (server, name) = url.split_once("?options=-csearch_path%3D").unwrap();
    let hub = Receiver::bind().await;
    let plan = Plan::new().hasty().endpoint("national", &hub.url).schema(schema);
    let house = House::start(plan).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    let caller = house.caller("44");
    submit(&caller, 0..6).await;
    hub.stores(6).await;
    hub.always(Some(Act::Status(500, None)));
    submit(&caller, 6..8).await;
    // Beside the running gateway: one snapshot.
    let file = house.root().join("tongban.dump");
    let dump = ["--format=custom", "--schema", name, "--file", file.to_str().unwrap(), server];
    run(program("pg_dump").args(dump));
    let copy = format!("{name}_copy");
    run(program("psql").args([server, "--command", &format!("CREATE DATABASE {copy}")]));
    let there = format!("{}/{copy}", server.rsplit_once('/').unwrap().0);
    let restore = ["--no-owner", "--exit-on-error", "--dbname", &there, file.to_str().unwrap()];
    run(program("pg_restore").args(restore));
    let copied = url.replace(server, &there);
    let report = verified(&house, &copied);
    assert_eq!((&report["wrong"], &report["applications"]), (&0.into(), &8.into()));
    assert!(report["leaves"].as_i64().unwrap() >= 20, "{report}");
    // And it would tell: of a copy that lost one row.
    let lost = format!("DELETE FROM {name}.events WHERE seq = 3");
    run(program("psql").args([&there, "--command", &lost]));
    let verify = ["audit", "verify", "--database", &copied];
    assert!(refused(&house, &verify).contains("is missing"));
    run(program("psql").args([server, "--command", &format!("DROP DATABASE {copy}")]));
}

/// What `docs/operations.md` says to run after a recovery to an earlier point.
fn after_recovery() -> String {
    let guide = fs::read_to_string(crate::harness::repository().join("docs/operations.md"));
    let guide = guide.unwrap();
    let (_, sql) = guide.split_once("before the gateways start,\n```sql\n").unwrap();
    sql.split_once("```").unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server; see tests/postgres"]
async fn a_point_in_time_is_recovered_with_all_that_was_answered_until_then() {
    let place = Server::place();
    let archive = place.join("archive");
    let archiving = format!("archive_command = 'cp %p {}/%f'", archive.display());
    let server = Server::started(place, &["archive_mode = on", &archiving]);
    let hub = Receiver::bind().await;
    let schema = Schema::within(&server.url);
    let plan = Plan::new().hasty().endpoint("national", &hub.url).schema(schema.clone());
    let mut house = House::start(plan).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    let caller = house.caller("44");
    let mut before = submit(&caller, 0..3).await;
    let restoring = format!("restore_command = 'cp {}/%f %p'", archive.display());
    let copy = server.base_backup(&["archive_mode = off", &restoring]);
    before.extend(submit(&caller, 3..5).await);
    hub.stores(5).await;
    // The sixth is on its way at that point, and delivered after it.
    hub.always(Some(Act::Status(500, None)));
    before.extend(submit(&caller, 5..6).await);
    let point = schema.sql("SELECT clock_timestamp()").remove(0);
    hub.always(None);
    let after = submit(&caller, 6..8).await;
    hub.stores(8).await;
    until("all to be settled", SOON, || async {
        (house.gauge("tongban_outbox_due").await == 0).then_some(())
    })
    .await;
    let segment = schema.sql("SELECT pg_walfile_name(pg_switch_wal())").remove(0);
    let archived = format!("SELECT 1 FROM pg_stat_archiver WHERE last_archived_wal = '{segment}'");
    let is_there = || async { (!schema.sql(&archived).is_empty()).then_some(()) };
    until("the log to be archived", SOON, is_there).await;
    assert!(house.stop().await.success());
    let live = verified(&house, &schema.url);

    let target = format!("recovery_target_time = '{point}'");
    let conf = copy.join("data/postgresql.conf");
    let written = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{written}{target}\n")).unwrap();
    let recovered = Server::started(copy, &[]);
    let there = Schema { url: schema.url.replace(&server.url, &recovered.url) };
    let paused = "SELECT 1 WHERE pg_get_wal_replay_pause_state() = 'paused'";
    let is_paused = || async { (!there.sql(paused).is_empty()).then_some(()) };
    until("the point in time to be reached", SOON, is_paused).await;
    // Before anybody may write there.
    assert_eq!(there.sql("SELECT pg_is_in_recovery()"), ["t"]);
    let report = verified(&house, &there.url);
    assert_eq!(report["applications"], 6, "{report}");
    assert!(report["leaves"].as_i64() < live["leaves"].as_i64());
    there.sql("SELECT pg_promote()");
    there.sql(after_recovery());

    let (messages, questions) = (hub.messages().len(), hub.arrivals().len());
    house.move_store(&there.url);
    house.run().await;
    let caller = house.caller("44");
    for id in &before {
        caller.state(id, &["FORWARDED"]).await;
    }
    assert_eq!(hub.messages().len(), messages, "what had arrived is asked for, not sent");
    assert!(hub.arrivals().len() > questions);
    // What came later is new here: the callers' keys make it again.
    for id in &after {
        caller.get(&format!("/v1/applications/{id}")).await.expect(404);
    }
    let again = submit(&caller, 5..8).await;
    assert_eq!(again[0], before[5]);
    assert!(again[1..].iter().all(|id| !after.contains(id)));
    hub.stores(10).await;
    assert_eq!(verified(&house, &there.url)["applications"], 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server; see tests/postgres"]
async fn tls_to_the_database_is_verified_to_the_authority_and_the_name() {
    let mut house = House::build(Plan::new());
    let place = Server::place();
    fs::create_dir_all(&place).unwrap();
    for (from, to) in [("gateway.pem", "server.pem"), ("gateway.key", "server.key")] {
        fs::copy(house.certs().join(from), place.join(to)).unwrap();
    }
    let server = Server::started(place, &[]);
    let (_, port) = server.url.trim_end_matches("/postgres").rsplit_once(':').unwrap();
    let other = house.root().join("other");
    run(Command::new(crate::harness::TONGBAN).args(["certs", "new", other.to_str().unwrap()]));
    let url = |host: &str, certs: &std::path::Path, more: &str| {
        let authority = certs.join("ca.pem").display().to_string();
        let asked = format!("sslmode=verify-full&sslrootcert={authority}{more}");
        format!("postgres://postgres@{host}:{port}/postgres?{asked}")
    };
    house.move_store(&url("localhost", &house.certs(), ""));
    house.run().await;
    submit(&house.caller("44"), 0..2).await;
    let connections = "SELECT DISTINCT s.ssl::text FROM pg_stat_ssl s \
                       JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'tongban'";
    assert_eq!(Schema { url: server.url.clone() }.sql(connections), ["true"]);
    let (by_another, of_another) =
        (url("localhost", &other, ""), url("db.example", &house.certs(), "&hostaddr=127.0.0.1"));
    for (wrong, why) in [(by_another, "BadSignature"), (of_another, "not valid for name")] {
        let told = refused(&house, &["deliveries", "list", "--database", &wrong]);
        assert!(told.contains("invalid peer certificate") && told.contains(why), "{told}");
    }
    assert!(house.stop().await.success());
}
