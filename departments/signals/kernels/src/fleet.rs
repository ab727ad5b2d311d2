//! Fleets of hosts some of which were made to misbehave, and how many of those are found: the evaluation of Netflix's outlier detection ("Tracking down the Villains", 2015) with hosts whose
//! state is known because it was planted.
//!
//! 49 clusters of 40 hosts, 1,960 as published. The hosts of a cluster share a load that drifts, repeats and jumps with deployments; each has a level and a gain of its own, noise that
//! depends on its past, and missing points. About 3 in 100 misbehave from some time on: their level shifts or drifts away, their noise grows, they stick, or they throw spikes. Healthy hosts have blips
//! that end by themselves.

use crate::outliers::{Dbscan, Hysteresis, Steady, Turn, dbscan};
use crate::{Error, Random};

/// Clusters, and hosts of each.
pub const CLUSTERS: usize = 49;
const HOSTS: usize = 40;

/// Points of each host, those of a window, and from one window to the next.
const POINTS: usize = 360;
const WINDOW: usize = 60;
const SLIDE: usize = 10;

/// Faults begin between these points.
const FAULTS: std::ops::Range<usize> = 100..220;

/// What the owner of a cluster expects at most to be off at once.
const EXPECTED: usize = 3;

/// What one host does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The level shifts by so many standard deviations of the noise.
    Shift(f64),
    /// It drifts away by so many in an hour of 60 points.
    Drift(f64),
    /// The noise grows so many times.
    Noise(f64),
    /// Nothing changes any more.
    Stuck,
    /// Spikes of so many standard deviations, every sixth point or so.
    Spikes(f64),
}

impl Fault {
    fn random(random: &mut Random) -> Self {
        let sign = if random.below(2) == 0 { 1.0 } else { -1.0 };
        match random.below(5) {
            0 | 1 => Self::Shift(sign * (2.5 + 5.0 * random.even())),
            2 => Self::Drift(sign * (2.0 + 3.0 * random.even())),
            3 => Self::Noise(3.0 + 3.0 * random.even()),
            _ if random.below(2) == 0 => Self::Stuck,
            _ => Self::Spikes(sign * (6.0 + 6.0 * random.even())),
        }
    }
}

/// The series of a cluster's hosts, and which misbehave from where on.
fn cluster(random: &mut Random) -> (Vec<Vec<f64>>, Vec<Option<usize>>) {
    let unit = libm::exp(4.0 * random.even() - 2.0);
    let level = unit * (50.0 + 100.0 * random.even());
    let (swing, phase) = (unit * 15.0 * random.even(), std::f64::consts::TAU * random.even());
    let deployment = 60 + random.below(250);
    let step = if random.below(3) == 0 { unit * 10.0 * random.normal() } else { 0.0 };
    let mut drift = 0.0;
    let load: Vec<f64> = (0..POINTS)
        .map(|t| {
            drift += 0.3 * unit * random.normal();
            let wave = swing * libm::sin(std::f64::consts::TAU * t as f64 / 240.0 + phase);
            level + wave + drift + if t >= deployment { step } else { 0.0 }
        })
        .collect();
    let mut hosts = Vec::with_capacity(HOSTS);
    let mut faults = Vec::with_capacity(HOSTS);
    for _ in 0..HOSTS {
        let (own, gain) = (0.3 * unit * random.normal(), 1.0 + 0.003 * random.normal());
        let fault = (random.even() < 0.03).then(|| Fault::random(random));
        let from = FAULTS.start + random.below(FAULTS.len());
        let blip = (random.below(6) == 0)
            .then(|| (random.below(POINTS - 12), 3 + random.below(9), 8.0 * random.normal()));
        let mut noise = 0.0;
        let mut host: Vec<f64> = Vec::with_capacity(POINTS);
        for (t, load) in load.iter().enumerate() {
            noise = 0.5 * noise + 0.866 * random.normal();
            let (mut scale, mut off) = (1.0, 0.0);
            if let Some((start, length, height)) = blip
                && (start..start + length).contains(&t)
            {
                off += height;
            }
            if t >= from {
                match fault {
                    Some(Fault::Shift(by)) => off += by,
                    Some(Fault::Drift(by)) => off += by * (t - from) as f64 / 60.0,
                    Some(Fault::Noise(times)) => scale = times,
                    Some(Fault::Spikes(height)) if random.below(6) == 0 => off += height,
                    Some(Fault::Spikes(_) | Fault::Stuck) | None => {}
                }
            }
            let value = gain * load + own + unit * (scale * noise + off);
            host.push(if t >= from && fault == Some(Fault::Stuck) { host[from - 1] } else { value });
        }
        for value in &mut host {
            if random.below(50) == 0 {
                *value = f64::NAN;
            }
        }
        hosts.push(host);
        faults.push(fault.map(|_| from));
    }
    (hosts, faults)
}

/// How many were found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Hosts of all fleets.
    pub hosts: usize,
    /// Those made to misbehave.
    pub planted: usize,
    /// Those that were reported at any time.
    pub reported: usize,
    /// Those reported that do misbehave, after they began to.
    pub right: usize,
    /// Windows until a host that was rightly reported was: the median, for several fleets the greatest.
    pub late: f64,
}

impl Quality {
    /// The share of the reported that misbehave.
    pub fn precision(&self) -> f64 {
        self.right as f64 / self.reported.max(1) as f64
    }

    /// The share of the misbehaving that were reported.
    pub fn recall(&self) -> f64 {
        self.right as f64 / self.planted.max(1) as f64
    }

    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.hosts += other.hosts;
        self.planted += other.planted;
        self.reported += other.reported;
        self.right += other.right;
        self.late = self.late.max(other.late);
    }
}

/// Watches one fleet window by window and counts.
///
/// # Errors
/// None but those of a defect in the detector.
pub fn judge(seed: u64) -> Result<Quality, Error> {
    let mut random = Random::new(seed);
    let mut quality = Quality::default();
    let mut delays = Vec::new();
    for _ in 0..CLUSTERS {
        let (hosts, faults) = cluster(&mut random);
        let mut steady = Steady::new(HOSTS, Hysteresis::default())?;
        let mut reported: Vec<Option<usize>> = vec![None; HOSTS];
        for end in (WINDOW..=POINTS).step_by(SLIDE) {
            let rows: Vec<&[f64]> = hosts.iter().map(|host| &host[end - WINDOW..end]).collect();
            let found = dbscan(&rows, Dbscan { expected: EXPECTED, neighbours: None })?;
            for turn in steady.observe(&found.labels)? {
                if let Turn::Entered(host) = turn {
                    reported[host].get_or_insert(end);
                }
            }
        }
        quality.hosts += HOSTS;
        for (fault, reported) in faults.iter().zip(&reported) {
            quality.planted += usize::from(fault.is_some());
            quality.reported += usize::from(reported.is_some());
            if let (Some(from), Some(at)) = (fault, reported)
                && at > from
            {
                quality.right += 1;
                delays.push((at - from) as f64 / SLIDE as f64);
            }
        }
    }
    delays.sort_by(f64::total_cmp);
    quality.late = delays.get(delays.len() / 2).copied().unwrap_or(0.0);
    Ok(quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_that_misbehave_are_found_and_few_others() {
        let quality = judge(1).unwrap();
        println!("{quality:?}");
        assert_eq!(quality.hosts, 1960);
        assert!(quality.precision() >= 0.93 && quality.recall() >= 0.87, "{quality:?}");
    }
}
