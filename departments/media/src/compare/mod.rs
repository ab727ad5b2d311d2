//! Comparing renditions with their reference, whatever containers, sizes and rates they come in.
//!
//! Before anything is scored the clips are brought together, and what was done is told: a rendition of another rate is
//! converted to the reference's, one of another size scaled to it (bicubic, as a player would show it), another pixel format
//! converted. Then the first frames of each are laid beside the reference's ([`align`]): a rendition that begins some frames
//! late or early is scored against the pictures that it shows, because a score against others would say nothing.
//!
//! The reference is decoded once for all renditions. Every decoder is read in step, so memory does not grow with the clips.

mod chart;
mod models;
mod pairing;
mod scoring;
mod sheet;

use std::path::PathBuf;

use backlot_frames::{Rate, align};
use backlot_vmaf::Model;
use serde::{Deserialize, Serialize};

use self::pairing::{Pairing, prints};
use self::scoring::{score, worst};
use crate::{
    Error,
    ffmpeg::Ffmpeg,
    plan::Size,
    source::{Decoder, Layout, read_all},
};

pub(crate) use chart::figure;
pub(crate) use models::chosen_models;
pub use pairing::{Prepared, prepare_reference, prepare_rendition};
pub use sheet::worst_frames;

/// The most renditions of one comparison: each has a decoder process and a scorer.
pub const MAX_RENDITIONS: usize = 32;

/// How to compare.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// Frames that a rendition is looked for before and after its place; 0 takes all as they come.
    pub max_offset: usize,
    /// Models of VMAF; with none, PSNR and SSIM are all that is measured.
    pub models: Vec<Model>,
}

/// A clip of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// The file.
    pub path: PathBuf,
    /// Size of its pictures.
    pub size: Size,
    /// Its own frame rate.
    pub rate: Rate,
    /// Frames, at the rate that is compared at.
    pub frames: u64,
    /// ffmpeg's name of its pixel format.
    pub pixel_format: String,
}

/// A score over the clip and by frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Such as `vmaf`, `psnr_y`, `ssim_all`.
    pub name: String,
    /// Mean of the frames' scores.
    pub mean: f64,
    /// Their harmonic mean, as libvmaf pools it.
    pub harmonic_mean: f64,
    /// The least.
    pub min: f64,
    /// Below this lie 5 percent of the frames.
    pub percentile_5: f64,
    /// By frame; the first is that of [`Rendition::first_frame`].
    pub frames: Vec<f64>,
}

/// What was found of a rendition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rendition {
    /// What it is.
    #[serde(flatten)]
    pub clip: Clip,
    /// Frame `i` of the reference was compared with its frame `i + offset`.
    pub offset: i64,
    /// The first frame of the reference that was compared.
    pub first_frame: u64,
    /// Frames that were compared.
    pub compared: u64,
    /// What was done to it or is strange about it, a sentence each.
    pub notes: Vec<String>,
    /// VMAF first, where it was measured.
    pub scores: Vec<Score>,
    /// Frames of the reference where it is worst by its first score, the worst first, no two within a second.
    pub worst: Vec<u64>,
}

impl Rendition {
    /// The score called `name`.
    pub fn score(&self, name: &str) -> Option<&Score> {
        self.scores.iter().find(|score| score.name == name)
    }
}

/// Renditions beside their reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What was compared with.
    pub reference: Clip,
    /// In the order that they were given.
    pub renditions: Vec<Rendition>,
}

/// Compares renditions with their reference; `progress` is called with the frames of the reference that are done.
///
/// # Errors
/// Clips that cannot be read, or have no frame in common; pictures that a model does not take.
pub async fn compare(
    ffmpeg: &Ffmpeg,
    reference: &Prepared,
    renditions: &[Prepared],
    options: &CompareOptions,
    progress: impl FnMut(u64) + Send + 'static,
) -> Result<Comparison, Error> {
    let source = reference.source();
    let mut pairings = Vec::with_capacity(renditions.len());
    if options.max_offset > 0 {
        let own = prints(ffmpeg, source).await?;
        for rendition in renditions {
            let other = prints(ffmpeg, rendition.source()).await?;
            let found = align(&own, &other, options.max_offset);
            pairings.push(Pairing::new(reference, rendition, found, options.max_offset)?);
        }
    } else {
        for rendition in renditions {
            pairings.push(Pairing::new(reference, rendition, None, 0)?);
        }
    }

    let size = reference.probe.size;
    let mut decoders = vec![Decoder::start(
        source.job("decoding the reference", source.all(), size, Layout::Reference),
        ffmpeg,
    )?];
    for (rendition, pairing) in renditions.iter().zip(&pairings) {
        let tail = crate::source::scale(size, source.pixel_format(Layout::Reference));
        let job = rendition.source().job_ending_in("decoding a rendition", pairing.shown, &tail);
        decoders.push(Decoder::start(job, ffmpeg)?);
    }
    let shown: Vec<(u64, u64)> =
        pairings.iter().map(|pairing| (pairing.first_frame, pairing.shown.frames())).collect();
    let paths: Vec<PathBuf> = renditions.iter().map(|rendition| rendition.path.clone()).collect();
    let models = options.models.clone();
    let scored = read_all(decoders, move |pipes| score(pipes, &shown, &paths, &models, progress)).await?;
    let second = reference.probe.rate.per_second().round().max(1.0) as u64;
    let found = renditions.iter().zip(pairings).zip(scored);
    let renditions = found.map(|((rendition, pairing), scores)| Rendition {
        clip: rendition.clip(),
        offset: pairing.offset,
        first_frame: pairing.first_frame,
        compared: pairing.shown.frames(),
        notes: pairing.notes,
        worst: scores.first().map_or_else(Vec::new, |score| worst(score, pairing.first_frame, second)),
        scores,
    });
    Ok(Comparison { reference: reference.clip(), renditions: renditions.collect() })
}
