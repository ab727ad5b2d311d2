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
//! the new one is a single interval: its level set is cut to that, and the new start gets what nobody holds. F(t) is the least minimum of those that hold anything.
//!
//! **A set is an interval with one hole.** What newer starts leave of a start's set is an interval, as each cuts it to one. What older ones had when it entered can be many intervals; only the union of those around one
//! level, that of the best segment, is taken out. A start may so be kept for levels that another holds, which costs time and never changes the answer; on random signals with up to twenty changes one start in
//! fifty is. In return a start is a handful of numbers, a comparison of all starts with the new one is the same arithmetic for each, and nothing is a list.
//!
//! There are two searches: [`prefix`] for ordinary signals, and [`careful`], which loses nothing to a huge level.

mod careful;
mod prefix;

use super::{Grid, penalty as check_penalty, trace};
use crate::Error;
use crate::isa::{Isa, kernel};

/// Starts that are computed together.
const LANES: usize = 8;

type Lanes = [f64; LANES];

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
    let isa = Isa::detect();
    let range = range_of(isa, values);
    if !range.sum.is_finite()
        && let Some(index) = values.iter().position(|value| !value.is_finite())
    {
        let value = values[index];
        return Err(if value.is_nan() { Error::Missing { index } } else { Error::Infinite { index, value } });
    }
    // One level fits a constant signal; nothing is gained by a cut.
    if penalty.is_infinite() || range.lowest == range.highest {
        return Ok(vec![points]);
    }
    let mut last = vec![0; points + 1];
    search(isa, values, &range, min_size, penalty, &mut last);
    Ok(trace(&last, points))
}

/// Between which values lie, and their sum.
struct Range {
    lowest: f64,
    highest: f64,
    sum: f64,
}

kernel! {
    /// The sum is not finite when one of the values is not.
    fn range_of[][](values: &[f64]) -> Range {
        let (mut lowest, mut highest) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        let mut sums = [0.0; LANES];
        let (blocks, rest) = values.as_chunks::<LANES>();
        let mut take = |lane: usize, value: f64| {
            lowest[lane] = if value < lowest[lane] { value } else { lowest[lane] };
            highest[lane] = if value > highest[lane] { value } else { highest[lane] };
            sums[lane] += value;
        };
        for block in blocks {
            for (lane, &value) in block.iter().enumerate() {
                take(lane, value);
            }
        }
        for (lane, &value) in rest.iter().enumerate() {
            take(lane, value);
        }
        Range {
            lowest: lowest.into_iter().fold(f64::INFINITY, f64::min),
            highest: highest.into_iter().fold(f64::NEG_INFINITY, f64::max),
            sum: sums.into_iter().sum(),
        }
    }
}

/// Fills in the best start of the segment that ends at each place, by the faster way where it is exact enough.
fn search(isa: Isa, values: &[f64], range: &Range, min_size: usize, penalty: f64, last: &mut [usize]) {
    let &Range { lowest, highest, sum } = range;
    let mean = sum / values.len() as f64;
    // Best levels are means of values, so lie strictly within; the margin keeps the outermost levels from having no width.
    let margin = (highest - lowest) * 1e-3;
    let levels = (lowest - margin, highest + margin);
    let size = (highest - mean).max(mean - lowest);
    if prefix::is_exact_enough(values.len(), size, penalty) {
        prefix::search(isa, values, mean, min_size, penalty, last);
    } else {
        careful::search(isa, values, levels, min_size, penalty, last);
    }
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
            let values = signal.values();
            let min_size = 1 + seed as usize % 7;
            let mean = values.iter().sum::<f64>() / 300.0;
            let largest = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            let levels = (-1.1 * largest, 1.1 * largest);
            let both = |isa| {
                let (mut fast, mut slow) = (vec![0; 301], vec![0; 301]);
                prefix::search(isa, values, mean, min_size, 5.0, &mut fast);
                careful::search(isa, values, levels, min_size, 5.0, &mut slow);
                (fast, slow)
            };
            let all: Vec<_> = Isa::available().into_iter().map(both).collect();
            assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{seed}");
            // Ties may be broken otherwise; what is found may not cost more.
            let cost = crate::cost::L2::new(&signal);
            let total = |last: &[usize]| crate::segment::penalised(&cost, &trace(last, 300), 5.0);
            let (fast, slow) = (total(&all[0].0), total(&all[0].1));
            let rounding = 1e-9 * (1.0 + slow.abs() + largest * largest * 300.0 * 1e-4);
            assert!((fast - slow).abs() <= rounding, "{seed}: {fast} {slow}");
        }
    }
}
