//! The gRPC services: decode, ask intake, encode. REST calls the same services in process.
//! Depends on intake, auth and model.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::HeaderMap;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, body::Body, service::Routes};
use tower::Service as _;

use crate::{
    auth::{Caller, Scope},
    edge::{budget::Reservation, problem, questions::Verifications},
    intake::{Answer, Change, Intake, Questions},
    model::{
        DESCRIPTOR_SET, pb,
        pb::application_service_server::{
            ApplicationService, ApplicationServiceServer, SERVICE_NAME,
        },
        pb::verification_service_server::VerificationServiceServer,
        problem::{Problem, Reason, Violation},
        trace::TraceContext,
    },
    telemetry,
};

/// All services of the port.
#[derive(Clone)]
pub(super) struct Services {
    applications: ApplicationServiceServer<Applications>,
    others: Routes,
}

impl Services {
    /// Builds the services; watches end when `shutdown` is cancelled.
    ///
    /// # Errors
    /// When reflection can't read our own descriptors.
    pub(super) async fn new(
        intake: Arc<Intake>,
        questions: Arc<Questions>,
        message_bytes: usize,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let applications = ApplicationServiceServer::new(Applications { intake, shutdown })
            .max_decoding_message_size(message_bytes)
            .max_encoding_message_size(usize::MAX);
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<ApplicationServiceServer<Applications>>().await;
        reporter.set_serving::<VerificationServiceServer<Verifications>>().await;
        let verifications = VerificationServiceServer::new(Verifications(questions))
            .max_decoding_message_size(message_bytes);
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let others = Routes::new(health)
            .add_service(verifications)
            .add_service(reflection().build_v1()?)
            // Older grpcurl asks for this one.
            .add_service(reflection().build_v1alpha()?)
            .prepare();
        Ok(Self { applications, others })
    }

    /// Answers one gRPC request. The path decides the service; ours is asked first because it is
    /// the busy one.
    pub(super) async fn call(&self, request: http::Request<Body>) -> http::Response<Body> {
        let path = request.uri().path().as_bytes();
        let ours =
            path.strip_prefix(b"/").and_then(|rest| rest.strip_prefix(SERVICE_NAME.as_bytes()));
        let answer = if ours.is_some_and(|rest| rest.starts_with(b"/")) {
            self.applications.clone().call(request).await
        } else {
            self.others.clone().call(request).await
        };
        answer.unwrap_or_else(|never| match never {})
    }
}

/// The refusal of a document for its form, and of what the rules of intake have against the rest
/// of it, so that all mistakes are told at once. Paths are relative to the body.
pub(super) async fn refuse_form(
    intake: &Intake,
    rpc: &str,
    caller: &Caller,
    bytes: &[u8],
    mut violations: Vec<Violation>,
) -> Problem {
    let operation = rpc.rsplit('/').next().unwrap_or(rpc);
    if operation == "SubmitApplication" {
        if let Err(problem) = caller.require(Scope::Submit) {
            return problem;
        }
        let application = pb::Application::decode(bytes).unwrap_or_default();
        let further = intake.validate(caller, &application);
        // What was left out for its form is not also told to be missing.
        let fresh = |field: &str| {
            !violations.iter().any(|known| {
                let rest = field.strip_prefix(known.field.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
        };
        let further: Vec<_> = further.into_iter().filter(|v| fresh(&v.field)).collect();
        violations.extend(further);
    }
    intake.refuse(caller, operation, Problem::violations(violations)).await
}

/// Whether a path is served without a token: health and reflection, to any certificate.
pub(super) fn is_open(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/") || path.starts_with("/grpc.reflection.v1")
}

/// Gives an answer that tonic made itself the shape of ours.
pub(super) fn in_our_shape(
    response: http::Response<Body>,
    trace: &TraceContext,
) -> http::Response<Body> {
    match foreign(response.headers()) {
        None => response,
        Some(problem) => problem::to_status(&problem, trace).into_http(),
    }
}

/// The problem that tonic states in `headers` without details; `None` when all is well or the
/// status is ours.
pub(super) fn foreign(headers: &HeaderMap) -> Option<Problem> {
    let status = headers.get("grpc-status").filter(|status| status.as_bytes() != b"0")?;
    if headers.contains_key("grpc-status-details-bin") {
        return None;
    }
    let code = tonic::Code::from_bytes(status.as_bytes());
    let message = headers.get("grpc-message").and_then(|text| text.to_str().ok());
    Some(problem::of_foreign(&Status::new(code, message.unwrap_or_default())))
}

/// Where a problem is put down for REST, which calls in process and needs it whole.
#[derive(Clone, Default)]
pub(super) struct ProblemSlot(Arc<Mutex<Option<Problem>>>);

impl ProblemSlot {
    fn put(&self, problem: Problem) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }

    /// The problem, if one was put down.
    pub(super) fn take(&self) -> Option<Problem> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

pub(super) struct Applications {
    intake: Arc<Intake>,
    shutdown: CancellationToken,
}

/// What the stack has found out about a call before it comes here.
pub(super) struct Call {
    caller: Option<Caller>,
    trace: TraceContext,
    slot: Option<ProblemSlot>,
    reservation: Option<Arc<Reservation>>,
    key: Result<String, Problem>,
}

impl Call {
    pub(super) fn open<T>(request: Request<T>) -> (Self, T) {
        let (metadata, extensions, message) = request.into_parts();
        let call = Self {
            caller: extensions.get::<Caller>().cloned(),
            trace: extensions.get::<TraceContext>().copied().unwrap_or_default(),
            slot: extensions.get::<ProblemSlot>().cloned(),
            reservation: extensions.get::<Arc<Reservation>>().cloned(),
            key: key(metadata.get("idempotency-key").map(|value| value.as_encoded_bytes())),
        };
        (call, message)
    }

    pub(super) fn caller(&self, scope: Scope) -> Result<&Caller, Problem> {
        let unknown = || Problem::new(Reason::Unauthenticated, "this method needs a token");
        let caller = self.caller.as_ref().ok_or_else(unknown)?;
        caller.require(scope)?;
        Ok(caller)
    }

    fn refuse(&self, problem: Problem) -> Status {
        // Of REST calls the stack counts the refusals, this one's too.
        let Some(slot) = &self.slot else {
            let party = self.caller.as_ref().map_or("unknown", Caller::party);
            telemetry::count_refused(party, problem.reason.code());
            return problem::to_status(&problem, &self.trace);
        };
        let code = problem::outward(problem.reason).code;
        slot.put(problem);
        Status::new(code, "")
    }

    pub(super) const fn trace(&self) -> TraceContext {
        self.trace
    }

    pub(super) fn answer<T: prost::Message>(
        &self,
        outcome: Result<T, Problem>,
    ) -> Result<Response<T>, Status> {
        // What is read may be far longer than what asked for it.
        let fits = |answer: T| match &self.reservation {
            Some(reservation) => reservation.take(answer.encoded_len()).map(|()| answer),
            None => Ok(answer),
        };
        outcome.and_then(fits).map(Response::new).map_err(|problem| self.refuse(problem))
    }

    fn answer_change(
        &self,
        outcome: Result<Answer, Problem>,
    ) -> Result<Response<pb::Application>, Status> {
        let answer = outcome.map_err(|problem| self.refuse(problem))?;
        let mut response = Response::new(*answer.application);
        if answer.replayed {
            let yes = tonic::metadata::MetadataValue::from_static("true");
            response.metadata_mut().insert(REPLAYED, yes);
        }
        Ok(response)
    }
}

/// The idempotency key, 1 to 128 visible ASCII characters (design §5).
fn key(value: Option<&[u8]>) -> Result<String, Problem> {
    let value = value.filter(|value| !value.is_empty()).ok_or_else(|| {
        let detail = "send the header `Idempotency-Key` (gRPC metadata `idempotency-key`) with 1 to \
                      128 visible ASCII characters, a new one for each new piece of work";
        Problem::new(Reason::IdempotencyKeyRequired, detail)
    })?;
    match std::str::from_utf8(value) {
        Ok(text) if text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(text.to_owned())
        }
        _ => Err(Problem::violations(vec![Violation::form(
            "Idempotency-Key",
            "must have 1 to 128 visible ASCII characters and no blanks",
        )])),
    }
}

impl Applications {
    async fn change(
        &self,
        call: &Call,
        scope: Scope,
        change: Change,
    ) -> Result<Response<pb::Application>, Status> {
        let outcome = async {
            let caller = call.caller(scope)?;
            let key = call.key.as_ref().map_err(Problem::clone)?;
            self.intake.change(caller, key, change, call.trace).await
        };
        call.answer_change(outcome.await)
    }
}

type Watch = Pin<Box<dyn Stream<Item = Result<pb::ApplicationEvent, Status>> + Send>>;

#[tonic::async_trait]
impl ApplicationService for Applications {
    type WatchApplicationsStream = Watch;

    async fn submit_application(
        &self,
        request: Request<pb::SubmitApplicationRequest>,
    ) -> Result<Response<pb::Application>, Status> {
        let (call, message) = Call::open(request);
        let outcome = async {
            let caller = call.caller(Scope::Submit)?;
            let key = call.key.as_ref().map_err(Problem::clone)?;
            // On the heap from here on: by value it would be moved at every step of the way.
            let application = message.application.map(Box::new).ok_or_else(|| {
                Problem::violations(vec![Violation::form("", "is required; fill it in")])
            })?;
            self.intake.submit(caller, key, application, call.trace).await
        };
        call.answer_change(outcome.await.map_err(under_application))
    }

    async fn get_application(
        &self,
        request: Request<pb::GetApplicationRequest>,
    ) -> Result<Response<pb::Application>, Status> {
        let (call, message) = Call::open(request);
        let outcome = async { self.intake.get(call.caller(Scope::Read)?, &message.id).await };
        call.answer(outcome.await)
    }

    async fn list_applications(
        &self,
        request: Request<pb::ListApplicationsRequest>,
    ) -> Result<Response<pb::ListApplicationsResponse>, Status> {
        let (call, message) = Call::open(request);
        let outcome = async { self.intake.list(call.caller(Scope::Read)?, message).await };
        call.answer(outcome.await)
    }

    async fn list_application_events(
        &self,
        request: Request<pb::ListApplicationEventsRequest>,
    ) -> Result<Response<pb::ListApplicationEventsResponse>, Status> {
        let (call, message) = Call::open(request);
        let outcome = async {
            let events = self.intake.events(call.caller(Scope::Read)?, &message.id).await?;
            Ok(pb::ListApplicationEventsResponse { events })
        };
        call.answer(outcome.await)
    }

    async fn watch_applications(
        &self,
        request: Request<pb::WatchApplicationsRequest>,
    ) -> Result<Response<Watch>, Status> {
        let (call, message) = Call::open(request);
        let events = call
            .caller(Scope::Read)
            .and_then(|caller| self.intake.watch(caller, &message.after_event))
            .map_err(|problem| call.refuse(problem))?;
        let ending = self.shutdown.clone().cancelled_owned();
        let farewell = futures::stream::once(async {
            let detail = "the gateway goes down; watch again after the last event you have";
            Err(Problem::new(Reason::Unavailable, detail))
        });
        let told = events.take_until(ending).chain(farewell);
        Ok(Response::new(Box::pin(told.map_err(move |problem| call.refuse(problem)))))
    }

    async fn supplement_application(
        &self,
        request: Request<pb::SupplementApplicationRequest>,
    ) -> Result<Response<pb::Application>, Status> {
        let (call, message) = Call::open(request);
        self.change(&call, Scope::Submit, Change::Supplement(message)).await
    }

    async fn withdraw_application(
        &self,
        request: Request<pb::WithdrawApplicationRequest>,
    ) -> Result<Response<pb::Application>, Status> {
        let (call, message) = Call::open(request);
        self.change(&call, Scope::Submit, Change::Withdraw(message)).await
    }

    async fn accept_application(
        &self,
        request: Request<pb::AcceptApplicationRequest>,
    ) -> Result<Response<pb::Application>, Status> {
        let (call, message) = Call::open(request);
        self.change(&call, Scope::Decide, Change::Accept(message)).await
    }

    async fn request_supplement(
        &self,
        request: Request<pb::RequestSupplementRequest>,
    ) -> Result<Response<pb::Application>, Status> {
        let (call, message) = Call::open(request);
        self.change(&call, Scope::Decide, Change::RequestSupplement(message)).await
    }

    async fn decide_application(
        &self,
        request: Request<pb::DecideApplicationRequest>,
    ) -> Result<Response<pb::Application>, Status> {
        let (call, message) = Call::open(request);
        self.change(&call, Scope::Decide, Change::Decide(Box::new(message))).await
    }
}

/// Intake's paths begin at the application; the caller's begin at the request message.
fn under_application(mut problem: Problem) -> Problem {
    for violation in &mut problem.violations {
        if violation.field.is_empty() {
            "application".clone_into(&mut violation.field);
        } else if violation.field != "Idempotency-Key" {
            violation.field.insert_str(0, "application.");
        }
    }
    problem
}

/// Says that the answer is that of an earlier call with the same key.
pub(super) const REPLAYED: &str = "idempotency-replayed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_one_to_128_visible_characters() {
        assert_eq!(key(None).unwrap_err().reason, Reason::IdempotencyKeyRequired);
        assert_eq!(key(Some(b"")).unwrap_err().reason, Reason::IdempotencyKeyRequired);
        assert_eq!(key(Some(&[b'~'; 128])).unwrap().len(), 128);
        for wrong in [&[b'a'; 129][..], b"a b", b"\x7f", "键".as_bytes()] {
            assert_eq!(key(Some(wrong)).unwrap_err().reason, Reason::InvalidArgument);
        }
    }

    #[test]
    fn paths_are_relative_to_the_request_message() {
        let problem = Problem::violations(vec![
            Violation::form("", "is required"),
            Violation::form("applicant.name", "is required"),
        ]);
        let fields = under_application(problem).violations.into_iter().map(|v| v.field);
        assert_eq!(fields.collect::<Vec<_>>(), ["application", "application.applicant.name"]);
    }
}
