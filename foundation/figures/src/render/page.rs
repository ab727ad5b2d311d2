//! Composes the drawing: finds the room for titles, labels and keys, gives the rest to the plot, and draws in order.
//!
//! Labels need the plot's size to be chosen and the plot needs the labels' size to be placed; two rounds settle it. On a
//! small drawing parts are left out, the least needed first: legend and titles, then labels, then the margin.

use super::axis::{self, LABEL_GAP, Labels};
use super::describe;
use super::font::{self, Run};
use super::geometry::{Path, Point, Rect};
use super::legend::{self, Key, Legend, Place};
use super::look::{Look, font_size};
use super::marks::{self, Stage};
use super::notes;
use super::scale::{Scale, Unit};
use super::scene::{Item, Scene, Weight};
use super::series::{AxisPlan, Form, Plan};
use crate::figure::Figure;
use crate::layout::{Axis, Layer};
use crate::theme::Theme;

use super::Size;

/// How much of the figure there is room for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    Plot,
    Labels,
    All,
}

impl Detail {
    fn of(size: Size) -> Self {
        match (size.width, size.height) {
            (width, height) if width >= 170 && height >= 120 => Self::All,
            (width, height) if width >= 80 && height >= 50 => Self::Labels,
            _ => Self::Plot,
        }
    }
}

/// The lines above the plot.
#[derive(Default)]
struct Header {
    title: Vec<Run>,
    subtitle: Vec<Run>,
    height: f64,
}

struct Page<'a> {
    figure: &'a Figure,
    plan: Plan<'a>,
    look: Look,
    detail: Detail,
    outer: f64,
    width: f64,
    height: f64,
}

/// Rooms around the plot, and what fills them.
struct Frame {
    plot: Rect,
    header: Header,
    x_labels: Labels,
    y_labels: Labels,
    x_title: Option<Run>,
    y_title: Option<Run>,
    legend: Option<(Legend, Place)>,
    keys: Vec<Key>,
    footnote: Option<Run>,
}

const TITLE_GAP: f64 = 8.0;

/// The drawing of `figure`.
pub(crate) fn compose(figure: &Figure, size: Size, theme: Theme) -> Scene {
    let size = Size::new(size.width, size.height);
    let look = Look::new(&figure.layout, size, theme);
    let default_axis = Axis::default();
    let x_axis = figure.layout.xaxis.as_ref().unwrap_or(&default_axis);
    let y_axis = figure.layout.yaxis.as_ref().unwrap_or(&default_axis);
    let plan = Plan::of(figure, x_axis, y_axis, &look);
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let outer = (width.min(height) * 0.04).clamp(0.0, 14.0);
    let page = Page { figure, plan, look, detail: Detail::of(size), outer, width, height };
    let frame = page.frame();
    Scene {
        width,
        height,
        background: page.look.paper,
        title: describe::title(figure),
        description: describe::description(&page.plan),
        items: page.draw(frame),
    }
}

impl Page<'_> {
    fn has(&self, detail: Detail) -> bool {
        self.detail >= detail
    }

    fn frame(&self) -> Frame {
        let header = self.header();
        let inner_width = self.width - 2.0 * self.outer;
        let axis_title = |axis: &Axis, longest: f64| {
            let text =
                axis.title.as_ref().and_then(|title| title.text.as_deref()).filter(|text| !text.is_empty());
            let size = font_size(axis.title.as_ref().and_then(|title| title.font.as_ref()), self.look.base);
            let is_shown = self.has(Detail::All) && axis.visible != Some(false);
            text.filter(|_| is_shown).map(|text| font::line_within(text, size, longest))
        };
        let footnote = (!self.plan.undrawn.is_empty() && self.has(Detail::All)).then(|| {
            let text = format!("not drawn: {}", self.plan.undrawn.join(", "));
            font::line_within(&text, self.look.small - 1.0, inner_width)
        });
        let x_title = axis_title(self.plan.x.axis, inner_width);
        let keys: Vec<Key> = if self.has(Detail::All) {
            self.plan.series.iter().filter_map(marks::color_key).take(2).collect()
        } else {
            Vec::new()
        };

        let mut top = self.outer + header.height;
        let mut bottom = self.height - self.outer;
        if let Some(footnote) = &footnote {
            bottom -= footnote.size * font::LINE_HEIGHT + 4.0;
        }
        let legend = self.legend(inner_width, bottom - top);
        match &legend {
            Some((legend, Place::Above)) => top += legend.height + 4.0,
            Some((legend, Place::Below)) => bottom -= legend.height + 8.0,
            _ => {}
        }
        if header.height > 0.0 || matches!(legend, Some((_, Place::Above))) {
            top += 12.0;
        } else if self.has(Detail::Labels) {
            // Half of the uppermost tick label stands above the plot.
            top += self.look.small / 2.0 - self.outer.min(4.0);
        }
        if let Some(title) = &x_title {
            bottom -= title.size * font::LINE_HEIGHT + TITLE_GAP - 2.0;
        }
        let mut right = self.width - self.outer;
        if let Some((legend, Place::Right)) = &legend {
            right -= legend.width + 16.0;
        }
        let key_height = (bottom - top - 20.0).max(10.0);
        for key in &keys {
            right -= key.width(key_height, &self.look) + 16.0;
        }

        let line = self.look.small * font::LINE_HEIGHT;
        let mut x_depth = if axis::shows_labels(&self.plan.x) { LABEL_GAP + line } else { 0.0 };
        let (mut x_labels, mut y_labels) = (Labels::default(), Labels::default());
        let mut left = self.outer;
        let mut overhang = 0.0;
        if self.has(Detail::Labels) {
            for _ in 0..2 {
                let plot_height = (bottom - x_depth - top).max(1.0);
                y_labels = axis::vertical(&self.plan.y, plot_height, self.width * 0.34, &self.look);
                left = self.outer + y_labels.depth;
                if let Some(title) = axis_title(self.plan.y.axis, plot_height.max(60.0)) {
                    left += title.size * font::LINE_HEIGHT + TITLE_GAP;
                }
                let plot_width = (right - overhang - left).max(1.0);
                x_labels = axis::horizontal(&self.plan.x, plot_width, &self.look);
                x_depth = x_labels.depth.min((bottom - top) * 0.5);
                overhang = self.overhang(&x_labels, plot_width, right);
            }
        }
        // Whole pixels, so that the plot's edges are sharp.
        let mut plot = Rect {
            left: left.round(),
            top: top.round(),
            right: (right - overhang).round(),
            bottom: (bottom - x_depth).round(),
        };
        if plot.width() < 8.0 || plot.height() < 8.0 {
            plot = Rect { left: 0.0, top: 0.0, right: self.width, bottom: self.height };
        }
        let y_title = axis_title(self.plan.y.axis, plot.height().max(60.0));
        Frame { plot, header, x_labels, y_labels, x_title, y_title, legend, keys, footnote }
    }

    /// How far the last label of the horizontal axis reaches over the plot's end into the margin's outside.
    fn overhang(&self, labels: &Labels, plot_width: f64, right: f64) -> f64 {
        if !axis::shows_labels(&self.plan.x) || labels.angle != 0.0 {
            return 0.0;
        }
        let plan = &self.plan.x;
        let reach = |label: &axis::Label| {
            let share = (label.at - plan.low) / (plan.high - plan.low);
            let share = if plan.reversed { 1.0 - share } else { share };
            let half = label.run.width.max(label.below.as_ref().map_or(0.0, |below| below.width)) / 2.0;
            (share - 1.0) * plot_width + half
        };
        let furthest = labels.ticks.iter().map(reach).fold(0.0, f64::max);
        let room = self.width - right - 2.0;
        (furthest - room.max(0.0)).clamp(0.0, plot_width * 0.2)
    }

    fn header(&self) -> Header {
        let Some(title) = self.figure.layout.title.as_ref().filter(|_| self.has(Detail::All)) else {
            return Header::default();
        };
        let width = self.width - 2.0 * self.outer;
        let default_size = if self.look.size.width < 480 { 14.0 } else { 16.0 };
        let size = font_size(title.font.as_ref(), default_size);
        let most = if self.height < 200.0 { 1 } else { 2 };
        let text = title.text.as_deref().unwrap_or_default();
        let title_runs = if text.is_empty() { Vec::new() } else { font::wrapped(text, size, width, most) };
        let subtitle = title.subtitle.as_ref();
        let subtitle_size = font_size(subtitle.and_then(|subtitle| subtitle.font.as_ref()), self.look.base);
        let subtitle_runs = subtitle
            .and_then(|subtitle| subtitle.text.as_deref())
            .map_or_else(Vec::new, |text| font::wrapped(text, subtitle_size, width, most));
        let height = title_runs.len() as f64 * size * font::LINE_HEIGHT
            + subtitle_runs.len() as f64 * subtitle_size * font::LINE_HEIGHT;
        if height > self.height * 0.4 {
            return Header::default();
        }
        Header { title: title_runs, subtitle: subtitle_runs, height }
    }

    fn legend(&self, inner_width: f64, height: f64) -> Option<(Legend, Place)> {
        if !self.has(Detail::All) || !legend::is_shown(self.figure, &self.plan.series) {
            return None;
        }
        let names_are_long = legend::longest_name(&self.plan.series, &self.look) > self.width * 0.25;
        let place = legend::place(self.figure, &self.look, names_are_long);
        let (width, height) = match place {
            Place::Right => (self.width * 0.34, height - 30.0),
            Place::Above | Place::Below => (inner_width, height * 0.34),
            Place::Inside { .. } => (inner_width * 0.6, height * 0.8),
        };
        Some((Legend::new(self.figure, &self.plan.series, place, width, height, &self.look)?, place))
    }

    fn draw(self, frame: Frame) -> Vec<Item> {
        let plot = frame.plot;
        let scale = |plan: &AxisPlan<'_>, start: f64, end: f64, is_vertical| {
            let (low_pixel, high_pixel) = if plan.reversed { (end, start) } else { (start, end) };
            Scale {
                unit: plan.unit.clone(),
                low: plan.low,
                high: plan.high,
                low_pixel,
                high_pixel,
                is_vertical,
            }
        };
        let x = scale(&self.plan.x, plot.left, plot.right, false);
        let y = scale(&self.plan.y, plot.bottom, plot.top, true);
        let stage = Stage { x: &x, y: &y, plot, look: &self.look };

        let mut items = Vec::new();
        if self.look.plot != self.look.paper {
            items.push(Item::Fill { path: Path::rect(&plot), color: self.look.plot });
        }
        items.extend(self.grid(&frame, &stage));
        items.extend(notes::shapes(&self.figure.layout, Layer::Below, &stage));
        items.extend(self.zero_lines(&stage));
        items.extend(self.traces(&stage));
        items.extend(self.axis_lines(&stage));
        items.extend(notes::shapes(&self.figure.layout, Layer::Above, &stage));
        if self.plan.series.is_empty() && self.has(Detail::Labels) {
            items.push(self.centered(font::line("no data", self.look.base), plot.center()));
        }
        items.extend(self.tick_labels(&frame, &stage));
        items.extend(self.titles(&frame));
        items.extend(self.keys(&frame));
        items.extend(notes::annotations(&self.figure.layout, &stage));
        items
    }

    fn centered(&self, run: Run, (x, y): Point) -> Item {
        let at = (x - run.width / 2.0, y + run.size * font::CAP_HEIGHT / 2.0);
        Item::Text { run, at, angle: 0.0, color: self.look.muted, weight: Weight::Regular }
    }

    fn grid(&self, frame: &Frame, stage: &Stage<'_>) -> Vec<Item> {
        let plot = &frame.plot;
        let (mut fine, mut x_lines, mut y_lines) = (Path::default(), Path::default(), Path::default());
        // Lines one pixel wide are sharp on half pixels.
        let sharp = |pixel: f64| pixel.floor() + 0.5;
        let upright = |path: &mut Path, at: f64| {
            let x = sharp(stage.x.pixel(at)).min(plot.right - 0.5);
            path.add_line((x, plot.top), (x, plot.bottom));
        };
        let level = |path: &mut Path, at: f64| {
            let y = sharp(stage.y.pixel(at)).min(plot.bottom - 0.5);
            path.add_line((plot.left, y), (plot.right, y));
        };
        // The names of categories stand between the lines that would part them, so those have none.
        let has_grid = |plan: &AxisPlan<'_>| {
            let default = !matches!(plan.unit, Unit::Category(_));
            plan.axis.visible != Some(false) && plan.axis.showgrid.unwrap_or(default)
        };
        if has_grid(&self.plan.x) {
            frame.x_labels.fine.iter().for_each(|at| upright(&mut fine, *at));
            frame.x_labels.ticks.iter().for_each(|label| upright(&mut x_lines, label.at));
        }
        if has_grid(&self.plan.y) {
            frame.y_labels.fine.iter().for_each(|at| level(&mut fine, *at));
            frame.y_labels.ticks.iter().for_each(|label| level(&mut y_lines, label.at));
        }
        let color = |plan: &AxisPlan<'_>| plan.axis.gridcolor.unwrap_or(self.look.palette.grid);
        vec![
            Item::stroke(fine, self.look.palette.grid.fade(0.5), 1.0),
            Item::stroke(x_lines, color(&self.plan.x), 1.0),
            Item::stroke(y_lines, color(&self.plan.y), 1.0),
        ]
    }

    fn traces(&self, stage: &Stage<'_>) -> Vec<Item> {
        let (mut clipped, mut free) = (Vec::new(), Vec::new());
        let mut previous: Option<Vec<Point>> = None;
        // As in Plotly, bars and cells lie under lines and points.
        let is_solid = |form: &Form<'_>| !matches!(form, Form::Points { .. });
        let solids = self.plan.series.iter().filter(|one| is_solid(&one.form));
        let lines = self.plan.series.iter().filter(|one| !is_solid(&one.form));
        for one in solids.chain(lines) {
            let drawn = marks::draw(one, previous.as_deref(), stage);
            clipped.extend(drawn.clipped);
            free.push((clipped.len(), drawn.free));
            if let Some(outline) = marks::outline(one, stage) {
                previous = Some(outline);
            }
        }
        // A trace's free parts come after its clipped ones and before the next trace's, so that the order of traces holds.
        let mut items = Vec::new();
        let mut clipped = clipped.into_iter();
        let mut taken = 0;
        for (end, mut free) in free {
            let part: Vec<Item> = clipped.by_ref().take(end - taken).collect();
            taken = end;
            if !part.is_empty() {
                items.push(Item::Clip { rect: stage.plot, items: part });
            }
            items.append(&mut free);
        }
        items
    }

    /// The lines at zero, under the traces.
    fn zero_lines(&self, stage: &Stage<'_>) -> Vec<Item> {
        let mut items = Vec::new();
        let plot = stage.plot;
        for (plan, scale, is_vertical) in [(&self.plan.x, stage.x, false), (&self.plan.y, stage.y, true)] {
            let crosses_zero = matches!(plan.unit, Unit::Linear) && plan.low <= 0.0 && plan.high >= 0.0;
            let is_wanted = plan.axis.visible != Some(false) && plan.axis.zeroline != Some(false);
            if !crosses_zero || !is_wanted || !self.has(Detail::Labels) {
                continue;
            }
            let at = scale.pixel(0.0).floor() + 0.5;
            let path = if is_vertical {
                let at = at.min(plot.bottom - 0.5);
                Path::line((plot.left, at), (plot.right, at))
            } else {
                let at = at.min(plot.right - 0.5);
                Path::line((at, plot.top), (at, plot.bottom))
            };
            items.push(Item::stroke(path, plan.axis.zerolinecolor.unwrap_or(self.look.palette.axis), 1.0));
        }
        items
    }

    /// The lines of the axes themselves, over the traces: the horizontal one unless it is asked to have none, the vertical
    /// one only if it is asked to have one.
    fn axis_lines(&self, stage: &Stage<'_>) -> Vec<Item> {
        let mut items = Vec::new();
        let plot = stage.plot;
        for (plan, is_vertical) in [(&self.plan.x, false), (&self.plan.y, true)] {
            if plan.axis.visible == Some(false) || !plan.axis.showline.unwrap_or(!is_vertical) {
                continue;
            }
            let path = if is_vertical {
                Path::line((plot.left + 0.5, plot.top), (plot.left + 0.5, plot.bottom))
            } else {
                Path::line((plot.left, plot.bottom - 0.5), (plot.right, plot.bottom - 0.5))
            };
            items.push(Item::stroke(path, plan.axis.linecolor.unwrap_or(self.look.palette.axis), 1.0));
        }
        items
    }

    fn tick_labels(&self, frame: &Frame, stage: &Stage<'_>) -> Vec<Item> {
        let mut items = Vec::new();
        let plot = &frame.plot;
        let color =
            |axis: &Axis| axis.tickfont.as_ref().and_then(|font| font.color).unwrap_or(self.look.muted);
        let text = |run: &Run, at: Point, angle: f64, color| Item::Text {
            run: run.clone(),
            at,
            angle,
            color,
            weight: Weight::Regular,
        };
        if axis::shows_labels(&self.plan.x) {
            let color = color(self.plan.x.axis);
            let angle = frame.x_labels.angle;
            for label in &frame.x_labels.ticks {
                let (x, size) = (stage.x.pixel(label.at), label.run.size);
                let cap = size * font::CAP_HEIGHT;
                let baseline = plot.bottom + LABEL_GAP + cap;
                if angle != 0.0 {
                    items.push(turned(&label.run, (x, plot.bottom + LABEL_GAP), angle, color));
                    continue;
                }
                let fit = |run: &Run| {
                    let most = (self.width - run.width - 1.0).max(0.0);
                    (x - run.width / 2.0).clamp(0.0, most)
                };
                items.push(text(&label.run, (fit(&label.run), baseline), 0.0, color));
                if let Some(below) = &label.below {
                    let line = size * font::LINE_HEIGHT;
                    items.push(text(below, (fit(below), baseline + line), 0.0, color));
                }
            }
        }
        if axis::shows_labels(&self.plan.y) {
            let color = color(self.plan.y.axis);
            for label in &frame.y_labels.ticks {
                let cap = label.run.size * font::CAP_HEIGHT;
                let at = (plot.left - LABEL_GAP - label.run.width, stage.y.pixel(label.at) + cap / 2.0);
                items.push(text(&label.run, at, 0.0, color));
            }
        }
        items
    }

    fn titles(&self, frame: &Frame) -> Vec<Item> {
        let mut items = Vec::new();
        let (layout, plot) = (&self.figure.layout, &frame.plot);
        let share = layout
            .title
            .as_ref()
            .and_then(|title| title.x)
            .filter(|x| (0.0..=1.0).contains(x))
            .unwrap_or(0.0);
        let mut y = self.outer;
        let title_color =
            layout.title.as_ref().and_then(|title| title.font.as_ref()).and_then(|font| font.color);
        for (runs, color, weight) in [
            (&frame.header.title, title_color.unwrap_or(self.look.text), Weight::Bold),
            (&frame.header.subtitle, self.look.muted, Weight::Regular),
        ] {
            for run in runs {
                let line = run.size * font::LINE_HEIGHT;
                let room = self.width - 2.0 * self.outer - run.width;
                let at =
                    (self.outer + share * room.max(0.0), y + line / 2.0 + run.size * font::CAP_HEIGHT / 2.0);
                items.push(Item::Text { run: run.clone(), at, angle: 0.0, color, weight });
                y += line;
            }
        }
        let axis_color = |axis: &Axis| {
            axis.title
                .as_ref()
                .and_then(|title| title.font.as_ref())
                .and_then(|font| font.color)
                .unwrap_or(self.look.text)
        };
        if let Some(run) = &frame.x_title {
            let left = plot.center().0 - run.width / 2.0;
            let left = left.clamp(0.0, (self.width - run.width).max(0.0));
            let depth = frame.x_labels.depth.min(self.height - plot.bottom);
            let at = (left, plot.bottom + depth + TITLE_GAP - 2.0 + run.size * (font::CAP_HEIGHT + 0.1));
            let color = axis_color(self.plan.x.axis);
            items.push(Item::Text { run: run.clone(), at, angle: 0.0, color, weight: Weight::Regular });
        }
        if let Some(run) = &frame.y_title {
            let middle = plot.center().1 + run.width / 2.0;
            let at = (self.outer + run.size * font::CAP_HEIGHT + 1.0, middle.min(self.height));
            let color = axis_color(self.plan.y.axis);
            items.push(Item::Text { run: run.clone(), at, angle: 270.0, color, weight: Weight::Regular });
        }
        if let Some(run) = &frame.footnote {
            let at = (self.outer, self.height - self.outer - run.size * 0.2);
            let color = self.look.muted;
            items.push(Item::Text { run: run.clone(), at, angle: 0.0, color, weight: Weight::Regular });
        }
        items
    }

    fn keys(&self, frame: &Frame) -> Vec<Item> {
        let mut items = Vec::new();
        let plot = &frame.plot;
        let mut left = plot.right + 16.0;
        for key in &frame.keys {
            items.extend(key.draw(left, plot, &self.look));
            left += key.width(plot.height(), &self.look) + 16.0;
        }
        let Some((legend, place)) = &frame.legend else { return items };
        let at = match *place {
            Place::Right => (self.width - self.outer - legend.width, plot.top),
            Place::Above => (self.outer, self.outer + frame.header.height + 4.0),
            Place::Below => {
                let footnote = frame.footnote.as_ref().map_or(0.0, |run| run.size * font::LINE_HEIGHT + 4.0);
                (plot.left, self.height - self.outer - footnote - legend.height)
            }
            Place::Inside { x, y, left, above } => {
                let room = plot.grow(-10.0);
                let at = (
                    room.left + x * room.width() - left * legend.width,
                    room.bottom - y * room.height() - above * legend.height,
                );
                (at.0.max(plot.left), at.1.max(plot.top))
            }
        };
        items.extend(legend.draw(at, matches!(place, Place::Inside { .. }), &self.look));
        items
    }
}

/// A tick label turned by `angle` degrees clockwise: it ends at the tick if it rises to the right, else starts there.
fn turned(run: &Run, (x, y): Point, angle: f64, color: crate::Color) -> Item {
    let radians = angle.to_radians();
    let (sine, cosine) = (libm::sin(radians), libm::cos(radians));
    let cap = run.size * font::CAP_HEIGHT;
    // The point of the text that is held to the tick, from its baseline's start: right end or left end, half its height.
    let along = if sine < 0.0 { run.width } else { 0.0 };
    let (hold_x, hold_y) = (along * cosine + cap / 2.0 * sine, along * sine - cap / 2.0 * cosine);
    let at = (x - hold_x, y + cap / 2.0 - hold_y);
    Item::Text { run: run.clone(), at, angle, color, weight: Weight::Regular }
}
