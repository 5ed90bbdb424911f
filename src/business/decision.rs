//! What a decision must say, for every business: why it refuses, from when a moved benefit is paid,
//! which certificate it issued.

use jiff::{ToSpan as _, civil::Date};

use crate::{
    business::Violations,
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
    check_certificate(application, decision, out);
}

/// A benefit that moves is paid from the month after the last one paid elsewhere: none is paid
/// twice and none is missed. Domain §3.2.
fn check_first_month(application: &pb::Application, decision: &pb::Decision, out: &mut Violations) {
    let (action, last) = match &application.details {
        Some(Details::DisabilitySubsidy(body)) => (&body.action, &body.last_paid_month),
        Some(Details::OldAgeAllowance(body)) => (&body.action, &body.last_paid_month),
        _ => return,
    };
    if action != "6" || decision.paid_from.is_empty() {
        return;
    }
    let next = format!("{last}-01").parse::<Date>().and_then(|first| first.checked_add(1.month()));
    if next.is_ok_and(|next| next.strftime("%Y-%m").to_string() != decision.paid_from) {
        let text = "must be the month after the last one paid elsewhere (lastPaidMonth)";
        out.form("decision.paidFrom", text);
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
