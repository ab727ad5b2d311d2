//! Functions of the last `n` steps.

use super::Online;
use crate::nan;

/// The last `n` values in a ring; NaN where none was yet.
#[derive(Clone, Debug)]
struct Ring {
    values: Vec<f64>,
    next: usize,
    present: usize,
}

impl Ring {
    /// A ring of `length` places, at least one.
    fn new(length: usize) -> Self {
        Self { values: vec![f64::NAN; length.max(1)], next: 0, present: 0 }
    }

    /// Puts a value in and gives the one that falls out.
    fn push(&mut self, value: f64) -> f64 {
        // Where nothing is left a ring is as new: what it gives must not depend on how long it has been empty.
        if self.present == 0 {
            self.next = 0;
        }
        let fallen = std::mem::replace(&mut self.values[self.next], value);
        self.next = (self.next + 1) % self.values.len();
        self.present += usize::from(!value.is_nan());
        self.present -= usize::from(!fallen.is_nan());
        fallen
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn fold(&self, combine: fn(f64, f64) -> f64) -> f64 {
        self.values.iter().copied().fold(f64::NAN, combine)
    }
}

/// A sum of the ring that is made anew each time round, so that rounding errors do not gather. It is a function of the values since
/// the ring was last empty, to the bit: who forgets an empty one and begins again gets the same sums.
#[derive(Clone, Debug)]
struct RingSum {
    ring: Ring,
    sum: f64,
}

impl RingSum {
    fn new(length: usize) -> Self {
        Self { ring: Ring::new(length), sum: 0.0 }
    }

    fn push(&mut self, value: f64) {
        if self.ring.present == 0 {
            self.sum = 0.0;
        }
        let fallen = self.ring.push(value);
        if self.ring.next == 0 || !fallen.is_nan() && !fallen.is_finite() {
            self.sum = self.ring.values.iter().filter(|value| !value.is_nan()).sum();
        } else {
            self.sum += nan::add(value, 0.0) - nan::add(fallen, 0.0);
        }
    }
}

/// How many of the last `n` steps are true: neither zero nor missing.
#[derive(Clone, Debug)]
pub struct RollingCount {
    ring: Ring,
    count: u32,
}

impl RollingCount {
    /// Over `n` steps.
    pub fn new(n: usize) -> Self {
        Self { ring: Ring::new(n), count: 0 }
    }
}

impl Online for RollingCount {
    fn next(&mut self, value: f64) -> f64 {
        let fallen = self.ring.push(value);
        self.count += u32::from(nan::is_true(value));
        self.count -= u32::from(nan::is_true(fallen));
        f64::from(self.count)
    }

    fn is_empty(&self) -> bool {
        self.ring.present == 0
    }
}

macro_rules! extreme {
    ($(#[$doc:meta])* $name:ident, $combine:path, $wins:tt) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            ring: Ring,
            extreme: f64,
        }

        impl $name {
            /// Over `n` steps.
            pub fn new(n: usize) -> Self {
                Self { ring: Ring::new(n), extreme: f64::NAN }
            }
        }

        impl Online for $name {
            fn next(&mut self, value: f64) -> f64 {
                let fallen = self.ring.push(value);
                if value $wins self.extreme {
                    self.extreme = value;
                } else if fallen == self.extreme || self.extreme.is_nan() {
                    self.extreme = self.ring.fold($combine);
                }
                self.extreme
            }

            fn is_empty(&self) -> bool {
                self.ring.present == 0
            }
        }
    };
}

extreme!(
    /// The least value of the last `n` steps.
    RollingMin, nan::min, <=
);
extreme!(
    /// The largest value of the last `n` steps.
    RollingMax, nan::max, >=
);

/// The sum of the values of the last `n` steps; missing if there is none.
#[derive(Clone, Debug)]
pub struct RollingSum(RingSum);

impl RollingSum {
    /// Over `n` steps.
    pub fn new(n: usize) -> Self {
        Self(RingSum::new(n))
    }
}

impl Online for RollingSum {
    fn next(&mut self, value: f64) -> f64 {
        self.0.push(value);
        if self.0.ring.present > 0 { self.0.sum } else { f64::NAN }
    }

    fn is_empty(&self) -> bool {
        self.0.ring.present == 0
    }
}

/// The mean of the values of the last `n` steps; missing if there are fewer than `least`.
#[derive(Clone, Debug)]
pub struct RollingMean {
    sum: RingSum,
    least: usize,
}

impl RollingMean {
    /// Over `n` steps, of which `least` must have a value.
    pub fn new(n: usize, least: usize) -> Self {
        Self { sum: RingSum::new(n), least: least.max(1) }
    }
}

impl Online for RollingMean {
    fn next(&mut self, value: f64) -> f64 {
        self.sum.push(value);
        let present = self.sum.ring.present;
        if present >= self.least { self.sum.sum / present as f64 } else { f64::NAN }
    }

    fn is_empty(&self) -> bool {
        self.sum.ring.present == 0
    }
}

/// The mean over the last `n` steps, a missing one read as zero; missing before the `n`th step and where all are missing.
#[derive(Clone, Debug)]
pub struct Trend {
    sum: RingSum,
    seen: usize,
}

impl Trend {
    /// Over `n` steps.
    pub fn new(n: usize) -> Self {
        Self { sum: RingSum::new(n), seen: 0 }
    }
}

impl Online for Trend {
    fn next(&mut self, value: f64) -> f64 {
        self.sum.push(value);
        let steps = self.sum.ring.len();
        self.seen = steps.min(self.seen + 1);
        if self.seen < steps || self.sum.ring.present == 0 { f64::NAN } else { self.sum.sum / steps as f64 }
    }

    fn is_empty(&self) -> bool {
        // Forgotten, it would give nothing for its first steps once more.
        self.seen == 0
    }
}

/// The value of `n` steps ago.
#[derive(Clone, Debug)]
pub struct Delay(Ring);

impl Delay {
    /// By `n` steps.
    pub fn new(n: usize) -> Self {
        Self(Ring::new(n))
    }
}

impl Online for Delay {
    fn next(&mut self, value: f64) -> f64 {
        self.0.push(value)
    }

    fn is_empty(&self) -> bool {
        self.0.present == 0
    }
}
