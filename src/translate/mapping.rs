//! A compiled mapping: reads a party's document into a canonical message and writes it back.
//! Reading goes on after a mistake, so that all of them are told at once.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Map, Value};

use crate::{
    model::problem::Violation,
    translate::{
        document::{get, path, set, text},
        sense,
        table::{Constant, Field, List},
    },
};

/// A table that passed its checks.
pub(crate) struct Mapping {
    pub(crate) message: MessageDescriptor,
    pub(crate) fields: Vec<Field>,
    pub(crate) lists: Vec<List>,
    pub(crate) constants: Vec<Constant>,
    pub(crate) dropped: Vec<String>,
    pub(crate) examples: usize,
    /// Every mapped place, without list indexes, to tell what is beyond the mapping.
    pub(crate) places: HashSet<String>,
}

/// Why a message cannot be written in a party's format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct WriteError {
    /// The canonical field.
    pub field: String,
    /// What is missing, without the value.
    pub why: String,
}

/// A canonical value at a path, or why there is none.
enum Found {
    Absent,
    Text(String),
    NotScalar,
}

impl Mapping {
    /// The canonical message in proto3 JSON and everything that is wrong; paths are those of the
    /// document, below its body.
    pub(crate) fn read(&self, document: &Value) -> (Value, Vec<Violation>) {
        let mut out = Value::Object(Map::new());
        let mut faults = Vec::new();
        for field in &self.fields {
            read_field(field, document, "", &mut out, &mut faults);
        }
        for list in &self.lists {
            read_list(list, document, &mut out, &mut faults);
        }
        for constant in &self.constants {
            set(&mut out, &constant.canonical, Value::from(constant.value.as_str()));
        }
        if self.message.get_field_by_json_name("extensions").is_some() {
            let extensions = self.extensions(document);
            if !extensions.is_empty() {
                set(&mut out, &path("extensions"), Value::Object(extensions));
            }
        }
        (out, faults)
    }

    /// The message of what was read.
    pub(crate) fn message(&self, canonical: Value) -> Result<DynamicMessage, Violation> {
        DynamicMessage::deserialize(self.message.clone(), canonical).map_err(|_| {
            Violation::form("", "holds a value that the canonical model has no room for")
        })
    }

    /// The party's document of a canonical message; `own` also writes the extensions, which are
    /// those of the submitting party.
    pub(crate) fn write(&self, message: &DynamicMessage, own: bool) -> Result<Value, WriteError> {
        let canonical = serde_json::to_value(message)
            .map_err(|error| WriteError { field: String::new(), why: error.to_string() })?;
        let mut out = Value::Object(Map::new());
        for field in &self.fields {
            write_field(field, &canonical, &mut out)?;
        }
        for list in &self.lists {
            write_list(list, &canonical, &mut out)?;
        }
        if own && let Some(Value::Object(extensions)) = canonical.get("extensions") {
            for (place, json) in extensions {
                let value = json.as_str().and_then(|json| serde_json::from_str(json).ok());
                put_back(&mut out, place, value.unwrap_or(Value::Null));
            }
        }
        Ok(out)
    }

    /// The party's place for a canonical path such as `materials[2].kind`.
    pub(crate) fn their_path(&self, canonical: &str) -> Option<String> {
        for list in &self.lists {
            let name = list.canonical.join(".");
            let Some(rest) = canonical.strip_prefix(&name) else { continue };
            let (index, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                Some((index, rest)) => (format!("[{index}]"), rest.trim_start_matches('.')),
                None if rest.is_empty() => (String::new(), ""),
                None => continue,
            };
            let place = format!("{}{index}", list.path.join("."));
            let inner = list.fields.iter().find(|field| field.canonical.join(".") == rest);
            return Some(match inner {
                Some(field) if !field.paths[0].is_empty() => {
                    format!("{place}.{}", field.paths[0].join("."))
                }
                _ => place,
            });
        }
        let wanted = path(canonical);
        if let Some(field) = self.fields.iter().find(|field| field.canonical == wanted) {
            return Some(common(&field.paths).join("."));
        }
        // A whole message: the place around all of its fields.
        let below: Vec<Vec<String>> = self
            .fields
            .iter()
            .filter(|field| field.canonical.starts_with(&wanted))
            .flat_map(|field| field.paths.iter().cloned())
            .collect();
        let around = common(&below);
        (!around.is_empty()).then(|| around.join("."))
    }

    fn extensions(&self, document: &Value) -> Map<String, Value> {
        let mut found = BTreeMap::new();
        beyond(document, "", "", &self.places, &mut found);
        found.into_iter().map(|(place, json)| (place, Value::String(json))).collect()
    }
}

fn find(field: &Field, document: &Value) -> Found {
    let mut parts = Vec::with_capacity(field.paths.len());
    let mut any = false;
    for path in &field.paths {
        match get(document, path) {
            None | Some(Value::Null) => parts.push(String::new()),
            Some(value) => match text(value) {
                Some(text) => {
                    any |= !text.is_empty();
                    parts.push(text);
                }
                // An element with attributes but no text of its own.
                None if value.is_object() && !path.is_empty() => parts.push(String::new()),
                None => return Found::NotScalar,
            },
        }
    }
    if any { Found::Text(parts.join(&field.separator)) } else { Found::Absent }
}

fn read_field(
    field: &Field,
    document: &Value,
    at: &str,
    out: &mut Value,
    faults: &mut Vec<Violation>,
) {
    let place = || {
        let own = common(&field.paths).join(".");
        match (at.is_empty(), own.is_empty()) {
            (true, _) => own,
            (false, true) => at.to_owned(),
            (false, false) => format!("{at}.{own}"),
        }
    };
    let value = match find(field, document) {
        Found::NotScalar => Err("must be a single value".to_owned()),
        Found::Text(text) => field.op.read(&text),
        Found::Absent => match &field.default {
            Some(default) => Ok(sense::default_value(&field.op, default)),
            None if field.required => Err("is required; fill it in".to_owned()),
            None => return,
        },
    };
    match value {
        Ok(value) => set(out, &field.canonical, value),
        Err(why) => faults.push(Violation::form(place(), why)),
    }
}

fn read_list(list: &List, document: &Value, out: &mut Value, faults: &mut Vec<Violation>) {
    let place = list.path.join(".");
    let items = match get(document, &list.path) {
        Some(Value::Array(items)) => items.as_slice(),
        None | Some(Value::Null) => &[],
        // One XML element is a list of one.
        Some(single) => std::slice::from_ref(single),
    };
    if items.is_empty() && list.required {
        faults.push(Violation::form(place.clone(), "is required; fill it in"));
    }
    let mut read = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let mut one = Value::Object(Map::new());
        let at = format!("{place}[{index}]");
        for field in &list.fields {
            read_field(field, item, &at, &mut one, faults);
        }
        read.push(one);
    }
    if !read.is_empty() {
        set(out, &list.canonical, Value::Array(read));
    }
}

fn write_field(field: &Field, canonical: &Value, out: &mut Value) -> Result<(), WriteError> {
    let value = match get(canonical, &field.canonical) {
        Some(value) => value.clone(),
        // proto3 JSON leaves out a false that nobody could have left unsaid; the document says it.
        None if field.says_false && parent_is_there(field, canonical) => Value::from(false),
        None => return Ok(()),
    };
    let told = |why: String| WriteError { field: field.canonical.join("."), why };
    let text = field.op.write(&value).map_err(told)?;
    if let [path] = field.paths.as_slice() {
        let leaf = if field.number { serde_json::from_str(&text).ok() } else { None };
        set(out, path, leaf.unwrap_or(Value::String(text)));
        return Ok(());
    }
    let parts: Vec<&str> = text.splitn(field.paths.len(), &field.separator).collect();
    if parts.len() != field.paths.len() {
        return Err(told(format!("cannot be split at `{}`", field.separator)));
    }
    for (path, part) in field.paths.iter().zip(parts) {
        set(out, path, Value::from(part));
    }
    Ok(())
}

fn parent_is_there(field: &Field, canonical: &Value) -> bool {
    let parent = field.canonical.split_last().map_or(&[][..], |(_, parent)| parent);
    get(canonical, parent).is_some()
}

fn write_list(list: &List, canonical: &Value, out: &mut Value) -> Result<(), WriteError> {
    let Some(Value::Array(items)) = get(canonical, &list.canonical) else { return Ok(()) };
    let mut written = Vec::with_capacity(items.len());
    for item in items {
        let mut one = Value::Object(Map::new());
        for field in &list.fields {
            write_field(field, item, &mut one)?;
        }
        written.push(one);
    }
    if !written.is_empty() {
        set(out, &list.path, Value::Array(written));
    }
    Ok(())
}

/// What the paths have in common from their beginning.
fn common(paths: &[Vec<String>]) -> Vec<String> {
    let Some((first, rest)) = paths.split_first() else { return Vec::new() };
    let mut length = first.len();
    for path in rest {
        length = first.iter().zip(path).take(length).take_while(|(a, b)| a == b).count();
    }
    first[..length].to_vec()
}

/// Collects the leaves that no mapped place covers, by their path with indexes.
fn beyond(
    value: &Value,
    at: &str,
    plain: &str,
    places: &HashSet<String>,
    found: &mut BTreeMap<String, String>,
) {
    if !plain.is_empty() && places.contains(plain) && !value.is_object() {
        let plain_list = value.as_array().is_some_and(|items| items.iter().any(Value::is_object));
        if !plain_list {
            return;
        }
    }
    match value {
        Value::Object(map) => {
            let dot = if at.is_empty() { "" } else { "." };
            for (key, child) in map {
                let covered = key == "#text" && places.contains(plain);
                if !covered {
                    let key = marked(key);
                    let (at, plain) = (format!("{at}{dot}{key}"), format!("{plain}{dot}{key}"));
                    beyond(child, &at, &plain, places, found);
                }
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                beyond(item, &format!("{at}[{index}]"), plain, places, found);
            }
        }
        leaf => _ = found.insert(at.to_owned(), leaf.to_string()),
    }
}

/// A key as it stands in a path: what means something in a path does not come from a key.
fn marked(key: &str) -> Cow<'_, str> {
    if key.contains(['%', '.', '[']) {
        Cow::Owned(key.replace('%', "%25").replace('.', "%2E").replace('[', "%5B"))
    } else {
        Cow::Borrowed(key)
    }
}

fn unmarked(key: &str) -> String {
    key.replace("%5B", "[").replace("%2E", ".").replace("%25", "%")
}

/// Puts an extension back at its path, such as `a.b[0].c`; never over what is written already.
fn put_back(value: &mut Value, place: &str, leaf: Value) {
    let (key, rest) = match place.find(['.', '[']) {
        Some(end) => (&place[..end], &place[end..]),
        None => (place, ""),
    };
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    // An XML list of one was read as the element itself, and an attribute beside its text.
    if let Value::Array(items) = value {
        if let [only] = items.as_mut_slice() {
            put_back(only, place, leaf);
        }
        return;
    }
    if key.starts_with('@') && !value.is_object() {
        *value = Value::Object(Map::from_iter([("#text".to_owned(), value.take())]));
    }
    let Value::Object(map) = value else { return };
    let next = map.entry(unmarked(key)).or_insert(Value::Null);
    let Some(indexed) = rest.strip_prefix('[') else {
        match rest.strip_prefix('.') {
            Some(rest) => put_back(next, rest, leaf),
            None if next.is_null() => *next = leaf,
            None => {}
        }
        return;
    };
    let Some((index, rest)) = indexed.split_once(']') else { return };
    let Ok(index) = index.parse::<usize>() else { return };
    if next.is_null() {
        *next = Value::Array(Vec::new());
    }
    let Value::Array(items) = next else { return };
    // An index beyond what a document can hold is no place.
    if index > 10_000 {
        return;
    }
    while items.len() <= index {
        items.push(Value::Null);
    }
    match rest.strip_prefix('.') {
        Some(rest) => put_back(&mut items[index], rest, leaf),
        None => items[index] = leaf,
    }
}
