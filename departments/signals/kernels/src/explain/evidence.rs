//! How sure it is that a signal changed in the focus.

use std::ops::Range;

use crate::penalty::Noise;
use crate::robust::median_of;
use crate::significance::student_two_sided;

/// Points further from the baseline's median than this many standard deviations are drawn in to it.
pub(super) const DRAWN_IN: f64 = 4.0;

/// The baseline of the comparison: as many points before the focus as this many times the focus. Longer ones would compare with yesterday.
const BASELINE_FOCUSES: usize = 6;

/// A signal in units of its noise, missing points NaN.
pub(super) struct Scaled {
    /// (value − median) / σ, not drawn in.
    pub(super) values: Vec<f64>,
    /// The baseline's median in the signal's own unit.
    pub(super) median: f64,
    /// The noise's standard deviation in the signal's own unit.
    pub(super) sigma: f64,
    /// Of one point as long means see it, in units of σ².
    pub(super) long_run: f64,
    /// Degrees of freedom of that estimate.
    pub(super) freedom: f64,
    /// Where the baseline begins.
    pub(super) start: usize,
}

/// Scales by the noise of the baseline. `None` when the baseline has no spread or too few points.
pub(super) fn scale(values: &[f64], focus: &Range<usize>, least: usize) -> Option<Scaled> {
    let start = focus.start.saturating_sub(BASELINE_FOCUSES * focus.len());
    let baseline: Vec<f64> =
        values[start..focus.start].iter().copied().filter(|value| !value.is_nan()).collect();
    if baseline.len() < least {
        return None;
    }
    let noise = Noise::of(&baseline);
    let median = median_of(&mut baseline.clone())?;
    // Signals that are still but for blips have no noise between neighbours; their spread is that of the blips.
    let mean = baseline.iter().sum::<f64>() / baseline.len() as f64;
    let deviation = (baseline.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>()
        / baseline.len() as f64)
        .sqrt();
    let largest = baseline.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let sigma = if noise.sigma > 1e-9 * largest { noise.sigma } else { deviation };
    if !(sigma > 1e-9 * largest && sigma.is_finite()) {
        return None;
    }
    let scaled: Vec<f64> = values.iter().map(|value| (value - median) / sigma).collect();
    let in_units = (noise.long_run_variance() / (sigma * sigma)).max(1.0);
    let (blocks, count) = block_variance(&scaled[start..focus.start]);
    Some(Scaled {
        values: scaled,
        median,
        sigma,
        long_run: in_units.max(blocks),
        freedom: (count - 1.0).max(4.0),
        start,
    })
}

/// The variance of means over blocks times the block's length, with the points drawn in: what any dependence adds up to. Gives the number of blocks too.
fn block_variance(values: &[f64]) -> (f64, f64) {
    /// Long enough to hold the memory of ordinary noise, short enough to have many.
    const BLOCKS: usize = 24;
    let size = (values.len() / BLOCKS).max(2);
    let means: Vec<(f64, f64)> = values
        .chunks_exact(size)
        .filter_map(|block| {
            let there = block.iter().filter(|value| !value.is_nan());
            let (sum, count) = there.fold((0.0, 0.0), |(sum, count), value| {
                (sum + value.clamp(-DRAWN_IN, DRAWN_IN), count + 1.0)
            });
            (count > 0.0).then(|| (sum / count, count))
        })
        .collect();
    if means.len() < 4 {
        return (0.0, means.len() as f64);
    }
    let count = means.len() as f64;
    let weight: f64 = means.iter().map(|(_, weight)| weight).sum();
    let mean = means.iter().map(|(mean, weight)| mean * weight).sum::<f64>() / weight;
    let squares: f64 = means.iter().map(|(value, weight)| weight * (value - mean) * (value - mean)).sum();
    (squares / (count - 1.0), count)
}

/// The strongest difference between the baseline and what follows a place in the focus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Evidence {
    /// In standard deviations.
    pub(super) z: f64,
    /// The chance of one as strong anywhere in the focus without a change.
    pub(super) p: f64,
    /// Where.
    pub(super) at: usize,
}

/// Scans the focus. `None` when it holds too few points.
pub(super) fn scan(scaled: &Scaled, focus: &Range<usize>, min_size: usize) -> Option<Evidence> {
    let offset = scaled.start;
    let mut sums = vec![(0.0, 0.0)];
    let (mut sum, mut count) = (0.0, 0.0);
    for value in &scaled.values[offset..focus.end] {
        if !value.is_nan() {
            sum += value.clamp(-DRAWN_IN, DRAWN_IN);
            count += 1.0;
        }
        sums.push((sum, count));
    }
    let between = |from: usize, to: usize| {
        let ((first, before), (last, after)) = (sums[from - offset], sums[to - offset]);
        (last - first, after - before)
    };
    // Durations double up to the whole focus, so that a change of any length has one near its own.
    let mut durations: Vec<usize> = Vec::new();
    let mut duration = min_size;
    while duration < focus.len() {
        durations.push(duration);
        duration *= 2;
    }
    durations.push(focus.len());
    let mut best: Option<Evidence> = None;
    let mut comparisons = 0.0;
    for at in focus.start..focus.end.saturating_sub(min_size - 1) {
        let (before, before_count) = between(offset, at);
        let mut last = 0;
        for duration in &durations {
            let end = (at + duration).min(focus.end);
            if end == last {
                break;
            }
            last = end;
            let (after, after_count) = between(at, end);
            if after_count < min_size as f64 || before_count == 0.0 {
                continue;
            }
            comparisons += 1.0;
            let difference = after / after_count - before / before_count;
            let z = difference / (scaled.long_run * (1.0 / after_count + 1.0 / before_count)).sqrt();
            if best.is_none_or(|best| z.abs() > best.z.abs()) {
                best = Some(Evidence { z, p: 1.0, at });
            }
        }
    }
    best.map(|best| Evidence {
        p: (student_two_sided(best.z, scaled.freedom) * comparisons).min(1.0),
        ..best
    })
}
