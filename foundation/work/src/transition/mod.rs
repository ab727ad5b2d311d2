//! The state machine of durable work: every change of a run's state, inside one ledger transaction.
//!
//! The ledger serialises writers, so a transition reads and writes as if it were alone; two workers that finish the
//! last two tasks of a step at the same moment cannot both miss its end. The events of a transition are appended in
//! the same transaction: either the state changed and the event says so, or neither.
//!
//! | file | transitions |
//! |---|---|
//! | `submit` | a run is born |
//! | `open` | a step's tasks are laid down |
//! | `claim` | a worker takes ready tasks |
//! | `finish` | tasks end; steps and runs end with them |
//! | `control` | cancel, pause, resume, retry |
//! | `sweep` | what only time brings: backoffs due, deadlines, workers gone silent |

pub(crate) mod claim;
pub(crate) mod control;
pub(crate) mod finish;
pub(crate) mod open;
pub(crate) mod submit;
pub(crate) mod sweep;

use std::collections::HashMap;
use std::sync::Arc;

use backlot_events::{Events, NewEvent};
use backlot_ledger::{Timestamp, Tx, Value as Sql, params};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::plan::{Plan, Plans};
use crate::state::{RunState, TaskState};

/// The `source` of every event of durable work.
pub const EVENT_SOURCE: &str = "/backlot/work";

/// One transaction's view of the state machine.
pub(crate) struct Transition<'a, 'tx> {
    pub(crate) tx: &'a mut Tx<'tx>,
    plans: &'a Plans,
    pub(crate) now: Timestamp,
    events: Vec<NewEvent>,
    pub(crate) states: HashMap<i64, RunState>,
    pub(crate) effects: Effects,
}

/// What a transition brought about that the process should react to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effects {
    /// Some task became ready.
    pub(crate) ready: bool,
    /// Some step waits to be opened.
    pub(crate) opening: bool,
}

impl<'a, 'tx> Transition<'a, 'tx> {
    /// Runs `body` as one transition and appends its events.
    pub(crate) fn run<T>(
        tx: &'a mut Tx<'tx>,
        plans: &'a Plans,
        events: &Events,
        body: impl FnOnce(&mut Transition<'_, 'tx>) -> Result<T>,
    ) -> Result<(T, Effects)> {
        let now = tx.now();
        let mut transition = Transition {
            tx,
            plans,
            now,
            events: Vec::new(),
            states: HashMap::new(),
            effects: Effects::default(),
        };
        let value = body(&mut transition)?;
        let Transition { tx, events: produced, effects, .. } = transition;
        if !produced.is_empty() {
            events.append(tx, &produced)?;
        }
        Ok((value, effects))
    }

    pub(crate) fn plan(&mut self, run: i64) -> Result<Arc<Plan>> {
        self.plans.get(self.tx, run)
    }

    /// Notes an event; `subject` is the run, `run/step` or `run/step/index`.
    pub(crate) fn event(&mut self, kind: &str, subject: String, data: Value) {
        let event = NewEvent::new(EVENT_SOURCE, format!("backlot.work.{kind}")).subject(subject).data(data);
        self.events.push(event);
    }

    pub(crate) fn task_event(&mut self, kind: &str, plan: &Plan, step: usize, index: i64, mut data: Value) {
        let subject = plan.task_subject(step, index);
        if let Value::Object(fields) = &mut data {
            fields.insert("run".into(), json!(plan.public_id));
            fields.insert("step".into(), json!(plan.spec.steps[step].name));
            fields.insert("index".into(), json!(index));
        }
        self.event(kind, subject, data);
    }

    /// The state of a run as this transaction found it.
    pub(crate) fn state_of(&mut self, run: i64) -> Result<RunState> {
        if let Some(&state) = self.states.get(&run) {
            return Ok(state);
        }
        let row = self.tx.query_opt("SELECT state FROM work_runs WHERE id = $1", params![run])?;
        let row = row.ok_or_else(|| Error::NoSuchRun(format!("#{run}")))?;
        let state = run_state(&row.get::<String>(0)?)?;
        self.states.insert(run, state);
        Ok(state)
    }

    /// The state in which a task of this run becomes available: ready, or paused with its run.
    pub(crate) fn available(&mut self, run: i64) -> Result<TaskState> {
        if self.state_of(run)? == RunState::Paused {
            return Ok(TaskState::Paused);
        }
        self.effects.ready = true;
        Ok(TaskState::Ready)
    }

    /// Writes a run's new state.
    pub(crate) fn set_state(&mut self, run: i64, state: RunState) -> Result<()> {
        self.tx.execute("UPDATE work_runs SET state = $2 WHERE id = $1", params![run, state])?;
        self.states.insert(run, state);
        Ok(())
    }

    /// Cancels every task of a step (or of a run, when `step` is `None`) that has not started; gives the number of them for each step.
    pub(crate) fn cancel_waiting(&mut self, run: i64, step: Option<usize>) -> Result<Vec<(usize, i64)>> {
        let mut sql = "UPDATE work_tasks SET state = 'cancelled', finished = $2 \
                       WHERE run = $1 AND state IN ('held', 'ready', 'parked', 'backoff', 'paused')"
            .to_owned();
        let mut values: Vec<Sql> = vec![run.into(), self.now.into()];
        if let Some(step) = step {
            sql.push_str(" AND step = $3");
            values.push((step as i64).into());
            return Ok(vec![(step, self.tx.execute(&sql, &values)? as i64)]);
        }
        let rows = self.tx.query(
            "SELECT step, COUNT(*) FROM work_tasks \
             WHERE run = $1 AND state IN ('held', 'ready', 'parked', 'backoff', 'paused') GROUP BY step ORDER BY step",
            params![run],
        )?;
        self.tx.execute(&sql, &values)?;
        rows.iter().map(|row| Ok((row.get::<i64>(0)? as usize, row.get(1)?))).collect()
    }
}

/// Reads a run's state word.
pub(crate) fn run_state(word: &str) -> Result<RunState> {
    RunState::from_word(word).ok_or_else(|| Error::Unreadable(format!("the run state `{word}`")))
}
