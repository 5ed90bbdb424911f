//! Reads a mapping table: what each line says, before it is held against the descriptors.
//! `docs/mapping.md` is the language's description.

use crate::{
    model::codes::Codes,
    translate::{
        document,
        node::{Faults, Holds, Keys, Node},
        ops::Op,
    },
};

/// A mapping table as it is written.
pub(crate) struct Table {
    pub(crate) message: String,
    pub(crate) business: Option<String>,
    pub(crate) fields: Vec<Field>,
    pub(crate) lists: Vec<List>,
    pub(crate) constants: Vec<Constant>,
    pub(crate) drops: Vec<Drop>,
    pub(crate) examples: Vec<Example>,
}

/// One canonical value and where it stands in the party's document.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) line: usize,
    pub(crate) canonical: Vec<String>,
    pub(crate) paths: Vec<Vec<String>>,
    pub(crate) separator: String,
    pub(crate) required: bool,
    pub(crate) default: Option<String>,
    pub(crate) number: bool,
    pub(crate) kind: String,
    pub(crate) op: Op,
    /// Absent is false: a truth that the canonical model knows no absence of.
    pub(crate) says_false: bool,
    /// Codes without counterpart are refused when they come up instead of being a fault.
    pub(crate) gaps_refused: bool,
}

/// A repeated canonical field.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) line: usize,
    pub(crate) canonical: Vec<String>,
    pub(crate) path: Vec<String>,
    pub(crate) required: bool,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Constant {
    pub(crate) line: usize,
    pub(crate) canonical: Vec<String>,
    pub(crate) value: String,
}

pub(crate) struct Drop {
    pub(crate) line: usize,
    pub(crate) path: String,
}

#[derive(Clone)]
pub(crate) struct Example {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) document: String,
    pub(crate) canonical: String,
}

/// Reads a table's text. What cannot be read is a fault and left out.
pub(crate) fn read(
    text: &str,
    party: &str,
    codes: &Codes,
    faults: &mut Faults<'_>,
) -> Option<Table> {
    let root = match Node::parse(text) {
        Ok(root) => root,
        Err((line, message)) => {
            faults.say(line, message);
            return None;
        }
    };
    let mut keys = root.keys()?;
    let message = keys.text("message", faults);
    let business = keys.text("business", faults);
    let constants = keys.pairs_with_lines("constants", faults);
    let fields =
        list_of(keys.take("field"), faults, |node, faults| field(node, party, codes, faults));
    let lists = list_of(keys.take("list"), faults, |node, faults| list(node, party, codes, faults));
    let drops = list_of(keys.take("drops"), faults, drop_of);
    let examples = list_of(keys.take("example"), faults, example);
    keys.done(faults);
    let Some(message) = message else {
        faults.say(1, "`message` is missing: Application or ApplicationEvent");
        return None;
    };
    Some(Table { message, business, fields, lists, constants, drops, examples })
}

fn list_of<T>(
    node: Option<&Node>,
    faults: &mut Faults<'_>,
    mut read: impl FnMut(&Node, &mut Faults<'_>) -> Option<T>,
) -> Vec<T> {
    if let Some(node) = node.filter(|node| !matches!(node.holds, Holds::List(_))) {
        faults.say(node.line, "must be a list of tables");
    }
    node.map(Node::items).unwrap_or_default().iter().filter_map(|node| read(node, faults)).collect()
}

fn table_of<'n>(node: &'n Node, faults: &mut Faults<'_>) -> Option<Keys<'n>> {
    let keys = node.keys();
    if keys.is_none() {
        faults.say(node.line, "must be a table");
    }
    keys
}

impl Keys<'_> {
    fn pairs_with_lines(&mut self, key: &str, faults: &mut Faults<'_>) -> Vec<Constant> {
        let Some(node) = self.take(key) else { return Vec::new() };
        let Holds::Table(table) = &node.holds else {
            faults.say(node.line, format!("`{key}` must be a table"));
            return Vec::new();
        };
        let mut constants = Vec::new();
        for (path, value) in table {
            match value.text() {
                Some(text) => constants.push(Constant {
                    line: value.line,
                    canonical: document::path(path),
                    value: text.to_owned(),
                }),
                None => faults.say(value.line, format!("`{key}.{path}` must be a text")),
            }
        }
        constants
    }
}

fn field(node: &Node, party: &str, codes: &Codes, faults: &mut Faults<'_>) -> Option<Field> {
    let mut keys = table_of(node, faults)?;
    let canonical = keys.text("canonical", faults);
    let path = keys.text("path", faults);
    let paths = keys.texts("paths", faults);
    let separator = keys.text("separator", faults);
    let required = keys.truth("required", faults);
    let default = keys.text("default", faults);
    let number = keys.truth("number", faults);
    let gaps = keys.text("gaps", faults);
    let kind = keys.text("type", faults).unwrap_or_else(|| "text".to_owned());
    let op = op(&kind, &mut keys, party, codes, faults);
    keys.done(faults);
    let Some(canonical) = canonical else {
        faults.say(node.line, "`canonical` is missing: the field's place in the canonical message");
        return None;
    };
    let paths: Vec<Vec<String>> = match (path, paths.is_empty()) {
        (Some(path), true) => vec![document::path(&path)],
        (None, false) => paths.iter().map(|path| document::path(path)).collect(),
        _ => {
            faults.say(node.line, "give either `path` or `paths`: the place in the document");
            return None;
        }
    };
    if paths.len() > 1 && separator.as_ref().is_none_or(String::is_empty) {
        faults.say(node.line, "`paths` needs a `separator` to join the parts with");
    }
    if gaps.as_deref().is_some_and(|gaps| gaps != "refuse") {
        faults.say(node.line, "`gaps` can only be \"refuse\"");
    }
    Some(Field {
        line: node.line,
        canonical: document::path(&canonical),
        paths,
        separator: separator.unwrap_or_default(),
        required,
        default,
        number,
        kind,
        op: op?,
        says_false: false,
        gaps_refused: gaps.is_some(),
    })
}

fn op(
    kind: &str,
    keys: &mut Keys<'_>,
    party: &str,
    codes: &Codes,
    faults: &mut Faults<'_>,
) -> Option<Op> {
    let line = keys.line;
    let pattern = |keys: &mut Keys<'_>, faults: &mut Faults<'_>, default: &str| {
        keys.text("pattern", faults).unwrap_or_else(|| default.to_owned())
    };
    Some(match kind {
        "text" => Op::Text,
        "bytes" => Op::Bytes,
        "code" => {
            let list = keys.text("codes", faults).unwrap_or_default();
            let Some(found) = codes.get(&list) else {
                faults.say(line, format!("`codes`: there is no list `{list}` in config/codes"));
                return None;
            };
            Op::Code { codes: found.clone(), list, party: party.to_owned() }
        }
        "date" => {
            Op::Date { pattern: pattern(keys, faults, "yyyy-MM-dd"), canonical: "yyyy-MM-dd" }
        }
        "month" => Op::Date { pattern: pattern(keys, faults, "yyyy-MM"), canonical: "yyyy-MM" },
        "timestamp" => Op::Timestamp { pattern: pattern(keys, faults, "rfc3339") },
        "bool" => Op::Bool {
            yes: keys.text("true", faults).unwrap_or_else(|| "true".to_owned()),
            no: keys.text("false", faults).unwrap_or_else(|| "false".to_owned()),
        },
        "integer" => Op::Integer {
            pad: match keys.take("pad").map(|node| &node.holds) {
                Some(Holds::Number(pad)) => usize::try_from(*pad).unwrap_or_default().min(32),
                _ => 0,
            },
        },
        "money" => match keys.text("unit", faults).as_deref() {
            Some("yuan") => Op::Money { yuan: true },
            None | Some("fen") => Op::Money { yuan: false },
            Some(_) => {
                faults.say(line, "`unit` must be \"yuan\" or \"fen\"");
                return None;
            }
        },
        "enum" => Op::Enum { values: keys.pairs("values", faults) },
        other => {
            let all = "text code date month timestamp bool integer money enum bytes";
            faults.say(line, format!("`type`: there is no `{other}`; choose of {all}"));
            return None;
        }
    })
}

fn list(node: &Node, party: &str, codes: &Codes, faults: &mut Faults<'_>) -> Option<List> {
    let mut keys = table_of(node, faults)?;
    let canonical = keys.text("canonical", faults);
    let path = keys.text("path", faults);
    let required = keys.truth("required", faults);
    let fields =
        list_of(keys.take("field"), faults, |node, faults| field(node, party, codes, faults));
    keys.done(faults);
    let (Some(canonical), Some(path)) = (canonical, path) else {
        faults.say(node.line, "a list needs `canonical` and `path`");
        return None;
    };
    let (canonical, path) = (document::path(&canonical), document::path(&path));
    Some(List { line: node.line, canonical, path, required, fields })
}

fn drop_of(node: &Node, faults: &mut Faults<'_>) -> Option<Drop> {
    let mut keys = table_of(node, faults)?;
    let path = keys.text("path", faults);
    if keys.text("why", faults).is_none_or(|why| why.is_empty()) {
        faults.say(node.line, "a dropped field needs a `why`");
    }
    keys.done(faults);
    if path.is_none() {
        faults.say(node.line, "a dropped field needs a `path`: the canonical one");
    }
    Some(Drop { line: node.line, path: path? })
}

fn example(node: &Node, faults: &mut Faults<'_>) -> Option<Example> {
    let mut keys = table_of(node, faults)?;
    let name = keys.text("name", faults).unwrap_or_default();
    let document = keys.text("document", faults);
    let canonical = keys.text("canonical", faults);
    keys.done(faults);
    let (Some(document), Some(canonical)) = (document, canonical) else {
        faults.say(node.line, "an example needs `document` and `canonical`");
        return None;
    };
    Some(Example { line: node.line, name, document, canonical })
}
