//! Matchers on labels, in Alertmanager's syntax: `severity=~"page|ticket"`, `{a="b", c!="d"}`.
//!
//! Names may also be quoted, as newer clients send names that the classic syntax cannot say. Regular expressions match the whole
//! value, and a label that is absent has the empty value.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::Labels;
use crate::labels::Quoted;

/// Largest compiled pattern; a hostile one of a few bytes could otherwise take gigabytes.
const PATTERN_LIMIT: usize = 1 << 20;

/// Most matchers in one list: silences by hand have a few, generated ones some dozens.
pub const MOST_MATCHERS: usize = 1024;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
}

impl Operator {
    /// By the two flags of the API.
    pub fn from_flags(is_regex: bool, is_equal: bool) -> Self {
        match (is_regex, is_equal) {
            (false, true) => Self::Equal,
            (false, false) => Self::NotEqual,
            (true, true) => Self::Matches,
            (true, false) => Self::NotMatches,
        }
    }

    /// Whether it wants a match.
    pub fn is_equal(self) -> bool {
        matches!(self, Self::Equal | Self::Matches)
    }

    /// Whether it is about a pattern.
    pub fn is_regex(self) -> bool {
        matches!(self, Self::Matches | Self::NotMatches)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
        }
    }
}

/// Why a matcher is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MatcherError {
    /// It is not `name OPERATOR value`.
    #[error("bad matcher format: {0}; write name=\"value\", with =, !=, =~ or !~")]
    Format(String),
    /// The value's quotes or escapes do not fit.
    #[error("matcher value contains unescaped double quote or does not end: {0}")]
    Quote(String),
    /// The pattern is not a regular expression.
    #[error("invalid regular expression `{pattern}`: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// Too many.
    #[error("more than {MOST_MATCHERS} matchers; use a regular expression")]
    TooMany,
}

/// A condition on one label.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Matcher {
    name: String,
    operator: Operator,
    value: String,
    regex: Option<Regex>,
}

/// The form of the API and of the ledger.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    name: String,
    value: String,
    #[serde(rename = "isRegex")]
    is_regex: bool,
    #[serde(rename = "isEqual", default = "yes")]
    is_equal: bool,
}

fn yes() -> bool {
    true
}

impl TryFrom<Stored> for Matcher {
    type Error = MatcherError;

    fn try_from(stored: Stored) -> Result<Self, MatcherError> {
        Self::new(stored.name, Operator::from_flags(stored.is_regex, stored.is_equal), stored.value)
    }
}

impl From<Matcher> for Stored {
    fn from(matcher: Matcher) -> Self {
        let (is_regex, is_equal) = (matcher.operator.is_regex(), matcher.operator.is_equal());
        Self { name: matcher.name, value: matcher.value, is_regex, is_equal }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.operator, &self.value) == (&other.name, other.operator, &other.value)
    }
}

impl Eq for Matcher {}

impl PartialOrd for Matcher {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Matcher {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.name, &self.value, self.operator).cmp(&(&other.name, &other.value, other.operator))
    }
}

impl Matcher {
    /// A matcher.
    ///
    /// # Errors
    /// A pattern that is no regular expression, or a huge one.
    pub fn new(
        name: impl Into<String>,
        operator: Operator,
        value: impl Into<String>,
    ) -> Result<Self, MatcherError> {
        let (name, value) = (name.into(), value.into());
        if name.is_empty() {
            return Err(MatcherError::Format("the name is empty".to_owned()));
        }
        let regex = if operator.is_regex() {
            let compiled = RegexBuilder::new(&format!("^(?:{value})$")).size_limit(PATTERN_LIMIT).build();
            Some(compiled.map_err(|error| MatcherError::Pattern {
                pattern: value.chars().take(200).collect(),
                reason: error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
            })?)
        } else {
            None
        };
        Ok(Self { name, operator, value, regex })
    }

    /// The label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// With what.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a value fulfils it.
    pub fn accepts(&self, value: &str) -> bool {
        match (self.operator, &self.regex) {
            (Operator::Equal, _) => value == self.value,
            (Operator::NotEqual, _) => value != self.value,
            (Operator::Matches, regex) => regex.as_ref().is_some_and(|regex| regex.is_match(value)),
            (Operator::NotMatches, regex) => !regex.as_ref().is_some_and(|regex| regex.is_match(value)),
        }
    }

    /// Whether labels fulfil it.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.accepts(labels.get(&self.name))
    }

    /// As a filter of the API: a positive matcher asks that the label is there.
    pub fn filters(&self, labels: &Labels) -> bool {
        (!self.operator.is_equal() || labels.0.contains_key(&self.name)) && self.matches(labels)
    }
}

/// Whether labels fulfil all of them.
pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

/// `name="value"`.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::labels::is_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            write!(f, "{}", Quoted(&self.name))?;
        }
        write!(f, "{}\"", self.operator.text())?;
        for letter in self.value.chars() {
            match letter {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                other => write!(f, "{other}")?,
            }
        }
        f.write_str("\"")
    }
}

/// `{a="b",c="d"}`, as in group keys.
pub struct MatchersText<'a>(pub &'a [Matcher]);

impl fmt::Display for MatchersText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (position, matcher) in self.0.iter().enumerate() {
            write!(f, "{}{matcher}", if position == 0 { "" } else { "," })?;
        }
        f.write_str("}")
    }
}

/// Reads a list of matchers, with or without braces.
///
/// ```
/// use backlot_alerts::matcher::parse_matchers;
/// let all = parse_matchers(r#"{alertname="Disk", severity=~"page|ticket"}"#)?;
/// assert_eq!(all[1].to_string(), r#"severity=~"page|ticket""#);
/// assert_eq!(parse_matchers("a=b")?[0].to_string(), r#"a="b""#);
/// # Ok::<(), backlot_alerts::matcher::MatcherError>(())
/// ```
///
/// # Errors
/// What is no matcher.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    let trimmed = text.trim();
    let inner = match trimmed.strip_prefix('{') {
        Some(rest) => rest
            .strip_suffix('}')
            .ok_or_else(|| MatcherError::Format(format!("{trimmed}: no closing brace")))?,
        None => trimmed,
    };
    let mut matchers = Vec::new();
    let mut rest = inner;
    loop {
        let end = end_of_matcher(rest);
        let (one, after) = rest.split_at(end);
        if !one.trim().is_empty() {
            matchers.push(parse_matcher(one)?);
        } else if !after.is_empty() {
            return Err(MatcherError::Format(format!("{trimmed}: a comma without a matcher before it")));
        }
        if matchers.len() > MOST_MATCHERS {
            return Err(MatcherError::TooMany);
        }
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(matchers),
        }
    }
}

/// Where the matcher ends: at the next comma outside of quotes.
fn end_of_matcher(text: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

/// Reads one matcher.
///
/// # Errors
/// What is no matcher.
pub fn parse_matcher(text: &str) -> Result<Matcher, MatcherError> {
    let wrong = || MatcherError::Format(text.trim().chars().take(200).collect());
    let text_trimmed = text.trim();
    let (name, rest) = match text_trimmed.strip_prefix('"') {
        Some(_) => {
            let (name, rest) = quoted(text_trimmed)?;
            (name, rest.trim_start())
        }
        None => {
            let end = text_trimmed
                .find(|letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':')))
                .ok_or_else(wrong)?;
            let (name, rest) = text_trimmed.split_at(end);
            if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
                return Err(wrong());
            }
            (name.to_owned(), rest.trim_start())
        }
    };
    let operators = [
        ("=~", Operator::Matches),
        ("!~", Operator::NotMatches),
        ("!=", Operator::NotEqual),
        ("=", Operator::Equal),
    ];
    let (operator, rest) = operators
        .iter()
        .find_map(|(word, operator)| rest.strip_prefix(word).map(|rest| (*operator, rest)))
        .ok_or_else(wrong)?;
    let rest = rest.trim_start();
    let value = if rest.starts_with('"') {
        let (value, after) = quoted(rest)?;
        if !after.trim().is_empty() {
            return Err(MatcherError::Quote(rest.chars().take(200).collect()));
        }
        value
    } else {
        unescaped(rest)?
    };
    Matcher::new(name, operator, value)
}

/// The text in quotes at the beginning, and what follows.
fn quoted(text: &str) -> Result<(String, &str), MatcherError> {
    let inner = text.strip_prefix('"').unwrap_or(text);
    let mut escaped = false;
    for (at, letter) in inner.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Ok((unescape(&inner[..at]), &inner[at + 1..])),
            _ => {}
        }
    }
    Err(MatcherError::Quote(text.chars().take(200).collect()))
}

/// A value without quotes: none may be in it.
fn unescaped(text: &str) -> Result<String, MatcherError> {
    let mut escaped = false;
    for letter in text.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Err(MatcherError::Quote(text.chars().take(200).collect())),
            _ => {}
        }
    }
    Ok(unescape(text))
}

/// `\n`, `\"` and `\\`; other escapes stay as they are, for patterns are full of them.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some(same @ ('"' | '\\')) => out.push(same),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_amtool_sends_is_read() {
        for (text, shown) in [
            ("foo=bar", r#"foo="bar""#),
            (r#" foo = "bar" "#, r#"foo="bar""#),
            (r#"foo!="b,a\"r""#, r#"foo!="b,a\"r""#),
            (r#"foo=~"\d+\\.x""#, r#"foo=~"\\d+\\.x""#),
            ("foo!~a.*", r#"foo!~"a.*""#),
            ("foo=", r#"foo="""#),
            (r#""foo bar"="x""#, r#""foo bar"="x""#),
            ("a:b=c", r#""a:b"="c""#),
        ] {
            assert_eq!(parse_matcher(text).unwrap().to_string(), shown, "{text}");
        }
        let all = parse_matchers(r#"{a="b,c" , d=~"e",}"#).unwrap();
        assert_eq!(MatchersText(&all).to_string(), r#"{a="b,c",d=~"e"}"#);
        assert!(parse_matchers("{}").unwrap().is_empty());
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in
            ["", "foo", "=x", "9a=b", r#"foo="bar"#, r#"foo="b"ar""#, r#"foo=b"ar"#, "foo=~(", "a b=c"]
        {
            assert!(parse_matcher(text).is_err(), "{text}");
        }
        for text in ["{a=b", ",a=b", "a=b,,c=d", "foo=~((a{1000}){1000}){1000}"] {
            assert!(parse_matchers(text).is_err(), "{text}");
        }
    }

    #[test]
    fn whole_values_match_and_absent_is_empty() {
        let labels: Labels = [("a", "page")].into_iter().collect();
        let holds = |text: &str| parse_matcher(text).unwrap().matches(&labels);
        assert!(holds("a=~pa.e") && !holds("a=~pa") && holds("b=") && holds("b!=x") && holds("b=~.*"));
        assert!(!parse_matcher("b=").unwrap().filters(&labels));
        assert!(parse_matcher("b!=x").unwrap().filters(&labels));
        // A pattern that would take others exponential time.
        assert!(!parse_matcher("a=~(a+)+$").unwrap().accepts(&format!("{}!", "a".repeat(50_000))));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(value in ".{0,20}", at in 0usize..2) {
            let operator = [Operator::Equal, Operator::NotEqual][at];
            let matcher = Matcher::new("x", operator, value).unwrap();
            proptest::prop_assert_eq!(parse_matcher(&matcher.to_string()).unwrap(), matcher);
        }

        #[test]
        fn nothing_panics(text in ".{0,40}") {
            let _ = parse_matchers(&text);
        }
    }
}
