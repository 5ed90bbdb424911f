//! The state machines (办件状态流转): which event may follow which state, what it leads to, who
//! may cause it and who is told. Pure data and one function; each business names its machine.

use crate::model::pb::{EventType, State};

/// Who may cause an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The party that submitted the application.
    Submitter,
    /// The party it is handled through.
    Handler,
    /// The gateway itself.
    Gateway,
}

/// What must be delivered because of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The event, to the submitting party.
    TellSubmitter,
    /// The event, to the handling party.
    TellHandler,
    /// The whole application with its decision, to the handling party.
    SendResult,
}

/// One arrow of a state machine.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Where the application stands.
    pub from: State,
    /// What happens.
    pub event: EventType,
    /// Where it stands then.
    pub to: State,
    /// Who may cause it.
    pub by: Actor,
    /// What must be delivered.
    pub effect: Effect,
}

/// A state machine: its arrows. `DECISION_MADE` has two arrows from a state, granted first.
pub type Machine = &'static [Step];

const fn step(from: State, event: EventType, to: State, by: Actor, effect: Effect) -> Step {
    Step { from, event, to, by, effect }
}

/// Accept and forward (异地代收代办): disability subsidy, child recognition.
pub const ACCEPT_AND_FORWARD: Machine = {
    use Actor::{Gateway, Handler, Submitter};
    use Effect::{None, TellHandler, TellSubmitter};
    use EventType as E;
    use State as S;
    &[
        step(S::Received, E::ApplicationForwarded, S::Forwarded, Gateway, None),
        step(S::Received, E::DeliveryFailed, S::Undeliverable, Gateway, TellSubmitter),
        step(S::Undeliverable, E::ApplicationForwarded, S::Forwarded, Gateway, TellSubmitter),
        // The handling side may answer before our own record of its receipt is written.
        step(S::Received, E::ApplicationAccepted, S::Accepted, Handler, TellSubmitter),
        step(S::Forwarded, E::ApplicationAccepted, S::Accepted, Handler, TellSubmitter),
        step(S::Undeliverable, E::ApplicationAccepted, S::Accepted, Handler, TellSubmitter),
        step(S::Accepted, E::SupplementRequested, S::SupplementRequired, Handler, TellSubmitter),
        step(S::SupplementRequired, E::SupplementSubmitted, S::Accepted, Submitter, TellHandler),
        step(S::SupplementRequired, E::ApplicationExpired, S::Expired, Handler, TellSubmitter),
        step(S::Accepted, E::DecisionMade, S::Approved, Handler, TellSubmitter),
        step(S::Accepted, E::DecisionMade, S::Rejected, Handler, TellSubmitter),
        step(S::Approved, E::DecisionDelivered, S::Notified, Gateway, None),
        step(S::Rejected, E::DecisionDelivered, S::Notified, Gateway, None),
        step(S::Received, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::Forwarded, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::Accepted, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::SupplementRequired, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::Undeliverable, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
    ]
};

/// Nationwide handling (全国通办) of marriage: decided on the spot by the registry that took the
/// couple in; the hub checks their status before and stores the result after. Decree 804.
pub const NATIONWIDE_MARRIAGE: Machine = {
    use Actor::{Gateway, Handler, Submitter};
    use Effect::{None, SendResult, TellHandler, TellSubmitter};
    use EventType as E;
    use State as S;
    &[
        step(S::Received, E::ApplicationForwarded, S::Verifying, Gateway, None),
        step(S::Received, E::DeliveryFailed, S::Undeliverable, Gateway, TellSubmitter),
        step(S::Undeliverable, E::ApplicationForwarded, S::Verifying, Gateway, TellSubmitter),
        step(S::Received, E::CheckPassed, S::Verified, Handler, TellSubmitter),
        step(S::Verifying, E::CheckPassed, S::Verified, Handler, TellSubmitter),
        step(S::Undeliverable, E::CheckPassed, S::Verified, Handler, TellSubmitter),
        step(S::Received, E::CheckConflict, S::EvidenceRequired, Handler, TellSubmitter),
        step(S::Verifying, E::CheckConflict, S::EvidenceRequired, Handler, TellSubmitter),
        step(S::Undeliverable, E::CheckConflict, S::EvidenceRequired, Handler, TellSubmitter),
        step(S::EvidenceRequired, E::SupplementSubmitted, S::Verified, Submitter, TellHandler),
        step(S::Verified, E::DecisionMade, S::Registered, Submitter, SendResult),
        step(S::Verified, E::DecisionMade, S::Refused, Submitter, None),
        // Without proof the registry can only refuse.
        step(S::EvidenceRequired, E::DecisionMade, S::Refused, Submitter, None),
        step(S::Registered, E::DecisionDelivered, S::Uploaded, Gateway, None),
        step(S::Received, E::ApplicationWithdrawn, S::Withdrawn, Submitter, None),
        step(S::Verifying, E::ApplicationWithdrawn, S::Withdrawn, Submitter, None),
        step(S::Verified, E::ApplicationWithdrawn, S::Withdrawn, Submitter, None),
        step(S::EvidenceRequired, E::ApplicationWithdrawn, S::Withdrawn, Submitter, None),
        step(S::Undeliverable, E::ApplicationWithdrawn, S::Withdrawn, Submitter, None),
    ]
};

/// The step of `machine` that `event` takes from `from`; `granted` chooses between the two arrows
/// of a decision. `None`: the change is illegal and must change nothing.
pub fn step_of(machine: Machine, from: State, event: EventType, granted: bool) -> Option<Step> {
    let fits = |step: &&Step| {
        step.from == from
            && step.event == event
            && (event != EventType::DecisionMade || is_grant(step.to) == granted)
    };
    machine.iter().find(fits).copied()
}

/// Who may cause `event` in `machine`; `None` when no step of it bears the event.
pub fn actor_of(machine: Machine, event: EventType) -> Option<Actor> {
    machine.iter().find(|step| step.event == event).map(|step| step.by)
}

/// Whether an application in this state is over: the person may apply for the benefit again.
pub const fn is_closed(state: State) -> bool {
    matches!(
        state,
        State::Notified
            | State::Rejected
            | State::Withdrawn
            | State::Expired
            | State::Refused
            | State::Uploaded
    )
}

const fn is_grant(state: State) -> bool {
    matches!(state, State::Approved | State::Registered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_leaves_a_withdrawn_refused_or_notified_application() {
        for machine in [ACCEPT_AND_FORWARD, NATIONWIDE_MARRIAGE] {
            for step in machine {
                let over = [State::Notified, State::Withdrawn, State::Expired, State::Refused];
                assert!(!over.contains(&step.from), "{step:?}");
            }
        }
    }

    #[test]
    fn an_event_has_one_step_from_a_state_or_two_for_a_decision() {
        for machine in [ACCEPT_AND_FORWARD, NATIONWIDE_MARRIAGE] {
            for a in machine {
                let alike = machine.iter().filter(|b| b.from == a.from && b.event == a.event);
                let limit = if a.event == EventType::DecisionMade { 2 } else { 1 };
                assert!(alike.count() <= limit, "{a:?}");
            }
        }
    }

    #[test]
    fn without_proof_a_registry_can_only_refuse() {
        let from = State::EvidenceRequired;
        let made = EventType::DecisionMade;
        assert!(step_of(NATIONWIDE_MARRIAGE, from, made, true).is_none());
        assert_eq!(step_of(NATIONWIDE_MARRIAGE, from, made, false).unwrap().to, State::Refused);
    }
}
