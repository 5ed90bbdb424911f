//! What every call goes through, in order, whatever it speaks. Depends on auth, telemetry and the
//! other files of edge.

use std::{
    any::Any,
    collections::HashMap,
    convert::Infallible,
    future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::{runtime::Handle, task::yield_now};
use tokio_util::{context::TokioContext, task::TaskTracker};
use tonic::{Status, body::Body};

use crate::{
    auth::{Auth, PeerIdentity},
    config::Limits,
    edge::{
        budget::{Budget, Counted, Reservation},
        desks::Desks,
        grpc::{self, Services},
        limits::{PartyLimits, Taken},
        problem,
        rest::Rest,
    },
    model::{
        problem::{Problem, Reason},
        trace::TraceContext,
    },
    telemetry::{self, Span, load},
};

/// The stack of the port.
pub(super) struct Stack {
    auth: Arc<Auth>,
    parties: HashMap<String, (Arc<PartyLimits>, Handle)>,
    /// Of those whose certificate is no party's: they get little further than this.
    strangers: (Arc<PartyLimits>, Handle),
    budget: Arc<Budget>,
    services: Services,
    rest: Rest,
    longest_call: Duration,
    body_bytes: usize,
    home: Handle,
}

/// What is known of a connection once its handshake is done.
pub(super) struct Connection {
    peer: Option<PeerIdentity>,
    limits: Arc<PartyLimits>,
    desk: Handle,
    _place: Taken,
}

impl Connection {
    /// Where its calls are worked on.
    pub(super) const fn desk(&self) -> &Handle {
        &self.desk
    }

    fn party(&self) -> &str {
        self.peer.as_ref().map_or(UNKNOWN, PeerIdentity::party)
    }
}

/// How a call is answered, on the heap: hyper moves the future a few times.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Held>, Infallible>> + Send>>;

/// A call that was let in.
struct Entry {
    came: Instant,
    grpc: bool,
    held: (Taken, Arc<Reservation>),
}

/// What a call carries through the stack.
struct Passage {
    came: Instant,
    trace: TraceContext,
    grpc: bool,
}

impl Stack {
    /// Puts the stack together.
    pub(super) fn new(
        auth: Arc<Auth>,
        desks: &Desks,
        (services, rest): (Services, Rest),
        limits: &Limits,
    ) -> Self {
        let party = |code| (Arc::new(PartyLimits::new(code, limits)), desks.of(code));
        Self {
            strangers: party(UNKNOWN),
            budget: Budget::new(limits.body_bytes_in_flight),
            parties: auth.parties().map(|code| (code.to_owned(), party(code))).collect(),
            auth,
            services,
            rest,
            longest_call: Duration::from_secs(limits.call_seconds),
            body_bytes: limits.body_bytes,
            home: Handle::current(),
        }
    }

    /// Looks at a connection's certificate, once for all its calls; `None` when the party has as
    /// many connections as it may.
    pub(super) fn connection(&self, certificate: Option<&[u8]>) -> Option<Connection> {
        let peer = certificate.and_then(|certificate| self.auth.identify(certificate));
        let party = peer.as_ref().and_then(|peer| self.parties.get(peer.party()));
        let (limits, desk) = party.unwrap_or(&self.strangers).clone();
        limits.connect().map(|place| Connection { peer, limits, desk, _place: place })
    }

    /// Answers one call, whose head has just been read. Who finds no place is turned away here and now,
    /// in no line behind the calls that are worked on; who is let in begins later.
    pub(super) fn call(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        request: Request<Incoming>,
        tasks: &TaskTracker,
    ) -> Answer {
        let came = Instant::now();
        let grpc = is_grpc(request.headers());
        // 1. The party's rate and calls at once: before anything that costs more.
        match connection.limits.enter() {
            Ok(place) => {
                let reservation = self.budget.open(connection.party());
                let entry = Entry { came, grpc, held: (place, reservation) };
                let answer = Arc::clone(self).answer(Arc::clone(connection), request, entry);
                // What a call begins belongs to the house, not to the party's desk: connections to
                // others that it opens, or a read of the store, may serve other parties and outlive it.
                Box::pin(TokioContext::new(answer, self.home.clone()))
            }
            Err(refusal) => {
                let trace = traced(&request).unwrap_or_default();
                let response = refused(&refusal, connection, &Passage { came, trace, grpc });
                if !request.body().is_end_stream() {
                    tasks.spawn(pour_away(request.into_body(), self.body_bytes));
                }
                Box::pin(future::ready(Ok(self.held(response, &trace, None))))
            }
        }
    }

    async fn answer(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: Request<Incoming>,
        Entry { came, grpc, held }: Entry,
    ) -> Result<Response<Held>, Infallible> {
        yield_now().await;
        // 2. Trace: continue the caller's, or start one; everything below knows it.
        let mut span = telemetry::call("edge.call", traced(&request));
        let trace = span.context();
        let passage = Passage { came, trace, grpc };
        describe(&mut span, &connection, &request);
        // 3. Panics: a fault of ours ends this call, never the connection's other calls. On the heap:
        //    what is around it would be many times as long.
        let work = Box::pin(self.work(&connection, request, (&passage, Arc::clone(&held.1))));
        let work = AssertUnwindSafe(connection.limits.begin(work));
        let response = match work.catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(refusal)) => refused(&refusal, &connection, &passage),
            Err(panic) => {
                report(panic.as_ref(), &trace);
                let detail = "the gateway failed; name the trace id when you ask about it";
                refused(&Problem::new(Reason::Internal, detail), &connection, &passage)
            }
        };
        if response.status().is_server_error() {
            span.fail(response.status().as_str());
        }
        span.set("http.response.status_code", i64::from(response.status().as_u16()));
        Ok(self.held(response, &trace, Some(held)))
    }

    fn held(
        &self,
        response: Response<Body>,
        trace: &TraceContext,
        held: Option<(Taken, Arc<Reservation>)>,
    ) -> Response<Held> {
        let home = self.home.clone();
        let mut response = response.map(|body| Held { body, home, _held: held });
        if let Ok(value) = HeaderValue::from_str(&trace.to_string()) {
            response.headers_mut().insert(TRACEPARENT, value);
        }
        response
    }

    async fn work(
        &self,
        connection: &Connection,
        mut request: Request<Incoming>,
        (passage, reservation): (&Passage, Arc<Reservation>),
    ) -> Result<Response<Body>, Problem> {
        // 4. Who calls: token bound to the connection's certificate.
        let path = request.uri().path();
        let open = if passage.grpc { grpc::is_open(path) } else { Rest::is_open(path) };
        if !open {
            let token = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
            let caller = self.auth.authenticate(connection.peer.as_ref(), token)?;
            request.extensions_mut().insert(caller);
        }
        request.extensions_mut().insert(passage.trace);
        // 5. Size: said to be too large is refused unread; what only turns out so is cut off. And
        //    what is in memory at once, of all parties.
        if request.body().size_hint().lower() > self.body_bytes as u64 + FRAMING as u64 {
            pour_away(request.into_body(), self.body_bytes).await;
            return Err(too_large(self.body_bytes));
        }
        request.extensions_mut().insert(Arc::clone(&reservation));
        let request = request.map(|body| {
            let body = Limited::new(body, self.body_bytes + FRAMING);
            Counted::new(body, reservation, passage.trace)
        });
        // 6. Time: the caller's own limit or ours, whichever is shorter, until the answer begins.
        let longest = longest(request.headers())
            .map_or(self.longest_call, |theirs| theirs.min(self.longest_call));
        let work = self.dispatch(request, passage);
        tokio::time::timeout(longest, work).await.unwrap_or_else(|_| {
            let detail = "the call took longer than allowed; send it again with the same \
                          idempotency key";
            Err(Problem::new(Reason::DeadlineExceeded, detail))
        })
    }

    /// 7. The work itself, by what the call speaks.
    async fn dispatch(
        &self,
        request: Request<Counted>,
        passage: &Passage,
    ) -> Result<Response<Body>, Problem> {
        if passage.grpc {
            let response = self.services.call(request.map(Body::new)).await;
            let response = grpc::in_our_shape(response, &passage.trace);
            if response.headers().get("grpc-status").is_some_and(|status| status == SHED) {
                load::refused(passage.came.elapsed());
            }
            return Ok(response);
        }
        // On the heap: it is long, and what awaits it would be as long.
        Box::pin(self.rest.answer(request, passage.trace)).await
    }
}

/// A response body that holds its party's place, and the bytes it takes, until it has been sent or
/// dropped.
pub(super) struct Held {
    body: Body,
    home: Handle,
    _held: Option<(Taken, Arc<Reservation>)>,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { body, home, .. } = &mut *self;
        let _home = home.enter();
        Pin::new(body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The refusal of a body over the limit.
pub(super) fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is larger than {limit} bytes; send materials by reference");
    Problem::new(Reason::PayloadTooLarge, detail)
}

/// Reads a refused body without keeping it, for a while: many HTTP/2 clients lose an answer that
/// comes before they have sent everything, and of too many bodies that nobody reads h2 ends the
/// connection (`too_many_internal_resets`), with the calls that were let in.
async fn pour_away(mut body: Incoming, limit: usize) {
    let mut most = limit.saturating_mul(4);
    let pouring = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = most.checked_sub(length) else { return };
            most = rest;
        }
    };
    // Whether all was read does not matter to the answer.
    drop(tokio::time::timeout(POURING, pouring).await);
}

fn refused(problem: &Problem, connection: &Connection, passage: &Passage) -> Response<Body> {
    let party = connection.party();
    telemetry::count_refused(party, problem.reason.code());
    if matches!(problem.reason, Reason::RateLimited | Reason::Overloaded) {
        load::refused(passage.came.elapsed());
    }
    tracing::debug!(
        party.code = party,
        reason = problem.reason.code(),
        trace.id = passage.trace.trace_id_hex(),
        "call refused"
    );
    if passage.grpc {
        return problem::to_status(problem, &passage.trace).into_http();
    }
    problem::to_http(problem, &passage.trace).map(|body| Body::new(Full::new(body)))
}

fn report(panic: &(dyn Any + Send), trace: &TraceContext) {
    // The message may hold what the call carried, so only its presence is told; the panic hook
    // has written the place.
    let told = panic.is::<&str>() || panic.is::<String>();
    tracing::error!(trace.id = trace.trace_id_hex(), told, "a call panicked");
}

fn describe(span: &mut Span, connection: &Connection, request: &Request<Incoming>) {
    if let Some(peer) = &connection.peer {
        span.set("party.code", peer.party().to_owned());
    }
    span.set("http.request.method", request.method().as_str().to_owned());
    // Without the query: a caller may put anything there.
    span.set("url.path", request.uri().path().to_owned());
}

/// The trace that the caller says it belongs to.
fn traced(request: &Request<Incoming>) -> Option<TraceContext> {
    let header = request.headers().get(TRACEPARENT)?;
    TraceContext::parse(header.to_str().ok()?)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    // `application/grpc-web` is another protocol, and not served.
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// `grpc-timeout`: at most 8 digits and a unit.
fn longest(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let well_formed = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| well_formed)?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Stands for the party where there is none.
const UNKNOWN: &str = "unknown";
/// `RESOURCE_EXHAUSTED` as a gRPC status.
const SHED: &str = "8";
const TRACEPARENT: &str = "traceparent";
/// Longest a refused body is read.
const POURING: Duration = Duration::from_secs(5);
/// What gRPC puts before a message, and a little for the other frames of a short stream.
const FRAMING: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read_and_malformed_ones_passed_over() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            longest(&headers)
        };
        assert_eq!(read("1S"), Some(Duration::from_secs(1)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for wrong in ["", "S", "1", "123456789S", "-1S", "1x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
