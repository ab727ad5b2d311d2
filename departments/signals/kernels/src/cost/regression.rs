//! Costs of linear models: what least squares leave.

use super::Cost;
use crate::linalg::least_squares_rest;
use crate::sums::{Double, Sums};
use crate::{Error, Signal};

/// The least squares' rest, from sums of the products of all regressors and of what they explain. Regressors that are linear in the
/// others count once, so a segment that the model fits exactly costs nothing and no other does.
#[derive(Clone, Debug)]
pub struct Regression {
    points: usize,
    min_size: usize,
    /// One problem for each explained dimension.
    problems: Vec<Problem>,
}

#[derive(Clone, Debug)]
struct Problem {
    /// Regressors and, last, what they explain.
    size: usize,
    /// The lower triangle of products, row by row.
    products: Vec<Sums>,
}

impl Regression {
    /// The first dimension as a linear function of the others. There is no intercept unless a dimension is constant.
    ///
    /// # Errors
    /// [`Error::Shape`] for a signal of one dimension.
    pub fn linear(signal: &Signal) -> Result<Self, Error> {
        let size = signal.dimensions();
        if size < 2 {
            return Err(Error::Shape { values: signal.values().len(), columns: 2 });
        }
        let mut columns: Vec<Vec<f64>> =
            (0..size).map(|dimension| signal.column(dimension).collect()).collect();
        columns.rotate_left(1);
        Ok(Self { points: signal.points(), min_size: 2, problems: vec![Problem::new(&columns)] })
    }

    /// Each dimension as an autoregression of this order with an intercept. The first `order` points have no full past: they take the
    /// value of the next and the past of the first that has one.
    ///
    /// # Errors
    /// [`Error::TooShort`] unless there are more points than `order`; [`Error::Parameter`] for order 0.
    pub fn autoregressive(signal: &Signal, order: usize) -> Result<Self, Error> {
        let points = signal.points();
        if order == 0 {
            return Err(Error::Parameter { name: "order", value: 0.0, wanted: "give at least 1" });
        }
        if points <= order {
            return Err(Error::TooShort { points, needed: order + 1 });
        }
        let means = signal.means();
        let problems = (0..signal.dimensions()).map(|dimension| {
            // An intercept takes any shift, so the values are centred for the sake of the sums.
            let values: Vec<f64> = signal.column(dimension).map(|value| value - means[dimension]).collect();
            let past = |index: usize, lag: usize| values[index.max(order) - order + lag];
            let mut columns = vec![vec![1.0; points]];
            columns.extend((0..order).map(|lag| (0..points).map(|index| past(index, lag)).collect()));
            columns.push((0..points).map(|index| values[index.max(order)]).collect());
            Problem::new(&columns)
        });
        Ok(Self { points, min_size: 5.max(order + 1), problems: problems.collect() })
    }
}

impl Problem {
    fn new(columns: &[Vec<f64>]) -> Self {
        let mut products = Vec::new();
        for a in 0..columns.len() {
            for b in 0..=a {
                let pairs = columns[a].iter().zip(&columns[b]);
                products.push(Sums::of(pairs.map(|(x, y)| Double::product(*x, *y))));
            }
        }
        Self { size: columns.len(), products }
    }

    fn error(&self, start: usize, end: usize) -> f64 {
        let mut gram = vec![Double::default(); self.size * self.size];
        let mut next = self.products.iter();
        for a in 0..self.size {
            for b in 0..=a {
                let product = next.next().map_or(Double::default(), |sums| sums.between(start, end));
                gram[a * self.size + b] = product;
                gram[b * self.size + a] = product;
            }
        }
        least_squares_rest(&mut gram, self.size)
    }
}

impl Cost for Regression {
    fn points(&self) -> usize {
        self.points
    }

    fn min_size(&self) -> usize {
        self.min_size
    }

    fn error(&self, start: usize, end: usize) -> f64 {
        self.problems.iter().map(|problem| problem.error(start, end)).sum()
    }
}
