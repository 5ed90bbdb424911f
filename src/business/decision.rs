//! What a decision must say, for every business: on which day it was made and why it refuses, from
//! when a benefit is paid, which certificate it issued and where. Depends on the model and the clock.

use jiff::{ToSpan as _, civil::Date};

use crate::{
    business::{
        Violations,
        adjustment::{Adjustment, Outcome as Effect},
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

/// The day of acceptance (受理日).
fn accepted_on(application: &pb::Application) -> Option<Date> {
    let time = application.accept_time.as_ref()?;
    Some(clock::china_date(time.seconds.saturating_mul(1_000_000)))
}

/// The months in which a benefit may begin, from and to, and what they are called.
type Begins = (String, String, &'static str);

fn check_first_month(
    application: &pb::Application,
    decision: &pb::Decision,
    days: Option<(Date, Date)>,
    out: &mut Violations,
) {
    const FIELD: &str = "decision.paidFrom";
    let Some(details) = &application.details else { return };
    let Some(asked) = Adjustment::of(Some(details)) else { return };
    let begins = match asked.outcome() {
        Effect::Moved => after_the_last(asked.last_paid_month),
        Effect::Paid => days.and_then(|days| first_month(details, days)),
        Effect::Nothing | Effect::Changed | Effect::Kept | Effect::Ended => return,
    };
    let said = decision.paid_from.as_str();
    let needed = matches!(details, Details::DisabilitySubsidy(_) | Details::OldAgeAllowance(_))
        || asked.outcome() == Effect::Moved;
    match begins {
        _ if said.is_empty() && needed => {
            out.form(FIELD, "is required: the first month paid (首领年月)");
        }
        Some((from, to, text)) if !said.is_empty() && !(&*from..=&*to).contains(&said) => {
            out.form(FIELD, text);
        }
        _ => {}
    }
}

/// A benefit that moves is paid from the month after the last one paid elsewhere: none is paid
/// twice and none is missed. Domain §3.2.
fn after_the_last(last: &str) -> Option<Begins> {
    let next = month_after(format!("{last}-01").parse().ok()?);
    Some((
        next.clone(),
        next,
        "must be the month after the last one paid elsewhere (lastPaidMonth)",
    ))
}

/// A disability subsidy begins in the month of application (国发〔2015〕52号 [S6]), an old-age allowance
/// in it or later up to the month after the decision \[P\], a recognised child's in that month (次月)
/// [S9]; of social assistance nothing is known.
fn first_month(details: &Details, (accepted, decided): (Date, Date)) -> Option<Begins> {
    let next = month_after(decided);
    match details {
        Details::DisabilitySubsidy(_) => {
            Some((month(accepted), month(accepted), "must be the month of application"))
        }
        Details::OldAgeAllowance(_) => {
            let text = "must be from the month of application to the one after the decision";
            Some((month(accepted), next, text))
        }
        Details::ChildRecognition(_) => {
            Some((next.clone(), next, "must be the month after the decision"))
        }
        Details::SocialAssistance(_)
        | Details::MarriageRegistration(_)
        | Details::DivorceRegistration(_) => None,
    }
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

/// A divorce certificate is collected where the divorce was applied for (民发〔2020〕116号 [S22]).
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

    fn subsidy(action: &str, last: &str) -> Details {
        Details::DisabilitySubsidy(pb::DisabilitySubsidy {
            action: action.into(),
            last_paid_month: last.into(),
            ..Default::default()
        })
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
        let decision = pb::Decision { paid_from: "2026-02".into(), ..part("1") };
        assert_eq!(said(child, &decision), ["decision.grantedKind"]);
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
        let decision = pb::Decision { paid_from: "2026-02".into(), ..decision };
        assert_eq!(said(child("6"), &decision), ["decision.stoppedFrom"]);
    }

    #[test]
    fn a_moved_benefit_goes_on_in_the_month_after_the_last_also_over_new_year() {
        let moved = || subsidy("6", "2025-12");
        assert!(said(moved(), &granted("2026-01", "")).is_empty());
        for wrong in ["2025-12", "2026-02", ""] {
            assert_eq!(said(moved(), &granted(wrong, "")), ["decision.paidFrom"], "{wrong}");
        }
        let child = || {
            Details::ChildRecognition(pb::ChildRecognition {
                action: "6".into(),
                last_paid_month: "2025-12".into(),
                ..Default::default()
            })
        };
        assert!(said(child(), &granted("2026-01", "")).is_empty());
        assert_eq!(said(child(), &granted("2026-02", "")), ["decision.paidFrom"]);
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
