//! What an expression names: paths, functions, and the literals it compares paths with. Knows CEL's
//! syntax tree and nothing of the business.

use cel::{
    Program,
    common::ast::{Expr, IdedExpr, LiteralValue, operators},
};

/// A literal of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Whole(i64),
    Truth(bool),
}

/// Walks expressions: all that they name.
#[derive(Default)]
pub(super) struct Walk {
    /// Every path; `[]` marks an item of a list.
    pub(super) paths: Vec<String>,
    /// Those whose presence is asked for by `has`.
    pub(super) tested: Vec<String>,
    /// A path and a literal that it is held against.
    pub(super) compared: Vec<(String, Literal)>,
    /// A path and a path that it is held against.
    pub(super) against: Vec<(String, String)>,
    pub(super) literals: Vec<Literal>,
    /// Functions, with how many arguments; what a method is called on is one.
    pub(super) calls: Vec<(String, usize)>,
    /// Variables of comprehensions, and the list they run over; `None` for the macro's own.
    bound: Vec<(String, Option<String>)>,
}

impl Walk {
    pub(super) fn of<'p>(programs: impl IntoIterator<Item = &'p Program>) -> Self {
        let mut walk = Self::default();
        programs.into_iter().for_each(|program| walk.expression(program.expression()));
        walk.paths.sort();
        walk.paths.dedup();
        walk
    }

    fn expression(&mut self, expression: &IdedExpr) {
        if let Some(path) = self.path(expression) {
            if !path.is_empty() {
                if matches!(&expression.expr, Expr::Select(select) if select.test) {
                    self.tested.push(path.clone());
                }
                self.paths.push(path);
            }
            return;
        }
        match &expression.expr {
            Expr::Literal(_) => self.literals.extend(literals(expression)),
            Expr::Call(call) => {
                let arguments = call.args.len() + usize::from(call.target.is_some());
                self.calls.push((call.func_name.clone(), arguments));
                if let [left, right] = &call.args[..] {
                    self.comparison(&call.func_name, left, right);
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

    fn comparison(&mut self, function: &str, left: &IdedExpr, right: &IdedExpr) {
        if ![operators::EQUALS, operators::NOT_EQUALS, operators::IN].contains(&function) {
            return;
        }
        for (one, other) in [(left, right), (right, left)] {
            let Some(path) = self.path(one).filter(|path| !path.is_empty()) else { continue };
            let held = literals(other).into_iter().map(|literal| (path.clone(), literal));
            self.compared.extend(held);
            let other = self.path(other).filter(|other| !other.is_empty());
            self.against.extend(other.map(|other| (path, other)));
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

/// A literal, or those of a list.
fn literals(expression: &IdedExpr) -> Vec<Literal> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => vec![Literal::Text(text.inner().to_owned())],
        Expr::Literal(LiteralValue::Int(number)) => vec![Literal::Whole(*number.inner())],
        Expr::Literal(LiteralValue::Boolean(truth)) => vec![Literal::Truth(*truth.inner())],
        Expr::List(list) => list.elements.iter().flat_map(literals).collect(),
        _ => Vec::new(),
    }
}
