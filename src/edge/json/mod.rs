//! ProtoJSON in both directions, straight between JSON text and protobuf bytes, by tables compiled
//! from the descriptors at start-up. Depends on model only.
//!
//! Not by reflection: that builds a tree of values on the way and costs several times as much.
//! The tests hold both directions equal to prost-reflect, which is a second implementation.

pub(super) mod read;
mod value;
pub(super) mod write;

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor,
};

/// Every message the services speak, compiled.
pub(super) struct Schema {
    messages: Vec<Message>,
    index: HashMap<String, usize>,
}

struct Message {
    fields: Vec<Field>,
    by_name: HashMap<String, usize>,
}

struct Field {
    number: u32,
    name: String,
    shape: Shape,
    holds: Holds,
    oneof: Option<u8>,
    /// Of a map: its value, as field 2 of the entry.
    map_value: Option<Box<Field>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    One,
    Many,
    /// A map with text keys.
    Map,
}

#[derive(Clone)]
enum Holds {
    Text,
    Bool,
    /// Whole number: least, greatest, and whether JSON writes it as text.
    Whole {
        least: i64,
        greatest: i64,
        as_text: bool,
    },
    Enum(Names),
    Bytes,
    Timestamp,
    Message(usize),
}

/// The names of an enum's values.
#[derive(Clone)]
struct Names(Vec<(String, i32)>);

impl Names {
    fn of(descriptor: &EnumDescriptor) -> Self {
        Self(descriptor.values().map(|v| (v.name().to_owned(), v.number())).collect())
    }

    fn number(&self, name: &str) -> Option<i32> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
    }

    fn name(&self, number: i32) -> Option<&str> {
        self.0.iter().find(|(_, known)| *known == number).map(|(name, _)| name.as_str())
    }
}

impl Schema {
    /// Compiles every message of package `tongban.v1`.
    ///
    /// # Errors
    /// The first field of a kind that is not provided for, such as floating point.
    pub(super) fn compile(pool: &DescriptorPool) -> Result<Self, String> {
        let ours: Vec<MessageDescriptor> = pool
            .all_messages()
            .filter(|m| m.package_name() == "tongban.v1" && !m.is_map_entry())
            .collect();
        let index: HashMap<String, usize> =
            ours.iter().enumerate().map(|(at, m)| (m.full_name().to_owned(), at)).collect();
        let messages = ours.iter().map(|m| compile_message(m, &index)).collect::<Result<_, _>>()?;
        Ok(Self { messages, index })
    }

    /// The number of a message in this schema.
    ///
    /// # Errors
    /// When it is not of our package.
    pub(super) fn number(&self, message: &MessageDescriptor) -> Result<usize, String> {
        let found = self.index.get(message.full_name()).copied();
        found.ok_or_else(|| {
            format!("{}: messages of other packages are not served as JSON", message.full_name())
        })
    }

    /// The JSON name of a field that a template or rule names by its proto path, and the message
    /// it holds.
    pub(super) fn field(
        &self,
        message: usize,
        proto_name: &str,
    ) -> Option<(u32, &str, Option<usize>)> {
        let message = &self.messages[message];
        let field = &message.fields[*message.by_name.get(proto_name)?];
        let inner = match field.holds {
            Holds::Message(inner) => Some(inner),
            _ => None,
        };
        Some((field.number, &field.name, inner))
    }
}

fn compile_message(
    message: &MessageDescriptor,
    index: &HashMap<String, usize>,
) -> Result<Message, String> {
    let mut fields = Vec::new();
    let mut by_name = HashMap::new();
    let oneofs: Vec<OneofDescriptor> = message.oneofs().collect();
    for descriptor in message.fields() {
        let field = compile_field(&descriptor, index, &oneofs)?;
        by_name.insert(field.name.clone(), fields.len());
        by_name.insert(descriptor.name().to_owned(), fields.len());
        fields.push(field);
    }
    if fields.len() > MOST_FIELDS {
        return Err(format!("{}: more than {MOST_FIELDS} fields", message.full_name()));
    }
    Ok(Message { fields, by_name })
}

fn compile_field(
    field: &FieldDescriptor,
    index: &HashMap<String, usize>,
    oneofs: &[OneofDescriptor],
) -> Result<Field, String> {
    let unfit = |what: &str| format!("{}: {what} can't be served as JSON", field.full_name());
    let (shape, kind) = match field.kind() {
        Kind::Message(entry) if entry.is_map_entry() => {
            if entry.map_entry_key_field().kind() != Kind::String {
                return Err(unfit("a map whose key is no string"));
            }
            (Shape::Map, entry.map_entry_value_field().kind())
        }
        kind if field.is_list() => (Shape::Many, kind),
        kind => (Shape::One, kind),
    };
    let whole = |least, greatest, as_text| Holds::Whole { least, greatest, as_text };
    let holds = match kind {
        Kind::String => Holds::Text,
        Kind::Bool => Holds::Bool,
        Kind::Int32 => whole(i64::from(i32::MIN), i64::from(i32::MAX), false),
        Kind::Uint32 => whole(0, i64::from(u32::MAX), false),
        Kind::Int64 => whole(i64::MIN, i64::MAX, true),
        Kind::Enum(names) => Holds::Enum(Names::of(&names)),
        Kind::Bytes => Holds::Bytes,
        Kind::Message(m) if m.full_name() == "google.protobuf.Timestamp" => Holds::Timestamp,
        Kind::Message(m) => index
            .get(m.full_name())
            .map(|at| Holds::Message(*at))
            .ok_or_else(|| unfit("a message of another package"))?,
        _ => return Err(unfit("this kind of number")),
    };
    if field.is_packed() && matches!(holds, Holds::Whole { .. } | Holds::Enum(_) | Holds::Bool) {
        return Err(unfit("a packed list"));
    }
    let oneof = field.containing_oneof();
    let oneof = oneof.and_then(|one| oneofs.iter().position(|other| *other == one));
    let oneof = oneof.and_then(|at| u8::try_from(at).ok());
    let map_value = (shape == Shape::Map).then(|| {
        let (name, holds) = (String::new(), holds.clone());
        Box::new(Field { number: 2, name, shape: Shape::One, holds, oneof: None, map_value: None })
    });
    let (number, name) = (field.number(), field.json_name().to_owned());
    Ok(Field { number, name, shape, holds, oneof, map_value })
}

/// Fields a message may have: what the reader's record of fields seen has room for.
const MOST_FIELDS: usize = 128;

#[cfg(test)]
mod tests;
