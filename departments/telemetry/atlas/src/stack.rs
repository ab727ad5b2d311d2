//! The stack machine: tokens in, expressions out.
//!
//! A token is a word (`:word`), which takes its operands from the stack and puts its results there, or a text, which goes onto the stack. Between
//! `(` and `)` nothing is executed: the tokens become a list. A word may have several forms; the first whose operands fit the stack
//! is executed. What words there are, and their forms, stands in [`crate::words`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use backlot_series::{Query, StackWord};

use crate::data::{Aggregate, DataExpr};
use crate::expr::Kind;
use crate::lex::{tokens, unescape};
use crate::words::{self, Form};
use crate::{Error, Expr, Styled, number};

/// Most items on the stack, and in a list.
pub(crate) const MOST_ITEMS: usize = 1024;

/// Deepest nesting of executed lists and macros.
const DEEPEST_CALL: usize = 10;

/// Most words executed by one expression: lists that execute lists multiply.
const MOST_WORDS: usize = 100_000;

/// Deepest nesting of lists in lists.
const DEEPEST_LIST: usize = 16;

/// Most items in a list and the lists in it.
const HEAVIEST_LIST: usize = 100_000;

/// What lies on the stack.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Item {
    /// A text, as written.
    Text(Arc<str>),
    /// Items that nobody has executed.
    List(List),
    /// A condition.
    Query(Query),
    /// Lines.
    Expr(Expr),
    /// Lines and how they are shown.
    Styled(Styled),
}

/// A list of items.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    items: Arc<Vec<Item>>,
    depth: usize,
    weight: usize,
}

impl List {
    /// A list.
    ///
    /// # Errors
    /// Too many items, or too deeply nested.
    pub fn new(items: Vec<Item>) -> Result<Self, Error> {
        let lists =
            || items.iter().filter_map(|item| if let Item::List(list) = item { Some(list) } else { None });
        let depth = 1 + lists().map(|list| list.depth).max().unwrap_or(0);
        let weight = items.len() + lists().map(|list| list.weight).sum::<usize>();
        if items.len() > MOST_ITEMS || depth > DEEPEST_LIST || weight > HEAVIEST_LIST {
            return Err(Error::state(format!(
                "the list is too large; at most {MOST_ITEMS} items, nested {DEEPEST_LIST} deep, are taken"
            )));
        }
        Ok(Self { items: Arc::new(items), depth, weight })
    }

    /// Its items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Its items as texts, escapes replaced; `None` if one is no text.
    pub fn texts(&self) -> Option<Vec<Arc<str>>> {
        let text = |item: &Item| if let Item::Text(text) = item { Some(unescape(text)) } else { None };
        self.items.iter().map(text).collect()
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text}"),
            Self::List(list) => {
                f.write_str("(,")?;
                for item in list.items() {
                    write!(f, "{item},")?;
                }
                f.write_str(")")
            }
            Self::Query(query) => write!(f, "{query}"),
            Self::Expr(expr) => write!(f, "{expr}"),
            Self::Styled(styled) => write!(f, "{styled}"),
        }
    }
}

impl Item {
    /// A text with what would end it escaped.
    pub fn text(text: &str) -> Self {
        Self::Text(StackWord(text).to_string().into())
    }

    /// As lines: an expression, a sum over a query, a number.
    ///
    /// # Errors
    /// Anything else.
    pub fn to_styled(&self) -> Result<Styled, Error> {
        match self {
            Self::Styled(styled) => Ok(styled.clone()),
            Self::Expr(expr) => Ok(Styled::plain(expr.clone())),
            Self::Query(query) => {
                Ok(Styled::plain(Expr::new(Kind::Data(DataExpr::new(query.clone(), Aggregate::Sum)))?))
            }
            Self::Text(text) => match number::parse(text) {
                Some(value) => Ok(Styled::plain(Expr::new(Kind::Constant(value))?)),
                None => Err(Error::argument(format!(
                    "the text `{}` is left on the stack; it is neither a number nor an expression",
                    shortened(text)
                ))),
            },
            Self::List(_) => Err(Error::argument("a list is left on the stack; it is not an expression")),
        }
    }
}

pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

/// What one token did: the stack and the variables after it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The tokens that were still to execute before it, as text.
    pub program: String,
    /// The stack before it, the top first.
    pub stack: Vec<String>,
    /// The variables before it.
    pub variables: BTreeMap<String, String>,
}

/// The machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub(crate) stack: Vec<Item>,
    pub(crate) variables: BTreeMap<Arc<str>, Item>,
    frozen: Vec<Item>,
    executed: usize,
    depth: usize,
}

impl Machine {
    /// Executes a text and gives the machine after it.
    ///
    /// # Errors
    /// An unknown word, a word whose operands are not there, a limit.
    pub fn execute(text: &str) -> Result<Self, Error> {
        let mut machine = Self::default();
        machine.run(&tokens(text)?)?;
        Ok(machine)
    }

    /// Executes a text token by token.
    ///
    /// # Errors
    /// As [`Machine::execute`].
    pub fn trace(text: &str) -> Result<Vec<Step>, Error> {
        /// Most tokens that are traced: each shows the whole stack.
        const LONGEST_TRACE: usize = 500;
        let all = tokens(text)?;
        if all.len() > LONGEST_TRACE {
            return Err(Error::TooLarge(format!("at most {LONGEST_TRACE} tokens are shown one by one")));
        }
        let mut machine = Self::default();
        let mut steps = Vec::new();
        let mut at = 0;
        loop {
            let variables =
                machine.variables.iter().map(|(name, item)| (name.to_string(), item.to_string())).collect();
            let stack = machine.stack().iter().rev().map(ToString::to_string).collect();
            steps.push(Step { program: all[at..].join(","), stack, variables });
            if at == all.len() {
                return Ok(steps);
            }
            let next = at + group_length(&all[at..])?;
            machine.run(&all[at..next])?;
            at = next;
        }
    }

    /// The stack, the top last.
    pub fn stack(&self) -> Vec<Item> {
        self.frozen.iter().chain(&self.stack).cloned().collect()
    }

    /// Executes tokens.
    pub(crate) fn run(&mut self, tokens: &[Arc<str>]) -> Result<(), Error> {
        let mut at = 0;
        while at < tokens.len() {
            let length = group_length(&tokens[at..])?;
            let token = &tokens[at];
            if &**token == "(" {
                let items = tokens[at + 1..at + length - 1].iter().cloned().map(Item::Text).collect();
                self.push(Item::List(List::new(items)?))?;
            } else if let Some(word) = token.strip_prefix(':') {
                self.word(word)?;
            } else {
                self.push(Item::Text(token.clone()))?;
            }
            at += length;
        }
        Ok(())
    }

    /// Executes a list's items as tokens.
    pub(crate) fn call(&mut self, list: &List) -> Result<(), Error> {
        if self.depth == DEEPEST_CALL {
            return Err(Error::state(format!(
                "looping detected: calls are nested more than {DEEPEST_CALL} deep"
            )));
        }
        self.depth += 1;
        let mut tokens = Vec::with_capacity(list.items.len());
        for item in list.items() {
            match item {
                Item::Text(token) => tokens.push(token.clone()),
                other => {
                    self.run(&std::mem::take(&mut tokens))?;
                    self.push(other.clone())?;
                }
            }
        }
        self.run(&tokens)?;
        self.depth -= 1;
        Ok(())
    }

    /// Executes a text of ours.
    pub(crate) fn run_macro(&mut self, text: &str) -> Result<(), Error> {
        self.call(&List::new(tokens(text)?.into_iter().map(Item::Text).collect())?)
    }

    fn word(&mut self, word: &str) -> Result<(), Error> {
        self.executed += 1;
        if self.executed > MOST_WORDS {
            return Err(Error::TooLarge(format!("the expression executes more than {MOST_WORDS} words")));
        }
        let forms: Vec<&Form> = words::forms(word).collect();
        if forms.is_empty() {
            return Err(Error::state(format!("unknown word ':{}'", shortened(word))));
        }
        match forms.iter().find(|form| form.fits(&self.stack)) {
            Some(form) => words::execute(self, form),
            None => {
                let candidates: Vec<String> =
                    forms.iter().map(|form| format!("[{}]", form.signature())).collect();
                let top: Vec<String> =
                    self.stack.iter().rev().take(4).map(|item| shortened(&item.to_string())).collect();
                Err(Error::state(format!(
                    "no matches for word ':{word}' with stack [{}], candidates: {}",
                    top.join(" -> "),
                    candidates.join(", ")
                )))
            }
        }
    }

    pub(crate) fn push(&mut self, item: impl Into<Item>) -> Result<(), Error> {
        if self.stack.len() + self.frozen.len() >= MOST_ITEMS {
            return Err(Error::state(format!("the stack holds at most {MOST_ITEMS} items")));
        }
        self.stack.push(item.into());
        Ok(())
    }

    pub(crate) fn push_kind(&mut self, kind: Kind) -> Result<(), Error> {
        self.push(Expr::new(kind)?)
    }

    /// Moves all that is on the stack out of reach, and forgets the variables.
    pub(crate) fn freeze(&mut self) {
        self.frozen.append(&mut self.stack);
        self.variables.clear();
    }

    pub(crate) fn clear(&mut self) {
        self.stack.clear();
    }

    pub(crate) fn pop(&mut self) -> Result<Item, Error> {
        self.stack.pop().ok_or_else(|| Error::state("the stack is empty"))
    }

    pub(crate) fn pop_text(&mut self) -> Result<Arc<str>, Error> {
        match self.pop()? {
            Item::Text(text) => Ok(unescape(&text)),
            // A number may have been made an expression.
            Item::Expr(expr) => match expr.kind() {
                Kind::Constant(value) => Ok(number::text(*value).into()),
                _ => Err(Error::argument("a text is wanted, not lines")),
            },
            _ => Err(Error::argument("a text is wanted")),
        }
    }

    pub(crate) fn pop_number(&mut self) -> Result<f64, Error> {
        let item = self.pop()?;
        item.as_number()
            .ok_or_else(|| Error::argument(format!("`{}` is not a number", shortened(&item.to_string()))))
    }

    pub(crate) fn pop_whole(&mut self, most: usize) -> Result<usize, Error> {
        let value = self.pop_number()?;
        if value.fract() == 0.0 && (0.0..=most as f64).contains(&value) {
            Ok(value as usize)
        } else {
            Err(Error::argument(format!("{} is not a whole number from 0 to {most}", number::text(value))))
        }
    }

    pub(crate) fn pop_list(&mut self) -> Result<List, Error> {
        match self.pop()? {
            Item::List(list) => Ok(list),
            _ => Err(Error::argument("a list is wanted")),
        }
    }

    pub(crate) fn pop_texts(&mut self) -> Result<Vec<Arc<str>>, Error> {
        self.pop_list()?.texts().ok_or_else(|| Error::argument("a list of texts is wanted"))
    }

    pub(crate) fn pop_query(&mut self) -> Result<Query, Error> {
        match self.pop()? {
            Item::Query(query) => Ok(query),
            _ => Err(Error::argument("a query is wanted")),
        }
    }

    pub(crate) fn pop_styled(&mut self) -> Result<Styled, Error> {
        self.pop()?.to_styled()
    }

    pub(crate) fn pop_expr(&mut self) -> Result<Expr, Error> {
        Ok(self.pop_styled()?.expr)
    }
}

impl Item {
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => number::parse(text),
            Self::Expr(expr) => match expr.kind() {
                Kind::Constant(value) => Some(*value),
                _ => None,
            },
            _ => None,
        }
    }
}

/// How many tokens the first item takes: a list is one item.
fn group_length(tokens: &[Arc<str>]) -> Result<usize, Error> {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        match &**token {
            "(" => depth += 1,
            ")" if depth == 0 => return Err(Error::state("unmatched closing parenthesis")),
            ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(at + 1);
        }
    }
    Err(Error::state("unmatched opening parenthesis"))
}

impl From<Query> for Item {
    fn from(query: Query) -> Self {
        Self::Query(query)
    }
}

impl From<Expr> for Item {
    fn from(expr: Expr) -> Self {
        Self::Expr(expr)
    }
}

impl From<Styled> for Item {
    /// Lines without a style of their own are just lines.
    fn from(styled: Styled) -> Self {
        if styled.settings.is_empty() { Self::Expr(styled.expr) } else { Self::Styled(styled) }
    }
}

impl From<List> for Item {
    fn from(list: List) -> Self {
        Self::List(list)
    }
}

/// Reads an expression: everything that it leaves on the stack, in order.
///
/// # Errors
/// As [`Machine::execute`]; something on the stack that is neither lines nor a number.
pub fn parse(text: &str) -> Result<Vec<Styled>, Error> {
    Machine::execute(text)?.stack().iter().map(Item::to_styled).collect()
}

/// Reads an expression that leaves one thing on the stack.
///
/// # Errors
/// As [`parse`]; another number of things.
pub fn parse_one(text: &str) -> Result<Styled, Error> {
    let mut all = parse(text)?;
    match all.len() {
        1 => Ok(all.remove(0)),
        count => Err(Error::argument(format!("the expression leaves {count} results; one is wanted"))),
    }
}
