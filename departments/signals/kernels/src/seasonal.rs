//! What repeats: seasonal profiles and classical decomposition.

use crate::Error;
use crate::robust::median_of;

/// A signal as the sum of trend, season and remainder. Missing points stay missing in the remainder.
#[derive(Clone, Debug, PartialEq)]
pub struct Decomposition {
    /// The mean over one period around each point; missing at the ends, where half a period is not there.
    pub trend: Vec<f64>,
    /// What repeats, with mean 0 over a period.
    pub seasonal: Vec<f64>,
    /// What is left.
    pub remainder: Vec<f64>,
}

/// Additive decomposition by moving averages (M. Kendall, A. Stuart, The Advanced Theory of Statistics 3, 1966, 46.14), with the median of each phase in place
/// of its mean, so that a few wild points do not repeat in every period.
///
/// # Errors
/// [`Error::Parameter`] for a period below 2; [`Error::TooShort`] for less than two periods; [`Error::Infinite`].
pub fn decompose(values: &[f64], period: usize) -> Result<Decomposition, Error> {
    if period < 2 {
        return Err(Error::Parameter { name: "period", value: period as f64, wanted: "give at least 2" });
    }
    if values.len() < 2 * period {
        return Err(Error::TooShort { points: values.len(), needed: 2 * period });
    }
    if let Some(index) = values.iter().position(|value| value.is_infinite()) {
        return Err(Error::Infinite { index, value: values[index] });
    }
    let trend = moving_average(values, period);
    let detrended: Vec<f64> = values.iter().zip(&trend).map(|(value, trend)| value - trend).collect();
    let mut profile = phase_medians(&detrended, period, 0..values.len());
    let mean = profile.iter().sum::<f64>() / period as f64;
    for value in &mut profile {
        *value -= mean;
    }
    let seasonal: Vec<f64> = (0..values.len()).map(|index| profile[index % period]).collect();
    let remainder = detrended.iter().zip(&seasonal).map(|(value, season)| value - season).collect();
    Ok(Decomposition { trend, seasonal, remainder })
}

/// The mean of the observed points over one period around each point; the two ends of an even period count half.
fn moving_average(values: &[f64], period: usize) -> Vec<f64> {
    let half = period / 2;
    let is_even = period.is_multiple_of(2);
    let average = |index: usize| {
        if index < half || index + half >= values.len() {
            return f64::NAN;
        }
        let window = &values[index - half..=index + half];
        let last = window.len() - 1;
        let weight = |place: usize| if is_even && (place == 0 || place == last) { 0.5 } else { 1.0 };
        let (mut sum, mut weights) = (0.0, 0.0);
        for (place, value) in window.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            sum += weight(place) * value;
            weights += weight(place);
        }
        if weights > 0.0 { sum / weights } else { f64::NAN }
    };
    (0..values.len()).map(average).collect()
}

/// The median of the observed points of each phase within `within`; 0 for a phase without any.
fn phase_medians(values: &[f64], period: usize, within: std::ops::Range<usize>) -> Vec<f64> {
    let mut scratch = Vec::new();
    let median = |phase: usize| {
        let first = within.start.next_multiple_of(period) + phase;
        let first = if first >= within.start + period { first - period } else { first };
        scratch.clear();
        let phase = (first..within.end).step_by(period).map(|index| values[index]);
        scratch.extend(phase.filter(|value| !value.is_nan()));
        median_of(&mut scratch).unwrap_or(0.0)
    };
    (0..period).map(median).collect()
}

/// The share of the variance that a season must explain to be taken out.
pub const WORTHWHILE: f64 = 0.15;

/// Takes out what repeats with `period`, as the points of `baseline` show it, where that explains at least [`WORTHWHILE`] of their variance. Gives the share that it
/// explains, or 0 where the values are left as they are.
///
/// Medians over a handful of periods are noisy, and their noise would be added to the signal; the profile is therefore smoothed over a 24th of the period.
/// Values within the baseline are compared with a profile that they helped to make, so the share is corrected for the number of
/// periods.
pub fn remove_season(values: &mut [f64], period: usize, baseline: std::ops::Range<usize>) -> f64 {
    let periods = baseline.len() / period.max(1);
    if period < 2 || periods < 2 {
        return 0.0;
    }
    let medians = phase_medians(values, period, baseline.clone());
    let half = period / 48;
    let around = (2 * half + 1) as f64;
    let smooth = |phase: usize| {
        (0..=2 * half).map(|step| medians[(phase + period + step - half) % period]).sum::<f64>() / around
    };
    let mut profile: Vec<f64> = (0..period).map(smooth).collect();
    let mean = profile.iter().sum::<f64>() / period as f64;
    for value in &mut profile {
        *value -= mean;
    }
    let variance = |of: &dyn Fn(usize) -> f64| {
        let there = || baseline.clone().filter(|&index| !values[index].is_nan()).map(of);
        let count = there().count().max(1) as f64;
        let mean = there().sum::<f64>() / count;
        there().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count
    };
    let before = variance(&|index| values[index]);
    let after = variance(&|index| values[index] - profile[index % period]);
    // Of noise alone, medians over p periods smoothed over k points take about 1/(p·k) away.
    let by_chance = 1.0 / (periods as f64 * around);
    let share = if before > 0.0 { 1.0 - after / before * (1.0 + by_chance) } else { 0.0 };
    if share < WORTHWHILE {
        return 0.0;
    }
    for (index, value) in values.iter_mut().enumerate() {
        *value -= profile[index % period];
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn wave(index: usize, period: usize) -> f64 {
        libm::sin(2.0 * std::f64::consts::PI * index as f64 / period as f64)
    }

    #[test]
    fn the_parts_add_up_and_are_those_put_in() {
        let mut values: Vec<f64> = (0..240).map(|index| 0.1 * index as f64 + 5.0 * wave(index, 24)).collect();
        values[100] = f64::NAN;
        values[50] += 1000.0;
        let parts = decompose(&values, 24).unwrap();
        for (index, value) in values.iter().enumerate().take(200).skip(80) {
            assert!((parts.seasonal[index] - 5.0 * wave(index, 24)).abs() < 0.2, "{index}");
            let sum = parts.trend[index] + parts.seasonal[index] + parts.remainder[index];
            assert!(index == 100 || (sum - value).abs() < 1e-9);
        }
        assert!(parts.remainder[100].is_nan() && parts.trend[3].is_nan());
        assert!(decompose(&values, 1).is_err() && decompose(&values, 200).is_err());
    }

    #[test]
    fn a_season_is_taken_out_and_noise_is_left_alone() {
        let mut random = Random::new(5);
        let noise: Vec<f64> = (0..1440).map(|_| random.normal()).collect();
        let mut seasonal: Vec<f64> =
            noise.iter().enumerate().map(|(i, value)| value + 6.0 * wave(i, 288)).collect();
        let share = remove_season(&mut seasonal, 288, 0..1300);
        assert!(share > 0.9, "{share}");
        let left = seasonal.iter().zip(&noise).map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / 1440.0;
        assert!(left < 0.1, "{left}");
        let mut alone = noise.clone();
        assert_eq!(remove_season(&mut alone, 288, 0..1300), 0.0);
        assert_eq!(alone, noise);
        assert_eq!(remove_season(&mut [1.0; 20], 12, 0..20), 0.0);
    }
}
