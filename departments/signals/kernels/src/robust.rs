//! Location and spread that a few wild values do not move.

/// What makes the median absolute deviation of a Gaussian its standard deviation: 1/Φ⁻¹(¾).
pub const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// The median of values that are not NaN; reorders them. `None` when there are none.
pub fn median_of(values: &mut [f64]) -> Option<f64> {
    let count = values.len();
    if count == 0 {
        return None;
    }
    let (below, middle, _) = values.select_nth_unstable_by(count / 2, f64::total_cmp);
    if count % 2 == 1 {
        return Some(*middle);
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(lower + (*middle - lower) / 2.0)
}

/// The value below which the share `q` (0 to 1) of the values lies, linear between neighbours; reorders them.
pub fn quantile_of(values: &mut [f64], q: f64) -> Option<f64> {
    let count = values.len();
    if count == 0 || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let place = q * (count - 1) as f64;
    let index = place.floor() as usize;
    let (_, low, above) = values.select_nth_unstable_by(index, f64::total_cmp);
    let low = *low;
    let high = above.iter().copied().fold(f64::INFINITY, f64::min);
    Some(if high.is_finite() { low + (high - low) * (place - index as f64) } else { low })
}

/// Median and standard deviation by the median absolute deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The median absolute deviation times [`MAD_TO_SIGMA`]; 0 when more than half of the values are equal.
    pub sigma: f64,
}

impl Spread {
    /// Of the values that are not NaN; `None` when there are none. `scratch` is overwritten.
    pub fn of(values: &[f64], scratch: &mut Vec<f64>) -> Option<Self> {
        scratch.clear();
        scratch.extend(values.iter().copied().filter(|value| !value.is_nan()));
        let median = median_of(scratch)?;
        for value in scratch.iter_mut() {
            *value = (*value - median).abs();
        }
        let deviation = median_of(scratch)?;
        Some(Self { median, sigma: deviation * MAD_TO_SIGMA })
    }

    /// How many standard deviations a value lies from the median; 0 at the median of values without spread, infinite off it.
    pub fn score(self, value: f64) -> f64 {
        let distance = value - self.median;
        if distance == 0.0 { 0.0 } else { distance / self.sigma }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles_are_those_of_the_sorted_values() {
        assert_eq!(median_of(&mut []), None);
        assert_eq!(median_of(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median_of(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median_of(&mut [f64::MAX, f64::MAX]), Some(f64::MAX));
        assert_eq!(quantile_of(&mut [4.0, 1.0, 2.0, 3.0], 0.25), Some(1.75));
        assert_eq!(quantile_of(&mut [4.0, 1.0], 1.0), Some(4.0));
        assert_eq!(quantile_of(&mut [4.0, 1.0], f64::NAN), None);
    }

    #[test]
    fn missing_values_carry_no_weight() {
        let spread = Spread::of(&[1.0, f64::NAN, 2.0, 3.0, 100.0, f64::NAN, 2.0], &mut Vec::new()).unwrap();
        assert_eq!(spread.median, 2.0);
        assert!((spread.sigma - MAD_TO_SIGMA).abs() < 1e-12);
        assert_eq!(Spread::of(&[f64::NAN], &mut Vec::new()), None);
        let constant = Spread::of(&[5.0; 9], &mut Vec::new()).unwrap();
        assert_eq!((constant.score(5.0), constant.score(6.0)), (0.0, f64::INFINITY));
    }
}
