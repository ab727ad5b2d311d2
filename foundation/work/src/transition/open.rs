//! A step's tasks are laid down.
//!
//! A step without map, condition or computed keys has exactly one task, inserted in the same transaction that ended
//! the last step before it. Any other step becomes `opening`: a worker works out its condition and its list outside
//! the transaction (the list may be a blob) and lays the tasks down a chunk at a time, with the number laid down so
//! far in the step's row, so that a crash in between loses and repeats nothing.

use backlot_ledger::{Value as Sql, params};
use serde_json::{Value, json};

use super::Transition;
use super::finish::StepEnd;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::state::{StepState, TaskState};

/// Tasks laid down in one transaction: large enough to spread the cost of a commit, small enough that other writers
/// wait only some milliseconds.
pub(crate) const CHUNK: usize = 1000;

/// One task about to be laid down: its item, and the keys it needs.
pub(crate) struct NewTask {
    /// The item, as JSON text; `None` for a step without a map.
    pub(crate) item: Option<String>,
    pub(crate) keys: Vec<String>,
}

/// What came of laying down a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Laid {
    /// So many tasks exist now; go on from there.
    UpTo(usize),
    /// The step is no longer opening: all is laid down, or the run was cancelled.
    Over,
}

impl Transition<'_, '_> {
    /// Starts steps that have nothing left to wait for.
    pub(crate) fn begin_steps(&mut self, plan: &Plan, steps: &[usize]) -> Result<()> {
        let mut opening = Vec::new();
        let mut running = Vec::new();
        let mut tasks = Vec::new();
        if steps.is_empty() {
            return Ok(());
        }
        let generation = self.generation(plan.run)?;
        for &step in steps {
            if plan.spec.steps[step].needs_opening() {
                self.effects.opening = true;
                opening.push(vec![plan.run.into(), (step as i64).into()]);
            } else {
                let state = self.available(plan.run)?;
                let keys = plan.spec.steps[step].keys.clone();
                running.push(vec![plan.run.into(), (step as i64).into(), self.now.into()]);
                tasks.push(task_row(plan, step, 0, generation, state, &NewTask { item: None, keys }));
            }
        }
        if !opening.is_empty() {
            self.tx.execute_many(
                "UPDATE work_steps SET state = 'opening', total = -1 WHERE run = $1 AND step = $2",
                &opening,
            )?;
        }
        if !running.is_empty() {
            self.tx.execute_many(
                "UPDATE work_steps SET state = 'running', started = $3, total = 1, expanded = 1 WHERE run = $1 AND step = $2",
                &running,
            )?;
            self.insert_tasks(&tasks)?;
            for &step in steps.iter().filter(|&&step| !plan.spec.steps[step].needs_opening()) {
                self.step_event("step.opened", plan, step, json!({"tasks": 1}));
            }
        }
        Ok(())
    }

    /// Lays down the next chunk of a step that is opening: tasks `from..from + chunk.len()` of `total`.
    pub(crate) fn lay_down(
        &mut self,
        plan: &Plan,
        step: usize,
        total: usize,
        from: usize,
        chunk: &[NewTask],
    ) -> Result<Laid> {
        let key = params![plan.run, step as i64];
        let row = self.tx.query_opt(
            "SELECT expanded, total, held, succeeded + failed + cancelled FROM work_steps \
                 WHERE run = $1 AND step = $2 AND state = 'opening'",
            key,
        )?;
        let Some(row) = row else {
            return Ok(Laid::Over);
        };
        let (expanded, known_total, mut held, ended): (i64, i64, i64, i64) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        if expanded != from as i64 {
            return Ok(Laid::UpTo(expanded as usize)); // another process laid these down
        }
        if known_total < 0 {
            self.step_event("step.opened", plan, step, json!({"tasks": total}));
        }
        let generation = self.generation(plan.run)?;
        let available = self.available(plan.run)?;
        let concurrency = plan.spec.steps[step].map.as_ref().and_then(|map| map.concurrency);
        let in_flight = expanded - ended - held;
        let mut slots = concurrency.map_or(i64::MAX, |limit| i64::from(limit) - in_flight);
        let mut rows: Vec<Vec<Sql>> = Vec::with_capacity(chunk.len());
        for (offset, task) in chunk.iter().enumerate() {
            let state = if slots > 0 { available } else { TaskState::Held };
            slots -= 1;
            held += i64::from(state == TaskState::Held);
            rows.push(task_row(plan, step, from + offset, generation, state, task));
        }
        self.insert_tasks(&rows)?;
        let expanded = from + chunk.len();
        let done = expanded == total;
        let state = if done { StepState::Running } else { StepState::Opening };
        self.tx.execute(
            "UPDATE work_steps SET state = $3, started = COALESCE(started, $4), total = $5, expanded = $6, held = $7 \
             WHERE run = $1 AND step = $2",
            params![plan.run, step as i64, state, self.now, total as i64, expanded as i64, held],
        )?;
        if !done {
            return Ok(Laid::UpTo(expanded));
        }
        // The tasks laid down first may all have ended before the last was laid down; an empty list has ended at once.
        self.close_step_if_over(plan, step)?;
        Ok(Laid::Over)
    }

    /// Ends a step that is opening without tasks: its condition does not hold, or something could not be worked out.
    pub(crate) fn close_opening(
        &mut self,
        plan: &Plan,
        step: usize,
        end: StepEnd,
        error: Option<&str>,
    ) -> Result<()> {
        let still = self.tx.query_opt(
            "SELECT expanded FROM work_steps WHERE run = $1 AND step = $2 AND state = 'opening'",
            params![plan.run, step as i64],
        )?;
        match still {
            Some(row) if row.get::<i64>(0)? == 0 => self.end_step(plan, step, end, error),
            _ => Ok(()),
        }
    }

    pub(crate) fn step_event(&mut self, kind: &str, plan: &Plan, step: usize, mut data: Value) {
        let name = &plan.spec.steps[step].name;
        if let Value::Object(fields) = &mut data {
            fields.insert("run".into(), json!(plan.public_id));
            fields.insert("step".into(), json!(name));
        }
        self.event(kind, format!("{}/{name}", plan.public_id), data);
    }

    fn generation(&mut self, run: i64) -> Result<i64> {
        let row = self.tx.query_opt("SELECT generation FROM work_runs WHERE id = $1", params![run])?;
        Ok(row.ok_or_else(|| Error::NoSuchRun(format!("#{run}")))?.get(0)?)
    }

    fn insert_tasks(&mut self, rows: &[Vec<Sql>]) -> Result<()> {
        self.tx.execute_many(
            "INSERT INTO work_tasks (run, step, idx, generation, kind, state, priority, item, cpus, memory, keys) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            rows,
        )?;
        Ok(())
    }
}

fn task_row(
    plan: &Plan,
    step: usize,
    index: usize,
    generation: i64,
    state: TaskState,
    task: &NewTask,
) -> Vec<Sql> {
    let spec = &plan.spec.steps[step];
    let keys = (!task.keys.is_empty())
        .then(|| serde_json::to_string(&task.keys).expect("invariant: a list of strings is plain JSON"));
    vec![
        plan.run.into(),
        (step as i64).into(),
        (index as i64).into(),
        generation.into(),
        spec.kind_name().into(),
        state.into(),
        (plan.priority + i64::from(spec.priority)).into(),
        task.item.clone().into(),
        ((spec.cpus * 1000.0).round() as i64).into(),
        (spec.memory.bytes() as i64).into(),
        keys.into(),
    ]
}
