//! The YAML of configurations.
//!
//! Every scalar is kept as its text: what a field means is known where it is read (a duration, a boolean, a label's value that
//! looks like a number), so that no guess of a type can spoil it. A null is no value. Merges, aliases and anchors work.

use backlot_yaml::{Limits, Member, Scalar, Schema};
use serde_json::{Map, Value};

/// A route tree of fifty levels is far beyond any use.
const LIMITS: Limits = Limits { nodes: 200_000, depth: 100 };

/// Why a text is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum YamlError {
    /// It is not YAML, or beyond a limit.
    #[error(transparent)]
    Document(#[from] backlot_yaml::YamlError),
    /// A key stands twice.
    #[error("the key `{0}` stands twice in one mapping; keep one of them")]
    Twice(String),
    /// A key is no text.
    #[error("a list or mapping cannot be a key")]
    Key,
    /// A merge of something that is no mapping.
    #[error("`<<` merges mappings; its value is none")]
    Merge,
}

/// Reads one document; scalars are texts.
///
/// # Errors
/// Not YAML, a repeated key, beyond a limit.
pub(crate) fn parse(text: &str) -> Result<Value, YamlError> {
    Ok(backlot_yaml::read(text, &Texts, LIMITS)?.unwrap_or(Value::Null))
}

struct Texts;

impl Schema for Texts {
    type Value = Value;
    type Error = YamlError;

    fn scalar(&self, scalar: Scalar<'_>) -> Result<Value, YamlError> {
        let is_null = scalar.is_plain && matches!(&*scalar.text, "" | "~" | "null" | "Null" | "NULL");
        Ok(if is_null { Value::Null } else { Value::String(scalar.text.into_owned()) })
    }

    fn list(&self, _: Option<String>, items: Vec<Value>) -> Result<Value, YamlError> {
        Ok(Value::Array(items))
    }

    fn mapping(&self, _: Option<String>, all: Vec<Member<Value>>) -> Result<Value, YamlError> {
        let mut members = Map::new();
        let mut merged = Vec::new();
        for Member { key, value, is_merge } in all {
            let key = match key {
                Value::String(key) => key,
                Value::Null => "null".to_owned(),
                _ => return Err(YamlError::Key),
            };
            if is_merge {
                merged.push(value);
            } else if members.contains_key(&key) {
                return Err(YamlError::Twice(key));
            } else {
                members.insert(key, value);
            }
        }
        for value in merged {
            let parts = match value {
                Value::Array(parts) => parts,
                one => vec![one],
            };
            for part in parts {
                let Value::Object(part) = part else { return Err(YamlError::Merge) };
                for (key, value) in part {
                    members.entry(key).or_insert(value);
                }
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_are_texts() {
        let read = parse("a: 1\nb: [yes, 'x', ~]\nc: &q {d: 30s}\ne: {<<: *q, f: g}\n").unwrap();
        assert_eq!(
            read,
            json!({ "a": "1", "b": ["yes", "x", null], "c": { "d": "30s" }, "e": { "d": "30s", "f": "g" } })
        );
        assert_eq!(parse("").unwrap(), Value::Null);
    }

    #[test]
    fn slips_are_refused() {
        assert_eq!(parse("a: 1\na: 2\n"), Err(YamlError::Twice("a".to_owned())));
        assert_eq!(parse("? [a]\n: 2\n"), Err(YamlError::Key));
        assert_eq!(parse("<<: a\n"), Err(YamlError::Merge));
        for wrong in ["a: [", "a: 1\n---\nb: 2\n", &"[".repeat(5000)] {
            assert!(matches!(parse(wrong), Err(YamlError::Document(_))), "{wrong:?}");
        }
    }
}
