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
//! is ever moved, and there is no branch that a processor could guess wrong. Half a dozen starts live at a time on ordinary signals, which is one block, and that stays in registers.
//!
//! What takes time is waiting: a root, two quotients and the comparisons follow from one another. So nothing that one point needs at once comes from the pass for the point just before, but for which starts are alive.

#![allow(clippy::inline_always, reason = "inlined into each instruction set's version")]

use crate::vector::{LANES, Vector, vector_kernel};

/// Of the penalty: so much may rounding amount to.
const TOLERANCE: f64 = 1e-10;

/// So many places after a segment's end its level is taken for the middle of holes. Any level will do.
const LATE: usize = 4;

/// All lanes.
const ALL: u32 = (1 << LANES) - 1;

/// Whether rounding of sums of squares stays far below the penalty. `size` is the greatest distance of a value from the mean.
pub(super) fn is_exact_enough(points: usize, size: f64, penalty: f64) -> bool {
    points as f64 * size * size * f64::EPSILON <= TOLERANCE * penalty
}

/// Starts side by side.
#[derive(Clone, Copy)]
struct Block<V: Vector> {
    /// Those that have a level left. What the other lanes hold does not matter.
    is_alive: V::Mask,
    at: V,
    a: V,
    b: V,
    /// Its levels: those above `low` and below `high`, but for those from `hole_low` to `hole_high`.
    low: V,
    high: V,
    hole_low: V,
    hole_high: V,
}

impl<V: Vector> Block<V> {
    #[inline(always)]
    fn dead() -> Self {
        let zero = V::splat(0.0);
        Self {
            is_alive: V::mask(0),
            at: V::splat(-1.0),
            a: zero,
            b: zero,
            low: zero,
            high: zero,
            hole_low: zero,
            hole_high: zero,
        }
    }

    /// The first place where nothing is alive.
    #[inline(always)]
    fn free(&self) -> Option<u32> {
        let place = V::bits(self.is_alive).trailing_ones();
        (place < LANES as u32).then_some(place)
    }

    /// Puts the start that stands in all lanes of `newest` in a place where nothing is alive.
    #[inline(always)]
    fn insert(&mut self, place: u32, newest: &Self) {
        let here = V::mask(1 << place);
        self.is_alive = self.is_alive | (here & newest.is_alive);
        self.at = V::choose(here, newest.at, self.at);
        self.a = V::choose(here, newest.a, self.a);
        self.b = V::choose(here, newest.b, self.b);
        self.low = V::choose(here, newest.low, self.low);
        self.high = V::choose(here, newest.high, self.high);
        self.hole_low = V::choose(here, newest.hole_low, self.hole_low);
        self.hole_high = V::choose(here, newest.hole_high, self.hole_high);
    }
}

/// Tells the compiler that its branch is hardly ever taken.
#[cold]
fn rarely() {}

/// Where the first block has no place.
#[inline(always)]
fn insert_elsewhere<V: Vector>(others: &mut Vec<Block<V>>, newest: &Block<V>) {
    for block in others.iter_mut() {
        if let Some(place) = block.free() {
            return block.insert(place, newest);
        }
    }
    let mut block = Block::dead();
    block.insert(0, newest);
    others.push(block);
}

/// What one pass finds, lane by lane.
struct Found<V> {
    /// The least cost, and the start that has it.
    cost: V,
    at: V,
    /// The hole of the newest.
    hole_low: V,
    hole_high: V,
}

/// What a pass is for, the same in each lane.
struct Question<V> {
    /// Of the newest start.
    at: V,
    a: V,
    b: V,
    /// One that the newest's hole is to hold.
    level: V,
    /// Where the segment ends, and the sum there.
    end: V,
    sum: V,
}

impl<V: Vector> Found<V> {
    #[inline(always)]
    fn new() -> Self {
        let none = V::splat(f64::INFINITY);
        Self { cost: none, at: none, hole_low: none, hole_high: V::splat(f64::NEG_INFINITY) }
    }

    /// Passes over a block.
    #[inline(always)]
    fn pass(&mut self, block: &mut Block<V>, question: &Question<V>) {
        let (none, one) = (V::splat(f64::INFINITY), V::splat(1.0));
        let more = question.at - block.at;
        let between = question.a - block.a;
        // Of what is below 0 the root is NaN, and every comparison with it fails: the start is above everywhere.
        let root = (between * between - more * (block.b - question.b)).sqrt();
        let scale = one / more;
        let from = (between - root) * scale;
        let to = (between + root) * scale;
        block.low = from.or_greater(block.low);
        block.high = to.or_less(block.high);
        let left_end = block.hole_low.or_less(block.high);
        let right_start = block.hole_high.or_greater(block.low);
        let is_below_somewhere = root.is_equal(root);
        let is_around =
            block.is_alive & !question.level.is_less(from) & !to.is_less(question.level) & is_below_somewhere;
        self.hole_low = V::choose(is_around, from, none).or_less(self.hole_low);
        self.hole_high = V::choose(is_around, to, V::splat(f64::NEG_INFINITY)).or_greater(self.hole_high);
        let has_level = block.low.is_less(left_end) | right_start.is_less(block.high);
        block.is_alive = block.is_alive & is_below_somewhere & has_level;
        let apart = question.sum - block.a;
        let cost = V::choose(block.is_alive, block.b - apart * apart / (question.end - block.at), none);
        let is_less = cost.is_less(self.cost) | (cost.is_equal(self.cost) & block.at.is_less(self.at));
        self.cost = V::choose(is_less, cost, self.cost);
        self.at = V::choose(is_less, block.at, self.at);
    }

    /// The least cost and the earliest start that has it.
    #[inline(always)]
    fn least(&self) -> (f64, f64) {
        let cost = self.cost.least();
        let at = V::choose(self.cost.is_equal(cost), self.at, V::splat(f64::INFINITY)).least();
        (cost.first(), at.first())
    }
}

/// Between which the mean of any segment lies that has the points it must have. A longer segment is made of pieces of m to 2m − 1 points, so their means bound its own; fewer levels
/// leave fewer starts.
#[inline(always)]
fn levels_of_segments<V: Vector>(sums: &[f64], min_size: usize) -> (f64, f64) {
    /// Means of longer pieces bound more tightly, but there are more lengths of them.
    const LONGEST: usize = 8;
    let least = min_size.min(LONGEST);
    let (mut lowest, mut highest) = (V::splat(f64::INFINITY), V::splat(f64::NEG_INFINITY));
    for length in least..2 * least {
        let scale = V::splat(1.0 / length as f64);
        let mut take = |mean: V| {
            lowest = mean.or_less(lowest);
            highest = mean.or_greater(highest);
        };
        let later = sums.get(length..).unwrap_or_default();
        let (ends, last_ends) = later.as_chunks::<LANES>();
        let (starts, _) = sums.as_chunks::<LANES>();
        for (ends, starts) in ends.iter().zip(starts) {
            take((V::load(ends) - V::load(starts)) * scale);
        }
        for (end, start) in last_ends.iter().zip(&sums[ends.len() * LANES..]) {
            take(V::splat(end - start) * scale);
        }
    }
    let (lowest, highest) = (lowest.least().first(), highest.greatest().first());
    // The margin keeps the levels from having no width, also where there is one segment only, and is far above rounding.
    let size = if highest > -lowest { highest } else { -lowest };
    let margin = (highest - lowest) * 1e-3 + size * 1e-9 + f64::MIN_POSITIVE;
    (lowest - margin, highest + margin)
}

vector_kernel! {
    /// Fills in the best start of the segment that ends at each place. `mean` is taken from the values.
    pub(super) fn search<V>(
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
        let (lowest, highest) = levels_of_segments::<V>(&sums, min_size);
        let (low, high) = (V::splat(lowest), V::splat(highest));
        // F(t) − P₂(t). Before the first segment can end there is none.
        let mut best = vec![f64::INFINITY; points + 1];
        best[0] = 0.0;
        // Half a dozen starts live at a time, so the first block nearly always is the only one, and stays in registers.
        let mut first = Block::<V>::dead();
        let mut others: Vec<Block<V>> = Vec::new();
        // The level of the best segment that ends at each place.
        let mut means = vec![0.0; points + 1];
        for end in min_size..=points {
            let at = end - min_size;
            let newest_b = best[at] + penalty;
            let question = Question {
                at: V::splat(at as f64),
                a: V::splat(sums[at]),
                b: V::splat(newest_b),
                // One of a few places before: that of the last would have to be waited for.
                level: V::splat(means[end.saturating_sub(LATE)]),
                end: V::splat(end as f64),
                sum: V::splat(sums[end]),
            };
            // A place that was free before the pass: one that the pass frees would have to be waited for.
            let place = first.free();
            let mut found = Found::new();
            found.pass(&mut first, &question);
            if !others.is_empty() {
                rarely();
                for block in &mut others {
                    found.pass(block, &question);
                }
            }
            let (mut cost, mut start) = found.least();
            let apart = sums[end] - sums[at];
            let newest_cost = newest_b - apart * apart / min_size as f64;
            // Rounding leaves nobody without a level that all of them just lost.
            let is_alone = cost == f64::INFINITY;
            if newest_cost < cost {
                (cost, start) = (newest_cost, at as f64);
            }
            // Before the first segment can end there is no start to insert.
            if newest_b < f64::INFINITY {
                let (hole_low, hole_high) = (found.hole_low.least(), found.hole_high.greatest());
                let has_level = low.is_less(hole_low) | hole_high.is_less(high);
                let is_alive = if is_alone { V::mask(ALL) } else { has_level };
                let Question { at, a, b, .. } = question;
                let newest = Block { is_alive, at, a, b, low, high, hole_low, hole_high };
                if let Some(place) = place {
                    first.insert(place, &newest);
                } else {
                    rarely();
                    insert_elsewhere(&mut others, &newest);
                }
            }
            while others.pop_if(|block| V::bits(block.is_alive) == 0).is_some() {}
            best[end] = cost;
            last[end] = start as usize;
            means[end] = (sums[end] - sums[last[end]]) / (end as f64 - start);
        }
    }
}
