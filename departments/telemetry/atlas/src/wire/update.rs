//! Bodies with a table of strings and datapoints that refer to it: `POST /api/v4/update`, and the compact form of
//! `POST /api/v1/publish`.
//!
//! | body | one flat array |
//! |---|---|
//! | update | `N, s0 … sN-1, (numTags, (k, v) × numTags, op, value)*` |
//! | compact publish | `N, s0 … sN-1, n, (id, numTags, (k, v) × numTags, timestamp, value) × n` |
//!
//! `k` and `v` are positions in the table. A body is read without building the tags of a datapoint: a store knows most series
//! by the numbers of their strings.

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
    /// Counts a datapoint that was refused, and tells why if it is one of the first.
    pub fn refuse(&mut self, reason: String, tags: &[Pair<'_>]) {
        self.refused += 1;
        if self.refusals.len() < MOST_REFUSALS {
            self.refusals.push(Refusal { reason, tags: shown(tags) });
        }
    }
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// A body that has been read. `H` is what a datapoint has besides: its operator, or its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Tabled<'a, H> {
    /// The table.
    pub strings: Vec<Cow<'a, str>>,
    /// The datapoints.
    pub points: Vec<Point<H>>,
    pairs: Vec<(u32, u32)>,
}

/// One datapoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point<H> {
    first: u32,
    tags: u32,
    /// Its operator or time.
    pub head: H,
    /// Its value.
    pub value: f64,
}

impl<'a, H> Tabled<'a, H> {
    /// The positions in the table of a datapoint's keys and values.
    pub fn positions(&self, point: &Point<H>) -> &[(u32, u32)] {
        &self.pairs[point.first as usize..][..point.tags as usize]
    }

    /// The tags of a datapoint in the order sent, not yet checked.
    pub fn tags(&self, point: &Point<H>) -> Vec<Pair<'a>> {
        let text = |position: u32| self.strings[position as usize].clone();
        self.positions(point).iter().map(|&(key, value)| (text(key), text(value))).collect()
    }

    fn read_table<T: Tokens<'a> + ?Sized>(tokens: &mut T) -> Result<Self, WireError> {
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
        Ok(Self { strings, points: Vec::new(), pairs: Vec::new() })
    }

    /// Reads the positions of a datapoint's tags.
    fn read_tags<T: Tokens<'a> + ?Sized>(&mut self, tokens: &mut T, tags: usize) -> Result<u32, WireError> {
        let first = self.pairs.len() as u32;
        for _ in 0..tags {
            let mut position = || -> Result<u32, WireError> {
                let position = next_whole(tokens, MOST_STRINGS)?;
                if position < self.strings.len() {
                    Ok(position as u32)
                } else {
                    Err(WireError::unexpected(format!("the table has no string {position}")))
                }
            };
            let pair = (position()?, position()?);
            self.pairs.push(pair);
        }
        Ok(first)
    }
}

/// Reads the body of an update.
///
/// # Errors
/// A body that cannot be read.
pub fn read_updates<'a, T: Tokens<'a> + ?Sized>(tokens: &mut T) -> Result<Tabled<'a, Operator>, WireError> {
    let mut read = Tabled::read_table(tokens)?;
    loop {
        let tags = match tokens.small_whole() {
            Some(tags) => small(tags, MOST_TAGS)?,
            None => match tokens.token()? {
                Token::ArrayEnd => return Ok(read),
                token => whole(token, MOST_TAGS)?,
            },
        };
        let first = read.read_tags(tokens, tags)?;
        let head = match next_whole(tokens, usize::from(u16::MAX))? {
            0 => Operator::Add,
            10 => Operator::Max,
            other => return Err(WireError::unexpected(format!("unknown operation: {other}"))),
        };
        let value = next_value(tokens)?;
        read.points.push(Point { first, tags: tags as u32, head, value });
    }
}

/// Reads the compact body of a publish; the ids are of no use, for equal tags have equal ids.
///
/// # Errors
/// A body that cannot be read.
pub fn read_batch<'a, T: Tokens<'a> + ?Sized>(tokens: &mut T) -> Result<Tabled<'a, i64>, WireError> {
    let mut read = Tabled::read_table(tokens)?;
    let count = whole(tokens.token()?, usize::MAX >> 12)?;
    for _ in 0..count {
        match tokens.token()? {
            Token::Text(_) => {}
            other => return Err(WireError::unexpected(format!("expected an id, found {other:?}"))),
        }
        let tags = next_whole(tokens, MOST_TAGS)?;
        let first = read.read_tags(tokens, tags)?;
        let head = match tokens.token()? {
            Token::Number(time) => time as i64,
            other => return Err(WireError::unexpected(format!("expected a timestamp, found {other:?}"))),
        };
        let value = next_value(tokens)?;
        read.points.push(Point { first, tags: tags as u32, head, value });
    }
    match tokens.token()? {
        Token::ArrayEnd => Ok(read),
        other => {
            Err(WireError::unexpected(format!("expected the end after {count} datapoints, found {other:?}")))
        }
    }
}

/// Reads a body of updates and hands on each datapoint that keeps to the rules: its tags in the order sent, its operator, its
/// value.
///
/// # Errors
/// A body that cannot be read; nothing has been handed on then.
pub fn read_update<'a, T: Tokens<'a> + ?Sized>(
    tokens: &mut T,
    mut datapoint: impl FnMut(&[Pair<'a>], Operator, f64),
) -> Result<Outcome, WireError> {
    let read = read_updates(tokens)?;
    let mut outcome = Outcome::default();
    for point in &read.points {
        let mut pairs = read.tags(point);
        match check_tags(&mut pairs) {
            Ok(()) => {
                outcome.taken += 1;
                datapoint(&pairs, point.head, point.value);
            }
            Err(reason) => outcome.refuse(reason, &pairs),
        }
    }
    Ok(outcome)
}

fn next_whole<'a, T: Tokens<'a> + ?Sized>(tokens: &mut T, most: usize) -> Result<usize, WireError> {
    match tokens.small_whole() {
        Some(number) => small(number, most),
        None => whole(tokens.token()?, most),
    }
}

fn next_value<'a, T: Tokens<'a> + ?Sized>(tokens: &mut T) -> Result<f64, WireError> {
    match tokens.small_whole() {
        Some(number) => Ok(number.into()),
        None => read_value(&tokens.token()?),
    }
}

/// A value: a number, or a text that says one.
pub(crate) fn read_value(token: &Token<'_>) -> Result<f64, WireError> {
    let number = match token {
        Token::Number(value) => Some(*value),
        Token::Text(text) => crate::number::parse(text),
        _ => None,
    };
    number.ok_or_else(|| WireError::unexpected(format!("expected a value, found {token:?}")))
}

/// `{"k":"v"}`.
pub(crate) fn shown(pairs: &[Pair<'_>]) -> String {
    let pairs: std::collections::BTreeMap<&str, &str> =
        pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
    serde_json::to_string(&pairs).unwrap_or_default()
}

fn small(number: u32, most: usize) -> Result<usize, WireError> {
    let whole_number = number as usize;
    if whole_number <= most { Ok(whole_number) } else { whole(Token::Number(number.into()), most) }
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
