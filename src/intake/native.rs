//! A party's own format in, its own format out: applications and events, told apart by the
//! envelope. The message number is the idempotency key. A refusal is told in the party's format
//! with every field's path as the party wrote it.

use std::time::Duration;

use prost::Message as _;

use crate::{
    auth::{Caller, Scope},
    intake::{
        Answer, Intake,
        change::{Incoming, event_form},
        idempotency,
    },
    model::{
        pb::{self, Business, EventType},
        problem::{Problem, Reason, Violation},
        trace::TraceContext,
    },
    translate::{Format, Head, Kind, Message, Reply, Wire},
};

/// What is answered to a document in a party's own format.
#[derive(Clone, Debug)]
pub struct NativeAnswer {
    /// Why it was refused; `None` when it was taken. The edge knows the status that goes with it.
    pub refused: Option<Reason>,
    /// `application/json` or `application/xml`.
    pub content_type: &'static str,
    /// The answer in the party's format.
    pub body: Vec<u8>,
    /// Whether this is the stored answer to an earlier document with the same number.
    pub replayed: bool,
    /// When to try again, where that helps.
    pub retry_after: Option<Duration>,
}

/// What is known of a document when it is refused.
struct Document<'a> {
    format: &'a Format,
    wire: Wire,
    head: Option<Head>,
}

impl Intake {
    /// Takes a document in the caller's own format. `business` is that of the path, if it names
    /// one; the envelope must agree.
    ///
    /// # Errors
    /// Only when the party has no format; every other refusal is told in its format.
    pub async fn native(
        &self,
        caller: &Caller,
        business: Option<Business>,
        bytes: &[u8],
        trace: TraceContext,
    ) -> Result<NativeAnswer, Problem> {
        let party = self.parties.get(caller.party());
        let format = party.and_then(|party| self.translator.format(&party.folder));
        let Some(format) = format else {
            let text = "your party has no format of its own here; use /v1/applications";
            return Err(Problem::new(Reason::PermissionDenied, text));
        };
        let mut document = Document { format, wire: Wire::sniff(bytes), head: None };
        let outcome = self.take_document(caller, business, bytes, trace, &mut document).await;
        Ok(document.answer(outcome, &trace))
    }

    async fn take_document(
        &self,
        caller: &Caller,
        business: Option<Business>,
        bytes: &[u8],
        trace: TraceContext,
        document: &mut Document<'_>,
    ) -> Result<Answer, Problem> {
        let opened = match document.format.open(bytes, document.wire) {
            Ok(message) => message,
            Err(problem) => return Err(self.refuse(caller, "Message", problem).await),
        };
        document.head = Some(opened.head.clone());
        if let Err(problem) = self.trusted(caller, document.format, &opened, business) {
            return Err(self.refuse(caller, "Message", problem).await);
        }
        match opened.head.kind {
            Kind::Application => self.take_native(caller, document, &opened, trace).await,
            Kind::Event => Box::pin(self.take_event(caller, document, &opened, trace)).await,
            Kind::Result => {
                let text = "results go out to the national hub; they do not come in";
                Err(self
                    .refuse(caller, "Message", Problem::new(Reason::InvalidArgument, text))
                    .await)
            }
        }
    }

    /// The seal holds, and the envelope says what the path says.
    fn trusted(
        &self,
        caller: &Caller,
        format: &Format,
        message: &Message,
        business: Option<Business>,
    ) -> Result<(), Problem> {
        if let Some(key) = self.seals.get(caller.party()) {
            format.verify(message, key)?;
        }
        let number = &message.head.message_number;
        if number.len() != 32 || !number.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let path = format.head_path("message_number");
            let text = "must be 32 hexadecimal digits, new for each message";
            return Err(Problem::violations(vec![Violation::form(path, text)]));
        }
        if business.is_some_and(|business| business != message.head.business) {
            let path = format.head_path("message_kind");
            let text = "is not of the business that the path names";
            return Err(Problem::violations(vec![Violation::form(path, text)]));
        }
        Ok(())
    }

    async fn take_native(
        &self,
        caller: &Caller,
        document: &Document<'_>,
        message: &Message,
        trace: TraceContext,
    ) -> Result<Answer, Problem> {
        caller.require(Scope::Submit)?;
        let format = document.format;
        let (application, mut violations) = format.read_application(message);
        let head = &message.head;
        if violations.is_empty() {
            let key = ("Message", head.message_number.as_str());
            let application = Box::new(application);
            let taken = self.take_application(caller, key, application, trace).await;
            return taken.map_err(|problem| in_their_paths(problem, format, head));
        }
        let ours = self.validate(caller, &application);
        add_unread(&mut violations, ours, format, head);
        Err(self.refuse(caller, "Message", Problem::violations(violations)).await)
    }

    async fn take_event(
        &self,
        caller: &Caller,
        document: &Document<'_>,
        message: &Message,
        trace: TraceContext,
    ) -> Result<Answer, Problem> {
        let (mut event, mut violations) = document.format.read_event(message);
        let head = &message.head;
        caller.require(match event.r#type() {
            EventType::SupplementSubmitted | EventType::ApplicationWithdrawn => Scope::Submit,
            _ => Scope::Decide,
        })?;
        if event.application_id.is_empty() {
            event.application_id = head.fields.get("application_id").cloned().unwrap_or_default();
        }
        let id = event.application_id.clone();
        event = only_what_parties_say(event);
        let bytes = event.encode_to_vec();
        let content = [id.as_bytes(), &bytes].concat();
        let key = idempotency::key(caller.party(), "Message", &head.message_number, &content);
        let _turn = self.in_use.turn(&key).await;
        if let Some(answer) = self.recall(&key).await? {
            return Ok(answer);
        }
        let checked = pb::ApplicationEvent { application_id: id.clone(), ..event.clone() };
        let mut ours = self.shapes.check("ApplicationEvent", &checked.encode_to_vec());
        ours.extend(event_form(&event));
        add_unread(&mut violations, ours, document.format, head);
        if !violations.is_empty() {
            return Err(self.refuse(caller, "Message", Problem::violations(violations)).await);
        }
        let incoming = Incoming { id, expected_version: 0, event, key };
        let taken = self.take_change(caller, "Message", incoming, trace).await;
        taken.map_err(|problem| in_their_paths(problem, document.format, head))
    }
}

impl Document<'_> {
    fn answer(&self, outcome: Result<Answer, Problem>, trace: &TraceContext) -> NativeAnswer {
        let number = self.head.as_ref().map(|head| head.message_number.clone());
        let mut reply = Reply {
            message_number: number.unwrap_or_default(),
            trace_id: trace.trace_id_hex(),
            ..Reply::default()
        };
        let mut answer = NativeAnswer {
            refused: None,
            content_type: match self.wire {
                Wire::Json => "application/json; charset=utf-8",
                Wire::Xml => "application/xml; charset=utf-8",
            },
            body: Vec::new(),
            replayed: false,
            retry_after: None,
        };
        match outcome {
            Ok(taken) => {
                reply.stored = true;
                reply.message = "stored".into();
                reply.application_id = taken.application.id.clone();
                reply.state = taken.application.state().as_str_name().to_owned();
                answer.replayed = taken.replayed;
                reply.application = Some(taken.application);
            }
            Err(problem) => {
                reply.message = problem.detail;
                reply.reason = problem.reason.code().to_owned();
                reply.violations = problem.violations;
                answer.refused = Some(problem.reason);
                answer.retry_after = problem.retry_after;
            }
        }
        answer.body = self.format.reply(self.wire, &reply);
        answer
    }
}

/// The same problem with the paths of the caller's own document.
fn in_their_paths(mut problem: Problem, format: &Format, head: &Head) -> Problem {
    for violation in &mut problem.violations {
        let theirs = format.their_path(head.kind, head.business, &violation.field);
        if let Some(theirs) = theirs {
            violation.field = theirs;
        }
    }
    problem
}

/// Adds what our own checks found, in the caller's paths. What the mapping could not read is
/// absent to them; its absence is not told a second time.
fn add_unread(told: &mut Vec<Violation>, ours: Vec<Violation>, format: &Format, head: &Head) {
    let unread: Vec<String> = told.iter().map(|violation| violation.field.clone()).collect();
    let ours = in_their_paths(Problem::violations(ours), format, head).violations;
    told.extend(ours.into_iter().filter(|v| !unread.iter().any(|place| covers(&v.field, place))));
}

/// Whether a violation at `field` is told already by one at `told`: the same place, or the place
/// around it.
fn covers(field: &str, told: &str) -> bool {
    field == told || told.strip_prefix(field).is_some_and(|rest| rest.starts_with(['.', '[']))
}

/// Keeps of an event what a party may say; the rest is the gateway's.
fn only_what_parties_say(event: pb::ApplicationEvent) -> pb::ApplicationEvent {
    pb::ApplicationEvent {
        r#type: event.r#type,
        reason: event.reason,
        missing_materials: event.missing_materials,
        materials: event.materials,
        decision: event.decision,
        withdrawn_by: event.withdrawn_by,
        receipt_number: event.receipt_number,
        ..Default::default()
    }
}
