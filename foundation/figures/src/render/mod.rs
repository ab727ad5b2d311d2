//! Drawing without a browser.
//!
//! ```text
//! figure -> series: values in axis units, ends of the axes -> page: room for titles, labels, keys; the plot
//!        -> marks, solids, notes: items in pixels -> scene -> svg | png
//! ```
//!
//! The same figure, size and theme give the same bytes on every run and machine: nothing depends on the order of a hash
//! map, on a font or on the platform's mathematics (logarithms and sines come from `libm`), and numbers are written with
//! fixed decimals. A drawing never fails: what makes no sense is drawn as far as it does, and what cannot be drawn is
//! named under the plot.

mod axis;
mod bars;
mod boxes;
mod decimate;
mod describe;
mod extent;
mod font;
mod geometry;
mod legend;
mod look;
mod marks;
mod notes;
mod number;
mod page;
mod png;
mod ramp;
mod scale;
mod scene;
mod series;
mod solids;
mod svg;
mod symbols;
mod ticks;

use crate::figure::Figure;
use crate::theme::Theme;

/// Width and height of a drawing in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl Size {
    /// The longest side of a drawing. At 4096 by 4096 a pixel buffer takes 64 MB.
    pub const LONGEST: u32 = 4096;

    /// A size with each side brought into 1 to [`Size::LONGEST`].
    pub fn new(width: u32, height: u32) -> Self {
        Self { width: width.clamp(1, Self::LONGEST), height: height.clamp(1, Self::LONGEST) }
    }
}

/// Draws `figure` as an SVG document.
///
/// It stands alone or inside an HTML page (ids carry a hash of the drawing), has a `<title>`, a `<desc>` that tells axes
/// and traces in words, and an `aria-label` on every text; points with hover text have it as a tooltip. Colours set in the
/// layout win over those of `theme`.
pub fn svg(figure: &Figure, size: Size, theme: Theme) -> String {
    svg::write(&page::compose(figure, size, theme))
}

/// Draws `figure` as a PNG of `size` times `scale` pixels.
///
/// `scale` is brought into 0.1 to 8, and down further if the picture would have more than 67 million pixels.
pub fn png(figure: &Figure, size: Size, theme: Theme, scale: f32) -> Vec<u8> {
    png::write(&page::compose(figure, size, theme), f64::from(scale))
}
