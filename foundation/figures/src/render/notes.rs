//! Draws shapes and annotations.

use super::font::{self, Run};
use super::geometry::{Path, Point, Rect, clip_segment};
use super::look::font_size;
use super::marks::{Stage, opacity, stroke_width};
use super::scale::Scale;
use super::scene::{Item, Weight};
use crate::color::Color;
use crate::column::Scalar;
use crate::layout::{Annotation, Layer, Layout, Shape, ShapeKind, XAnchor, YAnchor};
use crate::style::Dash;

/// The shapes of one layer: what is cut to the plot, and their labels.
pub(crate) fn shapes(layout: &Layout, layer: Layer, stage: &Stage<'_>) -> Vec<Item> {
    let mut items = Vec::new();
    for shape in layout.shapes.iter().flatten() {
        // A line is over the traces by default and so is every shape in Plotly.
        if shape.layer.unwrap_or(Layer::Above) == layer {
            items.extend(draw_shape(shape, stage).unwrap_or_default());
        }
    }
    items
}

/// Where a coordinate of a shape lies; `None` if it has no place.
fn place(reference: Option<&str>, scalar: &Scalar, scale: &Scale, is_range: bool) -> Option<f64> {
    let reference = reference.unwrap_or("x");
    let pixel = if reference == "paper" || reference.ends_with("domain") {
        let Scalar::Number(share) = scalar else { return None };
        scale.low_edge() + share * (scale.high_edge() - scale.low_edge())
    } else {
        let unit = &scale.unit;
        scale.pixel(if is_range { unit.range_scalar(scalar) } else { unit.scalar(scalar) })
    };
    pixel.is_finite().then_some(pixel.clamp(-1e6, 1e6))
}

fn draw_shape(shape: &Shape, stage: &Stage<'_>) -> Option<Vec<Item>> {
    let x = |scalar: &Option<Scalar>| place(shape.xref.as_deref(), scalar.as_ref()?, stage.x, false);
    let y = |scalar: &Option<Scalar>| place(shape.yref.as_deref(), scalar.as_ref()?, stage.y, false);
    let (start, end) = ((x(&shape.x0)?, y(&shape.y0)?), (x(&shape.x1)?, y(&shape.y1)?));
    let fade = opacity(shape.opacity);
    let rect = Rect::spanning(start, end);
    let mut path = Path::default();
    let bounds = stage.plot.grow(40.0);
    match shape.kind.unwrap_or(ShapeKind::Rect) {
        ShapeKind::Line => {
            let (start, end) = clip_segment(start, end, &bounds)?;
            path.add_line(start, end);
        }
        ShapeKind::Rect => path.add_rect(&rect.intersect(&bounds)?),
        ShapeKind::Circle => path.add_ellipse(rect.center(), rect.width() / 2.0, rect.height() / 2.0),
    }
    let mut items = Vec::new();
    if let Some(fill) = shape.fillcolor {
        items.push(Item::Fill { path: path.clone(), color: fill.fade(fade) });
    }
    let is_line = shape.kind == Some(ShapeKind::Line);
    let line = shape.line.as_ref();
    // Plotly's own default width, so that a browser shows the same.
    let width = stroke_width(line, 2.0);
    let color = line.and_then(|line| line.color).unwrap_or(stage.look.muted).fade(fade);
    let dash =
        line.and_then(|line| line.dash.as_ref()).map_or_else(Vec::new, |dash: &Dash| dash.lengths(width));
    items.push(Item::Stroke { path, color, width, dash });
    let mut drawn = vec![Item::Clip { rect: stage.plot, items }];
    if let Some(label) = &shape.label
        && let Some(text) = &label.text
    {
        let size = font_size(label.font.as_ref(), stage.look.small);
        let color = label.font.as_ref().and_then(|font| font.color).unwrap_or(stage.look.muted);
        let run = font::line_within(text, size, stage.plot.width());
        let cap = size * font::CAP_HEIGHT;
        let seen = rect.grow(0.5).intersect(&stage.plot)?;
        let room_right = stage.plot.right - seen.left;
        let at = if is_line && rect.width() > rect.height() {
            (seen.right - run.width - 4.0, seen.top - 4.0)
        } else if run.width + 6.0 <= room_right {
            (seen.left + 5.0, seen.top + cap + 5.0)
        } else {
            (seen.right - run.width - 5.0, seen.top + cap + 5.0)
        };
        drawn.push(Item::Text { run, at, angle: 0.0, color, weight: Weight::Regular });
    }
    Some(drawn)
}

/// All annotations.
pub(crate) fn annotations(layout: &Layout, stage: &Stage<'_>) -> Vec<Item> {
    let notes = layout.annotations.iter().flatten();
    notes.filter_map(|note| draw_annotation(note, stage)).flatten().collect()
}

fn draw_annotation(note: &Annotation, stage: &Stage<'_>) -> Option<Vec<Item>> {
    let text = note.text.as_deref().filter(|text| !text.is_empty())?;
    let middle = Scalar::Number(0.5);
    let is_free = |reference: &Option<String>| {
        reference.as_deref().is_some_and(|r| r == "paper" || r.ends_with("domain"))
    };
    let coordinate = |scalar: &Option<Scalar>, reference| match scalar {
        Some(scalar) => Some(scalar.clone()),
        None => is_free(reference).then(|| middle.clone()),
    };
    let x = place(note.xref.as_deref(), &coordinate(&note.x, &note.xref)?, stage.x, true)?;
    let y = place(note.yref.as_deref(), &coordinate(&note.y, &note.yref)?, stage.y, true)?;
    let is_inside = stage.plot.grow(0.5).contains((x, y));
    let is_on_paper = is_free(&note.xref) && is_free(&note.yref);
    if !is_inside && !is_on_paper {
        return None;
    }
    let finite = |wish: Option<f64>, default: f64| {
        wish.filter(|n| n.is_finite()).unwrap_or(default).clamp(-2000.0, 2000.0)
    };
    let point = (x + finite(note.xshift, 0.0), y - finite(note.yshift, 0.0));
    let size = font_size(note.font.as_ref(), stage.look.base);
    let color = note.font.as_ref().and_then(|font| font.color).unwrap_or(stage.look.text);
    let runs = font::lines(text, size);
    let line = size * font::LINE_HEIGHT;
    let width = runs.iter().map(|run| run.width).fold(0.0, f64::max);
    let height = (runs.len() - 1) as f64 * line + size * font::CAP_HEIGHT;
    let has_arrow = note.showarrow != Some(false);
    let (center_x, center_y) = if has_arrow {
        (point.0 + finite(note.ax, -10.0), point.1 + finite(note.ay, -30.0))
    } else {
        let across = match note.xanchor {
            Some(XAnchor::Left) => 0.5,
            Some(XAnchor::Right) => -0.5,
            _ => 0.0,
        };
        let down = match note.yanchor {
            Some(YAnchor::Top) => 0.5,
            Some(YAnchor::Bottom) => -0.5,
            _ => 0.0,
        };
        (point.0 + across * (width + 6.0), point.1 + down * (height + 6.0))
    };
    // Moved back into the drawing if it would be cut off.
    let edge = |at: f64, half: f64, end: f64| at.clamp(half.min(end / 2.0), (end - half).max(end / 2.0));
    let center_x = edge(center_x, width / 2.0 + 3.0, f64::from(stage.look.size.width));
    let center_y = edge(center_y, height / 2.0 + 3.0, f64::from(stage.look.size.height));
    let frame = Rect {
        left: center_x - width / 2.0,
        top: center_y - height / 2.0,
        right: center_x + width / 2.0,
        bottom: center_y + height / 2.0,
    };
    let mut items = Vec::new();
    if has_arrow {
        let arrow_color = note.arrowcolor.unwrap_or(stage.look.muted);
        items.extend(arrow(&frame.grow(3.0), point, note.arrowhead != Some(0), arrow_color));
    }
    if let Some(background) = note.bgcolor {
        items.push(Item::Fill { path: Path::rect(&frame.grow(3.0)), color: background });
    }
    if let Some(border) = note.bordercolor {
        items.push(Item::stroke(Path::rect(&frame.grow(3.0)), border, 1.0));
    }
    items.extend(text_block(runs, &frame, size, color));
    Some(items)
}

fn text_block(runs: Vec<Run>, frame: &Rect, size: f64, color: Color) -> Vec<Item> {
    let mut items = Vec::with_capacity(runs.len());
    for (index, run) in runs.into_iter().enumerate() {
        let at = (
            frame.center().0 - run.width / 2.0,
            frame.top + size * font::CAP_HEIGHT + index as f64 * size * font::LINE_HEIGHT,
        );
        items.push(Item::Text { run, at, angle: 0.0, color, weight: Weight::Regular });
    }
    items
}

/// An arrow from the edge of `frame` to `tip`; nothing if the tip lies in the frame.
fn arrow(frame: &Rect, tip: Point, has_head: bool, color: Color) -> Vec<Item> {
    const HEAD: f64 = 7.0;
    if frame.contains(tip) {
        return Vec::new();
    }
    // The part of the line from the frame's middle to the tip that lies in the frame ends where the arrow starts.
    let Some((_, start)) = clip_segment(frame.center(), tip, frame) else { return Vec::new() };
    let (dx, dy) = (tip.0 - start.0, tip.1 - start.1);
    let length = (dx * dx + dy * dy).sqrt();
    if length < 1.0 {
        return Vec::new();
    }
    let (ux, uy) = (dx / length, dy / length);
    let head = if has_head { HEAD.min(length) } else { 0.0 };
    let neck = (tip.0 - ux * head, tip.1 - uy * head);
    let mut items = vec![Item::stroke(Path::line(start, neck), color, 1.2)];
    if has_head {
        let half = head * 0.4;
        let mut path = Path::default();
        path.add_polygon(&[
            tip,
            (neck.0 - uy * half, neck.1 + ux * half),
            (neck.0 + uy * half, neck.1 - ux * half),
        ]);
        items.push(Item::Fill { path, color });
    }
    items
}
