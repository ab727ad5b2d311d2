//! Functions of a sliding window, one value at a time.
//!
//! Each takes the value of the next step and gives the result for that step, so a graph (all steps at once) and a stream (a
//! step as it ends) run the very same code and cannot disagree. NaN is the step that has no value.
//!
//! Smoothing follows Holt's linear method ("Forecasting seasonals and trends by exponentially weighted moving averages",
//! 1957): level `s = α·y + (1−α)(s+b)`, trend `b = β·Δs + (1−β)·b`; the forecast given is the level *before* the step.

mod rolling;
mod smoothing;

pub use rolling::{Delay, RollingCount, RollingMax, RollingMean, RollingMin, RollingSum, Trend};
pub use smoothing::{Des, SlidingDes};

use crate::nan;

/// A function that is fed step by step.
pub trait Online: Send {
    /// The result for the next step.
    fn next(&mut self, value: f64) -> f64;

    /// Whether all that it remembers is missing values, so that it may be forgotten without changing any later result.
    fn is_empty(&self) -> bool;
}

/// The running sum, a missing value read as zero; missing until the first value.
#[derive(Clone, Debug)]
pub struct Integral(f64);

impl Default for Integral {
    fn default() -> Self {
        Self(f64::NAN)
    }
}

impl Online for Integral {
    fn next(&mut self, value: f64) -> f64 {
        self.0 = nan::add(self.0, value);
        self.0
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// The largest value so far.
#[derive(Clone, Debug)]
pub struct CumulativeMax(f64);

impl Default for CumulativeMax {
    fn default() -> Self {
        Self(f64::NAN)
    }
}

impl Online for CumulativeMax {
    fn next(&mut self, value: f64) -> f64 {
        self.0 = nan::max(self.0, value);
        self.0
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// The difference to the step before; missing where either is.
#[derive(Clone, Debug)]
pub struct Derivative(f64);

impl Default for Derivative {
    fn default() -> Self {
        Self(f64::NAN)
    }
}

impl Online for Derivative {
    fn next(&mut self, value: f64) -> f64 {
        let before = std::mem::replace(&mut self.0, value);
        value - before
    }

    fn is_empty(&self) -> bool {
        self.0.is_nan()
    }
}

/// Nothing for the first steps, then another function, which sees those steps as missing.
pub struct Skip<F> {
    left: usize,
    then: F,
}

impl<F: Online> Skip<F> {
    /// Skips `steps`.
    pub fn new(steps: usize, then: F) -> Self {
        Self { left: steps, then }
    }
}

impl<F: Online> Online for Skip<F> {
    fn next(&mut self, value: f64) -> f64 {
        if self.left == 0 {
            return self.then.next(value);
        }
        self.left -= 1;
        self.then.next(f64::NAN)
    }

    fn is_empty(&self) -> bool {
        self.then.is_empty()
    }
}

/// Every value as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl Online for Identity {
    fn next(&mut self, value: f64) -> f64 {
        value
    }

    fn is_empty(&self) -> bool {
        true
    }
}
