//! What must be true after a run, however it was disturbed.

use std::collections::BTreeMap;
use std::path::Path;

use backlot_events::Query;
use backlot_work::{MAX_PAGE, RunState, TaskFilter, TaskState, TaskStatus, Work};
use serde_json::Value;

use crate::crash::scenario;
use crate::house::AnyError;

/// The outputs of every task by `step/index`.
pub type Results = BTreeMap<String, Value>;

/// How often the tasks of a run were executed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executions {
    /// Tasks of the run.
    pub tasks: usize,
    /// Executions begun, by the marker files.
    pub begun: usize,
    /// Executions that were to fail by the scenario.
    pub failed: usize,
    /// Tasks whose result was an earlier run's.
    pub reused: usize,
    /// Tasks that were executed at all.
    pub executed: usize,
}

impl Executions {
    /// Executions beyond the first of each task, without those that follow a failure of the scenario.
    pub fn repeated(&self) -> usize {
        self.begun.saturating_sub(self.executed + self.failed)
    }

    /// Adds another run's.
    pub fn add(&mut self, other: Executions) {
        self.tasks += other.tasks;
        self.begun += other.begun;
        self.failed += other.failed;
        self.reused += other.reused;
        self.executed += other.executed;
    }
}

/// All tasks of a run, in order.
pub async fn tasks(work: &Work, run: &str) -> Result<Vec<TaskStatus>, AnyError> {
    let mut all: Vec<TaskStatus> = Vec::new();
    loop {
        let after = all.last().map(|task| task.task);
        let page = work.tasks(run, TaskFilter { after, limit: MAX_PAGE, ..TaskFilter::default() }).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Checks an ended run of `expected` tasks: its rows, its outputs (against `reference`, if given) and its history.
pub async fn run(
    work: &Work,
    home: &Path,
    run: &str,
    expected: usize,
    reference: Option<&Results>,
) -> Result<(Results, Executions), AnyError> {
    let status = work.run(run).await?;
    if status.state != RunState::Succeeded {
        return Err(format!("run {run} ended as {}: {:?}", status.state, status.error).into());
    }
    let tasks = tasks(work, run).await?;
    if tasks.len() != expected
        || status.tasks.succeeded != expected as i64
        || status.tasks.total != expected as i64
    {
        return Err(format!(
            "run {run} has {} tasks, counted {:?}, wanted {expected}",
            tasks.len(),
            status.tasks
        )
        .into());
    }
    let history = History::read(work, run).await?;
    history.check_run(run)?;
    let mut results = Results::new();
    let mut executions = Executions { tasks: tasks.len(), ..Executions::default() };
    for task in &tasks {
        let place = format!("{}/{}", task.step, task.index);
        if task.state != TaskState::Succeeded || task.worker.is_some() {
            return Err(
                format!("task {run}/{place} is {} in the hands of {:?}", task.state, task.worker).into()
            );
        }
        history.check_task(&format!("{run}/{place}"), task.cached)?;
        let marker = scenario::markers(home).join(format!("{run}-{}-{}", task.step, task.index));
        let lines = std::fs::read_to_string(marker).unwrap_or_default();
        let begun = lines.lines().filter(|line| *line == "start").count();
        if (begun == 0) != task.cached && begun == 0 {
            return Err(format!("task {run}/{place} has a result but was never executed").into());
        }
        executions.begun += begun;
        executions.executed += usize::from(begun > 0);
        executions.failed += lines.lines().filter(|line| *line == "failed").count();
        executions.reused += usize::from(task.cached);
        results.insert(place, task.outputs.clone().unwrap_or(Value::Null));
    }
    if let Some(reference) = reference {
        for (place, wanted) in reference {
            if results.get(place) != Some(wanted) {
                let found = results.get(place);
                return Err(
                    format!("the outputs of {run}/{place} are {found:?}, undisturbed {wanted}").into()
                );
            }
        }
    }
    Ok((results, executions))
}

/// The events of a run, counted by subject and kind.
struct History(BTreeMap<String, BTreeMap<String, u64>>);

impl History {
    async fn read(work: &Work, run: &str) -> Result<History, AnyError> {
        let mut history = History(BTreeMap::new());
        let mut after = 0;
        loop {
            let query =
                Query { after, limit: 10_000, kind_prefix: Some("backlot.work.".into()), ..Query::default() };
            let events = work.events().read(query).await?;
            let Some(last) = events.last().and_then(|event| event.seq) else { return Ok(history) };
            after = last;
            for event in events {
                let subject = event.subject.unwrap_or_default();
                if subject == run || subject.starts_with(&format!("{run}/")) {
                    let kind = event.kind.trim_start_matches("backlot.work.").to_owned();
                    *history.0.entry(subject).or_default().entry(kind).or_default() += 1;
                }
            }
        }
    }

    fn count(&self, subject: &str, kind: &str) -> u64 {
        self.0.get(subject).and_then(|kinds| kinds.get(kind)).copied().unwrap_or(0)
    }

    /// The run and its steps begin once and end once.
    fn check_run(&self, run: &str) -> Result<(), AnyError> {
        for kind in ["run.queued", "run.started", "run.succeeded"] {
            if self.count(run, kind) != 1 {
                return Err(format!("run {run} has {} events {kind}, wanted 1", self.count(run, kind)).into());
            }
        }
        let steps = self.0.keys().filter(|subject| subject.split('/').count() == 2);
        for step in steps {
            if self.count(step, "step.opened") != 1 || self.count(step, "step.succeeded") != 1 {
                return Err(format!("step {step} did not open and succeed once: {:?}", self.0[step]).into());
            }
        }
        Ok(())
    }

    /// A task's result is committed once, and each of its attempts ended once.
    fn check_task(&self, subject: &str, cached: bool) -> Result<(), AnyError> {
        let committed = self.count(subject, "task.succeeded") + self.count(subject, "task.cached");
        let ended = committed + self.count(subject, "task.returned") + self.count(subject, "task.retrying");
        let right = committed == 1
            && self.count(subject, "task.cached") == u64::from(cached)
            && self.count(subject, "task.started") == ended
            && self.count(subject, "task.failed") + self.count(subject, "task.cancelled") == 0;
        if right {
            Ok(())
        } else {
            Err(format!("the history of task {subject} does not fit: {:?}", self.0.get(subject)).into())
        }
    }
}

/// Checks that nothing is left over when all processes have stopped: no task runs, no key is held, no worker lives, no
/// scratch directory stays, and the ledger is whole.
pub async fn at_rest(work: &Work, home: &Path) -> Result<(), AnyError> {
    for worker in work.workers().await? {
        if worker.running > 0 || worker.state == "alive" {
            return Err(format!(
                "worker {} is {} and holds {} tasks after all have stopped",
                worker.worker, worker.state, worker.running
            )
            .into());
        }
    }
    for limit in work.limits().await? {
        if limit.held != 0 || limit.parked != 0 {
            return Err(
                format!("{} hold the key `{}`, {} wait for it", limit.held, limit.key, limit.parked).into()
            );
        }
    }
    let left: Vec<String> = std::fs::read_dir(home.join("scratch"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("worker-"))
        .collect();
    if !left.is_empty() {
        return Err(format!("scratch directories are left: {}", left.join(", ")).into());
    }
    let ledger = work.ledger().clone();
    let report = tokio::task::spawn_blocking(move || ledger.check()).await??;
    if !report.problems.is_empty() {
        return Err(format!("the ledger is damaged: {:?}", report.problems).into());
    }
    Ok(())
}
