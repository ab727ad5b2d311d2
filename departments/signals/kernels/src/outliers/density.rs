//! DBSCAN over hosts, with the radius chosen from the number of outliers that is expected.
//!
//! A host is a *core* when so many others lie within the radius, and *noise* when it is no core and within the radius of none (M. Ester, H.-P. Kriegel, J. Sander, X. Xu, KDD 1996). Noise is
//! what is reported. For each host there is one radius at which it stops being noise:
//!
//! ```text
//! reach(p) = min over q of max(distance(p, q), core(q))      core(q) = distance to the k-th nearest host, reach(p) ≤ core(p)
//! ```
//!
//! so the radius that leaves n hosts outside is the (n+1)-th greatest reach, and nothing has to be tried. A fleet in which nothing is wrong must not report n hosts all
//! the same: the radius is at least the median reach and [`CLEAR`] robust standard deviations.
//!
//! The distance of two windows is the root of a median of means: of six equal parts of the window, in each of which the mean squared difference is taken. What is off all the time counts, in level or in
//! spread; a blip that ends by itself does not.

use super::{Fleet, Label, Outliers};
use crate::Error;
use crate::robust::{Spread, median_of};

/// Robust standard deviations of reaches above their median, below which no host is an outlier.
const CLEAR: f64 = 8.0;

/// Parts of a window whose median distance counts: what is off in less than half of them is a blip.
const PARTS: usize = 6;

/// Parts of fewer points are not told apart from noise.
const LEAST_PART: usize = 5;

/// What counts as a group of hosts, and how many outliers there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dbscan {
    /// The most outliers that are believed. When more hosts than that are apart from the others, the farthest are reported.
    pub expected: usize,
    /// Others that must be near for a host to be a core; `None` for one more than are expected to be off, so that these are no group of their own, at least 3 and at most half of the hosts.
    pub neighbours: Option<usize>,
}

/// Which windows lie where few others do.
///
/// # Errors
/// [`Error::TooShort`], [`Error::TooLong`], [`Error::Length`], [`Error::Infinite`], [`Error::Parameter`].
///
/// ```
/// use backlot_signals_kernels::outliers::{dbscan, Dbscan};
///
/// let hosts: Vec<Vec<f64>> = (0..12_u32)
///     .map(|host| (0..30).map(|t| f64::from((7 * host + 3 * t) % 5) + if host == 4 { 20.0 } else { 0.0 }).collect())
///     .collect();
/// let hosts: Vec<&[f64]> = hosts.iter().map(Vec::as_slice).collect();
/// let found = dbscan(&hosts, Dbscan { expected: 1, neighbours: None })?;
/// assert_eq!(found.outliers(), [4]);
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
pub fn dbscan(hosts: &[&[f64]], search: Dbscan) -> Result<Outliers, Error> {
    let fleet = Fleet::of(hosts)?;
    let there: Vec<usize> = (0..hosts.len()).filter(|&host| !fleet.is_sparse[host]).collect();
    let mut labels = vec![Label::Sparse; hosts.len()];
    let mut scores = vec![f64::NAN; hosts.len()];
    if there.len() < 2 {
        return Ok(Outliers { labels, scores, threshold: f64::INFINITY });
    }
    let most = there.len() - 1;
    let neighbours = search.neighbours.unwrap_or_else(|| (search.expected + 1).max(3).min(most.div_ceil(2)));
    if neighbours == 0 || neighbours > most {
        let wanted = "give at least 1 and fewer than there are hosts";
        return Err(Error::Parameter { name: "neighbours", value: neighbours as f64, wanted });
    }
    let distances = Distances::of(&fleet, &there);
    let count = there.len();
    let mut scratch = Vec::with_capacity(count);
    let core: Vec<f64> = (0..count)
        .map(|host| {
            scratch.clear();
            scratch.extend(
                (0..count).filter(|&other| other != host).map(|other| distances.between(host, other)),
            );
            *scratch.select_nth_unstable_by(neighbours - 1, f64::total_cmp).1
        })
        .collect();
    let reach: Vec<f64> = (0..count)
        .map(|host| {
            let others = (0..count).filter(|&other| other != host);
            others.map(|other| distances.between(host, other).max(core[other])).fold(core[host], f64::min)
        })
        .collect();
    let mut sorted = reach.clone();
    sorted.sort_by(f64::total_cmp);
    let tuned = sorted[count - 1 - search.expected.min(count - 1)];
    let finite: Vec<f64> = reach.iter().copied().filter(|value| value.is_finite()).collect();
    let usual = Spread::of(&finite, &mut scratch).map_or(0.0, |spread| spread.median + CLEAR * spread.sigma);
    let threshold = tuned.max(usual);
    for (&host, &reach) in there.iter().zip(&reach) {
        scores[host] = reach;
        labels[host] = if reach > threshold { Label::Outlier } else { Label::Usual };
    }
    Ok(Outliers { labels, scores, threshold })
}

/// Distances of all pairs; infinite where less than half of the points are there in both.
struct Distances {
    count: usize,
    /// Above the diagonal, row after row.
    values: Vec<f64>,
}

impl Distances {
    fn of(fleet: &Fleet, there: &[usize]) -> Self {
        let count = there.len();
        let mut values = Vec::with_capacity(count * (count - 1) / 2);
        for a in 0..count {
            for b in a + 1..count {
                values.push(distance(&fleet.hosts[there[a]], &fleet.hosts[there[b]]));
            }
        }
        Self { count, values }
    }

    fn between(&self, a: usize, b: usize) -> f64 {
        let (a, b) = (a.min(b), a.max(b));
        self.values[a * (2 * self.count - a - 1) / 2 + b - a - 1]
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let points = a.len();
    let parts = (points / LEAST_PART).clamp(1, PARTS);
    let mut means = [0.0; PARTS];
    let (mut known, mut both) = (0, 0);
    for part in 0..parts {
        let range = part * points / parts..(part + 1) * points / parts;
        let (sum, pairs) = squares(&a[range.clone()], &b[range]);
        if pairs > 0.0 {
            means[known] = sum / pairs;
            known += 1;
            both += pairs as usize;
        }
    }
    if 2 * both <= points {
        return f64::INFINITY;
    }
    median_of(&mut means[..known]).map_or(f64::INFINITY, f64::sqrt)
}

/// The sum of squared differences of the points that both have and their number, in lanes of one order on every machine.
fn squares(a: &[f64], b: &[f64]) -> (f64, f64) {
    const LANES: usize = 8;
    let (mut sums, mut pairs) = ([0.0; LANES], [0.0; LANES]);
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (lane, (x, y)) in a.iter().zip(b).enumerate() {
            let square = (x - y) * (x - y);
            sums[lane] += if square.is_nan() { 0.0 } else { square };
            pairs[lane] += if square.is_nan() { 0.0 } else { 1.0 };
        }
    }
    (sums.iter().sum(), pairs.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::super::LEAST_HOSTS;
    use super::*;
    use crate::testing::Random;

    /// DBSCAN as it was published, for one radius: which hosts are noise. Windows have 20 points, so four parts of five.
    fn naive_noise(hosts: &[Vec<f64>], radius: f64, neighbours: usize) -> Vec<bool> {
        let distance = |a: &[f64], b: &[f64]| {
            let mut means: Vec<f64> = (0..4)
                .map(|part| {
                    (5 * part..5 * part + 5).map(|t| (a[t] - b[t]) * (a[t] - b[t])).sum::<f64>() / 5.0
                })
                .collect();
            means.sort_by(f64::total_cmp);
            f64::midpoint(means[1], means[2]).sqrt()
        };
        let near =
            |a: usize| (0..hosts.len()).filter(move |&b| a != b && distance(&hosts[a], &hosts[b]) <= radius);
        let is_core = |a: usize| near(a).count() >= neighbours;
        (0..hosts.len()).map(|a| !is_core(a) && !near(a).any(is_core)).collect()
    }

    #[test]
    fn noise_is_that_of_the_naive_twin_at_the_radius_chosen() {
        for seed in 0..80 {
            let mut random = Random::new(seed);
            let count = 8 + random.below(30);
            let hosts: Vec<Vec<f64>> = (0..count)
                .map(|_| {
                    let level = if random.below(8) == 0 { 10.0 * random.normal() } else { 0.0 };
                    (0..20).map(|_| level + random.normal()).collect()
                })
                .collect();
            let rows: Vec<&[f64]> = hosts.iter().map(Vec::as_slice).collect();
            let search = Dbscan { expected: random.below(5), neighbours: Some(1 + random.below(5)) };
            let found = dbscan(&rows, search).unwrap();
            let scaled = Fleet::of(&rows).unwrap().hosts;
            let naive = naive_noise(&scaled, found.threshold * (1.0 + 1e-12), search.neighbours.unwrap());
            for (host, is_noise) in naive.iter().enumerate() {
                assert_eq!(*is_noise, found.labels[host] == Label::Outlier, "{seed}: host {host}");
            }
            assert!(found.outliers().len() <= search.expected);
        }
    }

    #[test]
    fn odd_input_has_an_answer_or_an_error() {
        let search = Dbscan { expected: 2, neighbours: None };
        let equal = vec![3.0; 10];
        let mut different = equal.clone();
        different[5] = 3.5;
        let mut hosts: Vec<&[f64]> = vec![&equal; 8];
        assert!(dbscan(&hosts, search).unwrap().outliers().is_empty());
        hosts.push(&different);
        assert_eq!(dbscan(&hosts, search).unwrap().outliers(), [8]);
        let missing = vec![f64::NAN; 10];
        hosts.push(&missing);
        let found = dbscan(&hosts, search).unwrap();
        assert_eq!((found.labels[9], found.labels[8]), (Label::Sparse, Label::Outlier));
        assert!(found.scores[9].is_nan());
        let all_missing: Vec<&[f64]> = vec![&missing; 6];
        assert!(dbscan(&all_missing, search).unwrap().outliers().is_empty());
        assert!(dbscan(&hosts[..LEAST_HOSTS - 1], search).is_err());
        assert!(dbscan(&hosts, Dbscan { expected: 2, neighbours: Some(0) }).is_err());
        let infinite = [0.0, f64::INFINITY];
        assert!(matches!(
            dbscan(&[&infinite, &infinite, &infinite, &infinite], search),
            Err(Error::Infinite { index: 1, .. })
        ));
        assert!(matches!(dbscan(&[&equal, &equal[1..], &equal, &equal], search), Err(Error::Length { .. })));
    }
}
