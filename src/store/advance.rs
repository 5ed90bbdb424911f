//! One step of an application, decided inside the transaction: pure functions that every store
//! implementation calls, so that they cannot differ. Knows no SQL.

use prost::Message as _;

use crate::{
    audit::{Entry, Kind, commitment},
    business,
    model::{
        lifecycle::{self, Effect, Step},
        pb::{self, EventType, Outcome, State},
    },
    store::rows::{DeliveryKind, Reach, Refusal},
};

/// The mutable part of an application's row.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// What is applied for.
    pub business: pb::Business,
    /// Where it stands.
    pub state: State,
    /// Its version.
    pub version: i64,
}

/// The step that `event` takes, or why it takes none.
///
/// # Errors
/// The refusal.
pub fn step(
    standing: Standing,
    event: &pb::ApplicationEvent,
    expected_version: i64,
) -> Result<Step, Refusal> {
    if expected_version != 0 && expected_version != standing.version {
        return Err(Refusal::VersionConflict(standing.version));
    }
    let granted = event.decision.as_ref().is_some_and(|d| d.outcome() == Outcome::Granted);
    let machine = business::machine(standing.business);
    lifecycle::step_of(machine, standing.state, event.r#type(), granted)
        .ok_or(Refusal::Illegal(standing.state))
}

/// The application's content after the event; `None` when the event changes none of it.
pub fn revise(body: &pb::Application, event: &pb::ApplicationEvent) -> Option<pb::Application> {
    match event.r#type() {
        EventType::DecisionMade => {
            Some(pb::Application { decision: event.decision.clone(), ..body.clone() })
        }
        EventType::SupplementSubmitted => {
            let mut revised = body.clone();
            revised.materials.extend(event.materials.iter().cloned());
            Some(revised)
        }
        _ => None,
    }
}

/// The delivery that a step asks for: what, and to the submitting (`true`) or handling party.
pub const fn delivery(effect: Effect, reach: Reach) -> Option<(DeliveryKind, bool)> {
    match effect {
        Effect::TellSubmitter if reach.submitter => Some((DeliveryKind::Event, true)),
        Effect::TellHandler if reach.handler => Some((DeliveryKind::Event, false)),
        Effect::SendResult if reach.handler => Some((DeliveryKind::Result, false)),
        Effect::TellBoth if reach.submitter => Some((DeliveryKind::Event, true)),
        Effect::SendApplication if reach.handler => Some((DeliveryKind::Application, false)),
        _ => None,
    }
}

/// The part of an event that holds personal data, encoded; empty when there is none.
pub fn detail(event: &pb::ApplicationEvent) -> Vec<u8> {
    pb::ApplicationEvent {
        reason: event.reason.clone(),
        missing_materials: event.missing_materials.clone(),
        materials: event.materials.clone(),
        decision: event.decision.clone(),
        ..Default::default()
    }
    .encode_to_vec()
}

/// Who caused an event, for the audit log.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// Party code, or `gateway`.
    pub party: &'a str,
    /// The token's `sub`.
    pub system: &'a str,
    /// When, microseconds UTC.
    pub time: i64,
}

/// The audit entry of an event. `content` is what the event brought, empty for none.
pub fn event_entry(
    application: &str,
    sequence: i64,
    event: EventType,
    state: State,
    by: By<'_>,
    salt: &[u8; 16],
    content: &[u8],
) -> Entry {
    let content = if content.is_empty() { String::new() } else { commitment(salt, content) };
    Entry {
        kind: Kind::Event,
        time: by.time,
        party: by.party.to_owned(),
        system: by.system.to_owned(),
        application: application.to_owned(),
        sequence,
        what: event.as_str_name().to_owned(),
        state: state.as_str_name().to_owned(),
        content,
    }
}

/// The message number of a delivery: the same for the same delivery, whoever computes it.
pub fn message_number(id: &[u8; 16], sequence: i64, kind: DeliveryKind, party: &str) -> [u8; 16] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(id);
    context.update(&sequence.to_be_bytes());
    context.update(&kind.number().to_be_bytes());
    context.update(party.as_bytes());
    let mut number = [0; 16];
    number.copy_from_slice(&context.finish().as_ref()[..16]);
    number
}
