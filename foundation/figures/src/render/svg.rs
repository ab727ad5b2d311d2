//! A scene as SVG text.
//!
//! Every glyph is a path in `<defs>`, once, and each letter a `<use>` of it: no font is needed and none can differ. All
//! numbers are written with at most two decimals by integer arithmetic, and ids carry a hash of the drawing so that
//! several figures stand in one page without meeting.

use std::collections::BTreeSet;
use std::fmt::Write;

use base64::Engine;

use super::font::{Glyph, Run};
use super::geometry::{Path, Rect, Segment};
use super::png;
use super::scene::{Item, Scene, Weight};
use crate::color::Color;

/// Glyph outlines are written in thousandths of the font size.
const GLYPH_UNITS: f64 = 1000.0;

/// Stands for the hash of the drawing until it is known. A private-use character, and texts are written without those.
const HASH_MARK: &str = "\u{f0000}";

pub(crate) fn write(scene: &Scene) -> String {
    let mut writer = Writer { out: String::new(), glyphs: BTreeSet::new(), clips: 0 };
    writer.items(&scene.items);
    let Writer { out: body, glyphs, .. } = writer;

    let mut out = String::with_capacity(body.len() + 4096);
    let (width, height) = (Number(scene.width), Number(scene.height));
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"{}\">\n<title>{}</title>\n<desc>{}</desc>\n",
        Escaped(&scene.title),
        Escaped(&scene.title),
        Escaped(&scene.description),
    );
    if !glyphs.is_empty() {
        out.push_str("<defs>\n");
        for glyph in &glyphs {
            let _ = write!(out, "<path id=\"{HASH_MARK}{}\" d=\"", GlyphName(*glyph));
            write_path(&mut out, &glyph.outline(), GLYPH_UNITS, Decimals::Whole);
            out.push_str("\"/>\n");
        }
        out.push_str("</defs>\n");
    }
    if scene.background.a > 0 {
        let _ =
            writeln!(out, "<rect width=\"{width}\" height=\"{height}\"{}/>", Paint("fill", scene.background));
    }
    out.push_str(&body);
    out.push_str("</svg>\n");
    let hash = format!("f{:08x}", fnv1a(out.as_bytes()));
    out.replace(HASH_MARK, &hash)
}

struct Writer {
    out: String,
    glyphs: BTreeSet<Glyph>,
    clips: usize,
}

impl Writer {
    fn items(&mut self, items: &[Item]) {
        for item in items {
            self.item(item);
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Fill { path, color } => {
                if path.is_empty() || color.a == 0 {
                    return;
                }
                self.out.push_str("<path d=\"");
                write_path(&mut self.out, path, 1.0, Decimals::Two);
                let _ = writeln!(self.out, "\"{}/>", Paint("fill", *color));
            }
            Item::Stroke { path, color, width, dash } => {
                if path.is_empty() || color.a == 0 || *width <= 0.0 {
                    return;
                }
                self.out.push_str("<path d=\"");
                write_path(&mut self.out, path, 1.0, Decimals::Two);
                let _ = write!(
                    self.out,
                    "\" fill=\"none\"{} stroke-width=\"{}\" stroke-linejoin=\"round\"",
                    Paint("stroke", *color),
                    Number(*width)
                );
                if !dash.is_empty() {
                    let lengths: Vec<String> =
                        dash.iter().map(|length| Number(*length).to_string()).collect();
                    let _ = write!(self.out, " stroke-dasharray=\"{}\"", lengths.join(" "));
                }
                self.out.push_str("/>\n");
            }
            Item::Text { run, at, angle, color, weight } => self.text(run, *at, *angle, *color, *weight),
            Item::Image { rect, columns, rows, pixels } => {
                let Some(bytes) = png::encode_pixels(*columns, *rows, pixels) else { return };
                let data = base64::engine::general_purpose::STANDARD.encode(bytes);
                let _ = writeln!(
                    self.out,
                    "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" \
                     style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{data}\"/>",
                    Number(rect.left),
                    Number(rect.top),
                    Number(rect.width()),
                    Number(rect.height()),
                );
            }
            Item::Clip { rect, items } => {
                let clip = self.clips;
                self.clips += 1;
                let Rect { left, top, .. } = *rect;
                let _ = writeln!(
                    self.out,
                    "<clipPath id=\"{HASH_MARK}c{clip}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>\n\
                     <g clip-path=\"url(#{HASH_MARK}c{clip})\">",
                    Number(left),
                    Number(top),
                    Number(rect.width()),
                    Number(rect.height()),
                );
                self.items(items);
                self.out.push_str("</g>\n");
            }
            Item::Tip { text, items } => {
                let _ = writeln!(self.out, "<g><title>{}</title>", Escaped(text));
                self.items(items);
                self.out.push_str("</g>\n");
            }
        }
    }

    fn text(&mut self, run: &Run, (x, y): (f64, f64), angle: f64, color: Color, weight: Weight) {
        if run.glyphs.is_empty() || color.a == 0 {
            return;
        }
        let _ = write!(
            self.out,
            "<g role=\"text\" aria-label=\"{}\" transform=\"translate({} {})",
            Escaped(&run.text),
            Number(x),
            Number(y)
        );
        if angle != 0.0 {
            let _ = write!(self.out, " rotate({})", Number(angle));
        }
        // Font sizes are below 1000 pixels, so five decimals of the scale keep a line true to a hundredth of a pixel.
        let _ = write!(
            self.out,
            " scale({})\"{}{} stroke-width=\"{}\">",
            Fixed(run.size / GLYPH_UNITS, 5),
            Paint("fill", color),
            Paint("stroke", color),
            Number(weight.outline() * GLYPH_UNITS)
        );
        for placed in &run.glyphs {
            self.glyphs.insert(placed.glyph);
            let name = GlyphName(placed.glyph);
            let left = Fixed(placed.x * GLYPH_UNITS, 0);
            if placed.scale == 1.0 {
                let _ = write!(self.out, "<use href=\"#{HASH_MARK}{name}\" x=\"{left}\"/>");
            } else {
                let _ = write!(
                    self.out,
                    "<use href=\"#{HASH_MARK}{name}\" transform=\"translate({left} {}) scale({})\"/>",
                    Fixed(placed.dy * GLYPH_UNITS, 0),
                    Number(placed.scale)
                );
            }
        }
        self.out.push_str("</g>\n");
    }
}

struct GlyphName(Glyph);

impl std::fmt::Display for GlyphName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Glyph::Outline { face, id } => write!(f, "g{face}-{id}"),
            Glyph::Missing => f.write_str("gx"),
        }
    }
}

#[derive(Clone, Copy)]
enum Decimals {
    Whole,
    Two,
}

fn write_path(out: &mut String, path: &Path, scale: f64, decimals: Decimals) {
    let places = match decimals {
        Decimals::Whole => 0,
        Decimals::Two => 2,
    };
    let number = |value: f64| Fixed(value * scale, places);
    for segment in &path.0 {
        let _ = match segment {
            Segment::Move((x, y)) => write!(out, "M{} {}", number(*x), number(*y)),
            Segment::Line((x, y)) => write!(out, "L{} {}", number(*x), number(*y)),
            Segment::Quad(a, end) => {
                write!(out, "Q{} {} {} {}", number(a.0), number(a.1), number(end.0), number(end.1))
            }
            Segment::Cubic(a, b, end) => write!(
                out,
                "C{} {} {} {} {} {}",
                number(a.0),
                number(a.1),
                number(b.0),
                number(b.1),
                number(end.0),
                number(end.1)
            ),
            Segment::Close => write!(out, "Z"),
        };
    }
}

/// A number with at most two decimals.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Fixed(self.0, 2).fmt(f)
    }
}

/// A number with at most so many decimals, without zeros at the end; what is not finite or too large is brought to
/// within a billion, which no drawing reaches.
struct Fixed(f64, u32);

impl std::fmt::Display for Fixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = 10_i64.pow(self.1);
        let value = if self.0.is_nan() { 0.0 } else { self.0.clamp(-1e9, 1e9) };
        let scaled = (value * unit as f64).round() as i64;
        if scaled < 0 {
            f.write_char('-')?;
        }
        let scaled = scaled.unsigned_abs();
        write!(f, "{}", scaled / unit as u64)?;
        let mut rest = scaled % unit as u64;
        if rest == 0 {
            return Ok(());
        }
        let mut places = self.1 as usize;
        while rest.is_multiple_of(10) {
            rest /= 10;
            places -= 1;
        }
        write!(f, ".{rest:0places$}")
    }
}

/// ` fill="#rrggbb"`, with an opacity where there is one.
struct Paint(&'static str, Color);

impl std::fmt::Display for Paint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(attribute, color) = self;
        write!(f, " {attribute}=\"{}\"", Color { a: 255, ..*color })?;
        if color.a < 255 {
            write!(f, " {attribute}-opacity=\"{}\"", Fixed(f64::from(color.a) / 255.0, 3))?;
        }
        Ok(())
    }
}

/// Text for XML: markup escaped, and characters that XML 1.0 forbids (section 2.2) or that we use ourselves left out.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\t' | '\n' => f.write_char(' ')?,
                '\u{fffe}' | '\u{ffff}' | '\u{f0000}' => {}
                control if control.is_control() => {}
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// FNV-1a, 32 bits.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_fixed_and_short() {
        for (value, text) in [
            (0.0, "0"),
            (-0.001, "0"),
            (1.5, "1.5"),
            (-1.05, "-1.05"),
            (12.346, "12.35"),
            (100.0, "100"),
            (f64::NAN, "0"),
            (f64::INFINITY, "1000000000"),
        ] {
            assert_eq!(Number(value).to_string(), text);
        }
        assert_eq!(Fixed(0.0125, 5).to_string(), "0.0125");
    }

    #[test]
    fn text_cannot_break_out_of_the_markup() {
        assert_eq!(Escaped("a<b>&\"c\"\u{0}\u{1b}\u{f0000}").to_string(), "a&lt;b&gt;&amp;&quot;c&quot;");
    }
}
