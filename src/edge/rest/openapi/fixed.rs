//! What the OpenAPI document says beyond the descriptors. Depends on model and the table of problems.

use serde_json::{Value, json};

use crate::{
    edge::{native, problem},
    model::{pb::Business, problem::Reason},
};

/// The paths that no annotation states.
pub(super) fn native_paths() -> [(&'static str, Value); 2] {
    let document = json!({"required": true, "content": {
        "application/json": {"schema": true},
        "application/xml": {"schema": {"type": "string"}},
    }});
    let responses = json!({
        "200": {"description": "Stored; the answer is in the party's own format.", "content": {
            "application/json": {"schema": true},
            "application/xml": {"schema": {"type": "string"}},
        }},
        "default": {
            "description": "Refused: in the party's own format, or as a problem when the document \
                was not read (certificate, token, size, rate).",
            "content": {
                "application/json": {"schema": true},
                "application/xml": {"schema": {"type": "string"}},
                "application/problem+json": {"schema": reference("Problem")},
            },
        },
    });
    let businesses: Vec<String> = Business::ALL.into_iter().map(Business::code).collect();
    let business = json!({
        "operationId": "SubmitNativeDocument", "tags": ["Native"],
        "summary": "Takes a document in the party's own format",
        "description": "The party's mapping says what it means; its message number is the \
            idempotency key. The answer is in the same format.",
        "parameters": [{
            "name": "business", "in": "path", "required": true,
            "schema": {"type": "string", "enum": businesses},
        }],
        "requestBody": document, "responses": responses,
    });
    let national = json!({
        "operationId": "PushNationalMessage", "tags": ["Native"],
        "summary": "Takes what the national hub (金民工程) pushes",
        "description": "Applications, events and decisions; the envelope says which.",
        "requestBody": document, "responses": responses,
    });
    debug_assert!(native::NATIVE == "/native/");
    [("/native/{business}", business), (native::NATIONAL, national)]
}

/// What every refusal looks like.
pub(super) fn problem_schema() -> Value {
    let reasons: Vec<&str> = Reason::ALL.into_iter().map(Reason::code).collect();
    let mut told = "Why a call was refused (RFC 9457).".to_owned();
    for reason in Reason::ALL {
        let outward = problem::outward(reason);
        let status = outward.status.as_u16();
        told.push_str(&format!("\n- `{}` ({status}): {}", reason.code(), outward.title));
    }
    json!({
        "type": "object",
        "description": told,
        "required": ["type", "title", "status", "detail", "reason", "traceId"],
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "`urn:tongban:error:` + reason."},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What could not be done and what to do."},
            "reason": {"type": "string", "enum": reasons},
            "traceId": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "violations": {"type": "array", "items": {
                "type": "object",
                "required": ["field", "description"],
                "properties": {
                    "field": {"type": "string", "description": "Path in the document as sent."},
                    "description": {"type": "string"},
                },
            }},
        },
    })
}

/// A header that holds text.
pub(super) fn header(told: &str) -> Value {
    json!({"description": told, "schema": {"type": "string"}})
}

/// A reference to a schema of the document.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}
