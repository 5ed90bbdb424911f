//! What the national libraries and the old library of province 23 hold about a person: made up from
//! the fate that the citizen number tells, the same every time it is asked.

use jiff::{Span, ToSpan as _, civil::Date};
use serde_json::{Value, json};

use crate::sim::fates::{Fate, fate, spouse_of};

/// Places that are neither in Heilongjiang nor in Guangdong.
const ELSEWHERE: [&str; 5] = ["510104", "370102", "420106", "610113", "330106"];

/// A county in another province than the number's own, 23 and 44.
fn elsewhere(number: &str) -> &'static str {
    let sum: usize = number.bytes().map(usize::from).sum();
    let away = |step: usize| ELSEWHERE[(sum + step) % ELSEWHERE.len()];
    if number.get(..2) == away(0).get(..2) { away(1) } else { away(0) }
}

fn months(today: Date, span: Span) -> String {
    today.checked_sub(span).unwrap_or(today).strftime("%Y-%m").to_string()
}

/// Records of the national marriage library under exactly this number.
pub(super) fn marriages(name: &str, number: &str) -> Vec<Value> {
    let record = |operation: &str, day: &str, sequence: &str| {
        let place = elsewhere(number);
        let letter = if operation == "IB" { "L" } else { "J" };
        let male =
            number.as_bytes().get(number.len().saturating_sub(2)).is_some_and(|d| d % 2 == 1);
        let (one, other) = if male { ("man", "woman") } else { ("woman", "man") };
        let mut row = json!({
            "op_type": operation,
            "op_date": day,
            "cert_no": format!("{letter}{place}-{}-{sequence}", &day[..4]),
            "dept_code": place,
            "dept_name": "婚姻登记处",
        });
        row[format!("name_{one}")] = name.into();
        row[format!("cert_type_{one}")] = "1".into();
        row[format!("cert_num_{one}")] = number.into();
        row[format!("name_{other}")] = "配偶".into();
        row[format!("cert_type_{other}")] = "1".into();
        row[format!("cert_num_{other}")] =
            spouse_of(number).unwrap_or_else(|| "000000580101000".into()).into();
        row
    };
    let long = number.len() == 18;
    match fate(number) {
        Fate::Married | Fate::Widowed if long => vec![record("IA", "2012-05-20", "000520")],
        Fate::Cooling if long => vec![record("IA", "2018-08-08", "000808")],
        // Of those who have an old number, the marriage stands under it and the divorce does not.
        Fate::Divorced if !long => vec![record("IA", "1998-10-01", "001001")],
        Fate::Divorced => {
            let mut rows = vec![record("IB", "2016-03-15", "000315")];
            if number.get(6..8) != Some("19") {
                rows.insert(0, record("IA", "2014-02-14", "000214"));
            }
            rows
        }
        _ => Vec::new(),
    }
}

/// Divorce applications, wherever handed in.
pub(super) fn divorces(number: &str, today: Date) -> Vec<Value> {
    if fate(number) != Fate::Cooling || number.len() != 18 {
        return Vec::new();
    }
    let accepted = today.checked_sub(10.days()).unwrap_or(today);
    vec![json!({
        "receipt_no": "LH0001",
        "accept_date": accepted.to_string(),
        "dept_code": elsewhere(number),
        "state": "COOLING",
    })]
}

pub(super) fn benefits(number: &str, today: Date) -> Vec<Value> {
    let at = |place: &str, benefit: &str, active: &str| {
        json!({
            "benefit": benefit,
            "pay_division": place,
            "active": active,
            "last_paid_month": months(today, 1.month()),
        })
    };
    let row = |benefit: &str, active: &str| at(elsewhere(number), benefit, active);
    match fate(number) {
        Fate::DrawsThere => {
            let there = number.get(..6).unwrap_or_default();
            ["01", "02", "07"].map(|benefit| at(there, benefit, "1")).into()
        }
        Fate::OnDibao => vec![at(number.get(..6).unwrap_or_default(), "03", "1")],
        Fate::InjuryFee => vec![row("08", "1")],
        Fate::DrawsLiving => vec![row("01", "1")],
        Fate::DrewUntilMoved => vec![row("01", "0")],
        Fate::DrawsNursing => vec![row("02", "1")],
        Fate::ExtremelyPoor => vec![row("04", "1")],
        Fate::DrawsChild => vec![row("05", "1")],
        Fate::DrawsOldAge => vec![row("07", "1")],
        _ => Vec::new(),
    }
}

/// The disability certificate. Who is ordinary has the one that the asker names.
pub(super) fn certificates(number: &str, certificate: &str, today: Date) -> Vec<Value> {
    let digit = |at: usize| certificate.get(at..=at).filter(|_| certificate.len() == 20);
    let (category, level) = (digit(18), digit(19));
    let fate = fate(number);
    let special = matches!(fate, Fate::CertificateExpired | Fate::CertificateDiffers);
    if category.is_none() && !special {
        return Vec::new();
    }
    let expired = fate == Fate::CertificateExpired;
    let span = if expired { (-1).year() } else { 5.years() };
    let level = if fate == Fate::CertificateDiffers { "4" } else { level.unwrap_or("2") };
    vec![json!({
        "valid": if expired { "0" } else { "1" },
        "category": category.unwrap_or("4"),
        "level": level,
        "valid_to": today.checked_add(span).unwrap_or(today).to_string(),
    })]
}

/// The household: where it is said to be, unless the fate is another.
pub(super) fn household(number: &str, claimed: &str) -> Value {
    let fate = fate(number);
    let said = claimed.get(..6).or_else(|| number.get(..6)).unwrap_or("230102");
    let place = if fate == Fate::RegisteredElsewhere { elsewhere(said) } else { said };
    json!({ "huji_code": place, "alive": if fate == Fate::Dead { "0" } else { "1" } })
}

/// Whether the old library of province 23 has a marriage under exactly this number.
pub(super) fn in_old_library(number: &str) -> bool {
    number.len() == 15 && fate(number) == Fate::MarriedLongAgo
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::sim::fates::{FATES, number_with};

    #[test]
    fn each_fate_shows_in_some_library_and_ordinary_people_in_none() {
        let today = date(2026, 11, 23);
        let strange = |number: &str| {
            let old = format!("{}{}", &number[..6], &number[8..17]);
            let certificate = format!("{number}42");
            let certificate = certificates(number, &certificate, today);
            let home = household(number, "230102001");
            [number, old.as_str()].iter().any(|form| !marriages("王", form).is_empty())
                || !divorces(number, today).is_empty()
                || !benefits(number, today).is_empty()
                || certificate[0]["valid"] != "1"
                || certificate[0]["level"] != "2"
                || home != json!({"huji_code": "230102", "alive": "1"})
                || in_old_library(&old)
        };
        for wanted in FATES {
            let number = number_with(wanted, "230102", date(1968, 2, 29), (true, 1)).unwrap();
            let plain = matches!(wanted, Fate::Unanswered | Fate::NeverAnswers);
            assert_eq!(strange(&number), !plain, "{wanted:?}");
        }
        assert!(!strange("230102196802290011"));
    }
}
