//! A small partner system that does what a test tells it: takes messages over mutual TLS, keeps a
//! book of everything that arrived, and answers well or badly by script. Knows each party's
//! answer documents by heart; shares no code with the gateway but the TLS set-up.

use std::{
    collections::{HashSet, VecDeque},
    io,
    sync::{Arc, Mutex},
    time::Instant,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;
use tongban::{config::Tls, tls};

use crate::harness::{SOON, until};

/// What to do with the next message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// Store it and say so.
    Store,
    /// Store it, and break the connection instead of answering.
    StoreSilently,
    /// Break the connection without storing it.
    Vanish,
    /// Store it, and answer with something no document.
    StoreAndBabble,
    /// Answer with something no document, without storing it.
    Babble,
    /// Answer with that status, and `Retry-After` seconds if any, without storing it.
    Status(u16, Option<u64>),
    /// Understand and refuse it.
    Refuse,
}

/// One request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    /// A status question rather than a message.
    pub(crate) question: bool,
    pub(crate) number: String,
    pub(crate) traceparent: String,
    pub(crate) body: String,
}

#[derive(Default)]
struct Book {
    arrivals: Vec<Arrival>,
    stored: HashSet<String>,
    script: VecDeque<Act>,
    always: Option<Act>,
}

/// Whose documents it speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Dialect {
    National,
    P23,
    P44,
}

/// The running partner; stops when dropped.
pub(crate) struct Receiver {
    book: Arc<Mutex<Book>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Binds a port; [`Receiver::open`] begins to serve, once the house has certificates.
    pub(crate) async fn bind() -> Closed {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Closed { url: format!("https://{}", listener.local_addr().unwrap()), listener }
    }

    /// Does these, one a message, and stores what comes after them.
    pub(crate) fn script(&self, acts: impl IntoIterator<Item = Act>) {
        self.book.lock().unwrap().script.extend(acts);
    }

    /// Does this with every message from now on; `None` for storing them.
    pub(crate) fn always(&self, act: Option<Act>) {
        self.book.lock().unwrap().always = act;
    }

    /// Everything that arrived so far, in order.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.book.lock().unwrap().arrivals.clone()
    }

    /// The messages, without the questions.
    pub(crate) fn messages(&self) -> Vec<Arrival> {
        self.arrivals().into_iter().filter(|arrival| !arrival.question).collect()
    }

    /// Message numbers whose work is done.
    pub(crate) fn stored(&self) -> HashSet<String> {
        self.book.lock().unwrap().stored.clone()
    }

    /// Waits until so many different messages are stored.
    pub(crate) async fn stores(&self, count: usize) {
        let what = format!("{count} messages to be stored");
        until(&what, SOON, || async { (self.stored().len() >= count).then_some(()) }).await;
    }

    /// Waits until so many messages arrived, stored or not.
    pub(crate) async fn gets(&self, count: usize) {
        let what = format!("{count} messages to arrive");
        until(&what, SOON, || async { (self.messages().len() >= count).then_some(()) }).await;
    }
}

/// A receiver that does not serve yet.
pub(crate) struct Closed {
    pub(crate) url: String,
    listener: TcpListener,
}

impl Closed {
    pub(crate) fn open(self, dialect: Dialect, certificates: &Tls) -> Receiver {
        let acceptor = TlsAcceptor::from(tls::server(certificates).unwrap());
        let book = Arc::new(Mutex::new(Book::default()));
        let shared = Arc::clone(&book);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = self.listener.accept().await.unwrap();
                let (acceptor, book) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service =
                        service_fn(move |request| serve(dialect, Arc::clone(&book), request));
                    let connection = Builder::new(TokioExecutor::new());
                    // An error is the broken connection that the script asked for.
                    connection
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .unwrap_or_default();
                });
            }
        });
        Receiver { book, task }
    }
}

async fn serve(
    dialect: Dialect,
    book: Arc<Mutex<Book>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let traceparent = request.headers().get("traceparent");
    let traceparent = traceparent.map_or("", |value| value.to_str().unwrap()).to_owned();
    let question = request.method() == Method::GET;
    let path = request.uri().path().to_owned();
    let accept = request.headers().get("accept").map_or("", |v| v.to_str().unwrap()).to_owned();
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let xml = if question { accept.contains("xml") } else { body.trim_start().starts_with('<') };
    let mut book = book.lock().unwrap();
    let number = if question {
        path.rsplit('/').next().unwrap_or_default().to_owned()
    } else {
        message_number(dialect, &body)
    };
    let act = if question {
        Act::Store
    } else {
        let next = book.script.pop_front();
        next.or_else(|| book.always.clone()).unwrap_or(Act::Store)
    };
    let known = book.stored.contains(&number);
    let at = Instant::now();
    let arrival = Arrival { at, question, number: number.clone(), traceparent, body };
    book.arrivals.push(arrival);
    if question {
        return Ok(document(xml, &status(dialect, xml, known)));
    }
    if matches!(act, Act::Store | Act::StoreSilently | Act::StoreAndBabble) {
        book.stored.insert(number);
    }
    match act {
        Act::Store => Ok(document(xml, &reply(dialect, xml, true))),
        Act::Refuse => Ok(document(xml, &reply(dialect, xml, false))),
        Act::StoreSilently | Act::Vanish => Err(io::Error::other("as the script says")),
        Act::StoreAndBabble | Act::Babble => {
            Ok(Response::new(Full::from("<html>It works!</html>")))
        }
        Act::Status(status, after) => {
            let mut response = Response::builder().status(status);
            if let Some(seconds) = after {
                response = response.header("Retry-After", seconds);
            }
            Ok(response.body(Full::from("not now")).unwrap())
        }
    }
}

fn document(xml: bool, text: &str) -> Response<Full<Bytes>> {
    let kind = if xml { "application/xml" } else { "application/json" };
    let response = Response::builder().header("Content-Type", kind);
    response.body(Full::from(text.to_owned())).unwrap()
}

/// What the party says when it stored or refused a message.
fn reply(dialect: Dialect, xml: bool, good: bool) -> String {
    let pick = |yes: &str, no: &str| if good { yes.to_owned() } else { no.to_owned() };
    match (dialect, xml) {
        (Dialect::National, false) => {
            format!(r#"{{"code":"{}","message":"x"}}"#, pick("0", "E409"))
        }
        (Dialect::National, true) => {
            format!("<message><code>{}</code></message>", pick("0", "E409"))
        }
        (Dialect::P23, _) => format!(r#"{{"fhm":"{}","fhxx":"x"}}"#, pick("200", "409")),
        (Dialect::P44, _) => {
            format!(r#"<GdmzAnswer><Result code="{}"/></GdmzAnswer>"#, pick("OK", "REFUSED9"))
        }
    }
}

/// What the party answers to a status question.
fn status(dialect: Dialect, xml: bool, known: bool) -> String {
    let pick = |yes: &str, no: &str| if known { yes.to_owned() } else { no.to_owned() };
    match (dialect, xml) {
        (Dialect::National, false) => {
            format!(r#"{{"code":"0","data":{{"state":"{}"}}}}"#, pick("STORED", "NONE"))
        }
        (Dialect::National, true) => format!(
            "<message><code>0</code><data><state>{}</state></data></message>",
            pick("STORED", "NONE")
        ),
        (Dialect::P23, _) => format!(r#"{{"fhm":"200","sj":{{"zt":"{}"}}}}"#, pick("YJS", "WJS")),
        (Dialect::P44, _) => {
            format!(r#"<GdmzAnswer><Message state="{}"/></GdmzAnswer>"#, pick("在库", "无"))
        }
    }
}

/// The number in a message's envelope.
pub(crate) fn message_number(dialect: Dialect, body: &str) -> String {
    if let Ok(body) = serde_json::from_str::<Value>(body) {
        let place = if dialect == Dialect::P23 { "/bwt/bwbh" } else { "/head/msg_id" };
        return body.pointer(place).and_then(Value::as_str).unwrap().to_owned();
    }
    let (before, after) =
        if dialect == Dialect::P44 { ("<Header ", "\"") } else { ("<msg_id>", "<") };
    let rest = body.split_once(before).unwrap().1;
    let rest = if dialect == Dialect::P44 { rest.split_once("id=\"").unwrap().1 } else { rest };
    rest.split_once(after).unwrap().0.to_owned()
}
