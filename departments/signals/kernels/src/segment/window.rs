//! Sliding window: how different are the two halves around each place.

use super::{Grid, Stop};
use crate::Error;
use crate::cost::Cost;

/// Gains closer than this share of themselves are equal but for rounding: a constant signal has no peak.
const TIE: f64 = 1e-8;

/// How much a cut at each place gains within a window around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// The places, multiples of the step with a whole window around them.
    pub places: Vec<usize>,
    /// The gain at each.
    pub gains: Vec<f64>,
    width: usize,
}

impl Scores {
    /// Scores every place of the grid with a window of `width` points, made even.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a width below 2.
    pub fn of(cost: &(impl Cost + ?Sized), grid: Grid, width: usize) -> Result<Self, Error> {
        let half = width / 2;
        if half == 0 {
            return Err(Error::Parameter { name: "width", value: width as f64, wanted: "give at least 2" });
        }
        grid.admit(cost.points().max(grid.min_size), 0)?;
        let last = cost.points().saturating_sub(half);
        let places: Vec<usize> = (0..last).step_by(grid.jump).filter(|&place| place >= half).collect();
        let gain = |&place: &usize| {
            let (start, end) = (place - half, place + half);
            let whole = cost.error(start, end);
            if whole == f64::NEG_INFINITY {
                return 0.0;
            }
            whole - cost.error(start, place) - cost.error(place, end)
        };
        Ok(Self { gains: places.iter().map(gain).collect(), places, width: 2 * half })
    }

    /// The places whose gain is above all others within half a window to both sides (around the ends too), best last.
    fn peaks(&self, grid: Grid) -> Vec<usize> {
        let order = (self.width.max(2 * grid.min_size) / (2 * grid.jump)).max(1);
        let count = self.gains.len();
        let is_peak = |&index: &usize| {
            (1..=order).all(|step| {
                let left = (index + count - step % count) % count;
                let right = (index + step) % count;
                let floor = self.gains[index] - TIE * self.gains[index].abs();
                floor > self.gains[left] && floor > self.gains[right]
            })
        };
        let mut peaks: Vec<usize> = (0..count).filter(is_peak).collect();
        peaks.sort_by(|&a, &b| self.gains[a].total_cmp(&self.gains[b]).then(a.cmp(&b)));
        peaks.into_iter().map(|index| self.places[index]).collect()
    }
}

/// Cuts at the highest peaks of `scores` until `stop`. A signal without a peak is not cut.
///
/// # Errors
/// As [`super::binary`].
pub fn window(
    cost: &(impl Cost + ?Sized),
    grid: Grid,
    scores: &Scores,
    stop: Stop,
) -> Result<Vec<usize>, Error> {
    let points = cost.points();
    grid.admit(points, stop.changes())?;
    stop.check()?;
    let mut ends = vec![points];
    let mut error = cost.sum(&ends);
    for place in scores.peaks(grid).into_iter().rev() {
        let mut with = ends.clone();
        with.push(place);
        with.sort_unstable();
        let goes_on = match stop {
            Stop::Changes(changes) => ends.len() <= changes,
            Stop::Penalty(penalty) => error - cost.sum(&with) > penalty,
            Stop::Rest(most) => error > most,
        };
        if !goes_on {
            break;
        }
        ends = with;
        error = cost.sum(&ends);
    }
    Ok(ends)
}
