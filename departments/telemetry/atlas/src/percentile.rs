//! Percentiles from the counts of Spectator's buckets.
//!
//! The buckets are those of Spectator's `PercentileBuckets`: 1, 2, 3, then four powers of two apart in nine parts of each. A
//! series of counts has the tag `percentile` with the bucket's number in hexadecimal behind `T` (nanoseconds) or `D` (plain).

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use backlot_series::{Grid, Tags};

use crate::data::{DataExpr, group_label};
use crate::{Line, number};

/// How many buckets there are.
pub const BUCKETS: usize = 276;

/// The upper bounds of the buckets.
static BOUNDS: LazyLock<Vec<i64>> = LazyLock::new(|| {
    let mut bounds = vec![1, 2, 3];
    for exponent in (2..64).step_by(2) {
        let first = 1i64 << exponent;
        let part = first / 3;
        // The last group would run past the largest number.
        let end = (first as u64).wrapping_mul(4).wrapping_sub(part as u64);
        let end = if exponent == 62 { i64::MAX } else { end as i64 };
        let mut bound = first;
        while bound < end {
            bounds.push(bound);
            match bound.checked_add(part) {
                Some(next) => bound = next,
                None => break,
            }
        }
    }
    bounds.truncate(BUCKETS - 1);
    bounds.push(i64::MAX);
    bounds
});

/// The bucket that a value falls into.
pub fn bucket(value: i64) -> usize {
    if value <= 0 {
        return 0;
    }
    BOUNDS.partition_point(|&bound| bound < value).min(BUCKETS - 1)
}

/// The upper bound of a bucket.
pub fn bound(bucket: usize) -> i64 {
    BOUNDS[bucket.min(BUCKETS - 1)]
}

/// The value below which `percent` of what was counted lies, interpolated within its bucket; NaN if nothing was.
fn percentile(counts: &[(usize, f64)], percent: f64) -> f64 {
    let total: f64 = counts.iter().map(|(_, count)| count).sum();
    if total <= 0.0 {
        return f64::NAN;
    }
    let mut below = 0.0;
    let mut sum = 0.0;
    for (bucket, count) in counts {
        sum += count;
        let reached = 100.0 * sum / total;
        if reached >= percent && *count > 0.0 {
            let lower = if *bucket == 0 { 0.0 } else { bound(bucket - 1) as f64 };
            let share = if reached > below { (percent - below) / (reached - below) } else { 0.0 };
            return lower + share.max(0.0) * (bound(*bucket) as f64 - lower);
        }
        below = reached;
    }
    counts.iter().rev().find(|(_, count)| *count > 0.0).map_or(f64::NAN, |(bucket, _)| bound(*bucket) as f64)
}

/// The lines of percentiles: for each group one for each percentile, in ascending order.
pub(crate) fn estimate(data: &DataExpr, wanted: &[f64], lines: &[Line], grid: Grid) -> Vec<Line> {
    let keys: Vec<Arc<str>> = data.keys.iter().filter(|key| &***key != "percentile").cloned().collect();
    let mut groups: BTreeMap<Tags, Vec<(usize, &Line, bool)>> = BTreeMap::new();
    for line in lines {
        let Some(tag) = line.tags.get("percentile") else { continue };
        let Some(bucket) = tag.get(1..).and_then(|digits| usize::from_str_radix(digits, 16).ok()) else {
            continue;
        };
        if bucket < BUCKETS {
            groups.entry(line.tags.without("percentile")).or_default().push((
                bucket,
                line,
                tag.starts_with('T'),
            ));
        }
    }
    let mut wanted = wanted.to_vec();
    wanted.sort_by(f64::total_cmp);
    wanted.dedup();
    let mut results = Vec::with_capacity(groups.len() * wanted.len());
    for (tags, mut buckets) in groups {
        buckets.sort_by_key(|(bucket, ..)| *bucket);
        let unit = if buckets[0].2 { 1e-9 } else { 1.0 };
        let base =
            if keys.is_empty() { data.query.label() } else { group_label(&keys, &tags).unwrap_or_default() };
        for &percent in &wanted {
            let at = |slot: usize| {
                let count = |line: &Line| {
                    line.values.get(slot).copied().filter(|value| value.is_finite()).unwrap_or(0.0)
                };
                let counts: Vec<(usize, f64)> =
                    buckets.iter().map(|(bucket, line, _)| (*bucket, count(line))).collect();
                percentile(&counts, percent) * unit
            };
            // Padded, so that text order is the order of numbers.
            let name = format!("{:>5}", number::text(percent));
            let label = format!("percentile({base}, {name})");
            results.push(Line::new(
                tags.with("percentile", name.as_str()),
                Some(label),
                (0..grid.len).map(at).collect(),
            ));
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_are_spectators() {
        assert_eq!(BOUNDS.len(), BUCKETS);
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
        assert_eq!(BOUNDS[..12], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 16, 17, 22].map(bucket),
            [0, 0, 1, 2, 3, 4, bucket(16), bucket(16) + 1, bucket(16) + 2]
        );
        assert_eq!((bucket(i64::MAX), bound(275)), (275, i64::MAX));
    }

    #[test]
    fn percentiles_are_interpolated() {
        // Ten between 4 and 5, ten between 9 and 10: a half ends with the first bucket, three quarters in the middle of the second.
        let counts = [(bucket(5), 10.0), (bucket(10), 10.0)];
        assert_eq!(percentile(&counts, 50.0), 5.0);
        assert_eq!(percentile(&counts, 75.0), 9.5);
        assert_eq!(percentile(&counts, 100.0), 10.0);
        assert!(percentile(&[(3, 0.0)], 50.0).is_nan());
    }
}
