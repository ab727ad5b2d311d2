//! A Gaussian of free mean and covariance.

use super::{Cost, L2, Pruning};
use crate::linalg::log_determinant;
use crate::sums::{Double, Sums};
use crate::{Error, Signal};

/// n·log det(Σ̂+δI): twice the negative log likelihood but for constants.
///
/// In one dimension Σ̂ is the variance with divisor n. In several it has the divisor n−1, as `numpy.cov` has, which makes small segments
/// dearer than their parts may be together; then no start may be dropped.
#[derive(Clone, Debug)]
pub struct Normal {
    floor: f64,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Scalar(L2),
    Several {
        dimensions: usize,
        points: usize,
        sums: Vec<Sums>,
        /// Of products of dimensions, the lower triangle row by row.
        products: Vec<Sums>,
    },
}

impl Normal {
    /// A variance needs two points.
    const MIN_SIZE: usize = 2;

    /// Prepares in linear time; `floor` is added to each variance.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a floor that is negative or no number.
    pub fn new(signal: &Signal, floor: f64) -> Result<Self, Error> {
        if !(floor >= 0.0 && floor.is_finite()) {
            return Err(Error::Parameter { name: "floor", value: floor, wanted: "give a number from 0" });
        }
        let dimensions = signal.dimensions();
        if dimensions == 1 {
            return Ok(Self { floor, form: Form::Scalar(L2::new(signal)) });
        }
        // Centred, so that products stay near the size of the covariance.
        let means = signal.means();
        let centred = |dimension: usize| signal.column(dimension).zip(std::iter::repeat(means[dimension]));
        let sums = (0..dimensions)
            .map(|a| Sums::of(centred(a).map(|(value, mean)| (value - mean).into())))
            .collect();
        let mut products = Vec::new();
        for a in 0..dimensions {
            for b in 0..=a {
                let pairs = centred(a).zip(centred(b));
                products.push(Sums::of(
                    pairs.map(|((x, x_mean), (y, y_mean))| Double::product(x - x_mean, y - y_mean)),
                ));
            }
        }
        Ok(Self { floor, form: Form::Several { dimensions, points: signal.points(), sums, products } })
    }
}

impl Cost for Normal {
    fn points(&self) -> usize {
        match &self.form {
            Form::Scalar(squares) => squares.points(),
            Form::Several { points, .. } => *points,
        }
    }

    fn min_size(&self) -> usize {
        Self::MIN_SIZE
    }

    fn error(&self, start: usize, end: usize) -> f64 {
        let count = (end - start) as f64;
        match &self.form {
            Form::Scalar(squares) => count * libm::log(squares.error(start, end) / count + self.floor),
            Form::Several { dimensions, sums, products, .. } => {
                let size = *dimensions;
                let mut covariance = vec![0.0; size * size];
                let totals: Vec<f64> = sums.iter().map(|sum| sum.between(start, end).value()).collect();
                let mut next = products.iter();
                for a in 0..size {
                    for b in 0..=a {
                        let product = next.next().map_or(0.0, |sums| sums.between(start, end).value());
                        let value = (product - totals[a] * totals[b] / count) / (count - 1.0).max(1.0);
                        let value = if a == b { value.max(0.0) + self.floor } else { value };
                        covariance[a * size + b] = value;
                        covariance[b * size + a] = value;
                    }
                }
                count * log_determinant(&mut covariance, size)
            }
        }
    }

    fn pruning(&self) -> Pruning {
        match self.form {
            Form::Scalar(_) => Pruning::Splits,
            Form::Several { .. } => Pruning::Never,
        }
    }
}
