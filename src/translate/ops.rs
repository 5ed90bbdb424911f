//! The closed set of conversions between a party's text and a canonical value, each with its
//! inverse. Errors say what is wrong in words for the caller, never with the value.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{Timestamp, civil::DateTime, tz::Offset};
use serde_json::Value;

use crate::model::codes::CodeList;

/// One conversion.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Text as it is.
    Text,
    /// A code of a list, in the party's column.
    Code { list: String, codes: CodeList, party: String },
    /// A civil date or month; pattern of `yyyy`, `MM`, `dd` and other characters.
    Date { pattern: String, canonical: &'static str },
    /// A moment, written in China's time; pattern as of dates with `HH`, `mm`, `ss`.
    Timestamp { pattern: String },
    /// Truth, written as two texts.
    Bool { yes: String, no: String },
    /// A whole number, padded to a width.
    Integer { pad: usize },
    /// Money: canonical in fen; in yuan with two decimals when `yuan`.
    Money { yuan: bool },
    /// One of the named values.
    Enum { values: Vec<(String, String)> },
    /// Bytes in base64.
    Bytes,
}

impl Op {
    /// The canonical value of the party's text.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::Text => Ok(Value::from(text)),
            Self::Code { list, codes, party } => match codes.from_party(party, text) {
                Some(code) => Ok(Value::from(code)),
                None => Err(format!("is no code of list `{list}` ({})", codes.standard)),
            },
            Self::Date { pattern, canonical } => {
                let parts = read_pattern(pattern, text);
                let date = parts.and_then(|parts| parts.datetime()).map(|moment| moment.date());
                let date = date.ok_or_else(|| format!("must be a date written {pattern}"))?;
                Ok(Value::from(print_pattern(canonical, &date.at(0, 0, 0, 0))))
            }
            Self::Timestamp { pattern } => {
                let moment = read_timestamp(pattern, text);
                let moment = moment.ok_or_else(|| format!("must be a time written {pattern}"))?;
                Ok(Value::from(moment.to_string()))
            }
            Self::Bool { yes, no } => match text {
                _ if text == yes => Ok(Value::from(true)),
                _ if text == no => Ok(Value::from(false)),
                _ => Err(format!("must be {yes} or {no}")),
            },
            Self::Integer { .. } => {
                let number: i64 = text.parse().map_err(|_| "must be a whole number".to_owned())?;
                Ok(Value::from(number.to_string()))
            }
            Self::Money { yuan } => {
                let fen = if *yuan { read_yuan(text) } else { text.parse().ok() };
                let fen = fen.ok_or_else(|| match yuan {
                    true => "must be an amount in yuan with at most two decimals".to_owned(),
                    false => "must be an amount in whole fen".to_owned(),
                })?;
                Ok(Value::from(fen.to_string()))
            }
            Self::Enum { values } => {
                let found = values.iter().find(|(_, theirs)| theirs == text);
                let name = found.map(|(name, _)| Value::from(name.as_str()));
                name.ok_or_else(|| {
                    let all: Vec<&str> = values.iter().map(|value| value.1.as_str()).collect();
                    format!("must be one of {}", all.join(", "))
                })
            }
            Self::Bytes => match STANDARD.decode(text) {
                Ok(bytes) => Ok(Value::from(STANDARD.encode(bytes))),
                Err(_) => Err("must be base64".to_owned()),
            },
        }
    }

    /// The party's text for a canonical value.
    pub(crate) fn write(&self, value: &Value) -> Result<String, String> {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match self {
            Self::Text | Self::Bytes => Ok(text),
            Self::Code { list, codes, party } => match codes.to_party(party, &text) {
                Some(theirs) => Ok(theirs.to_owned()),
                None => Err(format!("the party has no counterpart in list `{list}`")),
            },
            Self::Date { pattern, canonical } => {
                let date = read_pattern(canonical, &text).and_then(|parts| parts.datetime());
                let date = date.ok_or_else(|| "is no date".to_owned())?;
                Ok(print_pattern(pattern, &date))
            }
            Self::Timestamp { pattern } => {
                let moment: Timestamp = text.parse().map_err(|_| "is no time".to_owned())?;
                if pattern == "rfc3339" {
                    return Ok(moment.display_with_offset(Offset::constant(8)).to_string());
                }
                Ok(print_pattern(pattern, &Offset::constant(8).to_datetime(moment)))
            }
            Self::Bool { yes, no } => Ok(if text == "true" { yes.clone() } else { no.clone() }),
            Self::Integer { pad } => Ok(format!("{text:0>width$}", width = *pad)),
            Self::Money { yuan: false } => Ok(text),
            Self::Money { yuan: true } => {
                let fen: i64 = text.parse().map_err(|_| "is no amount".to_owned())?;
                let sign = if fen < 0 { "-" } else { "" };
                let fen = fen.unsigned_abs();
                Ok(format!("{sign}{}.{:02}", fen / 100, fen % 100))
            }
            Self::Enum { values } => {
                let found = values.iter().find(|(name, _)| *name == text);
                found
                    .map(|(_, theirs)| theirs.clone())
                    .ok_or_else(|| format!("the party has no counterpart of {text}"))
            }
        }
    }
}

#[derive(Default)]
struct Parts {
    fields: [Option<i64>; 6],
}

const LETTERS: [(char, usize); 6] = [('y', 0), ('M', 1), ('d', 2), ('H', 3), ('m', 4), ('s', 5)];

impl Parts {
    fn datetime(&self) -> Option<DateTime> {
        let field = |n: usize, or: i64| i8::try_from(self.fields[n].unwrap_or(or)).ok();
        let year = i16::try_from(self.fields[0]?).ok()?;
        DateTime::new(year, field(1, 1)?, field(2, 1)?, field(3, 0)?, field(4, 0)?, field(5, 0)?, 0)
            .ok()
    }
}

fn position(letter: char) -> Option<usize> {
    LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, n)| *n)
}

/// Reads runs of pattern letters as that many digits; everything else must stand as it is.
fn read_pattern(pattern: &str, text: &str) -> Option<Parts> {
    let mut parts = Parts::default();
    let mut rest = text.chars();
    for letter in pattern.chars() {
        let character = rest.next()?;
        match position(letter) {
            Some(n) => {
                let digit = i64::from(character.to_digit(10)?);
                parts.fields[n] = Some(parts.fields[n].unwrap_or(0) * 10 + digit);
            }
            None if letter == character => {}
            None => return None,
        }
    }
    rest.next().is_none().then_some(parts)
}

fn print_pattern(pattern: &str, moment: &DateTime) -> String {
    let fields = [
        i64::from(moment.year()),
        i64::from(moment.month()),
        i64::from(moment.day()),
        i64::from(moment.hour()),
        i64::from(moment.minute()),
        i64::from(moment.second()),
    ];
    let mut out = String::new();
    let letters: Vec<char> = pattern.chars().collect();
    for run in letters.chunk_by(|a, b| a == b) {
        match position(run[0]) {
            Some(n) => out.push_str(&format!("{:0width$}", fields[n], width = run.len())),
            None => out.extend(run),
        }
    }
    out
}

fn read_timestamp(pattern: &str, text: &str) -> Option<Timestamp> {
    if pattern == "rfc3339" {
        return text.parse().ok();
    }
    let moment = read_pattern(pattern, text)?.datetime()?;
    Offset::constant(8).to_timestamp(moment).ok()
}

fn read_yuan(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let (yuan, fen) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if yuan.is_empty() || fen.len() > 2 || !digits(yuan) || !digits(fen) {
        return None;
    }
    let fen: i64 = format!("{fen:0<2}").parse().ok()?;
    yuan.parse::<i64>().ok()?.checked_mul(100)?.checked_add(fen).map(|amount| sign * amount)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(op: &Op, canonical: Value) {
        let theirs = op.write(&canonical).unwrap();
        assert_eq!(op.read(&theirs), Ok(canonical), "{op:?} {theirs}");
    }

    proptest! {
        #[test]
        fn dates(days in -40_000_i32..60_000) {
            let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(days);
            for pattern in ["yyyyMMdd", "yyyy-MM-dd", "yyyy年MM月dd日", "dd/MM/yyyy"] {
                let op = Op::Date { pattern: pattern.into(), canonical: "yyyy-MM-dd" };
                there_and_back(&op, Value::from(date.to_string()));
            }
        }

        #[test]
        fn moments(seconds in 0_i64..4_000_000_000) {
            let moment = Timestamp::from_second(seconds).unwrap().to_string();
            for pattern in ["yyyyMMddHHmmss", "yyyy-MM-dd HH:mm:ss", "rfc3339"] {
                there_and_back(&Op::Timestamp { pattern: pattern.into() }, Value::from(moment.as_str()));
            }
        }

        #[test]
        fn amounts(fen in -1_000_000_000_i64..1_000_000_000) {
            for yuan in [true, false] {
                there_and_back(&Op::Money { yuan }, Value::from(fen.to_string()));
            }
        }

        #[test]
        fn numbers(number in 0_i64..i64::MAX, pad in 0_usize..12) {
            there_and_back(&Op::Integer { pad }, Value::from(number.to_string()));
        }

        #[test]
        fn texts(text in ".*") {
            there_and_back(&Op::Text, Value::from(text));
        }

        #[test]
        fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            there_and_back(&Op::Bytes, Value::from(STANDARD.encode(bytes)));
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        let op = Op::Date { pattern: "yyyyMMdd".into(), canonical: "yyyy-MM-dd" };
        for text in ["20260230", "2026023", "202602300", "2026-2-3", "二〇二六年一月", ""] {
            assert!(op.read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn yuan_has_at_most_two_decimals() {
        let op = Op::Money { yuan: true };
        assert_eq!(op.read("154.2"), Ok(Value::from("15420")));
        assert_eq!(op.read("0.05"), Ok(Value::from("5")));
        for text in ["", ".5", "1.234", "1,000", "abc", "99999999999999999999"] {
            assert!(op.read(text).is_err(), "{text}");
        }
    }
}
