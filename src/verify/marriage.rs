//! What marriage records of several libraries mean together. Pure.
//!
//! Rule M2 (domain.md §2.4, from 婚姻登记条例, Decree 804): who has a record IA or ICA with no later
//! IB or ID is married. Where records cannot be put in order the answer is that they are unclear,
//! never that someone is free.

use jiff::civil::Date;

use crate::model::{pb::MaritalStatus, resident_id};

/// One record, from whichever library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// op_type, upper case.
    pub(super) operation: String,
    /// op_date; `None` where an old record has none that can be read.
    pub(super) date: Option<Date>,
    /// dept_code.
    pub(super) registry: String,
    pub(super) certificate: String,
    /// Numbers as recorded; empty, 15 digits or zeros in old records.
    pub(super) man: String,
    pub(super) woman: String,
}

/// All records, each once: libraries overlap, and both forms of a number may find the same one.
pub(super) fn merged(records: Vec<Record>) -> Vec<Record> {
    let mut kept: Vec<Record> = Vec::new();
    for record in records {
        let same = |known: &Record| {
            let registry = known.registry == record.registry || !record.certificate.is_empty();
            known.operation == record.operation
                && known.date == record.date
                && known.certificate == record.certificate
                && registry
        };
        if !kept.iter().any(same) {
            kept.push(record);
        }
    }
    kept
}

/// What follows from the records of one person.
pub(super) fn status(records: &[Record]) -> MaritalStatus {
    if records.is_empty() {
        return MaritalStatus::NoRecord;
    }
    let of = |kinds: &[&str]| -> Vec<&Record> {
        records.iter().filter(|record| kinds.contains(&record.operation.as_str())).collect()
    };
    // INR: one client's word for a marriage with a foreigner.
    let (marriages, ends) = (of(&["IA", "ICA", "INR"]), of(&["IB", "ID"]));
    // A re-issued divorce certificate shows a divorce but not when it was; IC does not say of what.
    let reissued = of(&["ICB"]);
    let strange = marriages.len() + ends.len() + reissued.len() < records.len();
    if marriages.is_empty() {
        return match latest(&ends) {
            _ if strange => MaritalStatus::RecordsUnclear,
            Some(end) => ended(end),
            None => MaritalStatus::Divorced,
        };
    }
    if ends.is_empty() && reissued.is_empty() {
        return MaritalStatus::Married;
    }
    if marriages.iter().chain(&ends).any(|record| record.date.is_none()) {
        return MaritalStatus::RecordsUnclear;
    }
    let married = latest(&marriages).and_then(|record| record.date);
    match latest(&ends) {
        // On one day both may have happened in either order: married until papers show otherwise.
        Some(end) if end.date <= married => MaritalStatus::Married,
        Some(_) if strange => MaritalStatus::RecordsUnclear,
        Some(end) => ended(end),
        None => MaritalStatus::Married,
    }
}

fn latest<'a>(records: &[&'a Record]) -> Option<&'a Record> {
    records.iter().max_by_key(|record| record.date).copied()
}

fn ended(record: &Record) -> MaritalStatus {
    if record.operation == "ID" { MaritalStatus::MarriageAnnulled } else { MaritalStatus::Divorced }
}

/// Whether the two are married and their last marriage is to each other. A spouse whose number
/// an old record lacks is not taken for anyone: then it is not shown by the records.
pub(super) fn to_each_other(man: &str, his: &[Record], woman: &str, hers: &[Record]) -> bool {
    let couple = |records: &[Record]| {
        let marriages: Vec<&Record> = records
            .iter()
            .filter(|record| matches!(record.operation.as_str(), "IA" | "ICA" | "INR"))
            .collect();
        status(records) == MaritalStatus::Married
            && latest(&marriages).is_some_and(|record| {
                resident_id::same(&record.man, man) && resident_id::same(&record.woman, woman)
            })
    };
    couple(his) && couple(hers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(operation: &str, date: &str) -> Record {
        Record {
            operation: operation.into(),
            date: date.parse().ok(),
            registry: "230102".into(),
            certificate: format!("{operation}{date}"),
            man: "11010519491231002X".into(),
            woman: "110105491231003".into(),
        }
    }

    fn of(records: &[(&str, &str)]) -> MaritalStatus {
        let records: Vec<Record> = records.iter().map(|(op, day)| record(op, day)).collect();
        status(&records)
    }

    #[test]
    fn the_latest_marriage_without_a_later_end_decides() {
        use MaritalStatus::{Divorced, MarriageAnnulled, Married, NoRecord, RecordsUnclear};
        let cases: [(&[(&str, &str)], MaritalStatus); 16] = [
            (&[], NoRecord),
            (&[("IA", "2010-01-01")], Married),
            (&[("IA", "2010-01-01"), ("IB", "2015-01-01")], Divorced),
            (&[("IB", "2015-01-01"), ("IA", "2010-01-01"), ("IA", "2016-01-01")], Married),
            (&[("IA", "2010-01-01"), ("ID", "2015-01-01")], MarriageAnnulled),
            (&[("ICA", "2010-01-01")], Married),
            (&[("INR", "2010-01-01")], Married),
            (&[("IB", "2010-01-01")], Divorced),
            (&[("ICB", "2010-01-01")], Divorced),
            // The certificate of the first divorce, lost while in the second marriage.
            (&[("IB", "2012-01-01"), ("IA", "2013-01-01"), ("ICB", "2020-01-01")], Married),
            // Divorced and married again on one day, or the other way round.
            (&[("IA", "2010-01-01"), ("IB", "2010-01-01")], Married),
            (&[("IA", "0000-00-00")], Married),
            (&[("IA", "0000-00-00"), ("IB", "2015-01-01")], RecordsUnclear),
            (&[("IA", "2010-01-01"), ("IB", "")], RecordsUnclear),
            (&[("IC", "2010-01-01")], RecordsUnclear),
            (&[("IA", "2010-01-01"), ("IB", "2015-01-01"), ("ZZ", "2016-01-01")], RecordsUnclear),
        ];
        for (records, expected) in cases {
            assert_eq!(of(records), expected, "{records:?}");
        }
    }

    #[test]
    fn a_record_found_twice_counts_once() {
        let twice = vec![record("IA", "2010-01-01"), record("IA", "2010-01-01")];
        assert_eq!(merged(twice).len(), 1);
        let other = Record { certificate: "J1".into(), ..record("IA", "2010-01-01") };
        assert_eq!(merged(vec![record("IA", "2010-01-01"), other]).len(), 2);
    }

    #[test]
    fn a_couple_is_one_whose_last_marriage_names_both_in_either_form() {
        let records = [record("IA", "2010-01-01")];
        let (man, woman) = ("110105491231002", "110105491231003");
        assert!(to_each_other(man, &records, woman, &records));
        assert!(!to_each_other(woman, &records, man, &records));
        assert!(!to_each_other(man, &records, woman, &[]));
        let placeholder =
            [Record { woman: "000000491231000".into(), ..record("IA", "2010-01-01") }];
        assert!(!to_each_other(man, &placeholder, woman, &placeholder));
    }
}
