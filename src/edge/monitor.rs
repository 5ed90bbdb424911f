//! Plain HTTP on loopback: `/metrics` for Prometheus, `/livez`, `/readyz`. Nothing personal.

use std::{fmt::Write as _, io, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    store::{Store, rows::IdempotencyKey, totals::Outbox},
    telemetry,
};

/// What the answers are made from.
#[derive(Clone)]
struct Watched {
    store: Arc<dyn Store>,
    stopping: CancellationToken,
}

/// Serves until `stop`; from `stopping` on the gateway is not ready for new calls.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    store: Arc<dyn Store>,
    (stopping, stop): (CancellationToken, CancellationToken),
) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Watched { store, stopping });
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn ready(State(watched): State<Watched>) -> (StatusCode, &'static str) {
    if watched.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    // Any row will do, and any key, once keys can be looked up; both cost the same however much
    // waits.
    let (row, key) = (uuid::Uuid::nil(), IdempotencyKey { key: [0; 32], content: [0; 32] });
    let store = &watched.store;
    let reads = async { tokio::try_join!(store.header(row), store.recall(&key)) };
    match tokio::time::timeout(PATIENCE, reads).await {
        Ok(Ok(_)) => (StatusCode::OK, "ok\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n"),
    }
}

async fn metrics(State(watched): State<Watched>) -> (StatusCode, String) {
    let mut text = telemetry::metrics();
    let Ok(totals) = watched.store.totals().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let all = totals.outbox();
    let mut gauge = |name: &str, help: &str, value: fn(&Outbox) -> i64| {
        // Writing to a String cannot fail.
        _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {}", value(&all));
        for outbox in &totals.outboxes {
            _ = writeln!(text, "{name}_by_party{{party=\"{}\"}} {}", outbox.party, value(outbox));
        }
    };
    gauge("tongban_outbox_due", "Deliveries waiting or in progress.", |outbox| outbox.due);
    gauge("tongban_outbox_parked", "Deliveries parked for operations.", |outbox| outbox.parked);
    gauge("tongban_outbox_oldest_age_seconds", "Age of the oldest waiting delivery.", |outbox| {
        outbox.oldest / 1_000_000
    });
    let (name, leaves) = ("tongban_audit_leaves", totals.leaves);
    _ = writeln!(
        text,
        "# HELP {name} Entries in the audit log.\n# TYPE {name} gauge\n{name} {leaves}"
    );
    (StatusCode::OK, text)
}

/// Longest the question whether it is ready waits for the store.
const PATIENCE: Duration = Duration::from_secs(2);
