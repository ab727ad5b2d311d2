//! The planner: one read in, one plan out.
//!
//! A read that is wholly buffered needs nothing, except that a dense reader's buffer is topped up behind its back, so that it
//! never waits for the next one. Any other read gets a buffer whose length the window's shape tells, from its first missing
//! byte on, within the region of the object that is mounted at all: of an object of which only some frames are mounted,
//! nothing between them is fetched. A long buffer is split into blocks that are fetched in parallel, since one
//! connection to an object store is limited. What a reader has skipped again and again is left out ([`Strides`]).
//!
//! Memory: blocks here and on their way never exceed [`Planner::max_buffer`]. When there is no room, a buffer shrinks to what
//! the read itself needs, and when there is none even for that the read waits ([`Plan::is_blocked`]) until a block arrives.

use std::ops::Range;

use crate::plan::blocks::{BlockId, Blocks, Evictable};
use crate::plan::stride::Strides;
use crate::plan::window::{Policy, Read, Window};

/// How a buffer is split into parallel requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parallel {
    /// How many requests a whole buffer is at least split into.
    pub ways: u64,
    /// The shortest block that splitting makes, in bytes: at 50 MB/s and 20 ms away, a round
    /// trip costs as much as the transfer. It is also the most that the kernel asks for at a time, and long blocks end at
    /// multiples of it, so that a read lies in one block and is handed over as it lies there.
    pub shortest: u64,
    /// The longest block, in bytes: one connection of 50 MB/s takes 80 ms for it.
    pub longest: u64,
    /// What blocks end at multiples of, in bytes: pages, which are what a cache keeps. Where two blocks met within a page,
    /// neither would have it whole.
    pub grain: u64,
}

impl Default for Parallel {
    fn default() -> Self {
        Self { ways: 16, shortest: 1 << 20, longest: 4 << 20, grain: 4096 }
    }
}

impl Parallel {
    /// One request for each buffer, however long.
    pub const ONE: Self = Self { ways: 1, shortest: 1, longest: u64::MAX, grain: 4096 };

    /// How buffers of this policy are split unless said. Those of a fixed length are not: that is the mount that the adaptive
    /// one is compared with.
    pub fn of(policy: Policy) -> Self {
        match policy {
            Policy::Adaptive => Self::default(),
            Policy::Fixed(_) => Self::ONE,
        }
    }

    /// The length of the blocks of a buffer of this size.
    fn block_len(&self, buffer: u64) -> u64 {
        let share = buffer / self.ways.max(1);
        let shortest = self.shortest.max(1);
        let len = share.clamp(shortest, self.longest.max(shortest));
        self.up(len.checked_next_multiple_of(shortest).unwrap_or(len))
    }

    /// Where a block from `start` to about `end` is best ended.
    fn cut(&self, start: u64, end: u64) -> u64 {
        let even = end / self.shortest.max(1) * self.shortest.max(1);
        if even > start { even } else { end }
    }

    /// The next place where a block may end.
    fn up(&self, at: u64) -> u64 {
        at.checked_next_multiple_of(self.grain.max(1)).unwrap_or(at)
    }

    /// The last place where a block may end.
    fn down(&self, at: u64) -> u64 {
        at / self.grain.max(1) * self.grain.max(1)
    }
}

/// One request: these bytes of this object become this block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The block.
    pub block: BlockId,
    /// The object.
    pub object: u32,
    /// Its bytes.
    pub range: Range<u64>,
}

/// What to do for a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The blocks whose bytes answer the read, in order. Some may be on their way.
    pub needed: Vec<BlockId>,
    /// What to fetch now, most urgent first.
    pub fetches: Vec<Fetch>,
    /// What to forget.
    pub evicted: Vec<BlockId>,
    /// There is no room: ask again when a block has arrived or failed. Nothing else is in the plan then.
    pub is_blocked: bool,
    /// Whether every byte was already buffered.
    pub is_hit: bool,
}

/// The planner of a mount.
#[derive(Clone, Debug)]
pub struct Planner {
    policy: Policy,
    parallel: Parallel,
    max_buffer: u64,
    window: Window,
    strides: Strides,
    blocks: Blocks,
    /// The bytes read so far: the planner's clock.
    now: u64,
}

impl Planner {
    /// A planner that never holds more than `max_buffer` bytes.
    pub fn new(policy: Policy, max_buffer: u64, parallel: Parallel) -> Self {
        Self {
            policy,
            parallel,
            max_buffer: max_buffer.max(1),
            window: Window::default(),
            strides: Strides::default(),
            blocks: Blocks::default(),
            now: 0,
        }
    }

    /// The limit for what is buffered and on its way, in bytes.
    pub fn max_buffer(&self) -> u64 {
        self.max_buffer
    }

    /// What is buffered and on its way, in bytes.
    pub fn bytes(&self) -> u64 {
        self.blocks.bytes()
    }

    /// Plans a read that is new. `region` is the part of the object around it that may be fetched; what of the read lies
    /// outside is not planned for.
    pub fn read(&mut self, read: Read, region: &Range<u64>) -> Plan {
        self.now += read.len;
        self.window.push(read);
        if self.policy == Policy::Adaptive {
            for gap in self.strides.push(&read) {
                self.blocks.skip(read.object, &gap);
            }
        }
        self.plan(read, region)
    }

    /// Plans a read again that was blocked.
    pub fn again(&mut self, read: Read, region: &Range<u64>) -> Plan {
        self.plan(read, region)
    }

    /// A block has arrived.
    pub fn arrived(&mut self, block: BlockId) {
        self.blocks.arrived(block);
    }

    /// A block's fetch has failed: it is forgotten, and a later read may try again.
    pub fn failed(&mut self, block: BlockId) {
        self.blocks.remove(block);
    }

    /// Whether a block has arrived.
    pub fn is_here(&self, block: BlockId) -> bool {
        self.blocks.is_here(block)
    }

    /// The bytes of a block.
    pub fn range(&self, block: BlockId) -> Option<Range<u64>> {
        self.blocks.range(block)
    }

    fn plan(&mut self, read: Read, region: &Range<u64>) -> Plan {
        let wanted = read.offset.max(region.start)..read.end().min(region.end);
        if wanted.is_empty() {
            return Plan { is_hit: true, ..Plan::default() };
        }
        let gaps = self.blocks.gaps(read.object, &wanted);
        let mut plan = Plan { is_hit: gaps.is_empty(), ..Plan::default() };
        if plan.is_hit {
            let needed = self.take_needed(read.object, &wanted);
            self.top_up(read, &wanted, region, &needed, &mut plan);
            plan.needed = needed;
            return plan;
        }

        let size = self.buffer_size(&read);
        let mut kept = self.blocks.meeting(read.object, &wanted);
        let mut gaps = gaps;
        let mut shortest: u64 = length(&gaps);
        match self.blocks.make_room(shortest, self.max_buffer, &kept, Evictable::Any) {
            Some(evicted) => plan.evicted = evicted,
            None if self.blocks.is_waiting() => {
                plan.is_blocked = true;
                return plan;
            }
            None => {
                // Only what the read itself meets is in the way. Nothing is coming that could be waited for, so that goes
                // too and is fetched again; a read longer than the memory is thus still answered.
                plan.evicted = self.blocks.clear();
                kept.clear();
                gaps = vec![wanted.clone()];
                shortest = wanted.end - wanted.start;
            }
        }

        // The read itself first; what follows it takes the room that is left, in parallel requests.
        let until = gaps[0].start.saturating_add(size).max(wanted.end);
        let ahead: Vec<Range<u64>> = self
            .ahead(&read, wanted.end, until - wanted.end, region)
            .into_iter()
            .flat_map(|(piece, _)| self.blocks.gaps(read.object, &piece))
            .collect();
        let extra = length(&ahead);
        let idle = self.idle();
        let mut room = if extra == 0 {
            0
        } else {
            self.blocks.room(self.max_buffer.saturating_sub(shortest), &kept, idle).min(extra)
        };
        if room > 0 {
            let freed = self.blocks.make_room(shortest + room, self.max_buffer, &kept, idle);
            match freed {
                Some(freed) => plan.evicted.extend(freed),
                None => room = 0,
            }
        }
        let mut ranges = gaps;
        for gap in ahead {
            let mut end = gap.start + (gap.end - gap.start).min(room);
            if end < gap.end {
                end = self.parallel.down(end).max(gap.start);
            }
            room -= end - gap.start;
            match ranges.last_mut() {
                Some(last) if last.end == gap.start => last.end = end,
                _ if gap.start < end => ranges.push(gap.start..end),
                _ => {}
            }
        }
        let block_len = self.parallel.block_len(size);
        for range in ranges {
            self.fetch(read.object, range, block_len, &mut plan);
        }
        plan.needed = self.take_needed(read.object, &wanted);
        plan
    }

    /// The length of a buffer for this read. To a reader that skips for certain its runs are one cluster; to all others they are
    /// what they are, or a read apart would be taken for a dense one.
    fn buffer_size(&self, read: &Read) -> u64 {
        let shape = if self.strides.of(read).is_some_and(|stride| stride.is_certain) {
            let known = self.strides.gaps();
            self.window.shape_over(|object, gap| known.has(object, gap))
        } else {
            self.window.shape()
        };
        self.policy.buffer_size(&shape, self.max_buffer)
    }

    /// What a reader wants next after `from`, about `size` bytes; and for each piece whether more of it than that is not wanted,
    /// rather than not wanted yet.
    fn ahead(&self, read: &Read, from: u64, size: u64, region: &Range<u64>) -> Vec<(Range<u64>, bool)> {
        if let Some(stride) = self.strides.of(read) {
            // Whole pages, like all blocks. Gaps are longer than that.
            let whole = |(piece, is_closed): (Range<u64>, bool)| {
                let start = if piece.start == from { from } else { self.parallel.down(piece.start) };
                (start..self.parallel.up(piece.end).min(region.end), is_closed)
            };
            return stride.ahead(from, size, region.end).into_iter().map(whole).collect();
        }
        let until = self.parallel.cut(from, self.parallel.up(from.saturating_add(size))).min(region.end);
        if from < until { vec![(from..until, until == region.end)] } else { Vec::new() }
    }

    /// What may go for the sake of reads that nobody has asked for yet. What was buffered ahead of a reader is read before
    /// all readers together have read as much as the memory holds; what was not by twice that has been skipped.
    fn idle(&self) -> Evictable {
        Evictable::Idle(self.now.saturating_sub(2 * self.max_buffer))
    }

    fn take_needed(&mut self, object: u32, wanted: &Range<u64>) -> Vec<BlockId> {
        let needed = self.blocks.meeting(object, wanted);
        for &block in &needed {
            self.blocks.touch(block, wanted, self.now);
        }
        needed
    }

    /// Fetches ahead of a dense reader, as far as its buffer's length goes and memory allows, in whole blocks.
    fn top_up(
        &mut self,
        read: Read,
        wanted: &Range<u64>,
        region: &Range<u64>,
        kept: &[BlockId],
        plan: &mut Plan,
    ) {
        let object = read.object;
        if self.policy != Policy::Adaptive {
            return;
        }
        let size = self.buffer_size(&read);
        let block_len = self.parallel.block_len(size);
        let idle = self.idle();
        for (piece, is_closed) in self.ahead(&read, wanted.end, size, region) {
            for gap in self.blocks.gaps(object, &piece) {
                // Less than a block is left for later, except where nothing follows.
                let len = gap.end - gap.start;
                let is_closed = is_closed || (gap.end < piece.end && size >= block_len);
                let due = if is_closed { len } else { len / block_len * block_len };
                if due == 0 {
                    continue;
                }
                let room = self.blocks.room(self.max_buffer, kept, idle);
                let mut end = gap.start + due.min(room);
                if end < gap.start + due {
                    end = self.parallel.down(end).max(gap.start);
                }
                let taken = end - gap.start;
                if taken < block_len.min(due) {
                    return;
                }
                let Some(evicted) = self.blocks.make_room(taken, self.max_buffer, kept, idle) else { return };
                plan.evicted.extend(evicted);
                self.fetch(object, gap.start..end, block_len, plan);
                if taken < due {
                    return;
                }
            }
        }
    }

    /// Splits a range that is free into blocks.
    fn fetch(&mut self, object: u32, range: Range<u64>, block_len: u64, plan: &mut Plan) {
        let mut start = range.start;
        while start < range.end {
            // A last piece of less than half a block goes with the one before it, or both are halved: what follows would wait for
            // a longer block.
            let left = range.end - start;
            let len = if left >= block_len + block_len / 2 {
                self.parallel.cut(start, start + block_len) - start
            } else if left > block_len && left >= 2 * self.parallel.shortest {
                self.parallel.up(self.parallel.cut(start, start + left / 2)) - start
            } else {
                left
            };
            let block = self.blocks.add(object, start..start + len, self.now);
            plan.fetches.push(Fetch { block, object, range: start..start + len });
            start += len;
        }
    }
}

fn length(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// What a trace of reads costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The fetches, in order.
    pub fetches: Vec<Fetch>,
    /// Bytes that were fetched.
    pub fetched: u64,
    /// Bytes that were read.
    pub read: u64,
    /// Reads for which every byte was already there or on its way.
    pub hits: u64,
    /// The most that was buffered at a time, in bytes.
    pub peak: u64,
}

/// Runs a trace with fetches that arrive before the next read. `regions` tells, for each read, what may be fetched around it.
pub fn simulate(
    mut planner: Planner,
    trace: impl IntoIterator<Item = Read>,
    mut regions: impl FnMut(&Read) -> Range<u64>,
) -> Outcome {
    let mut outcome = Outcome::default();
    for read in trace {
        let plan = planner.read(read, &regions(&read));
        debug_assert!(!plan.is_blocked || read.len > planner.max_buffer(), "everything has arrived");
        outcome.read += read.len;
        outcome.hits += u64::from(plan.is_hit);
        outcome.peak = outcome.peak.max(planner.bytes());
        outcome.fetched += plan.fetches.iter().map(|fetch| fetch.range.end - fetch.range.start).sum::<u64>();
        plan.fetches.iter().for_each(|fetch| planner.arrived(fetch.block));
        outcome.fetches.extend(plan.fetches);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use proptest::prelude::*;

    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;

    fn adaptive(max_buffer: u64) -> Planner {
        Planner::new(Policy::Adaptive, max_buffer, Parallel::default())
    }

    fn sequential(len: u64, step: u64) -> impl Iterator<Item = Read> {
        (0..len / step).map(move |i| Read { object: 0, offset: i * step, len: step })
    }

    /// Seconds that reads take of an object 20 ms away, 50 MB/s for each request, when what is buffered is read at 2 GB/s.
    fn seconds_far_away(reads: &[Read]) -> f64 {
        const WAY: f64 = 0.02;
        const FETCHED: f64 = 50e6;
        const READ: f64 = 2e9;
        let mut planner = adaptive(64 * MIB);
        let mut arriving: Vec<(f64, BlockId)> = Vec::new();
        let mut now = 0.0;
        for read in reads {
            let mut plan = planner.read(*read, &(0..1 << 40));
            while plan.is_blocked {
                now = arriving.iter().fold(f64::INFINITY, |first, (at, _)| at.min(first));
                arriving.retain(|(at, block)| {
                    *at > now || {
                        planner.arrived(*block);
                        false
                    }
                });
                plan = planner.again(*read, &(0..1 << 40));
            }
            for Fetch { block, range, .. } in &plan.fetches {
                arriving.push((now + WAY + (range.end - range.start) as f64 / FETCHED, *block));
            }
            let needed = arriving.iter().filter(|(_, block)| plan.needed.contains(block));
            now = needed.fold(now, |last, (at, _)| at.max(last)) + read.len as f64 / READ;
            arriving.retain(|(at, block)| {
                *at > now || {
                    planner.arrived(*block);
                    false
                }
            });
        }
        now
    }

    #[test]
    fn a_reader_that_skips_waits_hardly_more_than_one_that_does_not() {
        let all: Vec<Read> = sequential(1 << 30, MIB).collect();
        let rate =
            |reads: &[Read]| reads.iter().map(|read| read.len as f64).sum::<f64>() / seconds_far_away(reads);
        // Runs that begin and end in the middle of blocks.
        let (run, period) = (40_000_000, 50_000_000);
        let skipping: Vec<Read> = (0..20)
            .flat_map(|i| {
                sequential(run, MIB)
                    .chain(std::iter::once(Read { object: 0, offset: run / MIB * MIB, len: run % MIB }))
                    .map(move |read| Read { offset: i * period + read.offset, ..read })
            })
            .collect();
        let (all, skipping) = (rate(&all), rate(&skipping));
        assert!(all > 550e6, "{all}");
        assert!(skipping > all / 1.15, "{skipping} beside {all}");
    }

    #[test]
    fn a_sequential_reader_misses_once_and_fetches_each_byte_once() {
        let outcome = simulate(adaptive(64 * MIB), sequential(1 << 30, 128 * KIB), |_| 0..1 << 30);
        assert_eq!(outcome.fetched, 1 << 30);
        assert!(outcome.hits + 2 >= (1 << 30) / (128 * KIB), "{} hits", outcome.hits);
        assert!(outcome.peak <= 64 * MIB && outcome.peak > 56 * MIB, "{}", outcome.peak);
        assert!(outcome.fetches.len() < 700, "{} requests", outcome.fetches.len());
        assert!(outcome.fetches.iter().all(|fetch| fetch.range.end % 4096 == 0), "a page in two blocks");
    }

    #[test]
    fn scattered_reads_fetch_hardly_more_than_they_read() {
        // The article's sparse case: 32 MiB in reads of 64 KiB out of 1 GiB.
        let trace = || (0..512_u64).map(|i| (i * 7919 % 16_384) * 64 * KIB);
        let trace = || trace().map(|offset| Read { object: 0, offset, len: 64 * KIB });
        let ours = simulate(adaptive(64 * MIB), trace(), |_| 0..1 << 30);
        assert_eq!(ours.read, 32 * MIB);
        assert!(ours.fetched * 10 <= ours.read * 11, "{} of {}", ours.fetched, ours.read);
        let fixed = Planner::new(Policy::Fixed(8 * MIB), 64 * MIB, Parallel::default());
        let theirs = simulate(fixed, trace(), |_| 0..1 << 30);
        assert!(theirs.fetched > 5 * ours.fetched, "{}", theirs.fetched);
    }

    /// 40 MB of each 50: the two gaps that lie in the 64 MiB ahead of the first jump are fetched, of the others 1 MiB at most.
    #[test]
    fn what_is_skipped_again_and_again_is_not_fetched() {
        const SIZE: u64 = 500_000_000;
        for step in [128 * KIB, MIB] {
            let run = |start: u64| (start..start + 40_000_000).step_by(step as usize);
            let trace = (0..SIZE).step_by(50_000_000).flat_map(run);
            let trace = trace.map(|offset| Read { object: 0, offset: offset / 4096 * 4096, len: step });
            let outcome = simulate(adaptive(64 * MIB), trace, |_| 0..SIZE);
            assert!(
                outcome.fetched < outcome.read + 20_000_000 + 8 * MIB + MIB,
                "{} of {}",
                outcome.fetched,
                outcome.read
            );
            let missed = outcome.read / step - outcome.hits;
            assert!(missed <= 5, "{missed} missed in steps of {step}");
            assert!(outcome.peak <= 64 * MIB);
        }
    }

    /// One plane of each frame.
    #[test]
    fn short_runs_are_fetched_ahead_without_their_gaps() {
        let trace = (0..512).map(|i| Read { object: 0, offset: i * 256 * KIB, len: 64 * KIB });
        let outcome = simulate(adaptive(64 * MIB), trace, |_| 0..512 * 256 * KIB);
        assert!(outcome.fetched * 20 <= outcome.read * 21, "{} of {}", outcome.fetched, outcome.read);
        assert!(outcome.hits >= 500, "{} hits", outcome.hits);
    }

    #[test]
    fn a_fixed_buffer_is_one_request() {
        let planner = Planner::new(Policy::Fixed(8 * MIB), 64 * MIB, Parallel::of(Policy::Fixed(8 * MIB)));
        let outcome = simulate(planner, sequential(64 * MIB, 128 * KIB), |_| 0..64 * MIB);
        assert_eq!((outcome.fetches.len(), outcome.fetched), (8, 64 * MIB));
    }

    #[test]
    fn nothing_outside_the_region_is_fetched() {
        // One frame of 3 MiB in the middle of an object.
        let region = 10 * MIB..13 * MIB;
        let trace = (0..24).map(|i| Read { object: 0, offset: 10 * MIB + i * 128 * KIB, len: 128 * KIB });
        let outcome = simulate(adaptive(64 * MIB), trace, |_| region.clone());
        assert_eq!(outcome.fetched, 3 * MIB);
        assert!(outcome.fetches.iter().all(|f| f.range.start >= region.start && f.range.end <= region.end));
    }

    #[test]
    fn readers_together_stay_within_the_memory() {
        let readers = 64_u64;
        let trace = (0..readers * 200).map(|i| Read {
            object: (i % readers) as u32,
            offset: i / readers * 128 * KIB,
            len: 128 * KIB,
        });
        let outcome = simulate(adaptive(32 * MIB), trace, |_| 0..200 * 128 * KIB);
        assert!(outcome.peak <= 32 * MIB, "{}", outcome.peak);
        assert!(outcome.fetched < outcome.read * 11 / 10, "{} of {}", outcome.fetched, outcome.read);
    }

    #[test]
    fn a_read_without_room_is_blocked_until_a_block_arrives() {
        let mut planner = adaptive(MIB);
        let first = Read { object: 0, offset: 0, len: MIB };
        let plan = planner.read(first, &(0..10 * MIB));
        assert_eq!(plan.fetches.len(), 1);
        let second = Read { object: 0, offset: 5 * MIB, len: MIB };
        assert!(planner.read(second, &(0..10 * MIB)).is_blocked);
        planner.arrived(plan.fetches[0].block);
        let again = planner.again(second, &(0..10 * MIB));
        assert!(!again.is_blocked);
        assert_eq!(again.evicted, [plan.fetches[0].block]);
    }

    #[test]
    fn a_failed_block_is_asked_for_again() {
        let mut planner = adaptive(8 * MIB);
        let read = Read { object: 0, offset: 0, len: 4096 };
        let plan = planner.read(read, &(0..MIB));
        planner.failed(plan.fetches[0].block);
        assert_eq!(planner.bytes(), 0);
        assert_eq!(planner.read(read, &(0..MIB)).fetches[0].range, 0..4096);
    }

    fn reads() -> impl Strategy<Value = Vec<(Read, bool)>> {
        let scattered = (0_u32..3, 0_u64..4096, 1_u64..200, any::<bool>());
        let runs = (0_u32..3, 0_u64..3000, 1_usize..30, 1_u64..100, any::<bool>());
        let one = prop_oneof![
            scattered
                .prop_map(|(object, offset, len, arrives)| vec![(Read { object, offset, len }, arrives)]),
            runs.prop_map(|(object, start, count, len, arrives)| {
                let read = move |i| Read { object, offset: start + i as u64 * len, len };
                (0..count).map(|i| (read(i), arrives)).collect()
            }),
        ];
        let strided = (0_u32..3, 0_u64..300, 2_usize..12, 1_u64..60, 1_u64..200, any::<bool>()).prop_map(
            |(object, start, count, len, gap, arrives)| {
                let read = move |i| Read { object, offset: start + i as u64 * (len + gap), len };
                (0..count).map(|i| (read(i), arrives)).collect::<Vec<_>>()
            },
        );
        prop::collection::vec(prop_oneof![2 => one, 1 => strided], 1..30).prop_map(|runs| runs.concat())
    }

    proptest! {
        /// Whatever is read in whatever order, with blocks arriving late, failing or not at all: memory is bounded, blocks do
        /// not overlap, and the needed blocks cover the read exactly.
        #[test]
        fn plans_are_sound(
            trace in reads(),
            max_buffer in 200_u64..5000,
            fixed in prop::option::of(1_u64..2000),
            fails in any::<u64>(),
            // Strides are followed only between gaps longer than a few pages.
            scale in prop_oneof![Just(1_u64), Just(16_384)],
        ) {
            let (max_buffer, fixed) = (max_buffer * scale, fixed.map(|bytes| bytes * scale));
            let policy = fixed.map_or(Policy::Adaptive, Policy::Fixed);
            let (shortest, longest, grain) = (16 * scale, 256 * scale, (16 * scale).min(4096));
            let mut planner = Planner::new(policy, max_buffer, Parallel { ways: 4, shortest, longest, grain });
            let mut held: std::collections::BTreeMap<BlockId, Fetch> = Default::default();
            let mut flying: VecDeque<BlockId> = VecDeque::new();
            let region = 0..5000 * scale;
            for (i, (read, arrives)) in trace.into_iter().enumerate() {
                let read = Read { offset: read.offset * scale, len: read.len * scale, ..read };
                let mut plan = planner.read(read, &region);
                while plan.is_blocked {
                    prop_assert!(plan.fetches.is_empty() && plan.evicted.is_empty());
                    let block = flying.pop_front().expect("a blocked read waits for something on its way");
                    if fails >> (i % 64) & 1 == 1 {
                        planner.failed(block);
                        held.remove(&block);
                    } else {
                        planner.arrived(block);
                    }
                    plan = planner.again(read, &region);
                }
                for block in &plan.evicted {
                    prop_assert!(held.remove(block).is_some());
                    prop_assert!(!flying.contains(block), "a block on its way was evicted");
                }
                for fetch in &plan.fetches {
                    prop_assert!(fetch.range.start < fetch.range.end);
                    prop_assert!(fetch.range.start >= region.start && fetch.range.end <= region.end);
                    held.insert(fetch.block, fetch.clone());
                    flying.push_back(fetch.block);
                }
                let total: u64 = held.values().map(|fetch| fetch.range.end - fetch.range.start).sum();
                prop_assert_eq!(total, planner.bytes());
                prop_assert!(total <= max_buffer);
                // The needed blocks cover the read, in order, without a gap.
                let mut at = read.offset;
                for block in &plan.needed {
                    let range = planner.range(*block).expect("a needed block is held");
                    prop_assert!(range.start <= at && range.end > at);
                    at = range.end;
                }
                prop_assert!(at >= read.end().min(region.end));
                let all: Vec<&Fetch> = held.values().collect();
                for (n, one) in all.iter().enumerate() {
                    for other in &all[n + 1..] {
                        let apart = one.range.end <= other.range.start || other.range.end <= one.range.start;
                        prop_assert!(one.object != other.object || apart, "{:?} {:?}", one, other);
                    }
                }
                if arrives {
                    flying.drain(..).for_each(|block| planner.arrived(block));
                }
            }
        }

        /// The naive twin of a hit: a byte is there if a fetch of it was planned and not evicted since.
        #[test]
        fn hits_are_those_of_the_naive_twin(trace in reads(), max_buffer in 200_u64..5000) {
            let parallel = Parallel { ways: 4, shortest: 16, longest: 256, grain: 16 };
            let mut planner = Planner::new(Policy::Adaptive, max_buffer, parallel);
            let mut cells: std::collections::HashMap<(u32, u64), BlockId> = Default::default();
            for (read, _) in trace {
                let plan = planner.read(read, &(0..10_000));
                let hit = (read.offset..read.end()).all(|at| cells.contains_key(&(read.object, at)));
                prop_assert_eq!(plan.is_hit, hit);
                cells.retain(|_, block| !plan.evicted.contains(block));
                for fetch in plan.fetches {
                    planner.arrived(fetch.block);
                    for at in fetch.range {
                        prop_assert_eq!(cells.insert((fetch.object, at), fetch.block), None);
                    }
                }
            }
        }
    }
}
