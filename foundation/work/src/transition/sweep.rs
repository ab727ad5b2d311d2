//! What only time brings: backoffs that are over, runs past their deadline, workers gone silent.

use std::collections::BTreeSet;

use backlot_ledger::{Timestamp, params};
use serde_json::json;

use super::Transition;
use super::finish::{Finished, Outcome};
use crate::error::{Error, Result};

/// A task whose worker died this often is taken to be what kills them, and fails.
pub(crate) const MAX_LOSSES: i64 = 10;

/// Tasks moved by one sweep, so that a sweep never holds the ledger for long; what is left comes with the next.
const PAGE: i64 = 1000;

impl Transition<'_, '_> {
    /// Does everything that is due, on behalf of a worker, which does not judge itself. Gives the number of workers
    /// that were lost.
    pub(crate) fn sweep(&mut self, worker: i64) -> Result<usize> {
        self.end_backoffs()?;
        self.enforce_deadlines()?;
        let silent = self.tx.query(
            "SELECT id FROM work_workers WHERE state = 'alive' AND alive_until < $1 AND id <> $3 ORDER BY id LIMIT $2",
            params![self.now, PAGE, worker],
        )?;
        for row in &silent {
            self.lose_worker(row.get(0)?)?;
        }
        Ok(silent.len())
    }

    /// When the next backoff ends.
    pub(crate) fn next_backoff(&mut self) -> Result<Option<Timestamp>> {
        let row = self.tx.query_one("SELECT MIN(not_before) FROM work_tasks WHERE state = 'backoff'", &[])?;
        Ok(row.get(0)?)
    }

    fn end_backoffs(&mut self) -> Result<()> {
        let moved = self.tx.execute(
            "UPDATE work_tasks SET state = 'ready', not_before = NULL WHERE id IN (\
             SELECT id FROM work_tasks WHERE state = 'backoff' AND not_before <= $1 ORDER BY not_before LIMIT $2)",
            params![self.now, PAGE],
        )?;
        self.effects.ready |= moved > 0;
        Ok(())
    }

    fn enforce_deadlines(&mut self) -> Result<()> {
        let due = self.tx.query(
            "SELECT id FROM work_runs WHERE finished IS NULL AND state <> 'cancelling' AND deadline <= $1 ORDER BY id LIMIT $2",
            params![self.now, PAGE],
        )?;
        for row in due {
            self.cancel(row.get(0)?, "backlot", Some("the run's deadline passed"))?;
        }
        Ok(())
    }

    /// Takes a dead worker's tasks away from it.
    pub(crate) fn lose_worker(&mut self, worker: i64) -> Result<()> {
        self.tx.execute("UPDATE work_workers SET state = 'lost' WHERE id = $1", params![worker])?;
        self.event("worker.lost", format!("worker/{worker}"), json!({"worker": worker}));
        let mut lost = Vec::new();
        for (mut task, losses) in self.in_hands_of(worker)? {
            if losses + 1 >= MAX_LOSSES {
                task.outcome = Outcome::Failed {
                    error: format!(
                        "{MAX_LOSSES} workers died while they ran this task; look at its log and its memory use"
                    ),
                    retry: None,
                };
            }
            lost.push(task);
        }
        self.tx.execute(
            "UPDATE work_tasks SET losses = losses + 1 WHERE state = 'running' AND worker = $1",
            params![worker],
        )?;
        self.finish(worker, lost, false)?;
        Ok(())
    }
    /// Gives back what the ledger says that `worker` runs, but the worker does not hold: claims whose commit went through
    /// although its answer was lost. Without this they would stay in its hands for as long as it renews its lease.
    pub(crate) fn return_unheld(&mut self, worker: i64, held: &BTreeSet<i64>) -> Result<()> {
        let mut unheld = self.in_hands_of(worker)?;
        unheld.retain(|(task, _)| !held.contains(&task.task));
        self.finish(worker, unheld.into_iter().map(|(task, _)| task).collect(), false)?;
        Ok(())
    }

    /// The tasks that `worker` runs, as to be returned, and how often each has lost its worker.
    fn in_hands_of(&mut self, worker: i64) -> Result<Vec<(Finished, i64)>> {
        let rows = self.tx.query(
            "SELECT id, run, step, idx, attempt, keys, losses FROM work_tasks WHERE state = 'running' AND worker = $1 ORDER BY id",
            params![worker],
        )?;
        let mut tasks = Vec::with_capacity(rows.len());
        for row in rows {
            let keys: Option<String> = row.get(5)?;
            let keys = keys.map_or(Ok(Vec::new()), |text| serde_json::from_str(&text));
            let task = Finished {
                task: row.get(0)?,
                run: row.get(1)?,
                step: row.get::<i64>(2)? as usize,
                index: row.get(3)?,
                attempt: row.get(4)?,
                keys: keys.map_err(|_| Error::Unreadable("a task's keys".into()))?,
                outcome: Outcome::Returned,
            };
            tasks.push((task, row.get(6)?));
        }
        Ok(tasks)
    }
}
