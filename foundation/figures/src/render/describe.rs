//! A drawing in words, for those who do not see it.

use super::font;
use super::number::compact;
use super::scale::Unit;
use super::series::{AxisPlan, Form, Plan, Series};
use super::ticks::spoken_date;
use crate::figure::Figure;

/// Most traces named one by one.
const MOST_NAMES: usize = 8;

/// The short name of a figure.
pub(crate) fn title(figure: &Figure) -> String {
    let title = figure.layout.title.as_ref().and_then(|title| title.text.as_deref()).map(font::plain);
    title.filter(|title| !title.is_empty()).unwrap_or_else(|| "Figure".to_owned())
}

/// What the figure shows: its axes with their ends, and its traces with their kinds and counts.
pub(crate) fn description(plan: &Plan<'_>) -> String {
    let mut sentences = Vec::new();
    if plan.series.is_empty() {
        sentences.push("No data.".to_owned());
    } else {
        sentences.push(axis("Horizontal", &plan.x));
        sentences.push(axis("Vertical", &plan.y));
    }
    let named: Vec<String> = plan.series.iter().take(MOST_NAMES).map(trace).collect();
    if !named.is_empty() {
        let rest = plan.series.len() - named.len();
        let more = if rest > 0 { format!("; and {rest} more") } else { String::new() };
        sentences.push(format!("{}{more}.", named.join("; ")));
    }
    if !plan.undrawn.is_empty() {
        sentences.push(format!("Not drawn: {}.", plan.undrawn.join(", ")));
    }
    sentences.join(" ")
}

fn axis(which: &str, plan: &AxisPlan<'_>) -> String {
    let title = plan.axis.title.as_ref().and_then(|title| title.text.as_deref()).map(font::plain);
    let title = title.filter(|title| !title.is_empty()).map_or_else(String::new, |title| format!(" {title}"));
    let number = |at: f64| font::plain(&compact(at));
    match &plan.unit {
        Unit::Category(categories) => format!("{which} axis{title}: {} categories.", categories.names.len()),
        Unit::Date => {
            let end = |at: f64| spoken_date(at).unwrap_or_else(|| number(at));
            format!("{which} axis{title}: {} to {}.", end(plan.low), end(plan.high))
        }
        Unit::Log => {
            let value = |power: f64| number(libm::pow(10.0, power));
            format!("{which} axis{title}, logarithmic: {} to {}.", value(plan.low), value(plan.high))
        }
        Unit::Linear => format!("{which} axis{title}: {} to {}.", number(plan.low), number(plan.high)),
    }
}

fn trace(series: &Series<'_>) -> String {
    let (kind, count, unit) = match &series.form {
        Form::Points { trace, x, y } => {
            let count = x.iter().zip(y).filter(|(x, y)| x.is_finite() && y.is_finite()).count();
            let mode = super::series::mode_of(trace);
            (if mode.lines { "line" } else { "points" }, count, "point")
        }
        Form::Bars { marks, .. } => ("bars", marks.len(), "bar"),
        Form::Cells { x, y, .. } => {
            ("heatmap", x.len().saturating_sub(1) * y.len().saturating_sub(1), "cell")
        }
        Form::Boxes { marks, .. } => ("box plot", marks.len(), "box"),
    };
    let plural = match (count, unit) {
        (1, _) => "",
        (_, "box") => "es",
        _ => "s",
    };
    let name = series.trace.name().map_or_else(|| format!("trace {}", series.index), font::plain);
    format!("{name}: {kind}, {count} {unit}{plural}")
}
