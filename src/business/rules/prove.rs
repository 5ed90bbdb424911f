//! Tries a rule on every kind of application that it tells apart, before it may judge anybody: one
//! that concerns nobody, never or always holds, or cannot be evaluated with all its fields filled in,
//! is a fault of its table. Depends on what paths hold and on the rules' own functions.

use std::{collections::HashMap, sync::Arc};

use cel::{Context, Env, Program, Value};
use jiff::{ToSpan as _, civil::Date};

use crate::business::rules::{
    add_functions,
    facts::Holds,
    walk::{Literal, Walk},
};

/// What tries rules: CEL's environment, which takes long to build.
pub(super) struct Prover {
    env: Arc<Env>,
}

/// The part of a rule that a fault is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    When,
    Require,
}

/// What a rule names, with the values each path is tried with; `None` is absence.
struct Axis {
    path: String,
    tried: Vec<Option<Value>>,
}

/// Combinations tried before nothing more is claimed of a rule.
const MOST: usize = 20_000;

/// Combinations tried at least, for expressions that fail only on some.
const LEAST: usize = 12;

impl Prover {
    pub(super) fn new(env: Arc<Env>) -> Self {
        Self { env }
    }

    /// What is wrong with the rule; `holds` tells what a path holds, `fixed` are the variables that
    /// the table itself sets, `known` their texts and numbers.
    pub(super) fn fault(
        &self,
        (when, require): (Option<&Program>, &Program),
        holds: impl Fn(&str) -> Option<Holds>,
        (fixed, known): (&[(&str, Value)], &[Literal]),
    ) -> Option<(Part, String)> {
        let walk = Walk::of(when.into_iter().chain([require]));
        let axes = axes(&walk, holds, known);
        let mut context = Context::with_env(Arc::clone(&self.env));
        add_functions(&mut context, |code| code.get(..6).map(str::to_owned));
        for (name, value) in fixed {
            context.add_variable_from_value(*name, value.clone());
        }
        let total = axes.iter().map(|axis| axis.tried.len()).fold(1, usize::saturating_mul);
        let (mut concerned, mut held, mut broken) = (false, false, false);
        for turn in 0..total.min(MOST) {
            let point = Point::new(&axes, spread(turn, total));
            point.bind(&mut context);
            match when.map_or(Ok(Some(true)), |when| verdict(when, &context)) {
                Ok(Some(true)) => concerned = true,
                Ok(Some(false)) => continue,
                Ok(None) => return Some((Part::When, "is no yes or no".into())),
                Err(why) if point.whole => return Some((Part::When, unfit(&why))),
                Err(_) => continue,
            }
            match verdict(require, &context) {
                Ok(Some(true)) => held = true,
                Ok(Some(false)) => broken = true,
                Ok(None) => return Some((Part::Require, "is no yes or no".into())),
                Err(why) if point.whole => return Some((Part::Require, unfit(&why))),
                Err(_) => {}
            }
            if held && broken && turn >= LEAST {
                return None;
            }
        }
        if total > MOST {
            return None;
        }
        match (concerned, held, broken) {
            (false, ..) => {
                Some((Part::When, "is never true: the rule would concern nobody".into()))
            }
            (_, false, _) => Some((Part::Require, "can never be true: nobody would pass".into())),
            (_, _, false) => Some((Part::Require, "is always true: it asks nothing".into())),
            _ => None,
        }
    }
}

/// One combination.
struct Point<'a> {
    chosen: Vec<(&'a str, &'a Option<Value>)>,
    /// Nothing is absent.
    whole: bool,
}

impl<'a> Point<'a> {
    fn new(axes: &'a [Axis], mut number: usize) -> Self {
        let mut chosen = Vec::with_capacity(axes.len());
        for Axis { path, tried } in axes {
            chosen.push((path.as_str(), &tried[number % tried.len()]));
            number /= tried.len();
        }
        let whole = chosen.iter().all(|(_, value)| value.is_some());
        Self { chosen, whole }
    }

    fn bind(&self, context: &mut Context<'_, '_>) {
        let mut roots: HashMap<&str, Tree> = HashMap::new();
        let absent = |path: &str| {
            self.chosen.iter().any(|(other, value)| {
                value.is_none()
                    && path.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'))
            })
        };
        for (path, value) in &self.chosen {
            let Some(value) = value.as_ref().filter(|_| !absent(path)) else { continue };
            let (root, rest) = path.split_once('.').unwrap_or((path, ""));
            roots.entry(root).or_default().set(rest, value);
        }
        for root in ["application", "details", "hub"] {
            roots.entry(root).or_default();
        }
        for (root, tree) in roots {
            context.add_variable_from_value(root, tree.value());
        }
    }
}

/// Values by path.
#[derive(Default)]
struct Tree {
    own: Option<Value>,
    below: HashMap<String, Self>,
}

impl Tree {
    fn set(&mut self, path: &str, value: &Value) {
        match path.split_once('.') {
            _ if path.is_empty() => self.own = Some(value.clone()),
            Some((name, rest)) => self.below.entry(name.to_owned()).or_default().set(rest, value),
            None => self.below.entry(path.to_owned()).or_default().set("", value),
        }
    }

    fn value(self) -> Value {
        match self.own {
            Some(value) if self.below.is_empty() => value,
            _ => {
                let below = self.below.into_iter().map(|(name, tree)| (name, tree.value()));
                below.collect::<HashMap<String, Value>>().into()
            }
        }
    }
}

/// Yes or no; `None` for anything else.
fn verdict(program: &Program, context: &Context<'_, '_>) -> Result<Option<bool>, String> {
    match program.execute(context) {
        Ok(Value::Bool(truth)) => Ok(Some(truth)),
        Ok(_) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn unfit(why: &str) -> String {
    format!("cannot be evaluated although every field is filled in: {why}")
}

/// The combinations in an order that tries far ones first; each once.
fn spread(turn: usize, total: usize) -> usize {
    // A prime: no count of combinations but its multiples shares a factor with it.
    const STEP: usize = 1_000_003;
    if total.is_multiple_of(STEP) { turn } else { (turn % total).wrapping_mul(STEP) % total }
}

fn axes(walk: &Walk, holds: impl Fn(&str) -> Option<Holds>, known: &[Literal]) -> Vec<Axis> {
    let known: Vec<Literal> = walk.literals.iter().chain(known).cloned().collect();
    let mut axes = Vec::new();
    let fixed = |path: &str| path.starts_with("values.") || path.starts_with("papers.");
    for path in walk.paths.iter().filter(|path| !path.contains("[]") && !fixed(path)) {
        let mut tried: Vec<Option<Value>> = match holds(path) {
            Some(Holds::List) => lists(walk, &holds, path, &known),
            Some(Holds::Fields) => vec![HashMap::<String, Value>::new().into()],
            Some(holds) => values(&holds, &known),
            None => continue,
        }
        .into_iter()
        .map(Some)
        .collect();
        if walk.tested.contains(path) {
            tried.push(None);
        }
        axes.push(Axis { path: path.clone(), tried });
    }
    axes
}

/// Lists to try: none, one of each item, and all items.
fn lists(
    walk: &Walk,
    holds: &impl Fn(&str) -> Option<Holds>,
    path: &str,
    known: &[Literal],
) -> Vec<Value> {
    const MOST_ITEMS: usize = 400;
    let below = format!("{path}[].");
    let mut items: Vec<HashMap<String, Value>> = vec![HashMap::new()];
    for field in walk.paths.iter().filter_map(|other| other.strip_prefix(&below)) {
        let Some(holds) = holds(&format!("{below}{field}")) else { continue };
        let mut more = Vec::new();
        for value in values(&holds, known) {
            more.extend(items.iter().cloned().map(|mut item| {
                item.insert(field.to_owned(), value.clone());
                item
            }));
        }
        more.truncate(MOST_ITEMS);
        items = more;
    }
    let items: Vec<Value> = items.into_iter().map(Value::from).collect();
    let single = items.iter().map(|item| Value::from(vec![item.clone()]));
    let several = [vec![], [items.clone(), items.clone()].concat()].map(Value::from);
    several.into_iter().chain(single).collect()
}

/// Values of every kind that the literals tell apart.
fn values(holds: &Holds, known: &[Literal]) -> Vec<Value> {
    let texts: Vec<&str> = known.iter().filter_map(text_of).collect();
    let all = |texts: Vec<String>| texts.into_iter().map(|text| Value::from(text.as_str()));
    match holds {
        Holds::Truth => vec![true.into(), false.into()],
        Holds::Whole => {
            let numbers = known.iter().filter_map(whole_of).flat_map(|n| [n, n - 1, n + 1]);
            [0, i64::from(u32::MAX)].into_iter().chain(numbers).map(Value::Int).collect()
        }
        Holds::Code(codes) => {
            let named = |code: &&String| texts.iter().any(|text| text.contains(code.as_str()));
            let other = codes.iter().find(|code| !named(code)).cloned();
            let named: Vec<String> = codes.iter().filter(named).cloned().collect();
            all(named.into_iter().chain(other).collect()).collect()
        }
        Holds::Day => all(days(known)).collect(),
        Holds::Month => ["2026-01", "2026-02", "2025-12"].map(Value::from).into(),
        Holds::Division => {
            let digits = |text: &&&str| text.len() >= 2 && text.bytes().all(|b| b.is_ascii_digit());
            let named = texts.iter().filter(digits).map(|text| format!("{text:0<6}"));
            let some = ["230103", "440305001"].map(str::to_owned);
            all(some.into_iter().chain(named).collect()).collect()
        }
        // GB 11643's own examples: a woman's and a man's.
        Holds::Number => ["11010519491231002X", "440524188001010014"].map(Value::from).into(),
        Holds::Text => {
            let texts = texts.iter().map(|text| (*text).to_owned()).chain(["x".to_owned()]);
            all(texts.collect()).collect()
        }
        Holds::Fields | Holds::List => Vec::new(),
    }
}

/// Days around today, and around what the numbers of an expression count in years and months, as
/// far as people live.
fn days(known: &[Literal]) -> Vec<String> {
    let today = Date::constant(2026, 1, 15);
    let mut days = vec![today, today.saturating_sub(1.day()), today.saturating_add(1.day())];
    let counts = known.iter().filter_map(whole_of).filter_map(|n| i16::try_from(n).ok());
    for count in counts.filter(|count| (1..=130).contains(count)) {
        let back = [today.saturating_sub(count.years()), today.saturating_sub(count.months())];
        days.extend(back.into_iter().flat_map(|day| [day, day.saturating_add(1.day())]));
    }
    let named = known.iter().filter_map(text_of).filter_map(|text| text.parse::<Date>().ok());
    days.extend(named.flat_map(|day| [day, day.saturating_add(1.day())]));
    days.iter().map(Date::to_string).collect()
}

fn text_of(literal: &Literal) -> Option<&str> {
    match literal {
        Literal::Text(text) => Some(text),
        Literal::Whole(_) | Literal::Truth(_) => None,
    }
}

const fn whole_of(literal: &Literal) -> Option<i64> {
    match literal {
        Literal::Whole(number) => Some(*number),
        Literal::Text(_) | Literal::Truth(_) => None,
    }
}
