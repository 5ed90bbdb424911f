//! REST: each annotated method of `proto/` as a path, by calling the same gRPC service in process.
//! Depends on the files of edge, intake, auth and model.

mod openapi;
mod route;
mod sse;

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError};
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::{Status, body::Body};

use crate::{
    auth::Caller,
    edge::{
        budget::{self, Counted, Reservation},
        grpc::{self, ProblemSlot, REPLAYED, Services},
        json::{Schema, read::Document},
        native, problem,
        rest::route::{BodyRule, Route},
        stack,
    },
    intake::Intake,
    model::{
        DESCRIPTORS,
        problem::{Problem, Reason, Violation},
        trace::TraceContext,
    },
};

/// The REST side of the port.
pub(super) struct Rest {
    services: Services,
    intake: Arc<Intake>,
    schema: Arc<Schema>,
    routes: Vec<Route>,
    openapi: Bytes,
    body_bytes: usize,
}

impl Rest {
    /// Builds the routes and the OpenAPI document.
    ///
    /// # Errors
    /// What in `proto/` is not provided for.
    pub(super) fn new(
        services: Services,
        intake: Arc<Intake>,
        body_bytes: usize,
    ) -> Result<Self, String> {
        let schema = Arc::new(Schema::compile(&DESCRIPTORS)?);
        let routes = route::routes(&schema)?;
        let openapi = Bytes::from(openapi::document(&routes).to_string());
        Ok(Self { services, intake, schema, routes, openapi, body_bytes })
    }

    /// Whether a path is served without a token, to any certificate.
    pub(super) fn is_open(path: &str) -> bool {
        path == OPENAPI
    }

    /// Answers one REST request.
    ///
    /// # Errors
    /// The refusal, to be told as problem+json.
    pub(super) async fn answer(
        &self,
        request: Request<Counted>,
        trace: TraceContext,
    ) -> Result<Response<Body>, Problem> {
        let path = request.uri().path();
        if path == OPENAPI {
            if request.method() != Method::GET {
                return Ok(not_allowed("GET", &trace));
            }
            return Ok(json(StatusCode::OK, self.openapi.clone()));
        }
        if let Some(door) = native::door(path) {
            if request.method() != Method::POST {
                return Ok(not_allowed("POST", &trace));
            }
            let caller = caller(&request)?;
            let body = self.body(request.into_body()).await?;
            return native::answer(&self.intake, &caller, door?, body, trace).await;
        }
        let mut others = Vec::new();
        for route in &self.routes {
            let Some(values) = route.template.matches(path) else { continue };
            if route.method != request.method() {
                others.push(route.method.as_str());
                continue;
            }
            let values = values.into_iter().map(|value| route::decoded(value, false));
            let values: Option<Vec<String>> = values.collect();
            let values = values.ok_or_else(unknown_path)?;
            return self.transcode(route, values, request, trace).await;
        }
        if others.is_empty() {
            Err(unknown_path())
        } else {
            Ok(not_allowed(&others.join(", "), &trace))
        }
    }

    async fn body(&self, body: Counted) -> Result<Bytes, Problem> {
        let collected = body.collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return stack::too_large(self.body_bytes);
            }
            if error.is::<Status>() {
                return budget::overfull();
            }
            Problem::new(Reason::InvalidArgument, "the body broke off; send it again, whole")
        })?;
        let body = collected.to_bytes();
        if body.len() > self.body_bytes {
            return Err(stack::too_large(self.body_bytes));
        }
        Ok(body)
    }

    async fn transcode(
        &self,
        route: &Route,
        values: Vec<String>,
        request: Request<Counted>,
        trace: TraceContext,
    ) -> Result<Response<Body>, Problem> {
        let caller = caller(&request)?;
        let (parts, body) = request.into_parts();
        // Room for gRPC's prefix, filled in below.
        let mut message = vec![0; PREFIX];
        let mut violations = Vec::new();
        self.read_body(route, &parts.headers, body, &caller, &mut message).await?;
        self.read_path_and_query(route, values, &parts, &mut message, &mut violations);
        if !violations.is_empty() {
            return Err(Problem::violations(violations));
        }
        let slot = ProblemSlot::default();
        let mut inner = Request::new(Body::new(Full::new(framed(message))));
        *inner.method_mut() = Method::POST;
        *inner.uri_mut() = route.rpc.parse().map_err(|_| unknown_path())?;
        let headers = inner.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        if let Some(key) = parts.headers.get(IDEMPOTENCY_KEY) {
            headers.insert(IDEMPOTENCY_KEY, key.clone());
        }
        if let Some(reservation) = parts.extensions.get::<Arc<Reservation>>() {
            inner.extensions_mut().insert(Arc::clone(reservation));
        }
        inner.extensions_mut().insert(caller);
        inner.extensions_mut().insert(trace);
        inner.extensions_mut().insert(slot.clone());
        let response = self.services.call(inner).await;
        self.outward(route, response, slot, trace).await.map_err(|problem| in_body(route, problem))
    }

    async fn read_body(
        &self,
        route: &Route,
        headers: &HeaderMap,
        body: Counted,
        caller: &Caller,
        message: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let kind = match &route.body {
            BodyRule::None => return Ok(()),
            BodyRule::Whole => route.input,
            BodyRule::Field { message, .. } => *message,
        };
        is_json(headers)?;
        let body = self.body(body).await?;
        let Document { bytes, violations: found } = self
            .schema
            .read(kind, &body)
            .map_err(|wrong| Problem::new(Reason::InvalidArgument, wrong.to_string()))?;
        if !found.is_empty() {
            return Err(grpc::refuse_form(&self.intake, &route.rpc, caller, &bytes, found).await);
        }
        if let BodyRule::Field { number, .. } = &route.body {
            encode_key(*number, WireType::LengthDelimited, message);
            encode_varint(bytes.len() as u64, message);
        }
        message.extend_from_slice(&bytes);
        Ok(())
    }

    /// Path and query come last: of a field that stands twice, the last counts.
    fn read_path_and_query(
        &self,
        route: &Route,
        values: Vec<String>,
        parts: &http::request::Parts,
        message: &mut Vec<u8>,
        violations: &mut Vec<Violation>,
    ) {
        let mut append = |name: &str, value: &str| {
            let appended = self.schema.append(route.input, name, value, message);
            violations.extend(appended.err());
        };
        for pair in parts.uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let read = route::decoded(name, true).zip(route::decoded(value, true));
            let (name, value) = read.unwrap_or_else(|| (name.to_owned(), "\u{fffd}".to_owned()));
            let from_elsewhere = match &route.body {
                BodyRule::None => route.template.parameters().any(|p| p == name),
                BodyRule::Whole => true,
                BodyRule::Field { name: body, .. } => name.split('.').next() == Some(body.as_str()),
            };
            // An empty name is known to no message.
            append(if from_elsewhere { "" } else { &name }, &value);
        }
        for (name, value) in route.template.parameters().zip(&values) {
            append(name, value);
        }
        let last = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        if let Some(last) = last.filter(|id| route.streams && !id.is_empty()) {
            append("after_event", last);
        }
    }

    async fn outward(
        &self,
        route: &Route,
        response: Response<Body>,
        slot: ProblemSlot,
        trace: TraceContext,
    ) -> Result<Response<Body>, Problem> {
        let (parts, body) = response.into_parts();
        if let Some(problem) = sse::refusal(&parts.headers, &slot) {
            return Err(problem);
        }
        if route.streams {
            return Ok(sse::events(body, Arc::clone(&self.schema), route.output, slot, trace));
        }
        let broken = || Problem::new(Reason::Internal, "the answer can't be written as JSON");
        let collected = body.collect().await.map_err(|status| problem::of_foreign(&status))?;
        if let Some(problem) = collected.trailers().and_then(|t| sse::refusal(t, &slot)) {
            return Err(problem);
        }
        let mut buffer = BytesMut::from(collected.to_bytes());
        let message = sse::message(&mut buffer).ok_or_else(broken)?;
        let body = self.schema.write(route.output, &message).map_err(|_| broken())?;
        let status = if route.creates { StatusCode::CREATED } else { StatusCode::OK };
        let mut response = json(status, Bytes::from(body));
        if parts.headers.contains_key(REPLAYED) {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        if route.creates
            && let Some(id) = self.schema.text(route.output, "id", &message)
            && let Ok(place) = HeaderValue::from_str(&format!("{}/{id}", route.template))
        {
            response.headers_mut().insert(header::LOCATION, place);
        }
        Ok(response)
    }
}

/// Paths of the request message as paths of the body.
fn in_body(route: &Route, mut problem: Problem) -> Problem {
    if let BodyRule::Field { name, .. } = &route.body {
        for violation in &mut problem.violations {
            let rest = violation.field.strip_prefix(name.as_str());
            if let Some(rest) = rest.and_then(|rest| rest.strip_prefix('.')) {
                violation.field = rest.to_owned();
            }
        }
    }
    problem
}

fn framed(mut message: Vec<u8>) -> Bytes {
    let length = u32::try_from(message.len() - PREFIX).unwrap_or(u32::MAX);
    (&mut message[1..PREFIX]).put_u32(length);
    Bytes::from(message)
}

fn caller(request: &Request<Counted>) -> Result<Caller, Problem> {
    let unknown = || Problem::new(Reason::Unauthenticated, "this path needs a token");
    request.extensions().get::<Caller>().cloned().ok_or_else(unknown)
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "this path reads `Content-Type: application/json` only";
    Err(Problem::new(Reason::UnsupportedMediaType, detail))
}

fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn unknown_path() -> Problem {
    Problem::new(Reason::UnknownPath, "no such path; GET /openapi.json lists them")
}

fn not_allowed(methods: &str, trace: &TraceContext) -> Response<Body> {
    let problem = Problem::new(Reason::UnknownPath, format!("this path answers to {methods} only"));
    let mut response = problem::to_http_as(StatusCode::METHOD_NOT_ALLOWED, &problem, trace)
        .map(|body| Body::new(Full::new(body)));
    if let Ok(methods) = HeaderValue::from_str(methods) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

const OPENAPI: &str = "/openapi.json";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// gRPC's prefix of a message: compressed or not, and four bytes of length.
const PREFIX: usize = 5;
