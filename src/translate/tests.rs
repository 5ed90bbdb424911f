//! The engine over the shipped tables: whatever the canonical model can say goes into a format
//! and comes back the same, but for what the table drops by name.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use prost_reflect::{FieldDescriptor, Kind as FieldKind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::{
    model::{
        codes::Codes,
        pb::{Business, field_rule::Format as Rule},
        resident_id::check_character,
        shape::rule_of,
    },
    translate::{Format, Kind, Translator, Wire, document, mapping::Mapping, table},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn translator() -> &'static Translator {
    static SHIPPED: std::sync::LazyLock<Translator> = std::sync::LazyLock::new(|| {
        let businesses: Vec<String> = Business::ALL.iter().map(|b| b.code()).collect();
        let party = |name: &str| {
            let folder = root().join("parties").join(name);
            (name.to_owned(), folder, businesses.clone())
        };
        let parties = ["national", "23-heilongjiang", "44-guangdong"].map(party);
        Translator::load(&root(), &parties).unwrap()
    });
    &SHIPPED
}

fn codes() -> &'static Codes {
    static CODES: std::sync::LazyLock<Codes> =
        std::sync::LazyLock::new(|| Codes::load(&root().join("codes")).unwrap());
    &CODES
}

/// Small, seeded, the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + u8::try_from(self.below(10)).unwrap())).collect()
    }

    fn text(&mut self, most: usize) -> String {
        let pool: Vec<char> = "王小明·㛃𠅤𪚥ABZ09 -_/<>&\"'，。".chars().collect();
        let length = 1 + self.below(if most == 0 { 20 } else { most });
        let text: String = (0..length).map(|_| *self.pick(&pool)).collect();
        // Blanks at the ends are layout in XML and do not come back.
        let text = text.trim().to_owned();
        if text.is_empty() { "王".to_owned() } else { text }
    }

    fn date(&mut self) -> String {
        format!("{}-{:02}-{:02}", 1930 + self.below(95), 1 + self.below(12), 1 + self.below(28))
    }
}

fn message(
    chance: &mut Chance,
    desc: &MessageDescriptor,
    at: &str,
    (business, mapping): (Business, &Mapping),
) -> Value {
    let mut out = Map::new();
    for field in desc.fields() {
        let rule = rule_of(&field);
        let path = if at.is_empty() {
            field.json_name().to_owned()
        } else {
            format!("{at}.{}", field.json_name())
        };
        let body = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
        let other_body = body && field.name() != business.code();
        let dropped = mapping.dropped.contains(&path);
        if rule.output_only || other_body || dropped || field.is_map() {
            continue;
        }
        // A table may ask for more than the model: the applicant of a subsidy.
        let asked =
            mapping.fields.iter().any(|f| f.required && f.canonical.join(".").starts_with(&path));
        if !rule.required && !asked && !body && chance.below(3) == 0 {
            continue;
        }
        let count = if field.is_list() { 1 + chance.below(3) } else { 1 };
        let values: Vec<Value> =
            (0..count).map(|_| value(chance, &field, &path, (business, mapping))).collect();
        let value = if field.is_list() { Value::from(values) } else { values[0].clone() };
        out.insert(field.json_name().to_owned(), value);
    }
    Value::Object(out)
}

fn value(
    chance: &mut Chance,
    field: &FieldDescriptor,
    path: &str,
    what: (Business, &Mapping),
) -> Value {
    match field.kind() {
        FieldKind::Message(time) if time.full_name() == "google.protobuf.Timestamp" => {
            let date = chance.date();
            json!(format!(
                "{date}T{:02}:{:02}:{:02}Z",
                chance.below(24),
                chance.below(60),
                chance.below(60)
            ))
        }
        FieldKind::Message(inner) => message(chance, &inner, path, what),
        FieldKind::Enum(list) if list.name() == "Business" => json!(what.0.as_str_name()),
        FieldKind::Enum(list) => {
            let names: Vec<String> =
                list.values().skip(1).map(|value| value.name().to_owned()).collect();
            json!(chance.pick(&names))
        }
        FieldKind::Bool => json!(chance.below(2) == 0),
        // Nought is said, and not left out, where a field can tell the two apart.
        FieldKind::Int64 if field.supports_presence() && chance.below(3) == 0 => json!("0"),
        FieldKind::Int64 => json!((1 + chance.below(10_000_000)).to_string()),
        FieldKind::Int32 => json!(1 + chance.below(10_000)),
        FieldKind::Bytes => json!("5YW55aeU"),
        _ => json!(text(chance, field)),
    }
}

fn text(chance: &mut Chance, field: &FieldDescriptor) -> String {
    let rule = rule_of(field);
    if let Some(list) = codes().get(&rule.code_list) {
        return chance.pick(&list.rows).0.clone();
    }
    match rule.format() {
        Rule::Unspecified => chance.text(rule.max_length as usize),
        Rule::ResidentId => {
            let digits = format!("230102{}{}", chance.date().replace('-', ""), chance.digits(3));
            format!("{digits}{}", char::from(check_character(digits.as_bytes())))
        }
        Rule::Date => chance.date(),
        Rule::Month => chance.date()[..7].to_owned(),
        Rule::Division => ["230102", "440305001", "510104001002"][chance.below(3)].to_owned(),
        Rule::Phone => chance.digits(11),
        Rule::BankAccount => chance.digits(19),
        Rule::Sha256 => hex::encode(chance.digits(32)),
        Rule::DisabilityCertificate => format!("11010519491231002X{}", chance.digits(2)),
        Rule::MarriageCertificate => {
            let letters = chance.pick(&["J", "L", "BJ", "BL"]);
            format!("{letters}230102-2026-{}", chance.digits(6))
        }
        Rule::Uuid => "01a20969-9de5-744b-babb-ecb59d25313a".to_owned(),
    }
}

fn there_and_back(format: &Format, kind: Kind, business: Business, seed: u64) {
    let mapping = format.mapping(kind, business).unwrap();
    let canonical = message(&mut Chance(seed), &mapping.message, "", (business, mapping));
    let first = mapping.message(canonical).unwrap();
    let tree = mapping.write(&first, false).unwrap();
    let wire = format.wire(business);
    let bytes = document::print(wire, "Body", &tree);
    let (read, faults) = mapping.read(&document::parse(wire, &bytes).unwrap());
    assert!(faults.is_empty(), "{}: {faults:?}", format.party);
    let second = mapping.message(read).unwrap();
    let json = |m| document::leaves(&serde_json::to_value(m).unwrap(), "\0");
    assert_eq!(
        json(&first),
        json(&second),
        "{}\n{}",
        format.party,
        String::from_utf8_lossy(&bytes)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_format_gives_back_what_it_was_given(seed in any::<u64>()) {
        for format in translator().formats.values() {
            for business in Business::ALL {
                there_and_back(format, Kind::Application, business, seed);
                there_and_back(format, Kind::Event, business, seed);
            }
        }
    }
}

const TABLE: &str = r#"
message = "ApplicationEvent"
drops = [
  { path = "id", why = "x" }, { path = "acceptanceNumber", why = "x" }, { path = "business", why = "x" },
  { path = "sequence", why = "x" }, { path = "state", why = "x" }, { path = "time", why = "x" },
  { path = "party", why = "x" }, { path = "missingMaterials", why = "x" }, { path = "lastPaidMonth", why = "x" },
  { path = "materials", why = "x" }, { path = "decision", why = "x" }, { path = "deadline", why = "x" }, { path = "withdrawnBy", why = "x" }, { path = "receiptNumber", why = "x" },
]
field = [
  { canonical = "applicationId", path = "a.id", required = true },
  { canonical = "reason", path = "a.why" },
]
[constants]
type = "DECISION_MADE"
"#;

/// The faults of the table after one edit, as `line: message`.
fn faults(from: &str, to: &str) -> Vec<String> {
    assert!(TABLE.contains(from), "{from}");
    let text = TABLE.replacen(from, to, 1);
    let file = Path::new("t.map.toml");
    let mut faults = crate::translate::node::Faults { file, all: Vec::new() };
    let codes = Codes::default();
    if let Some(table) = table::read(&text, "x", &codes, &mut faults) {
        crate::translate::check::compile(table, &codes, &mut faults);
    }
    faults.all.iter().map(|fault| format!("{}: {}", fault.line, fault.message)).collect()
}

#[test]
fn a_table_without_fault_has_none() {
    assert_eq!(faults("DECISION_MADE", "DECISION_MADE"), Vec::<String>::new());
}

#[test]
fn each_fault_is_told_with_its_line() {
    let cases = [
        (
            "\"reason\", path",
            "\"raeson\", path",
            "11: canonical `raeson`: ApplicationEvent has no field `raeson`",
        ),
        (
            "path = \"a.why\" }",
            "path = \"a.why\", type = \"bool\" }",
            "11: type `bool` does not fit canonical `reason`",
        ),
        (
            "path = \"a.why\" }",
            "path = \"a.why\", type = \"colour\" }",
            "11: `type`: there is no `colour`",
        ),
        (
            "path = \"a.why\" }",
            "path = \"a.why\", pth = \"b\" }",
            "11: `pth` is no key of this table",
        ),
        ("path = \"a.why\" }", "path = \"a.id\" }", "11: `a.id` is written already by line 10"),
        (
            "path = \"a.why\" }",
            "path = \"a.id.x\" }",
            "11: `a.id.x` stands within the value that line 10 writes",
        ),
        (
            "\"reason\", path",
            "\"applicationId\", path",
            "11: canonical `applicationId` has a source already at line 10",
        ),
        (
            "path = \"a.why\" }",
            "path = \"a.why\", type = \"code\", codes = \"none\" }",
            "11: `codes`: there is no list `none`",
        ),
        ("path = \"a.why\" }", "paths = [\"b\", \"c\"] }", "11: `paths` needs a `separator`"),
        (
            "{ path = \"id\", why = \"x\" },",
            "{ path = \"id\" },",
            "4: a dropped field needs a `why`",
        ),
        ("{ path = \"party\", why = \"x\" },", "", "1: canonical `party` is lost"),
        (
            "{ path = \"party\", why = \"x\" },",
            "{ path = \"prty\", why = \"x\" },",
            "6: drops `prty`: ApplicationEvent has no field",
        ),
        ("DECISION_MADE", "DECIDED", "14: EventType has no value DECIDED"),
        ("type = \"DECISION_MADE\"", "", "1: required canonical `type` has no source"),
        ("\"ApplicationEvent\"", "\"Event\"", "1: `message`: there is no message tongban.v1.Event"),
        ("field = [", "field = [ 7,", "9: must be a table"),
        ("message =", "mesage =", "2: `mesage` is no key of this table"),
    ];
    told(&cases);
}

#[test]
fn what_could_not_be_undone_or_never_held_is_told_with_its_line() {
    let cases = [
        (
            "path = \"a.why\" }",
            "path = \"a.why\", type = \"date\", pattern = \"yyyy-mm-dd\" }",
            "11: canonical `reason`: `pattern` has no MM",
        ),
        (
            "path = \"a.why\" }",
            "path = \"a.why\", type = \"month\", default = \"soon\" }",
            "11: canonical `reason`: `default`: `soon` is no canonical value",
        ),
        (
            "path = \"a.why\" }",
            "path = \"a.why\", number = true }",
            "11: canonical `reason`: `number`: a text is no number",
        ),
        (
            "type = \"DECISION_MADE\"",
            "type = \"DECISION_MADE\"\nmaterials = \"x\"",
            "15: is repeated; a constant is a single value",
        ),
        ("{ path = \"id\", why", "{ pth = \"id\", why", "4: a dropped field needs a `path`"),
        ("field = [", "list = 7\nfield = [", "9: must be a list of tables"),
    ];
    told(&cases);
}

fn told(cases: &[(&str, &str, &str)]) {
    for (from, to, expected) in cases {
        let found = faults(from, to);
        assert!(
            found.iter().any(|f| f.starts_with(expected)),
            "{to}\n expected {expected}\n found {found:?}"
        );
    }
}

#[test]
fn all_mistakes_of_a_document_are_told_at_once_in_its_own_paths() {
    let format = translator().format("23-heilongjiang").unwrap();
    let mapping = format.mapping(Kind::Application, Business::DisabilitySubsidy).unwrap();
    let tree = json!({
        "slbh": "1", "slqh": "230102", "sljgmc": {"x": 1}, "sqfs": "77", "slsj": "2026-03-12",
        "sqr": {"xb": "5"}, "btzl": "1", "clqd": []
    });
    let (_, faults) = mapping.read(&tree);
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    for field in ["sljgmc", "sqfs", "slsj", "sqr.xm", "sqr.xb", "cjrzh"] {
        assert!(fields.contains(&field), "{field} in {fields:?}");
    }
}

#[test]
fn what_is_beyond_the_mapping_is_kept_and_goes_back() {
    let format = translator().format("23-heilongjiang").unwrap();
    let mapping = format.mapping(Kind::Event, Business::Unspecified).unwrap();
    let (canonical, _) = mapping.read(&json!({"zzz": 1}));
    assert!(canonical.get("extensions").is_none(), "events carry none");
    let mapping = format.mapping(Kind::Application, Business::DisabilitySubsidy).unwrap();
    let extra = json!({"btzl": "1", "own": {"a": [{"b": 1.50}, {"c": null}], "d": "𠅤"}});
    let (canonical, _) = mapping.read(&extra);
    let only = json!({"extensions": canonical["extensions"], "business": "DISABILITY_SUBSIDY"});
    let message = mapping.message(only).unwrap();
    let back = mapping.write(&message, true).unwrap();
    assert_eq!(back["own"]["a"][0]["b"], json!(1.50));
    assert_eq!(back["own"]["d"], json!("𠅤"));
    assert_eq!(mapping.write(&message, false).unwrap().get("own"), None);
}

#[test]
fn a_key_that_looks_like_a_path_is_kept_as_a_key() {
    let format = translator().format("23-heilongjiang").unwrap();
    let mapping = format.mapping(Kind::Application, Business::DisabilitySubsidy).unwrap();
    let own = json!({"sqr.xm": "x", "a[0]": {"%2E": 1}, "sqr": {"xm": "王"}});
    let (canonical, _) = mapping.read(&own);
    let only = json!({
        "applicant": {"name": "王"}, "extensions": canonical["extensions"],
        "business": "DISABILITY_SUBSIDY",
    });
    let back = mapping.write(&mapping.message(only).unwrap(), true).unwrap();
    assert_eq!(back["sqr.xm"], "x");
    assert_eq!(back["a[0]"], json!({"%2E": 1}));
    assert_eq!(back["sqr"]["xm"], "王");
}

#[test]
fn what_is_beyond_the_mapping_goes_back_from_a_list_of_one_too() {
    let format = translator().format("44-guangdong").unwrap();
    let mapping = format.mapping(Kind::Application, Business::DisabilitySubsidy).unwrap();
    let list = mapping.lists.iter().find(|list| list.canonical == ["materials"]).unwrap();
    let field = list.fields.iter().find(|field| field.canonical == ["fileName"]).unwrap();
    for count in 1..=2 {
        let mut item = json!({"Own": "𠅤"});
        document::set(&mut item, &field.paths[0], json!("x"));
        let mut tree = json!({});
        document::set(&mut tree, &list.path, Value::from(vec![item; count]));
        let bytes = document::print(Wire::Xml, "Content", &tree);
        let tree = document::parse(Wire::Xml, &bytes).unwrap();
        let (canonical, _) = mapping.read(&tree);
        let only = json!({
            "materials": canonical["materials"], "extensions": canonical["extensions"],
            "business": "DISABILITY_SUBSIDY",
        });
        let message = mapping.message(only).unwrap();
        let back = mapping.write(&message, true).unwrap();
        let back = String::from_utf8(document::print(Wire::Xml, "Content", &back)).unwrap();
        assert_eq!(back.matches("<Own>𠅤</Own>").count(), count, "{back}");
    }
}

#[test]
fn an_answer_that_is_not_understood_is_neither_success_nor_failure() {
    use crate::translate::{Answer, Status};
    let format = translator().format("national").unwrap();
    let answer = |text: &str| format.answer(Wire::Json, text.as_bytes());
    assert_eq!(answer(r#"{"code":"0"}"#), Answer::Stored);
    assert_eq!(answer(r#"{"code":"E401"}"#), Answer::Refused { code: "E401".into() });
    for text in ["", "<html>busy</html>", "{}", r#"{"code":"7"}"#, r#"{"code":null}"#] {
        assert_eq!(answer(text), Answer::NotUnderstood, "{text}");
    }
    let status = |text: &str| format.status(Wire::Json, text.as_bytes());
    assert_eq!(status(r#"{"data":{"state":"STORED"}}"#), Status::Stored);
    assert_eq!(status(r#"{"data":{"state":"NONE"}}"#), Status::Unknown);
    assert_eq!(status("garbage"), Status::NotUnderstood);
}
