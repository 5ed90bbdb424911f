//! Compiles one rule and holds it against the model: an unknown field, function or code, a
//! comparison that never holds, dates that never hold are faults, each with its line. Depends on
//! the canonical model, the code lists and the prover.

use std::ops::Range;

use cel::{Program, Value};
use jiff::civil::Date;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use toml::Spanned;

use crate::{
    business::{
        body_field,
        rules::{
            FUNCTIONS, Papers, Rule, Stage, facts,
            facts::{Holds, Topic},
            load::{Entry, Otherwise, Reader, Table},
            papers,
            prove::{Part, Prover},
            values,
            walk::{Literal, Walk},
        },
    },
    model::{
        DESCRIPTORS,
        codes::Codes,
        pb::{Business, field_rule::Format},
        shape::rule_of,
    },
};

/// What paths mean for one business.
pub(super) struct Names {
    application: MessageDescriptor,
    pub(super) body: FieldDescriptor,
    details: MessageDescriptor,
}

impl Names {
    pub(super) fn of(business: Business) -> Option<Self> {
        let application = DESCRIPTORS.get_message_by_name("tongban.v1.Application")?;
        let body = application.get_field_by_json_name(&body_field(business))?;
        let Kind::Message(details) = body.kind() else { return None };
        Some(Self { application, body, details })
    }

    /// The message below a root.
    pub(super) fn message(&self, root: &str) -> Option<&MessageDescriptor> {
        match root {
            "application" => Some(&self.application),
            "details" => Some(&self.details),
            _ => None,
        }
    }

    /// The code list of a path, by name.
    pub(super) fn code_list(&self, path: &str) -> Option<String> {
        let (root, rest) = path.split_once('.')?;
        let list = rule_of(&field(self.message(root)?, rest)?).code_list;
        Some(list).filter(|list| !list.is_empty())
    }

    fn holds(&self, path: &str, table: &Table, codes: &Codes) -> Option<Holds> {
        match path.split_once('.') {
            None => match path {
                "day" | "dated" | "today" => Some(Holds::Day),
                "stage" => Some(Holds::Code(["intake", "decision"].map(str::to_owned).into())),
                "tabled" => Some(Holds::Truth),
                _ => None,
            },
            Some(("hub", _)) => facts::of_hub(path),
            Some(("values", name)) => table.values.get(name).map(|value| match value {
                toml::Value::Array(_) => Holds::List,
                toml::Value::Integer(_) => Holds::Whole,
                toml::Value::Boolean(_) => Holds::Truth,
                _ => Holds::Text,
            }),
            Some(("papers", name)) => table.papers().contains_key(name).then_some(Holds::List),
            Some((root, rest)) => {
                let found = field(self.message(root)?, rest)?;
                if found.is_list() && !path.ends_with("[]") {
                    return Some(Holds::List);
                }
                of_field(&found, codes)
            }
        }
    }
}

fn of_field(field: &FieldDescriptor, codes: &Codes) -> Option<Holds> {
    let rule = rule_of(field);
    Some(match field.kind() {
        Kind::Bool => Holds::Truth,
        Kind::Int64 | Kind::Int32 => Holds::Whole,
        Kind::Enum(list) => {
            Holds::Code(list.values().skip(1).map(|value| value.name().to_owned()).collect())
        }
        Kind::Message(inner) if inner.package_name() == "tongban.v1" => Holds::Fields,
        Kind::String => match (codes.get(&rule.code_list), rule.format()) {
            (Some(list), _) => {
                Holds::Code(list.rows.iter().map(|(code, _)| code.clone()).collect())
            }
            (None, Format::Date) => Holds::Day,
            (None, Format::Month) => Holds::Month,
            (None, Format::Division) => Holds::Division,
            (None, Format::ResidentId) => Holds::Number,
            (None, _) => Holds::Text,
        },
        _ => return None,
    })
}

/// One rule's faults, told as they are found.
pub(super) struct RuleFaults<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    pub(super) names: &'r Names,
    pub(super) table: &'r Table,
    pub(super) prover: &'r Prover,
}

impl RuleFaults<'_, '_> {
    /// The compiled rule, unless something is wrong with it.
    pub(super) fn rule(mut self, span: &Range<usize>, entry: Entry) -> Option<Rule> {
        for (name, text) in [("id", &entry.id), ("source", &entry.source), ("says", &entry.says)] {
            if text.is_empty() {
                self.reader.say(span, format!("`{name}` must not be empty"));
            }
        }
        let (from, until) = self.dates(&entry);
        if !self.is_field(entry.field.get_ref()) {
            let text = format!("`{}` is no field", entry.field.get_ref());
            self.reader.say(&entry.field.span(), text);
        }
        let when = match &entry.when {
            None => Some(None),
            Some(when) => self.program(when).map(Some),
        };
        let require = self.program(&entry.require);
        let (when, require) = (when?, require?);
        self.prove(&entry, when.as_ref(), &require);
        let topics = topics(when.iter().chain([&require]));
        let refused_at = refused_at(span, &entry, self.reader);
        if (!refused_at.is_empty() || !topics.is_empty()) && entry.asks.is_none() {
            let text =
                "`asks` is missing: `says` states a fact, and this is asked when it is not known";
            self.reader.say(span, text);
        }
        Some(Rule {
            id: entry.id,
            source: entry.source,
            from: from?,
            until,
            stages: entry.stages,
            when,
            require,
            refused_at,
            topics,
            field: entry.field.into_inner(),
            says: entry.says,
            asks: entry.asks,
        })
    }

    fn dates(&mut self, entry: &Entry) -> (Option<Date>, Option<Date>) {
        let from = self.date(&entry.from);
        let until = entry.until.as_ref().and_then(|until| self.date(until));
        if let (Some(from), Some(until), Some(at)) = (from, until, &entry.until)
            && until < from
        {
            self.reader.say(&at.span(), "`until` is before `from`: the rule never holds");
        }
        (from, until)
    }

    fn date(&mut self, at: &Spanned<toml::value::Datetime>) -> Option<Date> {
        let date = at.get_ref().to_string().parse().ok();
        if date.is_none() {
            self.reader.say(&at.span(), "must be a date: 2026-01-31");
        }
        date
    }

    fn program(&mut self, text: &Spanned<String>) -> Option<Program> {
        let span = text.span();
        let program = match Program::compile(text.get_ref()) {
            Ok(program) => program,
            Err(error) => {
                let first = error.to_string().lines().next().unwrap_or_default().to_owned();
                self.reader.say(&span, format!("is no expression: {first}"));
                return None;
            }
        };
        let walk = Walk::of([&program]);
        let mut told: Vec<String> = self.strange_paths(&walk);
        told.extend(strange_calls(&walk));
        told.extend(walk.compared.iter().filter_map(|(path, held)| self.never(path, held)));
        let good = told.is_empty();
        told.into_iter().for_each(|text| self.reader.say(&span, text));
        good.then_some(program)
    }

    fn strange_paths(&self, walk: &Walk) -> Vec<String> {
        if walk.paths.is_empty() {
            return vec!["names no field: it would always or never hold".into()];
        }
        let known =
            |path: &&String| self.names.holds(path, self.table, self.reader.codes).is_some();
        let strange = walk.paths.iter().filter(|path| !known(path));
        strange.map(|path| format!("`{path}` is no field")).collect()
    }

    /// Why the path is never equal to the literal.
    fn never(&self, path: &str, held: &Literal) -> Option<String> {
        let holds = self.names.holds(path, self.table, self.reader.codes)?;
        match (&holds, held) {
            (Holds::Code(codes), Literal::Text(text)) => {
                let list = self.names.code_list(path).unwrap_or_else(|| path.to_owned());
                let text = format!("`{text}` is no code of `{list}`: `{path}` never is it");
                let Literal::Text(code) = held else { return None };
                (!codes.contains(code)).then_some(text)
            }
            (Holds::Truth, Literal::Truth(_)) | (Holds::Whole, Literal::Whole(_)) => None,
            (Holds::List | Holds::Fields, _) => None,
            (Holds::Truth, _) => Some(format!("`{path}` is true or false, and never that")),
            (Holds::Whole, _) => Some(format!("`{path}` is a whole number, and never that")),
            (_, Literal::Text(_)) => None,
            (_, _) => Some(format!("`{path}` is a text, and never that")),
        }
    }

    /// Tries the rule on everything it tells apart.
    fn prove(&mut self, entry: &Entry, when: Option<&Program>, require: &Program) {
        let mut known = Vec::new();
        self.table.values.values().for_each(|value| literals(value, &mut known));
        // Where the country asks for none, a county may.
        let mut lists = self.table.papers();
        lists.values_mut().filter(|kinds| kinds.is_empty()).for_each(|k| k.push("999".into()));
        known.extend(lists.values().flatten().map(|kind| Literal::Text(kind.clone())));
        let own = [Papers { division: String::new(), kinds: lists }];
        let fixed: [(&str, Value); 2] =
            [("values", values(&self.table.values)), ("papers", papers(&own, ""))];
        let holds = |path: &str| self.names.holds(path, self.table, self.reader.codes);
        let fault = self.prover.fault((when, require), holds, (&fixed, &known));
        if let Some((part, why)) = fault {
            let (name, at) = match (part, &entry.when) {
                (Part::When, Some(when)) => ("when", when.span()),
                _ => ("require", entry.require.span()),
            };
            self.reader.say(&at, format!("`{name}` {why}"));
        }
    }

    /// A canonical path as violations name it.
    fn is_field(&self, path: &str) -> bool {
        self.names.message("application").is_some_and(|message| field(message, path).is_some())
    }
}

/// At which stages it is refused; none of them twice, and none that it does not have.
fn refused_at(span: &Range<usize>, entry: &Entry, reader: &mut Reader<'_>) -> Vec<Stage> {
    if entry.stages.is_empty() {
        reader.say(span, "`stages` names none: the rule would never be asked");
    }
    let decision = entry.at_decision.unwrap_or(entry.otherwise);
    let refuses = |stage: &&Stage| match stage {
        Stage::Intake => entry.otherwise == Otherwise::Refuse,
        Stage::Decision => decision == Otherwise::Refuse,
    };
    entry.stages.iter().filter(refuses).copied().collect()
}

fn strange_calls(walk: &Walk) -> Vec<String> {
    // Of CEL's own; operators and what macros are made of begin with another character.
    const OWN: [(&str, usize); 4] =
        [("size", 1), ("startsWith", 2), ("endsWith", 2), ("contains", 2)];
    let named = walk.calls.iter().filter(|(name, _)| name.starts_with(|c: char| c.is_alphabetic()));
    let strange = named.filter_map(|(name, count)| {
        match FUNCTIONS.iter().chain(&OWN).find(|(known, _)| known == name) {
            None => Some(format!("`{name}` is no function")),
            Some((_, takes)) if takes != count => {
                Some(format!("`{name}` takes {takes} arguments, not {count}"))
            }
            Some(_) => None,
        }
    });
    strange.collect()
}

fn literals(value: &toml::Value, out: &mut Vec<Literal>) {
    match value {
        toml::Value::String(text) => out.push(Literal::Text(text.clone())),
        toml::Value::Integer(number) => out.push(Literal::Whole(*number)),
        toml::Value::Array(items) => items.iter().for_each(|item| literals(item, out)),
        _ => {}
    }
}

/// The field at a path below a message; `[]` marks an item of a list.
fn field(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    let found = message.get_field_by_json_name(name.trim_end_matches("[]"))?;
    match (rest, found.kind()) {
        (None, _) => Some(found),
        (Some(rest), Kind::Message(inner)) => field(&inner, rest),
        (Some(_), _) => None,
    }
}

fn topics<'p>(programs: impl Iterator<Item = &'p Program>) -> Vec<Topic> {
    let walk = Walk::of(programs);
    let named = |name: &str| {
        let root = format!("hub.{name}");
        walk.paths.iter().any(|path| path.starts_with(&root))
    };
    Topic::ALL.into_iter().filter(|(name, _)| named(name)).map(|(_, topic)| topic).collect()
}
