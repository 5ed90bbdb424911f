//! What a decision of the handling side says: office, document, reason, amount and first month.

use jiff::{ToSpan as _, civil::Date};

use crate::sim::{
    case::{Business, Decision},
    work::{Case, today},
};

/// The decision on a case: for it, or against it for that reason.
pub(super) fn decision(case: &Case, reason: Option<&str>) -> Decision {
    let (today, granted) = (today(), reason.is_none());
    Decision {
        granted,
        day: today,
        office: "县（市、区）民政局".into(),
        document: format!("民决〔{}〕{}", today.year(), &case.application[24..]),
        reason: if granted {
            String::new()
        } else {
            "经审核不符合规定条件，可申请复核".into()
        },
        reason_code: reason.unwrap_or_default().into(),
        amount_fen: match (granted, case.business) {
            (false, _) => 0,
            (true, Business::Child) => 120_000,
            (true, Business::OldAge) => 10_000,
            (true, Business::Assistance) => 71_500,
            (true, _) => 15_420,
        },
        paid_from: if granted { first_month(case, today) } else { None },
        certificate: String::new(),
    }
}

/// The subsidies from the month of application (国发〔2015〕52号), a child's from the next; what moved
/// from the month after the last one that was paid elsewhere.
fn first_month(case: &Case, today: Date) -> Option<Date> {
    let applied = case.claim.day.unwrap_or(today);
    let next = |day: Date| day.checked_add(1.month()).ok();
    match (case.business, case.claim.get("action")) {
        (Business::Child | Business::Assistance, _) => next(today),
        (_, "6") => next(format!("{}-01", case.claim.get("last paid")).parse().ok()?),
        (_, "3" | "5") => None,
        (_, "2") => next(today),
        _ => Some(applied),
    }
}
