//! The handles that a program updates.
//!
//! Each is an `Arc` of atomics. Updates are relaxed: a snapshot that runs at the same moment may see the count of a timer
//! before its total; the next interval has the rest, so nothing is lost or counted twice.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::buckets;

/// Parts of a counter. Threads that count at once do so in different parts, so that no cache line moves between their
/// cores; beyond eight threads two may share a part, which is slower and still right.
const STRIPES: usize = 8;

/// An atomic that has a cache line to itself (two, as processors fetch lines in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

/// The part that this thread counts in.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Relaxed) % STRIPES);
        }
        mine.get()
    })
}

/// How often something happened. A snapshot gives `count`, if it is greater than zero, and begins again at zero.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<[Stripe; STRIPES]>);

impl Counter {
    /// Once more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, amount: u64) {
        self.0[stripe() % STRIPES].0.fetch_add(amount, Relaxed);
    }

    /// What has been counted since the last snapshot.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, stripe| sum.wrapping_add(stripe.0.load(Relaxed)))
    }

    pub(crate) fn take(&self) -> u64 {
        self.0.iter().fold(0, |sum, stripe| sum.wrapping_add(stripe.0.swap(0, Relaxed)))
    }

    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

/// The four statistics of times (in nanoseconds) or amounts.
#[derive(Debug, Default)]
pub(crate) struct Distribution {
    count: AtomicU64,
    total: AtomicU64,
    /// The bits of a float.
    squares: AtomicU64,
    max: AtomicU64,
}

/// What a distribution held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Taken {
    pub(crate) count: u64,
    pub(crate) total: u64,
    pub(crate) squares: f64,
    pub(crate) max: u64,
}

impl Distribution {
    fn record(&self, amount: u64) {
        self.count.fetch_add(1, Relaxed);
        self.total.fetch_add(amount, Relaxed);
        self.max.fetch_max(amount, Relaxed);
        let square = amount as f64 * amount as f64;
        let mut known = self.squares.load(Relaxed);
        while let Err(now) = self.squares.compare_exchange_weak(
            known,
            (f64::from_bits(known) + square).to_bits(),
            Relaxed,
            Relaxed,
        ) {
            known = now;
        }
    }

    pub(crate) fn take(&self) -> Taken {
        Taken {
            count: self.count.swap(0, Relaxed),
            total: self.total.swap(0, Relaxed),
            squares: f64::from_bits(self.squares.swap(0, Relaxed)),
            max: self.max.swap(0, Relaxed),
        }
    }
}

/// How long something took. A snapshot gives `count`, `totalTime` and `max` in seconds, and `totalOfSquares` in seconds
/// squared, if there was any, and begins again.
#[derive(Clone, Debug, Default)]
pub struct Timer(pub(crate) Arc<Distribution>);

impl Timer {
    /// One more, which took this long.
    pub fn record(&self, time: Duration) {
        self.0.record(nanoseconds(time));
    }

    /// Times what follows, until the returned value is dropped.
    pub fn start(&self) -> Timing<impl FnMut(Duration)> {
        let timer = self.clone();
        Timing { began: Instant::now(), record: move |time| timer.record(time) }
    }
}

/// How great something was. A snapshot gives `count`, `totalAmount`, `totalOfSquares` and `max`, if there was any, and begins
/// again.
#[derive(Clone, Debug, Default)]
pub struct DistributionSummary(pub(crate) Arc<Distribution>);

impl DistributionSummary {
    /// One more, of this amount.
    pub fn record(&self, amount: u64) {
        self.0.record(amount);
    }
}

/// A distribution and the counts of its buckets.
#[derive(Debug)]
pub(crate) struct Percentiles {
    pub(crate) distribution: Distribution,
    buckets: Box<[AtomicU64]>,
}

impl Default for Percentiles {
    fn default() -> Self {
        let buckets = (0..buckets::COUNT).map(|_| AtomicU64::new(0)).collect();
        Self { distribution: Distribution::default(), buckets }
    }
}

impl Percentiles {
    fn record(&self, amount: u64, bucket: usize) {
        self.distribution.record(amount);
        self.buckets[bucket].fetch_add(1, Relaxed);
    }

    /// The buckets that hold something, and what they held.
    pub(crate) fn take_buckets(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let counts = self.buckets.iter().enumerate();
        counts
            .filter(|(_, count)| count.load(Relaxed) > 0)
            .map(|(index, count)| (index as u16, count.swap(0, Relaxed)))
    }
}

/// The longest time that a percentile timer tells apart from longer ones, as in Spectator.
const LONGEST: Duration = Duration::from_hours(24);

/// A [`Timer`] of which percentiles can be asked later, over all hosts. A snapshot gives a `count` for each bucket besides.
///
/// It takes 2 KiB, and up to 276 time series in the store: for the few times that matter.
#[derive(Clone, Debug, Default)]
pub struct PercentileTimer(pub(crate) Arc<Percentiles>);

impl PercentileTimer {
    /// One more, which took this long.
    pub fn record(&self, time: Duration) {
        let restricted = time.clamp(Duration::from_nanos(1), LONGEST);
        self.0.record(nanoseconds(time), buckets::index_of(nanoseconds(restricted).cast_signed()));
    }

    /// Times what follows, until the returned value is dropped.
    pub fn start(&self) -> Timing<impl FnMut(Duration)> {
        let timer = self.clone();
        Timing { began: Instant::now(), record: move |time| timer.record(time) }
    }
}

/// A [`DistributionSummary`] of which percentiles can be asked later, over all hosts.
#[derive(Clone, Debug, Default)]
pub struct PercentileDistributionSummary(pub(crate) Arc<Percentiles>);

impl PercentileDistributionSummary {
    /// One more, of this amount.
    pub fn record(&self, amount: u64) {
        self.0.record(amount, buckets::index_of(i64::try_from(amount).unwrap_or(i64::MAX)));
    }
}

/// Records the time since it was made, when it is dropped.
#[derive(Debug)]
#[must_use = "the time is recorded when this is dropped"]
pub struct Timing<F: FnMut(Duration)> {
    began: Instant,
    record: F,
}

impl<F: FnMut(Duration)> Drop for Timing<F> {
    fn drop(&mut self) {
        (self.record)(self.began.elapsed());
    }
}

#[derive(Debug)]
pub(crate) struct Level {
    /// The bits of a float; NaN where there is none.
    value: AtomicU64,
    pub(crate) is_fresh: AtomicBool,
}

impl Default for Level {
    fn default() -> Self {
        Self { value: AtomicU64::new(f64::NAN.to_bits()), is_fresh: AtomicBool::new(false) }
    }
}

impl Level {
    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.value.load(Relaxed))
    }

    pub(crate) fn take(&self) -> f64 {
        f64::from_bits(self.value.swap(f64::NAN.to_bits(), Relaxed))
    }
}

/// How great something is now. A snapshot gives the last value as `gauge`, until the gauge has not been set for its time to
/// live; `NaN` unsets it.
#[derive(Clone, Debug, Default)]
pub struct Gauge(pub(crate) Arc<Level>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.value.store(value.to_bits(), Relaxed);
        // Not a swap: a plain store costs nothing, and a set that meets a snapshot is fresh for it or for the next.
        self.0.is_fresh.store(true, Relaxed);
    }

    /// The last value; `NaN` if there is none.
    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

/// The greatest value of an interval. A snapshot gives it as `max`, if there was any, and begins again.
#[derive(Clone, Debug, Default)]
pub struct MaxGauge(pub(crate) Arc<Level>);

impl MaxGauge {
    /// Takes the value if it is the greatest so far.
    pub fn update(&self, value: f64) {
        let level = &self.0.value;
        let mut known = level.load(Relaxed);
        let is_greater = |known: u64| {
            let known = f64::from_bits(known);
            known.is_nan() || value > known
        };
        while !value.is_nan() && is_greater(known) {
            match level.compare_exchange_weak(known, value.to_bits(), Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => known = now,
            }
        }
    }
}

/// How long ago something last succeeded. A snapshot gives the seconds since then as `gauge`, every time.
#[derive(Clone, Debug, Default)]
pub struct AgeGauge(pub(crate) Arc<AgeCell>);

#[derive(Debug, Default)]
pub(crate) struct AgeCell {
    /// Set when it succeeded; the snapshot that finds it so notes the time.
    pub(crate) is_fresh: AtomicBool,
}

impl AgeGauge {
    /// It succeeded now. The age is counted from the next snapshot, so that this needs no clock.
    pub fn succeeded(&self) {
        self.0.is_fresh.store(true, Relaxed);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_together() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| (0..1000).for_each(|_| counter.increment()));
            }
        });
        assert_eq!((counter.count(), counter.take(), counter.take()), (16_000, 16_000, 0));
    }

    #[test]
    fn the_greatest_value_stands() {
        let gauge = MaxGauge::default();
        for value in [-3.0, f64::NAN, -5.0] {
            gauge.update(value);
        }
        assert_eq!(gauge.0.take(), -3.0);
        assert!(gauge.0.take().is_nan());
    }

    #[test]
    fn a_distribution_keeps_four_numbers() {
        let summary = DistributionSummary::default();
        for amount in [3, 4] {
            summary.record(amount);
        }
        assert_eq!(summary.0.take(), Taken { count: 2, total: 7, squares: 25.0, max: 4 });
        assert_eq!(summary.0.take(), Taken { count: 0, total: 0, squares: 0.0, max: 0 });
    }
}
