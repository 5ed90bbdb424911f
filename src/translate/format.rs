//! A party's `[format]`: wires, envelope, answers, and its mapping tables. Opens and writes whole
//! messages.

use std::collections::BTreeMap;

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _};
use serde_json::{Map, Value, json};

use crate::{
    model::{
        DESCRIPTORS,
        pb::{self, Business},
        problem::{Problem, Reason, Violation},
    },
    translate::{
        document::{self, Wire, get, set, text},
        found::FoundPlaces,
        mapping::{Mapping, WriteError},
        message::{Answer, Head, Kind, Message, Reply, SealKey, Status},
        ops::Op,
    },
};

/// A value at a path that means something.
#[derive(Default)]
pub(crate) struct Sign {
    pub(crate) path: Vec<String>,
    pub(crate) values: Vec<String>,
}

/// One logical field of the envelope.
pub(crate) struct HeadField {
    pub(crate) path: Vec<String>,
    pub(crate) op: Op,
}

/// A party's format, compiled.
pub struct Format {
    pub(crate) party: String,
    pub(crate) wire: Wire,
    pub(crate) wires: BTreeMap<Business, Wire>,
    pub(crate) root: String,
    pub(crate) body: Vec<String>,
    pub(crate) message_number: Vec<String>,
    pub(crate) message_kind: Vec<String>,
    /// `business/kind` and how the party writes it.
    pub(crate) kinds: Vec<(Business, Kind, String)>,
    pub(crate) head: BTreeMap<&'static str, HeadField>,
    pub(crate) success: Sign,
    pub(crate) refused: Sign,
    pub(crate) code: Vec<String>,
    pub(crate) stored: Sign,
    pub(crate) unknown: Sign,
    pub(crate) reply: ReplyPaths,
    /// Where what the gateway found out stands in the body of an application it delivers.
    pub(crate) found: FoundPlaces,
    pub(crate) applications: BTreeMap<Business, Mapping>,
    pub(crate) event: Option<Mapping>,
}

/// Where our reply stands in the party's format.
#[derive(Default)]
pub(crate) struct ReplyPaths {
    pub(crate) code: (Vec<String>, String, String),
    pub(crate) texts: BTreeMap<&'static str, Vec<String>>,
    pub(crate) violations: (Vec<String>, String, String),
    pub(crate) found: FoundPlaces,
}

impl Sign {
    fn holds(&self, tree: &Value) -> bool {
        let Some(found) = get(tree, &self.path).and_then(text) else { return false };
        self.values.iter().any(|value| match value.strip_suffix('*') {
            Some(prefix) => found.starts_with(prefix),
            None => found == *value,
        })
    }
}

impl Format {
    /// The wire of a business's messages.
    pub fn wire(&self, business: Business) -> Wire {
        self.wires.get(&business).copied().unwrap_or(self.wire)
    }

    /// Opens a message: its envelope and the tree of its body.
    ///
    /// # Errors
    /// Not well-formed, or an envelope without number or kind; all of that at once.
    pub fn open(&self, bytes: &[u8], wire: Wire) -> Result<Message, Problem> {
        let tree = document::parse(wire, bytes)
            .map_err(|why| Problem::new(Reason::InvalidArgument, format!("the document {why}")))?;
        let mut head = Head::default();
        let mut faults = Vec::new();
        let mut say =
            |path: &[String], text: &str| faults.push(Violation::form(path.join("."), text));
        match get(&tree, &self.message_number).and_then(text).filter(|text| !text.is_empty()) {
            Some(number) => head.message_number = number,
            None => say(&self.message_number, "is required; a new number for each message"),
        }
        let kind = get(&tree, &self.message_kind).and_then(text).unwrap_or_default();
        match self.kinds.iter().find(|(_, _, theirs)| *theirs == kind) {
            Some((business, kind, _)) => (head.business, head.kind) = (*business, *kind),
            None => {
                let all: Vec<&str> = self.kinds.iter().map(|kind| kind.2.as_str()).collect();
                say(&self.message_kind, &format!("must be one of {}", all.join(", ")));
            }
        }
        for (name, field) in &self.head {
            let Some(found) = get(&tree, &field.path).and_then(text).filter(|t| !t.is_empty())
            else {
                continue;
            };
            match field.op.read(&found) {
                Ok(Value::String(value)) => _ = head.fields.insert(name, value),
                Ok(_) => {}
                Err(why) => say(&field.path, &why),
            }
        }
        if get(&tree, &self.body).is_none_or(|body| !body.is_object()) {
            say(&self.body, "is required: the document itself");
        }
        if faults.is_empty() {
            Ok(Message { head, tree })
        } else {
            Err(Problem::violations(faults))
        }
    }

    /// Verifies the seal of a message.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when it has none or a wrong one.
    pub fn verify(&self, message: &Message, key: &SealKey) -> Result<(), Problem> {
        let path = self.head.get("signature").map(|field| field.path.join(".")).unwrap_or_default();
        let given = message.head.fields.get("signature").and_then(|s| STANDARD.decode(s).ok());
        let sealed = document::leaves(&message.tree, &path);
        let right = hmac::sign(&key.0, sealed.as_bytes());
        let good =
            given.is_some_and(|given| verify_slices_are_equal(&given, right.as_ref()).is_ok());
        if good {
            return Ok(());
        }
        let text =
            format!("{path}: the seal does not fit the document; sign it as docs/mapping.md says");
        Err(Problem::new(Reason::Unauthenticated, text))
    }

    /// The application a message carries, and everything that is wrong with it.
    pub fn read_application(&self, message: &Message) -> (pb::Application, Vec<Violation>) {
        match self.applications.get(&message.head.business) {
            Some(mapping) => self.read(mapping, message),
            None => (pb::Application::default(), vec![self.not_covered()]),
        }
    }

    /// The event a message carries, and everything that is wrong with it.
    pub fn read_event(&self, message: &Message) -> (pb::ApplicationEvent, Vec<Violation>) {
        match &self.event {
            Some(mapping) => self.read(mapping, message),
            None => (pb::ApplicationEvent::default(), vec![self.not_covered()]),
        }
    }

    /// A whole message with an application, sealed when there is a key.
    ///
    /// # Errors
    /// A field that the format has no room for.
    pub fn write_application(
        &self,
        head: &Head,
        application: &pb::Application,
        key: Option<&SealKey>,
    ) -> Result<Vec<u8>, WriteError> {
        let mapping = self.applications.get(&application.business()).ok_or_else(no_table)?;
        let own = self.is_of(&application.submitting_party);
        let dynamic = to_dynamic("tongban.v1.Application", &application.encode_to_vec())?;
        let mut body = mapping.write(&dynamic, own)?;
        self.found.write(&mut body, application, |path| mapping.their_path(path));
        self.seal(head, body, key)
    }

    /// A whole message with an event, sealed when there is a key.
    ///
    /// # Errors
    /// A field that the format has no room for.
    pub fn write_event(
        &self,
        head: &Head,
        event: &pb::ApplicationEvent,
        key: Option<&SealKey>,
    ) -> Result<Vec<u8>, WriteError> {
        let mapping = self.event.as_ref().ok_or_else(no_table)?;
        let dynamic = to_dynamic("tongban.v1.ApplicationEvent", &event.encode_to_vec())?;
        self.seal(head, mapping.write(&dynamic, false)?, key)
    }

    /// What the party's answer to a message means.
    pub fn answer(&self, wire: Wire, bytes: &[u8]) -> Answer {
        let Ok(tree) = document::parse(wire, bytes) else { return Answer::NotUnderstood };
        if self.success.holds(&tree) {
            return Answer::Stored;
        }
        if self.refused.holds(&tree) {
            let code = get(&tree, &self.code).and_then(text).unwrap_or_default();
            // The code goes to logs and to operations: a code, not whatever the party put there.
            let plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
            return Answer::Refused { code: code.chars().filter(plain).take(32).collect() };
        }
        Answer::NotUnderstood
    }

    /// What the party's answer to the status question means.
    pub fn status(&self, wire: Wire, bytes: &[u8]) -> Status {
        match document::parse(wire, bytes) {
            Ok(tree) if self.stored.holds(&tree) => Status::Stored,
            Ok(tree) if self.unknown.holds(&tree) => Status::Unknown,
            _ => Status::NotUnderstood,
        }
    }

    /// Our reply to a message of the party, in its format.
    pub fn reply(&self, wire: Wire, reply: &Reply) -> Vec<u8> {
        let mut tree = Value::Object(Map::new());
        let (path, stored, refused) = &self.reply.code;
        set(&mut tree, path, Value::from(if reply.stored { stored } else { refused }.as_str()));
        let texts = [
            ("message", &reply.message),
            ("message_number", &reply.message_number),
            ("application_id", &reply.application_id),
            ("state", &reply.state),
            ("reason", &reply.reason),
            ("trace_id", &reply.trace_id),
        ];
        for (name, text) in texts {
            if let Some(path) = self.reply.texts.get(name).filter(|_| !text.is_empty()) {
                set(&mut tree, path, Value::from(text.as_str()));
            }
        }
        let (path, field, description) = &self.reply.violations;
        if !reply.violations.is_empty() && !path.is_empty() {
            let told = |v: &Violation| {
                let mut item = json!({});
                set(&mut item, &document::path(field), Value::from(v.field.as_str()));
                set(&mut item, &document::path(description), Value::from(v.description.as_str()));
                item
            };
            set(&mut tree, path, reply.violations.iter().map(told).collect());
        }
        if let Some(application) = &reply.application {
            let (kind, business) = (Kind::Application, application.business());
            let theirs = |path: &str| self.their_path(kind, business, path);
            self.reply.found.write(&mut tree, application, theirs);
        }
        document::print(wire, &self.root, &tree)
    }

    /// The party's path, with that of the body, for a canonical path.
    pub fn their_path(&self, kind: Kind, business: Business, canonical: &str) -> Option<String> {
        let mapping = match kind {
            Kind::Event => self.event.as_ref(),
            Kind::Application | Kind::Result => self.applications.get(&business),
        };
        mapping?.their_path(canonical).map(|path| self.in_body(&path))
    }

    /// Where a logical field of the envelope stands.
    pub fn head_path(&self, name: &str) -> String {
        match name {
            "message_number" => self.message_number.join("."),
            "message_kind" => self.message_kind.join("."),
            name => self.head.get(name).map(|field| field.path.join(".")).unwrap_or_default(),
        }
    }

    /// The mapping of a kind of message.
    pub(crate) fn mapping(&self, kind: Kind, business: Business) -> Option<&Mapping> {
        match kind {
            Kind::Event => self.event.as_ref(),
            Kind::Application | Kind::Result => self.applications.get(&business),
        }
    }

    /// The body of a message as a tree.
    pub(crate) fn body_of<'t>(&self, tree: &'t Value) -> Option<&'t Value> {
        get(tree, &self.body)
    }

    fn read<M: prost::Message + Default>(
        &self,
        mapping: &Mapping,
        message: &Message,
    ) -> (M, Vec<Violation>) {
        let body = get(&message.tree, &self.body).unwrap_or(&Value::Null);
        let (canonical, mut faults) = mapping.read(body);
        for fault in &mut faults {
            fault.field = self.in_body(&fault.field);
        }
        match mapping.message(canonical) {
            Ok(dynamic) => {
                (M::decode(dynamic.encode_to_vec().as_slice()).unwrap_or_default(), faults)
            }
            Err(mut fault) => {
                fault.field = self.in_body(&fault.field);
                faults.push(fault);
                (M::default(), faults)
            }
        }
    }

    fn seal(&self, head: &Head, body: Value, key: Option<&SealKey>) -> Result<Vec<u8>, WriteError> {
        let missing = |field: &str, why: &str| WriteError { field: field.into(), why: why.into() };
        let kind = self.kinds.iter().find(|(b, kind, _)| *b == head.business && *kind == head.kind);
        let Some((_, _, kind)) = kind else {
            return Err(missing("message_kind", "the party's envelope has no word for it"));
        };
        let mut tree = Value::Object(Map::new());
        set(&mut tree, &self.message_number, Value::from(head.message_number.as_str()));
        set(&mut tree, &self.message_kind, Value::from(kind.as_str()));
        for (name, field) in &self.head {
            if let Some(value) = head.fields.get(name).filter(|_| *name != "signature") {
                let text = field.op.write(&Value::from(value.as_str()));
                let text = text.map_err(|why| missing(name, &why))?;
                set(&mut tree, &field.path, Value::from(text));
            }
        }
        set(&mut tree, &self.body, body);
        if let Some(key) = key {
            let field =
                self.head.get("signature").ok_or_else(|| missing("signature", "has no place"))?;
            // XML cannot tell a list of one from a single element and keeps no blanks at the ends;
            // the seal is over what the receiver reads.
            let wire = self.wire(head.business);
            let read = match wire {
                Wire::Json => None,
                Wire::Xml => document::parse(wire, &document::print(wire, &self.root, &tree)).ok(),
            };
            let sealed = document::leaves(read.as_ref().unwrap_or(&tree), &field.path.join("."));
            let tag = STANDARD.encode(hmac::sign(&key.0, sealed.as_bytes()));
            set(&mut tree, &field.path, Value::from(tag));
        }
        Ok(document::print(self.wire(head.business), &self.root, &tree))
    }

    fn in_body(&self, path: &str) -> String {
        let body = self.body.join(".");
        match (body.is_empty(), path.is_empty()) {
            (true, _) => path.to_owned(),
            (false, true) => body,
            (false, false) => format!("{body}.{path}"),
        }
    }

    fn is_of(&self, code: &str) -> bool {
        self.party.strip_prefix(code).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    fn not_covered(&self) -> Violation {
        Violation::form(self.message_kind.join("."), "your party has no table for this business")
    }
}

fn no_table() -> WriteError {
    WriteError { field: "business".into(), why: "the party has no table for it".into() }
}

/// The same message, for mapping by name.
pub(crate) fn to_dynamic(name: &str, bytes: &[u8]) -> Result<DynamicMessage, WriteError> {
    let failed = |why: String| WriteError { field: String::new(), why };
    let message = DESCRIPTORS.get_message_by_name(name);
    let message = message.ok_or_else(|| failed(format!("there is no message {name}")))?;
    let dynamic =
        DynamicMessage::decode(message, bytes).map_err(|error| failed(error.to_string()))?;
    debug_assert_eq!(dynamic.descriptor().full_name(), name);
    Ok(dynamic)
}
