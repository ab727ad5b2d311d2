//! The department's task kinds: the functions of this crate as steps of durable runs.
//!
//! Files go in and out as blobs, everything else as JSON, so a step can run on any machine that reaches the store. What
//! a kind makes depends on its input alone; the encoder's version is part of the input (`tools`), so that one title is
//! never put together from the work of two encoders.
//!
//! | kind | from | to |
//! |---|---|---|
//! | `media.tools` | | the version of ffmpeg here |
//! | `media.probe` | clip | what it is |
//! | `media.quality` | probe | the metric, and the model of VMAF that suits the picture |
//! | `media.shots` | clip, probe | its shots |
//! | `media.plan` | probe, shots | the encodes worth trying |
//! | `media.encode` | clip, one of them | a file |
//! | `media.by_shot` | the encodes and their files | one group for each shot |
//! | `media.measure` | clip, one group | scores of each file |
//! | `media.rungs` | scores so far | the encodes worth making next: rate factors for each shot of each rung |
//! | `media.title` | all scores | rate-quality points, hull, the rungs, saving |
//! | `media.audio` | clip | the audio track, if it has one |
//! | `media.thumbnail` | clip, one shot | a picture |
//! | `media.package` | the ladder's files | CMAF and HLS |
//! | `media.figure` | the title | the rate-quality chart |
//! | `media.compare` | reference, renditions | scores by frame, the chart, the worst frames |

pub(crate) mod compare;
mod figure;
mod look;
mod make;
mod measured;
pub(crate) mod quality;
mod rungs;
mod title;

use std::sync::Arc;

use backlot_work::{Kind, Kinds, Outputs, TaskContext, TaskError};
use tokio::sync::OnceCell;

pub use make::PackagedFile;
pub use title::{CodecSaving, FixedRow, LadderRung, PerShot, Title, TitlePoint};

use crate::{
    Error,
    ffmpeg::{Ffmpeg, FfmpegSearch},
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
    kind!("media.plan", 3, make::plan_kind);
    kind!("media.encode", 1, make::encode_kind);
    kind!("media.by_shot", 1, make::by_shot_kind);
    kind!("media.measure", 2, make::measure_kind);
    kind!("media.audio", 1, make::audio_kind);
    kind!("media.package", 1, make::package_kind);
    kind!("media.rungs", 3, rungs::rungs_kind);
    kind!("media.title", 4, title::title_kind);
    kind!("media.figure", 4, figure::figure_kind);
    kind!("media.compare", 1, compare::compare_kind);
    let mut all: Vec<Arc<dyn Kind>> = kinds.names().filter_map(|name| kinds.get(name).cloned()).collect();
    all.push(Arc::new(ToolsKind(tools.clone())));
    all.push(Arc::new(quality::QualityKind(tools.clone())));
    all
}

/// Says which ffmpeg is here; never reused, because the answer changes with the machine.
struct ToolsKind(Tools);

#[async_trait::async_trait]
impl Kind for ToolsKind {
    fn name(&self) -> &'static str {
        "media.tools"
    }

    fn reusable(&self) -> bool {
        false
    }

    async fn run(&self, _task: TaskContext) -> Result<Outputs, TaskError> {
        let ffmpeg = self.0.ffmpeg().await.map_err(failed)?;
        Outputs::new().value("ffmpeg", ffmpeg.version())
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
