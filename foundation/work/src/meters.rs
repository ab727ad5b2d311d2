//! What a worker counts of its tasks.
//!
//! | meter | tags | |
//! |---|---|---|
//! | `work.claimed` | | a counter of tasks that it took |
//! | `work.tasks` | `kind`, `outcome`: `succeeded`, `cached`, `failed`, `retried`, `stopped`, `returned` | a timer of those that ended here |
//! | `work.running`, `work.waiting` | | gauges of tasks that it holds |
//!
//! All meters are made when the worker starts: at the end of a task there is no look-up but that of its kind.

use std::collections::HashMap;
use std::time::Duration;

use backlot_meters::{Counter, Gauge, Id, Registry, Timer};

use crate::kind::Kinds;
use crate::placement::Capacity;
use crate::transition::finish::Outcome;

/// How tasks end, in the order of [`Kind::by_outcome`].
const OUTCOMES: [&str; 6] = ["succeeded", "cached", "failed", "retried", "stopped", "returned"];

/// The meters of a worker.
pub(crate) struct TaskMeters {
    claimed: Counter,
    running: Gauge,
    waiting: Gauge,
    kinds: HashMap<String, [Timer; OUTCOMES.len()]>,
}

impl TaskMeters {
    pub(crate) fn new(registry: &Registry, kinds: &Kinds) -> Self {
        let timers = |kind: &str| {
            OUTCOMES.map(|outcome| {
                registry.timer(Id::new("work.tasks").with("kind", kind).with("outcome", outcome))
            })
        };
        Self {
            claimed: registry.counter("work.claimed"),
            running: registry.gauge("work.running"),
            waiting: registry.gauge("work.waiting"),
            kinds: kinds.names().map(|kind| (kind.to_owned(), timers(kind))).collect(),
        }
    }

    pub(crate) fn claimed(&self, tasks: usize) {
        self.claimed.add(tasks as u64);
    }

    pub(crate) fn holds(&self, capacity: &Capacity) {
        self.running.set(capacity.running as f64);
        self.waiting.set(capacity.waiting as f64);
    }

    pub(crate) fn ended(&self, kind: &str, outcome: &Outcome, took: Duration) {
        let at = match outcome {
            Outcome::Succeeded { cached: false, .. } => 0,
            Outcome::Succeeded { cached: true, .. } => 1,
            Outcome::Failed { retry: None, .. } => 2,
            Outcome::Failed { retry: Some(_), .. } => 3,
            Outcome::Stopped => 4,
            Outcome::Returned => 5,
        };
        if let Some(timers) = self.kinds.get(kind) {
            timers[at].record(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_counted_by_kind_and_outcome() {
        let registry = Registry::default();
        let mut meters = TaskMeters::new(&registry, &Kinds::new());
        meters.kinds.insert(
            "nap".to_owned(),
            OUTCOMES.map(|outcome| registry.timer(Id::new("t").with("outcome", outcome))),
        );
        meters.claimed(3);
        let failed = |retry| Outcome::Failed { error: "no".to_owned(), retry };
        meters.ended("nap", &failed(None), Duration::from_secs(2));
        meters.ended("nap", &failed(Some(Duration::ZERO)), Duration::from_secs(1));
        meters.ended("unknown", &Outcome::Stopped, Duration::ZERO);
        let lines: Vec<String> = registry.snapshot(Duration::ZERO).iter().map(ToString::to_string).collect();
        for wanted in [
            "work.claimed,statistic=count 3",
            "t,outcome=failed,statistic=totalTime 2",
            "t,outcome=retried,statistic=count 1",
        ] {
            assert!(lines.iter().any(|line| line == wanted), "{wanted}: {lines:?}");
        }
    }
}
