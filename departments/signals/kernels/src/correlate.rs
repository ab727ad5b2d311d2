//! Correlation over lags: does one signal move with another, before or after it.
//!
//! **The sign of a lag:** at a positive lag the second signal *follows* the first by that many points, at a negative one it goes before
//! it. r(lag) is the correlation of `first[t]` with `second[t + lag]`.
//!
//! Both signals are brought to mean 0 and length 1 once, missing points to 0, and r(lag) is the product of one with the other shifted: the usual estimator of the
//! cross-correlation function (G. Box, G. Jenkins, Time Series Analysis, 1970, 11.1.2), within ±1 for every lag. Eight lags are summed at once, so each point is read once for all of them.

use crate::Error;
use crate::significance::normal_two_sided;

/// Lags that are summed together: as many sums as fit the registers.
const LANES: usize = 8;

/// Autocorrelations that count for the effective sample size; further ones are noise at ordinary lengths.
const MEMORY: usize = 40;

/// A signal of mean 0 and length 1 with its autocorrelation.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    values: Vec<f64>,
    observed: usize,
    autocorrelation: Vec<f64>,
}

impl Standard {
    /// Standardises; NaN is missing. `None` for a signal of fewer than four observed points or without variance.
    ///
    /// # Errors
    /// [`Error::Infinite`].
    pub fn of(values: &[f64]) -> Result<Option<Self>, Error> {
        if let Some(index) = values.iter().position(|value| value.is_infinite()) {
            return Err(Error::Infinite { index, value: values[index] });
        }
        let there = || values.iter().filter(|value| !value.is_nan());
        let observed = there().count();
        if observed < 4 {
            return Ok(None);
        }
        let largest = there().fold(0.0_f64, |most, value| most.max(value.abs()));
        let mean = there().sum::<f64>() / observed as f64;
        let squares: f64 = there().map(|value| (value - mean) * (value - mean)).sum();
        let length = squares.sqrt();
        // What rounding of equal values leaves is no variance.
        if !(length > 1e-12 * largest * (observed as f64).sqrt() && length.is_finite()) {
            return Ok(None);
        }
        let scaled = values.iter().map(|value| if value.is_nan() { 0.0 } else { (value - mean) / length });
        let values: Vec<f64> = scaled.collect();
        let reach = MEMORY.min(values.len() - 1);
        let mut sums = vec![0.0; 2 * reach + 1];
        products(&values, &padded(&values, reach), &mut sums);
        Ok(Some(Self { autocorrelation: sums.split_off(reach), values, observed }))
    }

    /// The values: mean 0, sum of squares 1, missing ones 0.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

/// Zeros on both sides, so that no lag runs out of points.
fn padded(values: &[f64], reach: usize) -> Vec<f64> {
    let mut padded = vec![0.0; reach];
    padded.extend_from_slice(values);
    padded.resize(values.len() + 2 * reach + LANES, 0.0);
    padded
}

/// `sums[k] = Σ first[t]·second[t + k]`, where `second` is padded.
fn products(first: &[f64], second: &[f64], sums: &mut [f64]) {
    for (block, sums) in sums.chunks_mut(LANES).enumerate() {
        let shifted = &second[block * LANES..];
        let mut lanes = [0.0; LANES];
        for (value, window) in first.iter().zip(shifted.windows(LANES)) {
            for (lane, other) in lanes.iter_mut().zip(window) {
                *lane += value * other;
            }
        }
        sums.copy_from_slice(&lanes[..sums.len()]);
    }
}

/// r(lag) for the lags from −`reach` to `reach`, in this order.
///
/// # Errors
/// [`Error::Length`].
pub fn lagged(first: &Standard, second: &Standard, reach: usize) -> Result<Vec<f64>, Error> {
    let (left, right) = (first.values.len(), second.values.len());
    if left != right {
        return Err(Error::Length { left, right });
    }
    let mut sums = vec![0.0; 2 * reach + 1];
    products(&first.values, &padded(&second.values, reach), &mut sums);
    Ok(sums)
}

/// The strongest correlation over lags, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Peak {
    /// The correlation, −1 to 1.
    pub r: f64,
    /// The lag in points; positive when the second signal follows the first.
    pub lag: i64,
    /// The lags around it whose correlation cannot be told from the peak's.
    pub lag_interval: (i64, i64),
    /// Independent pairs of points that the correlation is worth.
    pub effective: f64,
    /// The chance of so strong a correlation at any of the lags between unrelated signals.
    pub p: f64,
}

/// The strongest correlation of either sign over the lags from −`reach` to `reach`; of equally strong ones the one at the shortest lag, the negative one of two.
///
/// How sure: M. Bartlett's effective number of pairs (1935), n/(1 + 2Σρ₁(k)ρ₂(k)), Fisher's transform (1921), and Bonferroni's bound for the number of lags.
///
/// # Errors
/// [`Error::Length`].
pub fn peak(first: &Standard, second: &Standard, reach: usize) -> Result<Peak, Error> {
    let correlations = lagged(first, second, reach)?;
    let lag_of = |index: usize| index as i64 - reach as i64;
    let mut best = reach;
    for step in 1..=reach {
        for index in [reach - step, reach + step] {
            if correlations[index].abs() > correlations[best].abs() {
                best = index;
            }
        }
    }
    let pairs = first.observed.min(second.observed) as f64;
    let shared = first.autocorrelation.iter().zip(&second.autocorrelation).skip(1);
    let dependence: f64 = 1.0 + 2.0 * shared.map(|(a, b)| a * b).sum::<f64>();
    // Signals that swing against themselves would be worth more than their points; that is not claimed.
    let effective = (pairs / dependence.max(1.0)).max(4.0);
    let r = correlations[best].clamp(-1.0, 1.0);
    let z = libm::atanh(r.clamp(-0.999_999, 0.999_999)) * (effective - 3.0).sqrt();
    let p = (normal_two_sided(z) * (2 * reach + 1) as f64).min(1.0);
    let error = 1.645 * (1.0 - r * r) / effective.sqrt();
    let is_near = |index: &usize| correlations[*index] * r.signum() >= r.abs() - error;
    let from = (0..best).rev().take_while(is_near).last().unwrap_or(best);
    let to = (best + 1..correlations.len()).take_while(is_near).last().unwrap_or(best);
    Ok(Peak { r, lag: lag_of(best), lag_interval: (lag_of(from), lag_of(to)), effective, p })
}

/// Correlations at lag 0 of all pairs, row after row; NaN in the rows and columns of signals without variance.
///
/// # Errors
/// [`Error::Length`] unless all are equally long.
pub fn all_pairs(signals: &[Option<Standard>]) -> Result<Vec<f64>, Error> {
    let count = signals.len();
    let mut matrix = vec![f64::NAN; count * count];
    for (row, first) in signals.iter().enumerate() {
        let Some(first) = first else { continue };
        matrix[row * count + row] = 1.0;
        for (column, second) in signals.iter().enumerate().skip(row + 1) {
            let Some(second) = second else { continue };
            let (left, right) = (first.values.len(), second.values.len());
            if left != right {
                return Err(Error::Length { left, right });
            }
            let r = dot(&first.values, &second.values).clamp(-1.0, 1.0);
            matrix[row * count + column] = r;
            matrix[column * count + row] = r;
        }
    }
    Ok(matrix)
}

/// The sum of products, in lanes of one order on every machine.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for ((lane, x), y) in lanes.iter_mut().zip(a).zip(b) {
            *lane += x * y;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + rest
}

/// Each value less the one before; missing beside a missing one. The first has none before it.
pub fn differences(values: &[f64]) -> Vec<f64> {
    let mut differences = vec![f64::NAN; values.len().min(1)];
    differences.extend(values.windows(2).map(|pair| pair[1] - pair[0]));
    differences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn noise(seed: u64, count: usize) -> Vec<f64> {
        let mut random = Random::new(seed);
        (0..count).map(|_| random.normal()).collect()
    }

    #[test]
    fn a_positive_lag_means_that_the_second_follows() {
        let first = noise(1, 400);
        for shift in [-17_i64, -1, 0, 5, 30] {
            let noise = noise(2, 400);
            let second: Vec<f64> = (0..400_i64)
                .map(|t| {
                    first.get(usize::try_from(t - shift).unwrap_or(usize::MAX)).copied().unwrap_or(0.0) * -2.0
                        + noise[t as usize]
                        + 100.0
                })
                .collect();
            let (a, b) = (Standard::of(&first).unwrap().unwrap(), Standard::of(&second).unwrap().unwrap());
            let there = peak(&a, &b, 40).unwrap();
            let back = peak(&b, &a, 40).unwrap();
            assert_eq!((there.lag, back.lag), (shift, -shift));
            assert!(there.r < -0.7 && there.p < 1e-20, "{there:?}");
            assert!(there.lag_interval.0 <= shift && shift <= there.lag_interval.1);
        }
    }

    #[test]
    fn lagged_correlation_is_the_naive_sum() {
        let mut first = noise(3, 97);
        let mut second = noise(4, 97);
        first[5] = f64::NAN;
        second[60] = f64::NAN;
        let (a, b) = (Standard::of(&first).unwrap().unwrap(), Standard::of(&second).unwrap().unwrap());
        for (index, r) in lagged(&a, &b, 20).unwrap().iter().enumerate() {
            let naive: f64 = (0..97_usize)
                .filter_map(|t| Some(a.values()[t] * b.values().get((t + index).checked_sub(20)?)?))
                .sum();
            assert!((r - naive).abs() < 1e-14);
        }
        assert!((dot(a.values(), a.values()) - 1.0).abs() < 1e-14);
    }

    #[test]
    fn unrelated_signals_are_rarely_sure_even_when_they_drift() {
        let mut sure = 0;
        for seed in 0..200 {
            let mut pair = [noise(seed, 500), noise(seed + 1000, 500)];
            for signal in &mut pair {
                for t in 1..500 {
                    signal[t] += 0.9 * signal[t - 1];
                }
            }
            let [a, b] = pair.map(|signal| Standard::of(&signal).unwrap().unwrap());
            sure += usize::from(peak(&a, &b, 30).unwrap().p < 0.05);
        }
        assert!(sure <= 16, "{sure} of 200 at 5 percent");
    }

    #[test]
    fn signals_without_variance_have_no_correlation() {
        assert_eq!(Standard::of(&[0.1; 9]).unwrap(), None);
        assert_eq!(Standard::of(&[f64::NAN; 9]).unwrap(), None);
        assert!(Standard::of(&[1.0, f64::INFINITY]).is_err());
        let a = Standard::of(&noise(1, 9)).unwrap();
        let b = Standard::of(&noise(2, 9)).unwrap();
        let matrix = all_pairs(&[a.clone(), None, b]).unwrap();
        assert!(matrix[1].is_nan() && matrix[4].is_nan() && matrix[0] == 1.0 && matrix[2] == matrix[6]);
        let longer = Standard::of(&noise(2, 10)).unwrap().unwrap();
        assert_eq!(lagged(&a.unwrap(), &longer, 3), Err(Error::Length { left: 9, right: 10 }));
    }
}
