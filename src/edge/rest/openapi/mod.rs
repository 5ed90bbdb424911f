//! The OpenAPI 3.1 document, generated from the descriptors: what is said in `proto/` is said here,
//! and nowhere else. Depends on model and the routes.

mod fixed;

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use prost_reflect::{EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::{
    edge::rest::{
        openapi::fixed::{header, native_paths, problem_schema, reference},
        route::{BodyRule, Route},
    },
    model::{
        pb::{FieldRule, field_rule::Format},
        shape::rule_of,
    },
};

/// The document for these routes.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let operation = schemas.operation(route);
        let path = paths.entry(json_names(route)).or_default();
        path.insert(route.method.as_str().to_ascii_lowercase(), operation);
    }
    for (path, operation) in native_paths() {
        paths.insert(path.to_owned(), Map::from_iter([("post".to_owned(), operation)]));
    }
    let mut components = schemas.finish();
    components.insert("Problem".to_owned(), problem_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tongban (通办)",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The inter-provincial gateway for civil-affairs applications. Every call \
                goes over mutual TLS with a bearer token bound to the client certificate (RFC 8705). \
                The same services are served as gRPC on the same port.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"certificate": [], "token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "certificate": {
                    "type": "mutualTLS",
                    "description": "The certificate names the party (接入方).",
                },
                "token": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "EdDSA or ES256, signed by the party itself: `iss` = party code, \
                        `sub` = system, `aud` = gateway id, `exp` at most 1 h ahead, `jti`, `scope`, \
                        `cnf.x5t#S256` = the certificate's thumbprint.",
                },
            },
            "parameters": {"IdempotencyKey": {
                "name": "Idempotency-Key", "in": "header", "required": true,
                "description": "One for each piece of work; the same key with the same content \
                    gets the first answer again. Kept 30 days.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
            }},
            "responses": {"Problem": {
                "description": "A refusal; every reason is listed in docs/errors.md.",
                "content": {"application/problem+json": {"schema": reference("Problem")}},
            }},
        },
    })
}

#[derive(Default)]
struct Schemas {
    done: BTreeMap<String, Value>,
    waiting: Vec<Named>,
    named: BTreeSet<String>,
}

enum Named {
    Message(MessageDescriptor),
    Enum(EnumDescriptor),
}

impl Schemas {
    fn operation(&mut self, route: &Route) -> Value {
        let rpc = &route.descriptor;
        let file = rpc.parent_service().parent_file();
        let mut operation = Map::new();
        let comment = comment(&file, rpc.path());
        operation.insert("operationId".into(), rpc.name().into());
        operation.insert("summary".into(), comment.split(". ").next().unwrap_or("").into());
        operation.insert("description".into(), comment.into());
        operation.insert("tags".into(), json!([rpc.parent_service().name()]));
        operation.insert("parameters".into(), self.parameters(route));
        let body = match &route.body {
            BodyRule::None => None,
            BodyRule::Whole => Some(self.inline(&rpc.input(), route)),
            BodyRule::Field { name, .. } => {
                let field = rpc.input().get_field_by_json_name(name);
                field.map(|field| self.kind(&field))
            }
        };
        if let Some(schema) = body {
            let content = json!({"application/json": {"schema": schema}});
            operation.insert("requestBody".into(), json!({"required": true, "content": content}));
        }
        operation.insert("responses".into(), self.responses(route));
        Value::Object(operation)
    }

    fn parameters(&mut self, route: &Route) -> Value {
        let input = route.descriptor.input();
        let in_path: Vec<&str> = route.template.parameters().collect();
        let mut parameters = Vec::new();
        for field in input.fields() {
            let place = match &route.body {
                _ if in_path.contains(&field.name()) => "path",
                BodyRule::None => "query",
                BodyRule::Whole => continue,
                BodyRule::Field { name, .. } if name == field.json_name() => continue,
                BodyRule::Field { .. } => "query",
            };
            let mut parameter = Map::new();
            parameter.insert("name".into(), field.json_name().into());
            parameter.insert("in".into(), place.into());
            parameter.insert("description".into(), described(&field).into());
            if place == "path" {
                parameter.insert("required".into(), true.into());
            }
            parameter.insert("schema".into(), self.limited(&field));
            parameters.push(Value::Object(parameter));
        }
        if changes(route) {
            parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
        }
        if route.streams {
            parameters.push(json!({
                "name": "Last-Event-ID", "in": "header",
                "description": "The last event seen; goes before `afterEvent`.",
                "schema": {"type": "string", "maxLength": 20},
            }));
        }
        Value::Array(parameters)
    }

    fn responses(&mut self, route: &Route) -> Value {
        let answer = self.message(&route.descriptor.output());
        let (status, told) = match (route.streams, route.creates) {
            (true, _) => ("200", "Server-sent events: `id` is the event's id, `data` its JSON."),
            (_, true) => ("201", "Stored durably."),
            (_, false) => ("200", "Done."),
        };
        let content = if route.streams {
            json!({"text/event-stream": {"schema": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": answer,
            }}})
        } else {
            json!({"application/json": {"schema": answer}})
        };
        let mut headers = json!({"traceparent": header("W3C trace context of the call.")});
        if changes(route) {
            let told =
                "`true` when this is the stored answer to an earlier call with the same key.";
            headers["Idempotency-Replayed"] = header(told);
        }
        json!({
            status: {"description": told, "headers": headers, "content": content},
            "default": {"$ref": "#/components/responses/Problem"},
        })
    }

    fn message(&mut self, message: &MessageDescriptor) -> Value {
        if self.named.insert(message.name().to_owned()) {
            self.waiting.push(Named::Message(message.clone()));
        }
        reference(message.name())
    }

    /// A request message without what the path holds.
    fn inline(&mut self, message: &MessageDescriptor, route: &Route) -> Value {
        let in_path: Vec<String> = route.template.parameters().map(str::to_owned).collect();
        self.object(message, &in_path)
    }

    fn object(&mut self, message: &MessageDescriptor, without: &[String]) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields().filter(|f| !without.iter().any(|name| name == f.name())) {
            let rule = rule_of(&field);
            let mut schema = self.limited(&field);
            if let Value::Object(schema) = &mut schema {
                schema.insert("description".into(), described(&field).into());
                if rule.output_only {
                    schema.insert("readOnly".into(), true.into());
                }
                if rule.personal {
                    schema.insert("x-personal".into(), true.into());
                }
                if !rule.code_list.is_empty() {
                    schema.insert("x-code-list".into(), rule.code_list.clone().into());
                }
            }
            if rule.required {
                required.push(field.json_name().to_owned());
            }
            properties.insert(field.json_name().to_owned(), schema);
        }
        let mut object = Map::new();
        object.insert("type".into(), "object".into());
        let told = comment(&message.parent_file(), message.path());
        object.insert("description".into(), told.into());
        object.insert("properties".into(), Value::Object(properties));
        object.insert("additionalProperties".into(), false.into());
        if !required.is_empty() {
            object.insert("required".into(), required.into());
        }
        Value::Object(object)
    }

    /// The schema of a field with its limits.
    fn limited(&mut self, field: &FieldDescriptor) -> Value {
        let rule = rule_of(field);
        let kind = self.kind(field);
        if field.is_map() {
            return kind;
        }
        if field.is_list() {
            let mut list = json!({"type": "array", "items": kind});
            if rule.max_length > 0 {
                list["maxItems"] = rule.max_length.into();
            }
            return list;
        }
        let mut schema = kind;
        if matches!(field.kind(), Kind::String) {
            if rule.max_length > 0 {
                schema["maxLength"] = rule.max_length.into();
            }
            if let Some(pattern) = pattern(&rule) {
                schema["pattern"] = pattern.into();
            }
        }
        schema
    }

    fn kind(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::Message(entry) if entry.is_map_entry() => {
                let value = self.kind(&entry.map_entry_value_field());
                json!({"type": "object", "additionalProperties": value})
            }
            Kind::Message(m) if m.full_name() == "google.protobuf.Timestamp" => {
                json!({"type": "string", "format": "date-time"})
            }
            Kind::Message(message) => self.message(&message),
            Kind::Enum(list) => {
                if self.named.insert(list.name().to_owned()) {
                    self.waiting.push(Named::Enum(list.clone()));
                }
                reference(list.name())
            }
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => {
                json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"})
            }
            Kind::String => json!({"type": "string"}),
            Kind::Float | Kind::Double => json!({"type": "number"}),
            _ => json!({"type": "integer"}),
        }
    }

    fn finish(mut self) -> BTreeMap<String, Value> {
        while let Some(next) = self.waiting.pop() {
            let (name, schema) = match next {
                Named::Message(message) => {
                    let schema = self.object(&message, &[]);
                    (message.name().to_owned(), schema)
                }
                Named::Enum(list) => (list.name().to_owned(), enumeration(&list)),
            };
            self.done.insert(name, schema);
        }
        self.done
    }
}

/// Whether the call changes something and so is made under an idempotency key; a question is not.
fn changes(route: &Route) -> bool {
    let service = route.descriptor.parent_service();
    route.method != Method::GET && service.name() == "ApplicationService"
}

fn enumeration(list: &EnumDescriptor) -> Value {
    let file = list.parent_file();
    let mut told = comment(&file, list.path());
    let mut names = Vec::new();
    for value in list.values().filter(|value| value.number() != 0) {
        let meaning = comment(&file, value.path());
        told.push_str(&format!("\n- `{}`: {meaning}", value.name()));
        names.push(value.name().to_owned());
    }
    json!({"type": "string", "description": told, "enum": names})
}

fn pattern(rule: &FieldRule) -> Option<&'static str> {
    match rule.format() {
        Format::Unspecified => None,
        Format::ResidentId => Some("^[0-9]{17}[0-9X]$"),
        Format::Date => Some("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
        Format::Month => Some("^[0-9]{4}-[0-9]{2}$"),
        Format::Division => Some("^([0-9]{6}|[0-9]{9}|[0-9]{12})$"),
        Format::Phone => Some("^[0-9+-]{5,17}$"),
        Format::BankAccount => Some("^[0-9]{12,19}$"),
        Format::Sha256 => Some("^[0-9a-f]{64}$"),
        Format::DisabilityCertificate => Some("^[0-9]{17}[0-9X][1-7][1-4]$"),
        Format::MarriageCertificate => Some("^(J|L|BJ|BL)[0-9]{6}-[0-9]{4}-[0-9]{6}$"),
        Format::Uuid => Some("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
    }
}

/// The path with its parameters by their JSON names, as `parameters` has them.
fn json_names(route: &Route) -> String {
    let mut path = route.template.to_string();
    for field in route.descriptor.input().fields() {
        path =
            path.replace(&format!("{{{}}}", field.name()), &format!("{{{}}}", field.json_name()));
    }
    path
}

fn described(field: &FieldDescriptor) -> String {
    comment(&field.parent_file(), field.path())
}

/// The comment before a declaration, its lines joined.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let proto = file.file_descriptor_proto();
    let locations = proto.source_code_info.iter().flat_map(|info| &info.location);
    let found = locations.into_iter().find(|location| location.path == path);
    let text = found.map(|location| location.leading_comments()).unwrap_or_default();
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests;
