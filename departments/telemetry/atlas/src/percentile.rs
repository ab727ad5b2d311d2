//! Percentiles from the counts of Spectator's buckets.
//!
//! The buckets are those of our meters ([`buckets`]), which are Spectator's. A
//! series of counts has the tag `percentile` with the bucket's number in hexadecimal behind `T` (nanoseconds) or `D` (plain).

use std::collections::BTreeMap;
use std::sync::Arc;

use backlot_meters::buckets;
use backlot_series::{Grid, Tags};

use crate::data::{DataExpr, group_label};
use crate::{Line, number};

/// The lines of percentiles: for each group one for each percentile, in ascending order.
pub(crate) fn estimate(data: &DataExpr, wanted: &[f64], lines: &[Line], grid: Grid) -> Vec<Line> {
    let keys: Vec<Arc<str>> = data.keys.iter().filter(|key| &***key != "percentile").cloned().collect();
    let mut groups: BTreeMap<Tags, Vec<(usize, &Line, bool)>> = BTreeMap::new();
    for line in lines {
        let Some(tag) = line.tags.get("percentile") else { continue };
        let Some(bucket) = tag.get(1..).and_then(|digits| usize::from_str_radix(digits, 16).ok()) else {
            continue;
        };
        if bucket < buckets::COUNT {
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
    for (tags, counted) in groups {
        let unit = if counted[0].2 { 1e-9 } else { 1.0 };
        let base =
            if keys.is_empty() { data.query.label() } else { group_label(&keys, &tags).unwrap_or_default() };
        for &percent in &wanted {
            let at = |slot: usize| {
                let count = |line: &Line| {
                    line.values.get(slot).copied().filter(|value| value.is_finite()).unwrap_or(0.0)
                };
                let mut counts = [0.0; buckets::COUNT];
                for (bucket, line, _) in &counted {
                    counts[*bucket] += count(line);
                }
                buckets::percentile(&counts, percent) * unit
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
