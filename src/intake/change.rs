//! Changes of an application: who may cause them, whether they are well formed, and the one call
//! that makes them. The step itself is decided by the store, inside the transaction.

use prost::Message as _;
use uuid::Uuid;

use crate::{
    auth::Caller,
    business::{
        self, likeness, opinion,
        rules::{Days, Finding, Stage},
    },
    failpoint::{self, Step},
    intake::{Answer, Intake, eligibility::refusals, idempotency, key_reused, not_found, told},
    model::{
        clock, lifecycle,
        lifecycle::Actor,
        pb::{self, EventType, Outcome},
        problem::{Cause, Problem, Reason, Violation},
        trace::TraceContext,
    },
    store::{
        StoreError,
        advance::MOST_EVENTS,
        rows::{Applied, Change as StoredChange, Header, IdempotencyKey, Refusal},
        turns::Reach,
    },
    telemetry,
};

/// Most papers of one application, those handed in later included, and most bytes of those that are
/// in it and not named by reference: twice what one call brings.
const MOST_PAPERS: usize = 120;
const MOST_INLINE: usize = 32 << 20;

/// A change of an application, as the canonical API asks for it.
#[derive(Clone, Debug)]
pub enum Change {
    /// The submitting side hands in further papers.
    Supplement(pb::SupplementApplicationRequest),
    /// The submitting side withdraws.
    Withdraw(pb::WithdrawApplicationRequest),
    /// The handling side takes it up.
    Accept(pb::AcceptApplicationRequest),
    /// The handling side asks for more.
    RequestSupplement(pb::RequestSupplementRequest),
    /// The handling side, for marriage the registry, decides.
    Decide(Box<pb::DecideApplicationRequest>),
}

/// A change in the form every way in brings it to.
pub(super) struct Incoming {
    pub(super) id: String,
    pub(super) expected_version: i64,
    pub(super) event: pb::ApplicationEvent,
    pub(super) key: IdempotencyKey,
}

impl Intake {
    /// Takes a change under the caller's idempotency key.
    ///
    /// # Errors
    /// See `docs/errors.md`.
    pub async fn change(
        &self,
        caller: &Caller,
        key: &str,
        change: Change,
        trace: TraceContext,
    ) -> Result<Answer, Problem> {
        let (operation, message, bytes) = change.encoded();
        let key = idempotency::key(caller.party(), operation, key, &bytes);
        let _turn = self.in_use.turn(&key).await;
        if let Some(answer) = self.recall(&key).await? {
            return Ok(self.answered(caller, answer).await);
        }
        let mut violations = self.shapes.check(message, &bytes);
        let (id, expected_version, event) = change.into_event();
        violations.extend(event_form(&event));
        if !violations.is_empty() {
            return Err(self.refuse(caller, operation, Problem::violations(violations)).await);
        }
        let incoming = Incoming { id, expected_version, event, key };
        let taken = self.take_change(caller, operation, incoming, trace).await?;
        Ok(self.answered(caller, taken).await)
    }

    pub(super) async fn take_change(
        &self,
        caller: &Caller,
        operation: &str,
        mut incoming: Incoming,
        trace: TraceContext,
    ) -> Result<Answer, Problem> {
        let (id, header) = self.own(caller, &incoming.id).await?;
        if let Err(problem) = may(caller, &header, incoming.event.r#type()) {
            return Err(self.refuse(caller, operation, problem).await);
        }
        if let Some(decision) = &incoming.event.decision {
            let (violations, checks) = self.decision_faults(caller, id, (decision, &trace)).await?;
            if !violations.is_empty() {
                return Err(self.refuse(caller, operation, Problem::violations(violations)).await);
            }
            incoming.event.checks = checks;
        }
        let violations = self.event_faults(caller, id, &incoming.event).await?;
        if !violations.is_empty() {
            return Err(self.refuse(caller, operation, Problem::violations(violations)).await);
        }
        let (system, party) = (caller.system().to_owned(), caller.party().to_owned());
        // The step belongs to the application's own trace; the caller's is named on it.
        let mut span = telemetry::span("intake.apply", telemetry::Kind::Internal, &header.trace);
        span.set("application.id", id.to_string());
        span.set("event.type", incoming.event.r#type().as_str_name());
        span.set("caller.trace_id", trace.trace_id_hex());
        let decides = incoming.event.r#type() == EventType::DecisionMade;
        let change = StoredChange {
            id,
            event: incoming.event,
            party,
            system,
            expected_version: incoming.expected_version,
            key: incoming.key,
            now: clock::now_micros(),
        };
        let applied =
            failpoint::at(Step::Accept, StoreError::Unavailable, self.store.apply(change));
        match applied.await.map_err(told)? {
            Applied::Done(application) => {
                if decides {
                    without_opinion(&application);
                }
                Ok(Answer { application, replayed: false })
            }
            Applied::Replayed(first) => Ok(Answer { application: first, replayed: true }),
            Applied::KeyReused => Err(self.refuse(caller, operation, key_reused()).await),
            Applied::Refused(refusal) => {
                Err(self.refuse(caller, operation, refused(refusal)).await)
            }
        }
    }
}

impl Intake {
    /// What speaks against a decision: what it says, and of a grant the rules as of its day; and
    /// what the rules still ask.
    async fn decision_faults(
        &self,
        caller: &Caller,
        id: Uuid,
        (decision, trace): (&pb::Decision, &TraceContext),
    ) -> Result<(Vec<Violation>, Vec<pb::RuleCheck>), Problem> {
        let application = self.read(caller, Reach::Row, self.store.application(id)).await?;
        let application = application.ok_or_else(not_found)?;
        let mut violations = business::check_decision(&application, decision);
        let mut checks = Vec::new();
        if let (Outcome::Granted, Ok(day)) = (decision.outcome(), decision.decided_on.parse()) {
            let application = business::as_granted(&application, decision);
            let days = Days::new(day, clock::china_date(clock::now_micros()));
            let (stage, content) = (Stage::Decision, application.encode_to_vec());
            let found = self.rules_find(stage, &application, &content, days);
            let so_far = (found, trace);
            let found = self.hub_finds(stage, &application, &content, days, so_far).await;
            violations.extend(refusals(&found));
            checks = found.iter().map(Finding::check).collect();
            let asked = application.checks.iter().filter(|check| likeness::is_question(check));
            // Events are read by whoever may read the application; the other's id is not for all.
            let nameless =
                asked.map(|check| pb::RuleCheck { application_id: String::new(), ..check.clone() });
            checks.extend(nameless);
        }
        Ok((violations, checks))
    }

    /// What is wrong with papers and a receipt for the application they are shown to. Papers
    /// handed in again and again may not make it grow without end.
    async fn event_faults(
        &self,
        caller: &Caller,
        id: Uuid,
        event: &pb::ApplicationEvent,
    ) -> Result<Vec<Violation>, Problem> {
        if event.materials.is_empty() && event.receipt_number.is_empty() {
            return Ok(Vec::new());
        }
        let application = self.read(caller, Reach::Row, self.store.application(id)).await?;
        let application = application.ok_or_else(not_found)?;
        let mut violations = business::check_files(application.business(), &event.materials);
        violations.extend(business::check_receipt(&application, &event.receipt_number));
        violations.extend(too_much(&application.materials, &event.materials));
        Ok(violations)
    }
}

/// What is wrong with the number and the size of `new` papers beside those that are `held`.
fn too_much(held: &[pb::Material], new: &[pb::Material]) -> Option<Violation> {
    let inline = |of: &[pb::Material]| of.iter().map(|paper| paper.content.len()).sum::<usize>();
    let (count, bytes) = (held.len(), inline(new));
    let text = if !new.is_empty() && count + new.len() > MOST_PAPERS {
        format!(
            "would be more than {MOST_PAPERS} with the {count} that are there; hand in only what \
             was asked for"
        )
    } else if bytes > 0 && inline(held) + bytes > MOST_INLINE {
        "would be more than 32 MiB with those that are there; hand them in by reference".to_owned()
    } else {
        return None;
    };
    Some(Violation::form("materials", text))
}

/// A county's decision without the township's opinion is taken, but operations see it.
fn without_opinion(application: &pb::Application) {
    if opinion::is_lacking(application) {
        let limit = pb::DeadlineKind::TownshipOpinion.as_str_name();
        telemetry::count_limit(&application.business().code(), limit, "DECIDED_WITHOUT");
        tracing::warn!(application.id = application.id, limit, "was decided without it");
    }
}

/// What is wrong with an event's papers and decision whatever it is about.
pub(super) fn event_form(event: &pb::ApplicationEvent) -> Vec<Violation> {
    let mut violations = business::check_materials(&event.materials);
    match &event.decision {
        None if event.r#type() == EventType::DecisionMade => {
            violations.push(Violation::form("decision.outcome", "is required for a decision"));
        }
        None => {}
        Some(decision) => {
            violations.extend(business::check_decision(&pb::Application::default(), decision));
        }
    }
    violations
}

impl Change {
    /// Operation, message name and bytes of the request.
    fn encoded(&self) -> (&'static str, &'static str, Vec<u8>) {
        match self {
            Self::Supplement(request) => {
                ("SupplementApplication", "SupplementApplicationRequest", request.encode_to_vec())
            }
            Self::Withdraw(request) => {
                ("WithdrawApplication", "WithdrawApplicationRequest", request.encode_to_vec())
            }
            Self::Accept(request) => {
                ("AcceptApplication", "AcceptApplicationRequest", request.encode_to_vec())
            }
            Self::RequestSupplement(request) => {
                ("RequestSupplement", "RequestSupplementRequest", request.encode_to_vec())
            }
            Self::Decide(request) => {
                ("DecideApplication", "DecideApplicationRequest", request.encode_to_vec())
            }
        }
    }

    fn into_event(self) -> (String, i64, pb::ApplicationEvent) {
        let mut event = pb::ApplicationEvent::default();
        let (id, version, r#type) = match self {
            Self::Supplement(request) => {
                event.reason = request.note;
                event.materials = request.materials;
                (request.id, request.expected_version, EventType::SupplementSubmitted)
            }
            Self::Withdraw(request) => {
                event.reason = request.reason;
                event.withdrawn_by = request.withdrawn_by;
                event.receipt_number = request.receipt_number;
                (request.id, request.expected_version, EventType::ApplicationWithdrawn)
            }
            Self::Accept(request) => {
                (request.id, request.expected_version, EventType::ApplicationAccepted)
            }
            Self::RequestSupplement(request) => {
                event.reason = request.reason;
                event.missing_materials = request.missing_materials;
                (request.id, request.expected_version, EventType::SupplementRequested)
            }
            Self::Decide(request) => {
                event.decision = request.decision;
                (request.id, request.expected_version, EventType::DecisionMade)
            }
        };
        event.set_type(r#type);
        (id, version, event)
    }
}

/// Whether the caller's side of the application may cause the event.
fn may(caller: &Caller, header: &Header, event: EventType) -> Result<(), Problem> {
    let machine = business::machine(header.business);
    let side = match lifecycle::actor_of(machine, event) {
        Some(Actor::Submitter) => &header.submitter,
        Some(Actor::Handler | Actor::HandlerOrGateway) => &header.handler,
        Some(Actor::Gateway) | None => {
            let what = event.as_str_name();
            let text = format!("{what} is no step that a party can take in this business");
            return Err(Problem::new(Reason::IllegalTransition, text));
        }
    };
    if side == caller.party() {
        return Ok(());
    }
    let text = "this step belongs to the other side of the application";
    Err(Problem::new(Reason::PermissionDenied, text))
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::NotFound => not_found(),
        Refusal::VersionConflict(version) => {
            let text = "the application has changed since; read it again and decide anew";
            Problem::new(Reason::VersionConflict, text).with("version", version.to_string())
        }
        Refusal::Illegal(state) => {
            let text = format!("an application in state {} cannot do this", state.as_str_name());
            Problem::new(Reason::IllegalTransition, text).with("state", state.as_str_name())
        }
        Refusal::TooManyEvents => {
            let text =
                format!("after {MOST_EVENTS} events an application can only be decided or ended");
            Problem::new(Reason::IllegalTransition, text)
        }
        Refusal::PaidElsewhere(field) => {
            let text = "names a place that does not pay this benefit; find out who pays it";
            Problem::violations(vec![Violation::of(Cause::Eligibility, field, text)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn papers(count: usize, bytes: usize) -> Vec<pb::Material> {
        vec![pb::Material { content: vec![0; bytes], ..Default::default() }; count]
    }

    #[test]
    fn papers_handed_in_again_and_again_have_an_end() {
        assert!(too_much(&papers(119, 0), &papers(1, 0)).is_none());
        assert!(too_much(&papers(120, 0), &papers(1, 0)).is_some());
        let half = papers(4, 4 << 20);
        assert!(too_much(&half, &half).is_none());
        let more = too_much(&half, &papers(5, 4 << 20)).unwrap();
        assert!(more.description.contains("32 MiB"), "{more:?}");
        // What is named by reference is not in the application.
        assert!(too_much(&papers(9, 4 << 20), &papers(1, 0)).is_none());
        assert!(too_much(&papers(121, 0), &[]).is_none());
    }
}
