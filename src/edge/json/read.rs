//! JSON text to protobuf bytes. Goes on after a mistake and reports every one, with its path and
//! without its value; what is faultless is in the bytes all the same, so that the rules of intake
//! can be asked about it too. Depends on the tables of `edge::json`.

use std::{borrow::Cow, fmt};

use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{
    edge::json::{
        Field, Holds, Schema, Shape,
        value::{
            Wrong, close, expected, open, whole, write_bool, write_enum, write_number, write_text,
        },
    },
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
    fn wrong(self, what: impl Into<Wrong>) {
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

    fn expected(&self) -> Wrong {
        match self.target {
            Target::Root(_) => "must be a JSON object".into(),
            Target::Field(Field { shape: Shape::Many, .. }) => "must be a list (`[…]`)".into(),
            Target::Field(Field { shape: Shape::Map, .. }) => "must be an object (`{…}`)".into(),
            Target::Field(field) | Target::Item(field) => expected(field),
        }
    }

    fn put(self, write: impl FnOnce(&Field, &mut Vec<u8>) -> Result<(), Wrong>) {
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

/// Beyond so many, further mistakes are of no use to anyone but fill memory.
const MOST_VIOLATIONS: usize = 500;
