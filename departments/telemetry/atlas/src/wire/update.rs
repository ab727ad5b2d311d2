//! The body of `POST /api/v4/update`: a table of strings, then datapoints that refer to it.
//!
//! `[N, s0 … sN-1, (numTags, (k, v) × numTags, op, value)*]`, one flat array; `k` and `v` are positions in the table.

use std::borrow::Cow;

use super::rules::check_tags;
use super::{Refusal, Token, Tokens, WireError};

/// Most strings of a table: a publisher sends batches of some thousand datapoints.
const MOST_STRINGS: usize = 1_000_000;

/// Most tags of a datapoint that are read; what is allowed is less.
const MOST_TAGS: usize = 100;

/// Most refusals that are told one by one.
const MOST_REFUSALS: usize = 5;

/// What is done with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// It is added to the others of its step: a counter.
    Add,
    /// The largest of its step is kept: a gauge.
    Max,
}

/// What became of the datapoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// How many were taken.
    pub taken: usize,
    /// How many were refused.
    pub refused: usize,
    /// Why, of the first of them.
    pub refusals: Vec<Refusal>,
}

impl Outcome {
    pub(crate) fn refuse(&mut self, reason: String, tags: impl FnOnce() -> String) {
        self.refused += 1;
        if self.refusals.len() < MOST_REFUSALS {
            self.refusals.push(Refusal { reason, tags: tags() });
        }
    }
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Reads a body and hands on each datapoint that keeps to the rules: its tags in the order sent, its operator, its value.
///
/// # Errors
/// A body that cannot be read. Datapoints before the fault have been handed on.
pub fn read_update<'a>(
    tokens: &mut dyn Tokens<'a>,
    mut datapoint: impl FnMut(&[Pair<'a>], Operator, f64),
) -> Result<Outcome, WireError> {
    if tokens.token()? != Token::ArrayStart {
        return Err(WireError::unexpected("expected an array"));
    }
    let count = whole(tokens.token()?, MOST_STRINGS)?;
    let mut strings: Vec<Cow<'a, str>> = Vec::new();
    for _ in 0..count {
        match tokens.token()? {
            Token::Text(text) => strings.push(text),
            other => {
                return Err(WireError::unexpected(format!(
                    "expected a string of the table, found {other:?}"
                )));
            }
        }
    }
    let mut outcome = Outcome::default();
    let mut pairs: Vec<Pair<'a>> = Vec::new();
    loop {
        let tags = match tokens.token()? {
            Token::ArrayEnd => return Ok(outcome),
            token => whole(token, MOST_TAGS)?,
        };
        pairs.clear();
        for _ in 0..tags {
            let mut string = || -> Result<Cow<'a, str>, WireError> {
                let position = whole(tokens.token()?, MOST_STRINGS)?;
                strings
                    .get(position)
                    .cloned()
                    .ok_or_else(|| WireError::unexpected(format!("the table has no string {position}")))
            };
            pairs.push((string()?, string()?));
        }
        let operator = whole(tokens.token()?, usize::from(u16::MAX))?;
        let value = match tokens.token()? {
            Token::Number(value) => value,
            Token::Text(text) => crate::number::parse(&text)
                .ok_or_else(|| WireError::unexpected(format!("`{text}` is not a value")))?,
            other => return Err(WireError::unexpected(format!("expected a value, found {other:?}"))),
        };
        let operator = match operator {
            0 => Operator::Add,
            10 => Operator::Max,
            other => return Err(WireError::unexpected(format!("unknown operation: {other}"))),
        };
        match check_tags(&mut pairs) {
            Ok(()) => {
                outcome.taken += 1;
                datapoint(&pairs, operator, value);
            }
            Err(reason) => outcome.refuse(reason, || shown(&pairs)),
        }
    }
}

/// `{"k":"v"}`.
pub(crate) fn shown(pairs: &[Pair<'_>]) -> String {
    let pairs: std::collections::BTreeMap<&str, &str> =
        pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
    serde_json::to_string(&pairs).unwrap_or_default()
}

fn whole(token: Token<'_>, most: usize) -> Result<usize, WireError> {
    match token {
        Token::Number(value) if value.fract() == 0.0 && (0.0..=most as f64).contains(&value) => {
            Ok(value as usize)
        }
        other => {
            Err(WireError::unexpected(format!("expected a whole number from 0 to {most}, found {other:?}")))
        }
    }
}
