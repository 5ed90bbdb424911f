//! Faces callers, decides nothing: gRPC and REST on one mutual-TLS port, from one set of protobuf
//! definitions. Depends on intake, auth, telemetry, config and model.
//!
//! `stack` is what every call goes through; `grpc` the services; `rest` turns JSON into the same
//! services' messages and back; `problem` is how a refusal looks from outside.

mod budget;
mod grpc;
mod json;
mod limits;
pub mod monitor;
mod native;
mod problem;
mod questions;
mod rest;
mod stack;

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::Context as _;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::Auth,
    config::Limits,
    edge::{grpc::Services, rest::Rest, stack::Stack},
    intake::{Intake, Questions},
};

/// Serves until `shutdown`, then lets the calls in progress end, within a deadline.
///
/// # Errors
/// When the services can't be built from the descriptors, or the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    auth: Arc<Auth>,
    (intake, questions): (Arc<Intake>, Arc<Questions>),
    limits: Limits,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let services =
        Services::new(Arc::clone(&intake), questions, limits.body_bytes, shutdown.clone()).await?;
    let rest = Rest::new(services.clone(), intake, limits.body_bytes)
        .map_err(anyhow::Error::msg)
        .context("the REST routes can't be built from proto/")?;
    let doors = Doors {
        stack: Arc::new(Stack::new(auth, services, rest, &limits)),
        acceptor: TlsAcceptor::from(tls),
        places: Arc::new(Semaphore::new(limits.connections)),
        graceful: GracefulShutdown::new(),
        tasks: TaskTracker::new(),
        ending: CancellationToken::new(),
    };
    doors.accept(&listener, &shutdown).await;
    drop(listener);
    doors.drain(limits.draining()).await;
    Ok(())
}

struct Doors {
    stack: Arc<Stack>,
    acceptor: TlsAcceptor,
    places: Arc<Semaphore>,
    graceful: GracefulShutdown,
    tasks: TaskTracker,
    /// Cuts what is still open when the deadline for draining has passed.
    ending: CancellationToken,
}

impl Doors {
    async fn accept(&self, listener: &TcpListener, shutdown: &CancellationToken) {
        loop {
            let arrival = async {
                // The place comes first: who finds none waits in the kernel's queue.
                let place = Arc::clone(&self.places).acquire_owned().await.ok();
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = shutdown.cancelled() => return,
                arrival = arrival => arrival,
            };
            match accepted {
                Ok((stream, _)) => self.admit(stream, place),
                Err(error) => {
                    // Out of descriptors, or the peer has gone: neither ends the service.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, place: Option<OwnedSemaphorePermit>) {
        let stack = Arc::clone(&self.stack);
        let acceptor = self.acceptor.clone();
        let watcher = self.graceful.watcher();
        let executor = Owned(self.tasks.clone());
        let ending = self.ending.clone();
        self.tasks.spawn(async move {
            let _place = place;
            // Small answers must not wait for the acknowledgement of the last one.
            let _ = stream.set_nodelay(true);
            let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
            let tls = match handshake {
                Ok(Ok(tls)) => tls,
                Ok(Err(error)) => {
                    return tracing::info!(%error, "a TLS handshake failed");
                }
                Err(_) => return tracing::info!("a TLS handshake took too long"),
            };
            let certificates = tls.get_ref().1.peer_certificates();
            let certificate = certificates.and_then(|chain| chain.first());
            let Some(connection) = stack.connection(certificate.map(|c| c.as_ref())) else {
                return tracing::warn!("a party has too many connections; one was closed");
            };
            let connection = Arc::new(connection);
            let service = hyper::service::service_fn(move |request| {
                // hyper moves the future a few times; a pointer is quicker to move.
                Box::pin(Arc::clone(&stack).answer(Arc::clone(&connection), request))
            });
            let builder = http(executor);
            let serving =
                watcher.watch(builder.serve_connection(TokioIo::new(tls), service).into_owned());
            tokio::select! {
                () = ending.cancelled() => {}
                served = serving => if let Err(error) = served {
                    tracing::debug!(error, "a connection ended early");
                },
            }
        });
    }

    async fn drain(self, longest: Duration) {
        self.tasks.close();
        let drained = tokio::time::timeout(longest, self.graceful.shutdown()).await;
        if drained.is_err() {
            tracing::warn!("calls were cut off at the end of the time for draining");
        }
        self.ending.cancel();
        // A call that has lost its connection still ends by itself, within its own deadline.
        if tokio::time::timeout(AFTERMATH, self.tasks.wait()).await.is_err() {
            tracing::warn!("calls without a connection were left to themselves");
        }
    }
}

fn http(executor: Owned) -> Builder<Owned> {
    let mut builder = Builder::new(executor);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(1024)
        .max_header_list_size(32 << 10)
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(2 << 20)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .keep_alive_timeout(KEEP_ALIVE_ANSWER);
    builder
}

/// Runs what hyper spawns as tasks of this room, so that draining waits for them too.
#[derive(Clone)]
struct Owned(TaskTracker);

impl<F> hyper::rt::Executor<F> for Owned
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, work: F) {
        self.0.spawn(work);
    }
}

/// Longest a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest until a request's head is there on HTTP/1.1; also the longest idle time of a
/// connection kept open.
const HEADERS: Duration = Duration::from_secs(75);
/// How often a silent HTTP/2 connection is asked whether it lives, and how long it may take to say.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);
/// How long tasks may take to end once their connections are gone.
const AFTERMATH: Duration = Duration::from_secs(5);
/// Before accepting again after a failure.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
