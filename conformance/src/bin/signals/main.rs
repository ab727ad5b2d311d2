//! `cargo xtask conformance signals`: change points against an exhaustive search, explanations against incidents with known causes, outlier hosts
//! that were planted, ruptures' own tests against our module of its name, and the Numenta Anomaly Benchmark.
//!
//! Each part prints what it counted; the name of a part runs it alone. The program fails when ours differs from the exhaustive search, when the root is too rarely found, when
//! false alarms are more frequent than stated, when too many hosts are wrong or missed, when a test of ruptures fails, or when NAB's score is too low.

mod nab;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use backlot_conformance::Environment;
use backlot_signals_kernels::cost::Model;
use backlot_signals_kernels::fleet::{self, Quality};
use backlot_signals_kernels::incident::{Judgement, Kind, Plan, judge};
use backlot_signals_kernels::segment::{Grid, functional, pelt};
use backlot_signals_kernels::testing::{Case, Random, random_signal};

/// Random signals, over all costs, minimum sizes, steps and penalties.
const CASES: usize = 10_000;

/// Incidents, and alerts without one. Their seeds are far from those that anything was tuned on.
const INCIDENTS: u64 = 500;
const FIRST_SEED: u64 = 1_000_000;

/// The share of incidents whose root must be among the first three.
const ROOT_SHARE: f64 = 0.95;

/// The rate of false discoveries that is asked for.
const RATE: f64 = 0.05;

/// Of the planted fleets: the published evaluation's precision and recall, which it reached on as many servers.
const PRECISION: f64 = 0.93;
const RECALL: f64 = 0.87;

/// Fleets of 1,960 hosts. Their seeds are none that anything was tuned on.
const FLEETS: u64 = 3;

/// What is run, and with what.
#[derive(clap::Parser)]
struct Arguments {
    /// One part alone.
    #[arg(value_parser = ["exactness", "incidents", "outliers", "ruptures", "nab"])]
    part: Option<String>,
    /// A checkout of the Numenta Anomaly Benchmark.
    #[arg(long, env = "NAB")]
    nab: Option<PathBuf>,
}

/// One part: prints what it counts, and says why it fails.
type Part = Box<dyn FnOnce() -> Result<(), String>>;

fn main() -> ExitCode {
    let arguments = <Arguments as clap::Parser>::parse();
    let parts: [(&str, Part); 5] = [
        ("exactness", Box::new(exactness)),
        ("incidents", Box::new(incidents)),
        ("outliers", Box::new(outliers)),
        ("ruptures", Box::new(ruptures)),
        ("nab", Box::new(|| nab::run(arguments.nab))),
    ];
    let mut failed = false;
    for (name, part) in parts {
        if arguments.part.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        if let Err(why) = part() {
            println!("{name}: FAILED: {why}");
            failed = true;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn exactness() -> Result<(), String> {
    let mut wrong = Vec::new();
    let mut judged = 0;
    for number in 0..CASES {
        let mut case = Case::new(number);
        let cost = case.model.fit(&case.signal).map_err(|error| error.to_string())?;
        case.grid.min_size = case.grid.min_size.max(cost.min_size());
        let found = pelt(&cost, case.grid, case.penalty).map_err(|error| error.to_string())?;
        judged += 1;
        wrong.extend(case.judge(&found).err().map(|why| format!("case {number}, {:?}: {why}", case.model)));
    }
    println!(
        "exactness: {judged} random signals of all {} costs against an exhaustive search: {} differences",
        Model::NAMES.len(),
        wrong.len()
    );
    let before = wrong.len();
    for number in 0..CASES {
        let mut random = Random::new(number as u64 ^ 0xf00d);
        let points = 1 + random.below(150);
        let signal = random_signal(&mut random, points, 1);
        let grid = Grid::every(1 + random.below(points.min(9)));
        let penalty = (8.0 * random.even() - 4.0).exp();
        let found = functional(signal.values(), grid.min_size, penalty).map_err(|error| error.to_string())?;
        let case = Case { signal, model: Model::L2, grid, penalty };
        wrong.extend(case.judge(&found).err().map(|why| format!("functional, case {number}: {why}")));
    }
    println!("exactness: {CASES} random signals by functional pruning: {} differences", wrong.len() - before);
    wrong.first().map_or(Ok(()), |first| Err(first.clone()))
}

fn incidents() -> Result<(), String> {
    let Judgement { incidents, root_in_three, root_first, reported, false_ones, alarms } =
        judge(&Plan::default(), FIRST_SEED..FIRST_SEED + INCIDENTS).map_err(|error| error.to_string())?;
    let percent = |count: usize, of: usize| 100.0 * count as f64 / of.max(1) as f64;
    println!(
        "incidents: of {incidents} the root is among the first three in {:.1} %, first in {:.1} %; {false_ones} of {reported} reported signals had not changed; {alarms} incidents have such a signal",
        percent(root_in_three, incidents),
        percent(root_first, incidents)
    );
    let null = Plan { kind: Kind::Null, ..Plan::default() };
    let null = judge(&null, FIRST_SEED..FIRST_SEED + INCIDENTS).map_err(|error| error.to_string())?;
    println!(
        "incidents: of {} alerts for no reason {:.1} % have a report; the rate asked for is {:.0} %",
        null.incidents,
        percent(null.alarms, null.incidents),
        RATE * 100.0
    );
    if (root_in_three as f64) < ROOT_SHARE * incidents as f64 {
        return Err(format!("the root is among the first three in {root_in_three} of {incidents}"));
    }
    if null.alarms as f64 > RATE * null.incidents as f64 {
        return Err(format!("{} of {} alerts for no reason have a report", null.alarms, null.incidents));
    }
    Ok(())
}

fn outliers() -> Result<(), String> {
    let mut all = Quality::default();
    for seed in FIRST_SEED..FIRST_SEED + FLEETS {
        all.add(fleet::judge(seed).map_err(|error| error.to_string())?);
    }
    let Quality { hosts, planted, reported, right, late } = all;
    println!(
        "outliers: of {hosts} hosts {planted} were made to misbehave; {reported} were reported, {right} of them rightly: precision {:.1} %, recall {:.1} %; half of them within {late:.0} windows",
        100.0 * all.precision(),
        100.0 * all.recall()
    );
    if all.precision() < PRECISION || all.recall() < RECALL {
        return Err("precision or recall is below the published 93 and 87 %".into());
    }
    Ok(())
}

/// Runs ruptures' own tests on our module, and counts how often ruptures itself is not exact.
fn ruptures() -> Result<(), String> {
    let environment = match Environment::find() {
        Ok(environment) => environment,
        Err(missing) => {
            println!("skipped: {missing}");
            return Ok(());
        }
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/ruptures_suite.py");
    let status = Command::new(environment.python()).args(["-P", script]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{script} ended with {status}")),
        Err(error) => Err(format!("{script} does not start: {error}")),
    }
}
