//! Whether a value is a notebook of nbformat 4, told in the words of its JSON schema.
//!
//! [`Notebook::read`](crate::Notebook::read) is lenient, as Jupyter is with files. A notebook that is published must follow the
//! format, and clients read the fault's text; it is what Python's `jsonschema` says of the first fault.

use crate::json::{Object, Value};

/// The first fault of a notebook.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault<'a> {
    /// What is wrong: `'cells' is a required property`.
    pub message: String,
    /// The part that is wrong.
    pub instance: &'a Value,
}

type Checked<'a> = Result<(), Fault<'a>>;

/// Finds the first fault.
pub fn fault(notebook: &Value) -> Option<Fault<'_>> {
    notebook_(notebook).err()
}

fn fault_of(instance: &Value, message: String) -> Fault<'_> {
    Fault { message, instance }
}

/// A text as Python's `repr` has it, for names without quotes in them.
fn quoted(text: &str) -> String {
    format!("'{text}'")
}

fn of_type<'a>(value: &'a Value, name: &str, is: bool) -> Checked<'a> {
    if is {
        return Ok(());
    }
    let shown = crate::Param::from_json(value).to_repr();
    Err(fault_of(value, format!("{shown} is not of type {name}")))
}

fn object(value: &Value) -> Result<&Object, Fault<'_>> {
    of_type(value, "'object'", value.as_object().is_some())?;
    Ok(value.as_object().expect("invariant: it was just seen to be an object"))
}

/// An object with these members and no others; which of them must be there is told first by name.
fn members<'a>(value: &'a Value, required: &[&str], optional: &[&str]) -> Result<&'a Object, Fault<'a>> {
    let members = object(value)?;
    let is_known = |key: &&String| !required.contains(&key.as_str()) && !optional.contains(&key.as_str());
    let unknown: Vec<String> = members.keys().filter(is_known).map(|key| quoted(key)).collect();
    if !unknown.is_empty() {
        let were = if unknown.len() == 1 { "was" } else { "were" };
        let message =
            format!("Additional properties are not allowed ({} {were} unexpected)", unknown.join(", "));
        return Err(fault_of(value, message));
    }
    require(value, members, required)?;
    Ok(members)
}

fn require<'a>(value: &'a Value, members: &Object, required: &[&str]) -> Checked<'a> {
    match required.iter().find(|name| !members.contains_key(**name)) {
        Some(name) => Err(fault_of(value, format!("{} is a required property", quoted(name)))),
        None => Ok(()),
    }
}

fn text(members: &Object, key: &str) -> Result<(), String> {
    members.get(key).map_or(Ok(()), |value| match value {
        Value::String(_) => Ok(()),
        other => Err(format!("{} is not of type 'string'", crate::Param::from_json(other).to_repr())),
    })
}

fn is_lines(value: &Value) -> bool {
    value.as_str().is_some()
        || value.as_array().is_some_and(|lines| lines.iter().all(|line| line.as_str().is_some()))
}

fn lines<'a>(members: &'a Object, key: &str) -> Checked<'a> {
    match members.get(key) {
        Some(value) if !is_lines(value) => {
            let shown = crate::Param::from_json(value).to_repr();
            Err(fault_of(value, format!("{shown} is not valid under any of the given schemas")))
        }
        _ => Ok(()),
    }
}

fn count<'a>(members: &'a Object, key: &str) -> Checked<'a> {
    match members.get(key) {
        None | Some(Value::Null) => Ok(()),
        Some(value) => of_type(value, "'integer', 'null'", value.as_i64().is_some_and(|count| count >= 0)),
    }
}

fn notebook_(notebook: &Value) -> Checked<'_> {
    const REQUIRED: [&str; 4] = ["metadata", "nbformat_minor", "nbformat", "cells"];
    let top = members(notebook, &REQUIRED, &[])?;
    if let Some(metadata) = top.get("metadata") {
        let members = object(metadata)?;
        for (name, required) in [("kernelspec", &["name", "display_name"][..]), ("language_info", &["name"])]
        {
            if let Some(part) = members.get(name) {
                require(part, object(part)?, required)?;
            }
        }
    }
    if let Some(major) = top.get("nbformat") {
        let is_4 = major.as_i64() == Some(4);
        of_type(major, "'integer'", major.as_i64().is_some())?;
        if !is_4 {
            let shown = major.to_compact();
            return Err(fault_of(major, format!("{shown} is not the version 4 of the format")));
        }
    }
    let minor = top.get("nbformat_minor");
    if let Some(value) = minor {
        of_type(value, "'integer'", value.as_i64().is_some())?;
    }
    let has_ids = minor.and_then(Value::as_i64).is_some_and(|minor| minor >= 5);
    if let Some(cells) = top.get("cells") {
        of_type(cells, "'array'", cells.as_array().is_some())?;
        for one in cells.as_array().unwrap_or_default() {
            cell(one, has_ids)?;
        }
    }
    Ok(())
}

fn cell(value: &Value, has_ids: bool) -> Checked<'_> {
    let kind = object(value)?.get("cell_type").and_then(Value::as_str);
    let ids: &[&str] = if has_ids { &["id"] } else { &[] };
    let with_ids = |names: &[&'static str]| [ids, names].concat();
    let cell = match kind {
        Some("code") => {
            let required = with_ids(&["cell_type", "metadata", "source", "outputs", "execution_count"]);
            members(value, &required, &[])?
        }
        Some("markdown" | "raw") => {
            members(value, &with_ids(&["cell_type", "metadata", "source"]), &["attachments"])?
        }
        Some(other) => {
            let message = format!("Unrecognized cell type: {}", quoted(other));
            return Err(fault_of(value, message));
        }
        None => return Err(fault_of(value, "'cell_type' is a required property".to_owned())),
    };
    if let Some(id) = cell.get("id") {
        let is_id = id.as_str().is_some_and(|id| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        });
        if !is_id {
            let shown = crate::Param::from_json(id).to_repr();
            return Err(fault_of(id, format!("{shown} does not match '^[a-zA-Z0-9-_]+$'")));
        }
    }
    if let Some(metadata) = cell.get("metadata") {
        object(metadata)?;
    }
    lines(cell, "source")?;
    count(cell, "execution_count")?;
    if let Some(outputs) = cell.get("outputs") {
        of_type(outputs, "'array'", outputs.as_array().is_some())?;
        for one in outputs.as_array().unwrap_or_default() {
            output(one)?;
        }
    }
    Ok(())
}

fn output(value: &Value) -> Checked<'_> {
    let kind = object(value)?.get("output_type").and_then(Value::as_str);
    let output = match kind {
        Some("stream") => members(value, &["output_type", "name", "text"], &[])?,
        Some("display_data") => members(value, &["output_type", "data", "metadata"], &[])?,
        Some("execute_result") => {
            members(value, &["output_type", "data", "metadata", "execution_count"], &[])?
        }
        Some("error") => members(value, &["output_type", "ename", "evalue", "traceback"], &[])?,
        Some(other) => {
            let message = format!("Unrecognized output type: {}", quoted(other));
            return Err(fault_of(value, message));
        }
        None => return Err(fault_of(value, "'output_type' is a required property".to_owned())),
    };
    for key in ["name", "ename", "evalue"] {
        text(output, key).map_err(|message| fault_of(value, message))?;
    }
    for key in ["data", "metadata"] {
        if let Some(part) = output.get(key) {
            object(part)?;
        }
    }
    lines(output, "text")?;
    count(output, "execution_count")?;
    if let Some(traceback) = output.get("traceback") {
        of_type(traceback, "'array'", traceback.as_array().is_some())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn message(text: &str) -> Option<String> {
        fault(&json::parse(text).unwrap()).map(|fault| fault.message)
    }

    #[test]
    fn a_notebook_has_no_fault_and_each_fault_is_named() {
        let with_cell = |cell: &str, minor: u32| {
            format!(r#"{{"cells": [{cell}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": {minor}}}"#)
        };
        let code = r#"{"cell_type": "code", "metadata": {}, "source": ["a\n", "b"], "outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}], "execution_count": null}"#;
        assert_eq!(message(&with_cell(code, 4)), None);
        assert_eq!(message(&with_cell(code, 5)).as_deref(), Some("'id' is a required property"));
        let faults = [
            (r#"{"cells": [], "nbformat": 4, "nbformat_minor": 2}"#, "'metadata' is a required property"),
            ("[]", "[] is not of type 'object'"),
            (
                r#"{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 2, "odd": 1}"#,
                "Additional properties are not allowed ('odd' was unexpected)",
            ),
            (
                r#"{"cells": {}, "metadata": {}, "nbformat": 4, "nbformat_minor": 2}"#,
                "{} is not of type 'array'",
            ),
        ];
        for (text, expected) in faults {
            assert_eq!(message(text).as_deref(), Some(expected), "{text}");
        }
        let bad = r#"{"cell_type": "markdown", "metadata": {}, "source": 5}"#;
        assert_eq!(
            message(&with_cell(bad, 4)).as_deref(),
            Some("5 is not valid under any of the given schemas")
        );
        let odd = r#"{"cell_type": "movie", "metadata": {}, "source": ""}"#;
        assert_eq!(message(&with_cell(odd, 4)).as_deref(), Some("Unrecognized cell type: 'movie'"));
    }
}
