//! Protobuf bytes to JSON text. Depends on the tables of `edge::json`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{Timestamp, tz::Offset};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::edge::json::{Field, Holds, Schema, Shape};

/// The bytes are no message of that type. Only our own encoder makes them, so this is a fault of
/// the gateway.
#[derive(Debug)]
pub(crate) struct Malformed;

impl Schema {
    /// Writes the message of that number as JSON.
    ///
    /// # Errors
    /// When the bytes are no such message.
    pub(crate) fn write(&self, message: usize, bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::with_capacity(bytes.len() * 2);
        self.object(message, bytes, &mut out)?;
        Ok(out)
    }

    /// The text of one field of an encoded message, by the field's name.
    pub(crate) fn text<'b>(
        &self,
        message: usize,
        name: &str,
        mut rest: &'b [u8],
    ) -> Option<&'b str> {
        let message = &self.messages[message];
        let wanted = message.fields[*message.by_name.get(name)?].number;
        while !rest.is_empty() {
            let (number, wire) = decode_key(&mut rest).ok()?;
            if number == wanted {
                return std::str::from_utf8(delimited(wire, &mut rest).ok()?).ok();
            }
            skip_field(wire, number, &mut rest, DecodeContext::default()).ok()?;
        }
        None
    }

    fn object(&self, message: usize, mut rest: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let fields = &self.messages[message].fields;
        out.push(b'{');
        // The list or map that the last field belongs to: prost writes their items in a row.
        let mut open: Option<usize> = None;
        let mut first = true;
        while !rest.is_empty() {
            let (number, wire) = decode_key(&mut rest).map_err(|_| Malformed)?;
            let Some(at) = fields.iter().position(|field| field.number == number) else {
                skip_field(wire, number, &mut rest, DecodeContext::default())
                    .map_err(|_| Malformed)?;
                continue;
            };
            let field = &fields[at];
            if open == Some(at) {
                out.push(b',');
            } else {
                end(open.take().map(|at| &fields[at]), out);
                if !first {
                    out.push(b',');
                }
                first = false;
                text(&field.name, out);
                out.push(b':');
                match field.shape {
                    Shape::One => {}
                    Shape::Many => out.push(b'['),
                    Shape::Map => out.push(b'{'),
                }
                open = (field.shape != Shape::One).then_some(at);
            }
            if field.shape == Shape::Map {
                self.entry(field, delimited(wire, &mut rest)?, out)?;
            } else {
                self.value(field, wire, &mut rest, out)?;
            }
        }
        end(open.map(|at| &fields[at]), out);
        out.push(b'}');
        Ok(())
    }

    fn entry(&self, field: &Field, mut rest: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let mut key: &[u8] = b"";
        let mut value = Vec::new();
        while !rest.is_empty() {
            let (number, wire) = decode_key(&mut rest).map_err(|_| Malformed)?;
            match number {
                1 => key = delimited(wire, &mut rest)?,
                _ => self.value(field, wire, &mut rest, &mut value)?,
            }
        }
        text(std::str::from_utf8(key).map_err(|_| Malformed)?, out);
        out.push(b':');
        match (value.is_empty(), &field.holds) {
            (false, _) => out.append(&mut value),
            (true, Holds::Text | Holds::Bytes) => out.extend_from_slice(b"\"\""),
            (true, Holds::Bool) => out.extend_from_slice(b"false"),
            (true, Holds::Whole { as_text: false, .. }) => out.push(b'0'),
            (true, Holds::Whole { as_text: true, .. }) => out.extend_from_slice(b"\"0\""),
            (true, Holds::Enum(names)) => text(names.name(0).unwrap_or_default(), out),
            (true, Holds::Timestamp) => timestamp(&[], out)?,
            (true, Holds::Message(_)) => out.extend_from_slice(b"{}"),
        }
        Ok(())
    }

    fn value(
        &self,
        field: &Field,
        wire: WireType,
        rest: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        match &field.holds {
            Holds::Text => {
                text(std::str::from_utf8(delimited(wire, rest)?).map_err(|_| Malformed)?, out);
            }
            Holds::Bytes => {
                text(&STANDARD.encode(delimited(wire, rest)?), out);
            }
            Holds::Message(inner) => self.object(*inner, delimited(wire, rest)?, out)?,
            Holds::Timestamp => timestamp(delimited(wire, rest)?, out)?,
            Holds::Bool => {
                let value = varint(wire, rest)? != 0;
                out.extend_from_slice(if value { b"true" } else { b"false" });
            }
            Holds::Whole { as_text, .. } => {
                let number = varint(wire, rest)?.to_string();
                if *as_text { text(&number, out) } else { out.extend_from_slice(number.as_bytes()) }
            }
            Holds::Enum(names) => {
                let number = i32::try_from(varint(wire, rest)?).map_err(|_| Malformed)?;
                match names.name(number) {
                    Some(name) => text(name, out),
                    None => out.extend_from_slice(number.to_string().as_bytes()),
                }
            }
        }
        Ok(())
    }
}

fn end(field: Option<&Field>, out: &mut Vec<u8>) {
    match field.map(|field| field.shape) {
        Some(Shape::Many) => out.push(b']'),
        Some(Shape::Map) => out.push(b'}'),
        Some(Shape::One) | None => {}
    }
}

fn varint(wire: WireType, rest: &mut &[u8]) -> Result<i64, Malformed> {
    if wire != WireType::Varint {
        return Err(Malformed);
    }
    let value = decode_varint(rest).map_err(|_| Malformed)?;
    Ok(i64::from_ne_bytes(value.to_ne_bytes()))
}

fn delimited<'b>(wire: WireType, rest: &mut &'b [u8]) -> Result<&'b [u8], Malformed> {
    if wire != WireType::LengthDelimited {
        return Err(Malformed);
    }
    let length = decode_varint(rest).map_err(|_| Malformed)?;
    let length = usize::try_from(length).map_err(|_| Malformed)?;
    let (content, after) = rest.split_at_checked(length).ok_or(Malformed)?;
    *rest = after;
    Ok(content)
}

/// `2026-11-23T08:30:00Z`, with 3, 6 or 9 digits of a fraction where there is one.
fn timestamp(mut rest: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let (mut seconds, mut nanos) = (0, 0);
    while !rest.is_empty() {
        let (number, wire) = decode_key(&mut rest).map_err(|_| Malformed)?;
        let value = varint(wire, &mut rest)?;
        if number == 1 { seconds = value } else { nanos = value }
    }
    let moment = Timestamp::from_second(seconds).map_err(|_| Malformed)?;
    let utc = Offset::UTC.to_datetime(moment);
    let fraction = match nanos {
        0 => String::new(),
        n if n % 1_000_000 == 0 => format!(".{:03}", n / 1_000_000),
        n if n % 1_000 == 0 => format!(".{:06}", n / 1_000),
        n => format!(".{n:09}"),
    };
    let (date, time) = (utc.date(), utc.time());
    let written = format!(
        "\"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}Z\"",
        date.year(),
        date.month(),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    out.extend_from_slice(written.as_bytes());
    Ok(())
}

fn text(value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in value.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 | 0x7f => b"",
            _ => continue,
        };
        out.extend_from_slice(&value.as_bytes()[from..at]);
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        from = at + 1;
    }
    out.extend_from_slice(&value.as_bytes()[from..]);
    out.push(b'"');
}
