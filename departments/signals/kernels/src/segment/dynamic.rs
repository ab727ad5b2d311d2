//! Dynamic programming: the best segmentation with a given number of change points.
//!
//! R. Bellman, On the approximation of curves by line segments using dynamic programming (1961); I. Auger, C. Lawrence (1989). Layer k holds, for each end, the
//! least cost of k + 1 segments; each layer is quadratic in the length.

use super::Grid;
use crate::Error;
use crate::cost::Cost;

/// Layers up to some number of change points; any smaller number is answered from them.
#[derive(Clone, Debug)]
pub struct Dynamic {
    ends: Vec<usize>,
    /// For each layer and each end: the place in `ends` of the segment before, and whether there is one.
    before: Vec<Vec<Option<u32>>>,
}

/// Segments that are computed again for each layer beyond this many are instead kept: 64 MiB of costs.
const MOST_KEPT: usize = 8 << 20;

impl Dynamic {
    /// Solves for every number of change points up to `changes`.
    ///
    /// # Errors
    /// [`Error::Segments`] when they do not fit.
    pub fn solve(cost: &(impl Cost + ?Sized), grid: Grid, changes: usize) -> Result<Self, Error> {
        let points = cost.points();
        grid.admit(points, changes)?;
        let ends = grid.ends(points);
        let count = ends.len();
        // Costs of segments between admissible places, asked once for all layers.
        let pair = |from: usize, to: usize| to * (to - 1) / 2 + from;
        let is_kept = count * (count - 1) / 2 <= MOST_KEPT;
        let mut kept = Vec::new();
        if is_kept && changes > 1 {
            for to in 1..count {
                for from in 0..to {
                    let is_long = ends[to] - ends[from] >= grid.min_size;
                    kept.push(if is_long { cost.error(ends[from], ends[to]) } else { f64::INFINITY });
                }
            }
        }
        let ask = |from: usize, to: usize| {
            if kept.is_empty() {
                if ends[to] - ends[from] < grid.min_size {
                    f64::INFINITY
                } else {
                    cost.error(ends[from], ends[to])
                }
            } else {
                kept[pair(from, to)]
            }
        };
        let mut least: Vec<f64> = ends.iter().map(|&end| cost.error(0, end)).collect();
        let mut before = vec![vec![None; count]];
        for _ in 0..changes {
            let mut next = vec![f64::INFINITY; count];
            let mut chosen = vec![None; count];
            for to in 1..count {
                for from in 0..to {
                    if least[from] == f64::INFINITY || ends[to] - ends[from] < grid.min_size {
                        continue;
                    }
                    let total = least[from] + ask(from, to);
                    if total < next[to] || chosen[to].is_none() {
                        next[to] = total;
                        chosen[to] = Some(from as u32);
                    }
                }
            }
            least = next;
            before.push(chosen);
        }
        Ok(Self { ends, before })
    }

    /// The ends of the best segments with exactly this many change points.
    ///
    /// # Errors
    /// [`Error::Segments`] beyond what was solved.
    pub fn segmentation(&self, changes: usize) -> Result<Vec<usize>, Error> {
        let points = self.ends[self.ends.len() - 1];
        let unsolved = || Error::Segments { changes, points, min_size: self.ends[0], jump: 1 };
        if changes >= self.before.len() {
            return Err(unsolved());
        }
        let mut at = self.ends.len() - 1;
        let mut ends = vec![points];
        for layer in (1..=changes).rev() {
            at = self.before[layer][at].ok_or_else(unsolved)? as usize;
            ends.push(self.ends[at]);
        }
        ends.reverse();
        Ok(ends)
    }
}

/// The segmentation of the least cost with exactly `changes` change points.
///
/// # Errors
/// [`Error::Segments`] when they do not fit.
pub fn dynamic(cost: &(impl Cost + ?Sized), grid: Grid, changes: usize) -> Result<Vec<usize>, Error> {
    Dynamic::solve(cost, grid, changes)?.segmentation(changes)
}
