//! Robust principal components: what repeats, what stands out, and noise.
//!
//! A signal that repeats is folded to a table, one period in each column. The table is the sum of one of low rank (what all periods share), a sparse one (what
//! stands out) and noise: X = L + S + E, where ½‖E‖² + μλ‖L‖_* + μκ‖S‖₁ is least (Z. Zhou and others, Stable Principal Component Pursuit, 2010), found by turns:
//!
//! ```text
//! S ← soft(X − L, κμ)          L ← U·soft(Σ, λμ)·Vᵀ of X − S = U·Σ·Vᵀ
//! E ← X − L − S                μ ← max(0.01, sd(E)·√(2·max(rows, columns)))
//! ```
//!
//! until the objective changes by no more than 10⁻⁸ of ½‖X‖², at most 228 times. [`decompose`] is that, with the constants of Netflix's Surus; [`anomalies`] is RAD around it: the signal, or its
//! differences, brought to mean 0 and deviation 1, folded, and unfolded again.
//!
//! Whether to take differences is for the augmented Dickey-Fuller test with constant and trend: they are taken where it does *not* reject a unit root. (Surus takes them where it
//! does; the comparison in its code is the wrong way round.)
//!
//! Nothing may be missing: NaN is an error that names the point. A constant signal has nothing that stands out.

use crate::Error;
use crate::linalg::{least_squares_solution, thin_svd};

/// Weights of the two penalties.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalties {
    /// λ, of the rank.
    pub low_rank: f64,
    /// κ, of what stands out; `None` for 1.4/√max(rows, columns).
    pub sparse: Option<f64>,
}

impl Default for Penalties {
    fn default() -> Self {
        Self { low_rank: 1.0, sparse: None }
    }
}

/// A table as a sum, each part in the order of the table given.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// L: what the columns share.
    pub low_rank: Vec<f64>,
    /// S: what stands out; 0 where nothing does.
    pub sparse: Vec<f64>,
    /// E: the rest.
    pub noise: Vec<f64>,
    /// Turns taken.
    pub turns: usize,
    /// Singular values of L above 0.
    pub rank: usize,
}

/// Turns after which it ends in any case.
const MOST_TURNS: usize = 228;

/// The most of the shorter side of a table: the time of a turn grows with its square.
pub const MOST_COLUMNS: usize = 512;

/// Decomposes a table of `rows` rows, given column after column.
///
/// # Errors
/// [`Error::Shape`], [`Error::Missing`], [`Error::Infinite`], [`Error::Parameter`]; [`Error::TooLong`] when both sides are longer than [`MOST_COLUMNS`].
pub fn decompose(table: &[f64], rows: usize, penalties: Penalties) -> Result<Parts, Error> {
    let size = table.len();
    if rows == 0 || size == 0 || !size.is_multiple_of(rows) {
        return Err(Error::Shape { values: size, columns: rows });
    }
    if let Some(index) = table.iter().position(|value| !value.is_finite()) {
        let value = table[index];
        return Err(if value.is_nan() { Error::Missing { index } } else { Error::Infinite { index, value } });
    }
    let columns = size / rows;
    if rows.min(columns) > MOST_COLUMNS {
        return Err(Error::TooLong { what: "robust PCA", points: rows.min(columns), limit: MOST_COLUMNS });
    }
    let longer = rows.max(columns) as f64;
    let sparse_penalty = penalties.sparse.unwrap_or(1.4 / longer.sqrt());
    for (name, value) in [("low-rank penalty", penalties.low_rank), ("sparse penalty", sparse_penalty)] {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(Error::Parameter { name, value, wanted: "give a number from 0" });
        }
    }
    let mut low_rank = vec![0.0; size];
    let mut sparse = vec![0.0; size];
    let mut noise = table.to_vec();
    let absolute: f64 = table.iter().map(|value| value.abs()).sum();
    let squares: f64 = table.iter().map(|value| value * value).sum();
    if absolute == 0.0 {
        return Ok(Parts { low_rank, sparse, noise, turns: 0, rank: 0 });
    }
    let mut mu = size as f64 / (4.0 * absolute);
    let mut objective = 0.5 * squares;
    let tolerance = 1e-8 * objective;
    let (mut turns, mut rank) = (0, 0);
    while turns < MOST_TURNS {
        turns += 1;
        for ((sparse, &value), &low_rank) in sparse.iter_mut().zip(table).zip(&low_rank) {
            *sparse = soft(value - low_rank, sparse_penalty * mu);
        }
        let sparse_norm = sparse.iter().map(|value| value.abs()).sum::<f64>() * sparse_penalty * mu;
        let rest: Vec<f64> = table.iter().zip(&sparse).map(|(value, sparse)| value - sparse).collect();
        let nuclear;
        (low_rank, nuclear, rank) = shrink(&rest, rows, penalties.low_rank * mu);
        for (((noise, &value), &low_rank), &sparse) in noise.iter_mut().zip(table).zip(&low_rank).zip(&sparse)
        {
            *noise = value - low_rank - sparse;
        }
        let noise_squares: f64 = noise.iter().map(|value| value * value).sum();
        let now = 0.5 * noise_squares + nuclear * penalties.low_rank * mu + sparse_norm;
        let is_done = (objective - now).abs() <= tolerance;
        objective = now;
        mu = (deviation(&noise) * (2.0 * longer).sqrt()).max(0.01);
        if is_done {
            break;
        }
    }
    Ok(Parts { low_rank, sparse, noise, turns, rank })
}

fn soft(value: f64, penalty: f64) -> f64 {
    if value > penalty {
        value - penalty
    } else if value < -penalty {
        value + penalty
    } else {
        0.0
    }
}

/// The table with its singular values shrunk, their sum, and how many are left.
fn shrink(table: &[f64], rows: usize, penalty: f64) -> (Vec<f64>, f64, usize) {
    let (left, values, right) = thin_svd(table, rows);
    let columns = table.len() / rows;
    let mut shrunk = vec![0.0; table.len()];
    let (mut sum, mut rank) = (0.0, 0);
    for (k, &value) in values.iter().enumerate() {
        let value = soft(value, penalty);
        if value <= 0.0 {
            continue;
        }
        sum += value;
        rank += 1;
        for column in 0..columns {
            let weight = value * right[k * columns + column];
            let target = &mut shrunk[column * rows..(column + 1) * rows];
            for (target, left) in target.iter_mut().zip(&left[k * rows..(k + 1) * rows]) {
                *target += weight * left;
            }
        }
    }
    (shrunk, sum, rank)
}

/// The standard deviation of a sample.
fn deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    if count > 1.0 { (squares / (count - 1.0)).sqrt() } else { 0.0 }
}

/// Whether [`anomalies`] looks at the signal or at its differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Differencing {
    /// At differences where a unit root is not rejected (t above −3.45).
    #[default]
    Auto,
    /// At the signal.
    Never,
    /// At the differences; the first is 0.
    Always,
}

/// What stands out in a signal that repeats, point by point, in the signal's unit (or that of its differences).
#[derive(Clone, Debug, PartialEq)]
pub struct Anomalies {
    /// What repeats.
    pub usual: Vec<f64>,
    /// What stands out; 0 where nothing does.
    pub anomalous: Vec<f64>,
    /// The rest.
    pub noise: Vec<f64>,
    /// Whether these are parts of the differences.
    pub is_differenced: bool,
    /// Turns taken.
    pub turns: usize,
}

/// RAD: robust anomaly detection of a signal of whole periods.
///
/// # Errors
/// [`Error::Parameter`] for a period below 2; [`Error::Shape`] unless there are whole periods; [`Error::TooShort`] for fewer than two; [`Error::Missing`],
/// [`Error::Infinite`], [`Error::TooLong`].
///
/// ```
/// use backlot_signals_kernels::rpca::{anomalies, Differencing, Penalties};
///
/// let mut signal: Vec<f64> = (0..240).map(|t| f64::from(t % 24)).collect();
/// signal[100] += 70.0;
/// let found = anomalies(&signal, 24, Differencing::Never, Penalties::default())?;
/// let most = found.anomalous.iter().copied().fold(0.0, f64::max);
/// assert!(most > 15.0 && found.anomalous[100] == most);
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
pub fn anomalies(
    values: &[f64],
    period: usize,
    differencing: Differencing,
    penalties: Penalties,
) -> Result<Anomalies, Error> {
    if period < 2 {
        return Err(Error::Parameter { name: "period", value: period as f64, wanted: "give at least 2" });
    }
    if values.len() < 2 * period {
        return Err(Error::TooShort { points: values.len(), needed: 2 * period });
    }
    if !values.len().is_multiple_of(period) {
        return Err(Error::Shape { values: values.len(), columns: period });
    }
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        let value = values[index];
        return Err(if value.is_nan() { Error::Missing { index } } else { Error::Infinite { index, value } });
    }
    let is_differenced = match differencing {
        Differencing::Never => false,
        Differencing::Always => true,
        Differencing::Auto => unit_root(values)?.is_none_or(|t| t > UNIT_ROOT),
    };
    let looked_at: Vec<f64> = if is_differenced {
        std::iter::once(0.0).chain(values.windows(2).map(|pair| pair[1] - pair[0])).collect()
    } else {
        values.to_vec()
    };
    let mean = looked_at.iter().sum::<f64>() / looked_at.len() as f64;
    let scale = deviation(&looked_at);
    let largest = looked_at.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    // What rounding of equal values leaves is no deviation.
    let scale = if scale > 1e-12 * largest { scale } else { 1.0 };
    let scaled: Vec<f64> = looked_at.iter().map(|value| (value - mean) / scale).collect();
    let parts = decompose(&scaled, period, penalties)?;
    let in_unit = |part: Vec<f64>, mean: f64| -> Vec<f64> {
        part.into_iter().map(|value| value * scale + mean).collect()
    };
    Ok(Anomalies {
        usual: in_unit(parts.low_rank, mean),
        anomalous: in_unit(parts.sparse, 0.0),
        noise: in_unit(parts.noise, 0.0),
        is_differenced,
        turns: parts.turns,
    })
}

/// The 5 percent point of the test's distribution for a few hundred points.
const UNIT_ROOT: f64 = -3.45;

/// The augmented Dickey-Fuller statistic with constant, trend and ⌊∛(n − 1)⌋ lagged differences: t of ρ in Δx(t) = ρ·x(t−1) + a + b·t + Σ c(i)·Δx(t−i). The more
/// negative, the less like a random walk. `None` when the regression has no answer, as for a constant signal.
///
/// # Errors
/// [`Error::TooShort`], [`Error::Missing`], [`Error::Infinite`].
pub fn unit_root(values: &[f64]) -> Result<Option<f64>, Error> {
    let points = values.len();
    let lags = libm::floor(libm::cbrt(points.saturating_sub(1) as f64)) as usize;
    let regressors = 3 + lags;
    // One more observation than regressors, after those that the lags take.
    let needed = 2 * lags + 6;
    if points < needed {
        return Err(Error::TooShort { points, needed });
    }
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        let value = values[index];
        return Err(if value.is_nan() { Error::Missing { index } } else { Error::Infinite { index, value } });
    }
    let center = values.iter().sum::<f64>() / points as f64;
    let step = |t: usize| values[t] - values[t - 1];
    let mut design = Vec::new();
    let mut target = Vec::new();
    for t in lags + 1..points {
        design.extend([values[t - 1] - center, 1.0, t as f64 / points as f64]);
        design.extend((1..=lags).map(|lag| step(t - lag)));
        target.push(step(t));
    }
    Ok(least_squares_solution(&design, regressors, &target)
        .map(|(coefficients, errors)| coefficients[0] / errors[0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// The example of Surus's own test: 7 rows, 9 columns, penalties 1 and 1.4/3, and where in its answer S is not 0.
    const SURUS: &str = "
        2.05407309078346 2.85886923211884 2.89728554463089 0.790480493540229 0.548595335194215 1.31367506547418 1.74407133897301
        4.06071962679526 2.75651081738515 0.604658754735038 0.182607837501951 -1.262201503678 0.996560864201235 2.74637817075616
        0.775004762296101 0.906823901472144 2.6839457174704 -0.0625841462071901 -1.09641353766956 0.00479165991036998 0.449351175604642
        3.53152043857777 1.05206417605014 2.7864942275709 -0.691007430091048 -1.02038488026721 -1.35124486835257 0.0621976297222073
        2.82421545538541 2.41312411015615 1.27711183784622 0.0988204592711682 1.50691474460298 0.272037685359444 1.9889742629239
        3.33907184622517 3.68134545243902 0.751559686193563 0.679120355399832 0.428056866405207 0.351341204822829 1.33498418531095
        3.04169869243666 1.22542459625713 1.35457091793328 0.567124649501233 -1.95560538335988 -1.09014280752067 1.80062291606412
        0.588637569785287 1.89212604693897 1.38386740607786 0.356716316822486 -2.07161693692556 4.0 1.44451323393473
        3.52551739267569 3.16481926426412 1.83839333727511 0.827646664705546 0.654351159135431 -0.00892931340717523 0.678082675364184";
    const SURUS_SPARSE: [(usize, f64); 3] = [(16, 0.318_707_77), (53, -0.173_279_54), (54, 2.091_943_06)];

    #[test]
    fn the_example_of_surus_comes_out() {
        let penalties = Penalties { low_rank: 1.0, sparse: Some(1.4 / 3.0) };
        let table: Vec<f64> = SURUS.split_whitespace().map(|value| value.parse().unwrap()).collect();
        let parts = decompose(&table, 7, penalties).unwrap();
        let found: Vec<(usize, f64)> =
            parts.sparse.iter().copied().enumerate().filter(|(_, value)| *value != 0.0).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        for ((at, value), (place, expected)) in found.iter().zip(SURUS_SPARSE) {
            assert!(*at == place && (value - expected).abs() < 1e-4, "{at}: {value} {expected}");
        }
        assert!((parts.low_rank[0] - 2.144_835_89).abs() < 1e-4);
        assert!((parts.noise[0] + 0.090_762_80).abs() < 1e-4);
    }

    #[test]
    fn parts_add_up_and_spikes_stand_out() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let mut values: Vec<f64> = (0..24 * 14)
                .map(|t| {
                    100.0 + 20.0 * libm::sin(f64::from(t) / 24.0 * std::f64::consts::TAU) + random.normal()
                })
                .collect();
            let spike = 30 + random.below(250);
            values[spike] += 60.0;
            let found = anomalies(&values, 24, Differencing::Never, Penalties::default()).unwrap();
            for (t, value) in values.iter().enumerate() {
                let sum = found.usual[t] + found.anomalous[t] + found.noise[t];
                assert!((sum - value).abs() < 1e-9);
            }
            let most = (0..values.len()).max_by(|&a, &b| found.anomalous[a].total_cmp(&found.anomalous[b]));
            assert_eq!(most, Some(spike));
        }
    }

    #[test]
    fn walks_are_differenced_and_noise_is_not() {
        let (mut walks, mut noises) = (0, 0);
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let noise: Vec<f64> = (0..240).map(|_| random.normal()).collect();
            let mut level = 0.0;
            let walk: Vec<f64> = noise
                .iter()
                .map(|step| {
                    level += step;
                    level
                })
                .collect();
            walks += usize::from(
                anomalies(&walk, 24, Differencing::Auto, Penalties::default()).unwrap().is_differenced,
            );
            noises += usize::from(
                anomalies(&noise, 24, Differencing::Auto, Penalties::default()).unwrap().is_differenced,
            );
        }
        assert!(walks >= 88 && noises <= 8, "{walks} walks, {noises} noises");
    }

    #[test]
    fn odd_input_has_an_answer_or_an_error() {
        let usual = Penalties::default();
        assert_eq!(
            anomalies(&[1.0; 25], 12, Differencing::Never, usual).unwrap_err(),
            Error::Shape { values: 25, columns: 12 }
        );
        assert_eq!(
            anomalies(&[1.0; 12], 12, Differencing::Never, usual).unwrap_err(),
            Error::TooShort { points: 12, needed: 24 }
        );
        let mut missing = vec![1.0; 24];
        missing[5] = f64::NAN;
        assert_eq!(
            anomalies(&missing, 12, Differencing::Never, usual).unwrap_err(),
            Error::Missing { index: 5 }
        );
        let constant = anomalies(&[7.5; 48], 12, Differencing::Auto, usual).unwrap();
        assert!(constant.anomalous.iter().all(|value| *value == 0.0));
        assert!(decompose(&[1.0; 4], 0, usual).is_err());
        assert!(decompose(&[1.0; 4], 2, Penalties { low_rank: f64::NAN, sparse: None }).is_err());
    }
}
