//! A small partner system that does what a test tells it: takes messages over mutual TLS, keeps a
//! book of everything that arrived, and answers well or badly by script or by the dice. Knows each
//! party's answer documents by heart; shares no code with the gateway but the TLS set-up.

use std::{
    collections::{HashSet, VecDeque},
    future::{Future, pending},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Instant,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
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
    /// Store it, and never answer: the connection stays open.
    StoreAndHang,
    /// Never answer, without storing it.
    Hang,
    /// Store it, and break the connection in the middle of the answer.
    StoreAndCut,
    /// Break the connection in the middle of an answer, without storing it.
    Cut,
}

impl Act {
    /// Whether the sender knows by it that nothing was done.
    const fn turns_away(&self) -> bool {
        matches!(self, Self::Refuse | Self::Status(429, _) | Self::Status(503, Some(_)))
    }

    fn stores(&self) -> bool {
        use Act::{Store, StoreAndBabble, StoreAndCut, StoreAndHang, StoreSilently};
        matches!(self, Store | StoreSilently | StoreAndBabble | StoreAndHang | StoreAndCut)
    }
}

/// What is done with a stored message before it is answered.
pub(crate) type Before = dyn Fn(String) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// One request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    /// A status question rather than a message.
    pub(crate) question: bool,
    pub(crate) number: String,
    /// Of a message: the application that its envelope names.
    pub(crate) application: String,
    /// Of a message: that its work is done because of it. Of a question: that it was answered
    /// with yes.
    pub(crate) stored: bool,
    /// Of a message: that it was answered with not now, or never.
    pub(crate) turned_away: bool,
    pub(crate) traceparent: String,
    pub(crate) body: String,
}

#[derive(Default)]
struct Book {
    arrivals: Vec<Arrival>,
    stored: HashSet<String>,
    /// Applications that a stored message is about.
    held: HashSet<String>,
    script: VecDeque<Act>,
    always: Option<Act>,
    /// So many of a hundred messages meet one of these.
    dice: Option<(u32, Vec<Act>)>,
    thrown: u32,
    before: Option<Arc<Before>>,
    /// What messages say is not kept, for tests with very many of them.
    lean: bool,
}

impl Book {
    fn next(&mut self) -> Act {
        if let Some(act) = self.script.pop_front().or_else(|| self.always.clone()) {
            return act;
        }
        let Some((percent, acts)) = &self.dice else { return Act::Store };
        self.thrown = self.thrown.wrapping_add(1);
        // A cheap hash of the count: the same course in every run.
        let number = self.thrown.wrapping_mul(2_654_435_761) >> 8;
        if number % 100 < *percent {
            return acts[(number / 100) as usize % acts.len()].clone();
        }
        Act::Store
    }
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
        let address = listener.local_addr().unwrap();
        Closed { url: format!("https://{address}"), address, listener }
    }

    /// Does these, one a message, and stores what comes after them.
    pub(crate) fn script(&self, acts: impl IntoIterator<Item = Act>) {
        self.book.lock().unwrap().script.extend(acts);
    }

    /// Does this with every message from now on; `None` for storing them.
    pub(crate) fn always(&self, act: Option<Act>) {
        self.book.lock().unwrap().always = act;
    }

    /// Does one of these with so many of a hundred messages from now on.
    pub(crate) fn dice(&self, percent: u32, acts: impl IntoIterator<Item = Act>) {
        self.book.lock().unwrap().dice = Some((percent, acts.into_iter().collect()));
    }

    /// Keeps no longer what messages say.
    pub(crate) fn lean(&self) {
        self.book.lock().unwrap().lean = true;
    }

    /// Does this with the application of a stored message before it is answered.
    pub(crate) fn before_answering(&self, before: Option<Arc<Before>>) {
        self.book.lock().unwrap().before = before;
    }

    /// Whether a message about the application is stored.
    pub(crate) fn holds(&self, application: &str) -> bool {
        self.book.lock().unwrap().held.contains(application)
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
    pub(crate) address: SocketAddr,
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
) -> Result<Response<Body>, io::Error> {
    let traceparent = request.headers().get("traceparent");
    let traceparent = traceparent.map_or("", |value| value.to_str().unwrap()).to_owned();
    let question = request.method() == Method::GET;
    let path = request.uri().path().to_owned();
    let accept = request.headers().get("accept").map_or("", |v| v.to_str().unwrap()).to_owned();
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let xml = if question { accept.contains("xml") } else { body.trim_start().starts_with('<') };
    let number = if question {
        path.rsplit('/').next().unwrap_or_default().to_owned()
    } else {
        message_number(dialect, &body)
    };
    let application = if question { String::new() } else { application(dialect, &body) };
    let (act, known, before) = {
        let mut book = book.lock().unwrap();
        let act = if question { Act::Store } else { book.next() };
        let known = book.stored.contains(&number);
        let stored = if question { known } else { !known && act.stores() };
        if stored {
            book.stored.insert(number.clone());
            book.held.insert(application.clone());
        }
        let body = if book.lean { String::new() } else { body };
        book.arrivals.push(Arrival {
            at: Instant::now(),
            question,
            number,
            application: application.clone(),
            stored,
            turned_away: act.turns_away(),
            traceparent,
            body,
        });
        (act, known, book.before.clone().filter(|_| stored && !question))
    };
    if question {
        return Ok(document(xml, status(dialect, xml, known)));
    }
    if let Some(before) = before {
        before(application).await;
    }
    perform(dialect, xml, act).await
}

async fn perform(dialect: Dialect, xml: bool, act: Act) -> Result<Response<Body>, io::Error> {
    match act {
        Act::Store => Ok(document(xml, reply(dialect, xml, true))),
        Act::Refuse => Ok(document(xml, reply(dialect, xml, false))),
        Act::StoreSilently | Act::Vanish => Err(io::Error::other("as the script says")),
        Act::StoreAndHang | Act::Hang => pending().await,
        Act::StoreAndCut | Act::Cut => {
            let half = Bytes::from(reply(dialect, xml, true).split_at(8).0.to_owned());
            let cut = Err(io::Error::other("as the script says"));
            let frames = futures::stream::iter([Ok(Frame::data(half)), cut]);
            Ok(Response::new(BoxBody::new(StreamBody::new(frames))))
        }
        Act::StoreAndBabble | Act::Babble => Ok(Response::new(whole("<html>It works!</html>"))),
        Act::Status(status, after) => {
            let mut response = Response::builder().status(status);
            if let Some(seconds) = after {
                response = response.header("Retry-After", seconds);
            }
            Ok(response.body(whole("not now")).unwrap())
        }
    }
}

type Body = BoxBody<Bytes, io::Error>;

fn whole(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

fn document(xml: bool, text: String) -> Response<Body> {
    let kind = if xml { "application/xml" } else { "application/json" };
    Response::builder().header("Content-Type", kind).body(whole(text)).unwrap()
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

/// The application that a message's envelope names.
fn application(dialect: Dialect, body: &str) -> String {
    if let Ok(body) = serde_json::from_str::<Value>(body) {
        let place = if dialect == Dialect::P23 { "/bwt/bjbh" } else { "/head/app_id" };
        return body.pointer(place).and_then(Value::as_str).unwrap().to_owned();
    }
    let name = if dialect == Dialect::P44 { "<ApplicationId>" } else { "<app_id>" };
    body.split_once(name).unwrap().1.split_once('<').unwrap().0.to_owned()
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
