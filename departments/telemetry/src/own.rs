//! The house reports on itself: what its departments count and time is published into its own store.
//!
//! | metric | |
//! |---|---|
//! | `http.requests{door,status}`, `http.latency{door}` | requests of each door |
//! | `work.claimed`, `work.tasks{kind,outcome}`, `work.running`, `work.waiting` | tasks of this process' worker |
//! | `work.ready` | tasks of all that wait for a worker |
//! | `telemetry.samples{id}` | samples taken and refused |
//! | `telemetry.queries{id}` | graphs evaluated, and how long it took |
//! | `telemetry.series`, `telemetry.bytes{id}` | what the store holds |
//! | `telemetry.alerts.…` | what alerts did: `alerts/meters.rs` |
//!
//! All have `nf.app=backlot` and `nf.node`, this machine's name.

use std::time::Duration;

use backlot_meters::{Counter, Gauge, Id, Registry, Timer};
use backlot_work::Work;
use tokio::time::{Instant, MissedTickBehavior};

use crate::ingest::measurements;
use crate::state::State;

/// How often meters are read, as agents do it; a store of shorter steps asks more often.
const INTERVAL: Duration = Duration::from_secs(5);

/// The meters of this department.
pub(crate) struct Meters {
    pub(crate) taken: Counter,
    pub(crate) refused: Counter,
    pub(crate) graphs: Timer,
    pub(crate) failed_graphs: Timer,
    pub(crate) scrapes: Timer,
    pub(crate) failed_scrapes: Timer,
    pub(crate) ready: Gauge,
    series: Gauge,
    log_bytes: Gauge,
    segment_bytes: Gauge,
}

impl Meters {
    pub(crate) fn new(registry: &Registry) -> Self {
        let id = |name: &'static str, id: &'static str| Id::new(name).with("id", id);
        Self {
            taken: registry.counter(id("telemetry.samples", "taken")),
            refused: registry.counter(id("telemetry.samples", "refused")),
            graphs: registry.timer(id("telemetry.queries", "answered")),
            failed_graphs: registry.timer(id("telemetry.queries", "refused")),
            scrapes: registry.timer(id("telemetry.scrapes", "taken")),
            failed_scrapes: registry.timer(id("telemetry.scrapes", "failed")),
            ready: registry.gauge("work.ready"),
            series: registry.gauge("telemetry.series"),
            log_bytes: registry.gauge(id("telemetry.bytes", "log")),
            segment_bytes: registry.gauge(id("telemetry.bytes", "segments")),
        }
    }
}

/// The tags of everything that this process tells of itself.
pub(crate) fn common_tags() -> Vec<(String, String)> {
    let node = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let node = Some(node.trim()).filter(|node| !node.is_empty()).unwrap_or("localhost").to_owned();
    vec![("nf.app".to_owned(), "backlot".to_owned()), ("nf.node".to_owned(), node)]
}

/// Publishes until it is aborted.
pub(crate) async fn publish(state: State, registry: Registry, work: Work) {
    let step = Duration::from_millis(state.settings.step.unsigned_abs());
    let mut ticks = tokio::time::interval(INTERVAL.min(step));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (began, tags) = (Instant::now(), common_tags());
    loop {
        ticks.tick().await;
        // A ledger that cannot be read is told by those who need it more.
        if let Ok(ready) = work.ready_tasks().await {
            state.counters.meters.ready.set(ready as f64);
        }
        let (state, registry, tags) = (state.clone(), registry.clone(), tags.clone());
        let now = began.elapsed();
        if tokio::task::spawn_blocking(move || once(&state, &registry, now, &tags)).await.is_err() {
            return;
        }
    }
}

/// Publishes what was measured since the last time.
pub(crate) fn once(state: &State, registry: &Registry, now: Duration, tags: &[(String, String)]) {
    let size = state.store.size();
    let meters = &state.counters.meters;
    meters.series.set(size.series as f64);
    meters.log_bytes.set(size.log_bytes as f64);
    meters.segment_bytes.set(size.segment_bytes as f64);
    let measurements = registry.snapshot(now);
    state.counters.totals.add(&measurements);
    if !state.settings.self_metrics {
        return;
    }
    match measurements::take(state, &measurements, tags) {
        Ok(outcome) if outcome.refused == 0 => {}
        Ok(outcome) => {
            let why = outcome.refusals.first().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(refused = outcome.refused, %why, "metrics of this server were refused");
        }
        Err(error) => tracing::error!(%error, "the metrics of this server cannot be kept"),
    }
}
