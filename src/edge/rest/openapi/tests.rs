//! Tests of the OpenAPI document.

use super::*;
use crate::{
    edge::{json::Schema, rest::route},
    model::DESCRIPTORS,
};

fn built() -> (Vec<Route>, Value) {
    let schema = Schema::compile(&DESCRIPTORS).unwrap();
    let routes = route::routes(&schema).unwrap();
    let document = document(&routes);
    (routes, document)
}

#[test]
fn every_path_is_in_the_document() {
    let (routes, document) = built();
    for route in &routes {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = &document["paths"][json_names(route)][method];
        assert_eq!(operation["operationId"], route.descriptor.name());
        assert!(!operation["description"].as_str().unwrap().is_empty(), "{}", route.template);
    }
    assert!(document["paths"]["/native/{business}"]["post"].is_object());
    assert!(document["paths"]["/national/messages"]["post"].is_object());
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(place)) = members.get("$ref") {
                    let pointer = place.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{place}");
                }
                members.values().for_each(|member| walk(member, document));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, document)),
            _ => {}
        }
    }
    let (_, document) = built();
    walk(&document, &document);
}

#[test]
fn rules_and_comments_of_the_fields_are_in_the_schemas() {
    let (_, document) = built();
    let person = &document["components"]["schemas"]["Person"];
    assert_eq!(person["properties"]["residentId"]["pattern"], "^[0-9]{17}[0-9X]$");
    assert_eq!(person["properties"]["name"]["maxLength"], 60);
    assert_eq!(person["required"], json!(["name"]));
    let application = &document["components"]["schemas"]["Application"];
    assert_eq!(application["properties"]["id"]["readOnly"], true);
    assert_eq!(application["properties"]["materials"]["maxItems"], 40);
    let told = application["properties"]["acceptTime"]["description"].as_str().unwrap();
    assert!(told.contains("RFC 3339"));
    let submit = &document["paths"]["/v1/applications"]["post"];
    assert_eq!(
        submit["requestBody"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/Application"
    );
    assert!(submit["responses"]["201"].is_object());
    let decide = &document["paths"]["/v1/applications/{id}:decide"]["post"];
    let body = &decide["requestBody"]["content"]["application/json"]["schema"];
    assert!(body["properties"]["decision"].is_object());
    assert!(body["properties"]["id"].is_null());
}
