//! The demo, as a newcomer runs it: every business and direction, nothing lost and nothing twice,
//! with every fault on, and while the gateway is killed. Counted from the simulators' books.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::harness::{TONGBAN, repository, until};

/// Runs the demo in a folder of its own and reads the one JSON object it prints.
async fn demo(arguments: &[&str]) -> Value {
    let folder = std::env::temp_dir().join(format!("tongban-it-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(repository().join("config"), folder.join("config")).unwrap();
    let file = |name: &str| std::fs::File::create(folder.join(name)).unwrap();
    let mut child = Command::new(TONGBAN)
        .args(["demo", "--once", "--json"])
        .args(arguments)
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
    report
}

fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_else(|| panic!("no number `{name}` in {value}"))
}

fn whole(report: &Value, applications: i64) {
    for name in ["lost", "duplicated", "parked"] {
        assert_eq!(number(report, name), 0, "{name}: {report:#}");
    }
    let submitted = number(report, "submitted");
    assert!(submitted >= applications, "{report:#}");
    for name in ["accepted", "delivered"] {
        assert_eq!(number(report, name), submitted, "{name}: {report:#}");
    }
    assert!(number(report, "decided") > 0 && number(report, "notified") > 0, "{report:#}");
    let latency = &report["submitLatencyMs"];
    let (p50, p99) = (latency["p50"].as_f64().unwrap(), latency["p99"].as_f64().unwrap());
    assert!(p50 > 0.0 && p50 <= p99, "{report:#}");
    let text = report.to_string();
    for business in ["marriage_registration", "disability_subsidy", "child_recognition"] {
        assert!(text.contains(business), "{business} is missing: {report:#}");
    }
}

#[tokio::test]
async fn a_demo_loses_and_doubles_nothing() {
    let report = demo(&["--applications", "60"]).await;
    whole(&report, 60);
}

#[tokio::test]
async fn a_demo_with_every_fault_on_loses_and_doubles_nothing() {
    let report = demo(&["--applications", "60", "--faults"]).await;
    whole(&report, 60);
}

#[tokio::test]
async fn a_demo_whose_gateway_is_killed_loses_and_doubles_nothing() {
    let report = demo(&["--applications", "60", "--kill-gateway", "2"]).await;
    whole(&report, 60);
}
