//! How lines are shown: legends, colours, axes, order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use backlot_series::{StackWord, Statistic, Summary, Tags};
use regex::RegexBuilder;

use crate::expr::Change;
use crate::time::{duration, duration_text};
use crate::{Error, Expr, Line};

/// Largest program of a pattern in a legend's substitution; see [`backlot_series::Pattern`] for the reason.
const PATTERN_LIMIT: usize = 1 << 20;

/// Longest legend that substitution may make.
const LONGEST_LEGEND: usize = 4096;

/// An expression and how it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Styled {
    /// What is shown.
    pub expr: Expr,
    /// The settings by word: `legend`, `axis`, `color`, … The substitutions of a legend stand under `sed`, as text.
    pub settings: BTreeMap<Arc<str>, Arc<str>>,
}

impl Styled {
    /// As it is by default.
    pub fn plain(expr: Expr) -> Self {
        Self { expr, settings: BTreeMap::new() }
    }

    /// A setting.
    pub fn get(&self, word: &str) -> Option<&str> {
        self.settings.get(word).map(|value| &**value)
    }

    /// The legacy form of offsets, a list of them, as one expression for each.
    ///
    /// # Errors
    /// An offset that is no duration.
    pub fn per_offset(&self) -> Result<Vec<Self>, Error> {
        let Some(list) = self.get("offset") else { return Ok(vec![self.clone()]) };
        let words: Vec<&str> = list.split(',').filter(|word| !matches!(*word, "(" | ")" | "")).collect();
        if words.is_empty() {
            return Ok(vec![self.clone()]);
        }
        words
            .into_iter()
            .map(|word| {
                let mut one =
                    Self { expr: self.expr.change(&Change::Offset(duration(word)?))?, ..self.clone() };
                one.settings.remove("offset");
                Ok(one)
            })
            .collect()
    }

    /// The offset of the data behind it, in milliseconds.
    pub fn offset(&self) -> i64 {
        self.expr.data().iter().map(|data| data.offset).min().unwrap_or(0)
    }

    /// The legend of a line.
    ///
    /// # Errors
    /// A substitution that is no regular expression, or an unknown encoding.
    pub fn legend(&self, line: &Line) -> Result<String, Error> {
        let tags = line.tags.with("atlas.offset", duration_text(self.offset()));
        let text = match self.get("legend") {
            Some(pattern) => substitute(pattern, &mut |key| tags.get(key).unwrap_or(key).to_owned()),
            None => line.label(),
        };
        let Some(commands) = self.get("sed") else { return Ok(text) };
        let mut text = text;
        let words: Vec<Arc<str>> = commands.split(',').map(crate::lex::unescape).collect();
        let mut rest = &words[..];
        while !rest.is_empty() {
            let shown: Vec<&str> = rest.iter().take(3).map(|word| &**word).collect();
            match shown[..] {
                [mode, ":decode", ..] => {
                    text = decode(&text, mode)?;
                    rest = &rest[2..];
                }
                [search, replacement, ":s"] => {
                    text = replace(&text, search, replacement, &tags)?;
                    rest = &rest[3..];
                }
                _ => rest = &rest[1..],
            }
        }
        Ok(text)
    }

    /// The lines in the order asked for, no more than asked for.
    ///
    /// # Errors
    /// A limit that is no number.
    pub fn arrange(&self, mut lines: Vec<(String, Line)>) -> Result<Vec<(String, Line)>, Error> {
        if let Some(by) = self.get("sort") {
            match by.parse::<Statistic>() {
                Ok(statistic) => {
                    lines.sort_by_cached_key(|(_, line)| Ordered(Summary::of(&line.values).get(statistic)));
                }
                Err(()) => lines.sort_by(|left, right| left.0.cmp(&right.0)),
            }
        }
        if self.get("order") == Some("desc") {
            lines.reverse();
        }
        if let Some(limit) = self.get("limit") {
            let limit: i64 = limit
                .parse()
                .map_err(|_| Error::argument(format!("the limit {limit} is not a whole number")))?;
            lines.truncate(usize::try_from(limit).unwrap_or(0));
        }
        Ok(lines)
    }
}

/// Doubles in their total order, by which NaN is the largest.
#[derive(PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Replaces `$key` and `$(key)`, as legends do. A `$` with no key after it stays.
pub fn substitute(pattern: &str, value: &mut dyn FnMut(&str) -> String) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (key, after) = match rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            Some(parts) => parts,
            None => {
                let end =
                    rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || "-_.".contains(letter)));
                rest.split_at(end.unwrap_or(rest.len()))
            }
        };
        if key.is_empty() {
            text.push('$');
        } else {
            text.push_str(&value(key));
            rest = after;
        }
        if text.len() > LONGEST_LEGEND {
            break;
        }
    }
    text.push_str(rest);
    cut(text)
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST_LEGEND {
        let end = (0..=LONGEST_LEGEND).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn replace(text: &str, search: &str, replacement: &str, tags: &Tags) -> Result<String, Error> {
    let wrong = |error: regex::Error| {
        Error::argument(format!("`{search}` is not a regular expression that we take: {error}"))
    };
    let regex = RegexBuilder::new(search).size_limit(PATTERN_LIMIT).build().map_err(wrong)?;
    let replaced = regex.replace_all(text, |found: &regex::Captures<'_>| {
        substitute(replacement, &mut |key| {
            let group =
                key.parse().ok().and_then(|number: usize| found.get(number)).or_else(|| found.name(key));
            group.map_or_else(|| tags.get(key).unwrap_or(key).to_owned(), |group| group.as_str().to_owned())
        })
    });
    Ok(cut(replaced.into_owned()))
}

fn decode(text: &str, mode: &str) -> Result<String, Error> {
    match mode {
        "none" => Ok(text.to_owned()),
        // `_2F` is the byte 2F.
        "hex" => {
            let mut bytes = Vec::with_capacity(text.len());
            let mut rest = text.as_bytes();
            while let Some((&byte, after)) = rest.split_first() {
                let hex = after
                    .get(..2)
                    .and_then(|digits| std::str::from_utf8(digits).ok())
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                if byte == b'_'
                    && let Some(decoded) = hex
                {
                    bytes.push(decoded);
                    rest = &after[2..];
                } else {
                    bytes.push(byte);
                    rest = after;
                }
            }
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => Err(Error::argument(format!("unknown encoding '{mode}'; use hex or none"))),
    }
}

/// The text that evaluates to it.
impl fmt::Display for Styled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)?;
        for (word, value) in self.settings.iter().rev() {
            match &**word {
                "sed" => write!(f, ",{value}")?,
                "ls" => write!(f, ",:{value}")?,
                "offset" => write!(f, ",{value},:offset")?,
                word => write!(f, ",{},:{word}", StackWord(value))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_substituted() {
        let put = |pattern: &str| substitute(pattern, &mut |key| format!("<{key}>"));
        assert_eq!(put("$a.b, $(c d) $ $"), "<a.b>, <c d> $ $");
        assert_eq!(decode("a_2Fb_zz", "hex").unwrap(), "a/b_zz");
        assert_eq!(
            replace("nccp-ps3", "^nccp-(?<rest>.*)$", "$rest $1 $x", &Tags::new([("x", "y")])).unwrap(),
            "ps3 ps3 y"
        );
    }
}
