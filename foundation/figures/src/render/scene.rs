//! What is drawn, in order, before it becomes SVG or pixels. Both backends draw the same scene.

use super::font::Run;
use super::geometry::{Path, Point, Rect};
use crate::color::Color;

/// One thing to draw.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// The inside of a path.
    Fill { path: Path, color: Color },
    /// A path's outline; `dash` holds stroke and gap lengths by turns.
    Stroke { path: Path, color: Color, width: f64, dash: Vec<f64> },
    /// A line of text whose baseline starts at `at`, turned by `angle` degrees clockwise about that point.
    Text { run: Run, at: Point, angle: f64, color: Color, weight: Weight },
    /// A grid of pixels stretched over a rectangle with hard edges.
    Image { rect: Rect, columns: u32, rows: u32, pixels: Vec<Color> },
    /// Items of which only what lies in the rectangle is seen.
    Clip { rect: Rect, items: Vec<Item> },
    /// Items with a tooltip.
    Tip { text: String, items: Vec<Item> },
}

/// How heavy glyphs are. The typeface is a light one, so every weight adds an outline to its stems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

impl Weight {
    /// Width of the outline around a glyph, in units of the font size.
    pub(crate) fn outline(self) -> f64 {
        match self {
            Self::Regular => 0.018,
            Self::Bold => 0.05,
        }
    }
}

/// A whole drawing.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) background: Color,
    /// Short name for assistive technology.
    pub(crate) title: String,
    /// What the drawing shows, in words.
    pub(crate) description: String,
    pub(crate) items: Vec<Item>,
}

impl Item {
    pub(crate) fn stroke(path: Path, color: Color, width: f64) -> Self {
        Self::Stroke { path, color, width, dash: Vec::new() }
    }
}
