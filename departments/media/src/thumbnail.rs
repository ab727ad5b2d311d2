//! One picture per shot, for strips and pages.

use std::path::Path;

use backlot_frames::Shot;

use crate::{
    Error,
    encode::sync,
    ffmpeg::Ffmpeg,
    partial::Partial,
    plan::Size,
    source::{Layout, Source},
};

/// Writes the middle frame of `shot` as a JPEG within `bounds` to `output`, which appears only when complete.
pub async fn thumbnail(
    ffmpeg: &Ffmpeg,
    source: Source<'_>,
    shot: Shot,
    bounds: Size,
    output: &Path,
) -> Result<(), Error> {
    source.check_range(shot)?;
    let middle = shot.start + shot.frames() / 2;
    let size = source.probe.size.fit_in(bounds);
    let partial = Partial::new(output);
    source
        .job("drawing a thumbnail", Shot { start: middle, end: middle + 1 }, size, Layout::Eight)
        .args([
            "-an",
            "-frames:v",
            "1",
            "-c:v",
            "mjpeg",
            "-q:v",
            "4",
            "-strict",
            "unofficial",
            "-threads",
            "1",
        ])
        .args([
            "-map_metadata",
            "-1",
            "-fflags",
            "+bitexact",
            "-flags:v",
            "+bitexact",
            "-f",
            "image2",
            "-update",
            "1",
        ])
        .output(partial.path())
        .run(ffmpeg, (), ())
        .await?;
    if !partial.path().is_file() {
        return Err(Error::FrameCount { what: output.display().to_string(), expected: 1, got: 0 });
    }
    sync(partial.path())?;
    partial.complete()
}
