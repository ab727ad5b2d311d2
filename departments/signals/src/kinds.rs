//! The department's task kinds: an explanation as a map over parts of its candidates.
//!
//! | kind | from | to |
//! |---|---|---|
//! | `signals.table` | a CSV file, what is asked | the table as bytes, the question in points, the parts |
//! | `signals.examine` | the table, the question, one part | a finding for each of its signals |
//! | `signals.conclude` | the table, the question, all findings | explanation (JSON), timeline (text), figure (Plotly, SVG) |
//!
//! A part is [`crate::CHUNK`] signals whoever does it, and each kind's output depends on its input alone, so any number of workers makes the same
//! bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::sync::Arc;

use backlot_figures::{Theme, render};
use backlot_signals_kernels::explain::{Finding, Question, Reference};
use backlot_work::{BlobRef, Kind, Kinds, Outputs, RunSpec, TaskContext, TaskError};
use serde::Deserialize;
use serde_json::Value;

use crate::explanation::{Explanation, chunks, examine};
use crate::question::Asked;
use crate::table::{Table, TableReader};
use crate::{Error, figure, text};

/// The name of the runs that explain alerts.
pub const RUN_NAME: &str = "explain";

/// A live incident goes before batch analyses.
pub const PRIORITY: i32 = 100;

/// The largest CSV file: as much as a table of half the most values takes.
const MOST_CSV_BYTES: u64 = 8 << 30;

/// The size of the drawn figure.
const PIXELS: render::Size = render::Size { width: 1100, height: 620 };

/// The run that explains an alert; its parameters are `csv` (a blob) and `asked` ([`Asked`]).
///
/// # Panics
/// Never: the spec is part of the program and read by its tests.
pub fn spec() -> RunSpec {
    let mut spec = RunSpec::from_toml(include_str!("explain.toml"))
        .expect("invariant: the built-in spec is well-formed");
    spec.priority = PRIORITY;
    spec
}

/// All kinds of this department.
pub fn all() -> Vec<Arc<dyn Kind>> {
    let kinds = Kinds::default()
        .with_fn("signals.table", 1, async |task: TaskContext| table(&task).await)
        .with_fn("signals.examine", 1, async |task: TaskContext| examine_part(&task).await)
        .with_fn("signals.conclude", 1, async |task: TaskContext| conclude(&task).await);
    kinds.names().filter_map(|name| kinds.get(name).cloned()).collect()
}

/// What is wrong with a table or a question stays wrong.
fn failed(error: Error) -> TaskError {
    match error {
        Error::File { .. } => TaskError::Retryable(error.to_string()),
        other => TaskError::Permanent(other.to_string()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableInput {
    csv: BlobRef,
    asked: Asked,
}

async fn table(task: &TaskContext) -> Result<Outputs, TaskError> {
    let input: TableInput = task.parse()?;
    if input.csv.size > MOST_CSV_BYTES {
        return Err(TaskError::Permanent(format!(
            "a table of {} bytes is too large; give fewer signals or wider steps",
            input.csv.size
        )));
    }
    let file = task.file(&input.csv).await?;
    let asked = input.asked;
    let (bytes, question, alert, parts, notes) = task
        .compute(move || {
            let text = std::fs::read_to_string(file.path()).map_err(|error| {
                TaskError::Permanent(format!("the table is no text: {error}; give CSV in UTF-8"))
            })?;
            let table = Table::from_csv(&text).map_err(failed)?;
            let alert = table.header.place(&asked.alert).map_err(failed)?;
            let question = asked.question(&table.header).map_err(failed)?;
            // Refuses what no part could work with.
            Reference::new(&table.signals[alert], question.clone()).map_err(|error| failed(error.into()))?;
            let parts = chunks(table.signals.len());
            Ok((table.to_bytes(), question, alert, parts, table.header.notes.clone()))
        })
        .await?;
    for note in &notes {
        task.log(note);
    }
    let table = task.put(bytes, "application/vnd.backlot.signals").await?;
    let parts: Vec<[usize; 2]> = parts.into_iter().map(|part| [part.start, part.end]).collect();
    Outputs::new()
        .blob("table", &table)
        .value("question", question)?
        .value("alert", alert)?
        .value("chunks", parts)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartInput {
    table: BlobRef,
    question: Question,
    alert: usize,
    chunk: [usize; 2],
}

async fn examine_part(task: &TaskContext) -> Result<Outputs, TaskError> {
    let input: PartInput = task.parse()?;
    let file = task.file(&input.table).await?;
    let bytes = task
        .compute(move || {
            let mut reader = open(file.path())?;
            let reference = reference(&mut reader, input.alert, input.question)?;
            let places: Range<usize> = input.chunk[0]..input.chunk[1];
            let signals = reader.signals(places.clone()).map_err(failed)?;
            let findings = examine(&reference, input.alert, places, &signals).map_err(failed)?;
            serde_json::to_vec(&findings).map_err(|error| TaskError::Permanent(error.to_string()))
        })
        .await?;
    Ok(Outputs::new().blob("findings", &task.put(bytes, "application/json").await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConcludeInput {
    table: BlobRef,
    question: Question,
    alert: usize,
    findings: Vec<BlobRef>,
}

async fn conclude(task: &TaskContext) -> Result<Outputs, TaskError> {
    let input: ConcludeInput = task.parse()?;
    let file = task.file(&input.table).await?;
    let mut parts = Vec::new();
    for blob in &input.findings {
        parts.push(task.file(blob).await?);
    }
    let made = task
        .compute(move || {
            let mut findings: Vec<Finding> = Vec::new();
            for part in &parts {
                let text =
                    std::fs::read(part.path()).map_err(|error| TaskError::Retryable(error.to_string()))?;
                let part: Vec<Finding> =
                    serde_json::from_slice(&text).map_err(|error| TaskError::Permanent(error.to_string()))?;
                findings.extend(part);
            }
            let mut reader = open(file.path())?;
            let reference = reference(&mut reader, input.alert, input.question.clone())?;
            let explanation =
                Explanation::new(reader.header(), input.alert, &input.question, &findings, reference.own());
            report(&mut reader, &explanation).map_err(failed)
        })
        .await?;
    let mut outputs = Outputs::new().value("changed", made.changed)?.value("tested", made.tested)?;
    for (name, (content, media_type)) in made.files {
        outputs = outputs.blob(name, &task.put(content, media_type).await?);
    }
    Ok(outputs)
}

fn open(path: &std::path::Path) -> Result<TableReader<BufReader<File>>, TaskError> {
    let file = File::open(path)
        .map_err(|error| TaskError::Retryable(format!("the table cannot be opened: {error}")))?;
    TableReader::open(BufReader::new(file)).map_err(failed)
}

fn reference<R: std::io::Read + std::io::Seek>(
    reader: &mut TableReader<R>,
    alert: usize,
    question: Question,
) -> Result<Reference, TaskError> {
    let own = reader.signals(alert..alert + 1).map_err(failed)?;
    Reference::new(&own[0], question).map_err(|error| failed(error.into()))
}

/// An explanation in every form.
pub struct Report {
    /// Signals that changed.
    pub changed: usize,
    /// Signals that were tested.
    pub tested: usize,
    /// By name: `explanation`, `timeline`, `figure`, `figure_light`, `figure_dark`; content and media type.
    pub files: BTreeMap<&'static str, (String, &'static str)>,
}

/// Writes an explanation in every form; `reader` gives the values of the signals that are drawn.
///
/// # Errors
/// A table that cannot be read.
pub fn report<R: std::io::Read + std::io::Seek>(
    reader: &mut TableReader<R>,
    explanation: &Explanation,
) -> Result<Report, Error> {
    let mut rows = Vec::new();
    for entry in explanation.timeline.iter().take(figure::ROWS) {
        let place = reader.header().place(&entry.signal)?;
        rows.append(&mut reader.signals(place..place + 1)?);
    }
    let drawn = figure::timeline(reader.header(), explanation, &rows);
    let json =
        |value: &dyn Fn() -> serde_json::Result<String>| value().unwrap_or_else(|_| Value::Null.to_string());
    let files = BTreeMap::from([
        ("explanation", (explanation.to_json(), "application/json")),
        ("timeline", (text::timeline(explanation), "text/plain; charset=utf-8")),
        ("figure", (json(&|| serde_json::to_string(&drawn)), "application/vnd.plotly.v1+json")),
        ("figure_light", (render::svg(&drawn, PIXELS, Theme::Light), "image/svg+xml")),
        ("figure_dark", (render::svg(&drawn, PIXELS, Theme::Dark), "image/svg+xml")),
    ]);
    Ok(Report { changed: explanation.timeline.len(), tested: explanation.tested, files })
}
