//! A graph as a figure.

use backlot_figures::{Axis, Color, Column, Figure, Fill, Layout, Line, Mode, Scalar, Scatter, Shape, Theme};
use backlot_series::nan;

use super::request::{ScaleKind, Toggle};
use super::{Graph, Shown};

/// Most bands of one line: a signal that changes at every step would fill the figure with shapes.
const MOST_SPANS: usize = 500;

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Line,
    Area,
    Stack,
    Vspan,
    Heatmap,
}

impl Style {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Line => "LINE",
            Self::Area => "AREA",
            Self::Stack => "STACK",
            Self::Vspan => "VSPAN",
            Self::Heatmap => "HEATMAP",
        }
    }
}

/// The look of one line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) style: Style,
    pub(super) color: Color,
    pub(super) width: f64,
    pub(super) axis: u32,
}

impl Look {
    /// The times from and to which a line is true.
    pub(super) fn spans(graph: &Graph, line: &Shown) -> Vec<(i64, i64)> {
        let mut spans: Vec<(i64, i64)> = Vec::new();
        for (at, value) in line.values.iter().enumerate() {
            if !nan::is_true(*value) {
                continue;
            }
            let end = graph.grid.time(at);
            let full = spans.len() == MOST_SPANS;
            match spans.last_mut() {
                Some((_, last)) if *last == end - graph.grid.step => *last = end,
                _ if full => break,
                _ => spans.push((end - graph.grid.step, end)),
            }
        }
        spans
    }
}

/// The look of every line, in order.
pub(super) fn looks(graph: &Graph) -> Vec<Look> {
    looks_in(graph, graph.request.theme)
}

/// The colour of every line as `#rrggbb`, in light and in dark pictures: for a legend beside one.
pub fn colors(graph: &Graph) -> Vec<[String; 2]> {
    let of = |theme| looks_in(graph, theme).into_iter().map(|look| look.color);
    let text = |color: Color| format!("#{:02x}{:02x}{:02x}", color.r, color.g, color.b);
    of(Theme::Light).zip(of(Theme::Dark)).map(|(light, dark)| [text(light), text(dark)]).collect()
}

fn looks_in(graph: &Graph, theme: Theme) -> Vec<Look> {
    let palette = theme.palette().series;
    let mut next = 0;
    let look = |line: &Shown| {
        let styled = graph.style(line);
        let named = styled.get("color").and_then(color);
        let mut color = named.unwrap_or_else(|| {
            next += 1;
            palette[(next - 1) % palette.len()]
        });
        if let Some(alpha) = styled.get("alpha").and_then(|alpha| u8::from_str_radix(alpha, 16).ok()) {
            color.a = alpha;
        }
        let style = match styled.get("ls") {
            Some("area") => Style::Area,
            Some("stack") => Style::Stack,
            Some("vspan") => Style::Vspan,
            Some("heatmap") => Style::Heatmap,
            None if graph.request.stacked == Toggle::On => Style::Stack,
            _ => Style::Line,
        };
        let width = styled
            .get("lw")
            .and_then(|width| width.parse().ok())
            .filter(|width| (0.0..=50.0).contains(width))
            .unwrap_or(1.0);
        let axis = styled.get("axis").and_then(|axis| axis.parse().ok()).unwrap_or(0);
        Look { style, color, width, axis }
    };
    graph.lines.iter().map(look).collect()
}

/// `rgb`, `rrggbb`, `aarrggbb` in hexadecimal, or a name.
fn color(text: &str) -> Option<Color> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.len() {
        3 if is_hex => {
            let doubled: String = text.chars().flat_map(|digit| [digit, digit]).collect();
            u32::from_str_radix(&doubled, 16).ok().map(Color::hex)
        }
        6 if is_hex => u32::from_str_radix(text, 16).ok().map(Color::hex),
        8 if is_hex => {
            let bits = u32::from_str_radix(text, 16).ok()?;
            Some(Color { a: (bits >> 24) as u8, ..Color::hex(bits & 0xff_ffff) })
        }
        _ => text.parse().ok(),
    }
}

/// Draws a graph. Lines of all axes share one; heat maps are drawn as lines.
pub fn figure(graph: &Graph) -> Figure {
    let times = || Column::from_unix_micros(graph.grid.times().map(|time| time.saturating_mul(1000)));
    let mut figure = Figure::new();
    let mut layout = Layout::default();
    let mut stacked = vec![0.0; graph.grid.len];
    let mut is_bottom = true;
    for (line, look) in graph.lines.iter().zip(looks(graph)) {
        if look.style == Style::Vspan {
            for (from, to) in Look::spans(graph, line) {
                let date = |time: i64| Scalar::from(crate::utc_text(time));
                let solid = look.color.a == 255;
                let color = if solid { look.color.fade(0.25) } else { look.color };
                layout = layout.shape(Shape::vrect(date(from), date(to)).fillcolor(color));
            }
            continue;
        }
        let values: Vec<f64> = match look.style {
            Style::Stack => {
                nan::add_all(&mut stacked, &line.values);
                stacked.clone()
            }
            _ => line.values.clone(),
        };
        let mut trace = Scatter::new(times(), values)
            .name(line.legend.clone())
            .mode(Mode::LINES)
            .line(Line::default().color(look.color).width(look.width));
        match look.style {
            Style::Area => trace = trace.fill(Fill::ToZeroY).fillcolor(look.color.fade(0.4)),
            Style::Stack => {
                let fill = if is_bottom { Fill::ToZeroY } else { Fill::ToNextY };
                trace = trace.fill(fill).fillcolor(look.color.fade(0.6));
                is_bottom = false;
            }
            _ => {}
        }
        figure = figure.trace(trace);
    }
    let request = &graph.request;
    let mut axis = match request.scale {
        ScaleKind::Linear => Axis::default(),
        ScaleKind::Log => Axis::default().kind(backlot_figures::AxisKind::Log),
    };
    if let Some(title) = &request.axis_title {
        axis = axis.title(title.as_str());
    }
    if let (Some(low), Some(high)) = request.bounds
        && low < high
        && request.scale == ScaleKind::Linear
    {
        axis = axis.range(backlot_figures::Range(Some(Scalar::from(low)), Some(Scalar::from(high))));
    }
    if let Some(title) = &request.title {
        layout = layout.title(title.as_str());
    }
    let with_legend = request.legend == Toggle::On && request.only_graph == Toggle::Off;
    figure.layout(
        layout
            .xaxis(Axis::default().kind(backlot_figures::AxisKind::Date))
            .yaxis(axis)
            .showlegend(with_legend),
    )
}
