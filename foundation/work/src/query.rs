//! Looking at runs, steps, tasks, logs, limits and workers. Everything here reads; nothing changes state.

use backlot_ledger::{Row, Timestamp, Tx, Value as Sql, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::inputs::step_outputs;
use crate::plan::Plan;
use crate::spec::RunSpec;
use crate::state::{RunState, StepState, TaskState};
use crate::transition::run_state;
use crate::work::{Work, step_number};

/// The most rows any list gives at once.
pub const MAX_PAGE: u32 = 1000;

/// A run as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStatus {
    /// The run's id.
    pub id: String,
    /// Its spec's name.
    pub name: String,
    /// Where it is.
    pub state: RunState,
    /// When it was submitted.
    pub created: Timestamp,
    /// When its first task started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// When it will be cancelled if it has not ended.
    pub deadline: Option<Timestamp>,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// Who submitted it.
    pub submitted_by: String,
    /// Its priority.
    pub priority: i64,
    /// Its parameters.
    pub params: Map<String, Value>,
    /// Its tasks, counted by state, over the steps that have begun.
    pub tasks: TaskCounts,
    /// Steps in all.
    pub steps: i64,
    /// Steps that have ended.
    pub steps_ended: i64,
}

/// Tasks counted by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Those known so far.
    pub total: i64,
    /// Succeeded, cached ones among them.
    pub succeeded: i64,
    /// Taken from an earlier equal task.
    pub cached: i64,
    /// Failed for good.
    pub failed: i64,
    /// Cancelled.
    pub cancelled: i64,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepStatus {
    /// The step's name.
    pub name: String,
    /// The kind of its tasks.
    pub kind: String,
    /// Where it is.
    pub state: StepState,
    /// The steps it waits for.
    pub needs: Vec<String>,
    /// Whether it is a map.
    pub map: bool,
    /// Its tasks.
    pub tasks: TaskCounts,
    /// When its first task was laid down.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A task of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// The task's number in the ledger.
    pub task: i64,
    /// The run's id.
    pub run: String,
    /// The step's name.
    pub step: String,
    /// Its position in the map, from 0.
    pub index: i64,
    /// Where it is.
    pub state: TaskState,
    /// Whether its result is an earlier task's.
    pub cached: bool,
    /// Attempts begun.
    pub attempt: i64,
    /// Attempts that failed.
    pub failures: i64,
    /// The worker that has it.
    pub worker: Option<i64>,
    /// When its latest attempt started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// How far it is, 0 to 1.
    pub progress: Option<f64>,
    /// What it is doing.
    pub message: Option<String>,
    /// Why its latest attempt failed.
    pub error: Option<String>,
    /// The key it waits for.
    pub parked_on: Option<String>,
    /// Its item, in a map.
    pub item: Option<Value>,
    /// Its named results.
    pub outputs: Option<Value>,
}

/// A piece of a task's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPiece {
    /// The attempt it belongs to.
    pub attempt: i64,
    /// Its number; a gap means that older pieces were dropped to keep the log bounded.
    pub seq: i64,
    /// When it was written.
    pub at: Timestamp,
    /// Whole lines.
    pub text: String,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its number.
    pub worker: i64,
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: i64,
    /// Processors it may use.
    pub cpus: f64,
    /// `alive`, `stopped` or `lost`.
    pub state: String,
    /// When it started.
    pub started: Timestamp,
    /// When its lease ends unless renewed.
    pub alive_until: Timestamp,
    /// Tasks it holds.
    pub running: i64,
}

/// A concurrency limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitStatus {
    /// The key.
    pub key: String,
    /// How many tasks may hold it.
    pub capacity: i64,
    /// How many do.
    pub held: i64,
    /// How many wait for it.
    pub parked: i64,
}

/// Which runs to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only these states; all when empty.
    pub states: Vec<RunState>,
    /// Only this name.
    pub name: Option<String>,
    /// Only runs older than this one.
    pub before: Option<String>,
    /// At most so many; [`MAX_PAGE`] when more is asked.
    pub limit: u32,
}

/// Which tasks of a run to list, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only this step.
    pub step: Option<String>,
    /// Only this position.
    pub index: Option<i64>,
    /// Only these states; all when empty.
    pub states: Vec<TaskState>,
    /// Only tasks after this one (its number in the ledger).
    pub after: Option<i64>,
    /// At most so many; [`MAX_PAGE`] when more is asked.
    pub limit: u32,
}

const RUN_COLUMNS: &str = "r.id, r.public_id, r.name, r.state, r.created, r.started, r.finished, r.deadline, r.error, \
    r.submitted_by, r.priority, r.params, r.open_steps, \
    (SELECT COUNT(*) FROM work_steps s WHERE s.run = r.id), \
    (SELECT CAST(COALESCE(SUM(CASE WHEN s.total > 0 THEN s.total ELSE 0 END), 0) AS BIGINT) FROM work_steps s WHERE s.run = r.id), \
    (SELECT CAST(COALESCE(SUM(s.succeeded), 0) AS BIGINT) FROM work_steps s WHERE s.run = r.id), \
    (SELECT CAST(COALESCE(SUM(s.cached), 0) AS BIGINT) FROM work_steps s WHERE s.run = r.id), \
    (SELECT CAST(COALESCE(SUM(s.failed), 0) AS BIGINT) FROM work_steps s WHERE s.run = r.id), \
    (SELECT CAST(COALESCE(SUM(s.cancelled), 0) AS BIGINT) FROM work_steps s WHERE s.run = r.id)";

fn run_status(row: &Row) -> Result<RunStatus> {
    let steps: i64 = row.get(13)?;
    let open: i64 = row.get(12)?;
    Ok(RunStatus {
        id: row.get(1)?,
        name: row.get(2)?,
        state: run_state(&row.get::<String>(3)?)?,
        created: row.get(4)?,
        started: row.get(5)?,
        finished: row.get(6)?,
        deadline: row.get(7)?,
        error: row.get(8)?,
        submitted_by: row.get(9)?,
        priority: row.get(10)?,
        params: serde_json::from_str(&row.get::<String>(11)?)
            .map_err(|_| Error::Unreadable("the parameters of a run".into()))?,
        tasks: TaskCounts {
            total: row.get(14)?,
            succeeded: row.get(15)?,
            cached: row.get(16)?,
            failed: row.get(17)?,
            cancelled: row.get(18)?,
        },
        steps,
        steps_ended: steps - open,
    })
}

fn page(limit: u32) -> i64 {
    if limit == 0 { 100 } else { i64::from(limit.min(MAX_PAGE)) }
}

/// Adds `AND column IN (…)` for words.
fn one_of(sql: &mut String, values: &mut Vec<Sql>, column: &str, words: impl Iterator<Item = &'static str>) {
    let mut places = Vec::new();
    for word in words {
        values.push(word.into());
        places.push(format!("${}", values.len()));
    }
    if !places.is_empty() {
        sql.push_str(&format!(" AND {column} IN ({})", places.join(", ")));
    }
}

/// The number of the run with this id, or with the only id that starts so.
fn find_run(tx: &mut Tx<'_>, run: &str) -> Result<i64> {
    if let Some(row) = tx.query_opt("SELECT id FROM work_runs WHERE public_id = $1", params![run])? {
        return Ok(row.get(0)?);
    }
    let plain = run.len() >= 4 && run.chars().all(|c| c.is_ascii_alphanumeric());
    if !plain {
        return Err(Error::NoSuchRun(run.to_owned()));
    }
    // An id that starts with `run` lies from it up to it with the highest letter added; an index serves this on both backends.
    let rows = tx.query(
        "SELECT id FROM work_runs WHERE public_id >= $1 AND public_id < $2 LIMIT 2",
        params![run, format!("{run}~")],
    )?;
    match rows.as_slice() {
        [] => Err(Error::NoSuchRun(run.to_owned())),
        [row] => Ok(row.get(0)?),
        _ => Err(Error::AmbiguousRun(run.to_owned())),
    }
}

impl Work {
    pub(crate) async fn run_number(&self, run: &str) -> Result<i64> {
        let run = run.to_owned();
        self.ledger().read(move |tx| find_run(tx, &run)).await
    }

    /// A run, by its id or an unambiguous start of it.
    pub async fn run(&self, run: &str) -> Result<RunStatus> {
        let run = run.to_owned();
        self.ledger()
            .read(move |tx| {
                let id = find_run(tx, &run)?;
                let row = tx.query_one(
                    &format!("SELECT {RUN_COLUMNS} FROM work_runs r WHERE r.id = $1"),
                    params![id],
                )?;
                run_status(&row)
            })
            .await
    }

    /// Runs, newest first.
    pub async fn runs(&self, filter: RunFilter) -> Result<Vec<RunStatus>> {
        self.ledger()
            .read(move |tx| {
                let mut sql = format!("SELECT {RUN_COLUMNS} FROM work_runs r WHERE 1 = 1");
                let mut values: Vec<Sql> = Vec::new();
                one_of(&mut sql, &mut values, "r.state", filter.states.iter().map(|state| state.as_str()));
                if let Some(name) = &filter.name {
                    values.push(name.as_str().into());
                    sql.push_str(&format!(" AND r.name = ${}", values.len()));
                }
                if let Some(before) = &filter.before {
                    values.push(find_run(tx, before)?.into());
                    sql.push_str(&format!(" AND r.id < ${}", values.len()));
                }
                values.push(page(filter.limit).into());
                sql.push_str(&format!(" ORDER BY r.id DESC LIMIT ${}", values.len()));
                tx.query(&sql, &values)?.iter().map(run_status).collect()
            })
            .await
    }

    /// The spec a run was submitted with.
    pub async fn spec(&self, run: &str) -> Result<RunSpec> {
        let (run, work) = (run.to_owned(), self.clone());
        self.ledger()
            .read(move |tx| {
                let id = find_run(tx, &run)?;
                Ok(work.plans().get(tx, id)?.spec.clone())
            })
            .await
    }

    /// The steps of a run, in the order of its spec.
    pub async fn steps(&self, run: &str) -> Result<Vec<StepStatus>> {
        let (run, work) = (run.to_owned(), self.clone());
        self.ledger()
            .read(move |tx| {
                let id = find_run(tx, &run)?;
                let plan = work.plans().get(tx, id)?;
                let rows = tx.query(
                    "SELECT step, state, total, succeeded, cached, failed, cancelled, started, finished, error \
                     FROM work_steps WHERE run = $1 ORDER BY step",
                    params![id],
                )?;
                rows.iter().map(|row| step_status(&plan, row)).collect()
            })
            .await
    }

    /// Tasks of a run, in the order of its steps and items.
    pub async fn tasks(&self, run: &str, filter: TaskFilter) -> Result<Vec<TaskStatus>> {
        let (run, work) = (run.to_owned(), self.clone());
        self.ledger()
            .read(move |tx| {
                let id = find_run(tx, &run)?;
                let plan = work.plans().get(tx, id)?;
                let mut sql = "SELECT id, step, idx, state, cached, attempt, failures, worker, started, finished, progress, \
                               message, error, parked_on, item, outputs FROM work_tasks WHERE run = $1"
                    .to_owned();
                let mut values: Vec<Sql> = params![id].to_vec();
                let mut add = |sql: &mut String, clause: &str, value: Sql| {
                    values.push(value);
                    sql.push_str(&format!(" AND {clause} ${}", values.len()));
                };
                if let Some(step) = &filter.step {
                    add(&mut sql, "step =", (step_number(&plan, &run, step)? as i64).into());
                }
                if let Some(index) = filter.index {
                    add(&mut sql, "idx =", index.into());
                }
                if let Some(after) = filter.after {
                    let row = tx
                        .query_opt("SELECT step, idx FROM work_tasks WHERE id = $1 AND run = $2", params![after, id])?
                        .ok_or_else(|| Error::NoSuchTask(format!("#{after}")))?;
                    let (step, index): (i64, i64) = (row.get(0)?, row.get(1)?);
                    values.extend([step.into(), index.into()]);
                    let (step, index) = (values.len() - 1, values.len());
                    sql.push_str(&format!(" AND (step > ${step} OR (step = ${step} AND idx > ${index}))"));
                }
                one_of(&mut sql, &mut values, "state", filter.states.iter().map(|state| state.as_str()));
                values.push(page(filter.limit).into());
                sql.push_str(&format!(" ORDER BY step, idx LIMIT ${}", values.len()));
                tx.query(&sql, &values)?.iter().map(|row| task_status(&plan, row)).collect()
            })
            .await
    }

    /// One task.
    pub async fn task(&self, run: &str, step: &str, index: i64) -> Result<TaskStatus> {
        let filter =
            TaskFilter { step: Some(step.to_owned()), index: Some(index), limit: 1, ..TaskFilter::default() };
        let mut found = self.tasks(run, filter).await?;
        found.pop().ok_or_else(|| Error::NoSuchTask(format!("{run}/{step}/{index}")))
    }

    /// The outputs of a step: an object, or for a map the list of its tasks' objects.
    pub async fn outputs(&self, run: &str, step: &str) -> Result<Value> {
        let (run, step, work) = (run.to_owned(), step.to_owned(), self.clone());
        self.ledger()
            .read(move |tx| {
                let id = find_run(tx, &run)?;
                let plan = work.plans().get(tx, id)?;
                step_outputs(tx, &plan, step_number(&plan, &run, &step)?)
            })
            .await
    }

    /// Pieces of a task's log after the piece `after` (attempt and number), oldest first, at most `limit`.
    pub async fn logs(&self, task: i64, after: Option<(i64, i64)>, limit: u32) -> Result<Vec<LogPiece>> {
        self.ledger()
            .read(move |tx| {
                let (attempt, seq) = after.unwrap_or((-1, -1));
                let rows = tx.query(
                    "SELECT attempt, seq, at, text FROM work_logs WHERE task = $1 \
                     AND (attempt > $2 OR (attempt = $2 AND seq > $3)) ORDER BY attempt, seq LIMIT $4",
                    params![task, attempt, seq, page(limit)],
                )?;
                rows.iter()
                    .map(|row| {
                        Ok(LogPiece {
                            attempt: row.get(0)?,
                            seq: row.get(1)?,
                            at: row.get(2)?,
                            text: row.get(3)?,
                        })
                    })
                    .collect()
            })
            .await
    }

    /// How many tasks are ready and wait for a worker, counted up to a hundred thousand: beyond, the number says no more, and the
    /// question costs.
    pub async fn ready_tasks(&self) -> Result<u64> {
        let count = self
            .ledger()
            .read(move |tx| -> Result<i64> {
                let counted = "SELECT count(*) FROM (SELECT 1 FROM work_tasks WHERE state = 'ready' LIMIT 100000) AS ready";
                Ok(tx.query_one(counted, &[])?.get(0)?)
            })
            .await?;
        Ok(count.unsigned_abs())
    }

    /// The workers seen in the last day, newest first.
    pub async fn workers(&self) -> Result<Vec<WorkerStatus>> {
        self.ledger()
            .read(|tx| {
                let rows = tx.query(
                    "SELECT w.id, w.name, w.pid, w.cpus, w.state, w.started, w.alive_until, \
                     (SELECT COUNT(*) FROM work_tasks t WHERE t.state = 'running' AND t.worker = w.id) \
                     FROM work_workers w ORDER BY w.id DESC LIMIT $1",
                    params![100],
                )?;
                rows.iter()
                    .map(|row| {
                        Ok(WorkerStatus {
                            worker: row.get(0)?,
                            name: row.get(1)?,
                            pid: row.get(2)?,
                            cpus: row.get::<i64>(3)? as f64 / 1000.0,
                            state: row.get(4)?,
                            started: row.get(5)?,
                            alive_until: row.get(6)?,
                            running: row.get(7)?,
                        })
                    })
                    .collect()
            })
            .await
    }

    /// The concurrency limits that were set or used.
    pub async fn limits(&self) -> Result<Vec<LimitStatus>> {
        self.ledger()
            .read(|tx| {
                let rows = tx.query(
                    "SELECT l.name, l.capacity, l.held, \
                     (SELECT COUNT(*) FROM work_tasks t WHERE t.state = 'parked' AND t.parked_on = l.name) \
                     FROM work_limits l ORDER BY l.name LIMIT $1",
                    params![i64::from(MAX_PAGE)],
                )?;
                rows.iter()
                    .map(|row| {
                        Ok(LimitStatus {
                            key: row.get(0)?,
                            capacity: row.get(1)?,
                            held: row.get(2)?,
                            parked: row.get(3)?,
                        })
                    })
                    .collect()
            })
            .await
    }
}

fn step_status(plan: &Plan, row: &Row) -> Result<StepStatus> {
    let number = row.get::<i64>(0)? as usize;
    let word: String = row.get(1)?;
    let spec = &plan.spec.steps[number];
    let needs = plan.graph.needs(number).iter().map(|&need| plan.spec.steps[need].name.clone()).collect();
    Ok(StepStatus {
        name: spec.name.clone(),
        kind: spec.kind_name().to_owned(),
        state: StepState::from_word(&word)
            .ok_or_else(|| Error::Unreadable(format!("the step state `{word}`")))?,
        needs,
        map: spec.map.is_some(),
        tasks: TaskCounts {
            total: row.get::<i64>(2)?.max(0),
            succeeded: row.get(3)?,
            cached: row.get(4)?,
            failed: row.get(5)?,
            cancelled: row.get(6)?,
        },
        started: row.get(7)?,
        finished: row.get(8)?,
        error: row.get(9)?,
    })
}

fn task_status(plan: &Plan, row: &Row) -> Result<TaskStatus> {
    let word: String = row.get(3)?;
    let json = |text: Option<String>| -> Result<Option<Value>> {
        text.map(|text| serde_json::from_str(&text).map_err(|_| Error::Unreadable("a task's JSON".into())))
            .transpose()
    };
    Ok(TaskStatus {
        task: row.get(0)?,
        run: plan.public_id.clone(),
        step: plan.spec.steps[row.get::<i64>(1)? as usize].name.clone(),
        index: row.get(2)?,
        state: TaskState::from_word(&word)
            .ok_or_else(|| Error::Unreadable(format!("the task state `{word}`")))?,
        cached: row.get(4)?,
        attempt: row.get(5)?,
        failures: row.get(6)?,
        worker: row.get(7)?,
        started: row.get(8)?,
        finished: row.get(9)?,
        progress: row.get(10)?,
        message: row.get(11)?,
        error: row.get(12)?,
        parked_on: row.get(13)?,
        item: json(row.get(14)?)?,
        outputs: json(row.get(15)?)?,
    })
}
