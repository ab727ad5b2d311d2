//! A scene as pixels, by `tiny-skia`: only solid colours, so that every step is the same arithmetic on every machine.

use std::collections::BTreeMap;

use tiny_skia::{
    FillRule, FilterQuality, LineCap, LineJoin, Mask, Paint, PathBuilder, Pixmap, PixmapPaint, Stroke,
    StrokeDash, Transform,
};

use super::font::{Glyph, Run};
use super::geometry::{Path, Rect, Segment};
use super::scene::{Item, Scene, Weight};
use crate::color::Color;

/// The most pixels of a drawing, scale included: a buffer of 268 MB. A larger scale is brought down to fit.
const MOST_PIXELS: f64 = 67_108_864.0;

/// The scene as an opaque or transparent PNG, `scale` pixels to the scene's one.
pub(crate) fn write(scene: &Scene, scale: f64) -> Vec<u8> {
    let scale = if scale.is_finite() { scale.clamp(0.1, 8.0) } else { 1.0 };
    let scale = scale.min((MOST_PIXELS / (scene.width * scene.height)).sqrt());
    let pixels = |length: f64| ((length * scale).round() as u32).max(1);
    let mut pixmap = Pixmap::new(pixels(scene.width), pixels(scene.height))
        .expect("invariant: both sides are 1 to 65,536");
    pixmap.fill(skia_color(scene.background));
    let mut painter = Painter { pixmap, scale: scale as f32, mask: None, glyphs: BTreeMap::new() };
    painter.items(&scene.items);
    painter.pixmap.encode_png().expect("invariant: encoding to memory fails only on sizes PNG cannot hold")
}

/// A grid of colours as a PNG, one pixel for each; `None` if the grid is empty or not of this size.
pub(crate) fn encode_pixels(columns: u32, rows: u32, pixels: &[Color]) -> Option<Vec<u8>> {
    pixmap_of(columns, rows, pixels)?.encode_png().ok()
}

fn pixmap_of(columns: u32, rows: u32, pixels: &[Color]) -> Option<Pixmap> {
    let mut pixmap = Pixmap::new(columns, rows)?;
    if pixels.len() != pixmap.pixels().len() {
        return None;
    }
    for (pixel, color) in pixmap.pixels_mut().iter_mut().zip(pixels) {
        *pixel = tiny_skia::ColorU8::from_rgba(color.r, color.g, color.b, color.a).premultiply();
    }
    Some(pixmap)
}

struct Painter {
    pixmap: Pixmap,
    scale: f32,
    mask: Option<Mask>,
    /// Outlines already made, with the font size as unit.
    glyphs: BTreeMap<Glyph, Option<tiny_skia::Path>>,
}

impl Painter {
    fn items(&mut self, items: &[Item]) {
        for item in items {
            self.item(item);
        }
    }

    fn item(&mut self, item: &Item) {
        let transform = Transform::from_scale(self.scale, self.scale);
        match item {
            Item::Fill { path, color } => {
                let Some(path) = skia_path(path) else { return };
                self.pixmap.fill_path(
                    &path,
                    &paint(*color),
                    FillRule::Winding,
                    transform,
                    self.mask.as_ref(),
                );
            }
            // A stroke of no width would be a hairline here and nothing in SVG.
            Item::Stroke { width, .. } if *width <= 0.0 => {}
            Item::Stroke { path, color, width, dash } => {
                let Some(path) = skia_path(path) else { return };
                let dash = StrokeDash::new(dash.iter().map(|length| *length as f32).collect(), 0.0);
                let stroke = Stroke {
                    width: *width as f32,
                    line_cap: LineCap::Butt,
                    line_join: LineJoin::Round,
                    dash,
                    ..Stroke::default()
                };
                self.pixmap.stroke_path(&path, &paint(*color), &stroke, transform, self.mask.as_ref());
            }
            Item::Text { run, at, angle, color, weight } => self.text(run, *at, *angle, *color, *weight),
            Item::Image { rect, columns, rows, pixels } => self.image(rect, *columns, *rows, pixels),
            Item::Clip { rect, items } => {
                let outer = self.mask.take();
                let mut mask = Mask::new(self.pixmap.width(), self.pixmap.height());
                if let (Some(mask), Some(path)) = (&mut mask, skia_path(&Path::rect(rect))) {
                    mask.fill_path(&path, FillRule::Winding, false, transform);
                }
                self.mask = mask;
                self.items(items);
                self.mask = outer;
            }
            Item::Tip { items, .. } => self.items(items),
        }
    }

    fn text(&mut self, run: &Run, (x, y): (f64, f64), angle: f64, color: Color, weight: Weight) {
        let paint = paint(color);
        let line = Transform::from_scale(self.scale, self.scale)
            .pre_translate(x as f32, y as f32)
            .pre_concat(rotation(angle))
            .pre_scale(run.size as f32, run.size as f32);
        let stroke =
            Stroke { width: weight.outline() as f32, line_join: LineJoin::Round, ..Stroke::default() };
        for placed in &run.glyphs {
            let outline =
                self.glyphs.entry(placed.glyph).or_insert_with(|| skia_path(&placed.glyph.outline()));
            let Some(outline) = outline else { continue };
            let transform = line
                .pre_translate(placed.x as f32, placed.dy as f32)
                .pre_scale(placed.scale as f32, placed.scale as f32);
            self.pixmap.fill_path(outline, &paint, FillRule::Winding, transform, self.mask.as_ref());
            self.pixmap.stroke_path(outline, &paint, &stroke, transform, self.mask.as_ref());
        }
    }

    fn image(&mut self, rect: &Rect, columns: u32, rows: u32, pixels: &[Color]) {
        let Some(image) = pixmap_of(columns, rows, pixels) else { return };
        let transform = Transform::from_scale(self.scale, self.scale)
            .pre_translate(rect.left as f32, rect.top as f32)
            .pre_scale((rect.width() / f64::from(columns)) as f32, (rect.height() / f64::from(rows)) as f32);
        let paint = PixmapPaint { quality: FilterQuality::Nearest, ..PixmapPaint::default() };
        self.pixmap.draw_pixmap(0, 0, image.as_ref(), &paint, transform, self.mask.as_ref());
    }
}

/// A turn by `degrees` clockwise. `libm`, not the platform's sine: the bits must be the same on every machine.
fn rotation(degrees: f64) -> Transform {
    let radians = degrees.to_radians();
    let (sine, cosine) = (libm::sin(radians) as f32, libm::cos(radians) as f32);
    Transform::from_row(cosine, sine, -sine, cosine, 0.0, 0.0)
}

fn skia_color(color: Color) -> tiny_skia::Color {
    tiny_skia::Color::from_rgba8(color.r, color.g, color.b, color.a)
}

fn paint(color: Color) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(skia_color(color));
    paint
}

fn skia_path(path: &Path) -> Option<tiny_skia::Path> {
    let mut builder = PathBuilder::with_capacity(path.0.len(), path.0.len() * 2);
    for segment in &path.0 {
        match *segment {
            Segment::Move((x, y)) => builder.move_to(x as f32, y as f32),
            Segment::Line((x, y)) => builder.line_to(x as f32, y as f32),
            Segment::Quad(a, end) => builder.quad_to(a.0 as f32, a.1 as f32, end.0 as f32, end.1 as f32),
            Segment::Cubic(a, b, end) => {
                builder.cubic_to(a.0 as f32, a.1 as f32, b.0 as f32, b.1 as f32, end.0 as f32, end.1 as f32);
            }
            Segment::Close => builder.close(),
        }
    }
    builder.finish()
}
