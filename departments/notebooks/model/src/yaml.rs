//! YAML 1.1 as PyYAML's `SafeLoader` reads it, with dates left as texts: the values of `-y`, `-f` and `-b`.
//!
//! A YAML 1.2 scanner gives the events; which plain scalar has which type is decided here by YAML 1.1's rules as PyYAML has
//! them: `yes` and `off` are booleans, `010` is 8, `1:30` is 90, `1e3` is a text and `1.0e+3` a float, `0o7` is a text.
//! `<<` merges.

use std::collections::HashMap;
use std::sync::LazyLock;

use backlot_yaml::{Limits, Member, Scalar, Schema};
use regex::Regex;

use crate::param::{Key, Param, Parameters};
use crate::python::{from_base, signed};

/// Nobody passes a million values by hand.
const LIMITS: Limits = Limits { nodes: 1_000_000, depth: 100 };

/// Why a YAML text is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// It is not YAML, or beyond a limit.
    #[error(transparent)]
    Document(#[from] backlot_yaml::YamlError),
    /// Some other text that parameters come in cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// A tag that has no parameter value.
    #[error("the tag `{0}` has no value here; write plain texts, numbers, booleans, lists and mappings")]
    Tag(String),
    /// A scalar that its tag does not fit.
    #[error("`{text}` is no {tag}")]
    Value {
        /// The scalar.
        text: String,
        /// What its tag says that it is.
        tag: &'static str,
    },
    /// A merge of something that is no mapping.
    #[error("`<<` merges mappings; its value is none")]
    Merge,
    /// A key that Python cannot hash.
    #[error("a list or mapping cannot be a key")]
    UnhashableKey,
    /// The text holds something else than named values.
    #[error("parameters must be a mapping of names to values")]
    NoMapping,
}

/// Reads parameters: a mapping, or nothing.
///
/// ```
/// # use backlot_notebooks_model::{yaml, Param};
/// let all = yaml::parameters("a: off\nb: 1:30\nc: 2024-01-02\n")?;
/// assert_eq!(all.get("a"), Some(&Param::Bool(false)));
/// assert_eq!(all.get("b"), Some(&Param::Int("90".into())));
/// assert_eq!(all.get("c"), Some(&Param::Str("2024-01-02".into())));
/// # Ok::<(), backlot_notebooks_model::yaml::YamlError>(())
/// ```
///
/// # Errors
/// Not YAML, not a mapping, beyond a limit.
pub fn parameters(text: &str) -> Result<Parameters, YamlError> {
    match parse(text)? {
        Param::Dict(members) => Ok(members.into_iter().map(|(key, value)| (key.text(), value)).collect()),
        // Python's `or {}` takes whatever is false for nothing.
        Param::None | Param::Bool(false) | Param::Float(0.0) => Ok(Parameters::new()),
        Param::Str(text) if text.is_empty() => Ok(Parameters::new()),
        Param::List(items) if items.is_empty() => Ok(Parameters::new()),
        Param::Int(digits) if digits == "0" => Ok(Parameters::new()),
        _ => Err(YamlError::NoMapping),
    }
}

/// Reads one document; an empty text is `None`.
///
/// # Errors
/// Not YAML, several documents, beyond a limit.
pub fn parse(text: &str) -> Result<Param, YamlError> {
    Ok(backlot_yaml::read(text, &Yaml11, LIMITS)?.unwrap_or(Param::None))
}

struct Yaml11;

impl Schema for Yaml11 {
    type Value = Param;
    type Error = YamlError;

    fn scalar(&self, node: Scalar<'_>) -> Result<Param, YamlError> {
        scalar(&node.text, node.is_plain, node.tag.as_deref())
    }

    fn list(&self, tag: Option<String>, items: Vec<Param>) -> Result<Param, YamlError> {
        check_tag(tag, "seq")?;
        Ok(Param::List(items))
    }

    fn mapping(&self, tag: Option<String>, all: Vec<Member<Param>>) -> Result<Param, YamlError> {
        check_tag(tag, "map")?;
        let mut merged: Vec<(Key, Param)> = Vec::new();
        let mut own: Vec<(Key, Param)> = Vec::new();
        for Member { key, value, is_merge } in all {
            let key = match key {
                Param::Str(text) => Key::Str(text),
                Param::List(_) | Param::Dict(_) => return Err(YamlError::UnhashableKey),
                other => Key::Other(Box::new(other)),
            };
            match (is_merge, value) {
                (false, value) => own.push((key, value)),
                (true, Param::Dict(members)) => merged.extend(members),
                (true, Param::List(items)) => {
                    // Of several, the first counts over the later ones.
                    for item in items.into_iter().rev() {
                        let Param::Dict(members) = item else { return Err(YamlError::Merge) };
                        merged.extend(members);
                    }
                }
                (true, _) => return Err(YamlError::Merge),
            }
        }
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut members: Vec<(Key, Param)> = Vec::new();
        for (key, value) in merged.into_iter().chain(own) {
            // A text and another value may print alike; Python keeps them apart.
            let identity = match &key {
                Key::Str(text) => format!("s{text}"),
                Key::Other(value) => format!("o{}", value.to_repr()),
            };
            if let Some(place) = places.get(&identity) {
                members[*place].1 = value;
            } else {
                places.insert(identity, members.len());
                members.push((key, value));
            }
        }
        Ok(Param::Dict(members))
    }
}

const CORE: &str = "tag:yaml.org,2002:";

fn check_tag(tag: Option<String>, allowed: &str) -> Result<(), YamlError> {
    match tag {
        Some(tag) if tag != "!" && tag.strip_prefix(CORE) != Some(allowed) => Err(YamlError::Tag(tag)),
        _ => Ok(()),
    }
}

/// The types of scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Null,
    Bool,
    Int,
    Float,
    Str,
}

fn scalar(text: &str, is_plain: bool, tag: Option<&str>) -> Result<Param, YamlError> {
    let resolved = match tag {
        None if is_plain => resolve(text)?,
        None | Some("!") => Type::Str,
        Some(tag) => match tag.strip_prefix(CORE) {
            Some("null") => Type::Null,
            Some("bool") => Type::Bool,
            Some("int") => Type::Int,
            Some("float") => Type::Float,
            Some("str") => Type::Str,
            _ => return Err(YamlError::Tag(tag.to_owned())),
        },
    };
    let wrong = |tag: &'static str| YamlError::Value { text: text.to_owned(), tag };
    match resolved {
        Type::Null => Ok(Param::None),
        Type::Bool => match text.to_lowercase().as_str() {
            "yes" | "true" | "on" => Ok(Param::Bool(true)),
            "no" | "false" | "off" => Ok(Param::Bool(false)),
            _ => Err(wrong("boolean")),
        },
        Type::Int => int(text).map(Param::Int).ok_or_else(|| wrong("integer")),
        Type::Float => float(text).map(Param::Float).ok_or_else(|| wrong("float")),
        Type::Str => Ok(Param::Str(text.to_owned())),
    }
}

static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?",
        r"|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?",
        r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*",
        r"|[-+]?\.(?:inf|Inf|INF)",
        r"|\.(?:nan|NaN|NAN))$",
    ))
    .expect("invariant: the pattern is a constant")
});

static INT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:[-+]?0b[01_]+",
        r"|[-+]?0[0-7_]+",
        r"|[-+]?(?:0|[1-9][0-9_]*)",
        r"|[-+]?0x[0-9a-fA-F_]+",
        r"|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$",
    ))
    .expect("invariant: the pattern is a constant")
});

/// The type of a plain scalar.
fn resolve(text: &str) -> Result<Type, YamlError> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Type::Null,
        "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "true" | "True" | "TRUE" | "false" | "False"
        | "FALSE" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => Type::Bool,
        "=" => return Err(YamlError::Tag("tag:yaml.org,2002:value".to_owned())),
        text if !text.starts_with(|first: char| "-+0123456789.".contains(first)) => Type::Str,
        text if FLOAT.is_match(text) => Type::Float,
        text if INT.is_match(text) => Type::Int,
        _ => Type::Str,
    })
}

fn unsigned(text: &str) -> (bool, String) {
    let plain = text.replace('_', "").to_lowercase();
    match plain.as_bytes().first() {
        Some(b'-') => (true, plain[1..].to_owned()),
        Some(b'+') => (false, plain[1..].to_owned()),
        _ => (false, plain),
    }
}

fn int(text: &str) -> Option<String> {
    let (negative, body) = unsigned(text);
    let digits = if body == "0" {
        body
    } else if let Some(digits) = body.strip_prefix("0b") {
        from_base(digits, 2)?
    } else if let Some(digits) = body.strip_prefix("0x") {
        from_base(digits, 16)?
    } else if body.starts_with('0') {
        from_base(&body, 8)?
    } else if body.contains(':') {
        let mut total: i128 = 0;
        for part in body.split(':') {
            total = total.checked_mul(60)?.checked_add(part.parse().ok()?)?;
        }
        total.to_string()
    } else if !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_digit()) {
        body
    } else {
        return None;
    };
    Some(signed(negative, &digits))
}

fn float(text: &str) -> Option<f64> {
    let (negative, body) = unsigned(text);
    let magnitude = match body.as_str() {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        body if body.contains(':') => {
            // From the last part up, as PyYAML sums: the rounding is part of the value.
            let mut total = 0.0;
            let mut base = 1.0;
            for part in body.rsplit(':') {
                total += part.parse::<f64>().ok()? * base;
                base *= 60.0;
            }
            total
        }
        body => body.parse().ok()?,
    };
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_yaml_1_1_types() {
        let cases = [
            ("1e3", "'1e3'"),
            ("1.0e+3", "1000.0"),
            ("010", "8"),
            ("1:30", "90"),
            ("-1:30.5", "-90.5"),
            ("yes", "True"),
            ("off", "False"),
            ("y", "'y'"),
            ("0o7", "'0o7'"),
            ("1_000", "1000"),
            (".inf", "inf"),
            ("-.INF", "-inf"),
            ("~", "None"),
            ("", "None"),
            ("2024-01-02", "'2024-01-02'"),
            ("0x1F", "31"),
            ("0b11", "3"),
            ("089", "'089'"),
            ("1.", "1.0"),
            ("'1'", "'1'"),
            ("!!str 1", "'1'"),
            ("!!int \"7\"", "7"),
            ("!!float 1", "1.0"),
            ("[1, {a: no}]", "[1, {'a': False}]"),
            ("{1: a, '1': b, 1: c}", "{1: 'c', '1': 'b'}"),
        ];
        for (text, value) in cases {
            assert_eq!(parse(text).unwrap().to_repr(), value, "{text:?}");
        }
    }

    #[test]
    fn merges_and_aliases_are_written_out() {
        let text = "base: &b {x: 1, y: 2}\nmine: {<<: *b, y: 3}\nlist: [*b]\n";
        let value = parse(text).unwrap().to_repr();
        assert_eq!(value, "{'base': {'x': 1, 'y': 2}, 'mine': {'x': 1, 'y': 3}, 'list': [{'x': 1, 'y': 2}]}");
    }

    #[test]
    fn hostile_texts_are_refused() {
        assert!(matches!(parse("!!python/object:os.system x").unwrap_err(), YamlError::Tag(_)));
        assert_eq!(parse("? [1]\n: 2\n").unwrap_err(), YamlError::UnhashableKey);
        for wrong in ["a: [", "--- 1\n--- 2\n", &"[".repeat(150)] {
            assert!(matches!(parse(wrong).unwrap_err(), YamlError::Document(_)), "{wrong:?}");
        }
        assert_eq!(parameters("just text").unwrap_err(), YamlError::NoMapping);
        assert!(parameters("").unwrap().is_empty());
    }
}
