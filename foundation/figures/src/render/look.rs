//! The colours and font sizes of one drawing: what the layout asks for, else what the theme gives.

use super::Size;
use crate::color::Color;
use crate::layout::Layout;
use crate::style::Font;
use crate::theme::{Palette, Theme};

#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) palette: &'static Palette,
    pub(crate) paper: Color,
    pub(crate) plot: Color,
    pub(crate) text: Color,
    pub(crate) muted: Color,
    /// Font size of axis titles and texts in the plot.
    pub(crate) base: f64,
    /// Font size of tick labels and the legend.
    pub(crate) small: f64,
    pub(crate) series: Vec<Color>,
    pub(crate) size: Size,
}

impl Look {
    pub(crate) fn new(layout: &Layout, size: Size, theme: Theme) -> Self {
        let palette = theme.palette();
        let font_color = layout.font.as_ref().and_then(|font| font.color);
        let default_size = if size.width < 480 { 11.0 } else { 12.0 };
        let base = font_size(layout.font.as_ref(), default_size);
        let series = layout.colorway.clone().filter(|colors| !colors.is_empty());
        Self {
            palette,
            paper: layout.paper_bgcolor.unwrap_or(palette.paper),
            plot: layout.plot_bgcolor.unwrap_or(palette.plot),
            text: font_color.unwrap_or(palette.text),
            muted: font_color.unwrap_or(palette.muted),
            base,
            small: (base - 0.5).max(MIN_FONT),
            series: series.unwrap_or_else(|| palette.series.to_vec()),
            size,
        }
    }

    /// The colour of the trace at `index` that has none of its own.
    pub(crate) fn series_color(&self, index: usize) -> Color {
        self.series[index % self.series.len()]
    }

    /// Black or white, whichever reads better on `background`.
    pub(crate) fn ink_on(background: Color) -> Color {
        // Contrast with black, (L + 0.05) / 0.05, equals that with white, 1.05 / (L + 0.05), at this luminance.
        if background.luminance() > 0.179 { Color::hex(0x101418) } else { Color::hex(0xffffff) }
    }
}

const MIN_FONT: f64 = 4.0;
const MAX_FONT: f64 = 96.0;

/// The font's size within what can be read and drawn.
pub(crate) fn font_size(font: Option<&Font>, default: f64) -> f64 {
    let wished = font.and_then(|font| font.size).filter(|size| size.is_finite());
    wished.unwrap_or(default).clamp(MIN_FONT, MAX_FONT)
}
