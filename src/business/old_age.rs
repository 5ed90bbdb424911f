//! Old-age allowance (高龄津贴). 老年人权益保障法 art. 33; the amount and the age are the province's.

use crate::{
    business::{
        Benefit, Rules, Travel, Violations, check_person,
        clock::{Length, Limit, Start},
        identity,
    },
    model::{
        lifecycle::ACCEPT_AND_FORWARD,
        pb::{self, DeadlineKind, EventType, State},
    },
};

pub(super) const RULES: Rules =
    Rules { machine: ACCEPT_AND_FORWARD, travel: Travel::ToHome, check, benefits, limits: LIMITS };

/// Statutory limits. No national rule was found: the province sets them.
const LIMITS: &[Limit] = &[
    Limit {
        kind: DeadlineKind::Forward,
        length: Length::WorkingDays(3),
        starts: Start::Complete,
        stops: &[EventType::ApplicationForwarded, EventType::ApplicationAccepted],
        pauses: false,
        passing: None,
        source: "比照残疾人两项补贴跨省通办 [P]",
    },
    Limit {
        kind: DeadlineKind::Decision,
        length: Length::WorkingDays(20),
        starts: Start::On(&[EventType::ApplicationForwarded, EventType::ApplicationAccepted]),
        stops: &[EventType::DecisionMade],
        pauses: true,
        passing: None,
        source: "本工程办理时限 [P]",
    },
    Limit {
        kind: DeadlineKind::Supplement,
        length: Length::Days(30),
        starts: Start::On(&[EventType::SupplementRequested]),
        stops: &[EventType::SupplementSubmitted],
        pauses: false,
        passing: Some((State::SupplementRequired, EventType::ApplicationExpired)),
        source: "逾期未补正视为放弃，可重新申请 [P]",
    },
    Limit {
        kind: DeadlineKind::Notice,
        length: Length::WorkingDays(3),
        starts: Start::On(&[EventType::DecisionMade]),
        stops: &[EventType::DecisionDelivered],
        pauses: false,
        passing: None,
        source: "比照残疾人两项补贴跨省通办 [P]",
    },
];

fn check(application: &pb::Application, out: &mut Violations) {
    if let Some(person) = &application.applicant {
        check_person("applicant", person, out);
        if person.resident_id.is_empty() {
            out.form("applicant.residentId", "is required; fill it in");
        }
    }
}

fn benefits(application: &pb::Application) -> Vec<Benefit> {
    let Some(person) = &application.applicant else { return Vec::new() };
    vec![Benefit { name: "old_age_allowance", person: identity(person, None) }]
}
