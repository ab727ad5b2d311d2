//! Searches: where to cut a signal.
//!
//! | search | finds | for |
//! |---|---|---|
//! | [`pelt`] | the best penalised segmentation, exactly | any [`Cost`] |
//! | [`functional`] | the same, exactly and in near-linear time | squared distances in one dimension |
//! | [`dynamic`] | the best segmentation with a given number of change points, exactly | any cost |
//! | [`binary`], [`bottom_up`], [`window`] | a good one, greedily | any cost |
//!
//! A segmentation is the list of its segments' ends: increasing, the last one the number of points. Segments begin at multiples of [`Grid::jump`] and have at least
//! [`Grid::min_size`] points.

mod binary;
mod bottom_up;
mod dynamic;
#[cfg(test)]
mod exactness;
mod functional;
mod pelt;
mod window;

pub use binary::binary;
pub use bottom_up::bottom_up;
pub use dynamic::{Dynamic, dynamic};
pub use functional::functional;
pub use pelt::pelt;
pub use window::{Scores, window};

use crate::cost::Cost;
use crate::{Error, Signal};

/// Where segments may begin and how short they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The fewest points of a segment, from 1.
    pub min_size: usize,
    /// Segments begin at its multiples, from 1.
    pub jump: usize,
}

impl Grid {
    /// Every place is admissible, with segments of at least `min_size` points.
    pub fn every(min_size: usize) -> Self {
        Self { min_size, jump: 1 }
    }

    /// Whether `changes` change points fit a signal of `points`.
    ///
    /// # Errors
    /// [`Error::Segments`] when they do not, [`Error::Parameter`] for a grid of zero.
    pub fn admit(self, points: usize, changes: usize) -> Result<(), Error> {
        let Self { min_size, jump } = self;
        if jump == 0 {
            return Err(Error::Parameter { name: "jump", value: 0.0, wanted: "give at least 1" });
        }
        if min_size == 0 {
            return Err(Error::Parameter { name: "min_size", value: 0.0, wanted: "give at least 1" });
        }
        let step = min_size.div_ceil(jump).saturating_mul(jump);
        let needed = changes.saturating_mul(step).saturating_add(min_size);
        if changes > points / jump || needed > points {
            return Err(Error::Segments { changes, points, min_size, jump });
        }
        Ok(())
    }

    /// The places where a segment may end: multiples of the step from the first possible, and the end.
    fn ends(self, points: usize) -> Vec<usize> {
        let first = self.min_size.div_ceil(self.jump) * self.jump;
        let mut ends: Vec<usize> = (first..points).step_by(self.jump).collect();
        ends.push(points);
        ends
    }
}

/// When a greedy search has cut enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// At this many change points.
    Changes(usize),
    /// When a cut gains no more than this.
    Penalty(f64),
    /// When the sum of costs is at most this.
    Rest(f64),
}

impl Stop {
    fn changes(self) -> usize {
        match self {
            Self::Changes(changes) => changes,
            Self::Penalty(_) | Self::Rest(_) => 0,
        }
    }

    fn check(self) -> Result<(), Error> {
        match self {
            Self::Penalty(value) => penalty(value),
            Self::Rest(value) if value.is_nan() => {
                Err(Error::Parameter { name: "epsilon", value, wanted: "give a number" })
            }
            Self::Changes(_) | Self::Rest(_) => Ok(()),
        }
    }
}

/// A penalty that means something. Infinity is one: no change point is worth it.
fn penalty(value: f64) -> Result<(), Error> {
    if value.is_nan() || value < 0.0 {
        return Err(Error::Parameter { name: "penalty", value, wanted: "give a number from 0" });
    }
    Ok(())
}

/// The best penalised segmentation of a signal by squared distances: by [`functional`] where it has one dimension and every place is
/// admissible, else by [`pelt`].
///
/// # Errors
/// As [`pelt`].
pub fn least_squares(signal: &Signal, grid: Grid, penalty: f64) -> Result<Vec<usize>, Error> {
    if signal.dimensions() == 1 && grid.jump == 1 {
        return functional(signal.values(), grid.min_size, penalty);
    }
    pelt(&crate::cost::L2::new(signal), grid, penalty)
}

/// The penalised cost of a segmentation: what the exact searches minimise.
pub fn penalised(cost: &(impl Cost + ?Sized), ends: &[usize], penalty: f64) -> f64 {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let costs: f64 = starts.zip(ends).map(|(start, &end)| cost.error(start, end)).sum();
    costs + penalty * ends.len() as f64
}

/// Follows the best starts back from the end.
fn trace(last: &[usize], points: usize) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut end = points;
    while end > 0 {
        ends.push(end);
        end = last[end];
    }
    ends.reverse();
    ends
}
