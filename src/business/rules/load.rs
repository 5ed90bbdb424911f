//! Reads and compiles the rule tables; every fault of every file with its line. An unknown field,
//! a code its list lacks, dates that never hold, a requirement that asks nothing are refused here.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use cel::{
    Env, Program,
    common::ast::{Expr, IdedExpr, LiteralValue, operators},
};
use jiff::civil::Date;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::Deserialize;
use toml::Spanned;

use crate::{
    business::{
        body_field,
        rules::{
            Chapter, Rule, Rulebook, Stage,
            facts::{HUB_PATHS, Topic, Wanted},
            values,
        },
    },
    model::{DESCRIPTORS, codes::Codes, fault::Fault, pb::Business, shape::rule_of},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    values: BTreeMap<String, toml::Value>,
    #[serde(default, rename = "rule")]
    rules: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    source: String,
    from: Spanned<toml::value::Datetime>,
    until: Option<Spanned<toml::value::Datetime>>,
    #[serde(default = "both")]
    stages: Vec<Stage>,
    when: Option<Spanned<String>>,
    require: Spanned<String>,
    otherwise: Otherwise,
    field: Spanned<String>,
    says: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Otherwise {
    Refuse,
    Ask,
}

fn both() -> Vec<Stage> {
    vec![Stage::Intake, Stage::Decision]
}

/// What a table is checked against.
struct Checker<'a> {
    codes: &'a Codes,
    file: PathBuf,
    text: String,
    values: BTreeMap<String, toml::Value>,
    application: MessageDescriptor,
    body: FieldDescriptor,
    details: MessageDescriptor,
    faults: Vec<Fault>,
}

impl Rulebook {
    /// Reads `rules/` of the configuration folder and of each province's party folder.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(
        folder: &Path,
        provinces: &[(String, PathBuf)],
        codes: &Codes,
    ) -> Result<Self, Vec<Fault>> {
        let (mut chapters, mut faults) = (HashMap::new(), Vec::new());
        for business in Business::ALL {
            let name = format!("{}.toml", business.code());
            let Some(mut base) = Checker::new(business, folder.join("rules").join(&name), codes)
            else {
                continue;
            };
            if base.text.is_empty() {
                faults.push(Fault::new(base.file, 0, "cannot be read; every business has rules"));
                continue;
            }
            let rules = base.compile(&[]);
            let mut own = Vec::new();
            for (province, party) in provinces {
                let file = party.join("rules").join(&name);
                let Some(mut more) = Checker::new(business, file, codes) else { continue };
                if more.text.is_empty() {
                    continue;
                }
                let declared = base.values.clone();
                more.values = declared.clone();
                let added = more.compile(&rules);
                more.refuse_unknown_values(&declared);
                faults.append(&mut more.faults);
                let all: Vec<_> = rules.iter().cloned().chain(added).collect();
                own.push((province.clone(), base.chapter(all, &more.values)));
            }
            faults.append(&mut base.faults);
            let values = base.values.clone();
            chapters.insert((business, String::new()), base.chapter(rules, &values));
            for (province, chapter) in own {
                chapters.insert((business, province), chapter);
            }
        }
        let env = Arc::new(Env::stdlib());
        if faults.is_empty() { Ok(Self { chapters, env }) } else { Err(faults) }
    }
}

impl<'a> Checker<'a> {
    fn new(business: Business, file: PathBuf, codes: &'a Codes) -> Option<Self> {
        let application = DESCRIPTORS.get_message_by_name("tongban.v1.Application")?;
        let body = application.get_field_by_json_name(&body_field(business))?;
        let Kind::Message(details) = body.kind() else { return None };
        let text = fs::read_to_string(&file).unwrap_or_default();
        let (values, faults) = (BTreeMap::new(), Vec::new());
        Some(Self { codes, file, text, values, application, body, details, faults })
    }

    fn say(&mut self, span: &Range<usize>, text: impl Into<String>) {
        let line = self.text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1);
        self.faults.push(Fault::new(self.file.clone(), line, text));
    }

    /// The rules of the file; `base` holds those of the file it adds to.
    fn compile(&mut self, base: &[Arc<Rule>]) -> Vec<Arc<Rule>> {
        let file: File = match toml::from_str(&self.text) {
            Ok(file) => file,
            Err(error) => {
                let span = error.span().unwrap_or_default();
                self.say(&span, error.message().to_owned());
                return Vec::new();
            }
        };
        self.values.extend(file.values);
        let mut rules: Vec<Arc<Rule>> = Vec::new();
        for entry in file.rules {
            let (span, entry) = (entry.span(), entry.into_inner());
            if base.iter().chain(&rules).any(|rule| rule.id == entry.id) {
                let text =
                    format!("rule `{}` stands already; a table may add, not replace", entry.id);
                self.say(&span, text);
                continue;
            }
            if let Some(rule) = self.rule(&span, entry) {
                rules.push(Arc::new(rule));
            }
        }
        rules
    }

    fn rule(&mut self, span: &Range<usize>, entry: Entry) -> Option<Rule> {
        for (name, text) in [("id", &entry.id), ("source", &entry.source), ("says", &entry.says)] {
            if text.is_empty() {
                self.say(span, format!("`{name}` must not be empty"));
            }
        }
        if entry.stages.is_empty() {
            self.say(span, "`stages` names none: the rule would never be asked");
        }
        let from = self.date(&entry.from);
        let until = entry.until.as_ref().and_then(|until| self.date(until));
        if let (Some(from), Some(until), Some(at)) = (from, until, &entry.until)
            && until < from
        {
            self.say(&at.span(), "`until` is before `from`: the rule never holds");
        }
        if !self.is_field(entry.field.get_ref()) {
            self.say(&entry.field.span(), format!("`{}` is no field", entry.field.get_ref()));
        }
        let when = entry.when.as_ref().map(|when| self.program(when));
        let require = self.program(&entry.require);
        let programs = [when.as_ref().and_then(Option::as_ref), require.as_ref()];
        let topics = topics(&programs);
        Some(Rule {
            id: entry.id,
            source: entry.source,
            from: from?,
            until,
            stages: entry.stages,
            when: match when {
                Some(program) => Some(program?),
                None => None,
            },
            require: require?,
            refuses: matches!(entry.otherwise, Otherwise::Refuse),
            topics,
            field: entry.field.into_inner(),
            says: entry.says,
        })
    }

    fn date(&mut self, at: &Spanned<toml::value::Datetime>) -> Option<Date> {
        let date = at.get_ref().to_string().parse().ok();
        if date.is_none() {
            self.say(&at.span(), "must be a date: 2026-01-31");
        }
        date
    }

    fn program(&mut self, text: &Spanned<String>) -> Option<Program> {
        let span = text.span();
        let program = match Program::compile(text.get_ref()) {
            Ok(program) => program,
            Err(error) => {
                let first = error.to_string().lines().next().unwrap_or_default().to_owned();
                self.say(&span, format!("is no expression: {first}"));
                return None;
            }
        };
        let mut walk = Walk::default();
        walk.expression(program.expression());
        if walk.paths.is_empty() {
            self.say(&span, "names no field: it would always or never hold");
        }
        for path in &walk.paths {
            if !self.is_path(path) {
                self.say(&span, format!("`{path}` is no field"));
            }
        }
        for (path, code) in &walk.codes {
            if let Some(list) = self.code_list(path)
                && !self.codes.get(&list).is_some_and(|known| known.contains(code))
            {
                self.say(&span, format!("`{code}` is no code of `{list}`: `{path}` never is it"));
            }
        }
        Some(program)
    }

    fn is_path(&self, path: &str) -> bool {
        match path.split_once('.') {
            _ if path == "day" => true,
            Some(("hub", _)) => {
                let below = format!("{path}.");
                HUB_PATHS.iter().any(|known| *known == path || known.starts_with(&below))
            }
            Some(("values", name)) => self.values.contains_key(name),
            Some(("application", rest)) => field(&self.application, rest).is_some(),
            Some(("details", rest)) => field(&self.details, rest).is_some(),
            _ => false,
        }
    }

    /// A canonical path as violations name it.
    fn is_field(&self, path: &str) -> bool {
        field(&self.application, path).is_some()
    }

    fn code_list(&self, path: &str) -> Option<String> {
        let (root, rest) = path.split_once('.')?;
        let message = if root == "details" { &self.details } else { &self.application };
        let field = field(message, rest)?;
        Some(rule_of(&field).code_list).filter(|list| !list.is_empty())
    }

    fn refuse_unknown_values(&mut self, base: &BTreeMap<String, toml::Value>) {
        let strange: Vec<String> =
            self.values.keys().filter(|key| !base.contains_key(*key)).cloned().collect();
        for key in strange {
            let at = self.text.find(&key).unwrap_or_default();
            self.say(&(at..at), format!("`{key}` is no value of the base table"));
        }
    }

    fn chapter(&self, rules: Vec<Arc<Rule>>, own: &BTreeMap<String, toml::Value>) -> Chapter {
        let mut wanted = Wanted::new(&self.body);
        for rule in &rules {
            for program in rule.when.iter().chain([&rule.require]) {
                let mut walk = Walk::default();
                walk.expression(program.expression());
                for path in &walk.paths {
                    let path = path.replace("[]", "");
                    let mut names = path.split('.');
                    let root = names.next().unwrap_or_default();
                    let names: Vec<&str> = names.collect();
                    let message = if root == "details" { &self.details } else { &self.application };
                    if matches!(root, "details" | "application") {
                        wanted.add(root, message, &names);
                    }
                }
            }
        }
        Chapter { rules, values: values(own), wanted }
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

fn topics(programs: &[Option<&Program>]) -> Vec<Topic> {
    let mut walk = Walk::default();
    programs.iter().flatten().for_each(|program| walk.expression(program.expression()));
    let named = |name: &str| {
        let root = format!("hub.{name}");
        walk.paths.iter().any(|path| path.starts_with(&root))
    };
    Topic::ALL.into_iter().filter(|(name, _)| named(name)).map(|(_, topic)| topic).collect()
}

/// Walks an expression: the paths it names, and the codes it compares them with.
#[derive(Default)]
struct Walk {
    paths: Vec<String>,
    codes: Vec<(String, String)>,
    /// Variables of comprehensions, and the list they run over; `None` for the macro's own.
    bound: Vec<(String, Option<String>)>,
}

impl Walk {
    fn expression(&mut self, expression: &IdedExpr) {
        if let Some(path) = self.path(expression) {
            if !path.is_empty() {
                self.paths.push(path);
            }
            return;
        }
        match &expression.expr {
            Expr::Call(call) => {
                if let [left, right] = &call.args[..]
                    && matches!(
                        call.func_name.as_str(),
                        operators::EQUALS | operators::NOT_EQUALS | operators::IN
                    )
                    && let Some(path) = self.path(left)
                {
                    let codes = literals(right).into_iter();
                    self.codes.extend(codes.map(|code| (path.clone(), code)));
                }
                call.target.iter().for_each(|target| self.expression(target));
                call.args.iter().for_each(|argument| self.expression(argument));
            }
            Expr::Comprehension(inner) => {
                self.expression(&inner.iter_range);
                let list = self.path(&inner.iter_range).map(|path| format!("{path}[]"));
                self.bound.push((inner.iter_var.clone(), list));
                self.bound.push((inner.accu_var.clone(), None));
                for part in [&inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result] {
                    self.expression(part);
                }
                self.bound.truncate(self.bound.len() - 2);
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.expression(element)),
            Expr::Select(select) => self.expression(&select.operand),
            _ => {}
        }
    }

    /// The path that an expression spells; empty for a macro's own variable.
    fn path(&self, expression: &IdedExpr) -> Option<String> {
        match &expression.expr {
            Expr::Ident(name) => match self.bound.iter().rev().find(|(bound, _)| bound == name) {
                Some((_, list)) => Some(list.clone().unwrap_or_default()),
                None => Some(name.clone()),
            },
            Expr::Select(select) => {
                let below = self.path(&select.operand)?;
                Some(format!("{below}.{}", select.field))
            }
            _ => None,
        }
    }
}

/// The texts of a literal, or of a list of literals.
fn literals(expression: &IdedExpr) -> Vec<String> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => vec![text.inner().to_owned()],
        Expr::List(list) => list.elements.iter().flat_map(literals).collect(),
        _ => Vec::new(),
    }
}
