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
    /// The gateway itself: a delivery ended, or a clock ran out.
    Gateway,
    /// The handling side, or the gateway when its clock runs out first.
    HandlerOrGateway,
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
    /// The event, to both; never to the one who caused it.
    TellBoth,
    /// The application, to the handling party, which has not had it yet.
    SendApplication,
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

/// The arrows of accepting and forwarding, and those of one business besides.
macro_rules! accept_and_forward {
    ($($more:expr),* $(,)?) => {{
        use Actor::{Gateway, Handler, HandlerOrGateway, Submitter};
        use Effect::{None, TellBoth, TellHandler, TellSubmitter};
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
            step(
                S::SupplementRequired, E::ApplicationExpired, S::Expired, HandlerOrGateway, TellBoth,
            ),
            step(S::Accepted, E::DecisionMade, S::Approved, Handler, TellSubmitter),
            step(S::Accepted, E::DecisionMade, S::Rejected, Handler, TellSubmitter),
            step(S::Approved, E::DecisionDelivered, S::Notified, Gateway, None),
            step(S::Rejected, E::DecisionDelivered, S::Notified, Gateway, None),
            step(S::Received, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
            step(S::Forwarded, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
            step(S::Accepted, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
            step(S::SupplementRequired, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
            step(S::Undeliverable, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
            $($more),*
        ]
    }};
}

/// Accept and forward (异地代收代办): disability subsidy, old-age allowance, social assistance.
/// 国办发〔2020〕35号.
pub const ACCEPT_AND_FORWARD: Machine =
    accept_and_forward![step(S::Accepted, E::ReviewReported, S::Accepted, Handler, TellSubmitter)];

/// Accept and forward of a child: the township gives its opinion, then the county decides. What
/// the township decides itself, by the county's leave, it reports to nobody. New papers go
/// through the township again.
pub const CHILD: Machine = accept_and_forward![
    step(S::Accepted, E::ReviewReported, S::Reviewed, Handler, TellSubmitter),
    step(S::Reviewed, E::SupplementRequested, S::SupplementRequired, Handler, TellSubmitter),
    step(S::Reviewed, E::DecisionMade, S::Approved, Handler, TellSubmitter),
    step(S::Reviewed, E::DecisionMade, S::Rejected, Handler, TellSubmitter),
    step(S::Reviewed, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
];

/// Nationwide handling (全国通办) of marriage: decided on the spot by the registry that took the
/// couple in; the hub checks their status before and stores the result after. For a re-issue
/// (补领) the check is for the archive. Decree 804.
pub const NATIONWIDE_MARRIAGE: Machine = {
    use Actor::{Gateway, Handler, Submitter};
    use Effect::{None, SendApplication, SendResult, TellBoth, TellHandler, TellSubmitter};
    use EventType as E;
    use State as S;
    &[
        // A booking rests with the gateway until the couple has come.
        step(S::Booked, E::ApplicationAccepted, S::Received, Submitter, SendApplication),
        step(S::Booked, E::ApplicationWithdrawn, S::Withdrawn, Submitter, None),
        step(S::Booked, E::AppearanceMissed, S::NoShow, Gateway, TellSubmitter),
        step(S::Received, E::ApplicationForwarded, S::Verifying, Gateway, None),
        step(S::Received, E::DeliveryFailed, S::Undeliverable, Gateway, TellSubmitter),
        step(S::Undeliverable, E::ApplicationForwarded, S::Verifying, Gateway, TellSubmitter),
        step(S::Received, E::CheckPassed, S::Verified, Handler, TellSubmitter),
        step(S::Verifying, E::CheckPassed, S::Verified, Handler, TellSubmitter),
        step(S::Undeliverable, E::CheckPassed, S::Verified, Handler, TellSubmitter),
        step(S::ArchiveRequested, E::CheckPassed, S::Verified, Handler, TellSubmitter),
        step(S::Received, E::CheckConflict, S::EvidenceRequired, Handler, TellSubmitter),
        step(S::Verifying, E::CheckConflict, S::EvidenceRequired, Handler, TellSubmitter),
        step(S::Undeliverable, E::CheckConflict, S::EvidenceRequired, Handler, TellSubmitter),
        step(S::ArchiveRequested, E::CheckConflict, S::EvidenceRequired, Handler, TellSubmitter),
        // The library has no record: the original registry is asked for the archive (异地调档).
        step(S::Received, E::ArchiveAsked, S::ArchiveRequested, Handler, TellSubmitter),
        step(S::Verifying, E::ArchiveAsked, S::ArchiveRequested, Handler, TellSubmitter),
        step(S::EvidenceRequired, E::SupplementSubmitted, S::Verified, Submitter, TellHandler),
        step(S::Verified, E::DecisionMade, S::Registered, Submitter, SendResult),
        step(S::Verified, E::DecisionMade, S::Refused, Submitter, TellHandler),
        // Without proof the registry can only refuse.
        step(S::EvidenceRequired, E::DecisionMade, S::Refused, Submitter, TellHandler),
        step(S::EvidenceRequired, E::ApplicationExpired, S::Expired, Gateway, TellBoth),
        step(S::Registered, E::DecisionDelivered, S::Uploaded, Gateway, None),
        step(S::Uploaded, E::AnnulmentNoted, S::Annulled, Handler, TellSubmitter),
        // The hub holds the case from its sending on, and hears how it ended.
        step(S::Received, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::Verifying, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::ArchiveRequested, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::Verified, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::EvidenceRequired, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::Undeliverable, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
    ]
};

/// Nationwide handling of divorce: the hub checks that the two are married and shares the clock,
/// so that no other registry marries or divorces either meanwhile. Civil Code art. 1077;
/// 民发〔2020〕116号.
pub const NATIONWIDE_DIVORCE: Machine = {
    use Actor::{Gateway, Handler, Submitter};
    use Effect::{None, SendResult, TellBoth, TellHandler, TellSubmitter};
    use EventType as E;
    use State as S;
    &[
        step(S::Received, E::ApplicationForwarded, S::Verifying, Gateway, None),
        step(S::Received, E::DeliveryFailed, S::Undeliverable, Gateway, TellSubmitter),
        step(S::Undeliverable, E::ApplicationForwarded, S::Verifying, Gateway, TellSubmitter),
        step(S::Received, E::CheckPassed, S::Cooling, Handler, TellSubmitter),
        step(S::Verifying, E::CheckPassed, S::Cooling, Handler, TellSubmitter),
        step(S::Undeliverable, E::CheckPassed, S::Cooling, Handler, TellSubmitter),
        step(S::Received, E::CheckConflict, S::EvidenceRequired, Handler, TellSubmitter),
        step(S::Verifying, E::CheckConflict, S::EvidenceRequired, Handler, TellSubmitter),
        step(S::Undeliverable, E::CheckConflict, S::EvidenceRequired, Handler, TellSubmitter),
        step(S::EvidenceRequired, E::SupplementSubmitted, S::Cooling, Submitter, TellHandler),
        // Not accepted (不予受理): nothing proves the marriage.
        step(S::EvidenceRequired, E::DecisionMade, S::Refused, Submitter, TellHandler),
        step(S::EvidenceRequired, E::ApplicationExpired, S::Expired, Gateway, TellBoth),
        step(S::Cooling, E::CoolingEnded, S::Collectable, Gateway, TellBoth),
        step(S::Collectable, E::CollectionLapsed, S::DeemedWithdrawn, Gateway, TellBoth),
        step(S::Collectable, E::DecisionMade, S::Registered, Submitter, SendResult),
        step(S::Collectable, E::DecisionMade, S::Refused, Submitter, TellHandler),
        step(S::Registered, E::DecisionDelivered, S::Uploaded, Gateway, None),
        step(S::Uploaded, E::AnnulmentNoted, S::Annulled, Handler, TellSubmitter),
        // Either party alone may withdraw while the period runs (Civil Code art. 1077), at the
        // registry that took them in.
        step(S::Received, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::Verifying, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::EvidenceRequired, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::Undeliverable, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
        step(S::Cooling, E::ApplicationWithdrawn, S::Withdrawn, Submitter, TellHandler),
    ]
};

/// Every machine, with the name it is drawn under in `docs/states.md`.
pub const MACHINES: [(&str, Machine); 4] = [
    ("accept and forward (异地代收代办)", ACCEPT_AND_FORWARD),
    ("children (孤儿、事实无人抚养儿童)", CHILD),
    ("marriage (结婚、补领)", NATIONWIDE_MARRIAGE),
    ("divorce (离婚)", NATIONWIDE_DIVORCE),
];

/// Whether an event tells of something that leaves the state as it is, in every state: a limit
/// that is near or has passed, a second application that was refused, a benefit that is paid no
/// longer.
pub const fn is_notice(event: EventType) -> bool {
    matches!(
        event,
        EventType::DeadlineNear
            | EventType::DeadlinePassed
            | EventType::DuplicateRefused
            | EventType::BenefitMoved
            | EventType::BenefitEnded
    )
}

/// Whether an application may go through the event any number of times: every circle of a machine has
/// one of these in it.
pub const fn recurs(event: EventType) -> bool {
    matches!(event, EventType::SupplementRequested | EventType::ReviewReported)
}

/// The step of a notice, which both sides are told.
pub const fn notice(state: State, event: EventType) -> Step {
    step(state, event, state, Actor::Gateway, Effect::TellBoth)
}

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

/// Every state that `machine` knows.
pub fn states(machine: Machine) -> impl Iterator<Item = State> {
    let mut states: Vec<State> = machine.iter().flat_map(|step| [step.from, step.to]).collect();
    states.sort_unstable();
    states.dedup();
    states.into_iter()
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
            | State::NoShow
            | State::Annulled
            | State::DeemedWithdrawn
    )
}

/// Whether the state is that of a granted application.
pub const fn is_grant(state: State) -> bool {
    matches!(state, State::Approved | State::Registered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_leaves_a_withdrawn_refused_or_notified_application() {
        for (_, machine) in MACHINES {
            for step in machine {
                let over = [State::Notified, State::Withdrawn, State::Expired, State::Refused];
                assert!(!over.contains(&step.from), "{step:?}");
            }
        }
    }

    #[test]
    fn an_event_has_one_step_from_a_state_or_two_for_a_decision() {
        for (_, machine) in MACHINES {
            for a in machine {
                let alike = machine.iter().filter(|b| b.from == a.from && b.event == a.event);
                let limit = if a.event == EventType::DecisionMade { 2 } else { 1 };
                assert!(alike.count() <= limit, "{a:?}");
            }
        }
    }

    #[test]
    fn without_what_recurs_no_machine_goes_in_circles() {
        fn walk(machine: Machine, way: &[State]) {
            let from = way.last().unwrap();
            for step in machine.iter().filter(|step| step.from == *from && !recurs(step.event)) {
                assert!(!way.contains(&step.to), "{way:?} and {step:?}");
                walk(machine, &[way, &[step.to]].concat());
            }
        }
        for (_, machine) in MACHINES {
            states(machine).for_each(|state| walk(machine, &[state]));
        }
    }

    #[test]
    fn what_the_handler_holds_of_an_ended_case_it_is_told() {
        let ends = [State::Withdrawn, State::Refused];
        for (name, machine) in MACHINES {
            let ends = machine.iter().filter(|step| ends.contains(&step.to));
            for step in ends.filter(|step| step.from != State::Booked) {
                assert_eq!(step.effect, Effect::TellHandler, "{name}: {step:?}");
            }
        }
    }

    #[test]
    fn of_a_child_the_county_decides_after_the_township() {
        let reviewed = step_of(CHILD, State::Accepted, EventType::ReviewReported, false).unwrap();
        assert_eq!(reviewed.to, State::Reviewed);
        for (granted, to) in [(true, State::Approved), (false, State::Rejected)] {
            let made = step_of(CHILD, State::Reviewed, EventType::DecisionMade, granted).unwrap();
            assert_eq!(made.to, to);
        }
        assert!(step_of(CHILD, State::Reviewed, EventType::ReviewReported, false).is_none());
    }

    #[test]
    fn without_proof_a_registry_can_only_refuse() {
        let from = State::EvidenceRequired;
        let made = EventType::DecisionMade;
        assert!(step_of(NATIONWIDE_MARRIAGE, from, made, true).is_none());
        assert_eq!(step_of(NATIONWIDE_MARRIAGE, from, made, false).unwrap().to, State::Refused);
    }
}
