//! The meters of a program, and what they measured.
//!
//! A meter is registered once and kept by whoever updates it; asked for again by the same id, the same meter is given out. One
//! that nobody keeps any more, and that has been idle for its time to live, is forgotten, so ids that come and go do not pile
//! up. Beyond [`Limits::meters`] a program gets meters that work and are not published, and the registry counts those: a tag
//! with too many values must not take the memory of the process that it watches.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::{
    AgeGauge, Counter, DistributionSummary, Gauge, Id, MaxGauge, Measurement, PercentileDistributionSummary,
    PercentileTimer, Statistic, Timer,
};

/// What a registry holds at most, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Meters that are published. A program of ours has some hundreds; a hundred thousand take about 100 MB.
    pub meters: usize,
    /// How long a gauge is published after it was set, and a meter that nobody keeps is remembered. Spectator's is 15 minutes.
    pub time_to_live: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { meters: 100_000, time_to_live: Duration::from_mins(15) }
    }
}

/// The meters of a program. Clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    limits: Limits,
    kinds: Arc<Mutex<Kinds>>,
}

/// A meter, and what the registry knows of it besides.
struct Entry<M> {
    meter: M,
    /// When it was last seen to have been updated.
    updated: Duration,
}

type Meters<M> = BTreeMap<Id, Entry<M>>;

#[derive(Default)]
struct Kinds {
    /// Of the last snapshot: when a meter that is registered now is taken to have been updated.
    now: Duration,
    refused: u64,
    counters: Meters<Counter>,
    timers: Meters<Timer>,
    summaries: Meters<DistributionSummary>,
    percentile_timers: Meters<PercentileTimer>,
    percentile_summaries: Meters<PercentileDistributionSummary>,
    gauges: Meters<Gauge>,
    max_gauges: Meters<MaxGauge>,
    age_gauges: Meters<AgeGauge>,
}

impl Kinds {
    fn len(&self) -> usize {
        self.counters.len()
            + self.timers.len()
            + self.summaries.len()
            + self.percentile_timers.len()
            + self.percentile_summaries.len()
            + self.gauges.len()
            + self.max_gauges.len()
            + self.age_gauges.len()
    }
}

/// What the registry does with a kind of meter.
trait Meter: Clone + Default {
    /// How many hold it, the registry being one.
    fn handles(&self) -> usize;

    /// Whether it is published until it is deleted, updated or not.
    const LASTS: bool = false;

    /// Takes what was measured since the last time; tells whether the meter had been updated. `idle` is the time since it was.
    fn measure(&self, id: &Id, idle: Idle, out: &mut Vec<Measurement>) -> bool;
}

#[derive(Clone, Copy)]
struct Idle {
    time: Duration,
    limit: Duration,
}

impl Registry {
    /// An empty registry with other limits than the usual.
    pub fn new(limits: Limits) -> Registry {
        Registry { limits, kinds: Arc::default() }
    }

    /// The counter of this id.
    pub fn counter(&self, id: impl Into<Id>) -> Counter {
        self.find(id.into(), |kinds| &mut kinds.counters)
    }

    /// The timer of this id.
    pub fn timer(&self, id: impl Into<Id>) -> Timer {
        self.find(id.into(), |kinds| &mut kinds.timers)
    }

    /// The distribution summary of this id.
    pub fn distribution_summary(&self, id: impl Into<Id>) -> DistributionSummary {
        self.find(id.into(), |kinds| &mut kinds.summaries)
    }

    /// The percentile timer of this id.
    pub fn percentile_timer(&self, id: impl Into<Id>) -> PercentileTimer {
        self.find(id.into(), |kinds| &mut kinds.percentile_timers)
    }

    /// The percentile distribution summary of this id.
    pub fn percentile_distribution_summary(&self, id: impl Into<Id>) -> PercentileDistributionSummary {
        self.find(id.into(), |kinds| &mut kinds.percentile_summaries)
    }

    /// The gauge of this id.
    pub fn gauge(&self, id: impl Into<Id>) -> Gauge {
        self.find(id.into(), |kinds| &mut kinds.gauges)
    }

    /// The max gauge of this id.
    pub fn max_gauge(&self, id: impl Into<Id>) -> MaxGauge {
        self.find(id.into(), |kinds| &mut kinds.max_gauges)
    }

    /// The age gauge of this id.
    pub fn age_gauge(&self, id: impl Into<Id>) -> AgeGauge {
        self.find(id.into(), |kinds| &mut kinds.age_gauges)
    }

    /// How many meters are published.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no meter is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes what was measured since the last snapshot, in the order of kinds and ids.
    ///
    /// `now` is the time on any clock that never goes back, such as the time since the program began. Meters beyond the limit
    /// are told as the counter `spectator.metersRefused`.
    pub fn snapshot(&self, now: Duration) -> Vec<Measurement> {
        let kinds = &mut *self.lock();
        kinds.now = now;
        let mut out = Vec::new();
        let limit = self.limits.time_to_live;
        measure(&mut kinds.counters, now, limit, &mut out);
        measure(&mut kinds.timers, now, limit, &mut out);
        measure(&mut kinds.summaries, now, limit, &mut out);
        measure(&mut kinds.percentile_timers, now, limit, &mut out);
        measure(&mut kinds.percentile_summaries, now, limit, &mut out);
        measure(&mut kinds.gauges, now, limit, &mut out);
        measure(&mut kinds.max_gauges, now, limit, &mut out);
        measure(&mut kinds.age_gauges, now, limit, &mut out);
        let refused = std::mem::take(&mut kinds.refused);
        if refused > 0 {
            let id = Id::new("spectator.metersRefused");
            out.push(Measurement { id, statistic: Statistic::Count, value: refused as f64 });
        }
        out
    }

    fn find<M: Meter>(&self, id: Id, of: fn(&mut Kinds) -> &mut Meters<M>) -> M {
        let kinds = &mut *self.lock();
        if let Some(entry) = of(kinds).get(&id) {
            return entry.meter.clone();
        }
        let meter = M::default();
        if kinds.len() >= self.limits.meters {
            kinds.refused += 1;
            return meter;
        }
        let updated = kinds.now;
        of(kinds).insert(id, Entry { meter: meter.clone(), updated });
        meter
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kinds> {
        // Nothing under the lock leaves meters half changed, so a panic elsewhere does not spoil them.
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("limits", &self.limits)
            .field("meters", &self.len())
            .finish_non_exhaustive()
    }
}

fn measure<M: Meter>(meters: &mut Meters<M>, now: Duration, limit: Duration, out: &mut Vec<Measurement>) {
    meters.retain(|id, entry| {
        let idle = Idle { time: now.saturating_sub(entry.updated), limit };
        if entry.meter.measure(id, idle, out) {
            entry.updated = now;
        }
        let is_kept = entry.meter.handles() > 1 || M::LASTS;
        is_kept || now.saturating_sub(entry.updated) <= limit
    });
}

impl Meter for Counter {
    fn handles(&self) -> usize {
        self.handles()
    }

    fn measure(&self, id: &Id, _idle: Idle, out: &mut Vec<Measurement>) -> bool {
        let count = self.take();
        if count > 0 {
            out.push(measurement(id, Statistic::Count.unless_named_by(id), count as f64));
        }
        count > 0
    }
}

/// Nanoseconds to seconds, and to the square of seconds.
const TIME: Unit = Unit { total: Statistic::TotalTime, scale: 1e9 };
const AMOUNT: Unit = Unit { total: Statistic::TotalAmount, scale: 1.0 };

struct Unit {
    total: Statistic,
    /// What a recorded value is divided by.
    scale: f64,
}

fn push_distribution(
    id: &Id,
    cell: &crate::meter::Distribution,
    unit: &Unit,
    out: &mut Vec<Measurement>,
) -> bool {
    let taken = cell.take();
    if taken.count == 0 {
        return false;
    }
    out.push(measurement(id, Statistic::Count, taken.count as f64));
    out.push(measurement(id, unit.total, taken.total as f64 / unit.scale));
    out.push(measurement(id, Statistic::TotalOfSquares, taken.squares / (unit.scale * unit.scale)));
    out.push(measurement(id, Statistic::Max, taken.max as f64 / unit.scale));
    true
}

impl Meter for Timer {
    fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    fn measure(&self, id: &Id, _idle: Idle, out: &mut Vec<Measurement>) -> bool {
        push_distribution(id, &self.0, &TIME, out)
    }
}

impl Meter for DistributionSummary {
    fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    fn measure(&self, id: &Id, _idle: Idle, out: &mut Vec<Measurement>) -> bool {
        push_distribution(id, &self.0, &AMOUNT, out)
    }
}

impl Meter for PercentileTimer {
    fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    fn measure(&self, id: &Id, _idle: Idle, out: &mut Vec<Measurement>) -> bool {
        let is_updated = push_distribution(id, &self.0.distribution, &TIME, out);
        let buckets = self.0.take_buckets();
        out.extend(buckets.map(|(index, n)| measurement(id, Statistic::PercentileTimer(index), n as f64)));
        is_updated
    }
}

impl Meter for PercentileDistributionSummary {
    fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    fn measure(&self, id: &Id, _idle: Idle, out: &mut Vec<Measurement>) -> bool {
        let is_updated = push_distribution(id, &self.0.distribution, &AMOUNT, out);
        let buckets = self.0.take_buckets();
        out.extend(buckets.map(|(index, n)| measurement(id, Statistic::PercentileSummary(index), n as f64)));
        is_updated
    }
}

impl Meter for Gauge {
    fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    fn measure(&self, id: &Id, idle: Idle, out: &mut Vec<Measurement>) -> bool {
        let is_updated = self.0.is_fresh.swap(false, Relaxed);
        let value = self.get();
        if value.is_finite() && (is_updated || idle.time <= idle.limit) {
            out.push(measurement(id, Statistic::Gauge.unless_named_by(id), value));
        }
        is_updated
    }
}

impl Meter for MaxGauge {
    fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    fn measure(&self, id: &Id, _idle: Idle, out: &mut Vec<Measurement>) -> bool {
        let value = self.0.take();
        if value.is_finite() {
            out.push(measurement(id, Statistic::Max, value));
        }
        !value.is_nan()
    }
}

impl Meter for AgeGauge {
    const LASTS: bool = true;

    fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    fn measure(&self, id: &Id, idle: Idle, out: &mut Vec<Measurement>) -> bool {
        let is_updated = self.0.is_fresh.swap(false, Relaxed);
        let age = if is_updated { Duration::ZERO } else { idle.time };
        out.push(measurement(id, Statistic::Gauge.unless_named_by(id), age.as_secs_f64()));
        is_updated
    }
}

fn measurement(id: &Id, statistic: Statistic, value: f64) -> Measurement {
    Measurement { id: id.clone(), statistic, value }
}
