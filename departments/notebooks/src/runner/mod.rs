//! Runs a notebook: parameters in, cells through a kernel, outputs bound and saved, the error marked.
//!
//! What papermill does, in its order and to its bytes; see `docs/notebooks.md` for where we differ on purpose: a cell whose kernel
//! died or whose time was up is recorded as failed, and a run can be resumed.

mod execute;
pub(crate) mod log;
mod place;
mod save;

use std::path::PathBuf;
use std::time::Duration;

use backlot_notebooks_model::markers::{self, CellError};
use backlot_notebooks_model::parameters::{self, CodeInReports, InjectError, Injection, Placed};
use backlot_notebooks_model::record::{self, Status};
use backlot_notebooks_model::template::{self, Builtins, TemplateError};
use backlot_notebooks_model::yaml::YamlError;
use backlot_notebooks_model::{Notebook, Parameters, ReadError};

use tokio::task::JoinHandle;

use crate::chance;
use crate::clock;
use crate::kernel::{Kernel, KernelError, KernelPool, KernelSearch, Launch};
use log::{Level, Log};
pub(crate) use place::Durability;
pub use place::Place;
use save::Saver;
pub use save::Saving;

/// Tags of cells that run again when a run is resumed, although they were completed: what later cells cannot do without.
pub const RUN_AGAIN_TAGS: [&str; 3] = [parameters::TAG, parameters::INJECTED_TAG, "setup"];

/// Why a notebook did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A notebook's place cannot be read or written.
    #[error("{place}: {why}")]
    Place {
        /// The place.
        place: String,
        /// Why not.
        why: String,
    },
    /// The notebook cannot be read.
    #[error("{place}: {error}")]
    Read {
        /// Where it is.
        place: String,
        /// Why not.
        error: ReadError,
    },
    /// The parameters cannot be read.
    #[error("the parameters cannot be read: {0}")]
    Yaml(#[from] YamlError),
    /// A path template cannot be filled in.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The parameters cannot be put in.
    #[error(transparent)]
    Inject(#[from] InjectError),
    /// The kernel did not start, or died.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A cell raised an exception.
    #[error("{}", .0.report())]
    Cell(CellError),
    /// A cell took too long.
    #[error(
        "A cell timed out while it was being executed, after {seconds} seconds: cell {cell}; raise --execution-timeout"
    )]
    TimedOut {
        /// The cell, from 1.
        cell: usize,
        /// How long it had.
        seconds: u64,
    },
    /// The kernel replied and then fell silent.
    #[error("Timeout waiting for IOPub output of cell {cell}; the kernel is at fault")]
    NoOutput {
        /// The cell, from 1.
        cell: usize,
    },
    /// Somebody ended the run.
    #[error("the run was stopped in cell {cell}; continue it with --resume")]
    Stopped {
        /// The cell, from 1.
        cell: usize,
    },
    /// A run cannot be resumed.
    #[error("{0}")]
    Resume(String),
    /// Another engine than ours.
    #[error("No engine named '{0}' found; leave --engine out")]
    Engine(String),
}

/// Whether an earlier run is continued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// From the first cell.
    #[default]
    Fresh,
    /// From the first cell that the notebook at the output's place has not completed.
    Resume,
}

/// What to do with a notebook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Put the parameters in and run it.
    Execute,
    /// Put the parameters in.
    Prepare,
}

/// The bytes of a notebook.
#[derive(Clone, Debug)]
pub struct Source(pub Vec<u8>);

/// A run of a notebook, as it is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where the notebook is; a template.
    pub input: String,
    /// The notebook itself, where there is no place to read it from; `input` is then only its name.
    pub source: Option<Source>,
    /// Where it goes; a template. `None`: it is not written.
    pub output: Option<String>,
    /// The values.
    pub parameters: Parameters,
    /// What to do.
    pub work: Work,
    /// From where.
    pub start: Start,
    /// The kernel in place of the notebook's own.
    pub kernel: Option<String>,
    /// The language in place of the notebook's own.
    pub language: Option<String>,
    /// Where the kernel works.
    pub directory: Option<PathBuf>,
    /// When the notebook is saved.
    pub saving: Saving,
    /// How long the kernel may take to start.
    pub start_timeout: Duration,
    /// How long each cell may take.
    pub cell_timeout: Option<Duration>,
    /// Whether code is shown in reports.
    pub code: CodeInReports,
}

impl Request {
    /// A run with papermill's defaults.
    pub fn new(input: impl Into<String>, output: Option<String>) -> Request {
        Request {
            input: input.into(),
            source: None,
            output,
            parameters: Parameters::new(),
            work: Work::Execute,
            start: Start::Fresh,
            kernel: None,
            language: None,
            directory: None,
            saving: Saving::AsCellsRun(Duration::from_secs(30)),
            start_timeout: Duration::from_secs(60),
            cell_timeout: None,
            code: CodeInReports::Shown,
        }
    }
}

/// Where kernels come from.
pub struct Kernels<'a> {
    /// Where they are installed.
    pub search: &'a KernelSearch,
    /// Those that wait, if any do.
    pub pool: Option<&'a KernelPool>,
}

/// What a run left.
#[derive(Debug)]
pub struct Finished {
    /// The notebook, with its outputs.
    pub notebook: Notebook,
    /// How often it was saved.
    pub saves: u64,
}

/// Why a run failed, and what it had done by then.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: RunError,
    /// The notebook as it was saved last, if the run had come so far.
    pub notebook: Option<Box<Notebook>>,
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        Failure { error, notebook: None }
    }
}

/// Reads a notebook, with the paths' own templates filled in.
pub(crate) async fn load(template: &str, parameters: &Parameters) -> Result<(String, Notebook), RunError> {
    let path = template::fill(template, parameters, &builtins())?;
    let place = Place::parse(&path)?;
    let bytes = place.read().await?;
    let notebook = Notebook::read(&bytes, &mut chance::new_cell_id)
        .map_err(|error| RunError::Read { place: path.clone(), error })?;
    Ok((path, notebook))
}

fn builtins() -> Builtins {
    let now = clock::now();
    let utc = now.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    Builtins { run_uuid: chance::uuid(), local: now.to_zoned(jiff::tz::TimeZone::system()).datetime(), utc }
}

/// Runs a notebook.
///
/// # Errors
/// Why it did not run to its end; what it had done by then is saved at the output's place.
pub async fn run(request: &Request, kernels: &Kernels<'_>, log: &Log) -> Result<Finished, Failure> {
    let builtins = builtins();
    let input = match &request.source {
        Some(_) => request.input.clone(),
        None => template::fill(&request.input, &request.parameters, &builtins).map_err(RunError::from)?,
    };
    let output = match &request.output {
        Some(output) => Some(template::fill(output, &request.parameters, &builtins).map_err(RunError::from)?),
        None => None,
    };
    log.line(Level::Info, &format!("Input Notebook:  {input}"));
    log.line(
        Level::Info,
        &format!("Output Notebook: {}", output.as_deref().unwrap_or("Notebook will not be saved")),
    );
    if let Some(directory) = &request.directory {
        log.line(Level::Info, &format!("Working directory: {}", directory.display()));
    }
    let place = match &output {
        Some(output) => Place::parse(output)?,
        None => Place::Nowhere,
    };
    let bytes = match &request.source {
        Some(Source(bytes)) => bytes.clone(),
        None => Place::parse(&input)?.read().await?,
    };
    let mut notebook = Notebook::read(&bytes, &mut chance::new_cell_id)
        .map_err(|error| RunError::Read { place: input.clone(), error })?;
    record::prepare(&mut notebook);
    inject(&mut notebook, request, log)?;
    if request.code == CodeInReports::Hidden {
        let code =
            notebook.cells.iter_mut().filter(|cell| cell.kind() == backlot_notebooks_model::CellKind::Code);
        code.for_each(record::hide_code);
    }
    record::paths(&mut notebook, &input, output.as_deref().unwrap_or_default());
    markers::remove(&mut notebook);
    let mut saver = Saver::new(place.clone(), request.saving);
    if request.work == Work::Prepare {
        saver.save(&notebook, Durability::Disk).await?;
        return Ok(Finished { notebook, saves: saver.saves() });
    }
    let kernel = request.kernel.as_deref().filter(|name| !name.is_empty()).or(notebook.kernel_name());
    let kernel = kernel.ok_or(RunError::Inject(InjectError::NoKernel))?.to_owned();
    let first = match request.start {
        Start::Fresh => 0,
        Start::Resume => resume(&mut notebook, &place, log).await?,
    };
    let (ran, ending) = execute(&mut notebook, first, &kernel, request, kernels, &mut saver, log).await;
    let error = match ran {
        // An error that the notebook shows counts, even if its cell was allowed to raise it: as in papermill.
        // An orderly `sys.exit()` ends the run, and is none.
        Ok(()) | Err(RunError::Cell(_)) => markers::find(&notebook).map(RunError::Cell),
        Err(error) => Some(error),
    };
    if let Some(RunError::Cell(error)) = &error {
        markers::add(&mut notebook, error, &mut chance::new_cell_id);
        saver.touch_all();
    }
    let saved = saver.save(&notebook, Durability::Disk).await;
    if let (Some(ending), None) = (ending, kernels.pool) {
        // Its exit hooks belong to the run; where a pool serves run after run, they run behind.
        drop(ending.await);
    }
    match error.or(saved.err()) {
        Some(error) => Err(Failure { error, notebook: Some(Box::new(notebook)) }),
        None => Ok(Finished { notebook, saves: saver.saves() }),
    }
}

fn inject(notebook: &mut Notebook, request: &Request, log: &Log) -> Result<(), RunError> {
    if request.parameters.is_empty() {
        return Ok(());
    }
    let (kernel, language) = (request.kernel.as_deref(), request.language.as_deref());
    let found = parameters::inspect(notebook, kernel, language)?;
    found.warnings.iter().for_each(|warning| log.line(Level::Warning, warning));
    for (name, _) in request.parameters.iter() {
        if !found.parameters.iter().any(|known| known.name == name) {
            log.line(Level::Warning, &format!("Passed unknown parameter: {name}"));
        }
    }
    let how = Injection { kernel, language, code: request.code, comment: None };
    let placed = parameters::inject(notebook, &request.parameters, &how, chance::new_cell_id())?;
    if placed == Placed::First {
        log.line(Level::Warning, "Input notebook does not contain a cell with tag 'parameters'");
    }
    Ok(())
}

/// Takes over what an earlier run completed, and finds the cell to go on from.
async fn resume(notebook: &mut Notebook, place: &Place, log: &Log) -> Result<usize, RunError> {
    let refuse =
        |why: String| RunError::Resume(format!("the run cannot be resumed: {why}; run it without --resume"));
    let Ok(bytes) = place.read().await else {
        log.line(Level::Info, "Nothing to resume: there is no output yet");
        return Ok(0);
    };
    let mut earlier = Notebook::read(&bytes, &mut chance::new_cell_id)
        .map_err(|error| refuse(format!("the earlier output is no notebook: {error}")))?;
    markers::remove(&mut earlier);
    let first = record::first_incomplete(&earlier).unwrap_or(earlier.cells.len());
    let pairs = notebook.cells.iter().zip(&earlier.cells).take(first);
    if let Some((index, _)) = pairs.enumerate().find(|(_, (now, before))| now.source() != before.source()) {
        return Err(refuse(format!("cell {} has changed since, or has other parameters", index + 1)));
    }
    if first > notebook.cells.len() {
        return Err(refuse("the notebook has fewer cells than had been completed".to_owned()));
    }
    notebook.cells.splice(..first, earlier.cells.drain(..first));
    log.line(Level::Info, &format!("Resuming at cell {} of {}", first + 1, notebook.cells.len()));
    Ok(first)
}

async fn execute(
    notebook: &mut Notebook,
    first: usize,
    name: &str,
    request: &Request,
    kernels: &Kernels<'_>,
    saver: &mut Saver,
    log: &Log,
) -> (Result<(), RunError>, Option<JoinHandle<()>>) {
    let began = clock::now();
    record::begin_from(notebook, first, began);
    saver.touch_all();
    let ran = async {
        if saver.saves_in_passing() {
            saver.save(notebook, Durability::Process).await?;
        }
        let spec = kernels.search.find(name).map_err(KernelError::from)?;
        let launch = Launch { spec, directory: request.directory.clone(), patience: request.start_timeout };
        let mut kernel = match kernels.pool {
            Some(pool) => pool.take(&launch).await?,
            None => Kernel::start(&launch).await?,
        };
        log.line(Level::Info, &format!("Executing notebook with kernel: {name}"));
        let ran = execute::cells(notebook, first, &mut kernel, request, saver, log).await;
        if matches!(ran, Ok(()) | Err(RunError::Cell(_)))
            && let Some(language) = kernel.language_info()
        {
            notebook.metadata.insert("language_info".to_owned(), language.clone());
        }
        Ok::<_, RunError>((ran, kernel))
    }
    .await;
    let (ran, kernel) = match ran {
        Ok((ran, kernel)) => (ran, Some(kernel)),
        Err(error) => (Err(error), None),
    };
    let status = if ran.is_ok() { Status::Completed } else { Status::Failed };
    record::end(notebook, began, clock::now(), status);
    let ending = match &ran {
        Ok(()) | Err(RunError::Cell(_)) => kernel.map(|kernel| tokio::spawn(kernel.shut_down())),
        Err(_) => None,
    };
    (ran, ending)
}

/// What a path template becomes.
pub(crate) fn filled_path(template: &str, parameters: &Parameters) -> Result<String, TemplateError> {
    template::fill(template, parameters, &builtins())
}
