//! Stores that earlier releases wrote, opened with today's binary: everything is read, delivered,
//! answered by its key and held against its log. The samples: `tests/golden/stores/README.md`.

use std::fs;

use rusqlite::Connection;
use serde_json::Value;

use crate::{
    harness::{House, Plan, SOON, Schema, repository, said, until},
    receiver::{Dialect, Receiver},
};

/// The schemas before today's.
const SCHEMAS: [u32; 3] = [1, 2, 4];
/// Those of PostgreSQL of which there are samples; no release had the first.
const ON_POSTGRES: [u32; 2] = [2, 3];

/// Puts the sample into the house, as if it had been written a moment ago.
fn put(house: &House, schema: u32) -> Vec<Value> {
    let sample =
        |end: &str| repository().join(format!("tests/golden/stores/schema-{schema}.{end}"));
    let data = house.root().join("data");
    fs::create_dir_all(&data).unwrap();
    fs::copy(sample("db"), data.join("tongban.db")).unwrap();
    fs::copy(sample("key"), house.certs().join("store.key")).unwrap();
    let store = Connection::open(data.join("tongban.db")).unwrap();
    let now = jiff::Timestamp::now().as_microsecond();
    store.execute("UPDATE idempotency SET created = ?1", [now]).unwrap();
    store
        .execute("UPDATE deliveries SET due = ?1 WHERE state = 0 AND due < ?2", [now, i64::MAX])
        .unwrap();
    if schema > 1 {
        // Statutory limits have passed since, in the world outside.
        store.execute("UPDATE applications SET wake = NULL", []).unwrap();
    }
    serde_json::from_str(&fs::read_to_string(sample("json")).unwrap()).unwrap()
}

/// The same on PostgreSQL.
fn put_on_postgres(house: &House, schema: u32) -> Vec<Value> {
    let sample =
        |end: &str| repository().join(format!("tests/golden/stores/postgres-{schema}.{end}"));
    fs::copy(sample("key"), house.certs().join("store.key")).unwrap();
    let url = house.store().url;
    let (_, name) = url.split_once("%3D").unwrap();
    house.sql(&fs::read_to_string(sample("sql")).unwrap().replace("SAMPLE", name));
    let now = jiff::Timestamp::now().as_microsecond();
    house.sql(&format!("UPDATE idempotency SET created = {now}"));
    house.sql("UPDATE deliveries SET due = now() WHERE state = 0");
    house.sql("UPDATE applications SET wake = NULL");
    serde_json::from_str(&fs::read_to_string(sample("json")).unwrap()).unwrap()
}

#[tokio::test]
async fn every_earlier_store_is_read_delivered_replayed_and_verified() {
    for schema in SCHEMAS {
        upgraded(schema, Plan::new(), put).await;
    }
}

#[tokio::test]
#[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
async fn every_earlier_store_on_postgres_is_read_delivered_replayed_and_verified() {
    for schema in ON_POSTGRES {
        upgraded(schema, Plan::new().schema(Schema::new()), put_on_postgres).await;
    }
}

async fn upgraded(schema: u32, plan: Plan, put: fn(&House, u32) -> Vec<Value>) {
    let (hub, home, away) =
        (Receiver::bind().await, Receiver::bind().await, Receiver::bind().await);
    let plan = plan
        .hasty()
        .set("retention", "content_days", 0)
        .endpoint("national", &hub.url)
        .endpoint("23", &home.url)
        .endpoint("44", &away.url);
    let mut house = House::build(plan);
    let book = put(&house, schema);
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    let _home = home.open(Dialect::P23, &house.certificates("23"));
    let _away = away.open(Dialect::P44, &house.certificates("44"));
    house.run().await;
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    // The one that was parked, the one of which nobody knew, and the one that was put off.
    let replayed = house.command(&["deliveries", "replay", "all"]);
    assert!(said(&replayed).contains("1 of 1"), "schema {schema}: {}", said(&replayed));
    hub.stores(3).await;
    until("all to be delivered", SOON, || async {
        (house.gauge("tongban_outbox_due").await == 0).then_some(())
    })
    .await;
    assert_eq!(house.gauge("tongban_outbox_parked").await, 0);
    assert_eq!(hub.stored().len(), 3);
    let first_asked = hub.arrivals().iter().filter(|arrival| arrival.question).count();
    assert_eq!(first_asked, 1, "only what may have arrived is asked for");
    for entry in &book {
        let caller = if entry["party"] == "44" { &submitter } else { &handler };
        let (path, key) = (entry["path"].as_str().unwrap(), entry["key"].as_str().unwrap());
        let again = caller.post(path, key, &entry["body"]).await;
        let status = u16::try_from(entry["status"].as_u64().unwrap()).unwrap();
        let again = again.expect(status);
        assert_eq!(again.header("idempotency-replayed"), "true", "schema {schema}: {key}");
        let (now, then) = (again.json(), &entry["answer"]);
        for field in ["id", "state", "version", "acceptanceNumber", "applicant", "createTime"] {
            assert_eq!(now[field], then[field], "schema {schema}: {field} of {key}");
        }
    }
    let states = [
        ("CJ-2026-00000001", "NOTIFIED"),
        ("CJ-2026-00000002", "SUPPLEMENT_REQUIRED"),
        ("ET-2026-00000003", "WITHDRAWN"),
        ("HY-2026-00000004", "VERIFYING"),
        ("CJ-2026-00000005", "FORWARDED"),
        ("CJ-2026-00000006", "FORWARDED"),
        ("CJ-2026-00000007", "FORWARDED"),
    ];
    let list = submitter.get("/v1/applications").await.expect(200).json();
    let list = list["applications"].as_array().unwrap();
    assert_eq!(list.len(), states.len());
    for (number, state) in states {
        let one = list.iter().find(|one| one["acceptanceNumber"] == number).unwrap();
        assert_eq!(one["state"], state, "schema {schema}: {number}");
        let id = one["id"].as_str().unwrap();
        let events = submitter.get(&format!("/v1/applications/{id}/events")).await.expect(200);
        let count = events.json()["events"].as_array().unwrap().len().to_string();
        assert_eq!(one["version"], count, "schema {schema}: {number}");
    }
    let verified = house.command(&["audit", "verify"]);
    assert!(verified.status.success(), "schema {schema}: {}", said(&verified));
}

#[tokio::test]
async fn a_migration_that_breaks_off_leaves_its_schema_whole() {
    let mut house = House::build(Plan::new().set("retention", "content_days", 0));
    put(&house, 1);
    let path = house.root().join("data/tongban.db");
    let store = Connection::open(&path).unwrap();
    // Stands in the way of the fourth script's last statement.
    store.execute_batch("CREATE INDEX applications_ended ON leaves (hash)").unwrap();
    let said = house.refused(&[]).await;
    assert!(said.contains("applications_ended"), "{said}");
    let schema = || store.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let columns = "SELECT count(*) FROM pragma_table_info('applications') WHERE name = 'purged'";
    let purged: i64 = store.query_row(columns, [], |row| row.get(0)).unwrap();
    assert_eq!((schema(), purged), (3, 0), "the third is done whole, of the fourth nothing");
    store.execute_batch("DROP INDEX applications_ended").unwrap();
    house.run().await;
    assert_eq!(schema(), 5);
    let verified = house.command(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", crate::harness::said(&verified));
}

#[tokio::test]
async fn a_store_of_a_newer_release_is_left_alone() {
    let house = House::build(Plan::new());
    put(&house, 2);
    let path = house.root().join("data/tongban.db");
    let store = Connection::open(&path).unwrap();
    store.pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    let before = fs::read(&path).unwrap();
    let said = house.refused(&[]).await;
    assert!(said.contains("written by a newer Tongban (schema 99)"), "{said}");
    for command in [["audit", "verify"], ["deliveries", "list"], ["backup", "--to=x.db"]] {
        assert!(!house.command(&command).status.success(), "{command:?}");
    }
    let file = |bytes: &[u8]| bytes[100..].to_vec();
    assert!(file(&fs::read(&path).unwrap()) == file(&before), "it was written to");
}
