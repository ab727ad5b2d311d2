//! Binary segmentation: the best cut, then the best cut of what it leaves (A. J. Scott, M. Knott, 1974).

use super::{Grid, Stop};
use crate::Error;
use crate::cost::Cost;

struct Piece {
    start: usize,
    end: usize,
    /// The best cut and what it gains.
    cut: Option<(usize, f64)>,
}

/// Cuts greedily until `stop`. Of equally good cuts the last is taken; of equally good pieces the first.
///
/// # Errors
/// [`Error::Segments`] when the change points asked for do not fit, [`Error::Parameter`] for a stop that is no number.
pub fn binary(cost: &(impl Cost + ?Sized), grid: Grid, stop: Stop) -> Result<Vec<usize>, Error> {
    let points = cost.points();
    grid.admit(points, stop.changes())?;
    stop.check()?;
    let cut = |start: usize, end: usize| Piece { start, end, cut: best_cut(cost, grid, start, end) };
    let mut pieces = vec![cut(0, points)];
    let mut rest = if matches!(stop, Stop::Rest(_)) { cost.error(0, points) } else { 0.0 };
    loop {
        let mut best: Option<(usize, usize, f64)> = None;
        for (index, piece) in pieces.iter().enumerate() {
            if let Some((at, gain)) = piece.cut
                && best.is_none_or(|(_, _, most)| gain > most)
            {
                best = Some((index, at, gain));
            }
        }
        let Some((index, at, gain)) = best else { break };
        let goes_on = match stop {
            Stop::Changes(changes) => pieces.len() <= changes,
            Stop::Penalty(penalty) => gain > penalty,
            Stop::Rest(most) => rest > most,
        };
        if !goes_on {
            break;
        }
        rest -= gain;
        let Piece { start, end, .. } = pieces[index];
        pieces[index] = cut(start, at);
        pieces.insert(index + 1, cut(at, end));
    }
    Ok(pieces.iter().map(|piece| piece.end).collect())
}

fn best_cut(cost: &(impl Cost + ?Sized), grid: Grid, start: usize, end: usize) -> Option<(usize, f64)> {
    let whole = cost.error(start, end);
    if whole == f64::NEG_INFINITY {
        return None;
    }
    let first = start + grid.min_size.div_ceil(grid.jump) * grid.jump;
    let mut best: Option<(usize, f64)> = None;
    // Pieces begin at multiples of the step, so do the cuts.
    for at in (first..end).step_by(grid.jump).take_while(|at| end - at >= grid.min_size) {
        let gain = whole - cost.error(start, at) - cost.error(at, end);
        if best.is_none_or(|(_, most)| gain >= most) {
            best = Some((at, gain));
        }
    }
    best
}
