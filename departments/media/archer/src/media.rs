//! What this crate needs of whoever decodes: a trait, so that splitting, mapping and collecting know no decoder.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use backlot_frames::{Rate, Shot};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Failure, FrameRequest};

/// What functions are told about a clip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// What its user calls it: a file's name.
    pub name: String,
    /// Width of the shown picture in pixels.
    pub width: u32,
    /// Height of the shown picture in pixels.
    pub height: u32,
    /// Frames.
    pub frames: u64,
    /// Frames per second.
    pub rate: Rate,
    /// Length in seconds.
    pub duration: f64,
    /// ffmpeg's name of its pixel format.
    pub pixel_format: String,
    /// Bits per sample.
    pub bit_depth: u32,
    /// Its audio tracks.
    pub audio: Vec<AudioTrack>,
    /// What the decoder itself wants to know again; no business of a function.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub decoder: Value,
}

/// An audio track of a clip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioTrack {
    /// ffmpeg's name of the codec.
    pub codec: String,
    /// Samples per second.
    pub sample_rate: u32,
    /// Channel layout, such as `stereo`.
    pub layout: String,
    /// Length in seconds.
    pub duration: f64,
}

/// Frames that lie in a directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivered {
    /// Width in pixels, after crop and scale.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// ffmpeg's name of the pixel format.
    pub format: String,
    /// The frames' numbers in the clip, ascending, and their files.
    pub files: Vec<(u64, PathBuf)>,
}

/// Loudness of an audio track by EBU R 128.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loudness {
    /// Integrated (programme) loudness in LUFS.
    pub integrated: f64,
    /// Loudness range in LU (EBU Tech 3342).
    pub range: f64,
    /// Maximum true peak in dBTP over all channels.
    pub true_peak: f64,
    /// The largest momentary loudness (0.4 s) in LUFS.
    pub momentary_max: f64,
    /// The largest short-term loudness (3 s) in LUFS.
    pub short_term_max: f64,
}

/// Called with the number of frames seen.
pub type Progress = Box<dyn FnMut(u64) + Send>;

/// Looks into clips.
#[async_trait]
pub trait Media: Send + Sync + 'static {
    /// The decoder's version: part of every task's input, so that one result is never put together from two decoders.
    async fn version(&self) -> Result<String, Failure>;

    /// What the clip is; with `fps` its frame rate is made constant at that. Decodes the whole clip.
    async fn probe(&self, path: &Path, name: &str, fps: Option<Rate>) -> Result<Source, Failure>;

    /// The clip's shots, in order and without gap.
    async fn shots(&self, path: &Path, source: &Source, progress: Progress) -> Result<Vec<Shot>, Failure>;

    /// Lays the frames of `range` that the request wants into `directory`: `000000048.png` is frame 48. Fails unless it got
    /// precisely those frames. The request's `lead` is the caller's business.
    async fn deliver(
        &self,
        path: &Path,
        source: &Source,
        range: Shot,
        request: &FrameRequest,
        directory: &Path,
    ) -> Result<Delivered, Failure>;

    /// The loudness of an audio track, counted from 0.
    async fn loudness(&self, path: &Path, source: &Source, track: u32) -> Result<Loudness, Failure>;
}
