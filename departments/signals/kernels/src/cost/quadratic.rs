//! Costs that are quadratic forms of a segment's sum.

use super::Cost;
use crate::linalg::symmetric_pseudo_inverse;
use crate::sums::{Double, Sums};
use crate::{Error, Signal};

/// Σxᵀ M x (or nothing) less sᵀ M s / n, where s is the sum of the segment's points.
#[derive(Clone, Debug)]
pub struct Quadratic {
    points: usize,
    metric: Vec<f64>,
    sums: Vec<Sums>,
    /// Σxᵀ M x; without it the cost is that of ranks.
    own: Option<Sums>,
}

impl Quadratic {
    /// One point says nothing of a distribution.
    const MIN_SIZE: usize = 2;

    /// Ranks: −n·r̄ᵀΣ̂⁺r̄, with equal values sharing their mean rank (A. Lung-Yut-Fong, C. Lévy-Leduc, O. Cappé, Homogeneity and change-point detection tests for multivariate data using rank
    /// statistics, 2015).
    pub fn rank(signal: &Signal) -> Self {
        let dimensions = signal.dimensions();
        let middle = f64::midpoint(signal.points() as f64, 1.0);
        let ranks: Vec<Vec<f64>> = (0..dimensions)
            .map(|dimension| {
                let column: Vec<f64> = signal.column(dimension).collect();
                mean_ranks(&column).into_iter().map(|rank| rank - middle).collect()
            })
            .collect();
        let mut covariance = vec![0.0; dimensions * dimensions];
        for a in 0..dimensions {
            for b in 0..dimensions {
                let sum: f64 = ranks[a].iter().zip(&ranks[b]).map(|(x, y)| x * y).sum();
                covariance[a * dimensions + b] = sum / signal.points() as f64;
            }
        }
        let (metric, _) = symmetric_pseudo_inverse(&covariance, dimensions);
        let sums = ranks.iter().map(|ranks| Sums::of(ranks.iter().map(|&rank| rank.into()))).collect();
        Self { points: signal.points(), metric, sums, own: None }
    }

    /// Σ(x−x̄)ᵀM(x−x̄). Without `metric`, M is the inverse of the signal's covariance (divisor n−1).
    ///
    /// # Errors
    /// [`Error::Singular`] when that covariance has no inverse; [`Error::Shape`] for a metric of another size.
    pub fn mahalanobis(signal: &Signal, metric: Option<&[f64]>) -> Result<Self, Error> {
        let size = signal.dimensions();
        let means = signal.means();
        let centred = |dimension: usize| signal.column(dimension).map(move |value| value - means[dimension]);
        let metric = match metric {
            Some(metric) if metric.len() == size * size => metric.to_vec(),
            Some(metric) => return Err(Error::Shape { values: metric.len(), columns: size * size }),
            None => {
                let columns: Vec<Vec<f64>> = (0..size).map(|d| centred.clone()(d).collect()).collect();
                let mut covariance = vec![0.0; size * size];
                for a in 0..size {
                    for b in 0..size {
                        let sum: f64 = columns[a].iter().zip(&columns[b]).map(|(x, y)| x * y).sum();
                        covariance[a * size + b] = sum / (signal.points() as f64 - 1.0).max(1.0);
                    }
                }
                let (inverse, rank) = symmetric_pseudo_inverse(&covariance, size);
                if rank < size {
                    return Err(Error::Singular);
                }
                inverse
            }
        };
        let columns: Vec<Vec<f64>> = (0..size).map(|d| centred.clone()(d).collect()).collect();
        let own = Sums::of((0..signal.points()).map(|index| {
            let mut sum = Double::default();
            for a in 0..size {
                for b in 0..size {
                    sum =
                        sum.plus(Double::from(columns[a][index] * metric[a * size + b] * columns[b][index]));
                }
            }
            sum
        }));
        let sums = columns.iter().map(|column| Sums::of(column.iter().map(|&value| value.into()))).collect();
        Ok(Self { points: signal.points(), metric, sums, own: Some(own) })
    }

    /// M, row after row.
    pub fn metric(&self) -> &[f64] {
        &self.metric
    }
}

impl Cost for Quadratic {
    fn points(&self) -> usize {
        self.points
    }

    fn min_size(&self) -> usize {
        Self::MIN_SIZE
    }

    fn error(&self, start: usize, end: usize) -> f64 {
        let size = self.sums.len();
        let mut form = 0.0;
        for a in 0..size {
            let left = self.sums[a].between(start, end).value();
            for b in 0..size {
                form += left * self.metric[a * size + b] * self.sums[b].between(start, end).value();
            }
        }
        let own = self.own.as_ref().map_or(0.0, |own| own.between(start, end).value());
        own - form / (end - start) as f64
    }
}

/// Ranks from 1; equal values share the mean of theirs.
fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        let equal = order[first..].iter().take_while(|&&place| values[place] == values[order[first]]).count();
        let rank = first as f64 + f64::midpoint(equal as f64, 1.0);
        for &place in &order[first..first + equal] {
            ranks[place] = rank;
        }
        first += equal;
    }
    ranks
}

#[cfg(test)]
mod tests {
    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(super::mean_ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }
}
