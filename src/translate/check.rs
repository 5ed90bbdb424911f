//! Holds a mapping table against the protobuf descriptors and the code lists. A table with any
//! fault never starts; all faults are told at once, each with its line.

use std::collections::{HashMap, HashSet};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::{
    model::{
        DESCRIPTORS,
        codes::{CodeList, Codes},
        shape::rule_of,
    },
    translate::{
        document,
        mapping::Mapping,
        node::Faults,
        ops::Op,
        sense,
        table::{Field, List, Table},
    },
};

/// What is checked so far.
struct Check<'t, 'f, 'p> {
    table: &'t Table,
    codes: &'t Codes,
    root: MessageDescriptor,
    faults: &'f mut Faults<'p>,
    /// Canonical paths with a source, and the line of it.
    sources: HashMap<String, usize>,
}

/// Compiles the table, or adds its faults.
pub(crate) fn compile(table: Table, codes: &Codes, faults: &mut Faults<'_>) -> Option<Mapping> {
    let before = faults.all.len();
    let name = format!("tongban.v1.{}", table.message);
    let Some(root) = DESCRIPTORS.get_message_by_name(&name) else {
        faults.say(1, format!("`message`: there is no message {name}"));
        return None;
    };
    let mut check =
        Check { table: &table, codes, root: root.clone(), faults, sources: HashMap::new() };
    check.sources_of_fields();
    check.places();
    check.constants();
    check.drops();
    check.coverage();
    if faults.all.len() > before {
        return None;
    }
    let mut places: HashSet<String> = HashSet::new();
    for field in &table.fields {
        places.extend(field.paths.iter().map(|path| path.join(".")));
    }
    for list in &table.lists {
        for field in &list.fields {
            places.extend(field.paths.iter().map(|path| [&list.path[..], path].concat().join(".")));
        }
    }
    let Table { mut fields, lists, constants, drops, examples, .. } = table;
    for field in &mut fields {
        let target = resolve(&root, &field.canonical);
        let plain = |t: FieldDescriptor| t.kind() == Kind::Bool && !t.supports_presence();
        field.says_false = target.is_ok_and(plain);
    }
    let dropped = drops.into_iter().map(|drop| drop.path).collect();
    let examples = examples.len();
    Some(Mapping { message: root, fields, lists, constants, dropped, examples, places })
}

impl Check<'_, '_, '_> {
    fn sources_of_fields(&mut self) {
        let table = self.table;
        for field in &table.fields {
            self.field(&self.root.clone(), "", field);
        }
        for list in &table.lists {
            self.list(list);
        }
    }

    fn field(&mut self, message: &MessageDescriptor, at: &str, field: &Field) {
        let path = field.canonical.join(".");
        let full = if at.is_empty() { path.clone() } else { format!("{at}.{path}") };
        self.source(&full, field.line);
        match resolve(message, &field.canonical) {
            Err(why) => self.faults.say(field.line, format!("canonical `{full}`: {why}")),
            Ok(target) if target.is_list() || target.is_map() => {
                self.faults
                    .say(field.line, format!("canonical `{full}` is repeated; use [[list]]"));
            }
            Ok(target) => self.fits(&full, field, &target),
        }
    }

    fn list(&mut self, list: &List) {
        let name = list.canonical.join(".");
        self.source(&name, list.line);
        let target = match resolve(&self.root, &list.canonical) {
            Ok(target) if target.is_list() => target,
            Ok(_) => {
                self.faults.say(list.line, format!("canonical `{name}` is no list; use [[field]]"));
                return;
            }
            Err(why) => {
                self.faults.say(list.line, format!("canonical `{name}`: {why}"));
                return;
            }
        };
        match target.kind() {
            Kind::Message(item) => {
                for field in &list.fields {
                    self.field(&item, &name, field);
                }
                let mapped = |n: &str| list.fields.iter().any(|f| f.canonical.join(".") == n);
                for part in item.fields().filter(|part| !mapped(part.json_name())) {
                    let full = format!("{name}.{}", part.json_name());
                    self.uncovered(&full, &part, list.line);
                }
            }
            _ => match list.fields.as_slice() {
                [only] if only.canonical.is_empty() => self.fits(&name, only, &target),
                _ => {
                    let text =
                        format!("`{name}` holds plain values: give one field with canonical \"\"");
                    self.faults.say(list.line, text);
                }
            },
        }
    }

    fn source(&mut self, path: &str, line: usize) {
        if let Some(first) = self.sources.insert(path.to_owned(), line) {
            self.faults
                .say(line, format!("canonical `{path}` has a source already at line {first}"));
        }
    }

    /// The conversion makes what the canonical field holds, and has a counterpart for each value.
    fn fits(&mut self, full: &str, field: &Field, target: &FieldDescriptor) {
        let good = match (&field.op, target.kind()) {
            (Op::Text | Op::Code { .. } | Op::Date { .. }, Kind::String) => true,
            (Op::Bool { .. }, Kind::Bool)
            | (Op::Bytes, Kind::Bytes)
            | (Op::Enum { .. }, Kind::Enum(_)) => true,
            (Op::Integer { .. } | Op::Money { .. }, Kind::Int32 | Kind::Int64 | Kind::Uint32) => {
                true
            }
            (Op::Timestamp { .. }, Kind::Message(m)) => {
                m.full_name() == "google.protobuf.Timestamp"
            }
            _ => false,
        };
        if !good {
            let text = format!(
                "type `{}` does not fit canonical `{full}`, which is {:?}",
                field.kind,
                target.kind()
            );
            self.faults.say(field.line, text);
            return;
        }
        for fault in sense::of_field(field) {
            self.faults.say(field.line, format!("canonical `{full}`: {fault}"));
        }
        match (&field.op, target.kind()) {
            (Op::Code { list, codes, party }, _) if !field.gaps_refused => {
                self.code_gaps(field.line, list, codes, party);
            }
            (Op::Enum { values }, Kind::Enum(known)) => {
                for (name, _) in values {
                    if known.get_value_by_name(name).is_none() {
                        let text = format!("`values`: {} has no value {name}", known.name());
                        self.faults.say(field.line, text);
                    }
                }
                let named = |name: &str| values.iter().any(|(known, _)| known == name);
                for value in known.values().filter(|value| value.number() != 0) {
                    if !named(value.name()) && !field.gaps_refused {
                        let text = format!("`values`: {} has no counterpart", value.name());
                        self.faults.say(field.line, text);
                    }
                }
            }
            _ => {}
        }
        // Another list will do when all its codes are codes of the field's own list.
        let wanted = rule_of(target).code_list;
        if let Op::Code { list, codes, .. } = &field.op
            && let Some(own) = self.codes.get(&wanted).filter(|_| wanted != *list)
            && codes.rows.iter().any(|(code, _)| !own.contains(code))
        {
            let text = format!("canonical `{full}` is of list `{wanted}`, not `{list}`");
            self.faults.say(field.line, text);
        }
    }

    fn code_gaps(&mut self, line: usize, list: &str, codes: &CodeList, party: &str) {
        for code in codes.gaps(party) {
            let text = format!(
                "code {code} of list `{list}` has no counterpart; fill config/codes/{list}.csv or say gaps = \"refuse\""
            );
            self.faults.say(line, text);
        }
        for (code, _) in &codes.rows {
            let back =
                codes.to_party(party, code).and_then(|theirs| codes.from_party(party, theirs));
            if let Some(back) = back.filter(|back| back != code) {
                let text = format!("codes {back} and {code} of list `{list}` are written alike");
                self.faults.say(line, text);
            }
        }
    }

    /// No two fields share a place in the party's document, and none stands within another.
    fn places(&mut self) {
        let table = self.table;
        let mut taken: HashMap<Vec<String>, usize> = HashMap::new();
        let all = table
            .fields
            .iter()
            .flat_map(|field| field.paths.iter().map(|p| (p.clone(), field.line)));
        let lists = table.lists.iter().map(|list| (list.path.clone(), list.line));
        for (path, line) in all.chain(lists) {
            if let Some(first) = taken.insert(path.clone(), line) {
                let text = format!("`{}` is written already by line {first}", path.join("."));
                self.faults.say(line, text);
            }
        }
        for (path, line) in &taken {
            for end in 1..path.len() {
                let attribute = path[end..].len() == 1 && path[end].starts_with('@');
                if let Some(first) = taken.get(&path[..end]).filter(|_| !attribute) {
                    let text = format!(
                        "`{}` stands within the value that line {first} writes",
                        path.join(".")
                    );
                    self.faults.say(*line, text);
                }
            }
        }
        for list in &table.lists {
            let mut taken = HashSet::new();
            for (field, path) in
                list.fields.iter().flat_map(|f| f.paths.iter().map(move |p| (f, p)))
            {
                if !taken.insert(path.clone()) {
                    let text = format!("`{}` is written twice in the list", path.join("."));
                    self.faults.say(field.line, text);
                }
            }
        }
    }

    fn constants(&mut self) {
        let table = self.table;
        for constant in &table.constants {
            let path = constant.canonical.join(".");
            self.source(&path, constant.line);
            match resolve(&self.root, &constant.canonical) {
                Err(why) => self.faults.say(constant.line, format!("canonical `{path}`: {why}")),
                Ok(target) => {
                    if let Some(why) = sense::of_constant(&target, &constant.value, self.codes) {
                        self.faults.say(constant.line, why);
                    }
                }
            }
        }
    }

    fn drops(&mut self) {
        let table = self.table;
        for drop in &table.drops {
            if let Err(why) = resolve(&self.root, &document::path(&drop.path)) {
                self.faults.say(drop.line, format!("drops `{}`: {why}", drop.path));
            }
            if self.sources.contains_key(&drop.path) {
                self.faults.say(drop.line, format!("drops `{}`, which is mapped", drop.path));
            }
        }
    }

    /// Every canonical field is mapped, constant or named under `drops`; required ones have a
    /// source.
    fn coverage(&mut self) {
        let root = self.root.clone();
        for field in root.fields() {
            // Of a oneof, only the body of the table's own business is its concern.
            if field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic())
                && self.table.business.as_deref() != Some(field.name())
            {
                continue;
            }
            self.cover(field.json_name(), &field);
        }
    }

    fn cover(&mut self, path: &str, field: &FieldDescriptor) {
        if self.sources.contains_key(path) || self.dropped(path) || field.is_map() {
            return;
        }
        let inner = match field.kind() {
            Kind::Message(m) if !field.is_list() && m.package_name() == "tongban.v1" => m,
            _ => return self.uncovered(path, field, 1),
        };
        let below = format!("{path}.");
        if rule_of(field).output_only && !self.sources.keys().any(|key| key.starts_with(&below)) {
            return;
        }
        for part in inner.fields() {
            self.cover(&format!("{path}.{}", part.json_name()), &part);
        }
    }

    fn uncovered(&mut self, path: &str, field: &FieldDescriptor, line: usize) {
        let rule = rule_of(field);
        if rule.output_only || self.dropped(path) {
            return;
        }
        let text = if rule.required {
            format!("required canonical `{path}` has no source: map it, or give a constant")
        } else {
            format!("canonical `{path}` is lost: map it, or name it under drops with a why")
        };
        self.faults.say(line, text);
    }

    fn dropped(&self, path: &str) -> bool {
        self.table.drops.iter().any(|drop| {
            path.strip_prefix(&drop.path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// The field at a JSON path of a message.
pub(crate) fn resolve(
    message: &MessageDescriptor,
    path: &[String],
) -> Result<FieldDescriptor, String> {
    let Some((last, way)) = path.split_last() else { return Err("is empty".into()) };
    let mut message = message.clone();
    for key in way {
        let field = message.get_field_by_json_name(key);
        let field = field.ok_or_else(|| format!("{} has no field `{key}`", message.name()))?;
        match field.kind() {
            Kind::Message(inner) if !field.is_list() => message = inner,
            _ => return Err(format!("`{key}` holds no fields of its own")),
        }
    }
    let field = message.get_field_by_json_name(last);
    field.ok_or_else(|| format!("{} has no field `{last}`", message.name()))
}
