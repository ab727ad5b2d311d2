//! Incidents made from a seed, with their cause known: what [`crate::explain`] is judged by.
//!
//! A random graph of services, each with several metrics. At some time the *root*, one metric of one service, changes; the other metrics of its service follow within a few points,
//! then those of the services that call it, each after a delay and more weakly, until the alert's metric, some calls away, has moved; a little later the alert fires. All metrics
//! carry noise of different kinds (independent, dependent on its past, heavy-tailed, counts), half a daily season of their own amplitude and phase, and missing
//! points, single and in gaps. Decoys change too: hours before, after the alert, and, one in a hundred of the others, within the lookback for no reason.

use crate::Random;

/// What to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Signals, besides the alert's.
    pub signals: usize,
    /// Points of each.
    pub points: usize,
    /// Points of a day.
    pub season: usize,
    /// Whether anything happens.
    pub kind: Kind,
}

/// Whether anything happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An incident with decoys.
    Incident,
    /// An alert for no reason: nothing changes in any signal.
    Null,
}

impl Default for Plan {
    /// Five days of five-minute points of 200 signals.
    fn default() -> Self {
        Self { signals: 200, points: 1440, season: 288, kind: Kind::Incident }
    }
}

/// An incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// The alert's signal.
    pub alert: Vec<f64>,
    /// Where the alert fired.
    pub fired: usize,
    /// The candidates.
    pub signals: Vec<Vec<f64>>,
    /// What they are called: `SERVICE.METRIC`.
    pub names: Vec<String>,
    /// The cause, the first to change; for the null the first signal, which did not.
    pub root: usize,
    /// Every signal that the incident moved.
    pub moved: Vec<usize>,
    /// Every signal that changed for another reason.
    pub decoys: Vec<usize>,
}

/// Metrics of one service.
const METRICS: usize = 8;

/// Points between the alert and the end of what is known: the alert is looked into at once.
const KNOWN_AFTER: usize = 12;

impl Plan {
    /// Makes the incident of this seed.
    pub fn make(&self, seed: u64) -> Incident {
        let random = &mut Random::new(seed ^ 0x5eed_0000_0000);
        let services = self.signals.div_ceil(METRICS).max(3);
        let callees = graph(random, services);
        let fired = self.points - 1 - KNOWN_AFTER;
        let shifts = match self.kind {
            Kind::Incident => Shifts::spread(random, &callees, self.signals, fired),
            Kind::Null => Shifts { of: vec![None; self.signals], alert: None, root: 0, decoys: Vec::new() },
        };
        let signals: Vec<Vec<f64>> = shifts.of.iter().map(|shift| self.signal(random, *shift)).collect();
        let alert = self.signal(random, shifts.alert);
        let is_moved = |index: &usize| shifts.of[*index].is_some() && !shifts.decoys.contains(index);
        Incident {
            alert,
            fired,
            names: (0..self.signals).map(|index| name(index / METRICS, index % METRICS)).collect(),
            root: shifts.root,
            moved: (0..self.signals).filter(is_moved).collect(),
            decoys: shifts.decoys,
            signals,
        }
    }

    fn signal(&self, random: &mut Random, shift: Option<Shift>) -> Vec<f64> {
        let unit = libm::exp(4.0 * random.normal());
        let level = unit * (20.0 + 30.0 * random.even());
        let noise = Noise::pick(random);
        let season = if random.below(2) == 0 { 0.0 } else { 1.0 + 5.0 * random.even() };
        let phase = random.even();
        let missing = if random.below(3) == 0 { 0.03 * random.even() } else { 0.0 };
        let gap = (random.below(10) == 0).then(|| random.below(self.points));
        let mut past = 0.0;
        (0..self.points)
            .map(|at| {
                let angle = 2.0 * std::f64::consts::PI * (at as f64 / self.season as f64 + phase);
                let daily = season * (libm::sin(angle) + 0.4 * libm::sin(2.0 * angle));
                let moved = shift.map_or(0.0, |shift| shift.at(at));
                let value = level + unit * (noise.next(random, &mut past) + daily + moved);
                let is_missing =
                    random.even() < missing || gap.is_some_and(|gap| (gap..gap + 15).contains(&at));
                if is_missing { f64::NAN } else { value }
            })
            .collect()
    }
}

fn name(service: usize, metric: usize) -> String {
    const NAMES: [&str; METRICS] =
        ["latency", "errors", "requests", "cpu", "memory", "queue", "retries", "connections"];
    format!("service{service:03}.{}", NAMES[metric])
}

/// For each service those that call it: a tree with some further edges.
fn graph(random: &mut Random, services: usize) -> Vec<Vec<usize>> {
    let mut callers = vec![Vec::new(); services];
    for caller in 1..services {
        callers[random.below(caller)].push(caller);
        if random.below(3) == 0 {
            let other = random.below(caller);
            if !callers[other].contains(&caller) {
                callers[other].push(caller);
            }
        }
    }
    callers
}

/// A change of level: a step, or a ramp of some points.
#[derive(Clone, Copy)]
struct Shift {
    start: usize,
    ramp: usize,
    size: f64,
}

impl Shift {
    fn at(self, point: usize) -> f64 {
        if point < self.start {
            return 0.0;
        }
        let done = (point - self.start + 1) as f64 / self.ramp as f64;
        self.size * done.min(1.0)
    }

    fn new(random: &mut Random, start: usize, size: f64) -> Self {
        let sign = if random.below(4) == 0 { -1.0 } else { 1.0 };
        Self { start, ramp: 1 + random.below(4), size: sign * size }
    }
}

struct Shifts {
    of: Vec<Option<Shift>>,
    alert: Option<Shift>,
    root: usize,
    decoys: Vec<usize>,
}

impl Shifts {
    fn spread(random: &mut Random, callers: &[Vec<usize>], signals: usize, fired: usize) -> Self {
        let mut of = vec![None; signals];
        // A service of the first third, which is called by many others.
        let origin = random.below(callers.len() / 3 + 1);
        let root = (origin * METRICS + random.below(METRICS)).min(signals - 1);
        let start = fired - 24 - random.below(16);
        let mut reached = vec![None; callers.len()];
        reached[origin] = Some((start, 8.0 + 6.0 * random.even()));
        let mut queue = std::collections::VecDeque::from([origin]);
        let mut deepest = (start, 6.0);
        while let Some(service) = queue.pop_front() {
            let Some((since, strength)) = reached[service] else { continue };
            for &caller in &callers[service] {
                let arrival = since + 2 + random.below(5);
                let left = strength * (0.6 + 0.3 * random.even());
                if reached[caller].is_none() && left > 2.5 && arrival + 3 < fired {
                    reached[caller] = Some((arrival, left));
                    queue.push_back(caller);
                    if arrival > deepest.0 {
                        deepest = (arrival, left);
                    }
                }
            }
        }
        for (service, reached) in reached.iter().enumerate() {
            let Some((since, strength)) = *reached else { continue };
            for metric in 0..METRICS {
                let index = service * METRICS + metric;
                // Not every metric of a service shows it.
                if index >= signals || (index != root && random.below(3) == 0) {
                    continue;
                }
                let (late, size) = if index == root {
                    (0, strength)
                } else {
                    (1 + random.below(4), strength * (0.5 + 0.5 * random.even()))
                };
                of[index] = Some(Shift::new(random, since + late, size));
            }
        }
        let start = deepest.0 + 1 + random.below(3);
        let alert = Shift::new(random, start, deepest.1.max(4.0));
        let mut decoys = Vec::new();
        for (index, shift) in of.iter_mut().enumerate() {
            if shift.is_some() {
                continue;
            }
            let start = match random.below(100) {
                0..10 => random.below(fired - 120),
                10..14 => fired + random.below(KNOWN_AFTER - 4),
                14 => fired - 60 + random.below(60),
                _ => continue,
            };
            let size = 3.0 + 9.0 * random.even();
            *shift = Some(Shift::new(random, start, size));
            decoys.push(index);
        }
        Self { of, alert: Some(alert), root, decoys }
    }
}

/// Kinds of noise, each of about unit size.
enum Noise {
    Independent,
    Dependent(f64),
    HeavyTailed,
    Counts,
}

impl Noise {
    fn pick(random: &mut Random) -> Self {
        match random.below(5) {
            0 | 1 => Self::Independent,
            2 => Self::Dependent(0.2 + 0.5 * random.even()),
            3 => Self::HeavyTailed,
            _ => Self::Counts,
        }
    }

    fn next(&self, random: &mut Random, past: &mut f64) -> f64 {
        match self {
            Self::Independent => random.normal(),
            Self::Dependent(strength) => {
                *past = strength * *past + (1.0 - strength * strength).sqrt() * random.normal();
                *past
            }
            // Student's t of three degrees of freedom, at its spread.
            Self::HeavyTailed => {
                let squares: f64 = (0..3).map(|_| random.normal()).map(|z| z * z).sum();
                random.normal() / (squares / 3.0).sqrt() / 3.0_f64.sqrt()
            }
            // Whole numbers with many equal ones: the middle of forty tosses.
            Self::Counts => {
                (0..12).map(|_| if random.bits() & 1 == 0 { 0.5 } else { -0.5 }).sum::<f64>() / 1.5
            }
        }
    }
}

/// How well [`crate::explain`] does over many incidents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Incidents looked at.
    pub incidents: usize,
    /// With the root among the first three of the ranking.
    pub root_in_three: usize,
    /// With the root first.
    pub root_first: usize,
    /// Signals reported.
    pub reported: usize,
    /// Of those, signals in which nothing had changed.
    pub false_ones: usize,
    /// Incidents with at least one such signal.
    pub alarms: usize,
}

/// Explains the incidents of these seeds and compares with what was put in.
///
/// # Errors
/// Those of [`crate::explain::Reference::new`], for plans too short to be explained.
pub fn judge(plan: &Plan, seeds: std::ops::Range<u64>) -> Result<Judgement, crate::Error> {
    use crate::explain::{Question, Reference, conclude};
    let mut judgement = Judgement::default();
    for seed in seeds {
        let incident = plan.make(seed);
        let question = Question { alert: incident.fired, season: Some(plan.season), ..Question::default() };
        let reference = Reference::new(&incident.alert, question.clone())?;
        let candidates = incident.signals.iter().enumerate();
        let findings: Result<Vec<_>, _> =
            candidates.map(|(index, values)| reference.examine(index, values)).collect();
        let conclusion = conclude(&findings?, reference.own(), &question);
        let place = conclusion.ranked.iter().position(|found| found.candidate == incident.root);
        let is_false = |index: usize| !incident.moved.contains(&index) && !incident.decoys.contains(&index);
        let false_ones = conclusion.ranked.iter().filter(|found| is_false(found.candidate)).count();
        judgement.incidents += 1;
        judgement.root_in_three += usize::from(place.is_some_and(|place| place < 3));
        judgement.root_first += usize::from(place == Some(0));
        judgement.reported += conclusion.ranked.len();
        judgement.false_ones += false_ones;
        judgement.alarms += usize::from(false_ones > 0);
    }
    Ok(judgement)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Few here; `cargo xtask conformance signals` judges five hundred of each, with seeds that nothing was tuned on.
    #[test]
    fn the_root_is_found_and_nothing_is_found_where_nothing_happened() {
        let incidents = judge(&Plan::default(), 0..30).unwrap();
        assert!(incidents.root_in_three >= 27 && incidents.alarms <= 3, "{incidents:?}");
        let null = judge(&Plan { kind: Kind::Null, ..Plan::default() }, 0..30).unwrap();
        assert!(null.alarms <= 3, "{null:?}");
    }

    #[test]
    fn a_seed_makes_one_incident() {
        let plan = Plan { signals: 16, points: 400, season: 50, kind: Kind::Incident };
        let (one, again, other) = (plan.make(7), plan.make(7), plan.make(8));
        let bits = |incident: &Incident| -> Vec<u64> {
            incident.signals.iter().flatten().chain(&incident.alert).map(|value| value.to_bits()).collect()
        };
        assert_eq!(bits(&one), bits(&again));
        assert_ne!(bits(&one), bits(&other));
        assert!(one.moved.contains(&one.root) && one.fired == 387 && one.names.len() == 16);
    }
}
