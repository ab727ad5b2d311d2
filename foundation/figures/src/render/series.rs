//! Traces as numbers: every trace that can be drawn, its values in the units of its axes, and how far the axes reach.

use super::bars::{self, BarMark, Heights};
use super::boxes::{self, BoxMark};
use super::extent::Extent;
use super::look::Look;
use super::ramp::{Ramp, reach};
use super::scale::Unit;
use crate::color::Color;
use crate::column::Column;
use crate::figure::Figure;
use crate::layout::{Axis, ShapeKind};
use crate::style::{Marker, MarkerColor, Visible};
use crate::trace::{Bar, BoxPlot, Fill, Heatmap, Histogram, Orientation, Scatter, Trace};

/// A trace ready to be drawn.
pub(crate) struct Series<'a> {
    /// Its place in the figure, which gives its default name and colour.
    pub(crate) index: usize,
    pub(crate) trace: &'a Trace,
    pub(crate) color: Color,
    pub(crate) form: Form<'a>,
}

/// The values of a trace in axis units.
pub(crate) enum Form<'a> {
    Points { trace: &'a Scatter, x: Vec<f64>, y: Vec<f64> },
    Bars { body: BarBody<'a>, marks: Vec<BarMark>, upright: bool },
    Cells { trace: &'a Heatmap, x: Vec<f64>, y: Vec<f64>, ramp: Ramp },
    Boxes { trace: &'a BoxPlot, marks: Vec<BoxMark>, upright: bool },
}

/// Where a bar's looks come from.
#[derive(Clone, Copy)]
pub(crate) enum BarBody<'a> {
    Bar(&'a Bar),
    Histogram(&'a Histogram),
}

/// One axis before it has a place.
pub(crate) struct AxisPlan<'a> {
    pub(crate) axis: &'a Axis,
    pub(crate) unit: Unit,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) reversed: bool,
}

pub(crate) struct Plan<'a> {
    pub(crate) series: Vec<Series<'a>>,
    pub(crate) x: AxisPlan<'a>,
    pub(crate) y: AxisPlan<'a>,
    /// Traces that cannot be drawn, in words.
    pub(crate) undrawn: Vec<String>,
}

/// Most boxes along an axis and cells across a grid are bounded by their data; this bounds the cells of one heatmap.
pub(crate) const MOST_CELLS_A_SIDE: usize = 16_384;

impl<'a> Plan<'a> {
    pub(crate) fn of(figure: &'a Figure, x_axis: &'a Axis, y_axis: &'a Axis, look: &Look) -> Self {
        let (drawn, undrawn) = sort_out(figure);
        let names = boxes::default_names(&drawn);
        let (x_columns, y_columns) = columns(&drawn, &names);
        let (x_unit, y_unit) = (Unit::of(x_axis, &x_columns), Unit::of(y_axis, &y_columns));
        let mut reaches = Reaches { x: Extent::default(), y: Extent::default() };
        let mut series = points_and_cells(&drawn, &x_unit, &y_unit, look, &mut reaches);
        series.extend(all_bars(&drawn, figure, &x_unit, &y_unit, look, &mut reaches));
        series.extend(all_boxes(&drawn, &names, &x_unit, &y_unit, look, &mut reaches));
        series.sort_by_key(|one| one.index);
        shapes_and_notes(figure, &x_unit, &y_unit, &mut reaches);
        let plan = |axis, unit, extent: Extent| {
            let (low, high, reversed) = extent.ends(axis, &unit);
            AxisPlan { axis, unit, low, high, reversed }
        };
        Self { series, x: plan(x_axis, x_unit, reaches.x), y: plan(y_axis, y_unit, reaches.y), undrawn }
    }
}

struct Reaches {
    x: Extent,
    y: Extent,
}

/// Separates what can be drawn from what cannot; hidden traces are neither.
fn sort_out(figure: &Figure) -> (Vec<(usize, &Trace)>, Vec<String>) {
    let mut drawn = Vec::new();
    let mut undrawn = Vec::new();
    for (index, trace) in figure.data.iter().enumerate() {
        if trace.visible() != Visible::Yes {
            continue;
        }
        let name = trace.name().map_or_else(|| format!("trace {index}"), super::font::plain);
        match trace {
            Trace::Unknown(map) => {
                let kind = map.get("type").and_then(serde_json::Value::as_str).unwrap_or("unknown");
                undrawn.push(format!("{name} (type {kind})"));
            }
            _ if trace.axes() != ("x", "y") => {
                let (x, y) = trace.axes();
                undrawn.push(format!("{name} (axes {x}, {y})"));
            }
            _ => drawn.push((index, trace)),
        }
    }
    (drawn, undrawn)
}

/// The columns that lie on each axis.
fn columns<'b>(
    drawn: &[(usize, &'b Trace)],
    box_names: &'b [(usize, Column)],
) -> (Vec<&'b Column>, Vec<&'b Column>) {
    let (mut on_x, mut on_y) = (Vec::new(), Vec::new());
    for (index, trace) in drawn {
        match trace {
            Trace::Scatter(trace) => {
                on_x.extend(&trace.x);
                on_y.extend(&trace.y);
            }
            Trace::Bar(trace) => {
                on_x.extend(&trace.x);
                on_y.extend(&trace.y);
            }
            Trace::Histogram(trace) => {
                if bars::upright(trace) { &mut on_x } else { &mut on_y }.extend(bars::samples(trace));
            }
            Trace::Heatmap(trace) => {
                on_x.extend(&trace.x);
                on_y.extend(&trace.y);
            }
            Trace::Box(trace) => {
                let upright = boxes::upright(trace);
                let name = box_names.iter().find(|(of, _)| of == index).map(|(_, name)| name);
                let (values, groups) = boxes::columns(trace);
                let (value_axis, group_axis) =
                    if upright { (&mut on_y, &mut on_x) } else { (&mut on_x, &mut on_y) };
                value_axis.extend(values);
                group_axis.extend(groups.or(name));
            }
            Trace::Unknown(_) => {}
        }
    }
    (on_x, on_y)
}

fn points_and_cells<'a>(
    drawn: &[(usize, &'a Trace)],
    x_unit: &Unit,
    y_unit: &Unit,
    look: &Look,
    reaches: &mut Reaches,
) -> Vec<Series<'a>> {
    let mut series = Vec::new();
    for (index, trace) in drawn.iter().copied() {
        match trace {
            Trace::Scatter(scatter) => {
                let line_color = scatter.line.as_ref().and_then(|line| line.color);
                let color = line_color.or_else(|| one_color(scatter.marker.as_ref()));
                let color = color.unwrap_or_else(|| look.series_color(index));
                let form = points(scatter, x_unit, y_unit, reaches);
                series.push(Series { index, trace, color, form });
            }
            Trace::Heatmap(heatmap) => {
                let form = cells(heatmap, x_unit, y_unit, reaches);
                series.push(Series { index, trace, color: look.series_color(index), form });
            }
            _ => {}
        }
    }
    series
}

fn one_color(marker: Option<&Marker>) -> Option<Color> {
    match marker?.color.as_ref()? {
        MarkerColor::One(color) => Some(*color),
        _ => None,
    }
}

/// Whether a scatter trace has lines, markers and texts: Plotly's default is markers only up to 20 points.
pub(crate) fn mode_of(trace: &Scatter) -> crate::trace::Mode {
    trace.mode.unwrap_or_else(|| {
        let points = trace.y.as_ref().or(trace.x.as_ref()).map_or(0, Column::len);
        if points <= 20 { crate::trace::Mode::LINES_MARKERS } else { crate::trace::Mode::LINES }
    })
}

fn points<'a>(trace: &'a Scatter, x_unit: &Unit, y_unit: &Unit, reaches: &mut Reaches) -> Form<'a> {
    let count = |column: &Option<Column>| column.as_ref().map(Column::len);
    let length = match (count(&trace.x), count(&trace.y)) {
        (Some(x), Some(y)) => x.min(y),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => 0,
    };
    let read = |unit: &Unit, column: &Option<Column>| {
        let mut values = match column {
            Some(column) => unit.read(column),
            None => (0..length).map(|index| unit.number(index as f64)).collect(),
        };
        values.truncate(length);
        values
    };
    let (x, y) = (read(x_unit, &trace.x), read(y_unit, &trace.y));
    let mode = mode_of(trace);
    for (index, (x, y)) in x.iter().zip(&y).enumerate() {
        if x.is_finite() && y.is_finite() {
            // A line runs from edge to edge; a marker or a text at the edge wants room.
            if mode.markers || mode.text {
                reaches.x.include_with_room(*x);
            } else {
                reaches.x.include(*x);
            }
            reaches.y.include_with_room(*y);
            for (error, at, unit, extent) in
                [(&trace.error_x, *x, x_unit, &mut reaches.x), (&trace.error_y, *y, y_unit, &mut reaches.y)]
            {
                if let Some((low, high)) = error_ends(error.as_ref(), index, at, unit) {
                    extent.include_with_room(low);
                    extent.include_with_room(high);
                }
            }
        }
    }
    if trace.fill == Some(Fill::ToZeroY) {
        reaches.y.stand_on_zero();
    }
    Form::Points { trace, x, y }
}

/// The two ends, in units, of the error bar at a point; `NaN` for an end without a place on a log axis.
pub(crate) fn error_ends(
    bars: Option<&crate::style::ErrorBars>,
    index: usize,
    at: f64,
    unit: &Unit,
) -> Option<(f64, f64)> {
    let plain = if matches!(unit, Unit::Log) { libm::pow(10.0, at) } else { at };
    let (up, down) = bars?.lengths(index, plain)?;
    Some((unit.number(plain - down), unit.number(plain + up)))
}

fn cells<'a>(trace: &'a Heatmap, x_unit: &Unit, y_unit: &Unit, reaches: &mut Reaches) -> Form<'a> {
    let rows = trace.z.as_ref().map_or(&[][..], |grid| grid.0.as_slice());
    let row_count = rows.len().min(MOST_CELLS_A_SIDE);
    let column_count = rows.iter().map(Vec::len).max().unwrap_or(0).min(MOST_CELLS_A_SIDE);
    let x = edges(trace.x.as_ref(), column_count, x_unit);
    let y = edges(trace.y.as_ref(), row_count, y_unit);
    for at in &x {
        reaches.x.include(*at);
    }
    for at in &y {
        reaches.y.include(*at);
    }
    let (least, most) = reach(rows.iter().flatten().copied()).unwrap_or((0.0, 1.0));
    let finite = |number: Option<f64>| number.filter(|number| number.is_finite());
    let (low, high) = match (finite(trace.zmin), finite(trace.zmax), finite(trace.zmid)) {
        (Some(low), Some(high), _) => (low, high),
        (_, _, Some(middle)) => {
            let half = (most - middle).abs().max((middle - least).abs());
            (middle - half, middle + half)
        }
        (low, high, None) => (low.unwrap_or(least), high.unwrap_or(most)),
    };
    let ramp = Ramp::new(trace.colorscale.as_ref(), trace.reversescale == Some(true), low, high);
    Form::Cells { trace, x, y, ramp }
}

/// The `count + 1` edges of cells, in units, from their centres (or from the edges themselves); empty if there are none.
fn edges(column: Option<&Column>, count: usize, unit: &Unit) -> Vec<f64> {
    if count == 0 {
        return Vec::new();
    }
    let given = column.map_or_else(Vec::new, |column| unit.read(column));
    if given.len() > count && given[..=count].iter().all(|edge| edge.is_finite()) {
        return given[..=count].to_vec();
    }
    let sound = given.len() >= count && given[..count].iter().all(|center| center.is_finite());
    let centers: Vec<f64> =
        if sound { given[..count].to_vec() } else { (0..count).map(|index| index as f64).collect() };
    if centers.len() == 1 {
        let half = match unit {
            Unit::Date => 43_200_000.0,
            _ => 0.5,
        };
        return vec![centers[0] - half, centers[0] + half];
    }
    let mut edges = Vec::with_capacity(count + 1);
    edges.push(centers[0] - (centers[1] - centers[0]) / 2.0);
    edges.extend(centers.windows(2).map(|pair| f64::midpoint(pair[0], pair[1])));
    edges.push(centers[count - 1] + (centers[count - 1] - centers[count - 2]) / 2.0);
    edges
}

fn all_bars<'a>(
    drawn: &[(usize, &'a Trace)],
    figure: &Figure,
    x_unit: &Unit,
    y_unit: &Unit,
    look: &Look,
    reaches: &mut Reaches,
) -> Vec<Series<'a>> {
    let mut series = Vec::new();
    for upright in [true, false] {
        let bars: Vec<(usize, &Trace, &Bar)> = drawn
            .iter()
            .filter_map(|(index, trace)| match trace {
                Trace::Bar(bar) if upright == (bar.orientation != Some(Orientation::Horizontal)) => {
                    Some((*index, *trace, bar.as_ref()))
                }
                _ => None,
            })
            .collect();
        let heights: Vec<Heights> =
            bars.iter().map(|(_, _, bar)| Heights::of_bar(bar, x_unit, y_unit)).collect();
        let arranged = bars::arrange(&heights, &figure.layout, 0.2);
        let arranged = bars.into_iter().zip(arranged).map(|((index, trace, bar), marks)| {
            let color = one_color(bar.marker.as_ref()).unwrap_or_else(|| look.series_color(index));
            Series { index, trace, color, form: Form::Bars { body: BarBody::Bar(bar), marks, upright } }
        });

        let counted: Vec<(usize, &Trace, &Histogram)> = drawn
            .iter()
            .filter_map(|(index, trace)| match trace {
                Trace::Histogram(histogram) if upright == bars::upright(histogram) => {
                    Some((*index, *trace, histogram.as_ref()))
                }
                _ => None,
            })
            .collect();
        let traces: Vec<&Histogram> = counted.iter().map(|(_, _, histogram)| *histogram).collect();
        let bins = bars::histograms(&traces, if upright { x_unit } else { y_unit }, &figure.layout);
        let counted = counted.into_iter().zip(bins).map(|((index, trace, histogram), marks)| {
            let color = one_color(histogram.marker.as_ref()).unwrap_or_else(|| look.series_color(index));
            Series {
                index,
                trace,
                color,
                form: Form::Bars { body: BarBody::Histogram(histogram), marks, upright },
            }
        });
        for one in arranged.chain(counted) {
            if let Form::Bars { marks, .. } = &one.form {
                let (position, value, unit) = if upright {
                    (&mut reaches.x, &mut reaches.y, y_unit)
                } else {
                    (&mut reaches.y, &mut reaches.x, x_unit)
                };
                bars::extend(marks, position, value, unit);
            }
            series.push(one);
        }
    }
    series
}

fn all_boxes<'a>(
    drawn: &[(usize, &'a Trace)],
    names: &[(usize, Column)],
    x_unit: &Unit,
    y_unit: &Unit,
    look: &Look,
    reaches: &mut Reaches,
) -> Vec<Series<'a>> {
    let mut series = Vec::new();
    for (index, trace) in drawn.iter().copied() {
        let Trace::Box(plot) = trace else { continue };
        let upright = boxes::upright(plot);
        let name = names.iter().find(|(of, _)| *of == index).map(|(_, name)| name);
        let (value_unit, group_unit, value_reach, group_reach) = if upright {
            (y_unit, x_unit, &mut reaches.y, &mut reaches.x)
        } else {
            (x_unit, y_unit, &mut reaches.x, &mut reaches.y)
        };
        let marks = boxes::marks(plot, name, value_unit, group_unit);
        for mark in &marks {
            group_reach.include(mark.at - 0.5);
            group_reach.include(mark.at + 0.5);
            mark.outliers
                .iter()
                .chain([&mark.low, &mark.high])
                .for_each(|at| value_reach.include_with_room(*at));
        }
        let color =
            plot.line.as_ref().and_then(|line| line.color).or_else(|| one_color(plot.marker.as_ref()));
        let color = color.unwrap_or_else(|| look.series_color(index));
        series.push(Series { index, trace, color, form: Form::Boxes { trace: plot, marks, upright } });
    }
    series
}

/// Shapes and annotations that are measured by an axis widen it, as in Plotly.
fn shapes_and_notes(figure: &Figure, x_unit: &Unit, y_unit: &Unit, reaches: &mut Reaches) {
    for shape in figure.layout.shapes.iter().flatten() {
        let room = shape.kind != Some(ShapeKind::Rect);
        for (reference, ends, unit, extent) in [
            (shape.xref.as_deref().unwrap_or("x"), [&shape.x0, &shape.x1], x_unit, &mut reaches.x),
            (shape.yref.as_deref().unwrap_or("y"), [&shape.y0, &shape.y1], y_unit, &mut reaches.y),
        ] {
            if !matches!(reference, "x" | "y") || matches!(unit, Unit::Category(_)) {
                continue;
            }
            for at in ends.into_iter().flatten().map(|end| unit.scalar(end)) {
                if room { extent.include_with_room(at) } else { extent.include(at) }
            }
        }
    }
    for note in figure.layout.annotations.iter().flatten() {
        if let Some(x) = &note.x
            && matches!(note.xref.as_deref(), None | Some("x"))
        {
            reaches.x.include_with_room(x_unit.range_scalar(x));
        }
        if let Some(y) = &note.y
            && matches!(note.yref.as_deref(), None | Some("y"))
        {
            reaches.y.include_with_room(y_unit.range_scalar(y));
        }
    }
}
