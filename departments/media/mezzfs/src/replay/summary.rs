//! What a replay amounts to.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::{Operation, Replay};

/// The figures of a replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Files that were opened.
    pub opens: u64,
    /// Reads.
    pub reads: u64,
    /// Reads that failed.
    pub failed: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes read, each place counted once.
    pub distinct_bytes: u64,
    /// Requests.
    pub fetches: u64,
    /// Bytes fetched.
    pub fetched_bytes: u64,
    /// Bytes fetched for each byte read.
    pub amplification: f64,
    /// Time that programs waited in reads, in seconds; reads at a time add up.
    pub reading_seconds: f64,
    /// From the beginning of the first read to the end of the last, in seconds.
    pub seconds: f64,
    /// Bytes read in a second of that, in MB.
    pub megabytes_per_second: f64,
    /// The time of a read, in microseconds: half of the reads were faster.
    pub median_microseconds: u64,
    /// 99 of 100 reads were faster.
    pub p99_microseconds: u64,
    /// Whether the recording was ended, not killed.
    pub is_complete: bool,
}

impl Summary {
    /// The figures of this replay.
    pub fn of(replay: &Replay) -> Self {
        let mut summary = Self { is_complete: replay.counters.is_some(), ..Self::default() };
        let mut took = Vec::new();
        let mut places: HashMap<u32, Vec<Range<u64>>> = HashMap::new();
        let (mut begin, mut end) = (u64::MAX, 0);
        for record in &replay.records {
            match record.operation {
                Operation::Open => summary.opens += 1,
                Operation::Fetch => {
                    summary.fetches += 1;
                    summary.fetched_bytes += if record.is_ok { record.len } else { 0 };
                }
                Operation::Read => {
                    summary.reads += 1;
                    begin = begin.min(record.at.saturating_sub(record.took));
                    end = end.max(record.at);
                    took.push(record.took);
                    if record.is_ok {
                        summary.read_bytes = summary.read_bytes.saturating_add(record.len);
                        places
                            .entry(record.object)
                            .or_default()
                            .push(record.offset..record.offset + record.len);
                    } else {
                        summary.failed += 1;
                    }
                }
            }
        }
        summary.distinct_bytes = places.into_values().map(covered).sum();
        took.sort_unstable();
        let rank =
            |share: f64| took.get(((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1)));
        summary.median_microseconds = rank(0.5).copied().unwrap_or_default();
        summary.p99_microseconds = rank(0.99).copied().unwrap_or_default();
        summary.reading_seconds = took.iter().fold(0.0, |sum, &micros| sum + micros as f64 / 1e6);
        summary.seconds = end.saturating_sub(begin) as f64 / 1e6;
        let ratio = |over: f64, under: f64| if under > 0.0 { over / under } else { 0.0 };
        summary.amplification = ratio(summary.fetched_bytes as f64, summary.read_bytes as f64);
        summary.megabytes_per_second = ratio(summary.read_bytes as f64 / 1e6, summary.seconds);
        summary
    }
}

/// How many bytes these ranges cover.
fn covered(mut ranges: Vec<Range<u64>>) -> u64 {
    ranges.sort_unstable_by_key(|range| range.start);
    let (mut sum, mut until) = (0, 0);
    for range in ranges {
        sum += range.end.saturating_sub(range.start.max(until));
        until = until.max(range.end);
    }
    sum
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(
            f,
            "reads     {:>10}   {:.1} MiB, {:.1} MiB of it distinct",
            self.reads,
            mib(self.read_bytes),
            mib(self.distinct_bytes)
        )?;
        writeln!(
            f,
            "fetches   {:>10}   {:.1} MiB, {:.3} fetched for each byte read",
            self.fetches,
            mib(self.fetched_bytes),
            self.amplification
        )?;
        writeln!(f, "opens     {:>10}", self.opens)?;
        writeln!(f, "failed    {:>10}", self.failed)?;
        writeln!(
            f,
            "time      {:>9.3}s   {:.1} MB/s; {:.3} s spent in reads",
            self.seconds, self.megabytes_per_second, self.reading_seconds
        )?;
        write!(
            f,
            "a read    {:>8}us   median; 99 of 100 within {} us",
            self.median_microseconds, self.p99_microseconds
        )?;
        if !self.is_complete {
            write!(f, "\nthe recording was not ended: its writer was killed")?;
        }
        Ok(())
    }
}
