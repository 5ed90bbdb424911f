//! Whether a conversion makes sense: what it writes can be read back, and what a table sets by
//! itself (defaults, constants) is a value of its canonical field. Depends on the model's codes.

use prost_reflect::{FieldDescriptor, Kind};
use serde_json::Value;

use crate::{
    model::{codes::Codes, shape::rule_of},
    translate::{ops::Op, table::Field},
};

/// Why what the field writes could not be read back; empty when it can.
pub(crate) fn of_field(field: &Field) -> Vec<String> {
    let mut faults = of_op(&field.op);
    let plain = matches!(field.op, Op::Text | Op::Bytes);
    let padded = matches!(field.op, Op::Integer { pad } if pad > 0);
    if field.number && plain {
        faults.push(format!("`number`: a {} is no number", field.kind));
    }
    if field.number && padded {
        faults.push("`number` and `pad`: a JSON number has no leading zeros".into());
    }
    if let Some(default) = &field.default
        && !fits_default(&field.op, default)
    {
        faults.push(format!("`default`: `{default}` is no canonical value of this field"));
    }
    faults
}

/// The canonical value of a default.
pub(crate) fn default_value(op: &Op, text: &str) -> Value {
    match op {
        Op::Bool { .. } => Value::from(text == "true"),
        _ => Value::from(text),
    }
}

/// Why `text` cannot be a constant of the canonical field.
pub(crate) fn of_constant(target: &FieldDescriptor, text: &str, codes: &Codes) -> Option<String> {
    if target.is_list() || target.is_map() {
        return Some("is repeated; a constant is a single value".into());
    }
    match target.kind() {
        Kind::String => {
            let list = rule_of(target).code_list;
            let known = codes.get(&list).is_none_or(|codes| codes.contains(text));
            (!known).then(|| format!("`{text}` is no code of list `{list}`"))
        }
        Kind::Enum(known) => {
            let named = known.get_value_by_name(text).is_some();
            (!named).then(|| format!("{} has no value {text}", known.name()))
        }
        Kind::Int32 | Kind::Int64 | Kind::Uint32 => {
            text.parse::<i64>().is_err().then(|| format!("`{text}` is no whole number"))
        }
        other => Some(format!("a constant cannot be a {other:?}")),
    }
}

/// Why a pattern of dates or times loses a part of `needed`, or reads something else.
pub(crate) fn of_pattern(pattern: &str, needed: &str) -> Vec<String> {
    let letters: Vec<char> = pattern.chars().collect();
    let known = |letter: &char| "yMdHms".contains(*letter);
    let runs: Vec<String> = letters
        .chunk_by(|a, b| a == b)
        .filter(|run| known(&run[0]))
        .map(|run| run.iter().collect())
        .collect();
    let width = |letter: char| if letter == 'y' { 4 } else { 2 };
    let wanted: Vec<String> =
        needed.chars().map(|letter| letter.to_string().repeat(width(letter))).collect();
    let mut faults = Vec::new();
    for part in &wanted {
        match runs.iter().filter(|run| *run == part).count() {
            1 => {}
            0 => faults.push(format!("`pattern` has no {part}, which would be lost")),
            _ => faults.push(format!("`pattern` has {part} more than once")),
        }
    }
    for run in runs.iter().filter(|run| !wanted.contains(run)) {
        faults.push(format!("`pattern`: {run} is no part of it; parts are {}", wanted.join(" ")));
    }
    faults
}

fn of_op(op: &Op) -> Vec<String> {
    match op {
        Op::Date { pattern, canonical } => {
            of_pattern(pattern, if canonical.contains("dd") { "yMd" } else { "yM" })
        }
        Op::Timestamp { pattern } if pattern == "rfc3339" => Vec::new(),
        Op::Timestamp { pattern } => of_pattern(pattern, "yMdHms"),
        Op::Bool { yes, no } if yes == no => vec!["`true` and `false` are written alike".into()],
        Op::Enum { values } => {
            let mut faults = Vec::new();
            for (index, (name, theirs)) in values.iter().enumerate() {
                if let Some((first, _)) = values[..index].iter().find(|(_, text)| text == theirs) {
                    faults.push(format!("`values`: {first} and {name} are written alike"));
                }
            }
            faults
        }
        _ => Vec::new(),
    }
}

fn fits_default(op: &Op, default: &str) -> bool {
    match op {
        Op::Bool { .. } => matches!(default, "true" | "false"),
        Op::Integer { .. } | Op::Money { .. } => default.parse::<i64>().is_ok(),
        Op::Bytes => op.read(default).is_ok(),
        Op::Code { codes, .. } => codes.contains(default),
        Op::Text | Op::Date { .. } | Op::Timestamp { .. } | Op::Enum { .. } => {
            op.write(&Value::from(default)).is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_would_lose_a_part_is_told() {
        for good in ["yyyyMMdd", "yyyy-MM-dd", "yyyy年MM月dd日", "dd/MM/yyyy"] {
            assert_eq!(of_pattern(good, "yMd"), Vec::<String>::new(), "{good}");
        }
        assert_eq!(of_pattern("yyyy年MM月dd日 HH:mm:ss", "yMdHms"), Vec::<String>::new());
        // The classic: minutes for months.
        assert_eq!(of_pattern("yyyy-mm-dd", "yMd").len(), 2);
        for bad in ["yyyy-MM", "yyMMdd", "yyyyMMddMM", "yyyyMMddHH", "yyyy-M-d", ""] {
            assert!(!of_pattern(bad, "yMd").is_empty(), "{bad}");
        }
        assert_eq!(of_pattern("yyyyMMddHHmm", "yMdHms").len(), 1);
    }

    #[test]
    fn two_truths_or_values_written_alike_are_told() {
        let alike = Op::Bool { yes: "1".into(), no: "1".into() };
        assert_eq!(of_op(&alike).len(), 1);
        let values = [("A", "1"), ("B", "2"), ("C", "1")];
        let values = values.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
        assert_eq!(of_op(&Op::Enum { values }), ["`values`: A and C are written alike"]);
    }
}
