//! A run is born.

use backlot_ledger::{Timestamp, Value as Sql, params};
use serde_json::{Map, Value, json};

use super::Transition;
use crate::error::Result;
use crate::spec::{Graph, RunSpec};
use crate::state::{RunState, StepState};

/// What a submission fixes about a run.
pub(crate) struct Submission {
    pub(crate) public_id: String,
    pub(crate) spec: RunSpec,
    pub(crate) graph: Graph,
    pub(crate) params: Map<String, Value>,
    pub(crate) cache: bool,
    pub(crate) priority: i64,
    pub(crate) submitted_by: String,
    /// Two submissions with the same key are one run.
    pub(crate) key: Option<String>,
}

impl Transition<'_, '_> {
    /// Writes the run and its steps, and opens the steps that wait for nothing. Gives the public id, which is an
    /// earlier run's when the submission's key has been seen before.
    pub(crate) fn submit(&mut self, submission: &Submission) -> Result<String> {
        if let Some(key) = &submission.key {
            let seen = self
                .tx
                .query_opt("SELECT public_id FROM work_runs WHERE submit_key = $1", params![key.as_str()])?;
            if let Some(row) = seen {
                return Ok(row.get(0)?);
            }
        }
        let spec = &submission.spec;
        let encode =
            |value: serde_json::Result<String>| value.expect("invariant: a checked spec is plain JSON");
        let deadline: Option<Timestamp> =
            spec.deadline.and_then(|deadline| self.now.checked_add(deadline.duration()));
        let run: i64 = self
            .tx
            .query_one(
                "INSERT INTO work_runs (public_id, name, spec, params, cache, priority, state, created, deadline, \
                 open_steps, submitted_by, submit_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id",
                params![
                    submission.public_id.as_str(),
                    spec.name.as_str(),
                    encode(serde_json::to_string(spec)),
                    encode(serde_json::to_string(&submission.params)),
                    submission.cache,
                    submission.priority,
                    RunState::Queued,
                    self.now,
                    deadline,
                    spec.steps.len() as i64,
                    submission.submitted_by.as_str(),
                    submission.key.clone()
                ],
            )?
            .get(0)?;
        let rows: Vec<Vec<Sql>> = (0..spec.steps.len())
            .map(|step| {
                let needs = submission.graph.needs(step).len() as i64;
                vec![run.into(), (step as i64).into(), StepState::Waiting.into(), needs.into()]
            })
            .collect();
        self.tx.execute_many(
            "INSERT INTO work_steps (run, step, state, waiting) VALUES ($1, $2, $3, $4)",
            &rows,
        )?;
        self.event(
            "run.queued",
            submission.public_id.clone(),
            json!({"run": submission.public_id, "name": spec.name, "steps": spec.steps.len(), "by": submission.submitted_by}),
        );
        let plan = self.plan(run)?;
        let roots: Vec<usize> =
            (0..spec.steps.len()).filter(|&step| submission.graph.needs(step).is_empty()).collect();
        self.begin_steps(&plan, &roots)?;
        Ok(submission.public_id.clone())
    }
}
