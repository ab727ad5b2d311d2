//! Change points while the signal comes in: has the mean changed, and when.
//!
//! After each point the question is whether some split of the points so far into before and after explains them better than one mean:
//!
//! ```text
//! Λ(τ) = S(τ)²/τ + (S(n) − S(τ))²/(n − τ) − S(n)²/n      S(τ) = sum of the first τ points
//! ```
//!
//! Λ is convex in (τ, S(τ)), so its maximum lies at a corner of the convex hull of the points (τ, S(τ)), of which a random walk has about 2·log n. The hull
//! grows by one point at its right end, so a push costs constant time to keep it and logarithmic time to look at it, and no split is missed: FOCuS with unknown mean before the
//! change (G. Romano, I. Eckley, P. Fearnhead, G. Rigaill, Fast Online Changepoint Detection via Functional Pruning CUSUM Statistics, JMLR 24 (2023)).
//!
//! NaN is a missing point: it counts for the places but carries no weight. An infinite value is an error and is not taken.

use crate::Error;
use crate::penalty::Noise;

/// When Λ, in units of the noise's variance, is an alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// Above this.
    Fixed(f64),
    /// So that a signal that does not change raises a false alarm about once in so many points, or less often.
    RunLength(f64),
}

impl Threshold {
    /// For a run length n: 2·log n, what the maximum over n independent looks asks for, and [`Self::MARGIN`] for the many splits of each look.
    fn value(self) -> Result<f64, Error> {
        let (name, value, least) = match self {
            Self::Fixed(value) => ("threshold", value, 0.0),
            Self::RunLength(value) => ("run length", value, 10.0),
        };
        if !(value > least && value.is_finite()) {
            return Err(Error::Parameter {
                name,
                value,
                wanted: "give a positive number, for a run length above 10",
            });
        }
        Ok(match self {
            Self::Fixed(value) => value,
            Self::RunLength(points) => 2.0 * libm::log(points) + Self::MARGIN,
        })
    }

    /// From simulation: with it one in ten Gaussian signals of n points raises an alarm at a run length of n, for n of 1,000, 10,000 and 100,000 alike.
    const MARGIN: f64 = 5.0;
}

/// What a [`Detector`] looks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watch {
    /// The standard deviation of the noise; `None` to measure it, and how it depends on its past, on the first points.
    pub sigma: Option<f64>,
    /// When there is an alarm.
    pub threshold: Threshold,
    /// Observed points that the noise is measured on when `sigma` is not given; alarms come only after them.
    pub warm_up: usize,
}

impl Default for Watch {
    /// A false alarm in 100,000 points, noise from the first 100.
    fn default() -> Self {
        Self { sigma: None, threshold: Threshold::RunLength(1e5), warm_up: 100 }
    }
}

/// The fewest points that noise can be measured on.
pub const LEAST_WARM_UP: usize = 10;

/// The mean has changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarm {
    /// The first point after the change, counted from the first point ever pushed, missing ones included.
    pub at: usize,
    /// The point that raised the alarm.
    pub seen: usize,
    /// Λ in units of the noise's variance.
    pub statistic: f64,
    /// The mean before the change, since the last alarm or the beginning.
    pub before: f64,
    /// The mean after it.
    pub after: f64,
}

/// A corner of the hull: so many observed points, their sum, and the place of the next one.
#[derive(Clone, Copy, Debug)]
struct Corner {
    count: f64,
    sum: f64,
    place: usize,
}

/// Watches one signal. After an alarm it begins anew with the next point.
///
/// ```
/// use backlot_signals_kernels::online::{Detector, Watch};
///
/// let mut detector = Detector::new(Watch { sigma: Some(0.5), ..Watch::default() })?;
/// let mut alarm = None;
/// for t in 0..200 {
///     let level = if t < 120 { 1.0 } else { 3.0 };
///     alarm = alarm.or(detector.push(level + 0.5 * f64::from(t % 3 - 1))?);
/// }
/// let alarm = alarm.expect("the mean changed");
/// assert_eq!(alarm.at, 120);
/// assert!(alarm.seen < 126);
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Detector {
    threshold: f64,
    warm_up: usize,
    /// Of one point, as long means see it.
    variance: Option<f64>,
    pushed: usize,
    early: Vec<(usize, f64)>,
    /// Taken from every point, so that sums stay small; the first point since the last alarm.
    origin: f64,
    count: f64,
    sum: f64,
    lower: Vec<Corner>,
    upper: Vec<Corner>,
}

impl Detector {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn new(watch: Watch) -> Result<Self, Error> {
        if let Some(sigma) = watch.sigma.filter(|sigma| !(*sigma > 0.0 && sigma.is_finite())) {
            return Err(Error::Parameter { name: "sigma", value: sigma, wanted: "give a positive number" });
        }
        if watch.sigma.is_none() && watch.warm_up < LEAST_WARM_UP {
            let value = watch.warm_up as f64;
            return Err(Error::Parameter { name: "warm_up", value, wanted: "give at least 10 points" });
        }
        Ok(Self {
            threshold: watch.threshold.value()?,
            warm_up: watch.warm_up,
            variance: watch.sigma.map(|sigma| sigma * sigma),
            pushed: 0,
            early: Vec::new(),
            origin: 0.0,
            count: 0.0,
            sum: 0.0,
            lower: Vec::new(),
            upper: Vec::new(),
        })
    }

    /// The threshold in use.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Takes a point.
    ///
    /// # Errors
    /// [`Error::Infinite`]; the point is then not taken.
    pub fn push(&mut self, value: f64) -> Result<Option<Alarm>, Error> {
        if value.is_infinite() {
            return Err(Error::Infinite { index: self.pushed, value });
        }
        let place = self.pushed;
        self.pushed += 1;
        if value.is_nan() {
            return Ok(None);
        }
        if let Some(variance) = self.variance {
            return Ok(self.take(place, value, variance));
        }
        self.early.push((place, value));
        if self.early.len() < self.warm_up {
            return Ok(None);
        }
        let early = std::mem::take(&mut self.early);
        let values: Vec<f64> = early.iter().map(|(_, value)| *value).collect();
        // Without any noise every change counts; a billionth of the values is rounding.
        let largest = values.iter().fold(1e-300_f64, |most, value| most.max(value.abs()));
        let variance = Noise::of(&values).long_run_variance().max(1e-18 * largest * largest);
        self.variance = Some(variance);
        let mut alarm = None;
        for (place, value) in early {
            alarm = self
                .take(place, value, variance)
                .map(|alarm| Alarm { seen: self.pushed - 1, ..alarm })
                .or(alarm);
        }
        Ok(alarm)
    }

    fn take(&mut self, place: usize, value: f64, variance: f64) -> Option<Alarm> {
        if self.count == 0.0 {
            self.origin = value;
        } else {
            let corner = Corner { count: self.count, sum: self.sum, place };
            extend(&mut self.lower, corner, 1.0);
            extend(&mut self.upper, corner, -1.0);
        }
        self.count += 1.0;
        self.sum += value - self.origin;
        let whole = self.sum * self.sum / self.count;
        let gain = |corner: &Corner| {
            let rest = self.sum - corner.sum;
            corner.sum * corner.sum / corner.count + rest * rest / (self.count - corner.count) - whole
        };
        let mut best: Option<(f64, Corner)> = None;
        for corner in self.lower.iter().chain(&self.upper) {
            let gain = gain(corner);
            if best.is_none_or(|(most, _)| gain > most) {
                best = Some((gain, *corner));
            }
        }
        let (gain, split) = best?;
        let statistic = gain / variance;
        if statistic <= self.threshold {
            return None;
        }
        let after = (self.sum - split.sum) / (self.count - split.count);
        let alarm = Alarm {
            at: split.place,
            seen: place,
            statistic,
            before: self.origin + split.sum / split.count,
            after: self.origin + after,
        };
        (self.count, self.sum) = (0.0, 0.0);
        self.lower.clear();
        self.upper.clear();
        Some(alarm)
    }

    /// Λ of the best split so far, not divided by the variance, by looking at the corners only. For tests.
    #[cfg(test)]
    fn corners(&self) -> usize {
        self.lower.len() + self.upper.len()
    }
}

/// Adds the newest point to one side of the hull: corners that the chord to it leaves inside go. `sign` is 1 below, −1 above.
fn extend(side: &mut Vec<Corner>, new: Corner, sign: f64) {
    while let [.., before, last] = side[..] {
        let turn = (last.count - before.count) * (new.sum - before.sum)
            - (new.count - before.count) * (last.sum - before.sum);
        if turn * sign > 0.0 {
            break;
        }
        side.pop();
    }
    side.push(new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// The best split by trying all.
    fn naive(values: &[(usize, f64)]) -> (f64, usize) {
        let sum: f64 = values.iter().map(|(_, value)| value).sum();
        let count = values.len() as f64;
        let mut best = (f64::NEG_INFINITY, 0);
        let mut first = 0.0;
        for (k, (_, value)) in values.iter().enumerate() {
            if k > 0 {
                let (left, right) = (k as f64, count - k as f64);
                let gain = first * first / left + (sum - first) * (sum - first) / right - sum * sum / count;
                if gain > best.0 {
                    best = (gain, values[k].0);
                }
            }
            first += value;
        }
        best
    }

    #[test]
    fn no_split_is_missed() {
        for number in 0..60 {
            let mut random = Random::new(number);
            let threshold = 10.0 + 20.0 * random.even();
            let watch = Watch { sigma: Some(1.0), threshold: Threshold::Fixed(threshold), warm_up: 0 };
            let mut detector = Detector::new(watch).unwrap();
            let mut since: Vec<(usize, f64)> = Vec::new();
            let mut level = 10.0;
            for place in 0..400 {
                if random.below(80) == 0 {
                    level += 3.0 * random.normal();
                }
                let value = if random.below(10) == 0 { f64::NAN } else { level + random.normal() };
                let alarm = detector.push(value).unwrap();
                if value.is_nan() {
                    assert_eq!(alarm, None);
                    continue;
                }
                since.push((place, value));
                let (gain, at) = naive(&since);
                match alarm {
                    Some(alarm) => {
                        assert!((alarm.statistic - gain).abs() < 1e-8 * gain && gain > threshold * 0.999_999);
                        assert_eq!((alarm.at, alarm.seen), (at, place));
                        since.clear();
                    }
                    None => assert!(gain <= threshold * 1.000_001, "{number}: {gain} at {place}"),
                }
            }
        }
    }

    #[test]
    fn the_hull_stays_small_and_false_alarms_rare() {
        let mut alarmed = 0;
        for seed in 0..60 {
            let mut random = Random::new(seed);
            let watch = Watch { threshold: Threshold::RunLength(3000.0), ..Watch::default() };
            let mut detector = Detector::new(watch).unwrap();
            let mut corners = 0;
            let mut raised = false;
            for _ in 0..3000 {
                raised |= detector.push(50.0 + 7.0 * random.normal()).unwrap().is_some();
                corners = corners.max(detector.corners());
            }
            assert!(corners < 60, "{corners}");
            alarmed += usize::from(raised);
        }
        assert!(alarmed <= 14, "{alarmed} of 60");
    }

    #[test]
    fn odd_input_has_an_answer_or_an_error() {
        assert!(Detector::new(Watch { sigma: Some(0.0), ..Watch::default() }).is_err());
        assert!(Detector::new(Watch { warm_up: 3, ..Watch::default() }).is_err());
        assert!(Detector::new(Watch { threshold: Threshold::Fixed(f64::NAN), ..Watch::default() }).is_err());
        let mut detector = Detector::new(Watch::default()).unwrap();
        assert!(detector.push(f64::INFINITY).is_err());
        // A constant signal has no noise; its step is found at once.
        let found: Vec<Alarm> =
            (0..300).filter_map(|t| detector.push(if t < 200 { 4.0 } else { 5.0 }).unwrap()).collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].at, found[0].seen, found[0].before, found[0].after), (200, 200, 4.0, 5.0));
        let mut missing = Detector::new(Watch::default()).unwrap();
        assert!((0..500).all(|_| missing.push(f64::NAN).unwrap().is_none()));
    }
}
