//! Which signals explain an alert: what changed, when, in what order, and what moved together.
//!
//! Three steps, so that the middle one can be spread over any number of workers:
//!
//! 1. [`Reference::new`] prepares the alert's own signal.
//! 2. [`Reference::examine`] looks at one candidate and gives a [`Finding`]: did it change around the alert, when, by how much, how sure,
//!    and how does it correlate. It depends on that signal, the alert and the [`Question`] only.
//! 3. [`conclude`] takes all findings, controls false discoveries over all of them at once, groups what moves together, and ranks.
//!
//! # What is tested
//!
//! The points up to the *focus* (from `before` points ahead of the alert) are the baseline. What repeats with the season is taken out, points further than four
//! standard deviations from the baseline are drawn in to that (so a spike is no change and every tail is a Gaussian's), and for each place in the focus and several
//! durations the mean of what follows is compared with the mean of the baseline up to it. The greatest standardised difference is
//! the evidence; its chance under no change is Student's, multiplied by the number of comparisons (Bonferroni). Noise that depends on its past is accounted for by
//! the greater of two long-run variances: that of the fitted autoregression, and that of means over blocks of the baseline.
//!
//! The *time* of the change is that of exact segmentation ([`crate::segment::functional`]), with the interval of J. Bai, Estimation of a change point in
//! multiple regression models (1997): the estimate is off by more than 11 σ²/δ² points once in twenty.

mod conclude;
mod evidence;
mod examine;
mod shape;
#[cfg(test)]
mod tests;

pub use conclude::{Cluster, Conclusion, Explained, conclude};
pub use examine::{Change, Finding, Outcome, Reference, Untested};

use serde::{Deserialize, Serialize};

use crate::Error;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    /// The place of the alert.
    pub alert: usize,
    /// The focus begins this many points before the alert.
    pub before: usize,
    /// And ends this many after it.
    pub after: usize,
    /// Correlations are taken over lags up to this many points.
    pub lags: usize,
    /// Points after which signals repeat: a day, a week.
    pub season: Option<usize>,
    /// The share of false discoveries among the signals reported, at most.
    pub rate: f64,
    /// The fewest points that a change must last.
    pub min_size: usize,
}

impl Default for Question {
    fn default() -> Self {
        Self { alert: 0, before: 60, after: 30, lags: 60, season: None, rate: 0.05, min_size: 3 }
    }
}

/// The baseline must tell what is usual: fewer points than this do not.
pub const LEAST_BASELINE: usize = 60;

impl Question {
    /// The first place of the focus.
    pub fn focus_start(&self) -> usize {
        self.alert.saturating_sub(self.before)
    }

    /// The place after the focus.
    pub fn focus_end(&self, points: usize) -> usize {
        (self.alert + self.after + 1).min(points)
    }

    /// Whether it can be answered from signals of this many points.
    ///
    /// # Errors
    /// [`Error::TooShort`] for a baseline of fewer than [`LEAST_BASELINE`] points or a focus shorter than a change; [`Error::Parameter`].
    pub fn check(&self, points: usize) -> Result<(), Error> {
        let parameter = |name, value, wanted| Err(Error::Parameter { name, value, wanted });
        if !(self.rate > 0.0 && self.rate < 1.0) {
            return parameter("rate", self.rate, "give a share between 0 and 1");
        }
        if self.min_size == 0 {
            return parameter("min_size", 0.0, "give at least 1");
        }
        if self.alert >= points {
            return parameter("alert", self.alert as f64, "give a place within the signals");
        }
        if self.lags >= points {
            return parameter("lags", self.lags as f64, "give fewer lags than there are points");
        }
        if self.focus_start() < LEAST_BASELINE {
            return Err(Error::TooShort { points: self.focus_start(), needed: LEAST_BASELINE });
        }
        let focus = self.focus_end(points) - self.focus_start();
        if focus < 2 * self.min_size {
            return Err(Error::TooShort { points: focus, needed: 2 * self.min_size });
        }
        Ok(())
    }
}
