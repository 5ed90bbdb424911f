//! `tongban reconcile` with the real simulator as the party: a day that agrees, a message the
//! party loses, one it claims that nobody sent, a party that is silent.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tongban::{model::clock, store};

use crate::{
    harness::{House, Plan, SOON, TONGBAN, said, until},
    papers,
};

/// The hub's simulator; ends when dropped.
struct Hub {
    child: Child,
    control: String,
}

impl Drop for Hub {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Hub {
    async fn start(house: &House, port: u16) -> Self {
        let control = free_port();
        let certs = house.certs();
        let certs = certs.display();
        // Cases lie on its desk for an hour: the day's traffic stays what the test made it.
        let settings = format!(
            "role = \"national\"\nlisten = \"127.0.0.1:{port}\"\ncontrol = \"127.0.0.1:{control}\"\n\
             gateway = \"https://{}\"\ntoken_key = \"{certs}/national.token.key\"\n\
             seal_key = \"{certs}/national.seal.key\"\nconfig = \"{}\"\n\
             think_ms = [3600000, 3600000]\n\n[tls]\ncertificate = \"{certs}/national.pem\"\n\
             key = \"{certs}/national.key\"\nauthorities = \"{certs}/ca.pem\"\n",
            house.edge(),
            house.root().join("config").display(),
        );
        let file = house.root().join("hub.toml");
        fs::write(&file, settings).unwrap();
        let child = Command::new(TONGBAN)
            .args(["simulate", "national", "--config", file.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(fs::File::create(house.root().join("hub.log")).unwrap())
            .spawn()
            .unwrap();
        let hub = Self { child, control: format!("http://127.0.0.1:{control}") };
        until("the simulator to listen", SOON, || async {
            let answer = reqwest::get(format!("{}/healthz", hub.control)).await;
            answer.is_ok_and(|answer| answer.status().is_success()).then_some(())
        })
        .await;
        hub
    }

    async fn told(&self, what: &str, number: &str) {
        let url = format!("{}/reconciliation/{what}/{number}", self.control);
        let answer = reqwest::Client::new().post(url).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    async fn books(&self) -> Value {
        let answer = reqwest::get(format!("{}/books", self.control)).await.unwrap();
        answer.json().await.unwrap()
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn reconcile(house: &House, party: &str, more: &[&str]) -> (Output, Value) {
    let day = clock::china_date(clock::now_micros()).to_string();
    let arguments = ["reconcile", "--party", party, "--day", &day, "--json"];
    let output = house.command(&[&arguments, more].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, report)
}

fn kinds(report: &Value) -> Vec<String> {
    let found = report["parties"][0]["differences"].as_array().unwrap();
    found.iter().map(|one| one["kind"].as_str().unwrap().to_owned()).collect()
}

async fn clean(house: &House, count: usize) -> Value {
    until("both books to agree", SOON, || async {
        let (output, report) = reconcile(house, "national", &[]);
        let done = output.status.success()
            && report["parties"][0]["delivered"]["ours"] == count
            && kinds(&report).is_empty();
        done.then_some(report)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_party_lost_is_found_explained_and_sent_again() {
    let port = free_port();
    let plan = Plan::new().hasty().endpoint("national", &format!("https://127.0.0.1:{port}"));
    let house = House::start(plan).await;
    let hub = Hub::start(&house, port).await;
    let caller = house.caller("44");
    for n in 0..3 {
        caller.submit(&format!("r-{n}"), &papers::subsidy(n, "510104")).await.expect(201);
    }
    let report = clean(&house, 3).await;
    let party = &report["parties"][0];
    assert_eq!((&party["agree"], &party["delivered"]["theirs"]), (&true.into(), &3.into()));
    assert_eq!(party["digestAlgorithm"], "SM3");

    let store = store::open_beside(&house.store()).await.unwrap();
    let sent = store.exchanged("national", 0, i64::MAX).await.unwrap();
    let lost = &sent[1];
    hub.told("lose", &lost.message_number).await;
    let (output, report) = reconcile(&house, "national", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let found = &report["parties"][0]["differences"][0];
    assert_eq!(kinds(&report), ["not_known"]);
    assert_eq!(found["messageNumber"], lost.message_number.as_str());
    assert_eq!(found["applicationId"], lost.application.to_string());
    assert!(found["remedy"].as_str().unwrap().contains("--repair"));

    let (output, report) = reconcile(&house, "national", &["--repair"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(report["parties"][0]["repaired"], 1);
    clean(&house, 3).await;
    let books = hub.books().await;
    assert_eq!(books["messages"]["distinct"], 3);
    assert_eq!(books["messages"]["received"], 4, "one was sent again");
    for case in books["handled"].as_array().unwrap() {
        assert_eq!(case["effects"]["APPLICATION"], 1, "{case}");
    }

    let strange = "ab".repeat(16);
    hub.told("claim", &strange).await;
    let (output, report) = reconcile(&house, "national", &["--repair"]);
    assert_eq!(output.status.code(), Some(1), "only a human can mend it");
    assert_eq!(kinds(&report), ["never_sent"]);
    assert_eq!(report["parties"][0]["differences"][0]["messageNumber"], strange);
    assert_eq!(report["parties"][0]["repaired"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_party_and_a_day_to_come_are_told() {
    let house = House::start(Plan::new().hasty()).await;
    let (output, _) = reconcile(&house, "44", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("not reconciled: 44"), "{}", said(&output));
    let tomorrow = house.command(&["reconcile", "--day", "2999-01-01"]);
    assert!(said(&tomorrow).contains("has not come yet"), "{}", said(&tomorrow));
    let nobody = house.command(&["reconcile", "--party", "99"]);
    assert!(said(&nobody).contains("reconcile_path"), "{}", said(&nobody));
}
