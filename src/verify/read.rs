//! Reads the records of the exchange platform's services. A record that lacks what decides is not
//! understood, and a question with such a record has no answer. Pure.
//!
//! Fields of marriage records are those public clients use (domain.md §2.5); those of the other
//! services are the project's own proposal \[P\], since no interface document is public.

use jiff::civil::Date;
use serde_json::Value;

use crate::{model::pb, verify::marriage::Record};

/// A field as text, trimmed; numbers as their digits; empty for nothing.
fn text(row: &Value, name: &str) -> String {
    match &row[name] {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// `1` or `0`; `None` for anything else.
fn truth(row: &Value, name: &str) -> Option<bool> {
    match text(row, name).as_str() {
        "1" => Some(true),
        "0" => Some(false),
        _ => row[name].as_bool(),
    }
}

/// A day as records write it: `2010-01-02`, `2010/01/02`, `20100102`, with or without a time.
pub(super) fn day(text: &str) -> Option<Date> {
    let head = text.trim().split([' ', 'T']).next()?;
    let digits: String = head.chars().filter(char::is_ascii_digit).collect();
    let spread = head.len() == 8
        || (head.len() == 10 && head.bytes().filter(|b| b"-/.".contains(b)).count() == 2);
    if digits.len() != 8 || !spread {
        return None;
    }
    format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..]).parse().ok()
}

pub(super) fn marriage(row: &Value) -> Option<Record> {
    let operation = text(row, "op_type").to_ascii_uppercase();
    let record = Record {
        date: day(&text(row, "op_date")),
        registry: text(row, "dept_code"),
        certificate: text(row, "cert_no"),
        man: text(row, "cert_num_man"),
        woman: text(row, "cert_num_woman"),
        operation,
    };
    (!record.operation.is_empty()).then_some(record)
}

/// Whether a divorce application is open: in its cooling-off period, or to be collected.
pub(super) fn divorce_open(row: &Value) -> Option<bool> {
    match text(row, "state").as_str() {
        "COOLING" | "COLLECTABLE" => Some(true),
        "WITHDRAWN" | "REGISTERED" | "REFUSED" | "LAPSED" => Some(false),
        _ => None,
    }
}

pub(super) fn benefit(row: &Value) -> Option<pb::BenefitRecord> {
    let kind = match text(row, "benefit").as_str() {
        "01" => pb::BenefitKind::DisabilityLivingSubsidy,
        "02" => pb::BenefitKind::DisabilityNursingSubsidy,
        "03" => pb::BenefitKind::SubsistenceAllowance,
        "04" => pb::BenefitKind::ExtremePovertySupport,
        "05" => pb::BenefitKind::OrphanAllowance,
        "06" => pb::BenefitKind::UnsupportedChildAllowance,
        "07" => pb::BenefitKind::OldAgeBenefit,
        "08" => pb::BenefitKind::WorkInjuryNursingFee,
        _ => return None,
    };
    let division = division(row, "pay_division")?;
    let month = text(row, "last_paid_month");
    let good = month.is_empty() || day(&format!("{month}-01")).is_some();
    good.then_some(pb::BenefitRecord {
        benefit: kind.into(),
        division,
        active: truth(row, "active")?,
        last_paid_month: month,
    })
}

pub(super) fn certificate(row: &Value) -> Option<pb::CertificateRecord> {
    let digit = |name, most| {
        let text = text(row, name);
        (text.len() == 1 && ("1"..=most).contains(&text.as_str())).then_some(text)
    };
    Some(pb::CertificateRecord {
        valid: truth(row, "valid")?,
        category: digit("category", "7")?,
        level: digit("level", "4")?,
        valid_to: day(&text(row, "valid_to"))?.to_string(),
    })
}

pub(super) fn household(row: &Value, claimed: &str) -> Option<pb::HouseholdRecord> {
    let registered = division(row, "huji_code")?;
    Some(pb::HouseholdRecord {
        alive: truth(row, "alive")?,
        registered_as_claimed: claimed.get(..6) == Some(registered.as_str()),
        registered_division: registered,
    })
}

/// The county of a division of 6, 9 or 12 digits.
fn division(row: &Value, name: &str) -> Option<String> {
    let text = text(row, name);
    let good = matches!(text.len(), 6 | 9 | 12) && text.bytes().all(|b| b.is_ascii_digit());
    good.then(|| text[..6].to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn days_are_read_as_old_systems_write_them_and_zeros_are_no_day() {
        for text in ["2010-01-02", "2010/01/02", "20100102", "2010-01-02 00:00:00.0"] {
            assert_eq!(day(text).unwrap().to_string(), "2010-01-02", "{text}");
        }
        for none in ["", "0000-00-00", "00000000", "2010-13-02", "2010-1-2", "二〇一〇", "2010012"]
        {
            assert_eq!(day(none), None, "{none}");
        }
    }

    #[test]
    fn an_old_record_is_read_with_what_it_has() {
        let record = marriage(&json!({"op_type": "ia", "op_date": "0000-00-00"})).unwrap();
        assert_eq!((record.operation.as_str(), record.date), ("IA", None));
        assert!(marriage(&json!({"op_date": "2010-01-01"})).is_none());
    }

    #[test]
    fn what_decides_must_be_there() {
        let good = json!({"benefit": "01", "pay_division": "510104001", "active": "1",
                          "last_paid_month": "2026-10"});
        assert_eq!(benefit(&good).unwrap().division, "510104");
        for (name, wrong) in [("benefit", "99"), ("pay_division", "51"), ("active", "")] {
            let mut row = good.clone();
            row[name] = wrong.into();
            assert!(benefit(&row).is_none(), "{name}");
        }
        let good = json!({"alive": 1, "huji_code": "230102"});
        assert!(household(&good, "230102001").unwrap().registered_as_claimed);
        assert!(!household(&good, "").unwrap().registered_as_claimed);
        assert!(household(&json!({"huji_code": "230102"}), "").is_none());
        let row = json!({"valid": true, "category": "4", "level": "5", "valid_to": "20300101"});
        assert!(certificate(&row).is_none());
        assert_eq!(divorce_open(&json!({"state": "COOLING"})), Some(true));
        assert_eq!(divorce_open(&json!({"state": "?"})), None);
    }
}
