//! The legend and the colour key: what is in them, the room they want, and how they look.

use super::font::{self, Run};
use super::geometry::{Path, Point, Rect};
use super::look::{Look, font_size};
use super::marks::{self, MarkerLook, marker_looks, stroke_width, written};
use super::ramp::Ramp;
use super::scene::{Item, Weight};
use super::series::{BarBody, Form, Series, mode_of};
use super::symbols;
use super::ticks;
use crate::color::Color;
use crate::figure::Figure;
use crate::layout::{XAnchor, YAnchor};
use crate::trace::{Fill, Orientation};

/// What stands before a name.
#[derive(Clone)]
enum Sample {
    Points { line: Option<(Color, f64, Vec<f64>)>, marker: Option<MarkerLook>, fill: Option<Color> },
    Area { fill: Color, rim: Option<(Color, f64)> },
}

#[derive(Clone)]
struct Entry {
    name: Run,
    sample: Sample,
}

/// The legend of a figure, laid out as a column or as rows.
pub(crate) struct Legend {
    entries: Vec<(Entry, Point)>,
    title: Option<Run>,
    line: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    size: f64,
    background: Color,
    color: Color,
}

/// Where the legend stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    Right,
    Above,
    Below,
    /// In the plot: position and share of the legend's own size left of and above it.
    Inside {
        x: f64,
        y: f64,
        left: f64,
        above: f64,
    },
}

const SAMPLE_WIDTH: f64 = 24.0;
const SAMPLE_GAP: f64 = 6.0;
const ENTRY_GAP: f64 = 16.0;
/// Figures narrower than this have their legend above the plot.
const WIDE: u32 = 620;

/// The place the layout asks for, else the one that leaves the plot the most room.
pub(crate) fn place(figure: &Figure, look: &Look, names_are_long: bool) -> Place {
    let legend = figure.layout.legend.as_ref();
    let unit = |wish: Option<f64>| wish.filter(|at| (0.0..=1.0).contains(at));
    if let Some(legend) = legend
        && let (Some(x), Some(y)) = (unit(legend.x), unit(legend.y))
    {
        let left = match legend.xanchor {
            Some(XAnchor::Center) => 0.5,
            Some(XAnchor::Right) => 1.0,
            Some(XAnchor::Left) => 0.0,
            _ => share_by_position(x),
        };
        let above = match legend.yanchor {
            Some(YAnchor::Middle) => 0.5,
            Some(YAnchor::Bottom) => 1.0,
            Some(YAnchor::Top) => 0.0,
            _ => 1.0 - share_by_position(y),
        };
        return Place::Inside { x, y, left, above };
    }
    match legend.and_then(|legend| legend.orientation) {
        Some(Orientation::Horizontal) if legend.and_then(|legend| legend.y).is_some_and(|y| y < 0.0) => {
            Place::Below
        }
        Some(Orientation::Vertical) => Place::Right,
        None if look.size.width >= WIDE && !names_are_long => Place::Right,
        Some(Orientation::Horizontal) | None => Place::Above,
    }
}

/// Plotly's `auto` anchor: the left third means the left edge, the right third the right edge.
fn share_by_position(at: f64) -> f64 {
    if at <= 1.0 / 3.0 {
        0.0
    } else if at < 2.0 / 3.0 {
        0.5
    } else {
        1.0
    }
}

/// Whether the figure has a legend: by default if two traces would stand in it.
pub(crate) fn is_shown(figure: &Figure, series: &[Series<'_>]) -> bool {
    let listed = series.iter().filter(|one| one.trace.showlegend() != Some(false)).count();
    let asked = series.iter().any(|one| one.trace.showlegend() == Some(true));
    listed > 0 && figure.layout.showlegend.unwrap_or(listed > 1 || asked)
}

/// The width of the longest name in the legend.
pub(crate) fn longest_name(series: &[Series<'_>], look: &Look) -> f64 {
    series.iter().map(|one| font::line(&name_of(one), look.small).width).fold(0.0, f64::max)
}

fn name_of(series: &Series<'_>) -> String {
    series.trace.name().map_or_else(|| format!("trace {}", series.index), str::to_owned)
}

impl Legend {
    /// Lays the legend out within `width` and `height`: entries that find no room are counted in a last line.
    pub(crate) fn new(
        figure: &Figure,
        series: &[Series<'_>],
        place: Place,
        width: f64,
        height: f64,
        look: &Look,
    ) -> Option<Self> {
        let wish = figure.layout.legend.as_ref();
        let size = font_size(wish.and_then(|legend| legend.font.as_ref()), look.small);
        let line = size * 1.6;
        let longest = (width - SAMPLE_WIDTH - SAMPLE_GAP).max(0.0);
        let title = wish.and_then(|legend| legend.title.as_ref()).and_then(|title| title.text.as_deref());
        let title = title.map(|title| font::line_within(title, size, width));
        let top = if title.is_some() { line } else { 0.0 };
        let entries = in_groups(series)
            .into_iter()
            .map(|one| Entry { name: font::line_within(&name_of(one), size, longest), sample: sample(one) });
        let entries: Vec<Entry> = entries.collect();
        let in_rows = match place {
            Place::Above | Place::Below => true,
            Place::Right => false,
            Place::Inside { .. } => {
                wish.and_then(|legend| legend.orientation) == Some(Orientation::Horizontal)
            }
        };
        let mut placed = if in_rows { rows(entries, top, width, line) } else { column(entries, top, line) };
        let fitting = placed.iter().take_while(|(_, at)| at.1 + line <= height + 0.5).count();
        if fitting < placed.len() {
            // The last place is given to the count of what is left out.
            let left_out = placed.len() - fitting.saturating_sub(1);
            let at = placed.get(fitting.checked_sub(1)?)?.1;
            placed.truncate(fitting - 1);
            let name = font::line_within(&format!("+ {left_out} more"), size, width);
            placed.push((Entry { name, sample: Sample::Area { fill: Color::CLEAR, rim: None } }, at));
        }
        let right = |(entry, at): &(Entry, Point)| at.0 + SAMPLE_WIDTH + SAMPLE_GAP + entry.name.width;
        let title_width = title.as_ref().map_or(0.0, |title| title.width);
        let taken_width = placed.iter().map(right).fold(title_width, f64::max);
        let taken_height = placed.iter().map(|(_, at)| at.1 + line).fold(top, f64::max);
        Some(Self {
            entries: placed,
            title,
            line,
            width: taken_width,
            height: taken_height,
            size,
            background: wish.and_then(|legend| legend.bgcolor).unwrap_or(look.paper),
            color: wish.and_then(|l| l.font.as_ref()).and_then(|font| font.color).unwrap_or(look.text),
        })
    }

    /// Draws it with its upper left corner at `at`; `framed` puts a background under it.
    pub(crate) fn draw(&self, at: Point, framed: bool, look: &Look) -> Vec<Item> {
        let mut items = Vec::new();
        if framed {
            let rect = Rect { left: at.0, top: at.1, right: at.0 + self.width, bottom: at.1 + self.height }
                .grow(6.0);
            items.push(Item::Fill { path: Path::rect(&rect), color: self.background.fade(0.88) });
            items.push(Item::stroke(Path::rect(&rect), look.palette.grid, 1.0));
        }
        let cap = self.size * font::CAP_HEIGHT;
        if let Some(title) = &self.title {
            let at = (at.0, at.1 + self.line / 2.0 + cap / 2.0);
            items.push(Item::Text {
                run: title.clone(),
                at,
                angle: 0.0,
                color: self.color,
                weight: Weight::Bold,
            });
        }
        for (entry, (dx, dy)) in &self.entries {
            let middle = at.1 + dy + self.line / 2.0;
            draw_sample(&entry.sample, (at.0 + dx, middle), &mut items);
            let at = (at.0 + dx + SAMPLE_WIDTH + SAMPLE_GAP, middle + cap / 2.0);
            items.push(Item::Text {
                run: entry.name.clone(),
                at,
                angle: 0.0,
                color: self.color,
                weight: Weight::Regular,
            });
        }
        items
    }
}

/// The traces in the legend, those of one group together where the first of them stands.
fn in_groups<'b, 'a>(series: &'b [Series<'a>]) -> Vec<&'b Series<'a>> {
    let listed: Vec<&Series<'_>> =
        series.iter().filter(|one| one.trace.showlegend() != Some(false)).collect();
    let mut ordered: Vec<&Series<'_>> = Vec::with_capacity(listed.len());
    let mut last_of_group: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for one in listed {
        let group = one.trace.legendgroup().unwrap_or("");
        let after = last_of_group.get(group).copied().filter(|_| !group.is_empty());
        if let Some(last) = after {
            ordered.insert(last + 1, one);
            for place in last_of_group.values_mut().filter(|place| **place >= last) {
                *place += 1;
            }
        } else {
            last_of_group.insert(group, ordered.len());
            ordered.push(one);
        }
    }
    ordered
}

fn column(entries: Vec<Entry>, top: f64, line: f64) -> Vec<(Entry, Point)> {
    entries.into_iter().enumerate().map(|(index, entry)| (entry, (0.0, top + index as f64 * line))).collect()
}

/// In rows, names under each other where they form a table without waste.
fn rows(entries: Vec<Entry>, top: f64, width: f64, line: f64) -> Vec<(Entry, Point)> {
    let (mut x, mut y) = (0.0, top);
    let mut placed = Vec::with_capacity(entries.len());
    for entry in entries {
        let own = SAMPLE_WIDTH + SAMPLE_GAP + entry.name.width;
        if x > 0.0 && x + own > width {
            (x, y) = (0.0, y + line);
        }
        placed.push((entry, (x, y)));
        x += own + ENTRY_GAP;
    }
    placed
}

fn sample(series: &Series<'_>) -> Sample {
    match &series.form {
        Form::Points { trace, .. } => {
            let mode = mode_of(trace);
            let fade = marks::opacity(trace.opacity);
            let width = stroke_width(trace.line.as_ref(), 2.0).min(8.0);
            let dash = trace.line.as_ref().and_then(|line| line.dash.as_ref());
            let dash = dash.map_or_else(Vec::new, |dash| dash.lengths(width));
            let mut look = marker_looks(trace.marker.as_ref(), series.color, fade)(0);
            look.radius = look.radius.clamp(2.0, 6.0);
            let is_filled = !matches!(trace.fill, None | Some(Fill::None));
            let fill = trace.fillcolor.unwrap_or_else(|| series.color.fade(0.25)).fade(fade);
            Sample::Points {
                line: mode.lines.then(|| (series.color.fade(fade), width, dash)),
                marker: mode.markers.then_some(look),
                fill: is_filled.then_some(fill),
            }
        }
        Form::Bars { body, .. } => {
            let (marker, opacity) = match body {
                BarBody::Bar(bar) => (bar.marker.as_ref(), bar.opacity),
                BarBody::Histogram(histogram) => (histogram.marker.as_ref(), histogram.opacity),
            };
            let look = marker_looks(marker, series.color, marks::opacity(opacity))(0);
            let rim = (look.rim_width > 0.0).then_some((look.rim, look.rim_width.min(3.0)));
            Sample::Area { fill: look.color, rim }
        }
        Form::Boxes { trace, .. } => {
            let fade = marks::opacity(trace.opacity);
            let fill = marks::box_fill(trace, series.color).fade(fade);
            Sample::Area { fill, rim: Some((series.color.fade(fade), 1.5)) }
        }
        Form::Cells { .. } => Sample::Area { fill: series.color, rim: None },
    }
}

fn draw_sample(sample: &Sample, (x, y): Point, items: &mut Vec<Item>) {
    let area =
        |half: f64| Rect { left: x + 4.0, top: y - half, right: x + SAMPLE_WIDTH - 4.0, bottom: y + half };
    match sample {
        Sample::Points { line, marker, fill } => {
            if let Some(fill) = fill {
                let rect = Rect { left: x, top: y, right: x + SAMPLE_WIDTH, bottom: y + 5.0 };
                items.push(Item::Fill { path: Path::rect(&rect), color: *fill });
            }
            if let Some((color, width, dash)) = line {
                let path = Path::line((x, y), (x + SAMPLE_WIDTH, y));
                items.push(Item::Stroke { path, color: *color, width: *width, dash: dash.clone() });
            }
            if let Some(look) = marker {
                let mut path = Path::default();
                let ink = symbols::add(&mut path, look.symbol, (x + SAMPLE_WIDTH / 2.0, y), look.radius);
                items.extend(marks::paint_markers(path, ink, look));
            }
        }
        Sample::Area { fill, rim } => {
            items.push(Item::Fill { path: Path::rect(&area(5.0)), color: *fill });
            if let Some((color, width)) = rim {
                items.push(Item::stroke(Path::rect(&area(5.0)), *color, *width));
            }
        }
    }
}

/// The key of a colour scale.
pub(crate) struct Key {
    pub(crate) ramp: Ramp,
    pub(crate) title: String,
    pub(crate) format: Option<String>,
    pub(crate) suffix: String,
}

const KEY_WIDTH: f64 = 14.0;

impl Key {
    fn labels(&self, height: f64, look: &Look) -> Vec<(f64, Run)> {
        let (low, high) = (self.ramp.low, self.ramp.high);
        let format = ticks::TickFormat {
            specifier: self.format.clone(),
            suffix: self.suffix.clone(),
            ..ticks::TickFormat::default()
        };
        if high <= low {
            return vec![(
                0.5,
                font::line(&(written(low, self.format.as_deref()) + &self.suffix), look.small),
            )];
        }
        let ticks = ticks::linear(low, high, ((height / 40.0) as usize).clamp(2, 10), None, &format);
        let share = |at: f64| ((at - low) / (high - low)).clamp(0.0, 1.0);
        ticks.into_iter().map(|tick| (share(tick.at), font::line(&tick.label, look.small))).collect()
    }

    fn title_run(&self, look: &Look) -> Option<Run> {
        (!self.title.is_empty()).then(|| font::line_within(&self.title, look.small, 140.0))
    }

    /// The room it wants beside a plot of this height.
    pub(crate) fn width(&self, height: f64, look: &Look) -> f64 {
        let labels = self.labels(height, look).iter().map(|(_, run)| run.width).fold(0.0, f64::max);
        let title = self.title_run(look).map_or(0.0, |run| run.width);
        (KEY_WIDTH + 6.0 + labels).max(title)
    }

    /// Draws it from `left` along the height of the plot.
    pub(crate) fn draw(&self, left: f64, plot: &Rect, look: &Look) -> Vec<Item> {
        let mut items = Vec::new();
        let mut bar = Rect { left, right: left + KEY_WIDTH, ..*plot };
        let cap = look.small * font::CAP_HEIGHT;
        let text =
            |run: Run, at: Point, color| Item::Text { run, at, angle: 0.0, color, weight: Weight::Regular };
        if let Some(title) = self.title_run(look) {
            items.push(text(title, (left, plot.top + cap), look.text));
            bar.top += cap + 10.0;
        }
        if bar.height() < 4.0 {
            return items;
        }
        // One pixel for each of 256 colours is finer than the eye tells apart.
        let pixels = (0..256).map(|index| self.ramp.at(1.0 - f64::from(index) / 255.0)).collect();
        items.push(Item::Image { rect: bar, columns: 1, rows: 256, pixels });
        for (share, run) in self.labels(bar.height(), look) {
            let y = bar.bottom - share * bar.height();
            items.push(text(run, (bar.right + 6.0, y + cap / 2.0), look.muted));
        }
        items
    }
}
