//! Conditions on tags.
//!
//! [`Query::label`] is the form that people read; `Display` is the stack form that programs exchange (operands first, then
//! the word), in which every query can be written and read back.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::{Pattern, Tags};

/// A condition on a series' tags. A condition on a key that the series lacks does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Query {
    /// Every series.
    True,
    /// No series.
    False,
    /// The key is there.
    Has(Arc<str>),
    /// The key has this value.
    Equal(Arc<str>, Arc<str>),
    /// The key's value comes before this one, compared as text.
    Less(Arc<str>, Arc<str>),
    /// The key's value comes before this one or is it.
    LessEqual(Arc<str>, Arc<str>),
    /// The key's value comes after this one.
    Greater(Arc<str>, Arc<str>),
    /// The key's value comes after this one or is it.
    GreaterEqual(Arc<str>, Arc<str>),
    /// The key's value begins with a match.
    Regex(Arc<str>, Pattern),
    /// The key's value begins with a match, whatever the case of letters.
    RegexIgnoreCase(Arc<str>, Pattern),
    /// The key has one of these values.
    In(Arc<str>, Vec<Arc<str>>),
    /// Both hold.
    And(Box<Query>, Box<Query>),
    /// One of them holds, or both.
    Or(Box<Query>, Box<Query>),
    /// It does not hold.
    Not(Box<Query>),
}

impl Query {
    /// The key has this value.
    pub fn equal(key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self::Equal(key.into(), value.into())
    }

    /// Both hold. Where one is always or never true the result is simplified.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, query) | (query, Self::True) => query,
            (Self::False, _) | (_, Self::False) => Self::False,
            (left, right) => Self::And(Box::new(left), Box::new(right)),
        }
    }

    /// One of them holds. Where one is always or never true the result is simplified.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::False, query) | (query, Self::False) => query,
            (left, right) => Self::Or(Box::new(left), Box::new(right)),
        }
    }

    /// It does not hold.
    pub fn negated(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            query => Self::Not(Box::new(query)),
        }
    }

    /// The query without its conditions on these keys, as if they had not been written; [`Query::True`] if nothing is left.
    pub fn without_keys(&self, keys: &[Arc<str>]) -> Self {
        match self {
            Self::And(left, right) => left.without_keys(keys).and(right.without_keys(keys)),
            // A side that is gone does not make the other true.
            Self::Or(left, right) => match (left.without_keys(keys), right.without_keys(keys)) {
                (Self::True, query) | (query, Self::True) => query,
                (left, right) => left.or(right),
            },
            Self::Not(query) => match query.without_keys(keys) {
                Self::True => Self::True,
                query => query.negated(),
            },
            query if query.key().is_some_and(|key| keys.iter().any(|gone| &**gone == key)) => Self::True,
            query => query.clone(),
        }
    }

    /// Whether a series with these tags fulfils it.
    pub fn matches(&self, tags: &Tags) -> bool {
        match self {
            Self::True => true,
            Self::False => false,
            Self::And(left, right) => left.matches(tags) && right.matches(tags),
            Self::Or(left, right) => left.matches(tags) || right.matches(tags),
            Self::Not(query) => !query.matches(tags),
            _ => self.key().and_then(|key| tags.get(key)).is_some_and(|value| self.accepts(value)),
        }
    }

    /// The key that a condition on one key is about.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Has(key)
            | Self::Equal(key, _)
            | Self::Less(key, _)
            | Self::LessEqual(key, _)
            | Self::Greater(key, _)
            | Self::GreaterEqual(key, _)
            | Self::Regex(key, _)
            | Self::RegexIgnoreCase(key, _)
            | Self::In(key, _) => Some(key),
            _ => None,
        }
    }

    /// Whether a condition on one key holds for this value of it. Others hold for none.
    pub fn accepts(&self, value: &str) -> bool {
        match self {
            Self::Has(_) => true,
            Self::Equal(_, wanted) => value == &**wanted,
            Self::Less(_, bound) => value < &**bound,
            Self::LessEqual(_, bound) => value <= &**bound,
            Self::Greater(_, bound) => value > &**bound,
            Self::GreaterEqual(_, bound) => value >= &**bound,
            Self::Regex(_, pattern) | Self::RegexIgnoreCase(_, pattern) => pattern.matches(value),
            Self::In(_, values) => values.iter().any(|wanted| &**wanted == value),
            _ => false,
        }
    }

    /// The tags that every fulfilling series has: the equalities under conjunctions.
    pub fn exact(&self) -> Tags {
        let mut pairs = Vec::new();
        self.collect_exact(&mut pairs);
        Tags::new(pairs)
    }

    fn collect_exact(&self, pairs: &mut Vec<(Arc<str>, Arc<str>)>) {
        match self {
            Self::And(left, right) => {
                left.collect_exact(pairs);
                right.collect_exact(pairs);
            }
            Self::Equal(key, value) => pairs.push((key.clone(), value.clone())),
            _ => {}
        }
    }

    /// Every key that it asks about.
    pub fn keys(&self) -> BTreeSet<&str> {
        match self {
            Self::And(left, right) | Self::Or(left, right) => {
                let mut keys = left.keys();
                keys.extend(right.keys());
                keys
            }
            Self::Not(query) => query.keys(),
            _ => self.key().into_iter().collect(),
        }
    }

    /// The form that people read: `(name=rps) and (host~/^a/)`.
    pub fn label(&self) -> String {
        match self {
            Self::True => "true".to_owned(),
            Self::False => "false".to_owned(),
            Self::Has(key) => format!("has({key})"),
            Self::Equal(key, value) => format!("{key}={value}"),
            Self::Less(key, value) => format!("{key}<{value}"),
            Self::LessEqual(key, value) => format!("{key}<={value}"),
            Self::Greater(key, value) => format!("{key}>{value}"),
            Self::GreaterEqual(key, value) => format!("{key}>={value}"),
            Self::Regex(key, pattern) => format!("{key}~/^{}/", pattern.text()),
            Self::RegexIgnoreCase(key, pattern) => format!("{key}~/^{}/i", pattern.text()),
            Self::In(key, values) => format!("{key} in ({})", values.join(",")),
            Self::And(left, right) => format!("({}) and ({})", left.label(), right.label()),
            Self::Or(left, right) => format!("({}) or ({})", left.label(), right.label()),
            Self::Not(query) => format!("not({})", query.label()),
        }
    }
}

/// A word of the stack form with what would end it written as an escape.
pub struct StackWord<'a>(pub &'a str);

impl fmt::Display for StackWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == "(" || self.0 == ")" {
            return write!(f, "\\u{:04x}", self.0.as_bytes()[0]);
        }
        let (first, last) = (self.0.len() - self.0.trim_start().len(), self.0.trim_end().len());
        let mut previous = '\0';
        for (at, letter) in self.0.char_indices() {
            let outer_blank = letter.is_whitespace() && (at < first || at >= last);
            let leading_colon = letter == ':' && at == 0;
            if letter == ',' || outer_blank || leading_colon || (letter == '*' && previous == '/') {
                write!(f, "\\u{:04x}", u32::from(letter))?;
            } else {
                write!(f, "{letter}")?;
            }
            previous = letter;
        }
        Ok(())
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pair =
            |key: &str, value: &str, word: &str| write!(f, "{},{},{word}", StackWord(key), StackWord(value));
        match self {
            Self::True => f.write_str(":true"),
            Self::False => f.write_str(":false"),
            Self::Has(key) => write!(f, "{},:has", StackWord(key)),
            Self::Equal(key, value) => pair(key, value, ":eq"),
            Self::Less(key, value) => pair(key, value, ":lt"),
            Self::LessEqual(key, value) => pair(key, value, ":le"),
            Self::Greater(key, value) => pair(key, value, ":gt"),
            Self::GreaterEqual(key, value) => pair(key, value, ":ge"),
            Self::Regex(key, pattern) => pair(key, pattern.text(), ":re"),
            Self::RegexIgnoreCase(key, pattern) => pair(key, pattern.text(), ":reic"),
            Self::In(key, values) => {
                write!(f, "{},(,", StackWord(key))?;
                for value in values {
                    write!(f, "{},", StackWord(value))?;
                }
                f.write_str("),:in")
            }
            Self::And(left, right) => write!(f, "{left},{right},:and"),
            Self::Or(left, right) => write!(f, "{left},{right},:or"),
            Self::Not(query) => write!(f, "{query},:not"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Case;

    #[test]
    fn conditions_hold_where_they_should() {
        let tags = Tags::new([("name", "rps"), ("host", "a1")]);
        let re = |text| Query::Regex("host".into(), Pattern::new(text, Case::Sensitive).unwrap());
        let holds = [
            Query::True,
            Query::Has("host".into()),
            Query::equal("name", "rps"),
            Query::Less("host".into(), "b".into()),
            Query::GreaterEqual("host".into(), "a1".into()),
            re("a"),
            Query::In("host".into(), vec!["x".into(), "a1".into()]),
            Query::equal("name", "no").or(re("a\\d")),
            Query::equal("rack", "1").negated(),
        ];
        let fails = [
            Query::False,
            Query::Has("rack".into()),
            Query::Greater("rack".into(), "".into()),
            re("1"),
            Query::equal("name", "rps").and(re("b")),
        ];
        for query in &holds {
            assert!(query.matches(&tags), "{query}");
        }
        for query in &fails {
            assert!(!query.matches(&tags), "{query}");
        }
    }

    #[test]
    fn conditions_on_a_key_can_be_left_out() {
        let (a, b) = (Query::equal("a", "1"), Query::equal("b", "2"));
        let without = |query: Query| query.without_keys(&["a".into()]).to_string();
        assert_eq!(without(a.clone().and(b.clone())), "b,2,:eq");
        assert_eq!(without(a.clone().or(b.clone())), "b,2,:eq");
        assert_eq!(without(b.and(a.clone().negated())), "b,2,:eq");
        assert_eq!(without(a), ":true");
    }

    #[test]
    fn it_is_written_for_people_and_for_programs() {
        let query = Query::equal("name", "a,b").and(Query::Has("(".into()).negated());
        assert_eq!(query.label(), "(name=a,b) and (not(has(())))".replace("(())", "(()"));
        assert_eq!(query.to_string(), "name,a\\u002cb,:eq,\\u0028,:has,:not,:and");
        assert_eq!(query.exact(), Tags::new([("name", "a,b")]));
        assert_eq!(Query::True.and(Query::False), Query::False);
    }
}
