//! One trace for each application: from the caller through the store, over a kill, to the partner
//! and back; exported by OTLP; and nothing personal in logs, spans, metrics or on disk.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use crate::{
    harness::{Answer, Caller, House, Plan, SOON, answer, until},
    papers,
    receiver::{Act, Dialect, Receiver},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

async fn traced(caller: &Caller, key: &str, application: &Value) -> Answer {
    let request = caller
        .request(Method::POST, "/v1/applications")
        .header("Idempotency-Key", key)
        .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
        .json(application);
    answer(request).await.unwrap()
}

/// Trace id and span id of a `traceparent`.
fn ids(traceparent: &str) -> (&str, &str) {
    let parts: Vec<&str> = traceparent.split('-').collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "00", "01"), "{traceparent}");
    assert_eq!((parts[1].len(), parts[2].len()), (32, 16), "{traceparent}");
    (parts[1], parts[2])
}

#[tokio::test]
async fn the_callers_trace_goes_on_to_both_partners_over_a_kill() {
    let (home, away) = (Receiver::bind().await, Receiver::bind().await);
    let plan = Plan::new().hasty().endpoint("23", &home.url).endpoint("44", &away.url);
    let mut house = House::start(plan).await;
    let home = home.open(Dialect::P23, &house.certificates("23"));
    let away = away.open(Dialect::P44, &house.certificates("44"));
    home.always(Some(Act::Status(503, Some(1))));
    let taken = traced(&house.caller("44"), "t-1", &papers::subsidy(1, "230103")).await.expect(201);
    home.gets(1).await;
    let before = home.messages()[0].clone();
    house.kill();
    home.always(None);
    house.run().await;
    home.stores(1).await;
    let after = home.messages().pop().unwrap();
    assert_eq!(before.number, after.number);
    for arrival in home.arrivals() {
        let (trace, span) = ids(&arrival.traceparent);
        assert_eq!(trace, TRACE);
        assert_ne!(span, "b7ad6b7169203331", "the caller's span is the parent, not the sender");
    }
    // Days later the handling side decides in a call of its own; the submitter is told within
    // the application's trace.
    let path = format!("/v1/applications/{}:accept", taken.id());
    house.caller("23").post(&path, "t-2", &json!({})).await.expect(200);
    away.stores(1).await;
    assert_eq!(ids(&away.messages()[0].traceparent).0, TRACE);
}

#[tokio::test]
async fn a_refusal_names_the_callers_trace() {
    let house = House::start(Plan::new()).await;
    let mut application = papers::subsidy(1, "230103");
    application["source"] = "SHOP".into();
    let refused = traced(&house.caller("44"), "t-1", &application).await.expect(400);
    assert_eq!(refused.json()["traceId"], TRACE);
    // Without a trace, or with one that is none, the gateway begins one.
    let caller = house.caller("44");
    for wrong in ["", "00-zz-11-01", "00-00000000000000000000000000000000-0000000000000000-01"] {
        let request = caller.request(Method::GET, "/v1/nothing").header("traceparent", wrong);
        let problem = answer(request).await.unwrap().expect(404).json();
        let id = problem["traceId"].as_str().unwrap();
        assert!(id.len() == 32 && id.bytes().any(|b| b != b'0') && id != TRACE, "{problem}");
    }
}

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|r| r.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self::default();
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, url)
    }

    fn of(&self, trace: &str) -> Vec<Span> {
        let trace = hex::decode(trace).unwrap();
        let spans = self.0.lock().unwrap();
        spans.iter().filter(|span| span.trace_id == trace).cloned().collect()
    }
}

#[tokio::test]
async fn spans_are_exported_as_one_tree() {
    let (collector, url) = Collector::start().await;
    let hub = Receiver::bind().await;
    let plan = Plan::new().hasty().endpoint("national", &hub.url).set(
        "telemetry",
        "otlp_endpoint",
        format!("\"{url}\""),
    );
    let mut house = House::start(plan).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    hub.script([Act::Vanish]);
    let taken = traced(&house.caller("44"), "t-1", &papers::subsidy(1, "510104")).await.expect(201);
    hub.stores(1).await;
    house.caller("44").state(&taken.id(), &["FORWARDED"]).await;
    // The end sends what waits.
    assert!(house.stop().await.success());
    let spans = collector.of(TRACE);
    let caller = hex::decode("b7ad6b7169203331").unwrap();
    let known: Vec<&Vec<u8>> = spans.iter().map(|span| &span.span_id).collect();
    for span in &spans {
        let below = span.parent_span_id == caller || known.contains(&&span.parent_span_id);
        assert!(below, "{} hangs in the air: {spans:#?}", span.name);
    }
    let attempts = spans.iter().filter(|span| span.name == "deliver").count();
    assert_eq!(attempts, 2, "the lost attempt and the good one");
    assert!(spans.iter().any(|span| span.parent_span_id == caller), "{spans:#?}");
    let text = format!("{:?}", collector.0.lock().unwrap());
    assert_eq!(personal(&text).next(), None, "in a span");
    // What left for the partner names a span that was exported.
    for arrival in hub.arrivals() {
        let span = hex::decode(ids(&arrival.traceparent).1).unwrap();
        assert!(known.contains(&&span), "{}", arrival.traceparent);
    }
}

/// What of the papers' personal data a text holds.
fn personal(text: &str) -> impl Iterator<Item = &'static str> {
    let all = [
        "娜仁",
        "其木格",
        "李㛃",
        "陈玉兰",
        "王𠅤",
        "阿依古丽",
        "6228480170123456783",
        "6217007230001234566",
        "13900000021",
        "13900000032",
        "花园街道花园街社区工农巷",
        "天寿路31号",
        "哈南低保2024",
        "双下肢瘫痪",
        "请补低保证，家住",
    ];
    all.into_iter().filter(move |word| text.contains(word))
}

#[tokio::test]
async fn nothing_personal_is_in_logs_metrics_or_files() {
    let (hub, home) = (Receiver::bind().await, Receiver::bind().await);
    let plan = Plan::new()
        .hasty()
        .set("dispatch", "attempts", 2)
        .set("telemetry", "log", "\"trace\"")
        .endpoint("national", &hub.url)
        .endpoint("23", &home.url);
    let mut house = House::start(plan).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    let home = home.open(Dialect::P23, &house.certificates("23"));
    hub.script([Act::Vanish, Act::Refuse, Act::Status(500, None), Act::Babble]);
    let caller = house.caller("44");
    let mut numbers = Vec::new();
    for (n, application) in [
        papers::subsidy(1, "230103"),
        papers::child(2, "230103"),
        papers::marriage(3),
        papers::subsidy(4, "510104"),
        papers::child(5, "510104"),
    ]
    .iter()
    .enumerate()
    {
        caller.submit(&format!("p-{n}"), application).await.expect(201);
        numbers.extend(application["applicant"]["residentId"].as_str().map(str::to_owned));
    }
    home.stores(2).await;
    // Refusals, duplicates, questions by id, changes.
    let mut wrong = papers::subsidy(6, "230103");
    wrong["applicant"]["sex"] = "9".into();
    wrong["applicant"]["娜仁"] = "其木格".into();
    caller.submit("p-7", &wrong).await.expect(400);
    caller.submit("p-8", &papers::subsidy(1, "230103")).await.expect(409);
    caller.native("/native/disability_subsidy", &papers::golden("44-disability.xml", 7)).await;
    let torn = papers::golden("44-disability.xml", 8).replace("</FullName>", "");
    caller.native("/native/disability_subsidy", &torn).await.expect(400);
    let list = caller.get("/v1/applications").await.expect(200).json();
    for application in list["applications"].as_array().unwrap() {
        let path =
            format!("/v1/applications/{}:requestSupplement", application["id"].as_str().unwrap());
        let ask = json!({"missingMaterials": ["403"], "reason": "请补低保证，家住天寿路31号"});
        house.caller("23").post(&path, &papers::number(), &ask).await;
    }
    until("the queue to rest", SOON, || async {
        (house.gauge("tongban_outbox_parked").await > 0 && hub.messages().len() >= 4).then_some(())
    })
    .await;
    let metrics = reqwest::get(format!("http://{}/metrics", house.metrics())).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let parked = house.command(&["deliveries", "list", "--json"]);
    assert!(house.stop().await.success());
    let mut texts = vec![
        ("the log".to_owned(), house.log()),
        ("the metrics".to_owned(), metrics),
        ("deliveries list".to_owned(), String::from_utf8(parked.stdout).unwrap()),
    ];
    for entry in fs::read_dir(house.root().join("data")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        texts.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    for (what, text) in &texts {
        if let Some(found) = personal(text).next() {
            let at = text.find(found).unwrap();
            let start = text[..at].rfind('\n').map_or(0, |start| start + 1);
            let line: String = text[start..].chars().take(400).collect();
            panic!("{what} holds `{found}`: {line}");
        }
        for number in &numbers {
            assert!(!text.contains(number.as_str()), "{what} holds a citizen number");
        }
    }
}
