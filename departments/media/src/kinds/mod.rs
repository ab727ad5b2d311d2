//! The department's task kinds: the functions of this crate as steps of durable runs.
//!
//! Files go in and out as blobs, everything else as JSON, so a step can run on any machine that reaches the store. What
//! a kind makes depends on its input alone; the encoder's version is part of the input (`tools`), so that one title is
//! never put together from the work of two encoders.
//!
//! | kind | from | to |
//! |---|---|---|
//! | `media.tools` | | the version of ffmpeg here, the metric, a model of VMAF |
//! | `media.probe` | clip | what it is |
//! | `media.shots` | clip, probe | its shots |
//! | `media.plan` | probe, shots | the encodes worth trying |
//! | `media.encode` | clip, one of them | a file |
//! | `media.by_shot` | the encodes and their files | one group for each shot |
//! | `media.measure` | clip, one group | scores of each file |
//! | `media.rungs` | scores of the trials | the rungs, a rate factor for each of their shots, the encodes to make |
//! | `media.title` | all scores | rate-quality points, hull, ladder, saving |
//! | `media.audio` | clip | the audio track, if it has one |
//! | `media.thumbnail` | clip, one shot | a picture |
//! | `media.package` | the ladder's files | CMAF and HLS |
//! | `media.figure` | the title | the rate-quality chart |

mod figure;
mod look;
mod make;
mod measured;
mod rungs;
mod title;

use std::sync::Arc;

use backlot_vmaf::tool::find_model_beside;
use backlot_work::{Kind, Kinds, Outputs, TaskContext, TaskError};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;

pub use make::PackagedFile;
pub use title::{CodecSaving, FixedRow, LadderRung, PerShot, Title, TitlePoint};

use crate::{
    Error,
    ffmpeg::{Ffmpeg, FfmpegSearch},
    plan::Metric,
};

/// The ffmpeg of this process, looked for when it is first needed.
#[derive(Clone)]
pub struct Tools(Arc<(FfmpegSearch, OnceCell<Ffmpeg>)>);

impl Tools {
    /// Tools found by `search`.
    pub fn new(search: FfmpegSearch) -> Self {
        Self(Arc::new((search, OnceCell::new())))
    }

    /// The ffmpeg. A failure is not remembered: installing one mends it without a restart.
    pub async fn ffmpeg(&self) -> Result<&Ffmpeg, Error> {
        self.0.1.get_or_try_init(|| async { Ffmpeg::open(self.0.0.locate()?).await }).await
    }
}

/// All kinds of this department.
pub fn all(tools: &Tools) -> Vec<Arc<dyn Kind>> {
    let mut kinds = Kinds::default();
    macro_rules! kind {
        ($name:literal, $version:literal, $function:path) => {
            let tools_here = tools.clone();
            kinds = kinds.with_fn($name, $version, move |task: TaskContext| {
                let tools = tools_here.clone();
                async move { $function(&task, &tools).await }
            });
        };
    }
    kind!("media.probe", 1, look::probe_kind);
    kind!("media.shots", 1, look::shots_kind);
    kind!("media.thumbnail", 1, look::thumbnail_kind);
    kind!("media.plan", 2, make::plan_kind);
    kind!("media.encode", 1, make::encode_kind);
    kind!("media.by_shot", 1, make::by_shot_kind);
    kind!("media.measure", 2, make::measure_kind);
    kind!("media.audio", 1, make::audio_kind);
    kind!("media.package", 1, make::package_kind);
    kind!("media.rungs", 2, rungs::rungs_kind);
    kind!("media.title", 3, title::title_kind);
    kind!("media.figure", 3, figure::figure_kind);
    let mut all: Vec<Arc<dyn Kind>> = kinds.names().filter_map(|name| kinds.get(name).cloned()).collect();
    all.push(Arc::new(ToolsKind(tools.clone())));
    all
}

/// Says which ffmpeg is here, and what quality will be measured with; never reused, because the answer changes with the
/// machine.
struct ToolsKind(Tools);

/// The model that quality is measured with.
const VMAF_MODEL: &str = "vmaf_v0.6.1";

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ToolsInput {
    quality: Quality,
}

/// What the caller wants quality to be measured with.
#[derive(Clone, Copy, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Quality {
    /// VMAF where its model is at hand, else PSNR.
    #[default]
    Auto,
    /// VMAF; without its model nothing begins.
    Vmaf,
    /// PSNR.
    Psnr,
}

#[async_trait::async_trait]
impl Kind for ToolsKind {
    fn name(&self) -> &'static str {
        "media.tools"
    }

    fn reusable(&self) -> bool {
        false
    }

    async fn run(&self, task: TaskContext) -> Result<Outputs, TaskError> {
        let input: ToolsInput = task.parse()?;
        let ffmpeg = self.0.ffmpeg().await.map_err(failed)?;
        let outputs = Outputs::new().value("ffmpeg", ffmpeg.version())?;
        let found = match input.quality {
            Quality::Psnr => None,
            Quality::Auto | Quality::Vmaf => {
                let own = vec![ffmpeg.path().to_owned()];
                let found = task.compute(move || Ok(find_model_beside(VMAF_MODEL, &own))).await?;
                match (found, input.quality) {
                    (Ok(text), _) => Some(text),
                    (Err(error), Quality::Vmaf) => return Err(TaskError::Permanent(error.to_string())),
                    (Err(error), _) => {
                        task.log(format!("quality is measured with PSNR, because {error}"));
                        None
                    }
                }
            }
        };
        // The model goes along as a blob, so that all workers measure with the same.
        match found {
            Some(text) => {
                let model = task.put(text, "application/json").await?;
                outputs.value("metric", Metric::Vmaf)?.blob("model", &model).value("model_name", VMAF_MODEL)
            }
            None => {
                let outputs = outputs.value("metric", Metric::Psnr)?;
                outputs.value("model", Value::Null)?.value("model_name", Value::Null)
            }
        }
    }
}

/// The ffmpeg, when it is the version that the run began with.
async fn same_ffmpeg<'t>(tools: &'t Tools, wanted: &str) -> Result<&'t Ffmpeg, TaskError> {
    let ffmpeg = tools.ffmpeg().await.map_err(failed)?;
    if ffmpeg.version() == wanted {
        return Ok(ffmpeg);
    }
    Err(TaskError::Permanent(format!(
        "this worker has {}, but the run began with {wanted}; give all workers the same ffmpeg (BACKLOT_FFMPEG)",
        ffmpeg.version()
    )))
}

/// Trouble of the machine may pass; trouble of the clip or the request does not.
fn failed(error: Error) -> TaskError {
    match error {
        Error::Io { .. } | Error::NoSpace { .. } | Error::Child { .. } => {
            TaskError::Retryable(error.to_string())
        }
        other => TaskError::Permanent(other.to_string()),
    }
}

/// As [`failed`], with the clip's own name in place of the path of the blob that it was read from.
fn failed_on(path: &std::path::Path, name: &str) -> impl Fn(Error) -> TaskError {
    let (path, name) = (path.display().to_string(), name.to_owned());
    move |error| {
        let named = |text: String| text.replace(&path, &name);
        match failed(error) {
            TaskError::Retryable(text) => TaskError::Retryable(named(text)),
            TaskError::Permanent(text) => TaskError::Permanent(named(text)),
            TaskError::Stopped => TaskError::Stopped,
        }
    }
}
