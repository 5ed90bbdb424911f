//! How full everything is that is bounded, and what was turned away because it was: for each
//! queue its depth and its limit, so that an alarm can come before the refusal does.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::telemetry::METRICS;

/// Something that fills and empties.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// Writes that wait for the store or are being written.
    StoreQueue,
    /// Reads that wait for the store or are being read.
    StoreReads,
    /// Bytes of request and answer bodies in memory.
    BodyBytes,
}

/// Something that fills and empties for each party.
#[derive(Clone, Copy, Debug)]
pub enum PartyLevel {
    /// Connections.
    Connections,
    /// Calls in progress.
    Calls,
    /// Deliveries in progress.
    Deliveries,
}

/// What was full when work was turned away.
#[derive(Clone, Copy, Debug)]
pub enum Full {
    /// The party's connections.
    Connections,
    /// The party's calls in progress.
    Calls,
    /// The party's calls a second.
    Rate,
    /// Bytes of bodies in memory.
    BodyBytes,
    /// The party's share of the store's queue, or all of it.
    StoreQueue,
    /// The line of reads before the store.
    StoreReads,
}

impl Full {
    const fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Calls => "calls",
            Self::Rate => "rate",
            Self::BodyBytes => "body_bytes",
            Self::StoreQueue => "store_queue",
            Self::StoreReads => "store_reads",
        }
    }
}

pub(super) struct Load {
    levels: [(IntGauge, IntGauge); 3],
    parties: [IntGaugeVec; 3],
    wait: Histogram,
    refusal: Histogram,
    shed: IntCounterVec,
}

impl Load {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: String, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let level = |name: &str, limit: &str, help: &str| {
            let most = gauge(format!("tongban_{limit}"), "Its limit.")?;
            Ok::<_, prometheus::Error>((gauge(format!("tongban_{name}"), help)?, most))
        };
        let of_party = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["party"])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let seconds = |name: &str, help: &str| {
            let buckets =
                vec![0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];
            let seconds = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(seconds.clone()))?;
            Ok::<_, prometheus::Error>(seconds)
        };
        let wait = seconds("tongban_store_wait_seconds", "From a write's coming to its commit.")?;
        let refusal = seconds(
            "tongban_refusal_seconds",
            "From a call's head having been read to its being turned away for want of room.",
        )?;
        let shed = IntCounterVec::new(
            Opts::new("tongban_shed_total", "Work turned away, by party and what was full."),
            &["party", "full"],
        )?;
        registry.register(Box::new(shed.clone()))?;
        Ok(Self {
            levels: [
                level(
                    "store_queue_depth",
                    "store_queue_capacity",
                    "Writes that wait for the store or are being written.",
                )?,
                level(
                    "store_reads_depth",
                    "store_reads_capacity",
                    "Reads that wait for the store or are being read.",
                )?,
                level(
                    "body_bytes_in_flight",
                    "body_bytes_capacity",
                    "Bytes of request and answer bodies in memory.",
                )?,
            ],
            parties: [
                of_party("tongban_connections", "Connections.")?,
                of_party("tongban_calls_in_progress", "Calls in progress.")?,
                of_party("tongban_deliveries_in_progress", "Deliveries in progress.")?,
            ],
            wait,
            refusal,
            shed,
        })
    }
}

/// It holds so much more, or less.
pub fn change(level: Level, by: i64) {
    if let Some(metrics) = &*METRICS {
        metrics.load.levels[level as usize].0.add(by);
    }
}

/// What it may hold.
pub fn limit(level: Level, most: usize) {
    if let Some(metrics) = &*METRICS {
        metrics.load.levels[level as usize].1.set(i64::try_from(most).unwrap_or(i64::MAX));
    }
}

/// What one party holds of something.
#[derive(Clone)]
pub struct Gauge(Option<IntGauge>);

/// Counts for one until it is dropped.
pub struct Counted(Gauge);

impl Gauge {
    /// It holds one more.
    pub fn count(&self) -> Counted {
        if let Some(gauge) = &self.0 {
            gauge.inc();
        }
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0.0 {
            gauge.dec();
        }
    }
}

/// The gauge of one party.
pub fn of_party(level: PartyLevel, party: &str) -> Gauge {
    Gauge(METRICS.as_ref().map(|m| m.load.parties[level as usize].with_label_values(&[party])))
}

/// Counts work turned away.
pub fn count_shed(party: &str, full: Full) {
    if let Some(metrics) = &*METRICS {
        metrics.load.shed.with_label_values(&[party, full.word()]).inc();
    }
}

/// A write was committed so long after it came.
pub fn waited(wait: Duration) {
    if let Some(metrics) = &*METRICS {
        metrics.load.wait.observe(wait.as_secs_f64());
    }
}

/// A call was turned away for want of room so long after it came.
pub fn refused(after: Duration) {
    if let Some(metrics) = &*METRICS {
        metrics.load.refusal.observe(after.as_secs_f64());
    }
}
