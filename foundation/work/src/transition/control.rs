//! What people do to a run: cancel, pause, resume, retry. Each is journalled with who asked for it.

use std::collections::BTreeSet;

use backlot_ledger::{JournalEntry, Value as Sql, params};
use serde_json::json;

use super::Transition;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::state::{RunState, StepState};

impl Transition<'_, '_> {
    /// Stops a run: what waits is dropped now, what runs is told to stop. Cancelling an ended run changes nothing.
    pub(crate) fn cancel(&mut self, run: i64, who: &str, reason: Option<&str>) -> Result<RunState> {
        let state = self.state_of(run)?;
        if state.is_final() || state == RunState::Cancelling {
            return Ok(state);
        }
        let plan = self.plan(run)?;
        self.journal(&plan, who, "cancel", state, RunState::Cancelling)?;
        self.set_state(run, RunState::Cancelling)?;
        self.tx.execute(
            "UPDATE work_runs SET error = $2 WHERE id = $1",
            params![run, reason.map(str::to_owned)],
        )?;
        self.event(
            "run.cancelling",
            plan.public_id.clone(),
            json!({"run": plan.public_id, "by": who, "reason": reason}),
        );
        for (step, dropped) in self.cancel_waiting(run, None)? {
            self.tx.execute(
                "UPDATE work_steps SET cancelled = cancelled + $3 WHERE run = $1 AND step = $2",
                params![run, step as i64, dropped],
            )?;
        }
        // Steps whose tasks have all ended, or that never began, end now; the others end with their last running task.
        self.tx.execute(
            "UPDATE work_steps SET held = 0, total = expanded, state = 'running' WHERE run = $1 AND state IN ('running', 'opening')",
            params![run],
        )?;
        let ended = self.tx.execute(
            "UPDATE work_steps SET state = 'cancelled', finished = $2 WHERE run = $1 AND (state = 'waiting' \
             OR (state = 'running' AND succeeded + failed + cancelled = total))",
            params![run, self.now],
        )?;
        let row = self.tx.query_one(
            "UPDATE work_runs SET open_steps = open_steps - $2 WHERE id = $1 RETURNING open_steps",
            params![run, ended as i64],
        )?;
        if row.get::<i64>(0)? == 0 {
            self.end_run(&plan, false, RunState::Cancelling)?;
            self.states.insert(run, RunState::Cancelled);
        }
        self.state_of(run)
    }

    /// Lets no further task of a run start.
    pub(crate) fn pause(&mut self, run: i64, who: &str) -> Result<RunState> {
        let state = self.state_of(run)?;
        let plan = self.plan(run)?;
        match state {
            RunState::Paused => return Ok(state),
            RunState::Queued | RunState::Running => {}
            _ => return Err(wrong_state(&plan, state, "only a queued or running run can be paused")),
        }
        self.journal(&plan, who, "pause", state, RunState::Paused)?;
        self.set_state(run, RunState::Paused)?;
        self.tx.execute(
            "UPDATE work_tasks SET state = 'paused', parked_on = NULL, not_before = NULL \
             WHERE run = $1 AND state IN ('ready', 'parked', 'backoff')",
            params![run],
        )?;
        self.event("run.paused", plan.public_id.clone(), json!({"run": plan.public_id, "by": who}));
        Ok(RunState::Paused)
    }

    /// Lets a paused run go on.
    pub(crate) fn resume(&mut self, run: i64, who: &str) -> Result<RunState> {
        let state = self.state_of(run)?;
        let plan = self.plan(run)?;
        match state {
            RunState::Queued | RunState::Running => return Ok(state),
            RunState::Paused => {}
            _ => {
                return Err(wrong_state(
                    &plan,
                    state,
                    "only a paused run can be resumed; `retry` starts an ended one again",
                ));
            }
        }
        let row = self.tx.query_one("SELECT started FROM work_runs WHERE id = $1", params![run])?;
        let next = if row.get::<Option<i64>>(0)?.is_some() { RunState::Running } else { RunState::Queued };
        self.journal(&plan, who, "resume", state, next)?;
        self.set_state(run, next)?;
        let moved = self.tx.execute(
            "UPDATE work_tasks SET state = 'ready' WHERE run = $1 AND state = 'paused'",
            params![run],
        )?;
        self.effects.ready |= moved > 0;
        self.effects.opening = true;
        self.event("run.resumed", plan.public_id.clone(), json!({"run": plan.public_id, "by": who}));
        Ok(next)
    }

    /// Runs again what did not succeed in an ended run; with `from`, that step and everything after it as well.
    pub(crate) fn retry(&mut self, run: i64, from: Option<usize>, who: &str) -> Result<RunState> {
        let state = self.state_of(run)?;
        let plan = self.plan(run)?;
        if !state.is_final() {
            return Err(wrong_state(&plan, state, "wait for its end or cancel it before you retry"));
        }
        let rows =
            self.tx.query("SELECT step, state FROM work_steps WHERE run = $1 ORDER BY step", params![run])?;
        let mut states = Vec::with_capacity(rows.len());
        for row in &rows {
            let word: String = row.get(1)?;
            states.push(
                StepState::from_word(&word)
                    .ok_or_else(|| Error::Unreadable(format!("the step state `{word}`")))?,
            );
        }
        // Steps that begin again whole: the chosen one, and all that come after a step that runs again.
        let mut anew: BTreeSet<usize> = BTreeSet::new();
        // Steps of which only the tasks that did not succeed run again.
        let mut mended: BTreeSet<usize> = BTreeSet::new();
        if let Some(step) = from {
            anew.insert(step);
            anew.extend(plan.graph.downstream(step));
        }
        for (step, state) in states.iter().enumerate() {
            if matches!(state, StepState::Failed | StepState::Cancelled) {
                mended.insert(step);
                anew.extend(plan.graph.downstream(step));
            }
        }
        if anew.is_empty() && mended.is_empty() {
            return Err(wrong_state(
                &plan,
                state,
                "nothing in it failed; name a step with --from to run it again",
            ));
        }
        mended.retain(|step| !anew.contains(step));
        self.journal(&plan, who, "retry", state, RunState::Running)?;
        let reopened = (anew.len() + mended.len()) as i64;
        let failed_left = states
            .iter()
            .enumerate()
            .filter(|(step, state)| {
                **state == StepState::Failed && !anew.contains(step) && !mended.contains(step)
            })
            .count() as i64;
        self.tx.execute(
            "UPDATE work_runs SET finished = NULL, error = NULL, deadline = NULL, generation = generation + 1, \
             open_steps = $2, failed_steps = $3 WHERE id = $1",
            params![run, reopened, failed_left],
        )?;
        self.set_state(run, RunState::Running)?;
        self.event("run.retried", plan.public_id.clone(), json!({"run": plan.public_id, "by": who}));
        for &step in &anew {
            self.tx
                .execute("DELETE FROM work_tasks WHERE run = $1 AND step = $2", params![run, step as i64])?;
            let open: Vec<usize> = plan
                .graph
                .needs(step)
                .iter()
                .copied()
                .filter(|need| anew.contains(need) || mended.contains(need))
                .collect();
            let ended = |wanted: fn(&StepState) -> bool| {
                plan.graph
                    .needs(step)
                    .iter()
                    .filter(|need| !open.contains(need) && wanted(&states[**need]))
                    .count() as i64
            };
            self.tx.execute(
                "UPDATE work_steps SET state = 'waiting', waiting = $3, upstream_failed = $4, upstream_skipped = $5, total = 0, \
                 expanded = 0, held = 0, succeeded = 0, cached = 0, failed = 0, cancelled = 0, started = NULL, \
                 finished = NULL, error = NULL WHERE run = $1 AND step = $2",
                params![
                    run,
                    step as i64,
                    open.len() as i64,
                    ended(|state| matches!(state, StepState::Failed | StepState::Cancelled)),
                    ended(|state| *state == StepState::Skipped)
                ],
            )?;
        }
        for &step in &mended {
            self.mend_step(&plan, step)?;
        }
        let free: Vec<usize> = anew
            .iter()
            .copied()
            .filter(|step| {
                !plan.graph.needs(*step).iter().any(|need| anew.contains(need) || mended.contains(need))
            })
            .collect();
        self.begin_steps(&plan, &free)?;
        Ok(RunState::Running)
    }

    /// Takes up again the tasks of a step that did not succeed.
    fn mend_step(&mut self, plan: &Plan, step: usize) -> Result<()> {
        let key: &[Sql] = params![plan.run, step as i64];
        let count = |row: backlot_ledger::Row| row.get::<i64>(0);
        let laid =
            count(self.tx.query_one("SELECT COUNT(*) FROM work_tasks WHERE run = $1 AND step = $2", key)?)?;
        let succeeded = count(self.tx.query_one(
            "SELECT COUNT(*) FROM work_tasks WHERE run = $1 AND step = $2 AND state = 'succeeded'",
            key,
        )?)?;
        let spec = &plan.spec.steps[step];
        if laid == 0 || spec.map.is_some() {
            // The list may not have been laid down to its end, so the step is opened again; what is there is kept.
            self.effects.opening = true;
            self.tx.execute(
                "UPDATE work_steps SET state = 'opening', total = -1, expanded = $3, held = $4, succeeded = $5, failed = 0, \
                 cancelled = 0, finished = NULL, error = NULL WHERE run = $1 AND step = $2",
                params![plan.run, step as i64, laid, laid - succeeded, succeeded],
            )?;
            self.tx.execute(RESET_TASKS, params![plan.run, step as i64, "held"])?;
            let window = spec.map.as_ref().and_then(|map| map.concurrency).map_or(i64::MAX, i64::from);
            self.promote(plan, step, window.min(laid - succeeded))?;
        } else {
            self.tx.execute(
                "UPDATE work_steps SET state = 'running', total = expanded, held = 0, failed = 0, cancelled = 0, \
                 finished = NULL, error = NULL WHERE run = $1 AND step = $2",
                key,
            )?;
            let available = self.available(plan.run)?;
            self.tx.execute(RESET_TASKS, params![plan.run, step as i64, available])?;
        }
        Ok(())
    }

    fn journal(
        &mut self,
        plan: &Plan,
        who: &str,
        what: &str,
        before: RunState,
        after: RunState,
    ) -> Result<()> {
        let entry = JournalEntry {
            actor: who.to_owned(),
            action: format!("run.{what}"),
            subject: format!("run/{}", plan.public_id),
            before: Some(json!({"state": before})),
            after: Some(json!({"state": after})),
        };
        Ok(self.tx.journal(&entry)?)
    }
}

/// Failed and cancelled tasks start afresh; their attempt numbers go on, so that old tokens stay stale.
const RESET_TASKS: &str = "UPDATE work_tasks SET state = $3, failures = 0, losses = 0, finished = NULL, error = NULL \
    WHERE run = $1 AND step = $2 AND state <> 'succeeded'";

fn wrong_state(plan: &Plan, state: RunState, mend: &'static str) -> Error {
    Error::WrongState { run: plan.public_id.clone(), state: state.as_str(), mend }
}
