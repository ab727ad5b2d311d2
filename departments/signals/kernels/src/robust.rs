//! Location and spread that a few wild values do not move.

use std::num::NonZeroUsize;

use crate::Error;

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

/// Scores of each value of each row by the row's own median and spread, row after row, on so many threads: NaN for a missing value, 0 at the median and infinite off it in a row without
/// spread.
///
/// # Errors
/// [`Error::Infinite`], with the place in the row.
///
/// ```
/// use std::num::NonZeroUsize;
/// let scores = backlot_signals_kernels::robust::scores(&[&[1.0, 2.0, 3.0, 4.0, 90.0]], NonZeroUsize::MIN)?;
/// assert!(scores[2] == 0.0 && scores[4] > 50.0);
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
pub fn scores(rows: &[&[f64]], threads: NonZeroUsize) -> Result<Vec<f64>, Error> {
    let run = |rows: &[&[f64]], mut out: &mut [f64]| -> Result<(), Error> {
        let mut scratch = Vec::new();
        for row in rows {
            if let Some(index) = row.iter().position(|value| value.is_infinite()) {
                return Err(Error::Infinite { index, value: row[index] });
            }
            let (own, rest) = out.split_at_mut(row.len());
            match Spread::of(row, &mut scratch) {
                Some(spread) => {
                    for (score, &value) in own.iter_mut().zip(*row) {
                        *score = spread.score(value);
                    }
                }
                None => own.fill(f64::NAN),
            }
            out = rest;
        }
        Ok(())
    };
    let mut table = vec![0.0; rows.iter().map(|row| row.len()).sum()];
    let stretch = rows.len().div_ceil(threads.get()).max(1);
    let mut results = Vec::new();
    std::thread::scope(|scope| {
        let mut rest = table.as_mut_slice();
        let mut helpers = Vec::new();
        let mut own = None;
        for rows in rows.chunks(stretch) {
            let (part, others) = rest.split_at_mut(rows.iter().map(|row| row.len()).sum());
            rest = others;
            // The last part is for this thread.
            if let Some((rows, part)) = own.replace((rows, part)) {
                let run = &run;
                helpers.push(scope.spawn(move || run(rows, part)));
            }
        }
        let last = own.map(|(rows, part)| run(rows, part));
        results.extend(
            helpers.into_iter().map(|helper| helper.join().expect("invariant: kernels do not panic")),
        );
        results.extend(last);
    });
    results.into_iter().collect::<Result<(), Error>>()?;
    Ok(table)
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
    fn scores_of_a_table_are_those_of_its_rows() {
        let rows: [&[f64]; 4] = [&[1.0, 5.0, f64::NAN, 2.0, 9.0], &[f64::NAN], &[3.0, 3.0, 3.0, 4.0], &[]];
        let first = scores(&rows, NonZeroUsize::MIN).unwrap();
        let spread = Spread::of(rows[0], &mut Vec::new()).unwrap();
        assert_eq!((first[1], first[4]), (spread.score(5.0), spread.score(9.0)));
        assert!(first[2].is_nan() && first[5].is_nan());
        assert_eq!(first[6..], [0.0, 0.0, 0.0, f64::INFINITY]);
        for threads in [2, 3, 9] {
            let again = scores(&rows, NonZeroUsize::new(threads).unwrap()).unwrap();
            assert!(first.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
        assert!(scores(&[&[0.0, f64::INFINITY]], NonZeroUsize::MIN).is_err());
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
