//! Draws the traces.

use super::decimate::{self, Taken};
use super::font;
use super::geometry::{Path, Point, Rect, clip_polygon, clip_polyline, clip_segment};
use super::look::{Look, font_size};
use super::number;
use super::ramp::{Ramp, reach};
use super::scale::Scale;
use super::scene::{Item, Weight};
use super::series::{Form, Series, error_ends, mode_of};
use super::symbols::{self, Ink};
use crate::color::Color;
use crate::column::{Labels, OneOrEach};
use crate::style::{Line, LineShape, Marker, MarkerColor, Symbol};
use crate::trace::{BoxPlot, Fill, Scatter, TextPosition};

/// Where traces are drawn.
pub(crate) struct Stage<'a> {
    pub(crate) x: &'a Scale,
    pub(crate) y: &'a Scale,
    pub(crate) plot: Rect,
    pub(crate) look: &'a Look,
}

/// What one trace draws: `clipped` only within the plot, `free` also over its edge (markers and texts of points in it).
#[derive(Default)]
pub(crate) struct Drawn {
    pub(crate) clipped: Vec<Item>,
    pub(crate) free: Vec<Item>,
}

/// Most markers with a tooltip in one trace; more would make the SVG heavier than a page should be.
const MOST_TIPS: usize = 2_000;
/// Most texts drawn by one trace.
const MOST_TEXTS: usize = 1_000;

impl Stage<'_> {
    fn point(&self, x: f64, y: f64) -> Point {
        (self.x.pixel(x), self.y.pixel(y))
    }

    /// The plot with room for the width of lines that run along its edge.
    fn bounds(&self) -> Rect {
        self.plot.grow(40.0)
    }
}

/// Draws one series; `previous` is the line before it, for a fill down to it.
pub(crate) fn draw(series: &Series<'_>, previous: Option<&[Point]>, stage: &Stage<'_>) -> Drawn {
    match &series.form {
        Form::Points { trace, x, y } => draw_points(trace, x, y, series.color, previous, stage),
        Form::Bars { body, marks, upright } => {
            super::solids::bars(*body, marks, *upright, series.color, stage)
        }
        Form::Cells { trace, x, y, ramp } => super::solids::cells(trace, x, y, ramp, stage),
        Form::Boxes { trace, marks, upright } => {
            super::solids::boxes(trace, marks, *upright, series.color, stage)
        }
    }
}

/// A trace's own opacity.
pub(crate) fn opacity(series_opacity: Option<f64>) -> f64 {
    series_opacity.filter(|opacity| opacity.is_finite()).unwrap_or(1.0).clamp(0.0, 1.0)
}

/// The points of a trace in pixels, cut at gaps.
fn pieces(trace: &Scatter, x: &[f64], y: &[f64], stage: &Stage<'_>) -> Vec<Vec<Point>> {
    let mut pieces = vec![Vec::new()];
    for (x, y) in x.iter().zip(y) {
        if x.is_finite() && y.is_finite() {
            if let Some(piece) = pieces.last_mut() {
                piece.push(stage.point(*x, *y));
            }
        } else if trace.connectgaps != Some(true) && pieces.last().is_some_and(|piece| !piece.is_empty()) {
            pieces.push(Vec::new());
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// The corners of a line through `points` that runs in steps.
fn shaped(points: Vec<Point>, shape: Option<LineShape>) -> Vec<Point> {
    let corners: fn(Point, Point) -> Vec<Point> = match shape {
        Some(LineShape::Hv) => |a, b| vec![(b.0, a.1)],
        Some(LineShape::Vh) => |a, b| vec![(a.0, b.1)],
        Some(LineShape::Hvh) => |a, b| vec![(f64::midpoint(a.0, b.0), a.1), (f64::midpoint(a.0, b.0), b.1)],
        Some(LineShape::Vhv) => |a, b| vec![(a.0, f64::midpoint(a.1, b.1)), (b.0, f64::midpoint(a.1, b.1))],
        Some(LineShape::Linear | LineShape::Spline) | None => return points,
    };
    let mut shaped = Vec::with_capacity(points.len() * 2);
    for pair in points.windows(2) {
        shaped.push(pair[0]);
        shaped.extend(corners(pair[0], pair[1]));
    }
    shaped.extend(points.last());
    shaped
}

/// All points of a trace in pixels, in steps where it runs in them; what the next trace may be filled down to.
pub(crate) fn outline(series: &Series<'_>, stage: &Stage<'_>) -> Option<Vec<Point>> {
    let Form::Points { trace, x, y } = &series.form else { return None };
    let shape = trace.line.as_ref().and_then(|line| line.shape);
    Some(
        pieces(trace, x, y, stage)
            .into_iter()
            .flat_map(|piece| shaped(decimate::line(piece), shape))
            .collect(),
    )
}

fn draw_points(
    trace: &Scatter,
    x: &[f64],
    y: &[f64],
    color: Color,
    previous: Option<&[Point]>,
    stage: &Stage<'_>,
) -> Drawn {
    let mut drawn = Drawn::default();
    let opacity = opacity(trace.opacity);
    let mode = mode_of(trace);
    let bounds = stage.bounds();
    let shape = trace.line.as_ref().and_then(|line| line.shape);
    let pieces: Vec<Vec<Point>> =
        pieces(trace, x, y, stage).into_iter().map(|piece| shaped(decimate::line(piece), shape)).collect();

    let fill = trace.fill.unwrap_or(Fill::None);
    if fill != Fill::None {
        let fill_color = trace.fillcolor.unwrap_or_else(|| color.fade(0.25)).fade(opacity);
        let mut path = Path::default();
        let whole: Vec<Point>;
        // Down to another line the area is one; down to zero each piece has its own.
        let areas: Vec<&[Point]> = if fill == Fill::ToNextY && previous.is_some() {
            whole = pieces.iter().flatten().copied().collect();
            vec![&whole]
        } else {
            pieces.iter().map(Vec::as_slice).collect()
        };
        for area in areas {
            let mut polygon = area.to_vec();
            match (fill, previous, area.first(), area.last()) {
                (Fill::ToSelf, ..) => {}
                (Fill::ToNextY, Some(previous), ..) => polygon.extend(previous.iter().rev()),
                (_, _, Some(first), Some(last)) => {
                    let zero = stage.y.zero_pixel();
                    polygon.extend([(last.0, zero), (first.0, zero)]);
                }
                _ => {}
            }
            path.add_polygon(&clip_polygon(&polygon, &bounds));
        }
        drawn.clipped.push(Item::Fill { path, color: fill_color });
    }

    if mode.lines {
        let mut path = Path::default();
        for piece in &pieces {
            for part in clip_polyline(piece, &bounds) {
                path.add_polyline(&part);
            }
        }
        let width = stroke_width(trace.line.as_ref(), 2.0);
        let dash = trace.line.as_ref().and_then(|line| line.dash.as_ref());
        let dash = dash.map_or_else(Vec::new, |dash| dash.lengths(width));
        drawn.clipped.push(Item::Stroke { path, color: color.fade(opacity), width, dash });
    }
    draw_errors(trace, x, y, color.fade(opacity), stage, &mut drawn.clipped);
    if mode.markers {
        draw_markers(trace, x, y, color, opacity, stage, &mut drawn.free);
    }
    if mode.text
        && let Some(text) = &trace.text
    {
        draw_texts(trace, text, x, y, opacity, stage, &mut drawn.free);
    }
    drawn
}

pub(crate) fn stroke_width(line: Option<&Line>, default: f64) -> f64 {
    line.and_then(|line| line.width).filter(|width| width.is_finite()).unwrap_or(default).clamp(0.0, 100.0)
}

fn draw_errors(
    trace: &Scatter,
    x: &[f64],
    y: &[f64],
    color: Color,
    stage: &Stage<'_>,
    items: &mut Vec<Item>,
) {
    let bounds = stage.bounds();
    for (errors, is_vertical) in [(&trace.error_x, false), (&trace.error_y, true)] {
        let Some(errors) = errors else { continue };
        let cap = errors.width.filter(|width| width.is_finite()).unwrap_or(4.0).clamp(0.0, 50.0);
        let mut path = Path::default();
        let mut add = |a: Point, b: Point| {
            if let Some((a, b)) = clip_segment(a, b, &bounds) {
                path.add_line(a, b);
            }
        };
        for (index, (x, y)) in x.iter().zip(y).enumerate() {
            let (at, scale) = if is_vertical { (*y, stage.y) } else { (*x, stage.x) };
            if !x.is_finite() || !y.is_finite() {
                continue;
            }
            let Some((low, high)) = error_ends(Some(errors), index, at, &scale.unit) else { continue };
            let end = |at: f64| if at.is_nan() { scale.pixel(f64::NEG_INFINITY) } else { scale.pixel(at) };
            let (low, high) = (end(low), end(high));
            if is_vertical {
                let across = stage.x.pixel(*x);
                add((across, low), (across, high));
                add((across - cap, low), (across + cap, low));
                add((across - cap, high), (across + cap, high));
            } else {
                let down = stage.y.pixel(*y);
                add((low, down), (high, down));
                add((low, down - cap), (low, down + cap));
                add((high, down - cap), (high, down + cap));
            }
        }
        let width = errors.thickness.filter(|width| width.is_finite()).unwrap_or(1.5).clamp(0.0, 50.0);
        items.push(Item::stroke(path, errors.color.unwrap_or(color), width));
    }
}

/// The colour scale of markers coloured by numbers.
pub(crate) fn marker_ramp(marker: &Marker) -> Option<Ramp> {
    let Some(MarkerColor::Scaled(crate::column::Column::Numbers(numbers))) = &marker.color else {
        return None;
    };
    let (least, most) = reach(numbers.iter().copied()).unwrap_or((0.0, 1.0));
    let finite =
        |wish: Option<f64>, default: f64| wish.filter(|number| number.is_finite()).unwrap_or(default);
    let (low, high) = (finite(marker.cmin, least), finite(marker.cmax, most));
    Some(Ramp::new(marker.colorscale.as_ref(), marker.reversescale == Some(true), low, high))
}

/// The looks of the marker at one point.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct MarkerLook {
    pub(crate) symbol: Symbol,
    pub(crate) radius: f64,
    pub(crate) color: Color,
    pub(crate) rim: Color,
    pub(crate) rim_width: f64,
}

/// The looks of a trace's markers by index.
pub(crate) fn marker_looks(
    marker: Option<&Marker>,
    color: Color,
    opacity: f64,
) -> impl Fn(usize) -> MarkerLook + '_ {
    let ramp = marker.and_then(marker_ramp);
    move |index| {
        let at = |wish: Option<&OneOrEach<f64>>| wish?.at(index).copied().filter(|number| number.is_finite());
        let diameter = at(marker.and_then(|marker| marker.size.as_ref())).unwrap_or(6.0).clamp(0.0, 400.0);
        let own = match marker.and_then(|marker| marker.color.as_ref()) {
            Some(MarkerColor::One(one)) => Some(*one),
            Some(MarkerColor::Each(colors)) => colors.get(index).copied(),
            Some(MarkerColor::Scaled(crate::column::Column::Numbers(numbers))) => {
                ramp.as_ref().zip(numbers.get(index)).map(|(ramp, number)| ramp.color(*number))
            }
            _ => None,
        };
        let fade = at(marker.and_then(|marker| marker.opacity.as_ref())).unwrap_or(1.0) * opacity;
        let line = marker.and_then(|marker| marker.line.as_ref());
        let symbol =
            marker.and_then(|marker| marker.symbol.as_ref()).and_then(|symbol| symbol.at(index)).copied();
        MarkerLook {
            symbol: symbol.unwrap_or(Symbol::Circle),
            radius: diameter / 2.0,
            color: own.unwrap_or(color).fade(fade),
            rim: line.and_then(|line| line.color).unwrap_or_else(|| own.unwrap_or(color)).fade(fade),
            rim_width: stroke_width(line, 0.0),
        }
    }
}

/// Items that paint `path`, made of markers of one look.
pub(crate) fn paint_markers(path: Path, ink: Ink, look: &MarkerLook) -> Vec<Item> {
    match ink {
        Ink::Outlined => vec![Item::stroke(path, look.color, look.rim_width.max(1.5))],
        Ink::Filled if look.rim_width > 0.0 => vec![
            Item::Fill { path: path.clone(), color: look.color },
            Item::stroke(path, look.rim, look.rim_width),
        ],
        Ink::Filled => vec![Item::Fill { path, color: look.color }],
    }
}

fn draw_markers(
    trace: &Scatter,
    x: &[f64],
    y: &[f64],
    color: Color,
    opacity: f64,
    stage: &Stage<'_>,
    items: &mut Vec<Item>,
) {
    let looks = marker_looks(trace.marker.as_ref(), color, opacity);
    let inside = stage.plot.grow(0.01);
    let tips = trace.hovertext.as_ref().or(trace.text.as_ref()).filter(|_| x.len() <= MOST_TIPS);
    let mut batch: Option<(MarkerLook, Ink, Path)> = None;
    let mut taken = Taken::default();
    let flush = |batch: Option<(MarkerLook, Ink, Path)>, items: &mut Vec<Item>| {
        if let Some((look, ink, path)) = batch {
            items.extend(paint_markers(path, ink, &look));
        }
    };
    for (index, (x, y)) in x.iter().zip(y).enumerate() {
        if !x.is_finite() || !y.is_finite() {
            continue;
        }
        let point = stage.point(*x, *y);
        if !inside.contains(point) {
            continue;
        }
        let look = looks(index);
        if let Some(text) = tips.and_then(|tips| tips.at(index)) {
            flush(batch.take(), items);
            let mut path = Path::default();
            let ink = symbols::add(&mut path, look.symbol, point, look.radius);
            items.push(Item::Tip { text: font::plain(&text), items: paint_markers(path, ink, &look) });
            continue;
        }
        // Overlapping markers that let each other through are seen one by one, so they are drawn one by one.
        let starts_anew = batch.as_ref().is_none_or(|(before, ..)| *before != look) || look.color.a < 255;
        if starts_anew {
            if batch.as_ref().is_none_or(|(before, ..)| *before != look) {
                taken = Taken::default();
            }
            flush(batch.take(), items);
        }
        if !taken.is_new(point) {
            continue;
        }
        let mut path = batch.take().map_or_else(Path::default, |(_, _, path)| path);
        let ink = symbols::add(&mut path, look.symbol, point, look.radius);
        batch = Some((look, ink, path));
    }
    flush(batch, items);
}

fn draw_texts(
    trace: &Scatter,
    text: &Labels,
    x: &[f64],
    y: &[f64],
    opacity: f64,
    stage: &Stage<'_>,
    items: &mut Vec<Item>,
) {
    let size = font_size(trace.textfont.as_ref(), stage.look.small);
    let color = trace.textfont.as_ref().and_then(|font| font.color).unwrap_or(stage.look.text).fade(opacity);
    let looks = marker_looks(trace.marker.as_ref(), color, 1.0);
    let has_markers = mode_of(trace).markers;
    let position = trace.textposition.unwrap_or(TextPosition::MiddleCenter);
    let (across, up) = text_offset(position);
    let mut count = 0;
    for (index, (x, y)) in x.iter().zip(y).enumerate() {
        let Some(label) = text.at(index).filter(|_| x.is_finite() && y.is_finite()) else { continue };
        let point = stage.point(*x, *y);
        if !stage.plot.grow(0.01).contains(point) || count == MOST_TEXTS {
            continue;
        }
        count += 1;
        let away = if has_markers { looks(index).radius + 3.0 } else { 2.0 };
        let run = font::line(&label, size);
        let left = point.0 - run.width / 2.0 + across * (run.width / 2.0 + away);
        let cap = size * font::CAP_HEIGHT;
        let baseline = point.1 + cap / 2.0 - up * (cap / 2.0 + away);
        items.push(Item::Text { run, at: (left, baseline), angle: 0.0, color, weight: Weight::Regular });
    }
}

/// Where a text stands beside its point: -1 left to 1 right, -1 below to 1 above.
fn text_offset(position: TextPosition) -> (f64, f64) {
    match position {
        TextPosition::TopLeft => (-1.0, 1.0),
        TextPosition::TopCenter => (0.0, 1.0),
        TextPosition::TopRight => (1.0, 1.0),
        TextPosition::MiddleLeft => (-1.0, 0.0),
        TextPosition::MiddleRight => (1.0, 0.0),
        TextPosition::BottomLeft => (-1.0, -1.0),
        TextPosition::BottomCenter => (0.0, -1.0),
        TextPosition::BottomRight => (1.0, -1.0),
        _ => (0.0, 0.0),
    }
}

/// The colour key of a series, if it has one to show: its scale, title, format and suffix.
pub(crate) fn color_key(series: &Series<'_>) -> Option<super::legend::Key> {
    let (ramp, bar) = match &series.form {
        Form::Cells { trace, ramp, .. } if trace.showscale != Some(false) => {
            (ramp.clone(), trace.colorbar.as_ref())
        }
        Form::Points { trace, .. } => {
            let marker = trace.marker.as_ref().filter(|marker| marker.showscale == Some(true))?;
            (marker_ramp(marker)?, marker.colorbar.as_ref())
        }
        _ => return None,
    };
    Some(super::legend::Key {
        ramp,
        title: bar
            .and_then(|bar| bar.title.as_ref())
            .and_then(|title| title.text.clone())
            .unwrap_or_default(),
        format: bar.and_then(|bar| bar.tickformat.clone()),
        suffix: bar.and_then(|bar| bar.ticksuffix.clone()).unwrap_or_default(),
    })
}

/// The fill of a box: its own colour, else the line's, thinned.
pub(crate) fn box_fill(trace: &BoxPlot, color: Color) -> Color {
    trace.fillcolor.unwrap_or_else(|| color.fade(0.3))
}

/// A number for a label: by the format if there is one.
pub(crate) fn written(value: f64, format: Option<&str>) -> String {
    format.and_then(|format| number::d3_format(format, value)).unwrap_or_else(|| number::compact(value))
}
