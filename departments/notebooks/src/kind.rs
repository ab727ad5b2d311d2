//! The task kind `notebook.run`: a notebook as a step of any run.
//!
//! ```toml
//! [[step]]
//! name = "report"
//! kind = "notebook.run"
//! input = { notebook = "premiere-report", parameters = { name = "${params.name}", title = "${steps.title.title}" } }
//! ```
//!
//! | input | meaning |
//! |---|---|
//! | `notebook` | a blob, a path or address as on the command line, or the name of a notebook that comes with us |
//! | `parameters` | values by name; a blob among them becomes the path of a file with its content |
//! | `kernel`, `language` | in place of the notebook's own |
//! | `timeout`, `start_timeout` | seconds for each cell (none), for the kernel's start (60) |
//! | `report_mode` | hides the code |
//! | `steps_as` | a parameter that gets the run's steps so far: name, kind, state, tasks, reused tasks, seconds |
//! | `outputs` | name → path of a file that the notebook writes in its working directory |
//!
//! | output | |
//! |---|---|
//! | `notebook` | the notebook with its outputs, a blob |
//! | `scraps` | what it glued, by name |
//! | `cells` | how many |
//! | each name of `outputs` | a blob |
//!
//! The notebook of a failed task is kept under its task's name in the store, where the console shows it. Results are not
//! reused: notebooks look at the world.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use backlot_ledger::Timestamp;
use backlot_notebooks_model::json::Object;
use backlot_notebooks_model::parameters::CodeInReports;
use backlot_notebooks_model::{Notebook, Param, Parameters, json, scraps};
use backlot_work::{BlobRef, Kind, Outputs, TaskContext, TaskError, Work};
use serde::Deserialize;
use serde_json::{Map, Value, json as json_of};
use tokio::sync::watch;

use crate::kernel::{KernelPool, KernelSearch};
use crate::runner::log::{Level, Log};
use crate::runner::{Kernels, Request, RunError, Source, run};

/// The media type of a notebook.
pub(crate) const MEDIA_TYPE: &str = "application/x-ipynb+json";

/// The name of the kind.
pub const KIND: &str = "notebook.run";

/// Notebooks that come with us, by name.
const BUILT_IN: [(&str, &str); 1] = [("premiere-report", include_str!("../notebooks/premiere-report.ipynb"))];

/// The longest notebook taken from the store.
const LIMIT: u64 = backlot_notebooks_model::MAX_BYTES as u64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    notebook: Value,
    #[serde(default)]
    parameters: Map<String, Value>,
    kernel: Option<String>,
    language: Option<String>,
    timeout: Option<u64>,
    start_timeout: Option<u64>,
    #[serde(default)]
    report_mode: bool,
    steps_as: Option<String>,
    #[serde(default)]
    outputs: BTreeMap<String, String>,
}

/// The kind.
pub(crate) struct NotebookRun {
    pub(crate) search: KernelSearch,
    pub(crate) pool: KernelPool,
    pub(crate) work: Runs,
}

/// The house's runs, once its departments have started.
pub(crate) type Runs = Arc<OnceLock<Work>>;

#[async_trait]
impl Kind for NotebookRun {
    fn name(&self) -> &'static str {
        KIND
    }

    fn reusable(&self) -> bool {
        false
    }

    async fn run(&self, task: TaskContext) -> Result<Outputs, TaskError> {
        let input: Input = task.parse()?;
        let (name, bytes) = source(&task, &input.notebook).await?;
        let folder = task.scratch()?.join("work");
        std::fs::create_dir_all(&folder)
            .map_err(|error| TaskError::Retryable(format!("{}: {error}", folder.display())))?;
        let mut files = Vec::new(); // kept until the notebook has ended
        let mut parameters = Parameters::new();
        for (name, value) in &input.parameters {
            parameters.set(name, parameter(&task, value, &mut files).await?);
        }
        if let Some(name) = &input.steps_as {
            parameters.set(name, self.steps(task.run()).await?);
        }
        let mut request = Request::new(name, None);
        request.source = Some(Source(bytes));
        request.parameters = parameters;
        request.kernel = input.kernel;
        request.language = input.language;
        request.directory = Some(folder.clone());
        request.cell_timeout = input.timeout.filter(|limit| *limit > 0).map(Duration::from_secs);
        if let Some(limit) = input.start_timeout {
            request.start_timeout = Duration::from_secs(limit);
        }
        request.code = if input.report_mode { CodeInReports::Hidden } else { CodeInReports::Shown };
        let (stop, stopped) = watch::channel(false);
        let watched = task.clone();
        let watcher = tokio::spawn(async move {
            watched.cancelled().await;
            stop.send_replace(true);
            stop.closed().await;
        });
        let (lines, steps) = (task.clone(), task.clone());
        let log = Log::silent()
            .lines(Level::Info, move |line| line.lines().for_each(|line| lines.log(line)))
            .with_outputs()
            .steps(move |done, all| {
                steps.progress(done as f64 / all.max(1) as f64, format!("cell {done} of {all}"));
            })
            .stop_with(stopped);
        let kernels = Kernels { search: &self.search, pool: Some(&self.pool) };
        let ran = run(&request, &kernels, &log).await;
        watcher.abort();
        match ran {
            Ok(finished) => outputs(&task, &finished.notebook, &folder, &input.outputs).await,
            Err(failure) => {
                if let Some(notebook) = &failure.notebook {
                    let name = failed_name(task.run(), task.step(), task.index());
                    task.store().put_named(&name, notebook.to_text(), MEDIA_TYPE).await?;
                }
                Err(refuse(failure.error))
            }
        }
    }
}

impl NotebookRun {
    /// What the run has done so far, step by step in the order in which they ended.
    async fn steps(&self, run: &str) -> Result<Param, TaskError> {
        let work = self.work.get();
        let work = work.ok_or_else(|| TaskError::Retryable("the house has not started yet".to_owned()))?;
        let mut steps = work.steps(run).await.map_err(|error| TaskError::Retryable(error.to_string()))?;
        steps.sort_by_key(|step| step.finished.map_or(i64::MAX, Timestamp::micros));
        let told = steps.iter().map(|step| {
            let seconds = step.started.zip(step.finished);
            let seconds = seconds.map(|(from, to)| to.saturating_since(from).as_secs_f64());
            json_of!({
                "name": step.name, "kind": step.kind, "state": step.state.as_str(), "tasks": step.tasks.total,
                "cached": step.tasks.cached, "seconds": seconds,
            })
        });
        let text = Value::Array(told.collect()).to_string();
        json::parse(&text)
            .map(|value| Param::from_json(&value))
            .map_err(|error| TaskError::Permanent(error.to_string()))
    }
}

/// The name under which the notebook of a failed task is kept.
pub(crate) fn failed_name(run: &str, step: &str, index: i64) -> String {
    format!("notebooks/failed/{run}/{step}/{index}.ipynb")
}

fn refuse(error: RunError) -> TaskError {
    match error {
        RunError::Stopped { .. } => TaskError::Stopped,
        RunError::Kernel(error) => TaskError::Retryable(error.to_string()),
        RunError::Cell(error) => {
            let count = error.count.map_or_else(|| "a cell".to_owned(), |count| format!("In [{count}]"));
            TaskError::Retryable(format!(
                "{} in {count}: {}; see the notebook in the console",
                error.name, error.message
            ))
        }
        error @ (RunError::TimedOut { .. } | RunError::NoOutput { .. }) => {
            TaskError::Retryable(error.to_string())
        }
        error => TaskError::Permanent(error.to_string()),
    }
}

async fn source(task: &TaskContext, notebook: &Value) -> Result<(String, Vec<u8>), TaskError> {
    if let Some(blob) = BlobRef::from_value(notebook) {
        return Ok((blob.digest.to_string(), task.store().get(&blob.digest, LIMIT).await?.to_vec()));
    }
    let Some(name) = notebook.as_str() else {
        return Err(TaskError::Permanent("`notebook` is a blob, a path or a built-in name".to_owned()));
    };
    if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
        return Ok((name.to_owned(), text.as_bytes().to_vec()));
    }
    let place = crate::runner::Place::parse(name).map_err(|error| TaskError::Permanent(error.to_string()))?;
    let bytes = place.read().await.map_err(|error| TaskError::Permanent(error.to_string()))?;
    Ok((name.to_owned(), bytes))
}

/// A value as a parameter; a blob is laid down and its path passed.
async fn parameter(
    task: &TaskContext,
    value: &Value,
    files: &mut Vec<backlot_store::LocalFile>,
) -> Result<Param, TaskError> {
    if let Some(blob) = BlobRef::from_value(value) {
        let file = task.file(&blob).await?;
        let path = file.path().to_string_lossy().into_owned();
        files.push(file);
        return Ok(Param::Str(path));
    }
    let parsed = json::parse(&value.to_string());
    parsed.map(|value| Param::from_json(&value)).map_err(|error| TaskError::Permanent(error.to_string()))
}

async fn outputs(
    task: &TaskContext,
    notebook: &Notebook,
    folder: &std::path::Path,
    wanted: &BTreeMap<String, String>,
) -> Result<Outputs, TaskError> {
    let found: Object =
        scraps::read(notebook).into_iter().filter_map(|(name, scrap)| Some((name, scrap.data?))).collect();
    let text = json::Value::Object(found).to_compact();
    // NaN has no place in the outputs of a run.
    let glued: Value = serde_json::from_str(&text).map_err(|_| {
        TaskError::Permanent(
            "a scrap holds NaN or an infinity, which JSON has not; glue None or a text".to_owned(),
        )
    })?;
    let blob = task.put(notebook.to_text(), MEDIA_TYPE).await?;
    let mut outputs = Outputs::new()
        .blob("notebook", &blob)
        .value("scraps", glued)?
        .value("cells", notebook.cells.len())?;
    for (name, path) in wanted {
        let inside = std::path::Path::new(path);
        if !inside.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
            return Err(TaskError::Permanent(format!(
                "the output `{name}` is not below the working directory"
            )));
        }
        let path = folder.join(inside);
        if !path.is_file() {
            return Err(TaskError::Permanent(format!("the notebook did not write `{}`", inside.display())));
        }
        outputs = outputs.blob(name, &task.put_file(&path, "application/octet-stream").await?);
    }
    Ok(outputs)
}

/// The kinds of the department.
pub(crate) fn all(search: &KernelSearch, pool: &KernelPool, work: &Runs) -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(NotebookRun { search: search.clone(), pool: pool.clone(), work: work.clone() })]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_notebook_is_one_and_takes_parameters() {
        for (name, text) in BUILT_IN {
            let notebook = Notebook::read_as_is(text.as_bytes()).unwrap();
            let found = backlot_notebooks_model::parameters::inspect(&notebook, None, None).unwrap();
            assert!(!found.parameters.is_empty() && found.warnings.is_empty(), "{name}: {found:?}");
            assert_eq!(format!("{}\n", notebook.to_text()), text, "{name} is not in nbformat's form");
        }
    }
}
