//! What traces, axes and shapes share: fonts, titles, lines, markers, error bars, colour scales.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::color::Color;
use crate::column::{Column, OneOrEach};
use crate::wire::{wire, words};

wire! {
    /// Size and colour of a text. The native renderer has one typeface; `family` is kept for browsers.
    pub struct Font {
        /// CSS font family.
        family: String,
        /// Height in pixels.
        size: f64,
        /// Colour of the glyphs.
        color: Color,
    }
}

wire! {
    /// A title of a figure, an axis, a legend or a colour bar. Reads the short form, a bare string, too.
    pub struct Title["text"] {
        /// The text, with Plotly's `<br>`, `<sup>`, `<sub>`; other tags are read over.
        text: String,
        /// Its font.
        font: Font,
        /// Position across the figure, 0 (left) to 1 (right); figure titles only.
        x: f64,
        /// Smaller second line; figure titles only.
        subtitle: Subtitle,
    }
}

wire! {
    /// The second line of a figure title.
    pub struct Subtitle["text"] {
        /// The text.
        text: String,
        /// Its font.
        font: Font,
    }
}

impl From<&str> for Title {
    fn from(text: &str) -> Self {
        Self::default().text(text)
    }
}

impl From<String> for Title {
    fn from(text: String) -> Self {
        Self::default().text(text)
    }
}

impl From<&str> for Subtitle {
    fn from(text: &str) -> Self {
        Self::default().text(text)
    }
}

/// How a line is broken.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Dash {
    /// Unbroken.
    Solid,
    /// Dots three times the line's width apart.
    Dot,
    /// Dashes.
    Dash,
    /// Long dashes.
    LongDash,
    /// Dash, dot.
    DashDot,
    /// Long dash, dot.
    LongDashDot,
    /// Lengths in pixels of stroke and gap by turns, as `5px,10px`.
    Lengths(Vec<f64>),
}

impl Dash {
    /// Stroke and gap lengths in pixels for a line of `width`; empty for a solid line. The factors are Plotly's.
    pub(crate) fn lengths(&self, width: f64) -> Vec<f64> {
        let unit = width.max(3.0);
        let factors: &[f64] = match self {
            Self::Solid => &[],
            Self::Dot => &[1.0, 1.0],
            Self::Dash => &[3.0, 3.0],
            Self::LongDash => &[5.0, 5.0],
            Self::DashDot => &[3.0, 1.0, 1.0, 1.0],
            Self::LongDashDot => &[5.0, 2.0, 1.0, 2.0],
            Self::Lengths(lengths) => return lengths.clone(),
        };
        factors.iter().map(|factor| factor * unit).collect()
    }
}

impl Serialize for Dash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = match self {
            Self::Solid => "solid",
            Self::Dot => "dot",
            Self::Dash => "dash",
            Self::LongDash => "longdash",
            Self::DashDot => "dashdot",
            Self::LongDashDot => "longdashdot",
            Self::Lengths(lengths) => {
                let parts: Vec<String> = lengths.iter().map(|length| format!("{length}px")).collect();
                return serializer.serialize_str(&parts.join(","));
            }
        };
        serializer.serialize_str(name)
    }
}

impl<'de> Deserialize<'de> for Dash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "solid" => Self::Solid,
            "dot" => Self::Dot,
            "dash" => Self::Dash,
            "longdash" => Self::LongDash,
            "dashdot" => Self::DashDot,
            "longdashdot" => Self::LongDashDot,
            lengths => {
                let parse = |part: &str| part.trim().trim_end_matches("px").parse::<f64>().ok();
                let lengths: Option<Vec<f64>> =
                    lengths.split([',', ' ']).filter(|p| !p.is_empty()).map(parse).collect();
                // A dash shorter than a tenth of a pixel would cost a stroke segment each and show nothing.
                let usable = lengths.filter(|all| {
                    all.iter().all(|l| (0.0..1e4).contains(l)) && all.iter().sum::<f64>() >= 0.1
                });
                Self::Lengths(usable.ok_or_else(|| D::Error::custom(format!("{text} is no dash pattern")))?)
            }
        })
    }
}

words! {
    /// The course of a line between two points.
    pub enum LineShape {
        /// Straight.
        Linear = "linear",
        /// A smooth curve; drawn straight by the native renderer.
        Spline = "spline",
        /// Level, then up or down: a step at the next point.
        Hv = "hv",
        /// Up or down, then level: a step at this point.
        Vh = "vh",
        /// A step half-way.
        Hvh = "hvh",
        /// Half the height at this point, half at the next.
        Vhv = "vhv",
    }
}

wire! {
    /// A stroke: of a trace, a marker's rim, a shape.
    pub struct Line {
        /// Colour; the trace's own by default.
        color: Color,
        /// Width in pixels.
        width: f64,
        /// Solid or broken.
        dash: Dash,
        /// Course between points; scatter traces only.
        shape: LineShape,
    }
}

words! {
    /// The form of a marker.
    pub enum Symbol {
        /// A disc.
        Circle = "circle",
        /// A ring.
        CircleOpen = "circle-open",
        /// A square.
        Square = "square",
        /// A square's outline.
        SquareOpen = "square-open",
        /// A square on its tip.
        Diamond = "diamond",
        /// A diamond's outline.
        DiamondOpen = "diamond-open",
        /// An upright cross.
        Cross = "cross",
        /// A slanted cross.
        X = "x",
        /// A triangle pointing up.
        TriangleUp = "triangle-up",
        /// A triangle pointing down.
        TriangleDown = "triangle-down",
        /// A five-pointed star.
        Star = "star",
        /// A thin upright cross.
        CrossThin = "cross-thin",
        /// A thin slanted cross.
        XThin = "x-thin",
        /// A level line.
        LineEw = "line-ew",
        /// An upright line.
        LineNs = "line-ns",
    }
}

impl From<Symbol> for OneOrEach<Symbol> {
    fn from(symbol: Symbol) -> Self {
        Self::One(symbol)
    }
}

/// The colours of a trace's markers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MarkerColor {
    /// One for all.
    One(Color),
    /// One for each point.
    Each(Vec<Color>),
    /// One number for each point, coloured through the colour scale.
    Scaled(Column),
}

impl From<Color> for MarkerColor {
    fn from(color: Color) -> Self {
        Self::One(color)
    }
}

impl From<Vec<Color>> for MarkerColor {
    fn from(colors: Vec<Color>) -> Self {
        Self::Each(colors)
    }
}

impl From<Vec<f64>> for MarkerColor {
    fn from(numbers: Vec<f64>) -> Self {
        Self::Scaled(Column::Numbers(numbers))
    }
}

wire! {
    /// The marks of a scatter trace, or the body of bars and boxes.
    pub struct Marker {
        /// Colour, colours, or numbers that go through the colour scale.
        color: MarkerColor,
        /// Diameter in pixels.
        size: OneOrEach<f64>,
        /// Form.
        symbol: OneOrEach<Symbol>,
        /// Opacity, 0 to 1.
        opacity: OneOrEach<f64>,
        /// The rim.
        line: Line,
        /// Scale for numbers in `color`.
        colorscale: Colorscale,
        /// The number at the scale's start; the smallest by default.
        cmin: f64,
        /// The number at the scale's end; the largest by default.
        cmax: f64,
        /// Whether the scale runs backwards.
        reversescale: bool,
        /// Whether the colour bar is shown.
        showscale: bool,
        /// The colour bar.
        colorbar: Colorbar,
    }
}

wire! {
    /// The key of a colour scale, drawn at the right of the plot.
    pub struct Colorbar {
        /// Its title.
        title: Title,
        /// Number format of its ticks (d3-format).
        tickformat: String,
        /// Text after each tick's number.
        ticksuffix: String,
    }
}

wire! {
    /// Bars that show the uncertainty of each point.
    pub struct ErrorBars {
        /// `data` (from `array`), `percent` or `constant` (from `value`).
        kind as "type": ErrorKind,
        /// Length for each point, in the axis's unit.
        array: Column,
        /// Length downwards, if it differs.
        arrayminus: Column,
        /// Length for all points, in the axis's unit or percent.
        value: f64,
        /// Whether the bars are drawn.
        visible: bool,
        /// Colour; the trace's own by default.
        color: Color,
        /// Line width in pixels.
        thickness: f64,
        /// Half the width of the end strokes in pixels.
        width: f64,
    }
}

words! {
    /// Where the length of an error bar comes from.
    pub enum ErrorKind {
        /// From `array` and `arrayminus`.
        Data = "data",
        /// `value` percent of the coordinate.
        Percent = "percent",
        /// `value` itself.
        Constant = "constant",
    }
}

impl ErrorBars {
    /// Error bars with a length of its own for each point.
    pub fn data(array: impl Into<Column>) -> Self {
        Self::default().kind(ErrorKind::Data).array(array)
    }

    /// Lengths up and down at the point `index` with coordinate `at`; `None` if there is no bar.
    pub(crate) fn lengths(&self, index: usize, at: f64) -> Option<(f64, f64)> {
        if self.visible == Some(false) {
            return None;
        }
        let cell = |column: &Column| match column {
            Column::Numbers(numbers) => numbers.get(index).copied(),
            Column::Texts(_) => None,
        };
        let (up, down) = match self.kind {
            Some(ErrorKind::Percent) => {
                let length = at.abs() * self.value.unwrap_or(10.0) / 100.0;
                (length, length)
            }
            Some(ErrorKind::Constant) => (self.value?, self.value?),
            Some(ErrorKind::Data) | None => {
                let up = self.array.as_ref().and_then(cell)?;
                (up, self.arrayminus.as_ref().and_then(cell).unwrap_or(up))
            }
        };
        (up.is_finite() && down.is_finite()).then_some((up.abs(), down.abs()))
    }
}

/// A run of colours by value: a name that Plotly knows, or a list of stops from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Colorscale {
    /// One of Plotly's names; the native renderer has Cividis, Viridis, Plasma, Inferno, Greys, Blues, Reds, Greens,
    /// RdBu and YlGnBu, each also reversed with the ending `_r`, and draws any other as Cividis.
    Named(String),
    /// Positions from 0 to 1, ascending, with their colours.
    Stops(Vec<(f64, Color)>),
}

impl From<&str> for Colorscale {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

impl From<Vec<(f64, Color)>> for Colorscale {
    fn from(stops: Vec<(f64, Color)>) -> Self {
        Self::Stops(stops)
    }
}

/// Whether a trace is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// Shown.
    Yes,
    /// Neither shown nor in the legend.
    No,
    /// Only in the legend, greyed.
    LegendOnly,
}

impl Serialize for Visible {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Yes => serializer.serialize_bool(true),
            Self::No => serializer.serialize_bool(false),
            Self::LegendOnly => serializer.serialize_str("legendonly"),
        }
    }
}

impl<'de> Deserialize<'de> for Visible {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Bool(true) => Ok(Self::Yes),
            serde_json::Value::Bool(false) => Ok(Self::No),
            serde_json::Value::String(text) if text == "legendonly" => Ok(Self::LegendOnly),
            other => Err(D::Error::custom(format!("visible is true, false or \"legendonly\", not {other}"))),
        }
    }
}
