//! Writes every figure of the gallery to a folder: JSON, SVG and PNG, light and dark, large and small.
//!
//! ```text
//! cargo run -p backlot-figures --example gallery -- FOLDER
//! ```

#![allow(clippy::unreadable_literal, reason = "colours are read as rrggbb")]

mod figures;

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use backlot_figures::{Size, Theme, render};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1) else {
        eprintln!("error: name the folder to write the gallery to: gallery FOLDER");
        return ExitCode::from(2);
    };
    match write(Path::new(&folder)) {
        Ok(count) => {
            println!("{count} files in {}", Path::new(&folder).display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: cannot write the gallery to {}: {error}", Path::new(&folder).display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    let mut count = 0;
    let mut save = |name: String, bytes: &[u8]| {
        count += 1;
        fs::write(folder.join(name), bytes)
    };
    for (name, figure) in figures::all() {
        save(format!("{name}.json"), serde_json::to_string_pretty(&figure)?.as_bytes())?;
        for (theme, theme_name) in [(Theme::Light, "light"), (Theme::Dark, "dark")] {
            for (size, size_name) in [(Size::new(900, 500), "large"), (Size::new(350, 260), "small")] {
                save(
                    format!("{name}-{size_name}-{theme_name}.svg"),
                    render::svg(&figure, size, theme).as_bytes(),
                )?;
                save(
                    format!("{name}-{size_name}-{theme_name}.png"),
                    &render::png(&figure, size, theme, 1.0),
                )?;
            }
        }
    }
    Ok(count)
}
