//! The hub's seal: Base64 of HMAC-SHA256 over every leaf of the document but the signature, as
//! sorted `path=value` lines. Written anew here, so that the gateway's own seal is checked.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::sim::xml::Element;

/// The key shared with the gateway.
pub(super) struct Key(hmac::Key);

impl Key {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    pub(super) fn sign_json(&self, document: &Value) -> String {
        let mut lines = Vec::new();
        leaves(document, "", &mut lines);
        self.sign(lines)
    }

    pub(super) fn sign_xml(&self, document: &Element) -> String {
        let mut lines = Vec::new();
        for (name, value) in &document.attributes {
            lines.push((format!("@{name}"), value.clone()));
        }
        children(document, "", &mut lines);
        self.sign(lines)
    }

    fn sign(&self, lines: Vec<(String, String)>) -> String {
        let mut lines: Vec<String> = lines
            .into_iter()
            .filter(|(path, _)| path != "sign")
            .map(|(path, value)| format!("{path}={value}"))
            .collect();
        lines.sort_unstable();
        STANDARD.encode(hmac::sign(&self.0, lines.join("\n").as_bytes()))
    }
}

fn leaves(value: &Value, path: &str, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (key, member) in members {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(member, &below, lines);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}[{index}]"), lines);
            }
        }
        Value::String(text) => lines.push((path.into(), text.clone())),
        Value::Bool(_) | Value::Number(_) => lines.push((path.into(), value.to_string())),
    }
}

fn children(element: &Element, path: &str, lines: &mut Vec<(String, String)>) {
    for (index, child) in element.children.iter().enumerate() {
        let name = &child.name;
        let mut below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if element.all(name).count() > 1 {
            let before = element.children[..index].iter().filter(|c| c.name == *name).count();
            below = format!("{below}[{before}]");
        }
        for (name, value) in &child.attributes {
            lines.push((format!("{below}.@{name}"), value.clone()));
        }
        if child.children.is_empty() && (child.attributes.is_empty() || !child.text.is_empty()) {
            lines.push((below.clone(), child.text.clone()));
        }
        children(child, &below, lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(document: &Value) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        leaves(document, "", &mut lines);
        lines
    }

    #[test]
    fn leaves_are_named_by_their_paths() {
        let document = serde_json::json!({"a": {"b": [1, "x", null]}, "c": true, "d": {}, "e": []});
        let expected = [("a.b[0]", "1"), ("a.b[1]", "x"), ("c", "true")];
        let expected = expected.map(|(path, value)| (path.to_owned(), value.to_owned()));
        assert_eq!(lines(&document), expected);
    }

    #[test]
    fn only_repeated_elements_bear_an_index() {
        let document = Element::new("m").leaf("a", "1").leaf("b", "2").leaf("b", "3");
        let mut lines = Vec::new();
        children(&document, "", &mut lines);
        let paths: Vec<&str> = lines.iter().map(|line| line.0.as_str()).collect();
        assert_eq!(paths, ["a", "b[0]", "b[1]"]);
    }

    #[test]
    fn the_signature_itself_is_not_signed() {
        let key = Key::new(b"k");
        let bare = serde_json::json!({"a": "1"});
        let signed = serde_json::json!({"a": "1", "sign": "whatever"});
        assert_eq!(key.sign_json(&bare), key.sign_json(&signed));
    }
}
