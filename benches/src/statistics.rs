//! Medians and percentiles of a few measurements.

/// The value below which the fraction `p` (0 to 1) of `values` lies, by nearest rank; 0 for no values.
///
/// ```
/// use backlot_benches::statistics::percentile;
/// assert_eq!(percentile(&[3.0, 1.0, 2.0], 0.5), 2.0);
/// assert_eq!(percentile(&[3.0, 1.0, 2.0], 1.0), 3.0);
/// ```
pub fn percentile(values: &[f64], p: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (p * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

/// The middle value: of two middle ones the smaller.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The smallest and the largest value.
pub fn range(values: &[f64]) -> (f64, f64) {
    (percentile(values, 0.0), percentile(values, 1.0))
}
