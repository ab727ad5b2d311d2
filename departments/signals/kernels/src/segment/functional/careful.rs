//! The search that loses nothing to a large level: each start carries count, mean and squared distances of its segment and is updated as B. P. Welford does
//! (1962). It takes twice the time of [`super::prefix`].

#![allow(
    clippy::needless_bitwise_bool,
    reason = "the same arithmetic for every lane becomes vector code; what may be left out becomes a branch"
)]

use super::{LANES, Lanes};
use crate::isa::kernel;

/// Starts in the order of time, each a lane of the arrays; the first `active` of them have the points that a segment must have.
#[derive(Default)]
struct Starts {
    active: usize,
    total: usize,
    at: Vec<usize>,
    /// F(at) + β.
    base: Vec<Lanes>,
    count: Vec<Lanes>,
    mean: Vec<Lanes>,
    squares: Vec<Lanes>,
    /// Its levels: those above `low` and below `high`, but for those from `hole_low` to `hole_high`.
    low: Vec<Lanes>,
    high: Vec<Lanes>,
    hole_low: Vec<Lanes>,
    hole_high: Vec<Lanes>,
}

impl Starts {
    /// What is kept of each start, beside its place.
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn columns(&mut self) -> [&mut Vec<Lanes>; 8] {
        [
            &mut self.base,
            &mut self.count,
            &mut self.mean,
            &mut self.squares,
            &mut self.low,
            &mut self.high,
            &mut self.hole_low,
            &mut self.hole_high,
        ]
    }

    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn push(&mut self, at: usize, base: f64) {
        if self.total == LANES * self.base.len() {
            self.at.resize(self.total + LANES, 0);
            for column in self.columns() {
                column.push([0.0; LANES]);
            }
        }
        let place = self.total;
        self.at[place] = at;
        self.base.as_flattened_mut()[place] = base;
        self.count.as_flattened_mut()[place] = 0.0;
        self.mean.as_flattened_mut()[place] = 0.0;
        self.squares.as_flattened_mut()[place] = 0.0;
        self.total += 1;
    }

    /// A point, for all starts.
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn add(&mut self, value: f64) {
        let blocks = self.total.div_ceil(LANES);
        let columns =
            self.count[..blocks].iter_mut().zip(&mut self.mean[..blocks]).zip(&mut self.squares[..blocks]);
        for ((count_at, mean_at), squares_at) in columns {
            // Copies that nothing else refers to become registers.
            let (mut count, mut mean, mut squares) = (*count_at, *mean_at, *squares_at);
            for lane in 0..LANES {
                count[lane] += 1.0;
                let step = value - mean[lane];
                mean[lane] += step / count[lane];
                squares[lane] += step * (value - mean[lane]);
            }
            (*count_at, *mean_at, *squares_at) = (count, mean, squares);
        }
    }

    /// Cuts the levels of each start before the newest active one to those where it is not above that, and gives the newest what is left of `levels`.
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn compare(&mut self, levels: (f64, f64), level: f64) {
        let newest = self.active - 1;
        let new_count = self.count.as_flattened()[newest];
        let new_mean = self.mean.as_flattened()[newest];
        let new_least = self.base.as_flattened()[newest] + self.squares.as_flattened()[newest];
        let (mut hole_low, mut hole_high) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        for block in 0..newest.div_ceil(LANES) {
            let (base, count) = (self.base[block], self.count[block]);
            let (mean, squares) = (self.mean[block], self.squares[block]);
            let (mut low, mut high) = (self.low[block], self.high[block]);
            let there = (newest - block * LANES) as f64;
            for lane in 0..LANES {
                let shift = new_mean - mean[lane];
                let more = count[lane] - new_count;
                let gap = new_least - (base[lane] + squares[lane]);
                let inside = count[lane] * new_count * shift * shift + more * gap;
                // The root of what is negative is NaN: the start is above everywhere.
                let root = inside.sqrt();
                let middle = -new_count * shift;
                let from = mean[lane] + (middle - root) / more;
                let to = mean[lane] + (middle + root) / more;
                let is_above = root.is_nan();
                low[lane] = if (from > low[lane]) | is_above { from } else { low[lane] };
                high[lane] = if (to < high[lane]) | is_above { to } else { high[lane] };
                let is_around = (from <= level) & (level <= to) & ((lane as f64) < there);
                let hole_from = if is_around { from } else { f64::INFINITY };
                let hole_to = if is_around { to } else { f64::NEG_INFINITY };
                hole_low[lane] = if hole_from < hole_low[lane] { hole_from } else { hole_low[lane] };
                hole_high[lane] = if hole_to > hole_high[lane] { hole_to } else { hole_high[lane] };
            }
            (self.low[block], self.high[block]) = (low, high);
        }
        for (column, value) in [
            (&mut self.low, levels.0),
            (&mut self.high, levels.1),
            (&mut self.hole_low, hole_low.into_iter().fold(f64::INFINITY, f64::min)),
            (&mut self.hole_high, hole_high.into_iter().fold(f64::NEG_INFINITY, f64::max)),
        ] {
            column.as_flattened_mut()[newest] = value;
        }
    }

    /// Whether the start at a place has a level left.
    fn is_alive(&self, place: usize) -> bool {
        let of = |column: &[Lanes]| column.as_flattened()[place];
        let (low, high) = (of(&self.low), of(&self.high));
        low < f64::min(of(&self.hole_low), high) || f64::max(of(&self.hole_high), low) < high
    }

    /// The least cost, and the place of the active start that has it, the earliest of equal ones.
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn least(&self) -> (f64, usize) {
        let (mut least, mut place) = (f64::INFINITY, 0);
        for block in 0..self.active.div_ceil(LANES) {
            let (base, squares) = (self.base[block], self.squares[block]);
            let there = self.active - block * LANES;
            let mut costs = [0.0; LANES];
            for lane in 0..LANES {
                costs[lane] = if lane < there { base[lane] + squares[lane] } else { f64::INFINITY };
            }
            let best = costs.iter().fold(f64::INFINITY, |best, &cost| if cost < best { cost } else { best });
            if best < least {
                least = best;
                place = block * LANES + costs.iter().position(|&cost| cost == best).unwrap_or_default();
            }
        }
        (least, place)
    }

    /// Drops the active starts that have no level left, in place and in order.
    fn keep_alive(&mut self) {
        let Some(first) = (0..self.active).find(|place| !self.is_alive(*place)) else { return };
        let mut next = first;
        for place in first..self.total {
            if place < self.active && !self.is_alive(place) {
                continue;
            }
            self.at[next] = self.at[place];
            for column in self.columns() {
                let column = column.as_flattened_mut();
                column[next] = column[place];
            }
            next += 1;
        }
        self.active -= self.total - next;
        self.total = next;
    }
}

kernel! {
    /// Fills in the best start of the segment that ends at each place.
    pub(super) fn search[][](
        values: &[f64],
        levels: (f64, f64),
        min_size: usize,
        penalty: f64,
        last: &mut [usize],
    ) {
        let mut best = vec![f64::INFINITY; values.len() + 1];
        best[0] = 0.0;
        let mut starts = Starts::default();
        let mut level = f64::midpoint(levels.0, levels.1);
        for (before, &value) in values.iter().enumerate() {
            if best[before].is_finite() {
                starts.push(before, best[before] + penalty);
            }
            starts.add(value);
            let end = before + 1;
            if end < min_size {
                continue;
            }
            let newest = starts.active;
            if newest < starts.total && starts.at[newest] == end - min_size {
                starts.active += 1;
                starts.compare(levels, level);
                starts.keep_alive();
            }
            let (cost, place) = starts.least();
            (best[end], last[end]) = (cost, starts.at[place]);
            level = starts.mean.as_flattened()[place];
        }
    }
}
