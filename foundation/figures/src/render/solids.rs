//! Draws what is made of areas: bars, heatmap cells, boxes.

use super::bars::BarMark;
use super::boxes::BoxMark;
use super::font;
use super::geometry::{Path, Point, Rect};
use super::look::{Look, font_size};
use super::marks::{Drawn, Stage, box_fill, marker_looks, opacity, stroke_width, written};
use super::ramp::Ramp;
use super::scene::{Item, Weight};
use super::series::BarBody;
use super::symbols;
use crate::color::Color;
use crate::style::{MarkerColor, Symbol};
use crate::trace::{Bar, BoxPlot, Heatmap, TextPosition};

/// Most bars with a tooltip in one trace.
const MOST_TIPS: usize = 2_000;
/// Heatmaps with more cells than this are drawn as an image.
const MOST_CELL_RECTS: usize = 2_500;

/// Bars, from their marks.
pub(crate) fn bars(
    body: BarBody<'_>,
    marks: &[BarMark],
    upright: bool,
    color: Color,
    stage: &Stage<'_>,
) -> Drawn {
    let mut drawn = Drawn::default();
    let (marker, trace_opacity) = match body {
        BarBody::Bar(bar) => (bar.marker.as_ref(), bar.opacity),
        BarBody::Histogram(histogram) => (histogram.marker.as_ref(), histogram.opacity),
    };
    let looks = marker_looks(marker, color, opacity(trace_opacity));
    let one_look =
        !matches!(
            marker.and_then(|marker| marker.color.as_ref()),
            Some(MarkerColor::Each(_) | MarkerColor::Scaled(_))
        ) && !matches!(marker.and_then(|marker| marker.opacity.as_ref()), Some(crate::OneOrEach::Each(_)));
    let tips = match body {
        BarBody::Bar(bar) => bar.hovertext.as_ref().filter(|_| marks.len() <= MOST_TIPS),
        BarBody::Histogram(_) => None,
    };
    let bounds = stage.plot.grow(40.0);
    let mut common = Path::default();
    let mut rects: Vec<(usize, Rect)> = Vec::with_capacity(marks.len());
    for (place, mark) in marks.iter().enumerate() {
        let index = if matches!(body, BarBody::Histogram(_)) { place } else { mark.index };
        let Some(rect) = bar_rect(mark, upright, matches!(body, BarBody::Histogram(_)), stage) else {
            continue;
        };
        rects.push((mark.index, rect));
        let Some(visible) = rect.intersect(&bounds) else { continue };
        let tip = tips.and_then(|tips| tips.at(index));
        if one_look && tip.is_none() {
            common.add_rect(&visible);
            continue;
        }
        let look = looks(index);
        let mut items = vec![Item::Fill { path: Path::rect(&visible), color: look.color }];
        if look.rim_width > 0.0 {
            items.push(Item::stroke(Path::rect(&visible), look.rim, look.rim_width));
        }
        match tip {
            Some(text) => drawn.clipped.push(Item::Tip { text: font::plain(&text), items }),
            None => drawn.clipped.extend(items),
        }
    }
    let look = looks(0);
    drawn.clipped.push(Item::Fill { path: common.clone(), color: look.color });
    if look.rim_width > 0.0 {
        drawn.clipped.push(Item::stroke(common, look.rim, look.rim_width));
    }
    if let BarBody::Bar(bar) = body {
        bar_errors(bar, marks, upright, color, stage, &mut drawn.clipped);
        bar_texts(bar, marks, &rects, upright, &looks, stage, &mut drawn.free);
    }
    drawn
}

fn bar_rect(mark: &BarMark, upright: bool, is_bin: bool, stage: &Stage<'_>) -> Option<Rect> {
    let (position, value) = if upright { (stage.x, stage.y) } else { (stage.y, stage.x) };
    let (start, end) = (position.pixel(mark.start), position.pixel(mark.end));
    let (from, to) = (value.number_pixel(mark.from), value.number_pixel(mark.to));
    if [start, end, from, to].iter().any(|pixel| pixel.is_nan()) {
        return None;
    }
    // Neighbouring bins are told apart by half a pixel left free on each side, where there is room for it.
    let inset = if is_bin && (end - start).abs() >= 4.0 { 0.5 } else { 0.0 };
    let (start, end) = (start.min(end) + inset, start.max(end) - inset);
    Some(if upright {
        Rect::spanning((start, from), (end, to))
    } else {
        Rect::spanning((from, start), (to, end))
    })
}

fn bar_errors(
    bar: &Bar,
    marks: &[BarMark],
    upright: bool,
    color: Color,
    stage: &Stage<'_>,
    items: &mut Vec<Item>,
) {
    let errors = if upright { &bar.error_y } else { &bar.error_x };
    let Some(errors) = errors else { return };
    let (position, value) = if upright { (stage.x, stage.y) } else { (stage.y, stage.x) };
    let cap = errors.width.filter(|width| width.is_finite()).unwrap_or(4.0).clamp(0.0, 50.0);
    let mut path = Path::default();
    for mark in marks {
        let Some((up, down)) = errors.lengths(mark.index, mark.to) else { continue };
        let middle = position.pixel(f64::midpoint(mark.start, mark.end));
        let (low, high) = (value.number_pixel(mark.to - down), value.number_pixel(mark.to + up));
        let mut add = |a: Point, b: Point| {
            let turn = |(along, across): Point| if upright { (across, along) } else { (along, across) };
            if let Some((a, b)) = super::geometry::clip_segment(turn(a), turn(b), &stage.plot.grow(40.0)) {
                path.add_line(a, b);
            }
        };
        add((low, middle), (high, middle));
        add((low, middle - cap), (low, middle + cap));
        add((high, middle - cap), (high, middle + cap));
    }
    let width = errors.thickness.filter(|width| width.is_finite()).unwrap_or(1.5).clamp(0.0, 50.0);
    // Bars are of the trace's colour themselves, so their errors take the text's.
    let ink = if color.a == 0 { color } else { stage.look.text };
    items.push(Item::stroke(path, errors.color.unwrap_or(ink), width));
}

fn bar_texts(
    bar: &Bar,
    marks: &[BarMark],
    rects: &[(usize, Rect)],
    upright: bool,
    looks: &impl Fn(usize) -> super::marks::MarkerLook,
    stage: &Stage<'_>,
    items: &mut Vec<Item>,
) {
    let Some(text) = &bar.text else { return };
    let position = bar.textposition.unwrap_or(TextPosition::Auto);
    if position == TextPosition::None {
        return;
    }
    let size = font_size(bar.textfont.as_ref(), stage.look.small);
    let own_color = bar.textfont.as_ref().and_then(|font| font.color);
    let cap = size * font::CAP_HEIGHT;
    for (index, rect) in rects {
        let (Some(label), Some(seen)) = (text.at(*index), rect.grow(0.5).intersect(&stage.plot)) else {
            continue;
        };
        let run = font::line(&label, size);
        let room = if upright { seen.width() } else { seen.height() };
        let across = if upright { run.width } else { size };
        if across > room + if upright { 14.0 } else { 4.0 } {
            continue;
        }
        let along = if upright { cap } else { run.width };
        let length = if upright { seen.height() } else { seen.width() };
        let fits_inside = length >= along + 8.0 && across <= room;
        let inside = match position {
            TextPosition::Outside => false,
            TextPosition::Inside => true,
            _ => fits_inside,
        };
        let grows_down = marks.iter().any(|mark| mark.index == *index && mark.to < mark.from);
        let (x, y) = seen.center();
        let away = 4.0;
        let at = match (upright, inside, grows_down) {
            (true, true, false) => (x - run.width / 2.0, seen.top + away + cap),
            (true, true, true) => (x - run.width / 2.0, seen.bottom - away),
            (true, false, false) => (x - run.width / 2.0, seen.top - away),
            (true, false, true) => (x - run.width / 2.0, seen.bottom + away + cap),
            (false, true, false) => (seen.right - away - run.width, y + cap / 2.0),
            (false, true, true) => (seen.left + away, y + cap / 2.0),
            (false, false, false) => (seen.right + away, y + cap / 2.0),
            (false, false, true) => (seen.left - away - run.width, y + cap / 2.0),
        };
        let ink = if inside { Look::ink_on(looks(*index).color) } else { stage.look.text };
        items.push(Item::Text {
            run,
            at,
            angle: 0.0,
            color: own_color.unwrap_or(ink),
            weight: Weight::Regular,
        });
    }
}

/// The cells of a heatmap.
pub(crate) fn cells(trace: &Heatmap, x: &[f64], y: &[f64], ramp: &Ramp, stage: &Stage<'_>) -> Drawn {
    let mut drawn = Drawn::default();
    let (Some(grid), true) = (&trace.z, x.len() > 1 && y.len() > 1) else { return drawn };
    let fade = opacity(trace.opacity);
    let x: Vec<f64> = x.iter().map(|edge| stage.x.pixel(*edge)).collect();
    let y: Vec<f64> = y.iter().map(|edge| stage.y.pixel(*edge)).collect();
    let value = |row: usize, column: usize| {
        grid.0.get(row).and_then(|row| row.get(column)).copied().unwrap_or(f64::NAN)
    };
    let (columns, rows) = (x.len() - 1, y.len() - 1);
    if columns * rows > MOST_CELL_RECTS {
        drawn.clipped.extend(cell_image(&x, &y, &value, |number| ramp.color(number).fade(fade), &stage.plot));
        return drawn;
    }
    let gap = |wish: Option<f64>| wish.filter(|gap| gap.is_finite()).unwrap_or(0.0).clamp(0.0, 100.0) / 2.0;
    let (gap_x, gap_y) = (gap(trace.xgap), gap(trace.ygap));
    for row in 0..rows {
        for column in 0..columns {
            let number = value(row, column);
            let color = ramp.color(number).fade(fade);
            let mut rect = Rect::spanning((x[column], y[row]), (x[column + 1], y[row + 1]));
            if gap_x == 0.0 && gap_y == 0.0 {
                // Whole pixels, so that no seam of half-covered pixels shows between neighbours.
                rect = Rect {
                    left: rect.left.round(),
                    top: rect.top.round(),
                    right: rect.right.round(),
                    bottom: rect.bottom.round(),
                };
            } else {
                rect = Rect {
                    left: rect.left + gap_x,
                    top: rect.top + gap_y,
                    right: rect.right - gap_x,
                    bottom: rect.bottom - gap_y,
                };
            }
            let Some(seen) = rect.intersect(&stage.plot.grow(1.0)) else { continue };
            drawn.clipped.push(Item::Fill { path: Path::rect(&seen), color });
            if let Some(text) = trace.texttemplate.as_deref().and_then(|template| cell_text(template, number))
            {
                let run = font::line(&text, stage.look.small);
                if run.width + 4.0 <= seen.width() && stage.look.small <= seen.height() {
                    let (middle_x, middle_y) = seen.center();
                    let at =
                        (middle_x - run.width / 2.0, middle_y + stage.look.small * font::CAP_HEIGHT / 2.0);
                    let color = Look::ink_on(color);
                    drawn.clipped.push(Item::Text { run, at, angle: 0.0, color, weight: Weight::Regular });
                }
            }
        }
    }
    drawn
}

/// A cell's text by the parts of Plotly's template that are known: `%{z}` and `%{z:format}`.
fn cell_text(template: &str, number: f64) -> Option<String> {
    if !number.is_finite() {
        return None;
    }
    let (before, rest) = template.split_once("%{z")?;
    let (format, after) = rest.split_once('}')?;
    Some(format!("{before}{}{after}", written(number, format.strip_prefix(':'))))
}

/// A grid with more cells than a page should hold as an image of the plot's own pixels. Where cells are smaller than a
/// pixel, the pixel shows the largest in size of the cells under it: a lone extreme stays visible.
fn cell_image(
    x: &[f64],
    y: &[f64],
    value: &impl Fn(usize, usize) -> f64,
    color: impl Fn(f64) -> Color,
    plot: &Rect,
) -> Option<Item> {
    let bounds = Rect::spanning((x[0], y[0]), (*x.last()?, *y.last()?)).intersect(plot)?;
    let rect = Rect {
        left: bounds.left.floor(),
        top: bounds.top.floor(),
        right: bounds.right.ceil(),
        bottom: bounds.bottom.ceil(),
    };
    let (width, height) = (rect.width() as usize, rect.height() as usize);
    let columns = cells_under(x, rect.left, width);
    let rows = cells_under(y, rect.top, height);
    let mut pixels = Vec::with_capacity(width * height);
    for (first_row, end_row) in &rows {
        for (first_column, end_column) in &columns {
            let mut shown = f64::NAN;
            for row in *first_row..*end_row {
                for column in *first_column..*end_column {
                    let candidate = value(row, column);
                    if candidate.is_finite() && (shown.is_nan() || candidate.abs() > shown.abs()) {
                        shown = candidate;
                    }
                }
            }
            pixels.push(color(shown));
        }
    }
    Some(Item::Image { rect, columns: width as u32, rows: height as u32, pixels })
}

/// For each of `count` pixels from `start`, the range of cells it shows: the one at its centre, or all that it touches
/// where more than two share it.
fn cells_under(edges: &[f64], start: f64, count: usize) -> Vec<(usize, usize)> {
    let cells = edges.len() - 1;
    let is_ascending = edges[0] <= edges[cells];
    let mut sorted = edges.to_vec();
    if !is_ascending {
        sorted.reverse();
    }
    let cell = |pixel: f64| sorted.partition_point(|edge| *edge <= pixel).saturating_sub(1).min(cells - 1);
    let under = |index: usize| {
        let left = start + index as f64;
        let center = left + 0.5;
        if !(sorted[0]..=sorted[cells]).contains(&center) {
            return (0, 0);
        }
        let (first, last) = (cell(left), cell(left + 1.0 - 1e-6));
        let (first, end) =
            if last <= first + 1 { (cell(center), cell(center) + 1) } else { (first, last + 1) };
        if is_ascending { (first, end) } else { (cells - end, cells - first) }
    };
    (0..count).map(under).collect()
}

/// Boxes with whiskers and outliers.
pub(crate) fn boxes(
    trace: &BoxPlot,
    marks: &[BoxMark],
    upright: bool,
    color: Color,
    stage: &Stage<'_>,
) -> Drawn {
    let mut drawn = Drawn::default();
    let fade = opacity(trace.opacity);
    let (position, value) = if upright { (stage.x, stage.y) } else { (stage.y, stage.x) };
    let turn = |across: f64, along: f64| if upright { (across, along) } else { (along, across) };
    let line = color.fade(fade);
    let width = stroke_width(trace.line.as_ref(), 1.5);
    let looks = marker_looks(trace.marker.as_ref(), color, fade);
    for mark in marks {
        let slot = (position.pixel(mark.at + 1.0) - position.pixel(mark.at)).abs();
        let half = (slot * 0.3).min(40.0);
        let middle = position.pixel(mark.at);
        let at = |along: f64| value.pixel(along);
        let (first, third) = (at(mark.first_quartile), at(mark.third_quartile));
        let rect = Rect::spanning(turn(middle - half, first), turn(middle + half, third));
        drawn.clipped.push(Item::Fill { path: Path::rect(&rect), color: box_fill(trace, color).fade(fade) });
        let mut path = Path::rect(&rect);
        path.add_line(turn(middle - half, at(mark.median)), turn(middle + half, at(mark.median)));
        for (quartile, end) in [(first, at(mark.low)), (third, at(mark.high))] {
            path.add_line(turn(middle, quartile), turn(middle, end));
            path.add_line(turn(middle - half / 2.0, end), turn(middle + half / 2.0, end));
        }
        drawn.clipped.push(Item::stroke(path, line, width));
        let mut dots = Path::default();
        let look = looks(0);
        let mut taken = super::decimate::Taken::default();
        for outlier in &mark.outliers {
            let point = turn(middle, at(*outlier));
            if stage.plot.contains(point) && taken.is_new(point) {
                symbols::add(&mut dots, Symbol::Circle, point, look.radius);
            }
        }
        drawn.free.push(Item::Fill { path: dots, color: look.color });
    }
    drawn
}
