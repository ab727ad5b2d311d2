//! Double exponential smoothing.

use super::Online;

/// Double exponential smoothing: each step gives what was forecast for it, from the `training`-th value on. Missing steps
/// are forecast too, and change nothing.
#[derive(Clone, Debug)]
pub struct Des {
    training: usize,
    alpha: f64,
    beta: f64,
    seen: usize,
    level: f64,
    trend: f64,
}

impl Des {
    /// `training` values before the first forecast; weights of the newest value in the level (`alpha`) and of the newest
    /// slope in the trend (`beta`).
    pub fn new(training: usize, alpha: f64, beta: f64) -> Self {
        Self { training, alpha, beta, seen: 0, level: f64::NAN, trend: f64::NAN }
    }

    fn reset(&mut self) {
        *self = Self::new(self.training, self.alpha, self.beta);
    }
}

impl Online for Des {
    fn next(&mut self, value: f64) -> f64 {
        let forecast = if self.seen >= self.training { self.level } else { f64::NAN };
        if value.is_nan() {
            return forecast;
        }
        if self.seen == 0 {
            self.level = value;
            self.trend = 0.0;
        } else {
            let level = self.alpha * value + (1.0 - self.alpha) * (self.level + self.trend);
            self.trend = self.beta * (level - self.level) + (1.0 - self.beta) * self.trend;
            self.level = level;
        }
        self.seen += 1;
        forecast
    }

    fn is_empty(&self) -> bool {
        // It forecasts for as long as it is asked once it has seen a value.
        self.seen == 0
    }
}

/// Two smoothings by turns: while one gives the forecasts the other trains, and after `training` steps they change places and
/// the tired one begins anew. The forecast depends on the last `2·training` steps only, so a graph's start does not matter.
#[derive(Clone, Debug)]
pub struct SlidingDes {
    training: usize,
    active: Des,
    other: Des,
    steps: usize,
}

impl SlidingDes {
    /// As [`Des::new`].
    pub fn new(training: usize, alpha: f64, beta: f64) -> Self {
        let des = Des::new(training, alpha, beta);
        Self { training: training.max(1), active: des.clone(), other: des, steps: 0 }
    }
}

impl Online for SlidingDes {
    fn next(&mut self, value: f64) -> f64 {
        let forecast = self.active.next(value);
        self.other.next(value);
        self.steps += 1;
        if self.steps == self.training {
            self.steps = 0;
            self.active.reset();
            std::mem::swap(&mut self.active, &mut self.other);
        }
        forecast
    }

    fn is_empty(&self) -> bool {
        false
    }
}
