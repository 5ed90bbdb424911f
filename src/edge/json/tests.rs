//! Tests of `edge::json` against prost-reflect, a second implementation of ProtoJSON.

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};
use prost::Message as _;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::{Value, json};

use super::{read::Document, *};
use crate::model::{DESCRIPTORS, pb};

fn schema() -> Schema {
    Schema::compile(&DESCRIPTORS).unwrap()
}

fn descriptor() -> MessageDescriptor {
    DESCRIPTORS.get_message_by_name("tongban.v1.Application").unwrap()
}

fn read(document: &Value) -> Document {
    read_text(&document.to_string())
}

fn read_text(text: &str) -> Document {
    let schema = schema();
    schema.read(schema.number(&descriptor()).unwrap(), text.as_bytes()).unwrap()
}

fn fields(document: &Document) -> Vec<&str> {
    document.violations.iter().map(|violation| violation.field.as_str()).collect()
}

fn full() -> Value {
    json!({
        "id": "0190a", "business": "DISABILITY_SUBSIDY", "state": 2, "version": "9007199254740993",
        "acceptanceNumber": "B-\"1\"\\\n\u{1}·㛃𠅤", "source": "ONLINE",
        "acceptTime": "2026-11-23T16:30:00.123+08:00", "completeTime": "1970-01-01T00:00:00Z",
        "createTime": "0001-01-01T00:00:00.000000001Z",
        "applicant": {"name": "张·三", "registeredPlace": {"division": "230102"}, "residence": {}},
        "materials": [
            {"kind": "01", "sizeBytes": 12, "content": "-_-_AA"}, {}, {"sizeBytes": "1000"},
        ],
        "disabilitySubsidy": {"subsidyKind": "3", "longTermCare": true, "orphanAllowance": false},
        "decision": {"outcome": "DENIED", "monthlyAmountFen": -5, "reasonCode": null},
        "extensions": {"a.b": "{\"x\":1}", "空": ""},
    })
}

#[test]
fn both_directions_agree_with_prost_reflect() {
    let text = full().to_string();
    let document = read_text(&text);
    assert_eq!(document.violations, []);
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let oracle = DynamicMessage::deserialize(descriptor(), &mut deserializer).unwrap();
    let ours = pb::Application::decode(document.bytes.as_slice()).unwrap();
    let theirs = pb::Application::decode(oracle.encode_to_vec().as_slice()).unwrap();
    assert_eq!(ours, theirs);

    let schema = schema();
    let bytes = ours.encode_to_vec();
    let written = schema.write(schema.number(&descriptor()).unwrap(), &bytes).unwrap();
    let written: Value = serde_json::from_slice(&written).unwrap();
    let oracle = DynamicMessage::decode(descriptor(), bytes.as_slice()).unwrap();
    let options = SerializeOptions::new();
    let expected = oracle.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
    assert_eq!(written, expected);
}

#[test]
fn proto_names_and_nulls_are_read_and_an_empty_document_is_empty() {
    let document = read(&json!({"acceptance_number": "A", "guardian": null, "materials": null}));
    assert_eq!(document.violations, []);
    let application = pb::Application::decode(document.bytes.as_slice()).unwrap();
    assert_eq!(
        application,
        pb::Application { acceptance_number: "A".into(), ..Default::default() }
    );
    assert_eq!(read(&json!({})).bytes, b"");
}

#[test]
fn every_mistake_is_found_and_the_rest_is_kept() {
    let document = read(&json!({
        "business": "DISABILITY", "acceptanceNumber": 7, "acceptTime": "yesterday",
        "applicant": {"name": "李四", "age": 3, "registeredPlace": "here"},
        "materials": [{"kind": 1, "sizeBytes": 1.5}, null, {"content": "???"}],
        "bankAccount": [], "extensions": {"a": 1, "b": "kept"}, "version": "99999999999999999999",
        "disabilitySubsidy": {"boarding": true, "longTermCare": "yes"}, "childRecognition": {},
    }));
    assert_eq!(
        fields(&document),
        [
            "business",
            "acceptanceNumber",
            "acceptTime",
            "applicant.age",
            "applicant.registeredPlace",
            "materials[0].kind",
            "materials[0].sizeBytes",
            "materials[1]",
            "materials[2].content",
            "bankAccount",
            "extensions.a",
            "version",
            "disabilitySubsidy.boarding",
            "disabilitySubsidy.longTermCare",
            "childRecognition",
        ]
    );
    assert!(document.violations[0].description.contains("DISABILITY_SUBSIDY"));
    let application = pb::Application::decode(document.bytes.as_slice()).unwrap();
    assert_eq!(application.applicant.unwrap().name, "李四");
    assert_eq!(application.extensions.len(), 1);
    assert_eq!(application.materials.len(), 2);
}

#[test]
fn a_field_given_twice_is_refused_whatever_its_spelling() {
    let document =
        read_text(r#"{"acceptanceNumber":"1","acceptance_number":"2","source":1,"source":2}"#);
    assert_eq!(fields(&document), ["acceptanceNumber".replace("N", "_n").as_str(), "source"]);
}

#[test]
fn a_body_that_is_no_object_or_no_json_is_refused() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for text in ["[]", "1", "null", "\"a\"", deep.as_str()] {
        assert_eq!(fields(&read_text(text)), ["(body)"], "{text}");
    }
    let schema = schema();
    let number = schema.number(&descriptor()).unwrap();
    for text in ["", "{", "{}{}", "{\"id\":\"\\ud800\"}", "{\"id\":01}"] {
        assert!(schema.read(number, text.as_bytes()).is_err(), "{text}");
    }
    assert!(schema.read(number, b"{\"id\":\"\xff\"}").is_err());
}

#[test]
fn times_are_read_as_rfc_3339_and_nothing_looser() {
    for good in ["2026-11-23T08:30:00Z", "2026-11-23T08:30:00.1Z", "2026-11-23T08:30:00+08:00"] {
        assert_eq!(read(&json!({"acceptTime": good})).violations, [], "{good}");
    }
    for wrong in [
        "2026-11-23",
        "2026-11-23T08:30:00",
        "2026-11-23 08:30:00Z",
        "2026-11-23T08:30:00.Z",
        "2026-13-23T08:30:00Z",
        "2026-02-30T08:30:00Z",
        "2026-11-23T08:30:00Z[UTC]",
        "",
        "2026-11-23T08:30:00.1234567890Z",
    ] {
        assert_eq!(fields(&read(&json!({"acceptTime": wrong}))), ["acceptTime"], "{wrong}");
    }
}

#[test]
fn parameters_of_paths_and_queries_are_read_by_kind() {
    let schema = schema();
    let list = DESCRIPTORS.get_message_by_name("tongban.v1.ListApplicationsRequest").unwrap();
    let list = schema.number(&list).unwrap();
    let mut bytes = Vec::new();
    for (name, text) in
        [("pageSize", "20"), ("state", "APPROVED"), ("business", "3"), ("home_division", "23")]
    {
        schema.append(list, name, text, &mut bytes).unwrap();
    }
    let request = pb::ListApplicationsRequest::decode(bytes.as_slice()).unwrap();
    assert_eq!(
        (request.page_size, request.state(), request.business()),
        (20, pb::State::Approved, pb::Business::DisabilitySubsidy)
    );
    assert_eq!(request.home_division, "23");
    for (name, text) in [
        ("pageSize", "many"),
        ("pageSize", ""),
        ("state", "DONE"),
        ("other", "1"),
        ("state.x", "1"),
    ] {
        assert_eq!(schema.append(list, name, text, &mut bytes).unwrap_err().field, name);
    }
    let application = schema.number(&descriptor()).unwrap();
    let mut bytes = Vec::new();
    schema.append(application, "applicant.registeredPlace.division", "230102", &mut bytes).unwrap();
    schema.append(application, "applicant.name", "王", &mut bytes).unwrap();
    let applicant = pb::Application::decode(bytes.as_slice()).unwrap().applicant.unwrap();
    assert_eq!(
        (applicant.name.as_str(), applicant.registered_place.unwrap().division.as_str()),
        ("王", "230102")
    );
}

fn moment() -> impl Strategy<Value = Option<prost_types::Timestamp>> {
    // The years 1 to 9999, as ProtoJSON bounds them.
    let seconds = -62_135_596_800_i64..=253_402_300_799;
    let nanos = prop_oneof![Just(0), (0..1000).prop_map(|n| n * 1_000_000), 0..1_000_000_000];
    option::of(
        (seconds, nanos).prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }),
    )
}

fn material() -> impl Strategy<Value = pb::Material> {
    (any::<String>(), any::<i64>(), vec(any::<u8>(), 0..40)).prop_map(
        |(kind, size_bytes, content)| pb::Material {
            kind,
            size_bytes,
            content,
            ..Default::default()
        },
    )
}

fn application() -> impl Strategy<Value = pb::Application> {
    let texts = (any::<String>(), option::of(any::<String>()), vec(any::<String>(), 0..4));
    let rest = (
        vec(material(), 0..4),
        btree_map(any::<String>(), any::<String>(), 0..4),
        moment(),
        -1..17_i32,
        any::<i64>(),
        option::of(any::<bool>()),
    );
    (texts, rest).prop_map(
        |((id, name, categories), (materials, extensions, time, state, version, boarding))| {
            let child = pb::ChildRecognition {
                disability_categories: categories,
                boarding,
                ..Default::default()
            };
            pb::Application {
                id,
                state,
                version,
                materials,
                extensions,
                accept_time: time,
                applicant: name.map(|name| pb::Person { name, ..Default::default() }),
                details: Some(pb::application::Details::ChildRecognition(child)),
                ..Default::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn any_application_is_written_as_prost_reflect_writes_it_and_read_back(it in application()) {
        let schema = schema();
        let number = schema.number(&descriptor()).unwrap();
        let bytes = it.encode_to_vec();
        let text = schema.write(number, &bytes).unwrap();
        let written: Value = serde_json::from_slice(&text).unwrap();
        let oracle = DynamicMessage::decode(descriptor(), bytes.as_slice()).unwrap();
        prop_assert_eq!(&written, &serde_json::to_value(&oracle).unwrap());
        let back = schema.read(number, &text).unwrap();
        prop_assert_eq!(back.violations, []);
        prop_assert_eq!(pb::Application::decode(back.bytes.as_slice()).unwrap(), it);
    }

    #[test]
    fn no_text_makes_the_reader_panic_or_write_what_is_no_message(text in any::<String>(), name in "[a-z]{1,6}") {
        let document = format!(r#"{{"applicant":{{"{name}":{}}},"extensions":{{"a":{text:?}}}}}"#, json!(text));
        let schema = schema();
        let number = schema.number(&descriptor()).unwrap();
        for text in [document.as_str(), text.as_str()] {
            if let Ok(document) = schema.read(number, text.as_bytes()) {
                prop_assert!(pb::Application::decode(document.bytes.as_slice()).is_ok());
            }
        }
    }
}
