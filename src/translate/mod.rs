//! One translation engine between party formats and the canonical model, both ways from one
//! table; no province and no business is named in it. `docs/mapping.md` describes the tables.
//! Depends on model and config.

mod check;
mod document;
mod format;
mod found;
mod load;
mod mapping;
mod message;
mod node;
mod ops;
mod sense;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::Value;

pub use crate::translate::{
    document::Wire,
    format::Format,
    mapping::WriteError,
    message::{Answer, Head, Kind, Message, Reply, SealKey, Status},
};
use crate::{
    model::{codes::Codes, fault::Fault, pb::Business, problem::Violation},
    translate::mapping::Mapping,
};

/// Every party's format, compiled.
pub struct Translator {
    formats: BTreeMap<String, Format>,
}

/// How much of the canonical model a table covers, for `tongban check`.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// The party's folder.
    pub party: String,
    /// Business, or `event`.
    pub table: String,
    /// `json` or `xml`.
    pub wire: &'static str,
    /// Canonical fields mapped.
    pub mapped: usize,
    /// Canonical fields dropped by name.
    pub dropped: usize,
    /// Examples that were tried, both ways.
    pub examples: usize,
}

/// Where one canonical field stands in two formats, for `tongban translate --explain`.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// The canonical path.
    pub canonical: String,
    /// Its place in the format read, if it has one.
    pub from: Option<String>,
    /// Its place in the format written, if it has one.
    pub to: Option<String>,
}

impl Translator {
    /// Loads `codes/` below `folder` and the format of every party, given as folder name, folder
    /// and businesses.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(
        folder: &Path,
        parties: &[(String, PathBuf, Vec<String>)],
    ) -> Result<Self, Vec<Fault>> {
        let codes = Codes::load(&folder.join("codes"))?;
        let mut formats = BTreeMap::new();
        let mut faults = Vec::new();
        for (party, path, businesses) in parties {
            match load::format(party, path, businesses, &codes) {
                Ok(format) => _ = formats.insert(party.clone(), format),
                Err(more) => faults.extend(more),
            }
        }
        faults.sort();
        faults.dedup();
        if faults.is_empty() { Ok(Self { formats }) } else { Err(faults) }
    }

    /// The format of a party, by its folder's name.
    pub fn format(&self, party: &str) -> Option<&Format> {
        self.formats.get(party)
    }

    /// Any party's format, for its reading of the canonical model.
    pub fn any(&self) -> Option<&Format> {
        self.formats.values().next()
    }

    /// What each table covers.
    pub fn coverage(&self) -> Vec<Coverage> {
        let mut all = Vec::new();
        for (party, format) in &self.formats {
            let row = |table: String, wire: Wire, mapping: &Mapping| Coverage {
                party: party.clone(),
                table,
                wire: match wire {
                    Wire::Json => "json",
                    Wire::Xml => "xml",
                },
                mapped: mapping.canonical_paths().len(),
                dropped: mapping.dropped.len(),
                examples: mapping.examples,
            };
            for (business, mapping) in &format.applications {
                all.push(row(business.code(), format.wire(*business), mapping));
            }
            if let Some(event) = &format.event {
                all.push(row("event".into(), format.wire, event));
            }
        }
        all
    }
}

/// Reads one document of a format: a whole message or only its body. `None` is the canonical
/// format, proto3 JSON.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_document(
    format: Option<&Format>,
    reference: &Format,
    (kind, business): (Kind, Business),
    bytes: &[u8],
) -> Result<DynamicMessage, Vec<Violation>> {
    let broken = |why: String| vec![Violation::form("", format!("the document {why}"))];
    let Some(mapping) = format.unwrap_or(reference).mapping(kind, business) else {
        return Err(broken("is of a business that the format has no table for".into()));
    };
    let Some(format) = format else {
        let value = document::parse(Wire::Json, bytes).map_err(broken)?;
        return mapping.message(value).map_err(|fault| vec![fault]);
    };
    let tree = document::parse(Wire::sniff(bytes), bytes).map_err(broken)?;
    let body = format.body_of(&tree).filter(|body| body.is_object() && !format.body.is_empty());
    let (canonical, faults) = mapping.read(body.unwrap_or(&tree));
    if !faults.is_empty() {
        return Err(faults);
    }
    mapping.message(canonical).map_err(|fault| vec![fault])
}

/// Writes one document in a format, its body only; `None` is the canonical format.
///
/// # Errors
/// A field that the format has no room for.
pub fn write_document(
    format: Option<&Format>,
    (kind, business): (Kind, Business),
    message: &DynamicMessage,
) -> Result<String, WriteError> {
    let failed = |why: String| WriteError { field: String::new(), why };
    let Some(format) = format else {
        return serde_json::to_string_pretty(message).map_err(|error| failed(error.to_string()));
    };
    let Some(mapping) = format.mapping(kind, business) else {
        return Err(failed("the format has no table for this business".into()));
    };
    let tree = mapping.write(message, false)?;
    match format.wire(business) {
        Wire::Json => {
            serde_json::to_string_pretty(&tree).map_err(|error| failed(error.to_string()))
        }
        Wire::Xml => {
            let root = format.body.last().map_or(format.root.as_str(), String::as_str);
            String::from_utf8(document::print(Wire::Xml, root, &tree))
                .map_err(|error| failed(error.to_string()))
        }
    }
}

/// Every canonical field with its places in two formats.
pub fn lineage(
    from: Option<&Format>,
    to: Option<&Format>,
    (kind, business): (Kind, Business),
) -> Vec<Lineage> {
    let mapping = |format: Option<&Format>| {
        format.and_then(|format| format.mapping(kind, business)).map(Mapping::canonical_paths)
    };
    let (from, to) = (mapping(from), mapping(to));
    let mut all: Vec<String> =
        from.iter().chain(&to).flat_map(|paths| paths.keys().cloned()).collect();
    all.sort();
    all.dedup();
    let place = |paths: &Option<BTreeMap<String, String>>, canonical: &String| match paths {
        Some(paths) => paths.get(canonical).cloned(),
        None => Some(canonical.clone()),
    };
    all.into_iter()
        .map(|canonical| Lineage {
            from: place(&from, &canonical),
            to: place(&to, &canonical),
            canonical,
        })
        .collect()
}

impl Mapping {
    /// Every mapped canonical path with its place and conversion.
    fn canonical_paths(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let place = |paths: &[Vec<String>], kind: &str| {
            let paths: Vec<String> = paths.iter().map(|path| path.join(".")).collect();
            format!("{} ({kind})", paths.join(" + "))
        };
        for field in &self.fields {
            all.insert(field.canonical.join("."), place(&field.paths, &field.kind));
        }
        for list in &self.lists {
            for field in &list.fields {
                let name = [&list.canonical[..], &field.canonical].concat().join(".");
                let path = [&list.path[..], &field.paths[0]].concat();
                all.insert(name, place(&[path], &field.kind));
            }
        }
        for constant in &self.constants {
            all.insert(constant.canonical.join("."), format!("constant {}", constant.value));
        }
        all
    }
}

/// The canonical leaves that a message holds, for telling which of them a format loses.
pub fn held_paths(message: &DynamicMessage) -> Vec<String> {
    fn walk(value: &Value, at: &str, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                let dot = if at.is_empty() { "" } else { "." };
                map.iter().for_each(|(key, child)| walk(child, &format!("{at}{dot}{key}"), out));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, at, out)),
            _ => out.push(at.to_owned()),
        }
    }
    let mut out = Vec::new();
    debug_assert!(message.encoded_len() < usize::MAX);
    walk(&serde_json::to_value(message).unwrap_or_default(), "", &mut out);
    out.sort();
    out.dedup();
    out
}
