//! Readers that skip: what they read next, and what they leave out.
//!
//! A reader that takes every second shot of a film, or one plane of each frame, jumps by the same distance again and again.
//! To the window it looks like several clusters, or like scattered reads; buffered as such, either the gaps are fetched too or
//! every run begins with a wait. So reads are also followed as *streams*: a stream is a chain of runs, a run what was read in
//! one piece. A read that touches a run extends it; another that lies ahead is a jump of the nearest stream behind it.
//!
//! A jump alone tells where the present run will probably end and the next one begin, if the one before was very long: of
//! what is beyond only that next run is fetched ([`Stride::is_certain`] is false), which a reader that does not jump again
//! reads too. When jumps of one length have repeated, all of the stream's coming runs are known, and are fetched as a
//! sequential reader's next bytes would be.
//!
//! Reads come a little out of order, since the kernel asks for several at a time: a short jump of a long run is taken for such a
//! read that came early, until more is read after it than the kernel asks for at a time; what is still read of a run after the
//! next jump came late. A jump whose gap is then read was none. A stream that is read on before its last jump was two readers,
//! and becomes two streams.

use std::collections::VecDeque;
use std::ops::Range;

use crate::plan::window::{Read, WINDOW};

/// How many streams are followed: one for each read of the window.
const MOST_STREAMS: usize = WINDOW;
/// How many runs of a stream are remembered: those of the most jumps that must be equal, and one more.
const MOST_RUNS: usize = 5;
/// From this length on a run counts as long: what the kernel asks for at most in one read, so that it was several.
const LONG: u64 = 1 << 20;
/// From this length on a run is long enough to suspect an end after as much from one jump alone. What is read of a file's
/// beginning before the first seek is shorter.
const VERY_LONG: u64 = 16 << 20;
/// How many equal jumps make long runs certain. Each costs one wait.
const JUMPS_OF_LONG: usize = 2;
/// How many equal jumps make short runs certain. Scattered reads have two equal distances in a row by chance.
const JUMPS_OF_SHORT: usize = 3;
/// How long ago, in reads, a stream of short runs may have been read for a read to be its jump. A stride's reads follow one
/// another, with those of a few other readers between them; scattered reads would find a stream behind them by chance.
const RECENT: u64 = 4;
/// By how much distances that count as equal may differ: the kernel reads whole pages.
const JITTER: u64 = 8 << 10;
/// By how much a long run may be longer than the ones before: what the kernel reads ahead of the program.
const OVERSHOOT: u64 = 2 << 20;
/// How far beyond a run's end a read may be that came before those between, or after the next jump, and at most a quarter of the
/// longest run: what the kernel asks for at a time, twice its reading ahead.
const EARLY: u64 = 4 << 20;
/// What is fetched beyond the expected end of a long run at most, and at most a sixteenth of it: the kernel's requests begin
/// at other places in each run and so end at others, and one that lacks its last bytes would wait for a round trip.
const SLACK: u64 = 128 << 10;
/// Gaps up to this length are never worth skipping: pieces are fetched in whole pages, which must not meet.
const SHORTEST_GAP: u64 = 8 << 10;
/// Gaps up to this length, and up to an eighth of the run before them, are read over and not left out: one connection
/// transfers that much in the time of a round trip.
const WORTH_SKIPPING: u64 = 1 << 20;

/// How a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stride {
    /// Where its present run began.
    pub start: u64,
    /// How long its runs are, in bytes; shorter than the period.
    pub length: u64,
    /// From the beginning of a run to that of the next, in bytes.
    pub period: u64,
    /// Whether all next runs are known, and not only where this one will probably end and the next one begin.
    pub is_certain: bool,
}

impl Stride {
    /// What is left out between two runs, in bytes.
    fn gap(&self) -> u64 {
        self.period - self.length
    }

    /// Where the next run begins.
    fn next_start(&self) -> u64 {
        self.start.saturating_add(self.period)
    }

    /// Up to `size` bytes that are read from `from` on, in order, and for each piece whether it ends where a run does.
    pub fn ahead(&self, from: u64, size: u64, until: u64) -> Vec<(Range<u64>, bool)> {
        let (mut pieces, mut left, mut start) = (Vec::new(), size, self.start);
        let mut at = from;
        let slack = if self.length >= LONG { SLACK.min(self.length / 16) } else { 0 };
        let length = (self.length + slack).min(self.period);
        let mut runs = if self.is_certain { u64::MAX } else { 2 };
        loop {
            let end = start.saturating_add(length).max(from).min(until);
            let taken = left.min(end.saturating_sub(at));
            if taken > 0 {
                pieces.push((at..at + taken, at + taken == end));
                left -= taken;
            }
            start = start.saturating_add(self.period);
            runs -= 1;
            if left == 0 || runs == 0 || start >= until {
                return pieces;
            }
            // What came early may lie in a coming run.
            at = start.max(end);
        }
    }
}

#[derive(Clone, Debug)]
struct Stream {
    object: u32,
    /// In order, with gaps between them; never empty.
    runs: VecDeque<Range<u64>>,
    /// Where the last run but one ended when it was left for the last.
    left: u64,
    /// When it was last read, in reads.
    last_use: u64,
}

impl Stream {
    fn end(&self) -> u64 {
        self.runs.back().map_or(0, |run| run.end)
    }

    /// Whether the last run is of reads that came early, and belongs to the one before it.
    fn is_early(&self) -> bool {
        let settled = self.runs.len() - 1;
        let Some(before) = settled.checked_sub(1) else { return false };
        let (before, last) = (&self.runs[before], &self.runs[settled]);
        let is_expected = |stride: Stride| stride.next_start().abs_diff(last.start) <= JITTER;
        last.end - before.end <= self.disorder() && !self.stride_of(settled).is_some_and(is_expected)
    }

    /// How many runs there are without one that came early.
    fn settled(&self) -> usize {
        self.runs.len() - usize::from(self.is_early())
    }

    /// How far from its place in the order a read may come.
    fn disorder(&self) -> u64 {
        let longest = self.runs.iter().map(|run| run.end - run.start).max().unwrap_or(0);
        if longest >= LONG { EARLY.min(longest / 4) } else { 0 }
    }

    /// Takes a read up that touches one of the runs. `Some` when it was two readers: the runs of the other.
    fn extend(&mut self, read: &Read) -> Option<VecDeque<Range<u64>>> {
        let mut at = self.runs.iter().rposition(|run| touches(run, read))?;
        self.runs[at].start = self.runs[at].start.min(read.offset);
        self.runs[at].end = self.runs[at].end.max(read.end());
        while at + 1 < self.runs.len() && self.runs[at].end >= self.runs[at + 1].start {
            self.runs[at].end = self.runs[at].end.max(self.runs[at + 1].end);
            self.runs.remove(at + 1);
        }
        while at > 0 && self.runs[at - 1].end >= self.runs[at].start {
            self.runs[at - 1].end = self.runs[at - 1].end.max(self.runs[at].end);
            self.runs.remove(at);
            at -= 1;
        }
        let is_late =
            at + 2 == self.runs.len() && self.runs[at].end.saturating_sub(self.left) <= self.disorder();
        let is_other = at + 1 < self.runs.len() && !is_late && !self.is_early();
        is_other.then(|| self.runs.split_off(at + 1))
    }

    /// Takes up a read that begins a run. Where the stream was to jump to is known, and the kernel asks for a long run's beginning
    /// in several reads that come in any order: a later one of them first is still that jump.
    fn jump(&mut self, read: &Read) {
        let is_later = |start: &u64| read.offset > *start && read.offset - start <= LONG;
        let expected = self.stride().map(|stride| stride.next_start()).filter(is_later);
        let start = expected.filter(|_| self.is_long()).unwrap_or(read.offset);
        if self.is_early()
            && let Some(early) = self.runs.pop_back()
            && let Some(run) = self.runs.back_mut()
        {
            run.end = early.end;
        }
        self.left = self.end();
        if self.runs.len() == MOST_RUNS {
            self.runs.pop_front();
        }
        self.runs.push_back(start..read.end());
    }

    fn may_jump(&self, now: u64) -> bool {
        now - self.last_use <= if self.is_long() { WINDOW as u64 } else { RECENT }
    }

    fn is_long(&self) -> bool {
        self.runs.back().is_some_and(|run| run.end - run.start >= LONG)
    }

    fn stride(&self) -> Option<Stride> {
        self.stride_of(self.settled())
    }

    /// What the first of the runs tell.
    fn stride_of(&self, runs: usize) -> Option<Stride> {
        let last = runs.checked_sub(2)?;
        let period = |jump: usize| self.runs[jump + 1].start - self.runs[jump].start;
        let length = |run: usize| self.runs[run].end - self.runs[run].start;
        let known = period(last);
        let jumps = 1 + (0..last).rev().take_while(|&jump| period(jump).abs_diff(known) <= JITTER).count();
        let longest = (last + 1 - jumps..=last).map(length).max()?;
        let is_long = longest >= LONG;
        let is_certain = jumps >= if is_long { JUMPS_OF_LONG } else { JUMPS_OF_SHORT };
        let goes_on = length(last + 1) > longest + if is_long { OVERSHOOT } else { JITTER };
        if goes_on || longest >= known || !(is_certain || longest >= VERY_LONG) {
            return None;
        }
        Some(Stride { start: self.runs[last + 1].start, length: longest, period: known, is_certain })
    }
}

fn touches(run: &Range<u64>, read: &Read) -> bool {
    read.offset <= run.end && read.end() >= run.start
}

/// The streams of a mount.
#[derive(Clone, Debug, Default)]
pub struct Strides {
    streams: Vec<Stream>,
    now: u64,
}

impl Strides {
    /// Takes a read up. The gaps that a stream has left out for good, each once, if it has just jumped as was known.
    pub fn push(&mut self, read: &Read) -> Vec<Range<u64>> {
        if read.len == 0 {
            return Vec::new();
        }
        self.now += 1;
        let now = self.now;
        let mut same = self.streams.iter_mut().filter(|stream| stream.object == read.object);
        if let Some(stream) = same.find(|stream| stream.runs.iter().any(|run| touches(run, read))) {
            let last_use = std::mem::replace(&mut stream.last_use, now);
            if let Some(runs) = stream.extend(read) {
                self.add(Stream { object: read.object, left: runs[0].start, runs, last_use });
            }
            return Vec::new();
        }
        let behind = self
            .streams
            .iter_mut()
            .filter(|stream| {
                stream.object == read.object && stream.end() < read.offset && stream.may_jump(now)
            })
            .max_by_key(|stream| stream.end());
        let Some(stream) = behind else {
            let runs = std::iter::once(read.offset..read.end()).collect();
            self.add(Stream { object: read.object, runs, left: read.offset, last_use: now });
            return Vec::new();
        };
        stream.last_use = now;
        let is_certain = |stream: &Stream| stream.stride().is_some_and(|stride| stride.is_certain);
        let was_certain = is_certain(stream);
        stream.jump(read);
        // What lies before a read that came early is still to be read.
        if stream.is_early() || !is_certain(stream) {
            return Vec::new();
        }
        let told = if was_certain { stream.runs.len() - 2 } else { 0 };
        let jumps = stream.runs.iter().zip(stream.runs.iter().skip(1));
        jumps.skip(told).map(|(run, next)| run.end..next.start).collect()
    }

    fn add(&mut self, stream: Stream) {
        if self.streams.len() == MOST_STREAMS {
            let oldest = self.streams.iter().enumerate().min_by_key(|(_, stream)| stream.last_use);
            if let Some((oldest, _)) = oldest {
                self.streams.swap_remove(oldest);
            }
        }
        self.streams.push(stream);
    }

    /// How the stream goes on that this read is of, if it skips what is worth skipping.
    pub fn of(&self, read: &Read) -> Option<Stride> {
        let mut same = self.streams.iter().filter(|stream| stream.object == read.object);
        let is_present =
            |stream: &&Stream| stream.runs.range(stream.settled() - 1..).any(|run| touches(run, read));
        let stream = same.find(is_present)?;
        stream
            .stride()
            .filter(|stride| stride.gap() > WORTH_SKIPPING.min(stride.length / 8).max(SHORTEST_GAP))
    }

    /// What the readers that skip for certain leave out.
    pub fn gaps(&self) -> Gaps {
        let of = |stream: &Stream| {
            let stride = stream.stride().filter(|stride| stride.is_certain)?;
            // Runs that the kernel read on less far after have longer gaps.
            let more = if stride.length >= LONG { OVERSHOOT } else { JITTER };
            Some(KnownGap { object: stream.object, longest: stride.gap() + more, until: stream.end() })
        };
        Gaps(self.streams.iter().filter_map(of).collect())
    }
}

#[derive(Clone, Copy, Debug)]
struct KnownGap {
    object: u32,
    longest: u64,
    until: u64,
}

/// The gaps of the readers that skip.
#[derive(Clone, Debug)]
pub struct Gaps(Vec<KnownGap>);

impl Gaps {
    /// Whether this is one of them, so that what lies before and after it is one piece to its reader. Earlier runs are
    /// forgotten, so it is told by its length alone.
    pub fn has(&self, object: u32, gap: &Range<u64>) -> bool {
        let is_in = |known: &KnownGap| {
            known.object == object && gap.end - gap.start <= known.longest && gap.end <= known.until
        };
        self.0.iter().any(is_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    fn read(offset: u64, len: u64) -> Read {
        Read { object: 0, offset, len }
    }

    /// Runs of `length` every `period`, read in steps.
    fn runs(count: u64, length: u64, period: u64, step: u64) -> Vec<Read> {
        let run = |i: u64| (0..length / step).map(move |k| read(i * period + k * step, step));
        (0..count).flat_map(run).collect()
    }

    fn after(reads: &[Read]) -> Option<Stride> {
        let mut strides = Strides::default();
        for read in reads {
            strides.push(read);
        }
        strides.of(reads.last()?)
    }

    #[test]
    fn long_runs_are_suspected_after_one_jump_and_certain_after_two() {
        let reads = runs(3, 40 * MIB, 50 * MIB, MIB);
        assert_eq!(after(&reads[..40]), None);
        let known = Stride { start: 50 * MIB, length: 40 * MIB, period: 50 * MIB, is_certain: false };
        assert_eq!(after(&reads[..41]), Some(known));
        assert_eq!(after(&reads[..81]), Some(Stride { start: 100 * MIB, is_certain: true, ..known }));
    }

    #[test]
    fn a_reader_that_goes_on_where_it_jumped_before_skips_no_more() {
        let mut reads = runs(2, 40 * MIB, 50 * MIB, MIB);
        reads.extend((90..93).map(|at| read(at * MIB, MIB)));
        assert_eq!(after(&reads), None);
    }

    #[test]
    fn a_seek_after_a_files_beginning_tells_nothing() {
        let mut reads = runs(1, 4 * MIB, 4 * MIB, MIB);
        reads.push(read(100 * MIB, MIB));
        assert_eq!(after(&reads), None);
    }

    #[test]
    fn short_runs_are_certain_after_three_jumps() {
        let reads = runs(4, 64 * KIB, 256 * KIB, 64 * KIB);
        assert_eq!(after(&reads[..3]), None);
        let known = Stride { start: 768 * KIB, length: 64 * KIB, period: 256 * KIB, is_certain: true };
        assert_eq!(after(&reads), Some(known));
    }

    #[test]
    fn gaps_that_are_not_worth_skipping_are_read_over() {
        assert_eq!(after(&runs(6, 64 * KIB, 68 * KIB, 64 * KIB)), None);
        assert_eq!(after(&runs(3, 40 * MIB, 41 * MIB, MIB)), None);
    }

    #[test]
    fn what_comes_out_of_order_is_no_jump() {
        let mut reads = runs(1, 16 * MIB, 16 * MIB, MIB);
        reads.swap(4, 5);
        reads.swap(9, 10);
        assert_eq!(after(&reads), None);
    }

    /// The kernel asks for up to four pieces at a time, and threads take them in any order.
    #[test]
    fn what_comes_early_changes_nothing_of_a_stride() {
        for distance in 1..=3 {
            let mut reads = runs(6, 40 * MIB, 50 * MIB, MIB);
            let (present, jump) = (3 * 40 + 20, 4 * 40);
            reads[present..=present + distance].rotate_right(1);
            let mut strides = Strides::default();
            for (at, read) in reads.iter().enumerate() {
                let gaps = strides.push(read);
                assert!(gaps.iter().all(|gap| gap.end - gap.start == 10 * MIB), "{gaps:?}");
                let start = read.offset / (50 * MIB) * 50 * MIB;
                let known = Stride { start, length: 40 * MIB, period: 50 * MIB, is_certain: true };
                assert!(at < 2 * 40 || strides.of(read) == Some(known), "{at}, {distance} early");
            }
            // The beginning of a run, or the end of the one before it.
            let (mut begins, mut ends) = (runs(6, 40 * MIB, 50 * MIB, MIB), runs(6, 40 * MIB, 50 * MIB, MIB));
            begins.swap(jump, jump + 1);
            ends[jump - 1 - distance..jump].rotate_right(1);
            ends[jump - distance..=jump].rotate_right(1);
            let (mut last, mut young) = (runs(6, 40 * MIB, 50 * MIB, MIB), runs(6, 40 * MIB, 50 * MIB, MIB));
            last[jump - 1..jump + distance].rotate_left(1);
            young[jump + 1..=jump + 1 + distance].rotate_right(1);
            let known = Stride { start: 200 * MIB, length: 40 * MIB, period: 50 * MIB, is_certain: true };
            for reads in [begins, ends, last, young] {
                assert_eq!(
                    after(&reads[..jump + 4]),
                    Some(known),
                    "{distance}: {:?}",
                    &reads[jump - 4..jump + 4]
                );
            }
        }
    }

    #[test]
    fn short_gaps_of_long_runs_are_gaps_all_the_same() {
        let reads = runs(4, 24 * MIB, 27 * MIB, MIB);
        let known = Stride { start: 81 * MIB, length: 24 * MIB, period: 27 * MIB, is_certain: true };
        assert_eq!(after(&reads), Some(known));
    }

    #[test]
    fn two_readers_are_two_streams() {
        let mut reads = Vec::new();
        for i in 0..20 {
            reads.extend([read(i * MIB, MIB), read(100 * MIB + i * MIB, MIB)]);
        }
        assert_eq!(after(&reads), None);
        assert_eq!(after(&reads[..39]), None);
    }

    #[test]
    fn scattered_reads_have_no_stride() {
        let mut strides = Strides::default();
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let one = read((seed >> 33) % 4096 * 64 * KIB, 64 * KIB);
            strides.push(&one);
            assert_eq!(strides.of(&one).filter(|stride| stride.is_certain && stride.length < LONG), None);
        }
    }

    #[test]
    fn what_is_ahead_leaves_the_gaps_out() {
        let stride = Stride { start: 100, length: 40, period: 50, is_certain: true };
        let pieces = [(110..140, true), (150..190, true), (200..205, false)];
        assert_eq!(stride.ahead(110, 75, 1000), pieces);
        assert_eq!(stride.ahead(110, 75, 160), [(110..140, true), (150..160, true)]);
        // Beyond the run's end: the next piece is the next run.
        assert_eq!(stride.ahead(145, 10, 1000), [(150..160, false)]);
        // Within the next run, or beyond it.
        assert_eq!(stride.ahead(160, 40, 1000), [(160..190, true), (200..210, false)]);
        assert_eq!(stride.ahead(195, 10, 1000), [(200..210, false)]);
        let suspected = Stride { is_certain: false, ..stride };
        assert_eq!(suspected.ahead(110, 75, 1000), [(110..140, true), (150..190, true)]);
        assert_eq!(suspected.ahead(140, 75, 1000), [(150..190, true)]);
        // A long run may end a little later.
        let long = Stride { start: 0, length: 32 * MIB, period: 40 * MIB, is_certain: false };
        assert_eq!(
            long.ahead(30 * MIB, 4 * MIB, 1 << 40),
            [(30 * MIB..32 * MIB + SLACK, true), (40 * MIB..42 * MIB - SLACK, false)]
        );
    }

    #[test]
    fn gaps_of_a_stride_are_told_when_it_is_certain() {
        let mut strides = Strides::default();
        let told: Vec<Vec<Range<u64>>> =
            runs(4, 2 * MIB, 10 * MIB, MIB).iter().map(|read| strides.push(read)).collect();
        assert_eq!(told[4], [2 * MIB..10 * MIB, 12 * MIB..20 * MIB]);
        assert_eq!(told[6], vec![22 * MIB..30 * MIB; 1]);
        assert!(told.iter().enumerate().all(|(i, gaps)| i == 4 || i == 6 || gaps.is_empty()));
        let gaps = strides.gaps();
        assert!(gaps.has(0, &(2 * MIB..10 * MIB)) && !gaps.has(1, &(2 * MIB..10 * MIB)));
        assert!(!gaps.has(0, &(2 * MIB..13 * MIB)));
    }
}
