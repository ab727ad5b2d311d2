//! Text as glyph outlines from fonts inside the binary, so that a drawing needs no font on the machine.
//!
//! Ubuntu Light is the text face, with its own pair kerning (GPOS); what it lacks comes from Hack (arrows, symbols), then
//! Noto Emoji; what all of them lack is drawn as a hollow box, never left out. Scripts that need shaping (Arabic,
//! Devanagari) and right-to-left order are beyond this module.

use std::sync::LazyLock;

use ttf_parser::gpos::{PairAdjustment, PositioningSubtable};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

use super::geometry::{Path, Segment};

/// The faces in the order they are asked for a glyph.
static FACES: LazyLock<Vec<Face<'static>>> = LazyLock::new(|| {
    [
        epaint_default_fonts::UBUNTU_LIGHT,
        epaint_default_fonts::HACK_REGULAR,
        epaint_default_fonts::NOTO_EMOJI_REGULAR,
    ]
    .iter()
    .filter_map(|bytes| Face::parse(bytes, 0).ok())
    .collect()
});

/// The pair kerning tables of the text face.
static KERNING: LazyLock<Vec<PairAdjustment<'static>>> = LazyLock::new(|| {
    let Some(gpos) = FACES.first().and_then(|face| face.tables().gpos) else { return Vec::new() };
    let subtables =
        gpos.lookups.into_iter().flat_map(|lookup| lookup.subtables.into_iter::<PositioningSubtable>());
    subtables
        .filter_map(|table| if let PositioningSubtable::Pair(pairs) = table { Some(pairs) } else { None })
        .collect()
});

/// A glyph of one of the faces, or the box for a character that none of them has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Glyph {
    Outline { face: u8, id: u16 },
    Missing,
}

/// A glyph in a line of text; lengths are in units of the line's font size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) glyph: Glyph,
    /// From the line's start to the glyph's.
    pub(crate) x: f64,
    /// How far the glyph stands below the baseline (above, if negative).
    pub(crate) dy: f64,
    /// Size beside the line's font size: less than 1 for raised and lowered glyphs.
    pub(crate) scale: f64,
}

/// A line of text, laid out.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) text: String,
    pub(crate) glyphs: Vec<Placed>,
    /// Font size in pixels.
    pub(crate) size: f64,
    /// Length in pixels.
    pub(crate) width: f64,
}

/// Height of capital letters in units of the font size (Ubuntu's `sCapHeight`).
pub(crate) const CAP_HEIGHT: f64 = 0.693;
/// Distance of two baselines in units of the font size.
pub(crate) const LINE_HEIGHT: f64 = 1.25;
/// Longest text that is laid out, in characters; what follows is cut off with an ellipsis.
const LONGEST_TEXT: usize = 2_000;
/// Advance of the box for missing glyphs in units of the font size.
const MISSING_ADVANCE: f64 = 0.62;
/// Raised and lowered text: its size and its shift, in units of the font size.
const SCRIPT_SCALE: f64 = 0.7;
const RAISE: f64 = -0.36;
const LOWER: f64 = 0.16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Normal,
    Raised,
    Lowered,
}

impl Glyph {
    fn of(character: char) -> Self {
        let found =
            FACES.iter().enumerate().find_map(|(index, face)| Some((index, face.glyph_index(character)?)));
        found.map_or(Self::Missing, |(face, GlyphId(id))| Self::Outline { face: face as u8, id })
    }

    fn advance(self) -> f64 {
        match self {
            Self::Missing => MISSING_ADVANCE,
            Self::Outline { face, id } => {
                let face = &FACES[usize::from(face)];
                f64::from(face.glyph_hor_advance(GlyphId(id)).unwrap_or(0)) / f64::from(face.units_per_em())
            }
        }
    }

    /// The outline with the font size as unit and y downwards.
    pub(crate) fn outline(self) -> Path {
        match self {
            Self::Missing => {
                let mut path = Path::default();
                path.add_polygon(&[(0.06, 0.0), (0.56, 0.0), (0.56, -0.7), (0.06, -0.7)]);
                path.add_polygon(&[(0.11, -0.05), (0.11, -0.65), (0.51, -0.65), (0.51, -0.05)]);
                path
            }
            Self::Outline { face, id } => {
                let face = &FACES[usize::from(face)];
                let mut outliner = Outliner { path: Path::default(), unit: f64::from(face.units_per_em()) };
                face.outline_glyph(GlyphId(id), &mut outliner);
                outliner.path
            }
        }
    }
}

struct Outliner {
    path: Path,
    unit: f64,
}

impl Outliner {
    fn point(&self, x: f32, y: f32) -> (f64, f64) {
        (f64::from(x) / self.unit, -f64::from(y) / self.unit)
    }
}

impl OutlineBuilder for Outliner {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.0.push(Segment::Move(self.point(x, y)));
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.0.push(Segment::Line(self.point(x, y)));
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.0.push(Segment::Quad(self.point(x1, y1), self.point(x, y)));
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.path.0.push(Segment::Cubic(self.point(x1, y1), self.point(x2, y2), self.point(x, y)));
    }

    fn close(&mut self) {
        self.path.0.push(Segment::Close);
    }
}

/// Kerning between two glyphs of the text face in units of the font size.
fn kerning(left: Glyph, right: Glyph) -> f64 {
    let (Glyph::Outline { face: 0, id: left }, Glyph::Outline { face: 0, id: right }) = (left, right) else {
        return 0.0;
    };
    let (left, right) = (GlyphId(left), GlyphId(right));
    let units = KERNING.iter().find_map(|table| {
        let index = table.coverage().get(left)?;
        let value = match table {
            PairAdjustment::Format1 { sets, .. } => sets.get(index)?.get(right)?.0,
            PairAdjustment::Format2 { classes, matrix, .. } => {
                matrix.get((classes.0.get(left), classes.1.get(right)))?.0
            }
        };
        (value.x_advance != 0).then_some(value.x_advance)
    });
    f64::from(units.unwrap_or(0)) / f64::from(FACES[0].units_per_em())
}

/// Lays out the lines of a text with Plotly's markup: `<br>` and line feeds break it, `<sup>` and `<sub>` raise and
/// lower, other tags are read over, entities are resolved.
pub(crate) fn lines(markup: &str, size: f64) -> Vec<Run> {
    parse(markup).into_iter().map(|characters| set(&characters, size)).collect()
}

/// The first line of [`lines`].
pub(crate) fn line(markup: &str, size: f64) -> Run {
    set(parse(markup).first().map_or(&[], Vec::as_slice), size)
}

/// Like [`line`], cut with an ellipsis to at most `width` pixels; empty if not even the ellipsis fits.
pub(crate) fn line_within(markup: &str, size: f64, width: f64) -> Run {
    let characters = parse(markup).into_iter().next().unwrap_or_default();
    cut(characters, size, width)
}

/// Breaks a text at blanks into at most `most` lines of at most `width` pixels; the last ends in an ellipsis if the text
/// goes on.
pub(crate) fn wrapped(markup: &str, size: f64, width: f64, most: usize) -> Vec<Run> {
    let mut runs = Vec::new();
    for mut rest in parse(markup) {
        while !rest.is_empty() {
            if runs.len() + 1 == most {
                runs.push(cut(rest, size, width));
                return runs;
            }
            let whole = set(&rest, size);
            if whole.width <= width {
                runs.push(whole);
                break;
            }
            let fitting = whole.glyphs.iter().take_while(|placed| placed.x * size <= width).count();
            let blank =
                rest.iter().take(fitting).rposition(|(character, _)| *character == ' ').filter(|at| *at > 0);
            let Some(blank) = blank else {
                runs.push(cut(rest, size, width));
                break;
            };
            let tail = rest.split_off(blank);
            runs.push(set(&rest, size));
            rest = tail.into_iter().skip_while(|(character, _)| *character == ' ').collect();
        }
    }
    runs
}

fn cut(mut characters: Vec<(char, Script)>, size: f64, width: f64) -> Run {
    let whole = set(&characters, size);
    if whole.width <= width {
        return whole;
    }
    let fitting = whole.glyphs.iter().take_while(|placed| placed.x * size <= width).count();
    characters.truncate(fitting);
    while !characters.is_empty() {
        characters.pop();
        let mut shortened = characters.clone();
        while shortened.last().is_some_and(|(character, _)| *character == ' ') {
            shortened.pop();
        }
        shortened.push(('…', Script::Normal));
        let run = set(&shortened, size);
        if run.width <= width {
            return run;
        }
    }
    set(&[], size)
}

fn set(characters: &[(char, Script)], size: f64) -> Run {
    let mut glyphs = Vec::with_capacity(characters.len());
    let mut x = 0.0;
    let mut before: Option<(Glyph, Script)> = None;
    for (character, script) in characters {
        let glyph = Glyph::of(*character);
        let (scale, dy) = match script {
            Script::Normal => (1.0, 0.0),
            Script::Raised => (SCRIPT_SCALE, RAISE),
            Script::Lowered => (SCRIPT_SCALE, LOWER),
        };
        if let Some((left, script_before)) = before
            && script_before == *script
        {
            x += kerning(left, glyph) * scale;
        }
        glyphs.push(Placed { glyph, x, dy, scale });
        x += glyph.advance() * scale;
        before = Some((glyph, *script));
    }
    Run { text: characters.iter().map(|(character, _)| character).collect(), glyphs, size, width: x * size }
}

/// The text without its markup, lines joined by blanks.
pub(crate) fn plain(markup: &str) -> String {
    let lines: Vec<String> =
        parse(markup).iter().map(|line| line.iter().map(|(character, _)| character).collect()).collect();
    lines.join(" ")
}

fn parse(markup: &str) -> Vec<Vec<(char, Script)>> {
    let mut lines = vec![Vec::new()];
    let mut script = Script::Normal;
    let mut rest = markup;
    let mut count = 0;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        if character == '<'
            && let Some((tag, after_tag)) = tag_at(after)
        {
            match tag.as_str() {
                "br" | "br/" => lines.push(Vec::new()),
                "sup" => script = Script::Raised,
                "sub" => script = Script::Lowered,
                "/sup" | "/sub" => script = Script::Normal,
                _ => {}
            }
            rest = after_tag;
            continue;
        }
        let (character, after) = if character == '&' {
            entity_at(after).unwrap_or((character, after))
        } else {
            (character, after)
        };
        rest = after;
        if character == '\n' {
            lines.push(Vec::new());
            continue;
        }
        count += 1;
        if let Some(line) = lines.last_mut()
            && !is_invisible(character)
        {
            line.push((if character.is_whitespace() { ' ' } else { character }, script));
            if count == LONGEST_TEXT {
                line.push(('…', script));
                break;
            }
        }
    }
    lines
}

/// A tag that starts with a letter or a slash, lower-cased and without attributes, and what follows it.
fn tag_at(text: &str) -> Option<(String, &str)> {
    let end = text.find('>')?;
    let tag = &text[..end];
    let starts_well = tag.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    if !starts_well || tag.contains('<') {
        return None;
    }
    let name = tag.split_whitespace().next()?.to_ascii_lowercase();
    Some((name, &text[end + 1..]))
}

fn entity_at(text: &str) -> Option<(char, &str)> {
    let end = text.find(';').filter(|end| *end <= 8)?;
    let character = match &text[..end] {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "nbsp" => ' ',
        "mu" => 'µ',
        "times" => '×',
        "plusmn" => '±',
        "deg" => '°',
        number => {
            let digits = number.strip_prefix('#')?;
            let code = match digits.strip_prefix('x') {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((character, &text[end + 1..]))
}

/// Control characters, joiners, variation selectors and direction marks take no room.
fn is_invisible(character: char) -> bool {
    (character.is_control() && character != '\t')
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_kerned_and_scripts_are_smaller() {
        let apart = line("A", 100.0).width + line("V", 100.0).width;
        assert!(line("AV", 100.0).width < apart - 1.0);
        assert!(line("10<sup>6</sup>", 10.0).width < line("106", 10.0).width);
    }

    #[test]
    fn markup_is_read_and_tags_that_are_none_are_text() {
        let texts = |markup: &str| lines(markup, 10.0).into_iter().map(|run| run.text).collect::<Vec<_>>();
        assert_eq!(texts("a<br>b<BR/>c"), ["a", "b", "c"]);
        assert_eq!(
            texts("<b>bold</b> &amp; <span style='x'>more</span> &#65; &nope;"),
            ["bold & more A &nope;"]
        );
        assert_eq!(texts("1 < 2 > 0"), ["1 < 2 > 0"]);
        assert_eq!(texts("a<"), ["a<"]);
    }

    #[test]
    fn every_character_shows_something() {
        assert!(matches!(Glyph::of('é'), Glyph::Outline { face: 0, .. }));
        assert!(matches!(Glyph::of('→'), Glyph::Outline { face: 1, .. }));
        assert!(matches!(Glyph::of('😀'), Glyph::Outline { face: 2, .. }));
        assert_eq!(Glyph::of('日'), Glyph::Missing);
        assert!(!Glyph::Missing.outline().is_empty());
    }

    #[test]
    fn long_texts_are_wrapped_and_cut() {
        let text = "a long title ".repeat(50);
        let runs = wrapped(&text, 16.0, 200.0, 2);
        assert_eq!(runs.len(), 2);
        assert!(runs.iter().all(|run| run.width <= 200.0));
        assert!(runs[1].text.ends_with('…'));
        assert!(line_within("abc", 16.0, 1.0).text.is_empty());
        assert!(line(&"x".repeat(1_000_000), 10.0).glyphs.len() <= LONGEST_TEXT + 1);
    }
}
