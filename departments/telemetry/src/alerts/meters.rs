//! What the alerts count and time of themselves.
//!
//! | metric | |
//! |---|---|
//! | `telemetry.alerts.evaluations` | steps evaluated, and how long all rules of one took |
//! | `telemetry.alerts.rules{id}` | rules `evaluated` at their steps, and those that `failed` |
//! | `telemetry.alerts.values{id}` | values that came `late`, or were `refused` because there are too many series |
//! | `telemetry.alerts.notifications{id,receiver}` | notifications `sent` and `failed`; from the decision to the receiver's answer |

use std::time::Duration;

use backlot_meters::{Counter, Id, Registry, Timer};

use super::evaluator::Progress;

/// The meters of a server's alerts. A cheap handle.
#[derive(Clone)]
pub(crate) struct AlertMeters {
    registry: Registry,
    evaluations: Timer,
    evaluated: Counter,
    failed: Counter,
    late: Counter,
    refused: Counter,
}

impl AlertMeters {
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name: &str, id: &str| registry.counter(Id::new(name).with("id", id));
        Self {
            registry: registry.clone(),
            evaluations: registry.timer("telemetry.alerts.evaluations"),
            evaluated: counter("telemetry.alerts.rules", "evaluated"),
            failed: counter("telemetry.alerts.rules", "failed"),
            late: counter("telemetry.alerts.values", "late"),
            refused: counter("telemetry.alerts.values", "refused"),
        }
    }

    /// A step was closed; `before` is how far the evaluation had come.
    pub(crate) fn evaluated(&self, before: &Progress, now: &Progress) {
        self.evaluations.record(now.took);
        self.evaluated.add(now.rules.saturating_sub(now.errors) as u64);
        self.failed.add(now.errors as u64);
        self.late.add(now.late.saturating_sub(before.late));
        self.refused.add(now.refused.saturating_sub(before.refused));
    }

    /// A receiver has answered, or not in time. Receivers are those of the configuration, so there are few.
    pub(crate) fn notified(&self, receiver: &str, is_sent: bool, took: Duration) {
        let id = if is_sent { "sent" } else { "failed" };
        let id = Id::new("telemetry.alerts.notifications").with("id", id).with("receiver", receiver);
        self.registry.timer(id).record(took);
    }
}
