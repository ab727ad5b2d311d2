//! How unlike everything before it is the newest point of a signal: a score for each point as it comes, and quiet after an alarm.
//!
//! The newest value, and the newest value together with the one before it, are looked up among all that was seen: the distance to the nearest is 0 for what
//! has been before and great for what has not, whatever the shape of the signal's distribution, its seasons, and the levels between which it switches. (It is the left matrix
//! profile of very short windows in the signal's own unit, see [`crate::matrix_profile`].) How great is great differs between signals, so a distance is divided by the root of the mean of
//! all earlier squared ones, and the ratios of the looked up lengths are averaged:
//!
//! ```text
//! d(t) = min over s < t of √(Σ over k < m of (x(t−k) − x(s−k))² / m)      novelty(t) = mean over m of d(t) / √mean(d(s)², s < t)
//! ```
//!
//! What is new stays new for some points, and a person needs to hear of it once. A point's score is its novelty when that is greater, by a factor, than all of the points just before it, and 0 otherwise: an incident
//! that gets much worse is told again, one that goes on is not.
//!
//! NaN is a missing point: it has no score, and nothing is looked up across it. An infinite value is an error and is not taken. A constant signal has novelty 0; the first
//! point off it has [`MOST`].

use std::collections::VecDeque;

use crate::Error;
use crate::isa::{Isa, kernel};

/// The greatest novelty: that of a change where nothing has changed before.
pub const MOST: f64 = 1000.0;

/// More points than this are not looked up at once: a push would take longer than a millisecond.
pub const MOST_MEMORY: usize = 1_000_000;

/// What a [`Scorer`] remembers and when it speaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// How many newest points are looked up together, each from 1.
    pub lengths: Vec<usize>,
    /// Points that are remembered; older ones are forgotten.
    pub points: usize,
    /// Observed points before the first score: what is known of fewer is not enough.
    pub warm_up: usize,
    /// A point's novelty is told only when it is greater than that of so many points before it…
    pub quiet: usize,
    /// … times this, from 1.
    pub rise: f64,
}

impl Default for Memory {
    /// Values and pairs of values over the last 20,000 points; quiet for 100.
    fn default() -> Self {
        Self { lengths: vec![1, 2], points: 20_000, warm_up: 100, quiet: 100, rise: 1.35 }
    }
}

/// What is said of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// How many times farther from everything before it than points were until now; 0 to [`MOST`], and 0 during the warm-up.
    pub novelty: f64,
    /// The novelty where it is worth telling, else 0.
    pub score: f64,
}

/// Scores one signal.
///
/// ```
/// use backlot_signals_kernels::novelty::{Memory, Scorer};
///
/// let mut scorer = Scorer::new(Memory::default())?;
/// let mut told = Vec::new();
/// for t in 0..1000_u32 {
///     let value = f64::from(t * t % 97) + if t == 700 || t == 701 { 150.0 } else { 0.0 };
///     let score = scorer.push(value)?.expect("no point is missing");
///     if score.score > 20.0 {
///         told.push(t);
///     }
/// }
/// assert_eq!(told, [700]);
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scorer {
    memory: Memory,
    isa: Isa,
    /// The remembered points, NaN where one is missing. Up to twice as many as are looked up, so that they are moved rarely.
    values: Vec<f64>,
    pushed: usize,
    observed: usize,
    /// For each length the sum of squared distances and their number.
    usual: Vec<(f64, f64)>,
    /// Places and novelties of the last points that no later one exceeds, the greatest first.
    recent: VecDeque<(usize, f64)>,
}

kernel! {
    /// The least sum of squared differences between the last points and those that end at each earlier place. `lags` arrays of the same length: those
    /// that end one earlier, and so on.
    fn nearest[][](newest: &[f64], values: &[f64], places: usize) -> f64 {
        const LANES: usize = 8;
        let length = newest.len();
        let mut least = [f64::INFINITY; LANES];
        let whole = places / LANES * LANES;
        for place in (0..whole).step_by(LANES) {
            let mut sums = [0.0; LANES];
            for (offset, value) in newest.iter().enumerate() {
                let others: &[f64] = &values[place + offset..place + offset + LANES];
                for (sum, other) in sums.iter_mut().zip(others) {
                    *sum += (value - other) * (value - other);
                }
            }
            for (least, sum) in least.iter_mut().zip(sums) {
                // A sum with a missing point is NaN and not less.
                *least = if sum < *least { sum } else { *least };
            }
        }
        let mut found = least.iter().fold(f64::INFINITY, |least, &sum| if sum < least { sum } else { least });
        for place in whole..places {
            let pairs = newest.iter().zip(&values[place..place + length]);
            let sum: f64 = pairs.map(|(a, b)| (a - b) * (a - b)).sum();
            found = if sum < found { sum } else { found };
        }
        found
    }
}

impl Scorer {
    /// A scorer that has seen nothing.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn new(memory: Memory) -> Result<Self, Error> {
        let refuse = |name, value, wanted| Err(Error::Parameter { name, value, wanted });
        let longest = memory.lengths.iter().copied().max().unwrap_or(0);
        let shortest = memory.lengths.iter().copied().min().unwrap_or(0);
        if shortest == 0 {
            return refuse("length", 0.0, "give lengths of at least 1 point");
        }
        if memory.points > MOST_MEMORY || memory.points < 2 * longest {
            return refuse(
                "points",
                memory.points as f64,
                "remember at least two of the longest length and at most 1,000,000",
            );
        }
        if !(memory.rise >= 1.0 && memory.rise.is_finite()) {
            return refuse("rise", memory.rise, "give a factor from 1");
        }
        Ok(Self {
            usual: vec![(0.0, 0.0); memory.lengths.len()],
            memory,
            isa: Isa::detect(),
            values: Vec::new(),
            pushed: 0,
            observed: 0,
            recent: VecDeque::new(),
        })
    }

    /// Takes a point. Nothing is said of a missing one.
    ///
    /// # Errors
    /// [`Error::Infinite`]; the point is then not taken.
    pub fn push(&mut self, value: f64) -> Result<Option<Score>, Error> {
        if value.is_infinite() {
            return Err(Error::Infinite { index: self.pushed, value });
        }
        let place = self.pushed;
        self.pushed += 1;
        if self.values.len() == 2 * self.memory.points {
            self.values.drain(..self.memory.points);
        }
        self.values.push(value);
        if value.is_nan() {
            return Ok(None);
        }
        self.observed += 1;
        let is_warm = self.observed > self.memory.warm_up;
        let novelty = self.look_up();
        let novelty = if is_warm { novelty } else { 0.0 };
        while self.recent.front().is_some_and(|(before, _)| before + self.memory.quiet < place) {
            self.recent.pop_front();
        }
        let greatest = self.recent.front().map_or(0.0, |(_, novelty)| *novelty);
        let score = if novelty > greatest * self.memory.rise { novelty } else { 0.0 };
        while self.recent.back().is_some_and(|(_, before)| *before <= novelty) {
            self.recent.pop_back();
        }
        self.recent.push_back((place, novelty));
        Ok(Some(Score { novelty, score }))
    }

    fn look_up(&mut self) -> f64 {
        let remembered = &self.values[self.values.len().saturating_sub(self.memory.points)..];
        let mut sum = 0.0;
        for (&length, usual) in self.memory.lengths.iter().zip(&mut self.usual) {
            let Some(start) = remembered.len().checked_sub(length) else { continue };
            let newest = &remembered[start..];
            // Those that share more than half of the points with the newest are not earlier ones.
            let places = (start + 1).saturating_sub((length / 2).max(1));
            let squares = nearest(self.isa, newest, remembered, places) / length as f64;
            if !squares.is_finite() {
                continue;
            }
            let (total, count) = *usual;
            let ratio = if squares == 0.0 {
                0.0
            } else if total > 0.0 {
                (squares / (total / count)).sqrt().min(MOST)
            } else {
                MOST
            };
            sum += ratio;
            *usual = (total + squares, count + 1.0);
        }
        sum / self.memory.lengths.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// Distances and quiet by looking at everything each time.
    fn naive(values: &[f64], memory: &Memory) -> Vec<Option<Score>> {
        let mut novelties: Vec<f64> = Vec::new();
        let mut usual = vec![(0.0, 0.0); memory.lengths.len()];
        let mut scores = Vec::new();
        for t in 0..values.len() {
            if values[t].is_nan() {
                novelties.push(0.0);
                scores.push(None);
                continue;
            }
            let first = (t + 1).saturating_sub(memory.points);
            let mut novelty = 0.0;
            for (&m, usual) in memory.lengths.iter().zip(&mut usual) {
                let window = |end: usize| (end + 1 >= first + m).then(|| &values[end + 1 - m..=end]);
                let least = (first..t + 1 - (m / 2).max(1).min(t + 1))
                    .filter_map(|s| {
                        let sum: f64 =
                            window(t)?.iter().zip(window(s)?).map(|(a, b)| (a - b) * (a - b)).sum();
                        (!sum.is_nan()).then_some(sum / m as f64)
                    })
                    .fold(f64::INFINITY, f64::min);
                if least.is_finite() {
                    if least > 0.0 {
                        novelty += if usual.0 > 0.0 {
                            f64::min((least / (usual.0 / usual.1)).sqrt(), MOST)
                        } else {
                            MOST
                        };
                    }
                    *usual = (usual.0 + least, usual.1 + 1.0);
                }
            }
            let observed = values[..=t].iter().filter(|value| !value.is_nan()).count();
            let novelty = if observed > memory.warm_up { novelty / memory.lengths.len() as f64 } else { 0.0 };
            let before = novelties[t.saturating_sub(memory.quiet)..].iter().copied().fold(0.0, f64::max);
            scores.push(Some(Score {
                novelty,
                score: if novelty > before * memory.rise { novelty } else { 0.0 },
            }));
            novelties.push(novelty);
        }
        scores
    }

    #[test]
    fn scores_are_those_of_the_naive_twin() {
        for seed in 0..40 {
            let mut random = Random::new(seed);
            let memory = Memory {
                lengths: vec![1 + random.below(3), 1 + random.below(9)],
                points: 20 + random.below(200),
                warm_up: random.below(30),
                quiet: random.below(40),
                rise: 1.0 + random.even(),
            };
            let values: Vec<f64> = (0..600)
                .map(|t| match random.below(30) {
                    0 => f64::NAN,
                    1 => 10.0 * random.normal(),
                    _ => libm::sin(f64::from(t) / 7.0) + 0.1 * random.normal(),
                })
                .collect();
            let mut scorer = Scorer::new(memory.clone()).unwrap();
            for (t, expected) in naive(&values, &memory).into_iter().enumerate() {
                let found = scorer.push(values[t]).unwrap();
                match (found, expected) {
                    (Some(found), Some(expected)) => {
                        assert!(
                            (found.novelty - expected.novelty).abs() <= 1e-9 * expected.novelty,
                            "{seed}: {t}: {found:?} {expected:?}"
                        );
                        assert!(
                            (found.score - expected.score).abs() <= 1e-9 * expected.novelty,
                            "{seed}: {t}"
                        );
                    }
                    (found, expected) => assert_eq!(found, expected),
                }
            }
        }
    }

    #[test]
    fn instruction_sets_change_no_bit() {
        let mut random = Random::new(9);
        let values: Vec<f64> = (0..1000).map(|_| random.normal()).collect();
        for places in [1, 7, 8, 500, 990] {
            let expected = nearest(Isa::available()[0], &values[990..993], &values, places);
            for isa in Isa::available() {
                assert_eq!(nearest(isa, &values[990..993], &values, places).to_bits(), expected.to_bits());
            }
        }
    }

    #[test]
    fn odd_input_has_an_answer_or_an_error() {
        let usual = Memory::default();
        for memory in [
            Memory { lengths: vec![], ..usual.clone() },
            Memory { lengths: vec![1, 0], ..usual.clone() },
            Memory { points: 3, ..usual.clone() },
            Memory { rise: 0.5, ..usual.clone() },
        ] {
            assert!(Scorer::new(memory).is_err());
        }
        let mut scorer = Scorer::new(usual).unwrap();
        assert!(scorer.push(f64::INFINITY).is_err());
        for _ in 0..300 {
            assert_eq!(scorer.push(5.0).unwrap(), Some(Score { novelty: 0.0, score: 0.0 }));
        }
        assert_eq!(scorer.push(f64::NAN).unwrap(), None);
        assert!(scorer.push(5.1).unwrap().unwrap().score >= MOST / 2.0);
    }
}
