//! The colours of a figure on a light and on a dark page.

use crate::color::Color;

/// Whether the page is light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Theme {
    /// Dark ink on white.
    #[default]
    Light,
    /// Light ink on near-black.
    Dark,
}

/// The colours a theme gives to what has none of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Palette {
    /// Background of the figure.
    pub paper: Color,
    /// Background of the plot area.
    pub plot: Color,
    /// Titles and labels.
    pub text: Color,
    /// Tick labels, and the second line of a title.
    pub muted: Color,
    /// Grid lines.
    pub grid: Color,
    /// Axis lines and the line at zero.
    pub axis: Color,
    /// Traces, in turn.
    pub series: [Color; 7],
}

/// The palette of Okabe and Ito ("Color Universal Design", 2008) without its yellow, which is too faint on white, and
/// with a dark grey for its black.
const LIGHT: Palette = Palette {
    paper: Color::hex(0xffffff),
    plot: Color::hex(0xffffff),
    text: Color::hex(0x1f2328),
    muted: Color::hex(0x57606a),
    grid: Color::hex(0xe7eaee),
    axis: Color::hex(0xafb8c1),
    series: [
        Color::hex(0x0072b2),
        Color::hex(0xd55e00),
        Color::hex(0x009e73),
        Color::hex(0xcc79a7),
        Color::hex(0xe69f00),
        Color::hex(0x56b4e9),
        Color::hex(0x333333),
    ],
};

/// Found by hill climbing from bright twins of the light palette: the largest smallest distance (Oklab) between any two
/// under normal vision, protanopia, deuteranopia and tritanopia, at a contrast of at least 3 to 1 with the paper.
const DARK: Palette = Palette {
    paper: Color::hex(0x14171c),
    plot: Color::hex(0x14171c),
    text: Color::hex(0xe6e9ed),
    muted: Color::hex(0xa3abb6),
    grid: Color::hex(0x2a3038),
    axis: Color::hex(0x57606a),
    series: [
        Color::hex(0x41acff),
        Color::hex(0xff722b),
        Color::hex(0x09e4b0),
        Color::hex(0xc97faa),
        Color::hex(0xf0e63a),
        Color::hex(0x8657e8),
        Color::hex(0xe6feff),
    ],
};

impl Theme {
    /// The theme's colours.
    pub fn palette(self) -> &'static Palette {
        match self {
            Self::Light => &LIGHT,
            Self::Dark => &DARK,
        }
    }
}
