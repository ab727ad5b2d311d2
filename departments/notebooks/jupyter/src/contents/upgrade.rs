//! Notebooks of nbformat 3 and older, as version 4: worksheets are one after another, headings are markdown.

use backlot_notebooks_model::json::{Object, Value};

/// A notebook of version 4.
pub(crate) fn from_3(notebook: Value) -> Value {
    let Value::Object(mut old) = notebook else { return notebook };
    let mut cells = Vec::new();
    if let Some(Value::Array(worksheets)) = old.shift_remove("worksheets") {
        for worksheet in worksheets {
            if let Value::Object(mut worksheet) = worksheet
                && let Some(Value::Array(found)) = worksheet.shift_remove("cells")
            {
                cells.extend(found);
            }
        }
    } else if let Some(Value::Array(found)) = old.shift_remove("cells") {
        cells = found;
    }
    let mut metadata = match old.shift_remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        _ => Object::new(),
    };
    metadata.shift_remove("name");
    let mut new = Object::new();
    new.insert("cells".to_owned(), Value::Array(cells.into_iter().map(cell).collect()));
    new.insert("metadata".to_owned(), Value::Object(metadata));
    new.insert("nbformat".to_owned(), Value::from(4));
    new.insert("nbformat_minor".to_owned(), Value::from(5));
    Value::Object(new)
}

fn rename(object: &mut Object, from: &str, to: &str) {
    if let Some(value) = object.shift_remove(from) {
        object.insert(to.to_owned(), value);
    }
}

fn cell(cell: Value) -> Value {
    let Value::Object(mut cell) = cell else { return cell };
    if !matches!(cell.get("metadata"), Some(Value::Object(_))) {
        cell.insert("metadata".to_owned(), Value::Object(Object::new()));
    }
    match cell.get("cell_type").and_then(Value::as_str) {
        Some("code") => {
            rename(&mut cell, "input", "source");
            rename(&mut cell, "prompt_number", "execution_count");
            cell.entry("execution_count".to_owned()).or_insert(Value::Null);
            cell.shift_remove("language");
            cell.shift_remove("collapsed");
            let outputs = match cell.shift_remove("outputs") {
                Some(Value::Array(outputs)) => outputs.into_iter().map(output).collect(),
                _ => Vec::new(),
            };
            cell.insert("outputs".to_owned(), Value::Array(outputs));
        }
        Some("heading") => {
            let level = cell.shift_remove("level").and_then(|level| level.as_i64()).unwrap_or(1).clamp(1, 6);
            let title = match cell.get("source") {
                Some(Value::Array(lines)) => lines.iter().filter_map(Value::as_str).collect::<String>(),
                Some(Value::String(text)) => text.clone(),
                _ => String::new(),
            };
            let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
            cell.insert(
                "source".to_owned(),
                Value::String(format!("{} {title}", "#".repeat(level as usize))),
            );
            cell.insert("cell_type".to_owned(), Value::from("markdown"));
        }
        Some("html") => {
            cell.insert("cell_type".to_owned(), Value::from("markdown"));
        }
        _ => {}
    }
    Value::Object(cell)
}

/// The short names under which version 3 kept the parts of a mime bundle.
const MIMES: [(&str, &str); 8] = [
    ("text", "text/plain"),
    ("html", "text/html"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpeg", "image/jpeg"),
    ("latex", "text/latex"),
    ("json", "application/json"),
    ("javascript", "application/javascript"),
];

fn output(output: Value) -> Value {
    let Value::Object(mut output) = output else { return output };
    match output.get("output_type").and_then(Value::as_str) {
        Some("stream") => {
            let name = output.shift_remove("stream").unwrap_or_else(|| Value::from("stdout"));
            output.insert("name".to_owned(), name);
        }
        Some("pyerr") => {
            output.insert("output_type".to_owned(), Value::from("error"));
            output.shift_remove("prompt_number");
        }
        Some("pyout" | "display_data") => {
            if output.get("output_type").and_then(Value::as_str) == Some("pyout") {
                output.insert("output_type".to_owned(), Value::from("execute_result"));
                rename(&mut output, "prompt_number", "execution_count");
                output.entry("execution_count".to_owned()).or_insert(Value::Null);
            }
            let data = MIMES.iter().filter_map(|(short, mime)| {
                output.shift_remove(*short).map(|value| ((*mime).to_owned(), value))
            });
            let data: Object = data.collect();
            output.insert("data".to_owned(), Value::Object(data));
            output.entry("metadata".to_owned()).or_insert_with(|| Value::Object(Object::new()));
        }
        _ => {}
    }
    Value::Object(output)
}

#[cfg(test)]
mod tests {
    #[test]
    fn version_3_reads_as_version_4() {
        let text =
            br#"{"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": "x"}, "worksheets": [{"cells": [
            {"cell_type": "heading", "level": 2, "source": ["A", " b"]},
            {"cell_type": "code", "input": "1", "language": "python", "prompt_number": 3,
             "outputs": [{"output_type": "pyout", "prompt_number": 3, "text": "1"}]}]}]}"#;
        let notebook = super::super::format::read(text, "x").unwrap();
        assert_eq!(super::super::format::fault(&notebook), None);
        let cells = notebook.get("cells").unwrap().as_array().unwrap();
        assert_eq!(cells[0].get("source").unwrap().as_str(), Some("## A b"));
        let output = &cells[1].get("outputs").unwrap().as_array().unwrap()[0];
        assert_eq!(output.get("data").unwrap().get("text/plain").unwrap().as_str(), Some("1"));
    }
}
