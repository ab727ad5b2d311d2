//! The focus in few numbers, to compare signals by.

use std::ops::Range;

use crate::correlate::{Standard, dot};

/// Points of a shape: enough to tell when within the focus something moved.
const POINTS: usize = 48;

/// Means over equal parts of the focus, at mean 0 and length 1; a part without points takes the value of the one before it. Empty where nothing varies.
pub(super) fn of(values: &[f64], focus: &Range<usize>) -> Vec<f64> {
    let length = focus.len();
    let count = POINTS.min(length);
    let mut last = 0.0;
    let parts: Vec<f64> = (0..count)
        .map(|part| {
            let range = focus.start + part * length / count..focus.start + (part + 1) * length / count;
            let there = values[range].iter().filter(|value| !value.is_nan());
            let (sum, points) = there.fold((0.0, 0.0), |(sum, points), value| (sum + value, points + 1.0));
            if points > 0.0 {
                last = sum / points;
            }
            last
        })
        .collect();
    Standard::of(&parts).ok().flatten().map_or_else(Vec::new, |standard| standard.values().to_vec())
}

/// How alike two shapes are, −1 to 1; 0 when one has none.
pub(super) fn likeness(a: &[f64], b: &[f64]) -> f64 {
    if a.len() == b.len() { dot(a, b) } else { 0.0 }
}
