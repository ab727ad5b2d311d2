//! The search that loses nothing to a large level: each start carries count, mean and squared distances of its segment and is updated as B. P. Welford does
//! (1962). It takes twice the time of [`super::prefix`].

use super::{LANES, Lanes, Piece, share};
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
    /// Where it is not above the newest start.
    from: Vec<Lanes>,
    to: Vec<Lanes>,
}

impl Starts {
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn push(&mut self, at: usize, base: f64) {
        if self.total == LANES * self.base.len() {
            self.at.resize(self.total + LANES, 0);
            let columns = [
                &mut self.base,
                &mut self.count,
                &mut self.mean,
                &mut self.squares,
                &mut self.from,
                &mut self.to,
            ];
            for column in columns {
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

    /// For each start before the newest active one the levels at which it is not above that; none where it is above everywhere.
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn compare(&mut self) {
        let newest = self.active - 1;
        let new_count = self.count.as_flattened()[newest];
        let new_mean = self.mean.as_flattened()[newest];
        let new_least = self.base.as_flattened()[newest] + self.squares.as_flattened()[newest];
        for block in 0..newest.div_ceil(LANES) {
            let (base, count) = (self.base[block], self.count[block]);
            let (mean, squares) = (self.mean[block], self.squares[block]);
            let (mut from, mut to) = ([0.0; LANES], [0.0; LANES]);
            for lane in 0..LANES {
                let shift = new_mean - mean[lane];
                let more = count[lane] - new_count;
                let gap = new_least - (base[lane] + squares[lane]);
                let inside = count[lane] * new_count * shift * shift + more * gap;
                // The root of what is negative is NaN, which fails every comparison that gives levels to the start.
                let root = inside.sqrt();
                let middle = -new_count * shift;
                from[lane] = mean[lane] + (middle - root) / more;
                to[lane] = mean[lane] + (middle + root) / more;
            }
            (self.from[block], self.to[block]) = (from, to);
        }
    }

    /// The active start with the least cost, the earliest of equal ones.
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
        (least, self.at[place])
    }

    /// Drops the active starts that hold no piece, in place and in order, and renames those of the pieces.
    #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
    #[inline(always)]
    fn keep_holders(&mut self, pieces: &mut [Piece], places: &mut Vec<usize>) {
        const GONE: usize = usize::MAX;
        places.clear();
        places.resize(self.active, GONE);
        for piece in pieces.iter() {
            places[piece.start] = 0;
        }
        let Some(first) = places.iter().position(|place| *place == GONE) else { return };
        let mut next = first;
        for place in first..self.total {
            if places.get(place) == Some(&GONE) {
                continue;
            }
            if let Some(moved) = places.get_mut(place) {
                *moved = next;
            }
            self.at[next] = self.at[place];
            for column in [&mut self.base, &mut self.count, &mut self.mean, &mut self.squares] {
                let column = column.as_flattened_mut();
                column[next] = column[place];
            }
            next += 1;
        }
        self.active -= self.total - next;
        self.total = next;
        for piece in pieces.iter_mut().filter(|piece| piece.start >= first) {
            piece.start = places[piece.start];
        }
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
        let mut pieces: Vec<Piece> = Vec::new();
        let mut merged: Vec<Piece> = Vec::new();
        let mut places: Vec<usize> = Vec::new();
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
                starts.compare();
                let newest = starts.active - 1;
                let held = (starts.from.as_flattened(), starts.to.as_flattened());
                share(&mut pieces, &mut merged, newest, held, levels);
                starts.keep_holders(&mut pieces, &mut places);
            }
            (best[end], last[end]) = starts.least();
        }
    }
}
