//! Hosts whose level is far from the others', by the median absolute deviation.
//!
//! A host's level is the median of its window about the hosts' median at each time; how far off it is counts in robust standard deviations of all levels. It is faster than
//! [`super::dbscan`] and says which way a host is off, and it does not see a host that is as often above the others as below.

use super::{Fleet, Label, Outliers};
use crate::Error;
use crate::robust::{Spread, median_of};

/// When a level is far off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mad {
    /// The most outliers that are believed; the farthest are reported.
    pub expected: usize,
    /// Robust standard deviations, below which no host is an outlier. 3.5 is usual (B. Iglewicz, D. Hoaglin, 1993).
    pub least: f64,
}

/// What makes the mean absolute deviation of a Gaussian its standard deviation: √(π/2).
const MEAN_TO_SIGMA: f64 = 1.253_314_137_315_500_3;

/// The mean distance from the median of the levels that are there.
fn mean_deviation(levels: &[f64], median: f64) -> f64 {
    let there = levels.iter().filter(|level| !level.is_nan());
    let (sum, count) =
        there.fold((0.0, 0.0), |(sum, count), level| (sum + (level - median).abs(), count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Which hosts' levels lie far from the others'. Scores are in robust standard deviations, without sign.
///
/// # Errors
/// As [`super::dbscan`].
///
/// ```
/// use backlot_signals_kernels::outliers::{mad, Mad};
///
/// let hosts: Vec<Vec<f64>> = (0..9_u32)
///     .map(|host| (0..30).map(|t| f64::from((7 * host + 3 * t) % 11) - if host == 2 { 20.0 } else { 0.0 }).collect())
///     .collect();
/// let hosts: Vec<&[f64]> = hosts.iter().map(Vec::as_slice).collect();
/// assert_eq!(mad(&hosts, Mad { expected: 3, least: 3.5 })?.outliers(), [2]);
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
pub fn mad(hosts: &[&[f64]], search: Mad) -> Result<Outliers, Error> {
    if !(search.least >= 0.0 && search.least.is_finite()) {
        let wanted = "give a number from 0";
        return Err(Error::Parameter { name: "least", value: search.least, wanted });
    }
    let fleet = Fleet::of(hosts)?;
    let mut scratch = Vec::new();
    let levels: Vec<f64> = fleet
        .hosts
        .iter()
        .zip(&fleet.is_sparse)
        .map(|(host, is_sparse)| {
            scratch.clear();
            scratch.extend(host.iter().copied().filter(|value| !is_sparse && !value.is_nan()));
            median_of(&mut scratch).unwrap_or(f64::NAN)
        })
        .collect();
    let spread = Spread::of(&levels, &mut scratch).map(|spread| Spread {
        // Where more than half of the levels are equal, the mean deviation tells what is usual (Iglewicz and Hoaglin's rule).
        sigma: if spread.sigma > 0.0 {
            spread.sigma
        } else {
            MEAN_TO_SIGMA * mean_deviation(&levels, spread.median)
        },
        ..spread
    });
    let scores: Vec<f64> =
        levels.iter().map(|&level| spread.map_or(f64::NAN, |spread| spread.score(level).abs())).collect();
    let mut sorted: Vec<f64> = scores.iter().copied().filter(|score| !score.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let tuned = match sorted.len() {
        0 => f64::INFINITY,
        count => sorted[count - 1 - search.expected.min(count - 1)],
    };
    let threshold = tuned.max(search.least);
    let label = |score: &f64| match score {
        score if score.is_nan() => Label::Sparse,
        score if *score > threshold => Label::Outlier,
        _ => Label::Usual,
    };
    Ok(Outliers { labels: scores.iter().map(label).collect(), scores, threshold })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn levels_off_are_found_and_no_more_than_expected() {
        let mut random = Random::new(1);
        let hosts: Vec<Vec<f64>> = (0..40)
            .map(|host| {
                (0..50).map(|_| random.normal() + if host < 3 { f64::from(host + 2) } else { 0.0 }).collect()
            })
            .collect();
        let rows: Vec<&[f64]> = hosts.iter().map(Vec::as_slice).collect();
        assert_eq!(mad(&rows, Mad { expected: 5, least: 3.5 }).unwrap().outliers(), [2, 1, 0]);
        assert_eq!(mad(&rows, Mad { expected: 1, least: 3.5 }).unwrap().outliers(), [2]);
        assert!(mad(&rows, Mad { expected: 0, least: 3.5 }).unwrap().outliers().is_empty());
        assert!(mad(&rows, Mad { expected: 1, least: f64::NAN }).is_err());
        let equal: &[f64] = &[1.0; 5];
        assert!(mad(&[equal; 6], Mad { expected: 2, least: 3.5 }).unwrap().outliers().is_empty());
        let missing: &[f64] = &[f64::NAN; 5];
        let found = mad(&[equal, equal, equal, missing], Mad { expected: 2, least: 3.5 }).unwrap();
        assert_eq!(found.labels[3], Label::Sparse);
    }
}
