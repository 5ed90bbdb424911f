//! Recognition of orphans and of children without de facto support (孤儿、事实无人抚养儿童认定).
//! 民发〔2019〕62号; 民发〔2020〕125号.

use crate::{
    business::{
        Benefit, Rules, Travel, Violations, check_person,
        clock::{Length, Limit, Start},
        home, identity,
    },
    model::{
        lifecycle::CHILD,
        pb::{self, DeadlineKind, EventType, application::Details},
    },
};

/// Name of the benefit.
pub(super) const BENEFIT: &str = "child_recognition";

pub(super) const RULES: Rules =
    Rules { machine: CHILD, travel: Travel::ToHome, check, benefits, limits: LIMITS };

/// Statutory limits. Accepted anywhere, decided at home: domain §4.1.
const LIMITS: &[Limit] = &[
    home::forward("孤儿等认定“跨省通办”（2021） [S8][S9]"),
    Limit {
        kind: DeadlineKind::TownshipOpinion,
        length: Length::WorkingDays(15),
        starts: Start::On(&[EventType::ApplicationForwarded, EventType::ApplicationAccepted]),
        stops: &[EventType::ReviewReported, EventType::DecisionMade],
        pauses: true,
        passing: None,
        source: "孤儿等认定“跨省通办”（2021） [S8][S9]",
    },
    Limit {
        kind: DeadlineKind::CountyDecision,
        length: Length::WorkingDays(15),
        starts: Start::On(&[EventType::ReviewReported]),
        stops: &[EventType::DecisionMade],
        pauses: true,
        passing: None,
        source: "孤儿等认定“跨省通办”（2021） [S8][S9]",
    },
    home::SUPPLEMENT,
    home::notice("孤儿等认定“跨省通办”（2021） [S8][S9]"),
];

fn body(application: &pb::Application) -> Option<&pb::ChildRecognition> {
    match &application.details {
        Some(Details::ChildRecognition(body)) => Some(body),
        _ => None,
    }
}

fn check(application: &pb::Application, out: &mut Violations) {
    const FIELD: &str = "childRecognition";
    let Some(body) = body(application) else { return };
    if let Some(child) = &application.applicant {
        check_person("applicant", child, out);
        if child.birth_date.is_empty() {
            out.form("applicant.birthDate", "is required; the age is counted from it");
        }
        // Household kind 3 is a child without household registration, who may have no number.
        if child.resident_id.is_empty() && body.household_kind != "3" {
            out.form("applicant.residentId", "is required unless the child has no registration");
        }
    }
    if application.guardian.is_none() {
        out.form("guardian", "is required: the guardian or entrusted relative of the child");
    }
    if !body.disability_categories.is_empty() && body.disability_level.is_empty() {
        out.form(&format!("{FIELD}.disabilityLevel"), "is required with a category of disability");
    }
    for (name, parent) in [("father", &body.father), ("mother", &body.mother)] {
        let Some(parent) = parent else { continue };
        // 00 is a parent who cares; 98 and 99 one of whom nothing is known.
        let proven = !matches!(parent.circumstance.as_str(), "" | "00" | "98" | "99");
        if proven && parent.proof.is_empty() {
            let field = format!("{FIELD}.{name}.proof");
            out.form(&field, "is required: the paper that proves the circumstance");
        }
    }
}

fn benefits(application: &pb::Application) -> Vec<Benefit> {
    let Some(child) = &application.applicant else { return Vec::new() };
    let person = identity(child, application.guardian.as_ref());
    vec![Benefit { name: BENEFIT, person }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::business::tests::refused;

    fn application(birth: &str) -> pb::Application {
        let parent =
            || pb::Parent { circumstance: "01".into(), proof: "201".into(), ..Default::default() };
        pb::Application {
            accept_time: Some(prost_types::Timestamp { seconds: 1_795_392_000, nanos: 0 }),
            applicant: Some(pb::Person { birth_date: birth.into(), ..Default::default() }),
            guardian: Some(pb::Representative::default()),
            details: Some(Details::ChildRecognition(pb::ChildRecognition {
                household_kind: "3".into(),
                father: Some(parent()),
                mother: Some(parent()),
                ..Default::default()
            })),
            ..Default::default()
        }
    }

    #[test]
    fn a_circumstance_needs_its_proof() {
        let mut application = application("2015-01-01");
        if let Some(Details::ChildRecognition(body)) = &mut application.details {
            body.father.as_mut().unwrap().proof.clear();
        }
        assert_eq!(refused(check, &application), ["childRecognition.father.proof"]);
    }
}
