//! The rules of form (`tongban.v1.rule` in `proto/`), checked on encoded messages.
//!
//! The rules are compiled once from the descriptors; a check walks the message's bytes in place,
//! reports every violation with its JSON path, and never repeats a value.

use std::{collections::HashMap, sync::Arc};

use prost::{
    bytes::Buf,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
};

use crate::model::{
    DESCRIPTORS,
    codes::{CodeList, Codes},
    divisions::{Divisions, Today},
    pb::{FieldRule, field_rule::Format},
    problem::{Cause, Violation},
    resident_id::ResidentId,
};

/// The compiled rules of every message below the roots asked for.
pub struct Shapes {
    messages: Vec<MessageRules>,
    index: HashMap<String, usize>,
    divisions: Arc<Divisions>,
}

struct MessageRules {
    fields: Vec<FieldRules>,
}

struct FieldRules {
    number: u32,
    name: String,
    repeated: bool,
    rule: FieldRule,
    codes: Option<CodeList>,
    holds: Holds,
}

enum Holds {
    Text,
    Enum(Vec<i32>),
    Message(usize),
    Other,
}

/// Where the walk stands; written out only when something is wrong.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'a str,
    item: Option<usize>,
}

/// The rule of a field, as `proto/` states it; the default when it states none.
pub fn rule_of(field: &FieldDescriptor) -> FieldRule {
    fn extension() -> Option<ExtensionDescriptor> {
        DESCRIPTORS.get_extension_by_name("tongban.v1.rule")
    }
    let options: DynamicMessage = field.options();
    let rule = extension().filter(|ext| options.has_extension(ext)).and_then(|ext| {
        options.get_extension(&ext).as_message().and_then(|m| m.transcode_to::<FieldRule>().ok())
    });
    rule.unwrap_or_default()
}

impl Shapes {
    /// Compiles the rules of all messages of `tongban.v1`.
    ///
    /// # Errors
    /// The names of code lists that a rule asks for and `codes` does not hold.
    pub fn compile(codes: &Codes, divisions: Divisions) -> Result<Self, Vec<String>> {
        let ours: Vec<MessageDescriptor> = DESCRIPTORS
            .all_messages()
            .filter(|message| message.package_name() == "tongban.v1")
            .collect();
        let index: HashMap<String, usize> =
            ours.iter().enumerate().map(|(i, m)| (m.name().to_owned(), i)).collect();
        let mut missing = Vec::new();
        let mut messages = Vec::new();
        for message in &ours {
            let fields = message.fields().map(|field| {
                let rule = rule_of(&field);
                let codes = codes.get(&rule.code_list).cloned();
                if codes.is_none() && !rule.code_list.is_empty() {
                    missing.push(rule.code_list.clone());
                }
                FieldRules {
                    number: field.number(),
                    name: field.json_name().to_owned(),
                    repeated: field.is_list() || field.is_map(),
                    rule,
                    codes,
                    holds: holds(&field, &index),
                }
            });
            messages.push(MessageRules { fields: fields.collect() });
        }
        missing.sort();
        missing.dedup();
        let divisions = Arc::new(divisions);
        if missing.is_empty() { Ok(Self { messages, index, divisions }) } else { Err(missing) }
    }

    /// Every violation in the encoded message of type `tongban.v1.<message>`.
    pub fn check(&self, message: &str, bytes: &[u8]) -> Vec<Violation> {
        let mut violations = Vec::new();
        if let Some(index) = self.index.get(message) {
            self.walk(*index, bytes, None, &mut violations);
        }
        violations
    }

    /// The table of divisions the rules are checked against.
    pub const fn divisions(&self) -> &Arc<Divisions> {
        &self.divisions
    }

    fn walk(&self, message: usize, bytes: &[u8], at: Option<&Path<'_>>, out: &mut Vec<Violation>) {
        let rules = &self.messages[message];
        let mut counts = [0_usize; 64];
        let mut rest = bytes;
        while rest.has_remaining() {
            let Ok((number, wire)) = decode_key(&mut rest) else { return };
            let found = rules.fields.iter().enumerate().find(|(_, f)| f.number == number);
            let Some((position, field)) = found else {
                if skip_field(wire, number, &mut rest, DecodeContext::default()).is_err() {
                    return;
                }
                continue;
            };
            let item = field.repeated.then_some(counts[position & 63]);
            counts[position & 63] += 1;
            let path = Path { parent: at, name: &field.name, item };
            if self.value(field, wire, &mut rest, &path, out).is_none() {
                return;
            }
        }
        for (position, field) in rules.fields.iter().enumerate() {
            let count = counts[position & 63];
            let path = Path { parent: at, name: &field.name, item: None };
            if field.rule.required && count == 0 {
                out.push(Violation::form(path.to_text(), "is required; fill it in"));
            }
            let most = field.rule.max_length as usize;
            if field.repeated && most > 0 && count > most {
                out.push(Violation::form(path.to_text(), format!("has more than {most} items")));
            }
        }
    }

    fn value(
        &self,
        field: &FieldRules,
        wire: WireType,
        rest: &mut &[u8],
        path: &Path<'_>,
        out: &mut Vec<Violation>,
    ) -> Option<()> {
        match (&field.holds, wire) {
            (Holds::Text | Holds::Message(_), WireType::LengthDelimited) => {
                let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
                let value = rest.get(..length)?;
                *rest = &rest[length..];
                match field.holds {
                    Holds::Message(index) => self.walk(index, value, Some(path), out),
                    _ => {
                        let text = std::str::from_utf8(value).ok()?;
                        if let Some((cause, fault)) = self.fault(field, text) {
                            out.push(Violation::of(cause, path.to_text(), fault));
                        }
                    }
                }
            }
            (Holds::Enum(known), WireType::Varint) => {
                let value = decode_varint(rest).ok()?;
                if !known.iter().any(|k| u64::try_from(*k).is_ok_and(|k| k == value)) {
                    out.push(Violation::form(path.to_text(), "is no value of its list"));
                }
            }
            _ => skip_field(wire, field.number, rest, DecodeContext::default()).ok()?,
        }
        Some(())
    }

    fn fault(&self, field: &FieldRules, text: &str) -> Option<(Cause, String)> {
        let most = field.rule.max_length as usize;
        let form = |what: String| Some((Cause::Form, what));
        if text.is_empty() {
            return None;
        }
        if has_control_characters(text) {
            return form("holds control characters; remove them".into());
        }
        // A byte count within the limit is a character count within it.
        if !field.repeated && most > 0 && text.len() > most && text.chars().count() > most {
            return form(format!("is longer than {most} characters; shorten it"));
        }
        if let Some(list) = &field.codes
            && !list.contains(text)
        {
            let standard = &list.standard;
            return form(format!("is no code of list `{}` ({standard})", field.rule.code_list));
        }
        self.format_fault(field.rule.format(), text)
    }

    fn format_fault(&self, format: Format, text: &str) -> Option<(Cause, String)> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (good, must) = match format {
            Format::Unspecified => return None,
            Format::ResidentId => {
                let error = ResidentId::parse(text).err()?;
                return Some((Cause::IdNumber, error.to_string()));
            }
            Format::Division => {
                let known = self.divisions.today(text) != Today::Unknown;
                let fault = "is no county-level division of the table; give its 6, 9 or 12 digits";
                return (!known).then(|| (Cause::Division, fault.to_owned()));
            }
            Format::Date => {
                let good = text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
                (good, "a date that exists, written yyyy-MM-dd")
            }
            Format::Month => {
                let good =
                    text.len() == 7 && format!("{text}-01").parse::<jiff::civil::Date>().is_ok();
                (good, "a month written yyyy-MM")
            }
            Format::Phone => {
                let good = (5..=17).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-".contains(&byte));
                (good, "5 to 17 digits, `+` and `-`")
            }
            Format::BankAccount => {
                ((12..=19).contains(&text.len()) && digits(text), "12 to 19 digits")
            }
            Format::Sha256 => {
                let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                (text.len() == 64 && text.bytes().all(hex), "64 lower-case hexadecimal digits")
            }
            Format::DisabilityCertificate => {
                let good = is_disability_certificate(text);
                (
                    good,
                    "20 characters: citizen number, category, level; re-issued, `B` and a number",
                )
            }
            Format::MarriageCertificate => {
                (is_marriage_certificate(text), "like J110101-2010-000001")
            }
            Format::Uuid => (uuid::Uuid::try_parse(text).is_ok(), "a UUID of 36 characters"),
        };
        (!good).then(|| (Cause::Form, format!("must be {must}")))
    }
}

impl Path<'_> {
    fn to_text(&self) -> String {
        let mut text = self.parent.map_or_else(String::new, |parent| parent.to_text() + ".");
        text.push_str(self.name);
        if let Some(item) = self.item {
            text.push_str(&format!("[{item}]"));
        }
        text
    }
}

fn holds(field: &FieldDescriptor, index: &HashMap<String, usize>) -> Holds {
    match field.kind() {
        _ if field.is_map() => Holds::Other,
        Kind::String => Holds::Text,
        Kind::Enum(list) => Holds::Enum(list.values().map(|value| value.number()).collect()),
        Kind::Message(message) if message.package_name() == "tongban.v1" => {
            index.get(message.name()).map_or(Holds::Other, |index| Holds::Message(*index))
        }
        _ => Holds::Other,
    }
}

fn has_control_characters(text: &str) -> bool {
    // A control character has one of these bytes, and few texts have any: one quick pass over
    // the bytes, in a form the compiler makes vectors of, spares most texts the slow one.
    let suspicious =
        text.bytes().fold(false, |any, b| any | (b < 0x20) | (b == 0x7f) | (b == 0xc2));
    suspicious && text.chars().any(|c| c.is_control() && c != '\n')
}

/// Citizen number, category digit, level digit; of a re-issue also `B` and which one it is.
/// 残疾人证管理办法; the form of the re-issue is \[S29c\].
fn is_disability_certificate(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((number, reissue)) = text.split_at_checked(20).filter(|_| text.is_ascii()) else {
        return false;
    };
    let again = reissue.strip_prefix('B');
    digits(&number[18..])
        && (reissue.is_empty() || again.is_some_and(|n| (1..=2).contains(&n.len()) && digits(n)))
}

/// `J|L|BJ|BL`, 6 digits, `-`, 4 digits, `-`, 6 digits (证字号规则).
fn is_marriage_certificate(text: &str) -> bool {
    let Some(rest) = ["BJ", "BL", "J", "L"].iter().find_map(|kind| text.strip_prefix(kind)) else {
        return false;
    };
    let lengths = [6, 4, 6];
    let parts: Vec<&str> = rest.split('-').collect();
    parts.len() == 3
        && parts.iter().zip(lengths).all(|(part, length)| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::model::pb;

    fn shapes() -> Shapes {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let codes = Codes::load(&root.join("codes")).unwrap();
        let divisions = Divisions::load(&root.join("divisions.csv")).unwrap();
        Shapes::compile(&codes, divisions).unwrap()
    }

    #[test]
    fn every_mistake_is_found_with_its_path_and_without_its_value() {
        let application = pb::Application {
            business: 1,
            accepting_division: "999999".into(),
            applicant: Some(pb::Person {
                name: "王".repeat(61),
                resident_id: "230102199001011231".into(),
                sex: "7".into(),
                ..Default::default()
            }),
            materials: vec![
                pb::Material::default(),
                pb::Material {
                    kind: "001".into(),
                    file_name: "a".into(),
                    sha256: "xyz".into(),
                    ..Default::default()
                },
            ],
            ..Default::default()
        };
        let violations = shapes().check("Application", &application.encode_to_vec());
        let fields: Vec<&str> = violations.iter().map(|v| v.field.as_str()).collect();
        for field in [
            "acceptingDivision",
            "applicant.name",
            "applicant.residentId",
            "applicant.sex",
            "materials[0].kind",
            "materials[1].sha256",
            "acceptanceNumber",
            "source",
        ] {
            assert!(fields.contains(&field), "{field} in {fields:?}");
        }
        assert!(violations.iter().all(|v| !v.description.contains("23010219900101")));
    }

    #[test]
    fn control_characters_are_seen_among_all_others() {
        for text in ["王\t小明", "\u{85}", "a\u{7f}", "\u{0}", "·\u{9f}", "a\r\n"] {
            assert!(has_control_characters(text), "{text:?}");
        }
        for text in ["", "买买提·阿卜杜拉", "line\nline", "\u{a0}\u{bf}", "𠅤"] {
            assert!(!has_control_characters(text), "{text:?}");
        }
    }

    #[test]
    fn a_disability_certificate_may_be_issued_again() {
        for good in ["11010519491231002X41", "11010519491231002X41B1", "11010519491231002X41B12"] {
            assert!(is_disability_certificate(good), "{good}");
        }
        for bad in [
            "",
            "11010519491231002X4",
            "11010519491231002X41B",
            "11010519491231002X41B123",
            "11010519491231002X41A1",
            "11010519491231002X4X",
        ] {
            assert!(!is_disability_certificate(bad), "{bad}");
        }
    }

    #[test]
    fn certificate_numbers_follow_the_rule() {
        assert!(is_marriage_certificate("J110101-2010-000001"));
        assert!(is_marriage_certificate("BL230102-2026-000001"));
        assert!(!is_marriage_certificate("X110101-2010-000001"));
        assert!(!is_marriage_certificate("J110101-2010-1"));
    }
}
