//! Writes a sample store of the schema at hand into `tests/golden/stores/`, for the releases to
//! come: run once before a schema changes, see the README there. Real binary, real partners.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    database::program,
    harness::{Answer, Caller, House, Plan, SOON, on_postgres, repository, until},
    papers,
    receiver::{Act, Dialect, Receiver},
};

/// What was asked and answered, kept beside the store.
#[derive(Default)]
struct Book(Vec<Value>);

impl Book {
    async fn post(&mut self, caller: &Caller, party: &str, path: &str, body: Value) -> String {
        let key = format!("sample-{}", self.0.len());
        let answer: Answer = caller.post(path, &key, &body).await;
        assert!(answer.status.is_success(), "{answer:?}");
        let id = answer.id();
        self.0.push(json!({"party": party, "path": path, "key": key, "body": body,
            "status": answer.status.as_u16(), "answer": answer.json()}));
        id
    }

    async fn submit(&mut self, caller: &Caller, application: Value) -> String {
        self.post(caller, "44", "/v1/applications", application).await
    }
}

#[tokio::test]
#[ignore = "writes into tests/golden/stores; run by hand before a schema changes"]
async fn a_store_of_todays_schema() {
    let (hub, home, away) =
        (Receiver::bind().await, Receiver::bind().await, Receiver::bind().await);
    // Nothing is tried twice while the sample is taken.
    let plan = Plan::new()
        .set("dispatch", "backoff_ms", 3_600_000)
        .set("dispatch", "backoff_cap_ms", 3_600_000)
        .endpoint("national", &hub.url)
        .endpoint("23", &home.url)
        .endpoint("44", &away.url);
    let mut house = House::start(plan).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    let home = home.open(Dialect::P23, &house.certificates("23"));
    let _away = away.open(Dialect::P44, &house.certificates("44"));
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let mut book = Book::default();
    let path = |id: &str, verb: &str| format!("/v1/applications/{id}:{verb}");
    // 1. Decided and notified.
    let decided = book.submit(&submitter, papers::subsidy(1, "230103")).await;
    submitter.state(&decided, &["FORWARDED"]).await;
    book.post(&handler, "23", &path(&decided, "accept"), json!({})).await;
    let decision = json!({"decision": {"outcome": "GRANTED", "decidedOn": "2026-01-20",
        "office": "哈尔滨市南岗区民政局", "monthlyAmountFen": "32750", "paidFrom": "2026-01"}});
    book.post(&handler, "23", &path(&decided, "decide"), decision).await;
    submitter.state(&decided, &["NOTIFIED"]).await;
    // 2. Waits for papers.
    let asked = book.submit(&submitter, papers::subsidy(2, "230103")).await;
    submitter.state(&asked, &["FORWARDED"]).await;
    book.post(&handler, "23", &path(&asked, "accept"), json!({})).await;
    let missing = json!({"missingMaterials": ["403"], "reason": "请补低保证"});
    book.post(&handler, "23", &path(&asked, "requestSupplement"), missing).await;
    // 3. Withdrawn.
    let withdrawn = book.submit(&submitter, papers::child(3, "230103")).await;
    submitter.state(&withdrawn, &["FORWARDED"]).await;
    book.post(&submitter, "44", &path(&withdrawn, "withdraw"), json!({"reason": "回原籍办理"}))
        .await;
    home.stores(4).await;
    // 4. A marriage at the hub, 5. stored there but not answered, 6. refused by it, 7. not taken.
    let marriage = book.submit(&submitter, papers::marriage(4)).await;
    hub.stores(1).await;
    hub.script([Act::StoreSilently]);
    book.submit(&submitter, papers::subsidy(5, "510104")).await;
    hub.stores(2).await;
    hub.script([Act::Refuse]);
    let parked = book.submit(&submitter, papers::subsidy(6, "510104")).await;
    submitter.state(&parked, &["UNDELIVERABLE"]).await;
    hub.script([Act::Status(503, Some(3600))]);
    book.submit(&submitter, papers::subsidy(7, "510104")).await;
    hub.gets(4).await;
    submitter.state(&marriage, &["VERIFYING"]).await;
    until("two to be due", SOON, || async {
        (house.gauge("tongban_outbox_due").await == 2).then_some(())
    })
    .await;
    assert!(house.stop().await.success());
    keep(&house, &book);
}

fn keep(house: &House, book: &Book) {
    let folder = repository().join("tests/golden/stores");
    fs::create_dir_all(&folder).unwrap();
    let name = match on_postgres() {
        true => dump(house, &folder),
        false => copy(house, &folder),
    };
    let name = |end: &str| folder.join(format!("{name}.{end}"));
    fs::copy(house.certs().join("store.key"), name("key")).unwrap();
    fs::write(name("json"), serde_json::to_string_pretty(&book.0).unwrap() + "\n").unwrap();
}

fn copy(house: &House, folder: &Path) -> String {
    let store = rusqlite::Connection::open(house.root().join("data/tongban.db")).unwrap();
    // One file: what the write-ahead log holds goes into it.
    store.pragma_update(None, "journal_mode", "DELETE").unwrap();
    let schema: i64 = store.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    drop(store);
    let name = format!("schema-{schema}");
    let to = folder.join(format!("{name}.db"));
    fs::copy(house.root().join("data/tongban.db"), to).unwrap();
    name
}

/// SQL that makes the tables of the schema SAMPLE and fills them.
fn dump(house: &House, folder: &Path) -> String {
    let url = house.store().url;
    let (server, schema) = url.split_once("?options=-csearch_path%3D").unwrap();
    let form = ["--inserts", "--no-owner", "--no-privileges", "--schema", schema, server];
    let dumped = program("pg_dump").args(form).output().unwrap();
    assert!(dumped.status.success(), "{}", crate::harness::said(&dumped));
    let sql = String::from_utf8(dumped.stdout).unwrap().replace(schema, "SAMPLE");
    // The schema is there already; what begins with a backslash is for psql.
    let wanted = |line: &&str| {
        !line.is_empty() && !["--", "\\", "CREATE SCHEMA"].iter().any(|not| line.starts_with(not))
    };
    let sql: Vec<&str> = sql.lines().filter(wanted).collect();
    let version = house.sql("SELECT version::text FROM tongban_schema").remove(0);
    let name = format!("postgres-{version}");
    fs::write(folder.join(format!("{name}.sql")), sql.join("\n") + "\n").unwrap();
    name
}
