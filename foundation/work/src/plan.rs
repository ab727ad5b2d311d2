//! What never changes about a run once it is submitted: its spec, graph and parameters, parsed once and shared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use backlot_ledger::{Tx, params};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::spec::{Graph, RunSpec};

/// Parsed plans kept in memory; beyond it the cache is emptied and filled anew (a plan is one query away).
const CACHED_PLANS: usize = 256;

/// The unchanging part of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) run: i64,
    pub(crate) public_id: String,
    pub(crate) spec: RunSpec,
    pub(crate) graph: Graph,
    pub(crate) params: Map<String, Value>,
    pub(crate) cache: bool,
    pub(crate) priority: i64,
}

impl Plan {
    /// The subject of a task's events: `run/step/index`.
    pub(crate) fn task_subject(&self, step: usize, index: i64) -> String {
        format!("{}/{}/{index}", self.public_id, self.spec.steps[step].name)
    }

    /// Whether results of the step's tasks may be reused.
    pub(crate) fn caches(&self, step: usize) -> bool {
        self.cache && self.spec.steps[step].cache.unwrap_or(self.spec.cache)
    }
}

/// Plans by the run's number.
#[derive(Default)]
pub(crate) struct Plans(Mutex<HashMap<i64, Arc<Plan>>>);

impl Plans {
    /// The plan of a run, from memory or from the ledger.
    pub(crate) fn get(&self, tx: &mut Tx<'_>, run: i64) -> Result<Arc<Plan>> {
        if let Some(plan) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&run) {
            return Ok(plan.clone());
        }
        let row = tx.query_opt(
            "SELECT public_id, spec, params, cache, priority FROM work_runs WHERE id = $1",
            params![run],
        )?;
        let row = row.ok_or_else(|| Error::NoSuchRun(format!("#{run}")))?;
        let unreadable = |what: &str| Error::Unreadable(format!("a {what} of run #{run}"));
        let spec: RunSpec = serde_json::from_str(&row.get::<String>(1)?).map_err(|_| unreadable("spec"))?;
        let graph = spec.check()?;
        let plan = Arc::new(Plan {
            run,
            public_id: row.get(0)?,
            graph,
            params: serde_json::from_str(&row.get::<String>(2)?).map_err(|_| unreadable("parameter"))?,
            cache: row.get(3)?,
            priority: row.get(4)?,
            spec,
        });
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= CACHED_PLANS {
            plans.clear();
        }
        plans.insert(run, plan.clone());
        Ok(plan)
    }
}
