//! Questions about people: against the simulators of the hub and of the old library, and against a
//! hub in this process that plays each way of not answering. Silence is never an answer.

use std::{
    collections::HashMap,
    fs, io,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_lc_rs::{
    cipher::{AES_128, PaddedBlockEncryptingKey, UnboundCipherKey},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;
use tongban::{model::pb, tls};

use crate::{
    harness::{Answer, Caller, House, Plan, SOON, TONGBAN, until},
    papers::citizen,
};

/// Someone born in 1968, by the sequence that `src/sim/fates.rs` reads the past from.
pub(crate) fn number(sequence: u32) -> String {
    citizen("210102", "19680229", sequence / 2, sequence % 2 == 1)
}

fn person(number: &str) -> Value {
    json!({"name": "王·明", "documentNumber": number})
}

fn purpose() -> Value {
    json!({"business": "MARRIAGE_REGISTRATION", "reason": "EXAMINATION", "operator": "A-0017"})
}

fn verifier(house: &House, party: &str) -> Caller {
    house.caller_with(party, &house.token(party, "verifications:read"))
}

async fn marital(caller: &Caller, number: &str) -> Answer {
    let body = json!({"man": person(number), "purpose": purpose()});
    caller.post("/v1/verifications:maritalStatus", "", &body).await
}

async fn benefits(caller: &Caller, number: &str, asks: &[&str]) -> Answer {
    let body = json!({
        "person": person(number), "asks": asks, "claimedDivision": "230102",
        "certificateNumber": format!("{number}42"), "purpose": purpose(),
    });
    caller.post("/v1/verifications:benefits", "", &body).await
}

/// Lays further settings into a party's file of a house that was built and does not run yet.
fn configure(house: &House, folder: &str, change: impl FnOnce(&mut toml_edit::DocumentMut)) {
    let file = house.root().join("config/parties").join(folder).join("party.toml");
    let mut party: toml_edit::DocumentMut = fs::read_to_string(&file).unwrap().parse().unwrap();
    change(&mut party);
    fs::write(&file, party.to_string()).unwrap();
}

/// A simulator as its own process; ends with its standard input.
pub(crate) struct Simulator {
    child: Child,
    url: String,
}

impl Simulator {
    async fn start(house: &House, role: &str, party: &str) -> Self {
        let certs = house.certs();
        let certs = certs.display();
        let settings = format!(
            "role = \"{role}\"\nlisten = \"127.0.0.1:0\"\ncontrol = \"127.0.0.1:0\"\n\
             gateway = \"https://127.0.0.1:9\"\nend_with_stdin = true\n\
             token_key = \"{certs}/{party}.token.key\"\nseal_key = \"{certs}/national.seal.key\"\n\
             exchange_key = \"{certs}/national.exchange.key\"\n\
             registry_password = \"{certs}/23.registry.password\"\nconfig = \"{config}\"\n\
             [tls]\ncertificate = \"{certs}/{party}.pem\"\nkey = \"{certs}/{party}.key\"\n\
             authorities = \"{certs}/ca.pem\"\n",
            config = house.root().join("config").display(),
        );
        let file = house.root().join(format!("simulator-{party}.toml"));
        fs::write(&file, settings).unwrap();
        let log = house.root().join(format!("simulator-{party}.log"));
        let child = Command::new(TONGBAN)
            .args(["simulate", role, "--config", file.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let listen = until("the simulator to listen", SOON, || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let place = text.split_once("listen").and_then(|(_, rest)| {
                let start = rest.find("127.0.0.1:")?;
                let rest = &rest[start..];
                let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)))?;
                Some(rest[..end].to_owned())
            });
            std::future::ready(place)
        })
        .await;
        Self { child, url: format!("https://{listen}") }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

/// A gateway with both simulators to ask.
pub(crate) async fn whole() -> (House, Simulator, Simulator) {
    let mut house = House::build(Plan::new());
    let hub = Simulator::start(&house, "national", "national").await;
    let platform = Simulator::start(&house, "platform", "23").await;
    for (folder, simulator) in [("national", &hub), ("23-heilongjiang", &platform)] {
        let url = simulator.url.clone();
        configure(&house, folder, |party| {
            party["verification"]["endpoint"] = toml_edit::value(url);
        });
    }
    house.run().await;
    (house, hub, platform)
}

#[tokio::test]
async fn the_libraries_tell_what_the_asker_may_know() {
    let (house, _hub, _platform) = whole().await;
    let caller = verifier(&house, "23");
    let status = async |sequence: u32| {
        let answer = marital(&caller, &number(sequence)).await.expect(200).json();
        answer["man"].clone()
    };
    let ordinary = status(11).await;
    assert_eq!(ordinary["status"], "NO_RECORD");
    assert_eq!(ordinary["sources"], json!(["national", "23"]));
    let married = status(901).await;
    assert_eq!(
        (&married["status"], &married["lastRecord"]["operation"]),
        (&json!("MARRIED"), &json!("IA"))
    );
    // Another province's registry: its province, and no certificate number.
    let division = married["lastRecord"]["registryDivision"].as_str().unwrap();
    assert!(division.ends_with("0000"), "{division}");
    assert!(married["lastRecord"].get("certificateNumber").is_none_or(|text| text == ""));
    // The marriage stands under the 15-digit number, the divorce under the other.
    let divorced = status(907).await;
    assert_eq!((&divorced["status"], &divorced["records"]), (&json!("DIVORCED"), &json!(2)));
    // Known to the old library only, in XML that is none.
    let long_ago = status(913).await;
    assert_eq!(long_ago["status"], "MARRIED");
    assert_eq!(long_ago["lastRecord"]["date"], "1984-10-01");
    assert_eq!(long_ago["lastRecord"]["registryDivision"], "230102");
    let cooling = status(919).await;
    assert_eq!(
        (&cooling["status"], &cooling["divorceInProgress"]),
        (&json!("MARRIED"), &json!(true))
    );

    let all = ["BENEFITS", "DISABILITY_CERTIFICATE", "HOUSEHOLD"];
    let told = benefits(&caller, &number(925), &all).await.expect(200).json();
    assert_eq!(told["benefits"][0]["benefit"], "DISABILITY_LIVING_SUBSIDY");
    assert_eq!(told["benefits"][0]["active"], true);
    assert!(told["benefits"][0]["division"].as_str().unwrap().ends_with("0000"));
    assert_eq!(told["certificate"]["valid"], true);
    assert_eq!(told["household"]["registeredAsClaimed"], true);
    assert_eq!(told["household"]["registeredDivision"], "230102");
    let dead = benefits(&caller, &number(961), &["HOUSEHOLD"]).await.expect(200).json();
    assert_ne!(dead["household"]["alive"], true);
    let expired = benefits(&caller, &number(943), &["DISABILITY_CERTIFICATE"]).await.expect(200);
    assert_ne!(expired.json()["certificate"]["valid"], true);

    // The hub never says a word about this one.
    let began = Instant::now();
    let silent = marital(&caller, &number(991)).await.expect(503);
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
    assert_eq!(silent.json()["reason"], "UNAVAILABLE");
    assert!(silent.header("retry-after").parse::<u64>().unwrap() >= 1);

    // Every question left its leaf, answered or not, and nothing left a number in the log.
    assert_eq!(house.gauge("tongban_audit_leaves").await, 9);
    for sequence in [11, 901, 907, 913, 919, 925, 943, 961, 991] {
        let number = number(sequence);
        assert!(!house.log().contains(&number[..17]));
        assert!(!house.log().contains(&format!("{}{}", &number[..6], &number[8..17])));
    }
}

#[tokio::test]
async fn a_question_needs_its_scope_its_purpose_and_its_form() {
    let house = House::start(Plan::new()).await;
    let without = house.caller("23");
    let refused = marital(&without, &number(11)).await.expect(403);
    assert_eq!(refused.json()["reason"], "PERMISSION_DENIED");
    let caller = verifier(&house, "23");
    let path = "/v1/verifications:maritalStatus";
    let fields = |answer: Answer| {
        let json = answer.expect(400).json();
        let list = json["violations"].as_array().unwrap().iter();
        list.map(|one| one["field"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let empty = fields(caller.post(path, "", &json!({})).await);
    assert_eq!(empty, ["man", "purpose"]);
    let body = json!({
        "woman": {"name": "李"},
        "purpose": {"business": "DIVORCE_REGISTRATION", "operator": "王明"},
    });
    let wrong = fields(caller.post(path, "", &body).await);
    assert_eq!(wrong, ["purpose.operator", "purpose.reason", "woman.documentNumber"]);
    let body = json!({"person": person(&number(11)), "asks": ["HOUSEHOLD"], "purpose": purpose()});
    let wrong = fields(caller.post("/v1/verifications:benefits", "", &body).await);
    assert_eq!(wrong, ["claimedDivision"]);

    // gRPC says the same, and the services are reflected and described.
    let channel = house.channel("23").await;
    let token = format!("Bearer {}", house.token("23", "verifications:read"));
    let mut client = pb::verification_service_client::VerificationServiceClient::new(channel);
    let mut request = tonic::Request::new(pb::VerifyMaritalStatusRequest::default());
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    let status = client.verify_marital_status(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let openapi = caller.get("/openapi.json").await.expect(200).json();
    let operation = &openapi["paths"]["/v1/verifications:benefits"]["post"];
    assert_eq!(operation["operationId"], "VerifyBenefits");
    assert_eq!(operation["parameters"], json!([]));
}

/// How the hub of this process behaves.
#[derive(Clone, Debug)]
struct Manner {
    /// How long a handed-out key is good, milliseconds.
    key_millis: i64,
    /// Before each answer.
    delay: Duration,
    play: Play,
    /// Marriage records of anybody.
    rows: usize,
    /// Most records on a page, whatever is asked for.
    page: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Play {
    Well,
    NeverAnswer,
    Garbage,
    Errormsg,
    Code(&'static str),
    Status(u16),
    Cut,
    BadSecret,
    /// The next call finds its key not taken.
    ForgetKeysOnce,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            key_millis: 3_600_000,
            delay: Duration::ZERO,
            play: Play::Well,
            rows: 0,
            page: usize::MAX,
        }
    }
}

#[derive(Default)]
struct Books {
    manner: Manner,
    /// Keys by service, every one ever handed out, and the calls for keys.
    keys: HashMap<String, Vec<(String, i64)>>,
    auths: HashMap<String, usize>,
    calls: usize,
}

struct Hub {
    books: Arc<Mutex<Books>>,
    task: JoinHandle<()>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const MARRIAGE: &str = "s_1100000000002_1001";

impl Hub {
    /// A house whose gateway asks this hub and no other library, and remembers nothing.
    async fn open(manner: Manner) -> (House, Self) {
        let mut house = House::build(Plan::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        configure(&house, "national", |party| {
            party["verification"]["endpoint"] = toml_edit::value(url);
            party["verification"]["cache_seconds"] = toml_edit::value(0);
            party["verification"]["breaker_open_ms"] = toml_edit::value(300);
            party["verification"]["exchange"]["page"] = toml_edit::value(10);
            party["verification"]["exchange"]["pages"] = toml_edit::value(3);
            party["verification"]["exchange"]["refresh_ahead_seconds"] = toml_edit::value(1);
        });
        configure(&house, "23-heilongjiang", |party| {
            party.remove("verification");
        });
        let key = fs::read_to_string(house.certs().join("national.exchange.key")).unwrap();
        let key = key.trim().to_owned();
        let acceptor = TlsAcceptor::from(tls::server(&house.certificates("national")).unwrap());
        let books = Arc::new(Mutex::new(Books { manner, ..Books::default() }));
        let shared = Arc::clone(&books);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, books) = (acceptor.clone(), Arc::clone(&shared));
                let key = key.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service =
                        service_fn(move |request| told(Arc::clone(&books), key.clone(), request));
                    let connection = Builder::new(TokioExecutor::new());
                    let stream = TokioIo::new(stream);
                    connection.serve_connection(stream, service).await.unwrap_or_default();
                });
            }
        });
        house.run().await;
        (house, Self { books, task })
    }

    fn set(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.books.lock().unwrap().manner);
    }

    fn auths(&self, service: &str) -> usize {
        self.books.lock().unwrap().auths.get(service).copied().unwrap_or_default()
    }

    fn calls(&self) -> usize {
        self.books.lock().unwrap().calls
    }
}

fn sign(key: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

fn now_millis() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

async fn told(
    books: Arc<Mutex<Books>>,
    app_key: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let manner = books.lock().unwrap().manner.clone();
    tokio::time::sleep(manner.delay).await;
    let answer = |value: Value| Ok(Response::new(Full::from(value.to_string())));
    if parts.uri.path() == "/gxjh/auth" {
        let ask: Value = serde_json::from_slice(&body).unwrap();
        let get = |name: &str| ask[format!("gjgxjhpt_{name}")].as_str().unwrap().to_owned();
        let (rid, sid, rtime) = (get("rid"), get("sid"), get("rtime"));
        assert_eq!(get("sign"), sign(&app_key, &format!("{sid}{rid}{rtime}")));
        let mut books = books.lock().unwrap();
        *books.auths.entry(sid.clone()).or_default() += 1;
        let secret = format!("business-key-{}", books.auths[&sid]);
        let end = now_millis() + manner.key_millis;
        books.keys.entry(sid).or_default().push((secret.clone(), end));
        let key = UnboundCipherKey::new(&AES_128, app_key.as_bytes()).unwrap();
        let key = PaddedBlockEncryptingKey::ecb_pkcs7(key).unwrap();
        let mut sealed = secret.into_bytes();
        key.encrypt(&mut sealed).unwrap();
        if manner.play == Play::BadSecret {
            sealed[0] ^= 1;
        }
        let secret = STANDARD.encode(sealed);
        let data = json!({"secret": secret, "secretEndTime": end});
        return answer(json!({"code": "0", "message": "ok", "data": data}));
    }
    books.lock().unwrap().calls += 1;
    match manner.play {
        Play::Well | Play::BadSecret => {}
        Play::NeverAnswer => std::future::pending().await,
        Play::Garbage => return Ok(Response::new(Full::from("<html>系统维护中</html>"))),
        Play::Errormsg => {
            return answer(json!({"status": "success", "result": {"errormsg": "超时"}}));
        }
        Play::Code(code) => return answer(json!({"code": code, "message": "x"})),
        Play::Status(status) => {
            let response = Response::builder().status(status).header("Retry-After", 7);
            return Ok(response.body(Full::from("x")).unwrap());
        }
        Play::Cut => return Err(io::Error::other("as the play says")),
        Play::ForgetKeysOnce => {
            let mut books = books.lock().unwrap();
            // Of two calls at once, one.
            if books.manner.play == manner.play {
                books.keys.clear();
                books.manner.play = Play::Well;
            }
        }
    }
    let get = |name: &str| parts.headers[format!("gjgxjhpt_{name}")].to_str().unwrap().to_owned();
    assert!(parts.headers["traceparent"].to_str().unwrap().starts_with("00-"));
    let (rid, sid, rtime) = (get("rid"), get("sid"), get("rtime"));
    let text = format!("{sid}{rid}{rtime}");
    let known = books.lock().unwrap().keys.get(&sid).is_some_and(|keys| {
        let mut good = keys.iter().filter(|(_, end)| now_millis() < *end);
        good.any(|(key, _)| sign(key, &text) == get("sign"))
    });
    if !known {
        return answer(json!({"code": "-1", "message": "调用失败"}));
    }
    let form = String::from_utf8(body.to_vec()).unwrap();
    let field = |name: &str| {
        let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|pair| pair.0 == name).map_or(0, |pair| pair.1.parse().unwrap())
    };
    let rows = if sid == MARRIAGE { manner.rows } else { 0 };
    let rows = (field("start")..rows).take(field("limit").min(manner.page));
    let rows: Vec<Value> = rows
        .map(|n| {
            let operation = if n % 2 == 0 { "IA" } else { "IB" };
            let date = format!("{}-01-01", 1980 + n);
            json!({"op_type": operation, "op_date": date, "cert_no": n.to_string(),
                   "dept_code": "510104"})
        })
        .collect();
    answer(json!({"status": "success", "result": rows}))
}

/// Someone born in 2001: asked for under one number only.
fn young() -> String {
    citizen("210102", "20010228", 11, true)
}

#[tokio::test]
async fn every_way_of_not_answering_is_unavailable_with_a_time() {
    let (house, hub) = Hub::open(Manner::default()).await;
    let caller = verifier(&house, "44");
    let plays = [
        Play::Garbage,
        Play::Errormsg,
        Play::Code("-1"),
        Play::Code("E-106"),
        Play::Status(500),
        Play::Status(503),
        Play::Cut,
        Play::NeverAnswer,
    ];
    for play in plays {
        hub.set(|manner| manner.play = Play::Well);
        until("the breaker to let one through", SOON, || async {
            let answer = marital(&caller, &young()).await;
            (answer.status == 200).then_some(())
        })
        .await;
        hub.set(|manner| manner.play = play);
        let began = Instant::now();
        let answer = marital(&caller, &young()).await.expect(503);
        assert!(began.elapsed() < Duration::from_millis(2500), "{play:?} {:?}", began.elapsed());
        assert_eq!(answer.json()["reason"], "UNAVAILABLE", "{play:?}");
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert_eq!(
            wait,
            match play {
                Play::Status(503) => 7,
                Play::Code("E-106") => 600,
                _ => 5,
            },
            "{play:?}"
        );
    }
}

#[tokio::test]
async fn a_hub_that_is_down_costs_one_attempt_per_probe() {
    let manner = Manner { play: Play::Status(500), ..Manner::default() };
    let (house, hub) = Hub::open(manner).await;
    let caller = verifier(&house, "23");
    for _ in 0..60 {
        marital(&caller, &young()).await.expect(503);
    }
    // Both services asked, five failures each; the rest was not sent, but for probes.
    assert!(hub.calls() < 40, "{}", hub.calls());
    hub.set(|manner| manner.play = Play::Well);
    until("the probe to close the breaker", SOON, || async {
        (marital(&caller, &young()).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn fifty_questions_at_once_fetch_one_key_a_service() {
    let manner = Manner { delay: Duration::from_millis(100), ..Manner::default() };
    let (house, hub) = Hub::open(manner).await;
    let caller = verifier(&house, "23");
    let number = young();
    let all = futures::future::join_all((0..50).map(|_| marital(&caller, &number))).await;
    for answer in all {
        assert_eq!(answer.expect(200).json()["man"]["status"], "NO_RECORD");
    }
    assert_eq!(hub.auths(MARRIAGE), 1);
    assert_eq!(hub.auths("s_1100000000002_1002"), 1);
}

#[tokio::test]
async fn a_key_is_replaced_before_it_ends_and_when_it_is_no_longer_taken() {
    let manner = Manner { key_millis: 1500, ..Manner::default() };
    let (house, hub) = Hub::open(manner).await;
    let caller = verifier(&house, "23");
    let began = Instant::now();
    // Through several lives of a key no question fails.
    until("four keys to have lived", SOON, || async {
        marital(&caller, &young()).await.expect(200);
        (hub.auths(MARRIAGE) >= 4).then_some(())
    })
    .await;
    assert!(began.elapsed() > Duration::from_secs(1), "a key was not used while it was good");
    hub.set(|manner| {
        manner.key_millis = 3_600_000;
        manner.play = Play::ForgetKeysOnce;
    });
    marital(&caller, &young()).await.expect(200);
    // A new key that does not decrypt is no key.
    hub.set(|manner| manner.play = Play::BadSecret);
    hub.books.lock().unwrap().keys.clear();
    marital(&caller, &young()).await.expect(503);
}

#[tokio::test]
async fn all_pages_are_read_or_nothing_is_said() {
    let (house, hub) = Hub::open(Manner { rows: 25, ..Manner::default() }).await;
    let caller = verifier(&house, "23");
    let man = marital(&caller, &young()).await.expect(200).json()["man"].clone();
    assert_eq!((&man["records"], &man["status"]), (&json!(25), &json!("MARRIED")));
    hub.set(|manner| manner.rows = 20);
    let man = marital(&caller, &young()).await.expect(200).json()["man"].clone();
    assert_eq!((&man["records"], &man["status"]), (&json!(20), &json!("DIVORCED")));
    // A platform with shorter pages than it is asked for hides nothing.
    hub.set(|manner| (manner.rows, manner.page) = (25, 4));
    let man = marital(&caller, &young()).await.expect(200).json()["man"].clone();
    assert_eq!((&man["records"], &man["status"]), (&json!(25), &json!("MARRIED")));
    hub.set(|manner| manner.page = usize::MAX);
    // Three pages of ten are read at most; what may follow is not guessed.
    hub.set(|manner| manner.rows = 30);
    marital(&caller, &young()).await.expect(503);
}
