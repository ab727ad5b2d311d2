//! `backlot notebook run`: papermill's options, pipes and exit codes.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backlot_department::{CommandContext, CommandError};
use backlot_notebooks_model::parameters::CodeInReports;
use backlot_notebooks_model::{Param, record};
use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{given, help, parameter_args};
use crate::kernel::KernelSearch;
use crate::runner::log::{Level, Log};
use crate::runner::{Kernels, Request, RunError, Saving, Start, Work, run as run_notebook};

/// The exit code for a kernel that died, as papermill's.
const DEAD_KERNEL: u8 = 138;

/// The exit code after an interrupt: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

pub(super) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let value = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    // A switch and its opposite; the last one given counts.
    let switch = |name: &'static str, opposite: &'static str, help: &'static str| {
        [
            flag(name, help).overrides_with(opposite),
            flag(opposite, "The opposite").overrides_with(name).hide(true),
        ]
    };
    Command::new("run")
        .about("Run a notebook with parameters and write it with its outputs")
        .long_about(
            "Run a notebook with parameters and write it with its outputs.\n\n\
             Takes papermill's command line. NOTEBOOK_PATH and OUTPUT_PATH are files, `-` for standard input and output, \
             http(s):// or s3:// addresses; `{name}` in them is replaced by the parameter of that name.",
        )
        .arg(Arg::new("notebook").value_name("NOTEBOOK_PATH").help("The notebook"))
        .arg(Arg::new("output-path").value_name("OUTPUT_PATH").help("Where it goes"))
        .args(parameter_args())
        .arg(flag("help-notebook", "Show the notebook's parameters"))
        .arg(flag("inspect", "Show the notebook's parameters as JSON"))
        .arg(flag("inject-input-path", "Pass the notebook's path as PAPERMILL_INPUT_PATH"))
        .arg(flag("inject-output-path", "Pass the output's path as PAPERMILL_OUTPUT_PATH"))
        .arg(flag("inject-paths", "Pass both paths"))
        .arg(value("engine", "NAME", "The engine: nbclient is the one there is"))
        .args(switch("request-save-on-cell-execute", "no-request-save-on-cell-execute", "Save as cells run (the default)"))
        .arg(
            value("autosave-cell-every", "SECONDS", "How often to save during long cells; 0 for never")
                .value_parser(clap::value_parser!(u64))
                .default_value("30"),
        )
        .args(switch("prepare-only", "prepare-execute", "Write the notebook with its parameters and do not run it"))
        .arg(value("kernel", "NAME", "The kernel in place of the notebook's own").short('k'))
        .arg(value("language", "NAME", "The language in place of the notebook's own").short('l'))
        .arg(value("cwd", "DIR", "Where the kernel works"))
        .args(switch("progress-bar", "no-progress-bar", "Show how far the run is"))
        .args(switch("log-output", "no-log-output", "Log what the cells put out"))
        .arg(value("stdout-file", "FILE", "Copy what the cells print to this file"))
        .arg(value("stderr-file", "FILE", "Copy what the cells print as errors to this file"))
        .arg(
            value("log-level", "LEVEL", "What is logged")
                .value_parser(["NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
                .default_value("INFO"),
        )
        .arg(
            value("start-timeout", "SECONDS", "How long the kernel may take to start")
                .alias("start_timeout")
                .value_parser(clap::value_parser!(u64))
                .default_value("60"),
        )
        .arg(
            value("execution-timeout", "SECONDS", "How long each cell may take")
                .value_parser(clap::value_parser!(u64)),
        )
        .args(switch("report-mode", "no-report-mode", "Mark the code as hidden"))
        .arg(flag("resume", "Go on from the first cell that the notebook at OUTPUT_PATH has not completed"))
        .arg(flag("version", "Show whose notebooks these are"))
}

pub(super) async fn run(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    if matches.get_flag("version") {
        let version = env!("CARGO_PKG_VERSION");
        context.write(&format!("{} (the notebooks of papermill, by backlot {version})", record::VERSION))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (input, output) = places(matches)?;
    let asked = request(matches, &input, output.clone()).await;
    let level = matches.get_one::<String>("log-level").map_or("INFO", String::as_str);
    let level = Level::named(level).unwrap_or(Level::Info);
    // Standard output carries the notebook, so a reader of both streams should see nothing else.
    let level = if output.as_deref() == Some("-") && level == Level::Info { Level::Error } else { level };
    let request = match asked {
        Ok(request) => request,
        Err(error) => return Ok(report(&error)),
    };
    if matches.get_flag("help-notebook") || matches.get_flag("inspect") {
        return help::show(&request, matches.get_flag("inspect"), context).await;
    }
    let (log, _signals) = log(matches, level, &request)?;
    let search = KernelSearch::from_env();
    let kernels = Kernels { search: &search, pool: None };
    match run_notebook(&request, &kernels, &log).await {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(failure) => Ok(report(&failure.error)),
    }
}

/// Which of the words is the notebook and which the output: pipes count as words that were left out.
fn places(matches: &ArgMatches) -> Result<(String, Option<String>), CommandError> {
    let word = |name: &str| matches.get_one::<String>(name).filter(|word| !word.is_empty()).cloned();
    let (notebook, output) = (word("notebook"), word("output-path"));
    let is_piped_in = is_fifo_stdin();
    let is_piped_out = !std::io::stdout().is_terminal();
    let missing = |what: &str| {
        CommandError::usage(format!("Missing argument '{what}'"), "name it, or pipe a notebook in")
    };
    let shows_only = matches.get_flag("help-notebook") || matches.get_flag("inspect");
    if notebook.is_none() && !is_piped_in {
        return Err(missing("NOTEBOOK_PATH"));
    }
    if output.is_none() && !(is_piped_in || is_piped_out || shows_only) {
        return Err(missing("OUTPUT_PATH"));
    }
    Ok(match (notebook, output) {
        (Some(notebook), None) if is_piped_in && !shows_only => ("-".to_owned(), Some(notebook)),
        (notebook, output) => {
            (notebook.unwrap_or_else(|| "-".to_owned()), Some(output.unwrap_or_else(|| "-".to_owned())))
        }
    })
}

fn is_fifo_stdin() -> bool {
    let found = rustix::fs::fstat(std::io::stdin());
    found.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Fifo)
}

async fn request(matches: &ArgMatches, input: &str, output: Option<String>) -> Result<Request, RunError> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let seconds = |name: &str| matches.get_one::<u64>(name).copied().map(Duration::from_secs);
    if let Some(engine) = text("engine").filter(|engine| engine != "nbclient") {
        return Err(RunError::Engine(engine));
    }
    let mut request = Request::new(input, output.clone());
    if matches.get_flag("inject-input-path") || matches.get_flag("inject-paths") {
        request.parameters.set("PAPERMILL_INPUT_PATH", Param::Str(input.to_owned()));
    }
    if matches.get_flag("inject-output-path") || matches.get_flag("inject-paths") {
        request.parameters.set("PAPERMILL_OUTPUT_PATH", Param::Str(output.clone().unwrap_or_default()));
    }
    request.parameters.update(given(matches).await?);
    let saves_once = matches.get_flag("no-request-save-on-cell-execute") || output.as_deref() == Some("-");
    let every = seconds("autosave-cell-every").unwrap_or_default();
    request.saving = if saves_once { Saving::AtEnd } else { Saving::AsCellsRun(every) };
    request.work = if matches.get_flag("prepare-only") { Work::Prepare } else { Work::Execute };
    request.start = if matches.get_flag("resume") { Start::Resume } else { Start::Fresh };
    request.kernel = text("kernel");
    request.language = text("language");
    request.directory = text("cwd").map(Into::into);
    request.start_timeout = seconds("start-timeout").unwrap_or(request.start_timeout);
    request.cell_timeout = seconds("execution-timeout").filter(|limit| !limit.is_zero());
    request.code = if matches.get_flag("report-mode") { CodeInReports::Hidden } else { CodeInReports::Shown };
    Ok(request)
}

/// The log, and what listens for signals as long as it is kept.
fn log(matches: &ArgMatches, level: Level, request: &Request) -> Result<(Log, Abort), CommandError> {
    let open = |name: &str| -> Result<Option<Arc<Mutex<dyn Write + Send>>>, CommandError> {
        let Some(path) = matches.get_one::<String>(name) else { return Ok(None) };
        if path == "-" {
            return Ok(Some(Arc::new(Mutex::new(std::io::stdout()))));
        }
        match File::create(path) {
            Ok(file) => Ok(Some(Arc::new(Mutex::new(file)))),
            Err(error) => Err(CommandError::failed(
                format!("--{name}: {path}: {error}"),
                "name a file in a folder that is there",
            )),
        }
    };
    let (stop, stopped) = watch::channel(false);
    let interrupted = tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        stop.send_replace(true);
        // The channel stays open, so that whoever waits for it sees the value.
        std::future::pending::<()>().await;
    });
    let mut log = Log::silent().lines(level, |line| eprintln!("{line}")).stop_with(stopped);
    log = log.copies(open("stdout-file")?, open("stderr-file")?);
    let logs_output = matches.get_flag("log-output");
    if logs_output {
        log = log.with_outputs();
    }
    let wants_bar =
        matches.get_flag("progress-bar") || (!logs_output && !matches.get_flag("no-progress-bar"));
    if wants_bar && request.output.as_deref() != Some("-") && std::io::stderr().is_terminal() {
        log = log.with_bar();
    }
    Ok((log, Abort(interrupted)))
}

struct Abort(tokio::task::JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells why a run failed; gives papermill's exit code for it.
fn report(error: &RunError) -> ExitCode {
    eprintln!("{error}");
    match error {
        RunError::Kernel(error) if error.is_death() => ExitCode::from(DEAD_KERNEL),
        RunError::Stopped { .. } => ExitCode::from(INTERRUPTED),
        _ => ExitCode::FAILURE,
    }
}
