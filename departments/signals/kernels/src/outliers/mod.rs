//! Hosts that do not behave like the others that do the same.
//!
//! Each host gives the same window of a metric: [`dbscan`] asks which windows lie where few others do, [`mad`] which hosts' levels lie far from the others'. What one window says may be chance, so
//! [`Steady`] says it of a host only when most of its last windows did.
//!
//! Distances are in standard deviations of one point about the hosts' median at that time, so nothing depends on a metric's unit and what all hosts do together does not count.
//!
//! | input | what happens |
//! |---|---|
//! | NaN | a missing point: hosts are compared over the points that both have; a host with less than half of its points, and a pair with fewer than that in common, is [`Label::Sparse`] or far apart |
//! | infinite | an error that names host and point |
//! | all hosts equal | nobody is an outlier; a host that differs from equal ones is |
//! | fewer than [`LEAST_HOSTS`] hosts | an error: there is no majority to differ from |

mod density;
mod deviation;
mod steady;

pub use density::{Dbscan, dbscan};
pub use deviation::{Mad, mad};
pub use steady::{Hysteresis, Steady, Turn};

use crate::Error;
use crate::robust::{MAD_TO_SIGMA, median_of};

/// Fewer hosts have no majority.
pub const LEAST_HOSTS: usize = 4;

/// More hosts than this have too many pairs for memory and time of one call; split them by cluster.
pub const MOST_HOSTS: usize = 20_000;

/// What a window says of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Like the others.
    Usual,
    /// Not like them.
    Outlier,
    /// Half of its points or more are missing.
    Sparse,
}

/// What one window says of all hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Outliers {
    /// For each host.
    pub labels: Vec<Label>,
    /// For each host how far off it is, in the unit of the threshold; NaN for a sparse one.
    pub scores: Vec<f64>,
    /// Above this a host is an outlier.
    pub threshold: f64,
}

impl Outliers {
    /// The outliers, the farthest off first.
    pub fn outliers(&self) -> Vec<usize> {
        let mut found: Vec<usize> =
            (0..self.labels.len()).filter(|&host| self.labels[host] == Label::Outlier).collect();
        found.sort_by(|&a, &b| self.scores[b].total_cmp(&self.scores[a]).then(a.cmp(&b)));
        found
    }
}

/// Hosts' windows about their common median, in standard deviations.
struct Fleet {
    hosts: Vec<Vec<f64>>,
    is_sparse: Vec<bool>,
}

impl Fleet {
    fn of(hosts: &[&[f64]]) -> Result<Self, Error> {
        if hosts.len() < LEAST_HOSTS {
            return Err(Error::TooShort { points: hosts.len(), needed: LEAST_HOSTS });
        }
        if hosts.len() > MOST_HOSTS {
            return Err(Error::TooLong { what: "outlier hosts", points: hosts.len(), limit: MOST_HOSTS });
        }
        let points = hosts[0].len();
        if points == 0 {
            return Err(Error::TooShort { points, needed: 1 });
        }
        for (number, host) in hosts.iter().enumerate() {
            if host.len() != points {
                return Err(Error::Length { left: host.len(), right: points });
            }
            if let Some(place) = host.iter().position(|value| value.is_infinite()) {
                return Err(Error::Infinite { index: number * points + place, value: host[place] });
            }
        }
        let is_sparse = |host: &&[f64]| 2 * host.iter().filter(|value| value.is_nan()).count() >= points;
        let is_sparse: Vec<bool> = hosts.iter().map(is_sparse).collect();
        let mut off: Vec<Vec<f64>> = hosts.iter().map(|host| host.to_vec()).collect();
        let mut scratch = Vec::with_capacity(hosts.len());
        for place in 0..points {
            scratch.clear();
            let there = hosts
                .iter()
                .zip(&is_sparse)
                .filter(|(host, is_sparse)| !**is_sparse && !host[place].is_nan());
            scratch.extend(there.map(|(host, _)| host[place]));
            let median = median_of(&mut scratch).unwrap_or(0.0);
            for host in &mut off {
                host[place] -= median;
            }
        }
        let sizes = || off.iter().flatten().filter(|value| !value.is_nan()).map(|value| value.abs());
        let mut all: Vec<f64> = sizes().collect();
        let largest = all.iter().copied().fold(0.0_f64, f64::max);
        let robust = median_of(&mut all).unwrap_or(0.0) * MAD_TO_SIGMA;
        // Where most points are equal any difference counts, but for rounding of the greatest one.
        let sigma = if robust > 0.0 { robust } else { largest * 1e-9 };
        if sigma > 0.0 {
            for value in off.iter_mut().flatten() {
                *value /= sigma;
            }
        }
        Ok(Self { hosts: off, is_sparse })
    }
}
