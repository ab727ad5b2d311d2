//! How much a change point must gain: from the noise, its dependence from point to point, and the length.
//!
//! For independent Gaussian noise of variance σ² a penalty of 3σ²·log n keeps false change points rare (Y.-C. Yao, Estimating the number of change-points via Schwarz' criterion, 1988, with
//! the constant of later practice). Noise that depends on its past wanders, which looks like change; what counts then is the variance of long
//! means, for an autoregression of coefficient ρ larger by (1+ρ)/(1−ρ).
//!
//! Both are measured on differences, which change points hardly touch: of noise with coefficient ρ, differences over one point have
//! the variance 2σ²(1−ρ), over two 2σ²(1−ρ²), so their ratio tells ρ. Spreads are median absolute deviations, so that steps and spikes
//! do not count.

use crate::robust::{MAD_TO_SIGMA, median_of};

/// The noise of a signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Standard deviation of one point.
    pub sigma: f64,
    /// Correlation of neighbours, 0 to [`MAX_CORRELATION`].
    pub correlation: f64,
}

/// Above this, noise and change cannot be told apart within a window of ordinary length.
pub const MAX_CORRELATION: f64 = 0.95;

/// The factor of σ²·log n.
pub const FACTOR: f64 = 3.0;

impl Noise {
    /// Estimates the noise of observed points. Fewer than three have none.
    pub fn of(values: &[f64]) -> Self {
        let Some(one) = difference_variance(values, 1) else { return Self { sigma: 0.0, correlation: 0.0 } };
        let two = difference_variance(values, 2).unwrap_or(one);
        let correlation = if one > 0.0 { (two / one - 1.0).clamp(0.0, MAX_CORRELATION) } else { 0.0 };
        Self { sigma: (one / (2.0 * (1.0 - correlation))).sqrt(), correlation }
    }

    /// The variance of one point as long means see it: σ²(1+ρ)/(1−ρ).
    pub fn long_run_variance(self) -> f64 {
        self.sigma * self.sigma * (1.0 + self.correlation) / (1.0 - self.correlation)
    }

    /// The penalty for squared distances from means in a signal of this many points; for a signal without any noise a millionth of
    /// its variance, so that every real step is found and rounding is not.
    pub fn penalty(self, values: &[f64]) -> f64 {
        let points = values.len().max(2) as f64;
        let mean = values.iter().sum::<f64>() / points;
        let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / points;
        let from_noise = FACTOR * self.long_run_variance() * libm::log(points);
        if from_noise > 0.0 { from_noise } else { variance * 1e-6 }
    }
}

/// The variance of differences over `lag` points, without steps and spikes.
///
/// When more than half of the differences are zero (counters that are mostly still) that says nothing. Then it is their mean square
/// without the greatest fiftieth of them, which are the steps.
fn difference_variance(values: &[f64], lag: usize) -> Option<f64> {
    /// In standard deviations: beyond this a difference is a step or a spike. One in sixteen thousand of a Gaussian's is.
    const WILD: f64 = 4.0;
    let mut sizes: Vec<f64> = values.iter().zip(values.get(lag..)?).map(|(a, b)| (b - a).abs()).collect();
    if sizes.len() < 2 {
        return None;
    }
    let sigma = median_of(&mut sizes)? * MAD_TO_SIGMA;
    if sigma > 0.0 {
        // The median tells which differences are noise; their mean square is far less uncertain than the median itself.
        let noise = sizes.iter().filter(|size| **size <= WILD * sigma);
        let (count, squares) = noise.fold((0.0, 0.0), |(count, sum), size| (count + 1.0, sum + size * size));
        return Some(squares / count);
    }
    sizes.sort_by(f64::total_cmp);
    let kept = sizes.len() - (sizes.len() / 50).max(lag);
    let squares: f64 = sizes[..kept].iter().map(|size| size * size).sum();
    Some(squares / kept.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of twelve even numbers of a linear congruential generator: about normal.
    fn noise(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        (0..count).map(|_| (0..12).map(|_| next()).sum::<f64>() - 6.0).collect()
    }

    #[test]
    fn noise_is_measured_beside_steps_and_dependence() {
        let mut values = noise(4000, 1);
        for value in &mut values[2000..] {
            *value += 50.0;
        }
        let found = Noise::of(&values);
        assert!((found.sigma - 1.0).abs() < 0.06 && found.correlation < 0.1, "{found:?}");
        let mut dependent = noise(8000, 2);
        for index in 1..dependent.len() {
            dependent[index] += 0.6 * dependent[index - 1];
        }
        let found = Noise::of(&dependent);
        assert!((found.correlation - 0.6).abs() < 0.1 && (found.sigma - 1.25).abs() < 0.15, "{found:?}");
    }

    #[test]
    fn still_counters_have_the_noise_of_their_blips() {
        let mut values = vec![0.0; 200];
        for index in (0..200).step_by(10) {
            values[index] = 1.0;
        }
        assert!(Noise::of(&values).sigma > 0.2);
        let mut step = vec![0.0; 33];
        step.extend([5.0; 30]);
        assert_eq!(Noise::of(&step).sigma, 0.0);
        assert_eq!(Noise::of(&[1.0]), Noise { sigma: 0.0, correlation: 0.0 });
    }
}
