//! The worst frames of a rendition beside the reference's, as one picture.

use std::path::Path;

use backlot_frames::Shot;

use super::{Prepared, Rendition};
use crate::{
    Error,
    encode::sync,
    ffmpeg::{Ffmpeg, Job},
    partial::Partial,
    source::{SCALE_FLAGS, Source},
};

/// Writes a PNG to `output`, which appears only when it is complete: a row for each of [`Rendition::worst`], the reference on
/// the left, the rendition, scaled to it, on the right. `scratch` is a folder for single frames.
///
/// # Errors
/// Clips that cannot be read any more; a disk that is full.
pub async fn worst_frames(
    ffmpeg: &Ffmpeg,
    reference: &Prepared,
    prepared: &Prepared,
    rendition: &Rendition,
    scratch: &Path,
    output: &Path,
) -> Result<(), Error> {
    let size = reference.probe.size;
    let tail = format!("scale={}:{}:flags={SCALE_FLAGS},format=rgb24", size.width, size.height);
    let mut pictures = Vec::new();
    for (row, &frame) in rendition.worst.iter().enumerate() {
        let other = frame.checked_add_signed(rendition.offset).unwrap_or(0);
        for (side, source, frame) in [("a", reference.source(), frame), ("b", prepared.source(), other)] {
            let picture = scratch.join(format!("{row}{side}.png"));
            still(ffmpeg, source, frame, &tail, &picture).await?;
            pictures.push(picture);
        }
    }
    let rows = rendition.worst.len();
    if rows == 0 {
        return Ok(());
    }
    let mut job = Job::new("drawing the worst frames", &rendition.clip.path, "warning");
    for picture in &pictures {
        job = job.input(picture);
    }
    let mut graph = String::new();
    for row in 0..rows {
        graph += &format!("[{}:v][{}:v]hstack[r{row}];", 2 * row, 2 * row + 1);
    }
    graph.extend((0..rows).map(|row| format!("[r{row}]")));
    // A stack of one is no stack.
    graph += &if rows == 1 { "null[out]".to_owned() } else { format!("vstack=inputs={rows}[out]") };
    let partial = Partial::new(output);
    job.args(["-filter_complex", &graph, "-map", "[out]", "-frames:v", "1", "-c:v", "png"])
        .args(["-f", "image2", "-update", "1"])
        .output(partial.path())
        .run(ffmpeg, (), ())
        .await?;
    sync(partial.path())?;
    partial.complete()
}

async fn still(
    ffmpeg: &Ffmpeg,
    source: Source<'_>,
    frame: u64,
    tail: &str,
    output: &Path,
) -> Result<(), Error> {
    source
        .job_ending_in("reading a frame", Shot { start: frame, end: frame + 1 }, tail)
        .args(["-an", "-frames:v", "1", "-c:v", "png", "-f", "image2", "-update", "1"])
        .output(output)
        .run(ffmpeg, (), ())
        .await?;
    Ok(())
}
