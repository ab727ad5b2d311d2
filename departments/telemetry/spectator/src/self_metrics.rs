//! What the agent tells about itself, under the names that spectatord uses.
//!
//! They are made at each flush from totals that only grow, beside the registry, so no flood of ids can push them out.

use std::time::Duration;

use backlot_meters::{Id, Measurement, Statistic};

use crate::publish::Outcome;
use crate::registry::{Size, Tally};

/// The queue of a UDP socket, from the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Bytes that wait.
    pub(crate) waiting: u64,
    /// Datagrams that the kernel has dropped since the socket was opened, because the queue was full.
    pub(crate) dropped: u64,
}

/// The totals as they were last told.
#[derive(Debug)]
pub(crate) struct SelfMetrics {
    process: String,
    tally: Tally,
    dropped_by_kernel: u64,
}

/// How things stand.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    pub(crate) tally: Tally,
    pub(crate) size: Size,
    pub(crate) queue: Queue,
    pub(crate) uptime: Duration,
    /// Of the flush before: what this one comes to is not known yet.
    pub(crate) published: &'a Outcome,
    /// Measurements of this flush, without these.
    pub(crate) measurements: usize,
}

impl SelfMetrics {
    pub(crate) fn new(process: String) -> Self {
        Self { process, tally: Tally::default(), dropped_by_kernel: 0 }
    }

    /// What has changed since the last time.
    pub(crate) fn measure(&mut self, now: &Standing<'_>, out: &mut Vec<Measurement>) {
        let (was, is) = (std::mem::replace(&mut self.tally, now.tally), now.tally);
        let lost = now.queue.dropped.saturating_sub(self.dropped_by_kernel);
        self.dropped_by_kernel = now.queue.dropped;
        let counts = [
            ("parsedCount", None, is.parsed - was.parsed),
            ("parseErrors", None, is.refused - was.refused),
            ("parseWarnings", None, is.trailing - was.trailing),
            ("valuesIgnored", None, is.ignored - was.ignored),
            ("poolAccess", Some("hit"), is.hits - was.hits),
            ("poolAccess", Some("miss"), is.misses - was.misses),
            ("idsOverLimit", Some("folded"), is.folded - was.folded),
            ("idsOverLimit", Some("dropped"), is.dropped - was.dropped),
            ("metersExpired", None, is.expired - was.expired),
            ("udpPacketsDropped", None, lost),
        ];
        for (name, id, count) in counts {
            push_count(out, own(name, id), count);
        }
        let gauges = [
            ("uptime", None, now.uptime.as_secs_f64()),
            ("percentileCacheSize", Some("timer"), now.size.percentile_timers as f64),
            ("percentileCacheSize", Some("dist-summary"), now.size.percentile_summaries as f64),
            ("poolEntries", None, now.size.spellings as f64),
            ("poolAllocSize", None, now.size.bytes as f64),
        ];
        for (name, id, value) in gauges {
            push(out, own(name, id), Statistic::Gauge, value);
        }
        push(out, own("udpRxQueue", None), Statistic::Max, now.queue.waiting as f64);
        self.push_published(now.published, out);
        let size = self.of_process("spectator.registrySize");
        let measurements = now.measurements as f64;
        push(out, size.clone(), Statistic::Count, 1.0);
        push(out, size.clone(), Statistic::TotalAmount, measurements);
        push(out, size.clone(), Statistic::TotalOfSquares, measurements * measurements);
        push(out, size, Statistic::Max, measurements);
    }

    fn push_published(&self, published: &Outcome, out: &mut Vec<Measurement>) {
        let id = self.of_process("spectator.measurements");
        let dropped = id.with("id", "dropped");
        push_count(out, id.with("id", "sent"), published.sent);
        push_count(out, dropped.with("error", "validation"), published.invalid);
        push_count(out, dropped.with("error", "http-error"), published.http_error);
        push_count(out, dropped.with("error", "other"), published.other);
    }

    fn of_process(&self, name: &str) -> Id {
        Id::new(name).with("nf.process", &self.process)
    }
}

fn own(name: &str, id: Option<&str>) -> Id {
    let meter = Id::new(&format!("spectatord.{name}"));
    id.map_or(meter.clone(), |id| meter.with("id", id))
}

fn push_count(out: &mut Vec<Measurement>, id: Id, count: u64) {
    if count > 0 {
        push(out, id, Statistic::Count, count as f64);
    }
}

fn push(out: &mut Vec<Measurement>, id: Id, statistic: Statistic, value: f64) {
    out.push(Measurement { id, statistic, value });
}
