//! Split, map and collect, the same on a worker and on a laptop.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use backlot_frames::Shot;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::host::{Failure, Host};
use crate::media::{Delivered, Media, Source};
use crate::native::Natives;
use crate::part::{by_frames, by_seconds, numbered, of_function};
use crate::sandbox::{self, lay};
use crate::task::{FramesFile, ResultFile, SourceFile, TaskFile, VERSION, read_out, read_result};
use crate::{Container, FrameRequest, Function, Job, Limits, Part, Split};

/// How a job's programs are run: the part of a job that every step's input needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The job's name.
    pub job: String,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What one call may use.
    pub limits: Limits,
    /// The root file system.
    #[serde(default)]
    pub container: Option<Container>,
}

impl Environment {
    /// That of a job.
    pub fn of(job: &Job) -> Self {
        Self {
            job: job.name.clone(),
            env: job.env.clone(),
            limits: job.limits.clone(),
            container: job.container.clone(),
        }
    }
}

/// What every step is given.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// How programs are run.
    pub environment: &'a Environment,
    /// The job's files: path in the function's directory to the file here.
    pub files: &'a BTreeMap<String, PathBuf>,
    /// The parameters.
    pub params: &'a Map<String, Value>,
    /// The clip, as it was probed.
    pub source: &'a Source,
    /// The clip.
    pub clip: &'a Path,
    /// An empty directory for this call alone.
    pub scratch: &'a Path,
    /// Where it runs.
    pub host: &'a dyn Host,
    /// Who decodes.
    pub media: &'a dyn Media,
    /// The jobs written in Rust.
    pub natives: &'a Natives,
}

/// What a function made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    /// Its result.
    pub result: Value,
    /// Its files: name to the file here, which lives as long as the scratch directory.
    pub files: BTreeMap<String, PathBuf>,
}

impl Made {
    /// A result without files.
    pub fn new(result: impl Serialize) -> Result<Self, Failure> {
        let result = serde_json::to_value(result)
            .map_err(|error| Failure::Refused(format!("a result cannot be written as JSON: {error}")))?;
        Ok(Self { result, files: BTreeMap::new() })
    }
}

/// What map made of a part, or why it failed for good.
#[derive(Clone, Debug, PartialEq)]
pub struct PartResult {
    /// The part.
    pub part: Part,
    /// What map made, or its last error.
    pub made: Result<Made, String>,
}

impl Step<'_> {
    /// The parts of the clip.
    pub async fn split(&self, split: &Split) -> Result<Vec<Part>, Failure> {
        let Source { frames, rate, .. } = *self.source;
        let parts = match split {
            Split::Whole => Ok(numbered([(0, frames)])),
            Split::Frames(length) => by_frames(frames, *length),
            Split::Seconds(seconds) => by_seconds(frames, rate, *seconds),
            Split::Shots => {
                let shots = self.media.shots(self.clip, self.source, Box::new(|_| ())).await?;
                Ok(numbered(shots.into_iter().map(|shot| (shot.start, shot.end))))
            }
            Split::Argv(argv) => {
                let task = self.task("split");
                of_function(frames, &self.call(argv, task, "split").await?.result)
            }
            Split::Native(name) => of_function(frames, &self.natives.get(name)?.split(self).await?),
        };
        parts.map_err(|error| Failure::Function(error.to_string()))
    }

    /// Looks at one part.
    pub async fn map(
        &self,
        function: &Function,
        frames: Option<&FrameRequest>,
        part: &Part,
    ) -> Result<Made, Failure> {
        let delivered = match frames {
            Some(request) => Some(self.deliver(request, part).await?),
            None => None,
        };
        match function {
            Function::Native(name) => self.natives.get(name)?.map(self, part, delivered.as_ref()).await,
            Function::Argv(argv) => {
                let mut task = self.task("map");
                task.part = Some(part);
                task.frames = frames
                    .zip(delivered.as_ref())
                    .map(|(request, delivered)| FramesFile::new(self.source, delivered, request.encoding));
                self.call(argv, task, &format!("map of part {}", part.index)).await
            }
        }
    }

    async fn deliver(&self, request: &FrameRequest, part: &Part) -> Result<Delivered, Failure> {
        let directory = self.directory().join("frames");
        std::fs::create_dir_all(&directory).map_err(|error| Failure::file(&directory, &error))?;
        let range = Shot { start: part.start.saturating_sub(request.lead), end: part.end };
        if (range.start..range.end).all(|frame| !frame.is_multiple_of(request.every)) {
            // The decoder cannot be asked for no frame.
            let format = request.format.clone().unwrap_or_default();
            return Ok(Delivered { width: 0, height: 0, format, files: Vec::new() });
        }
        self.media.deliver(self.clip, self.source, range, request, &directory).await
    }

    /// Makes one result of all; without a function the list of results.
    pub async fn collect(
        &self,
        function: Option<&Function>,
        results: &[PartResult],
    ) -> Result<Made, Failure> {
        match function {
            None => Made::new(
                results
                    .iter()
                    .map(|one| one.made.as_ref().map_or(&Value::Null, |made| &made.result))
                    .collect::<Vec<_>>(),
            ),
            Some(Function::Native(name)) => self.natives.get(name)?.collect(self, results).await,
            Some(Function::Argv(argv)) => {
                let mut told = Vec::with_capacity(results.len());
                for one in results {
                    told.push(self.lay_result(one)?);
                }
                let mut task = self.task("collect");
                task.results = Some(told);
                self.call(argv, task, "collect").await
            }
        }
    }

    fn lay_result<'r>(&self, one: &'r PartResult) -> Result<ResultFile<'r>, Failure> {
        let mut files = BTreeMap::new();
        let made = one.made.as_ref();
        for (name, path) in made.map(|made| &made.files).into_iter().flatten() {
            let inside = format!("parts/{:06}/{name}", one.part.index);
            lay(path, &self.directory().join(&inside), self.environment.container.as_ref())?;
            files.insert(name.clone(), inside);
        }
        Ok(ResultFile {
            part: &one.part,
            result: made.map_or(&Value::Null, |made| &made.result),
            failed: made.err().map(String::as_str),
            files,
        })
    }

    /// The directory that a function sees.
    fn directory(&self) -> PathBuf {
        self.scratch.join("task")
    }

    fn clip_name(&self) -> &'static str {
        // The name that a user's file had is no part of what a function sees; the ending tells programs what to expect.
        match Path::new(&self.source.name).extension().and_then(|ending| ending.to_str()) {
            Some("mov") => "source.mov",
            Some("mkv") => "source.mkv",
            Some("webm") => "source.webm",
            Some("mxf") => "source.mxf",
            Some("ts") => "source.ts",
            Some("y4m") => "source.y4m",
            Some("avi") => "source.avi",
            _ => "source.mp4",
        }
    }

    fn task(&self, function: &'static str) -> TaskFile<'_> {
        TaskFile {
            archer: VERSION,
            job: &self.environment.job,
            function,
            params: self.params,
            source: SourceFile::new(self.source, self.clip_name()),
            part: None,
            frames: None,
            results: None,
        }
    }

    /// Lays everything into the directory, runs the program, takes up what it left.
    async fn call(&self, argv: &[String], task: TaskFile<'_>, what: &str) -> Result<Made, Failure> {
        let directory = self.directory();
        let container = self.environment.container.as_ref();
        let out = directory.join("out");
        std::fs::create_dir_all(&out).map_err(|error| Failure::file(&out, &error))?;
        let clip_inside = directory.join(self.clip_name());
        if container.is_some() {
            // The container mounts the clip over it.
            std::fs::write(&clip_inside, b"").map_err(|error| Failure::file(&clip_inside, &error))?;
        } else {
            lay(self.clip, &clip_inside, None)?;
        }
        for (name, path) in self.files {
            let to = directory.join(name);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent).map_err(|error| Failure::file(parent, &error))?;
            }
            std::fs::copy(path, &to).map_err(|error| Failure::file(path, &error))?;
            // The store keeps bytes, not modes; a script must stay one that can be run.
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&to, mode).map_err(|error| Failure::file(&to, &error))?;
        }
        let text =
            serde_json::to_vec(&task).map_err(|error| Failure::Refused(format!("task.json: {error}")))?;
        let file = directory.join("task.json");
        std::fs::write(&file, text).map_err(|error| Failure::file(&file, &error))?;
        let call = sandbox::Call {
            argv,
            env: &self.environment.env,
            limits: &self.environment.limits,
            container,
            function: task.function,
            what,
            directory: &directory,
            beside: self.scratch,
            clip: self.clip,
            clip_name: self.clip_name(),
        };
        call.run(self.host).await?;
        let named = |failure| match failure {
            Failure::Function(text) => Failure::Function(format!("{what}: {text}")),
            other => other,
        };
        Ok(Made {
            result: read_result(&directory).map_err(named)?,
            files: read_out(&directory).map_err(named)?,
        })
    }
}
