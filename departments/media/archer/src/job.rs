//! What a job is: a file that a person writes, checked whole before anything runs.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use backlot_work::{ByteSize, ParamSpec, RunSpec, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest name of a job, in bytes: with `archer.` before it, it names runs.
pub const MAX_NAME: usize = 100;

/// Pixel formats that frames can be delivered in, in ffmpeg's names: those that every build of ffmpeg converts to and whose raw
/// layout is documented.
const FORMATS: &[&str] = &[
    "gray",
    "gray10le",
    "gray12le",
    "gray16le",
    "rgb24",
    "bgr24",
    "rgba",
    "rgb48le",
    "gbrp",
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p10le",
];

/// A job that cannot run, and why; the text names the place and the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JobError(pub String);

/// Split, map, collect, and what they need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What it is called: letters, digits, `-` and `_`.
    pub name: String,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The parameters that a submission may or must give; all functions see them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, ParamSpec>,
    /// How the clip is cut into parts.
    #[serde(default)]
    pub split: Split,
    /// The frames that are laid beside map; none unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<FrameRequest>,
    /// Looks at one part.
    pub map: Function,
    /// Makes one result of all; without it the result is the list of map's results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collect: Option<Function>,
    /// Files laid beside every function: path there to path here, seen from the job's file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, PathBuf>,
    /// Environment variables of programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What one call of a function may use.
    #[serde(default)]
    pub limits: Limits,
    /// Runs programs in a root file system of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// What becomes of the job when a part has failed for good.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// How a clip is cut into parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// One part.
    Whole,
    /// One part for each shot.
    #[default]
    Shots,
    /// Parts of so many frames.
    Frames(u64),
    /// Parts of so many seconds, to the nearest frame.
    Seconds(f64),
    /// A program says.
    Argv(Vec<String>),
    /// A job in Rust of this name says.
    Native(String),
}

/// Who does map or collect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// A program and its arguments; no shell is involved.
    Argv(Vec<String>),
    /// The job in Rust of this name.
    Native(String),
}

/// What map's frames look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrameRequest {
    /// The files' format.
    pub encoding: Encoding,
    /// The part of the picture that is kept; all unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
    /// The size that it is scaled to, after the crop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// The pixel format, in ffmpeg's names: `gray`, `rgb24`, `yuv420p10le`. Unless said `rgb24` for PNG, and the clip's own layout
    /// at eight bits for raw files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Only frames whose number is a multiple of this.
    pub every: u64,
    /// So many frames before each part are delivered too, where the clip has them: for what compares neighbours.
    pub lead: u64,
    /// JPEG's quantiser, 1 (best) to 31.
    pub quality: u8,
}

impl Default for FrameRequest {
    fn default() -> Self {
        Self { encoding: Encoding::Png, crop: None, scale: None, format: None, every: 1, lead: 0, quality: 3 }
    }
}

/// The format of a delivered frame's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Portable Network Graphics: lossless.
    #[default]
    Png,
    /// JPEG.
    Jpeg,
    /// The planes one after the other, rows without padding.
    Raw,
}

impl Encoding {
    /// The ending of the files' names.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Raw => "raw",
        }
    }
}

/// A rectangle of the picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Columns left of it.
    #[serde(default)]
    pub x: u32,
    /// Rows above it.
    #[serde(default)]
    pub y: u32,
}

/// A size in pixels; a side left out follows from the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// What one call of a function may use, and how often it is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long it may take; then it and all it started are killed.
    pub timeout: Span,
    /// Memory: of one process by the kernel at the allocation, of all together by a watch.
    pub memory: ByteSize,
    /// Processes at once.
    pub processes: u32,
    /// Processors that one call is counted as.
    pub cpus: f64,
    /// Attempts after the first.
    pub retries: u32,
    /// Parts at work at once, whatever room there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Span::seconds(600),
            memory: ByteSize::new(2 << 30),
            processes: 256,
            cpus: 1.0,
            retries: 2,
            concurrency: None,
        }
    }
}

/// A root file system of its own, by bubblewrap: nothing of the worker is seen but the function's directory and the clip.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Container {
    /// A directory on every worker that becomes `/`, read-only; made by `debootstrap`, say. Without it the worker's own `/` is
    /// shown, read-only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Whether it reaches the network.
    pub network: Network,
}

/// A container's network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// None.
    #[default]
    None,
    /// The worker's.
    Host,
}

/// What becomes of the job when a part has failed for good. The other parts are done in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The job fails; what its other parts found is kept and reused.
    #[default]
    Fail,
    /// Collect runs and is told which parts failed.
    Collect,
}

impl Job {
    /// Reads a job from TOML. It is not checked yet.
    pub fn from_toml(text: &str) -> Result<Self, JobError> {
        let job: Self = toml::from_str(text).map_err(|error| JobError(one_line(&error.to_string())))?;
        job.check()?;
        Ok(job)
    }

    /// Reads a job from JSON.
    pub fn from_json(text: &str) -> Result<Self, JobError> {
        let job: Self = serde_json::from_str(text).map_err(|error| JobError(one_line(&error.to_string())))?;
        job.check()?;
        Ok(job)
    }

    /// Whether it can run; the error names the place and the mend.
    pub fn check(&self) -> Result<(), JobError> {
        let refuse = |text: String| Err(JobError(text));
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > MAX_NAME || !self.name.chars().all(fits) {
            return refuse(format!(
                "the job's name `{}` must be 1 to {MAX_NAME} letters, digits, `-`, `_`",
                self.name.chars().take(40).collect::<String>()
            ));
        }
        match &self.split {
            Split::Frames(0) => return refuse("`split.frames` must be at least 1".to_owned()),
            Split::Seconds(seconds) if !(seconds.is_finite() && *seconds > 0.0) => {
                return refuse(format!("`split.seconds` must be above 0, not {seconds}"));
            }
            Split::Argv(argv) if argv.is_empty() => return refuse(no_program("split")),
            _ => {}
        }
        for (place, function) in [("map", Some(&self.map)), ("collect", self.collect.as_ref())] {
            if matches!(function, Some(Function::Argv(argv)) if argv.is_empty()) {
                return refuse(no_program(place));
            }
        }
        for path in self.files.keys() {
            let path = Path::new(path);
            let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
            let first = path.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
            if !plain || first.is_none() {
                return refuse(format!(
                    "`files` names `{}`; use a relative path without `..`",
                    path.display()
                ));
            }
            if first.is_some_and(|first| {
                ["task.json", "result.json", "frames", "out", "parts"].contains(&first.as_str())
            }) {
                return refuse(format!(
                    "`files` names `{}`, which the platform lays itself; use another name",
                    path.display()
                ));
            }
        }
        if let Some(frames) = &self.frames {
            frames.check()?;
        }
        self.limits.check()?;
        self.bindable().check_params()
    }

    /// The parameters of a submission with defaults filled in, or what is wrong with them.
    pub fn bind(&self, given: Map<String, Value>) -> Result<Map<String, Value>, JobError> {
        self.bindable().bind(given).map_err(|error| JobError(error.0))
    }

    /// Reads one `-p name=text` of a command line as the parameter's type wants it.
    pub fn param_from_text(&self, name: &str, text: &str) -> Result<Value, JobError> {
        self.bindable().param_from_text(name, text).map_err(|error| JobError(error.0))
    }

    fn bindable(&self) -> RunSpec {
        RunSpec { params: self.params.clone(), ..RunSpec::new(self.name.clone()) }
    }
}

/// Checks only what a run's spec checks of its parameters.
trait CheckParams {
    fn check_params(&self) -> Result<(), JobError>;
}

impl CheckParams for RunSpec {
    fn check_params(&self) -> Result<(), JobError> {
        for (name, param) in &self.params {
            if let Some(default) = &param.default {
                let alone = RunSpec::new("x").param(name, param.param_type, None);
                let given = Map::from_iter([(name.clone(), default.clone())]);
                alone.bind(given).map_err(|error| JobError(format!("the default of {}", error.0)))?;
            }
        }
        Ok(())
    }
}

impl FrameRequest {
    fn check(&self) -> Result<(), JobError> {
        let refuse = |text: String| Err(JobError(text));
        if self.every == 0 {
            return refuse("`frames.every` must be at least 1".to_owned());
        }
        if !(1..=31).contains(&self.quality) {
            return refuse(format!("`frames.quality` must be 1 (best) to 31, not {}", self.quality));
        }
        if let Some(format) = &self.format {
            if !FORMATS.contains(&format.as_str()) {
                return refuse(format!("`frames.format` `{format}` is not one of {}", FORMATS.join(", ")));
            }
            let fits = match self.encoding {
                Encoding::Raw => true,
                Encoding::Png => matches!(format.as_str(), "gray" | "rgb24" | "rgba"),
                Encoding::Jpeg => matches!(format.as_str(), "yuv420p" | "yuv422p" | "yuv444p"),
            };
            if !fits {
                return refuse(format!(
                    "a file of encoding `{}` cannot hold `{format}`; use gray, rgb24 or rgba for png, yuv420p, yuv422p or yuv444p \
                     for jpeg, anything for raw",
                    self.encoding.extension()
                ));
            }
        }
        if matches!(self.crop, Some(crop) if crop.width == 0 || crop.height == 0) {
            return refuse("`frames.crop` must be at least one pixel".to_owned());
        }
        match self.scale {
            Some(Scale { width: None, height: None }) => {
                refuse("`frames.scale` needs a width or a height".to_owned())
            }
            Some(Scale { width, height })
                if [width, height].iter().flatten().any(|side| !(1..=16_384).contains(side)) =>
            {
                refuse("`frames.scale` must be 1 to 16384 pixels a side".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), JobError> {
        let refuse = |text: &str| Err(JobError(text.to_owned()));
        if self.timeout.duration().is_zero() {
            return refuse("`limits.timeout` must be above 0");
        }
        if self.memory.bytes() < 16 << 20 {
            return refuse("`limits.memory` must be at least 16MiB: less starts no program");
        }
        if self.processes == 0 {
            return refuse("`limits.processes` must be at least 1");
        }
        if !(self.cpus >= 0.0 && self.cpus <= 4096.0) {
            return refuse("`limits.cpus` must be between 0 and 4096");
        }
        if self.concurrency == Some(0) {
            return refuse("`limits.concurrency` must be at least 1");
        }
        Ok(())
    }
}

fn no_program(place: &str) -> String {
    format!("`{place}.argv` is empty; name the program")
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_is_read_in_each_of_its_forms() {
        let text = "name = 'a'\nmap = { argv = ['true'] }\n";
        assert_eq!(Job::from_toml(text).unwrap().split, Split::Shots);
        for (split, wanted) in [
            ("split = 'whole'", Split::Whole),
            ("split = { frames = 48 }", Split::Frames(48)),
            ("split = { seconds = 2 }", Split::Seconds(2.0)),
            ("split = { argv = ['x'] }", Split::Argv(vec!["x".to_owned()])),
        ] {
            assert_eq!(Job::from_toml(&format!("{split}\n{text}")).unwrap().split, wanted);
        }
        let job =
            Job::from_toml(&format!("{text}[frames]\nencoding = 'raw'\nscale = {{ width = 8 }}")).unwrap();
        assert_eq!(Job::from_json(&serde_json::to_string(&job).unwrap()).unwrap(), job);
    }

    #[test]
    fn mistakes_are_named_with_their_mend() {
        let cases = [
            ("name = 'a b'\nmap = { argv = ['x'] }", "letters, digits"),
            ("name = 'a'", "missing field `map`"),
            ("name = 'a'\nmap = { argv = [] }", "`map.argv` is empty"),
            ("name = 'a'\nsplit = { frames = 0 }\nmap = { argv = ['x'] }", "at least 1"),
            ("name = 'a'\nsplit = { seconds = -1.0 }\nmap = { argv = ['x'] }", "above 0"),
            ("name = 'a'\nmap = { argv = ['x'] }\n[files]\n'../x' = 'x'", "without `..`"),
            ("name = 'a'\nmap = { argv = ['x'] }\n[files]\n'out/x' = 'x'", "lays itself"),
            ("name = 'a'\nmap = { argv = ['x'] }\n[frames]\nformat = 'rgb'", "is not one of"),
            ("name = 'a'\nmap = { argv = ['x'] }\n[frames]\nformat = 'yuv420p'", "cannot hold"),
            ("name = 'a'\nmap = { argv = ['x'] }\n[frames]\nscale = {}", "a width or a height"),
            ("name = 'a'\nmap = { argv = ['x'] }\n[limits]\nmemory = '1MiB'", "at least 16MiB"),
            (
                "name = 'a'\nmap = { argv = ['x'] }\n[params.n]\ntype = 'integer'\ndefault = 'x'",
                "the default of parameter `n`",
            ),
            ("name = 'a'\nmapp = 1\nmap = { argv = ['x'] }", "unknown field `mapp`"),
        ];
        for (text, wanted) in cases {
            let error = Job::from_toml(text).unwrap_err().0;
            assert!(error.contains(wanted) && !error.contains('\n'), "{text}\n-> {error}");
        }
    }

    #[test]
    fn parameters_are_typed_and_filled_in() {
        let job =
            Job::from_toml("name = 'a'\nmap = { argv = ['x'] }\n[params.n]\ntype = 'integer'\ndefault = 3")
                .unwrap();
        assert_eq!(Value::Object(job.bind(Map::new()).unwrap()), json!({ "n": 3 }));
        assert_eq!(job.param_from_text("n", "4").unwrap(), json!(4));
        assert!(job.param_from_text("n", "x").is_err());
        assert!(job.bind(json!({ "m": 1 }).as_object().unwrap().clone()).is_err());
    }
}
