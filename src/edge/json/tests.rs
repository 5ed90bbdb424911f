//! Tests of `edge::json` against prost-reflect, a second implementation of ProtoJSON.

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
