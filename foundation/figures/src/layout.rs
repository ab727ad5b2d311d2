//! The layout: everything around the traces.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::color::Color;
use crate::column::{Column, Range, Scalar};
use crate::style::{Font, Line, Title};
use crate::theme::Theme;
use crate::trace::Orientation;
use crate::wire::{wire, words};

wire! {
    /// Titles, axes, legend, marks and colours of a figure.
    pub struct Layout {
        /// Title above the plot.
        title: Title,
        /// Font of everything that has none of its own.
        font: Font,
        /// The horizontal axis.
        xaxis: Axis,
        /// The vertical axis.
        yaxis: Axis,
        /// The legend.
        legend: Legend,
        /// Whether there is a legend; by default if two or more traces would stand in it.
        showlegend: bool,
        /// How bars at one position share it.
        barmode: BarMode,
        /// Share of the distance of two positions left free, 0 to 1.
        bargap: f64,
        /// Share of a bar's room left free between bars of one group, 0 to 1.
        bargroupgap: f64,
        /// Lines, rectangles and circles.
        shapes: Vec<Shape>,
        /// Texts, with or without an arrow.
        annotations: Vec<Annotation>,
        /// Colours of traces that have none of their own, in turn.
        colorway: Vec<Color>,
        /// Background of the whole figure.
        paper_bgcolor: Color,
        /// Background of the plot area.
        plot_bgcolor: Color,
        /// Width in pixels in a browser; the native renderer goes by the size it is given.
        width: f64,
        /// Height in pixels in a browser; the native renderer goes by the size it is given.
        height: f64,
        /// Margins in a browser; the native renderer measures its own.
        margin: Margin,
        /// How the browser looks for points near the pointer: `x unified`, `closest`, …
        hovermode: String,
    }
}

impl Layout {
    /// Writes the colours of `theme` into the layout (paper, plot, font, colour series, axis and grid lines), so that
    /// Plotly in a browser shows what the native renderer draws. Colours already set are kept.
    pub fn themed(mut self, theme: Theme) -> Self {
        let palette = theme.palette();
        self.paper_bgcolor.get_or_insert(palette.paper);
        self.plot_bgcolor.get_or_insert(palette.plot);
        self.colorway.get_or_insert_with(|| palette.series.to_vec());
        self.font.get_or_insert_default().color.get_or_insert(palette.text);
        for axis in [self.xaxis.get_or_insert_default(), self.yaxis.get_or_insert_default()] {
            axis.gridcolor.get_or_insert(palette.grid);
            axis.linecolor.get_or_insert(palette.axis);
            axis.zerolinecolor.get_or_insert(palette.axis);
        }
        self
    }

    /// Adds a shape.
    pub fn shape(mut self, shape: Shape) -> Self {
        self.shapes.get_or_insert_default().push(shape);
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, annotation: Annotation) -> Self {
        self.annotations.get_or_insert_default().push(annotation);
        self
    }
}

words! {
    /// What an axis measures.
    pub enum AxisKind {
        /// Found from the data: numbers are linear, dates a date axis, other texts categories.
        Auto = "-",
        /// Numbers, evenly.
        Linear = "linear",
        /// Positive numbers by powers of ten.
        Log = "log",
        /// Dates.
        Date = "date",
        /// Names, evenly.
        Category = "category",
    }
}

words! {
    /// How an axis finds its ends when it has no range.
    pub enum RangeMode {
        /// From the data.
        Normal = "normal",
        /// From the data and zero.
        ToZero = "tozero",
        /// From zero up.
        NonNegative = "nonnegative",
    }
}

words! {
    /// How very large and small tick numbers are written.
    pub enum ExponentFormat {
        /// In full.
        None = "none",
        /// `1e6`.
        Lower = "e",
        /// `1E6`.
        Upper = "E",
        /// `10<sup>6</sup>`.
        Power = "power",
        /// `1M`, `1G`.
        Si = "SI",
        /// `1M`, `1B`.
        B = "B",
    }
}

/// Whether an axis finds its own ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoRange {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It does, and runs backwards.
    Reversed,
}

impl Serialize for AutoRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Yes => serializer.serialize_bool(true),
            Self::No => serializer.serialize_bool(false),
            Self::Reversed => serializer.serialize_str("reversed"),
        }
    }
}

impl<'de> Deserialize<'de> for AutoRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Bool(true) => Ok(Self::Yes),
            serde_json::Value::Bool(false) => Ok(Self::No),
            serde_json::Value::String(text) if text == "reversed" => Ok(Self::Reversed),
            other => Err(serde::de::Error::custom(format!(
                "autorange is true, false or \"reversed\", not {other}"
            ))),
        }
    }
}

wire! {
    /// One axis.
    pub struct Axis {
        /// What it measures; found from the data by default.
        kind as "type": AxisKind,
        /// Title beside it.
        title: Title,
        /// Its two ends; on a log axis powers of ten. The first larger than the second runs backwards.
        range: Range,
        /// Whether it finds its own ends.
        autorange: AutoRange,
        /// Whether its own ends include zero.
        rangemode: RangeMode,
        /// Where ticks are; found by default.
        tickvals: Column,
        /// What stands at each of `tickvals`.
        ticktext: Column,
        /// Distance of ticks: a number (milliseconds on a date axis; powers of ten on a log axis) or `M3` for months.
        dtick: Scalar,
        /// Most ticks, about.
        nticks: u32,
        /// Number format (d3-format) or date format (d3-time-format) of ticks.
        tickformat: String,
        /// Text before each tick's number.
        tickprefix: String,
        /// Text after each tick's number.
        ticksuffix: String,
        /// How large and small numbers are written.
        exponentformat: ExponentFormat,
        /// Angle of tick labels in degrees, clockwise; found by default.
        tickangle: f64,
        /// Font of tick labels.
        tickfont: Font,
        /// Whether ticks have labels.
        showticklabels: bool,
        /// Whether ticks have grid lines.
        showgrid: bool,
        /// Colour of grid lines.
        gridcolor: Color,
        /// Whether the axis has a line.
        showline: bool,
        /// Colour of the axis's line.
        linecolor: Color,
        /// Whether zero has a line.
        zeroline: bool,
        /// Colour of zero's line.
        zerolinecolor: Color,
        /// Whether anything of the axis is drawn.
        visible: bool,
        /// Order of categories: those named here first.
        categoryarray: Column,
    }
}

impl Axis {
    /// An axis with a title.
    pub fn titled(title: impl Into<Title>) -> Self {
        Self::default().title(title)
    }

    /// A logarithmic axis with a title.
    pub fn log(title: impl Into<Title>) -> Self {
        Self::titled(title).kind(AxisKind::Log)
    }

    /// A date axis with a title.
    pub fn date(title: impl Into<Title>) -> Self {
        Self::titled(title).kind(AxisKind::Date)
    }

    /// An axis of categories with a title.
    pub fn category(title: impl Into<Title>) -> Self {
        Self::titled(title).kind(AxisKind::Category)
    }
}

words! {
    /// How bars at one position share it.
    pub enum BarMode {
        /// Side by side.
        Group = "group",
        /// One on top of the other.
        Stack = "stack",
        /// Stacked, negative ones downwards.
        Relative = "relative",
        /// One in front of the other.
        Overlay = "overlay",
    }
}

words! {
    /// Which point of a text or box its horizontal position means.
    pub enum XAnchor {
        /// By position.
        Auto = "auto",
        /// Its left edge.
        Left = "left",
        /// Its middle.
        Center = "center",
        /// Its right edge.
        Right = "right",
    }
}

words! {
    /// Which point of a text or box its vertical position means.
    pub enum YAnchor {
        /// By position.
        Auto = "auto",
        /// Its upper edge.
        Top = "top",
        /// Its middle.
        Middle = "middle",
        /// Its lower edge.
        Bottom = "bottom",
    }
}

wire! {
    /// The legend. Without a position it stands right of a wide figure and above a narrow one.
    pub struct Legend {
        /// A column or rows.
        orientation: Orientation,
        /// Title above its entries.
        title: Title,
        /// Position across the plot area, 0 to 1. The native renderer goes by `x` and `y` only if both lie within.
        x: f64,
        /// Position up the plot area, 0 to 1.
        y: f64,
        /// Which point of the legend `x` means.
        xanchor: XAnchor,
        /// Which point of the legend `y` means.
        yanchor: YAnchor,
        /// Font of the entries.
        font: Font,
        /// Background.
        bgcolor: Color,
    }
}

wire! {
    /// Space around the plot in pixels.
    pub struct Margin {
        /// Left.
        l: f64,
        /// Right.
        r: f64,
        /// Top.
        t: f64,
        /// Bottom.
        b: f64,
    }
}

words! {
    /// The form of a shape.
    pub enum ShapeKind {
        /// A line from (x0, y0) to (x1, y1).
        Line = "line",
        /// A rectangle with these corners.
        Rect = "rect",
        /// An ellipse in this rectangle.
        Circle = "circle",
    }
}

words! {
    /// Whether a shape lies under or over the traces.
    pub enum Layer {
        /// Under.
        Below = "below",
        /// Over.
        Above = "above",
    }
}

wire! {
    /// The text of a shape.
    pub struct ShapeLabel["text"] {
        /// The text.
        text: String,
        /// Its font.
        font: Font,
    }
}

impl From<&str> for ShapeLabel {
    fn from(text: &str) -> Self {
        Self::default().text(text)
    }
}

wire! {
    /// A line, rectangle or circle. Coordinates on a log axis are plain values (unlike those of annotations), as in Plotly.
    pub struct Shape {
        /// Its form.
        kind as "type": ShapeKind,
        /// What `x0` and `x1` are measured by: `x`, or `paper` and `x domain` (0 to 1 across the plot area).
        xref: String,
        /// What `y0` and `y1` are measured by: `y`, or `paper` and `y domain` (0 to 1 up the plot area).
        yref: String,
        /// Start across.
        x0: Scalar,
        /// End across.
        x1: Scalar,
        /// Start up.
        y0: Scalar,
        /// End up.
        y1: Scalar,
        /// Stroke.
        line: Line,
        /// Inside.
        fillcolor: Color,
        /// Opacity, 0 to 1.
        opacity: f64,
        /// Under or over the traces.
        layer: Layer,
        /// Text at the start of it.
        label: ShapeLabel,
    }
}

impl Shape {
    /// An upright line across the whole plot at `x`.
    pub fn vline(x: impl Into<Scalar>) -> Self {
        let x = x.into();
        Self::default().kind(ShapeKind::Line).xref("x").yref("paper").x0(x.clone()).x1(x).y0(0).y1(1)
    }

    /// A level line across the whole plot at `y`.
    pub fn hline(y: impl Into<Scalar>) -> Self {
        let y = y.into();
        Self::default().kind(ShapeKind::Line).xref("paper").yref("y").x0(0).x1(1).y0(y.clone()).y1(y)
    }

    /// A band from the bottom to the top of the plot between `x0` and `x1`, under the traces and without an edge.
    pub fn vrect(x0: impl Into<Scalar>, x1: impl Into<Scalar>) -> Self {
        Self::default()
            .kind(ShapeKind::Rect)
            .xref("x")
            .yref("paper")
            .x0(x0)
            .x1(x1)
            .y0(0)
            .y1(1)
            .layer(Layer::Below)
            .line(Line::default().width(0.0))
    }

    /// A band from the left to the right of the plot between `y0` and `y1`, under the traces and without an edge.
    pub fn hrect(y0: impl Into<Scalar>, y1: impl Into<Scalar>) -> Self {
        Self::default()
            .kind(ShapeKind::Rect)
            .xref("paper")
            .yref("y")
            .x0(0)
            .x1(1)
            .y0(y0)
            .y1(y1)
            .layer(Layer::Below)
            .line(Line::default().width(0.0))
    }

    /// A rectangle with the corners (`x0`, `y0`) and (`x1`, `y1`).
    pub fn rect(
        (x0, y0): (impl Into<Scalar>, impl Into<Scalar>),
        (x1, y1): (impl Into<Scalar>, impl Into<Scalar>),
    ) -> Self {
        Self::default().kind(ShapeKind::Rect).xref("x").yref("y").x0(x0).x1(x1).y0(y0).y1(y1)
    }
}

wire! {
    /// A text at a point. On a log axis `x` and `y` are powers of ten (unlike those of shapes), as in Plotly.
    pub struct Annotation {
        /// The text, with Plotly's `<br>`, `<sup>`, `<sub>`; other tags are read over.
        text: String,
        /// Position across.
        x: Scalar,
        /// Position up.
        y: Scalar,
        /// What `x` is measured by: `x`, or `paper` and `x domain` (0 to 1 across the plot area).
        xref: String,
        /// What `y` is measured by: `y`, or `paper` and `y domain` (0 to 1 up the plot area).
        yref: String,
        /// Whether an arrow leads from the text to the point (it does by default).
        showarrow: bool,
        /// Pixels from the point to the arrow's tail, to the right.
        ax: f64,
        /// Pixels from the point to the arrow's tail, downwards.
        ay: f64,
        /// Form of the arrow's head; 0 is none.
        arrowhead: u32,
        /// Colour of the arrow.
        arrowcolor: Color,
        /// Font of the text.
        font: Font,
        /// Which point of the text `x` means, without an arrow.
        xanchor: XAnchor,
        /// Which point of the text `y` means, without an arrow.
        yanchor: YAnchor,
        /// Pixels the text is moved to the right.
        xshift: f64,
        /// Pixels the text is moved up.
        yshift: f64,
        /// Background of the text.
        bgcolor: Color,
        /// Frame of the text.
        bordercolor: Color,
    }
}

impl Annotation {
    /// A text with an arrow to the point (`x`, `y`).
    pub fn new(x: impl Into<Scalar>, y: impl Into<Scalar>, text: impl Into<String>) -> Self {
        Self::default().x(x).y(y).text(text).showarrow(true)
    }
}
