//! JSON and XML text as one tree of [`serde_json::Value`] with dotted paths; bounded in size by
//! the caller and in depth here. An XML element with children or attributes is an object
//! (attributes as `@name`, its own text as `#text`), one with text alone a string, repeated
//! siblings a list. Document type definitions are refused, so no entity but the five predefined.

use quick_xml::{Reader, escape::escape, events::Event};
use serde_json::{Map, Value};

/// Deepest nesting read.
const DEPTH: usize = 32;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// JSON, RFC 8259, UTF-8.
    Json,
    /// XML 1.0, UTF-8.
    Xml,
}

impl Wire {
    /// XML begins with `<` after blanks and a byte order mark; anything else is taken for JSON.
    pub fn sniff(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'<') => Self::Xml,
            _ => Self::Json,
        }
    }
}

/// Reads a document; for XML, what stands under the root element.
///
/// # Errors
/// What is wrong, in words without any value.
pub(crate) fn parse(wire: Wire, bytes: &[u8]) -> Result<Value, String> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    match wire {
        Wire::Json => {
            let value: Value = serde_json::from_slice(bytes).map_err(|error| {
                format!(
                    "is not well-formed JSON at line {} column {}",
                    error.line(),
                    error.column()
                )
            })?;
            if depth(&value) > DEPTH {
                return Err(format!("is nested deeper than {DEPTH} levels"));
            }
            if value.is_object() { Ok(value) } else { Err("must be a JSON object".into()) }
        }
        Wire::Xml => parse_xml(bytes),
    }
}

/// Writes a document; `root` is the name of the XML root element.
pub(crate) fn print(wire: Wire, root: &str, value: &Value) -> Vec<u8> {
    match wire {
        Wire::Json => value.to_string().into_bytes(),
        Wire::Xml => {
            let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
            print_element(&mut out, root, value);
            out.into_bytes()
        }
    }
}

/// The value at a dotted path.
pub(crate) fn get<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Object(map) => map.get(key),
        _ => None,
    })
}

/// Puts `leaf` at a dotted path, making the objects on the way. What is no object stays.
pub(crate) fn set(value: &mut Value, path: &[String], leaf: Value) {
    let Some((key, rest)) = path.split_first() else {
        *value = leaf;
        return;
    };
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    if let Value::Object(map) = value {
        set(map.entry(key.clone()).or_insert(Value::Null), rest, leaf);
    }
}

/// A scalar as text; `None` for objects, lists and null.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        // An XML element with attributes keeps its text apart.
        Value::Object(map) => map.get("#text").and_then(text),
        Value::Null | Value::Array(_) => None,
    }
}

/// Splits a dotted path.
pub(crate) fn path(text: &str) -> Vec<String> {
    text.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// Every leaf as `path=value`, sorted by bytes: what a seal is over. See `docs/mapping.md`.
pub(crate) fn leaves(value: &Value, except: &str) -> String {
    let mut lines = Vec::new();
    collect(value, String::new(), &mut lines);
    let own = format!("{except}=");
    lines.retain(|line: &String| !line.starts_with(&own));
    lines.sort_unstable();
    lines.join("\n")
}

fn collect(value: &Value, at: String, lines: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::String(text) => lines.push(format!("{at}={text}")),
        Value::Number(_) | Value::Bool(_) => lines.push(format!("{at}={value}")),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{at}[{index}]"), lines);
            }
        }
        Value::Object(map) => {
            let dot = if at.is_empty() { "" } else { "." };
            for (key, item) in map {
                collect(item, format!("{at}{dot}{key}"), lines);
            }
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// An element that is being read.
struct Open {
    name: String,
    children: Map<String, Value>,
    text: String,
}

impl Open {
    fn close(mut self) -> (String, Value) {
        let text = self.text.trim();
        if self.children.is_empty() {
            return (self.name, Value::String(text.to_owned()));
        }
        if !text.is_empty() {
            self.children.insert("#text".into(), Value::String(text.to_owned()));
        }
        (self.name, Value::Object(self.children))
    }

    fn add(&mut self, name: String, value: Value) {
        match self.children.get_mut(&name) {
            None => _ = self.children.insert(name, value),
            Some(Value::Array(items)) => items.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
}

fn parse_xml(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    loop {
        let at = reader.buffer_position();
        let broken = || format!("is not well-formed XML near byte {at}");
        match reader.read_event().map_err(|_| broken())? {
            Event::Start(start) => {
                if open.len() >= DEPTH || root.is_some() {
                    return Err(format!("is nested deeper than {DEPTH} levels or has two roots"));
                }
                open.push(start_element(&start).ok_or_else(broken)?);
            }
            Event::Empty(_) if root.is_some() => return Err("has two root elements".into()),
            Event::Empty(start) => {
                let element = start_element(&start).ok_or_else(broken)?;
                leave(element, &mut open, &mut root);
            }
            Event::End(_) => {
                let element = open.pop().ok_or_else(broken)?;
                leave(element, &mut open, &mut root);
            }
            Event::Text(text) => push_text(&mut open, &text.xml10_content()).ok_or_else(broken)?,
            Event::CData(text) => push_text(&mut open, &text.xml10_content()).ok_or_else(broken)?,
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|_| broken())?;
                let resolved = match character {
                    Some(character) => character.to_string(),
                    None => predefined(&reference.xml10_content()).ok_or_else(broken)?.to_owned(),
                };
                push_text(&mut open, &resolved).ok_or_else(broken)?;
            }
            Event::DocType(_) => return Err("must not hold a document type definition".into()),
            Event::Eof if open.is_empty() => break,
            Event::Eof => return Err(broken()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
    match root {
        Some(Value::Object(map)) => Ok(Value::Object(map)),
        Some(_) => Err("has a root element without children".into()),
        None => Err("has no root element".into()),
    }
}

fn start_element(start: &quick_xml::events::BytesStart<'_>) -> Option<Open> {
    let name = start.name().as_ref().to_owned();
    let mut element = Open { name, children: Map::new(), text: String::new() };
    for attribute in start.attributes() {
        let attribute = attribute.ok()?;
        let key = attribute.key.as_ref();
        let value = attribute.normalized_value(quick_xml::XmlVersion::Explicit1_0).ok()?;
        element.children.insert(format!("@{key}"), Value::String(value.into_owned()));
    }
    Some(element)
}

fn predefined(reference: &str) -> Option<&'static str> {
    match reference {
        "lt" => Some("<"),
        "gt" => Some(">"),
        "amp" => Some("&"),
        "quot" => Some("\""),
        "apos" => Some("'"),
        _ => None,
    }
}

/// `None` for text outside of the root element.
fn push_text(open: &mut [Open], text: &str) -> Option<()> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return None,
    }
    Some(())
}

fn leave(element: Open, open: &mut [Open], root: &mut Option<Value>) {
    let (name, value) = element.close();
    match open.last_mut() {
        Some(parent) => parent.add(name, value),
        None => *root = Some(value),
    }
}

fn print_element(out: &mut String, name: &str, value: &Value) {
    if let Value::Array(items) = value {
        items.iter().for_each(|item| print_element(out, name, item));
        return;
    }
    out.push('<');
    out.push_str(name);
    let Value::Object(map) = value else {
        out.push('>');
        out.push_str(&printable(&text(value).unwrap_or_default()));
        close(out, name);
        return;
    };
    for (key, attribute) in map {
        if let Some(key) = key.strip_prefix('@') {
            let attribute = printable(&text(attribute).unwrap_or_default());
            out.push_str(&format!(" {key}=\"{attribute}\""));
        }
    }
    out.push('>');
    for (key, child) in map.iter().filter(|(key, _)| !key.starts_with('@')) {
        match key.as_str() {
            "#text" => out.push_str(&printable(&text(child).unwrap_or_default())),
            _ if child.is_null() => {}
            _ => print_element(out, key, child),
        }
    }
    close(out, name);
}

fn close(out: &mut String, name: &str) {
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// Escapes, and writes line ends so that they come back as they are.
fn printable(text: &str) -> String {
    escape(text).replace('\r', "&#13;").replace('\n', "&#10;").replace('\t', "&#9;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_and_xml_come_back_as_they_were() {
        let tree = json!({"a": {"@k": "1", "b": "王小·明𠅤㛃 <&>\"'"}, "c": ["1", "2\n3"]});
        for wire in [Wire::Json, Wire::Xml] {
            let bytes = print(wire, "Root", &tree);
            assert_eq!(Wire::sniff(&bytes), wire);
            assert_eq!(parse(wire, &bytes).unwrap(), tree, "{wire:?}");
        }
    }

    #[test]
    fn what_could_hurt_is_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY x \"y\">]><a><b>&x;</b></a>";
        assert!(parse(Wire::Xml, bomb.as_bytes()).unwrap_err().contains("type definition"));
        let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
        assert!(parse(Wire::Xml, deep.as_bytes()).is_err());
        let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
        assert!(parse(Wire::Json, deep.as_bytes()).is_err());
        let two = "<a><x>1</x></a><b k=\"1\"/>";
        let after = "<a><x>1</x></a>more";
        for broken in ["<a><b></a></b>", "<a>", "", "<a>&unknown;</a>", "<a/><b/>", two, after] {
            assert!(parse(Wire::Xml, broken.as_bytes()).is_err(), "{broken}");
        }
        for broken in ["", "[]", "{", "nul"] {
            assert!(parse(Wire::Json, broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_seal_is_over_every_leaf_but_itself() {
        let tree = json!({"head": {"sign": "s", "n": 1, "z": null}, "b": [{"x": "2"}, true]});
        assert_eq!(leaves(&tree, "head.sign"), "b[0].x=2\nb[1]=true\nhead.n=1");
    }
}
