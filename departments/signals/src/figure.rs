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

/// Draws the signals whose values `rows` holds, in the order of the ranking.
pub fn timeline(header: &Header, explanation: &Explanation, rows: &[Vec<f64>]) -> Figure {
    let question = &explanation.question;
    let focus = question.focus_start()..question.focus_end(header.points);
    let micros = |point: usize| header.time_ms(point) * 1000;
    let shown = explanation.timeline.iter().zip(rows).take(ROWS);
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
    let about = format!(
        "{count} of {} signals that changed, {} tested; most likely cause on top",
        explanation.timeline.len(),
        explanation.tested
    );
    let title = Title::from(format!("What changed around the alert of {}", short(&explanation.alert.signal)))
        .subtitle(Subtitle::from(about.as_str()));
    Figure::new()
        .trace(
            Heatmap::new(cells)
                .x(x)
                .y(names.clone())
                .colorscale("RdBu")
                .zmin(-MOST)
                .zmax(MOST)
                .ygap(2.0)
                .colorbar(Colorbar::default().title("sd")),
        )
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
                .margin(Margin::default().l(230.0))
                .shape(
                    Shape::vline(fired)
                        .line(Line::default().color(Color::hex(0xd5_5e00)).width(2.0))
                        .label("alert"),
                ),
        )
}

/// Names that fit beside a figure.
fn short(name: &str) -> String {
    const MOST_CHARACTERS: usize = 32;
    if name.chars().count() <= MOST_CHARACTERS {
        return name.to_owned();
    }
    let kept: String = name.chars().take(MOST_CHARACTERS - 1).collect();
    format!("{kept}…")
}
