//! The client: one HTTP/2 client for gRPC and REST, bare and durable. gRPC is five bytes before
//! the message and a trailer behind it, so that no client library colours the comparison.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    net::Ipv4Addr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::{
    StreamExt as _,
    future::{join, try_join_all},
    stream::FuturesUnordered,
};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Uri,
    client::conn::http2::SendRequest,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, TE},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tongban::tls;

use crate::{
    application::{Applicants, Template},
    process::{cpu, cpu_of_all},
    servers::material,
};

/// Before counting begins.
const WARM_UP: Duration = Duration::from_millis(400);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What is called.
pub(crate) struct Target {
    port: u16,
    uri: Uri,
    grpc: bool,
}

impl Target {
    pub(crate) fn grpc(port: u16) -> Self {
        let uri = "https://localhost/tongban.v1.ApplicationService/SubmitApplication";
        Self { port, uri: Uri::from_static(uri), grpc: true }
    }

    pub(crate) fn rest(port: u16) -> Self {
        Self { port, uri: Uri::from_static("https://localhost/v1/applications"), grpc: false }
    }
}

/// How it is called.
pub(crate) struct Load<'a> {
    pub(crate) applicants: &'a Applicants,
    pub(crate) certs: &'a Path,
    /// The party that calls.
    pub(crate) party: &'static str,
    /// The `Authorization` header.
    pub(crate) token: HeaderValue,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) seconds: Duration,
}

/// The answer to one call.
pub(crate) struct Asked {
    pub(crate) took: Duration,
    pub(crate) at: Instant,
    /// Status and body, when it was refused.
    pub(crate) refused: Option<(u16, Bytes)>,
}

/// What was seen.
pub(crate) struct Run {
    /// Answers a second.
    pub(crate) rate: f64,
    /// Milliseconds, half of the calls below.
    pub(crate) p50: f64,
    /// Milliseconds, 99 of 100 calls below.
    pub(crate) p99: f64,
    /// The server's processor time a call, microseconds.
    pub(crate) cpu: f64,
    /// Cores that neither client nor servers used, but others did.
    pub(crate) others: f64,
}

pub(crate) type Connection = SendRequest<Full<Bytes>>;

impl Load<'_> {
    /// Calls for the time set; `server` is whose processor time counts, `ours` who is not others.
    pub(crate) async fn run(
        &self,
        target: &Target,
        server: u32,
        ours: &[u32],
    ) -> anyhow::Result<Run> {
        let connections = self.connect(target).await?;
        let begin = Instant::now() + WARM_UP;
        let end = begin + self.seconds;
        let latencies = RefCell::new(Vec::with_capacity(1 << 18));
        let calls = self.spread(&connections, self.in_flight, |connection| {
            let latencies = &latencies;
            async move {
                loop {
                    let (took, at) = self.call(target, connection).await?;
                    if at >= end {
                        return Ok(());
                    }
                    if at >= begin {
                        latencies.borrow_mut().push(took);
                    }
                }
            }
        });
        let used = |ids: &[u32]| ids.iter().map(|id| cpu(*id)).sum::<anyhow::Result<Duration>>();
        let all = [ours, &[std::process::id()]].concat();
        let sample = || anyhow::Ok((used(&[server])?, cpu_of_all()?.saturating_sub(used(&all)?)));
        let samples = async {
            tokio::time::sleep_until(begin.into()).await;
            let before = sample()?;
            tokio::time::sleep_until(end.into()).await;
            anyhow::Ok((before, sample()?))
        };
        let (calls, samples) = join(calls, samples).await;
        calls?;
        let (before, after) = samples?;
        let mut latencies = latencies.into_inner();
        latencies.sort_unstable();
        let count = latencies.len() as f64;
        let at = |percent: usize| {
            let place = latencies.len() * percent / 100;
            latencies.get(place).map_or(0.0, |took| took.as_secs_f64() * 1e3)
        };
        let others = after.1.saturating_sub(before.1).as_secs_f64();
        Ok(Run {
            rate: count / self.seconds.as_secs_f64(),
            p50: at(50),
            p99: at(99),
            cpu: (after.0 - before.0).as_secs_f64() * 1e6 / count,
            others: others / self.seconds.as_secs_f64(),
        })
    }

    /// Makes `count` calls as fast as they go.
    pub(crate) async fn fill(&self, target: &Target, count: u64) -> anyhow::Result<Duration> {
        let connections = self.connect(target).await?;
        let began = Instant::now();
        let left = Cell::new(count);
        let calls = self.spread(&connections, 240, |connection| {
            let left = &left;
            async move {
                while let Some(less) = left.get().checked_sub(1) {
                    left.set(less);
                    self.call(target, connection).await?;
                }
                Ok(())
            }
        });
        calls.await?;
        Ok(began.elapsed())
    }

    /// Makes one call.
    pub(crate) async fn one(&self, target: &Target) -> anyhow::Result<(Duration, Instant)> {
        let connections = self.connect(target).await?;
        self.call(target, connections.first().context("no connection")?).await
    }

    async fn spread<'c, F>(
        &self,
        connections: &'c [Connection],
        in_flight: usize,
        work: impl Fn(&'c Connection) -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let share = in_flight.div_ceil(connections.len());
        let calls = connections.iter().flat_map(|connection| (0..share).map(move |_| connection));
        let mut calls: FuturesUnordered<F> = calls.map(work).collect();
        while let Some(done) = calls.next().await {
            done?;
        }
        Ok(())
    }

    pub(crate) async fn connect(&self, target: &Target) -> anyhow::Result<Vec<Connection>> {
        let faults = |faults| anyhow::anyhow!("{faults:?}");
        let client = tls::client(&material(self.certs, self.party)).map_err(faults)?;
        let connector = TlsConnector::from(Arc::new(client));
        let connections = (0..self.connections).map(|_| async {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, target.port)).await?;
            stream.set_nodelay(true)?;
            let stream = connector.connect("localhost".try_into()?, stream).await?;
            let io = TokioIo::new(stream);
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
            let (sender, connection) = handshake.await?;
            // Ends when its senders are gone.
            tokio::spawn(connection);
            anyhow::Ok(sender)
        });
        try_join_all(connections).await
    }

    async fn call(
        &self,
        target: &Target,
        connection: &Connection,
    ) -> anyhow::Result<(Duration, Instant)> {
        let Asked { took, at, refused } = self.ask(target, connection).await?;
        match refused {
            None => Ok((took, at)),
            Some((status, body)) => bail!("refused: {status} {}", String::from_utf8_lossy(&body)),
        }
    }

    /// Makes one call that may be refused.
    pub(crate) async fn ask(
        &self,
        target: &Target,
        connection: &Connection,
    ) -> anyhow::Result<Asked> {
        let template: &Template =
            if target.grpc { &self.applicants.grpc } else { &self.applicants.rest };
        let (body, number) = self.applicants.next(template);
        let kind = if target.grpc { "application/grpc" } else { "application/json" };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(AUTHORIZATION, self.token.clone());
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::try_from(number)?);
        if target.grpc {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        let began = Instant::now();
        let answer = connection.clone().send_request(request).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?;
        let at = Instant::now();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let told = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
        let good = head.status.is_success() && (!target.grpc || told.is_some_and(|s| s == "0"));
        let refused = (!good).then(|| {
            // gRPC says in its trailers why.
            let why = [&head.headers, &trailers].map(|said| format!("{said:?}")).concat();
            let why = if target.grpc { why.into() } else { body.to_bytes() };
            (head.status.as_u16(), why)
        });
        Ok(Asked { took: at - began, at, refused })
    }
}
