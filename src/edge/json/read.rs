//! JSON text to protobuf bytes. Goes on after a mistake and reports every one, with its path and
//! without its value; what is faultless is in the bytes all the same, so that the rules of intake
//! can be asked about it too. Depends on the tables of `edge::json`.

use std::{borrow::Cow, fmt};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use jiff::Timestamp;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{
    edge::json::{Field, Holds, Schema, Shape},
    model::problem::Violation,
};

/// What reading gave.
pub(crate) struct Document {
    /// The message, without the faulty fields.
    pub(crate) bytes: Vec<u8>,
    /// Every mistake.
    pub(crate) violations: Vec<Violation>,
}

/// Why the text is no JSON at all.
#[derive(Debug)]
pub(crate) struct NotJson {
    line: usize,
    column: usize,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body is no JSON from line {}, column {} on", self.line, self.column)
    }
}

impl Schema {
    /// Reads `text` as the message of that number.
    ///
    /// # Errors
    /// When the text is no JSON (RFC 8259, nested at most 128 deep).
    pub(crate) fn read(&self, message: usize, text: &[u8]) -> Result<Document, NotJson> {
        let mut reader = Reader { schema: self, bytes: Vec::new(), violations: Vec::new() };
        reader.bytes.reserve(text.len());
        let mut source = serde_json::Deserializer::from_slice(text);
        let slot = Slot { reader: &mut reader, target: Target::Root(message), path: &Path::ROOT };
        slot.deserialize(&mut source)
            .and_then(|()| source.end())
            .map_err(|error| NotJson { line: error.line(), column: error.column() })?;
        Ok(Document { bytes: reader.bytes, violations: reader.violations })
    }

    /// Appends one field, given as text in a path or query, to the bytes of a message. `name` is
    /// a path of JSON or proto names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn append(
        &self,
        message: usize,
        name: &str,
        text: &str,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let (first, rest) = name.split_once('.').map_or((name, None), |(a, b)| (a, Some(b)));
        let unknown = || Violation::form(name, "is no parameter of this call; leave it out");
        let message = &self.messages[message];
        let field =
            message.by_name.get(first).map(|at| &message.fields[*at]).ok_or_else(unknown)?;
        match (&field.holds, rest) {
            (Holds::Message(inner), Some(rest)) if field.shape == Shape::One => {
                let mut nested = Vec::new();
                self.append(*inner, rest, text, &mut nested)
                    .map_err(|violation| Violation { field: name.to_owned(), ..violation })?;
                encode_key(field.number, WireType::LengthDelimited, bytes);
                encode_varint(nested.len() as u64, bytes);
                bytes.extend_from_slice(&nested);
                Ok(())
            }
            (Holds::Message(_), _) | (_, Some(_)) => Err(unknown()),
            (holds, None) if field.shape != Shape::Map => {
                let written = match holds {
                    Holds::Bool => match text {
                        "true" | "false" => write_bool(field, text == "true", bytes),
                        _ => Err("must be `true` or `false`".into()),
                    },
                    Holds::Enum(_) => match text.parse() {
                        Ok(number) => write_enum(field, number, bytes),
                        Err(_) => write_text(field, text, bytes),
                    },
                    _ => write_text(field, text, bytes),
                };
                written.map_err(|wrong| Violation::form(name, wrong))
            }
            _ => Err(unknown()),
        }
    }
}

struct Reader<'s> {
    schema: &'s Schema,
    bytes: Vec<u8>,
    violations: Vec<Violation>,
}

/// Where the reader stands; written out only when something is wrong.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

enum Step<'a> {
    Root,
    Name(&'a str),
    Item(usize),
}

impl Path<'_> {
    const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    fn to_text(&self) -> String {
        let mut text = self.parent.map_or_else(String::new, Path::to_text);
        match self.step {
            Step::Root => {}
            Step::Name(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                // A name we don't know is the caller's own text: short, and whole characters.
                text.extend(name.chars().take(80));
            }
            Step::Item(item) => text.push_str(&format!("[{item}]")),
        }
        text
    }
}

/// What a JSON value is read into.
#[derive(Clone, Copy)]
enum Target<'s> {
    /// The whole document.
    Root(usize),
    /// A field, as its shape says.
    Field(&'s Field),
    /// One item of a list, or one value of a map.
    Item(&'s Field),
}

struct Slot<'r, 's, 'p> {
    reader: &'r mut Reader<'s>,
    target: Target<'s>,
    path: &'p Path<'p>,
}

impl<'s> Slot<'_, 's, '_> {
    fn wrong(self, what: impl Into<Cow<'static, str>>) {
        let what = what.into();
        if self.reader.violations.len() < MOST_VIOLATIONS {
            let mut field = self.path.to_text();
            if field.is_empty() {
                "(body)".clone_into(&mut field);
            }
            self.reader.violations.push(Violation::form(field, what));
        }
    }

    /// The field, when a plain value may stand here.
    fn plain(&self) -> Option<&'s Field> {
        match self.target {
            Target::Root(_) => None,
            Target::Field(field) => (field.shape == Shape::One).then_some(field),
            Target::Item(field) => Some(field),
        }
    }

    fn expected(&self) -> Cow<'static, str> {
        match self.target {
            Target::Root(_) => "must be a JSON object".into(),
            Target::Field(Field { shape: Shape::Many, .. }) => "must be a list (`[…]`)".into(),
            Target::Field(Field { shape: Shape::Map, .. }) => "must be an object (`{…}`)".into(),
            Target::Field(field) | Target::Item(field) => expected(field),
        }
    }

    fn put(self, write: impl FnOnce(&Field, &mut Vec<u8>) -> Result<(), Cow<'static, str>>) {
        let Some(field) = self.plain() else {
            let expected = self.expected();
            return self.wrong(expected);
        };
        if let Err(wrong) = write(field, &mut self.reader.bytes) {
            self.wrong(wrong);
        }
    }

    fn message<'de, A: MapAccess<'de>>(self, number: usize, mut map: A) -> Result<(), A::Error> {
        let message = &self.reader.schema.messages[number];
        let mut seen = 0_u128;
        let mut oneofs = 0_u64;
        while let Some(Key(key)) = map.next_key_seed(KeySeed)? {
            let path = Path { parent: Some(self.path), step: Step::Name(&key) };
            let found = message.by_name.get(key.as_ref()).copied();
            let Some(at) = found else {
                map.next_value::<IgnoredAny>()?;
                let slot = Slot { reader: self.reader, target: self.target, path: &path };
                slot.wrong("is no field of this document; correct the name or leave it out");
                continue;
            };
            let field = &message.fields[at];
            let before = self.reader.bytes.len();
            let twice = seen & (1 << at) != 0;
            seen |= 1 << at;
            let faults = self.reader.violations.len();
            let slot = Slot { reader: self.reader, target: Target::Field(field), path: &path };
            map.next_value_seed(slot)?;
            let given = self.reader.bytes.len() > before || self.reader.violations.len() > faults;
            let other = field.oneof.filter(|one| given && oneofs & (1 << one) != 0);
            if let Some(one) = field.oneof.filter(|_| given) {
                oneofs |= 1 << one;
            }
            if twice || other.is_some() {
                self.reader.bytes.truncate(before);
                let slot = Slot { reader: self.reader, target: self.target, path: &path };
                slot.wrong(if twice {
                    "stands twice; leave one out"
                } else {
                    "excludes another field that is filled in too; leave one out"
                });
            }
        }
        Ok(())
    }

    fn entries<'de, A: MapAccess<'de>>(
        self,
        number: u32,
        value: &'s Field,
        mut map: A,
    ) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key_seed(KeySeed)? {
            let path = Path { parent: Some(self.path), step: Step::Name(&key) };
            let before = self.reader.violations.len();
            let start = self.reader.bytes.len();
            let length = open(number, &mut self.reader.bytes);
            encode_key(1, WireType::LengthDelimited, &mut self.reader.bytes);
            encode_varint(key.len() as u64, &mut self.reader.bytes);
            self.reader.bytes.extend_from_slice(key.as_bytes());
            let slot = Slot { reader: self.reader, target: Target::Item(value), path: &path };
            map.next_value_seed(slot)?;
            if self.reader.violations.len() > before {
                self.reader.bytes.truncate(start);
            } else {
                close(length, &mut self.reader.bytes);
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Slot<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Slot<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        // `null` is an absent field, but no item of a list.
        match self.target {
            Target::Field(_) => {}
            Target::Root(_) | Target::Item(_) => {
                let expected = self.expected();
                self.wrong(expected);
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.put(|field, bytes| write_bool(field, value, bytes));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.put(|field, bytes| write_number(field, Some(value), bytes));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.put(|field, bytes| write_number(field, i64::try_from(value).ok(), bytes));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.put(|field, bytes| write_number(field, whole(value), bytes));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.put(|field, bytes| write_text(field, value, bytes));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Target::Field(field @ Field { shape: Shape::Many, .. }) = self.target else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            let expected = self.expected();
            self.wrong(expected);
            return Ok(());
        };
        for item in 0.. {
            let path = Path { parent: Some(self.path), step: Step::Item(item) };
            let slot = Slot { reader: self.reader, target: Target::Item(field), path: &path };
            if list.next_element_seed(slot)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match self.target {
            Target::Root(message) => self.message(message, map),
            Target::Field(Field { number, map_value: Some(value), .. }) => {
                self.entries(*number, value, map)
            }
            Target::Field(Field {
                shape: Shape::One,
                number,
                holds: Holds::Message(inner),
                ..
            })
            | Target::Item(Field { number, holds: Holds::Message(inner), .. }) => {
                let length = open(*number, &mut self.reader.bytes);
                let slot = Slot { reader: self.reader, target: self.target, path: self.path };
                slot.message(*inner, map)?;
                close(length, &mut self.reader.bytes);
                Ok(())
            }
            _ => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                let expected = self.expected();
                self.wrong(expected);
                Ok(())
            }
        }
    }
}

/// An object's key, borrowed from the text where it holds no escapes.
struct Key<'de>(Cow<'de, str>);
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<Key<'de>, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(value.to_owned())))
    }
}

type Wrong = Cow<'static, str>;

fn expected(field: &Field) -> Wrong {
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

fn write_bool(field: &Field, value: bool, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
    let Holds::Bool = field.holds else { return Err(expected(field)) };
    if value {
        encode_key(field.number, WireType::Varint, bytes);
        bytes.push(1);
    }
    Ok(())
}

fn write_number(field: &Field, value: Option<i64>, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
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

fn write_enum(field: &Field, value: i64, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
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

fn write_text(field: &Field, text: &str, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
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
fn open(number: u32, bytes: &mut Vec<u8>) -> usize {
    encode_key(number, WireType::LengthDelimited, bytes);
    bytes.push(0);
    bytes.len()
}

fn close(start: usize, bytes: &mut Vec<u8>) {
    let length = (bytes.len() - start) as u64;
    if let Ok(short @ 0..128) = u8::try_from(length) {
        bytes[start - 1] = short;
        return;
    }
    let mut prefix = Vec::with_capacity(4);
    encode_varint(length, &mut prefix);
    bytes.splice(start - 1..start, prefix);
}

fn whole(value: f64) -> Option<i64> {
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

/// Beyond so many, further mistakes are of no use to anyone but fill memory.
const MOST_VIOLATIONS: usize = 500;
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
