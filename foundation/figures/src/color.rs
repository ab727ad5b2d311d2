//! Colours as CSS writes them, and as Plotly therefore does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// An sRGB colour with opacity. Reads every CSS form Plotly allows (`#rgb`, `#rrggbb`, `#rrggbbaa`, `rgb(…)`,
/// `rgba(…)`, `hsl(…)`, a CSS name) and writes `#rrggbb` or `rgba(r,g,b,a)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Color {
    /// Red, 0 to 255.
    pub r: u8,
    /// Green, 0 to 255.
    pub g: u8,
    /// Blue, 0 to 255.
    pub b: u8,
    /// Opacity, 0 (clear) to 255 (solid).
    pub a: u8,
}

impl Color {
    /// Nothing at all.
    pub const CLEAR: Self = Self { r: 0, g: 0, b: 0, a: 0 };

    /// A solid colour from `0xrrggbb`.
    pub const fn hex(rgb: u32) -> Self {
        let [_, r, g, b] = rgb.to_be_bytes();
        Self { r, g, b, a: 255 }
    }

    /// The same colour with its opacity multiplied by `share` (0 to 1).
    pub fn fade(self, share: f64) -> Self {
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 1.0 };
        Self { a: (f64::from(self.a) * share).round() as u8, ..self }
    }

    /// The colour `share` of the way from this one to `other`, each channel on its own, as Plotly blends colour scales.
    pub fn mix(self, other: Self, share: f64) -> Self {
        let blend =
            |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share).round() as u8;
        Self {
            r: blend(self.r, other.r),
            g: blend(self.g, other.g),
            b: blend(self.b, other.b),
            a: blend(self.a, other.a),
        }
    }

    /// Relative luminance, 0 (black) to 1 (white): WCAG 2.2, "relative luminance".
    pub fn luminance(self) -> f64 {
        // `libm`, not the platform's pow: the last bit must be the same on every machine.
        let linear = |channel: u8| {
            let x = f64::from(channel) / 255.0;
            if x <= 0.040_45 { x / 12.92 } else { libm::pow((x + 0.055) / 1.055, 2.4) }
        };
        0.2126 * linear(self.r) + 0.7152 * linear(self.g) + 0.0722 * linear(self.b)
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { r, g, b, a } = *self;
        if a == 255 {
            return write!(f, "#{r:02x}{g:02x}{b:02x}");
        }
        // Thousandths are enough to give every one of the 256 levels its own text.
        let thousandths = (u32::from(a) * 1000 + 127) / 255;
        write!(f, "rgba({r},{g},{b},{}.{:03})", thousandths / 1000, thousandths % 1000)
    }
}

impl FromStr for Color {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let css = text.trim().to_ascii_lowercase();
        let parsed = if let Some(digits) = css.strip_prefix('#') {
            from_hex(digits)
        } else if let Some((function, rest)) = css.split_once('(') {
            rest.strip_suffix(')').and_then(|arguments| from_function(function, arguments))
        } else if css == "transparent" {
            Some(Self::CLEAR)
        } else {
            NAMES.binary_search_by_key(&css.as_str(), |(name, _)| name).ok().map(|at| Self::hex(NAMES[at].1))
        };
        parsed.ok_or_else(|| Error::Color { text: text.chars().take(60).collect() })
    }
}

fn from_hex(digits: &str) -> Option<Color> {
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let value = u32::from_str_radix(digits, 16).ok()?;
    let nibble = |shift: u32| ((value >> shift) & 15) as u8 * 17;
    match digits.len() {
        3 => Some(Color { r: nibble(8), g: nibble(4), b: nibble(0), a: 255 }),
        4 => Some(Color { r: nibble(12), g: nibble(8), b: nibble(4), a: nibble(0) }),
        6 => Some(Color::hex(value)),
        8 => Some(Color { a: value as u8, ..Color::hex(value >> 8) }),
        _ => None,
    }
}

fn from_function(function: &str, arguments: &str) -> Option<Color> {
    let parts: Vec<&str> = arguments.split([',', ' ', '/']).filter(|part| !part.is_empty()).collect();
    let [first, second, third, rest @ ..] = parts.as_slice() else { return None };
    let alpha = match rest {
        [] => 1.0,
        [alpha] => number_or_percent(alpha, 1.0)?,
        _ => return None,
    };
    let byte = |share: f64| (share.clamp(0.0, 1.0) * 255.0).round() as u8;
    match function.trim() {
        "rgb" | "rgba" => {
            let channel = |part: &str| number_or_percent(part, 255.0).map(|value| byte(value / 255.0));
            Some(Color { r: channel(first)?, g: channel(second)?, b: channel(third)?, a: byte(alpha) })
        }
        "hsl" | "hsla" => {
            let hue = first
                .trim_end_matches("deg")
                .parse::<f64>()
                .ok()
                .filter(|hue| hue.is_finite())?
                .rem_euclid(360.0);
            let saturation = number_or_percent(second, 1.0)?.clamp(0.0, 1.0);
            let lightness = number_or_percent(third, 1.0)?.clamp(0.0, 1.0);
            // CSS Color 4, section 7.1, "HSL to RGB".
            let channel = |n: f64| {
                let k = (n + hue / 30.0) % 12.0;
                let chroma = saturation * lightness.min(1.0 - lightness);
                byte(lightness - chroma * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0))
            };
            Some(Color { r: channel(0.0), g: channel(8.0), b: channel(4.0), a: byte(alpha) })
        }
        _ => None,
    }
}

fn number_or_percent(text: &str, whole: f64) -> Option<f64> {
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().ok()? / 100.0 * whole,
        None => text.parse::<f64>().ok()?,
    };
    value.is_finite().then_some(value)
}

impl Serialize for Color {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl From<Color> for crate::OneOrEach<Color> {
    fn from(color: Color) -> Self {
        Self::One(color)
    }
}

/// The CSS colour names (CSS Color 4, section 6.1), sorted for binary search.
#[rustfmt::skip]
const NAMES: &[(&str, u32)] = &[
    ("aliceblue", 0xf0f8ff), ("antiquewhite", 0xfaebd7), ("aqua", 0x00ffff), ("aquamarine", 0x7fffd4),
    ("azure", 0xf0ffff), ("beige", 0xf5f5dc), ("bisque", 0xffe4c4), ("black", 0x000000),
    ("blanchedalmond", 0xffebcd), ("blue", 0x0000ff), ("blueviolet", 0x8a2be2), ("brown", 0xa52a2a),
    ("burlywood", 0xdeb887), ("cadetblue", 0x5f9ea0), ("chartreuse", 0x7fff00), ("chocolate", 0xd2691e),
    ("coral", 0xff7f50), ("cornflowerblue", 0x6495ed), ("cornsilk", 0xfff8dc), ("crimson", 0xdc143c),
    ("cyan", 0x00ffff), ("darkblue", 0x00008b), ("darkcyan", 0x008b8b), ("darkgoldenrod", 0xb8860b),
    ("darkgray", 0xa9a9a9), ("darkgreen", 0x006400), ("darkgrey", 0xa9a9a9), ("darkkhaki", 0xbdb76b),
    ("darkmagenta", 0x8b008b), ("darkolivegreen", 0x556b2f), ("darkorange", 0xff8c00), ("darkorchid", 0x9932cc),
    ("darkred", 0x8b0000), ("darksalmon", 0xe9967a), ("darkseagreen", 0x8fbc8f), ("darkslateblue", 0x483d8b),
    ("darkslategray", 0x2f4f4f), ("darkslategrey", 0x2f4f4f), ("darkturquoise", 0x00ced1), ("darkviolet", 0x9400d3),
    ("deeppink", 0xff1493), ("deepskyblue", 0x00bfff), ("dimgray", 0x696969), ("dimgrey", 0x696969),
    ("dodgerblue", 0x1e90ff), ("firebrick", 0xb22222), ("floralwhite", 0xfffaf0), ("forestgreen", 0x228b22),
    ("fuchsia", 0xff00ff), ("gainsboro", 0xdcdcdc), ("ghostwhite", 0xf8f8ff), ("gold", 0xffd700),
    ("goldenrod", 0xdaa520), ("gray", 0x808080), ("green", 0x008000), ("greenyellow", 0xadff2f),
    ("grey", 0x808080), ("honeydew", 0xf0fff0), ("hotpink", 0xff69b4), ("indianred", 0xcd5c5c),
    ("indigo", 0x4b0082), ("ivory", 0xfffff0), ("khaki", 0xf0e68c), ("lavender", 0xe6e6fa),
    ("lavenderblush", 0xfff0f5), ("lawngreen", 0x7cfc00), ("lemonchiffon", 0xfffacd), ("lightblue", 0xadd8e6),
    ("lightcoral", 0xf08080), ("lightcyan", 0xe0ffff), ("lightgoldenrodyellow", 0xfafad2), ("lightgray", 0xd3d3d3),
    ("lightgreen", 0x90ee90), ("lightgrey", 0xd3d3d3), ("lightpink", 0xffb6c1), ("lightsalmon", 0xffa07a),
    ("lightseagreen", 0x20b2aa), ("lightskyblue", 0x87cefa), ("lightslategray", 0x778899), ("lightslategrey", 0x778899),
    ("lightsteelblue", 0xb0c4de), ("lightyellow", 0xffffe0), ("lime", 0x00ff00), ("limegreen", 0x32cd32),
    ("linen", 0xfaf0e6), ("magenta", 0xff00ff), ("maroon", 0x800000), ("mediumaquamarine", 0x66cdaa),
    ("mediumblue", 0x0000cd), ("mediumorchid", 0xba55d3), ("mediumpurple", 0x9370db), ("mediumseagreen", 0x3cb371),
    ("mediumslateblue", 0x7b68ee), ("mediumspringgreen", 0x00fa9a), ("mediumturquoise", 0x48d1cc), ("mediumvioletred", 0xc71585),
    ("midnightblue", 0x191970), ("mintcream", 0xf5fffa), ("mistyrose", 0xffe4e1), ("moccasin", 0xffe4b5),
    ("navajowhite", 0xffdead), ("navy", 0x000080), ("oldlace", 0xfdf5e6), ("olive", 0x808000),
    ("olivedrab", 0x6b8e23), ("orange", 0xffa500), ("orangered", 0xff4500), ("orchid", 0xda70d6),
    ("palegoldenrod", 0xeee8aa), ("palegreen", 0x98fb98), ("paleturquoise", 0xafeeee), ("palevioletred", 0xdb7093),
    ("papayawhip", 0xffefd5), ("peachpuff", 0xffdab9), ("peru", 0xcd853f), ("pink", 0xffc0cb),
    ("plum", 0xdda0dd), ("powderblue", 0xb0e0e6), ("purple", 0x800080), ("rebeccapurple", 0x663399),
    ("red", 0xff0000), ("rosybrown", 0xbc8f8f), ("royalblue", 0x4169e1), ("saddlebrown", 0x8b4513),
    ("salmon", 0xfa8072), ("sandybrown", 0xf4a460), ("seagreen", 0x2e8b57), ("seashell", 0xfff5ee),
    ("sienna", 0xa0522d), ("silver", 0xc0c0c0), ("skyblue", 0x87ceeb), ("slateblue", 0x6a5acd),
    ("slategray", 0x708090), ("slategrey", 0x708090), ("snow", 0xfffafa), ("springgreen", 0x00ff7f),
    ("steelblue", 0x4682b4), ("tan", 0xd2b48c), ("teal", 0x008080), ("thistle", 0xd8bfd8),
    ("tomato", 0xff6347), ("turquoise", 0x40e0d0), ("violet", 0xee82ee), ("wheat", 0xf5deb3),
    ("white", 0xffffff), ("whitesmoke", 0xf5f5f5), ("yellow", 0xffff00), ("yellowgreen", 0x9acd32),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_css_form() {
        for (text, expected) in [
            ("#f80", "#ff8800"),
            ("#0072B2", "#0072b2"),
            ("#0072b280", "rgba(0,114,178,0.502)"),
            ("rgb(1, 2, 3)", "#010203"),
            ("rgba(1,2,3,.5)", "rgba(1,2,3,0.502)"),
            ("rgb(100%, 0%, 50%)", "#ff0080"),
            ("hsl(120, 100%, 25%)", "#008000"),
            ("LightSalmon", "#ffa07a"),
            ("transparent", "rgba(0,0,0,0.000)"),
        ] {
            assert_eq!(text.parse::<Color>().unwrap().to_string(), expected, "{text}");
        }
        for text in [
            "",
            "#",
            "#12",
            "#ggg",
            "rgb()",
            "rgb(1,2)",
            "rgb(nan,1,2)",
            "hsl(inf,1%,1%)",
            "no such colour",
            "#é12",
            "rgb(1,2,3",
        ] {
            assert!(text.parse::<Color>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_sorted_and_levels_of_opacity_survive_a_round_trip() {
        assert!(NAMES.is_sorted());
        for a in 0..=255 {
            let color = Color { r: 1, g: 2, b: 3, a };
            assert_eq!(color.to_string().parse::<Color>().unwrap(), color);
        }
    }
}
