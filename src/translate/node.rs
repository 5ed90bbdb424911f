//! A TOML file as a tree whose every node knows its line, so that all faults of a file can be
//! told at once, each with its line.

use std::{collections::BTreeMap, path::Path};

use toml_edit::{Document, Item, TableLike, Value};

use crate::model::fault::{Fault, line_at};

/// A node and the line it stands on.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) holds: Holds,
}

#[derive(Clone, Debug)]
pub(crate) enum Holds {
    Text(String),
    Number(i64),
    Truth(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
    Other,
}

/// Collects the faults of one file.
pub(crate) struct Faults<'a> {
    pub(crate) file: &'a Path,
    pub(crate) all: Vec<Fault>,
}

impl Faults<'_> {
    pub(crate) fn say(&mut self, line: usize, message: impl Into<String>) {
        self.all.push(Fault::new(self.file, line, message));
    }
}

/// A table that is being read: what is not asked for is an unknown key.
pub(crate) struct Keys<'n> {
    pub(crate) line: usize,
    left: BTreeMap<&'n str, &'n Node>,
}

impl Node {
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let document = Document::parse(text).map_err(|error| {
            let line = error.span().map_or(0, |span| line_at(text, span.start));
            (line, error.message().to_owned())
        })?;
        Ok(Self { line: 1, holds: table(document.as_table(), text, 1) })
    }

    pub(crate) fn keys(&self) -> Option<Keys<'_>> {
        let Holds::Table(table) = &self.holds else { return None };
        let left = table.iter().map(|(key, node)| (key.as_str(), node)).collect();
        Some(Keys { line: self.line, left })
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.holds {
            Holds::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match &self.holds {
            Holds::List(items) => items,
            _ => &[],
        }
    }
}

impl<'n> Keys<'n> {
    pub(crate) fn take(&mut self, key: &str) -> Option<&'n Node> {
        self.left.remove(key)
    }

    pub(crate) fn text(&mut self, key: &str, faults: &mut Faults<'_>) -> Option<String> {
        let node = self.take(key)?;
        let text = node.text().map(str::to_owned);
        if text.is_none() {
            faults.say(node.line, format!("`{key}` must be a text"));
        }
        text
    }

    pub(crate) fn truth(&mut self, key: &str, faults: &mut Faults<'_>) -> bool {
        match self.take(key) {
            None => false,
            Some(Node { holds: Holds::Truth(truth), .. }) => *truth,
            Some(node) => {
                faults.say(node.line, format!("`{key}` must be true or false"));
                false
            }
        }
    }

    pub(crate) fn texts(&mut self, key: &str, faults: &mut Faults<'_>) -> Vec<String> {
        let Some(node) = self.take(key) else { return Vec::new() };
        let texts: Option<Vec<String>> = match &node.holds {
            Holds::List(items) => items.iter().map(|i| i.text().map(str::to_owned)).collect(),
            _ => None,
        };
        texts.unwrap_or_else(|| {
            faults.say(node.line, format!("`{key}` must be a list of texts"));
            Vec::new()
        })
    }

    /// Pairs of a table of texts.
    pub(crate) fn pairs(&mut self, key: &str, faults: &mut Faults<'_>) -> Vec<(String, String)> {
        let Some(node) = self.take(key) else { return Vec::new() };
        let Holds::Table(table) = &node.holds else {
            faults.say(node.line, format!("`{key}` must be a table of texts"));
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (name, value) in table {
            match value.text() {
                Some(text) => pairs.push((name.clone(), text.to_owned())),
                None => faults.say(value.line, format!("`{key}.{name}` must be a text")),
            }
        }
        pairs
    }

    /// Every key that was not taken is unknown.
    pub(crate) fn done(self, faults: &mut Faults<'_>) {
        for (key, node) in self.left {
            faults.say(node.line, format!("`{key}` is no key of this table; see docs/mapping.md"));
        }
    }
}

fn table(table: &dyn TableLike, text: &str, line: usize) -> Holds {
    let entry = |(key, item): (&str, &Item)| {
        let at = table.key(key).and_then(toml_edit::Key::span).or_else(|| item.span());
        let line = at.map_or(line, |span| line_at(text, span.start));
        (key.to_owned(), node(item, text, line))
    };
    Holds::Table(table.iter().map(entry).collect())
}

fn node(item: &Item, text: &str, line: usize) -> Node {
    let own = |item: &toml_edit::Table| item.span().map_or(line, |span| line_at(text, span.start));
    let holds = match item {
        Item::None => Holds::Other,
        Item::Value(found) => return Node { line, holds: value(found, text, line) },
        Item::Table(found) => table(found, text, line),
        Item::ArrayOfTables(tables) => Holds::List(
            tables
                .iter()
                .map(|found| Node { line: own(found), holds: table(found, text, own(found)) })
                .collect(),
        ),
    };
    Node { line, holds }
}

fn value(found: &Value, text: &str, line: usize) -> Holds {
    match found {
        Value::String(found) => Holds::Text(found.value().clone()),
        Value::Integer(found) => Holds::Number(*found.value()),
        Value::Boolean(found) => Holds::Truth(*found.value()),
        Value::InlineTable(found) => table(found, text, line),
        Value::Array(items) => Holds::List(
            items
                .iter()
                .map(|item| {
                    let line = item.span().map_or(line, |span| line_at(text, span.start));
                    Node { line, holds: value(item, text, line) }
                })
                .collect(),
        ),
        Value::Float(_) | Value::Datetime(_) => Holds::Other,
    }
}
