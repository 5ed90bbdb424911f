//! Logs, traces and metrics. A trace follows an application across processes and days: spans
//! continue a [`TraceContext`] that is carried in headers and rows, and are exported by OTLP when
//! a collector is configured. Nothing here ever holds personal data. Depends on model and config.

pub mod load;

use std::{
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags,
        TraceId, TraceState, Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use prometheus::{IntCounterVec, Registry, TextEncoder};
use tracing_subscriber::EnvFilter;

use crate::{config, model::trace::TraceContext, telemetry::load::Load};

static TRACER: OnceLock<(SdkTracerProvider, SdkTracer)> = OnceLock::new();

/// The side of a call a span is on.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// We answer.
    Server,
    /// We call.
    Client,
    /// Within the gateway.
    Internal,
}

/// A span in progress; ends when dropped.
pub struct Span {
    inner: Option<opentelemetry_sdk::trace::Span>,
    context: TraceContext,
}

/// Starts logging to standard error and, when configured, exporting spans.
///
/// # Errors
/// A log filter or collector address that cannot be used.
pub fn start(settings: &config::Telemetry) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(&settings.log).map_err(|error| format!("telemetry.log: {error}"))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let begun = match settings.log_format.as_str() {
        "json" => logs.json().flatten_event(true).try_init(),
        _ => logs.try_init(),
    };
    begun.map_err(|error| format!("cannot start logging: {error}"))?;
    if settings.otlp_endpoint.is_empty() {
        return Ok(());
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&settings.otlp_endpoint)
        .with_timeout(Duration::from_secs(5))
        .build()
        .map_err(|error| format!("telemetry.otlp_endpoint: {error}"))?;
    let resource = Resource::builder().with_service_name("tongban").build();
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer("tongban");
    TRACER.set((provider, tracer)).map_err(|_| "telemetry was started twice".to_owned())
}

/// Sends the spans that wait. Blocks; call it last, off the runtime.
pub fn stop() {
    if let Some((provider, _)) = TRACER.get()
        && let Err(error) = provider.shutdown()
    {
        tracing::warn!(%error, "not all spans were exported");
    }
}

/// Starts a trace: a span below the caller's when it sent one, else a root.
pub fn call(name: &'static str, caller: Option<TraceContext>) -> Span {
    match (caller, TRACER.get()) {
        (Some(parent), _) => span(name, Kind::Server, &parent),
        (None, None) => Span { inner: None, context: TraceContext::new() },
        (None, Some((_, tracer))) => {
            let root = tracer.span_builder(name).with_kind(SpanKind::Server);
            started(root.start_with_context(tracer, &Context::new()))
        }
    }
}

/// Starts a span below `parent`.
pub fn span(name: &'static str, kind: Kind, parent: &TraceContext) -> Span {
    let Some((_, tracer)) = TRACER.get() else {
        return Span { inner: None, context: parent.child() };
    };
    let flags = if parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let remote = SpanContext::new(
        TraceId::from_bytes(parent.trace_id),
        SpanId::from_bytes(parent.span_id),
        flags,
        true,
        TraceState::default(),
    );
    let kind = match kind {
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
        Kind::Internal => SpanKind::Internal,
    };
    let below = Context::new().with_remote_span_context(remote);
    let inner = tracer.span_builder(name).with_kind(kind).start_with_context(tracer, &below);
    started(inner)
}

fn started(inner: opentelemetry_sdk::trace::Span) -> Span {
    let ours = inner.span_context();
    let context = TraceContext {
        trace_id: ours.trace_id().to_bytes(),
        span_id: ours.span_id().to_bytes(),
        sampled: ours.trace_flags().is_sampled(),
    };
    Span { inner: Some(inner), context }
}

impl Span {
    /// What callees and rows continue.
    pub const fn context(&self) -> TraceContext {
        self.context
    }

    /// Adds a fact: a code, an id, a number; never personal data.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(inner) = &mut self.inner {
            inner.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Marks it as failed.
    pub fn fail(&mut self, why: &str) {
        if let Some(inner) = &mut self.inner {
            inner.set_status(Status::error(why.to_owned()));
        }
    }
}

struct Metrics {
    registry: Registry,
    taken: IntCounterVec,
    refused: IntCounterVec,
    deliveries: IntCounterVec,
    questions: IntCounterVec,
    limits: IntCounterVec,
    load: Load,
}

static METRICS: LazyLock<Option<Metrics>> = LazyLock::new(|| {
    let registry = Registry::new();
    let counter = |name: &str, help: &str, labels: &[&str]| {
        let counter = IntCounterVec::new(prometheus::Opts::new(name, help), labels)?;
        registry.register(Box::new(counter.clone()))?;
        Ok::<_, prometheus::Error>(counter)
    };
    let taken = counter(
        "tongban_applications_taken_total",
        "Applications stored, by submitting party and business.",
        &["party", "business"],
    );
    let refused = counter(
        "tongban_refusals_total",
        "Calls and documents refused, by party and reason.",
        &["party", "reason"],
    );
    let deliveries = counter(
        "tongban_delivery_attempts_total",
        "Attempts to deliver, by party and outcome.",
        &["party", "outcome"],
    );
    let questions = counter(
        "tongban_questions_total",
        "Questions about people, by asking party, question and outcome.",
        &["party", "question", "outcome"],
    );
    let limits = counter(
        "tongban_limits_total",
        "What statutory limits said, by business, limit and event.",
        &["business", "limit", "event"],
    );
    Some(Metrics {
        load: Load::new(&registry).ok()?,
        limits: limits.ok()?,
        questions: questions.ok()?,
        taken: taken.ok()?,
        refused: refused.ok()?,
        deliveries: deliveries.ok()?,
        registry,
    })
});

/// Counts an application taken.
pub fn count_taken(party: &str, business: &str) {
    if let Some(metrics) = &*METRICS {
        metrics.taken.with_label_values(&[party, business]).inc();
    }
}

/// Counts a refusal.
pub fn count_refused(party: &str, reason: &str) {
    if let Some(metrics) = &*METRICS {
        metrics.refused.with_label_values(&[party, reason]).inc();
    }
}

/// Counts an attempt to deliver.
pub fn count_delivery(party: &str, outcome: &str) {
    if let Some(metrics) = &*METRICS {
        metrics.deliveries.with_label_values(&[party, outcome]).inc();
    }
}

/// Counts a question about people.
pub fn count_question(party: &str, question: &str, outcome: &str) {
    if let Some(metrics) = &*METRICS {
        metrics.questions.with_label_values(&[party, question, outcome]).inc();
    }
}

/// Counts what a statutory limit said.
pub fn count_limit(business: &str, limit: &str, event: &str) {
    if let Some(metrics) = &*METRICS {
        metrics.limits.with_label_values(&[business, limit, event]).inc();
    }
}

/// The counters in Prometheus' text format.
pub fn metrics() -> String {
    let Some(metrics) = &*METRICS else { return String::new() };
    TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap_or_default()
}
