//! FPOP with a minimum segment size: exact penalised segmentation by squared distances, in near-linear time.
//!
//! PELT keeps a start until it loses for the best level of the segment; where nothing changes, none ever loses, and time is
//! quadratic. Functional pruning (R. Maidstone, T. Hocking, G. Rigaill, P. Fearnhead, On optimal multiple changepoint algorithms for large data, Statistics and
//! Computing 27 (2017)) keeps a start only while there is a *level* μ for which it is the best:
//!
//! ```text
//! f_s(μ) = F(s) + β + Σ (x_i − μ)²  over i from s up to t           F(t) = min over s of min over μ of f_s(μ)
//! ```
//!
//! All f_s grow by the same (x_t − μ)² at each point, so the level set where one of them is the least only ever shrinks, and only because of new starts. A
//! start s enters at t = s + m, when a segment from it has the m points it must have, as a parabola of curvature m. An older one has more curvature, so where it is below
//! the new one is a single interval: its level set is cut by that, and the new start gets what nobody holds. F(t) is the least minimum of those that hold anything.
//!
//! Each start carries count, mean and squared distances of its segment and is updated as B. P. Welford does (1962), so nothing is
//! lost to a large level. A handful of starts live at a time; they stand side by side in arrays, so that adding a point and comparing with the newest start are a few vector
//! instructions. Starts that wait for their m points are at the end of the same arrays.

use super::{Grid, penalty as check_penalty, trace};
use crate::Error;
use crate::isa::{Isa, kernel};

/// Starts that are computed together.
const LANES: usize = 8;

type Lanes = [f64; LANES];

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
    #[inline(always)]
    fn push(&mut self, at: usize, base: f64) {
        if self.total == LANES * self.base.len() {
            self.at.resize(self.total + LANES, 0);
            let columns = [&mut self.base, &mut self.count, &mut self.mean, &mut self.squares, &mut self.from, &mut self.to];
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
    #[inline(always)]
    fn add(&mut self, value: f64) {
        let blocks = self.total.div_ceil(LANES);
        let columns = self.count[..blocks].iter_mut().zip(&mut self.mean[..blocks]).zip(&mut self.squares[..blocks]);
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

/// A stretch of levels up to `to`, and who is the best there.
#[derive(Clone, Copy)]
struct Piece {
    to: f64,
    start: usize,
}

/// The segmentation with the least sum of squared distances from segment means plus `penalty` for each segment, each segment of at
/// least `min_size` points.
///
/// # Errors
/// [`Error::Segments`] for a signal shorter than one segment; [`Error::Parameter`] for a penalty that is negative or no number;
/// [`Error::Infinite`], [`Error::Missing`] for values that are not finite.
///
/// ```
/// let mut signal = vec![0.0; 33];
/// signal.extend([5.0; 30]);
/// assert_eq!(backlot_signals_kernels::segment::functional(&signal, 2, 1.0)?, [33, 63]);
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
pub fn functional(values: &[f64], min_size: usize, penalty: f64) -> Result<Vec<usize>, Error> {
    let points = values.len();
    Grid::every(min_size).admit(points, 0)?;
    check_penalty(penalty)?;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        let value = values[index];
        return Err(if value.is_nan() { Error::Missing { index } } else { Error::Infinite { index, value } });
    }
    // One level fits a constant signal; nothing is gained by a cut.
    if penalty.is_infinite() || values.iter().all(|value| *value == values[0]) {
        return Ok(vec![points]);
    }
    let mut last = vec![0; points + 1];
    search(Isa::detect(), values, min_size, penalty, &mut last);
    Ok(trace(&last, points))
}

kernel! {
    /// Fills in the best start of the segment that ends at each place.
    fn search[][](values: &[f64], min_size: usize, penalty: f64, last: &mut [usize]) {
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Best levels are means of values, so lie strictly within; the margin keeps the outermost pieces from having no width.
        let margin = (highest - lowest) * 1e-3;
        let (lowest, highest) = (lowest - margin, highest + margin);
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
                share(&mut pieces, &mut merged, &starts, lowest, highest);
                starts.keep_holders(&mut pieces, &mut places);
            }
            (best[end], last[end]) = starts.least();
        }
    }
}

/// Cuts every piece to where its holder is not above the newest start, and gives the rest to the newest.
#[inline(always)]
fn share(pieces: &mut Vec<Piece>, merged: &mut Vec<Piece>, starts: &Starts, lowest: f64, highest: f64) {
    let newest = starts.active - 1;
    let (holder_from, holder_to) = (starts.from.as_flattened(), starts.to.as_flattened());
    merged.clear();
    let mut owner = usize::MAX;
    let mut give = |to: f64, start: usize| {
        if start == owner
            && let Some(last) = merged.last_mut()
        {
            last.to = to;
        } else {
            merged.push(Piece { to, start });
            owner = start;
        }
    };
    let mut left = lowest;
    for piece in pieces.iter() {
        let (from, to) = (holder_from[piece.start], holder_to[piece.start]);
        let from = if from > left { from } else { left };
        let to = if to < piece.to { to } else { piece.to };
        // What is NaN says that the holder is above everywhere.
        let is_held = from < to && !holder_from[piece.start].is_nan();
        if is_held {
            if from > left {
                give(from, newest);
            }
            give(to, piece.start);
        }
        if !is_held || to < piece.to {
            give(piece.to, newest);
        }
        left = piece.to;
    }
    if pieces.is_empty() {
        give(highest, newest);
    }
    std::mem::swap(pieces, merged);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, random_signal};

    #[test]
    fn instruction_sets_cut_alike() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let signal = random_signal(&mut random, 300, 1);
            let cuts = |isa| {
                let mut last = vec![0; 301];
                search(isa, signal.values(), 1 + seed as usize % 7, 5.0, &mut last);
                last
            };
            let all: Vec<Vec<usize>> = Isa::available().into_iter().map(cuts).collect();
            assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{seed}");
        }
    }
}
