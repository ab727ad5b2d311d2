//! Forecasts by exponential smoothing, with intervals.
//!
//! [`double_exponential`] follows a level and a trend, [`holt_winters`] a season too. Both are written with the error e of the forecast one step ahead (R. Hyndman, A. Koehler, J. Ord, R. Snyder,
//! Forecasting with Exponential Smoothing, 2008, chapters 2 and 6), which is the same recurrence as Holt's (1957) and Winters' (1960):
//!
//! ```text
//! e = x(t) − (level + trend + season(t))
//! level ← level + trend + α·e      trend ← trend + αβ·e      season(t) ← season(t) + γ(1 − α)·e
//! ```
//!
//! The forecast h steps ahead has the variance σ²·(1 + Σ c(j)²), j from 1 to h − 1, with c(j) = α(1 + jβ), and γ(1 − α) more where j is a whole number of seasons; σ² is the mean
//! square of e.
//!
//! NaN is a missing point: nothing is learnt from it, the level goes on with the trend, and a gap at the end counts as steps already taken, so intervals after it are
//! wider. An infinite value is an error. A signal that its forecasts met exactly, as a constant one, has intervals of no width.

mod fit;

pub use fit::{fit_double_exponential, fit_holt_winters};

use crate::Error;
use crate::significance::normal_quantile;

/// How far and how sure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Horizon {
    /// Points to forecast.
    pub steps: usize,
    /// The chance that a point lies in its interval, 0 to 1.
    pub confidence: f64,
}

impl Default for Horizon {
    fn default() -> Self {
        Self { steps: 1, confidence: 0.95 }
    }
}

/// The most points of a forecast: intervals of anything further are wider than the signal.
pub const MOST_STEPS: usize = 1_000_000;

/// What is expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// For each point of the signal what was expected of it from those before; NaN where there were too few.
    pub fitted: Vec<f64>,
    /// What is expected of the points after it.
    pub mean: Vec<f64>,
    /// Where their intervals begin.
    pub lower: Vec<f64>,
    /// Where they end.
    pub upper: Vec<f64>,
    /// The standard deviation of the error one step ahead.
    pub sigma: f64,
}

/// Weights of level and trend, each from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DoubleExponential {
    /// α: how fast the level follows.
    pub alpha: f64,
    /// β: how fast the trend follows the level.
    pub beta: f64,
}

/// Weights of level, trend and season, each from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HoltWinters {
    /// Points of a season.
    pub season: usize,
    /// α: how fast the level follows.
    pub alpha: f64,
    /// β: how fast the trend follows the level.
    pub beta: f64,
    /// γ: how fast the season follows what is off the level.
    pub gamma: f64,
}

/// The state between two points.
#[derive(Clone, Debug)]
struct State {
    level: f64,
    trend: f64,
    /// One for each phase; one zero without a season.
    season: Vec<f64>,
}

/// The recurrence with its weights.
#[derive(Clone, Copy, Debug)]
struct Weights {
    alpha: f64,
    beta: f64,
    gamma: f64,
}

impl Weights {
    fn check(self) -> Result<Self, Error> {
        for (name, value) in [("alpha", self.alpha), ("beta", self.beta), ("gamma", self.gamma)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Parameter { name, value, wanted: "give a number from 0 to 1" });
            }
        }
        Ok(self)
    }

    fn step(self, state: &mut State, place: usize, value: f64) -> f64 {
        let phase = place % state.season.len();
        let expected = state.level + state.trend + state.season[phase];
        let error = if value.is_nan() { 0.0 } else { value - expected };
        state.level += state.trend + self.alpha * error;
        state.trend += self.alpha * self.beta * error;
        state.season[phase] += self.gamma * (1.0 - self.alpha) * error;
        expected
    }
}

/// Follows the points from `first` on; gives the sum of squared errors and their number. `each` gets what was expected of each.
fn follow(
    weights: Weights,
    state: &mut State,
    values: &[f64],
    first: usize,
    mut each: impl FnMut(usize, f64),
) -> (f64, usize) {
    let (mut squares, mut count) = (0.0, 0);
    for (place, &value) in values.iter().enumerate().skip(first) {
        let expected = weights.step(state, place, value);
        each(place, expected);
        if !value.is_nan() {
            squares += (value - expected) * (value - expected);
            count += 1;
        }
    }
    (squares, count)
}

/// Smooths from a start, of whose points some were needed to find it, and looks ahead.
fn smooth(
    values: &[f64],
    weights: Weights,
    mut state: State,
    first: usize,
    horizon: Horizon,
) -> Result<Forecast, Error> {
    let Horizon { steps, confidence } = horizon;
    if !(confidence > 0.0 && confidence < 1.0) {
        let wanted = "give a chance between 0 and 1";
        return Err(Error::Parameter { name: "confidence", value: confidence, wanted });
    }
    if steps > MOST_STEPS {
        return Err(Error::TooLong { what: "a forecast", points: steps, limit: MOST_STEPS });
    }
    let mut fitted = vec![f64::NAN; values.len()];
    let (squares, count) =
        follow(weights, &mut state, values, first, |place, expected| fitted[place] = expected);
    let sigma = (squares / count.max(1) as f64).sqrt();
    let quantile = normal_quantile(f64::midpoint(1.0, confidence));
    let period = state.season.len();
    let is_seasonal = period > 1;
    let gap = values.iter().rev().take_while(|value| value.is_nan()).count();
    let mut forecast = Forecast { fitted, mean: Vec::new(), lower: Vec::new(), upper: Vec::new(), sigma };
    let mut variance = 1.0;
    for h in 1..=gap + steps {
        if h > 1 {
            let j = h - 1;
            let seasonal = if is_seasonal && j.is_multiple_of(period) {
                weights.gamma * (1.0 - weights.alpha)
            } else {
                0.0
            };
            let weight = weights.alpha * (1.0 + j as f64 * weights.beta) + seasonal;
            variance += weight * weight;
        }
        if h > gap {
            // The state stands after the gap already.
            let ahead = h - gap;
            let phase = (values.len() + ahead - 1) % period;
            let mean = state.level + ahead as f64 * state.trend + state.season[phase];
            let half = quantile * sigma * variance.sqrt();
            forecast.mean.push(mean);
            forecast.lower.push(mean - half);
            forecast.upper.push(mean + half);
        }
    }
    Ok(forecast)
}

fn refuse_infinite(values: &[f64]) -> Result<(), Error> {
    match values.iter().position(|value| value.is_infinite()) {
        Some(index) => Err(Error::Infinite { index, value: values[index] }),
        None => Ok(()),
    }
}

/// Level and trend from the first two observed points; the first place after them.
fn start_without_season(values: &[f64]) -> Result<(State, usize), Error> {
    refuse_infinite(values)?;
    let mut there = values.iter().enumerate().filter(|(_, value)| !value.is_nan());
    let (first, second, third) = (there.next(), there.next(), there.next());
    let (Some((from, &start)), Some((to, &next)), Some(_)) = (first, second, third) else {
        let points = values.iter().filter(|value| !value.is_nan()).count();
        return Err(Error::TooShort { points, needed: 3 });
    };
    let state = State { level: next, trend: (next - start) / (to - from) as f64, season: vec![0.0] };
    Ok((state, to + 1))
}

/// Holt's smoothing of level and trend.
///
/// # Errors
/// [`Error::TooShort`] for fewer than three observed points; [`Error::Parameter`]; [`Error::Infinite`]; [`Error::TooLong`].
///
/// ```
/// use backlot_signals_kernels::forecast::{double_exponential, DoubleExponential, Horizon};
///
/// let line: Vec<f64> = (0..20).map(|t| 3.0 + 2.0 * f64::from(t)).collect();
/// let weights = DoubleExponential { alpha: 0.5, beta: 0.3 };
/// let forecast = double_exponential(&line, weights, Horizon { steps: 2, confidence: 0.95 })?;
/// assert_eq!(forecast.mean, [43.0, 45.0]);
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
pub fn double_exponential(
    values: &[f64],
    weights: DoubleExponential,
    horizon: Horizon,
) -> Result<Forecast, Error> {
    let weights = Weights { alpha: weights.alpha, beta: weights.beta, gamma: 0.0 }.check()?;
    let (state, first) = start_without_season(values)?;
    smooth(values, weights, state, first, horizon)
}

/// Level, trend and season from the first two seasons: the means of both, the trend between them, and what is left of each phase.
fn start_with_season(values: &[f64], season: usize) -> Result<State, Error> {
    refuse_infinite(values)?;
    if season < 2 {
        return Err(Error::Parameter {
            name: "season",
            value: season as f64,
            wanted: "give at least 2 points",
        });
    }
    let needed = 2 * season + 1;
    if values.len() < needed {
        return Err(Error::TooShort { points: values.len(), needed });
    }
    let (first, second) = (&values[..season], &values[season..2 * season]);
    // Only phases seen in both seasons tell the trend.
    let mut both = (0.0, 0.0, 0.0);
    for (a, b) in first.iter().zip(second).filter(|(a, b)| !a.is_nan() && !b.is_nan()) {
        both = (both.0 + a, both.1 + b, both.2 + 1.0);
    }
    let trend = if both.2 > 0.0 { (both.1 - both.0) / both.2 / season as f64 } else { 0.0 };
    let mut profile = Vec::with_capacity(season);
    for phase in 0..season {
        let off = |place: usize| values[place] - trend * (place + 1) as f64;
        let there = [phase, phase + season].into_iter().map(off).filter(|value| !value.is_nan());
        let (sum, count) = there.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        if count == 0.0 {
            return Err(Error::Missing { index: phase });
        }
        profile.push(sum / count);
    }
    let level = profile.iter().sum::<f64>() / season as f64;
    for value in &mut profile {
        *value -= level;
    }
    Ok(State { level, trend, season: profile })
}

/// Holt's and Winters' smoothing of level, trend and an additive season. For a season that grows with the level take logarithms first.
///
/// # Errors
/// [`Error::TooShort`] for less than two seasons and a point; [`Error::Missing`] for a phase that neither of the first two seasons shows; [`Error::Parameter`]; [`Error::Infinite`]; [`Error::TooLong`].
///
/// ```
/// use backlot_signals_kernels::forecast::{holt_winters, HoltWinters, Horizon};
///
/// let days: Vec<f64> = (0..28).map(|t| f64::from(t) + [0.0, 5.0, -5.0, 0.0][t as usize % 4]).collect();
/// let weights = HoltWinters { season: 4, alpha: 0.4, beta: 0.1, gamma: 0.2 };
/// let forecast = holt_winters(&days, weights, Horizon { steps: 3, confidence: 0.9 })?;
/// for (found, expected) in forecast.mean.iter().zip([28.0, 34.0, 25.0]) {
///     assert!((found - expected).abs() < 1e-9);
/// }
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
pub fn holt_winters(values: &[f64], weights: HoltWinters, horizon: Horizon) -> Result<Forecast, Error> {
    let HoltWinters { season, alpha, beta, gamma } = weights;
    let weights = Weights { alpha, beta, gamma }.check()?;
    let state = start_with_season(values, season)?;
    smooth(values, weights, state, 0, horizon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// The recurrences as Holt and Winters wrote them.
    #[test]
    fn smoothing_is_the_classic_recurrence() {
        let mut random = Random::new(1);
        let season = 6;
        let values: Vec<f64> = (0..60)
            .map(|t| t as f64 * 0.3 + [5.0, 1.0, -4.0, 0.0, 2.0, -4.0][t % 6] + random.normal())
            .collect();
        let weights = HoltWinters { season, alpha: 0.3, beta: 0.2, gamma: 0.4 };
        let found = holt_winters(&values, weights, Horizon { steps: 8, confidence: 0.8 }).unwrap();
        let state = start_with_season(&values, season).unwrap();
        let (mut level, mut trend, mut profile) = (state.level, state.trend, state.season);
        for (t, value) in values.iter().enumerate() {
            assert!((found.fitted[t] - (level + trend + profile[t % season])).abs() < 1e-9);
            let before = level;
            level = 0.3 * (value - profile[t % season]) + 0.7 * (level + trend);
            trend = 0.2 * (level - before) + 0.8 * trend;
            profile[t % season] = 0.4 * (value - level) + 0.6 * profile[t % season];
        }
        for h in 1..=8 {
            let expected = level + h as f64 * trend + profile[(59 + h) % season];
            assert!((found.mean[h - 1] - expected).abs() < 1e-9, "{h}");
        }
    }

    #[test]
    fn intervals_hold_what_they_say() {
        let (mut inside, mut all) = (0, 0);
        for seed in 0..300 {
            let mut random = Random::new(seed);
            // A signal of the very model that is fitted, so that the intervals are exactly right.
            let weights = Weights { alpha: 0.4, beta: 0.1, gamma: 0.2 };
            let mut state = State { level: 50.0, trend: 0.2, season: vec![3.0, -1.0, -2.0, 0.0] };
            let mut values = Vec::new();
            for t in 0..412 {
                let expected = state.level + state.trend + state.season[t % 4];
                let value = expected + random.normal();
                weights.step(&mut state, t, value);
                values.push(value);
            }
            let given = HoltWinters { season: 4, alpha: 0.4, beta: 0.1, gamma: 0.2 };
            let found = holt_winters(&values[..400], given, Horizon { steps: 12, confidence: 0.9 }).unwrap();
            assert!((found.sigma - 1.0).abs() < 0.25, "{}", found.sigma);
            for (h, value) in values[400..].iter().enumerate() {
                inside += usize::from(found.lower[h] <= *value && *value <= found.upper[h]);
                all += 1;
            }
        }
        let share = f64::from(inside as u32) / f64::from(all as u32);
        assert!((share - 0.9).abs() < 0.03, "{share}");
    }

    #[test]
    fn gaps_teach_nothing_and_widen() {
        let mut values: Vec<f64> =
            (0..40).map(|t| 2.0 * f64::from(t) + [1.0, -1.0][t as usize % 2]).collect();
        let weights = DoubleExponential { alpha: 0.5, beta: 0.1 };
        let horizon = Horizon { steps: 3, confidence: 0.95 };
        values.truncate(30);
        let whole = double_exponential(&values, weights, horizon).unwrap();
        values.push(f64::NAN);
        let gap = double_exponential(&values, weights, Horizon { steps: 2, ..horizon }).unwrap();
        for k in 0..2 {
            assert!((gap.mean[k] - whole.mean[k + 1]).abs() < 1e-9);
            assert!((gap.upper[k] - whole.upper[k + 1]).abs() < 1e-9);
        }
        values[10] = f64::NAN;
        assert!(
            double_exponential(&values, weights, horizon).unwrap().mean.iter().all(|value| value.is_finite())
        );
    }

    #[test]
    fn odd_input_has_an_answer_or_an_error() {
        let weights = DoubleExponential { alpha: 0.5, beta: 0.5 };
        let horizon = Horizon::default();
        assert_eq!(
            double_exponential(&[1.0, f64::NAN, 2.0], weights, horizon).unwrap_err(),
            Error::TooShort { points: 2, needed: 3 }
        );
        assert!(double_exponential(&[1.0, f64::INFINITY, 2.0, 3.0], weights, horizon).is_err());
        assert!(double_exponential(&[1.0; 5], DoubleExponential { alpha: 1.5, beta: 0.0 }, horizon).is_err());
        assert!(double_exponential(&[1.0; 5], weights, Horizon { steps: 1, confidence: 1.0 }).is_err());
        let constant = double_exponential(&[4.0; 9], weights, horizon).unwrap();
        assert_eq!(
            (constant.mean[0], constant.lower[0], constant.upper[0], constant.sigma),
            (4.0, 4.0, 4.0, 0.0)
        );
        let hw = HoltWinters { season: 3, alpha: 0.5, beta: 0.1, gamma: 0.1 };
        assert_eq!(
            holt_winters(&[1.0; 6], hw, horizon).unwrap_err(),
            Error::TooShort { points: 6, needed: 7 }
        );
        let unseen = [1.0, f64::NAN, 1.0, 1.0, f64::NAN, 1.0, 1.0, 1.0];
        assert_eq!(holt_winters(&unseen, hw, horizon).unwrap_err(), Error::Missing { index: 1 });
        assert!(holt_winters(&[1.0; 9], HoltWinters { season: 1, ..hw }, horizon).is_err());
    }
}
