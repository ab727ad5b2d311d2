//! Cutting a clip into shots.

use backlot_frames::{Cut, Shot, ShotDetector, ShotOptions, shots_between};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    ffmpeg::Ffmpeg,
    plan::Size,
    source::{Decoder, Layout, Source, frame_reader, on_a_thread},
};

/// The detector looks at a coarse grid: pictures are scaled down to this in the decoder, which costs less than piping.
const DETECTION_BOUNDS: Size = Size { width: 480, height: 480 };

/// The shots of a clip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shots {
    /// In order, without gap or overlap, over all frames of the clip.
    pub shots: Vec<Shot>,
    /// The cuts between them, with their scores.
    pub cuts: Vec<Cut>,
}

/// Decodes the clip once and finds its shots. `progress` is called with the number of frames seen.
pub async fn detect_shots(
    ffmpeg: &Ffmpeg,
    source: Source<'_>,
    options: ShotOptions,
    mut progress: impl FnMut(u64) + Send + 'static,
) -> Result<Shots, Error> {
    let size = source.probe.size.fit_in(DETECTION_BOUNDS);
    let decoder = Decoder::start(source.job("finding shots", source.all(), size, Layout::Eight), ffmpeg)?;
    let pipe = decoder.pipe;
    let read = on_a_thread(move || -> Result<(Vec<Cut>, u64), Error> {
        let mut reader = frame_reader(pipe)?;
        let mut detector = ShotDetector::new(options);
        let mut cuts = Vec::new();
        while let Some(frame) = reader.read_frame()? {
            cuts.extend(detector.push(&frame)?);
            progress(reader.frames_read());
        }
        cuts.extend(detector.finish());
        Ok((cuts, reader.frames_read()))
    });
    let result = read.await;
    // The decoder's own word on what went wrong comes before the broken pipe it left.
    decoder.running.finish().await?;
    let (cuts, frames) = result?;
    if frames != source.probe.frames {
        let what = source.path.display().to_string();
        return Err(Error::FrameCount { what, expected: source.probe.frames, got: frames });
    }
    Ok(Shots { shots: shots_between(&cuts, frames), cuts })
}
