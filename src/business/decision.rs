//! What a decision must say, for every business: on which day it was made and why it refuses, from
//! when a benefit is paid, which certificate it issued and where. Depends on the model and the clock.

use jiff::{ToSpan as _, civil::Date};

use crate::{
    business::{
        Violations,
        adjustment::{Adjustment, Outcome as Motion},
    },
    model::{
        clock,
        pb::{self, Outcome, application::Details},
    },
};

pub(super) fn check(
    application: &pb::Application,
    decision: &pb::Decision,
    today: Date,
    out: &mut Violations,
) {
    let accepted = accepted_on(application);
    let decided = decision.decided_on.parse::<Date>().ok();
    if decided.is_some_and(|decided| decided > today) {
        out.form("decision.decidedOn", "must not be after today");
    }
    if decided.zip(accepted).is_some_and(|(decided, accepted)| decided < accepted) {
        out.form("decision.decidedOn", "must not be before the day of acceptance (acceptTime)");
    }
    check_opinion(application, decision, accepted.zip(decided), out);
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
    check_first_month(application, decision, accepted.zip(decided), out);
    check_extent(application, decision, out);
    check_certificate(application, decision, out);
}

/// The county decides after the township's opinion: domain §4.1.
fn check_opinion(
    application: &pb::Application,
    decision: &pb::Decision,
    days: Option<(Date, Date)>,
    out: &mut Violations,
) {
    let Some(opinion) = &decision.township_opinion else { return };
    if !matches!(&application.details, None | Some(Details::ChildRecognition(_))) {
        out.form("decision.townshipOpinion", "is only for the recognition of a child");
    }
    let given = opinion.given_on.parse::<Date>().ok();
    if let (Some(given), Some((accepted, decided))) = (given, days)
        && !(accepted..=decided).contains(&given)
    {
        let text = "must be from the day of acceptance (acceptTime) to that of the decision";
        out.form("decision.townshipOpinion.givenOn", text);
    }
}

/// The day of acceptance (受理日).
fn accepted_on(application: &pb::Application) -> Option<Date> {
    let time = application.accept_time.as_ref()?;
    Some(clock::china_date(time.seconds.saturating_mul(1_000_000)))
}

/// When a benefit begins: a disability subsidy in the month of application (国发〔2015〕52号 \[S6\]), an
/// old-age allowance in it or later \[P\], a recognised child's in the month after (次月) \[S9\]; one
/// that moves in the month after the last one paid elsewhere, so that none is paid twice and none
/// is missed (domain §3.2).
fn check_first_month(
    application: &pb::Application,
    decision: &pb::Decision,
    days: Option<(Date, Date)>,
    out: &mut Violations,
) {
    const FIELD: &str = "decision.paidFrom";
    let Some(asked) = Adjustment::of(application.details.as_ref()) else { return };
    let (required, months) = match (asked.outcome(), &application.details) {
        (Motion::Moved, _) => (true, next_after(asked.last_paid_month)),
        (Motion::Paid, Some(Details::DisabilitySubsidy(_))) => (true, days.map(at_application)),
        (Motion::Paid, Some(Details::OldAgeAllowance(_))) => (true, days.map(from_application)),
        (Motion::Paid, Some(Details::ChildRecognition(_))) => (false, days.map(after_decision)),
        _ => return,
    };
    match (decision.paid_from.as_str(), months) {
        ("", _) if required => out.form(FIELD, "is required: the first month paid (首领年月)"),
        ("", _) | (_, None) => {}
        (first, Some(Months { earliest, latest, text })) => {
            if !(earliest.as_str()..=latest.as_str()).contains(&first) {
                out.form(FIELD, text);
            }
        }
    }
}

/// In which months a benefit may begin.
struct Months {
    earliest: String,
    latest: String,
    text: &'static str,
}

fn next_after(last_paid_month: &str) -> Option<Months> {
    let next = month_after(format!("{last_paid_month}-01").parse().ok()?);
    let text = "must be the month after the last one paid elsewhere (lastPaidMonth)";
    Some(Months { earliest: next.clone(), latest: next, text })
}

fn at_application((accepted, _): (Date, Date)) -> Months {
    let text = "must be the month of application";
    Months { earliest: month(accepted), latest: month(accepted), text }
}

fn from_application((accepted, decided): (Date, Date)) -> Months {
    let text = "must be from the month of application to the next";
    Months { earliest: month(accepted), latest: month_after(decided), text }
}

fn after_decision((_, decided): (Date, Date)) -> Months {
    let text = "must be the month after the decision";
    Months { earliest: month_after(decided), latest: month_after(decided), text }
}

fn month(day: Date) -> String {
    day.strftime("%Y-%m").to_string()
}

fn month_after(day: Date) -> String {
    month(day.first_of_month().saturating_add(1.month()))
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
    if let Some(Details::DivorceRegistration(body)) = &application.details {
        check_registry(body, decision, out);
    }
}

/// A divorce certificate is collected where the divorce was applied for (民发〔2020〕116号 \[S22\]).
/// Rule D5; the office may be named in short.
fn check_registry(body: &pb::DivorceRegistration, decision: &pb::Decision, out: &mut Violations) {
    let number = &decision.certificate_number;
    let area = number.trim_start_matches(|c: char| c.is_ascii_alphabetic()).get(..6);
    if area.is_some_and(|area| !body.registry_code.starts_with(area)) {
        let text = "must be of the registry that took the couple in (registryCode) (D5)";
        out.form("decision.certificateNumber", text);
    }
    let (office, registry) = (decision.office.as_str(), body.registry_name.as_str());
    if !registry.contains(office) && !office.contains(registry) {
        let text = "must be the registry that took the couple in (registryName) (D5)";
        out.form("decision.office", text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Date = jiff::civil::date(2026, 11, 23);

    /// What is said of a decision about an application accepted on 2026-01-12.
    fn said(details: Details, decision: &pb::Decision) -> Vec<String> {
        let accept_time = Some(prost_types::Timestamp { seconds: 1_768_180_800, nanos: 0 });
        let application =
            pb::Application { details: Some(details), accept_time, ..Default::default() };
        let mut out = Violations::default();
        check(&application, decision, TODAY, &mut out);
        out.0.into_iter().map(|violation| violation.field).collect()
    }

    fn granted(paid_from: &str, certificate: &str) -> pb::Decision {
        pb::Decision {
            outcome: Outcome::Granted as i32,
            decided_on: "2026-01-20".into(),
            paid_from: paid_from.into(),
            certificate_number: certificate.into(),
            ..Default::default()
        }
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
        let part = pb::Decision { paid_from: "2026-02".into(), ..part("1") };
        assert_eq!(said(child, &part), ["decision.grantedKind"]);
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
        assert_eq!(said(child("1"), &decision), ["decision.stoppedFrom"]);
    }

    fn subsidy(action: &str, last: &str) -> Details {
        Details::DisabilitySubsidy(pb::DisabilitySubsidy {
            action: action.into(),
            last_paid_month: last.into(),
            ..Default::default()
        })
    }

    #[test]
    fn a_moved_benefit_goes_on_in_the_month_after_the_last_also_over_new_year() {
        let moved = || subsidy("6", "2025-12");
        assert!(said(moved(), &granted("2026-01", "")).is_empty());
        for wrong in ["2025-12", "2026-02", ""] {
            assert_eq!(said(moved(), &granted(wrong, "")), ["decision.paidFrom"], "{wrong}");
            let child = Details::ChildRecognition(pb::ChildRecognition {
                action: "6".into(),
                last_paid_month: "2025-12".into(),
                ..Default::default()
            });
            assert_eq!(said(child, &granted(wrong, "")), ["decision.paidFrom"], "{wrong}");
        }
    }

    #[test]
    fn a_benefit_begins_when_its_regulation_says() {
        for action in ["", "1"] {
            assert!(said(subsidy(action, ""), &granted("2026-01", "")).is_empty());
            for wrong in ["", "2020-01", "2025-12", "2026-02", "2030-01"] {
                assert_eq!(said(subsidy(action, ""), &granted(wrong, "")), ["decision.paidFrom"]);
            }
        }
        assert!(said(subsidy("5", ""), &granted("", "")).is_empty(), "an exit begins nothing");
        let old = || {
            let action = "1".into();
            Details::OldAgeAllowance(pb::OldAgeAllowance { action, ..Default::default() })
        };
        for good in ["2026-01", "2026-02"] {
            assert!(said(old(), &granted(good, "")).is_empty(), "{good}");
        }
        for wrong in ["", "2025-12", "2026-03"] {
            assert_eq!(said(old(), &granted(wrong, "")), ["decision.paidFrom"], "{wrong}");
        }
        let child = || Details::ChildRecognition(pb::ChildRecognition::default());
        for good in ["", "2026-02"] {
            assert!(said(child(), &granted(good, "")).is_empty(), "{good}");
        }
        for wrong in ["2026-01", "2026-03", "2030-01"] {
            assert_eq!(said(child(), &granted(wrong, "")), ["decision.paidFrom"], "{wrong}");
        }
    }

    #[test]
    fn a_decision_is_dated_between_acceptance_and_today() {
        let on = |day: &str| {
            let decision = pb::Decision { decided_on: day.into(), ..granted("", "") };
            said(Details::ChildRecognition(pb::ChildRecognition::default()), &decision)
        };
        for good in ["2026-01-12", "2026-11-23"] {
            assert!(on(good).is_empty(), "{good}");
        }
        for wrong in ["2026-01-11", "2005-02-01", "2026-11-24", "2031-01-01"] {
            assert_eq!(on(wrong), ["decision.decidedOn"], "{wrong}");
        }
    }

    #[test]
    fn the_township_gave_its_opinion_on_a_child_and_before_the_decision() {
        let with = |details: Details, given_on: &str| {
            let given_on = given_on.into();
            let opinion = pb::TownshipOpinion { given_on, ..Default::default() };
            let decision = pb::Decision { township_opinion: Some(opinion), ..granted("", "") };
            said(details, &decision)
        };
        let child = || Details::ChildRecognition(pb::ChildRecognition::default());
        for good in ["2026-01-12", "2026-01-20"] {
            assert!(with(child(), good).is_empty(), "{good}");
        }
        for wrong in ["2026-01-11", "2026-01-21"] {
            assert_eq!(with(child(), wrong), ["decision.townshipOpinion.givenOn"], "{wrong}");
        }
        assert_eq!(with(subsidy("5", ""), "2026-01-15"), ["decision.townshipOpinion"]);
    }

    #[test]
    fn a_divorce_is_registered_where_it_was_applied_for() {
        let divorce = || {
            Details::DivorceRegistration(pb::DivorceRegistration {
                registry_code: "440106".into(),
                registry_name: "广州市天河区民政局婚姻登记处".into(),
                ..Default::default()
            })
        };
        let by = |office: &str, certificate: &str| {
            let office = office.into();
            said(divorce(), &pb::Decision { office, ..granted("", certificate) })
        };
        assert!(by("天河区民政局婚姻登记处", "L440106-2026-000001").is_empty());
        assert_eq!(
            by("婚姻登记处", "J440106-2026-000001"),
            ["decision.certificateNumber"],
            "a divorce has a divorce certificate"
        );
        assert_eq!(by("婚姻登记处", "L440305-2026-000001"), ["decision.certificateNumber"]);
        assert_eq!(by("深圳市南山区民政局", "L440106-2026-000001"), ["decision.office"]);
    }

    #[test]
    fn a_refusal_says_why() {
        let decided_on = "2026-01-20".into();
        let outcome = Outcome::Denied as i32;
        let denied = pb::Decision { outcome, decided_on, ..Default::default() };
        let fields = said(Details::ChildRecognition(pb::ChildRecognition::default()), &denied);
        assert_eq!(fields, ["decision.reasonCode", "decision.reason"]);
    }
}
