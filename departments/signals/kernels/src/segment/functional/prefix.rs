//! The search with sums from the start, for signals whose range is not huge beside the penalty.
//!
//! With P₁ and P₂ the sums of values and of squares before each place, and what all starts share taken away,
//!
//! ```text
//! f_s(μ) − P₂(t) + 2μ·P₁(t) − tμ² = b_s + 2a_s·μ − s·μ²        a_s = P₁(s), b_s = F(s) − P₂(s) + β
//! ```
//!
//! A start is three numbers that never change: no point is added to it, and it is below a newer start n where (n − s)μ² − 2(a_n − a_s)μ + b_s − b_n ≤ 0. The least cost at t is that of the start with the
//! least b_s − (P₁(t) − a_s)²/(t − s), which is F(t) − P₂(t): the squares need not be summed at all.
//!
//! What that loses is rounding; [`is_exact_enough`] says when it does not matter.
//!
//! One pass over the starts does everything for a point: it cuts each by the newest, finds what is left for the newest, and the least cost. Starts lie in no order: a newcomer takes the place of one that has died, so nothing
//! is ever moved, and there is no branch that a processor could guess wrong. Half a dozen starts live at a time on ordinary signals, which is one block.

#![allow(
    clippy::needless_bitwise_bool,
    clippy::needless_range_loop,
    reason = "the same arithmetic for every lane becomes vector code; what may be left out becomes a branch"
)]

use super::{LANES, Lanes};
use crate::isa::kernel;

/// Of the penalty: so much may rounding amount to.
const TOLERANCE: f64 = 1e-10;

/// So many places after a segment's end its level is taken for the middle of holes. Any level will do.
const LATE: usize = 4;

/// Whether rounding of sums of squares stays far below the penalty. `size` is the greatest distance of a value from the mean.
pub(super) fn is_exact_enough(points: usize, size: f64, penalty: f64) -> bool {
    points as f64 * size * size * f64::EPSILON <= TOLERANCE * penalty
}

/// Starts side by side. One whose `b` is infinite is dead.
#[derive(Clone, Copy)]
struct Block {
    /// Of each lane. That they stand in memory keeps a compiler from looking at one lane after the other.
    number: Lanes,
    at: Lanes,
    a: Lanes,
    b: Lanes,
    /// Its levels: those above `low` and below `high`, but for those from `hole_low` to `hole_high`.
    low: Lanes,
    high: Lanes,
    hole_low: Lanes,
    hole_high: Lanes,
}

impl Block {
    const DEAD: Self = Self {
        number: [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        at: [-1.0; LANES],
        a: [0.0; LANES],
        b: [f64::INFINITY; LANES],
        low: [0.0; LANES],
        high: [0.0; LANES],
        hole_low: [0.0; LANES],
        hole_high: [0.0; LANES],
    };

    /// In whole registers, because the next pass reads whole registers and would wait for a single value to arrive.
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn insert(&mut self, place: f64, start: &Newest, levels: (f64, f64), hole: (f64, f64)) {
        let Self { number, mut at, mut a, mut b, mut low, mut high, mut hole_low, mut hole_high } = *self;
        for lane in 0..LANES {
            let is_there = number[lane] == place;
            at[lane] = if is_there { start.at } else { at[lane] };
            a[lane] = if is_there { start.a } else { a[lane] };
            b[lane] = if is_there { start.b } else { b[lane] };
            low[lane] = if is_there { levels.0 } else { low[lane] };
            high[lane] = if is_there { levels.1 } else { high[lane] };
            hole_low[lane] = if is_there { hole.0 } else { hole_low[lane] };
            hole_high[lane] = if is_there { hole.1 } else { hole_high[lane] };
        }
        *self = Self { number, at, a, b, low, high, hole_low, hole_high };
    }
}

/// The start that a segment has become long enough for.
struct Newest {
    at: f64,
    a: f64,
    b: f64,
}

/// What one pass finds, lane by lane.
struct Found {
    /// The least cost, and the start that has it.
    cost: Lanes,
    at: Lanes,
    /// The hole of the newest.
    hole_low: Lanes,
    hole_high: Lanes,
    /// The first place that is free.
    free: Lanes,
}

impl Found {
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn new() -> Self {
        Self {
            cost: [f64::INFINITY; LANES],
            at: [f64::INFINITY; LANES],
            hole_low: [f64::INFINITY; LANES],
            hole_high: [f64::NEG_INFINITY; LANES],
            free: [f64::INFINITY; LANES],
        }
    }

    /// Passes over a block: `level` is one that the newest's hole is to hold, `end` and `sum` where the segment ends.
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn pass(&mut self, block: &mut Block, first: f64, newest: &Newest, level: f64, (end, sum): (f64, f64)) {
        let Block { number, at, a, mut b, mut low, mut high, hole_low, hole_high } = *block;
        for lane in 0..LANES {
            let more = newest.at - at[lane];
            let between = newest.a - a[lane];
            // Of what is below 0 the root is NaN, and every comparison with it fails: the start is above everywhere.
            let root = (between * between - more * (b[lane] - newest.b)).sqrt();
            let scale = 1.0 / more;
            let from = (between - root) * scale;
            let to = (between + root) * scale;
            low[lane] = if from > low[lane] { from } else { low[lane] };
            high[lane] = if to < high[lane] { to } else { high[lane] };
            let left_end = if hole_low[lane] < high[lane] { hole_low[lane] } else { high[lane] };
            let right_start = if hole_high[lane] > low[lane] { hole_high[lane] } else { low[lane] };
            let is_alive = (root >= 0.0) & ((low[lane] < left_end) | (right_start < high[lane]));
            b[lane] = if is_alive { b[lane] } else { f64::INFINITY };
            let is_around = (from <= level) & (level <= to);
            let hole_from = if is_around { from } else { f64::INFINITY };
            let hole_to = if is_around { to } else { f64::NEG_INFINITY };
            self.hole_low[lane] =
                if hole_from < self.hole_low[lane] { hole_from } else { self.hole_low[lane] };
            self.hole_high[lane] =
                if hole_to > self.hole_high[lane] { hole_to } else { self.hole_high[lane] };
            let free = if is_alive { f64::INFINITY } else { first + number[lane] };
            self.free[lane] = if free < self.free[lane] { free } else { self.free[lane] };
            let apart = sum - a[lane];
            let cost = b[lane] - apart * apart / (end - at[lane]);
            let is_less = (cost < self.cost[lane]) | ((cost == self.cost[lane]) & (at[lane] < self.at[lane]));
            self.cost[lane] = if is_less { cost } else { self.cost[lane] };
            self.at[lane] = if is_less { at[lane] } else { self.at[lane] };
        }
        (block.b, block.low, block.high) = (b, low, high);
    }

    /// The least cost and the earliest start that has it.
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn least(&self) -> (f64, f64) {
        let cost = least_of(self.cost);
        let mut at = self.at;
        for lane in 0..LANES {
            at[lane] = if self.cost[lane] == cost { at[lane] } else { f64::INFINITY };
        }
        (cost, least_of(at))
    }
}

#[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
#[inline(always)]
fn least_of(mut lanes: Lanes) -> f64 {
    for half in [4, 2, 1] {
        for lane in 0..half {
            lanes[lane] = if lanes[lane + half] < lanes[lane] { lanes[lane + half] } else { lanes[lane] };
        }
    }
    lanes[0]
}

#[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
#[inline(always)]
fn greatest_of(mut lanes: Lanes) -> f64 {
    for half in [4, 2, 1] {
        for lane in 0..half {
            lanes[lane] = if lanes[lane + half] > lanes[lane] { lanes[lane + half] } else { lanes[lane] };
        }
    }
    lanes[0]
}

/// Between which the mean of any segment lies that has the points it must have. A longer segment is made of pieces of m to 2m − 1 points, so their means bound its own; fewer levels
/// leave fewer starts.
#[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
#[inline(always)]
fn levels_of_segments(sums: &[f64], min_size: usize) -> (f64, f64) {
    /// Means of longer pieces bound more tightly, but there are more lengths of them.
    const LONGEST: usize = 8;
    let least = min_size.min(LONGEST);
    let (mut lowest, mut highest) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
    for length in least..2 * least {
        let scale = 1.0 / length as f64;
        let later = sums.get(length..).unwrap_or_default();
        let mut take = |lane: usize, end: f64, start: f64| {
            let mean = (end - start) * scale;
            lowest[lane] = if mean < lowest[lane] { mean } else { lowest[lane] };
            highest[lane] = if mean > highest[lane] { mean } else { highest[lane] };
        };
        let (ends, last_ends) = later.as_chunks::<LANES>();
        let (starts, _) = sums.as_chunks::<LANES>();
        for (ends, starts) in ends.iter().zip(starts) {
            for lane in 0..LANES {
                take(lane, ends[lane], starts[lane]);
            }
        }
        for (lane, (end, start)) in last_ends.iter().zip(&sums[ends.len() * LANES..]).enumerate() {
            take(lane, *end, *start);
        }
    }
    let (lowest, highest) = (least_of(lowest), greatest_of(highest));
    // The margin keeps the levels from having no width, also where there is one segment only, and is far above rounding.
    let size = if highest > -lowest { highest } else { -lowest };
    let margin = (highest - lowest) * 1e-3 + size * 1e-9 + f64::MIN_POSITIVE;
    (lowest - margin, highest + margin)
}

kernel! {
    /// Fills in the best start of the segment that ends at each place. `mean` is taken from the values.
    pub(super) fn search[][](
        values: &[f64],
        mean: f64,
        min_size: usize,
        penalty: f64,
        last: &mut [usize],
    ) {
        let points = values.len();
        let mut sums = vec![0.0; points + 1];
        let mut sum = 0.0;
        for (value, place) in values.iter().zip(&mut sums[1..]) {
            sum += value - mean;
            *place = sum;
        }
        let levels = levels_of_segments(&sums, min_size);
        // F(t) − P₂(t). Before the first segment can end there is none, so no start.
        let mut best = vec![f64::INFINITY; points + 1];
        best[0] = 0.0;
        let mut blocks = vec![Block::DEAD];
        // The level of the best segment that ends at each place.
        let mut means = vec![0.0; points + 1];
        for end in min_size..=points {
            let at = end - min_size;
            let newest = Newest { at: at as f64, a: sums[at], b: best[at] + penalty };
            let here = (end as f64, sums[end]);
            // One of a few places before: that of the last would have to be waited for.
            let level = means[end.saturating_sub(LATE)];
            let mut found = Found::new();
            for (number, block) in blocks.iter_mut().enumerate() {
                found.pass(block, (number * LANES) as f64, &newest, level, here);
            }
            let (mut cost, mut start) = found.least();
            let hole = (least_of(found.hole_low), greatest_of(found.hole_high));
            // Rounding leaves nobody without a level that all of them just lost.
            let is_alone = cost == f64::INFINITY;
            let apart = here.1 - newest.a;
            let newest_cost = newest.b - apart * apart / (here.0 - newest.at);
            if newest_cost < cost {
                (cost, start) = (newest_cost, newest.at);
            }
            let free = least_of(found.free);
            let is_alive = is_alone | (levels.0 < hole.0) | (hole.1 < levels.1);
            let newest = Newest { b: if is_alive { newest.b } else { f64::INFINITY }, ..newest };
            let place = if free.is_finite() { free as usize } else { blocks.len() * LANES };
            if place == blocks.len() * LANES {
                blocks.push(Block::DEAD);
            }
            blocks[place / LANES].insert((place % LANES) as f64, &newest, levels, hole);
            if blocks.len() > 1 && blocks.last().is_some_and(|block| block.b == [f64::INFINITY; LANES]) {
                blocks.pop();
            }
            best[end] = cost;
            last[end] = start as usize;
            means[end] = (here.1 - sums[last[end]]) / (here.0 - start);
        }
    }
}
