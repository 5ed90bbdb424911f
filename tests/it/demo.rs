//! The demo, as a newcomer runs it: every business and direction, nothing lost and nothing twice,
//! with every fault on, and while the gateway is killed. Counted from the simulators' books.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::harness::{Schema, TONGBAN, on_postgres, repository, until};

const BUSINESSES: [&str; 6] = [
    "marriage_registration",
    "divorce_registration",
    "disability_subsidy",
    "child_recognition",
    "old_age_allowance",
    "social_assistance",
];

/// Runs the demo in a folder of its own and reads the one JSON object it prints.
async fn demo(arguments: &[&str]) -> Value {
    let folder = std::env::temp_dir().join(format!("tongban-it-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(repository().join("config"), folder.join("config")).unwrap();
    let schema = on_postgres().then(Schema::new);
    let database = schema.iter().flat_map(|schema| ["--database", &schema.url]);
    let file = |name: &str| std::fs::File::create(folder.join(name)).unwrap();
    let mut child = Command::new(TONGBAN)
        .args(["demo", "--once", "--json"])
        .args(arguments)
        .args(database)
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(file("out.json"))
        .stderr(file("err.txt"))
        .spawn()
        .unwrap();
    let ended = until("the demo to end", Duration::from_secs(400), || {
        std::future::ready(child.try_wait().unwrap())
    })
    .await;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (out, err) = (read("out.json"), read("err.txt"));
    let last: Vec<&str> = err.lines().rev().take(20).collect();
    assert!(ended.success(), "{ended:?} {folder:?}\n{out}\n{last:#?}");
    let report = serde_json::from_str(&out).unwrap_or_else(|_| panic!("no JSON object: {out}"));
    std::fs::remove_dir_all(folder).unwrap();
    if let Some(schema) = schema {
        schema.remove();
    }
    report
}

fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_else(|| panic!("no number `{name}` in {value}"))
}

/// Nothing lost, doubled, parked or altered; everybody who asked was answered.
fn sound(counts: &Value, report: &Value) {
    for name in ["lost", "duplicated", "parked", "altered", "disagreed"] {
        assert_eq!(number(counts, name), 0, "{name}: {report:#}");
    }
    let submitted = number(counts, "submitted");
    assert!(submitted > 0, "{report:#}");
    for name in ["accepted", "delivered"] {
        assert_eq!(number(counts, name), submitted, "{name}: {report:#}");
    }
    // Who withdrew or never came gets no decision; the other side is told of each.
    let ended = ["decided", "withdrawn", "lapsed", "waiting"].map(|name| number(counts, name));
    let ended: i64 = ended.iter().sum();
    assert_eq!(ended, submitted, "{report:#}");
    assert_eq!(number(counts, "notified"), submitted, "{report:#}");
}

fn whole(report: &Value, applications: i64) {
    sound(report, report);
    assert_eq!(number(report, "submitted"), applications, "{report:#}");
    let mut sum = 0;
    for business in BUSINESSES {
        for direction in ["inbound", "outbound"] {
            let counts = &report["businesses"][business][direction];
            sound(counts, report);
            sum += number(counts, "submitted");
        }
    }
    assert_eq!(sum, applications, "{report:#}");
    let latency = &report["submitLatencyMs"];
    let (p50, p99) = (latency["p50"].as_f64().unwrap(), latency["p99"].as_f64().unwrap());
    assert!(p50 > 0.0 && p50 <= p99, "{report:#}");
    for name in ["disordered", "missing"] {
        assert_eq!(number(&report["watch"], name), 0, "{report:#}");
    }
    assert_eq!(number(report, "problems"), 0, "{report:#}");
    for name in ["granted", "denied", "supplemented", "moved", "withdrawn", "waiting", "toCheck"] {
        assert!(number(report, name) > 0, "no {name}: {report:#}");
    }
    for name in ["refusedByRule", "foundTwice", "absent"] {
        assert!(number(report, name) > 0, "no {name}: {report:#}");
    }
}

/// Every business shows, both ways, what the regulation makes of it.
fn shows(report: &Value) {
    let ways = ["inbound", "outbound"];
    for business in BUSINESSES {
        let both = &report["businesses"][business];
        for name in ["toCheck", "refusedByRule", "foundTwice"] {
            let each = ways.map(|way| number(&both[way], name));
            assert!(each.iter().all(|count| *count > 0), "{business}: {name} {each:?}: {report:#}");
        }
        let withdrawn: i64 = ways.iter().map(|way| number(&both[*way], "withdrawn")).sum();
        assert!(withdrawn > 0, "{business}: nobody withdrew: {report:#}");
        if business != "divorce_registration" {
            for way in ways {
                let decided = ["granted", "denied"].map(|name| number(&both[way], name));
                assert!(decided.iter().all(|count| *count > 0), "{business}: {decided:?}");
            }
        }
    }
    let moved = ways.map(|way| number(&report["businesses"]["disability_subsidy"][way], "moved"));
    assert!(moved.iter().all(|count| *count > 0), "{moved:?}: {report:#}");
    for name in ["lapsed", "reviewed", "archivesAsked", "archivesOfOurs", "annulled"] {
        assert!(number(report, name) > 0, "no {name}: {report:#}");
    }
    for name in ["toldOfSecond", "toldToStop"] {
        assert!(number(report, name) > 0, "no {name}: {report:#}");
    }
}

/// Every kind of fault was made.
fn faulty(report: &Value) {
    let faults = report["faults"].as_object().unwrap();
    let kinds =
        ["delay", "drop_answer", "error_before", "error_after", "garbage", "duplicate", "reorder"];
    for kind in kinds {
        assert!(faults.get(kind).and_then(Value::as_i64) > Some(0), "no {kind}: {report:#}");
    }
}

#[tokio::test]
async fn a_demo_shows_every_business_and_loses_and_doubles_nothing() {
    let report = demo(&["--applications", "120"]).await;
    whole(&report, 120);
    shows(&report);
}

#[tokio::test]
async fn a_demo_with_every_fault_on_loses_and_doubles_nothing() {
    let report = demo(&["--applications", "60", "--faults"]).await;
    whole(&report, 60);
    faulty(&report);
}

#[tokio::test]
async fn a_demo_whose_gateway_is_killed_loses_and_doubles_nothing() {
    let report = demo(&["--applications", "60", "--kill-gateway", "2"]).await;
    whole(&report, 60);
    assert_eq!(number(&report, "gatewayRestarts"), 2);
}

#[tokio::test]
async fn a_demo_with_faults_and_kills_at_once_loses_and_doubles_nothing() {
    let report = demo(&["--applications", "90", "--faults", "--kill-gateway", "3"]).await;
    whole(&report, 90);
    faulty(&report);
    assert_eq!(number(&report, "gatewayRestarts"), 3);
}
