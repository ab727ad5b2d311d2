//! The ends of an axis: from the layout, else from the data with some room around it.

use super::scale::Unit;
use crate::layout::{AutoRange, Axis, RangeMode};

/// Room left beyond the outermost data, as a share of the span.
const ROOM: f64 = 0.05;

/// How far the data of one axis reaches, in units.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extent {
    /// Everything.
    all: Option<(f64, f64)>,
    /// What wants room beyond it.
    roomy: Option<(f64, f64)>,
    /// Whether bars or areas stand on zero.
    from_zero: bool,
}

fn widen(reach: &mut Option<(f64, f64)>, at: f64) {
    *reach = Some(reach.map_or((at, at), |(low, high)| (low.min(at), high.max(at))));
}

impl Extent {
    /// The axis must reach to `at` exactly.
    pub(crate) fn include(&mut self, at: f64) {
        if at.is_finite() {
            widen(&mut self.all, at);
        }
    }

    /// The axis must reach beyond `at`.
    pub(crate) fn include_with_room(&mut self, at: f64) {
        if at.is_finite() {
            widen(&mut self.all, at);
            widen(&mut self.roomy, at);
        }
    }

    /// The axis starts at zero, or reaches over it.
    pub(crate) fn stand_on_zero(&mut self) {
        self.from_zero = true;
    }

    /// The two ends in units, the smaller first, and whether the axis runs backwards.
    pub(crate) fn ends(&self, axis: &Axis, unit: &Unit) -> (f64, f64, bool) {
        let (mut low, mut high) = self.natural(axis, unit);
        let mut reversed = axis.autorange == Some(AutoRange::Reversed);
        if let Some(range) = &axis.range
            && !matches!(axis.autorange, Some(AutoRange::Yes | AutoRange::Reversed))
        {
            let read =
                |end: &Option<_>| end.as_ref().map(|end| unit.range_scalar(end)).filter(|at| at.is_finite());
            match (read(&range.0), read(&range.1)) {
                (Some(start), Some(end)) => {
                    reversed = start > end;
                    (low, high) = (start.min(end), start.max(end));
                }
                (Some(start), None) => low = start,
                (None, Some(end)) => high = end,
                (None, None) => {}
            }
        }
        if low > high {
            (low, high) = (high, low);
        }
        let (low, high) = apart(low, high, unit);
        (low, high, reversed)
    }

    fn natural(&self, axis: &Axis, unit: &Unit) -> (f64, f64) {
        if let Unit::Category(categories) = unit {
            let last = categories.names.len().max(1) as f64 - 0.5;
            return (-0.5, last);
        }
        let Some((mut low, mut high)) = self.all else {
            return (0.0, 1.0);
        };
        if matches!(unit, Unit::Log) && self.from_zero {
            // Bars on a log axis stand on the power of ten below the shortest.
            low = (low - 1e-9).floor();
        }
        let anchored =
            self.from_zero || matches!(axis.rangemode, Some(RangeMode::ToZero | RangeMode::NonNegative));
        if anchored && matches!(unit, Unit::Linear) {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        let (wide_low, wide_high) = apart(low, high, unit);
        let room = (wide_high - wide_low) * ROOM;
        if low == high && !anchored {
            return (wide_low, wide_high);
        }
        let (mut low_end, mut high_end) = (low, high);
        if let Some((roomy_low, roomy_high)) = self.roomy {
            let keep_zero = |end: f64| anchored && end == 0.0;
            if !keep_zero(low) {
                low_end = low.min(roomy_low - room);
            }
            if !keep_zero(high) {
                high_end = high.max(roomy_high + room);
            }
        }
        if matches!(unit, Unit::Linear) && axis.rangemode == Some(RangeMode::NonNegative) {
            low_end = low_end.max(0.0);
        }
        (low_end, high_end)
    }
}

/// Moves ends apart that coincide, or lie so close that no number fits between.
fn apart(low: f64, high: f64, unit: &Unit) -> (f64, f64) {
    let size = low.abs().max(high.abs());
    if high - low > (size * 1e-11).max(1e-280) {
        return (low, high);
    }
    let room = match unit {
        Unit::Linear if size == 0.0 => 1.0,
        Unit::Linear => (size * 0.1).max(1e-270),
        Unit::Log | Unit::Category(_) => 0.5,
        // Twelve hours in milliseconds.
        Unit::Date => 43_200_000.0,
    };
    (low - room, high + room)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(values: &[f64], axis: &Axis) -> (f64, f64, bool) {
        let mut extent = Extent::default();
        for value in values {
            extent.include_with_room(*value);
        }
        extent.ends(axis, &Unit::Linear)
    }

    #[test]
    fn data_gets_room_and_the_layout_has_the_last_word() {
        assert_eq!(ends(&[0.0, 10.0], &Axis::default()), (-0.5, 10.5, false));
        assert_eq!(ends(&[2.0, 10.0], &Axis::default().rangemode(RangeMode::ToZero)), (0.0, 10.5, false));
        assert_eq!(ends(&[0.0, 10.0], &Axis::default().range((8.0, 3.0))), (3.0, 8.0, true));
        assert_eq!(ends(&[5.0], &Axis::default()), (4.5, 5.5, false));
        assert_eq!(ends(&[], &Axis::default()), (0.0, 1.0, false));
        let (low, high, _) = ends(&[-1e300, 1e300], &Axis::default());
        assert!((high - low).is_finite());
    }
}
