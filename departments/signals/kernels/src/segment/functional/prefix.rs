//! The search with sums from the start, for signals whose range is not huge beside the penalty.
//!
//! With P₁ and P₂ the sums of values and of squares before each place, and what all starts share taken away,
//!
//! ```text
//! f_s(μ) − Σ x² + 2μ·P₁(t) − tμ² = b_s + 2a_s·μ − s·μ²        a_s = P₁(s), b_s = F(s) + β − P₂(s)
//! ```
//!
//! A start is three numbers that never change: no point is added to it, and it is below a newer start n where (n − s)μ² − 2(a_n − a_s)μ + b_s − b_n ≤ 0. The least cost at t is P₂(t) + min of b_s − (P₁(t) − a_s)²/(t − s).
//!
//! What that loses is rounding of P₂; [`is_exact_enough`] says when it does not matter.

use super::{LANES, Lanes, Piece, share};
use crate::isa::kernel;

/// Of the penalty: so much may rounding amount to.
const TOLERANCE: f64 = 1e-10;

/// Whether rounding of sums of squares stays far below the penalty. `size` is the greatest distance of a value from the mean.
pub(super) fn is_exact_enough(points: usize, size: f64, penalty: f64) -> bool {
    points as f64 * size * size * f64::EPSILON <= TOLERANCE * penalty
}

/// Starts in the order of time, each a lane of the arrays. A start enters when a segment from it has the points that it must have.
#[derive(Default)]
struct Starts {
    count: usize,
    at: Vec<Lanes>,
    a: Vec<Lanes>,
    b: Vec<Lanes>,
    /// The levels at which it is not above the newest start.
    from: Vec<Lanes>,
    to: Vec<Lanes>,
}

impl Starts {
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn push(&mut self, at: usize, a: f64, b: f64) {
        if self.count == LANES * self.at.len() {
            for column in [&mut self.at, &mut self.a, &mut self.b, &mut self.from, &mut self.to] {
                column.push([0.0; LANES]);
            }
        }
        let (block, lane) = (self.count / LANES, self.count % LANES);
        self.at[block][lane] = at as f64;
        self.a[block][lane] = a;
        self.b[block][lane] = b;
        self.count += 1;
    }

    /// For each start before the newest one the levels at which it is not above that; NaN where there are none.
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn compare(&mut self) {
        let newest = self.count - 1;
        let (block, lane) = (newest / LANES, newest % LANES);
        let (new_at, new_a, new_b) = (self.at[block][lane], self.a[block][lane], self.b[block][lane]);
        for block in 0..newest.div_ceil(LANES) {
            let (at, a, b) = (self.at[block], self.a[block], self.b[block]);
            let (mut from, mut to) = ([0.0; LANES], [0.0; LANES]);
            for lane in 0..LANES {
                let more = new_at - at[lane];
                let sum = new_a - a[lane];
                let root = (sum * sum - more * (b[lane] - new_b)).sqrt();
                let scale = 1.0 / more;
                from[lane] = (sum - root) * scale;
                to[lane] = (sum + root) * scale;
            }
            (self.from[block], self.to[block]) = (from, to);
        }
    }

    /// The least of b − (sum − a)²/(end − at) over all starts and whose it is, the earliest of equal ones.
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn least(&self, end: f64, sum: f64) -> (f64, usize) {
        let (mut least, mut place) = (f64::INFINITY, 0);
        for block in 0..self.count.div_ceil(LANES) {
            let (at, a, b) = (self.at[block], self.a[block], self.b[block]);
            let there = (self.count - block * LANES) as f64;
            let mut costs = [0.0; LANES];
            for lane in 0..LANES {
                let apart = sum - a[lane];
                let cost = b[lane] - apart * apart / (end - at[lane]);
                costs[lane] = if (lane as f64) < there { cost } else { f64::INFINITY };
            }
            let mut best = costs;
            for half in [4, 2, 1] {
                for lane in 0..half {
                    best[lane] = if best[lane + half] < best[lane] { best[lane + half] } else { best[lane] };
                }
            }
            if best[0] < least {
                least = best[0];
                place = block * LANES + costs.iter().position(|&cost| cost == least).unwrap_or_default();
            }
        }
        (least, self.at[place / LANES][place % LANES] as usize)
    }

    /// Drops the starts that hold no piece, in place and in order, and renames those of the pieces.
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn keep_holders(&mut self, pieces: &mut [Piece], places: &mut Vec<usize>) {
        const GONE: usize = usize::MAX;
        places.clear();
        places.resize(self.count, GONE);
        for piece in pieces.iter() {
            places[piece.start] = 0;
        }
        let Some(first) = places.iter().position(|place| *place == GONE) else { return };
        let (at, a, b) = (self.at.as_flattened_mut(), self.a.as_flattened_mut(), self.b.as_flattened_mut());
        let mut next = first;
        for place in first..self.count {
            let is_kept = places[place] != GONE;
            places[place] = next;
            (at[next], a[next], b[next]) = (at[place], a[place], b[place]);
            next += usize::from(is_kept);
        }
        self.count = next;
        for piece in pieces.iter_mut().filter(|piece| piece.start > first) {
            piece.start = places[piece.start];
        }
    }
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
        for (ends, starts) in later.chunks(LANES).zip(sums.chunks(LANES)) {
            for (lane, (end, start)) in ends.iter().zip(starts).enumerate() {
                let mean = (end - start) * scale;
                lowest[lane] = if mean < lowest[lane] { mean } else { lowest[lane] };
                highest[lane] = if mean > highest[lane] { mean } else { highest[lane] };
            }
        }
    }
    let lowest = lowest.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = highest.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // The margin keeps the outermost pieces from having no width, and is far above rounding.
    let margin = (highest - lowest) * 1e-3 + f64::MIN_POSITIVE;
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
        let mut sums = Vec::with_capacity(points + 1);
        let mut squares = Vec::with_capacity(points + 1);
        let (mut sum, mut square) = (0.0, 0.0);
        sums.push(sum);
        squares.push(square);
        for value in values {
            sum += value - mean;
            square += (value - mean) * (value - mean);
            sums.push(sum);
            squares.push(square);
        }
        let levels = levels_of_segments(&sums, min_size);
        let mut best = vec![f64::INFINITY; points + 1];
        best[0] = 0.0;
        let mut starts = Starts::default();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut merged: Vec<Piece> = Vec::new();
        let mut places: Vec<usize> = Vec::new();
        for end in min_size..=points {
            let at = end - min_size;
            if best[at].is_finite() {
                starts.push(at, sums[at], best[at] + penalty - squares[at]);
                starts.compare();
                let newest = starts.count - 1;
                let held = (starts.from.as_flattened(), starts.to.as_flattened());
                share(&mut pieces, &mut merged, newest, held, levels);
                starts.keep_holders(&mut pieces, &mut places);
            }
            let (least, start) = starts.least(end as f64, sums[end]);
            best[end] = least + squares[end];
            last[end] = start;
        }
    }
}
