//! Naive twins: what the fast code is compared with. Costs look at every point of a segment, the exact segmentation tries every
//! start of every segment.

use crate::Signal;
use crate::cost::Model;
pub use crate::random::Random;
use crate::segment::Grid;

/// A signal of a random kind: noise alone, steps, whole numbers with many equal values, a random walk, a constant with spikes,
/// levels of very different size.
pub fn random_signal(random: &mut Random, points: usize, dimensions: usize) -> Signal {
    let kind = random.below(6);
    let mut values = vec![0.0; points * dimensions];
    for dimension in 0..dimensions {
        let mut level = 0.0;
        for point in 0..points {
            let value = match kind {
                0 => random.normal(),
                1 => {
                    if random.below(12) == 0 {
                        level = 5.0 * random.normal();
                    }
                    level + random.normal()
                }
                2 => {
                    if random.below(15) == 0 {
                        level = random.below(6) as f64;
                    }
                    level + random.below(2) as f64
                }
                3 => {
                    level += random.normal();
                    level
                }
                4 => {
                    if random.below(10) == 0 {
                        3.0
                    } else {
                        1.0
                    }
                }
                _ => {
                    if random.below(20) == 0 {
                        level = 1e3 * random.normal();
                    }
                    level + 0.1 * random.normal()
                }
            };
            values[point * dimensions + dimension] = value;
        }
    }
    Signal::new(values, dimensions).expect("invariant: the values are finite and fill their rows")
}

/// The cost of a segment from its points alone. `Rbf` must name its γ and `Mahalanobis` its metric.
///
/// # Panics
/// For those two without it.
pub fn naive_cost(model: &Model, signal: &Signal, start: usize, end: usize) -> f64 {
    let dimensions = signal.dimensions();
    let count = (end - start) as f64;
    let column =
        |dimension: usize| -> Vec<f64> { signal.column(dimension).skip(start).take(end - start).collect() };
    let each = |cost: &dyn Fn(Vec<f64>) -> f64| {
        (0..dimensions).map(|dimension| cost(column(dimension))).sum::<f64>()
    };
    let from_mean = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / count;
        values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>()
    };
    match model {
        Model::L2 => each(&|values| from_mean(&values)),
        Model::L1 => each(&|mut values| {
            let median = crate::robust::median_of(&mut values).expect("invariant: segments have points");
            values.iter().map(|value| (value - median).abs()).sum()
        }),
        Model::Normal { floor } if dimensions == 1 => {
            count * libm::log(from_mean(&column(0)) / count + floor)
        }
        Model::Normal { floor } => {
            let mut matrix = covariance(signal, start, end, count - 1.0);
            for dimension in 0..dimensions {
                matrix[dimension * dimensions + dimension] += floor;
            }
            count * crate::linalg::log_determinant(&mut matrix, dimensions)
        }
        Model::Rbf { gamma } => {
            let gamma = gamma.expect("a naive kernel needs its gamma");
            gram_cost(start, end, |a, b| {
                let pairs = signal.point(a).iter().zip(signal.point(b));
                let distance: f64 = pairs.map(|(x, y)| (x - y) * (x - y)).sum();
                if a == b { 1.0 } else { libm::exp(-(gamma * distance).clamp(0.01, 100.0)) }
            })
        }
        Model::Cosine => gram_cost(start, end, |a, b| {
            let norm = |point: &[f64]| point.iter().map(|x| x * x).sum::<f64>().sqrt();
            let product: f64 = signal.point(a).iter().zip(signal.point(b)).map(|(x, y)| x * y).sum();
            let norms = norm(signal.point(a)) * norm(signal.point(b));
            if a == b {
                1.0
            } else if norms > 0.0 {
                product / norms
            } else {
                0.0
            }
        }),
        Model::Mahalanobis { metric } => {
            let metric = metric.as_ref().expect("a naive metric must be given");
            gram_cost(start, end, |a, b| {
                let mut sum = 0.0;
                for (row, x) in signal.point(a).iter().enumerate() {
                    for (column, y) in signal.point(b).iter().enumerate() {
                        sum += x * metric[row * dimensions + column] * y;
                    }
                }
                sum
            })
        }
        Model::Rank => {
            let points = signal.points();
            let rank = |dimension: usize, point: usize| {
                let own = signal.point(point)[dimension];
                let less = signal.column(dimension).filter(|value| *value < own).count() as f64;
                let equal = signal.column(dimension).filter(|value| *value == own).count() as f64;
                less + f64::midpoint(equal, 1.0) - f64::midpoint(points as f64, 1.0)
            };
            let ranks: Vec<f64> =
                (0..points).flat_map(|point| (0..dimensions).map(move |d| rank(d, point))).collect();
            let ranks = Signal::new(ranks, dimensions).expect("invariant: ranks are finite");
            let means: Vec<f64> = (0..dimensions)
                .map(|d| ranks.column(d).skip(start).take(end - start).sum::<f64>() / count)
                .collect();
            let whole = covariance(&ranks, 0, points, points as f64);
            let (inverse, _) = crate::linalg::symmetric_pseudo_inverse(&whole, dimensions);
            let mut form = 0.0;
            for a in 0..dimensions {
                for b in 0..dimensions {
                    form += means[a] * inverse[a * dimensions + b] * means[b];
                }
            }
            -count * form
        }
        Model::Linear => {
            let regressors: Vec<Vec<f64>> = (1..dimensions).map(column).collect();
            distance_from_span(regressors, column(0))
        }
        Model::Autoregressive { order } => (0..dimensions)
            .map(|dimension| {
                let values: Vec<f64> = signal.column(dimension).collect();
                let mut regressors = vec![vec![1.0; end - start]];
                for lag in 0..*order {
                    regressors
                        .push((start..end).map(|index| values[index.max(*order) - order + lag]).collect());
                }
                distance_from_span(regressors, (start..end).map(|index| values[index.max(*order)]).collect())
            })
            .sum(),
        Model::ContinuousLinear => {
            let start = start.max(1);
            let count = (end - start) as f64;
            (0..dimensions)
                .map(|dimension| {
                    let value = |index: usize| signal.point(index)[dimension];
                    let slope = (value(end - 1) - value(start - 1)) / count;
                    let line = |index: usize| value(start - 1) + slope * (index - start + 1) as f64;
                    (start..end)
                        .map(|index| (value(index) - line(index)) * (value(index) - line(index)))
                        .sum::<f64>()
                })
                .sum()
        }
    }
}

fn gram_cost(start: usize, end: usize, kernel: impl Fn(usize, usize) -> f64) -> f64 {
    let own: f64 = (start..end).map(|a| kernel(a, a)).sum();
    let all: f64 =
        (start..end).flat_map(|a| (start..end).map(move |b| (a, b))).map(|(a, b)| kernel(a, b)).sum();
    own - all / (end - start) as f64
}

fn covariance(signal: &Signal, start: usize, end: usize, divisor: f64) -> Vec<f64> {
    let dimensions = signal.dimensions();
    let mean = |d: usize| signal.column(d).skip(start).take(end - start).sum::<f64>() / (end - start) as f64;
    let means: Vec<f64> = (0..dimensions).map(mean).collect();
    let mut matrix = vec![0.0; dimensions * dimensions];
    for point in start..end {
        for a in 0..dimensions {
            for b in 0..dimensions {
                matrix[a * dimensions + b] +=
                    (signal.point(point)[a] - means[a]) * (signal.point(point)[b] - means[b]);
            }
        }
    }
    matrix.iter().map(|sum| sum / divisor).collect()
}

/// By Gram and Schmidt, twice for accuracy.
fn distance_from_span(regressors: Vec<Vec<f64>>, mut target: Vec<f64>) -> f64 {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let remove = |from: &mut Vec<f64>, unit: &[f64]| {
        let share = product(from, unit);
        for (value, unit) in from.iter_mut().zip(unit) {
            *value -= share * unit;
        }
    };
    for mut regressor in regressors {
        let length = product(&regressor, &regressor).sqrt();
        for _ in 0..2 {
            for unit in &basis {
                remove(&mut regressor, unit);
            }
        }
        let rest = product(&regressor, &regressor).sqrt();
        if rest > 1e-6 * length {
            basis.push(regressor.iter().map(|value| value / rest).collect());
        }
    }
    for _ in 0..2 {
        for unit in &basis {
            remove(&mut target, unit);
        }
    }
    product(&target, &target)
}

/// The best penalised segmentation and its cost, by trying every start of every segment.
pub fn exhaustive(
    cost: impl Fn(usize, usize) -> f64,
    points: usize,
    grid: Grid,
    penalty: f64,
) -> (Vec<usize>, f64) {
    let mut best = vec![f64::INFINITY; points + 1];
    let mut last = vec![0; points + 1];
    best[0] = 0.0;
    for end in (1..=points).filter(|end| end.is_multiple_of(grid.jump) || *end == points) {
        for start in (0..end).step_by(grid.jump) {
            if end - start >= grid.min_size && best[start].is_finite() {
                let total = best[start] + cost(start, end) + penalty;
                if total < best[end] {
                    best[end] = total;
                    last[end] = start;
                }
            }
        }
    }
    let mut ends = Vec::new();
    let mut end = points;
    while end > 0 {
        ends.push(end);
        end = last[end];
    }
    ends.reverse();
    (ends, best[points])
}

/// One case of the exactness check: a random signal, cost, grid and penalty.
#[derive(Clone, Debug)]
pub struct Case {
    /// The signal.
    pub signal: Signal,
    /// The cost, with every parameter given.
    pub model: Model,
    /// The grid.
    pub grid: Grid,
    /// The penalty.
    pub penalty: f64,
}

impl Case {
    /// The case of this number; the costs take turns.
    pub fn new(number: usize) -> Self {
        let mut random = Random::new(number as u64);
        let name = Model::NAMES[number % Model::NAMES.len()];
        let dimensions = if name == "linear" { 3 } else { 1 + usize::from(random.below(3) == 0) };
        let points = 12 + random.below(60);
        let signal = random_signal(&mut random, points, dimensions);
        let model = match name {
            "rbf" => Model::Rbf { gamma: Some(0.1 + random.even()) },
            "ml" => {
                let mut metric = vec![0.0; dimensions * dimensions];
                for dimension in 0..dimensions {
                    metric[dimension * dimensions + dimension] = 0.5 + random.even();
                }
                Model::Mahalanobis { metric: Some(metric) }
            }
            "ar" => Model::Autoregressive { order: 1 + random.below(2) },
            other => Model::named(other).expect("invariant: the names are known"),
        };
        let min_size = 1 + random.below(6);
        let jump = if random.below(4) == 0 { 1 + random.below(4) } else { 1 };
        let penalty = match random.below(8) {
            0 => 0.0,
            _ => libm::exp(6.0 * random.even() - 3.0),
        };
        Self { signal, model, grid: Grid { min_size, jump }, penalty }
    }

    /// Compares `found` with the exhaustive segmentation under naive costs.
    ///
    /// # Errors
    /// Says what differs: the penalised cost of `found` is above the least by more than rounding.
    pub fn judge(&self, found: &[usize]) -> Result<(), String> {
        let points = self.signal.points();
        let naive = |start: usize, end: usize| naive_cost(&self.model, &self.signal, start, end);
        let (ends, least) = exhaustive(naive, points, self.grid, self.penalty);
        let mut start = 0;
        let mut total = 0.0;
        let mut scale = 1.0;
        for &end in found {
            if end < start + self.grid.min_size || !(start.is_multiple_of(self.grid.jump)) || end > points {
                return Err(format!("{found:?} has a segment that is not admissible"));
            }
            let cost = naive(start, end);
            total += cost + self.penalty;
            scale += cost.abs() + self.penalty;
            start = end;
        }
        if start != points {
            return Err(format!("{found:?} does not end at {points}"));
        }
        // Costs in other forms round otherwise: relative to the terms summed, and to the squares of the values that they are made of.
        let squares: f64 = self.signal.values().iter().map(|value| value * value).sum();
        if total <= least + 1e-9 * scale + 1e-12 * squares {
            Ok(())
        } else {
            Err(format!("{found:?} costs {total}, {ends:?} costs {least}"))
        }
    }
}
