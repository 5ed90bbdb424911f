//! A house of its own for each test: certificates, configuration, store and the real gateway
//! binary as a child process that can be killed and started again; callers over mutual TLS with
//! tokens; and the one helper that waits. Depends on no other file of the tests.

use std::{
    fs,
    future::{Future, ready},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use hyper_util::rt::TokioIo;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use tokio::net::TcpStream;
use tongban::{config::Tls, model::pb::application_service_client::ApplicationServiceClient, tls};
use tonic::{
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint, Uri},
};

/// How long anything may take that should happen soon; generous, since machines are shared.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) const TONGBAN: &str = env!("CARGO_BIN_EXE_tongban");

/// What differs from the committed configuration.
#[derive(Default)]
pub(crate) struct Plan {
    /// Party code and the base URL its messages go to; others go to a port nobody listens on.
    endpoints: Vec<(String, String)>,
    /// `[section] key = value` of `tongban.toml`, value as TOML.
    settings: Vec<(String, String, String)>,
    /// Where the store is, when not where the run has it.
    schema: Option<Schema>,
}

impl Plan {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn endpoint(mut self, party: &str, url: &str) -> Self {
        self.endpoints.push((party.to_owned(), url.to_owned()));
        self
    }

    pub(crate) fn set(mut self, section: &str, key: &str, value: impl ToString) -> Self {
        self.settings.push((section.to_owned(), key.to_owned(), value.to_string()));
        self
    }

    /// Keeps the applications there.
    pub(crate) fn schema(mut self, schema: Schema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Short waits between attempts, so that tests of retries take no minutes.
    pub(crate) fn hasty(self) -> Self {
        self.set("dispatch", "attempt_ms", 3000)
            .set("dispatch", "lease_ms", 6000)
            .set("dispatch", "backoff_ms", 40)
            .set("dispatch", "backoff_cap_ms", 3000)
            .set("dispatch", "breaker_open_ms", 100)
    }
}

/// One gateway with everything around it, in a folder of its own that goes when it ends well.
pub(crate) struct House {
    root: PathBuf,
    /// Its log; each replica in a house writes its own.
    log: PathBuf,
    /// The schema its store is in, when it is in PostgreSQL; goes with the house.
    schema: Option<Schema>,
    child: Option<Child>,
    edge: String,
    metrics: String,
}

/// Whether the houses of this run keep their applications in PostgreSQL.
pub(crate) fn on_postgres() -> bool {
    std::env::var("TONGBAN_TEST_DATABASE").is_ok_and(|kind| kind == "postgres")
}

impl House {
    /// Makes the house and starts its gateway.
    pub(crate) async fn start(plan: Plan) -> Self {
        let mut house = Self::build(plan);
        house.run().await;
        house
    }

    /// Makes the house without a gateway in it.
    pub(crate) fn build(plan: Plan) -> Self {
        tls::install_provider();
        let root = std::env::temp_dir().join(format!("tongban-it-{}", uuid::Uuid::new_v4()));
        copy(&repository().join("config"), &root.join("config"));
        let schema = plan.schema.clone().or_else(|| on_postgres().then(Schema::new));
        let log = root.join("gateway.log");
        let (edge, metrics) = Default::default();
        let house = Self { root, log, schema, child: None, edge, metrics };
        let certs = house.root.join("certs");
        let made = tongban(&["certs", "new", certs.to_str().unwrap()]);
        assert!(made.status.success(), "{}", said(&made));
        house.configure(plan);
        house
    }

    /// Another gateway in the same house: same configuration and store, ports and log of its own.
    pub(crate) fn replica(&self, name: &str) -> Self {
        let (edge, metrics) = Default::default();
        let log = self.root.join(format!("{name}.log"));
        Self { root: self.root.clone(), log, schema: None, child: None, edge, metrics }
    }

    fn configure(&self, plan: Plan) {
        let file = self.root.join("config/tongban.toml");
        let mut document: toml_edit::DocumentMut =
            fs::read_to_string(&file).unwrap().parse().unwrap();
        let mut settings = vec![
            // The kernel chooses; the gateway logs what it got.
            ("listen".to_owned(), "edge".to_owned(), "\"127.0.0.1:0\"".to_owned()),
            ("listen".to_owned(), "metrics".to_owned(), "\"127.0.0.1:0\"".to_owned()),
            ("telemetry".to_owned(), "log".to_owned(), "\"info,tongban=debug\"".to_owned()),
        ];
        if let Some(schema) = &self.schema {
            settings.push(("store".to_owned(), "url".to_owned(), format!("\"{}\"", schema.url)));
        }
        settings.extend(plan.settings);
        for (section, key, value) in settings {
            assert!(document[&section].get(&key).is_some(), "no setting {section}.{key}");
            document[&section][&key] = toml_edit::Item::Value(value.parse().unwrap());
        }
        fs::write(&file, document.to_string()).unwrap();
        for entry in fs::read_dir(self.root.join("config/parties")).unwrap() {
            let file = entry.unwrap().path().join("party.toml");
            let mut party: toml_edit::DocumentMut =
                fs::read_to_string(&file).unwrap().parse().unwrap();
            let code = party["code"].as_str().unwrap();
            let endpoint = plan.endpoints.iter().find(|(party, _)| party == code);
            // Port 9, discard: nobody listens there.
            let url = endpoint.map_or("https://127.0.0.1:9", |(_, url)| url);
            party["delivery"]["endpoint"] = toml_edit::value(url);
            fs::write(&file, party.to_string()).unwrap();
        }
    }

    /// Starts the gateway and waits until it is ready.
    pub(crate) async fn run(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let before = fs::metadata(self.log_file()).map_or(0, |file| file.len());
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let child = Command::new(TONGBAN)
            .args(["serve", "--config", self.config().to_str().unwrap()])
            .env("TONGBAN_FAILPOINTS", self.faults())
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let (edge, metrics) = until("the gateway to listen", SOON, || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the gateway ended: {}", self.log());
            ready(self.listening(before))
        })
        .await;
        (self.edge, self.metrics) = (edge, metrics);
        let readyz = format!("http://{}/readyz", self.metrics);
        let client = reqwest::Client::new();
        until("the gateway to be ready", SOON, || async {
            let answer = client.get(&readyz).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    fn listening(&self, since: u64) -> Option<(String, String)> {
        let mut file = fs::File::open(self.log_file()).ok()?;
        file.seek(SeekFrom::Start(since)).ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        text.lines().rev().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let text = |name: &str| line[name].as_str().map(str::to_owned);
            (line["message"] == "serving").then(|| text("edge").zip(text("metrics")))?
        })
    }

    /// SIGKILL: no chance to tidy up.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Process id of the gateway.
    pub(crate) fn pid(&self) -> String {
        self.child.as_ref().unwrap().id().to_string()
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn stop(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        until("the gateway to end", SOON, || ready(child.try_wait().unwrap())).await
    }

    /// Everything the gateway ever wrote to standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> &Path {
        &self.log
    }

    /// The store's settings, for who looks at it beside the gateway.
    pub(crate) fn store(&self) -> tongban::config::Store {
        let file = self.root.join("data/tongban.db").display().to_string();
        let url = self.schema.as_ref().map(|schema| schema.url.clone());
        tongban::config::Store {
            url: url.unwrap_or_else(|| format!("sqlite://{file}")),
            key_file: self.certs().join("store.key"),
            writers: 1,
        }
    }

    /// Runs a statement in its store; the first column of each row, which must be text.
    pub(crate) fn sql(&self, statement: &str) -> Vec<String> {
        if let Some(schema) = &self.schema {
            return schema.sql(statement);
        }
        let store = rusqlite::Connection::open(self.root.join("data/tongban.db")).unwrap();
        let mut query = store.prepare(statement).unwrap();
        let rows = query.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Keeps its applications there from the next start on.
    pub(crate) fn move_store(&self, url: &str) {
        let file = self.config();
        let mut document: toml_edit::DocumentMut =
            fs::read_to_string(&file).unwrap().parse().unwrap();
        document["store"]["url"] = toml_edit::value(url);
        fs::write(&file, document.to_string()).unwrap();
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("config/tongban.toml")
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.root.join("certs")
    }

    /// `host:port` of the edge.
    pub(crate) fn edge(&self) -> &str {
        &self.edge
    }

    /// `host:port` of metrics and health.
    pub(crate) fn metrics(&self) -> &str {
        &self.metrics
    }

    /// One gauge or counter without labels.
    pub(crate) async fn gauge(&self, name: &str) -> i64 {
        let url = format!("http://{}/metrics", self.metrics);
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// One counter or gauge with its labels; 0 before anything was counted.
    pub(crate) async fn counter(&self, name: &str) -> i64 {
        let url = format!("http://{}/metrics", self.metrics);
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Runs `tongban` with the house's configuration as the last arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let config = self.config();
        let all = [arguments, &["--config", config.to_str().unwrap()]].concat();
        Command::new(TONGBAN).args(all).current_dir(&self.root).output().unwrap()
    }

    /// A second `tongban serve` that must refuse to start: what it said. With more environment.
    pub(crate) async fn refused(&self, environment: &[(&str, &str)]) -> String {
        let said = self.root.join("refused.txt");
        let mut child = Command::new(TONGBAN)
            .args(["serve", "--config", self.config().to_str().unwrap()])
            .envs(environment.iter().copied())
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + SOON;
        let ended = until("the second gateway to end", SOON * 2, || {
            let ended = child.try_wait().unwrap();
            if ended.is_none() && Instant::now() > deadline {
                child.kill().unwrap();
            }
            ready(ended)
        })
        .await;
        let said = fs::read_to_string(said).unwrap();
        assert_eq!(ended.code(), Some(1), "it was not refused: {said}");
        said
    }

    /// A caller of that party with every scope an application needs.
    pub(crate) fn caller(&self, party: &str) -> Caller {
        let scopes = "applications:submit applications:read applications:decide";
        self.caller_with(party, &self.token(party, scopes))
    }

    pub(crate) fn caller_with(&self, party: &str, token: &str) -> Caller {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls(party))
            .timeout(SOON)
            .build()
            .unwrap();
        let base = format!("https://{}", self.edge);
        Caller { base, token: token.to_owned(), client }
    }

    pub(crate) fn token(&self, party: &str, scopes: &str) -> String {
        let certs = self.certs();
        let certs = certs.to_str().unwrap();
        let made = Command::new(TONGBAN)
            .args(["token", "--party", party, "--scope", scopes, "--certs", certs])
            .env("TONGBAN_FAILPOINTS", self.faults())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", said(&made));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Sets the wall clock of the gateway, and of tokens made from now on.
    pub(crate) fn set_clock(&self, time: jiff::Timestamp) {
        let off = time.as_second() - jiff::Timestamp::now().as_second();
        // Whole or not at all, also for who is just reading it.
        let draft = self.root.join("faults.draft");
        fs::write(&draft, format!("clock {off}\n")).unwrap();
        fs::rename(draft, self.faults()).unwrap();
    }

    /// Where the gateway looks for what a test does to it; see `src/failpoint.rs`.
    fn faults(&self) -> PathBuf {
        self.root.join("faults")
    }

    /// What the party calls with.
    pub(crate) fn tls(&self, party: &str) -> rustls::ClientConfig {
        tls::client(&self.certificates(party)).unwrap()
    }

    /// Certificate, key and authority of `party`, or of `gateway`.
    pub(crate) fn certificates(&self, party: &str) -> Tls {
        let certs = self.certs();
        Tls {
            certificate: certs.join(format!("{party}.pem")),
            key: certs.join(format!("{party}.key")),
            authorities: certs.join("ca.pem"),
        }
    }

    /// A gRPC client of that party with every scope an application needs.
    pub(crate) async fn grpc(&self, party: &str) -> Grpc {
        let scopes = "applications:submit applications:read applications:decide";
        let token = self.token(party, scopes);
        let channel = self.channel(party).await;
        let bearer = Bearer(format!("Bearer {token}").parse().unwrap());
        ApplicationServiceClient::with_interceptor(channel, bearer)
            .max_decoding_message_size(64 << 20)
    }

    /// An HTTP/2 connection of that party.
    pub(crate) async fn channel(&self, party: &str) -> Channel {
        let connector = tokio_rustls::TlsConnector::from(Arc::new(self.tls(party)));
        let address = self.edge.clone();
        let connect = tower::service_fn(move |_: Uri| {
            let (connector, address) = (connector.clone(), address.clone());
            async move {
                let stream = TcpStream::connect(&address).await?;
                let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
                connector.connect(name, stream).await.map(TokioIo::new)
            }
        });
        let endpoint = Endpoint::from_shared(format!("https://{}", self.edge)).unwrap();
        endpoint.connect_with_connector(connect).await.unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.kill();
        if !self.log.ends_with("gateway.log") {
            return; // The house is another's.
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(15)..].join("\n");
            eprintln!("house kept at {}; the end of its log:\n{last}", self.root.display());
        } else {
            fs::remove_dir_all(&self.root).unwrap_or_default();
            if let Some(schema) = &self.schema {
                schema.remove();
            }
        }
    }
}

/// A schema of a test database, for one house.
#[derive(Clone)]
pub(crate) struct Schema {
    /// Leads into it.
    pub(crate) url: String,
}

impl Schema {
    /// In the database that the run was given.
    pub(crate) fn new() -> Self {
        let url = std::env::var("TONGBAN_TEST_POSTGRES");
        Self::within(&url.expect("TONGBAN_TEST_POSTGRES=$(tests/postgres start)"))
    }

    pub(crate) fn within(database: &str) -> Self {
        let name = format!("tongban_it_{}", uuid::Uuid::new_v4().simple());
        sql(database, format!("CREATE SCHEMA {name}"));
        Self { url: format!("{database}?options=-csearch_path%3D{name}") }
    }

    /// Runs SQL in it; the first column of each row as text.
    pub(crate) fn sql(&self, statement: impl Into<String>) -> Vec<String> {
        sql(&self.url, statement.into())
    }

    /// Everything in it goes.
    pub(crate) fn remove(&self) {
        let (_, name) = self.url.split_once("%3D").unwrap();
        self.sql(format!("DROP SCHEMA {name} CASCADE"));
    }
}

fn sql(url: &str, statement: String) -> Vec<String> {
    let url = url.to_owned();
    let work = async move {
        let (client, driver) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(driver);
        let said = client.simple_query(&statement).await.unwrap();
        driver.abort();
        said
    };
    // Also called where a runtime is running already.
    let said = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work)
    });
    let rows = said.join().unwrap().into_iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    rows.collect()
}

pub(crate) type Grpc = ApplicationServiceClient<InterceptedService<Channel, Bearer>>;

/// Puts the token on every call.
#[derive(Clone)]
pub(crate) struct Bearer(AsciiMetadataValue);

impl Interceptor for Bearer {
    fn call(
        &mut self,
        mut request: tonic::Request<()>,
    ) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A gRPC request with an idempotency key.
pub(crate) fn keyed<T>(key: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

/// A party's system on REST.
#[derive(Clone)]
pub(crate) struct Caller {
    base: String,
    token: String,
    client: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The id of the application it tells of.
    pub(crate) fn id(&self) -> String {
        let id = self.json()["id"].as_str().map(str::to_owned);
        id.unwrap_or_else(|| panic!("no id: {self:?}"))
    }

    /// Fails unless the status is that.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }
}

impl Caller {
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await.unwrap()
    }

    /// POST with a key; `""` for none.
    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.try_post(path, key, body).await.unwrap()
    }

    pub(crate) async fn try_post(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> reqwest::Result<Answer> {
        let mut request = self.request(Method::POST, path).json(body);
        if !key.is_empty() {
            request = request.header("Idempotency-Key", key);
        }
        answer(request).await
    }

    pub(crate) async fn submit(&self, key: &str, application: &Value) -> Answer {
        self.post("/v1/applications", key, application).await
    }

    /// A document in the party's own format.
    pub(crate) async fn native(&self, path: &str, document: &str) -> Answer {
        let kind = if document.trim_start().starts_with('<') { "xml" } else { "json" };
        let request = self
            .request(Method::POST, path)
            .header("Content-Type", format!("application/{kind}; charset=utf-8"))
            .body(document.to_owned());
        answer(request).await.unwrap()
    }

    /// Waits until the application is in one of the states.
    pub(crate) async fn state(&self, id: &str, states: &[&str]) -> Value {
        let what = format!("application {id} to be {states:?}");
        until(&what, SOON, || async {
            let application = self.get(&format!("/v1/applications/{id}")).await.expect(200).json();
            let state = application["state"].as_str().unwrap_or_default().to_owned();
            states.contains(&state.as_str()).then_some(application)
        })
        .await
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    Ok(Answer { status, headers, text: response.text().await? })
}

/// Waits until `look` sees it, or fails after `longest`. The one place that sleeps.
#[track_caller]
pub(crate) fn until<T, F, L>(what: &str, longest: Duration, mut look: L) -> impl Future<Output = T>
where
    F: Future<Output = Option<T>>,
    L: FnMut() -> F,
{
    let caller = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(began.elapsed() < longest, "{caller}: waited {longest:?} for {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Runs the binary to its end.
pub(crate) fn tongban(arguments: &[&str]) -> Output {
    Command::new(TONGBAN).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Everything a command wrote.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Copies a folder with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
