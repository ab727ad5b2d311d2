//! What this server counts, as the text that Prometheus scrapes.
//!
//! Meters count for an interval and begin again; Prometheus wants totals, so what each interval came to is added up here.
//!
//! | meter | in the text |
//! |---|---|
//! | counter `a.bC` | counter `a_b_c_total` |
//! | timer | summary `…_seconds` with count and sum, gauge `…_seconds_max` |
//! | distribution summary | the same without `_seconds` |
//! | gauge, max gauge, age gauge | gauge |
//!
//! Percentile buckets and sums of squares are left out: Prometheus has no use for them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use backlot_meters::{Measurement, Op, Statistic};

use super::label;

/// Samples that are kept: as many as a registry publishes.
const MOST: usize = 100_000;

/// The totals since the start.
#[derive(Debug, Default)]
pub(crate) struct Totals(Mutex<BTreeMap<Family, BTreeMap<Sample, f64>>>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Family {
    name: String,
    kind: &'static str,
}

/// Labels, then the suffix of the name.
type Sample = (String, &'static str);

impl Totals {
    /// Adds what an interval came to.
    pub(crate) fn add(&self, measurements: &[Measurement]) {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count: usize = families.values().map(BTreeMap::len).sum();
        for (at, measurement) in measurements.iter().enumerate() {
            let Some((family, suffix)) = family(measurements, at) else { continue };
            let samples = families.entry(family).or_default();
            let labels: Vec<String> = measurement
                .id
                .tags()
                .filter(|(key, _)| *key != "statistic")
                .map(|(key, value)| label(&snake(key), value))
                .collect();
            let sample = (labels.join(","), suffix);
            if !samples.contains_key(&sample) {
                if count == MOST {
                    continue;
                }
                count += 1;
            }
            let value = samples.entry(sample).or_insert(0.0);
            *value = if measurement.op() == Op::Add { *value + measurement.value } else { measurement.value };
        }
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (Family { name, kind }, samples) in &*families {
            // Writing to a string does not fail.
            let _ = writeln!(text, "# HELP {name} The {kind} {name} of this server.\n# TYPE {name} {kind}");
            for ((labels, suffix), value) in samples {
                let _ = if labels.is_empty() {
                    writeln!(text, "{name}{suffix} {value}")
                } else {
                    writeln!(text, "{name}{suffix}{{{labels}}} {value}")
                };
            }
        }
        text
    }
}

/// The family of the measurement at a place, and the suffix of its sample.
fn family(measurements: &[Measurement], at: usize) -> Option<(Family, &'static str)> {
    let measurement = &measurements[at];
    let name = snake(measurement.id.name());
    let family = |name: String, kind| Family { name, kind };
    // The statistics of one meter stand together: count, total, squares, max. A count by itself is a counter's.
    let near = measurements[at.saturating_sub(2)..].iter().take(4);
    let mut of_same = near.filter(|near| near.id == measurement.id).map(|near| near.statistic);
    let unit = of_same.find_map(|statistic| match statistic {
        Statistic::TotalTime => Some("_seconds"),
        Statistic::TotalAmount => Some(""),
        _ => None,
    });
    Some(match (measurement.statistic, unit) {
        (Statistic::Count, Some(unit)) => (family(name + unit, "summary"), "_count"),
        (Statistic::TotalTime | Statistic::TotalAmount, Some(unit)) => {
            (family(name + unit, "summary"), "_sum")
        }
        (Statistic::Max, unit) => (family(name + unit.unwrap_or_default() + "_max", "gauge"), ""),
        (Statistic::Count, None) => (family(name + "_total", "counter"), ""),
        (Statistic::Gauge, _) => (family(name, "gauge"), ""),
        (Statistic::Own, _) if measurement.op() == Op::Max => (family(name, "gauge"), ""),
        _ => return None,
    })
}

/// Letters, digits and `_`, words parted by `_`.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            if !snake.is_empty() && !snake.ends_with('_') {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        } else {
            snake.push(if letter.is_ascii_alphanumeric() { letter } else { '_' });
        }
    }
    if snake.starts_with(|letter: char| letter.is_ascii_digit()) {
        snake.insert(0, '_');
    }
    snake
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backlot_meters::{Id, Registry};

    use super::*;

    #[test]
    fn totals_grow_and_are_named_as_prometheus_wants() {
        let (registry, totals) = (Registry::default(), Totals::default());
        let counter = registry.counter(Id::new("jobs.doneWell").with("job.kind", "a\"b"));
        let timer = registry.percentile_timer("http.latency");
        let sizes = registry.distribution_summary("body.size");
        let depth = registry.gauge("queue.depth");
        for round in 1..=2 {
            counter.add(3);
            timer.record(Duration::from_millis(250 * round));
            sizes.record(10);
            depth.set(round as f64);
            totals.add(&registry.snapshot(Duration::ZERO));
        }
        let text = totals.text();
        for line in [
            "# TYPE jobs_done_well_total counter\njobs_done_well_total{job_kind=\"a_b\"} 6\n",
            "# TYPE http_latency_seconds summary\nhttp_latency_seconds_count 2\nhttp_latency_seconds_sum 0.75\n",
            "# TYPE http_latency_seconds_max gauge\nhttp_latency_seconds_max 0.5\n",
            "body_size_sum 20\n",
            "body_size_max 10\n",
            "# TYPE queue_depth gauge\nqueue_depth 2\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
