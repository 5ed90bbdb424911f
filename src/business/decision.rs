//! What a decision must say, for every business: why it refuses, from when a moved benefit is paid,
//! which certificate it issued.

use jiff::ToSpan as _;

use crate::{
    business::{
        Violations,
        adjustment::{self, Adjustment},
    },
    model::pb::{self, Outcome, application::Details},
};

pub(super) fn check(application: &pb::Application, decision: &pb::Decision, out: &mut Violations) {
    if decision.outcome() == Outcome::Denied {
        if decision.reason_code.is_empty() {
            out.form("decision.reasonCode", "is required for a refusal");
        }
        if decision.reason.is_empty() {
            let text = "is required for a refusal: what the citizen is told";
            out.form("decision.reason", text);
        }
        return;
    }
    check_first_month(application, decision, out);
    check_extent(application, decision, out);
    check_certificate(application, decision, out);
}

/// A benefit that moves is paid from the month after the last one paid elsewhere: none is paid
/// twice and none is missed. Domain §3.2.
fn check_first_month(application: &pb::Application, decision: &pb::Decision, out: &mut Violations) {
    let Some(asked) = Adjustment::of(application.details.as_ref()) else { return };
    if asked.outcome() != adjustment::Outcome::Moved || decision.paid_from.is_empty() {
        return;
    }
    let next = adjustment::month(&format!("{}-01", asked.last_paid_month), 1.month());
    if next.is_some_and(|next| next != decision.paid_from) {
        let text = "must be the month after the last one paid elsewhere (lastPaidMonth)";
        out.form("decision.paidFrom", text);
    }
}

/// A month to stop with is of what stops; a part is of what was applied for.
fn check_extent(application: &pb::Application, decision: &pb::Decision, out: &mut Violations) {
    let Some(details) = &application.details else { return };
    let stops = Adjustment::of(Some(details)).is_some_and(|asked| asked.stops());
    if !stops && !decision.stopped_from.is_empty() {
        out.form("decision.stoppedFrom", "is only for a suspension or termination");
    }
    let asked = match details {
        Details::DisabilitySubsidy(body) => body.subsidy_kind.as_str(),
        _ => "",
    };
    let granted = decision.granted_kind.as_str();
    if !granted.is_empty() && granted != asked && asked != "3" {
        out.form("decision.grantedKind", "must be a subsidy that was applied for");
    }
}

/// J marriage, L divorce, BJ and BL their re-issue, which some registries number as the first
/// issue. Domain §2.5, `cert_no`.
fn check_certificate(application: &pb::Application, decision: &pb::Decision, out: &mut Violations) {
    let letters = match &application.details {
        Some(Details::DivorceRegistration(_)) => ["L", "L"],
        Some(Details::MarriageRegistration(body)) => match body.operation.as_str() {
            "IA" => ["J", "J"],
            "ICA" => ["BJ", "J"],
            "ICB" => ["BL", "L"],
            _ => return,
        },
        _ => return,
    };
    let number = decision.certificate_number.as_str();
    let begins = number.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
    if !number.is_empty() && !letters.contains(&begins) {
        let text = format!("must begin with {} for this business", letters[0]);
        out.form("decision.certificateNumber", &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(details: Details, decision: &pb::Decision) -> Vec<String> {
        let application = pb::Application { details: Some(details), ..Default::default() };
        let mut out = Violations::default();
        check(&application, decision, &mut out);
        out.0.into_iter().map(|violation| violation.field).collect()
    }

    fn granted(paid_from: &str, certificate: &str) -> pb::Decision {
        pb::Decision {
            outcome: Outcome::Granted as i32,
            paid_from: paid_from.into(),
            certificate_number: certificate.into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_moved_benefit_goes_on_in_the_month_after_the_last_also_over_new_year() {
        let moved = |last: &str| {
            Details::DisabilitySubsidy(pb::DisabilitySubsidy {
                action: "6".into(),
                last_paid_month: last.into(),
                ..Default::default()
            })
        };
        assert!(said(moved("2025-12"), &granted("2026-01", "")).is_empty());
        assert_eq!(said(moved("2025-12"), &granted("2025-12", "")), ["decision.paidFrom"]);
        assert_eq!(said(moved("2025-12"), &granted("2026-02", "")), ["decision.paidFrom"]);
        let child = Details::ChildRecognition(pb::ChildRecognition {
            action: "6".into(),
            last_paid_month: "2025-12".into(),
            ..Default::default()
        });
        assert_eq!(said(child, &granted("2026-02", "")), ["decision.paidFrom"]);
    }

    #[test]
    fn of_two_subsidies_one_may_be_granted_and_of_one_no_other() {
        let asked = |kind: &str, action: &str| {
            Details::DisabilitySubsidy(pb::DisabilitySubsidy {
                subsidy_kind: kind.into(),
                action: action.into(),
                ..Default::default()
            })
        };
        let part =
            |kind: &str| pb::Decision { granted_kind: kind.into(), ..granted("2026-01", "") };
        for (kind, granted) in [("3", "1"), ("3", "2"), ("3", "3"), ("1", "1"), ("2", "")] {
            assert!(said(asked(kind, "1"), &part(granted)).is_empty(), "{kind} {granted}");
        }
        for (kind, granted) in [("1", "2"), ("2", "3"), ("1", "3")] {
            assert_eq!(said(asked(kind, "1"), &part(granted)), ["decision.grantedKind"]);
        }
        let child = Details::ChildRecognition(pb::ChildRecognition::default());
        assert_eq!(said(child, &part("1")), ["decision.grantedKind"]);
    }

    #[test]
    fn only_what_stops_has_a_month_to_stop_with() {
        let decision = pb::Decision { stopped_from: "2026-12".into(), ..granted("", "") };
        let child = |action: &str| {
            let action = action.to_owned();
            Details::ChildRecognition(pb::ChildRecognition { action, ..Default::default() })
        };
        assert!(said(child("5"), &decision).is_empty());
        assert!(said(child("3"), &decision).is_empty());
        assert_eq!(said(child("6"), &decision), ["decision.stoppedFrom"]);
    }

    #[test]
    fn a_divorce_has_a_divorce_certificate() {
        let divorce = || Details::DivorceRegistration(pb::DivorceRegistration::default());
        assert!(said(divorce(), &granted("", "L230103-2026-000001")).is_empty());
        let wrong = said(divorce(), &granted("", "J230103-2026-000001"));
        assert_eq!(wrong, ["decision.certificateNumber"]);
    }

    #[test]
    fn a_refusal_says_why() {
        let denied = pb::Decision { outcome: Outcome::Denied as i32, ..Default::default() };
        let fields = said(Details::ChildRecognition(pb::ChildRecognition::default()), &denied);
        assert_eq!(fields, ["decision.reasonCode", "decision.reason"]);
    }
}
