//! Eligibility rules (资格预审规则) as data: CEL expressions in `config/rules/<business>.toml`, with
//! effective dates, sources and the sentence the citizen is told; a province adds its own in its
//! folder. How to write one: `docs/rules.md`. Depends on model.
//!
//! A rule holds, is broken, or cannot be told: what it needs is missing, or nobody has answered.
//! Only what is certainly broken is refused; what cannot be told is asked.

mod facts;
mod load;
mod prove;
mod rule;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cel::{Context, Env, Program, Value};
use jiff::{ToSpan as _, civil::Date};

pub use crate::business::rules::facts::{
    Benefit, Certificate, Couple, Facts, Household, Marital, Topic,
};
use crate::{
    business::rules::facts::Wanted,
    model::{
        clock::{full_months, full_years},
        divisions::Divisions,
        pb::{self, AskedOf, Business},
        problem::{Cause, Violation},
        resident_id::ResidentId,
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

/// The days that rules are judged on.
#[derive(Clone, Copy, Debug)]
pub struct Days {
    /// The day that the form or the decision bears: its writer chose it.
    dated: Date,
    /// The day it is judged for: [`Days::BACK`] before today at the earliest.
    day: Date,
    today: Date,
}

impl Days {
    /// How many days back a paper case may be judged for when it is entered late. Older papers are
    /// taken too, and judged for this day: nobody escapes a rule by an old date. \[P\]
    const BACK: i32 = 90;

    /// Of a form or a decision dated `dated`, on `today`.
    pub fn new(dated: Date, today: Date) -> Self {
        let back = today.saturating_sub(Self::BACK.days());
        Self { dated, day: dated.max(back), today }
    }

    /// The day it is judged for.
    pub const fn day(self) -> Date {
        self.day
    }
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
    /// The stages at which it is refused when it is broken; at the others it is asked.
    refused_at: Vec<Stage>,
    topics: Vec<Topic>,
    field: String,
    says: String,
    /// What is asked while it cannot be told, where `says` states a fact.
    asks: Option<String>,
}

/// What one province asks of one business.
struct Chapter {
    rules: Vec<Arc<Rule>>,
    values: Value,
    papers: Vec<Papers>,
    /// The province has a table of its own.
    tabled: bool,
    wanted: Wanted,
}

/// The kinds of paper (材料) that satisfy a rule, in the divisions whose codes begin so; a county's
/// list goes before its province's, and that before the country's.
#[derive(Clone, Default)]
struct Papers {
    division: String,
    kinds: BTreeMap<String, Vec<String>>,
}

/// Every rule of every business and province.
pub struct Rulebook {
    /// By business, and by province code; the empty code is the base.
    chapters: HashMap<(Business, String), Chapter>,
    /// CEL's own functions; built once, since that takes longer than all rules together.
    env: Arc<Env>,
    /// What codes of divisions mean today.
    divisions: Arc<Divisions>,
}

/// How many rules a business has.
pub struct RuleCount {
    /// Its code.
    pub business: String,
    /// Those of the country.
    pub country: usize,
    /// With those of each province that has its own.
    pub provinces: Vec<(String, usize)>,
}

impl Rulebook {
    /// The codes of a value as a province has set it, as numbers; empty for a value of another kind.
    pub fn codes(&self, business: Business, province: &str, name: &str) -> Vec<u8> {
        let of = |province: &str| self.chapters.get(&(business, province.to_owned()));
        let Some(chapter) = of(province).or_else(|| of("")) else { return Vec::new() };
        let Value::Map(values) = &chapter.values else { return Vec::new() };
        let value = values.map.iter().find(|(key, _)| key.to_string() == name);
        let Some((_, Value::List(codes))) = value else { return Vec::new() };
        let number = |code: &Value| match code {
            Value::String(code) => code.parse().ok(),
            _ => None,
        };
        codes.iter().filter_map(number).collect()
    }

    /// How many rules each business has: of the country, and with those of each province that has
    /// its own.
    pub fn count(&self) -> Vec<RuleCount> {
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
            RuleCount { business: business.code(), country, provinces }
        };
        Business::ALL.into_iter().map(of).collect()
    }

    /// What does not hold for certain, by the rules of `division` and its province. `hub`: what
    /// the national hub told; `None` before it is asked.
    pub fn judge(
        &self,
        (stage, division): (Stage, &str),
        application: &pb::Application,
        content: &[u8],
        days: Days,
        hub: Option<&Facts>,
    ) -> Vec<Finding> {
        let business = application.business();
        let county = self.divisions.county_today(division);
        let county = county.unwrap_or_else(|| division.to_owned());
        let province = county.get(..2).unwrap_or_default();
        let own = self.chapters.get(&(business, province.to_owned()));
        let base = || self.chapters.get(&(business, String::new()));
        let Some(chapter) = own.or_else(base) else { return Vec::new() };
        let in_force = |rule: &&Arc<Rule>| {
            rule.stages.contains(&stage)
                && rule.from <= days.day
                && rule.until.is_none_or(|until| days.day <= until)
        };
        let mut context = Context::with_env(Arc::clone(&self.env));
        let divisions = Arc::clone(&self.divisions);
        add_functions(&mut context, move |code| divisions.county_today(code));
        let (application, details) = chapter.wanted.read(content);
        context.add_variable_from_value("application", application);
        context.add_variable_from_value("details", details);
        context.add_variable_from_value("values", chapter.values.clone());
        context.add_variable_from_value("papers", papers(&chapter.papers, &county));
        context.add_variable_from_value("tabled", chapter.tabled);
        context.add_variable_from_value("stage", stage.name());
        context.add_variable_from_value("dated", days.dated.to_string());
        context.add_variable_from_value("day", days.day.to_string());
        context.add_variable_from_value("today", days.today.to_string());
        context.add_variable_from_value("hub", hub.map_or_else(Facts::nothing, Facts::value));
        let asked = |rule: &Arc<Rule>| finding(rule, stage, &context, hub);
        chapter.rules.iter().filter(in_force).filter_map(asked).collect()
    }

    /// Every rule, where it stands: business, province (empty for the country), and the rule.
    #[cfg(test)]
    fn list(&self) -> Vec<(Business, &str, &Rule)> {
        let mut chapters: Vec<_> = self.chapters.iter().collect();
        chapters.sort_by_key(|((business, province), _)| (*business as i32, province));
        let mut listed: Vec<(Business, &str, &Rule)> = Vec::new();
        for ((business, province), chapter) in chapters {
            for rule in &chapter.rules {
                // A province's chapter holds the country's rules too; each is listed once.
                if !listed.iter().any(|(of, _, known)| of == business && known.id == rule.id) {
                    listed.push((*business, province, rule));
                }
            }
        }
        listed
    }
}

impl Stage {
    /// As rules name it.
    const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Decision => "decision",
        }
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
            application_id: String::new(),
        }
    }
}

fn finding(
    rule: &Rule,
    stage: Stage,
    context: &Context<'_, '_>,
    hub: Option<&Facts>,
) -> Option<Finding> {
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
        Some(false) if rule.refused_at.contains(&stage) => Answer::Refuse,
        // The hub may yet tell what is missing; else somebody must look.
        None if rule.topics.iter().any(|topic| !hub.is_some_and(|facts| facts.told(*topic))) => {
            Answer::Ask(AskedOf::Hub)
        }
        Some(false) | None => Answer::Ask(AskedOf::Human),
    };
    let asks = rule.asks.as_ref().filter(|_| holds.is_none());
    Some(Finding {
        rule: rule.id.clone(),
        topics: if answer == Answer::Ask(AskedOf::Hub) { rule.topics.clone() } else { Vec::new() },
        answer,
        field: rule.field.clone(),
        says: asks.unwrap_or(&rule.says).clone(),
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

/// The functions of `docs/rules.md`, and how many arguments each takes. `county` tells what a code
/// of a division means today.
const FUNCTIONS: [(&str, usize); 5] =
    [("years", 2), ("months", 2), ("first", 2), ("county", 1), ("sex", 1)];

fn add_functions(
    context: &mut Context<'_, '_>,
    county: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) {
    type Text = Arc<String>;
    let missing = |function| move || cel::ExecutionError::function_error(function, "is missing");
    let dates = |from: &Text, to: &Text| Some((from.parse::<Date>().ok()?, to.parse().ok()?));
    // The names are ours alone: adding them cannot fail.
    _ = context.add_function("years", move |birth: Text, day: Text| {
        let count = dates(&birth, &day).map(|(birth, day)| i64::from(full_years(birth, day)));
        count.ok_or_else(missing("years"))
    });
    _ = context.add_function("months", move |since: Text, day: Text| {
        let count = dates(&since, &day).map(|(since, day)| i64::from(full_months(since, day)));
        count.ok_or_else(missing("months"))
    });
    _ = context.add_function("first", |text: Text, count: i64| {
        let count = usize::try_from(count).unwrap_or_default();
        text.chars().take(count).collect::<String>()
    });
    _ = context.add_function("county", move |code: Text| {
        county(&code).map(Value::from).ok_or_else(missing("county"))
    });
    _ = context.add_function("sex", move |number: Text| {
        let sex = ResidentId::parse(&number).ok().map(|id| Value::from(id.sex()));
        sex.ok_or_else(missing("sex"))
    });
}

/// For each rule that names papers, the kinds that the county wants.
fn papers(lists: &[Papers], county: &str) -> Value {
    let mut found: BTreeMap<&str, (usize, &Vec<String>)> = BTreeMap::new();
    for list in lists.iter().filter(|list| county.starts_with(&list.division)) {
        for (rule, kinds) in &list.kinds {
            let length = list.division.len();
            let nearer = found.get(rule.as_str()).is_none_or(|(known, _)| length >= *known);
            if nearer {
                found.insert(rule, (length, kinds));
            }
        }
    }
    let list = |kinds: &[String]| -> Value {
        kinds.iter().map(|kind| Value::from(kind.as_str())).collect::<Vec<Value>>().into()
    };
    let found = found.into_iter().map(|(rule, (_, kinds))| (rule.to_owned(), list(kinds)));
    found.collect::<HashMap<String, Value>>().into()
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
