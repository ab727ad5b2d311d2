//! Kernel costs: a segment is good when its points are alike.

use super::Cost;
use crate::robust::median_of;
use crate::{Error, Signal};

/// The table of sums takes 8·n² bytes: half a gibibyte here.
pub const MAX_KERNEL_POINTS: usize = 8192;

/// Σk(x,x) − Σk(x,y)/n from a table of the kernel's sums over all rectangles from the origin: quadratic to prepare, constant to ask.
#[derive(Clone, Debug)]
pub struct Kernel {
    points: usize,
    /// Sums of the kernel over `[0, row) × [0, column)`, (points + 1)² of them.
    table: Vec<f64>,
    /// Sums of the kernel of each point with itself.
    diagonal: Vec<f64>,
    gamma: Option<f64>,
}

impl Kernel {
    /// The kernel exp(−γ‖x−y‖²), γ‖x−y‖² between 0.01 and 100 for different points so that no pair is alike to the last bit or counts for nothing. Without `gamma`, one over the
    /// median squared distance (1 when that is 0).
    ///
    /// # Errors
    /// [`Error::TooLong`]; [`Error::Parameter`] for a `gamma` that is not positive.
    pub fn rbf(signal: &Signal, gamma: Option<f64>) -> Result<Self, Error> {
        let points = checked(signal)?;
        let distance = |a: usize, b: usize| -> f64 {
            signal.point(a).iter().zip(signal.point(b)).map(|(x, y)| (x - y) * (x - y)).sum()
        };
        let gamma = match gamma {
            Some(gamma) if gamma > 0.0 && gamma.is_finite() => gamma,
            Some(value) => {
                return Err(Error::Parameter { name: "gamma", value, wanted: "give a positive number" });
            }
            None => {
                let mut distances: Vec<f64> = (0..points)
                    .flat_map(|a| (0..a).map(move |b| (a, b)))
                    .map(|(a, b)| distance(a, b))
                    .collect();
                match median_of(&mut distances) {
                    Some(median) if median > 0.0 => 1.0 / median,
                    _ => 1.0,
                }
            }
        };
        let kernel = |a: usize, b: usize| {
            if a == b { 1.0 } else { libm::exp(-(distance(a, b) * gamma).clamp(0.01, 100.0)) }
        };
        Ok(Self { gamma: Some(gamma), ..Self::new(points, kernel) })
    }

    /// The cosine of the angle between points. A point at the origin is like itself and like no other.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub fn cosine(signal: &Signal) -> Result<Self, Error> {
        let points = checked(signal)?;
        let norm = |a: usize| signal.point(a).iter().map(|x| x * x).sum::<f64>().sqrt();
        let norms: Vec<f64> = (0..points).map(norm).collect();
        let kernel = |a: usize, b: usize| {
            if a == b {
                return 1.0;
            }
            let product: f64 = signal.point(a).iter().zip(signal.point(b)).map(|(x, y)| x * y).sum();
            let norms = norms[a] * norms[b];
            if norms > 0.0 { product / norms } else { 0.0 }
        };
        Ok(Self::new(points, kernel))
    }

    /// The γ in use, for the rbf kernel.
    pub fn gamma(&self) -> Option<f64> {
        self.gamma
    }

    fn new(points: usize, kernel: impl Fn(usize, usize) -> f64) -> Self {
        let width = points + 1;
        let mut table = vec![0.0; width * width];
        let mut diagonal = vec![0.0];
        // Row by row up to the diagonal; the other half is its mirror.
        for row in 0..points {
            let mut sum = 0.0;
            for column in 0..=row {
                sum += kernel(row, column);
                table[(row + 1) * width + column + 1] = table[row * width + column + 1] + sum;
            }
            let own = kernel(row, row);
            // The square to the diagonal lacks the mirror of this row: the rectangle above stopped one column earlier.
            let above = table[row * width + row];
            table[(row + 1) * width + row + 1] = above + 2.0 * (sum - own) + own;
            diagonal.push(diagonal[row] + own);
            for earlier in 0..row {
                table[(earlier + 1) * width + row + 1] = table[(row + 1) * width + earlier + 1];
            }
        }
        Self { points, table, diagonal, gamma: None }
    }
}

fn checked(signal: &Signal) -> Result<usize, Error> {
    let points = signal.points();
    if points > MAX_KERNEL_POINTS {
        return Err(Error::TooLong { what: "a kernel cost", points, limit: MAX_KERNEL_POINTS });
    }
    Ok(points)
}

impl Cost for Kernel {
    fn points(&self) -> usize {
        self.points
    }

    fn min_size(&self) -> usize {
        1
    }

    fn error(&self, start: usize, end: usize) -> f64 {
        let width = self.points + 1;
        let at = |row: usize, column: usize| self.table[row * width + column];
        let square = at(end, end) - at(start, end) - at(end, start) + at(start, start);
        self.diagonal[end] - self.diagonal[start] - square / (end - start) as f64
    }
}
