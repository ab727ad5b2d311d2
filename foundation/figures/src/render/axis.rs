//! Ticks and labels of an axis, chosen so that no two labels meet.

use super::font::{self, Run};
use super::look::Look;
use super::number::NumberStyle;
use super::scale::Unit;
use super::series::AxisPlan;
use super::ticks::{self, Tick, TickFormat};
use crate::column::Scalar;

/// A tick with its label laid out.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    /// Position in units.
    pub(crate) at: f64,
    pub(crate) run: Run,
    pub(crate) below: Option<Run>,
}

/// The labels of one axis and the room they take across it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    pub(crate) ticks: Vec<Label>,
    /// Positions of grid lines between those of the ticks.
    pub(crate) fine: Vec<f64>,
    /// Degrees the labels are turned clockwise.
    pub(crate) angle: f64,
    /// Pixels between the plot and the far side of the labels.
    pub(crate) depth: f64,
}

/// Pixels between the plot's edge and its labels.
pub(crate) const LABEL_GAP: f64 = 6.0;
/// Longest label of a category in pixels, on a drawing that is high enough for it.
const LONGEST_CATEGORY: f64 = 150.0;

/// Ticks for at most about `most` labels.
fn ticks_of(plan: &AxisPlan<'_>, most: usize) -> (Vec<Tick>, Vec<f64>) {
    let axis = plan.axis;
    let most = axis.nticks.filter(|count| *count > 0).map_or(most, |count| most.min(count as usize)).max(1);
    let format = TickFormat {
        specifier: axis.tickformat.clone().filter(|format| !format.is_empty()),
        prefix: axis.tickprefix.clone().unwrap_or_default(),
        suffix: axis.ticksuffix.clone().unwrap_or_default(),
        exponent: axis.exponentformat,
    };
    if let Some(values) = &axis.tickvals {
        return (given_ticks(plan, &plan.unit.read(values), &format), Vec::new());
    }
    let (step, months) = match &axis.dtick {
        Some(Scalar::Number(step)) => (Some(*step), None),
        Some(Scalar::Text(text)) => {
            match text.strip_prefix('M').and_then(|months| months.parse::<i32>().ok()) {
                Some(months) if months > 0 => (None, Some(months)),
                _ => (text.parse().ok(), None),
            }
        }
        None => (None, None),
    };
    match &plan.unit {
        Unit::Linear => (ticks::linear(plan.low, plan.high, most, step, &format), Vec::new()),
        Unit::Log => ticks::log(plan.low, plan.high, most, step, &format),
        Unit::Date => (ticks::date(plan.low, plan.high, most, step, months, &format), Vec::new()),
        Unit::Category(categories) => {
            let first = plan.low.ceil().max(0.0) as usize;
            let shown = categories.names.iter().enumerate().skip(first);
            let shown = shown.take_while(|(place, _)| *place as f64 <= plan.high);
            (shown.map(|(place, name)| Tick::new(place as f64, name.as_str())).collect(), Vec::new())
        }
    }
}

/// Ticks where the layout wants them.
fn given_ticks(plan: &AxisPlan<'_>, positions: &[f64], format: &TickFormat) -> Vec<Tick> {
    let value = |at: f64| if matches!(plan.unit, Unit::Log) { libm::pow(10.0, at) } else { at };
    let largest = positions
        .iter()
        .filter(|at| at.is_finite())
        .fold(0.0_f64, |largest, at| largest.max(value(*at).abs()));
    let mut ticks = Vec::new();
    for (index, at) in positions.iter().enumerate() {
        if !(plan.low..=plan.high).contains(at) {
            continue;
        }
        let text = plan.axis.ticktext.as_ref().and_then(|texts| texts.label(index));
        let label = text.unwrap_or_else(|| match &plan.unit {
            Unit::Category(categories) => categories.names.get(*at as usize).cloned().unwrap_or_default(),
            Unit::Date => crate::dates::format_millis(*at).unwrap_or_default(),
            _ => {
                let value = value(*at);
                let style = NumberStyle::choose(largest, ticks_step(value), format.exponent);
                format.number(style, value)
            }
        });
        ticks.push(Tick::new(*at, label));
    }
    ticks
}

/// A step whose digits show `value` in full, up to four significant ones.
fn ticks_step(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 1.0;
    }
    let mut step = super::number::pow10(super::number::floor_log10(value.abs()).max(-300));
    for _ in 0..3 {
        if ((value / step) - (value / step).round()).abs() < 1e-9 {
            break;
        }
        step /= 10.0;
    }
    step
}

fn lay_out(ticks: &[Tick], size: f64, longest: f64) -> Vec<Label> {
    let lay_out = |tick: &Tick| Label {
        at: tick.at,
        run: font::line_within(&tick.label, size, longest),
        below: tick.below.as_ref().map(|below| font::line(below, size)),
    };
    ticks.iter().map(lay_out).collect()
}

/// Whether ticks are names or were given, so that their number is not ours to choose.
fn is_fixed(plan: &AxisPlan<'_>) -> bool {
    matches!(plan.unit, Unit::Category(_)) || plan.axis.tickvals.is_some()
}

pub(crate) fn shows_labels(plan: &AxisPlan<'_>) -> bool {
    plan.axis.visible != Some(false) && plan.axis.showticklabels != Some(false)
}

/// Labels of the horizontal axis along `width` pixels.
pub(crate) fn horizontal(plan: &AxisPlan<'_>, width: f64, look: &Look) -> Labels {
    let size = font_size(plan, look);
    let line = size * font::LINE_HEIGHT;
    let longest = LONGEST_CATEGORY.min(f64::from(look.size.height) * 0.3);
    let share = |at: f64| (at - plan.low) / (plan.high - plan.low) * width;
    if let Some(angle) =
        plan.axis.tickangle.filter(|angle| angle.is_finite() && *angle != 0.0 && is_fixed(plan))
    {
        let (ticks, fine) = ticks_of(plan, 20);
        return turned(lay_out(&ticks, size, longest), fine, angle.rem_euclid(360.0), size);
    }
    if !is_fixed(plan) {
        let mut most = ((width / 45.0) as usize).clamp(1, 14);
        loop {
            let (ticks, fine) = ticks_of(plan, most);
            let labels = lay_out(&ticks, size, width.max(1.0));
            if most == 1 || fits(&labels, share, 14.0) {
                return level(labels, fine, line, shows_labels(plan));
            }
            most -= 1;
        }
    }
    let (ticks, fine) = ticks_of(plan, usize::MAX);
    let labels = lay_out(&ticks, size, longest);
    if labels.len() < 2 || fits(&labels, share, 6.0) {
        return level(labels, fine, line, shows_labels(plan));
    }
    let slot = width / (plan.high - plan.low).max(1e-9);
    if slot >= line {
        return turned(labels, fine, 315.0, size);
    }
    // Too many to name: every so many-th, level if those fit.
    let stride = nice_stride((line / slot.max(1e-9)).ceil());
    let some: Vec<Label> = labels.iter().step_by(stride).cloned().collect();
    if fits(&some, share, 6.0) {
        level(some, fine, line, shows_labels(plan))
    } else {
        turned(some, fine, 315.0, size)
    }
}

fn nice_stride(rough: f64) -> usize {
    let mut unit = 1.0;
    loop {
        for digit in [1.0, 2.0, 5.0] {
            if digit * unit >= rough || unit > 1e9 {
                return (digit * unit) as usize;
            }
        }
        unit *= 10.0;
    }
}

fn level(labels: Vec<Label>, fine: Vec<f64>, line: f64, shown: bool) -> Labels {
    let lines = if labels.iter().any(|label| label.below.is_some()) { 2.0 } else { 1.0 };
    let depth = if shown && !labels.is_empty() { LABEL_GAP + lines * line } else { 0.0 };
    Labels { ticks: labels, fine, angle: 0.0, depth }
}

fn turned(labels: Vec<Label>, fine: Vec<f64>, angle: f64, size: f64) -> Labels {
    let widest = labels.iter().map(|label| label.run.width).fold(0.0, f64::max);
    let radians = angle.to_radians();
    let depth = LABEL_GAP + widest * libm::sin(radians).abs() + size * libm::cos(radians).abs();
    Labels { ticks: labels, fine, angle, depth }
}

fn fits(labels: &[Label], share: impl Fn(f64) -> f64, gap: f64) -> bool {
    let half =
        |label: &Label| label.run.width.max(label.below.as_ref().map_or(0.0, |below| below.width)) / 2.0;
    // Two neighbours meet on the upper line by their labels, on the lower one only where both have a second line.
    labels.windows(2).all(|pair| {
        let distance = (share(pair[1].at) - share(pair[0].at)).abs();
        distance >= pair[0].run.width / 2.0 + pair[1].run.width / 2.0 + gap
    }) && {
        let lower: Vec<&Label> = labels.iter().filter(|label| label.below.is_some()).collect();
        lower.windows(2).all(|pair| {
            (share(pair[1].at) - share(pair[0].at)).abs() >= half(pair[0]) + half(pair[1]) + gap / 2.0
        })
    }
}

/// Labels of the vertical axis along `height` pixels, within `widest` pixels.
pub(crate) fn vertical(plan: &AxisPlan<'_>, height: f64, widest: f64, look: &Look) -> Labels {
    let size = font_size(plan, look);
    let line = size * font::LINE_HEIGHT;
    let (ticks, fine) = if is_fixed(plan) {
        let (ticks, fine) = ticks_of(plan, usize::MAX);
        let slot = height / (plan.high - plan.low).max(1e-9);
        let crowded = matches!(plan.unit, Unit::Category(_)) && slot < line;
        let stride = if crowded { nice_stride((line / slot.max(1e-9)).ceil()) } else { 1 };
        (ticks.into_iter().step_by(stride).collect(), fine)
    } else {
        ticks_of(plan, ((height / 24.0) as usize).clamp(3, 10))
    };
    // Two lines do not stand beside a vertical axis: the larger unit joins the label where it changes.
    let joined: Vec<Tick> = ticks
        .into_iter()
        .map(|tick| match &tick.below {
            Some(below) => Tick::new(tick.at, format!("{} {below}", tick.label)),
            None => tick,
        })
        .collect();
    let labels = lay_out(&joined, size, widest);
    let shown = shows_labels(plan) && !labels.is_empty();
    let depth = labels.iter().map(|label| label.run.width).fold(0.0, f64::max);
    Labels { ticks: labels, fine, angle: 0.0, depth: if shown { depth + LABEL_GAP } else { 0.0 } }
}

fn font_size(plan: &AxisPlan<'_>, look: &Look) -> f64 {
    super::look::font_size(plan.axis.tickfont.as_ref(), look.small)
}
