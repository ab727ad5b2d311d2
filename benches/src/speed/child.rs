//! One measurement in a process of its own, so that its memory is its own and nothing is warm from the one before.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_work::{
    Outputs, RunSpec, RunState, StepSpec, SubmitOptions, TaskError, Work, Worker, WorkerOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

use crate::house::{self, AnyError};
use crate::speed::shapes::{self, Shape};

/// The hidden argument that makes the benchmark's program a child.
pub const CHILD_ARGUMENT: &str = "--child";

/// The longest any measurement may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// What a child is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Its directory: scratch, store and, unless `ledger` is given, the SQLite file.
    pub home: PathBuf,
    /// Another ledger.
    pub ledger: Option<String>,
    /// What to measure.
    pub measure: Measure,
}

/// What is measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Seconds from before the submission until the run is known to have ended.
    Throughput {
        /// The graph.
        shape: Shape,
        /// Whether results are remembered for reuse, as they are unless a spec says otherwise.
        reuse: bool,
    },
    /// The time until a task starts while many run.
    Latency {
        /// Tasks that run meanwhile, waiting.
        running: usize,
        /// Runs of one task submitted one after the other.
        samples: usize,
    },
}

/// What it found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// Seconds of the whole run.
    pub seconds: f64,
    /// The tasks' answers.
    pub answers: Vec<i64>,
    /// The process's largest resident memory, in bytes.
    pub peak_rss: u64,
    /// Seconds from the return of `submit` to the task's first instruction; 0 when the task was first.
    pub after_submit: Vec<f64>,
    /// Seconds from the call of `submit` to the task's first instruction.
    pub from_call: Vec<f64>,
}

/// Runs a measurement in a child process: the program that calls this, called again.
pub fn measure(order: &Order) -> Result<Found, AnyError> {
    let program = std::env::current_exe()?;
    let output = Command::new(program)
        .arg(CHILD_ARGUMENT)
        .arg(serde_json::to_string(order)?)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("the measuring process ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The child's side: carries out the order and prints what it found.
pub fn obey(order: &str) -> Result<(), AnyError> {
    let order: Order = serde_json::from_str(order)?;
    let work = house::open(&order.home, order.ledger.as_deref())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut found = runtime.block_on(async {
        match order.measure {
            Measure::Throughput { shape, reuse } => throughput(&work, &order, shape, reuse).await,
            Measure::Latency { running, samples } => latency(&work, &order, running, samples).await,
        }
    })?;
    found.peak_rss = peak_rss()?;
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

async fn throughput(work: &Work, order: &Order, shape: Shape, reuse: bool) -> Result<Found, AnyError> {
    let kinds = shapes::kinds();
    let worker = Worker::start(work, kinds.clone(), WorkerOptions::new(order.home.join("scratch"))).await?;
    let spec = shape.spec(&format!("{:016x}", fastrand::u64(..)), reuse);
    let started = Instant::now();
    let run = work.submit(spec, serde_json::Map::default(), SubmitOptions::default(), Some(&kinds)).await?;
    let status = tokio::time::timeout(PATIENCE, work.wait(&run)).await??;
    let seconds = started.elapsed().as_secs_f64();
    if status.state != RunState::Succeeded {
        return Err(format!("the run ended as {}: {}", status.state, status.error.unwrap_or_default()).into());
    }
    let found = Found { seconds, answers: shape.answers(work, &run).await?, ..Found::default() };
    worker.stop().await;
    Ok(found)
}

async fn latency(work: &Work, order: &Order, running: usize, samples: usize) -> Result<Found, AnyError> {
    let gate = Arc::new(Semaphore::new(0));
    let (arrived_sender, mut arrived) = mpsc::unbounded_channel();
    let (stamp_sender, mut stamps) = mpsc::unbounded_channel();
    let kinds = {
        let gate = gate.clone();
        shapes::kinds()
            .with_fn("bench.wait", 1, move |task| {
                let (gate, arrived) = (gate.clone(), arrived_sender.clone());
                async move {
                    let _ = arrived.send(());
                    tokio::select! {
                        _ = gate.acquire() => Ok(Outputs::new()),
                        () = task.cancelled() => Err(TaskError::Stopped),
                    }
                }
            })
            .with_fn("bench.stamp", 1, move |_| {
                let _ = stamp_sender.send(Instant::now());
                async { Ok(Outputs::new()) }
            })
    };
    let worker = Worker::start(work, kinds.clone(), WorkerOptions::new(order.home.join("scratch"))).await?;
    let mut wait = StepSpec::new("wait", "bench.wait", json!("${item}"))
        .map_over(json!((0..running).collect::<Vec<_>>()), None);
    wait.cpus = 0.0;
    let mut crowd = RunSpec::new("crowd").step(wait);
    crowd.cache = false;
    let submit = async |spec: RunSpec| {
        work.submit(spec, serde_json::Map::default(), SubmitOptions::default(), Some(&kinds)).await
    };
    let crowd = submit(crowd).await?;
    for _ in 0..running {
        tokio::time::timeout(PATIENCE, arrived.recv()).await?;
    }
    let mut found = Found::default();
    for _ in 0..samples {
        let mut spec = RunSpec::new("single").step(StepSpec::new("stamp", "bench.stamp", json!(null)));
        spec.cache = false;
        let called = Instant::now();
        let run = submit(spec).await?;
        let returned = Instant::now();
        let stamp = tokio::time::timeout(PATIENCE, stamps.recv()).await?.ok_or("the worker is gone")?;
        found.after_submit.push(stamp.saturating_duration_since(returned).as_secs_f64());
        found.from_call.push((stamp - called).as_secs_f64());
        tokio::time::timeout(PATIENCE, work.wait(&run)).await??;
    }
    gate.close();
    tokio::time::timeout(PATIENCE, work.wait(&crowd)).await??;
    worker.stop().await;
    Ok(found)
}

/// The high-water mark of this process's resident memory.
fn peak_rss() -> Result<u64, AnyError> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}
