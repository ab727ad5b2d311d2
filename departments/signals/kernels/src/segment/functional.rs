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
//! lost to a large level.

use super::{Grid, penalty as check_penalty, trace};
use crate::Error;

struct Start {
    at: usize,
    /// F(at) + β.
    base: f64,
    count: f64,
    mean: f64,
    squares: f64,
    /// Where it is not above the newest start.
    from: f64,
    to: f64,
}

impl Start {
    fn add(&mut self, value: f64, reciprocals: &[f64]) {
        self.count += 1.0;
        let step = value - self.mean;
        // The reciprocals of counts are tabulated: a division for each start and point is what takes the time.
        self.mean += step * reciprocals[self.count as usize];
        self.squares += step * (value - self.mean);
    }

    fn least(&self) -> f64 {
        self.base + self.squares
    }

    /// Sets the interval of levels at which this start is not above `new`, which has fewer points. Nothing when there is none.
    fn compare(&mut self, new: &Start) {
        let shift = new.mean - self.mean;
        let more = self.count - new.count;
        let gap = new.least() - self.least();
        let inside = self.count * new.count * shift * shift + more * gap;
        if inside < 0.0 {
            (self.from, self.to) = (f64::INFINITY, f64::NEG_INFINITY);
            return;
        }
        let root = inside.sqrt();
        let middle = -new.count * shift;
        self.from = self.mean + (middle - root) / more;
        self.to = self.mean + (middle + root) / more;
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
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // One level fits a constant signal; nothing is gained by a cut.
    if penalty.is_infinite() || lowest == highest {
        return Ok(vec![points]);
    }
    // Best levels are means of values, so lie strictly within; the margin keeps the outermost pieces from having no width.
    let margin = (highest - lowest) * 1e-3;
    let (lowest, highest) = (lowest - margin, highest + margin);
    let mut reciprocals = vec![0.0];
    reciprocals.extend((1..=points).map(|count| 1.0 / count as f64));

    let mut best = vec![f64::INFINITY; points + 1];
    let mut last = vec![0; points + 1];
    best[0] = 0.0;
    let mut starts: Vec<Start> = Vec::new();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut merged: Vec<Piece> = Vec::new();
    let mut places: Vec<usize> = Vec::new();
    for end in 1..=points {
        let value = values[end - 1];
        for start in &mut starts {
            start.add(value, &reciprocals);
        }
        if end < min_size {
            continue;
        }
        let at = end - min_size;
        if best[at].is_finite() {
            let mut new = Start {
                at,
                base: best[at] + penalty,
                count: 0.0,
                mean: 0.0,
                squares: 0.0,
                from: f64::NEG_INFINITY,
                to: f64::INFINITY,
            };
            for &value in &values[at..end] {
                new.add(value, &reciprocals);
            }
            for start in &mut starts {
                start.compare(&new);
            }
            starts.push(new);
            share(&mut pieces, &mut merged, &starts, lowest, highest);
            keep_holders(&mut starts, &mut pieces, &mut places);
        }
        let mut least = f64::INFINITY;
        for start in &starts {
            if start.least() < least {
                least = start.least();
                last[end] = start.at;
            }
        }
        best[end] = least;
    }
    Ok(trace(&last, points))
}

/// Cuts every piece to where its holder is not above the newest start, and gives the rest to the newest.
fn share(pieces: &mut Vec<Piece>, merged: &mut Vec<Piece>, starts: &[Start], lowest: f64, highest: f64) {
    let newest = starts.len() - 1;
    merged.clear();
    let mut give = |to: f64, start: usize| match merged.last_mut() {
        Some(last) if last.start == start => last.to = to,
        _ => merged.push(Piece { to, start }),
    };
    let mut left = lowest;
    for piece in pieces.iter() {
        let holder = &starts[piece.start];
        let from = holder.from.max(left);
        let to = holder.to.min(piece.to);
        if from < to {
            if from > left {
                give(from, newest);
            }
            give(to, piece.start);
            if to < piece.to {
                give(piece.to, newest);
            }
        } else {
            give(piece.to, newest);
        }
        left = piece.to;
    }
    if pieces.is_empty() {
        give(highest, newest);
    }
    std::mem::swap(pieces, merged);
}

/// Drops the starts that hold no piece, in place and in order.
fn keep_holders(starts: &mut Vec<Start>, pieces: &mut [Piece], places: &mut Vec<usize>) {
    const GONE: usize = usize::MAX;
    places.clear();
    places.resize(starts.len(), GONE);
    for piece in pieces.iter() {
        places[piece.start] = 0;
    }
    for (next, place) in places.iter_mut().filter(|place| **place != GONE).enumerate() {
        *place = next;
    }
    for piece in pieces.iter_mut() {
        piece.start = places[piece.start];
    }
    let mut at = 0;
    starts.retain(|_| {
        at += 1;
        places[at - 1] != GONE
    });
}
