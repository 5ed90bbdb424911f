//! The servers of a simulator: messages over mutual TLS, with faults on request; its control over
//! plain HTTP on loopback.

use std::{io, io::Read as _, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{Path as Named, State},
    http::StatusCode as Code,
    routing::get,
    routing::post,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    model::trace::TraceContext,
    sim::{
        desk::Desk,
        exchange::Told,
        faults::{Fault, Spec},
        reconciliation,
        settings::Role,
        voice::{Document, JSON, XML},
        watch, work,
    },
    tls,
};

/// Greatest message taken.
const MESSAGE_BYTES: usize = 32 << 20;
/// How long a question that is not answered is held.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest a peer may take over its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves and works until `stop`.
pub(super) async fn run(desk: Arc<Desk>, stop: CancellationToken) -> anyhow::Result<()> {
    let config = tls::server(&desk.settings.tls).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })?;
    let bind = async |address: &str| {
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
    };
    let listener = bind(&desk.settings.listen).await?;
    let control = bind(&desk.settings.control).await?;
    tracing::info!(
        listen = %listener.local_addr()?, control = %control.local_addr()?,
        party.code = desk.settings.role.party(), "simulating"
    );
    desk.tasks.spawn(accept(Arc::clone(&desk), listener, TlsAcceptor::from(config)));
    desk.work(work::submit_all);
    if desk.settings.role == Role::Province {
        desk.tasks.spawn(watch::watch(Arc::clone(&desk)));
    }
    if desk.settings.end_with_stdin {
        let stop = stop.clone();
        // A thread of its own: a blocked read must not hold up the end of the runtime.
        std::thread::spawn(move || {
            let mut nothing = [0; 64];
            while io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
            stop.cancel();
        });
    }
    let until = stop.clone();
    axum::serve(control, router(Arc::clone(&desk)))
        .with_graceful_shutdown(async move { until.cancelled().await })
        .await?;
    stop.cancel();
    Ok(())
}

async fn accept(desk: Arc<Desk>, listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let stream = tokio::select! {
            () = desk.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match stream {
            Ok((stream, _)) => {
                desk.tasks.spawn(converse(Arc::clone(&desk), stream, acceptor.clone()));
            }
            // Out of file handles or the like: others will be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One connection, until it ends or a fault closes it.
async fn converse(desk: Arc<Desk>, stream: TcpStream, acceptor: TlsAcceptor) {
    drop(stream.set_nodelay(true));
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return;
    };
    let close = desk.stop.child_token();
    let service = service_fn(|request| {
        let (desk, close) = (Arc::clone(&desk), close.clone());
        async move { answer(&desk, request, &close).await }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = close.cancelled() => {}
        _ = connection => {}
    }
}

type Answer = Response<Full<Bytes>>;

/// Answers one request. An error cuts the answer off.
async fn answer(
    desk: &Arc<Desk>,
    request: Request<Incoming>,
    close: &CancellationToken,
) -> io::Result<Answer> {
    let faults = &desk.faults;
    if let Some(delay) = faults.lasts(Fault::Delay) {
        tokio::time::sleep(delay).await;
    }
    if faults.strikes(Fault::Close) {
        close.cancel();
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    if faults.strikes(Fault::ErrorBefore) {
        return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, "not done"));
    }
    if faults.strikes(Fault::Busy) {
        let mut busy = plain(StatusCode::SERVICE_UNAVAILABLE, "busy");
        if uuid::Uuid::new_v4().as_u128().is_multiple_of(2) {
            *busy.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        }
        busy.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        return Ok(busy);
    }
    let path = request.uri().path().to_owned();
    let done = match *request.method() {
        Method::POST if desk.voice.is_asked(&path) => question(desk, request).await?,
        Method::GET if path.starts_with(reconciliation::PATH) => {
            match reconciliation::answer(desk, &path, request.uri().query()) {
                Some(document) => told(StatusCode::OK, document),
                None => plain(StatusCode::NOT_FOUND, "no such day"),
            }
        }
        _ if !path.starts_with(desk.voice.path()) => {
            return Ok(plain(StatusCode::NOT_FOUND, "no such path"));
        }
        Method::POST => message(desk, request).await?,
        Method::GET => status(desk, &request, &path),
        _ => return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "no such method")),
    };
    if faults.strikes(Fault::DropAnswer) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    if faults.strikes(Fault::ErrorAfter) {
        return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, "done, but failed then"));
    }
    if faults.strikes(Fault::Garbage) {
        return Ok(plain(StatusCode::OK, "<html><body>系统维护中</body></html>"));
    }
    Ok(done)
}

async fn message(desk: &Arc<Desk>, request: Request<Incoming>) -> io::Result<Answer> {
    let trace = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let trace = trace.and_then(TraceContext::parse);
    let body = Limited::new(request.into_body(), MESSAGE_BYTES).collect().await;
    let bytes = body.map_err(|_| io::ErrorKind::UnexpectedEof)?.to_bytes();
    let xml = bytes.trim_ascii_start().starts_with(b"<");
    Ok(match desk.take(&bytes, trace) {
        Ok(number) => told(StatusCode::OK, desk.voice.answer(xml, &number, None)),
        Err(why) => told(StatusCode::BAD_REQUEST, desk.voice.answer(xml, "", Some(&why))),
    })
}

/// Answers a question about people, or lets it hang until the asker has long gone.
async fn question(desk: &Arc<Desk>, request: Request<Incoming>) -> io::Result<Answer> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MESSAGE_BYTES).collect().await;
    let bytes = body.map_err(|_| io::ErrorKind::UnexpectedEof)?.to_bytes();
    match desk.voice.tell(parts.uri.path(), &parts.headers, &bytes, &desk.faults) {
        Told::Document(document) => Ok(told(StatusCode::OK, document)),
        Told::Silence => {
            tokio::time::sleep(SILENCE).await;
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}

fn status(desk: &Desk, request: &Request<Incoming>, path: &str) -> Answer {
    let number = path.rsplit('/').next().unwrap_or_default();
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let xml = accept.is_some_and(|accept| accept.contains("xml"));
    told(StatusCode::OK, desk.voice.status(xml, number, desk.holds(number)))
}

fn told(status: StatusCode, document: Document) -> Answer {
    let mut answer = Response::new(Full::new(document.body.into()));
    *answer.status_mut() = status;
    let kind = if document.content_type == XML { XML } else { JSON };
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    answer
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer
}

fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/books", get(books))
        .route("/faults", get(faults).put(set_faults))
        .route("/stop-submitting", post(stop_submitting))
        .route("/reconciliation/lose/{number}", post(lose))
        .route("/reconciliation/claim/{number}", post(claim))
        .with_state(desk)
}

async fn books(State(desk): State<Arc<Desk>>) -> Json<serde_json::Value> {
    // Busy first: who is idle now has written everything down.
    let busy = desk.busy();
    let mut books = desk.books.to_json(desk.settings.role.party());
    books["busy"] = busy.into();
    books["faults"] = desk.faults.to_json();
    if desk.settings.role == Role::Province {
        books["watch"] = desk.watched.to_json();
    }
    Json(books)
}

async fn faults(State(desk): State<Arc<Desk>>) -> Json<serde_json::Value> {
    Json(desk.faults.to_json())
}

async fn set_faults(
    State(desk): State<Arc<Desk>>,
    spec: String,
) -> Result<Json<serde_json::Value>, (Code, String)> {
    let spec: Spec = spec.trim().parse().map_err(|why| (Code::BAD_REQUEST, format!("{why}\n")))?;
    desk.faults.set(spec);
    Ok(Json(desk.faults.to_json()))
}

async fn lose(State(desk): State<Arc<Desk>>, Named(number): Named<String>) -> &'static str {
    desk.register.lose(&number);
    "lost\n"
}

async fn claim(State(desk): State<Arc<Desk>>, Named(number): Named<String>) -> &'static str {
    desk.register.claim(&number);
    "claimed\n"
}

async fn stop_submitting(State(desk): State<Arc<Desk>>) -> &'static str {
    desk.enough.cancel();
    "submitting no more\n"
}
