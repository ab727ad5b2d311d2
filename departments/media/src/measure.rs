//! Measuring encodes of a shot against the source.
//!
//! The reference is decoded once, however many encodes of it are measured: one decoder per file, all read in step on
//! one thread, a frame of each in memory. Encodes are scaled up to the source's size, as a player would show them.
//! Metrics are [`FrameMetric`]s, so that another stands beside PSNR and SSIM by being added to one list.

use std::{fs::File, path::PathBuf};

use backlot_frames::{ClipScores, Format, Frame, FrameMetric, Psnr, Reader, Shot, Ssim};
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
    /// A column per score and a value per frame: see [`Psnr`] and [`Ssim`].
    pub scores: ClipScores,
}

/// Compares each of `encodes` (files with exactly the frames of `shot`) with the source, at the source's size, in 4:2:0
/// at its bit depth (ten bits where it has more than eight).
pub async fn measure(
    ffmpeg: &Ffmpeg,
    source: Source<'_>,
    shot: Shot,
    encodes: &[PathBuf],
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
    let compared = on_a_thread(move || compare(pipes)).await;
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

/// The metrics that an encode is measured with.
fn metrics(format: Format) -> Result<Vec<Box<dyn FrameMetric>>, Error> {
    Ok(vec![Box::new(Psnr::new(format)), Box::new(Ssim::new(format)?)])
}

/// Reads all pipes in step, the reference first. Returns the frames that each had, and the scores of all but the first.
fn compare(pipes: Vec<File>) -> Result<(Vec<u64>, Vec<ClipScores>), Error> {
    let mut readers = pipes.into_iter().map(frame_reader).collect::<Result<Vec<_>, _>>()?;
    let format = readers[0].header().format;
    let mut metrics = readers[1..].iter().map(|_| metrics(format)).collect::<Result<Vec<_>, _>>()?;
    let mut frames: Vec<Frame> = readers.iter().map(|reader| Frame::black(reader.header().format)).collect();
    loop {
        let mut got = 0;
        for (reader, frame) in readers.iter_mut().zip(&mut frames) {
            got += usize::from(reader.read_frame_into(frame)?);
        }
        if got < frames.len() {
            // The counts tell whether all ended together.
            break;
        }
        let (reference, distorted) = frames.split_first().expect("invariant: the reference is always read");
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
    let scores = metrics.iter_mut().map(|metrics| {
        let mut all = ClipScores::default();
        for metric in metrics {
            all.extend(metric.finish()?);
        }
        Ok(all)
    });
    let scores = scores.collect::<Result<Vec<_>, Error>>()?;
    Ok((counts, scores))
}
