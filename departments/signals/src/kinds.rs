//! The department's task kinds: an explanation as a map over parts of its candidates.
//!
//! | kind | from | to |
//! |---|---|---|
//! | `signals.table` | a table in a file (CSV, Parquet, or its own bytes), what is asked | the table as bytes, the question in points, the parts |
//! | `signals.examine` | the table, the question, one part | a finding for each of its signals |
//! | `signals.conclude` | the table, the question, all findings | explanation (JSON), timeline (text), figure (Plotly, SVG) |
//!
//! A part is [`crate::CHUNK`] signals whoever does it, and each kind's output depends on its input alone, so any number of workers makes the same
//! bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use backlot_department::House;
use backlot_figures::{Theme, render};
use backlot_signals_kernels::explain::{Finding, Question, Reference};
use backlot_store::Blob;
use backlot_work::{BlobRef, Kind, Kinds, Outputs, RunSpec, SubmitOptions, TaskContext, TaskError};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::explanation::{Entry, Explanation, chunks, examine};
use crate::question::Asked;
use crate::read::{self, Form};
use crate::table::{Header, TableReader};
use crate::{Error, figure, text};

/// The name of the runs that explain alerts.
pub const RUN_NAME: &str = "explain";

/// A live incident goes before batch analyses.
pub const PRIORITY: i32 = 100;

/// The largest file: as much as a table of the most values takes.
const MOST_FILE_BYTES: u64 = 8 << 30;

/// Most likely causes that an explanation's event names.
const FIRST: usize = 3;

/// The size of the drawn figure.
const PIXELS: render::Size = render::Size { width: 1100, height: 620 };

/// The size of the one for telephones.
const SMALL_PIXELS: render::Size = render::Size { width: 390, height: 560 };

/// The run that explains an alert; its parameters are `source` (a blob) and `asked` ([`Asked`]).
///
/// # Panics
/// Never: the spec is part of the program and read by its tests.
pub fn spec() -> RunSpec {
    let mut spec = RunSpec::from_toml(include_str!("explain.toml"))
        .expect("invariant: the built-in spec is well-formed");
    spec.priority = PRIORITY;
    spec
}

/// Submits the explanation of a table in the store; the run. Submissions with the same key are one run.
pub(crate) async fn submit(
    house: &House,
    table: Blob,
    form: Form,
    asked: &Asked,
    key: Option<String>,
) -> Result<String, backlot_work::Error> {
    let source = BlobRef { digest: table.digest, size: table.size, media_type: form.media_type().to_owned() };
    let params = Map::from_iter([("source".to_owned(), json!(source)), ("asked".to_owned(), json!(asked))]);
    let options = SubmitOptions { by: "signals".to_owned(), key, ..SubmitOptions::default() };
    house.work.submit(spec(), params, options, Some(&house.kinds)).await
}

/// All kinds of this department.
pub fn all() -> Vec<Arc<dyn Kind>> {
    let kinds = Kinds::default()
        .with_fn("signals.table", 1, async |task: TaskContext| table(&task).await)
        .with_fn("signals.examine", 1, async |task: TaskContext| examine_part(&task).await)
        .with_fn("signals.conclude", 2, async |task: TaskContext| conclude(&task).await);
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
    source: BlobRef,
    asked: Asked,
}

/// What the table's step finds out.
struct Prepared {
    /// The table's bytes; `None` where the file holds them already.
    bytes: Option<Vec<u8>>,
    header: Header,
    question: Question,
    alert: usize,
}

async fn table(task: &TaskContext) -> Result<Outputs, TaskError> {
    let input: TableInput = task.parse()?;
    if input.source.size > MOST_FILE_BYTES {
        return Err(TaskError::Permanent(format!(
            "a table of {} bytes is too large; give fewer signals or wider steps",
            input.source.size
        )));
    }
    let file = task.file(&input.source).await?;
    let asked = input.asked;
    let prepared = task.compute(move || prepare(file.path(), &asked).map_err(failed)).await?;
    for note in &prepared.header.notes {
        task.log(note);
    }
    let table = match prepared.bytes {
        Some(bytes) => task.put(bytes, read::MEDIA_TYPE).await?,
        None => input.source,
    };
    let parts = chunks(prepared.header.names.len());
    let parts: Vec<[usize; 2]> = parts.into_iter().map(|part| [part.start, part.end]).collect();
    Outputs::new()
        .blob("table", &table)
        .value("question", prepared.question)?
        .value("alert", prepared.alert)?
        .value("chunks", parts)
}

fn prepare(path: &Path, asked: &Asked) -> Result<Prepared, Error> {
    let understood = |header: &Header| -> Result<(usize, Question), Error> {
        let alert = header.place(&asked.alert)?;
        Ok((alert, asked.question(header)?))
    };
    if read::form(path)? == Form::Own {
        let mut reader =
            TableReader::open(BufReader::new(File::open(path).map_err(read::unreadable(path))?))?;
        let (alert, question) = understood(reader.header())?;
        let signal = reader.signals(alert..alert + 1)?;
        Reference::new(&signal[0], question.clone())?;
        return Ok(Prepared { bytes: None, header: reader.header().clone(), question, alert });
    }
    let table = read::table(path)?;
    let (alert, question) = understood(&table.header)?;
    // Refuses what no part could work with.
    Reference::new(&table.signals[alert], question.clone())?;
    Ok(Prepared { bytes: Some(table.to_bytes()), header: table.header, question, alert })
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
    let mut outputs = Outputs::new()
        .value("changed", made.changed)?
        .value("tested", made.tested)?
        .value("first", &made.first)?;
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
    /// The most likely causes, in few words.
    pub first: Vec<Value>,
    /// By name: `explanation`, `timeline`, `figure`, `figure_light`, `figure_dark`, `figure_small`, `figure_small_dark`; content and media type.
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
    let drawn = figure::timeline(reader.header(), explanation, &rows, figure::Width::Wide);
    let small = figure::timeline(reader.header(), explanation, &rows, figure::Width::Narrow);
    let json =
        |value: &dyn Fn() -> serde_json::Result<String>| value().unwrap_or_else(|_| Value::Null.to_string());
    let files = BTreeMap::from([
        ("explanation", (explanation.to_json(), "application/json")),
        ("timeline", (text::timeline(explanation), "text/plain; charset=utf-8")),
        ("figure", (json(&|| serde_json::to_string(&drawn)), "application/vnd.plotly.v1+json")),
        ("figure_light", (render::svg(&drawn, PIXELS, Theme::Light), "image/svg+xml")),
        ("figure_dark", (render::svg(&drawn, PIXELS, Theme::Dark), "image/svg+xml")),
        ("figure_small", (render::svg(&small, SMALL_PIXELS, Theme::Light), "image/svg+xml")),
        ("figure_small_dark", (render::svg(&small, SMALL_PIXELS, Theme::Dark), "image/svg+xml")),
    ]);
    let few = |entry: &Entry| json!({ "signal": entry.signal, "changed": entry.changed, "lag_seconds": entry.lag_seconds, "effect": entry.effect, "score": entry.score });
    let first = explanation.timeline.iter().take(FIRST).map(few).collect();
    Ok(Report { changed: explanation.timeline.len(), tested: explanation.tested, first, files })
}
