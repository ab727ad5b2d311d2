//! The speed of durable work, printed as a table beside the peers that run the same graphs on the same machine.
//!
//! Every row of ours is measured in a fresh process on a fresh directory (or database), from before `submit` until
//! `wait` has seen the end of the run; caching is on, as it is by default, but no input occurs twice. Answers are
//! compared with the expected ones before a figure counts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use backlot_benches::house::AnyError;
use backlot_benches::speed::child::{self, CHILD_ARGUMENT, Found, Measure, Order};
use backlot_benches::speed::peers::{self, PEERS};
use backlot_benches::speed::shapes::Shape;
use backlot_benches::speed::table::Table;
use backlot_benches::statistics::{median, percentile};
use backlot_ledger::testing::Postgres;
use clap::{Parser, ValueEnum};

/// Measures durable work and its peers.
#[derive(Parser)]
struct Arguments {
    /// Fewer tasks and fewer runs: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// An empty PostgreSQL database to use; without it a private server is started.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Where the ledgers lie; the system's temporary directory unless said. Should be on a real disk.
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
    /// Only these parts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The two graphs on SQLite.
    Sqlite,
    /// The two graphs on PostgreSQL.
    Postgres,
    /// Maps of growing length, and the memory of the longest.
    Scale,
    /// The time until a task starts.
    Latency,
    /// Prefect, Luigi, Dask.
    Peers,
}

/// What is to be reached on two cores (issue "The spine").
mod target {
    pub(super) const SQLITE: f64 = 5000.0;
    pub(super) const POSTGRES: f64 = 2000.0;
    pub(super) const LATENCY_MS: f64 = 20.0;
    pub(super) const RSS_MB: f64 = 300.0;
}

const NO_POSTGRES: &str = "SKIPPED: no PostgreSQL here; apt-get install postgresql";

fn main() -> ExitCode {
    let mut raw = std::env::args().skip(1);
    let outcome = match (raw.next().as_deref(), raw.next()) {
        (Some(CHILD_ARGUMENT), Some(order)) => child::obey(&order),
        _ => Bench::new(Arguments::parse()).and_then(Bench::run),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Bench {
    arguments: Arguments,
    directory: tempfile::TempDir,
    table: Table,
    server: Option<Postgres>,
    runs: usize,
    /// Our median seconds per task by shape, to compare the peers with.
    ours: Vec<(&'static str, f64)>,
}

impl Bench {
    fn new(arguments: Arguments) -> Result<Bench, AnyError> {
        let parent = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
        let directory = tempfile::tempdir_in(&parent)
            .map_err(|error| format!("{}: {error}; give a directory with --dir", parent.display()))?;
        let runs = if arguments.quick { 1 } else { 5 };
        Ok(Bench { arguments, directory, table: Table::default(), server: None, runs, ours: Vec::new() })
    }

    fn wants(&self, part: Part) -> bool {
        self.arguments.only.is_empty() || self.arguments.only.contains(&part)
    }

    fn run(mut self) -> Result<(), AnyError> {
        println!("{}", machine(self.directory.path()));
        let map = Shape::Map { tasks: if self.arguments.quick { 2000 } else { 10_000 } };
        let dag = Shape::Dag { layers: if self.arguments.quick { 10 } else { 50 }, width: 20 };
        if self.wants(Part::Sqlite) || self.wants(Part::Peers) {
            for shape in [map, dag] {
                let seconds = self.throughput("backlot, SQLite", shape, false, target::SQLITE)?;
                self.ours.push((shape.name(), median(&seconds) / shape.tasks() as f64));
            }
        }
        if self.wants(Part::Postgres) {
            if self.postgres_ledger().is_some() {
                for shape in [map, dag] {
                    self.throughput("backlot, PostgreSQL", shape, true, target::POSTGRES)?;
                }
            } else {
                self.table.remark("backlot, PostgreSQL", NO_POSTGRES);
            }
        }
        if self.wants(Part::Scale) {
            self.scale()?;
        }
        if self.wants(Part::Latency) {
            self.latency(false)?;
            if self.postgres_ledger().is_some() {
                self.latency(true)?;
            } else {
                self.table.remark("backlot, PostgreSQL: start of a task", NO_POSTGRES);
            }
        }
        if self.wants(Part::Peers) {
            self.peers(map, dag)?;
        }
        println!("\n{}", self.table.text());
        Ok(())
    }

    /// A database's URL for one run.
    fn postgres_ledger(&mut self) -> Option<String> {
        if let Some(url) = &self.arguments.postgres {
            return Some(url.clone());
        }
        if self.server.is_none() {
            self.server = Postgres::start();
        }
        self.server.as_ref().map(|server| server.url("bench"))
    }

    /// Measures once in a directory of its own and compares the answers.
    fn once(&mut self, measure: Measure, postgres: bool) -> Result<Found, AnyError> {
        let home = tempfile::tempdir_in(self.directory.path())?;
        let ledger = if postgres { self.postgres_ledger() } else { None };
        let found =
            child::measure(&Order { home: home.path().to_owned(), ledger, measure: measure.clone() })?;
        if let Measure::Throughput { shape, .. } = measure
            && found.answers != shape.expected()
        {
            return Err(format!("the answers of the {} are not the expected ones", shape.name()).into());
        }
        Ok(found)
    }

    fn throughput(
        &mut self,
        what: &str,
        shape: Shape,
        postgres: bool,
        target: f64,
    ) -> Result<Vec<f64>, AnyError> {
        let name = match shape {
            Shape::Map { .. } => format!("{what}: map"),
            Shape::Dag { layers, width } => format!("{what}: DAG, {layers} layers of {width} steps"),
        };
        let mut seconds = Vec::new();
        for _ in 0..self.runs {
            let measure = Measure::Throughput { shape, reuse: true };
            seconds.push(self.once(measure, postgres)?.seconds);
            progress(&name, seconds.last().copied().unwrap_or_default());
        }
        let rate = shape.tasks() as f64 / median(&seconds);
        let note = if matches!(shape, Shape::Map { .. }) {
            verdict(rate >= target, &format!("at least {target}/s"))
        } else {
            String::new()
        };
        self.table.add(&name, shape.tasks(), &seconds, &note);
        Ok(seconds)
    }

    fn scale(&mut self) -> Result<(), AnyError> {
        let lengths: &[usize] = if self.arguments.quick { &[1000, 10_000] } else { &[1000, 10_000, 100_000] };
        let mut costs = Vec::new();
        for &tasks in lengths {
            let shape = Shape::Map { tasks };
            let (mut seconds, mut memory) = (Vec::new(), Vec::new());
            for _ in 0..self.runs.min(if tasks > 10_000 { 3 } else { 5 }) {
                let found = self.once(Measure::Throughput { shape, reuse: true }, false)?;
                seconds.push(found.seconds);
                memory.push(found.peak_rss as f64 / 1e6);
                progress(&format!("map of {tasks}"), found.seconds);
            }
            let peak = percentile(&memory, 1.0);
            let met = verdict(peak < target::RSS_MB, &format!("below {} MB", target::RSS_MB));
            self.table.add(
                &format!("backlot, SQLite: map of {tasks}"),
                tasks,
                &seconds,
                &format!("peak RSS {peak:.0} MB; {met}"),
            );
            costs.push(median(&seconds) / tasks as f64 * 1e6);
        }
        let all: Vec<String> = costs.iter().map(|cost| format!("{cost:.0}")).collect();
        if let [.., before, last] = costs.as_slice() {
            self.table.remark(
                "  cost per task as the map grows tenfold",
                &format!("{} us; the last step times {:.2}", all.join(", "), last / before),
            );
        }
        Ok(())
    }

    fn latency(&mut self, postgres: bool) -> Result<(), AnyError> {
        let (running, samples) = if self.arguments.quick { (200, 100) } else { (1000, 1000) };
        let found = self.once(Measure::Latency { running, samples }, postgres)?;
        let milliseconds = |values: &[f64]| (percentile(values, 0.5) * 1e3, percentile(values, 0.99) * 1e3);
        let (p50, p99) = milliseconds(&found.after_submit);
        let (call_p50, call_p99) = milliseconds(&found.from_call);
        let met = verdict(p99 < target::LATENCY_MS, &format!("p99 below {} ms", target::LATENCY_MS));
        let backend = if postgres { "PostgreSQL" } else { "SQLite" };
        self.table.remark(
            &format!("backlot, {backend}: start of a task at {running} running"),
            &format!(
                "after submit returned p50 {p50:.2} ms, p99 {p99:.2} ms ({samples} runs; {met}); \
                 from its call p50 {call_p50:.2} ms, p99 {call_p99:.2} ms"
            ),
        );
        Ok(())
    }

    fn peers(&mut self, map: Shape, dag: Shape) -> Result<(), AnyError> {
        let Some(python) = peers::python() else {
            self.table.remark(
                "prefect, luigi, dask",
                "SKIPPED: no Python environment; make .venv with `pip install prefect luigi dask[distributed]` or set BACKLOT_VENV",
            );
            return Ok(());
        };
        for peer in PEERS {
            if !peer.is_installed(&python) {
                let note =
                    format!("SKIPPED: not installed; {} -m pip install '{}'", python.display(), peer.package);
                self.table.remark(peer.name, &note);
                continue;
            }
            let smaller = if self.arguments.quick { peer.most_map / 10 } else { peer.most_map };
            for shape in [Shape::Map { tasks: smaller.min(map.tasks()) }, dag] {
                let home = tempfile::tempdir_in(self.directory.path())?;
                let answer = match peer.run(&python, home.path(), shape, self.runs.min(3)) {
                    Ok(answer) => answer,
                    Err(error) => {
                        self.table
                            .remark(&format!("{}: {}", peer.name, shape.name()), &format!("FAILED: {error}"));
                        continue;
                    }
                };
                if answer.answers != shape.expected() {
                    return Err(
                        format!("{}'s answers of the {} are not ours", peer.name, shape.name()).into()
                    );
                }
                let per_task = median(&answer.seconds) / shape.tasks() as f64;
                let ours = self.ours.iter().find(|(name, _)| *name == shape.name());
                let ratio = ours.map_or_else(String::new, |(_, ours)| {
                    format!("{:.1} times backlot's time per task; ", per_task / ours)
                });
                progress(&format!("{} {}", peer.name, shape.name()), median(&answer.seconds));
                self.table.add(
                    &format!("{} {}: {}", peer.name, answer.version, shape.name()),
                    shape.tasks(),
                    &answer.seconds,
                    &format!("{ratio}{}", answer.note),
                );
            }
        }
        Ok(())
    }
}

fn verdict(met: bool, target: &str) -> String {
    format!("target {target} {}", if met { "met" } else { "MISSED" })
}

fn progress(what: &str, seconds: f64) {
    eprintln!("  {what}: {seconds:.3} s");
}

/// `TMPFS_MAGIC` of linux/magic.h.
const TMPFS: u64 = 0x0102_1994;

/// What the figures were measured on, and how busy it was with other things.
fn machine(directory: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let in_memory = rustix::fs::statfs(directory).is_ok_and(|about| about.f_type as u64 == TMPFS);
    let disk = if in_memory {
        "; the directory is in memory, so durability costs nothing here: give --dir"
    } else {
        ""
    };
    format!("{}, {cores} cores, load {load} at the start{disk}", cpu.trim_start_matches(['\t', ' ', ':']))
}
