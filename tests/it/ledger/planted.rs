//! The ledger finds what is wrong: each of these takes the evidence of a run in which all went
//! well, plants what one bug of the gateway would leave behind, and the ledger must say so. A bug
//! in the database is planted with SQL in a copy of the file, so that reading it is tried as well.

use std::{fs, path::Path};

use rusqlite::Connection;
use tokio::sync::OnceCell;

use crate::{
    database::{Database, Engine},
    ledger::{Evidence, Rows, differences},
    world::{Callbacks, World},
};

/// The evidence of one good run, and the database it was read from.
async fn good() -> &'static (Evidence, Vec<u8>) {
    static GOOD: OnceCell<(Evidence, Vec<u8>)> = OnceCell::const_new();
    GOOD.get_or_init(|| async {
        let world = World::start(Engine::Sqlite, 1).await;
        world.courses(8, Callbacks::Plain).await;
        let evidence = world.evidence().await;
        let copy = world.house.root().join("copy.db");
        let Database::Sqlite(file) = &world.database else { panic!("no file") };
        let from = Connection::open(file).unwrap();
        from.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        (evidence, fs::read(copy).unwrap())
    })
    .await
}

/// What the ledger says when this was done to the evidence.
async fn told(plant: impl FnOnce(&mut Evidence)) -> Vec<String> {
    let (good, _) = good().await;
    assert_eq!(differences(good).texts(), Vec::<&str>::new(), "the run was not good");
    let mut evidence = good.clone();
    plant(&mut evidence);
    differences(&evidence).texts().into_iter().map(str::to_owned).collect()
}

/// What the ledger says when this was done to the database.
async fn told_of(sql: &str) -> Vec<String> {
    let (_, database) = good().await;
    let file = std::env::temp_dir().join(format!("tongban-planted-{}.db", uuid::Uuid::new_v4()));
    fs::write(&file, database).unwrap();
    let rows = plant_in(&file, sql);
    fs::remove_file(&file).unwrap();
    told(|evidence| evidence.rows = rows).await
}

fn plant_in(file: &Path, sql: &str) -> Rows {
    let connection = Connection::open(file).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection.execute_batch(sql).unwrap();
    assert!(connection.changes() > 0, "nothing was planted: {sql}");
    drop(connection);
    Rows::of_sqlite(file).unwrap()
}

#[track_caller]
fn says(told: &[String], what: &str) {
    assert!(told.iter().any(|one| one.contains(what)), "no `{what}` in {told:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bugs_planted_in_the_database_are_found() {
    let bugs = [
        // Answered before the commit, which then failed.
        (
            "answered and not stored",
            "DELETE FROM events WHERE application = 3; DELETE FROM deliveries WHERE application = 3; \
             DELETE FROM applications WHERE seq = 3",
        ),
        // A key that made two applications.
        (
            "is stored as",
            "INSERT INTO applications SELECT 99, randomblob(16), business, state, version, \
             submitter, handler, acceptance_number, home_division, home_name, open, benefits, salt, \
             trace, created, updated, body, revised, kept, wake, purged, alike FROM applications \
             WHERE seq = 2",
        ),
        // An event that was lost, at the end and in between.
        ("stands at place", "DELETE FROM events WHERE seq = 5"),
        ("and its last event is", "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)"),
        // A change that was made twice.
        (
            "2 are stored",
            "INSERT INTO events SELECT 1 + (SELECT max(seq) FROM events), application, 9, type, \
             state, party, time, detail FROM events WHERE type = 3 AND application = 1",
        ),
        // A step that no machine draws.
        ("leads from", "UPDATE events SET state = 9 WHERE seq = 4"),
        // A leaf that was skipped, a leaf of another event, a changed entry.
        ("stands at place", "DELETE FROM leaves WHERE position = 7"),
        (
            "is of no event",
            "UPDATE leaves SET (hash, entry) = (SELECT hash, entry FROM leaves o WHERE o.position = 2) \
             WHERE position = 0",
        ),
        (
            "is not the hash of its entry",
            "UPDATE leaves SET entry = cast(replace(entry, '\"44\"', '\"23\"') AS blob) \
             WHERE position = 1",
        ),
        (
            "events and",
            "DELETE FROM leaves WHERE position = (SELECT max(position) FROM leaves \
             WHERE entry LIKE '%\"kind\":\"event\"%')",
        ),
        // A delivery that was forgotten, doubled under a new number, left behind.
        ("0 deliveries of", "DELETE FROM deliveries WHERE seq = 6"),
        (
            "2 deliveries of",
            "INSERT INTO deliveries SELECT 999, application, party, kind, event, randomblob(16), \
             state, attempts, due, unknown, note, created FROM deliveries WHERE seq = 6",
        ),
        ("not delivered", "UPDATE deliveries SET state = 3 WHERE seq = 6"),
        // Counted wrong.
        ("counted are", "UPDATE outbox SET waiting = waiting + 1 WHERE party = '23'"),
        // Settled twice: the log says twice that one message was delivered.
        (
            "leaves say that it was delivered",
            "INSERT INTO leaves SELECT 1 + (SELECT max(position) FROM leaves), hash, entry \
             FROM leaves WHERE entry LIKE '%DELIVERED\"}' LIMIT 1",
        ),
        // Said to be delivered and never sent.
        (
            "23 did 0 times",
            "UPDATE deliveries SET message = randomblob(16) WHERE seq = \
             (SELECT min(seq) FROM deliveries WHERE party = '23')",
        ),
    ];
    for (what, sql) in bugs {
        says(&told_of(sql).await, what);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bugs_that_callers_receivers_and_watchers_see_are_found() {
    // One key, two answers.
    let replays = told(|evidence| {
        let ids: Vec<_> = evidence.rows.applications.keys().cloned().collect();
        let answers = evidence.said.iter_mut().filter(|said| said.key == "submit-1");
        for (said, id) in answers.zip(ids) {
            said.id = id;
        }
    });
    says(&replays.await, "key submit-1 of 44 made");
    // One key, done twice.
    let done = told(|evidence| evidence.said.iter_mut().for_each(|said| said.replayed = false));
    says(&done.await, "done again and not replayed");
    // A refusal that is not in the log.
    let refusals = told(|evidence| {
        let mut said = evidence.said[0].clone();
        (said.status, said.reason) = (Some(409), "ILLEGAL_TRANSITION".into());
        evidence.said.push(said);
    });
    says(&refusals.await, "1 refusals of");
    // Sent again without asking, and then its work done again.
    let again = told(|evidence| {
        let arrival = evidence.receivers[0].1[0].clone();
        evidence.receivers[0].1.push(arrival);
    })
    .await;
    says(&again, "again and was not asked");
    says(&again, "23 did 2 times");
    // In the wrong order.
    let disorder = told(|evidence| evidence.receivers[1].1.reverse());
    says(&disorder.await, "44 did event");
    // Under a number of its own.
    let strange = told(|evidence| evidence.receivers[0].1[0].number = "0".repeat(32));
    says(&strange.await, "which is no delivery");
    // The watcher missed one, or was told one twice.
    let missed = told(|evidence| drop(evidence.watched.as_mut().unwrap().1.remove(3)));
    says(&missed.await, "where");
    let twice = told(|evidence| {
        let watched = &mut evidence.watched.as_mut().unwrap().1;
        watched.insert(3, watched[3].clone());
    });
    says(&twice.await, "the watcher was told");
    // Not listed.
    let hidden = told(|evidence| drop(evidence.listed.as_mut().unwrap().1.pop()));
    says(&hidden.await, "is listed as None");
}
