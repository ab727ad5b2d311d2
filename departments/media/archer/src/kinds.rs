//! The task kinds: the steps of a job as tasks of a durable run.
//!
//! | kind | from | to |
//! |---|---|---|
//! | `media.archer.tools` | | the decoder's version here |
//! | `media.archer.probe` | clip | what it is |
//! | `media.archer.split` | clip, split | parts |
//! | `media.archer.map` | clip, one part | its result and files |
//! | `media.archer.collect` | all results | the job's result and files |
//!
//! A task's input names the clip by its digest. So a clip that was delivered anew is another input, and nothing that was found
//! in the old one is reused; one that was delivered unchanged is the same input, and nothing is done twice.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use backlot_frames::Rate;
use backlot_store::LocalFile;
use backlot_work::{BlobRef, Input, Kind, Outputs, TaskContext, TaskError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::process::Command;

use crate::host::{Ended, Failure, Host};
use crate::media::{Media, Source};
use crate::native::Natives;
use crate::steps::{Environment, Made, PartResult, Step};
use crate::{FrameRequest, Function, OnFailure, Part, Split};

/// Results up to this size stand in the ledger; larger ones are blobs.
const LARGEST_INLINE: usize = 32 << 10;

/// The largest list of parts or result that is read back from the store: it is parsed in memory.
const LARGEST_READ: u64 = 1 << 30;

/// All kinds, with this decoder and these jobs in Rust.
pub fn kinds(media: Arc<dyn Media>, natives: Natives) -> Vec<Arc<dyn Kind>> {
    let steps = [StepKind::Tools, StepKind::Probe, StepKind::Split, StepKind::Map, StepKind::Collect];
    let kind = |step| -> Arc<dyn Kind> {
        Arc::new(ArcherKind { step, media: media.clone(), natives: natives.clone() })
    };
    steps.into_iter().map(kind).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StepKind {
    Tools,
    Probe,
    Split,
    Map,
    Collect,
}

struct ArcherKind {
    step: StepKind,
    media: Arc<dyn Media>,
    natives: Natives,
}

#[async_trait]
impl Kind for ArcherKind {
    fn name(&self) -> &str {
        match self.step {
            StepKind::Tools => "media.archer.tools",
            StepKind::Probe => "media.archer.probe",
            StepKind::Split => "media.archer.split",
            StepKind::Map => "media.archer.map",
            StepKind::Collect => "media.archer.collect",
        }
    }

    fn reusable(&self) -> bool {
        self.step != StepKind::Tools // its answer changes with the machine
    }

    async fn run(&self, task: TaskContext) -> Result<Outputs, TaskError> {
        match self.step {
            StepKind::Tools => {
                Outputs::new().value("version", self.media.version().await.map_err(task_error)?)
            }
            StepKind::Probe => self.probe(&task).await,
            StepKind::Split => self.split(&task).await,
            StepKind::Map => self.map(&task).await,
            StepKind::Collect => self.collect(&task).await,
        }
    }
}

/// What every step but the first two is given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    environment: Environment,
    files: BTreeMap<String, BlobRef>,
    params: Map<String, Value>,
    clip: BlobRef,
    source: Source,
    tools: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeInput {
    clip: BlobRef,
    name: String,
    #[serde(default)]
    fps: Option<Rate>,
    tools: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitInput {
    common: Common,
    split: Split,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapInput {
    common: Common,
    function: Function,
    frames: Option<FrameRequest>,
    part: Part,
    on_failure: OnFailure,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CollectInput {
    common: Common,
    function: Option<Function>,
    parts: Value,
    results: Vec<Wire>,
}

/// What map made, as it stands in the ledger. The store's bytes are the user's own; JSON is never parsed and written again
/// where its bytes matter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wire {
    /// The result, when it is small.
    #[serde(default)]
    pub(crate) value: Value,
    /// The result as a JSON blob, when it is large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blob: Option<BlobRef>,
    /// The files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) files: BTreeMap<String, BlobRef>,
    /// Why it failed for good, where collect is to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

impl ArcherKind {
    async fn same_tools(&self, wanted: &str) -> Result<(), TaskError> {
        let version = self.media.version().await.map_err(task_error)?;
        if version == wanted {
            return Ok(());
        }
        Err(TaskError::Permanent(format!(
            "this worker has {version}, but the run began with {wanted}; give all workers the same ffmpeg (BACKLOT_FFMPEG)"
        )))
    }

    async fn probe(&self, task: &TaskContext) -> Result<Outputs, TaskError> {
        let input: ProbeInput = task.parse()?;
        self.same_tools(&input.tools).await?;
        let file = task.file(&input.clip).await?;
        let source = self.media.probe(file.path(), &input.name, input.fps).await.map_err(task_error)?;
        task.log(format!(
            "{}: {}x{} {}, {} frames at {} per second, {:.2} s",
            source.name,
            source.width,
            source.height,
            source.pixel_format,
            source.frames,
            source.rate,
            source.duration
        ));
        Outputs::new().value("source", &source)
    }

    async fn split(&self, task: &TaskContext) -> Result<Outputs, TaskError> {
        let input: SplitInput = task.parse()?;
        let held = self.hold(task, &input.common).await?;
        let parts = self.step(&held, &input.common).split(&input.split).await.map_err(task_error)?;
        task.log(format!("{} parts", parts.len()));
        Outputs::new().value("parts", &parts)
    }

    async fn map(&self, task: &TaskContext) -> Result<Outputs, TaskError> {
        let input: MapInput = task.parse()?;
        let held = self.hold(task, &input.common).await?;
        let step = self.step(&held, &input.common);
        let wire = match step.map(&input.function, input.frames.as_ref(), &input.part).await {
            Ok(made) => store(task, made).await?,
            Err(failure @ (Failure::Function(_) | Failure::Refused(_)))
                if input.on_failure == OnFailure::Collect && is_last_attempt(task, &input, &failure) =>
            {
                task.log(format!("failed for good: {failure}"));
                Wire { failed: Some(failure.to_string()), ..Wire::default() }
            }
            Err(failure) => return Err(task_error(failure)),
        };
        Outputs::new().value("made", &wire)
    }

    async fn collect(&self, task: &TaskContext) -> Result<Outputs, TaskError> {
        let input: CollectInput = task.parse()?;
        let parts: Vec<Part> = read_back(task, &input.parts).await?;
        if parts.len() != input.results.len() {
            return Err(TaskError::Permanent(format!(
                "{} parts have {} results; run the job again",
                parts.len(),
                input.results.len()
            )));
        }
        let mut kept = Vec::new(); // copies from a remote store stay while they are read
        let mut results = Vec::with_capacity(parts.len());
        for (part, wire) in parts.into_iter().zip(input.results) {
            let made = match wire.failed {
                Some(why) => Err(why),
                None => {
                    let result = match &wire.blob {
                        Some(blob) => read_back(task, &blob_value(blob)).await?,
                        None => wire.value,
                    };
                    let mut files = BTreeMap::new();
                    for (name, blob) in &wire.files {
                        let file = task.file(blob).await?;
                        files.insert(name.clone(), file.path().to_owned());
                        kept.push(file);
                    }
                    Ok(Made { result, files })
                }
            };
            results.push(PartResult { part, made });
        }
        let held = self.hold(task, &input.common).await?;
        let step = self.step(&held, &input.common);
        let made = step.collect(input.function.as_ref(), &results).await.map_err(task_error)?;
        drop(kept);
        Outputs::new().value("made", store(task, made).await?)
    }

    /// Fetches what a step reads.
    async fn hold(&self, task: &TaskContext, common: &Common) -> Result<Held, TaskError> {
        self.same_tools(&common.tools).await?;
        let mut files = BTreeMap::new();
        let mut kept = Vec::with_capacity(common.files.len());
        for (name, blob) in &common.files {
            let file = task.file(blob).await?;
            files.insert(name.clone(), file.path().to_owned());
            kept.push(file);
        }
        let clip = task.file(&common.clip).await?;
        let host = TaskHost(task.clone());
        Ok(Held { clip, files, _kept: kept, host, scratch: task.scratch()?.to_owned() })
    }

    fn step<'a>(&'a self, held: &'a Held, common: &'a Common) -> Step<'a> {
        Step {
            environment: &common.environment,
            files: &held.files,
            params: &common.params,
            source: &common.source,
            clip: held.clip.path(),
            scratch: &held.scratch,
            host: &held.host,
            media: &*self.media,
            natives: &self.natives,
        }
    }
}

/// What a step reads, kept while it does. The clip comes whole from the store here; a mount of the ranges that a part needs would
/// take its place.
struct Held {
    clip: LocalFile,
    files: BTreeMap<String, PathBuf>,
    _kept: Vec<LocalFile>,
    host: TaskHost,
    scratch: PathBuf,
}

struct TaskHost(TaskContext);

#[async_trait]
impl Host for TaskHost {
    fn log(&self, line: &str) {
        self.0.log(line);
    }

    fn progress(&self, fraction: f64, message: &str) {
        self.0.progress(fraction, message);
    }

    async fn child(&self, command: Command) -> Result<Ended, Failure> {
        match self.0.child(command, Input::Null, None).await {
            Ok(ended) if ended.status.success() => Ok(Ended::Well),
            Ok(ended) => Ok(Ended::Badly(ended.describe())),
            Err(TaskError::Stopped) => Err(Failure::Stopped),
            Err(TaskError::Permanent(why)) => Err(Failure::Refused(why)),
            Err(TaskError::Retryable(why)) => Err(Failure::Machine(why)),
        }
    }
}

/// Whether no attempt follows. An attempt whose worker was lost counts too, so a part may get fewer tries than it has retries, but
/// never more.
fn is_last_attempt(task: &TaskContext, input: &MapInput, failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(_))
        || task.attempt() > i64::from(input.common.environment.limits.retries)
}

async fn store(task: &TaskContext, made: Made) -> Result<Wire, TaskError> {
    let mut wire = Wire::default();
    for (name, path) in &made.files {
        let blob = task.put_file(path, media_type(name)).await?;
        wire.files.insert(name.clone(), blob);
    }
    let text = serde_json::to_vec(&made.result).map_err(|error| TaskError::Permanent(error.to_string()))?;
    if text.len() > LARGEST_INLINE {
        wire.blob = Some(task.put(text, "application/json").await?);
    } else {
        wire.value = made.result;
    }
    Ok(wire)
}

fn blob_value(blob: &BlobRef) -> Value {
    serde_json::to_value(blob).unwrap_or(Value::Null)
}

/// A value, or what is in the blob that stands for it.
async fn read_back<T: serde::de::DeserializeOwned>(
    task: &TaskContext,
    value: &Value,
) -> Result<T, TaskError> {
    let unreadable =
        |error: serde_json::Error| TaskError::Permanent(format!("a list cannot be read back: {error}"));
    match BlobRef::from_value(value) {
        Some(blob) => {
            let bytes = task.store().get(&blob.digest, LARGEST_READ).await?;
            serde_json::from_slice(&bytes).map_err(unreadable)
        }
        None => T::deserialize(value).map_err(unreadable),
    }
}

pub(crate) fn task_error(failure: Failure) -> TaskError {
    match failure {
        Failure::Function(text) | Failure::Machine(text) => TaskError::Retryable(text),
        Failure::Refused(text) => TaskError::Permanent(text),
        Failure::Stopped => TaskError::Stopped,
    }
}

/// The media type by the name's ending; only those that the console shows in place.
fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("json") => "application/json",
        Some("txt" | "csv" | "md") => "text/plain",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("svg") => "image/svg+xml",
        Some("mp4") => "video/mp4",
        _ => "application/octet-stream",
    }
}
