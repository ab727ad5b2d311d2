//! The timeline as a figure: the first signals of the ranking around the alert, each in its own noise, and when each changed.

use backlot_figures::{
    AutoRange, Axis, Color, Colorbar, Column, Figure, Heatmap, Layout, Line, Margin, Marker, Mode, Scatter,
    Shape, Subtitle, Symbol, Title,
};

use crate::explanation::Explanation;
use crate::table::Header;

/// Rows of the figure.
pub const ROWS: usize = 20;

/// Further from the usual level than this many standard deviations all cells have one colour.
const MOST: f64 = 8.0;

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// A page.
    Wide,
    /// A telephone: fewer signals, shorter names.
    Narrow,
}

impl Width {
    fn rows(self) -> usize {
        match self {
            Self::Wide => ROWS,
            Self::Narrow => 12,
        }
    }

    fn characters(self) -> usize {
        match self {
            Self::Wide => 32,
            Self::Narrow => 16,
        }
    }
}

/// Draws the signals whose values `rows` holds, in the order of the ranking.
pub fn timeline(header: &Header, explanation: &Explanation, rows: &[Vec<f64>], width: Width) -> Figure {
    let short = |name: &str| short(name, width.characters());
    let question = &explanation.question;
    let focus = question.focus_start()..question.focus_end(header.points);
    let micros = |point: usize| header.time_ms(point) * 1000;
    let shown = explanation.timeline.iter().zip(rows).take(width.rows());
    let mut cells = Vec::new();
    let mut names = Vec::new();
    let mut times = Vec::new();
    for (entry, values) in shown {
        let unit = if entry.effect == 0.0 { 1.0 } else { (entry.after - entry.before) / entry.effect };
        let unit = if unit.abs() > 0.0 { unit.abs() } else { 1.0 };
        let cell = |value: &f64| ((value - entry.before) / unit).clamp(-MOST, MOST);
        cells.push(values[focus.clone()].iter().map(cell).collect::<Vec<f64>>());
        names.push(short(&entry.signal));
        times.push(entry.changed.clone());
    }
    let x = Column::from_unix_micros(focus.clone().map(micros));
    let changes = Column::from_unix_micros(
        times
            .iter()
            .filter_map(|time| time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)),
    );
    let count = names.len();
    let fired = jiff::Timestamp::from_millisecond(header.time_ms(question.alert));
    let fired = fired.map(|time| time.to_string().replace('T', " ").replace('Z', "")).unwrap_or_default();
    let (title, about) = match width {
        Width::Wide => (
            format!("What changed around the alert of {}", short(&explanation.alert.signal)),
            format!(
                "{count} of {} signals that changed, {} tested; most likely cause on top",
                explanation.timeline.len(),
                explanation.tested
            ),
        ),
        Width::Narrow => (short(&explanation.alert.signal), "most likely cause on top".to_owned()),
    };
    let title = Title::from(title).subtitle(Subtitle::from(about.as_str()));
    let margin = match width {
        Width::Wide => Margin::default().l(230.0),
        Width::Narrow => Margin::default().l(125.0).r(12.0),
    };
    let heat = Heatmap::new(cells).x(x).y(names.clone()).colorscale("RdBu").zmin(-MOST).zmax(MOST).ygap(2.0);
    let heat = match width {
        Width::Wide => heat.colorbar(Colorbar::default().title("sd")),
        Width::Narrow => heat.showscale(false),
    };
    Figure::new()
        .trace(heat)
        .trace(
            Scatter::new(changes, names).name("changed").mode(Mode::MARKERS).marker(
                Marker::default()
                    .symbol(Symbol::DiamondOpen)
                    .size(11.0)
                    .color(Color::hex(0x11_1111))
                    .line(Line::default().width(2.0)),
            ),
        )
        .layout(
            Layout::default()
                .title(title)
                .xaxis(Axis::date(""))
                .yaxis(Axis::default().autorange(AutoRange::Reversed))
                .showlegend(false)
                .margin(margin)
                .shape(
                    Shape::vline(fired)
                        .line(Line::default().color(Color::hex(0xd5_5e00)).width(2.0))
                        .label("alert"),
                ),
        )
}

/// A name that fits beside a figure: its begin and its end, because tags at the end tell signals of one name apart.
fn short(name: &str, most: usize) -> String {
    let count = name.chars().count();
    if count <= most {
        return name.to_owned();
    }
    let head = most / 2;
    let begin: String = name.chars().take(head).collect();
    let end: String = name.chars().skip(count - (most - head - 1)).collect();
    format!("{begin}…{end}")
}
