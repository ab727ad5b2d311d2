//! When a kernel that does nothing is ended: jupyter_server's `MappingKernelManager.cull_*`, by their names.

use std::time::Duration;

use backlot_notebooks_kernels::KernelSpec;
use tokio::time::{Instant, Interval, interval_at};

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Culling {
    /// A kernel without activity for longer than this is ended; none is if it is not given. The `metadata.cull_idle_timeout` (seconds) of a
    /// kernelspec counts for its kernels in its place.
    pub idle_timeout: Option<Duration>,
    /// How often kernels are looked at.
    pub interval: Duration,
    /// Also one that clients are connected to.
    pub connected: bool,
    /// Also one that runs something but publishes nothing.
    pub busy: bool,
}

impl Default for Culling {
    /// No kernel is ended. Stock looks every five minutes.
    fn default() -> Culling {
        Culling { idle_timeout: None, interval: Culling::INTERVAL, connected: false, busy: false }
    }
}

impl Culling {
    /// How often kernels are looked at unless somebody says otherwise, as in jupyter_server.
    pub const INTERVAL: Duration = Duration::from_secs(300);

    /// The rules for the kernels of a kernelspec. As in jupyter_server, it has a say where kernels are ended at all.
    pub(super) fn of(mut self, spec: &KernelSpec) -> Culling {
        let own = spec.json["metadata"]["cull_idle_timeout"].as_f64().filter(|own| *own >= 0.0);
        if let (Some(_), Some(own)) = (self.idle_timeout, own) {
            self.idle_timeout = Duration::try_from_secs_f64(own).ok().or(self.idle_timeout);
        }
        self
    }

    /// Whether a kernel that is so is ended.
    pub(super) fn applies(&self, idle: Duration, connections: usize, execution_state: &str) -> bool {
        self.idle_timeout.is_some_and(|most| idle > most)
            && (self.connected || connections == 0)
            && (self.busy || execution_state != "busy")
    }

    /// When to look.
    pub(super) fn ticks(&self) -> Ticks {
        let every = self.interval.max(Duration::from_millis(1));
        Ticks(self.idle_timeout.map(|_| interval_at(Instant::now() + every, every)))
    }
}

/// The moments at which a kernel is looked at, if ever.
pub(super) struct Ticks(Option<Interval>);

impl Ticks {
    /// The next. Cancel safe.
    pub(super) async fn next(&mut self) {
        match &mut self.0 {
            Some(ticks) => {
                ticks.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_ended_when_all_three_rules_say_so() {
        let seconds = Duration::from_secs;
        let rules = Culling { idle_timeout: Some(seconds(60)), ..Culling::default() };
        assert!(rules.applies(seconds(61), 0, "idle") && rules.applies(seconds(61), 0, "starting"));
        assert!(!rules.applies(seconds(60), 0, "idle"));
        assert!(!rules.applies(seconds(61), 1, "idle"));
        assert!(!rules.applies(seconds(61), 0, "busy"));
        assert!(Culling { connected: true, ..rules }.applies(seconds(61), 2, "idle"));
        assert!(Culling { busy: true, ..rules }.applies(seconds(61), 0, "busy"));
        assert!(!Culling { busy: true, ..rules }.applies(seconds(61), 1, "busy"));
        assert!(!Culling::default().applies(Duration::MAX, 0, "idle"));
    }
}
