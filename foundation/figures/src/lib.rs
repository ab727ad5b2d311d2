//! Figures: Plotly's figure JSON, and a native renderer to SVG and PNG.
//!
//! Every department that shows a chart builds a [`Figure`] here. Its serde form is exactly Plotly's figure JSON
//! (`{"data": […], "layout": {…}}`), so a browser with plotly.js, a Jupyter notebook and Python's `plotly` read it as
//! their own, and a figure written by any of them can be read here. [`render::svg`] and [`render::png`] draw the same
//! figure with no browser and no font on the machine, to the same bytes on every run and every machine.
//!
//! The one idea: a figure is data. It is stored, diffed and sent as JSON, and drawn only where somebody looks.
//!
//! ```
//! use backlot_figures::{Axis, Figure, Layout, Mode, Scatter, Size, Theme, render};
//!
//! let figure = Figure::new()
//!     .trace(Scatter::new([400, 900, 2_100], [78.5, 88.1, 94.0]).name("720p").mode(Mode::LINES_MARKERS))
//!     .layout(Layout::default().title("Rate and quality").xaxis(Axis::log("kbit/s")).yaxis(Axis::titled("VMAF")));
//!
//! let json = serde_json::to_string(&figure)?; // for plotly.js
//! assert_eq!(serde_json::from_str::<Figure>(&json)?, figure);
//! let svg = render::svg(&figure, Size::new(900, 500), Theme::Light); // for a page without script
//! assert!(svg.starts_with("<svg"));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! # What is read, kept and drawn
//!
//! Unknown attributes never fail a read: they are kept in `extra` and written back ([`Scatter::extra`]); so is a known
//! attribute in a form not modelled here, and a whole trace of another type ([`Trace::Unknown`]). The renderer draws
//! scatter, bar, histogram, heatmap and box traces on the axes `x` and `y`; a trace it cannot draw is named in a line
//! under the plot, never dropped in silence. Layout templates, subplots, sliders and hover templates are not drawn.

#![allow(clippy::unreadable_literal, reason = "colours are read as rrggbb")]

mod color;
mod column;
mod dates;
mod figure;
mod layout;
pub mod render;
mod style;
mod theme;
mod trace;
mod wire;

pub use color::Color;
pub use column::{Column, Grid, Labels, OneOrEach, Range, Scalar};
pub use figure::Figure;
pub use layout::{
    Annotation, AutoRange, Axis, AxisKind, BarMode, ExponentFormat, Layer, Layout, Legend, Margin, RangeMode,
    Shape, ShapeKind, ShapeLabel, XAnchor, YAnchor,
};
pub use render::Size;
pub use style::{
    Colorbar, Colorscale, Dash, ErrorBars, ErrorKind, Font, Line, LineShape, Marker, MarkerColor, Subtitle,
    Symbol, Title, Visible,
};
pub use theme::{Palette, Theme};
pub use trace::{
    Bar, Bins, BoxPlot, BoxPoints, Fill, Heatmap, HistNorm, Histogram, Mode, Orientation, Scatter,
    TextPosition, Trace,
};

/// What can go wrong with a figure's parts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text is no CSS colour.
    #[error("{text:?} is not a colour; write it as #rrggbb, rgb(r,g,b) or a CSS colour name")]
    Color {
        /// The text, cut at 60 characters.
        text: String,
    },
}
