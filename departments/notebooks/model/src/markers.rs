//! Error markers: the note at the top of a failed notebook and the anchor before the cell that failed.

use crate::json::Value;
use crate::notebook::{Cell, NewId, Notebook};
use crate::record;

/// The tag by which a later run finds and removes them.
pub const TAG: &str = "papermill-error-cell-tag";

const STYLE: &str =
    r#"style="color:red; font-family:Helvetica Neue, Helvetica, Arial, sans-serif; font-size:2em;""#;

/// An error that a notebook holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellError {
    /// The cell.
    pub cell: usize,
    /// The number of its execution.
    pub count: Option<i64>,
    /// The exception's class.
    pub name: String,
    /// Its message.
    pub message: String,
    /// The traceback, with its colours.
    pub traceback: Vec<String>,
}

impl CellError {
    /// The error as papermill prints it: without colours.
    pub fn report(&self) -> String {
        let count = self.count.map_or_else(|| "None".to_owned(), |count| count.to_string());
        let line = "-".repeat(75);
        let traceback = without_color(&self.traceback.join("\n"));
        format!("\n{line}\nException encountered at \"In [{count}]\":\n{traceback}\n")
    }
}

/// A text without ANSI colours and styles.
pub fn without_color(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..at]);
        let sequence = &rest[at + 2..];
        let line = sequence.split('\n').next().unwrap_or_default();
        if let Some(after) = sequence.strip_prefix('K') {
            rest = after;
        } else if let Some(end) = line.find('m') {
            rest = &sequence[end + 1..];
        } else {
            plain.push_str("\u{1b}[");
            rest = sequence;
        }
    }
    plain.push_str(rest);
    plain
}

/// Removes the markers of an earlier run.
pub fn remove(notebook: &mut Notebook) {
    notebook.cells.retain(|cell| !cell.has_tag(TAG));
}

/// The error for which a run counts as failed, as papermill finds it: of several cells with an error output the last one,
/// but a `SystemExit` without a code or with 0 is none.
pub fn find(notebook: &Notebook) -> Option<CellError> {
    let mut found: Option<CellError> = None;
    for (index, cell) in notebook.cells.iter().enumerate() {
        let mut has_exit = false;
        for output in cell.outputs() {
            let text = |key: &str| output.get(key).and_then(Value::as_str).unwrap_or_default();
            if text("output_type") != "error" {
                continue;
            }
            if text("ename") == "SystemExit" && matches!(text("evalue"), "" | "0") {
                has_exit = true;
                continue;
            }
            let traceback = output.get("traceback").and_then(Value::as_array).unwrap_or_default();
            found = Some(CellError {
                cell: index,
                count: cell.execution_count(),
                name: text("ename").to_owned(),
                message: text("evalue").to_owned(),
                traceback: traceback.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            });
            break;
        }
        let is_marked = cell.metadata().get(record::KEY).and_then(|record| record.get("exception"));
        if found.is_none() && !has_exit && is_marked == Some(&Value::Bool(true)) {
            return Some(CellError {
                cell: index,
                count: cell.execution_count(),
                name: "CellExecutionError".to_owned(),
                message: String::new(),
                traceback: Vec::new(),
            });
        }
    }
    found
}

/// Adds the markers of an error.
pub fn add(notebook: &mut Notebook, error: &CellError, new_id: NewId<'_>) {
    let count = error.count.map_or_else(|| "None".to_owned(), |count| count.to_string());
    let note = format!(
        "<span {STYLE}>An Exception was encountered at '<a href=\"#papermill-error-cell\">In [{count}]</a>'.</span>"
    );
    let anchor = format!(
        "<span id=\"papermill-error-cell\" {STYLE}>Execution using papermill encountered an exception here and stopped:</span>"
    );
    let mut marker = |text: &str| {
        let mut cell = Cell::markdown(new_id(), text);
        cell.set_tags(&[TAG]);
        cell
    };
    let (note, anchor) = (marker(&note), marker(&anchor));
    notebook.cells.insert(error.cell, anchor);
    notebook.cells.insert(0, note);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn failed(name: &str, message: &str) -> Cell {
        let mut cell = Cell::code("x".to_owned(), "raise");
        cell.set_execution_count(Value::from(2));
        let output = format!(
            r#"{{"output_type":"error","ename":"{name}","evalue":"{message}","traceback":["\u001b[31mred\u001b[0m","b\u001b[K"]}}"#
        );
        cell.outputs_mut().push(json::parse(&output).unwrap());
        cell
    }

    #[test]
    fn an_error_is_marked_and_unmarked() {
        let mut notebook = Notebook::new();
        notebook.cells = vec![Cell::code("a".to_owned(), ""), failed("ValueError", "no")];
        let before = notebook.clone();
        let error = find(&notebook).unwrap();
        assert_eq!((error.cell, error.count, error.name.as_str()), (1, Some(2), "ValueError"));
        assert!(error.report().ends_with("In [2]\":\nred\nb\n"), "{}", error.report());
        add(&mut notebook, &error, &mut || "m".to_owned());
        assert!(
            notebook.cells[0].source().ends_with("<a href=\"#papermill-error-cell\">In [2]</a>'.</span>")
        );
        assert!(notebook.cells[2].source().starts_with("<span id=\"papermill-error-cell\""));
        assert_eq!(notebook.cells[3].source(), "raise");
        remove(&mut notebook);
        assert_eq!(notebook, before);
    }

    #[test]
    fn an_orderly_exit_is_no_error() {
        let mut notebook = Notebook::new();
        for (message, is_error) in [("", false), ("0", false), ("1", true)] {
            notebook.cells = vec![failed("SystemExit", message)];
            notebook.cells[0].metadata_object(record::KEY).insert("exception".to_owned(), Value::Bool(true));
            assert_eq!(find(&notebook).is_some(), is_error, "{message:?}");
        }
    }

    #[test]
    fn colors_go_and_the_rest_stays() {
        assert_eq!(without_color("a\u{1b}[0;31mb\u{1b}[Kc\u{1b}[no end\nm"), "abc\u{1b}[no end\nm");
    }
}
