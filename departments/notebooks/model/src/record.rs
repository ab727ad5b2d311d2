//! The record that a run leaves in the notebook: `metadata.papermill` of the notebook and of each cell.
//!
//! Keys, states and times are papermill's, so its tools and scrapbook read our notebooks. Where papermill records what did not
//! happen, we do not: a cell whose kernel died or whose time was up is `failed` (papermill: `completed`), and cells that were
//! never begun stay `pending`.

use jiff::Timestamp;

use crate::json::{Object, Value};
use crate::notebook::{Cell, CellKind, Notebook};

/// Where the record stands in metadata.
pub const KEY: &str = "papermill";

/// The version of papermill whose record this is.
pub const VERSION: &str = "2.7.0";

/// How far a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not begun.
    Pending,
    /// Begun.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
}

impl Status {
    /// Its word in the record.
    pub fn word(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Running => "running",
            Status::Completed => "completed",
            Status::Failed => "failed",
        }
    }
}

/// The status in a cell's record.
pub fn status(cell: &Cell) -> Option<Status> {
    let word = cell.metadata().get(KEY)?.get("status")?.as_str()?;
    [Status::Pending, Status::Running, Status::Completed, Status::Failed]
        .into_iter()
        .find(|status| status.word() == word)
}

/// A time as Python's `isoformat` writes it in UTC.
pub fn iso(time: Timestamp) -> String {
    let micros = time.as_microsecond().rem_euclid(1_000_000);
    let seconds = time.strftime("%Y-%m-%dT%H:%M:%S");
    if micros == 0 { format!("{seconds}+00:00") } else { format!("{seconds}.{micros:06}+00:00") }
}

/// Adds what a run expects: an empty record, and `tags` and a record at every cell.
pub fn prepare(notebook: &mut Notebook) {
    if !notebook.metadata.contains_key(KEY) {
        let record = notebook.metadata_object(KEY);
        for part in ["default_parameters", "parameters", "environment_variables"] {
            record.insert(part.to_owned(), Value::Object(Object::new()));
        }
        record.insert("version".to_owned(), VERSION.into());
    }
    for cell in &mut notebook.cells {
        cell.metadata_mut().entry("tags".to_owned()).or_insert_with(|| Value::Array(Vec::new()));
        cell.metadata_mut().entry(KEY.to_owned()).or_insert_with(|| Value::Object(Object::new()));
    }
}

/// Hides a cell's code in reports.
pub fn hide_code(cell: &mut Cell) {
    let jupyter = [("source_hidden".to_owned(), Value::Bool(true))].into_iter().collect();
    cell.metadata_mut().insert("jupyter".to_owned(), Value::Object(jupyter));
}

/// Records where the notebook came from and goes to.
pub fn paths(notebook: &mut Notebook, input: &str, output: &str) {
    let record = notebook.metadata_object(KEY);
    record.insert("input_path".to_owned(), input.into());
    record.insert("output_path".to_owned(), output.into());
}

/// The run begins: outputs and counts are cleared, every cell is pending.
pub fn begin(notebook: &mut Notebook, now: Timestamp) {
    begin_from(notebook, 0, now);
}

/// The run begins at a cell; what stands before it is kept as an earlier run left it.
pub fn begin_from(notebook: &mut Notebook, first: usize, now: Timestamp) {
    let record = notebook.metadata_object(KEY);
    record.insert("start_time".to_owned(), iso(now).into());
    for key in ["end_time", "duration", "exception"] {
        record.insert(key.to_owned(), Value::Null);
    }
    for cell in notebook.cells.iter_mut().skip(first) {
        let record = cell.metadata_object(KEY);
        record.clear();
        for key in ["exception", "start_time", "end_time", "duration"] {
            record.insert(key.to_owned(), Value::Null);
        }
        record.insert("status".to_owned(), Status::Pending.word().into());
        if cell.kind() == CellKind::Code {
            cell.set_execution_count(Value::Null);
            cell.outputs_mut().clear();
        }
    }
}

/// A cell begins.
pub fn cell_begins(cell: &mut Cell, now: Timestamp) {
    let record = cell.metadata_object(KEY);
    record.insert("start_time".to_owned(), iso(now).into());
    record.insert("status".to_owned(), Status::Running.word().into());
    record.insert("exception".to_owned(), Value::Bool(false));
}

/// A cell ends; it began at `began`.
pub fn cell_ends(cell: &mut Cell, began: Timestamp, now: Timestamp, status: Status) {
    let record = cell.metadata_object(KEY);
    record.insert("end_time".to_owned(), iso(now).into());
    record.insert("duration".to_owned(), seconds_between(began, now).into());
    record.insert("status".to_owned(), status.word().into());
    if status == Status::Failed {
        record.insert("exception".to_owned(), Value::Bool(true));
    }
}

/// The run ends; it began at `began`. After a failure, cells that were not begun stay pending.
pub fn end(notebook: &mut Notebook, began: Timestamp, now: Timestamp, ended: Status) {
    let record = notebook.metadata_object(KEY);
    record.insert("end_time".to_owned(), iso(now).into());
    record.insert("duration".to_owned(), seconds_between(began, now).into());
    if ended == Status::Failed {
        record.insert("exception".to_owned(), Value::Bool(true));
    }
}

fn seconds_between(began: Timestamp, now: Timestamp) -> f64 {
    (now.as_microsecond() - began.as_microsecond()) as f64 / 1e6
}

/// The first cell that an earlier run did not complete; `None` if it completed all. Cells that are not code do nothing and are
/// never a reason to begin again.
pub fn first_incomplete(notebook: &Notebook) -> Option<usize> {
    notebook.cells.iter().position(|cell| {
        let is_done = status(cell) == Some(Status::Completed);
        !is_done && cell.kind() == CellKind::Code && !cell.source().trim().is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    #[test]
    fn times_are_pythons() {
        assert_eq!(iso(at(1_000_001)), "1970-01-01T00:00:01.000001+00:00");
        assert_eq!(iso(at(2_000_000)), "1970-01-01T00:00:02+00:00");
        assert_eq!(iso(at(-1)), "1969-12-31T23:59:59.999999+00:00");
    }

    #[test]
    fn a_run_is_recorded() {
        let mut notebook = Notebook::new();
        notebook.cells.push(Cell::code("a".to_owned(), "1"));
        notebook.cells.push(Cell::code("b".to_owned(), "2"));
        prepare(&mut notebook);
        paths(&mut notebook, "in", "out");
        begin(&mut notebook, at(0));
        assert_eq!(first_incomplete(&notebook), Some(0));
        cell_begins(&mut notebook.cells[0], at(10));
        cell_ends(&mut notebook.cells[0], at(10), at(1_500_010), Status::Completed);
        assert_eq!(first_incomplete(&notebook), Some(1));
        cell_begins(&mut notebook.cells[1], at(2_000_000));
        cell_ends(&mut notebook.cells[1], at(2_000_000), at(2_000_000), Status::Failed);
        end(&mut notebook, at(0), at(3_000_000), Status::Failed);
        let first = notebook.cells[0].metadata()[KEY].to_compact();
        assert_eq!(
            first,
            "{\"exception\":false,\"start_time\":\"1970-01-01T00:00:00.000010+00:00\",\"end_time\":\"1970-01-01T00:00:01.500010+00:00\",\"duration\":1.5,\"status\":\"completed\"}"
        );
        assert_eq!(status(&notebook.cells[1]), Some(Status::Failed));
        assert_eq!(notebook.metadata[KEY].get("duration").unwrap().to_compact(), "3.0");
        assert_eq!(notebook.metadata[KEY].get("exception"), Some(&Value::Bool(true)));
    }
}
