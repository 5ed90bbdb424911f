//! Writing and reading JSON by hand: put what is not empty, get what stands at a path.

use serde_json::{Map, Value};

/// An object that leaves out what is empty.
#[derive(Default)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A text, unless it is empty.
    pub(super) fn text(mut self, key: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.0.insert(key.into(), value.into());
        }
        self
    }

    /// Any value, unless it is null or an empty object or list.
    pub(super) fn value(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let empty = match &value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(items) => items.is_empty(),
            _ => false,
        };
        if !empty {
            self.0.insert(key.into(), value);
        }
        self
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

/// The text at a path like `head.msg_id`; numbers as written; empty for nothing.
pub(super) fn text(document: &Value, path: &str) -> String {
    let mut at = document;
    for step in path.split('.') {
        match at.get(step) {
            Some(next) => at = next,
            None => return String::new(),
        }
    }
    match at {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// The text at `path` in every item of the list at `list`.
pub(super) fn each(document: &Value, list: &str, path: &str) -> Vec<String> {
    let items = document.get(list).and_then(Value::as_array);
    items.into_iter().flatten().map(|item| text(item, path)).collect()
}
