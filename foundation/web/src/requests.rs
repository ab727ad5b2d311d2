//! What the shell counts: the requests of each door by status, and how long they took.
//!
//! | meter | tags | |
//! |---|---|---|
//! | `http.requests` | `door`, `status` | a timer to the response head |
//! | `http.latency` | `door` | the same with percentiles, all statuses together |
//!
//! A door keeps its meters, so that a request costs a few atomics and no look into the registry but for the first of each status.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use backlot_meters::{Id, PercentileTimer, Registry, Timer};

/// The meters of one door.
pub(crate) struct DoorMeters {
    registry: Registry,
    door: String,
    latency: PercentileTimer,
    by_status: RwLock<BTreeMap<u16, Timer>>,
}

impl DoorMeters {
    pub(crate) fn new(registry: &Registry, door: &str) -> Self {
        let latency = registry.percentile_timer(Id::new("http.latency").with("door", door));
        Self { registry: registry.clone(), door: door.to_owned(), latency, by_status: RwLock::default() }
    }

    pub(crate) fn answered(&self, status: u16, took: Duration) {
        self.latency.record(took);
        // A map of timers is whole at every moment, so a panic elsewhere does not spoil it.
        let known = self.by_status.read().unwrap_or_else(PoisonError::into_inner).get(&status).cloned();
        let timer = known.unwrap_or_else(|| {
            let id = Id::new("http.requests").with("door", &self.door).with("status", &status.to_string());
            let timer = self.registry.timer(id);
            self.by_status.write().unwrap_or_else(PoisonError::into_inner).insert(status, timer.clone());
            timer
        });
        timer.record(took);
    }
}

/// Which door answered, as the gate tells the envelope; an extension of the response.
#[derive(Clone)]
pub(crate) struct Answered(pub(crate) Arc<DoorMeters>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_status() {
        let registry = Registry::default();
        let door = DoorMeters::new(&registry, "atlas");
        for status in [200, 404, 200] {
            door.answered(status, Duration::from_millis(2));
        }
        let lines: Vec<String> = registry.snapshot(Duration::ZERO).iter().map(ToString::to_string).collect();
        assert!(
            lines.contains(&"http.requests,door=atlas,statistic=count,status=200 2".to_owned()),
            "{lines:?}"
        );
        assert!(
            lines.contains(&"http.requests,door=atlas,statistic=totalTime,status=404 0.002".to_owned()),
            "{lines:?}"
        );
        assert!(lines.contains(&"http.latency,door=atlas,statistic=count 3".to_owned()), "{lines:?}");
    }
}
