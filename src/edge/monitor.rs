//! Plain HTTP on loopback: `/metrics` for Prometheus, `/livez`, `/readyz`. Nothing personal.

use std::{fmt::Write as _, io, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    store::{Store, rows::Totals},
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
    // Any read will do; this one costs the same however much waits.
    match watched.store.header(uuid::Uuid::nil()).await {
        Ok(_) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n"),
    }
}

async fn metrics(State(watched): State<Watched>) -> (StatusCode, String) {
    let mut text = telemetry::metrics();
    let Ok(Totals { due, parked, oldest, leaves }) = watched.store.totals().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let mut gauge = |name: &str, help: &str, value: f64| {
        // Writing to a String cannot fail.
        _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    };
    let number = |value: i64| f64::from(i32::try_from(value).unwrap_or(i32::MAX));
    gauge("tongban_outbox_due", "Deliveries waiting or in progress.", number(due));
    gauge("tongban_outbox_parked", "Deliveries parked for operations.", number(parked));
    let seconds = number(oldest / 1_000_000);
    gauge("tongban_outbox_oldest_age_seconds", "Age of the oldest waiting delivery.", seconds);
    gauge("tongban_audit_leaves", "Entries in the audit log.", number(leaves));
    (StatusCode::OK, text)
}
