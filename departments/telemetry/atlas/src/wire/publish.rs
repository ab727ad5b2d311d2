//! The body of `POST /api/v1/publish`: `{"tags": {…}, "metrics": [{"tags", "timestamp", "value"}]}`.
//!
//! The tags of a metric stay bytes where they can: a store knows most series by these bytes, and need not read them again.

use std::borrow::Cow;

use super::rules::check_tags;
use super::update::{Outcome, read_value};
use super::{Json, Token, Tokens, WireError};

/// Most tags of a metric, those of the body with it.
const MOST_TAGS: usize = 100;

/// Keys and values in the order sent.
type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// One datapoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metric<'a> {
    /// Its tags, those of the whole body with it, in the order sent; each key once.
    pub tags: Pairs<'a>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The value.
    pub value: f64,
}

/// A body that has been read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published<'a> {
    /// The tags of all metrics.
    pub common: Pairs<'a>,
    /// The metrics.
    pub metrics: Vec<Unread<'a>>,
}

/// A datapoint, of whose tags perhaps only the bytes are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unread<'a> {
    tags: OwnTags<'a>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The value.
    pub value: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum OwnTags<'a> {
    Bytes(&'a [u8]),
    Pairs(Pairs<'a>),
}

impl Default for OwnTags<'_> {
    fn default() -> Self {
        Self::Pairs(Vec::new())
    }
}

impl<'a> Unread<'a> {
    /// The bytes that its own tags are, if they are in one piece.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self.tags {
            OwnTags::Bytes(bytes) => Some(bytes),
            OwnTags::Pairs(_) => None,
        }
    }

    /// Its tags and those of the body, not yet checked.
    ///
    /// # Errors
    /// Bytes that are no tags.
    pub fn tags(&self, common: &Pairs<'a>) -> Result<Pairs<'a>, WireError> {
        let mut tags = match &self.tags {
            OwnTags::Pairs(pairs) => pairs.clone(),
            OwnTags::Bytes(bytes) => read_tags(&mut Json::new(bytes))?,
        };
        for (key, value) in common {
            if !tags.iter().any(|(own, _)| own == key) {
                tags.push((key.clone(), value.clone()));
            }
        }
        Ok(tags)
    }
}

/// Reads a body.
///
/// # Errors
/// A body that cannot be read.
pub fn read_published<'a, T: Tokens<'a> + ?Sized>(tokens: &mut T) -> Result<Published<'a>, WireError> {
    if tokens.token()? != Token::ObjectStart {
        return Err(WireError::unexpected("expected an object"));
    }
    let mut read = Published::default();
    loop {
        match tokens.token()? {
            Token::ObjectEnd => return Ok(read),
            Token::Key(key) if key == "tags" => read.common = read_tags(tokens)?,
            Token::Key(key) if key == "metrics" => {
                if tokens.token()? != Token::ArrayStart {
                    return Err(WireError::unexpected("expected an array of metrics"));
                }
                loop {
                    match tokens.token()? {
                        Token::ArrayEnd => break,
                        Token::ObjectStart => read.metrics.push(read_metric(tokens)?),
                        other => {
                            return Err(WireError::unexpected(format!("expected a metric, found {other:?}")));
                        }
                    }
                }
            }
            Token::Key(_) => {
                let value = tokens.token()?;
                tokens.skip(&value)?;
            }
            other => return Err(WireError::unexpected(format!("expected a member, found {other:?}"))),
        }
    }
}

/// Reads a body and hands on each metric that keeps to the rules. What hands on says why it refuses one, if it does.
///
/// # Errors
/// A body that cannot be read.
pub fn read_publish<'a, T: Tokens<'a> + ?Sized>(
    tokens: &mut T,
    mut datapoint: impl FnMut(&Metric<'a>) -> Result<(), String>,
) -> Result<Outcome, WireError> {
    let read = read_published(tokens)?;
    let mut outcome = Outcome::default();
    for metric in &read.metrics {
        let tags = metric.tags(&read.common)?;
        let mut metric = Metric { tags, timestamp: metric.timestamp, value: metric.value };
        match check_tags(&mut metric.tags).and_then(|()| datapoint(&metric)) {
            Ok(()) => outcome.taken += 1,
            Err(reason) => outcome.refuse(reason, &metric.tags),
        }
    }
    Ok(outcome)
}

fn read_tags<'a, T: Tokens<'a> + ?Sized>(tokens: &mut T) -> Result<Pairs<'a>, WireError> {
    if tokens.token()? != Token::ObjectStart {
        return Err(WireError::unexpected("expected an object of tags"));
    }
    let mut tags: Pairs<'a> = Vec::new();
    loop {
        match tokens.token()? {
            Token::ObjectEnd => return Ok(tags),
            Token::Key(key) => match tokens.token()? {
                Token::Text(value) => {
                    tags.retain(|(known, _)| *known != key);
                    if tags.len() == MOST_TAGS {
                        return Err(WireError::unexpected(format!("more than {MOST_TAGS} tags")));
                    }
                    tags.push((key, value));
                }
                other => {
                    return Err(WireError::unexpected(format!(
                        "expected a text as the value of the tag {key}, found {other:?}"
                    )));
                }
            },
            other => return Err(WireError::unexpected(format!("expected a tag, found {other:?}"))),
        }
    }
}

/// The rest of a metric after its opening.
fn read_metric<'a, T: Tokens<'a> + ?Sized>(tokens: &mut T) -> Result<Unread<'a>, WireError> {
    let mut metric = Unread { value: f64::NAN, ..Unread::default() };
    loop {
        match tokens.token()? {
            Token::ObjectEnd => return Ok(metric),
            Token::Key(key) => match &*key {
                "tags" => {
                    metric.tags = match tokens.raw_object() {
                        Some(bytes) => OwnTags::Bytes(bytes),
                        None => OwnTags::Pairs(read_tags(tokens)?),
                    }
                }
                "timestamp" | "start" => match tokens.token()? {
                    // Every double within the bounds of i64 is made one; those beyond become the nearest.
                    Token::Number(time) => metric.timestamp = time as i64,
                    other => {
                        return Err(WireError::unexpected(format!("expected a timestamp, found {other:?}")));
                    }
                },
                "value" => {
                    let token = tokens.token()?;
                    metric.value = read_value(&token)?;
                }
                "values" => match tokens.token()? {
                    Token::ArrayStart => {
                        let first = tokens.token()?;
                        if first != Token::ArrayEnd {
                            metric.value = read_value(&first)?;
                            tokens.skip(&Token::ArrayStart)?;
                        }
                    }
                    token => metric.value = read_value(&token)?,
                },
                _ => {
                    let first = tokens.token()?;
                    tokens.skip(&first)?;
                }
            },
            other => {
                return Err(WireError::unexpected(format!("expected a member of a metric, found {other:?}")));
            }
        }
    }
}
