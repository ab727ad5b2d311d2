//! `cargo xtask bench signals`: the analyses of `backlot-signals-kernels` beside ruptures, NumPy, SciPy, stumpy and Dask, on the same numbers.
//!
//! Each peer runs in a process of its own, never beside us, and writes what it found; a ratio is printed only when the answers agree. Change points agree when none of ours costs
//! more than the peer's (which is not exact for every minimum size). Medians of several runs; both sides have two processors, and ours also runs on one thread. Peers run
//! with their libraries' own choice of instructions: what the environment says about that is not passed on.

use std::fs;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use backlot_benches::house::AnyError;
use backlot_benches::speed::peers;
use backlot_benches::statistics::median;
use backlot_signals_kernels::correlate::{Standard, all_pairs, lagged_table};
use backlot_signals_kernels::cost::L2;
use backlot_signals_kernels::explain::{Question, Reference, conclude};
use backlot_signals_kernels::matrix_profile::{Streaming, self_join};
use backlot_signals_kernels::segment::penalised;
use backlot_signals_kernels::{Detection, Isa, Penalty, Random, Signal, changes_of_rows, robust};
use clap::Parser;
use serde::Deserialize;

/// Measures the kernels of signals.
#[derive(Parser)]
struct Arguments {
    /// Fewer signals and runs: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Only rows whose name holds this.
    #[arg(long)]
    only: Option<String>,
    /// Without the table of growth to 100,000 signals.
    #[arg(long)]
    no_growth: bool,
}

/// Points of a signal: a day of minutes.
const POINTS: usize = 1440;
const MIN_SIZE: usize = 5;
const REACH: usize = 60;
const WINDOW: usize = 100;

/// What is to be reached, in times as fast as the peer, by ours on two threads: what a person with two processors has. How many the peer uses stands in its note.
mod target {
    pub(super) const CHANGES: f64 = 50.0;
    pub(super) const LAGGED: f64 = 10.0;
    pub(super) const PROFILE: f64 = 4.0;
    pub(super) const ROBUST: f64 = 5.0;
}

/// What a peer printed.
#[derive(Deserialize)]
struct Answer {
    version: String,
    note: String,
    seconds: Vec<f64>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signals: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Noise with up to five steps.
fn signal(random: &mut Random, steps: usize, points: usize) -> Vec<f64> {
    let mut level = 0.0;
    let stretch = points / (steps + 1);
    (0..points)
        .map(|t| {
            if steps > 0 && t > 0 && t.is_multiple_of(stretch) {
                level += 3.0 * random.normal();
            }
            level + random.normal()
        })
        .collect()
}

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("invariant: above 0")
}

/// The median of some runs, in seconds.
fn time<T>(runs: usize, mut once: impl FnMut() -> T) -> f64 {
    let seconds = (0..runs).map(|_| {
        let start = Instant::now();
        black_box(once());
        start.elapsed().as_secs_f64()
    });
    median(&seconds.collect::<Vec<f64>>())
}

/// The folder of shared numbers, the Python of the peers, and what is printed about them.
struct Bench {
    folder: PathBuf,
    python: Option<PathBuf>,
    runs: usize,
    only: Option<String>,
}

impl Bench {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// Runs a peer; nothing when it is not installed.
    fn peer(&self, task: &str, runs: usize) -> Result<Option<Answer>, AnyError> {
        let Some(python) = &self.python else { return Ok(None) };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/signals_peers.py");
        let mut command = Command::new(python);
        command.arg(script).arg(task).arg(&self.folder).arg(runs.to_string()).stdin(Stdio::null());
        for name in [
            "OPENBLAS_CORETYPE",
            "OPENBLAS_NUM_THREADS",
            "OMP_NUM_THREADS",
            "NPY_DISABLE_CPU_FEATURES",
            "NUMBA_CPU_NAME",
        ] {
            command.env_remove(name);
        }
        let output = command.output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let last =
                text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message").to_owned();
            if last.contains("ModuleNotFoundError") {
                println!("skipped: {task}: {last}; run it through `cargo xtask bench signals`");
                return Ok(None);
            }
            return Err(format!("{task} ended with {}: {last}", output.status).into());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let line =
            text.lines().rev().find(|line| line.starts_with('{')).ok_or("the peer printed no figures")?;
        Ok(Some(serde_json::from_str(line)?))
    }

    fn numbers(&self, name: &str) -> Result<Vec<f64>, AnyError> {
        let bytes = fs::read(self.folder.join(name))?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    fn write(&self, name: &str, values: impl Iterator<Item = f64>) -> Result<(), AnyError> {
        let bytes: Vec<u8> = values.flat_map(f64::to_le_bytes).collect();
        Ok(fs::write(self.folder.join(name), bytes)?)
    }
}

/// One line of the table.
fn row(what: &str, ours: (f64, f64), peer: Option<&Answer>, agreement: &str, goal: Option<f64>) {
    let ms = |seconds: f64| seconds * 1e3;
    let (one, two) = ours;
    let Some(peer) = peer else {
        println!("{what:34} ours {:10.2} ms on one thread, {:10.2} ms on two", ms(one), ms(two));
        return;
    };
    let theirs = median(&peer.seconds);
    let goal = goal.map_or_else(String::new, |goal| {
        format!(", goal {goal:.0}: {}", if theirs / two >= goal { "met" } else { "MISSED" })
    });
    println!(
        "{what:34} ours {:10.2} ms on one thread, {:10.2} ms on two; {:10.2} ms {} ({}); ratio {:.1} on one thread, {:.1} on two{goal}; {agreement}",
        ms(one),
        ms(two),
        ms(theirs),
        peer.version,
        peer.note,
        theirs / one,
        theirs / two
    );
}

/// The greatest difference; NaN on one side only counts as infinite.
fn farthest(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let apart = |(a, b): (&f64, &f64)| if a == b || (a.is_nan() && b.is_nan()) { 0.0 } else { (a - b).abs() };
    a.iter()
        .zip(b)
        .map(apart)
        .fold(0.0, |most, apart| if apart.is_nan() { f64::INFINITY } else { f64::max(most, apart) })
}

fn agree(what: &str, apart: f64, tolerance: f64) -> Result<String, AnyError> {
    if apart > tolerance {
        return Err(format!("{what}: answers differ by {apart:e}, more than {tolerance:e}").into());
    }
    Ok(format!("answers within {apart:.0e}"))
}

fn run(arguments: &Arguments) -> Result<(), AnyError> {
    let count = if arguments.quick { 60 } else { 1000 };
    let long = if arguments.quick { 1 << 12 } else { 1 << 15 };
    let home = tempfile::tempdir()?;
    let bench = Bench {
        folder: home.path().to_owned(),
        python: peers::python(),
        runs: if arguments.quick { 2 } else { 5 },
        only: arguments.only.clone(),
    };
    if bench.python.is_none() {
        println!("skipped: the peers have no Python environment; run it through `cargo xtask bench signals`");
    }
    let mut random = Random::new(20_260_101);
    let table: Vec<Vec<f64>> = (0..count).map(|k| signal(&mut random, k % 6, POINTS)).collect();
    let table: Vec<&[f64]> = table.iter().map(Vec::as_slice).collect();
    let long = signal(&mut random, 5, long);
    bench.write("signals.f64", table.iter().flat_map(|row| row.iter().copied()))?;
    bench.write("long.f64", long.iter().copied())?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{count} signals of {POINTS} points, one of {}; {}; {} processors; load {}",
        long.len(),
        Isa::detect().name(),
        std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        load.split(' ').next().unwrap_or("unknown")
    );
    change_points(&bench, &table)?;
    lagged(&bench, &table)?;
    robust_scores(&bench, &table)?;
    pairs(&bench, &table)?;
    profiles(&bench, &long)?;
    if bench.wants("explain") {
        growth(&table, arguments)?;
    }
    Ok(())
}

fn change_points(bench: &Bench, table: &[&[f64]]) -> Result<(), AnyError> {
    if !bench.wants("changes") {
        return Ok(());
    }
    let penalty = 3.0 * (POINTS as f64).ln();
    let detection =
        Detection { min_size: MIN_SIZE, penalty: Penalty::Fixed(penalty), ..Detection::default() };
    let ours = [1, 2].map(|count| time(bench.runs, || changes_of_rows(table, &detection, threads(count))));
    let found = changes_of_rows(table, &detection, threads(2)).into_iter().collect::<Result<Vec<_>, _>>()?;
    for (task, what, goal) in [
        ("changes", "changes, one process", Some(target::CHANGES)),
        ("changes_pool", "changes, two processes", Some(target::CHANGES)),
        ("changes_dask", "changes, Dask", None),
    ] {
        let Some(answer) = bench.peer(task, bench.runs.min(3))? else { continue };
        let theirs: Vec<Vec<usize>> =
            serde_json::from_slice(&fs::read(bench.folder.join(format!("{task}.json")))?)?;
        let (mut equal, mut worse) = (0, 0);
        for ((row, ours), theirs) in table.iter().zip(&found).zip(&theirs) {
            let cost = L2::new(&Signal::scalar(row)?);
            let (own, other) = (penalised(&cost, &ours.ends, penalty), penalised(&cost, theirs, penalty));
            if own > other + 1e-9 * other {
                return Err(format!("{what}: ours costs {own}, the peer's {other}").into());
            }
            equal += usize::from(&ours.ends == theirs);
            worse += usize::from(other > own + 1e-9 * own);
        }
        let agreement =
            format!("{equal} of {} equal, the peer's cost more in {worse}, ours in 0", table.len());
        row(what, (ours[0], ours[1]), Some(&answer), &agreement, goal);
    }
    if bench.python.is_none() {
        row("changes", (ours[0], ours[1]), None, "", None);
    }
    Ok(())
}

fn lagged(bench: &Bench, table: &[&[f64]]) -> Result<(), AnyError> {
    if !bench.wants("lagged") {
        return Ok(());
    }
    // The alert is standardised anew each time, as the peers do.
    let once = |count| -> Result<Vec<f64>, AnyError> {
        let alert = Standard::of(table[0])?.ok_or("the first signal varies")?;
        Ok(lagged_table(&alert, table, REACH, threads(count))?)
    };
    let ours = [1, 2].map(|count| time(4 * bench.runs, || once(count)));
    let found = once(2)?;
    for (task, what, goal) in
        [("lagged_numpy", "lagged, NumPy", Some(target::LAGGED)), ("lagged_scipy", "lagged, SciPy", None)]
    {
        let Some(answer) = bench.peer(task, 4 * bench.runs)? else { continue };
        let apart = farthest(&found, &bench.numbers(&format!("{task}.f64"))?);
        row(what, (ours[0], ours[1]), Some(&answer), &agree(what, apart, 1e-12)?, goal);
    }
    if bench.python.is_none() {
        row("lagged", (ours[0], ours[1]), None, "", None);
    }
    Ok(())
}

fn robust_scores(bench: &Bench, table: &[&[f64]]) -> Result<(), AnyError> {
    if !bench.wants("robust") {
        return Ok(());
    }
    let ours = [1, 2].map(|count| time(2 * bench.runs, || robust::scores(table, threads(count))));
    let answer = bench.peer("robust", bench.runs)?;
    let agreement = match &answer {
        Some(_) => agree(
            "robust z",
            farthest(&robust::scores(table, threads(2))?, &bench.numbers("robust.f64")?),
            1e-9,
        )?,
        None => String::new(),
    };
    row("robust z", (ours[0], ours[1]), answer.as_ref(), &agreement, Some(target::ROBUST));
    Ok(())
}

fn pairs(bench: &Bench, table: &[&[f64]]) -> Result<(), AnyError> {
    if !bench.wants("pairs") {
        return Ok(());
    }
    let once = || -> Result<Vec<f64>, AnyError> {
        let standards = table.iter().map(|row| Standard::of(row)).collect::<Result<Vec<_>, _>>()?;
        Ok(all_pairs(&standards)?)
    };
    let ours = time(bench.runs, once);
    let answer = bench.peer("pairs", bench.runs)?;
    let agreement = match &answer {
        Some(_) => agree("pairs", farthest(&once()?, &bench.numbers("pairs.f64")?), 1e-12)?,
        None => String::new(),
    };
    row("pairs at lag 0 (one thread)", (ours, ours), answer.as_ref(), &agreement, None);
    Ok(())
}

fn profiles(bench: &Bench, long: &[f64]) -> Result<(), AnyError> {
    if !bench.wants("profile") {
        return Ok(());
    }
    let ours = [1, 2].map(|count| time(bench.runs.min(3), || self_join(long, WINDOW, threads(count))));
    let found = self_join(long, WINDOW, threads(2))?;
    let answer = bench.peer("profile", bench.runs.min(3))?;
    let agreement = match &answer {
        Some(_) => agree("profile", farthest(&found.distances, &bench.numbers("profile.f64")?), 1e-6)?,
        None => String::new(),
    };
    row("profile", (ours[0], ours[1]), answer.as_ref(), &agreement, Some(target::PROFILE));
    if long.len() < 6000 {
        return Ok(());
    }
    let mut streaming = Streaming::new(&long[..5000], WINDOW)?;
    let start = Instant::now();
    for value in &long[5000..6000] {
        streaming.push(*value)?;
    }
    let each = start.elapsed().as_secs_f64() / 1000.0;
    let answer = bench.peer("append", 1)?;
    row(
        "profile, a point more at 5,000",
        (each, each),
        answer.as_ref(),
        "not compared: the join above is",
        None,
    );
    Ok(())
}

/// Explanations of more and more signals: examined on two threads and concluded.
fn growth(table: &[&[f64]], arguments: &Arguments) -> Result<(), AnyError> {
    let question = Question { alert: 1300, ..Question::default() };
    let mut alert = table[0].to_vec();
    for value in &mut alert[1290..] {
        *value += 6.0;
    }
    let reference = Reference::new(&alert, question.clone())?;
    let counts: &[usize] = if arguments.quick {
        &[60, 120]
    } else if arguments.no_growth {
        &[1000, 10_000]
    } else {
        &[1000, 3000, 10_000, 30_000, 100_000]
    };
    for &count in counts {
        let start = Instant::now();
        // A signal's examination depends on that signal alone, so the same ones again take as long as others.
        let examine = |from: usize| -> Result<Vec<_>, AnyError> {
            (from..count).step_by(2).map(|k| Ok(reference.examine(k, table[k % table.len()])?)).collect()
        };
        let mut findings = std::thread::scope(|scope| -> Result<Vec<_>, AnyError> {
            let helper = scope.spawn(|| examine(1));
            let mut findings = examine(0)?;
            findings.extend(helper.join().map_err(|_| "a thread panicked")??);
            Ok(findings)
        })?;
        findings.sort_by_key(|finding| finding.candidate);
        let examined = start.elapsed().as_secs_f64();
        black_box(conclude(&findings, reference.own(), &question));
        let all = start.elapsed().as_secs_f64();
        println!(
            "explain {count:7} signals: {:9.1} ms, of which concluding {:7.1} ms; {:6.1} µs a signal",
            all * 1e3,
            (all - examined) * 1e3,
            all * 1e6 / count as f64
        );
    }
    Ok(())
}
