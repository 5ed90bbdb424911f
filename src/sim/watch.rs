//! Watches the events of its cases over the canonical API, resumes after every break, and notes
//! whether order and completeness held.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;

use crate::sim::{desk::Desk, faults::Fault, json::text};

#[derive(Default)]
struct Inner {
    last: i64,
    /// Application id to the sequence number of its last event.
    sequences: HashMap<String, i64>,
    events: u64,
    connects: u64,
    disordered: u64,
    missing: u64,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Watched(Mutex<Inner>);

impl Watched {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, id: &str, data: &str) {
        let Ok(event) = serde_json::from_str::<Value>(data) else { return };
        let Ok(id) = id.parse::<i64>() else { return };
        let sequence = text(&event, "sequence").parse::<i64>().unwrap_or_default();
        self.with(|seen| {
            seen.events += 1;
            if id <= seen.last {
                seen.disordered += 1;
            }
            seen.last = seen.last.max(id);
            let before = seen.sequences.insert(text(&event, "applicationId"), sequence);
            if sequence != before.unwrap_or_default() + 1 {
                seen.missing += 1;
            }
        });
    }

    pub(super) fn to_json(&self) -> Value {
        self.with(|seen| {
            serde_json::json!({
                "events": seen.events,
                "applications": seen.sequences.len(),
                "connects": seen.connects,
                "disordered": seen.disordered,
                "missing": seen.missing,
            })
        })
    }
}

/// Watches until the simulator stops.
pub(super) async fn watch(desk: Arc<Desk>) {
    loop {
        let after = desk.watched.with(|seen| seen.last.to_string());
        tokio::select! {
            () = desk.stop.cancelled() => return,
            _ = follow(&desk, &after) => {}
        }
        tokio::select! {
            () = desk.stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
}

async fn follow(desk: &Desk, after: &str) -> anyhow::Result<()> {
    let mut response = desk.gateway.watch(after).await?;
    desk.watched.with(|seen| seen.connects += 1);
    let mut rest = Vec::new();
    let (mut id, mut data) = (String::new(), String::new());
    while let Some(chunk) = response.chunk().await? {
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match line.trim_end().split_once(':') {
                Some(("id", value)) => value.trim_start().clone_into(&mut id),
                Some(("data", value)) => data.push_str(value.trim_start()),
                _ if line.trim_end().is_empty() && !data.is_empty() => {
                    desk.watched.note(&id, &data);
                    data.clear();
                }
                _ => {}
            }
        }
        if desk.faults.strikes(Fault::Abandon) {
            return Ok(());
        }
    }
    Ok(())
}
