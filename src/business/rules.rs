//! Eligibility rules (资格预审规则) as data: CEL expressions in `config/rules/<business>.toml`, with
//! effective dates, sources and the sentence the citizen is told; a province adds its own in its
//! folder. How to write one: `docs/rules.md`. Depends on model.
//!
//! A rule holds, is broken, or cannot be told: what it needs is missing, or nobody has answered.
//! Only what is certainly broken is refused; what cannot be told is asked.

mod facts;
mod load;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cel::{Context, Env, Program, Value};
use jiff::civil::Date;

pub use crate::business::rules::facts::{Benefit, Certificate, Facts, Household, Marital, Topic};
use crate::{
    business::rules::facts::Wanted,
    model::{
        clock::full_years,
        pb::{self, AskedOf, Business},
        problem::{Cause, Violation},
    },
};

/// When a rule is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// When an application is taken in.
    Intake,
    /// Before a grant is recorded.
    Decision,
}

/// How a rule ended that does not hold for certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is broken.
    Refuse,
    /// It cannot be told; who can.
    Ask(AskedOf),
}

/// A rule that does not hold for certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its id.
    pub rule: String,
    /// Refused or asked.
    pub answer: Answer,
    /// What the hub must be asked to tell; empty when it would not help.
    pub topics: Vec<Topic>,
    /// Canonical path of the field it is about.
    pub field: String,
    /// The sentence.
    pub says: String,
    /// The regulation.
    pub source: String,
}

/// One compiled rule.
struct Rule {
    id: String,
    source: String,
    from: Date,
    until: Option<Date>,
    stages: Vec<Stage>,
    when: Option<Program>,
    require: Program,
    refuses: bool,
    topics: Vec<Topic>,
    field: String,
    says: String,
}

/// What one province asks of one business.
struct Chapter {
    rules: Vec<Arc<Rule>>,
    values: Value,
    wanted: Wanted,
}

/// Every rule of every business and province.
pub struct Rulebook {
    /// By business, and by province code; the empty code is the base.
    chapters: HashMap<(Business, String), Chapter>,
    /// CEL's own functions; built once, since that takes longer than all rules together.
    env: Arc<Env>,
}

impl Rulebook {
    /// How many rules each business has: of the country, and with those of each province that has
    /// its own.
    pub fn count(&self) -> Vec<(String, usize, Vec<(String, usize)>)> {
        let of = |business: Business| {
            let chapters = self.chapters.iter().filter(|((of, _), _)| *of == business);
            let (mut country, mut provinces) = (0, Vec::new());
            for ((_, province), chapter) in chapters {
                match province.as_str() {
                    "" => country = chapter.rules.len(),
                    _ => provinces.push((province.clone(), chapter.rules.len())),
                }
            }
            provinces.sort();
            (business.code(), country, provinces)
        };
        Business::ALL.into_iter().map(of).collect()
    }

    /// What does not hold for certain, as judged on `day` by the rules of `province`. `hub`: what
    /// the national hub told; `None` before it is asked.
    pub fn judge(
        &self,
        (stage, province): (Stage, &str),
        application: &pb::Application,
        content: &[u8],
        day: Date,
        hub: Option<&Facts>,
    ) -> Vec<Finding> {
        let business = application.business();
        let own = self.chapters.get(&(business, province.to_owned()));
        let base = || self.chapters.get(&(business, String::new()));
        let Some(chapter) = own.or_else(base) else { return Vec::new() };
        let in_force = |rule: &&Arc<Rule>| {
            rule.stages.contains(&stage)
                && rule.from <= day
                && rule.until.is_none_or(|until| day <= until)
        };
        let mut context = Context::with_env(Arc::clone(&self.env));
        add_functions(&mut context);
        let (application, details) = chapter.wanted.read(content);
        context.add_variable_from_value("application", application);
        context.add_variable_from_value("details", details);
        context.add_variable_from_value("values", chapter.values.clone());
        context.add_variable_from_value("day", day.to_string());
        context.add_variable_from_value("hub", hub.map_or_else(Facts::nothing, Facts::value));
        let asked = |rule: &Arc<Rule>| finding(rule, &context, hub);
        chapter.rules.iter().filter(in_force).filter_map(asked).collect()
    }

    /// Every rule, where it stands: business, province (empty for the country), and id, sentence
    /// and source.
    pub fn list(&self) -> Vec<(Business, &str, [&str; 3])> {
        let mut chapters: Vec<_> = self.chapters.iter().collect();
        chapters.sort_by_key(|((business, province), _)| (*business as i32, province));
        let mut listed: Vec<(Business, &str, [&str; 3])> = Vec::new();
        for ((business, province), chapter) in chapters {
            for rule in &chapter.rules {
                // A province's chapter holds the country's rules too; each is listed once.
                let known = listed.iter().any(|(of, _, [id, ..])| of == business && *id == rule.id);
                if !known {
                    listed.push((*business, province, [&rule.id, &rule.says, &rule.source]));
                }
            }
        }
        listed
    }
}

impl Finding {
    /// As a violation: the sentence with the rule and its source.
    pub fn violation(&self) -> Violation {
        let text = format!("{}（{}，{}）", self.says, self.rule, self.source);
        Violation::of(Cause::Eligibility, self.field.clone(), text)
    }

    /// As an open question of the application.
    pub fn check(&self) -> pb::RuleCheck {
        let asked_of = match self.answer {
            Answer::Ask(whom) => whom,
            Answer::Refuse => AskedOf::Unspecified,
        };
        pb::RuleCheck {
            rule: self.rule.clone(),
            field: self.field.clone(),
            says: self.says.clone(),
            asked_of: asked_of as i32,
            source: self.source.clone(),
        }
    }
}

fn finding(rule: &Rule, context: &Context<'_, '_>, hub: Option<&Facts>) -> Option<Finding> {
    let concerned = match &rule.when {
        None => Some(true),
        Some(when) => told(when, context),
    };
    if concerned == Some(false) {
        return None;
    }
    let holds = concerned.and_then(|_| told(&rule.require, context));
    let answer = match holds {
        Some(true) => return None,
        Some(false) if rule.refuses => Answer::Refuse,
        // The hub may yet tell what is missing; else somebody must look.
        None if rule.topics.iter().any(|topic| !hub.is_some_and(|facts| facts.told(*topic))) => {
            Answer::Ask(AskedOf::Hub)
        }
        Some(false) | None => Answer::Ask(AskedOf::Human),
    };
    Some(Finding {
        rule: rule.id.clone(),
        topics: if answer == Answer::Ask(AskedOf::Hub) { rule.topics.clone() } else { Vec::new() },
        answer,
        field: rule.field.clone(),
        says: rule.says.clone(),
        source: rule.source.clone(),
    })
}

/// Whether it is true; `None` when that cannot be told.
fn told(program: &Program, context: &Context<'_, '_>) -> Option<bool> {
    match program.execute(context) {
        Ok(Value::Bool(told)) => Some(told),
        Ok(_) | Err(_) => None,
    }
}

/// `years(birth, day)`: full years (周岁); `first(code, n)`: the first n characters.
fn add_functions(context: &mut Context<'_, '_>) {
    // The names are ours alone: adding them cannot fail.
    _ = context.add_function("years", |birth: Arc<String>, day: Arc<String>| {
        let dates = (birth.parse::<Date>(), day.parse::<Date>());
        match dates {
            (Ok(birth), Ok(day)) => Ok(i64::from(full_years(birth, day))),
            _ => Err(cel::ExecutionError::function_error("years", "a date is missing")),
        }
    });
    _ = context.add_function("first", |text: Arc<String>, count: i64| {
        let count = usize::try_from(count).unwrap_or_default();
        text.chars().take(count).collect::<String>()
    });
}

/// The file's own values as CEL has them.
fn values(values: &BTreeMap<String, toml::Value>) -> Value {
    let map: HashMap<String, Value> =
        values.iter().map(|(key, value)| (key.clone(), as_cel(value))).collect();
    map.into()
}

fn as_cel(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => Value::Int(*number),
        toml::Value::Boolean(truth) => Value::Bool(*truth),
        toml::Value::Array(items) => items.iter().map(as_cel).collect::<Vec<Value>>().into(),
        other => other.to_string().into(),
    }
}
