//! What each kind of meter keeps, takes, and gives.
//!
//! The rules are those of spectatord (`spectator/*.cc`). Where it lets a value that is not finite spoil a sum, ours ignores
//! that value.

use std::time::Duration;

use backlot_meters::{Id, Measurement, Statistic, buckets};

use super::budget::Limits;
use super::{Moment, Taken};
use crate::sketch::Registers;

/// A kind of meter.
pub(crate) trait State {
    fn new(limits: &Limits) -> Self;

    /// Gives what was measured since the last time, and begins again.
    fn measure(&mut self, id: &Id, now: Moment, out: &mut Vec<Measurement>);

    /// The value as it stands.
    fn peek(&self, now: Moment) -> f64;

    fn is_expired(&self, idle: Duration, limits: &Limits) -> bool {
        idle > limits.time_to_live
    }

    /// How many meters of this kind there may be.
    fn limit(_limits: &Limits) -> usize {
        usize::MAX
    }
}

fn push(out: &mut Vec<Measurement>, id: &Id, statistic: Statistic, value: f64) {
    out.push(Measurement { id: id.clone(), statistic, value });
}

fn taken(is_recorded: bool) -> Taken {
    if is_recorded { Taken::Recorded } else { Taken::Ignored }
}

/// `c`: a sum.
#[derive(Debug)]
pub(crate) struct Counter {
    sum: f64,
}

impl Counter {
    pub(crate) fn add(&mut self, amount: f64) -> Taken {
        let is_amount = amount >= 0.0 && amount.is_finite();
        if is_amount {
            // Two amounts that are finite may have a sum that is not.
            self.sum = (self.sum + amount).min(f64::MAX);
        }
        taken(is_amount)
    }
}

impl State for Counter {
    fn new(_limits: &Limits) -> Self {
        Self { sum: 0.0 }
    }

    fn measure(&mut self, id: &Id, _now: Moment, out: &mut Vec<Measurement>) {
        let sum = std::mem::take(&mut self.sum);
        if sum > 0.0 {
            push(out, id, Statistic::Count.unless_named_by(id), sum);
        }
    }

    fn peek(&self, _now: Moment) -> f64 {
        self.sum
    }
}

/// `C`: a count of somebody else, of which the growth is told.
#[derive(Debug)]
pub(crate) struct Monotonic {
    value: f64,
    /// At the last flush; `NaN` before the first.
    previous: f64,
}

impl Monotonic {
    pub(crate) fn set(&mut self, value: f64) -> Taken {
        if value.is_finite() {
            self.value = value;
        }
        taken(value.is_finite())
    }
}

impl State for Monotonic {
    fn new(_limits: &Limits) -> Self {
        Self { value: f64::NAN, previous: f64::NAN }
    }

    fn measure(&mut self, id: &Id, now: Moment, out: &mut Vec<Measurement>) {
        let delta = self.peek(now);
        self.previous = self.value;
        if delta > 0.0 && delta.is_finite() {
            push(out, id, Statistic::Count.unless_named_by(id), delta);
        }
    }

    fn peek(&self, _now: Moment) -> f64 {
        self.value - self.previous
    }
}

/// `U`: as `C`, of a count that wraps at 2^64.
#[derive(Debug)]
pub(crate) struct MonotonicUint {
    value: u64,
    previous: Option<u64>,
}

/// A growth beyond this is a source that began again, not one that wrapped, and is told as zero. spectatord's constant for
/// 2^63.
const BEGAN_AGAIN: f64 = 9.223_372e18;

impl MonotonicUint {
    pub(crate) fn set(&mut self, value: u64) -> Taken {
        self.value = value;
        Taken::Recorded
    }
}

impl State for MonotonicUint {
    fn new(_limits: &Limits) -> Self {
        Self { value: 0, previous: None }
    }

    fn measure(&mut self, id: &Id, now: Moment, out: &mut Vec<Measurement>) {
        let delta = self.peek(now);
        self.previous = Some(self.value);
        if delta > 0.0 {
            let told = if delta > BEGAN_AGAIN { 0.0 } else { delta };
            push(out, id, Statistic::Count.unless_named_by(id), told);
        }
    }

    fn peek(&self, _now: Moment) -> f64 {
        self.previous.map_or(f64::NAN, |previous| self.value.wrapping_sub(previous) as f64)
    }
}

/// `X`: as `C`, with the time of each sample, of which the growth in a second is told.
#[derive(Debug)]
pub(crate) struct Sampled {
    value: f64,
    millis: i64,
    /// The sample that the growth is counted from: the last of the interval before, or the first of all.
    base: Option<(f64, i64)>,
}

impl Sampled {
    pub(crate) fn set(&mut self, value: f64, millis: i64) -> Taken {
        let is_in_order = self.value.is_nan() || millis > self.millis;
        if !is_in_order || !value.is_finite() {
            return Taken::Ignored;
        }
        if self.base.is_none() && !self.value.is_nan() {
            self.base = Some((self.value, self.millis));
        }
        (self.value, self.millis) = (value, millis);
        Taken::Recorded
    }
}

impl State for Sampled {
    fn new(_limits: &Limits) -> Self {
        Self { value: f64::NAN, millis: 0, base: None }
    }

    fn measure(&mut self, id: &Id, now: Moment, out: &mut Vec<Measurement>) {
        let rate = self.peek(now);
        if rate.is_nan() {
            return;
        }
        self.base = Some((self.value, self.millis));
        if rate > 0.0 && rate.is_finite() {
            push(out, id, Statistic::Count, rate);
        }
    }

    fn peek(&self, _now: Moment) -> f64 {
        self.base.filter(|(_, then)| self.millis > *then).map_or(f64::NAN, |(value, then)| {
            (self.value - value) / (self.millis.saturating_sub(then) as f64 / 1e3)
        })
    }
}

/// How many values fell into which bucket: few of the 276, so pairs in order.
#[derive(Debug, Default)]
struct Buckets(Vec<(u16, u64)>);

impl Buckets {
    fn count(&mut self, value: i64) {
        let bucket = buckets::index_of(value) as u16;
        match self.0.binary_search_by_key(&bucket, |(index, _)| *index) {
            Ok(at) => self.0[at].1 += 1,
            Err(at) => self.0.insert(at, (bucket, 1)),
        }
    }
}

/// The four statistics of a timer or summary. Sums of a great many values stay finite by saturating.
#[derive(Debug)]
pub(crate) struct Distribution {
    count: f64,
    total: f64,
    squares: f64,
    max: f64,
    buckets: Option<Box<Buckets>>,
}

impl Distribution {
    fn new() -> Self {
        Self { count: 0.0, total: 0.0, squares: 0.0, max: 0.0, buckets: None }
    }

    /// Records `value` so many times.
    fn record(&mut self, value: f64, times: f64) -> Taken {
        let is_amount = value >= 0.0 && value.is_finite() && times.is_finite();
        if is_amount {
            self.count += times;
            self.total = (self.total + value * times).min(f64::MAX);
            self.squares = (self.squares + value * value * times).min(f64::MAX);
            self.max = self.max.max(value);
        }
        taken(is_amount)
    }

    fn count_bucket(&mut self, value: i64) {
        self.buckets.get_or_insert_default().count(value);
    }

    fn measure(
        &mut self,
        id: &Id,
        total: Statistic,
        scale: f64,
        bucket: fn(u16) -> Statistic,
        out: &mut Vec<Measurement>,
    ) {
        if self.count == 0.0 {
            return;
        }
        push(out, id, Statistic::Count, self.count);
        push(out, id, total, self.total / scale);
        push(out, id, Statistic::TotalOfSquares, self.squares / (scale * scale));
        push(out, id, Statistic::Max, self.max / scale);
        (self.count, self.total, self.squares, self.max) = (0.0, 0.0, 0.0, 0.0);
        if let Some(buckets) = &mut self.buckets {
            for (index, count) in buckets.0.drain(..) {
                push(out, id, bucket(index), count as f64);
            }
        }
    }
}

/// `t` and `T`: times in nanoseconds.
#[derive(Debug)]
pub(crate) struct Timer(Distribution);

/// Times that percentiles tell apart, in nanoseconds: up to 24 hours.
const PERCENTILE_TIMES: std::ops::RangeInclusive<i64> = 1..=86_400_000_000_000;

impl Timer {
    pub(crate) fn record_seconds(&mut self, seconds: f64) -> Taken {
        let nanos = seconds * 1e9;
        // A part of a nanosecond is cut off, so that a sum of times is a sum of whole numbers.
        self.0.record(if nanos.is_finite() { nanos.trunc() } else { nanos }, 1.0)
    }

    pub(crate) fn record_percentile_seconds(&mut self, seconds: f64) -> Taken {
        let recorded = self.record_seconds(seconds);
        if recorded == Taken::Recorded {
            let nanos = (seconds * 1e9) as i64;
            self.0.count_bucket(nanos.clamp(*PERCENTILE_TIMES.start(), *PERCENTILE_TIMES.end()));
        }
        recorded
    }

    pub(crate) fn record_milliseconds(&mut self, millis: f64, times: f64) -> Taken {
        self.0.record((millis * 1e6).round(), times)
    }

    pub(crate) fn has_buckets(&self) -> bool {
        self.0.buckets.is_some()
    }
}

impl State for Timer {
    fn new(_limits: &Limits) -> Self {
        Self(Distribution::new())
    }

    fn measure(&mut self, id: &Id, _now: Moment, out: &mut Vec<Measurement>) {
        self.0.measure(id, Statistic::TotalTime, 1e9, Statistic::PercentileTimer, out);
    }

    fn peek(&self, _now: Moment) -> f64 {
        self.0.total
    }
}

/// `d` and `D`: amounts.
#[derive(Debug)]
pub(crate) struct Summary(Distribution);

impl Summary {
    pub(crate) fn record(&mut self, amount: f64, times: f64) -> Taken {
        self.0.record(amount, times)
    }

    /// Percentiles are of whole numbers: what is behind the point is cut off.
    pub(crate) fn record_percentile(&mut self, amount: f64) -> Taken {
        let recorded = self.0.record(amount.trunc(), 1.0);
        if recorded == Taken::Recorded {
            self.0.count_bucket(amount as i64);
        }
        recorded
    }

    pub(crate) fn has_buckets(&self) -> bool {
        self.0.buckets.is_some()
    }
}

impl State for Summary {
    fn new(_limits: &Limits) -> Self {
        Self(Distribution::new())
    }

    fn measure(&mut self, id: &Id, _now: Moment, out: &mut Vec<Measurement>) {
        self.0.measure(id, Statistic::TotalAmount, 1.0, Statistic::PercentileSummary, out);
    }

    fn peek(&self, _now: Moment) -> f64 {
        self.0.total
    }
}

/// `g`: the last value, for a while.
#[derive(Debug)]
pub(crate) struct Gauge {
    value: f64,
    time_to_live: Duration,
}

/// The shortest time for which a gauge is published: less than an interval would lose it.
const SHORTEST_GAUGE: Duration = Duration::from_secs(5);

impl Gauge {
    /// Sets the value; `NaN` takes it back. Without a time to live the earlier one stays.
    pub(crate) fn set(&mut self, value: f64, time_to_live: Option<Duration>) -> Taken {
        if let Some(time_to_live) = time_to_live {
            self.time_to_live = time_to_live.max(SHORTEST_GAUGE);
        }
        if !value.is_infinite() {
            self.value = value;
        }
        taken(!value.is_infinite())
    }
}

impl State for Gauge {
    fn new(limits: &Limits) -> Self {
        Self { value: f64::NAN, time_to_live: limits.time_to_live.max(SHORTEST_GAUGE) }
    }

    fn measure(&mut self, id: &Id, _now: Moment, out: &mut Vec<Measurement>) {
        if !self.value.is_nan() {
            push(out, id, Statistic::Gauge.unless_named_by(id), self.value);
        }
    }

    fn peek(&self, _now: Moment) -> f64 {
        self.value
    }

    fn is_expired(&self, idle: Duration, _limits: &Limits) -> bool {
        idle > self.time_to_live
    }
}

/// `m`: the greatest value of an interval.
#[derive(Debug)]
pub(crate) struct MaxGauge {
    max: f64,
}

impl MaxGauge {
    pub(crate) fn update(&mut self, value: f64) -> Taken {
        if value.is_finite() {
            // The greater of a number and NaN is the number.
            self.max = self.max.max(value);
        }
        taken(value.is_finite())
    }
}

impl State for MaxGauge {
    fn new(_limits: &Limits) -> Self {
        Self { max: f64::NAN }
    }

    fn measure(&mut self, id: &Id, _now: Moment, out: &mut Vec<Measurement>) {
        let max = std::mem::replace(&mut self.max, f64::NAN);
        if !max.is_nan() {
            push(out, id, Statistic::Max, max);
        }
    }

    fn peek(&self, _now: Moment) -> f64 {
        self.max
    }
}

/// `A`: when something last succeeded, in nanoseconds since 1970.
#[derive(Debug)]
pub(crate) struct Age {
    succeeded: Option<i64>,
}

impl Age {
    /// It succeeded at this time; now, if that is zero.
    pub(crate) fn succeeded(&mut self, seconds: f64, now: Duration) -> Taken {
        if seconds.is_finite() {
            self.succeeded = Some(if seconds == 0.0 { nanoseconds(now) } else { (seconds * 1e9) as i64 });
        }
        taken(seconds.is_finite())
    }
}

impl State for Age {
    fn new(_limits: &Limits) -> Self {
        Self { succeeded: None }
    }

    fn measure(&mut self, id: &Id, now: Moment, out: &mut Vec<Measurement>) {
        let age = self.peek(now);
        if !age.is_nan() {
            push(out, id, Statistic::Gauge.unless_named_by(id), age);
        }
    }

    fn peek(&self, now: Moment) -> f64 {
        let age = |succeeded| nanoseconds(now.epoch).saturating_sub(succeeded) as f64 / 1e9;
        self.succeeded.map_or(f64::NAN, age)
    }

    fn is_expired(&self, _idle: Duration, _limits: &Limits) -> bool {
        false
    }

    fn limit(limits: &Limits) -> usize {
        limits.age_gauges
    }
}

/// `S` and `s`: the registers of an interval.
#[derive(Debug)]
pub(crate) struct Sketch(Registers);

impl Sketch {
    pub(crate) fn record(&mut self, hash: u64) -> Taken {
        self.0.record(hash);
        Taken::Recorded
    }
}

impl State for Sketch {
    fn new(_limits: &Limits) -> Self {
        Self(Registers::EMPTY)
    }

    fn measure(&mut self, id: &Id, _now: Moment, out: &mut Vec<Measurement>) {
        let registers = std::mem::replace(&mut self.0, Registers::EMPTY);
        for (index, register) in registers.0.into_iter().enumerate().filter(|(_, register)| *register > 0) {
            push(out, id, Statistic::Distinct(index as u8), f64::from(register));
        }
    }

    fn peek(&self, _now: Moment) -> f64 {
        self.0.estimate()
    }
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
