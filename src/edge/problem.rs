//! Tells a [`Problem`] in both formats: `google.rpc.Status` with details on gRPC, RFC 9457
//! `application/problem+json` on REST. One table; `docs/errors.md` is held equal to it.
//! Depends on model only.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::model::{
    problem::{Problem, Reason},
    trace::TraceContext,
};

/// How a reason looks from outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outward {
    /// gRPC status code.
    pub(super) code: Code,
    /// HTTP status.
    pub(super) status: StatusCode,
    /// What it is called, whatever the case at hand.
    pub(super) title: &'static str,
}

/// The table.
pub(super) const fn outward(reason: Reason) -> Outward {
    let (code, status, title) = match reason {
        Reason::InvalidArgument => {
            (Code::InvalidArgument, StatusCode::BAD_REQUEST, "Fields were refused")
        }
        Reason::InvalidIdNumber => (
            Code::InvalidArgument,
            StatusCode::BAD_REQUEST,
            "A citizen identification number is wrong",
        ),
        Reason::UnknownDivision => {
            (Code::InvalidArgument, StatusCode::BAD_REQUEST, "A division code is unknown")
        }
        Reason::NotEligible => (
            Code::FailedPrecondition,
            StatusCode::UNPROCESSABLE_ENTITY,
            "The rules of the business refuse the application",
        ),
        Reason::DuplicateApplication => {
            (Code::AlreadyExists, StatusCode::CONFLICT, "An open application exists already")
        }
        Reason::IdempotencyKeyRequired => {
            (Code::InvalidArgument, StatusCode::BAD_REQUEST, "The idempotency key is missing")
        }
        Reason::IdempotencyKeyReused => (
            Code::FailedPrecondition,
            StatusCode::UNPROCESSABLE_ENTITY,
            "The idempotency key was used with other content",
        ),
        Reason::IllegalTransition => {
            (Code::FailedPrecondition, StatusCode::CONFLICT, "The state does not allow the change")
        }
        Reason::VersionConflict => {
            (Code::Aborted, StatusCode::CONFLICT, "The application has changed meanwhile")
        }
        Reason::NotFound => (Code::NotFound, StatusCode::NOT_FOUND, "No such application"),
        Reason::UnknownPath => {
            (Code::Unimplemented, StatusCode::NOT_FOUND, "No such path or method")
        }
        Reason::Unauthenticated => {
            (Code::Unauthenticated, StatusCode::UNAUTHORIZED, "The caller is not authenticated")
        }
        Reason::PermissionDenied => {
            (Code::PermissionDenied, StatusCode::FORBIDDEN, "The caller may not do this")
        }
        Reason::PayloadTooLarge => {
            (Code::ResourceExhausted, StatusCode::PAYLOAD_TOO_LARGE, "The request is too large")
        }
        Reason::UnsupportedMediaType => (
            Code::InvalidArgument,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The content type is not read here",
        ),
        Reason::RateLimited => {
            (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS, "Too many calls")
        }
        Reason::Overloaded => {
            (Code::ResourceExhausted, StatusCode::SERVICE_UNAVAILABLE, "The gateway is overloaded")
        }
        Reason::Unavailable => {
            (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE, "Not available now")
        }
        Reason::DeadlineExceeded => {
            (Code::DeadlineExceeded, StatusCode::GATEWAY_TIMEOUT, "The time for the call ran out")
        }
        Reason::Internal => (
            Code::Internal,
            StatusCode::INTERNAL_SERVER_ERROR,
            "The gateway failed; operations have been told",
        ),
    };
    Outward { code, status, title }
}

/// The problem as a gRPC status with details.
pub(super) fn to_status(problem: &Problem, trace: &TraceContext) -> Status {
    let mut metadata: HashMap<String, String> =
        problem.metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let shown = fitting(problem);
    if shown < problem.violations.len() {
        let rest = problem.violations.len() - shown;
        metadata.insert("violationsOmitted".to_owned(), rest.to_string());
    }
    let mut details = ErrorDetails::with_error_info(problem.reason.code(), ERROR_DOMAIN, metadata);
    if shown > 0 {
        let fields = problem.violations[..shown]
            .iter()
            .map(|violation| FieldViolation::new(&violation.field, &violation.description))
            .collect::<Vec<_>>();
        details.set_bad_request(fields);
    }
    details.set_request_info(trace.trace_id_hex(), "");
    if problem.retry_after.is_some() {
        details.set_retry_info(problem.retry_after);
    }
    Status::with_error_details(outward(problem.reason).code, &problem.detail, details)
}

/// How many violations fit into response trailers: grpcio refuses more than 8 KiB of them.
fn fitting(problem: &Problem) -> usize {
    let mut room = DETAIL_BYTES;
    let fits = problem.violations.iter().take_while(|violation| {
        // 8 bytes for the tags and lengths around the two texts.
        let need = violation.field.len() + violation.description.len() + 8;
        let fits = need <= room;
        room = room.saturating_sub(need);
        fits
    });
    fits.count()
}

/// The problem as an `application/problem+json` answer.
pub(super) fn to_http(problem: &Problem, trace: &TraceContext) -> Response<Bytes> {
    to_http_as(outward(problem.reason).status, problem, trace)
}

/// The same with another status: 405 for a method the path does not know.
pub(super) fn to_http_as(
    status: StatusCode,
    problem: &Problem,
    trace: &TraceContext,
) -> Response<Bytes> {
    let body = to_json(status, problem, trace).to_string();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(wait) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    if problem.reason == Reason::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The body of a problem answer.
pub(super) fn to_json(status: StatusCode, problem: &Problem, trace: &TraceContext) -> Value {
    let mut body = Map::new();
    body.insert("type".into(), format!("{TYPE_PREFIX}{}", problem.reason.code()).into());
    body.insert("title".into(), outward(problem.reason).title.into());
    body.insert("status".into(), status.as_u16().into());
    body.insert("detail".into(), problem.detail.clone().into());
    body.insert("reason".into(), problem.reason.code().into());
    body.insert("traceId".into(), trace.trace_id_hex().into());
    if !problem.violations.is_empty() {
        let fields = problem.violations.iter();
        let fields = fields.map(|v| json!({"field": v.field, "description": v.description}));
        body.insert("violations".into(), fields.collect());
    }
    for (key, value) in &problem.metadata {
        body.entry(*key).or_insert_with(|| value.clone().into());
    }
    Value::Object(body)
}

/// The problem behind a status that tonic or hyper made, not we: unknown methods, bodies that are
/// no protobuf, messages over the limit.
pub(super) fn of_foreign(status: &Status) -> Problem {
    let (reason, detail) = match status.code() {
        Code::Unimplemented if status.message().contains("ompress") => (
            Reason::UnsupportedMediaType,
            "the message is compressed in a way not read here; send it uncompressed",
        ),
        Code::Unimplemented => (
            Reason::UnknownPath,
            "no such method; the services are listed by reflection and in proto/",
        ),
        Code::OutOfRange | Code::ResourceExhausted => {
            (Reason::PayloadTooLarge, "the message is larger than allowed; send less at once")
        }
        Code::InvalidArgument => {
            (Reason::InvalidArgument, "the request is malformed; compare it with proto/")
        }
        Code::Internal
            if status.message().contains("ecode") || status.message().contains("EOF") =>
        {
            (Reason::InvalidArgument, "the message is no protobuf of this method; compare proto/")
        }
        Code::DeadlineExceeded => (Reason::DeadlineExceeded, "the call took longer than allowed"),
        Code::Cancelled => (Reason::Unavailable, "the call was cut off; send it again"),
        Code::Unavailable => (Reason::Unavailable, "the gateway can't answer now; try again"),
        _ => (Reason::Internal, "the gateway failed; name the trace id when you ask about it"),
    };
    Problem::new(reason, detail)
}

/// As `Retry-After` has it: never less than the wait.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// Before the reason in `type`; a URN because it names an error and leads nowhere.
const TYPE_PREFIX: &str = "urn:tongban:error:";
const PROBLEM_JSON: &str = "application/problem+json";
const ERROR_DOMAIN: &str = "tongban";
/// Room for violations in trailers: 8 KiB less base64's third, the detail and other headers.
const DETAIL_BYTES: usize = 4500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::problem::Violation;

    fn trace() -> TraceContext {
        TraceContext { trace_id: [0xab; 16], span_id: [1; 8], sampled: true }
    }

    fn sample() -> Problem {
        Problem::violations(vec![
            Violation::form("applicant.name", "is required; fill it in"),
            Violation::form("source", "is no known value"),
        ])
        .retry_after(Duration::from_millis(1500))
        .with("applicationId", "0190")
    }

    #[test]
    fn problem_json_has_every_member_of_the_contract() {
        let response = to_http(&sample(), &trace());
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        let expected = r#"{"type":"urn:tongban:error:INVALID_ARGUMENT","title":"Fields were refused","status":400,"detail":"2 fields were refused; correct them and send the document again","reason":"INVALID_ARGUMENT","traceId":"abababababababababababababababab","violations":[{"field":"applicant.name","description":"is required; fill it in"},{"field":"source","description":"is no known value"}],"applicationId":"0190"}"#;
        assert_eq!(response.body(), expected);
    }

    #[test]
    fn the_status_carries_the_same_as_details() {
        let status = to_status(&sample(), &trace());
        let details = status.get_error_details();
        assert_eq!(status.code(), Code::InvalidArgument);
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_ARGUMENT", "tongban"));
        assert_eq!(info.metadata["applicationId"], "0190");
        assert_eq!(details.bad_request().unwrap().field_violations.len(), 2);
        assert_eq!(details.request_info().unwrap().request_id, "ab".repeat(16));
        assert!(details.retry_info().is_some());
    }

    #[test]
    fn violations_beyond_the_trailers_room_are_counted() {
        let many = (0..500).map(|n| Violation::form(format!("materials[{n}].kind"), "is unknown"));
        let status = to_status(&Problem::violations(many.collect()), &trace());
        assert!(status.details().len() < 6000, "{}", status.details().len());
        assert!(
            status
                .get_error_details()
                .error_info()
                .unwrap()
                .metadata
                .contains_key("violationsOmitted")
        );
    }

    #[test]
    fn the_documented_table_is_the_real_one() {
        let document = include_str!("../../docs/errors.md");
        let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = Reason::ALL
            .into_iter()
            .map(|reason| {
                let Outward { code, status, title } = outward(reason);
                format!("| `{}` | {} | {} | {title} |", reason.code(), status.as_u16(), name(code))
            })
            .collect();
        assert_eq!(rows.len(), expected.len(), "one row for each reason");
        for (row, expected) in rows.iter().zip(&expected) {
            assert!(row.starts_with(expected.as_str()), "docs/errors.md: expected {expected}");
            let remedy = row[expected.len()..].trim_matches([' ', '|']);
            assert!(!remedy.is_empty(), "docs/errors.md: no remedy for {expected}");
        }
    }

    fn name(code: Code) -> String {
        let mut name = String::new();
        for letter in format!("{code:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    }
}
