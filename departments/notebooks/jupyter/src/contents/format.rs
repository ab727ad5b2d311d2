//! Notebooks as they stand in a file and as clients see them.
//!
//! In a file, long texts are lists of lines and keys are sorted, as `nbformat` writes them; clients get whole texts. Everything else goes
//! through unchanged, also what does not follow the format: a client is told what is wrong with it, and it is saved all the same.

use std::collections::HashSet;

use backlot_notebooks_model::json::{self, Object, Value};

use crate::error::Error;

/// The keys of a notebook's metadata that belong to a running client and not to the file.
const TRANSIENT: [&str; 3] = ["orig_nbformat", "orig_nbformat_minor", "signature"];

/// The largest notebook that is read: what a browser can hold, with room.
const MAX_BYTES: usize = 512 << 20;

/// Reads the bytes of a file as clients get it.
pub(crate) fn read(bytes: &[u8], path: &str) -> Result<Value, Error> {
    let unreadable = |why: String| Error::bad_request(format!("Unreadable Notebook: {path} {why}"));
    if bytes.len() > MAX_BYTES {
        return Err(unreadable(format!("it is larger than {MAX_BYTES} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".to_owned()))?;
    if text.trim().is_empty() {
        return Err(unreadable("it is empty".to_owned()));
    }
    let mut notebook = json::parse(text).map_err(|error| unreadable(format!("{error}")))?;
    if notebook.as_object().is_none() {
        return Err(unreadable("it is no object".to_owned()));
    }
    match notebook.get("nbformat").and_then(Value::as_i64) {
        Some(4) => {}
        Some(1..=3) => notebook = super::upgrade::from_3(notebook),
        None if notebook.get("worksheets").is_some() => notebook = super::upgrade::from_3(notebook),
        _ => return Err(unreadable("its `nbformat` is none that we know".to_owned())),
    }
    each_text(&mut notebook, &join_lines);
    strip_transient(&mut notebook);
    mend_ids(&mut notebook);
    Ok(notebook)
}

/// The text of a file, from what a client sent.
pub(crate) fn write(mut notebook: Value) -> String {
    strip_transient(&mut notebook);
    mend_ids(&mut notebook);
    for_cells(&mut notebook, |cell| {
        if let Some(metadata) = cell.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("trusted");
        }
    });
    each_text(&mut notebook, &split_lines);
    let mut text = String::new();
    notebook.write_sorted(0, &mut text);
    text.push('\n');
    text
}

/// A notebook without cells.
pub(crate) fn empty() -> Value {
    let mut notebook = Object::new();
    notebook.insert("cells".to_owned(), Value::Array(Vec::new()));
    notebook.insert("metadata".to_owned(), Value::Object(Object::new()));
    notebook.insert("nbformat".to_owned(), Value::from(4));
    notebook.insert("nbformat_minor".to_owned(), Value::from(5));
    Value::Object(notebook)
}

/// What is wrong with a notebook; the first fault, in words.
pub(crate) fn fault(notebook: &Value) -> Option<String> {
    let Some(cells) = notebook.get("cells").and_then(Value::as_array) else {
        return Some("'cells' is a required property".to_owned());
    };
    if notebook.get("metadata").and_then(Value::as_object).is_none() {
        return Some("'metadata' is a required property".to_owned());
    }
    if notebook.get("nbformat_minor").and_then(Value::as_i64).is_none() {
        return Some("'nbformat_minor' is a required property".to_owned());
    }
    cells.iter().enumerate().find_map(|(index, cell)| Some(format!("cell {index}: {}", cell_fault(cell)?)))
}

fn cell_fault(cell: &Value) -> Option<String> {
    let missing = |key: &str| Some(format!("'{key}' is a required property"));
    if cell.get("metadata").and_then(Value::as_object).is_none() {
        return missing("metadata");
    }
    if !matches!(cell.get("source"), Some(Value::String(_) | Value::Array(_))) {
        return missing("source");
    }
    match cell.get("cell_type").and_then(Value::as_str) {
        Some("markdown" | "raw") => None,
        Some("code") => {
            let Some(outputs) = cell.get("outputs").and_then(Value::as_array) else {
                return missing("outputs");
            };
            if cell.get("execution_count").is_none() {
                return missing("execution_count");
            }
            outputs.iter().find_map(output_fault)
        }
        other => Some(format!("{other:?} is not one of ['raw', 'markdown', 'code']")),
    }
}

fn output_fault(output: &Value) -> Option<String> {
    let required: &[&str] = match output.get("output_type").and_then(Value::as_str) {
        Some("stream") => &["name", "text"],
        Some("display_data") => &["data", "metadata"],
        Some("execute_result") => &["data", "metadata", "execution_count"],
        Some("error") => &["ename", "evalue", "traceback"],
        other => return Some(format!("{other:?} is no output_type")),
    };
    let missing = required.iter().find(|key| output.get(key).is_none())?;
    Some(format!("'{missing}' is a required property"))
}

/// Applies a change to each cell.
pub(crate) fn for_cells(notebook: &mut Value, mut change: impl FnMut(&mut Object)) {
    let Some(Value::Array(cells)) = notebook.as_object_mut().and_then(|notebook| notebook.get_mut("cells"))
    else {
        return;
    };
    cells.iter_mut().filter_map(Value::as_object_mut).for_each(&mut change);
}

/// Cells of 4.5 have ids, each its own.
fn mend_ids(notebook: &mut Value) {
    let is_4_5 = notebook.get("nbformat_minor").and_then(Value::as_i64).is_some_and(|minor| minor >= 5);
    if !is_4_5 || notebook.get("nbformat").and_then(Value::as_i64) != Some(4) {
        return;
    }
    let mut seen = HashSet::new();
    for_cells(notebook, |cell| {
        let id = cell.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
        if id.is_none_or(|id| !seen.insert(id)) {
            let mut fresh = format!("{:08x}", fastrand::u32(..));
            while !seen.insert(fresh.clone()) {
                fresh = format!("{:08x}", fastrand::u32(..));
            }
            cell.insert("id".to_owned(), Value::String(fresh));
        }
    });
}

fn strip_transient(notebook: &mut Value) {
    let Some(metadata) = notebook.as_object_mut().and_then(|notebook| notebook.get_mut("metadata")) else {
        return;
    };
    if let Some(metadata) = metadata.as_object_mut() {
        for key in TRANSIENT {
            metadata.shift_remove(key);
        }
    }
}

/// The texts that may stand as lists of lines: sources, streams, attachments, and the texts of mime bundles.
fn each_text(notebook: &mut Value, change: &dyn Fn(&mut Value)) {
    for_cells(notebook, |cell| {
        if let Some(source) = cell.get_mut("source") {
            change(source);
        }
        if let Some(Value::Object(attachments)) = cell.get_mut("attachments") {
            for bundle in attachments.values_mut().filter_map(Value::as_object_mut) {
                each_of_bundle(bundle, change);
            }
        }
        let Some(Value::Array(outputs)) = cell.get_mut("outputs") else { return };
        for output in outputs.iter_mut().filter_map(Value::as_object_mut) {
            match output.get("output_type").and_then(Value::as_str) {
                Some("stream") => {
                    if let Some(text) = output.get_mut("text") {
                        change(text);
                    }
                }
                Some("display_data" | "execute_result") => {
                    if let Some(Value::Object(bundle)) = output.get_mut("data") {
                        each_of_bundle(bundle, change);
                    }
                }
                _ => {}
            }
        }
    });
}

fn each_of_bundle(bundle: &mut Object, change: &dyn Fn(&mut Value)) {
    for (mime, data) in bundle.iter_mut() {
        let is_json =
            mime == "application/json" || (mime.starts_with("application/") && mime.ends_with("+json"));
        if !is_json {
            change(data);
        }
    }
}

fn join_lines(value: &mut Value) {
    if let Value::Array(lines) = value
        && lines.iter().all(|line| line.as_str().is_some())
    {
        *value = Value::String(lines.iter().filter_map(Value::as_str).collect());
    }
}

fn split_lines(value: &mut Value) {
    if let Value::String(text) = value {
        *value = Value::Array(text.split_inclusive('\n').map(Value::from).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notebook_comes_back_as_it_was() {
        let text = "{\n \"cells\": [\n  {\n   \"cell_type\": \"code\",\n   \"execution_count\": 1,\n   \"id\": \"a\",\n   \"metadata\": {},\n   \"outputs\": [\n    {\n     \"name\": \"stdout\",\n     \"output_type\": \"stream\",\n     \"text\": [\n      \"1\\n\",\n      \"2\\n\"\n     ]\n    }\n   ],\n   \"source\": [\n    \"x = 100000000000000000000000000000\\n\",\n    \"y\"\n   ]\n  }\n ],\n \"metadata\": {\n  \"big\": 100000000000000000000000000000,\n  \"nan\": NaN\n },\n \"nbformat\": 4,\n \"nbformat_minor\": 5\n}\n";
        let notebook = read(text.as_bytes(), "x").unwrap();
        assert_eq!(fault(&notebook), None);
        assert_eq!(write(notebook), text);
    }

    #[test]
    fn ids_are_given_and_doubles_mended() {
        let text = r#"{"cells": [{"id": "a"}, {"id": "a"}, {}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}"#;
        let notebook = read(text.as_bytes(), "x").unwrap();
        let cells = notebook.get("cells").unwrap().as_array().unwrap();
        let ids: HashSet<_> = cells.iter().map(|cell| cell.get("id").unwrap().as_str().unwrap()).collect();
        assert_eq!(ids.len(), 3);
        assert!(fault(&notebook).unwrap().contains("metadata"));
    }
}
