//! Documents in a party's own format: passed to intake as they are, answered as it says. Depends
//! on intake, auth and model.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use tonic::body::Body;

use crate::{
    auth::Caller,
    config::PartyKind,
    edge::{grpc::REPLAYED, problem},
    intake::{Intake, NativeAnswer},
    model::{
        pb::Business,
        problem::{Problem, Reason},
        trace::TraceContext,
    },
    telemetry,
};

/// Which way a document comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// `/native/{business}`: an application or event of that business.
    Business(Business),
    /// `/national/messages`: whatever the national hub pushes; the envelope says what.
    National,
}

/// The door a path leads to; `None` when it leads elsewhere.
pub(super) fn door(path: &str) -> Option<Result<Door, Problem>> {
    if path == NATIONAL {
        return Some(Ok(Door::National));
    }
    let business = path.strip_prefix(NATIVE)?;
    Some(
        Business::from_code(business)
            .filter(|b| b.code() == business)
            .map(Door::Business)
            .ok_or_else(|| {
                let known: Vec<String> = Business::ALL.into_iter().map(Business::code).collect();
                let detail = format!("no such business; this gateway knows {}", known.join(", "));
                Problem::new(Reason::UnknownPath, detail)
            }),
    )
}

/// Passes the document on and tells the answer.
///
/// # Errors
/// When the caller may not use this door.
pub(super) async fn answer(
    intake: &Arc<Intake>,
    caller: &Caller,
    door: Door,
    body: Bytes,
    trace: TraceContext,
) -> Result<Response<Body>, Problem> {
    let business = match door {
        Door::Business(business) => Some(business),
        Door::National if caller.kind() == PartyKind::National => None,
        Door::National => {
            let detail = "only the national hub pushes here; use /native/{business}";
            return Err(Problem::new(Reason::PermissionDenied, detail));
        }
    };
    let NativeAnswer { refused, content_type, body, replayed, retry_after } =
        intake.native(caller, business, &body, trace).await?;
    if let Some(reason) = refused {
        telemetry::count_refused(caller.party(), reason.code());
    }
    let mut response = Response::new(Body::new(Full::new(Bytes::from(body))));
    *response.status_mut() =
        refused.map_or(StatusCode::OK, |reason| problem::outward(reason).status);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(wait) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(problem::whole_seconds(wait)));
    }
    Ok(response)
}

/// Before the name of the business.
pub(super) const NATIVE: &str = "/native/";
/// Where the national hub pushes.
pub(super) const NATIONAL: &str = "/national/messages";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_doors() {
        assert_eq!(door("/national/messages").unwrap().unwrap(), Door::National);
        let subsidy = Door::Business(Business::DisabilitySubsidy);
        assert_eq!(door("/native/disability_subsidy").unwrap().unwrap(), subsidy);
        for unknown in ["/native/", "/native/DISABILITY_SUBSIDY", "/native/disability_subsidy/"] {
            assert_eq!(
                door(unknown).unwrap().unwrap_err().reason,
                Reason::UnknownPath,
                "{unknown}"
            );
        }
        assert!(door("/v1/applications").is_none());
    }
}
