//! A line through the ends of a segment.

use super::{Cost, Pruning};
use crate::Signal;
use crate::sums::{Double, Sums};

/// Σ‖x−line‖², where the line goes from the point before the segment to the segment's last point, so that neighbouring lines
/// meet. The first segment starts at its own first point.
#[derive(Clone, Debug)]
pub struct ContinuousLinear {
    points: usize,
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    values: Vec<f64>,
    sums: Sums,
    squares: Sums,
    /// Of index times value.
    moments: Sums,
}

impl ContinuousLinear {
    /// A line through two points is always right.
    const MIN_SIZE: usize = 3;

    /// Prepares in linear time.
    pub fn new(signal: &Signal) -> Self {
        let means = signal.means();
        let column = |dimension: usize| {
            let values: Vec<f64> = signal.column(dimension).map(|value| value - means[dimension]).collect();
            Column {
                sums: Sums::of(values.iter().map(|&value| value.into())),
                squares: Sums::of(values.iter().map(|&value| Double::product(value, value))),
                moments: Sums::of(
                    values.iter().enumerate().map(|(i, &value)| Double::product(i as f64, value)),
                ),
                values,
            }
        };
        Self { points: signal.points(), columns: (0..signal.dimensions()).map(column).collect() }
    }
}

impl Cost for ContinuousLinear {
    fn points(&self) -> usize {
        self.points
    }

    fn min_size(&self) -> usize {
        Self::MIN_SIZE
    }

    fn error(&self, start: usize, end: usize) -> f64 {
        let start = start.max(1);
        if end <= start {
            return 0.0;
        }
        self.columns.iter().map(|column| column.error(start, end)).sum()
    }

    fn pruning(&self) -> Pruning {
        // A cut binds the lines to one more point.
        Pruning::Never
    }
}

impl Column {
    fn error(&self, start: usize, end: usize) -> f64 {
        let count = (end - start) as f64;
        let anchor = self.values[start - 1];
        let slope = (self.values[end - 1] - anchor) / count;
        // The line at place i is anchor + slope·(i − start + 1).
        let shift = start as f64 - 1.0;
        let sum = self.sums.between(start, end);
        let squares = self
            .squares
            .between(start, end)
            .minus(Double::product(2.0 * anchor, sum.value()))
            .plus(Double::product(count * anchor, anchor));
        let moment = self.moments.between(start, end).minus(Double::product(shift, sum.value()));
        let moment = moment.value() - anchor * count * (count + 1.0) / 2.0;
        let steps = count * (count + 1.0) * (2.0 * count + 1.0) / 6.0;
        (squares.value() - 2.0 * slope * moment + slope * slope * steps).max(0.0)
    }
}
