//! Faces callers, decides nothing: gRPC and REST on one mutual-TLS port, from one set of protobuf
//! definitions. Depends on intake, auth, telemetry, config and model.
//!
//! `desks` are each party's threads; `stack` is what every call goes through; `grpc` the services; `rest` turns JSON into the same
//! services' messages and back; `problem` is how a refusal looks from outside.

mod budget;
mod desks;
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
use futures::FutureExt as _;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::Auth,
    config::Limits,
    edge::{
        desks::{DOOR, Desks, Socket},
        grpc::Services,
        rest::Rest,
        stack::{Connection, Stack},
    },
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
    let desks = Desks::open(auth.parties()).context("cannot start a thread for each party")?;
    let doors = Doors {
        stack: Arc::new(Stack::new(auth, &desks, (services, rest), &limits)),
        desks,
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
    desks: Desks,
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
        // Small answers must not wait for the acknowledgement of the last one.
        let _ = stream.set_nodelay(true);
        let door = Door {
            stack: Arc::clone(&self.stack),
            acceptor: self.acceptor.clone(),
            tasks: self.tasks.clone(),
            ending: self.ending.clone(),
            watcher: self.graceful.watcher(),
            _place: place,
        };
        self.tasks.spawn_on(door.open(stream), &self.desks.of(DOOR));
    }

    async fn drain(self, longest: Duration) {
        self.tasks.close();
        let drained = timeout(longest, self.graceful.shutdown()).await;
        if drained.is_err() {
            tracing::warn!("calls were cut off at the end of the time for draining");
        }
        self.ending.cancel();
        // A call that has lost its connection still ends by itself, within its own deadline.
        if timeout(AFTERMATH, self.tasks.wait()).await.is_err() {
            tracing::warn!("calls without a connection were left to themselves");
        }
        self.desks.close(AFTERMATH).await;
    }
}

/// The way of one connection.
struct Door {
    stack: Arc<Stack>,
    acceptor: TlsAcceptor,
    tasks: TaskTracker,
    ending: CancellationToken,
    watcher: Watcher,
    _place: Option<OwnedSemaphorePermit>,
}

impl Door {
    /// Shakes hands, and shows who calls to their party's desk.
    async fn open(self, stream: TcpStream) {
        let mut socket = Socket::new(stream);
        if let Err(error) = socket.arrive() {
            return tracing::warn!(%error, "a connection could not be taken to the door");
        }
        let handshake = timeout(HANDSHAKE, self.acceptor.accept(socket));
        let tls = match self.ending.run_until_cancelled(handshake).await {
            None => return,
            Some(Ok(Ok(tls))) => tls,
            Some(Ok(Err(error))) => return tracing::info!(%error, "a TLS handshake failed"),
            Some(Err(_)) => return tracing::info!("a TLS handshake took too long"),
        };
        let certificates = tls.get_ref().1.peer_certificates();
        let certificate = certificates.and_then(|chain| chain.first());
        let Some(connection) = self.stack.connection(certificate.map(|c| c.as_ref())) else {
            return tracing::warn!("a party has too many connections; one was closed");
        };
        let (tasks, desk) = (self.tasks.clone(), connection.desk().clone());
        tasks.spawn_on(self.serve(tls, connection), &desk);
    }

    /// Serves its calls, at the desk.
    async fn serve(self, mut tls: TlsStream<Socket>, connection: Connection) {
        if let Err(error) = tls.get_mut().0.arrive() {
            return tracing::warn!(%error, "a connection could not be taken to its desk");
        }
        let (stack, connection) = (self.stack, Arc::new(connection));
        let tasks = self.tasks.clone();
        let service =
            hyper::service::service_fn(move |request| stack.call(&connection, request, &tasks));
        let builder = http(Owned(self.tasks));
        let serving = builder.serve_connection(TokioIo::new(tls), service).into_owned();
        tokio::select! {
            () = self.ending.cancelled() => {}
            served = self.watcher.watch(serving) => if let Err(error) = served {
                tracing::debug!(error, "a connection ended early");
            },
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

/// Runs what hyper spawns as tasks of this room, at the desk that it is at, so that draining waits for them too.
#[derive(Clone)]
struct Owned(TaskTracker);

impl<F> hyper::rt::Executor<F> for Owned
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, work: F) {
        let mut work = Box::pin(work);
        // A call that was turned away is answered already, and its answer goes out when the heads that
        // have come are read.
        if (&mut work).now_or_never().is_none() {
            self.0.spawn(work);
        }
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
