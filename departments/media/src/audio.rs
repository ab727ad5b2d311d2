//! The one audio track that all rungs share.
//!
//! Sound is encoded once, in step with the pictures: its zero is the moment of the first frame, what comes before is
//! dropped, gaps and a missing beginning or end are silence, and its length is exactly that of the video. The encoder's
//! own delay (1024 samples for AAC) is told to players by an edit list, so it neither shifts nor lengthens anything.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    encode::sync,
    ffmpeg::{Ffmpeg, Job},
    mp4,
    partial::Partial,
    source::Source,
};

/// Samples per second of the encoded track.
pub const SAMPLE_RATE: u32 = 48_000;
/// Stereo AAC-LC is transparent to most ears at this rate.
const BIT_RATE: &str = "128k";

/// An encoded audio track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncodedAudio {
    /// The file, an MP4 with one AAC track.
    pub path: PathBuf,
    /// Samples to be heard, at [`SAMPLE_RATE`].
    pub samples: u64,
    /// Bytes of coded sound, without the container.
    pub bytes: u64,
}

/// Encodes the first audio stream as stereo AAC to an MP4 at `output`, which appears only when complete. `None` when the
/// clip has no audio stream.
pub async fn encode_audio(
    ffmpeg: &Ffmpeg,
    source: Source<'_>,
    output: &Path,
) -> Result<Option<EncodedAudio>, Error> {
    let probe = source.probe;
    if probe.audio.is_empty() {
        return Ok(None);
    }
    probe.require_encodable(source.path)?;
    ffmpeg.require_encoder("aac")?;
    let samples = heard_samples(source);
    // Timestamps stay the container's, so that sound and pictures are measured from the same zero.
    let filters = format!(
        "asetpts=PTS-({start:.6})/TB,aformat=sample_fmts=fltp:channel_layouts=stereo,aresample={SAMPLE_RATE}:async=1:first_pts=0,apad,atrim=end_sample={samples}",
        start = probe.start
    );
    let partial = Partial::new(output);
    Job::new("encoding the audio", source.path, "warning")
        .args(["-xerror", "-threads", "1", "-copyts"])
        .input(source.path)
        .args(["-map", "0:a:0", "-vn", "-sn", "-dn", "-filter_threads", "1", "-af", &filters])
        .args([
            "-c:a",
            "aac",
            "-b:a",
            BIT_RATE,
            "-threads",
            "1",
            "-map_metadata",
            "-1",
            "-map_chapters",
            "-1",
        ])
        .args(["-fflags", "+bitexact", "-flags:a", "+bitexact", "-f", "mp4"])
        .output(partial.path())
        .run(ffmpeg, (), ())
        .await?;
    let track = mp4::read_track(partial.path())?;
    let decoded: u64 = track.samples.iter().map(|sample| u64::from(sample.duration)).sum();
    let skipped = u64::try_from(track.skipped).unwrap_or(u64::MAX);
    if track.timescale != SAMPLE_RATE || decoded < samples.saturating_add(skipped) {
        let detail = format!(
            "{decoded} audio samples were encoded, of which {skipped} are skipped, instead of {samples}"
        );
        return Err(Error::Mp4 { path: output.to_owned(), detail });
    }
    sync(partial.path())?;
    partial.complete()?;
    let bytes = track.samples.iter().map(|sample| u64::from(sample.size)).sum();
    Ok(Some(EncodedAudio { path: output.to_owned(), samples, bytes }))
}

/// The video's duration in audio samples, to the nearest.
fn heard_samples(source: Source<'_>) -> u64 {
    let rate = source.probe.rate;
    let exact = u128::from(source.probe.frames) * u128::from(rate.den()) * u128::from(SAMPLE_RATE);
    ((exact + u128::from(rate.num()) / 2) / u128::from(rate.num())) as u64
}
