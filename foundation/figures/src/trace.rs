//! The traces: what a figure draws.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::color::Color;
use crate::column::{Column, Grid, Labels, OneOrEach, Scalar};
use crate::style::{Colorbar, Colorscale, ErrorBars, Font, Line, Marker, Visible};
use crate::wire::{wire, words};

/// One series of a figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Trace {
    /// Lines, markers and texts at points.
    Scatter(Box<Scatter>),
    /// Bars.
    Bar(Box<Bar>),
    /// Counts of values by bins.
    Histogram(Box<Histogram>),
    /// Coloured cells.
    Heatmap(Box<Heatmap>),
    /// Boxes with whiskers.
    Box(Box<BoxPlot>),
    /// A trace of a type this crate does not model: kept, written back, and named under the drawing as not drawn.
    Unknown(Map<String, Value>),
}

impl<'de> Deserialize<'de> for Trace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(deserializer)?;
        Ok(match map.get("type").map_or(Some("scatter"), Value::as_str) {
            // `scattergl` is the same trace drawn by WebGL; its type stays in `extra`.
            Some("scatter" | "scattergl") => Self::Scatter(Box::new(Scatter::from_map(map))),
            Some("bar") => Self::Bar(Box::new(Bar::from_map(map))),
            Some("histogram") => Self::Histogram(Box::new(Histogram::from_map(map))),
            Some("heatmap") => Self::Heatmap(Box::new(Heatmap::from_map(map))),
            Some("box") => Self::Box(Box::new(BoxPlot::from_map(map))),
            _ => Self::Unknown(map),
        })
    }
}

macro_rules! into_trace {
    ($($variant:ident($of:ident)),*) => { $(
        impl From<$of> for Trace {
            fn from(trace: $of) -> Self { Self::$variant(Box::new(trace)) }
        }
    )* };
}
into_trace!(Scatter(Scatter), Bar(Bar), Histogram(Histogram), Heatmap(Heatmap), Box(BoxPlot));

/// What a scatter trace shows at its points: any of lines, markers and texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// A line through the points.
    pub lines: bool,
    /// A mark at each point.
    pub markers: bool,
    /// The text of each point.
    pub text: bool,
}

impl Mode {
    /// Lines only.
    pub const LINES: Self = Self { lines: true, markers: false, text: false };
    /// Markers only.
    pub const MARKERS: Self = Self { lines: false, markers: true, text: false };
    /// Lines and markers.
    pub const LINES_MARKERS: Self = Self { lines: true, markers: true, text: false };
    /// Texts only.
    pub const TEXT: Self = Self { lines: false, markers: false, text: true };
    /// Nothing: a trace that only fills, or only stands in the legend.
    pub const NONE: Self = Self { lines: false, markers: false, text: false };

    /// The same with texts.
    pub const fn with_text(self) -> Self {
        Self { text: true, ..self }
    }
}

impl Serialize for Mode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let flags = [(self.lines, "lines"), (self.markers, "markers"), (self.text, "text")];
        let names: Vec<&str> = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        serializer.serialize_str(&if names.is_empty() { "none".to_owned() } else { names.join("+") })
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut mode = Self::NONE;
        for flag in String::deserialize(deserializer)?.split('+') {
            match flag {
                "lines" => mode.lines = true,
                "markers" => mode.markers = true,
                "text" => mode.text = true,
                "none" => {}
                other => return Err(serde::de::Error::custom(format!("mode has the unknown part {other}"))),
            }
        }
        Ok(mode)
    }
}

words! {
    /// What the area under a line is filled down to.
    pub enum Fill {
        /// Not filled.
        None = "none",
        /// Down (or up) to zero.
        ToZeroY = "tozeroy",
        /// To the trace before this one.
        ToNextY = "tonexty",
        /// The trace's own closed outline.
        ToSelf = "toself",
    }
}

words! {
    /// Where a point's text stands. The part before the blank is vertical.
    pub enum TextPosition {
        /// Above.
        TopCenter = "top center",
        /// Above, to the left.
        TopLeft = "top left",
        /// Above, to the right.
        TopRight = "top right",
        /// On the point, to the left.
        MiddleLeft = "middle left",
        /// On the point.
        MiddleCenter = "middle center",
        /// On the point, to the right.
        MiddleRight = "middle right",
        /// Below.
        BottomCenter = "bottom center",
        /// Below, to the left.
        BottomLeft = "bottom left",
        /// Below, to the right.
        BottomRight = "bottom right",
        /// Bars: inside the bar's end.
        Inside = "inside",
        /// Bars: beyond the bar's end.
        Outside = "outside",
        /// Bars: inside if it fits, else outside.
        Auto = "auto",
        /// Not shown.
        None = "none",
    }
}

words! {
    /// Which way bars, boxes and legends run.
    pub enum Orientation {
        /// Upright bars; a legend as a column.
        Vertical = "v",
        /// Level bars; a legend as rows.
        Horizontal = "h",
    }
}

wire! {
    /// Points in order, joined by lines, marked, or written out.
    pub struct Scatter("scatter") {
        /// Horizontal coordinates; 0, 1, 2, … by default.
        x: Column,
        /// Vertical coordinates; 0, 1, 2, … by default.
        y: Column,
        /// Lines, markers, text; by default lines, with markers up to 20 points, as in Plotly.
        mode: Mode,
        /// Name in the legend.
        name: String,
        /// The line.
        line: Line,
        /// The markers.
        marker: Marker,
        /// Text at each point (drawn with mode text) and on hover.
        text: Labels,
        /// Where the text stands.
        textposition: TextPosition,
        /// Font of the text.
        textfont: Font,
        /// Text shown on hover: in browsers by Plotly, in our SVG as the marker's tooltip.
        hovertext: Labels,
        /// Plotly's template of the hover label; the native renderer does not read it.
        hovertemplate: String,
        /// Uncertainty upwards and downwards.
        error_y: ErrorBars,
        /// Uncertainty to the sides.
        error_x: ErrorBars,
        /// What the area under the line is filled down to.
        fill: Fill,
        /// Colour of the filled area; the line's at half opacity by default.
        fillcolor: Color,
        /// Whether gaps (null, NaN) are bridged.
        connectgaps: bool,
        /// Traces of one group toggle together in a browser and stand together in the legend.
        legendgroup: String,
        /// Whether the trace is in the legend.
        showlegend: bool,
        /// Whether the trace is shown.
        visible: Visible,
        /// Opacity of the whole trace, 0 to 1.
        opacity: f64,
        /// The horizontal axis, `x` by default; the native renderer draws only `x`.
        xaxis: String,
        /// The vertical axis, `y` by default; the native renderer draws only `y`.
        yaxis: String,
    }
}

impl Scatter {
    /// A trace through the points (`x[i]`, `y[i]`).
    pub fn new(x: impl Into<Column>, y: impl Into<Column>) -> Self {
        Self::default().x(x).y(y)
    }
}

wire! {
    /// One bar for each point.
    pub struct Bar("bar") {
        /// Horizontal coordinates: positions of upright bars, lengths of level ones.
        x: Column,
        /// Vertical coordinates: lengths of upright bars, positions of level ones.
        y: Column,
        /// Upright (default) or level.
        orientation: Orientation,
        /// Name in the legend.
        name: String,
        /// Colour and rim.
        marker: Marker,
        /// Text at each bar.
        text: Labels,
        /// Inside, outside, or wherever it fits.
        textposition: TextPosition,
        /// Font of the text.
        textfont: Font,
        /// Text shown on hover.
        hovertext: Labels,
        /// Plotly's template of the hover label; the native renderer does not read it.
        hovertemplate: String,
        /// Where bars start; zero by default.
        base: OneOrEach<f64>,
        /// Width in the axis's unit (1 is the distance of two categories).
        width: OneOrEach<f64>,
        /// Distance of the bar's start from its position, in the axis's unit.
        offset: OneOrEach<f64>,
        /// Uncertainty of upright bars.
        error_y: ErrorBars,
        /// Uncertainty of level bars.
        error_x: ErrorBars,
        /// Traces of one group stand together in the legend.
        legendgroup: String,
        /// Whether the trace is in the legend.
        showlegend: bool,
        /// Whether the trace is shown.
        visible: Visible,
        /// Opacity of the whole trace, 0 to 1.
        opacity: f64,
        /// The horizontal axis, `x` by default; the native renderer draws only `x`.
        xaxis: String,
        /// The vertical axis, `y` by default; the native renderer draws only `y`.
        yaxis: String,
    }
}

impl Bar {
    /// Upright bars of height `y` at `x`.
    pub fn new(x: impl Into<Column>, y: impl Into<Column>) -> Self {
        Self::default().x(x).y(y)
    }

    /// Level bars of length `x` at `y`.
    pub fn horizontal(x: impl Into<Column>, y: impl Into<Column>) -> Self {
        Self::default().x(x).y(y).orientation(Orientation::Horizontal)
    }
}

words! {
    /// What the height of a histogram's bar is.
    pub enum HistNorm {
        /// The count.
        Count = "",
        /// Percent of all values.
        Percent = "percent",
        /// Share of all values, 0 to 1.
        Probability = "probability",
        /// Count by unit of the bin's width.
        Density = "density",
        /// Share by unit of the bin's width: the area is 1.
        ProbabilityDensity = "probability density",
    }
}

wire! {
    /// The bins of a histogram.
    pub struct Bins {
        /// Start of the first bin.
        start: Scalar,
        /// End of the last bin.
        end: Scalar,
        /// Width of each, in the axis's unit (milliseconds on a date axis).
        size: f64,
    }
}

wire! {
    /// How many values fall into each bin.
    pub struct Histogram("histogram") {
        /// The values, counted along the horizontal axis.
        x: Column,
        /// The values, counted along the vertical axis, if there is no `x`.
        y: Column,
        /// Name in the legend.
        name: String,
        /// Colour and rim.
        marker: Marker,
        /// Most bins to make; by default about the square root of the count, rounded to even widths.
        nbinsx: u32,
        /// The same for `y`.
        nbinsy: u32,
        /// The bins themselves.
        xbins: Bins,
        /// The same for `y`.
        ybins: Bins,
        /// Count, percent, density.
        histnorm: HistNorm,
        /// Upright (default with `x`) or level.
        orientation: Orientation,
        /// Plotly's template of the hover label; the native renderer does not read it.
        hovertemplate: String,
        /// Traces of one group stand together in the legend.
        legendgroup: String,
        /// Whether the trace is in the legend.
        showlegend: bool,
        /// Whether the trace is shown.
        visible: Visible,
        /// Opacity of the whole trace, 0 to 1.
        opacity: f64,
        /// The horizontal axis, `x` by default; the native renderer draws only `x`.
        xaxis: String,
        /// The vertical axis, `y` by default; the native renderer draws only `y`.
        yaxis: String,
    }
}

impl Histogram {
    /// Counts of the values `x`.
    pub fn new(x: impl Into<Column>) -> Self {
        Self::default().x(x)
    }
}

wire! {
    /// A grid of coloured cells; row `i` of `z` is at `y[i]`, the first at the bottom.
    pub struct Heatmap("heatmap") {
        /// The numbers, by rows.
        z: Grid,
        /// Centres of the columns (or their edges, one more); 0, 1, 2, … by default.
        x: Column,
        /// Centres of the rows (or their edges, one more); 0, 1, 2, … by default.
        y: Column,
        /// Name.
        name: String,
        /// Colours by number.
        colorscale: Colorscale,
        /// Whether the scale runs backwards.
        reversescale: bool,
        /// Whether the colour bar is shown (it is by default).
        showscale: bool,
        /// The number at the scale's start; the smallest by default.
        zmin: f64,
        /// The number at the scale's end; the largest by default.
        zmax: f64,
        /// The number at the scale's middle, when `zmin` and `zmax` are not given.
        zmid: f64,
        /// Gap between columns in pixels.
        xgap: f64,
        /// Gap between rows in pixels.
        ygap: f64,
        /// The colour bar.
        colorbar: Colorbar,
        /// Plotly's template of each cell's text. The native renderer knows `%{z}` and `%{z:format}`.
        texttemplate: String,
        /// Plotly's template of the hover label; the native renderer does not read it.
        hovertemplate: String,
        /// Whether the trace is shown.
        visible: Visible,
        /// Opacity of the whole trace, 0 to 1.
        opacity: f64,
        /// The horizontal axis, `x` by default; the native renderer draws only `x`.
        xaxis: String,
        /// The vertical axis, `y` by default; the native renderer draws only `y`.
        yaxis: String,
    }
}

impl Heatmap {
    /// Cells of the grid `z`, in the colour-blind-safe Cividis.
    pub fn new(z: impl Into<Grid>) -> Self {
        Self::default().z(z).colorscale("Cividis")
    }
}

words! {
    /// Which samples a box plot shows as points.
    pub enum BoxPoints {
        /// Those beyond the whiskers.
        Outliers = "outliers",
        /// Those far beyond the whiskers, marked out; drawn as `Outliers`.
        SuspectedOutliers = "suspectedoutliers",
        /// All of them; drawn as `Outliers`.
        All = "all",
    }
}

wire! {
    /// Median, quartiles and whiskers (1.5 times the distance of the quartiles) of samples.
    pub struct BoxPlot("box") {
        /// The samples of an upright box.
        y: Column,
        /// The samples of a level box, or the category of each sample in `y`.
        x: Column,
        /// Name in the legend, and the box's category when none are given.
        name: String,
        /// Which samples are shown as points.
        boxpoints: BoxPoints,
        /// Colour of box and points.
        marker: Marker,
        /// Colour and width of the outline.
        line: Line,
        /// Colour of the box's inside.
        fillcolor: Color,
        /// Upright (default with `y`) or level.
        orientation: Orientation,
        /// Traces of one group stand together in the legend.
        legendgroup: String,
        /// Whether the trace is in the legend.
        showlegend: bool,
        /// Whether the trace is shown.
        visible: Visible,
        /// Opacity of the whole trace, 0 to 1.
        opacity: f64,
        /// The horizontal axis, `x` by default; the native renderer draws only `x`.
        xaxis: String,
        /// The vertical axis, `y` by default; the native renderer draws only `y`.
        yaxis: String,
    }
}

impl BoxPlot {
    /// One upright box of the samples `y`.
    pub fn new(y: impl Into<Column>) -> Self {
        Self::default().y(y)
    }
}

impl Trace {
    /// The name in the legend, if one was given.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Scatter(trace) => trace.name.as_deref(),
            Self::Bar(trace) => trace.name.as_deref(),
            Self::Histogram(trace) => trace.name.as_deref(),
            Self::Heatmap(trace) => trace.name.as_deref(),
            Self::Box(trace) => trace.name.as_deref(),
            Self::Unknown(map) => map.get("name").and_then(Value::as_str),
        }
    }

    pub(crate) fn visible(&self) -> Visible {
        match self {
            Self::Scatter(trace) => trace.visible,
            Self::Bar(trace) => trace.visible,
            Self::Histogram(trace) => trace.visible,
            Self::Heatmap(trace) => trace.visible,
            Self::Box(trace) => trace.visible,
            Self::Unknown(map) => map.get("visible").and_then(|visible| Visible::deserialize(visible).ok()),
        }
        .unwrap_or(Visible::Yes)
    }

    pub(crate) fn showlegend(&self) -> Option<bool> {
        match self {
            Self::Scatter(trace) => trace.showlegend,
            Self::Bar(trace) => trace.showlegend,
            Self::Histogram(trace) => trace.showlegend,
            Self::Box(trace) => trace.showlegend,
            Self::Heatmap(_) | Self::Unknown(_) => Some(false),
        }
    }

    pub(crate) fn legendgroup(&self) -> Option<&str> {
        match self {
            Self::Scatter(trace) => trace.legendgroup.as_deref(),
            Self::Bar(trace) => trace.legendgroup.as_deref(),
            Self::Histogram(trace) => trace.legendgroup.as_deref(),
            Self::Box(trace) => trace.legendgroup.as_deref(),
            Self::Heatmap(_) | Self::Unknown(_) => None,
        }
    }

    /// The axes the trace is drawn on, as Plotly names them.
    pub(crate) fn axes(&self) -> (&str, &str) {
        let (x, y) = match self {
            Self::Scatter(trace) => (&trace.xaxis, &trace.yaxis),
            Self::Bar(trace) => (&trace.xaxis, &trace.yaxis),
            Self::Histogram(trace) => (&trace.xaxis, &trace.yaxis),
            Self::Heatmap(trace) => (&trace.xaxis, &trace.yaxis),
            Self::Box(trace) => (&trace.xaxis, &trace.yaxis),
            Self::Unknown(_) => (&None, &None),
        };
        (x.as_deref().unwrap_or("x"), y.as_deref().unwrap_or("y"))
    }
}
