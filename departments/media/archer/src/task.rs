//! What passes between the platform and a function written as a program.
//!
//! A program is started in a fresh directory. It finds there
//!
//! | path | what |
//! |---|---|
//! | `task.json` | a [`TaskFile`]: its function, parameters, clip, part, frames, results |
//! | `source.EXT` | the clip, to be read only; `task.json` names it |
//! | `frames/000000048.png` | map: the frames that the job asked for, named by their number in the clip |
//! | `parts/000003/NAME` | collect: the files that map wrote for part 3 |
//! | the job's `files` | as the job names them |
//!
//! and leaves
//!
//! | path | what |
//! |---|---|
//! | `result.json` | its result, any JSON value; null when it is not there. Of split: the list of parts |
//! | `out/…` | files, kept as artifacts under their path below `out` |
//!
//! It succeeds with exit status 0. Its environment: `ARCHER_FUNCTION` (`split`, `map`, `collect`), `PATH`, `HOME`, `LANG`, `TZ`, `TMPDIR`,
//! and the job's `env`. `PYTHONHASHSEED` is 0, so that a set has the same order everywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::media::{AudioTrack, Delivered, Source};
use crate::{Encoding, Failure, Part};

/// The version of this contract, in every `task.json`.
pub const VERSION: u32 = 1;

/// The largest `result.json`: it is parsed in memory. What is larger belongs into `out`.
pub const MAX_RESULT: u64 = 64 << 20;

/// The most files that one call may leave in `out`.
pub const MAX_FILES: usize = 10_000;

/// `task.json`.
#[derive(Clone, Debug, Serialize)]
pub struct TaskFile<'a> {
    /// [`VERSION`].
    pub archer: u32,
    /// The job's name.
    pub job: &'a str,
    /// `split`, `map` or `collect`.
    pub function: &'static str,
    /// The job's parameters.
    pub params: &'a Map<String, Value>,
    /// The clip.
    pub source: SourceFile<'a>,
    /// Map: its part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<&'a Part>,
    /// Map: its frames, if the job asked for some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<FramesFile>,
    /// Collect: what map made of each part, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<Vec<ResultFile<'a>>>,
}

/// The clip, as `task.json` tells of it.
#[derive(Clone, Debug, Serialize)]
pub struct SourceFile<'a> {
    /// The file, seen from the function's directory.
    pub path: &'a str,
    /// What its user calls it.
    pub name: &'a str,
    /// Width of the shown picture in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames.
    pub frames: u64,
    /// Frames per second, as numerator and denominator.
    pub rate: (u32, u32),
    /// Length in seconds.
    pub duration: f64,
    /// ffmpeg's name of its pixel format.
    pub pixel_format: &'a str,
    /// Bits per sample.
    pub bit_depth: u32,
    /// Its audio tracks.
    pub audio: &'a [AudioTrack],
}

impl<'a> SourceFile<'a> {
    pub(crate) fn new(source: &'a Source, path: &'a str) -> Self {
        Self {
            path,
            name: &source.name,
            width: source.width,
            height: source.height,
            frames: source.frames,
            rate: (source.rate.num(), source.rate.den()),
            duration: source.duration,
            pixel_format: &source.pixel_format,
            bit_depth: source.bit_depth,
            audio: &source.audio,
        }
    }
}

/// The delivered frames, as `task.json` tells of them.
#[derive(Clone, Debug, Serialize)]
pub struct FramesFile {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// ffmpeg's name of the pixel format.
    pub format: String,
    /// The files' format.
    pub encoding: Encoding,
    /// The frames, ascending.
    pub files: Vec<FrameFile>,
}

/// One delivered frame.
#[derive(Clone, Debug, Serialize)]
pub struct FrameFile {
    /// Its number in the clip.
    pub frame: u64,
    /// When it is shown, in seconds from the clip's begin.
    pub time: f64,
    /// The file, seen from the function's directory.
    pub path: String,
}

impl FramesFile {
    pub(crate) fn new(source: &Source, delivered: &Delivered, encoding: Encoding) -> Self {
        let file = |(frame, path): &(u64, PathBuf)| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            FrameFile { frame: *frame, time: source.rate.seconds(*frame), path: format!("frames/{name}") }
        };
        Self {
            width: delivered.width,
            height: delivered.height,
            format: delivered.format.clone(),
            encoding,
            files: delivered.files.iter().map(file).collect(),
        }
    }
}

/// What map made of a part, as collect's `task.json` tells of it.
#[derive(Clone, Debug, Serialize)]
pub struct ResultFile<'a> {
    /// The part.
    pub part: &'a Part,
    /// Map's result; null when it failed.
    pub result: &'a Value,
    /// Why map failed for good, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<&'a str>,
    /// Map's files: name to path, seen from the function's directory.
    pub files: BTreeMap<String, String>,
}

/// Reads `result.json`; null when there is none.
pub(crate) fn read_result(directory: &Path) -> Result<Value, Failure> {
    let path = directory.join("result.json");
    let size = match std::fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(_) => {
            return Err(Failure::Function("`result.json` is not a plain file; write it as one".to_owned()));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(error) => return Err(Failure::file(&path, &error)),
    };
    if size > MAX_RESULT {
        return Err(Failure::Function(format!(
            "`result.json` has {size} bytes, more than {MAX_RESULT}; write large results as files below `out`"
        )));
    }
    let bytes = std::fs::read(&path).map_err(|error| Failure::file(&path, &error))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Failure::Function(format!("`result.json` is no JSON: {error}; NaN and Infinity are none either"))
    })
}

/// The files below `out`: path there, with `/`, to the file.
pub(crate) fn read_out(directory: &Path) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let root = directory.join("out");
    let mut open = vec![String::new()];
    let mut files = BTreeMap::new();
    while let Some(below) = open.pop() {
        let here = root.join(&below);
        let entries = match std::fs::read_dir(&here) {
            Ok(entries) => entries,
            Err(error) if below.is_empty() && error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => return Err(Failure::file(&here, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| Failure::file(&here, &error))?;
            let kind = entry.file_type().map_err(|error| Failure::file(&here, &error))?;
            let name = entry.file_name().into_string().map_err(|name| {
                Failure::Function(format!(
                    "the name of `out/{below}{}` is no UTF-8; rename it",
                    name.to_string_lossy()
                ))
            })?;
            if kind.is_dir() {
                open.push(format!("{below}{name}/"));
            } else if kind.is_file() {
                files.insert(format!("{below}{name}"), entry.path());
            } else {
                // A link could name any file of the worker.
                return Err(Failure::Function(format!(
                    "`out/{below}{name}` is not a plain file; write it as one"
                )));
            }
        }
        if files.len() + open.len() > MAX_FILES {
            return Err(Failure::Function(format!(
                "`out` has more than {MAX_FILES} files; put them into one"
            )));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_or_refused() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(read_result(home.path()).unwrap(), Value::Null);
        std::fs::write(home.path().join("result.json"), "{\"x\": NaN}").unwrap();
        assert!(read_result(home.path()).unwrap_err().to_string().contains("NaN"));
        std::fs::write(home.path().join("result.json"), "[0.1, 5e-324]").unwrap();
        assert_eq!(read_result(home.path()).unwrap(), serde_json::json!([0.1, 5e-324]));
    }

    #[test]
    fn only_plain_files_leave_a_function() {
        let home = tempfile::tempdir().unwrap();
        assert!(read_out(home.path()).unwrap().is_empty());
        std::fs::create_dir_all(home.path().join("out/a/b")).unwrap();
        std::fs::write(home.path().join("out/a/b/x.txt"), "x").unwrap();
        std::fs::write(home.path().join("out/y"), "y").unwrap();
        let names: Vec<String> = read_out(home.path()).unwrap().into_keys().collect();
        assert_eq!(names, ["a/b/x.txt", "y"]);
        std::os::unix::fs::symlink("/etc/passwd", home.path().join("out/z")).unwrap();
        assert!(read_out(home.path()).unwrap_err().to_string().contains("out/z"));
    }
}
