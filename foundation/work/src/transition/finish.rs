//! Tasks end; steps and runs end with them.
//!
//! The fencing token of a task is the pair of the worker that holds it and the attempt's number: a result is taken
//! only while both still stand in the task's row. A worker that was silent for too long has lost its tasks, so its
//! late results change nothing, and every result is committed exactly once however often the task ran.
//!
//! Results come in batches. Each task's row is written once; the step's counters are changed once for each step of
//! the batch, not once for each task.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use backlot_ledger::{Value as Sql, params};
use serde_json::json;

use super::{Transition, run_state};
use crate::error::Result;
use crate::plan::Plan;
use crate::spec::Trigger;
use crate::state::{RunState, StepState, TaskState};

/// How one attempt ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The task is done; `outputs` is its JSON text.
    Succeeded {
        outputs: String,
        /// Where to remember the result; `None` when it must not be reused.
        cache_key: Option<[u8; 32]>,
        /// Whether the result was an earlier task's.
        cached: bool,
    },
    /// The attempt failed, and the task with it unless retries are left.
    Failed {
        error: String,
        /// How long to wait before the next attempt; `None` when there is none to be.
        retry: Option<Duration>,
    },
    /// The worker stopped the task because it was told to.
    Stopped,
    /// The worker gives the task back unrun or unfinished; the attempt does not count.
    Returned,
}

/// The end of one attempt, as reported by the worker that holds the task.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub(crate) task: i64,
    pub(crate) run: i64,
    pub(crate) step: usize,
    pub(crate) index: i64,
    pub(crate) attempt: i64,
    pub(crate) keys: Vec<String>,
    pub(crate) outcome: Outcome,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepEnd {
    Succeeded,
    Failed,
    Cancelled,
    /// Not run; `after_failure` when because something before it failed.
    Skipped {
        after_failure: bool,
    },
}

#[derive(Default)]
struct Tally {
    succeeded: i64,
    cached: i64,
    failed: i64,
    cancelled: i64,
    error: Option<String>,
}

impl Transition<'_, '_> {
    /// Commits the results that `worker` reports; gives the number of results that came too late.
    ///
    /// `resubmitted` says that an earlier commit of these results may have gone through unheard; those that did are
    /// left alone.
    pub(crate) fn finish(
        &mut self,
        worker: i64,
        mut batch: Vec<Finished>,
        resubmitted: bool,
    ) -> Result<usize> {
        if resubmitted {
            let mut open = Vec::with_capacity(batch.len());
            for finished in batch {
                if !self.bears_mark_of(&finished)? {
                    open.push(finished);
                }
            }
            batch = open;
        }
        let mut rows = Vec::with_capacity(batch.len());
        for finished in &mut batch {
            self.settle(finished)?;
            rows.push(self.task_row_after(worker, finished)?);
        }
        let written = self.tx.execute_many(FINISH_TASK, &rows)? as usize;
        let mut late = vec![false; batch.len()];
        if written < batch.len() {
            // Some results are stale. Rare: find out which by the rows that do not show this worker's attempt.
            for (finished, late) in batch.iter().zip(&mut late) {
                *late = !self.bears_mark_of(finished)?;
            }
        }
        let mut tallies: BTreeMap<(i64, usize), Tally> = BTreeMap::new();
        let mut remember = Vec::new();
        for (finished, _) in batch.iter().zip(&late).filter(|(_, late)| !**late) {
            let plan = self.plan(finished.run)?;
            let tally = tallies.entry((finished.run, finished.step)).or_default();
            let mut data = json!({"attempt": finished.attempt});
            let kind = match &finished.outcome {
                Outcome::Succeeded { outputs, cache_key, cached } => {
                    tally.succeeded += 1;
                    tally.cached += i64::from(*cached);
                    if let Some(key) = cache_key.filter(|_| !cached) {
                        remember.push(vec![
                            key.as_slice().into(),
                            outputs.as_str().into(),
                            finished.task.into(),
                            self.now.into(),
                        ]);
                    }
                    if *cached { "task.cached" } else { "task.succeeded" }
                }
                Outcome::Failed { error, retry: Some(wait) } => {
                    data["error"] = json!(error);
                    data["wait_seconds"] = json!(wait.as_secs_f64());
                    "task.retrying"
                }
                Outcome::Failed { error, retry: None } => {
                    tally.failed += 1;
                    tally.error.get_or_insert_with(|| error.clone());
                    data["error"] = json!(error);
                    "task.failed"
                }
                Outcome::Stopped => {
                    tally.cancelled += 1;
                    "task.cancelled"
                }
                Outcome::Returned => "task.returned",
            };
            self.task_event(kind, &plan, finished.step, finished.index, data);
        }
        self.tx.execute_many(
            "INSERT INTO work_cache (key, outputs, task, created) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (key) DO UPDATE SET outputs = excluded.outputs, task = excluded.task, created = excluded.created",
            &remember,
        )?;
        self.release_keys(batch.iter().zip(&late).filter(|(_, late)| !**late).map(|(finished, _)| finished))?;
        for ((run, step), tally) in tallies {
            let plan = self.plan(run)?;
            self.count(&plan, step, &tally)?;
        }
        Ok(late.iter().filter(|late| **late).count())
    }

    fn task_row_after(&mut self, worker: i64, finished: &Finished) -> Result<Vec<Sql>> {
        let mut state = TaskState::Succeeded;
        let mut ended: Sql = self.now.into();
        let mut outputs = Sql::Null;
        let mut error = Sql::Null;
        let mut was_cached = false;
        let mut not_before = Sql::Null;
        let (mut failure, mut attempt) = (0_i64, finished.attempt);
        match &finished.outcome {
            Outcome::Succeeded { outputs: text, cached, .. } => {
                outputs = text.as_str().into();
                was_cached = *cached;
            }
            Outcome::Failed { error: text, retry } => {
                error = text.as_str().into();
                failure = 1;
                match retry {
                    Some(wait) => {
                        state = TaskState::Backoff;
                        ended = Sql::Null;
                        not_before = self.now.checked_add(*wait).into();
                    }
                    None => state = TaskState::Failed,
                }
            }
            Outcome::Stopped => state = TaskState::Cancelled,
            Outcome::Returned => {
                state = self.available(finished.run)?;
                ended = Sql::Null;
                attempt += 1; // keeps the next attempt's number, and so its token, different from this one's
            }
        }
        Ok(vec![
            finished.task.into(),
            worker.into(),
            finished.attempt.into(),
            state.into(),
            ended,
            outputs,
            error,
            was_cached.into(),
            not_before,
            failure.into(),
            attempt.into(),
        ])
    }

    /// In a run that is being cancelled nothing is tried again: what would come back is stopped instead.
    fn settle(&mut self, finished: &mut Finished) -> Result<()> {
        let comes_back =
            matches!(finished.outcome, Outcome::Returned | Outcome::Failed { retry: Some(_), .. });
        if comes_back && self.state_of(finished.run)? == RunState::Cancelling {
            finished.outcome = Outcome::Stopped;
        }
        Ok(())
    }

    /// Whether this very attempt's result is in the task's row: the token is written only with a result, and used once.
    fn bears_mark_of(&mut self, finished: &Finished) -> Result<bool> {
        let row = self.tx.query_opt(
            "SELECT 1 FROM work_tasks WHERE id = $1 AND finished_token = $2",
            params![finished.task, finished.attempt],
        )?;
        Ok(row.is_some())
    }

    /// Gives back the keys of finished tasks and lets the tasks parked on them go on, best first.
    pub(crate) fn release_keys<'f>(&mut self, finished: impl Iterator<Item = &'f Finished>) -> Result<()> {
        let mut released: BTreeMap<&str, i64> = BTreeMap::new();
        for key in finished.flat_map(|finished| &finished.keys) {
            *released.entry(key).or_default() += 1;
        }
        for (key, count) in released {
            let row = self.tx.query_opt(
                "UPDATE work_limits SET held = held - $2 WHERE name = $1 RETURNING capacity - held",
                params![key, count],
            )?;
            let room: i64 = row.map(|row| row.get(0)).transpose()?.unwrap_or(0);
            self.unpark(key, room)?;
        }
        Ok(())
    }

    /// Makes up to `room` of the tasks parked on `key` ready.
    pub(crate) fn unpark(&mut self, key: &str, room: i64) -> Result<()> {
        if room <= 0 {
            return Ok(());
        }
        let moved = self.tx.execute(
            "UPDATE work_tasks SET state = 'ready', parked_on = NULL WHERE id IN (\
             SELECT id FROM work_tasks WHERE state = 'parked' AND parked_on = $1 ORDER BY priority DESC, id LIMIT $2)",
            params![key, room],
        )?;
        self.effects.ready |= moved > 0;
        Ok(())
    }

    /// Adds to a step's counters; lets held tasks follow; ends the step when nothing is left of it.
    fn count(&mut self, plan: &Plan, step: usize, tally: &Tally) -> Result<()> {
        let ended = tally.succeeded + tally.failed + tally.cancelled;
        if ended == 0 {
            return Ok(());
        }
        let spec = &plan.spec.steps[step];
        let row = self.tx.query_one(
            "UPDATE work_steps SET succeeded = succeeded + $3, cached = cached + $4, failed = failed + $5, \
             cancelled = cancelled + $6, error = COALESCE(error, $7) WHERE run = $1 AND step = $2 RETURNING held, failed, state",
            params![
                plan.run,
                step as i64,
                tally.succeeded,
                tally.cached,
                tally.failed,
                tally.cancelled,
                tally.error.clone()
            ],
        )?;
        let (held, failed): (i64, i64) = (row.get(0)?, row.get(1)?);
        if tally.failed > 0 && !spec.keep_going && failed == tally.failed {
            self.stop_step(plan, step)?; // the first failure of the step
        } else if held > 0 && spec.map.as_ref().is_some_and(|map| map.concurrency.is_some()) {
            self.promote(plan, step, ended)?;
        }
        self.close_step_if_over(plan, step)
    }

    /// Lets up to `slots` held tasks of a step follow, in the order of the list.
    pub(crate) fn promote(&mut self, plan: &Plan, step: usize, slots: i64) -> Result<()> {
        let state = self.available(plan.run)?;
        let moved = self.tx.execute(
            "UPDATE work_tasks SET state = $4 WHERE id IN (\
             SELECT id FROM work_tasks WHERE run = $1 AND step = $2 AND state = 'held' ORDER BY idx LIMIT $3)",
            params![plan.run, step as i64, slots, state],
        )?;
        self.tx.execute(
            "UPDATE work_steps SET held = held - $3 WHERE run = $1 AND step = $2",
            params![plan.run, step as i64, moved as i64],
        )?;
        Ok(())
    }

    /// Drops the tasks of a failing step that have not started; those that run go on to their end.
    fn stop_step(&mut self, plan: &Plan, step: usize) -> Result<()> {
        let dropped: i64 = self.cancel_waiting(plan.run, Some(step))?.iter().map(|(_, count)| count).sum();
        self.tx.execute(
            "UPDATE work_steps SET cancelled = cancelled + $3, held = 0, total = expanded, \
             state = CASE WHEN state = 'opening' THEN 'running' ELSE state END WHERE run = $1 AND step = $2",
            params![plan.run, step as i64, dropped],
        )?;
        Ok(())
    }

    /// Ends a step all of whose tasks have ended.
    pub(crate) fn close_step_if_over(&mut self, plan: &Plan, step: usize) -> Result<()> {
        let row = self.tx.query_opt(
            "SELECT s.failed, s.cancelled, r.state FROM work_steps s JOIN work_runs r ON r.id = s.run \
             WHERE s.run = $1 AND s.step = $2 AND s.state = 'running' AND s.expanded = s.total \
             AND s.succeeded + s.failed + s.cancelled = s.total",
            params![plan.run, step as i64],
        )?;
        let Some(row) = row else {
            return Ok(());
        };
        let (failed, cancelled): (i64, i64) = (row.get(0)?, row.get(1)?);
        let cancelling = row.get::<String>(2)? == RunState::Cancelling.as_str();
        let end = if failed > 0 {
            StepEnd::Failed
        } else if cancelled > 0 || cancelling {
            StepEnd::Cancelled
        } else {
            StepEnd::Succeeded
        };
        self.end_step(plan, step, end, None)
    }

    /// Ends a step, begins or skips the steps that waited for it, and ends the run after the last one.
    pub(crate) fn end_step(
        &mut self,
        plan: &Plan,
        step: usize,
        end: StepEnd,
        error: Option<&str>,
    ) -> Result<()> {
        let mut ending = VecDeque::from([(step, end, error.map(str::to_owned))]);
        let (mut ended, mut failed) = (0_i64, 0_i64);
        let mut begin = Vec::new();
        while let Some((step, end, error)) = ending.pop_front() {
            let state = match end {
                StepEnd::Succeeded => StepState::Succeeded,
                StepEnd::Failed => StepState::Failed,
                StepEnd::Cancelled => StepState::Cancelled,
                StepEnd::Skipped { .. } => StepState::Skipped,
            };
            self.tx.execute(
                "UPDATE work_steps SET state = $3, finished = $4, error = COALESCE($5, error), \
                 total = CASE WHEN total < 0 THEN 0 ELSE total END WHERE run = $1 AND step = $2",
                params![plan.run, step as i64, state, self.now, error.clone()],
            )?;
            let data = error.map_or_else(|| json!({}), |error| json!({"error": error}));
            self.step_event(&format!("step.{state}"), plan, step, data);
            ended += 1;
            failed += i64::from(end == StepEnd::Failed);
            let fails = i64::from(matches!(
                end,
                StepEnd::Failed | StepEnd::Cancelled | StepEnd::Skipped { after_failure: true }
            ));
            let skips = i64::from(end == StepEnd::Skipped { after_failure: false });
            for &next in plan.graph.dependents(step) {
                let row = self.tx.query_opt(
                    "UPDATE work_steps SET waiting = waiting - 1, upstream_failed = upstream_failed + $3, \
                     upstream_skipped = upstream_skipped + $4 WHERE run = $1 AND step = $2 AND state = 'waiting' \
                     RETURNING waiting, upstream_failed, upstream_skipped",
                    params![plan.run, next as i64, fails, skips],
                )?;
                let Some(row) = row else { continue };
                if row.get::<i64>(0)? > 0 {
                    continue;
                }
                let (fails, skips): (i64, i64) = (row.get(1)?, row.get(2)?);
                let starts = match plan.spec.steps[next].on {
                    Trigger::Success => fails + skips == 0,
                    Trigger::Done => fails == 0,
                    Trigger::Failure => fails > 0,
                    Trigger::Always => true,
                };
                if starts {
                    begin.push(next);
                } else {
                    ending.push_back((next, StepEnd::Skipped { after_failure: fails > 0 }, None));
                }
            }
        }
        self.begin_steps(plan, &begin)?;
        let row = self.tx.query_one(
            "UPDATE work_runs SET open_steps = open_steps - $2, failed_steps = failed_steps + $3 WHERE id = $1 \
             RETURNING open_steps, failed_steps, state",
            params![plan.run, ended, failed],
        )?;
        if row.get::<i64>(0)? == 0 {
            self.end_run(plan, row.get::<i64>(1)? > 0, run_state(&row.get::<String>(2)?)?)?;
        }
        Ok(())
    }

    /// Ends a run that has no open step.
    pub(crate) fn end_run(&mut self, plan: &Plan, failed: bool, state: RunState) -> Result<()> {
        let end = match state {
            RunState::Cancelling => RunState::Cancelled,
            _ if failed => RunState::Failed,
            _ => RunState::Succeeded,
        };
        let error = if end == RunState::Failed {
            let row = self.tx.query_opt(
                "SELECT step, error FROM work_steps WHERE run = $1 AND state = 'failed' ORDER BY finished, step LIMIT 1",
                params![plan.run],
            )?;
            row.map(|row| -> Result<String> {
                let step = &plan.spec.steps[row.get::<i64>(0)? as usize].name;
                let cause: Option<String> = row.get(1)?;
                Ok(format!("step `{step}`: {}", cause.unwrap_or_else(|| "failed".into())))
            })
            .transpose()?
        } else {
            None
        };
        self.tx.execute(
            "UPDATE work_runs SET state = $2, finished = $3, error = COALESCE($4, error) WHERE id = $1",
            params![plan.run, end, self.now, error.clone()],
        )?;
        let mut data = json!({"run": plan.public_id, "name": plan.spec.name});
        if let Some(error) = error {
            data["error"] = json!(error);
        }
        self.event(&format!("run.{end}"), plan.public_id.clone(), data);
        Ok(())
    }
}

const FINISH_TASK: &str = "UPDATE work_tasks SET state = $4, finished = $5, outputs = $6, error = $7, cached = $8, \
    not_before = $9, failures = failures + $10, attempt = $11, finished_token = $3, worker = NULL, progress = NULL \
    WHERE id = $1 AND worker = $2 AND attempt = $3 AND state = 'running'";
