//! A party that handles applications: says at once that it has stored them, counts them and
//! remembers when the first one came. Runs inside the bench, on a thread of its own.

use std::{
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Instant,
};

use axum::{
    Router,
    extract::State,
    http::{Method, header},
    response::IntoResponse,
    routing::any,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tongban::tls;

use crate::servers::material;

#[derive(Default)]
struct Book {
    first: Option<Instant>,
    count: u64,
}

/// A party, and how it says that it has stored a message.
#[derive(Clone, Copy)]
pub(crate) enum Party {
    National,
    P44,
}

impl Party {
    const fn name(self) -> &'static str {
        match self {
            Self::National => "national",
            Self::P44 => "44",
        }
    }

    /// Also the answer to the status question and, of the hub, to questions about people.
    const fn stored(self) -> &'static str {
        match self {
            Self::National => r#"{"code":"0","message":"","data":{"state":"STORED"}}"#,
            Self::P44 => r#"<GdmzAnswer><Result code="OK"/><Message state="在库"/></GdmzAnswer>"#,
        }
    }
}

/// What has arrived.
#[derive(Clone)]
pub(crate) struct Receiver {
    party: Party,
    book: Arc<Mutex<Book>>,
}

impl Receiver {
    /// Listens on `port` from when this returns until the bench ends.
    pub(crate) fn start(party: Party, certs: &Path, port: u16) -> anyhow::Result<Self> {
        let faults = |faults| anyhow::anyhow!("{faults:?}");
        let material = material(certs, party.name());
        let acceptor = TlsAcceptor::from(tls::server(&material).map_err(faults)?);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let receiver = Self { party, book: Arc::default() };
        let routes = Router::new().fallback(any(stored)).with_state(receiver.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || runtime.block_on(serve(listener, acceptor, routes)));
        Ok(receiver)
    }

    /// Forgets what has arrived so far.
    pub(crate) fn begin(&self) {
        *self.book.lock().unwrap_or_else(PoisonError::into_inner) = Book::default();
    }

    /// When the first message came.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).first
    }

    /// Messages so far.
    pub(crate) fn count(&self) -> u64 {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

async fn serve(listener: std::net::TcpListener, acceptor: TlsAcceptor, routes: Router) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, routes) = (acceptor.clone(), routes.clone());
        tokio::spawn(async move {
            _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = TowerToHyperService::new(routes);
            let builder = Builder::new(TokioExecutor::new());
            // How a connection ends is the gateway's business.
            _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn stored(
    State(receiver): State<Receiver>,
    method: Method,
    _body: bytes::Bytes,
) -> impl IntoResponse {
    if method == Method::POST {
        let mut book = receiver.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.first.get_or_insert_with(Instant::now);
        book.count += 1;
    }
    let kind = match receiver.party {
        Party::National => "application/json",
        Party::P44 => "application/xml; charset=utf-8",
    };
    ([(header::CONTENT_TYPE, kind)], receiver.party.stored())
}
