//! The body of `POST /api/v1/publish`: `{"tags": {…}, "metrics": [{"tags", "timestamp", "value"}]}`.

use std::borrow::Cow;

use super::rules::check_tags;
use super::update::{Outcome, shown};
use super::{Token, Tokens, WireError};

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

/// Reads a body and hands on each metric that keeps to the rules. What hands on says why it refuses one, if it does.
///
/// # Errors
/// A body that cannot be read.
pub fn read_publish<'a>(
    tokens: &mut dyn Tokens<'a>,
    mut datapoint: impl FnMut(&Metric<'a>) -> Result<(), String>,
) -> Result<Outcome, WireError> {
    if tokens.token()? != Token::ObjectStart {
        return Err(WireError::unexpected("expected an object"));
    }
    let mut common = Vec::new();
    let mut outcome = Outcome::default();
    // The common tags may come after the metrics; those wait for them.
    let mut waiting: Vec<Metric<'a>> = Vec::new();
    let mut has_common = false;
    loop {
        match tokens.token()? {
            Token::ObjectEnd => break,
            Token::Key(key) if key == "tags" => {
                common = read_tags(tokens)?;
                has_common = true;
            }
            Token::Key(key) if key == "metrics" => {
                if tokens.token()? != Token::ArrayStart {
                    return Err(WireError::unexpected("expected an array of metrics"));
                }
                loop {
                    match tokens.token()? {
                        Token::ArrayEnd => break,
                        Token::ObjectStart => {
                            let metric = read_metric(tokens)?;
                            if has_common {
                                hand_on(metric, &common, &mut outcome, &mut datapoint);
                            } else {
                                waiting.push(metric);
                            }
                        }
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
    for metric in waiting {
        hand_on(metric, &common, &mut outcome, &mut datapoint);
    }
    Ok(outcome)
}

fn hand_on<'a>(
    mut metric: Metric<'a>,
    common: &[(Cow<'a, str>, Cow<'a, str>)],
    outcome: &mut Outcome,
    datapoint: &mut impl FnMut(&Metric<'a>) -> Result<(), String>,
) {
    for (key, value) in common {
        if !metric.tags.iter().any(|(own, _)| own == key) {
            metric.tags.push((key.clone(), value.clone()));
        }
    }
    match check_tags(&mut metric.tags).and_then(|()| datapoint(&metric)) {
        Ok(()) => outcome.taken += 1,
        Err(reason) => outcome.refuse(reason, || shown(&metric.tags)),
    }
}

fn read_tags<'a>(tokens: &mut dyn Tokens<'a>) -> Result<Pairs<'a>, WireError> {
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
fn read_metric<'a>(tokens: &mut dyn Tokens<'a>) -> Result<Metric<'a>, WireError> {
    let mut metric = Metric { value: f64::NAN, ..Metric::default() };
    loop {
        match tokens.token()? {
            Token::ObjectEnd => return Ok(metric),
            Token::Key(key) => match &*key {
                "tags" => metric.tags = read_tags(tokens)?,
                "timestamp" | "start" => match tokens.token()? {
                    // Every double within the bounds of i64 is made one; those beyond become the nearest.
                    Token::Number(time) => metric.timestamp = time as i64,
                    other => {
                        return Err(WireError::unexpected(format!("expected a timestamp, found {other:?}")));
                    }
                },
                "value" => {
                    let token = tokens.token()?;
                    metric.value = value(&token)?;
                }
                "values" => match tokens.token()? {
                    Token::ArrayStart => {
                        let first = tokens.token()?;
                        if first != Token::ArrayEnd {
                            metric.value = value(&first)?;
                            tokens.skip(&Token::ArrayStart)?;
                        }
                    }
                    token => metric.value = value(&token)?,
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

fn value(token: &Token<'_>) -> Result<f64, WireError> {
    let number = match token {
        Token::Number(value) => Some(*value),
        Token::Text(text) => crate::number::parse(text),
        _ => None,
    };
    number.ok_or_else(|| WireError::unexpected(format!("expected a value, found {token:?}")))
}
