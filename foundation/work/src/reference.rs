//! References: how a step's input names a parameter, an item of a map, or what an earlier step put out.
//!
//! `"${steps.probe.clip.width}"` alone in a string stands for the value itself, with its type; inside a longer
//! string it is written as text. `$${` is a literal `${`. References are parsed once, when a spec is checked, so
//! that a typing error is found before anything runs; the same parse tells which steps a step must wait for.

use serde_json::Value;

/// What a reference starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// `params.NAME`
    Param(String),
    /// `steps.NAME`; the path's first part, if any, is the output's name.
    Step(String),
    /// `item`, inside a map.
    Item,
    /// `index`, inside a map: the item's position from 0.
    Index,
    /// `run.id`
    RunId,
    /// `run.name`
    RunName,
}

/// One `${…}`: a root and the fields or positions to follow from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Where the value comes from.
    pub(crate) root: Root,
    /// Fields of objects or positions in lists, outermost first.
    pub(crate) path: Vec<String>,
}

/// Why a reference cannot be read or followed. The text is one line for the author of the spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReferenceError(pub String);

enum Piece<'a> {
    Text(&'a str),
    Reference(Reference),
}

impl Reference {
    /// Reads what stands between `${` and `}`.
    pub(crate) fn parse(text: &str) -> Result<Reference, ReferenceError> {
        let bad = |why: &str| ReferenceError(format!("`${{{text}}}`: {why}"));
        let mut parts = text.trim().split('.').map(str::to_owned);
        let first = parts.next().unwrap_or_default();
        let mut named = |what: &str| {
            parts
                .next()
                .filter(|name| !name.is_empty())
                .ok_or_else(|| bad(&format!("name the {what} after the dot")))
        };
        let root = match first.as_str() {
            "params" => Root::Param(named("parameter")?),
            "steps" => Root::Step(named("step")?),
            "item" => Root::Item,
            "index" => Root::Index,
            "run" => match named("field of the run")?.as_str() {
                "id" => Root::RunId,
                "name" => Root::RunName,
                _ => return Err(bad("a run has `run.id` and `run.name`")),
            },
            _ => {
                return Err(bad(
                    "a reference starts with params., steps., item, index or run.; write $${ for a literal ${",
                ));
            }
        };
        let path: Vec<String> = parts.collect();
        if path.iter().any(String::is_empty) {
            return Err(bad("there is an empty part between two dots"));
        }
        Ok(Reference { root, path })
    }

    /// Follows the path from the root's value.
    pub(crate) fn follow(&self, root: &Value) -> Result<Value, ReferenceError> {
        let mut at = root;
        for (depth, part) in self.path.iter().enumerate() {
            let next = match at {
                Value::Object(fields) => fields.get(part),
                Value::Array(items) => part.parse::<usize>().ok().and_then(|position| items.get(position)),
                _ => None,
            };
            at = next.ok_or_else(|| {
                let so_far = self.path[..depth].join(".");
                let place = if so_far.is_empty() { "the value".to_owned() } else { format!("`{so_far}`") };
                let have = match at {
                    Value::Object(fields) => {
                        let names: Vec<&str> = fields.keys().map(String::as_str).take(12).collect();
                        format!("has the fields [{}]", names.join(", "))
                    }
                    Value::Array(items) => format!("is a list of {}", items.len()),
                    Value::Null => "is null".to_owned(),
                    _ => "is a plain value".to_owned(),
                };
                ReferenceError(format!("`{self}`: there is no `{part}`: {place} {have}"))
            })?;
        }
        Ok(at.clone())
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.root {
            Root::Param(name) => write!(f, "${{params.{name}")?,
            Root::Step(name) => write!(f, "${{steps.{name}")?,
            Root::Item => f.write_str("${item")?,
            Root::Index => f.write_str("${index")?,
            Root::RunId => f.write_str("${run.id")?,
            Root::RunName => f.write_str("${run.name")?,
        }
        for part in &self.path {
            write!(f, ".{part}")?;
        }
        f.write_str("}")
    }
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, ReferenceError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if at > 0 && rest.as_bytes()[at - 1] == b'$' {
            // `$${`: keep the text before the escaping dollar, then a literal `${`.
            if at > 1 {
                pieces.push(Piece::Text(&rest[..at - 1]));
            }
            pieces.push(Piece::Text("${"));
            rest = &rest[at + 2..];
            continue;
        }
        let end = rest[at..].find('}').ok_or_else(|| {
            ReferenceError(format!("`{text}`: a `${{` is never closed; write $${{ for a literal ${{"))
        })?;
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
        }
        pieces.push(Piece::Reference(Reference::parse(&rest[at + 2..at + end])?));
        rest = &rest[at + end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// Every reference inside a value, in reading order.
pub(crate) fn references(value: &Value) -> Result<Vec<Reference>, ReferenceError> {
    let mut found = Vec::new();
    collect(value, &mut found)?;
    Ok(found)
}

fn collect(value: &Value, found: &mut Vec<Reference>) -> Result<(), ReferenceError> {
    match value {
        Value::String(text) => {
            for piece in pieces(text)? {
                if let Piece::Reference(reference) = piece {
                    found.push(reference);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                collect(item, found)?;
            }
        }
        Value::Object(fields) => {
            for field in fields.values() {
                collect(field, found)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Replaces every reference inside `value` by what `lookup` gives for it.
pub(crate) fn resolve(
    value: &Value,
    lookup: &mut dyn FnMut(&Reference) -> Result<Value, ReferenceError>,
) -> Result<Value, ReferenceError> {
    Ok(match value {
        Value::String(text) if text.contains("${") => resolve_text(text, lookup)?,
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| resolve(item, lookup)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, field)| Ok((name.clone(), resolve(field, lookup)?)))
                .collect::<Result<_, ReferenceError>>()?,
        ),
        plain => plain.clone(),
    })
}

fn resolve_text(
    text: &str,
    lookup: &mut dyn FnMut(&Reference) -> Result<Value, ReferenceError>,
) -> Result<Value, ReferenceError> {
    let pieces = pieces(text)?;
    if let [Piece::Reference(reference)] = pieces.as_slice() {
        return lookup(reference);
    }
    let mut out = String::new();
    for piece in &pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Reference(reference) => match lookup(reference)? {
                Value::String(text) => out.push_str(&text),
                Value::Null => {}
                other => out.push_str(&other.to_string()),
            },
        }
    }
    Ok(Value::String(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with_item(value: Value, item: Value) -> Result<Value, ReferenceError> {
        resolve(&value, &mut |reference| match reference.root {
            Root::Item => reference.follow(&item),
            Root::Index => Ok(json!(7)),
            _ => Err(ReferenceError("only item here".into())),
        })
    }

    #[test]
    fn a_reference_alone_keeps_its_type_and_inside_text_is_written_out() {
        let item = json!({"width": 640, "name": "a", "list": [1, {"x": true}]});
        assert_eq!(with_item(json!("${item.width}"), item.clone()).unwrap(), json!(640));
        assert_eq!(with_item(json!("${item.list.1.x}"), item.clone()).unwrap(), json!(true));
        assert_eq!(with_item(json!("${index}-${item.name}.mp4"), item.clone()).unwrap(), json!("7-a.mp4"));
        assert_eq!(
            with_item(json!(["$${item}", {"k": "${item.name}"}]), item).unwrap(),
            json!(["${item}", {"k": "a"}])
        );
    }

    #[test]
    fn a_missing_field_says_what_there_is() {
        let error = with_item(json!("${item.height}"), json!({"width": 1})).unwrap_err();
        assert_eq!(error.0, "`${item.height}`: there is no `height`: the value has the fields [width]");
    }

    #[test]
    fn typing_errors_are_found_when_parsed() {
        for bad in ["${", "${item", "${params}", "${params.}", "${step.x}", "${run.what}", "${item..x}"] {
            assert!(references(&json!(bad)).is_err(), "{bad}");
        }
        assert_eq!(references(&json!({"a": ["${params.x}", "$${params.y}"]})).unwrap().len(), 1);
    }
}
