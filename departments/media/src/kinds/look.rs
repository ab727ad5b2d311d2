//! Kinds that look at a clip: probe, shots, thumbnails.

use backlot_frames::{Rate, Shot, ShotOptions};
use backlot_work::{BlobRef, Outputs, TaskContext, TaskError};
use serde::Deserialize;

use super::{Tools, failed, failed_on, same_ffmpeg};
use crate::{
    plan::Size,
    probe::{Probe, ProbeOptions, probe},
    shots::detect_shots,
    source::Source,
    thumbnail::thumbnail,
};

/// Thumbnails fit in this; a strip of them is looked at, not watched.
const THUMBNAIL_BOUNDS: Size = Size { width: 320, height: 180 };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeInput {
    clip: BlobRef,
    /// What the user calls it, for messages.
    name: String,
    #[serde(default)]
    fps: Option<Rate>,
    tools: String,
}

pub(super) async fn probe_kind(task: &TaskContext, tools: &Tools) -> Result<Outputs, TaskError> {
    let input: ProbeInput = task.parse()?;
    let ffmpeg = same_ffmpeg(tools, &input.tools).await?;
    let file = task.file(&input.clip).await?;
    let failed = failed_on(file.path(), &input.name);
    let probed = probe(ffmpeg, file.path(), ProbeOptions { fps: input.fps }).await.map_err(&failed)?;
    probed.require_encodable(file.path()).map_err(&failed)?;
    task.log(format!(
        "{}: {} {}, {} frames at {} per second, {:.2} s, {} audio stream(s)",
        input.name,
        probed.size,
        probed.pixel_format,
        probed.frames,
        probed.rate,
        probed.duration,
        probed.audio.len()
    ));
    Outputs::new().value("probe", &probed)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShotsInput {
    clip: BlobRef,
    probe: Probe,
    tools: String,
}

pub(super) async fn shots_kind(task: &TaskContext, tools: &Tools) -> Result<Outputs, TaskError> {
    let input: ShotsInput = task.parse()?;
    let ffmpeg = same_ffmpeg(tools, &input.tools).await?;
    let file = task.file(&input.clip).await?;
    let source = Source { path: file.path(), probe: &input.probe };
    let (reporter, frames) = (task.clone(), input.probe.frames.max(1));
    let progress = move |seen: u64| {
        if seen.is_multiple_of(32) {
            reporter.progress(seen as f64 / frames as f64, format!("{seen} of {frames} frames"));
        }
    };
    let found = detect_shots(ffmpeg, source, ShotOptions::default(), progress).await.map_err(failed)?;
    for shot in &found.shots {
        task.log(format!("shot: frames {} to {} ({})", shot.start, shot.end, shot.frames()));
    }
    Outputs::new().value("shots", &found.shots)?.value("cuts", &found.cuts)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThumbnailInput {
    clip: BlobRef,
    probe: Probe,
    shot: Shot,
    tools: String,
}

pub(super) async fn thumbnail_kind(task: &TaskContext, tools: &Tools) -> Result<Outputs, TaskError> {
    let input: ThumbnailInput = task.parse()?;
    let ffmpeg = same_ffmpeg(tools, &input.tools).await?;
    let file = task.file(&input.clip).await?;
    let source = Source { path: file.path(), probe: &input.probe };
    let output = task.scratch()?.join("thumbnail.jpg");
    thumbnail(ffmpeg, source, input.shot, THUMBNAIL_BOUNDS, &output).await.map_err(failed)?;
    Ok(Outputs::new().blob("picture", &task.put_file(&output, "image/jpeg").await?))
}
