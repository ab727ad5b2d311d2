//! Kinds that make files: the plan of encodes, encodes, their scores, the audio track, the package.

use std::path::{Path, PathBuf};

use backlot_frames::{Rate, Shot};
use backlot_vmaf::{Model, ModelOptions};
use backlot_work::{BlobRef, Outputs, TaskContext, TaskError};
use serde::{Deserialize, Serialize};

use super::{Tools, failed, same_ffmpeg};
use crate::{
    audio::encode_audio,
    encode::{Codec, Effort, EncodeRequest, encode},
    measure::measure,
    package::{PackageRequest, Rung, package},
    plan::{Size, trial_sizes},
    probe::Probe,
    source::Source,
};

/// A lossless frame has an infinite PSNR, which JSON cannot say; this stands for it, above any PSNR of 16-bit video.
pub(super) const LOSSLESS_DB: f64 = 200.0;

/// Constant rate factors tried for each codec, in steps that about a third of the rate survives. They only have to show where
/// a shot's curve runs: what the rungs need is encoded and measured too. The first is tried at the largest size only: a smaller
/// one has never been worth so many bits.
fn trial_crfs(codec: Codec) -> [u32; 4] {
    match codec {
        Codec::X264 => [18, 25, 32, 39],
        Codec::X265 => [20, 27, 34, 41],
        Codec::SvtAv1 => [24, 36, 48, 60],
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanInput {
    probe: Probe,
    shots: Vec<Shot>,
    codecs: Vec<Codec>,
    effort: Effort,
    /// Seconds between key frames.
    key_seconds: f64,
    /// Sizes above this many lines are not tried.
    max_height: u32,
}

pub(super) async fn plan_kind(task: &TaskContext, _tools: &Tools) -> Result<Outputs, TaskError> {
    let input: PlanInput = task.parse()?;
    if input.codecs.is_empty() {
        return Err(TaskError::Permanent("no codec is chosen; give x264, x265 or svt_av1".to_owned()));
    }
    if !(input.key_seconds > 0.0 && input.key_seconds <= 60.0) {
        return Err(TaskError::Permanent("key frames must stand 0 to 60 seconds apart".to_owned()));
    }
    let key_interval = (input.probe.rate.per_second() * input.key_seconds).round().max(1.0) as u32;
    let mut sizes = trial_sizes(input.probe.size);
    sizes.retain(|size| size.height <= input.max_height);
    if sizes.is_empty() {
        let bounds = Size { width: u32::MAX, height: input.max_height };
        sizes.push(input.probe.size.fit_in(bounds));
    }
    let mut encodes = Vec::new();
    for &shot in &input.shots {
        for &codec in &input.codecs {
            for (place, &size) in sizes.iter().enumerate() {
                let is_largest = place + 1 == sizes.len();
                for crf in trial_crfs(codec).into_iter().skip(usize::from(!is_largest)) {
                    encodes.push(EncodeRequest {
                        shot,
                        size,
                        codec,
                        crf,
                        key_interval,
                        effort: input.effort,
                    });
                }
            }
        }
    }
    task.log(format!("{} shots, {} sizes: {} encodes", input.shots.len(), sizes.len(), encodes.len()));
    Outputs::new().value("encodes", &encodes)?.value("key_interval", key_interval)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncodeInput {
    clip: BlobRef,
    probe: Probe,
    request: EncodeRequest,
    tools: String,
}

pub(super) async fn encode_kind(task: &TaskContext, tools: &Tools) -> Result<Outputs, TaskError> {
    let input: EncodeInput = task.parse()?;
    let ffmpeg = same_ffmpeg(tools, &input.tools).await?;
    let file = task.file(&input.clip).await?;
    let source = Source { path: file.path(), probe: &input.probe };
    let output = task.scratch()?.join("shot.mp4");
    let (reporter, frames) = (task.clone(), input.request.shot.frames().max(1));
    let progress =
        move |done: u64| reporter.progress(done as f64 / frames as f64, format!("{done} of {frames} frames"));
    let encoded = encode(ffmpeg, source, input.request, &output, progress).await.map_err(failed)?;
    let blob = task.put_file(&encoded.path, "video/mp4").await?;
    Outputs::new().blob("file", &blob).value("bytes", encoded.bytes)
}

/// An encode of a shot and its file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ShotEncode {
    pub(super) request: EncodeRequest,
    pub(super) file: BlobRef,
    /// Bytes of coded pictures.
    pub(super) bytes: u64,
}

/// All encodes of one shot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ShotGroup {
    pub(super) shot: Shot,
    pub(super) encodes: Vec<ShotEncode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByShotInput {
    shots: Vec<Shot>,
    encodes: Vec<EncodeRequest>,
    files: Vec<BlobRef>,
    bytes: Vec<u64>,
}

pub(super) async fn by_shot_kind(task: &TaskContext, _tools: &Tools) -> Result<Outputs, TaskError> {
    let input: ByShotInput = task.parse()?;
    if input.encodes.len() != input.files.len() || input.files.len() != input.bytes.len() {
        return Err(TaskError::Permanent(format!(
            "{} encodes have {} files; run the encodes again",
            input.encodes.len(),
            input.files.len()
        )));
    }
    let mut groups: Vec<ShotGroup> =
        input.shots.iter().map(|&shot| ShotGroup { shot, encodes: Vec::new() }).collect();
    for ((request, file), bytes) in input.encodes.into_iter().zip(input.files).zip(input.bytes) {
        let group = groups.iter_mut().find(|group| group.shot == request.shot);
        let group = group.ok_or_else(|| TaskError::Permanent("an encode is of no known shot".to_owned()))?;
        group.encodes.push(ShotEncode { request, file, bytes });
    }
    Outputs::new().value("groups", &groups)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasureInput {
    clip: BlobRef,
    probe: Probe,
    group: ShotGroup,
    tools: String,
    /// The text of a model of VMAF.
    #[serde(default)]
    model: Option<BlobRef>,
}

/// The scores of one encode of a shot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ShotScores {
    pub(super) frames: u64,
    /// PSNR over all planes, in dB; [`LOSSLESS_DB`] for a lossless shot.
    pub(super) psnr: f64,
    /// SSIM over all planes, 0 to 1.
    pub(super) ssim: f64,
    /// Mean VMAF, 0 to 100; absent where there was no model.
    #[serde(default)]
    pub(super) vmaf: Option<f64>,
}

pub(super) async fn measure_kind(task: &TaskContext, tools: &Tools) -> Result<Outputs, TaskError> {
    let input: MeasureInput = task.parse()?;
    let ffmpeg = same_ffmpeg(tools, &input.tools).await?;
    let clip = task.file(&input.clip).await?;
    let source = Source { path: clip.path(), probe: &input.probe };
    let mut files = Vec::with_capacity(input.group.encodes.len());
    for encode in &input.group.encodes {
        files.push(task.file(&encode.file).await?);
    }
    let models = match &input.model {
        Some(blob) => {
            let text = task.file(blob).await?;
            let text = std::fs::read_to_string(text.path())
                .map_err(|error| failed(crate::Error::io(text.path(), error)))?;
            let options = ModelOptions { name: Some(VMAF.to_owned()), ..ModelOptions::default() };
            vec![Model::parse(&text, &options).map_err(|error| failed(error.into()))?]
        }
        None => Vec::new(),
    };
    let mut scores = Vec::with_capacity(files.len());
    // Some decoders at once share the decoding of the source; more would only wait for each other.
    for (done, some) in files.chunks(AT_ONCE).enumerate() {
        task.progress(
            (done * AT_ONCE) as f64 / files.len() as f64,
            format!("{} of {}", done * AT_ONCE, files.len()),
        );
        let paths: Vec<PathBuf> = some.iter().map(|file| file.path().to_owned()).collect();
        for measured in measure(ffmpeg, source, input.group.shot, &paths, &models).await.map_err(failed)? {
            let score = |name: &str| {
                measured
                    .scores
                    .clip(name)
                    .ok_or_else(|| TaskError::Permanent(format!("there is no score `{name}`")))
            };
            scores.push(ShotScores {
                frames: measured.frames,
                psnr: score("psnr_avg")?.min(LOSSLESS_DB),
                ssim: score("ssim_all")?,
                vmaf: if models.is_empty() { None } else { Some(score(VMAF)?) },
            });
        }
    }
    Outputs::new().value("scores", &scores)
}

/// The name of VMAF's column.
const VMAF: &str = "vmaf";

/// Encodes measured in one pass over the source: each needs a decoder process and a frame in memory.
const AT_ONCE: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AudioInput {
    clip: BlobRef,
    probe: Probe,
    tools: String,
}

pub(super) async fn audio_kind(task: &TaskContext, tools: &Tools) -> Result<Outputs, TaskError> {
    let input: AudioInput = task.parse()?;
    let ffmpeg = same_ffmpeg(tools, &input.tools).await?;
    let file = task.file(&input.clip).await?;
    let source = Source { path: file.path(), probe: &input.probe };
    let output = task.scratch()?.join("audio.mp4");
    let mut tracks = Vec::new();
    if let Some(encoded) = encode_audio(ffmpeg, source, &output).await.map_err(failed)? {
        tracks.push(task.put_file(&encoded.path, "audio/mp4").await?);
    } else {
        task.log("the clip has no sound");
    }
    Outputs::new().value("tracks", &tracks)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PackageInput {
    rate: Rate,
    shots: Vec<Shot>,
    key_interval: u32,
    segment_seconds: f64,
    rungs: Vec<RungFiles>,
    audio: Vec<BlobRef>,
}

/// A rung and the files of its shots, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RungFiles {
    pub(super) name: String,
    pub(super) size: Size,
    pub(super) files: Vec<BlobRef>,
}

/// A file of a package.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PackagedFile {
    /// Its path in the package, with `/`.
    pub path: String,
    /// Its bytes.
    pub file: BlobRef,
}

pub(super) async fn package_kind(task: &TaskContext, _tools: &Tools) -> Result<Outputs, TaskError> {
    let input: PackageInput = task.parse()?;
    let mut held = Vec::new(); // copies from a remote store stay while they are read
    let mut rungs = Vec::with_capacity(input.rungs.len());
    for rung in &input.rungs {
        let mut files = Vec::with_capacity(rung.files.len());
        for blob in &rung.files {
            let file = task.file(blob).await?;
            files.push(file.path().to_owned());
            held.push(file);
        }
        rungs.push(Rung { name: rung.name.clone(), size: rung.size, files });
    }
    let audio = match input.audio.first() {
        Some(blob) => {
            let file = task.file(blob).await?;
            let path = file.path().to_owned();
            held.push(file);
            Some(path)
        }
        None => None,
    };
    let request = PackageRequest {
        rate: input.rate,
        shots: input.shots,
        key_interval: input.key_interval,
        segment_seconds: input.segment_seconds,
        rungs,
        audio,
    };
    let output = task.scratch()?.join("package");
    let root = output.clone();
    let (made, paths) = task
        .compute(move || {
            let made = package(&request, &root).map_err(failed)?;
            Ok((made, files_under(&root).map_err(|error| TaskError::Retryable(error.to_string()))?))
        })
        .await?;
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let file = task.put_file(&output.join(&path), media_type(&path)).await?;
        files.push(PackagedFile { path: path.to_string_lossy().into_owned(), file });
    }
    drop(held);
    Outputs::new().value("package", &made)?.value("files", &files)
}

/// Every file under `root`, as paths from it, in order.
fn files_under(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut open = vec![PathBuf::new()];
    let mut files = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(root.join(&directory))? {
            let entry = entry?;
            let path = directory.join(entry.file_name());
            if entry.file_type()?.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

/// The media types that players expect of HLS (RFC 8216, section 10) and of fragmented MP4.
fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("m3u8") => "application/vnd.apple.mpegurl",
        Some("m4s") => "video/iso.segment",
        _ => "video/mp4",
    }
}
