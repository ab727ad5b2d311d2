//! The monotone cubic interpolant that BD-rate is defined with (PCHIP: F. N. Fritsch and J. Butland, "A method for
//! constructing local monotone piecewise cubic interpolants", 1984; the three-point end rule of MATLAB and SciPy).

/// A piecewise cubic through given points, without overshoot between them.
pub(crate) struct Pchip {
    x: Vec<f64>,
    y: Vec<f64>,
    slopes: Vec<f64>,
}

impl Pchip {
    /// The interpolant through `points`; `None` unless there are two or more with strictly increasing finite `x`.
    pub(crate) fn new(points: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let (x, y): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
        let increasing = x.windows(2).all(|pair| pair[0] < pair[1]);
        if x.len() < 2 || !increasing || !x.iter().chain(&y).all(|value| value.is_finite()) {
            return None;
        }
        let steps: Vec<f64> = x.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let secants: Vec<f64> =
            y.windows(2).zip(&steps).map(|(pair, step)| (pair[1] - pair[0]) / step).collect();
        let last = secants.len() - 1;
        let mut slopes = Vec::with_capacity(x.len());
        slopes.push(if last == 0 {
            secants[0]
        } else {
            end_slope(steps[0], steps[1], secants[0], secants[1])
        });
        for index in 1..=last {
            slopes.push(inner_slope(steps[index - 1], steps[index], secants[index - 1], secants[index]));
        }
        slopes.push(if last == 0 {
            secants[0]
        } else {
            end_slope(steps[last], steps[last - 1], secants[last], secants[last - 1])
        });
        Some(Self { x, y, slopes })
    }

    /// First and last `x`.
    pub(crate) fn range(&self) -> (f64, f64) {
        (self.x[0], self.x[self.x.len() - 1])
    }

    /// The value at `x`; `None` outside the range, which is never extrapolated.
    pub(crate) fn at(&self, x: f64) -> Option<f64> {
        let (low, high) = self.range();
        if !(low..=high).contains(&x) {
            return None;
        }
        let index = self.segment(x);
        let [c0, c1, c2, c3] = self.coefficients(index);
        let t = x - self.x[index];
        Some(c0 + t * (c1 + t * (c2 + t * c3)))
    }

    /// The integral from `low` to `high`, both inside the range.
    pub(crate) fn integral(&self, low: f64, high: f64) -> f64 {
        (0..self.x.len() - 1)
            .map(|index| {
                let from = low.clamp(self.x[index], self.x[index + 1]) - self.x[index];
                let to = high.clamp(self.x[index], self.x[index + 1]) - self.x[index];
                let [c0, c1, c2, c3] = self.coefficients(index);
                let primitive = |t: f64| t * (c0 + t * (c1 / 2.0 + t * (c2 / 3.0 + t * c3 / 4.0)));
                primitive(to) - primitive(from)
            })
            .sum()
    }

    fn segment(&self, x: f64) -> usize {
        self.x.partition_point(|&knot| knot <= x).clamp(1, self.x.len() - 1) - 1
    }

    /// The cubic of segment `index` in powers of the distance from its left knot (Hermite form, expanded).
    fn coefficients(&self, index: usize) -> [f64; 4] {
        let step = self.x[index + 1] - self.x[index];
        let secant = (self.y[index + 1] - self.y[index]) / step;
        let (left, right) = (self.slopes[index], self.slopes[index + 1]);
        let c2 = (3.0 * secant - 2.0 * left - right) / step;
        let c3 = (left + right - 2.0 * secant) / (step * step);
        [self.y[index], left, c2, c3]
    }
}

/// The weighted harmonic mean of the neighbouring secants, or flat where they disagree in sign.
fn inner_slope(step_left: f64, step_right: f64, left: f64, right: f64) -> f64 {
    if left * right <= 0.0 {
        return 0.0;
    }
    let weight_left = 2.0 * step_right + step_left;
    let weight_right = step_right + 2.0 * step_left;
    (weight_left + weight_right) / (weight_left / left + weight_right / right)
}

/// The three-point estimate at an end, limited so that the curve keeps its shape.
fn end_slope(step: f64, next_step: f64, secant: f64, next_secant: f64) -> f64 {
    let slope = ((2.0 * step + next_step) * secant - step * next_secant) / (step + next_step);
    if slope * secant <= 0.0 {
        0.0
    } else if secant * next_secant <= 0.0 && slope.abs() > 3.0 * secant.abs() {
        3.0 * secant
    } else {
        slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knots_are_met_and_lines_are_lines() {
        let curve = Pchip::new([(0.0, 1.0), (1.0, 4.0), (3.0, 5.0), (4.0, 5.0)]).unwrap();
        for (x, y) in [(0.0, 1.0), (1.0, 4.0), (3.0, 5.0), (4.0, 5.0)] {
            assert!((curve.at(x).unwrap() - y).abs() < 1e-12);
        }
        assert_eq!((curve.at(-0.1), curve.at(4.1)), (None, None));
        let line = Pchip::new([(0.0, 0.0), (1.0, 2.0), (5.0, 10.0)]).unwrap();
        assert!((line.at(3.3).unwrap() - 6.6).abs() < 1e-12);
        assert!((line.integral(1.0, 3.0) - 8.0).abs() < 1e-12);
        assert!(Pchip::new([(0.0, 0.0)]).is_none());
        assert!(Pchip::new([(0.0, 0.0), (0.0, 1.0)]).is_none());
    }
}
