//! Drawings compared with stored ones. `UPDATE_GOLDEN=1` writes them anew; look at them before you commit.

use std::env;
use std::fs;
use std::path::PathBuf;

use backlot_figures::{Size, Theme, render};

use crate::figures;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Compares `bytes` with the stored file, or stores them; the difference in words, if there is one.
fn compare(name: &str, bytes: &[u8]) -> Option<String> {
    let path = golden(name);
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&path, bytes).unwrap();
        return None;
    }
    let stored = fs::read(&path).unwrap_or_default();
    let first = stored.iter().zip(bytes).position(|(a, b)| a != b).unwrap_or(stored.len().min(bytes.len()));
    (stored != bytes).then(|| {
        format!("{name} differs from byte {first} on ({} bytes stored, {} drawn)", stored.len(), bytes.len())
    })
}

#[test]
fn drawings_are_the_stored_ones() {
    let mut differences = Vec::new();
    for (name, figure) in figures::all() {
        let svg = render::svg(&figure, Size::new(640, 400), Theme::Light);
        differences.extend(compare(&format!("{name}.svg"), svg.as_bytes()));
        let json = serde_json::to_string_pretty(&figure).unwrap();
        if json.len() < 20_000 {
            differences.extend(compare(&format!("{name}.json"), json.as_bytes()));
        }
    }
    for (name, figure) in
        figures::all().into_iter().filter(|(name, _)| matches!(*name, "rate-quality" | "timeline"))
    {
        let svg = render::svg(&figure, Size::new(350, 260), Theme::Dark);
        differences.extend(compare(&format!("{name}-small-dark.svg"), svg.as_bytes()));
        let png = render::png(&figure, Size::new(350, 260), Theme::Dark, 1.0);
        differences.extend(compare(&format!("{name}-small-dark.png"), &png));
    }
    assert!(
        differences.is_empty(),
        "{}\nrun with UPDATE_GOLDEN=1 to store the new drawings, and look at them",
        differences.join("\n")
    );
}

#[test]
fn two_renders_are_the_same_bytes() {
    for (name, figure) in figures::all() {
        for theme in [Theme::Light, Theme::Dark] {
            let size = Size::new(480, 300);
            assert_eq!(
                render::svg(&figure, size, theme),
                render::svg(&figure.clone(), size, theme),
                "{name}"
            );
            assert_eq!(
                render::png(&figure, size, theme, 1.5),
                render::png(&figure.clone(), size, theme, 1.5),
                "{name}"
            );
        }
    }
}

#[test]
fn a_hundred_thousand_points_are_a_small_drawing() {
    let (_, figure) = figures::all().into_iter().find(|(name, _)| *name == "long-series").unwrap();
    let svg = render::svg(&figure, Size::new(900, 500), Theme::Light);
    assert!(svg.len() < 100_000, "{} bytes", svg.len());
}

#[test]
fn png_has_the_asked_size() {
    let (_, figure) = figures::all().swap_remove(0);
    let png = render::png(&figure, Size::new(300, 200), Theme::Light, 2.0);
    // The IHDR chunk: width and height as big-endian 32-bit integers from byte 16.
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!((number(16), number(20)), (600, 400));
}
