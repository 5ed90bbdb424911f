//! What rules are asked about: the fields of the application that some rule names, read straight
//! from its encoded form, and what the national hub told. An empty text, an absent message or an
//! unanswered question is missing: to a rule that is not `false` but unknown.

use std::collections::{BTreeMap, HashMap};

use cel::Value;
use prost::{
    bytes::Buf as _,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// Something the national hub can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// `hub.marital`: records of marriage and divorce, cooling-off periods.
    Marital,
    /// `hub.benefits`: what is paid elsewhere.
    Benefits,
    /// `hub.certificate`: the disability certificate.
    Certificate,
    /// `hub.household`: registered household, alive.
    Household,
}

impl Topic {
    /// Every topic with its name below `hub`.
    pub const ALL: [(&'static str, Self); 4] = [
        ("marital", Self::Marital),
        ("benefits", Self::Benefits),
        ("certificate", Self::Certificate),
        ("household", Self::Household),
    ];
}

/// What the hub told; a topic it did not answer is `None`.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Of a couple.
    pub marital: Option<Couple>,
    /// What is paid, anywhere.
    pub benefits: Option<Vec<Benefit>>,
    /// The disability certificate.
    pub certificate: Option<Certificate>,
    /// The household.
    pub household: Option<Household>,
}

/// What the library knows of two people.
#[derive(Clone, Copy, Debug, Default)]
pub struct Couple {
    /// The man.
    pub man: Marital,
    /// The woman.
    pub woman: Marital,
    /// Both are married, and the last marriage of each is to the other.
    pub to_each_other: bool,
}

/// What the library knows of one person.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marital {
    /// The latest record is a marriage that has not ended.
    pub married: bool,
    /// The latest record is a divorce.
    pub divorced: bool,
    /// A divorce is applied for and its clock runs.
    pub cooling_off: bool,
}

/// A benefit that is or was paid.
#[derive(Clone, Debug, Default)]
pub struct Benefit {
    /// `living`, `nursing`, `orphan`, `defacto_child`, `old_age`, `dibao`, `tekun`, `work_injury`.
    pub benefit: String,
    /// Division that pays.
    pub division: String,
    /// Whether it is being paid.
    pub active: bool,
    /// Last month paid, `yyyy-MM`.
    pub last_paid_month: String,
}

/// A disability certificate as its issuer has it.
#[derive(Clone, Debug, Default)]
pub struct Certificate {
    /// In force.
    pub valid: bool,
    /// Category, one digit.
    pub category: String,
    /// Level, one digit.
    pub level: String,
}

/// A person's household.
#[derive(Clone, Debug, Default)]
pub struct Household {
    /// County-level division of the household, 6 digits, as it was recorded.
    pub division: String,
    /// The person is alive.
    pub alive: bool,
}

/// What the benefits of `hub.benefits` are called.
pub(super) const BENEFITS: [&str; 8] =
    ["living", "nursing", "orphan", "defacto_child", "old_age", "dibao", "tekun", "work_injury"];

/// What a path that a rule may name holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Holds {
    /// A code: one of these.
    Code(Vec<String>),
    Truth,
    Whole,
    Day,
    Month,
    Division,
    /// A citizen number.
    Number,
    Text,
    /// Fields of its own.
    Fields,
    List,
}

/// The path's place below `hub`, and what it holds.
pub(super) fn of_hub(path: &str) -> Option<Holds> {
    let digits = |most: u8| Holds::Code((1..=most).map(|digit| digit.to_string()).collect());
    Some(match path {
        "hub.marital" | "hub.marital.man" | "hub.marital.woman" | "hub.certificate"
        | "hub.household" => Holds::Fields,
        "hub.marital.man.married"
        | "hub.marital.man.divorced"
        | "hub.marital.man.coolingOff"
        | "hub.marital.woman.married"
        | "hub.marital.woman.divorced"
        | "hub.marital.woman.coolingOff"
        | "hub.marital.toEachOther"
        | "hub.benefits[].active"
        | "hub.certificate.valid"
        | "hub.household.alive" => Holds::Truth,
        "hub.benefits" => Holds::List,
        "hub.benefits[].benefit" => Holds::Code(BENEFITS.map(str::to_owned).to_vec()),
        "hub.benefits[].division" | "hub.household.division" => Holds::Division,
        "hub.benefits[].lastPaidMonth" => Holds::Month,
        "hub.certificate.category" => digits(7),
        "hub.certificate.level" => digits(4),
        _ => return None,
    })
}

impl Facts {
    /// Whether the hub answered about that.
    pub const fn told(&self, topic: Topic) -> bool {
        match topic {
            Topic::Marital => self.marital.is_some(),
            Topic::Benefits => self.benefits.is_some(),
            Topic::Certificate => self.certificate.is_some(),
            Topic::Household => self.household.is_some(),
        }
    }

    pub(super) fn nothing() -> Value {
        HashMap::<String, Value>::new().into()
    }

    pub(super) fn value(&self) -> Value {
        let mut hub: HashMap<String, Value> = HashMap::new();
        if let Some(couple) = self.marital {
            let one = |one: Marital| {
                map([
                    ("married", one.married.into()),
                    ("divorced", one.divorced.into()),
                    ("coolingOff", one.cooling_off.into()),
                ])
            };
            let told = map([
                ("man", one(couple.man)),
                ("woman", one(couple.woman)),
                ("toEachOther", couple.to_each_other.into()),
            ]);
            hub.insert("marital".into(), told);
        }
        if let Some(benefits) = &self.benefits {
            let one = |one: &Benefit| {
                map([
                    ("benefit", one.benefit.as_str().into()),
                    ("division", one.division.as_str().into()),
                    ("active", one.active.into()),
                    ("lastPaidMonth", one.last_paid_month.as_str().into()),
                ])
            };
            hub.insert("benefits".into(), benefits.iter().map(one).collect::<Vec<Value>>().into());
        }
        if let Some(certificate) = &self.certificate {
            let told = map([
                ("valid", certificate.valid.into()),
                ("category", certificate.category.as_str().into()),
                ("level", certificate.level.as_str().into()),
            ]);
            hub.insert("certificate".into(), told);
        }
        if let Some(household) = &self.household {
            let told = map([
                ("division", household.division.as_str().into()),
                ("alive", household.alive.into()),
            ]);
            hub.insert("household".into(), told);
        }
        hub.into()
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let map: HashMap<String, Value> =
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    map.into()
}

/// The fields that some rule names, as a tree over the message.
#[derive(Default)]
pub(super) struct Wanted {
    application: Tree,
    /// The oneof field of the body, below `application`.
    body: u32,
    details: Tree,
}

/// Fields by number.
#[derive(Default)]
struct Tree(BTreeMap<u32, (Field, Tree)>);

/// What reading a field takes of its descriptor.
struct Field {
    name: String,
    kind: Kind,
    list: bool,
}

impl Wanted {
    /// For a business whose body is `body` of the message `application`.
    pub(super) fn new(body: &FieldDescriptor) -> Self {
        Self { body: body.number(), ..Self::default() }
    }

    /// Adds a path that begins below `application` or `details`.
    pub(super) fn add(&mut self, root: &str, message: &MessageDescriptor, path: &[&str]) {
        let tree = if root == "details" { &mut self.details } else { &mut self.application };
        tree.add(message, path);
    }

    /// `application` and `details`.
    pub(super) fn read(&self, content: &[u8]) -> (Value, Value) {
        let application = self.application.read(content);
        let body = self.body_of(content).unwrap_or_default();
        (application, self.details.read(body))
    }

    fn body_of<'c>(&self, content: &'c [u8]) -> Option<&'c [u8]> {
        let mut rest = content;
        let mut body = None;
        while rest.has_remaining() {
            let (number, wire) = decode_key(&mut rest).ok()?;
            match (number == self.body, wire) {
                (true, WireType::LengthDelimited) => body = Some(bytes(&mut rest)?),
                _ => skip_field(wire, number, &mut rest, DecodeContext::default()).ok()?,
            }
        }
        body
    }
}

impl Tree {
    fn add(&mut self, message: &MessageDescriptor, path: &[&str]) {
        let [name, rest @ ..] = path else { return };
        let Some(field) = message.get_field_by_json_name(name) else { return };
        let entry = self.0.entry(field.number()).or_insert_with(|| {
            let (kind, list) = (field.kind(), field.is_list());
            (Field { name: field.json_name().to_owned(), kind, list }, Self::default())
        });
        if let Kind::Message(inner) = field.kind() {
            entry.1.add(&inner, rest);
        }
    }

    fn read(&self, content: &[u8]) -> Value {
        let mut found: HashMap<String, Value> = HashMap::new();
        let mut lists: HashMap<u32, Vec<Value>> = HashMap::new();
        // A list that is not on the wire is empty; a field that is not there was not filled in.
        for (number, (field, _)) in &self.0 {
            if field.list {
                lists.insert(*number, Vec::new());
            }
        }
        let mut rest = content;
        while rest.has_remaining() {
            let Ok((number, wire)) = decode_key(&mut rest) else { break };
            let wanted = self.0.get(&number);
            let value = match (wanted, wire) {
                (Some((field, tree)), WireType::LengthDelimited) => {
                    let Some(bytes) = bytes(&mut rest) else { break };
                    match &field.kind {
                        Kind::Message(_) => Some(tree.read(bytes)),
                        Kind::String if bytes.is_empty() && !field.list => None,
                        Kind::String => std::str::from_utf8(bytes).ok().map(Value::from),
                        _ => None,
                    }
                }
                (Some((field, _)), WireType::Varint) => {
                    let Ok(number) = decode_varint(&mut rest) else { break };
                    scalar(&field.kind, number)
                }
                (_, wire) => {
                    if skip_field(wire, number, &mut rest, DecodeContext::default()).is_err() {
                        break;
                    }
                    None
                }
            };
            let (Some(value), Some((field, _))) = (value, wanted) else { continue };
            match lists.get_mut(&number) {
                Some(list) => list.push(value),
                None => drop(found.insert(field.name.clone(), value)),
            }
        }
        for (number, list) in lists {
            found.insert(self.0[&number].0.name.clone(), list.into());
        }
        found.into()
    }
}

fn scalar(kind: &Kind, number: u64) -> Option<Value> {
    match kind {
        Kind::Bool => Some(Value::Bool(number != 0)),
        Kind::Int64 | Kind::Int32 => Some(Value::Int(number.cast_signed())),
        Kind::Enum(list) => {
            let number = i32::try_from(number).ok().filter(|number| *number != 0)?;
            list.get_value(number).map(|value| Value::from(value.name()))
        }
        _ => None,
    }
}

fn bytes<'c>(rest: &mut &'c [u8]) -> Option<&'c [u8]> {
    let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
    let (value, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(value)
}
