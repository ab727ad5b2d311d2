//! Encoding one shot.
//!
//! The same request makes the same bytes whenever and wherever it runs with the same ffmpeg: one thread, no metadata,
//! nothing that depends on the clock. Key frames stand at the shot's start and then at a fixed distance, whatever the
//! size and quality, so that the shots of all rungs can be cut at the same frames and stitched in any combination.

use std::{
    fs,
    path::{Path, PathBuf},
};

use backlot_frames::Shot;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    ffmpeg::{Ffmpeg, Job, LineSink},
    mp4,
    partial::Partial,
    plan::{MIN_SIDE, Size},
    probe::Colour,
    source::{Layout, Source},
};

/// A video codec, by its encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// H.264 by x264.
    X264,
    /// H.265 by x265.
    X265,
    /// AV1 by SVT-AV1.
    SvtAv1,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::X264, Self::X265, Self::SvtAv1];

    /// Its name in commands, reports and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::X264 => "x264",
            Self::X265 => "x265",
            Self::SvtAv1 => "svt_av1",
        }
    }

    /// ffmpeg's name of the encoder.
    pub fn encoder(self) -> &'static str {
        match self {
            Self::X264 => "libx264",
            Self::X265 => "libx265",
            Self::SvtAv1 => "libsvtav1",
        }
    }

    /// The largest constant rate factor.
    pub fn max_crf(self) -> u32 {
        match self {
            Self::X264 | Self::X265 => 51,
            Self::SvtAv1 => 63,
        }
    }
}

/// How much time an encoder may take for fewer bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// For trials and tests: x264 `veryfast`, x265 `superfast`, SVT-AV1 preset 10.
    #[default]
    Fast,
    /// x264 and x265 `medium`, SVT-AV1 preset 8.
    Medium,
    /// For titles that many will watch: x264 `slower`, x265 `slow`, SVT-AV1 preset 5.
    Slow,
}

/// What to encode, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodeRequest {
    /// The frames.
    pub shot: Shot,
    /// Encoded size; both sides even and at least [`MIN_SIDE`].
    pub size: Size,
    /// The codec.
    pub codec: Codec,
    /// Constant rate factor, 0 to [`Codec::max_crf`]: higher is smaller and worse.
    pub crf: u32,
    /// Frames from one key frame to the next, at least 1.
    pub key_interval: u32,
    /// How hard the encoder tries.
    #[serde(default)]
    pub effort: Effort,
}

/// A shot, encoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encoded {
    /// The file, an MP4 with one video track.
    pub path: PathBuf,
    /// Frames in it: those of the shot.
    pub frames: u64,
    /// Bytes of coded pictures, without the container.
    pub bytes: u64,
}

/// Encodes one shot to an MP4 file at `output`, which appears only when it is complete and has exactly the frames asked
/// for. `progress` is called with the number of frames encoded so far.
pub async fn encode(
    ffmpeg: &Ffmpeg,
    source: Source<'_>,
    request: EncodeRequest,
    output: &Path,
    progress: impl FnMut(u64) + Send + 'static,
) -> Result<Encoded, Error> {
    check(source, request)?;
    ffmpeg.require_encoder(request.codec.encoder())?;
    let EncodeRequest { shot, size, .. } = request;
    let partial = Partial::new(output);
    let what = format!("encoding frames {} to {} at {size}", shot.start, shot.end);
    let job = source.job(what, shot, size, Layout::Eight).args(["-an", "-sn", "-dn"]);
    let job = encoder(job, request);
    let job = colour_tags(job, &source.probe.colour)
        .args(["-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"])
        .args(["-video_track_timescale", &source.probe.rate.num().to_string()])
        .args(["-progress", "pipe:1", "-f", "mp4"])
        .output(partial.path());
    job.run(ffmpeg, (), Progress(progress)).await?;

    let track = mp4::read_track(partial.path())?;
    check_frames(&track, request, output)?;
    let bytes = track.samples.iter().map(|sample| u64::from(sample.size)).sum();
    sync(partial.path())?;
    partial.complete()?;
    Ok(Encoded { path: output.to_owned(), frames: shot.frames(), bytes })
}

fn check(source: Source<'_>, request: EncodeRequest) -> Result<(), Error> {
    source.probe.require_encodable(source.path)?;
    source.check_range(request.shot)?;
    let Size { width, height } = request.size;
    for side in [width, height] {
        if side < MIN_SIDE || side % 2 == 1 {
            return Err(Error::Setting {
                setting: "encoded side",
                value: side,
                range: "even and at least 64",
            });
        }
    }
    if request.crf > request.codec.max_crf() {
        return Err(Error::Setting {
            setting: "crf",
            value: request.crf,
            range: "0 to 51 (x264, x265) or 63 (SVT-AV1)",
        });
    }
    if request.key_interval == 0 {
        return Err(Error::Setting { setting: "key interval", value: 0, range: "at least 1" });
    }
    Ok(())
}

fn encoder(job: Job, request: EncodeRequest) -> Job {
    let interval = request.key_interval.to_string();
    let job = job.args(["-c:v", request.codec.encoder(), "-crf", &request.crf.to_string(), "-g", &interval]);
    match request.codec {
        Codec::X264 => {
            let preset = match request.effort {
                Effort::Fast => "veryfast",
                Effort::Medium => "medium",
                Effort::Slow => "slower",
            };
            // `stitchable` keeps the parameter sets free of what differs between shots.
            let params = format!(
                "stitchable=1:threads=1:lookahead-threads=1:keyint={interval}:min-keyint={interval}:scenecut=0:open-gop=0:force-cfr=1"
            );
            job.args(["-preset", preset, "-threads", "1", "-x264-params", &params])
                // x264 writes its settings into each shot as a note (SEI, type 6), some 700 bytes that nobody plays.
                .args(["-bsf:v", "filter_units=remove_types=6"])
        }
        Codec::X265 => {
            let preset = match request.effort {
                Effort::Fast => "superfast",
                Effort::Medium => "medium",
                Effort::Slow => "slow",
            };
            // The parameter sets are those of the settings, not of the shot; `info=0` leaves out the note of the settings.
            let params = format!(
                "pools=none:frame-threads=1:wpp=0:keyint={interval}:min-keyint={interval}:scenecut=0:open-gop=0:info=0:log-level=error"
            );
            job.args(["-preset", preset, "-x265-params", &params, "-tag:v", "hvc1"])
        }
        Codec::SvtAv1 => {
            let preset = match request.effort {
                Effort::Fast => "10",
                Effort::Medium => "8",
                Effort::Slow => "5",
            };
            job.args(["-preset", preset, "-svtav1-params", "lp=1:scd=0:irefresh-type=2"])
        }
    }
}

/// Passes on what the source says about its colour. The pictures are in limited range whatever the source was.
fn colour_tags(mut job: Job, colour: &Colour) -> Job {
    job = job.args(["-color_range", "tv"]);
    let tags = [
        ("-color_primaries", &colour.primaries),
        ("-color_trc", &colour.transfer),
        ("-colorspace", &colour.matrix),
    ];
    for (option, value) in tags {
        // RGB is converted on the way, and its matrix with it.
        if let Some(value) = value.as_deref().filter(|value| !matches!(*value, "gbr" | "rgb")) {
            job = job.args([option, value]);
        }
    }
    job
}

/// All frames are there, and key frames stand where all rungs have them.
fn check_frames(track: &mp4::Track, request: EncodeRequest, output: &Path) -> Result<(), Error> {
    let (expected, got) = (request.shot.frames(), track.samples.len() as u64);
    if got != expected {
        return Err(Error::FrameCount { what: output.display().to_string(), expected, got });
    }
    let interval = request.key_interval as usize;
    for (index, sample) in track.samples.iter().enumerate() {
        if index % interval == 0 && !sample.is_sync {
            let detail = format!("frame {index} is not a key frame although every {interval}th must be");
            return Err(Error::Mp4 { path: output.to_owned(), detail });
        }
    }
    Ok(())
}

/// The bytes reach the disk before the name does.
pub(crate) fn sync(path: &Path) -> Result<(), Error> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(|error| Error::io(path, error))
}

/// Reads ffmpeg's `-progress` lines.
pub(crate) struct Progress<F>(pub(crate) F);

impl<F: FnMut(u64) + Send + 'static> LineSink for Progress<F> {
    fn line(&mut self, line: &str) {
        if let Some(frames) = line.strip_prefix("frame=").and_then(|value| value.trim().parse().ok()) {
            self.0(frames);
        }
    }
}
