//! JSON Schema as far as settings and events use it: types, choices, properties, items, local references.
//!
//! A keyword that is not known here accepts: what is saved is a user's own, and refusing what the front end's full validator takes
//! would be worse than keeping it.

use serde_json::Value;

/// References that are followed in a row; a schema that refers to itself has no end.
const MAX_DEPTH: usize = 32;

/// What is wrong with a value by a schema, if anything.
pub(crate) fn fault(schema: &Value, value: &Value) -> Option<String> {
    check(schema, schema, value, "it", 0)
}

fn check(root: &Value, schema: &Value, value: &Value, name: &str, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    if let Some(target) = schema["$ref"].as_str() {
        let target = root.pointer(target.strip_prefix('#')?)?;
        return check(root, target, value, name, depth + 1);
    }
    let is_type = |wanted: &str| match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        "number" => value.is_number(),
        _ => true,
    };
    let is_of_type = match &schema["type"] {
        Value::String(wanted) => is_type(wanted),
        Value::Array(choices) => choices.iter().filter_map(Value::as_str).any(is_type),
        _ => true,
    };
    if !is_of_type {
        return Some(format!("{name} is not of type {}", schema["type"]));
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        return Some(format!("{name} is none of {}", schema["enum"]));
    }
    if let Some(members) = value.as_object() {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if let Some(missing) = required.into_iter().find(|key| !members.contains_key(*key)) {
            return Some(format!("{name} has no `{missing}`"));
        }
        for (key, member) in members {
            let own = &schema["properties"][key];
            if own.is_object() {
                if let Some(fault) = check(root, own, member, &format!("`{key}`"), depth + 1) {
                    return Some(fault);
                }
            } else if schema["additionalProperties"] == false && schema["patternProperties"].is_null() {
                return Some(format!("{name} may not have `{key}`"));
            }
        }
    }
    if let (Some(items), true) = (value.as_array(), schema["items"].is_object()) {
        return items.iter().find_map(|item| check(root, &schema["items"], item, name, depth + 1));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn faults_are_named() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["a"],
            "definitions": {"word": {"type": "string", "enum": ["x", "y"]}, "loop": {"$ref": "#/definitions/loop"}},
            "properties": {"a": {"type": ["integer", "null"]}, "b": {"type": "array", "items": {"$ref": "#/definitions/word"}},
                "c": {"$ref": "#/definitions/loop"}},
        });
        assert_eq!(fault(&schema, &json!({"a": null, "b": ["x"], "c": 1})), None);
        for (value, part) in [
            (json!([]), "type"),
            (json!({}), "no `a`"),
            (json!({"a": "1"}), "`a` is not"),
            (json!({"a": 1, "b": ["z"]}), "none of"),
            (json!({"a": 1, "z": 1}), "may not have `z`"),
        ] {
            assert!(fault(&schema, &value).unwrap().contains(part), "{value}");
        }
    }
}
