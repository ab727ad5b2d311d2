//! Box plots: quartiles, whiskers, outliers.

use std::collections::BTreeMap;

use super::scale::Unit;
use crate::column::Column;
use crate::trace::{BoxPlot, Orientation, Trace};

/// One box, in units of its axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BoxMark {
    /// Where it stands.
    pub(crate) at: f64,
    /// End of the lower whisker.
    pub(crate) low: f64,
    pub(crate) first_quartile: f64,
    pub(crate) median: f64,
    pub(crate) third_quartile: f64,
    /// End of the upper whisker.
    pub(crate) high: f64,
    /// Samples beyond the whiskers.
    pub(crate) outliers: Vec<f64>,
}

/// Whether boxes stand upright: their samples are `y`.
pub(crate) fn upright(trace: &BoxPlot) -> bool {
    match trace.orientation {
        Some(orientation) => orientation == Orientation::Vertical,
        None => trace.y.is_some(),
    }
}

/// The samples, and the group of each.
pub(crate) fn columns(trace: &BoxPlot) -> (Option<&Column>, Option<&Column>) {
    if upright(trace) { (trace.y.as_ref(), trace.x.as_ref()) } else { (trace.x.as_ref(), trace.y.as_ref()) }
}

/// For each box trace without groups, its name as the one group.
pub(crate) fn default_names(drawn: &[(usize, &Trace)]) -> Vec<(usize, Column)> {
    let mut names = Vec::new();
    for (index, trace) in drawn {
        if let Trace::Box(plot) = trace
            && columns(plot).1.is_none()
        {
            let name = plot.name.clone().unwrap_or_else(|| format!("trace {index}"));
            names.push((*index, Column::from(vec![name])));
        }
    }
    names
}

/// The boxes of a trace, one for each group.
pub(crate) fn marks(
    trace: &BoxPlot,
    name: Option<&Column>,
    value_unit: &Unit,
    group_unit: &Unit,
) -> Vec<BoxMark> {
    let (values, groups) = columns(trace);
    let values = values.map_or_else(Vec::new, |column| value_unit.read(column));
    let places = groups.map_or_else(Vec::new, |column| group_unit.read(column));
    let alone = name.and_then(|name| group_unit.read(name).first().copied()).unwrap_or(0.0);
    let mut by_place: BTreeMap<u64, (f64, Vec<f64>)> = BTreeMap::new();
    for (index, value) in values.into_iter().enumerate() {
        let at = if groups.is_some() { places.get(index).copied().unwrap_or(f64::NAN) } else { alone };
        if value.is_finite() && at.is_finite() {
            by_place.entry((at + 0.0).to_bits()).or_insert((at, Vec::new())).1.push(value);
        }
    }
    by_place.into_values().map(|(at, samples)| mark(at, samples)).collect()
}

fn mark(at: f64, mut samples: Vec<f64>) -> BoxMark {
    samples.sort_by(f64::total_cmp);
    let (first, median, third) =
        (quantile(&samples, 0.25), quantile(&samples, 0.5), quantile(&samples, 0.75));
    let fence = 1.5 * (third - first);
    let inside = |sample: &&f64| (first - fence..=third + fence).contains(*sample);
    let low = samples.iter().find(inside).copied().unwrap_or(first);
    let high = samples.iter().rev().find(inside).copied().unwrap_or(third);
    let outliers = samples.iter().copied().filter(|sample| *sample < low || *sample > high).collect();
    BoxMark { at, low, first_quartile: first, median, third_quartile: third, high, outliers }
}

/// Plotly's default (`quartilemethod: linear`): method 10 of Langford, "Quartiles in Elementary Statistics" (2006), which
/// takes the sample at n·q + 1/2, counted from 1, between neighbours by their distance.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = (sorted.len() as f64 * q - 0.5).clamp(0.0, (sorted.len() - 1) as f64);
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_plotlys() {
        let plot = BoxPlot::new([1, 2, 3, 4, 5, 6, 7, 8, 9, 40]);
        let marks = marks(&plot, None, &Unit::Linear, &Unit::Linear);
        assert_eq!(
            marks,
            [BoxMark {
                at: 0.0,
                low: 1.0,
                first_quartile: 3.0,
                median: 5.5,
                third_quartile: 8.0,
                high: 9.0,
                outliers: vec![40.0]
            }]
        );
    }
}
