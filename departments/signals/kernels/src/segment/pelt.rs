//! PELT: exact penalised segmentation that drops starts that can no longer win.
//!
//! R. Killick, P. Fearnhead, I. Eckley, Optimal detection of changepoints with a linear computational cost, JASA 107 (2012). With F(t) the
//! best cost of the points before t, a start s is dropped at t when F(s) + C(s, t) > F(t): whatever ends at a later T is then at least as cheap with a cut at t.
//!
//! That cut must be allowed. With segments of at least m points it is so only for T ≥ t + m, so a start that fails at t still competes
//! for the ends before t + m. Dropping it at once, as is often done, loses the best segmentation about once in a hundred signals.

use super::{Grid, penalty as check_penalty, trace};
use crate::Error;
use crate::cost::{Cost, Pruning};

/// Of the costs compared: a start that loses by less than rounding could be the winner.
const SLACK: f64 = 1e-10;

struct Start {
    at: usize,
    /// The first end for which a cut between is allowed and better.
    until: usize,
}

/// The segmentation of the least cost plus `penalty` for each segment. Of equally good ones the last segment is the longest.
///
/// # Errors
/// [`Error::Segments`] for a signal shorter than one segment, [`Error::Parameter`] for a penalty that is negative or no number.
pub fn pelt(cost: &(impl Cost + ?Sized), grid: Grid, penalty: f64) -> Result<Vec<usize>, Error> {
    let points = cost.points();
    grid.admit(points, 0)?;
    check_penalty(penalty)?;
    if penalty.is_infinite() {
        return Ok(vec![points]);
    }
    let mut best = vec![f64::INFINITY; points + 1];
    let mut last = vec![0; points + 1];
    best[0] = 0.0;
    let mut starts = vec![Start { at: 0, until: usize::MAX }];
    let mut next = grid.min_size.div_ceil(grid.jump) * grid.jump;
    let mut totals = Vec::new();
    for end in grid.ends(points) {
        while next + grid.min_size <= end {
            if best[next].is_finite() {
                starts.push(Start { at: next, until: usize::MAX });
            }
            next += grid.jump;
        }
        starts.retain(|start| start.until > end);
        totals.clear();
        let mut least = f64::INFINITY;
        for start in &starts {
            let total = best[start.at] + cost.error(start.at, end);
            if total + penalty < least {
                least = total + penalty;
                last[end] = start.at;
            }
            totals.push(total);
        }
        best[end] = least;
        if cost.pruning() == Pruning::Splits {
            for (start, total) in starts.iter_mut().zip(&totals) {
                if start.until == usize::MAX && *total > least + SLACK * (least.abs() + total.abs()) {
                    start.until = end + grid.min_size;
                }
            }
        }
    }
    Ok(trace(&last, points))
}
