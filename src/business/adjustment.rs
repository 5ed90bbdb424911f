//! What becomes of a benefit that is granted, changed, rested, ended or moved (动态调整): what each
//! action of the list `benefit_action` must say, what its grant does to the benefit, from when.
//! Depends on model.

use jiff::{Span, ToSpan as _, civil::Date};

use crate::{
    business::Violations,
    model::pb::{self, application::Details},
};

/// What is asked for of a benefit.
#[derive(Clone, Copy, Debug)]
pub struct Adjustment<'a> {
    /// Its code in the list `benefit_action`, never empty.
    pub action: &'a str,
    /// Division that paid until then, for a transfer.
    pub previous_division: &'a str,
    /// Last month paid there.
    pub last_paid_month: &'a str,
    exit_reason: &'a str,
    /// The body's field in JSON.
    body: &'static str,
    /// The field of the division that paid until then.
    previous_field: &'static str,
}

/// What becomes of a benefit once an application for it is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is paid: the person may apply again once the application is over.
    Nothing,
    /// It is paid from now on; an application for it elsewhere is a duplicate.
    Paid,
    /// It is paid by this application from now on and no longer by the one before (变更).
    Changed,
    /// It rests or goes on (停发、恢复): who holds it goes on holding it.
    Kept,
    /// It is paid here from now on and no longer where it was (迁移).
    Moved,
    /// It is no longer paid (退出).
    Ended,
}

impl<'a> Adjustment<'a> {
    /// What the body asks for; `None` of a business that is decided once.
    pub fn of(details: Option<&'a Details>) -> Option<Self> {
        macro_rules! of {
            ($body:ident, $name:literal) => {
                Some(Self {
                    action: if $body.action.is_empty() { "1" } else { &$body.action },
                    previous_division: &$body.previous_division,
                    last_paid_month: &$body.last_paid_month,
                    exit_reason: &$body.exit_reason,
                    body: $name,
                    previous_field: concat!($name, ".previousDivision"),
                })
            };
        }
        match details? {
            Details::DisabilitySubsidy(body) => of!(body, "disabilitySubsidy"),
            Details::ChildRecognition(body) => of!(body, "childRecognition"),
            Details::OldAgeAllowance(body) => of!(body, "oldAgeAllowance"),
            Details::SocialAssistance(body) => of!(body, "socialAssistance"),
            Details::MarriageRegistration(_) | Details::DivorceRegistration(_) => None,
        }
    }

    /// What a grant does to the benefit.
    pub(super) fn outcome(&self) -> Outcome {
        match self.action {
            "2" => Outcome::Changed,
            "3" | "4" => Outcome::Kept,
            "5" => Outcome::Ended,
            "6" => Outcome::Moved,
            _ => Outcome::Paid,
        }
    }

    /// Whether it is about a benefit that nobody may be drawing yet.
    pub(super) fn is_new(&self) -> bool {
        self.action == "1"
    }

    /// Whether the benefit is no longer paid from some month on.
    pub(super) fn stops(&self) -> bool {
        matches!(self.action, "3" | "5")
    }

    /// What the action asks for besides.
    pub(super) fn check(&self, out: &mut Violations) {
        let mut need = |name: &str, value: &str, text: &str| {
            if value.is_empty() {
                out.form(&format!("{}.{name}", self.body), text);
            }
        };
        if self.action == "6" {
            let text = "is required for a transfer: who paid before";
            need("previousDivision", self.previous_division, text);
            let text = "is required for a transfer: the last month paid there, so that none is \
                        paid twice or missed";
            need("lastPaidMonth", self.last_paid_month, text);
        }
        if self.stops() {
            need("exitReason", self.exit_reason, "is required: why it rests or ends");
        }
    }
}

/// Where the benefit must have been paid until now, and the field that says so.
pub fn paid_in(application: &pb::Application) -> (&str, &'static str) {
    match Adjustment::of(application.details.as_ref()) {
        Some(Adjustment { action: "6", previous_division, previous_field, .. }) => {
            (previous_division, previous_field)
        }
        _ => (&application.home_division, "homeDivision"),
    }
}

/// The decision with the month from which nothing is paid: of a suspension or termination that
/// does not say it, the month after (domain §3.2, stop from the next month on).
pub fn completed(application: &pb::Application, decision: &pb::Decision) -> pb::Decision {
    let mut decision = decision.clone();
    let stops = Adjustment::of(application.details.as_ref()).is_some_and(|a| a.stops());
    let granted = decision.outcome() == pb::Outcome::Granted;
    if stops && granted && decision.stopped_from.is_empty() {
        decision.stopped_from = month(&decision.decided_on, 1.month()).unwrap_or_default();
    }
    decision
}

/// The last month that who paid until now pays, `yyyy-MM`.
pub fn last_paid_month(application: &pb::Application) -> String {
    let Some(adjustment) = Adjustment::of(application.details.as_ref()) else {
        return String::new();
    };
    match (adjustment.outcome(), &application.decision) {
        (Outcome::Moved, _) => adjustment.last_paid_month.to_owned(),
        (_, Some(decision)) => {
            month(&format!("{}-01", decision.stopped_from), -1.month()).unwrap_or_default()
        }
        (_, None) => String::new(),
    }
}

/// The month of a day, so many months on.
pub(super) fn month(day: &str, on: Span) -> Option<String> {
    let first = day.parse::<Date>().ok()?.first_of_month();
    Some(first.checked_add(on).ok()?.strftime("%Y-%m").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subsidy(action: &str) -> pb::Application {
        let details = Details::DisabilitySubsidy(pb::DisabilitySubsidy {
            action: action.into(),
            previous_division: "230103".into(),
            last_paid_month: "2026-06".into(),
            ..Default::default()
        });
        pb::Application {
            home_division: "440305".into(),
            details: Some(details),
            ..Default::default()
        }
    }

    fn granted(decided_on: &str, stopped_from: &str) -> pb::Decision {
        pb::Decision {
            outcome: pb::Outcome::Granted as i32,
            decided_on: decided_on.into(),
            stopped_from: stopped_from.into(),
            ..Default::default()
        }
    }

    #[test]
    fn what_ends_is_paid_to_the_end_of_the_month_unless_the_decision_says_otherwise() {
        for (decided, said, stopped, last) in [
            ("2026-12-31", "", "2027-01", "2026-12"),
            ("2026-01-31", "", "2026-02", "2026-01"),
            ("2026-11-25", "2026-10", "2026-10", "2026-09"),
        ] {
            let mut exit = subsidy("5");
            let decision = completed(&exit, &granted(decided, said));
            assert_eq!(decision.stopped_from, stopped);
            exit.decision = Some(decision);
            assert_eq!(last_paid_month(&exit), last);
        }
        assert_eq!(completed(&subsidy("1"), &granted("2026-12-31", "")).stopped_from, "");
    }

    #[test]
    fn what_moves_was_paid_where_the_application_says() {
        let moved = subsidy("6");
        assert_eq!(paid_in(&moved), ("230103", "disabilitySubsidy.previousDivision"));
        assert_eq!(last_paid_month(&moved), "2026-06");
        assert_eq!(paid_in(&subsidy("5")), ("440305", "homeDivision"));
    }

    #[test]
    fn an_action_that_is_not_said_is_an_application() {
        assert_eq!(Adjustment::of(subsidy("").details.as_ref()).unwrap().outcome(), Outcome::Paid);
        let couple = Details::DivorceRegistration(pb::DivorceRegistration::default());
        assert!(Adjustment::of(Some(&couple)).is_none());
    }
}
