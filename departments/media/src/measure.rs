//! Measuring encodes of a shot against the source.
//!
//! The reference is decoded once, however many encodes of it are measured: one decoder per file, all read in step on
//! one thread, a frame of each in memory. Encodes are scaled up to the source's size, as a player would show them.
//! PSNR and SSIM are computed on that thread; VMAF, when models are given, on one of its own for each encode, meanwhile.

use std::{fs::File, num::NonZeroUsize, path::PathBuf, sync::Arc};

use backlot_frames::{ClipScores, Column, Format, Frame, FrameMetric, Pooling, Psnr, Reader, Shot, Ssim};
use backlot_vmaf::{Model, Scorer, Settings};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    ffmpeg::{Ffmpeg, Job},
    source::{Decoder, Layout, Source, frame_reader, on_a_thread, scale},
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
    let (running, pipes): (Vec<_>, Vec<_>) =
        decoders.into_iter().map(|decoder| (decoder.running, decoder.pipe)).unzip();
    let models = models.to_vec();
    let compared = on_a_thread(move || compare(pipes, &models)).await;
    let paths = std::iter::once(source.path.to_owned()).chain(encodes.iter().cloned());
    let (counts, scores) = match compared {
        Ok(compared) => compared,
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

/// The metrics that one encode is measured with.
struct Metrics {
    simple: Vec<Box<dyn FrameMetric>>,
    vmaf: Option<Scorer>,
}

impl Metrics {
    fn new(format: Format, models: &[Model]) -> Result<Self, Error> {
        // The decoders and the other encodes of the shot want the other cores.
        let settings = Settings { threads: NonZeroUsize::MIN, ..Settings::default() };
        let vmaf = if models.is_empty() { None } else { Some(Scorer::new(models, &[], format, settings)?) };
        Ok(Self { simple: vec![Box::new(Psnr::new(format)), Box::new(Ssim::new(format)?)], vmaf })
    }

    fn push(&mut self, reference: &Arc<Frame>, distorted: &Arc<Frame>) -> Result<(), Error> {
        if let Some(vmaf) = &mut self.vmaf {
            vmaf.push(Arc::clone(reference), Arc::clone(distorted))?;
        }
        for metric in &mut self.simple {
            metric.push(reference, distorted)?;
        }
        Ok(())
    }

    fn finish(mut self, models: &[Model]) -> Result<ClipScores, Error> {
        let mut all = ClipScores::default();
        for metric in &mut self.simple {
            all.extend(metric.finish()?);
        }
        let Some(vmaf) = self.vmaf else { return Ok(all) };
        let report = vmaf.finish()?;
        for name in models.iter().map(Model::name) {
            if let (Some(column), Some(pooled)) = (report.column(name), report.pooled(name)) {
                let frames = column.frames.iter().copied().flatten().collect();
                let (name, clip) = (name.to_owned(), pooled.mean);
                all.columns.push(Column { name, clip, pooling: Pooling::Mean, frames });
            }
        }
        Ok(all)
    }
}

/// Reads all pipes in step, the reference first. Returns the frames that each had, and the scores of all but the first.
fn compare(pipes: Vec<File>, models: &[Model]) -> Result<(Vec<u64>, Vec<ClipScores>), Error> {
    let mut readers = pipes.into_iter().map(frame_reader).collect::<Result<Vec<_>, _>>()?;
    let format = readers[0].header().format;
    let mut metrics =
        readers[1..].iter().map(|_| Metrics::new(format, models)).collect::<Result<Vec<_>, _>>()?;
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
        for (metrics, distorted) in metrics.iter_mut().zip(distorted) {
            metrics.push(reference, distorted)?;
        }
    }
    for reader in &mut readers {
        while reader.read_frame()?.is_some() {}
    }
    let counts = readers.iter().map(Reader::frames_read).collect();
    let scores = metrics.into_iter().map(|metrics| metrics.finish(models)).collect::<Result<Vec<_>, _>>()?;
    Ok((counts, scores))
}
