//! Bars: side by side, stacked or in front of each other, and histograms, which are bars of counts.

use std::collections::BTreeMap;

use super::extent::Extent;
use super::number::pow10;
use super::ramp::reach;
use super::scale::Unit;
use super::ticks::linear_positions;
use crate::column::{Column, OneOrEach};
use crate::layout::{BarMode, Layout};
use crate::trace::{Bar, Bins, HistNorm, Histogram, Orientation};

/// One bar: from `start` to `end` along its position axis (in units), from `from` to `to` along its value axis (plain numbers).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BarMark {
    pub(crate) index: usize,
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// Bars of one trace, before they share their positions with those of others.
#[derive(Clone, Debug)]
pub(crate) struct Heights {
    /// Middles, in units.
    pub(crate) at: Vec<f64>,
    pub(crate) value: Vec<f64>,
    pub(crate) base: Option<OneOrEach<f64>>,
    pub(crate) width: Option<OneOrEach<f64>>,
    pub(crate) offset: Option<OneOrEach<f64>>,
}

/// Most bins of a histogram; finer ones are not told apart by any drawing.
const MOST_BINS: f64 = 5_000.0;

impl Heights {
    pub(crate) fn of_bar(bar: &Bar, x: &Unit, y: &Unit) -> Self {
        let upright = bar.orientation != Some(Orientation::Horizontal);
        let (position, value, position_unit, value_unit) =
            if upright { (&bar.x, &bar.y, x, y) } else { (&bar.y, &bar.x, y, x) };
        let value = value.as_ref().map_or_else(Vec::new, |column| plain(value_unit, column));
        let at = match position {
            Some(column) => position_unit.read(column),
            None => (0..value.len()).map(|index| index as f64).collect(),
        };
        Self { at, value, base: bar.base.clone(), width: bar.width.clone(), offset: bar.offset.clone() }
    }
}

/// The values of a column as plain numbers: on a log axis not their logarithms.
fn plain(unit: &Unit, column: &Column) -> Vec<f64> {
    match unit {
        Unit::Log => Unit::Linear.read(column),
        other => other.read(column),
    }
}

/// Gives every bar its place: `traces` share the positions as the layout's `barmode` says.
pub(crate) fn arrange(traces: &[Heights], layout: &Layout, gap: f64) -> Vec<Vec<BarMark>> {
    let mode = layout.barmode.unwrap_or(BarMode::Group);
    let slot = slot(traces);
    let gap = layout.bargap.filter(|gap| (0.0..1.0).contains(gap)).unwrap_or(gap);
    let room = slot * (1.0 - gap);
    let side_by_side = mode == BarMode::Group && traces.len() > 1;
    let share = if side_by_side { room / traces.len() as f64 } else { room };
    let inner = 1.0 - layout.bargroupgap.filter(|gap| (0.0..1.0).contains(gap)).unwrap_or(0.0);
    // Sums by position; the key is the position's bits, equal for equal positions.
    let mut up: BTreeMap<u64, f64> = BTreeMap::new();
    let mut down: BTreeMap<u64, f64> = BTreeMap::new();
    let mut arranged = Vec::with_capacity(traces.len());
    for (place, trace) in traces.iter().enumerate() {
        let mut marks = Vec::with_capacity(trace.at.len());
        for (index, (at, value)) in trace.at.iter().zip(&trace.value).enumerate() {
            if !at.is_finite() || !value.is_finite() {
                continue;
            }
            let wished =
                |wish: &Option<OneOrEach<f64>>| wish.as_ref()?.at(index).copied().filter(|n| n.is_finite());
            let width = wished(&trace.width).map_or(share * inner, f64::abs);
            let middle = if side_by_side { at - room / 2.0 + share * (place as f64 + 0.5) } else { *at };
            let start = wished(&trace.offset).map_or(middle - width / 2.0, |offset| at + offset);
            let from = match mode {
                BarMode::Stack | BarMode::Relative => {
                    let sums = if mode == BarMode::Relative && *value < 0.0 { &mut down } else { &mut up };
                    let sum = sums.entry((at + 0.0).to_bits()).or_insert(0.0);
                    let from = *sum;
                    *sum = (*sum + value).clamp(-1e300, 1e300);
                    from
                }
                _ => wished(&trace.base).unwrap_or(0.0),
            };
            let to = (from + value).clamp(-1e300, 1e300);
            marks.push(BarMark { index, start, end: start + width, from, to });
        }
        arranged.push(marks);
    }
    arranged
}

/// The smallest distance of two positions.
fn slot(traces: &[Heights]) -> f64 {
    let mut positions: Vec<f64> =
        traces.iter().flat_map(|trace| &trace.at).copied().filter(|at| at.is_finite()).collect();
    positions.sort_by(f64::total_cmp);
    let distances = positions.windows(2).map(|pair| pair[1] - pair[0]).filter(|distance| *distance > 0.0);
    distances
        .fold(None, |smallest: Option<f64>, distance| Some(smallest.map_or(distance, |s| s.min(distance))))
        .unwrap_or(1.0)
}

/// The room that bars take on their two axes.
pub(crate) fn extend(marks: &[BarMark], position: &mut Extent, value: &mut Extent, value_unit: &Unit) {
    for mark in marks {
        position.include(mark.start);
        position.include(mark.end);
        value.include_with_room(value_unit.number(mark.to));
        if mark.from != 0.0 {
            value.include_with_room(value_unit.number(mark.from));
        }
    }
    value.stand_on_zero();
}

/// The bars of histograms that count along the same axis, with common bins unless a trace has its own.
pub(crate) fn histograms(traces: &[&Histogram], unit: &Unit, layout: &Layout) -> Vec<Vec<BarMark>> {
    let samples: Vec<Vec<f64>> =
        traces.iter().map(|trace| samples(trace).map_or_else(Vec::new, |c| plain(unit, c))).collect();
    let bins: Vec<Edges> = if matches!(unit, Unit::Category(_)) {
        traces.iter().map(|_| Edges { start: -0.5, size: 1.0, count: None }).collect()
    } else {
        let most = traces.iter().find_map(|trace| if upright(trace) { trace.nbinsx } else { trace.nbinsy });
        let common = Edges::for_samples(&samples, most);
        let wish = |trace: &Histogram| if upright(trace) { trace.xbins.clone() } else { trace.ybins.clone() };
        traces.iter().map(|trace| Edges::wished(wish(trace), unit, &common)).collect()
    };
    let side_by_side = traces.len() > 1
        && !matches!(layout.barmode, Some(BarMode::Overlay | BarMode::Stack | BarMode::Relative));
    let mut below: BTreeMap<i64, f64> = BTreeMap::new();
    let mut all = Vec::with_capacity(traces.len());
    for (place, ((trace, samples), edges)) in traces.iter().zip(&samples).zip(&bins).enumerate() {
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        let mut total = 0_u64;
        for bin in samples.iter().filter_map(|sample| edges.bin(*sample)) {
            *counts.entry(bin).or_insert(0) += 1;
            total += 1;
        }
        let total = total.max(1) as f64;
        let mut marks = Vec::with_capacity(counts.len());
        for (bin, count) in counts {
            let count = count as f64;
            let height = match trace.histnorm.unwrap_or(HistNorm::Count) {
                HistNorm::Count => count,
                HistNorm::Percent => count / total * 100.0,
                HistNorm::Probability => count / total,
                HistNorm::Density => count / edges.size,
                HistNorm::ProbabilityDensity => count / total / edges.size,
            };
            let (left, right) = edges.span(bin);
            let (left, right) = if side_by_side {
                let share = (right - left) / traces.len() as f64;
                (left + share * place as f64, left + share * (place as f64 + 1.0))
            } else {
                (left, right)
            };
            let stacked = matches!(layout.barmode, Some(BarMode::Stack | BarMode::Relative));
            let from = if stacked { *below.get(&bin).unwrap_or(&0.0) } else { 0.0 };
            below.insert(bin, from + height);
            let (start, end) = (edge_in_units(unit, left), edge_in_units(unit, right));
            marks.push(BarMark { index: bin.unsigned_abs() as usize, start, end, from, to: from + height });
        }
        marks.retain(|mark| mark.start.is_finite() && mark.end.is_finite());
        all.push(marks);
    }
    all
}

fn edge_in_units(unit: &Unit, edge: f64) -> f64 {
    if matches!(unit, Unit::Log) { unit.number(edge) } else { edge }
}

/// Whether a histogram's bars stand upright: counts its `x`.
pub(crate) fn upright(trace: &Histogram) -> bool {
    match trace.orientation {
        Some(orientation) => orientation == Orientation::Vertical,
        None => trace.x.is_some(),
    }
}

/// The samples a histogram counts.
pub(crate) fn samples(trace: &Histogram) -> Option<&Column> {
    if upright(trace) { trace.x.as_ref().or(trace.y.as_ref()) } else { trace.y.as_ref().or(trace.x.as_ref()) }
}

/// Bins of one width.
#[derive(Clone, Copy, Debug)]
struct Edges {
    start: f64,
    size: f64,
    /// How many, if the last one's end was given.
    count: Option<i64>,
}

impl Edges {
    /// About as many bins as the square root of the largest count of samples (from 5 to 100), of an even width.
    fn for_samples(samples: &[Vec<f64>], most: Option<u32>) -> Self {
        let Some((low, high)) = reach(samples.iter().flatten().copied()) else {
            return Self { start: 0.0, size: 1.0, count: None };
        };
        if high - low <= (low.abs().max(high.abs()) * 1e-11).max(1e-280) {
            let size =
                if low == 0.0 { 1.0 } else { pow10(super::number::floor_log10(low.abs()).max(-280)) * 0.1 };
            return Self { start: low - size / 2.0, size, count: None };
        }
        let largest = samples.iter().map(Vec::len).max().unwrap_or(0);
        let target = most.map_or_else(
            || (largest as f64).sqrt().clamp(5.0, 100.0),
            |most| f64::from(most.clamp(1, 5_000)),
        );
        let (_, size) = linear_positions(low, high, target as usize);
        Self { start: (low / size).floor() * size, size, count: None }
    }

    /// The bins a trace asks for, where they are sound.
    fn wished(bins: Option<Bins>, unit: &Unit, common: &Self) -> Self {
        let Some(bins) = bins else { return *common };
        let read = |scalar: &Option<_>| {
            scalar.as_ref().map(|scalar| {
                if matches!(unit, Unit::Log) { Unit::Linear.scalar(scalar) } else { unit.scalar(scalar) }
            })
        };
        let start = read(&bins.start).filter(|start| start.is_finite()).unwrap_or(common.start);
        let Some(size) = bins.size.filter(|size| size.is_finite() && *size > 0.0) else { return *common };
        let count = read(&bins.end).map(|end| ((end - start) / size).ceil()).filter(|count| *count > 0.0);
        Self { start, size, count: count.map(|count| count.min(MOST_BINS) as i64) }
    }

    fn bin(&self, sample: f64) -> Option<i64> {
        if !sample.is_finite() {
            return None;
        }
        let bin = ((sample - self.start) / self.size).floor();
        // The upper edge of the last bin belongs to it.
        let bin = match self.count {
            Some(count) if bin == count as f64 && sample == self.start + bin * self.size => bin - 1.0,
            _ => bin,
        };
        let limit = self.count.map_or(MOST_BINS, |count| count as f64);
        let first = if self.count.is_some() { 0.0 } else { -MOST_BINS };
        (bin >= first && bin < limit).then_some(bin as i64)
    }

    fn span(&self, bin: i64) -> (f64, f64) {
        (self.start + bin as f64 * self.size, self.start + (bin + 1) as f64 * self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heights(value: &[f64]) -> Heights {
        let at = (0..value.len()).map(|index| index as f64).collect();
        Heights { at, value: value.to_vec(), base: None, width: None, offset: None }
    }

    #[test]
    fn stacked_bars_stand_on_each_other_and_relative_ones_hang_too() {
        let traces = [heights(&[1.0, 2.0]), heights(&[3.0, -1.0])];
        let spans = |mode| {
            let arranged = arrange(&traces, &Layout::default().barmode(mode), 0.2);
            arranged[1].iter().map(|mark| (mark.from, mark.to)).collect::<Vec<_>>()
        };
        assert_eq!(spans(BarMode::Stack), [(1.0, 4.0), (2.0, 1.0)]);
        assert_eq!(spans(BarMode::Relative), [(1.0, 4.0), (0.0, -1.0)]);
        assert_eq!(spans(BarMode::Group), [(0.0, 3.0), (0.0, -1.0)]);
    }

    #[test]
    fn every_sample_is_counted_once() {
        let values: Vec<f64> = (0..1000).map(|index| f64::from(index * 37 % 1000) / 10.0).collect();
        let trace = Histogram::new(values);
        let marks = histograms(&[&trace], &Unit::Linear, &Layout::default());
        assert_eq!(marks[0].iter().map(|mark| mark.to).sum::<f64>(), 1000.0);
        let own = Histogram::new([0.0, 5.0, 10.0]).xbins(Bins::default().start(0).end(10).size(5.0));
        let marks = histograms(&[&own], &Unit::Linear, &Layout::default());
        assert_eq!(marks[0].iter().map(|mark| mark.to).collect::<Vec<_>>(), [1.0, 2.0]);
    }
}
