//! Matrix profiles: for every window of a signal the most alike other window, whatever its level and scale.
//!
//! What is unlike everything else is a *discord*, two windows that are most alike a *motif* (C.-C. M. Yeh and others, Matrix Profile I, ICDM 2016). The
//! distance is Euclid's between windows brought to mean 0 and deviation 1: √(2m(1 − r)), with r the correlation of two windows of m points.
//!
//! All n²/2 correlations are computed, diagonal by diagonal. Along a diagonal the covariance of the next pair of windows follows from that of the last by two
//! products (the update of Z. Zimmerman and others, Matrix Profile XIV, SoCC 2019), which loses less than sliding sums of products:
//!
//! ```text
//! cov(i, j) = cov(i−1, j−1) + f(i)·g(j) + f(j)·g(i)      f(i) = (x(i+m−1) − x(i−1)) / 2
//! r(i, j) = cov(i, j)·v(i)·v(j)                          g(i) = (x(i+m−1) − mean(i)) + (x(i−1) − mean(i−1))
//! ```
//!
//! Many diagonals go side by side, so their covariances fill vector registers and all memory is read in order. The recurrence begins anew at
//! fixed places, and of equal correlations the smaller place wins, so the answer has the same bits for any number of threads. The distances to the windows found are
//! computed once more from their points, so they are exact to rounding; only *which* window is the nearest can depend on the recurrence, when two are as near to
//! about 13 digits.
//!
//! | input | what happens |
//! |---|---|
//! | NaN | windows that hold a missing point have no neighbour and are nobody's; their distance is infinite |
//! | infinite | an error that names the point |
//! | constant windows | at distance 0 from one another and √m from others, as in other implementations |
//! | fewer points than one window, or no pair of windows outside the exclusion zone | an error that names both numbers |

mod extremes;
mod join;
mod prepared;
mod streaming;
#[cfg(test)]
mod tests;

pub use extremes::{Discord, Motif};
pub use join::{ab_join, self_join, self_join_on};
pub use streaming::{Appended, Streaming};

use crate::Error;

/// The shortest window: with two points every window looks like every other or its mirror image.
pub const LEAST_WINDOW: usize = 3;

/// For each window of a signal its nearest other window.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Points of a window.
    pub window: usize,
    /// Windows that begin this near or nearer are no neighbours: they share most of their points. 0 for a join of two signals.
    pub exclusion: usize,
    /// The distance to the nearest window; infinite for a window without one.
    pub distances: Vec<f64>,
    /// Where the nearest window begins.
    pub nearest: Vec<Option<usize>>,
    /// Where the nearest window that begins earlier does; empty for a join of two signals.
    pub left: Vec<Option<usize>>,
    /// Where the nearest window that begins later does; empty for a join of two signals.
    pub right: Vec<Option<usize>>,
}

/// How near windows may not be compared: a quarter of the window, rounded up.
pub fn usual_exclusion(window: usize) -> usize {
    window.div_ceil(4)
}

fn check(values: &[f64], window: usize) -> Result<(), Error> {
    if window < LEAST_WINDOW {
        return Err(Error::Parameter {
            name: "window",
            value: window as f64,
            wanted: "give at least 3 points",
        });
    }
    if let Some(index) = values.iter().position(|value| value.is_infinite()) {
        return Err(Error::Infinite { index, value: values[index] });
    }
    if values.len() < window {
        return Err(Error::TooShort { points: values.len(), needed: window });
    }
    Ok(())
}
