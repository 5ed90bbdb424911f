//! What the gateway found out about an application: who decides (办理机关), what is to be made sure of
//! (待核实), by when (办理时限). Written at the places that `party.toml` names, into replies and into
//! the applications that are delivered; never read. Depends on documents and on the model.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    model::pb,
    translate::{
        document::{self, set},
        node::{Faults, Keys, Node},
    },
};

/// Where what was found stands in a document of the party.
#[derive(Default)]
pub(crate) struct FoundPlaces {
    texts: BTreeMap<&'static str, Vec<String>>,
    checks: Option<Items>,
    deadlines: Option<Items>,
}

/// A list, and where each part of its items stands.
struct Items {
    path: Vec<String>,
    parts: BTreeMap<&'static str, Vec<String>>,
}

const TEXTS: [&str; 4] = ["authority", "authority_division", "authority_level", "succeeded_from"];
const CHECK: [&str; 3] = ["rule", "field", "says"];
const DEADLINE: [&str; 3] = ["kind", "due", "state"];

impl FoundPlaces {
    /// Takes the places out of a table of `party.toml`; all of them may be left out.
    pub(crate) fn take(keys: &mut Keys<'_>, faults: &mut Faults<'_>) -> Self {
        let mut found = Self::default();
        for name in TEXTS {
            if let Some(path) = keys.text(name, faults) {
                found.texts.insert(name, document::path(&path));
            }
        }
        found.checks = items(keys, "checks", CHECK, faults);
        found.deadlines = items(keys, "deadlines", DEADLINE, faults);
        found
    }

    /// Writes what was found about the application; `their_path` names a field as the party does.
    pub(crate) fn write(
        &self,
        tree: &mut Value,
        application: &pb::Application,
        their_path: impl Fn(&str) -> Option<String>,
    ) {
        if let Some(authority) = &application.handling_authority {
            let values = [
                &*authority.office,
                &*authority.division,
                authority.level().as_str_name(),
                &*authority.succeeded_from,
            ];
            for (name, value) in TEXTS.into_iter().zip(values) {
                if let Some(path) = self.texts.get(name).filter(|_| !value.is_empty()) {
                    set(tree, path, Value::from(value));
                }
            }
        }
        if let Some(items) = &self.checks {
            items.write(tree, application.checks.iter(), |check| {
                let field = their_path(&check.field).unwrap_or_else(|| check.field.clone());
                vec![("rule", check.rule.clone()), ("field", field), ("says", check.says.clone())]
            });
        }
        if let Some(items) = &self.deadlines {
            items.write(tree, application.deadlines.iter(), |deadline| {
                let kind = deadline.kind().as_str_name().to_owned();
                let state = deadline.state().as_str_name().to_owned();
                vec![("kind", kind), ("due", deadline.due.clone()), ("state", state)]
            });
        }
    }
}

impl Items {
    fn write<T>(
        &self,
        tree: &mut Value,
        of: impl ExactSizeIterator<Item = T>,
        texts: impl Fn(T) -> Vec<(&'static str, String)>,
    ) {
        if of.len() == 0 {
            return;
        }
        let told = of.map(|one| {
            let mut item = json!({});
            for (name, text) in texts(one) {
                if let Some(path) = self.parts.get(name).filter(|_| !text.is_empty()) {
                    set(&mut item, path, Value::from(text));
                }
            }
            item
        });
        set(tree, &self.path, told.collect());
    }
}

fn items(
    keys: &mut Keys<'_>,
    key: &str,
    parts: [&'static str; 3],
    faults: &mut Faults<'_>,
) -> Option<Items> {
    let mut table = keys.take(key).and_then(Node::keys)?;
    let path = document::path(&table.text("path", faults).unwrap_or_default());
    let parts = parts
        .into_iter()
        .filter_map(|name| table.text(name, faults).map(|path| (name, document::path(&path))));
    let parts: BTreeMap<_, _> = parts.collect();
    if path.is_empty() || parts.is_empty() {
        faults.say(table.line, format!("`{key}` needs a `path` and the parts of its items"));
    }
    table.done(faults);
    Some(Items { path, parts })
}
