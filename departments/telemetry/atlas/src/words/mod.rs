//! The words of the stack language: their forms, what each does, and what a person is told of it.

mod data;
mod lines;
mod queries;
mod stack;
mod style;

use std::sync::Arc;

use backlot_series::Query;

use crate::expr::{Kind, Named, On};
use crate::stack::{Item, Machine};
use crate::{Error, Expr};

/// Longest window of a function of earlier values: a day of seconds. Each line of such a function holds as many values.
pub const LONGEST_WINDOW: usize = 86_400;

/// What an operand must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    Any,
    Text,
    Number,
    Query,
    /// Lines: an expression, styled or not, a query (its sum), a number.
    Lines,
    List,
}

impl Operand {
    fn fits(self, item: &Item) -> bool {
        match self {
            Self::Any => true,
            Self::Text => matches!(item, Item::Text(_)),
            Self::Number => item.as_number().is_some(),
            Self::Query => matches!(item, Item::Query(_)),
            Self::Lines => {
                matches!(item, Item::Query(_) | Item::Expr(_) | Item::Styled(_)) || item.as_number().is_some()
            }
            Self::List => matches!(item, Item::List(_)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Any => "Any",
            Self::Text => "String",
            Self::Number => "Number",
            Self::Query => "Query",
            Self::Lines => "TimeSeriesExpr",
            Self::List => "List",
        }
    }
}

/// One form of a word.
pub struct Form {
    /// The word, without its colon.
    pub word: &'static str,
    operands: &'static [Operand],
    result: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    action: fn(&mut Machine) -> Result<(), Error>,
}

impl Form {
    /// Operands and result: `TimeSeriesExpr Number -- TimeSeriesExpr`.
    pub fn signature(&self) -> String {
        let operands: Vec<&str> = self.operands.iter().map(|operand| operand.name()).collect();
        format!("{} -- {}", operands.join(" "), self.result).trim().to_owned()
    }

    pub(crate) fn fits(&self, stack: &[Item]) -> bool {
        let Some(under) = stack.len().checked_sub(self.operands.len()) else { return false };
        self.operands.iter().zip(&stack[under..]).all(|(operand, item)| operand.fits(item))
    }
}

pub(crate) fn execute(machine: &mut Machine, form: &Form) -> Result<(), Error> {
    (form.action)(machine)
}

/// Every form of every word.
pub fn all() -> impl Iterator<Item = &'static Form> {
    [stack::FORMS, queries::FORMS, data::FORMS, lines::FORMS, style::FORMS].into_iter().flatten()
}

/// The forms of a word, in the order in which they are tried.
pub(crate) fn forms(word: &str) -> impl Iterator<Item = &'static Form> {
    all().filter(move |form| form.word == word)
}

/// The words that could follow a text: those with a form that fits the stack after it.
///
/// # Errors
/// A text that cannot be executed.
pub fn completions(text: &str) -> Result<Vec<&'static Form>, Error> {
    let machine = Machine::execute(text)?;
    // Words that take anything or nothing fit always; they are no help unless there is something to work on.
    Ok(all().filter(|form| form.fits(&machine.stack)).collect())
}

/// Replaces the lines on the stack by a function of them; how they are shown stays.
fn on_lines(machine: &mut Machine, function: impl FnOnce(Expr) -> Result<Kind, Error>) -> Result<(), Error> {
    let mut styled = machine.pop_styled()?;
    styled.expr = Expr::new(function(styled.expr)?)?;
    machine.push(styled)
}

/// Replaces a query or lines by what a macro makes of them, and remembers the call.
fn named(
    machine: &mut Machine,
    name: &str,
    parameters: Vec<Arc<str>>,
    body: impl FnOnce(&mut Machine) -> Result<(), Error>,
) -> Result<(), Error> {
    let (on, settings) = match machine.pop()? {
        Item::Query(query) => (On::Query(query), Default::default()),
        other => {
            let styled = other.to_styled()?;
            (On::Expr(styled.expr), styled.settings)
        }
    };
    match &on {
        On::Query(query) => machine.push(query.clone())?,
        On::Expr(expr) => machine.push(expr.clone())?,
    }
    body(machine)?;
    let expr = machine.pop_expr()?;
    let expr = Expr::new(Kind::Named(Named { name: name.into(), parameters, on, expr }))?;
    machine.push(crate::Styled { expr, settings })
}

/// A condition on a key's value.
fn condition(
    machine: &mut Machine,
    make: impl FnOnce(Arc<str>, Arc<str>) -> Result<Query, Error>,
) -> Result<(), Error> {
    let value = machine.pop_text()?;
    let key = machine.pop_text()?;
    machine.push(make(key, value)?)
}
