//! Loads every party's `[format]` and tables; all faults of all files at once.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use crate::{
    model::{codes::Codes, fault::Fault, pb::Business},
    translate::{
        check,
        document::{self, Wire, parse},
        format::{Format, HeadField, ReplyPaths, Sign},
        found::FoundPlaces,
        mapping::Mapping,
        message::{HEAD_FIELDS, Kind},
        node::{Faults, Keys, Node},
        ops::Op,
        sense,
        table::{self, Example},
    },
};

/// Loads one party's format.
pub(crate) fn format(
    party: &str,
    folder: &Path,
    businesses: &[String],
    codes: &Codes,
) -> Result<Format, Vec<Fault>> {
    let file = folder.join("party.toml");
    let text = read(&file)?;
    let mut faults = Faults { file: &file, all: Vec::new() };
    let mut format = Node::parse(&text)
        .map_err(|(line, message)| faults.say(line, message))
        .ok()
        .and_then(|root| envelope(party, &root, &mut faults));
    let mut all = std::mem::take(&mut faults.all);
    let mut examples = Vec::new();
    for business in businesses {
        let Some(known) = Business::from_code(business) else { continue };
        let name = format!("{business}.map.toml");
        if let Some((mapping, own)) = one(party, folder, &name, Some(business), codes, &mut all) {
            examples.push((name, Kind::Application, known, own));
            if let Some(format) = &mut format {
                format.applications.insert(known, mapping);
            }
        }
    }
    if let Some((mapping, own)) = one(party, folder, "event.map.toml", None, codes, &mut all) {
        examples.push(("event.map.toml".into(), Kind::Event, Business::Unspecified, own));
        if let Some(format) = &mut format {
            format.event = Some(mapping);
        }
    }
    if let Some(format) = &format {
        for (name, kind, business, examples) in &examples {
            let file = folder.join(name);
            let mut faults = Faults { file: &file, all: Vec::new() };
            for example in examples {
                try_example(format, *kind, *business, example, &mut faults);
            }
            all.extend(faults.all);
        }
    }
    match format {
        Some(format) if all.is_empty() => Ok(format),
        _ => Err(all),
    }
}

fn read(file: &Path) -> Result<String, Vec<Fault>> {
    fs::read_to_string(file)
        .map_err(|error| vec![Fault::new(file, 0, format!("cannot be read: {error}"))])
}

fn one(
    party: &str,
    folder: &Path,
    name: &str,
    business: Option<&str>,
    codes: &Codes,
    all: &mut Vec<Fault>,
) -> Option<(Mapping, Vec<Example>)> {
    let file = folder.join(name);
    let text = read(&file).map_err(|faults| all.extend(faults)).ok()?;
    let mut faults = Faults { file: &file, all: Vec::new() };
    let compiled = table::read(&text, party, codes, &mut faults).and_then(|table| {
        if table.business.as_deref() != business {
            faults.say(1, format!("`business` must be that of the file's name: {business:?}"));
        }
        let examples = table.examples.clone();
        check::compile(table, codes, &mut faults).map(|mapping| (mapping, examples))
    });
    let clean = faults.all.is_empty();
    all.extend(faults.all);
    compiled.filter(|_| clean)
}

/// An example says the same in both languages, in both directions.
fn try_example(
    format: &Format,
    kind: Kind,
    business: Business,
    example: &Example,
    faults: &mut Faults<'_>,
) {
    let name = &example.name;
    let mut say = |text: String| faults.say(example.line, format!("example `{name}`: {text}"));
    let Some(mapping) = format.mapping(kind, business) else { return };
    let wire = Wire::sniff(example.document.as_bytes());
    let tree = match parse(wire, example.document.trim().as_bytes()) {
        Ok(tree) => tree,
        Err(why) => return say(format!("document {why}")),
    };
    let canonical: Value = match serde_json::from_str(&example.canonical) {
        Ok(canonical) => canonical,
        Err(error) => return say(format!("canonical is no JSON: {error}")),
    };
    let expected = match mapping.message(canonical) {
        Ok(expected) => expected,
        Err(_) => return say("canonical is no message of the canonical model".into()),
    };
    let (read, violations) = mapping.read(&tree);
    for violation in &violations {
        say(format!("document {}: {}", violation.field, violation.description));
    }
    if !violations.is_empty() {
        return;
    }
    match mapping.message(read) {
        // Compared as proto3 JSON: a false that is said is one that is left out.
        Ok(found) if same(&json_of(&found), &json_of(&expected)) => {}
        Ok(found) => say(format!("the document reads as {}", difference(&found, &expected))),
        Err(_) => say("the document reads as no message".into()),
    }
    match mapping.write(&expected, true) {
        Ok(written) if same(&written, &tree) => {}
        Ok(written) => say(format!("canonical is written as {written}, not as {tree}")),
        Err(error) => say(format!("canonical cannot be written: {error}")),
    }
}

/// Equal but for the order of keys.
fn same(a: &Value, b: &Value) -> bool {
    document::leaves(a, "\0") == document::leaves(b, "\0")
}

fn json_of(message: &prost_reflect::DynamicMessage) -> Value {
    serde_json::to_value(message).unwrap_or_default()
}

fn difference(
    found: &prost_reflect::DynamicMessage,
    expected: &prost_reflect::DynamicMessage,
) -> String {
    let lines = |message| document::leaves(&json_of(message), "\0");
    let (found, expected) = (lines(found), lines(expected));
    let only = |a: &str, b: &str| {
        let other: Vec<&str> = b.lines().collect();
        let lines: Vec<&str> = a.lines().filter(|line| !other.contains(line)).collect();
        lines.join(", ")
    };
    format!("[{}] where the example says [{}]", only(&found, &expected), only(&expected, &found))
}

fn envelope(party: &str, root: &Node, faults: &mut Faults<'_>) -> Option<Format> {
    let Some(mut keys) = root.keys().and_then(|mut keys| keys.take("format")).and_then(Node::keys)
    else {
        faults.say(0, "[format] is missing; see docs/mapping.md");
        return None;
    };
    let wire = keys.take("wire");
    let line = wire.map_or(keys.line, |wire| wire.line);
    let wire = wire_of(wire.and_then(Node::text), line, faults)?;
    let mut wires = BTreeMap::new();
    let line = keys.line;
    for (business, wire) in keys.pairs("wires", faults) {
        match Business::from_code(&business) {
            Some(known) => _ = wires.insert(known, wire_of(Some(&wire), line, faults)?),
            None => faults.say(line, format!("wires: `{business}` is no business")),
        }
    }
    let mut root = "Message".to_owned();
    if let Some(mut xml) = keys.take("xml").and_then(Node::keys) {
        root = xml.text("root", faults).unwrap_or(root);
        xml.done(faults);
    }
    let mut format = Format {
        party: party.to_owned(),
        wire,
        wires,
        root,
        body: Vec::new(),
        message_number: Vec::new(),
        message_kind: Vec::new(),
        kinds: Vec::new(),
        head: BTreeMap::new(),
        success: Sign::default(),
        refused: Sign::default(),
        code: Vec::new(),
        stored: Sign::default(),
        unknown: Sign::default(),
        reply: ReplyPaths::default(),
        found: FoundPlaces::default(),
        applications: BTreeMap::new(),
        event: None,
    };
    match keys.take("envelope").and_then(Node::keys) {
        Some(envelope) => head(&mut format, envelope, faults),
        None => faults.say(line, "[format.envelope] is missing"),
    }
    answers(&mut format, &mut keys, faults);
    keys.done(faults);
    Some(format)
}

fn wire_of(word: Option<&str>, line: usize, faults: &mut Faults<'_>) -> Option<Wire> {
    match word {
        Some("json") => Some(Wire::Json),
        Some("xml") => Some(Wire::Xml),
        _ => {
            faults.say(line, "`wire` must be \"json\" or \"xml\"");
            None
        }
    }
}

fn head(format: &mut Format, mut keys: Keys<'_>, faults: &mut Faults<'_>) {
    format.body = document::path(&keys.text("body", faults).unwrap_or_default());
    let line = keys.line;
    let Some(mut head) = keys.take("head").and_then(Node::keys) else {
        return faults.say(line, "[format.envelope.head] is missing");
    };
    keys.done(faults);
    match head.take("message_number").and_then(Node::keys) {
        Some(mut field) => {
            format.message_number = document::path(&field.text("path", faults).unwrap_or_default());
            field.done(faults);
        }
        None => faults.say(head.line, "head.message_number is missing: the idempotency key"),
    }
    match head.take("message_kind").and_then(Node::keys) {
        Some(mut field) => {
            format.message_kind = document::path(&field.text("path", faults).unwrap_or_default());
            for (name, theirs) in field.pairs("values", faults) {
                let kind = name.split_once('/').and_then(|(business, kind)| {
                    Some((Business::from_code(business)?, Kind::from_word(kind)?))
                });
                match kind {
                    Some((business, kind)) => {
                        if format.kinds.iter().any(|(_, _, known)| *known == theirs) {
                            let text = format!("message_kind: `{theirs}` stands for two kinds");
                            faults.say(field.line, text);
                        }
                        format.kinds.push((business, kind, theirs));
                    }
                    None => faults
                        .say(field.line, format!("message_kind: `{name}` is no BUSINESS/KIND")),
                }
            }
            field.done(faults);
        }
        None => faults.say(head.line, "head.message_kind is missing: business and kind"),
    }
    for name in HEAD_FIELDS {
        let Some(mut field) = head.take(name).and_then(Node::keys) else { continue };
        let path = document::path(&field.text("path", faults).unwrap_or_default());
        let kind = field.text("type", faults);
        let pattern = field.text("pattern", faults).unwrap_or_else(|| "rfc3339".into());
        let op = match kind.as_deref() {
            None | Some("text") => Op::Text,
            Some("timestamp") => {
                if pattern != "rfc3339" {
                    let told = sense::of_pattern(&pattern, "yMdHms");
                    told.into_iter().for_each(|text| faults.say(field.line, text));
                }
                Op::Timestamp { pattern }
            }
            Some(_) => {
                faults.say(field.line, "`type` of a head field is text or timestamp");
                continue;
            }
        };
        field.done(faults);
        format.head.insert(name, HeadField { path, op });
    }
    head.done(faults);
}

fn answers(format: &mut Format, keys: &mut Keys<'_>, faults: &mut Faults<'_>) {
    if let Some(mut answer) = keys.take("answer").and_then(Node::keys) {
        format.success = sign(&mut answer, "success", faults);
        format.refused = sign(&mut answer, "refused", faults);
        format.code = document::path(&answer.text("code", faults).unwrap_or_default());
        _ = answer.text("message", faults);
        answer.done(faults);
    }
    if let Some(mut status) = keys.take("status").and_then(Node::keys) {
        format.stored = sign(&mut status, "stored", faults);
        format.unknown = sign(&mut status, "unknown", faults);
        status.done(faults);
    }
    let Some(mut reply) = keys.take("reply").and_then(Node::keys) else {
        return faults.say(keys.line, "[format.reply] is missing: how the party is answered");
    };
    if let Some(mut code) = reply.take("code").and_then(Node::keys) {
        let mut text = |key| code.text(key, faults).unwrap_or_default();
        format.reply.code = (document::path(&text("path")), text("stored"), text("refused"));
        code.done(faults);
    }
    if let Some(mut item) = reply.take("violations").and_then(Node::keys) {
        let mut text = |key| item.text(key, faults).unwrap_or_default();
        format.reply.violations =
            (document::path(&text("path")), text("field"), text("description"));
        item.done(faults);
    }
    format.reply.found = FoundPlaces::take(&mut reply, faults);
    for name in ["message", "message_number", "application_id", "state", "reason", "trace_id"] {
        if let Some(path) = reply.text(name, faults) {
            format.reply.texts.insert(name, document::path(&path));
        }
    }
    reply.done(faults);
    if let Some(mut found) = keys.take("found").and_then(Node::keys) {
        format.found = FoundPlaces::take(&mut found, faults);
        found.done(faults);
    }
}

fn sign(keys: &mut Keys<'_>, key: &str, faults: &mut Faults<'_>) -> Sign {
    let Some(mut sign) = keys.take(key).and_then(Node::keys) else {
        faults.say(keys.line, format!("`{key}` is missing: {{ path = …, values = […] }}"));
        return Sign::default();
    };
    let path = document::path(&sign.text("path", faults).unwrap_or_default());
    let values = sign.texts("values", faults);
    if path.is_empty() || values.is_empty() {
        faults.say(sign.line, format!("`{key}` needs a `path` and `values`, or it never holds"));
    }
    sign.done(faults);
    Sign { path, values }
}
