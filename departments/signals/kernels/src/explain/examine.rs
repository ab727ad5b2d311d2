//! One candidate: did it change around the alert, when, by how much.

use serde::{Deserialize, Serialize};

use super::evidence::{self, Scaled};
use super::{LEAST_BASELINE, Question, shape};
use crate::correlate::{Peak, Standard, differences, peak};
use crate::penalty::Noise;
use crate::seasonal::remove_season;
use crate::segment::functional;
use crate::{Error, Observed};

/// A signal of which more than this share is missing tells too little.
const MOST_MISSING: f64 = 0.5;

/// Of J. Bai (1997): the 97.5 percent point of the place of the maximum of a two-sided Brownian motion with drift −|v|/2.
const INTERVAL_QUANTILE: f64 = 11.03;

/// Changes in the same direction that follow one another within this many points are one change that takes its time.
const RAMP: usize = 10;

/// Why a signal was not tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Untested {
    /// More than half of its points are missing, or too many of the baseline's.
    Sparse,
    /// It is constant before the focus and in it.
    Constant,
    /// It holds an infinite value.
    Infinite,
}

/// A change of level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The first point after it.
    pub at: usize,
    /// The first and last place where it may lie instead (95 percent).
    pub interval: (usize, usize),
    /// The shift of the level, in standard deviations of the signal's noise.
    pub effect: f64,
    /// The level before it, in the signal's unit.
    pub before: f64,
    /// The level after it.
    pub after: f64,
}

/// What was found about one signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It could not be tested.
    Untested(Untested),
    /// It was tested.
    Tested {
        /// The chance of such evidence without a change.
        p: f64,
        /// The change, where the chance is below the rate asked for.
        change: Option<Change>,
        /// The strongest correlation with the alert, of differences, over lags; its lag is positive when this signal follows.
        correlation: Option<Peak>,
        /// The share of the variance that the season explained, 0 where none was taken out.
        season: f64,
        /// The focus in few points of mean 0 and length 1, for comparison with other signals; empty without a change.
        shape: Vec<f64>,
    },
}

/// What was found about the signal at a place of the list of candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The candidate's place.
    pub candidate: usize,
    /// What was found.
    pub outcome: Outcome,
}

/// The alert's own signal, prepared for comparison.
#[derive(Clone, Debug)]
pub struct Reference {
    question: Question,
    points: usize,
    moves: Option<Standard>,
    own: Outcome,
}

impl Reference {
    /// Prepares; the alert's signal is examined as every candidate is.
    ///
    /// # Errors
    /// As [`Question::check`], and [`Error::Infinite`] for an infinite value of the alert's signal.
    pub fn new(alert: &[f64], question: Question) -> Result<Self, Error> {
        question.check(alert.len())?;
        Observed::of(alert)?;
        let mut reference =
            Self { points: alert.len(), question, moves: None, own: Outcome::Untested(Untested::Sparse) };
        let (moves, outcome) = reference.look(alert);
        reference.moves = moves;
        reference.own = outcome;
        Ok(reference)
    }

    /// What the alert's own signal shows.
    pub fn own(&self) -> &Outcome {
        &self.own
    }

    /// Examines one candidate.
    ///
    /// # Errors
    /// [`Error::Length`] for a signal of another length than the alert's.
    pub fn examine(&self, candidate: usize, values: &[f64]) -> Result<Finding, Error> {
        if values.len() != self.points {
            return Err(Error::Length { left: values.len(), right: self.points });
        }
        Ok(Finding { candidate, outcome: self.look(values).1 })
    }

    fn look(&self, values: &[f64]) -> (Option<Standard>, Outcome) {
        let question = &self.question;
        let untested = |why| (None, Outcome::Untested(why));
        let Ok(observed) = Observed::of(values) else { return untested(Untested::Infinite) };
        if observed.missing() > MOST_MISSING {
            return untested(Untested::Sparse);
        }
        let focus = question.focus_start()..question.focus_end(values.len());
        let mut values = values.to_vec();
        let season = question.season.map_or(0.0, |period| remove_season(&mut values, period, 0..focus.start));
        let Some(scaled) = evidence::scale(&values, &focus, LEAST_BASELINE / 2) else {
            return self.without_noise(&values, &observed);
        };
        let drawn_in: Vec<f64> = differences(&scaled.values)
            .iter()
            .map(|step| step.clamp(-evidence::DRAWN_IN, evidence::DRAWN_IN))
            .collect();
        let moves = Standard::of(&drawn_in).ok().flatten();
        let Some(evidence) = evidence::scan(&scaled, &focus, question.min_size) else {
            return untested(Untested::Sparse);
        };
        let correlation = self
            .moves
            .as_ref()
            .zip(moves.as_ref())
            .and_then(|(alert, own)| peak(alert, own, question.lags).ok());
        let is_change = evidence.p <= question.rate;
        let change = is_change.then(|| self.date(&scaled, &focus, &evidence));
        let shape = if is_change { shape::of(&scaled.values, &focus) } else { Vec::new() };
        (moves, Outcome::Tested { p: evidence.p, change, correlation, season, shape })
    }

    /// A signal that is constant in the baseline: a change of it is certain, none is none.
    fn without_noise(&self, values: &[f64], observed: &Observed) -> (Option<Standard>, Outcome) {
        let question = &self.question;
        let focus = question.focus_start()..question.focus_end(values.len());
        let usual = observed.values.first().copied().unwrap_or(0.0);
        let before = values[..focus.start].iter().filter(|value| !value.is_nan());
        let tolerance = 1e-6 * usual.abs();
        let is_constant = before.clone().count() >= LEAST_BASELINE / 2
            && before.clone().all(|value| (value - usual).abs() <= tolerance);
        let off = |index: &usize| (values[*index] - usual).abs() > tolerance;
        let changed: Vec<usize> = focus.clone().filter(off).collect();
        if !is_constant {
            return (None, Outcome::Untested(Untested::Sparse));
        }
        if changed.len() < question.min_size {
            return (None, Outcome::Untested(Untested::Constant));
        }
        let at = changed[0];
        let after: f64 = changed.iter().map(|&index| values[index]).sum::<f64>() / changed.len() as f64;
        // The unit of a signal without noise: its own change. The evidence of a run of n points against a baseline of m equal ones is that all changes fell there.
        let count = before.count() as f64;
        let p = focus.len() as f64 * libm::exp(-(changed.len() as f64) * libm::log1p(count));
        let effect = NOISELESS_EFFECT * (after - usual).signum();
        let change = Change { at, interval: (at, at), effect, before: usual, after };
        let scaled: Vec<f64> = values.iter().map(|value| (value - usual) / (after - usual)).collect();
        let moves = Standard::of(&differences(&scaled)).ok().flatten();
        let correlation = self
            .moves
            .as_ref()
            .zip(moves.as_ref())
            .and_then(|(alert, own)| peak(alert, own, question.lags).ok());
        let is_change = p <= question.rate;
        let outcome = Outcome::Tested {
            p: p.min(1.0),
            change: is_change.then_some(change),
            correlation,
            season: 0.0,
            shape: if is_change { shape::of(&scaled, &focus) } else { Vec::new() },
        };
        (moves, outcome)
    }

    /// When the change was: the segmentation's change point with the greatest gain in the focus, or the first of a ramp that leads to it.
    fn date(&self, scaled: &Scaled, focus: &std::ops::Range<usize>, evidence: &evidence::Evidence) -> Change {
        // Single points that stick out are drawn in to their neighbours, or each would be a segment.
        let calm = without_spikes(&scaled.values[scaled.start..focus.end]);
        let Ok(observed) = Observed::of(&calm) else {
            return change_at(scaled, focus, evidence.at, focus.end, scaled.start);
        };
        let noise = Noise::of(&observed.values);
        let penalty = crate::penalty::FACTOR
            * noise.long_run_variance().max(scaled.long_run.min(4.0))
            * libm::log(observed.values.len().max(2) as f64);
        let inner = functional(&observed.values, self.question.min_size, penalty).unwrap_or_default();
        let mut edges = vec![scaled.start];
        let (_, cuts) = inner.split_last().unwrap_or((&0, &[]));
        edges.extend(cuts.iter().map(|&cut| scaled.start + observed.place(cut)));
        edges.push(focus.end);
        let level = |from: usize, to: usize| mean(&scaled.values[from..to]);
        let shift = |k: usize| level(edges[k], edges[k + 1]) - level(edges[k - 1], edges[k]);
        let gain = |k: usize| {
            let (left, right) = ((edges[k] - edges[k - 1]) as f64, (edges[k + 1] - edges[k]) as f64);
            let left = left.min(focus.len() as f64);
            left * right / (left + right) * shift(k) * shift(k)
        };
        let in_focus = (1..edges.len() - 1).filter(|&k| focus.contains(&edges[k]));
        let strongest = in_focus.max_by(|&a, &b| gain(a).total_cmp(&gain(b)).then(b.cmp(&a)));
        let Some(mut first) = strongest else {
            return change_at(scaled, focus, evidence.at, focus.end, scaled.start);
        };
        let sign = shift(first).signum();
        while first > 1
            && focus.contains(&edges[first - 1])
            && edges[first] - edges[first - 1] <= RAMP
            && shift(first - 1) * sign > 0.5
        {
            first -= 1;
        }
        change_at(scaled, focus, edges[first], edges[first + 1], edges[first - 1])
    }
}

fn change_at(scaled: &Scaled, focus: &std::ops::Range<usize>, at: usize, end: usize, start: usize) -> Change {
    let before = mean(&scaled.values[start..at]);
    let after = mean(&scaled.values[at..end]);
    let effect = after - before;
    let half = (INTERVAL_QUANTILE * scaled.long_run / (effect * effect).max(1e-9))
        .min(focus.len() as f64)
        .floor() as usize
        + 1;
    // A gap before it leaves open when within the gap it was.
    let mut earliest = at;
    while earliest > start && scaled.values[earliest - 1].is_nan() {
        earliest -= 1;
    }
    Change {
        at,
        interval: (earliest.saturating_sub(half).max(start), (at + half).min(focus.end - 1)),
        effect,
        before: scaled.median + before * scaled.sigma,
        after: scaled.median + after * scaled.sigma,
    }
}

/// How strong a change of a signal without any noise counts, in standard deviations: strong, not infinite.
const NOISELESS_EFFECT: f64 = 20.0;

/// The mean of the observed points, 0 without any.
fn mean(values: &[f64]) -> f64 {
    let there = values.iter().filter(|value| !value.is_nan());
    let (sum, count) = there.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// The values with every single point that lies more than five standard deviations off both its neighbours' median replaced by that.
fn without_spikes(values: &[f64]) -> Vec<f64> {
    const SPIKE: f64 = 5.0;
    let mut calm = values.to_vec();
    for index in 1..values.len().saturating_sub(1) {
        let mut three = [values[index - 1], values[index], values[index + 1]];
        if three.iter().any(|value| value.is_nan()) {
            continue;
        }
        three.sort_by(f64::total_cmp);
        if (values[index] - three[1]).abs() > SPIKE {
            calm[index] = three[1];
        }
    }
    calm
}
