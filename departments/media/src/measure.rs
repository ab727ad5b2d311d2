//! Measuring encodes of a shot against the source.
//!
//! The reference is decoded once, however many encodes of it are measured: one decoder per file, all read in step on
//! one thread, a frame of each in memory. Encodes are scaled up to the source's size, as a player would show them.
//! PSNR and SSIM are computed on that thread; VMAF, when models are given, on threads of its own meanwhile, and what it needs to
//! know of the reference is computed once for all encodes.

use std::{fs::File, num::NonZeroUsize, path::PathBuf, sync::Arc};

use backlot_frames::{ClipScores, Column, Format, Frame, FrameMetric, Pooling, Psnr, Reader, Shot, Ssim};
use backlot_vmaf::{Ladder, Model, Report, Settings};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    ffmpeg::{Ffmpeg, Job},
    source::{Decoder, Layout, Source, frame_reader, read_all, scale},
};

/// The scores of one encode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The measured file.
    pub path: PathBuf,
    /// Frames compared: all of the shot.
    pub frames: u64,
    /// A column per score and a value per frame: see [`Psnr`] and [`Ssim`]; a column for each model, by its name.
    pub scores: ClipScores,
}

/// Compares each of `encodes` (files with exactly the frames of `shot`) with the source, at the source's size, in 4:2:0
/// at its bit depth (ten bits where it has more than eight), with PSNR, SSIM and `models` of VMAF.
pub async fn measure(
    ffmpeg: &Ffmpeg,
    source: Source<'_>,
    shot: Shot,
    encodes: &[PathBuf],
    models: &[Model],
) -> Result<Vec<Measured>, Error> {
    source.check_range(shot)?;
    let size = source.probe.size;
    let mut decoders =
        vec![Decoder::start(source.job("decoding the source", shot, size, Layout::Reference), ffmpeg)?];
    let filters = scale(size, source.pixel_format(Layout::Reference));
    for encode in encodes {
        let job = Job::new("decoding an encode", encode, "warning")
            .args(["-xerror", "-threads", "1"])
            .input(encode)
            .args(["-map", "0:V:0", "-filter_threads", "1", "-fps_mode", "passthrough", "-vf", &filters]);
        decoders.push(Decoder::start(job, ffmpeg)?);
    }
    let models = models.to_vec();
    let (counts, scores) = read_all(decoders, move |pipes| compare(pipes, &models)).await?;
    let paths = std::iter::once(source.path.to_owned()).chain(encodes.iter().cloned());
    for (path, &got) in paths.zip(&counts) {
        if got != shot.frames() {
            return Err(Error::FrameCount { what: path.display().to_string(), expected: shot.frames(), got });
        }
    }
    let measured = encodes.iter().zip(scores);
    Ok(measured
        .map(|(path, scores)| Measured { path: path.clone(), frames: shot.frames(), scores })
        .collect())
}

/// What VMAF measures of all encodes, on this thread and at least one more: this one reads, and measures what is simpler. The
/// decoders want cores too.
fn vmaf(format: Format, models: &[Model], encodes: usize) -> Result<Option<Ladder>, Error> {
    let Some(encodes) = NonZeroUsize::new(encodes).filter(|_| !models.is_empty()) else { return Ok(None) };
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let settings = Settings { threads: cores.min(encodes.saturating_add(1)), ..Settings::default() };
    Ok(Some(Ladder::new(models, &[], format, settings, encodes)?))
}

/// The columns of the models, by their names.
pub(crate) fn model_columns<'a>(
    report: &'a Report,
    models: &'a [Model],
) -> impl Iterator<Item = Column> + 'a {
    models.iter().filter_map(|model| {
        let (column, pooled) = (report.column(model.name())?, report.pooled(model.name())?);
        let frames = column.frames.iter().copied().flatten().collect();
        Some(Column { name: model.name().to_owned(), clip: pooled.mean, pooling: Pooling::Mean, frames })
    })
}

/// Reads all pipes in step, the reference first. Returns the frames that each had, and the scores of all but the first.
fn compare(pipes: Vec<File>, models: &[Model]) -> Result<(Vec<u64>, Vec<ClipScores>), Error> {
    let mut readers = pipes.into_iter().map(frame_reader).collect::<Result<Vec<_>, _>>()?;
    let format = readers[0].header().format;
    let encodes = readers.len() - 1;
    let mut vmaf = vmaf(format, models, encodes)?;
    let mut metrics: Vec<Vec<Box<dyn FrameMetric>>> = Vec::with_capacity(encodes);
    for _ in 0..encodes {
        metrics.push(vec![Box::new(Psnr::new(format)), Box::new(Ssim::new(format)?)]);
    }
    let black = |reader: &Reader<_>| Arc::new(Frame::black(reader.header().format));
    let mut frames: Vec<Arc<Frame>> = readers.iter().map(black).collect();
    loop {
        let mut got = 0;
        for (reader, frame) in readers.iter_mut().zip(&mut frames) {
            // A frame that VMAF still holds is left to it.
            if Arc::get_mut(frame).is_none() {
                *frame = black(reader);
            }
            let frame = Arc::get_mut(frame).expect("invariant: nobody else holds it");
            got += usize::from(reader.read_frame_into(frame)?);
        }
        if got < frames.len() {
            // The counts tell whether all ended together.
            break;
        }
        let (reference, distorted) = frames.split_first().expect("invariant: the reference is always read");
        if let Some(vmaf) = &mut vmaf {
            vmaf.push(Arc::clone(reference), distorted.to_vec())?;
        }
        for (metrics, distorted) in metrics.iter_mut().zip(distorted) {
            for metric in metrics {
                metric.push(reference, distorted)?;
            }
        }
    }
    for reader in &mut readers {
        while reader.read_frame()?.is_some() {}
    }
    let counts = readers.iter().map(Reader::frames_read).collect();
    let mut scores = Vec::with_capacity(encodes);
    for mut own in metrics {
        let mut all = ClipScores::default();
        for metric in &mut own {
            all.extend(metric.finish()?);
        }
        scores.push(all);
    }
    if let Some(vmaf) = vmaf {
        for (scores, report) in scores.iter_mut().zip(vmaf.finish()?) {
            scores.columns.extend(model_columns(&report, models));
        }
    }
    Ok((counts, scores))
}
