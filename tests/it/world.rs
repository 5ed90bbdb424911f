//! A small world around the gateways: a province (44) that submits and is told, a platform (23)
//! that handles, both with systems that never give up, and someone who watches every event. What
//! callers were answered is written down as it was answered. Depends on harness, crew, receiver
//! and papers.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    crew::Crew,
    database::{Database, Engine, Postgres},
    harness::{House, Plan, said, tongban, until},
    line::Line,
    papers,
    receiver::{Dialect, Receiver},
};

/// How long a course of one application may take, with all that is done to it.
pub(crate) const COURSE: Duration = Duration::from_secs(180);
/// How long a caller waits for an answer before it asks again with the same key.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a caller was answered to one call.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) party: &'static str,
    /// The event that the call was to cause.
    pub(crate) event: &'static str,
    pub(crate) key: String,
    /// The acceptance number submitted, or the id of the application to change.
    pub(crate) case: String,
    /// None when there was no answer.
    pub(crate) status: Option<u16>,
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) replayed: bool,
}

/// An event as the watcher was told it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Watched {
    pub(crate) number: u64,
    pub(crate) application: String,
    pub(crate) sequence: i64,
}

/// How the handling side answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Callbacks {
    /// Once the application is stored, in order.
    Plain,
    /// Each of them twice at once, and once more under another key.
    Doubled,
    /// The decision before the acceptance.
    Reordered,
}

pub(crate) struct World {
    pub(crate) house: House,
    pub(crate) crew: Arc<Crew>,
    pub(crate) platform: Receiver,
    pub(crate) away: Receiver,
    /// From the gateways to the platform and to the other province.
    pub(crate) lines: [Line; 2],
    pub(crate) said: Arc<Mutex<Vec<Said>>>,
    pub(crate) watched: Arc<Mutex<Vec<Watched>>>,
    /// After what uses it: it goes with them.
    pub(crate) database: Database,
    desks: HashMap<&'static str, Desk>,
    watcher: JoinHandle<()>,
    next: AtomicU32,
}

impl Drop for World {
    fn drop(&mut self) {
        self.watcher.abort();
        self.crew.end();
        if let (Database::Sqlite(file), false) = (&self.database, std::thread::panicking()) {
            std::fs::remove_dir_all(file.parent().unwrap()).unwrap_or_default();
        }
    }
}

/// Short waits, so that what is slower than its deadline costs a test two seconds.
fn short() -> Plan {
    Plan::new()
        .set("limits", "call_seconds", 2)
        .set("dispatch", "attempt_ms", 700)
        .set("dispatch", "lease_ms", 1600)
        .set("dispatch", "backoff_ms", 40)
        .set("dispatch", "backoff_cap_ms", 800)
        .set("dispatch", "breaker_open_ms", 100)
        .set("dispatch", "attempts", 500)
}

impl World {
    /// A world with so many gateways on a store of its own.
    pub(crate) async fn start(engine: Engine, processes: usize) -> Self {
        Self::on(Self::store(engine).await, processes).await
    }

    pub(crate) async fn store(engine: Engine) -> Database {
        match engine {
            Engine::Sqlite => {
                let name = format!("tongban-store-{}", uuid::Uuid::new_v4());
                Database::Sqlite(std::env::temp_dir().join(name).join("tongban.db"))
            }
            Engine::Postgres => Database::Postgres(Postgres::shared().await),
        }
    }

    /// A world with so many gateways on this store.
    pub(crate) async fn on(database: Database, processes: usize) -> Self {
        Self::planned(short(), database, processes).await
    }

    /// A world by this plan.
    pub(crate) async fn planned(plan: Plan, database: Database, processes: usize) -> Self {
        let (platform, away) = (Receiver::bind().await, Receiver::bind().await);
        let lines = [Line::to(platform.address).await, Line::to(away.address).await];
        let [first, second] = lines.each_ref().map(|line| format!("https://{}", line.address));
        let plan = database.planned(plan).endpoint("23", &first).endpoint("44", &second);
        let house = House::build(plan);
        let platform = platform.open(Dialect::P23, &house.certificates("23"));
        let away = away.open(Dialect::P44, &house.certificates("44"));
        let crew = Arc::new(Crew::start(&house, processes).await);
        let said = Arc::new(Mutex::new(Vec::new()));
        let desk = |party| (party, Desk::new(&house, &crew, party, &said));
        let desks: HashMap<_, _> = ["23", "44"].map(desk).into();
        let watched = Arc::new(Mutex::new(Vec::new()));
        let watcher = tokio::spawn(watch(desks["44"].clone(), Arc::clone(&watched)));
        let next = AtomicU32::new(0);
        Self { house, crew, platform, away, lines, said, watched, database, desks, watcher, next }
    }

    pub(crate) fn desk(&self, party: &str) -> &Desk {
        &self.desks[party]
    }

    /// So many applications, all at once and each to its end.
    pub(crate) async fn courses(&self, count: u32, callbacks: Callbacks) {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let courses = (first..first + count).map(|n| self.course(n, callbacks));
        futures::future::join_all(courses).await;
    }

    /// One application of person `n`: taken up and decided, some with papers asked for, some
    /// withdrawn.
    async fn course(&self, n: u32, callbacks: Callbacks) {
        let (away, platform) = (self.desk("44"), self.desk("23"));
        let application = papers::subsidy(n, "230103");
        let id = away.submit(n, &application).await;
        until("the platform to have it", COURSE, || async {
            self.platform.holds(&id).then_some(())
        })
        .await;
        if callbacks == Callbacks::Reordered {
            platform.tell(&id, DECIDE, "early", 409).await;
        }
        let twice = callbacks == Callbacks::Doubled;
        platform.twice_if(twice, &id, ACCEPT).await;
        if n % 4 == 2 {
            platform.tell(&id, ASK, "", 200).await;
            away.tell(&id, SUPPLEMENT, "", 200).await;
        }
        let end = if n % 4 == 3 {
            away.tell(&id, WITHDRAW, "", 200).await;
            "WITHDRAWN"
        } else {
            platform.twice_if(twice, &id, DECIDE).await;
            "NOTIFIED"
        };
        until(&format!("{id} to be {end}"), COURSE, || async {
            let read = away.get(&format!("/v1/applications/{id}")).await?;
            (read["state"] == end).then_some(())
        })
        .await;
        // The key still gives the first answer.
        assert_eq!(away.submit(n, &application).await, id);
    }
}

impl World {
    /// One application of person `n`, taken up, and each second one decided. Nobody waits for the
    /// end of it.
    pub(crate) async fn short_course(&self, n: u32) {
        let id = self.desk("44").submit(n, &papers::subsidy(n, "230103")).await;
        until("the platform to have it", COURSE, || async {
            self.platform.holds(&id).then_some(())
        })
        .await;
        self.desk("23").tell(&id, ACCEPT, "", 200).await;
        if n.is_multiple_of(2) {
            self.desk("23").tell(&id, DECIDE, "", 200).await;
        }
    }
}

/// A change: the verb of its path, the event that it causes.
#[derive(Clone, Copy)]
pub(crate) struct Change(&'static str, &'static str);

pub(crate) const ACCEPT: Change = Change("accept", "APPLICATION_ACCEPTED");
const ASK: Change = Change("requestSupplement", "SUPPLEMENT_REQUESTED");
const SUPPLEMENT: Change = Change("supplement", "SUPPLEMENT_SUBMITTED");
const DECIDE: Change = Change("decide", "DECISION_MADE");
const WITHDRAW: Change = Change("withdraw", "APPLICATION_WITHDRAWN");

impl Change {
    fn body(self) -> Value {
        match self.0 {
            "requestSupplement" => json!({"missingMaterials": ["403"], "reason": "缺"}),
            "supplement" => json!({"materials": [papers::subsidy(1, "230103")["materials"][0]]}),
            "decide" => json!({"decision": {
                "outcome": "DENIED", "decidedOn": "2026-01-20", "office": "南岗区民政局",
                "reasonCode": "11", "reason": "不在范围"
            }}),
            _ => json!({}),
        }
    }
}

/// One party's system: asks whichever gateway serves, again and again with the same key, until it
/// is answered.
#[derive(Clone)]
pub(crate) struct Desk {
    party: &'static str,
    client: Client,
    certs: PathBuf,
    /// Made when; they hold for an hour.
    token: Arc<Mutex<(Instant, String)>>,
    crew: Arc<Crew>,
    said: Arc<Mutex<Vec<Said>>>,
    turn: Arc<AtomicUsize>,
}

impl Desk {
    fn new(
        house: &House,
        crew: &Arc<Crew>,
        party: &'static str,
        said: &Arc<Mutex<Vec<Said>>>,
    ) -> Self {
        let certs = house.certs();
        let client = Client::builder().tls_backend_preconfigured(house.tls(party));
        Self {
            party,
            client: client.connect_timeout(PATIENCE).build().unwrap(),
            token: Arc::new(Mutex::new((Instant::now(), token(party, &certs)))),
            certs,
            crew: Arc::clone(crew),
            said: Arc::clone(said),
            turn: Arc::default(),
        }
    }

    /// A request to one of the gateways, each in its turn; none when none serves.
    fn request(&self, method: Method, path: &str) -> Option<RequestBuilder> {
        let edges = self.crew.edges();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let edge = edges.get(turn % edges.len().max(1))?;
        let request = self.client.request(method, format!("https://{edge}{path}"));
        Some(request.bearer_auth(self.token()))
    }

    fn token(&self) -> String {
        let mut made = self.token.lock().unwrap();
        if made.0.elapsed() > Duration::from_secs(1800) {
            *made = (Instant::now(), token(self.party, &self.certs));
        }
        made.1.clone()
    }

    /// What is read; none when that did not work.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let request = self.request(Method::GET, path)?.timeout(PATIENCE);
        let answer = request.send().await.ok()?;
        let good = answer.status().is_success();
        let read: Value = answer.json().await.ok()?;
        // Not all the time: a debug build has more to do than to be asked.
        tokio::time::sleep(Duration::from_millis(30)).await;
        good.then_some(read)
    }

    /// Submits the application of person `n`; returns its id.
    pub(crate) async fn submit(&self, n: u32, application: &Value) -> String {
        let said = self.blank("APPLICATION_RECEIVED", format!("submit-{n}"));
        let case = application["acceptanceNumber"].as_str().unwrap().to_owned();
        let said = self.ask("/v1/applications", Said { case, ..said }, application, 201).await;
        said.id
    }

    /// Causes a change under a key of its own.
    pub(crate) async fn tell(&self, id: &str, change: Change, tag: &str, expected: u16) {
        let path = format!("/v1/applications/{id}:{}", change.0);
        let said = self.blank(change.1, format!("{}-{id}{tag}", change.0));
        let said = Said { case: id.to_owned(), ..said };
        self.ask(&path, said, &change.body(), expected).await;
    }

    /// Causes a change; also a second time at once, and once more under another key, which comes
    /// too late.
    async fn twice_if(&self, twice: bool, id: &str, change: Change) {
        if twice {
            let same = (self.tell(id, change, "", 200), self.tell(id, change, "", 200));
            futures::future::join(same.0, same.1).await;
            self.tell(id, change, "again", 409).await;
        } else {
            self.tell(id, change, "", 200).await;
        }
    }

    fn blank(&self, event: &'static str, key: String) -> Said {
        let (case, id, reason) = (String::new(), String::new(), String::new());
        Said { party: self.party, event, key, case, status: None, id, reason, replayed: false }
    }

    async fn ask(&self, path: &str, call: Said, body: &Value, expected: u16) -> Said {
        let began = Instant::now();
        loop {
            let said = self.once(path, call.clone(), body).await;
            self.said.lock().unwrap().push(said.clone());
            if let Some(status) = said.status.filter(|status| *status < 500 && *status != 429) {
                assert_eq!(status, expected, "{said:?}");
                return said;
            }
            assert!(began.elapsed() < COURSE, "no answer in {COURSE:?}: {said:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn once(&self, path: &str, call: Said, body: &Value) -> Said {
        let Some(request) = self.request(Method::POST, path) else { return call };
        let request = request.header("Idempotency-Key", &call.key).json(body).timeout(PATIENCE);
        let Ok(answer) = request.send().await else { return call };
        let status = Some(answer.status().as_u16());
        let replayed = answer.headers().contains_key("idempotency-replayed");
        let Ok(read) = answer.json::<Value>().await else { return call };
        let text = |name: &str| read[name].as_str().unwrap_or_default().to_owned();
        Said { status, replayed, id: text("id"), reason: text("reason"), ..call }
    }
}

fn token(party: &str, certs: &Path) -> String {
    let scopes = "applications:submit applications:read applications:decide";
    let certs = certs.to_str().unwrap();
    let made = tongban(&["token", "--party", party, "--scope", scopes, "--certs", certs]);
    assert!(made.status.success(), "{}", said(&made));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// Follows the party's events from the first on, over every break, as server-sent events.
async fn watch(desk: Desk, watched: Arc<Mutex<Vec<Watched>>>) {
    loop {
        let last = watched.lock().unwrap().last().map_or(0, |event: &Watched| event.number);
        if let Some(request) = desk.request(Method::GET, "/v1/applications:watch") {
            let request = request.header("Accept", "text/event-stream");
            let request = request.header("Last-Event-ID", last.to_string());
            follow(request, &watched).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn follow(request: RequestBuilder, watched: &Mutex<Vec<Watched>>) {
    let Ok(mut response) = request.send().await else { return };
    let mut buffer = Vec::new();
    // A gateway that was killed by another's hand closes its connection; one that hangs does not.
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(PATIENCE * 6, response.chunk()).await {
        buffer.extend_from_slice(&chunk);
        while let Some(end) = buffer.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = buffer.drain(..end + 2).collect();
            let event = String::from_utf8(event).unwrap();
            let Some(data) = event.lines().find_map(|line| line.strip_prefix("data:")) else {
                continue;
            };
            let data: Value = serde_json::from_str(data.trim()).unwrap();
            let Some(id) = data["id"].as_str() else { continue };
            watched.lock().unwrap().push(Watched {
                number: id.parse().unwrap(),
                application: data["applicationId"].as_str().unwrap().to_owned(),
                sequence: data["sequence"].as_str().unwrap().parse().unwrap(),
            });
        }
    }
}
