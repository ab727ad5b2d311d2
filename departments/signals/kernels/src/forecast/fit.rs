//! Weights from the signal: those whose forecasts one step ahead err least.
//!
//! The sum of squared errors is taken on a coarse grid, then on ever finer steps around the best point of it. It has no derivative worth the name at the borders, where good weights often are, and few
//! dimensions, so this is as fast as it needs to be, and it ends at the same point on every machine.

use super::{
    DoubleExponential, HoltWinters, State, Weights, follow, start_with_season, start_without_season,
};
use crate::Error;

/// The first grid of each weight.
const GRID: [f64; 5] = [0.02, 0.1, 0.3, 0.6, 0.9];

/// Steps are halved from this on until they are below [`FINEST`].
const FIRST_STEP: f64 = 0.1;
const FINEST: f64 = 1e-3;

fn search(values: &[f64], start: &State, first: usize, is_seasonal: bool) -> Weights {
    let loss = |at: [f64; 3]| {
        let weights = Weights { alpha: at[0], beta: at[1], gamma: at[2] };
        follow(weights, &mut start.clone(), values, first, |_, _| {}).0
    };
    let gammas: &[f64] = if is_seasonal { &GRID } else { &[0.0] };
    let mut best = ([GRID[2], GRID[1], gammas[0]], f64::INFINITY);
    for alpha in GRID {
        for beta in GRID {
            for &gamma in gammas {
                let at = [alpha, beta, gamma];
                let value = loss(at);
                if value < best.1 {
                    best = (at, value);
                }
            }
        }
    }
    let weights = if is_seasonal { 3 } else { 2 };
    let mut step = FIRST_STEP;
    while step >= FINEST {
        let before = best.1;
        for weight in 0..weights {
            for sign in [-1.0, 1.0] {
                let mut at = best.0;
                at[weight] = (at[weight] + sign * step).clamp(0.0, 1.0);
                let value = loss(at);
                if value < best.1 {
                    best = (at, value);
                }
            }
        }
        if best.1 >= before {
            step /= 2.0;
        }
    }
    let [alpha, beta, gamma] = best.0;
    Weights { alpha, beta, gamma }
}

/// Weights of [`super::double_exponential`] for a signal.
///
/// # Errors
/// [`Error::TooShort`] for fewer than three observed points; [`Error::Infinite`].
pub fn fit_double_exponential(values: &[f64]) -> Result<DoubleExponential, Error> {
    let (state, first) = start_without_season(values)?;
    let Weights { alpha, beta, .. } = search(values, &state, first, false);
    Ok(DoubleExponential { alpha, beta })
}

/// Weights of [`super::holt_winters`] for a signal with this season.
///
/// # Errors
/// As [`super::holt_winters`].
pub fn fit_holt_winters(values: &[f64], season: usize) -> Result<HoltWinters, Error> {
    let state = start_with_season(values, season)?;
    let Weights { alpha, beta, gamma } = search(values, &state, 0, true);
    Ok(HoltWinters { season, alpha, beta, gamma })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn fitted_weights_err_no_more_than_those_that_made_the_signal() {
        for seed in 0..10 {
            let mut random = Random::new(seed);
            let made = Weights { alpha: 0.3, beta: 0.1, gamma: 0.5 };
            let mut state = State { level: 10.0, trend: 0.1, season: vec![4.0, 0.0, -4.0] };
            let mut values = Vec::new();
            for t in 0..300 {
                let value = state.level + state.trend + state.season[t % 3] + random.normal();
                made.step(&mut state, t, value);
                values.push(value);
            }
            let start = start_with_season(&values, 3).unwrap();
            let error = |weights| follow(weights, &mut start.clone(), &values, 0, |_, _| {}).0;
            let fitted = fit_holt_winters(&values, 3).unwrap();
            let found = Weights { alpha: fitted.alpha, beta: fitted.beta, gamma: fitted.gamma };
            assert!(error(found) <= error(made));
        }
        let line: Vec<f64> = (0..30).map(f64::from).collect();
        assert!(fit_double_exponential(&line).is_ok() && fit_double_exponential(&line[..2]).is_err());
    }
}
