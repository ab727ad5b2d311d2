//! Colour scales: from a number to a colour.

use crate::color::Color;
use crate::style::Colorscale;

/// A colour scale between two numbers.
#[derive(Clone, Debug)]
pub(crate) struct Ramp {
    stops: Vec<(f64, Color)>,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Evenly spaced colours of the named scales. Cividis: Nuñez, Anderton and Renslow (2018), Viridis, Plasma and Inferno: Smith
/// and van der Walt (2015), each sampled; the rest: ColorBrewer (Harrower and Brewer, 2003).
const NAMED: &[(&str, &[u32])] = &[
    (
        "cividis",
        &[0x00224e, 0x123570, 0x3b496c, 0x575d6d, 0x707173, 0x8a8678, 0xa59c74, 0xc3b369, 0xe1cc55, 0xfee838],
    ),
    (
        "viridis",
        &[0x440154, 0x482878, 0x3e4989, 0x31688e, 0x26828e, 0x1f9e89, 0x35b779, 0x6ece58, 0xb5de2b, 0xfde725],
    ),
    (
        "plasma",
        &[0x0d0887, 0x46039f, 0x7201a8, 0x9c179e, 0xbd3786, 0xd8576b, 0xed7953, 0xfb9f3a, 0xfdca26, 0xf0f921],
    ),
    (
        "inferno",
        &[0x000004, 0x1b0c41, 0x4a0c6b, 0x781c6d, 0xa52c60, 0xcf4446, 0xed6925, 0xfb9b06, 0xf7d13d, 0xfcffa4],
    ),
    ("greys", &[0x000000, 0xffffff]),
    ("blues", &[0xf7fbff, 0xdeebf7, 0xc6dbef, 0x9ecae1, 0x6baed6, 0x4292c6, 0x2171b5, 0x08519c, 0x08306b]),
    ("greens", &[0xf7fcf5, 0xe5f5e0, 0xc7e9c0, 0xa1d99b, 0x74c476, 0x41ab5d, 0x238b45, 0x006d2c, 0x00441b]),
    ("reds", &[0xfff5f0, 0xfee0d2, 0xfcbba1, 0xfc9272, 0xfb6a4a, 0xef3b2c, 0xcb181d, 0xa50f15, 0x67000d]),
    (
        "rdbu",
        &[
            0x67001f, 0xb2182b, 0xd6604d, 0xf4a582, 0xfddbc7, 0xf7f7f7, 0xd1e5f0, 0x92c5de, 0x4393c3,
            0x2166ac, 0x053061,
        ],
    ),
    ("ylgnbu", &[0xffffd9, 0xedf8b1, 0xc7e9b4, 0x7fcdbb, 0x41b6c4, 0x1d91c0, 0x225ea8, 0x253494, 0x081d58]),
];

impl Ramp {
    /// The scale `wish` (Cividis if none or unknown) between `low` and `high`.
    pub(crate) fn new(wish: Option<&Colorscale>, reversed: bool, low: f64, high: f64) -> Self {
        let (mut stops, backwards) = match wish {
            Some(Colorscale::Stops(stops)) if !stops.is_empty() => {
                let mut stops: Vec<_> = stops.iter().copied().filter(|(at, _)| at.is_finite()).collect();
                stops.sort_by(|a, b| a.0.total_cmp(&b.0));
                (stops, false)
            }
            Some(Colorscale::Named(name)) => named(name),
            _ => named("cividis"),
        };
        if reversed != backwards {
            stops = stops.into_iter().rev().map(|(at, color)| (1.0 - at, color)).collect();
        }
        Self { stops, low, high }
    }

    /// The colour of `value`; clear for what is no number.
    pub(crate) fn color(&self, value: f64) -> Color {
        if !value.is_finite() {
            return Color::CLEAR;
        }
        let span = self.high - self.low;
        let share = if span > 0.0 { ((value - self.low) / span).clamp(0.0, 1.0) } else { 0.5 };
        self.at(share)
    }

    /// The colour at `share` (0 to 1) of the scale.
    pub(crate) fn at(&self, share: f64) -> Color {
        let after = self.stops.partition_point(|(at, _)| *at < share);
        let (Some(left), Some(right)) = (self.stops.get(after.saturating_sub(1)), self.stops.get(after))
        else {
            return self.stops.last().map_or(Color::CLEAR, |(_, color)| *color);
        };
        let span = right.0 - left.0;
        if span > 0.0 { left.1.mix(right.1, (share - left.0) / span) } else { right.1 }
    }
}

fn named(name: &str) -> (Vec<(f64, Color)>, bool) {
    let lower = name.to_ascii_lowercase();
    let (base, backwards) = lower.strip_suffix("_r").map_or((lower.as_str(), false), |base| (base, true));
    let (_, colors) = NAMED.iter().find(|(known, _)| *known == base).unwrap_or(&NAMED[0]);
    let last = (colors.len() - 1) as f64;
    let stops = colors.iter().enumerate().map(|(index, color)| (index as f64 / last, Color::hex(*color)));
    (stops.collect(), backwards)
}

/// The smallest and largest of the numbers that are finite.
pub(crate) fn reach(numbers: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = numbers.into_iter().filter(|number| number.is_finite());
    finite.map(|number| number.clamp(-1e300, 1e300)).fold(None, |reach, number| match reach {
        None => Some((number, number)),
        Some((low, high)) => Some((f64::min(low, number), f64::max(high, number))),
    })
}
