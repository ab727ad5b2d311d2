//! Sums over any segment in constant time, exact to about 100 bits.
//!
//! A segment's sum is the difference of two sums from the start. Kept in one `f64` each, that difference loses what the sums have in
//! magnitude over the segment: a step of 10⁹ in unit noise drowns the noise. Each sum is therefore two `f64`, the rounded value and what rounding
//! took from it (T. J. Dekker, A floating-point technique for extending the available precision, 1971).

/// A number as the sum of two `f64` that do not overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Double {
    pub(crate) high: f64,
    pub(crate) low: f64,
}

impl Double {
    /// Of sums the faithful one: Knuth's two-sum and a renormalisation.
    pub(crate) fn plus(self, other: Self) -> Self {
        let (sum, lost) = two_sum(self.high, other.high);
        let low = lost + self.low + other.low;
        let high = sum + low;
        Self { high, low: low - (high - sum) }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        self.plus(Self { high: -other.high, low: -other.low })
    }

    /// The exact product of two `f64`.
    pub(crate) fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        let (a_high, a_low) = split(a);
        let (b_high, b_low) = split(b);
        let low = ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low;
        Self { high, low }
    }

    pub(crate) fn times(self, other: Self) -> Self {
        let product = Self::product(self.high, other.high);
        let low = product.low + self.high * other.low + self.low * other.high;
        let high = product.high + low;
        Self { high, low: low - (high - product.high) }
    }

    /// The quotient; `other` is not zero.
    pub(crate) fn over(self, other: Self) -> Self {
        let first = self.high / other.high;
        let rest = self.minus(other.times(first.into()));
        Self::from(first).plus((rest.high / other.high).into())
    }

    pub(crate) fn value(self) -> f64 {
        self.high + self.low
    }
}

impl From<f64> for Double {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// Halves of 26 bits, whose products are exact.
fn split(value: f64) -> (f64, f64) {
    const SPLITTER: f64 = 134_217_729.0; // 2^27 + 1
    let scaled = SPLITTER * value;
    let high = scaled - (scaled - value);
    (high, value - high)
}

/// Sums of everything before each place.
#[derive(Clone, Debug)]
pub(crate) struct Sums(Vec<Double>);

impl Sums {
    pub(crate) fn of(values: impl Iterator<Item = Double>) -> Self {
        let mut sums = vec![Double::default()];
        let mut sum = Double::default();
        sums.extend(values.map(|value| {
            sum = sum.plus(value);
            sum
        }));
        Self(sums)
    }

    pub(crate) fn between(&self, start: usize, end: usize) -> Double {
        self.0[end].minus(self.0[start])
    }
}

/// The sum of squared distances from the mean, of `count` values with this sum of squares and this sum.
pub(crate) fn squared_distances(squares: Double, sum: Double, count: f64) -> f64 {
    let mut square = Double::product(sum.high, sum.high);
    square.low += 2.0 * sum.high * sum.low;
    let quotient = square.high / count;
    let back = Double::product(quotient, count);
    let rest = ((square.high - back.high) - back.low + square.low) / count;
    squares.minus(Double { high: quotient, low: rest }).value().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_survives_a_huge_level() {
        let noise = |index: usize| if index.is_multiple_of(2) { 0.5 } else { -0.5 };
        let values: Vec<f64> =
            (0..200).map(|index| if index < 100 { 0.0 } else { 1e9 } + noise(index)).collect();
        let squares = Sums::of(values.iter().map(|&value| Double::product(value, value)));
        let sums = Sums::of(values.iter().map(|&value| value.into()));
        let cost = squared_distances(squares.between(100, 200), sums.between(100, 200), 100.0);
        assert!((cost - 25.0).abs() < 1e-6, "{cost}");
    }
}
