//! Every promise of [`Store`], tried. Written against the trait: each store runs the same list.

#[cfg(test)]
mod backlog;
#[cfg(test)]
mod benefits;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod disorder;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod likeness;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod shared;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use prost::Message as _;
use tokio_postgres::SimpleQueryMessage;
use uuid::Uuid;

use crate::{
    audit::leaf_hash,
    model::{
        clock,
        divisions::Divisions,
        pb::{self, EventType, Outcome, State},
        trace::TraceContext,
    },
    store::{
        Postgres, Sqlite, Store, Terms,
        proof::Report,
        rows::{
            Accepted, Applied, Change, DeliveryKind, IdempotencyKey, Lease, NewApplication,
            Recalled, Refusal, Settlement,
        },
        vault::Vault,
    },
};

const HOUR: i64 = 3_600_000_000;

pub(super) fn terms() -> Terms {
    let takers = ["23", "national"].map(str::to_owned).into();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/divisions.csv");
    Terms {
        calendar: Arc::new(crate::model::calendar::tests::official()),
        divisions: Arc::new(Divisions::load(&file).unwrap()),
        takers,
        longest_wait: Some(2 * HOUR),
    }
}

/// Which store keeps the promise.
#[derive(Clone, Copy)]
enum Engine {
    Sqlite,
    Postgres,
}

/// A store of its own, that can be opened again: a folder, or a schema of the test database.
struct Place {
    engine: Engine,
    name: String,
}

impl Place {
    fn new(engine: Engine) -> Self {
        let name = format!("tongban_{}", Uuid::new_v4().simple());
        let place = Self { engine, name };
        if let Engine::Postgres = engine {
            let name = &place.name;
            place.sql(format!("CREATE SCHEMA {name}"));
        }
        place
    }

    async fn open(&self) -> Arc<dyn Store> {
        let vault = Vault::new(&[1; 32]).unwrap();
        match self.engine {
            Engine::Sqlite => Arc::new(Sqlite::open(&self.file(), vault, 1024, terms()).unwrap()),
            Engine::Postgres => {
                let store = Postgres::open(&self.url(), vault, (1024, 2), terms()).await;
                Arc::new(store.unwrap())
            }
        }
    }

    fn folder(&self) -> PathBuf {
        std::env::temp_dir().join(&self.name)
    }

    fn file(&self) -> PathBuf {
        self.folder().join("t.db")
    }

    fn url(&self) -> String {
        let url = test_database();
        let and = if url.contains('?') { '&' } else { '?' };
        format!("{url}{and}options=-csearch_path%3D{}", self.name)
    }

    /// Runs SQL beside the store; the first column of each row as text.
    fn sql(&self, sql: String) -> Vec<String> {
        let url = self.url();
        let work = async move {
            let (client, driver) =
                tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            let driver = tokio::spawn(driver);
            let said = client.simple_query(&sql).await.unwrap();
            driver.abort();
            said
        };
        // Also called where a runtime is running already, and when a test fails.
        let said = std::thread::spawn(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work)
        });
        let said = said.join().unwrap();
        let rows = said.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        rows.collect()
    }

    /// Position, hash and entry of each leaf.
    fn leaves(&self) -> Vec<(i64, [u8; 32], Vec<u8>)> {
        match self.engine {
            Engine::Sqlite => {
                let file = rusqlite::Connection::open(self.file()).unwrap();
                let mut query =
                    file.prepare("SELECT position, hash, entry FROM leaves ORDER BY 1").unwrap();
                let rows =
                    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
                rows.map(Result::unwrap).collect()
            }
            Engine::Postgres => {
                let rows = self.sql(
                    "SELECT position || ' ' || encode(hash, 'hex') || ' ' || encode(entry, 'hex') \
                     FROM leaves ORDER BY position"
                        .into(),
                );
                let leaf = |row: &String| {
                    let mut parts = row.split(' ');
                    let position = parts.next().unwrap().parse().unwrap();
                    let mut bytes = || hex::decode(parts.next().unwrap()).unwrap();
                    (position, bytes().try_into().unwrap(), bytes())
                };
                rows.iter().map(leaf).collect()
            }
        }
    }

    /// The store held against its log.
    async fn prove(&self) -> Report {
        let vault = Vault::new(&[1; 32]).unwrap();
        let tell = &mut |_: &'static str, _, _| {};
        match self.engine {
            Engine::Sqlite => {
                let connection = crate::store::sqlite::proof::open(&self.file(), &vault).unwrap();
                crate::store::sqlite::proof::prove(&connection, &vault, tell).unwrap()
            }
            Engine::Postgres => {
                crate::store::postgres::proof::prove(&self.url(), &vault, tell).await.unwrap()
            }
        }
    }

    /// Fails unless the store agrees with its log, and what it counts with what there is.
    async fn agrees(&self) -> Report {
        let report = self.prove().await;
        assert_eq!(report.wrong, 0, "{:?}", report.findings);
        assert_eq!(self.texts(COUNTED), self.texts(WAITING));
        report
    }

    /// The first column of each row.
    fn texts(&self, sql: &str) -> Vec<String> {
        match self.engine {
            Engine::Sqlite => {
                let file = rusqlite::Connection::open(self.file()).unwrap();
                let mut query = file.prepare(sql).unwrap();
                let rows = query.query_map([], |row| row.get(0)).unwrap();
                rows.map(Result::unwrap).collect()
            }
            Engine::Postgres => self.sql(sql.to_owned()),
        }
    }

    /// Changes what is stored behind the store's back.
    fn change(&self, sql: &str) {
        match self.engine {
            Engine::Sqlite => {
                let file = rusqlite::Connection::open(self.file()).unwrap();
                assert!(file.execute(sql, []).unwrap() > 0, "{sql} changed nothing");
            }
            Engine::Postgres => drop(self.sql(sql.to_owned())),
        }
    }

    /// Everything that is kept, as it is kept.
    fn bytes(&self) -> Vec<Vec<u8>> {
        match self.engine {
            Engine::Sqlite => {
                // The write-ahead log goes when the writer, which ends by itself, has closed.
                let files = std::fs::read_dir(self.folder()).unwrap();
                files.filter_map(|file| std::fs::read(file.unwrap().path()).ok()).collect()
            }
            Engine::Postgres => {
                let tables = ["applications", "events", "idempotency", "leaves", "deliveries"];
                let dump = |table: &&str| {
                    let sql =
                        format!("SELECT encode(convert_to(t::text, 'UTF8'), 'hex') FROM {table} t");
                    let rows = self.sql(sql).into_iter().map(|row| hex::decode(row).unwrap());
                    rows.collect::<Vec<_>>()
                };
                tables.iter().flat_map(dump).collect()
            }
        }
    }
}

const COUNTED: &str = "SELECT party || ' ' || waiting || ' ' || parked FROM outbox \
     WHERE waiting <> 0 OR parked <> 0 ORDER BY party";
const WAITING: &str = "SELECT party || ' ' || count(CASE WHEN state <> 3 THEN 1 END) || ' ' || \
     count(CASE WHEN state = 3 THEN 1 END) FROM deliveries WHERE state <> 2 AND state <> 5 \
     GROUP BY party ORDER BY party";

/// Where the tests may make schemas.
fn test_database() -> String {
    std::env::var("TONGBAN_TEST_POSTGRES")
        .expect("TONGBAN_TEST_POSTGRES=$(tests/postgres start) names a database for tests")
}

impl Drop for Place {
    fn drop(&mut self) {
        match self.engine {
            Engine::Sqlite => _ = std::fs::remove_dir_all(self.folder()),
            Engine::Postgres => _ = self.sql(format!("DROP SCHEMA {} CASCADE", self.name)),
        }
    }
}

/// Each promise is held by every store. PostgreSQL is asked when there is one.
macro_rules! promises {
    ($($promise:ident,)*) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise(crate::store::contract::Engine::Sqlite).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test]
                #[ignore = "needs TONGBAN_TEST_POSTGRES; see tests/postgres"]
                async fn $promise() {
                    super::$promise(crate::store::contract::Engine::Postgres).await;
                }
            )*
        }
    };
}
use promises;

fn key(n: u8, content: u8) -> IdempotencyKey {
    IdempotencyKey { key: [n; 32], content: [content; 32] }
}

pub(super) fn new(n: u8) -> NewApplication {
    let id = Uuid::now_v7();
    let mut application = pb::Application {
        business: pb::Business::DisabilitySubsidy as i32,
        acceptance_number: format!("CASE-{n}"),
        home_division: "510104".into(),
        applicant: Some(pb::Person { name: "王小·明𠅤".into(), ..Default::default() }),
        ..Default::default()
    };
    let content = application.encode_to_vec();
    application.id = id.to_string();
    application.submitting_party = "23".into();
    application.handling_party = "national".into();
    application.set_state(State::Received);
    NewApplication {
        application: Box::new(application),
        content,
        id,
        key: key(n, n),
        benefits: vec![[n; 16]],
        likeness: None,
        system: "test".into(),
        trace: TraceContext::new(),
        now: clock::now_micros(),
    }
}

/// What is sealed of an application: all but what the gateway itself says of it.
fn content_of(application: &pb::Application) -> Vec<u8> {
    let content = pb::Application {
        id: String::new(),
        submitting_party: String::new(),
        handling_party: String::new(),
        state: 0,
        ..application.clone()
    };
    content.encode_to_vec()
}

fn change(id: Uuid, n: u8, r#type: EventType, decision: Option<Outcome>) -> Change {
    let decision =
        decision.map(|outcome| pb::Decision { outcome: outcome as i32, ..Default::default() });
    Change {
        id,
        event: pb::ApplicationEvent { r#type: r#type as i32, decision, ..Default::default() },
        party: "national".into(),
        system: "test".into(),
        expected_version: 0,
        key: key(n, n),
        now: clock::now_micros(),
    }
}

async fn accepted(store: &dyn Store, n: u8) -> Uuid {
    match store.accept(new(n)).await.unwrap() {
        Accepted::New(application) => application.id.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn lease_one(store: &dyn Store, party: &str) -> Option<Lease> {
    store.lease(party, 1, clock::now_micros() + HOUR).await.unwrap().pop()
}

async fn delivered(store: &dyn Store, party: &str) -> DeliveryKind {
    let lease = lease_one(store, party).await.unwrap();
    let kind = lease.kind();
    store.settle(lease, Settlement::Delivered).await.unwrap();
    kind
}

async fn the_same_key_from_many_callers_at_once_makes_one_application(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let calls = (0..50).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.accept(new(1)).await.unwrap() })
    });
    let (mut made, mut replayed) = (Vec::new(), Vec::new());
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Accepted::New(application) => made.push(application),
            Accepted::Replayed(application) => replayed.push(application),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((made.len(), replayed.len()), (1, 49));
    assert!(replayed.iter().all(|first| *first == made[0]));
    assert_eq!(store.totals().await.unwrap().leaves, 1);
}

async fn the_same_change_from_many_callers_at_once_is_made_once(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    for n in 1..=8 {
        let id = accepted(&*store, n).await;
        let calls = (0..8).map(|_| {
            let store = Arc::clone(&store);
            let step = change(id, n + 100, EventType::ApplicationAccepted, None);
            tokio::spawn(async move { store.apply(step).await.unwrap() })
        });
        let (mut done, mut replayed) = (Vec::new(), Vec::new());
        for call in calls.collect::<Vec<_>>() {
            match call.await.unwrap() {
                Applied::Done(application) => done.push(application),
                Applied::Replayed(application) => replayed.push(application),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((done.len(), replayed.len()), (1, 7));
        assert!(replayed.iter().all(|first| *first == done[0]));
        assert_eq!(store.events(id).await.unwrap().len(), 2);
    }
}

async fn the_same_key_with_other_content_changes_nothing(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    accepted(&*store, 1).await;
    let other = NewApplication { key: key(1, 2), benefits: vec![], ..new(1) };
    assert!(matches!(store.accept(other).await.unwrap(), Accepted::KeyReused));
    assert!(matches!(store.recall(&key(1, 2)).await.unwrap(), Some(Recalled::KeyReused)));
    assert_eq!(store.totals().await.unwrap().leaves, 1);
}

async fn a_second_open_application_for_a_benefit_is_a_duplicate_until_the_first_is_over(
    engine: Engine,
) {
    let place = Place::new(engine);
    let store = place.open().await;
    let first = accepted(&*store, 1).await;
    let again = || NewApplication { benefits: vec![[9; 16], [1; 16]], ..new(2) };
    match store.accept(again()).await.unwrap() {
        Accepted::Duplicate { first: found, .. } => assert_eq!(found, first),
        other => panic!("{other:?}"),
    }
    let mut withdrawal = change(first, 3, EventType::ApplicationWithdrawn, None);
    withdrawal.party = "23".into();
    assert!(matches!(store.apply(withdrawal).await.unwrap(), Applied::Done(_)));
    assert!(matches!(store.accept(again()).await.unwrap(), Accepted::New(_)));
}

async fn the_first_answer_is_replayed_after_changes_and_after_a_restart(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let id = accepted(&*store, 1).await;
    delivered(&*store, "national").await;
    let step = change(id, 2, EventType::ApplicationAccepted, None);
    assert!(matches!(store.apply(step).await.unwrap(), Applied::Done(_)));
    drop(store);
    let store = place.open().await;
    let Accepted::Replayed(first) = store.accept(new(1)).await.unwrap() else { panic!() };
    assert_eq!((first.state(), first.version, first.id), (State::Received, 1, id.to_string()));
    let step = change(id, 2, EventType::ApplicationAccepted, None);
    let Applied::Replayed(answer) = store.apply(step).await.unwrap() else { panic!() };
    assert_eq!((answer.state(), answer.version), (State::Accepted, 3));
    let duplicate = NewApplication { key: key(7, 7), ..new(1) };
    assert!(matches!(store.accept(duplicate).await.unwrap(), Accepted::Duplicate { .. }));
}

async fn an_illegal_step_or_a_stale_version_changes_nothing(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let id = accepted(&*store, 1).await;
    let decide = change(id, 2, EventType::DecisionMade, Some(Outcome::Granted));
    let Applied::Refused(refusal) = store.apply(decide).await.unwrap() else { panic!() };
    assert_eq!(refusal, Refusal::Illegal(State::Received));
    let stale =
        Change { expected_version: 9, ..change(id, 3, EventType::ApplicationAccepted, None) };
    let Applied::Refused(refusal) = store.apply(stale).await.unwrap() else { panic!() };
    assert_eq!(refusal, Refusal::VersionConflict(1));
    assert_eq!(store.events(id).await.unwrap().len(), 1);
    assert_eq!(store.totals().await.unwrap().leaves, 1);
    assert!(store.recall(&key(2, 2)).await.unwrap().is_none());
}

async fn an_application_goes_its_whole_way(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let id = accepted(&*store, 1).await;
    assert_eq!(delivered(&*store, "national").await, DeliveryKind::Application);
    let steps =
        [(EventType::ApplicationAccepted, None), (EventType::DecisionMade, Some(Outcome::Granted))];
    for (n, (event, decision)) in steps.into_iter().enumerate() {
        let n = u8::try_from(n).unwrap() + 10;
        let done = store.apply(change(id, n, event, decision)).await.unwrap();
        assert!(matches!(done, Applied::Done(_)), "{done:?}");
        assert_eq!(delivered(&*store, "23").await, DeliveryKind::Event);
    }
    let application = store.application(id).await.unwrap().unwrap();
    assert_eq!(application.state(), State::Notified);
    assert_eq!(application.decision.unwrap().outcome(), Outcome::Granted);
    let events = store.events(id).await.unwrap();
    let states: Vec<State> = events.iter().map(pb::ApplicationEvent::state).collect();
    let way =
        [State::Received, State::Forwarded, State::Accepted, State::Approved, State::Notified];
    assert_eq!(states, way);
    assert!(events.iter().zip(1..).all(|(event, n)| event.sequence == n));
    // Five events and three deliveries: a leaf each.
    assert_eq!(store.totals().await.unwrap().leaves, 8);
}

async fn events_reach_a_party_in_order_and_only_one_lease_is_out(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let id = accepted(&*store, 1).await;
    let accept = change(id, 2, EventType::ApplicationAccepted, None);
    store.apply(accept).await.unwrap();
    let decide = change(id, 3, EventType::DecisionMade, Some(Outcome::Denied));
    store.apply(decide).await.unwrap();
    let leases = store.lease("23", 10, clock::now_micros() + HOUR).await.unwrap();
    assert_eq!(leases.len(), 1, "the decision waits for the acceptance");
    assert_eq!(leases[0].event().unwrap().r#type(), EventType::ApplicationAccepted);
    assert!(lease_one(&*store, "23").await.is_none(), "leased already");
    for lease in leases {
        store.settle(lease, Settlement::Delivered).await.unwrap();
    }
    let next = lease_one(&*store, "23").await.unwrap();
    assert_eq!(next.event().unwrap().r#type(), EventType::DecisionMade);
}

async fn what_a_clock_that_was_ahead_put_off_does_not_wait_for_it(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    accepted(&*store, 1).await;
    let put_off = async |hours: i64| {
        let held = lease_one(&*store, "national").await.expect("something to be due");
        let (due, note) = (clock::now_micros() + hours * HOUR, String::new());
        let again = Settlement::Again { due, unknown: false, counted: true, note };
        store.settle(held, again).await.unwrap();
    };
    put_off(3).await; // Nobody waits so long.
    put_off(1).await;
    assert!(lease_one(&*store, "national").await.is_none(), "it is due in an hour");
}

async fn an_expired_lease_is_offered_again_as_unknown_and_the_old_one_settles_nothing(
    engine: Engine,
) {
    let place = Place::new(engine);
    let store = place.open().await;
    accepted(&*store, 1).await;
    let stale = store.lease("national", 1, clock::now_micros() - 1).await.unwrap().pop().unwrap();
    assert!(!stale.unknown());
    let fresh = lease_one(&*store, "national").await.unwrap();
    assert!(fresh.unknown(), "the first attempt may have arrived");
    assert_eq!(fresh.attempt(), 2);
    assert_eq!(fresh.message_number(), stale.message_number());
    let refused = Settlement::Refused { note: "E1".into() };
    store.settle(stale, refused).await.unwrap();
    assert!(store.parked().await.unwrap().is_empty());
    store.settle(fresh, Settlement::Delivered).await.unwrap();
    assert_eq!(store.totals().await.unwrap().outbox().due, 0);
}

async fn a_lease_whose_holder_died_is_offered_again_as_unknown(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    accepted(&*store, 1).await;
    let until = clock::now_micros() + 300_000;
    let held = store.lease("national", 1, until).await.unwrap().pop().unwrap();
    drop(store);
    let store = place.open().await;
    // Who opens the embedded store knows that the holder is gone; elsewhere its lease runs out.
    let again = loop {
        match lease_one(&*store, "national").await {
            Some(lease) => break lease,
            None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
        assert!(clock::now_micros() < until + HOUR / 60, "it is never offered again");
    };
    assert!(again.unknown());
    assert_eq!(again.message_number(), held.message_number());
}

async fn a_parked_delivery_is_seen_fails_the_application_and_can_be_replayed(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let id = accepted(&*store, 1).await;
    let lease = lease_one(&*store, "national").await.unwrap();
    let parked = Settlement::Parked { unknown: true, note: "no answer in time".into() };
    store.settle(lease, parked).await.unwrap();
    let listed = store.parked().await.unwrap();
    assert_eq!((listed.len(), listed[0].application), (1, id));
    let state = store.header(id).await.unwrap().unwrap().state;
    assert_eq!(state, State::Undeliverable);
    assert_eq!(delivered(&*store, "23").await, DeliveryKind::Event);
    assert_eq!(store.revive(vec![listed[0].delivery, 999]).await.unwrap(), 1);
    let lease = lease_one(&*store, "national").await.unwrap();
    assert!(lease.unknown(), "what may have arrived is asked for first");
    store.settle(lease, Settlement::Delivered).await.unwrap();
    assert_eq!(store.header(id).await.unwrap().unwrap().state, State::Forwarded);
}

async fn a_retry_is_not_due_before_its_time(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    accepted(&*store, 1).await;
    let lease = lease_one(&*store, "national").await.unwrap();
    let due = clock::now_micros() + 1_500_000;
    let again = Settlement::Again { due, unknown: true, counted: true, note: "HTTP 500".into() };
    store.settle(lease, again).await.unwrap();
    let lease = loop {
        let lease = lease_one(&*store, "national").await;
        let now = clock::now_micros();
        match lease {
            Some(lease) => break (now >= due).then_some(lease).expect("it came before its time"),
            None => assert!(now < due + HOUR / 60, "it never comes"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!((lease.attempt(), lease.unknown()), (2, true));
}

async fn a_reader_that_resumes_misses_no_event_and_sees_only_its_own(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    for n in 1..=20 {
        accepted(&*store, n).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), 0);
    loop {
        let (events, next) = store.events_after("23", cursor, 7).await.unwrap();
        if next == cursor {
            break;
        }
        cursor = next;
        seen.extend(events.into_iter().map(|event| event.acceptance_number));
    }
    let all: Vec<String> = (1..=20).map(|n| format!("CASE-{n}")).collect();
    assert_eq!(seen, all);
    assert_eq!(*store.changes().borrow(), 20);
    assert!(store.events_after("44", 0, 100).await.unwrap().0.is_empty());
}

async fn leasing_wakes_nobody_and_settling_does(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    accepted(&*store, 1).await;
    let mut changes = store.changes();
    changes.borrow_and_update();
    let lease = lease_one(&*store, "national").await.unwrap();
    assert!(lease_one(&*store, "national").await.is_none());
    assert!(!changes.has_changed().unwrap());
    let due = clock::now_micros();
    let again = Settlement::Again { due, unknown: false, counted: true, note: String::new() };
    store.settle(lease, again).await.unwrap();
    assert!(changes.has_changed().unwrap());
}

async fn forgotten_keys_are_free_again(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    accepted(&*store, 1).await;
    assert_eq!(store.forget(clock::now_micros() - HOUR).await.unwrap(), 0);
    assert_eq!(store.forget(clock::now_micros() + 1).await.unwrap(), 1);
    assert!(store.recall(&key(1, 1)).await.unwrap().is_none());
}

async fn nothing_personal_stands_in_the_clear_in_what_is_kept(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    accepted(&*store, 1).await;
    drop(store);
    let name = "王小·明𠅤";
    let digits = hex::encode(name);
    let kept = place.bytes();
    for bytes in &kept {
        for needle in [name.as_bytes(), digits.as_bytes()] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        }
    }
    assert!(kept.iter().map(Vec::len).sum::<usize>() > 500);
}

async fn leaves_are_numbered_without_gaps_and_hash_their_entries(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    for n in 1..=3 {
        accepted(&*store, n).await;
    }
    drop(store);
    let rows = place.leaves();
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(rows.iter().all(|(_, hash, entry)| *hash == leaf_hash(entry)));
}

promises![
    the_same_key_from_many_callers_at_once_makes_one_application,
    the_same_change_from_many_callers_at_once_is_made_once,
    the_same_key_with_other_content_changes_nothing,
    a_second_open_application_for_a_benefit_is_a_duplicate_until_the_first_is_over,
    the_first_answer_is_replayed_after_changes_and_after_a_restart,
    an_illegal_step_or_a_stale_version_changes_nothing,
    an_application_goes_its_whole_way,
    events_reach_a_party_in_order_and_only_one_lease_is_out,
    what_a_clock_that_was_ahead_put_off_does_not_wait_for_it,
    an_expired_lease_is_offered_again_as_unknown_and_the_old_one_settles_nothing,
    a_lease_whose_holder_died_is_offered_again_as_unknown,
    a_parked_delivery_is_seen_fails_the_application_and_can_be_replayed,
    a_retry_is_not_due_before_its_time,
    a_reader_that_resumes_misses_no_event_and_sees_only_its_own,
    leasing_wakes_nobody_and_settling_does,
    forgotten_keys_are_free_again,
    nothing_personal_stands_in_the_clear_in_what_is_kept,
    leaves_are_numbered_without_gaps_and_hash_their_entries,
];
