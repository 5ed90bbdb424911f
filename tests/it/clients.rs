//! Clients of other languages, generated from `proto/`, against the real gateway: Python with
//! grpcio, Node with grpc-js. `tests/run` installs what they need and runs these; plain
//! `cargo test` passes them over, because it installs nothing.

use std::process::Command;

use serde_json::Value;

use crate::{
    harness::{House, Plan, repository},
    papers,
};

/// Runs the script with everything it must know in its environment.
async fn client(command: &str, script: &str) {
    let house = House::start(Plan::new()).await;
    let scopes = "applications:submit applications:read";
    let applications: Vec<Value> = (0..100)
        .map(|n| match n {
            3 | 5 => papers::child(n, "510104001002"),
            4 | 6 => papers::marriage(n),
            // Women all, so that one citizen number can stand in another's papers.
            _ => papers::subsidy(2 * n, "510104001002"),
        })
        .collect();
    let program = std::env::var(command)
        .unwrap_or_else(|_| panic!("{command} is not set; run `tests/run`, which sets it"));
    let mut child = Command::new(program);
    child
        .arg(repository().join("tests/clients").join(script))
        .env("TONGBAN_EDGE", house.edge())
        .env("TONGBAN_CERTS", house.certs())
        .env("TONGBAN_TOKEN", house.token("44", scopes))
        .env("TONGBAN_PROTO", repository().join("proto"))
        .env("TONGBAN_APPLICATIONS", Value::from(applications).to_string());
    if let Ok(modules) = std::env::var("TONGBAN_NODE_MODULES") {
        child.env("NODE_PATH", modules);
    }
    let ended = tokio::task::spawn_blocking(move || child.status().unwrap()).await.unwrap();
    assert!(ended.success(), "{script} failed; see above");
}

#[tokio::test]
#[ignore = "needs Python packages; tests/run installs them and runs it"]
async fn python_with_grpcio() {
    client("TONGBAN_PYTHON", "python/check.py").await;
}

#[tokio::test]
#[ignore = "needs Node packages; tests/run installs them and runs it"]
async fn node_with_grpc_js() {
    client("TONGBAN_NODE", "node/check.js").await;
}
