//! One step of an application, decided inside the transaction: pure functions that every store
//! implementation calls, so that they cannot differ. Knows no SQL.

use std::borrow::Cow;

use prost::Message as _;

use crate::{
    audit::{Entry, Kind, commitment},
    business::{self, adjustment, likeness, opinion},
    model::{
        clock,
        lifecycle::{self, Effect, Step},
        pb::{self, EventType, State, application::Details},
    },
    store::{
        Terms,
        rows::{DeliveryKind, Refusal},
    },
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
    if lifecycle::is_notice(event.r#type()) {
        return Ok(lifecycle::notice(standing.state, event.r#type()));
    }
    let granted = event.decision.as_ref().is_some_and(|d| d.outcome() == pb::Outcome::Granted);
    let machine = business::machine(standing.business);
    let step = lifecycle::step_of(machine, standing.state, event.r#type(), granted)
        .ok_or(Refusal::Illegal(standing.state))?;
    if lifecycle::recurs(step.event) && standing.version >= MOST_EVENTS {
        return Err(Refusal::TooManyEvents);
    }
    Ok(step)
}

/// Events after which an application only goes towards its end: all of one are read as one page.
/// Papers asked for twenty times over, each time with both notices of a limit, are about half of it.
pub const MOST_EVENTS: i64 = 200;

/// The event with what its decision leaves to the rule, and what must be asked because of it.
pub fn completed<'a>(
    body: &pb::Application,
    event: &'a pb::ApplicationEvent,
) -> Cow<'a, pb::ApplicationEvent> {
    match &event.decision {
        Some(decision) if event.r#type() == EventType::DecisionMade => {
            let mut event = event.clone();
            event.checks.extend(opinion::question(body, decision));
            event.decision = Some(adjustment::completed(body, decision));
            Cow::Owned(event)
        }
        _ => Cow::Borrowed(event),
    }
}

/// The application's content after the event; `None` when the event changes none of it.
pub fn revise(
    body: &pb::Application,
    event: &pb::ApplicationEvent,
    time: i64,
) -> Option<pb::Application> {
    match event.r#type() {
        EventType::DecisionMade => Some(decided(body, event)),
        // A check may bring papers too: the archive copy for a re-issue.
        EventType::SupplementSubmitted | EventType::CheckPassed if !event.materials.is_empty() => {
            let mut revised = body.clone();
            revised.materials.extend(event.materials.iter().cloned());
            Some(revised)
        }
        EventType::ApplicationAccepted => appeared(body, time),
        _ => None,
    }
}

/// A grant leaves the questions that were open when it was made, a refusal adds its own; a marriage is registered on
/// the day of its decision, whatever day was booked.
fn decided(body: &pb::Application, event: &pb::ApplicationEvent) -> pb::Application {
    let mut decided = pb::Application { decision: event.decision.clone(), ..body.clone() };
    let Some(decision) = event.decision.as_ref().filter(|d| d.outcome() == pb::Outcome::Granted)
    else {
        decided.checks.extend(event.checks.iter().cloned());
        return decided;
    };
    // No rule can answer who somebody is like: what was asked of it when it came stays asked, with
    // the other's id, which an event does not bear.
    let asked = body.checks.iter().filter(|check| likeness::is_question(check));
    let open = event.checks.iter().filter(|check| !likeness::is_question(check));
    decided.checks = open.chain(asked).cloned().collect();
    if let Some(Details::MarriageRegistration(marriage)) = &mut decided.details
        && marriage.operation == "IA"
    {
        marriage.registration_date.clone_from(&decision.decided_on);
    }
    decided
}

/// A booked couple has come: both are present, and this is the day.
fn appeared(body: &pb::Application, time: i64) -> Option<pb::Application> {
    let mut present = body.clone();
    let Some(Details::MarriageRegistration(marriage)) = &mut present.details else { return None };
    marriage.both_present = Some(true);
    marriage.registration_date = clock::china_date(time).to_string();
    Some(present)
}

/// Whether an application holds what it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It is over and holds nothing.
    Closed = 0,
    /// It is open and holds its claims.
    Open = 1,
    /// It was granted and holds the benefits that are paid because of it.
    Paid = 2,
}

impl Open {
    /// As it stands in the table.
    pub const fn from_number(number: i64) -> Self {
        match number {
            0 => Self::Closed,
            2 => Self::Paid,
            _ => Self::Open,
        }
    }
}

/// The deliveries that a step asks for, each with the party it is for. A party that takes none
/// reads events by itself; nobody is told what they did themselves.
pub fn deliveries<'a>(
    effect: Effect,
    terms: &Terms,
    (submitter, handler): (&'a str, &'a str),
    by: &str,
) -> Vec<(DeliveryKind, &'a str)> {
    let (kind, parties): (_, &[&'a str]) = match effect {
        Effect::None => return Vec::new(),
        Effect::TellSubmitter => (DeliveryKind::Event, &[submitter]),
        Effect::TellHandler => (DeliveryKind::Event, &[handler]),
        Effect::TellBoth => (DeliveryKind::Event, &[submitter, handler]),
        Effect::SendApplication => (DeliveryKind::Application, &[handler]),
        Effect::SendResult => (DeliveryKind::Result, &[handler]),
    };
    let wanted = |party: &&&str| {
        terms.takers.contains(**party) && !(effect == Effect::TellBoth && **party == by)
    };
    let mut told: Vec<_> = parties.iter().filter(wanted).map(|party| (kind, *party)).collect();
    // A party that handles what it submitted is told once.
    told.dedup();
    told
}

/// What stands beside the content because it changes without it: clocks, open questions, route.
pub fn kept(content: &pb::Application) -> pb::Application {
    pb::Application {
        deadlines: content.deadlines.clone(),
        checks: content.checks.clone(),
        handling_authority: content.handling_authority.clone(),
        ..Default::default()
    }
}

/// The part of an event that holds personal data, encoded; empty when there is none.
pub fn detail(event: &pb::ApplicationEvent) -> Vec<u8> {
    pb::ApplicationEvent {
        reason: event.reason.clone(),
        missing_materials: event.missing_materials.clone(),
        materials: event.materials.clone(),
        decision: event.decision.clone(),
        deadline: event.deadline.clone(),
        last_paid_month: event.last_paid_month.clone(),
        checks: event.checks.clone(),
        withdrawn_by: event.withdrawn_by,
        receipt_number: event.receipt_number.clone(),
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

impl By<'_> {
    /// The gateway itself.
    pub const fn gateway(time: i64) -> Self {
        Self { party: "gateway", system: "", time }
    }
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

/// What the leaf of a purged application says happened.
pub const PURGED: &str = "PURGED";

/// The audit entry of an application whose content was purged.
pub fn purge_entry(id: &[u8; 16], version: i64, state: State, now: i64) -> Entry {
    Entry {
        kind: Kind::Operation,
        time: now,
        party: "gateway".into(),
        system: String::new(),
        application: uuid::Uuid::from_bytes(*id).to_string(),
        sequence: version,
        what: PURGED.into(),
        state: state.as_str_name().into(),
        content: String::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_that_handles_what_it_submitted_is_told_once() {
        let takers = ["23", "national"].map(str::to_owned).into();
        let terms = Terms { takers, ..Terms::default() };
        let told = |sides, by| deliveries(Effect::TellBoth, &terms, sides, by);
        assert_eq!(told(("23", "23"), "gateway"), [(DeliveryKind::Event, "23")]);
        assert_eq!(told(("23", "23"), "23"), []);
        assert_eq!(told(("23", "national"), "gateway").len(), 2);
    }
}
