//! Comparing renditions with their reference, whatever containers, sizes and rates they come in.
//!
//! Before anything is scored the clips are brought together, and what was done is told: a rendition of another rate is
//! converted to the reference's, one of another size scaled to it (bicubic, as a player would show it), another pixel format
//! converted. Then the first frames of each are laid beside the reference's ([`align`]): a rendition that begins some frames
//! late or early is scored against the pictures that it shows, because a score against others would say nothing.
//!
//! The reference is decoded once for all renditions. Every decoder is read in step, so memory does not grow with the clips.

mod sheet;

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_frames::{Alignment, Format, Frame, FrameMetric, Print, Psnr, Rate, Reader, Shot, Ssim, align};
use backlot_vmaf::{Ladder, Model, Settings};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    ffmpeg::Ffmpeg,
    measure::model_columns,
    plan::Size,
    probe::{Probe, ProbeOptions, Scan, probe},
    source::{Decoder, Layout, Source, frame_reader, on_a_thread},
};

pub use sheet::worst_frames;

/// Prints are made of pictures of this size: four samples across and down for each cell of the grid.
const PRINT_SIZE: Size = Size { width: 160, height: 96 };
/// Frames at the start of each clip that are laid beside each other. A minute is enough to tell; more costs time.
const PRINTED_FRAMES: u64 = 1500;
/// Above this mean difference of the prints, in eight-bit levels, the pictures have little to do with each other.
const ANOTHER_PICTURE: f64 = 12.0;
/// Rates that differ by less than this share are one rate: containers round, and 24 frames told as 23.976 are the same frames.
const SAME_RATE: f64 = 2e-3;
/// The worst frames that are told.
const WORST: usize = 3;
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

/// A clip and its probe at the rate that is compared at.
#[derive(Clone, Debug)]
pub struct Prepared {
    path: PathBuf,
    own_rate: Rate,
    probe: Probe,
}

impl Prepared {
    pub(crate) fn source(&self) -> Source<'_> {
        Source { path: &self.path, probe: &self.probe }
    }

    /// What its probe said.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    fn clip(&self) -> Clip {
        Clip {
            path: self.path.clone(),
            size: self.probe.size,
            rate: self.own_rate,
            frames: self.probe.frames,
            pixel_format: self.probe.pixel_format.clone(),
        }
    }
}

/// Probes a reference. Where its frames are not evenly spaced they are made so.
pub async fn prepare_reference(ffmpeg: &Ffmpeg, path: &Path, fps: Option<Rate>) -> Result<Prepared, Error> {
    let own = probe(ffmpeg, path, ProbeOptions::default()).await?;
    let fps = fps.or(own.variable_rate.then_some(own.rate));
    prepare(ffmpeg, path, own, fps).await
}

/// Probes a rendition and brings it to the reference's rate.
pub async fn prepare_rendition(
    ffmpeg: &Ffmpeg,
    path: &Path,
    reference: &Prepared,
) -> Result<Prepared, Error> {
    let own = probe(ffmpeg, path, ProbeOptions::default()).await?;
    let wanted = reference.probe.rate;
    let is_other = own.variable_rate || (own.rate.per_second() / wanted.per_second() - 1.0).abs() > SAME_RATE;
    prepare(ffmpeg, path, own, is_other.then_some(wanted)).await
}

async fn prepare(ffmpeg: &Ffmpeg, path: &Path, own: Probe, fps: Option<Rate>) -> Result<Prepared, Error> {
    let own_rate = own.rate;
    let probe = match fps {
        Some(fps) => probe(ffmpeg, path, ProbeOptions { fps: Some(fps) }).await?,
        None => own,
    };
    Ok(Prepared { path: path.to_owned(), own_rate, probe })
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
    let (running, pipes): (Vec<_>, Vec<_>) =
        decoders.into_iter().map(|decoder| (decoder.running, decoder.pipe)).unzip();
    let shown: Vec<(u64, u64)> =
        pairings.iter().map(|pairing| (pairing.first_frame, pairing.shown.frames())).collect();
    let paths: Vec<PathBuf> = renditions.iter().map(|rendition| rendition.path.clone()).collect();
    let models = options.models.clone();
    let scored = on_a_thread(move || score(pipes, &shown, &paths, &models, progress)).await;
    let scored = match scored {
        Ok(scored) => scored,
        // A decoder's own word comes first; one that only met a closed pipe has nothing to say.
        Err(error) => {
            for running in running {
                match running.finish().await {
                    Ok(()) | Err(Error::Child { .. }) => {}
                    Err(cause) => return Err(cause),
                }
            }
            return Err(error);
        }
    };
    for running in running {
        running.finish().await?;
    }
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

/// Which frames of a rendition meet which of the reference.
struct Pairing {
    offset: i64,
    first_frame: u64,
    /// The frames of the rendition that are compared, from the first on.
    shown: Shot,
    notes: Vec<String>,
}

impl Pairing {
    fn new(
        reference: &Prepared,
        rendition: &Prepared,
        found: Option<Alignment>,
        max_offset: usize,
    ) -> Result<Self, Error> {
        let offset = found.map_or(0, |found| found.offset);
        let (late, early) = (offset.max(0).unsigned_abs(), offset.min(0).unsigned_abs());
        let (own, other) = (reference.probe.frames, rendition.probe.frames);
        let common = own.saturating_sub(early).min(other.saturating_sub(late));
        if common == 0 {
            return Err(Error::NothingInCommon { path: rendition.path.clone() });
        }
        let mut notes = Vec::new();
        if let Some(found) = found {
            let frames = offset.unsigned_abs();
            let (word, plural) =
                (if offset > 0 { "later" } else { "earlier" }, if frames == 1 { "" } else { "s" });
            if offset != 0 {
                notes.push(format!(
                    "begins {frames} frame{plural} {word} than the reference; scored aligned (mean difference of the luma \
                     {:.2} levels, {:.2} without)",
                    found.difference, found.unshifted
                ));
            }
            if frames == max_offset as u64 && max_offset > 0 {
                notes.push("may lie farther off than was looked for; raise --max-offset".to_owned());
            }
            if found.difference > ANOTHER_PICTURE {
                notes.push(format!(
                    "looks little like the reference (mean difference of the luma {:.1} levels); is it the same title, uncropped?",
                    found.difference
                ));
            }
        }
        notes.extend(converted(reference, rendition));
        if own - early != other - late {
            notes.push(format!(
                "has {other} frames, the reference {own}; the {common} that both show are compared"
            ));
        }
        Ok(Self { offset, first_frame: early, shown: Shot { start: late, end: late + common }, notes })
    }
}

/// What was done to a rendition, and to the reference for all of them.
fn converted(reference: &Prepared, rendition: &Prepared) -> Vec<String> {
    let mut notes = Vec::new();
    let (own, other) = (&reference.probe, &rendition.probe);
    if own.size != other.size {
        notes.push(format!("scaled from {} to {}, bicubic", other.size, own.size));
    }
    if let Some(fps) = other.converted_to {
        notes.push(format!(
            "converted from {:.3} to {:.3} frames per second",
            rendition.own_rate.per_second(),
            fps.per_second()
        ));
    }
    if other.scan == Scan::Interlaced {
        notes.push("deinterlaced".to_owned());
    }
    if own.pixel_format != other.pixel_format {
        notes.push(format!(
            "compared as {}: its own pixel format is {}, the reference's {}",
            reference.source().pixel_format(Layout::Reference),
            other.pixel_format,
            own.pixel_format
        ));
    }
    notes
}

/// The prints of a clip's first frames.
async fn prints(ffmpeg: &Ffmpeg, source: Source<'_>) -> Result<Vec<Print>, Error> {
    let shot = Shot { start: 0, end: source.probe.frames.min(PRINTED_FRAMES) };
    let decoder = Decoder::start(source.job("aligning", shot, PRINT_SIZE, Layout::Eight), ffmpeg)?;
    let pipe = decoder.pipe;
    let read = on_a_thread(move || -> Result<Vec<Print>, Error> {
        let mut reader = frame_reader(pipe)?;
        let mut frame = Frame::black(reader.header().format);
        let mut prints = Vec::new();
        while reader.read_frame_into(&mut frame)? {
            prints.push(Print::of(&frame));
        }
        Ok(prints)
    });
    let prints = read.await;
    decoder.running.finish().await?;
    prints
}

/// Renditions that meet the same frames of the reference, with the metrics at work: what VMAF needs to know of the reference
/// is computed once for all of them.
struct Group {
    /// Places among all renditions.
    members: Vec<usize>,
    first_frame: u64,
    frames: u64,
    vmaf: Option<Ladder>,
    /// PSNR and SSIM, by member.
    simple: Vec<Vec<Box<dyn FrameMetric>>>,
}

impl Group {
    fn push(&mut self, reference: &Arc<Frame>, all: &[Arc<Frame>]) -> Result<(), Error> {
        let own: Vec<Arc<Frame>> = self.members.iter().map(|&place| Arc::clone(&all[place])).collect();
        for (metrics, distorted) in self.simple.iter_mut().zip(&own) {
            for metric in metrics {
                metric.push(reference, distorted)?;
            }
        }
        match &mut self.vmaf {
            Some(vmaf) => Ok(vmaf.push(Arc::clone(reference), own)?),
            None => Ok(()),
        }
    }

    /// The scores of each member, by its place.
    fn finish(mut self, models: &[Model]) -> Result<Vec<(usize, Vec<Score>)>, Error> {
        let mut scores: Vec<Vec<Score>> = vec![Vec::new(); self.members.len()];
        if let Some(vmaf) = self.vmaf {
            for (scores, report) in scores.iter_mut().zip(vmaf.finish()?) {
                scores.extend(
                    model_columns(&report, models).map(|column| Score::of(&column.name, column.frames)),
                );
            }
        }
        for (scores, metrics) in scores.iter_mut().zip(&mut self.simple) {
            for metric in metrics {
                for column in metric.finish()?.columns {
                    // A lossless frame has no end of PSNR, which JSON cannot say.
                    let frames = column.frames.into_iter().map(|score| score.min(LOSSLESS_DB)).collect();
                    scores.push(Score::of(&column.name, frames));
                }
            }
        }
        Ok(self.members.into_iter().zip(scores).collect())
    }
}

/// The groups of renditions, each of which is `(first_frame, frames)`.
fn groups(shown: &[(u64, u64)], format: Format, models: &[Model]) -> Result<Vec<Group>, Error> {
    let mut groups: Vec<Group> = Vec::new();
    for (place, &(first_frame, frames)) in shown.iter().enumerate() {
        let metrics: Vec<Box<dyn FrameMetric>> =
            vec![Box::new(Psnr::new(format)), Box::new(Ssim::new(format)?)];
        match groups.iter_mut().find(|group| (group.first_frame, group.frames) == (first_frame, frames)) {
            Some(group) => {
                group.members.push(place);
                group.simple.push(metrics);
            }
            None => groups.push(Group {
                members: vec![place],
                first_frame,
                frames,
                vmaf: None,
                simple: vec![metrics],
            }),
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = NonZeroUsize::new(cores / groups.len().max(1)).unwrap_or(NonZeroUsize::MIN);
    for group in &mut groups {
        if let Some(members) = NonZeroUsize::new(group.members.len()).filter(|_| !models.is_empty()) {
            let settings = Settings { threads, ..Settings::default() };
            group.vmaf = Some(Ladder::new(models, &[], format, settings, members)?);
        }
    }
    Ok(groups)
}

/// The PSNR of a lossless frame.
const LOSSLESS_DB: f64 = 200.0;

impl Score {
    fn of(name: &str, frames: Vec<f64>) -> Self {
        let count = frames.len().max(1) as f64;
        let mut sorted = frames.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted.get((share * (sorted.len().max(1) - 1) as f64) as usize).copied();
        Self {
            name: name.to_owned(),
            mean: frames.iter().sum::<f64>() / count,
            harmonic_mean: count / frames.iter().map(|score| 1.0 / (score + 1.0)).sum::<f64>() - 1.0,
            min: at(0.0).unwrap_or(0.0),
            percentile_5: at(0.05).unwrap_or(0.0),
            frames,
        }
    }
}

/// Reads all pipes in step, the reference first. `shown` says which frame of the reference each rendition begins at, and how
/// many it shows. Gives the scores of each rendition.
fn score(
    pipes: Vec<File>,
    shown: &[(u64, u64)],
    paths: &[PathBuf],
    models: &[Model],
    mut progress: impl FnMut(u64),
) -> Result<Vec<Vec<Score>>, Error> {
    let mut readers = pipes.into_iter().map(frame_reader).collect::<Result<Vec<_>, _>>()?;
    let (reference_reader, readers) =
        readers.split_first_mut().expect("invariant: the reference is always read");
    let format = reference_reader.header().format;
    let mut groups = groups(shown, format, models)?;
    let mut reference = Arc::new(Frame::black(format));
    let mut frames: Vec<Arc<Frame>> = readers.iter().map(|_| Arc::new(Frame::black(format))).collect();
    let mut index = 0;
    while read_into(reference_reader, &mut reference)? {
        for group in &mut groups {
            if !(group.first_frame..group.first_frame + group.frames).contains(&index) {
                continue;
            }
            for &place in &group.members {
                if !read_into(&mut readers[place], &mut frames[place])? {
                    let (what, expected) = (paths[place].display().to_string(), group.frames);
                    return Err(Error::FrameCount { what, expected, got: index - group.first_frame });
                }
            }
            group.push(&reference, &frames)?;
        }
        index += 1;
        progress(index);
    }
    // Whoever still has frames is read to the end, so that no decoder meets a closed pipe.
    for reader in readers {
        while reader.read_frame()?.is_some() {}
    }
    let mut scores = vec![Vec::new(); shown.len()];
    for group in groups {
        for (place, own) in group.finish(models)? {
            scores[place] = own;
        }
    }
    Ok(scores)
}

/// The next frame; a frame that VMAF still holds is left to it.
fn read_into<R: std::io::Read>(reader: &mut Reader<R>, frame: &mut Arc<Frame>) -> Result<bool, Error> {
    if Arc::get_mut(frame).is_none() {
        *frame = Arc::new(Frame::black(reader.header().format));
    }
    let frame = Arc::get_mut(frame).expect("invariant: nobody else holds it");
    Ok(reader.read_frame_into(frame)?)
}

/// The frames of the reference with the least scores, at least `apart` from each other.
fn worst(score: &Score, first_frame: u64, apart: u64) -> Vec<u64> {
    let mut order: Vec<usize> = (0..score.frames.len()).collect();
    order.sort_by(|&a, &b| score.frames[a].total_cmp(&score.frames[b]).then(a.cmp(&b)));
    let mut worst: Vec<u64> = Vec::new();
    for index in order {
        let frame = first_frame + index as u64;
        if worst.iter().all(|other| other.abs_diff(frame) >= apart) {
            worst.push(frame);
        }
        if worst.len() == WORST {
            break;
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_pooled() {
        let score = Score::of("vmaf", (0..100).map(f64::from).collect());
        assert_eq!((score.min, score.percentile_5, score.mean), (0.0, 4.0, 49.5));
        let harmonic = 100.0 / (1..=100).map(|x| 1.0 / f64::from(x)).sum::<f64>() - 1.0;
        assert!((score.harmonic_mean - harmonic).abs() < 1e-12);
    }

    #[test]
    fn the_worst_frames_are_not_all_of_one_moment() {
        let mut frames = vec![90.0; 100];
        for (index, score) in [(40, 10.0), (41, 11.0), (42, 12.0), (80, 20.0), (5, 30.0)] {
            frames[index] = score;
        }
        assert_eq!(worst(&Score::of("vmaf", frames), 3, 25), [43, 83, 8]);
        assert_eq!(worst(&Score::of("vmaf", vec![50.0]), 0, 25), [0]);
    }
}
