//! A notebook of nbformat 4: read leniently as `nbformat` reads, written to its very bytes.
//!
//! A notebook is its cells and its metadata; everything that this crate does not know about stays where it was. Multi-line
//! texts are joined while a notebook is in memory and split into lines in the file, as `nbformat` does.

use crate::json::{self, Number, Object, Value, new_line, write_string};
use crate::python::split_lines;

/// The longest notebook that is read: outputs of hundreds of megabytes occur, a gigabyte of text is a mistake.
pub const MAX_BYTES: usize = 1 << 30;

/// The minor version of nbformat 4 that is written.
pub const MINOR: i64 = 5;

/// Media types besides `text/*` whose data are split into lines in the file.
const SPLIT_TYPES: [&str; 2] = ["application/javascript", "image/svg+xml"];

/// Why a notebook cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is not UTF-8.
    #[error("the notebook is not UTF-8; save it as UTF-8")]
    NotUtf8,
    /// It is not JSON.
    #[error("the notebook is not JSON: {0}; save it again with Jupyter")]
    NotJson(#[from] json::SyntaxError),
    /// It is longer than [`MAX_BYTES`].
    #[error("the notebook has {0} bytes, more than {MAX_BYTES}; clear its outputs")]
    TooLarge(usize),
    /// Its format is older or newer than 4.
    #[error(
        "the notebook has nbformat {0}; only 4 is read: convert it with `jupyter nbconvert --to notebook --nbformat 4`"
    )]
    Version(i64),
    /// A part is missing or of another type than the format says.
    #[error("the notebook is invalid: {0}; open and save it with Jupyter, which repairs it")]
    Invalid(String),
}

fn invalid(what: impl Into<String>) -> ReadError {
    ReadError::Invalid(what.into())
}

/// What a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Code for a kernel.
    Code,
    /// Text for people.
    Markdown,
    /// Text for converters.
    Raw,
    /// A kind that the format does not know.
    Unknown,
}

/// One cell. It always has `metadata`; everything else may be missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell(Object);

impl Cell {
    fn read(value: Value, index: usize) -> Result<Cell, ReadError> {
        let Value::Object(mut object) = value else {
            return Err(invalid(format!("cell {index} is no object")));
        };
        match object.get_mut("metadata") {
            Some(Value::Object(metadata)) => {
                metadata.shift_remove("trusted");
            }
            _ => return Err(invalid(format!("cell {index} has no metadata"))),
        }
        if let Some(Value::Array(lines)) = object.get("source") {
            let source =
                joined(lines).ok_or_else(|| invalid(format!("cell {index}: its source is no text")))?;
            object.insert("source".to_owned(), source);
        }
        if let Some(Value::Object(attachments)) = object.get_mut("attachments") {
            attachments.values_mut().for_each(join_bundle);
        }
        let mut cell = Cell(object);
        if cell.kind() == CellKind::Code {
            cell.0.entry("outputs".to_owned()).or_insert_with(|| Value::Array(Vec::new()));
            for output in cell.outputs_mut() {
                join_output(output);
            }
        }
        Ok(cell)
    }

    /// A new code cell.
    pub fn code(id: String, source: &str) -> Cell {
        let mut cell = Cell::bare(id, "code", source);
        cell.0.insert("execution_count".to_owned(), Value::Null);
        cell.0.insert("outputs".to_owned(), Value::Array(Vec::new()));
        cell
    }

    /// A new markdown cell.
    pub fn markdown(id: String, source: &str) -> Cell {
        Cell::bare(id, "markdown", source)
    }

    fn bare(id: String, kind: &str, source: &str) -> Cell {
        let members = [
            ("id", Value::from(id)),
            ("cell_type", Value::from(kind)),
            ("source", Value::from(source)),
            ("metadata", Value::Object(Object::new())),
        ];
        Cell(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// What it is.
    pub fn kind(&self) -> CellKind {
        match self.0.get("cell_type").and_then(Value::as_str) {
            Some("code") => CellKind::Code,
            Some("markdown") => CellKind::Markdown,
            Some("raw") => CellKind::Raw,
            _ => CellKind::Unknown,
        }
    }

    /// Its id; notebooks before 4.5 get them as they are read.
    pub fn id(&self) -> Option<&str> {
        self.0.get("id").and_then(Value::as_str)
    }

    fn set_id(&mut self, id: String) {
        self.0.insert("id".to_owned(), Value::String(id));
    }

    /// Its text.
    pub fn source(&self) -> &str {
        self.0.get("source").and_then(Value::as_str).unwrap_or_default()
    }

    /// Its metadata.
    pub fn metadata(&self) -> &Object {
        self.0.get("metadata").and_then(Value::as_object).expect("invariant: every cell has metadata")
    }

    /// Its metadata.
    pub fn metadata_mut(&mut self) -> &mut Object {
        let metadata = self.0.get_mut("metadata").and_then(Value::as_object_mut);
        metadata.expect("invariant: every cell has metadata")
    }

    /// An object in its metadata, made if it is not there.
    pub fn metadata_object(&mut self, key: &str) -> &mut Object {
        let value = self.metadata_mut().entry(key.to_owned()).or_insert(Value::Null);
        if value.as_object().is_none() {
            *value = Value::Object(Object::new());
        }
        value.as_object_mut().expect("invariant: it was just made an object")
    }

    /// Whether it carries a tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        let tags = self.metadata().get("tags").and_then(Value::as_array);
        tags.is_some_and(|tags| tags.iter().any(|one| one.as_str() == Some(tag)))
    }

    /// Replaces its tags.
    pub fn set_tags(&mut self, tags: &[&str]) {
        let tags = tags.iter().map(|tag| Value::from(*tag)).collect();
        self.metadata_mut().insert("tags".to_owned(), Value::Array(tags));
    }

    /// Its outputs; none for other cells than code.
    pub fn outputs(&self) -> &[Value] {
        self.0.get("outputs").and_then(Value::as_array).unwrap_or_default()
    }

    /// Its outputs, made empty if there are none.
    pub fn outputs_mut(&mut self) -> &mut Vec<Value> {
        let value = self.0.entry("outputs".to_owned()).or_insert(Value::Null);
        if value.as_array().is_none() {
            *value = Value::Array(Vec::new());
        }
        let Value::Array(outputs) = value else { unreachable!("invariant: it was just made an array") };
        outputs
    }

    /// The number of its execution.
    pub fn execution_count(&self) -> Option<i64> {
        self.0.get("execution_count").and_then(Value::as_i64)
    }

    /// Sets the number of its execution.
    pub fn set_execution_count(&mut self, count: Value) {
        self.0.insert("execution_count".to_owned(), count);
    }

    /// Everything, as it is in memory.
    pub fn as_object(&self) -> &Object {
        &self.0
    }

    /// Its part of the file, without the indent of its first line. A notebook's file is these joined by [`Notebook::frame`],
    /// so a cell that did not change need not be written again.
    pub fn fragment(&self) -> String {
        let mut object = self.0.clone();
        if let Some(source) = object.get_mut("source") {
            split_text(source);
        }
        if let Some(Value::Object(attachments)) = object.get_mut("attachments") {
            attachments.values_mut().for_each(split_bundle);
        }
        if self.kind() == CellKind::Code
            && let Some(Value::Array(outputs)) = object.get_mut("outputs")
        {
            outputs.iter_mut().for_each(split_output);
        }
        let mut text = String::new();
        Value::Object(object).write_sorted(2, &mut text);
        text
    }
}

fn joined(lines: &[Value]) -> Option<Value> {
    let lines: Option<Vec<&str>> = lines.iter().map(Value::as_str).collect();
    Some(Value::String(lines?.concat()))
}

fn is_json_type(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

fn join_bundle(bundle: &mut Value) {
    let Value::Object(bundle) = bundle else { return };
    for (media_type, data) in bundle {
        if !is_json_type(media_type)
            && let Value::Array(lines) = data
            && let Some(text) = joined(lines)
        {
            *data = text;
        }
    }
}

fn join_output(output: &mut Value) {
    let Value::Object(output) = output else { return };
    match output.get("output_type").and_then(Value::as_str) {
        Some("execute_result" | "display_data") => {
            if let Some(data) = output.get_mut("data") {
                join_bundle(data);
            }
        }
        _ => {
            if let Some(Value::Array(lines)) = output.get("text")
                && let Some(text) = joined(lines)
            {
                output.insert("text".to_owned(), text);
            }
        }
    }
}

fn split_text(value: &mut Value) {
    if let Value::String(text) = value {
        *value = Value::Array(split_lines(text).into_iter().map(Value::from).collect());
    }
}

fn split_bundle(bundle: &mut Value) {
    let Value::Object(bundle) = bundle else { return };
    for (media_type, data) in bundle {
        if media_type.starts_with("text/") || SPLIT_TYPES.contains(&media_type.as_str()) {
            split_text(data);
        }
    }
}

fn split_output(output: &mut Value) {
    let Value::Object(output) = output else { return };
    match output.get("output_type").and_then(Value::as_str) {
        Some("execute_result" | "display_data") => {
            if let Some(data) = output.get_mut("data") {
                split_bundle(data);
            }
        }
        Some("stream") => {
            if let Some(text) = output.get_mut("text") {
                split_text(text);
            }
        }
        _ => {}
    }
}

/// A notebook.
#[derive(Clone, Debug, PartialEq)]
pub struct Notebook {
    /// Its cells in order.
    pub cells: Vec<Cell>,
    /// Its metadata.
    pub metadata: Object,
    minor: i64,
    /// What stands at the top besides cells, metadata and versions.
    rest: Object,
}

/// Makes cell ids. Chance is an argument of this crate, so that equal inputs give equal notebooks.
pub type NewId<'a> = &'a mut dyn FnMut() -> String;

impl Notebook {
    /// A notebook without cells.
    pub fn new() -> Notebook {
        Notebook { cells: Vec::new(), metadata: Object::new(), minor: MINOR, rest: Object::new() }
    }

    /// Reads a notebook of nbformat 4 as the current minor version: cells without an id, or with one that another cell
    /// already has, get one.
    ///
    /// ```
    /// # use backlot_notebooks_model::Notebook;
    /// let text = br#"{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 2}"#;
    /// let notebook = Notebook::read(text, &mut || "00000000".into())?;
    /// assert_eq!(notebook.to_text(), "{\n \"cells\": [],\n \"metadata\": {},\n \"nbformat\": 4,\n \"nbformat_minor\": 5\n}");
    /// # Ok::<(), backlot_notebooks_model::ReadError>(())
    /// ```
    ///
    /// # Errors
    /// [`ReadError`] names what is wrong and the mend.
    pub fn read(bytes: &[u8], new_id: NewId<'_>) -> Result<Notebook, ReadError> {
        let mut notebook = Notebook::read_as_is(bytes)?;
        if notebook.minor < MINOR {
            for cell in &mut notebook.cells {
                cell.set_id(new_id());
            }
        }
        notebook.minor = MINOR;
        notebook.mend_ids(new_id);
        Ok(notebook)
    }

    /// Reads a notebook of nbformat 4 and leaves version and ids alone: for those who only look.
    ///
    /// # Errors
    /// As [`Notebook::read`].
    pub fn read_as_is(bytes: &[u8]) -> Result<Notebook, ReadError> {
        if bytes.len() > MAX_BYTES {
            return Err(ReadError::TooLarge(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ReadError::NotUtf8)?;
        let Value::Object(mut rest) = json::parse(text)? else {
            return Err(invalid("it is no object"));
        };
        let version = rest.shift_remove("nbformat").and_then(|version| version.as_i64()).unwrap_or(1);
        if version != 4 {
            return Err(ReadError::Version(version));
        }
        let minor = rest.shift_remove("nbformat_minor").and_then(|minor| minor.as_i64());
        let minor = minor.ok_or_else(|| invalid("`nbformat_minor` is missing"))?;
        let Some(Value::Object(mut metadata)) = rest.shift_remove("metadata") else {
            return Err(invalid("`metadata` is missing"));
        };
        for transient in ["orig_nbformat", "orig_nbformat_minor", "signature"] {
            metadata.shift_remove(transient);
        }
        let Some(Value::Array(cells)) = rest.shift_remove("cells") else {
            return Err(invalid("`cells` is missing"));
        };
        let cells = cells.into_iter().enumerate().map(|(index, cell)| Cell::read(cell, index));
        Ok(Notebook { cells: cells.collect::<Result<_, _>>()?, metadata, minor, rest })
    }

    /// Gives ids to cells that have none, or one that stands at an earlier cell.
    fn mend_ids(&mut self, new_id: NewId<'_>) {
        let mut seen = std::collections::HashSet::new();
        for cell in &mut self.cells {
            let is_fresh = cell.id().is_some_and(|id| seen.insert(id.to_owned()));
            if !is_fresh {
                let mut id = new_id();
                while !seen.insert(id.clone()) {
                    id = new_id();
                }
                cell.set_id(id);
            }
        }
    }

    /// The minor version of its format.
    pub fn minor(&self) -> i64 {
        self.minor
    }

    /// The name of its kernel.
    pub fn kernel_name(&self) -> Option<&str> {
        self.metadata_text("kernelspec", "name")
    }

    /// The name of its language.
    pub fn language(&self) -> Option<&str> {
        self.metadata_text("language_info", "name").or_else(|| self.metadata_text("kernelspec", "language"))
    }

    fn metadata_text(&self, part: &str, key: &str) -> Option<&str> {
        self.metadata.get(part)?.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// An object in its metadata, made if it is not there.
    pub fn metadata_object(&mut self, key: &str) -> &mut Object {
        let value = self.metadata.entry(key.to_owned()).or_insert(Value::Null);
        if value.as_object().is_none() {
            *value = Value::Object(Object::new());
        }
        value.as_object_mut().expect("invariant: it was just made an object")
    }

    /// The first cell with a tag.
    pub fn find_tagged(&self, tag: &str) -> Option<usize> {
        self.cells.iter().position(|cell| cell.has_tag(tag))
    }

    /// What stands in the file before, between and after the fragments of the cells.
    pub fn frame(&self) -> Frame {
        let mut metadata = self.metadata.clone();
        for transient in ["orig_nbformat", "orig_nbformat_minor", "signature"] {
            metadata.shift_remove(transient);
        }
        let mut members: Vec<(&str, Value)> =
            self.rest.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        members.push(("metadata", Value::Object(metadata)));
        members.push(("nbformat", Value::Number(Number::from(4))));
        members.push(("nbformat_minor", Value::Number(Number::from(self.minor))));
        members.push(("cells", Value::Null));
        members.sort_by_key(|(key, _)| *key);
        let mut head = "{".to_owned();
        let mut tail = String::new();
        for (index, (key, value)) in members.into_iter().enumerate() {
            let is_cells = key == "cells";
            let out = if tail.is_empty() { &mut head } else { &mut tail };
            new_line(index, 1, out);
            write_string(key, out);
            out.push_str(": ");
            if is_cells {
                tail.push_str(if self.cells.is_empty() { "[]" } else { "\n ]" });
                if !self.cells.is_empty() {
                    head.push('[');
                }
            } else {
                value.write_sorted(1, out);
            }
        }
        tail.push_str("\n}");
        Frame { head, tail }
    }

    /// The text of its file, as `nbformat.writes` and papermill give it: without a newline at the end.
    pub fn to_text(&self) -> String {
        let fragments: Vec<String> = self.cells.iter().map(Cell::fragment).collect();
        self.frame().join(fragments.iter().map(String::as_str))
    }
}

impl Default for Notebook {
    fn default() -> Notebook {
        Notebook::new()
    }
}

/// A notebook's file without its cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    head: String,
    tail: String,
}

impl Frame {
    /// The file with these cells in it.
    pub fn join<'a>(&self, fragments: impl Iterator<Item = &'a str>) -> String {
        let mut text = self.head.clone();
        for (index, fragment) in fragments.enumerate() {
            new_line(index, 2, &mut text);
            text.push_str(fragment);
        }
        text.push_str(&self.tail);
        text
    }
}

/// The eight hexadecimal digits of a cell id, as `nbformat` makes them.
pub fn cell_id(chance: u32) -> String {
    format!("{chance:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Notebook, ReadError> {
        let mut next = 0;
        Notebook::read(text.as_bytes(), &mut || {
            next += 1;
            cell_id(next)
        })
    }

    const TWO_CELLS: &str = r#"{"nbformat": 4, "nbformat_minor": 4, "extra": {"b": 1, "a": [NaN]}, "metadata": {"signature": "x"},
        "cells": [
            {"cell_type": "markdown", "metadata": {"trusted": true}, "source": ["a\n", "b"]},
            {"cell_type": "code", "metadata": {}, "source": "x\r\ny", "execution_count": null, "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["1\n", "2"]},
                {"output_type": "display_data", "metadata": {}, "data": {"text/plain": ["p", "q"], "application/x+json": ["k"]}}
            ]}
        ]}"#;

    #[test]
    fn texts_are_joined_in_memory_and_split_in_the_file() {
        let notebook = read(TWO_CELLS).unwrap();
        assert_eq!(notebook.cells[0].source(), "a\nb");
        assert_eq!(notebook.cells[0].id(), Some("00000001"));
        assert_eq!(notebook.cells[1].outputs()[0].get("text").unwrap().as_str(), Some("1\n2"));
        let text = notebook.to_text();
        assert!(text.contains("   \"source\": [\n    \"x\\r\\n\",\n    \"y\"\n   ]"), "{text}");
        assert!(text.contains("\"text/plain\": [\n       \"pq\"\n      ]"), "{text}");
        assert!(text.contains("\"application/x+json\": [\n       \"k\"\n      ]"), "{text}");
        assert!(
            text.contains(" \"extra\": {\n  \"a\": [\n   NaN\n  ],\n  \"b\": 1\n },\n \"metadata\": {},\n"),
            "{text}"
        );
        assert!(!text.contains("trusted") && !text.contains("signature"));
        assert_eq!(read(&text).unwrap().to_text(), text);
    }

    #[test]
    fn ids_are_mended() {
        let text = r#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
            {"cell_type": "raw", "id": "a", "metadata": {}, "source": ""},
            {"cell_type": "raw", "id": "a", "metadata": {}, "source": ""},
            {"cell_type": "raw", "metadata": {}, "source": ""}]}"#;
        let ids: Vec<_> =
            read(text).unwrap().cells.iter().map(|cell| cell.id().unwrap().to_owned()).collect();
        assert_eq!(ids, ["a", "00000001", "00000002"]);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let v3 = r#"{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}"#;
        assert!(read(v3).unwrap_err().to_string().contains("nbformat 3; only 4 is read: convert it"));
        let cases = [
            ("[]", "it is no object"),
            (r#"{"nbformat": 4, "metadata": {}, "cells": []}"#, "`nbformat_minor` is missing"),
            (r#"{"nbformat": 4, "nbformat_minor": 5, "cells": []}"#, "`metadata` is missing"),
            (r#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}"#, "`cells` is missing"),
            (
                r#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}"#,
                "cell 0 has no metadata",
            ),
        ];
        for (text, why) in cases {
            assert_eq!(read(text).unwrap_err(), ReadError::Invalid(why.to_owned()));
        }
        assert_eq!(Notebook::read_as_is(b"\xff").unwrap_err(), ReadError::NotUtf8);
    }

    #[test]
    fn an_empty_notebook_is_written() {
        assert_eq!(
            Notebook::new().to_text(),
            "{\n \"cells\": [],\n \"metadata\": {},\n \"nbformat\": 4,\n \"nbformat_minor\": 5\n}"
        );
    }
}
