//! The YAML of configurations.
//!
//! Every scalar is kept as its text: what a field means is known where it is read (a duration, a boolean, a label's value that
//! looks like a number), so that no guess of a type can spoil it. A null is no value. Merges, aliases and anchors work.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value};

/// Most nodes after aliases are written out: aliases of aliases grow exponentially.
const MOST_NODES: usize = 200_000;

/// How deep a document may nest; a route tree of fifty levels is far beyond any use.
const DEEPEST: usize = 100;

/// Why a text is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum YamlError {
    /// It is not YAML.
    #[error("not YAML: {0}")]
    Syntax(String),
    /// A key stands twice.
    #[error("the key `{0}` stands twice in one mapping; keep one of them")]
    Twice(String),
    /// A key is no text.
    #[error("a list or mapping cannot be a key")]
    Key,
    /// Beyond a limit.
    #[error("more than {MOST_NODES} values or {DEEPEST} levels; make it smaller")]
    TooLarge,
}

/// Reads one document; scalars are texts.
///
/// # Errors
/// Not YAML, a repeated key, beyond a limit.
pub(crate) fn parse(text: &str) -> Result<Value, YamlError> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut document = None;
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(document.unwrap_or(Value::Null)),
            Event::DocumentStart(_) if document.is_some() => {
                return Err(YamlError::Syntax("expected a single document".to_owned()));
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event => document = Some(reader.node(event, 0)?),
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Value>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, YamlError> {
        match self.parser.next() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(YamlError::Syntax(error.to_string())),
            None => Ok(Event::StreamEnd),
        }
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Value, YamlError> {
        self.nodes += 1;
        if depth > DEEPEST || self.nodes > MOST_NODES {
            return Err(YamlError::TooLarge);
        }
        let (anchor, value) = match event {
            Event::Alias(id) => {
                let value = self.anchors.get(&id).cloned();
                let value =
                    value.ok_or_else(|| YamlError::Syntax("an alias of what it stands in".to_owned()))?;
                self.nodes += size(&value);
                return if self.nodes > MOST_NODES { Err(YamlError::TooLarge) } else { Ok(value) };
            }
            Event::Scalar(text, style, anchor, _) => {
                let is_null =
                    style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                (anchor, if is_null { Value::Null } else { Value::String(text.into_owned()) })
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
                (anchor, Value::Array(items))
            }
            Event::MappingStart(anchor, _) => (anchor, self.mapping(depth)?),
            _ => return Err(YamlError::Syntax("the document ends too early".to_owned())),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut members = Map::new();
        let mut merged = Vec::new();
        loop {
            let event = match self.next()? {
                Event::MappingEnd => break,
                event => event,
            };
            let key = match self.node(event, depth + 1)? {
                Value::String(key) => key,
                Value::Null => "null".to_owned(),
                _ => return Err(YamlError::Key),
            };
            let event = self.next()?;
            let value = self.node(event, depth + 1)?;
            if key == "<<" {
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
                let Value::Object(part) = part else {
                    return Err(YamlError::Syntax("`<<` merges mappings".to_owned()));
                };
                for (key, value) in part {
                    members.entry(key).or_insert(value);
                }
            }
        }
        Ok(Value::Object(members))
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(size).sum::<usize>(),
        _ => 1,
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
    fn bombs_and_slips_are_refused() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..20 {
            let alias = format!("*a{}", level - 1);
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(","));
        }
        assert_eq!(parse(&bomb), Err(YamlError::TooLarge));
        assert!(parse(&"[".repeat(5000)).is_err());
        assert_eq!(parse("a: 1\na: 2\n"), Err(YamlError::Twice("a".to_owned())));
        assert!(parse("a: [").is_err() && parse("a: 1\n---\nb: 2\n").is_err());
    }
}
