//! Notebooks run by papermill and by us, on the same kernel, alternately; answers are compared before a figure counts.
//!
//! `cargo xtask bench notebooks [--quick]`. Commands are timed as a user starts them, from the start of the process to its end, so
//! Python's imports and the kernel's start are in every figure but the warm ones. papermill is measured as it is and with
//! `--no-request-save-on-cell-execute`, since its default writes the whole notebook twice for each cell; that takes minutes, so it
//! runs once. CPU time is that of the command and its kernel. `BACKLOT_BIN` names a built binary; without it one is built in
//! release.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use backlot_benches::house::{AnyError, binary};
use backlot_benches::speed::peers;
use backlot_benches::statistics::{median, percentile};
use backlot_notebooks::{KernelPool, KernelSearch, Kernels, Launch, Log, Request, Source, run};
use backlot_notebooks_model::record::{self, Status};
use backlot_notebooks_model::{Cell, Notebook};
use clap::Parser;

/// Notebooks beside papermill.
#[derive(Parser)]
struct Arguments {
    /// Fewer cells and runs: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// How often each is run.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// No option: papermill writes the notebook twice for each cell, we as cells come and go.
const DEFAULTS: &[&str] = &[];

/// Saves at the end only.
const NO_SAVES: &[&str] = &["--no-request-save-on-cell-execute"];

/// What is to be reached.
mod target {
    pub(super) const DEFAULT: f64 = 15.0;
    pub(super) const NO_SAVES: f64 = 1.5;
    pub(super) const WARM_MS: f64 = 150.0;
    /// What a flood of 100,000 messages may take beside what the notebook then holds: about 40 MB of it in memory.
    pub(super) const FLOOD_MB: f64 = 250.0;
}

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    let (cells, runs, warm) = if arguments.quick { (50, 1, 5) } else { (1000, arguments.runs, 50) };
    let python = peers::python().ok_or("no Python environment; run `cargo xtask bench notebooks`")?;
    let bench = Bench { binary: binary()?, python, folder: tempfile::tempdir()? };
    println!("{}", load());
    println!(
        "{:44} {:>10} {:>9} {:>10} {:>9} {:>9}",
        "what, median of the runs", "papermill", "its CPU", "backlot", "its CPU", "faster"
    );
    for (name, count, papermill, ours, runs, goal) in [
        ("one cell, from nothing".to_owned(), 1, DEFAULTS, DEFAULTS, runs, None),
        (
            format!("{cells} cells `pass`, neither saves before the end"),
            cells,
            NO_SAVES,
            NO_SAVES,
            runs,
            Some(target::NO_SAVES),
        ),
        (
            format!("{cells} cells `pass`, only we save as it runs"),
            cells,
            NO_SAVES,
            DEFAULTS,
            runs,
            Some(target::NO_SAVES),
        ),
        (
            format!("{cells} cells `pass`, both save as it runs"),
            cells,
            DEFAULTS,
            DEFAULTS,
            1,
            Some(target::DEFAULT),
        ),
    ] {
        let (mut theirs, mut mine) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            mine.push(bench.time(&bench.ours(ours), count)?);
            theirs.push(bench.time(&bench.papermill(papermill), count)?);
        }
        let middle =
            |took: &[Took], part: fn(&Took) -> f64| median(&took.iter().map(part).collect::<Vec<_>>());
        let wall: fn(&Took) -> f64 = |took| took.wall;
        let cpu: fn(&Took) -> f64 = |took| took.cpu;
        let goal = goal.map_or(String::new(), |goal| format!("  (target {goal})"));
        println!(
            "{name:44} {:>8.2} s {:>7.2} s {:>8.2} s {:>7.2} s {:>8.1}x{goal}",
            middle(&theirs, wall),
            middle(&theirs, cpu),
            middle(&mine, wall),
            middle(&mine, cpu),
            middle(&theirs, wall) / middle(&mine, wall)
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let samples = runtime.block_on(bench.warm(warm))?;
    let (p50, p95) = (percentile(&samples, 50.0) * 1e3, percentile(&samples, 95.0) * 1e3);
    println!(
        "one cell, kernel from the pool: p50 {p50:.0} ms, p95 {p95:.0} ms of {warm} (target {})",
        target::WARM_MS
    );
    let messages = if arguments.quick { 5_000 } else { 100_000 };
    let (seconds, peak) = bench.flood(messages)?;
    println!(
        "a cell that displays {messages} times: all kept, {seconds:.1} s, at most {peak:.0} MB (target {})",
        target::FLOOD_MB
    );
    Ok(())
}

/// What a command took, in seconds.
struct Took {
    wall: f64,
    cpu: f64,
}

/// How Linux counts the time of processes, whatever its own clock: in hundredths.
const TICKS: f64 = 100.0;

/// Seconds of processor time of the children that have ended, and of theirs.
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may hold anything, `cutime` and `cstime` are the fourteenth and fifteenth.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(13).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / TICKS
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    format!(
        "load before: {}; {} processors",
        load.join(" "),
        std::thread::available_parallelism().map_or(1, usize::from)
    )
}

struct Bench {
    binary: PathBuf,
    python: PathBuf,
    folder: tempfile::TempDir,
}

impl Bench {
    fn notebook(cells: usize) -> Notebook {
        let mut notebook = Notebook::new();
        for (key, value) in [("name", "python3"), ("language", "python"), ("display_name", "Python 3")] {
            notebook.metadata_object("kernelspec").insert(key.to_owned(), value.into());
        }
        notebook.cells = (0..cells).map(|index| Cell::code(format!("{index:08x}"), "pass")).collect();
        notebook
    }

    fn papermill(&self, options: &[&str]) -> Vec<String> {
        let words = [&self.python.to_string_lossy(), "-m", "papermill", "--no-progress-bar"];
        words.iter().chain(options).map(|word| (*word).to_owned()).collect()
    }

    fn ours(&self, options: &[&str]) -> Vec<String> {
        let words = [&self.binary.to_string_lossy(), "notebook", "run", "--no-progress-bar"];
        words.iter().chain(options).map(|word| (*word).to_owned()).collect()
    }

    /// The command with the environment's Python and its kernels.
    fn command(&self, words: &[String]) -> Result<Command, AnyError> {
        let venv = self.python.ancestors().nth(2).unwrap_or(&self.python);
        let own = self.python.parent().map(Path::to_owned);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path)))?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("VIRTUAL_ENV", venv).env("PATH", path).stdin(Stdio::null());
        Ok(command)
    }

    /// Runs a cell that displays so often; seconds, and the most memory that our process held, in MB.
    fn flood(&self, messages: usize) -> Result<(f64, f64), AnyError> {
        let (input, output) =
            (self.folder.path().join("flood.ipynb"), self.folder.path().join("flooded.ipynb"));
        let mut notebook = Bench::notebook(0);
        let source =
            format!("from IPython.display import display\nfor number in range({messages}): display(number)");
        notebook.cells.push(Cell::code("flood".to_owned(), &source));
        std::fs::write(&input, notebook.to_text())?;
        let mut command = self.command(&self.ours(&[]))?;
        let began = Instant::now();
        let mut child = command.args([&input, &output]).stderr(Stdio::null()).spawn()?;
        let mut peak = 0.0_f64;
        let ended = loop {
            if let Some(ended) = child.try_wait()? {
                break ended;
            }
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let high = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
            peak = peak.max(high.and_then(|kilobytes| kilobytes.parse().ok()).unwrap_or(0.0) / 1024.0);
            std::thread::sleep(Duration::from_millis(50));
        };
        let seconds = began.elapsed().as_secs_f64();
        let kept = Notebook::read_as_is(&std::fs::read(&output)?)?.cells[0].outputs().len();
        if !ended.success() || kept != messages {
            return Err(format!("{kept} of {messages} messages were kept, {ended}").into());
        }
        Ok((seconds, peak))
    }

    /// What one run takes; every cell must have been run and recorded.
    fn time(&self, command: &[String], cells: usize) -> Result<Took, AnyError> {
        let (input, output) = (self.folder.path().join("in.ipynb"), self.folder.path().join("out.ipynb"));
        std::fs::write(&input, Bench::notebook(cells).to_text())?;
        let _ = std::fs::remove_file(&output);
        let mut words = self.command(command)?;
        let (began, cpu) = (Instant::now(), children_cpu());
        let ended = words.args([&input, &output]).output()?;
        let took = Took { wall: began.elapsed().as_secs_f64(), cpu: children_cpu() - cpu };
        if !ended.status.success() {
            return Err(format!("{}: {}", command.join(" "), String::from_utf8_lossy(&ended.stderr)).into());
        }
        check(&Notebook::read_as_is(&std::fs::read(&output)?)?, cells)?;
        Ok(took)
    }

    /// Seconds of runs that take a kernel which waits.
    async fn warm(&self, runs: usize) -> Result<Vec<f64>, AnyError> {
        let venv = self.python.ancestors().nth(2).map(|venv| venv.as_os_str().to_owned());
        let search = KernelSearch::with(&|name| match name {
            "VIRTUAL_ENV" => venv.clone(),
            name => std::env::var_os(name),
        });
        let pool = KernelPool::new();
        let patience = Duration::from_secs(60);
        pool.prepare(&Launch { spec: search.find("python3")?, directory: None, patience });
        let mut request =
            Request::new("bench", Some(self.folder.path().join("warm.ipynb").to_string_lossy().into_owned()));
        request.source = Some(Source(Bench::notebook(1).to_text().into_bytes()));
        let mut samples = Vec::new();
        for _ in 0..runs {
            pool.settled().await;
            let began = Instant::now();
            let finished =
                run(&request, &Kernels { search: &search, pool: Some(&pool) }, &Log::silent()).await;
            samples.push(began.elapsed().as_secs_f64());
            check(&finished.map_err(|failure| failure.error)?.notebook, 1)?;
        }
        Ok(samples)
    }
}

fn check(notebook: &Notebook, cells: usize) -> Result<(), AnyError> {
    let done = notebook.cells.iter().enumerate().filter(|(index, cell)| {
        cell.execution_count() == Some(*index as i64 + 1) && record::status(cell) == Some(Status::Completed)
    });
    match done.count() {
        done if done == cells => Ok(()),
        done => Err(format!("{done} of {cells} cells were run").into()),
    }
}
