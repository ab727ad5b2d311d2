//! Squared distances from the mean.

use super::Cost;
use crate::Signal;
use crate::sums::{Double, Sums, squared_distances};

/// Σ‖x−x̄‖² from sums over all dimensions, see [`crate::sums`] for why they are exact.
#[derive(Clone, Debug)]
pub struct L2 {
    points: usize,
    squares: Vec<Sums>,
    sums: Vec<Sums>,
}

impl L2 {
    /// Prepares in linear time.
    pub fn new(signal: &Signal) -> Self {
        let dimensions = 0..signal.dimensions();
        let squares = dimensions
            .clone()
            .map(|dimension| Sums::of(signal.column(dimension).map(|value| Double::product(value, value))));
        let sums = dimensions.map(|dimension| Sums::of(signal.column(dimension).map(Double::from)));
        Self { points: signal.points(), squares: squares.collect(), sums: sums.collect() }
    }
}

impl Cost for L2 {
    fn points(&self) -> usize {
        self.points
    }

    fn min_size(&self) -> usize {
        1
    }

    fn error(&self, start: usize, end: usize) -> f64 {
        let count = (end - start) as f64;
        let dimensions = self.squares.iter().zip(&self.sums);
        dimensions
            .map(|(squares, sums)| {
                squared_distances(squares.between(start, end), sums.between(start, end), count)
            })
            .sum()
    }
}
