//! Correlation over lags: does one signal move with another, before or after it.
//!
//! **The sign of a lag:** at a positive lag the second signal *follows* the first by that many points, at a negative one it goes before
//! it. r(lag) is the correlation of `first[t]` with `second[t + lag]`.
//!
//! Both signals are brought to mean 0 and length 1 once, missing points to 0, and r(lag) is the product of one with the other shifted: the usual estimator of the
//! cross-correlation function (G. Box, G. Jenkins, Time Series Analysis, 1970, 11.1.2), within ±1 for every lag. [`lagged`] compares two signals, [`lagged_table`] one with the rows of a
//! table; their answers have the same bits.

mod lags;

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::{Mutex, OnceLock, PoisonError};

use self::lags::{Bench, Spectra};
use crate::Error;
use crate::isa::Isa;
use crate::significance::normal_two_sided;
use crate::vector::{Eight, LANES, Vector, vector_kernel};

/// Rows of a table that a thread takes at once.
const TAKEN: usize = 16;

/// Autocorrelations that count for the effective sample size; further ones are noise at ordinary lengths.
const MEMORY: usize = 40;

/// A signal of mean 0 and length 1.
#[derive(Clone, Debug)]
pub struct Standard {
    values: Vec<f64>,
    observed: usize,
    /// Made when they are first asked for.
    autocorrelation: OnceLock<Vec<f64>>,
    spectra: OnceLock<Spectra>,
}

impl PartialEq for Standard {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values && self.observed == other.observed
    }
}

/// What is needed of a signal to standardise it.
#[derive(Clone, Copy)]
struct Moments {
    observed: usize,
    mean: f64,
    /// The root of the sum of squares about the mean; nothing without variance.
    length: Option<f64>,
}

impl Moments {
    fn of(isa: Isa, values: &[f64]) -> Result<Self, Error> {
        let (sum, largest) = total(isa, values);
        if !sum.is_finite() {
            if let Some(index) = values.iter().position(|value| value.is_infinite()) {
                return Err(Error::Infinite { index, value: values[index] });
            }
            let there: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
            if there.len() < values.len() {
                return Self::of(isa, &there);
            }
        }
        let observed = values.len();
        if observed < 4 {
            return Ok(Self { observed, mean: 0.0, length: None });
        }
        let mean = sum / observed as f64;
        let length = squares(isa, values, mean).sqrt();
        // What rounding of equal values leaves is no variance.
        let is_varied = length > 1e-12 * largest * (observed as f64).sqrt() && length.is_finite();
        Ok(Self { observed, mean, length: is_varied.then_some(length) })
    }
}

/// A sum in the order of four registers, so that no addition waits for the one before.
#[inline(always)]
fn sum_of<V: Vector>(values: &[f64], mut of: impl FnMut(V) -> V) -> f64 {
    const REGISTERS: usize = 4;
    let mut sums = [V::splat(0.0); REGISTERS];
    let (registers, rest) = values.as_chunks::<LANES>();
    let (all, last) = registers.as_chunks::<REGISTERS>();
    for registers in all {
        for (sum, values) in sums.iter_mut().zip(registers) {
            *sum = *sum + of(V::load(values));
        }
    }
    let [a, b, c, d] = sums;
    let mut sum = (a + b) + (c + d);
    for values in last {
        sum = sum + of(V::load(values));
    }
    let mut all: f64 = sum.lanes().iter().sum();
    for &value in rest {
        all += of(V::splat(value)).first();
    }
    all
}

vector_kernel! {
    /// The sum and the greatest size. The sum is not finite when one of the values is not.
    fn total<V>(values: &[f64]) -> (f64, f64) {
        let mut largest = V::splat(0.0);
        let sum = sum_of::<V>(values, |value| {
            largest = value.abs().or_greater(largest);
            value
        });
        (sum, largest.greatest().first())
    }
}

vector_kernel! {
    /// The sum of squares about the mean.
    fn squares<V>(values: &[f64], mean: f64) -> f64 {
        let mean = V::splat(mean);
        sum_of::<V>(values, |value| (value - mean) * (value - mean))
    }
}

impl Standard {
    /// Standardises; NaN is missing. `None` for a signal of fewer than four observed points or without variance.
    ///
    /// # Errors
    /// [`Error::Infinite`].
    pub fn of(values: &[f64]) -> Result<Option<Self>, Error> {
        let isa = Isa::detect();
        let moments = Moments::of(isa, values)?;
        let Some(length) = moments.length else { return Ok(None) };
        let mut registers = vec![Eight::default(); values.len().div_ceil(LANES)];
        standardise(isa, values, moments.mean, 1.0 / length, &mut registers);
        let values = registers.iter().flat_map(|register| register.0).take(values.len()).collect();
        Ok(Some(Self {
            values,
            observed: moments.observed,
            autocorrelation: OnceLock::new(),
            spectra: OnceLock::new(),
        }))
    }

    /// The values: mean 0, sum of squares 1, missing ones 0.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// What correlation over these lags needs of it as the first signal. That of the lags asked for first is kept.
    fn spectra(&self, reach: usize) -> Cow<'_, Spectra> {
        let kept = self.spectra.get_or_init(|| Spectra::new(&self.values, reach));
        if kept.is_for(reach) { Cow::Borrowed(kept) } else { Cow::Owned(Spectra::new(&self.values, reach)) }
    }

    /// The autocorrelation at lags from 0.
    fn autocorrelation(&self) -> &[f64] {
        self.autocorrelation.get_or_init(|| {
            let count = self.values.len();
            (0..=MEMORY.min(count - 1))
                .map(|lag| dot(&self.values[..count - lag], &self.values[lag..]))
                .collect()
        })
    }
}

vector_kernel! {
    /// A row less its mean and times a scale, missing points 0, and zeros to the end of the last register.
    fn standardise<V>(row: &[f64], mean: f64, scale: f64, places: &mut [Eight]) {
        let (mean, scale) = (V::splat(mean), V::splat(scale));
        let (registers, rest) = row.as_chunks::<LANES>();
        let mut last = [f64::NAN; LANES];
        last[..rest.len()].copy_from_slice(rest);
        for (values, place) in registers.iter().chain([&last]).zip(places) {
            let there = (V::load(values) - mean) * scale;
            V::choose(there.is_equal(there), there, V::splat(0.0)).store(&mut place.0);
        }
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
    let (isa, spectra) = (Isa::detect(), first.spectra(reach));
    let mut bench = Bench::new(&spectra);
    standardise(isa, &second.values, 0.0, 1.0, bench.places(&spectra));
    let mut lags = vec![0.0; 2 * reach + 1];
    bench.sums(isa, &spectra, &[], &mut lags);
    Ok(lags)
}

/// r(lag) of one signal with each row of a table, row after row, each for the lags from −`reach` to `reach`; NaN for rows of fewer than four observed points or without
/// variance. On so many threads, on whose number the answer does not depend.
///
/// # Errors
/// [`Error::Length`] for a row of another length; [`Error::Infinite`], with the place in the row.
///
/// ```
/// use std::num::NonZeroUsize;
/// use backlot_signals_kernels::correlate::{lagged_table, Standard};
///
/// let alert: Vec<f64> = (0..100).map(|t| f64::from(t * t % 17)).collect();
/// let late: Vec<f64> = std::iter::repeat_n(0.0, 3).chain(alert.iter().copied()).take(100).collect();
/// let standard = Standard::of(&alert)?.expect("it varies");
/// let table = lagged_table(&standard, &[&late, &[1.0; 100]], 5, NonZeroUsize::MIN)?;
/// let (row, constant) = table.split_at(11);
/// assert!(row[5 + 3] > 0.9 && constant[0].is_nan());
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
pub fn lagged_table(
    first: &Standard,
    rows: &[&[f64]],
    reach: usize,
    threads: NonZeroUsize,
) -> Result<Vec<f64>, Error> {
    lagged_table_on(Isa::detect(), first, rows, reach, threads)
}

/// As [`lagged_table`], with the instruction set given. The answer does not depend on it.
///
/// # Errors
/// As [`lagged_table`].
pub fn lagged_table_on(
    isa: Isa,
    first: &Standard,
    rows: &[&[f64]],
    reach: usize,
    threads: NonZeroUsize,
) -> Result<Vec<f64>, Error> {
    let points = first.values.len();
    if let Some(row) = rows.iter().find(|row| row.len() != points) {
        return Err(Error::Length { left: points, right: row.len() });
    }
    let lags = 2 * reach + 1;
    let mut table = vec![f64::NAN; rows.len() * lags];
    // Each thread takes the next rows when it is done with some.
    let parts = Mutex::new(rows.chunks(TAKEN).zip(table.chunks_mut(TAKEN * lags)).enumerate());
    let run = || -> Result<(), (usize, Error)> {
        // Here, because threads take their time to start.
        let spectra = first.spectra(reach);
        let mut bench = Bench::new(&spectra);
        loop {
            let next = parts.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((part, (rows, table))) = next else { return Ok(()) };
            let next = rows[1..].iter().copied().chain([&[][..]]);
            for ((row, next), table) in rows.iter().zip(next).zip(table.chunks_exact_mut(lags)) {
                let moments = Moments::of(isa, row).map_err(|error| (part, error))?;
                if let Some(length) = moments.length {
                    standardise(isa, row, moments.mean, 1.0 / length, bench.places(&spectra));
                    bench.sums(isa, &spectra, next, table);
                }
            }
        }
    };
    let threads = threads.get().min(rows.len().div_ceil(TAKEN));
    let results = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut results = vec![run()];
        results.extend(
            helpers.into_iter().map(|helper| helper.join().expect("invariant: kernels do not panic")),
        );
        results
    });
    // Parts are taken in order, so of all rows the first one that is refused is among them.
    match results.into_iter().filter_map(Result::err).min_by_key(|(part, _)| *part) {
        Some((_, error)) => Err(error),
        None => Ok(table),
    }
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
    let shared = first.autocorrelation().iter().zip(second.autocorrelation()).skip(1);
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
    fn any_length_and_reach_gives_the_naive_sum() {
        // Transforms of all kinds of sizes, one block and many, lags beyond the signal.
        let sizes = [
            (4, 0),
            (5, 9),
            (9, 3),
            (64, 31),
            (97, 1),
            (200, 60),
            (333, 332),
            (1000, 5),
            (1440, 60),
            (1441, 120),
            (2000, 900),
            (3000, 1500),
        ];
        for (points, reach) in sizes {
            let (a, b) = (noise(points as u64, points), noise(points as u64 + 7, points));
            let (a, b) = (Standard::of(&a).unwrap().unwrap(), Standard::of(&b).unwrap().unwrap());
            let found = lagged(&a, &b, reach).unwrap();
            assert_eq!(found.len(), 2 * reach + 1);
            for (index, r) in found.iter().enumerate() {
                let naive: f64 = (0..points)
                    .filter_map(|t| Some(a.values()[t] * b.values().get((t + index).checked_sub(reach)?)?))
                    .sum();
                assert!((r - naive).abs() < 1e-14, "{points} {reach} {index}: {r} {naive}");
            }
        }
    }

    #[test]
    fn a_table_has_the_bits_of_its_rows() {
        let mut random = Random::new(8);
        for (points, reach) in [(97, 20), (5, 0), (5, 9), (64, 31), (200, 3)] {
            let mut rows: Vec<Vec<f64>> = (0..21).map(|row| noise(row + 50, points)).collect();
            rows[3][points / 2] = f64::NAN;
            rows[5] = vec![2.5; points];
            let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
            let first = Standard::of(&noise(random.bits(), points)).unwrap().unwrap();
            for isa in Isa::available() {
                for threads in [1, 2, 5].map(|threads| NonZeroUsize::new(threads).unwrap()) {
                    let table = lagged_table_on(isa, &first, &rows, reach, threads).unwrap();
                    for (row, found) in rows.iter().zip(table.chunks(2 * reach + 1)) {
                        let Some(second) = Standard::of(row).unwrap() else {
                            assert!(found.iter().all(|r| r.is_nan()));
                            continue;
                        };
                        let alone = lagged(&first, &second, reach).unwrap();
                        assert!(found.iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits()));
                    }
                }
            }
        }
        let first = Standard::of(&noise(1, 9)).unwrap().unwrap();
        let one = NonZeroUsize::MIN;
        assert!(lagged_table(&first, &[&[0.0; 8]], 2, one).is_err());
        assert!(lagged_table(&first, &[&[f64::INFINITY; 9]], 2, one).is_err());
        assert_eq!(lagged_table(&first, &[], 2, one), Ok(vec![]));
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
