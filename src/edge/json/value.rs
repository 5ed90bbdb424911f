//! Single values of JSON as protobuf bytes. Depends on the tables of `edge::json`.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use jiff::Timestamp;
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::edge::json::{Field, Holds, Shape};

pub(super) type Wrong = Cow<'static, str>;

pub(super) fn expected(field: &Field) -> Wrong {
    match &field.holds {
        Holds::Text => "must be a text (`\"…\"`)".into(),
        Holds::Bool => "must be `true` or `false`".into(),
        Holds::Whole { least, greatest, .. } => {
            format!("must be a whole number from {least} to {greatest}").into()
        }
        Holds::Enum(names) => {
            let known: Vec<&str> =
                names.0.iter().filter(|(_, n)| *n != 0).map(|(name, _)| name.as_str()).collect();
            format!("must be one of {}", known.join(", ")).into()
        }
        Holds::Bytes => "must be a text in base64".into(),
        Holds::Timestamp => "must be a time as in RFC 3339, such as 2026-11-23T08:30:00Z".into(),
        Holds::Message(_) => "must be an object (`{…}`)".into(),
    }
}

pub(super) fn write_bool(field: &Field, value: bool, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
    let Holds::Bool = field.holds else { return Err(expected(field)) };
    if value || field.oneof.is_some() {
        encode_key(field.number, WireType::Varint, bytes);
        bytes.push(u8::from(value));
    }
    Ok(())
}

pub(super) fn write_number(
    field: &Field,
    value: Option<i64>,
    bytes: &mut Vec<u8>,
) -> Result<(), Wrong> {
    match (&field.holds, value) {
        (Holds::Whole { least, greatest, .. }, Some(value))
            if (*least..=*greatest).contains(&value) =>
        {
            write_varint(field, value, bytes);
            Ok(())
        }
        (Holds::Enum(_), Some(value)) => write_enum(field, value, bytes),
        _ => Err(expected(field)),
    }
}

pub(super) fn write_enum(field: &Field, value: i64, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
    // Enums are open: a number we don't know is for the rules of form to refuse.
    if i32::try_from(value).is_err() {
        return Err(expected(field));
    }
    write_varint(field, value, bytes);
    Ok(())
}

fn write_varint(field: &Field, value: i64, bytes: &mut Vec<u8>) {
    if value != 0 || field.oneof.is_some() {
        encode_key(field.number, WireType::Varint, bytes);
        // Two's complement: a negative number has ten bytes on the wire.
        encode_varint(u64::from_ne_bytes(value.to_ne_bytes()), bytes);
    }
}

pub(super) fn write_text(field: &Field, text: &str, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
    match &field.holds {
        Holds::Text => write_delimited(field, text.as_bytes(), bytes),
        Holds::Bytes => {
            let standard = text.replace('-', "+").replace('_', "/");
            let content = BASE64.decode(standard).map_err(|_| expected(field))?;
            write_delimited(field, &content, bytes);
        }
        Holds::Enum(names) => {
            let number = names.number(text).ok_or_else(|| expected(field))?;
            write_varint(field, i64::from(number), bytes);
        }
        Holds::Whole { .. } => {
            let exact = text.parse::<i64>().ok();
            let number = exact.or_else(|| text.parse::<f64>().ok().and_then(whole));
            return write_number(field, number, bytes);
        }
        Holds::Timestamp => {
            let moment = rfc3339(text).ok_or_else(|| expected(field))?;
            let length = open(field.number, bytes);
            let (seconds, nanos) = seconds_and_nanos(moment);
            let part = |number| Field {
                number,
                name: String::new(),
                shape: Shape::One,
                holds: Holds::Whole { least: i64::MIN, greatest: i64::MAX, as_text: false },
                oneof: None,
                map_value: None,
            };
            write_varint(&part(1), seconds, bytes);
            write_varint(&part(2), nanos, bytes);
            close(length, bytes);
        }
        Holds::Bool | Holds::Message(_) => return Err(expected(field)),
    }
    Ok(())
}

/// Items of lists are written even when empty; a single empty text is absent (proto3).
fn write_delimited(field: &Field, content: &[u8], bytes: &mut Vec<u8>) {
    if !content.is_empty() || field.shape != Shape::One || field.oneof.is_some() {
        encode_key(field.number, WireType::LengthDelimited, bytes);
        encode_varint(content.len() as u64, bytes);
        bytes.extend_from_slice(content);
    }
}

/// Begins a nested message; one byte stands in for its length until it is closed.
pub(super) fn open(number: u32, bytes: &mut Vec<u8>) -> usize {
    encode_key(number, WireType::LengthDelimited, bytes);
    bytes.push(0);
    bytes.len()
}

pub(super) fn close(start: usize, bytes: &mut Vec<u8>) {
    let length = (bytes.len() - start) as u64;
    if let Ok(short @ 0..128) = u8::try_from(length) {
        bytes[start - 1] = short;
        return;
    }
    let mut prefix = Vec::with_capacity(4);
    encode_varint(length, &mut prefix);
    bytes.splice(start - 1..start, prefix);
}

pub(super) fn whole(value: f64) -> Option<i64> {
    // Beyond 2^63 the cast would saturate.
    (value.fract() == 0.0 && value.abs() < 9.2e18).then(|| {
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
        let value = value as i64;
        value
    })
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let (date, rest) = bytes.split_at_checked(19)?;
    let shape = date
        .iter()
        .zip(b"0000-00-00T00:00:00")
        .all(|(byte, like)| if *like == b'0' { byte.is_ascii_digit() } else { byte == like });
    let fraction = rest
        .strip_prefix(b".")
        .map_or(0, |digits| digits.iter().take_while(|byte| byte.is_ascii_digit()).count() + 1);
    let zone = rest.get(fraction..)?;
    let zoned = zone == b"Z"
        || matches!(zone, [b'+' | b'-', h1, h2, b':', m1, m2]
            if [h1, h2, m1, m2].iter().all(|byte| byte.is_ascii_digit()));
    (shape && zoned && fraction != 1 && fraction <= 10).then_some(())?;
    text.parse().ok()
}

fn seconds_and_nanos(moment: Timestamp) -> (i64, i64) {
    let nanos = moment.as_nanosecond();
    let seconds = nanos.div_euclid(1_000_000_000);
    let seconds = i64::try_from(seconds).unwrap_or_default();
    (seconds, i64::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or_default())
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
