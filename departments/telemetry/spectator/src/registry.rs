//! The meters that clients update by lines, and what they give each interval.
//!
//! One `Registry` holds all meters of the agent. [`Registry::record`] finds a meter by the bytes of the id *as they were sent*, a
//! lookup without parsing or memory; only an id that was not seen before is read, cleaned and looked up in its canonical form,
//! so that tags in another order reach the same meter. [`Registry::flush`] takes what was measured, resets what begins again,
//! and drops what has been idle too long. Nothing here reads a clock or a socket: time is an argument.
//!
//! # When there are too many ids
//!
//! Memory is bounded by [`Limits`], not by what clients send. An id over the limit is *folded*: counters, timers, summaries
//! and max gauges go on under their name with the one tag `overflow=ids`, so that totals stay right and only the tags are lost.
//! Meters that mean nothing when they are put together (gauges, ages, monotonic counters) are dropped. Both are counted and
//! told. A name has its own limit within that of all, so that one with runaway tags leaves room for the others.

mod budget;
mod family;
mod state;

use std::time::Duration;

use backlot_meters::{Id, Measurement};

pub use budget::Limits;
pub(crate) use family::Flushing;

use budget::{Budget, Fold};
use family::{Cursor, Family};
use state::{
    Age, Counter, Gauge, MaxGauge, Monotonic, MonotonicUint, Sampled, Sketch, State, Summary, Timer,
};

use crate::line::{Kind, Line, LineError, Rest, Value};
use crate::statsd::{StatsdError, StatsdKind, StatsdLine};

/// A moment on two clocks: what lives for a while is measured on one that never goes back, and ages are told on the one
/// that clients know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Since any fixed time, such as the start of the agent.
    pub monotonic: Duration,
    /// Since 1970.
    pub epoch: Duration,
}

/// What has happened since the registry was made. Every field only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines that were understood.
    pub parsed: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// Lines with something after their number, which was ignored.
    pub trailing: u64,
    /// Lines whose value no meter of their kind takes: negative, infinite, out of order, without a time; and DogStatsD's sets,
    /// events and service checks.
    pub ignored: u64,
    /// Lines whose id was known as it was sent.
    pub hits: u64,
    /// Lines whose id had to be read.
    pub misses: u64,
    /// Lines whose tags were lost, because there are too many ids.
    pub folded: u64,
    /// Lines that were lost, because there are too many ids or too many age gauges.
    pub dropped: u64,
    /// Meters that were dropped because they were idle.
    pub expired: u64,
}

/// How many meters there are, and what their ids take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Meters.
    pub meters: usize,
    /// Timers with percentiles.
    pub percentile_timers: usize,
    /// Summaries with percentiles.
    pub percentile_summaries: usize,
    /// Ids as they were sent.
    pub spellings: usize,
    /// Bytes of ids.
    pub bytes: usize,
}

/// The kinds of meters that are listed apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listed {
    /// `A`
    AgeGauges,
    /// `c`
    Counters,
    /// `d` and `D`
    DistributionSummaries,
    /// `g`
    Gauges,
    /// `m`
    MaxGauges,
    /// `C`
    MonotonicCounters,
    /// `U`
    MonotonicCountersUint,
    /// `X`
    MonotonicSampled,
    /// `S` and `s`
    Sketches,
    /// `t` and `T`
    Timers,
}

/// Kinds whose meters may be deleted by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletable {
    /// `A`
    AgeGauges,
    /// `g`
    Gauges,
}

/// All meters.
#[derive(Debug)]
pub struct Registry {
    budget: Budget,
    tally: Tally,
    counters: Family<Counter>,
    monotonic: Family<Monotonic>,
    monotonic_uint: Family<MonotonicUint>,
    sampled: Family<Sampled>,
    timers: Family<Timer>,
    summaries: Family<Summary>,
    gauges: Family<Gauge>,
    max_gauges: Family<MaxGauge>,
    ages: Family<Age>,
    sketches: Family<Sketch>,
    /// The id of a DogStatsD line as one piece.
    scratch: Vec<u8>,
}

impl Registry {
    /// An empty registry.
    pub fn new(limits: Limits) -> Registry {
        Registry {
            budget: Budget::new(limits),
            tally: Tally::default(),
            counters: Family::default(),
            monotonic: Family::default(),
            monotonic_uint: Family::default(),
            sampled: Family::default(),
            timers: Family::default(),
            summaries: Family::default(),
            gauges: Family::default(),
            max_gauges: Family::default(),
            ages: Family::default(),
            sketches: Family::default(),
            scratch: Vec::new(),
        }
    }

    /// Takes a datagram of lines of the Spectator protocol. Empty lines are skipped; each other line is counted as parsed or
    /// refused, and `on_refusal` told of those.
    pub fn record_lines(
        &mut self,
        datagram: &[u8],
        now: Moment,
        mut on_refusal: impl FnMut(&[u8], LineError),
    ) {
        for line in lines(datagram) {
            if let Err(error) = self.record(line, now) {
                on_refusal(line, error);
            }
        }
    }

    /// Takes a datagram of lines of DogStatsD.
    pub fn record_statsd_lines(
        &mut self,
        datagram: &[u8],
        now: Moment,
        mut on_refusal: impl FnMut(&[u8], StatsdError),
    ) {
        for line in lines(datagram) {
            if let Err(error) = self.record_statsd(line, now) {
                on_refusal(line, error);
            }
        }
    }

    /// Takes a line of the Spectator protocol.
    ///
    /// # Errors
    /// Why it is refused; then nothing has changed but the count of such lines.
    pub fn record(&mut self, line: &[u8], now: Moment) -> Result<(), LineError> {
        let recorded = Line::cut(line).and_then(|line| self.update(&line, now));
        match recorded {
            Ok(()) => self.tally.parsed += 1,
            Err(_) => self.tally.refused += 1,
        }
        recorded
    }

    fn update(&mut self, line: &Line<'_>, now: Moment) -> Result<(), LineError> {
        self.tally.trailing += u64::from(line.rest == Rest::Ignored);
        let (float, unsigned) = match line.value {
            Value::Float(float) => (float, 0),
            Value::Unsigned(unsigned) | Value::Hash(unsigned) => (0.0, unsigned),
        };
        let (budget, tally) = (&mut self.budget, &mut self.tally);
        let read = || line.id();
        match line.kind {
            Kind::Counter => {
                let found = self.counters.find(line.raw_id, read, Fold::ByName, budget, tally, now)?;
                record_in(found, tally, |counter| counter.add(float));
            }
            Kind::MonotonicCounter => {
                let found = self.monotonic.find(line.raw_id, read, Fold::Drop, budget, tally, now)?;
                record_in(found, tally, |monotonic| monotonic.set(float));
            }
            Kind::MonotonicCounterUint => {
                let found = self.monotonic_uint.find(line.raw_id, read, Fold::Drop, budget, tally, now)?;
                record_in(found, tally, |monotonic| monotonic.set(unsigned));
            }
            Kind::MonotonicSampled => {
                // Without a time a sample tells nothing. It makes no meter either, as in spectatord.
                let Some(millis) = line.extra else {
                    tally.ignored += 1;
                    return line.id().map(drop);
                };
                let found = self.sampled.find(line.raw_id, read, Fold::Drop, budget, tally, now)?;
                record_in(found, tally, |sampled| sampled.set(float, millis));
            }
            Kind::Timer => {
                let found = self.timers.find(line.raw_id, read, Fold::ByName, budget, tally, now)?;
                record_in(found, tally, |timer| timer.record_seconds(float));
            }
            Kind::PercentileTimer => {
                let found = self.timers.find(line.raw_id, read, Fold::ByName, budget, tally, now)?;
                record_in(found, tally, |timer| timer.record_percentile_seconds(float));
            }
            Kind::DistributionSummary => {
                let found = self.summaries.find(line.raw_id, read, Fold::ByName, budget, tally, now)?;
                record_in(found, tally, |summary| summary.record(float, 1.0));
            }
            Kind::PercentileDistributionSummary => {
                let found = self.summaries.find(line.raw_id, read, Fold::ByName, budget, tally, now)?;
                record_in(found, tally, |summary| summary.record_percentile(float));
            }
            Kind::DistinctCountSketch => {
                let found = self.sketches.find(line.raw_id, read, Fold::ByName, budget, tally, now)?;
                record_in(found, tally, |sketch| sketch.record(unsigned));
            }
            Kind::Gauge => {
                let found = self.gauges.find(line.raw_id, read, Fold::Drop, budget, tally, now)?;
                let seconds = line.extra.and_then(|seconds| u64::try_from(seconds).ok());
                let time_to_live = seconds.map(Duration::from_secs);
                record_in(found, tally, |gauge| gauge.set(float, time_to_live));
            }
            Kind::MaxGauge => {
                let found = self.max_gauges.find(line.raw_id, read, Fold::ByName, budget, tally, now)?;
                record_in(found, tally, |max| max.update(float));
            }
            Kind::AgeGauge => {
                let found = self.ages.find(line.raw_id, read, Fold::Drop, budget, tally, now)?;
                record_in(found, tally, |age| age.succeeded(float, now.epoch));
            }
        }
        Ok(())
    }

    /// Takes a line of DogStatsD.
    ///
    /// # Errors
    /// Why it is refused; then nothing has changed but the count of such lines.
    pub fn record_statsd(&mut self, line: &[u8], now: Moment) -> Result<(), StatsdError> {
        let recorded = StatsdLine::cut(line).and_then(|line| self.update_statsd(&line, now));
        match recorded {
            Ok(()) => self.tally.parsed += 1,
            Err(_) => self.tally.refused += 1,
        }
        recorded
    }

    fn update_statsd(&mut self, line: &StatsdLine<'_>, now: Moment) -> Result<(), StatsdError> {
        // No id of the Spectator protocol has a colon in it, so the spellings of both protocols stay apart.
        let raw = &mut self.scratch;
        raw.clear();
        raw.extend_from_slice(line.name);
        raw.push(b':');
        raw.extend_from_slice(line.raw_tags);
        let (budget, tally) = (&mut self.budget, &mut self.tally);
        let read = || line.id();
        match line.kind {
            StatsdKind::Counter => {
                let mut found = self.counters.find(raw, read, Fold::ByName, budget, tally, now)?;
                for value in line.values() {
                    record_in(found.as_deref_mut(), tally, |counter| counter.add(value / line.rate));
                }
            }
            StatsdKind::Gauge => {
                let mut found = self.gauges.find(raw, read, Fold::Drop, budget, tally, now)?;
                for value in line.values() {
                    record_in(found.as_deref_mut(), tally, |gauge| gauge.set(value, None));
                }
            }
            StatsdKind::Histogram => {
                let mut found = self.summaries.find(raw, read, Fold::ByName, budget, tally, now)?;
                for value in line.values() {
                    record_in(found.as_deref_mut(), tally, |summary| summary.record(value, line.repeats()));
                }
            }
            StatsdKind::Timing => {
                let mut found = self.timers.find(raw, read, Fold::ByName, budget, tally, now)?;
                for value in line.values() {
                    record_in(found.as_deref_mut(), tally, |timer| {
                        timer.record_milliseconds(value, line.repeats())
                    });
                }
            }
            StatsdKind::Ignored => {
                line.id()?;
                tally.ignored += 1;
            }
        }
        Ok(())
    }

    /// Takes what was measured since the last flush, all at once.
    pub fn flush(&mut self, now: Moment, out: &mut Vec<Measurement>) {
        let mut part = FlushPart::default();
        while self.flush_part(&mut part, usize::MAX, now, out) == Flushing::Unfinished {}
    }

    /// Takes what up to `limit` meters measured, beginning with where `part` stands. Between the parts of one flush lines may
    /// be recorded; each update is in exactly one flush.
    pub(crate) fn flush_part(
        &mut self,
        part: &mut FlushPart,
        limit: usize,
        now: Moment,
        out: &mut Vec<Measurement>,
    ) -> Flushing {
        let (budget, cursor) = (&mut self.budget, &mut part.cursor);
        let expired = &mut self.tally.expired;
        let flushed = match part.family {
            0 => self.ages.flush(cursor, limit, now, budget, expired, out),
            1 => self.counters.flush(cursor, limit, now, budget, expired, out),
            2 => self.summaries.flush(cursor, limit, now, budget, expired, out),
            3 => self.gauges.flush(cursor, limit, now, budget, expired, out),
            4 => self.max_gauges.flush(cursor, limit, now, budget, expired, out),
            5 => self.monotonic.flush(cursor, limit, now, budget, expired, out),
            6 => self.monotonic_uint.flush(cursor, limit, now, budget, expired, out),
            7 => self.sampled.flush(cursor, limit, now, budget, expired, out),
            8 => self.timers.flush(cursor, limit, now, budget, expired, out),
            9 => self.sketches.flush(cursor, limit, now, budget, expired, out),
            _ => return Flushing::Finished,
        };
        if flushed == Flushing::Finished {
            part.family += 1;
            part.cursor = Cursor::default();
        }
        Flushing::Unfinished
    }

    /// What has happened so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// How many meters there are.
    pub fn size(&self) -> Size {
        let meters = self.counters.len()
            + self.monotonic.len()
            + self.monotonic_uint.len()
            + self.sampled.len()
            + self.timers.len()
            + self.summaries.len()
            + self.gauges.len()
            + self.max_gauges.len()
            + self.ages.len()
            + self.sketches.len();
        let spellings = self.counters.spellings()
            + self.monotonic.spellings()
            + self.monotonic_uint.spellings()
            + self.sampled.spellings()
            + self.timers.spellings()
            + self.summaries.spellings()
            + self.gauges.spellings()
            + self.max_gauges.spellings()
            + self.ages.spellings()
            + self.sketches.spellings();
        Size {
            meters,
            percentile_timers: self.timers.states().filter(|timer| timer.has_buckets()).count(),
            percentile_summaries: self.summaries.states().filter(|summary| summary.has_buckets()).count(),
            spellings,
            bytes: self.budget.bytes(),
        }
    }

    /// The meters of a kind and the value of each as it stands, for people: of a timer its total in nanoseconds, of a summary
    /// its total, of a monotonic counter what was added since the last flush, of a sketch its estimate.
    pub fn list(&self, kind: Listed, now: Moment) -> Vec<(Id, f64)> {
        match kind {
            Listed::AgeGauges => self.ages.list(now),
            Listed::Counters => self.counters.list(now),
            Listed::DistributionSummaries => self.summaries.list(now),
            Listed::Gauges => self.gauges.list(now),
            Listed::MaxGauges => self.max_gauges.list(now),
            Listed::MonotonicCounters => self.monotonic.list(now),
            Listed::MonotonicCountersUint => self.monotonic_uint.list(now),
            Listed::MonotonicSampled => self.sampled.list(now),
            Listed::Sketches => self.sketches.list(now),
            Listed::Timers => self.timers.list(now),
        }
    }

    /// Deletes a meter, or all of their kind; tells how many.
    pub fn delete(&mut self, kind: Deletable, id: Option<&Id>) -> usize {
        match kind {
            Deletable::AgeGauges => self.ages.delete(id, &mut self.budget),
            Deletable::Gauges => self.gauges.delete(id, &mut self.budget),
        }
    }
}

/// How far a flush in parts has come.
#[derive(Debug, Default)]
pub(crate) struct FlushPart {
    family: usize,
    cursor: Cursor,
}

/// Updates a meter, if the line has one, and counts values that it does not take.
fn record_in<M: State>(found: Option<&mut M>, tally: &mut Tally, update: impl FnOnce(&mut M) -> Taken) {
    if let Some(meter) = found
        && update(meter) == Taken::Ignored
    {
        tally.ignored += 1;
    }
}

/// Whether a meter took a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It did.
    Recorded,
    /// Its kind has no use for such a value.
    Ignored,
}

/// The lines of a datagram that are not empty.
fn lines(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            if !line.is_empty() {
                return Some(line);
            }
        }
    })
}

#[cfg(test)]
mod tests;
