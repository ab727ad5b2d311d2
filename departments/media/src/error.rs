//! What this department refuses, each in one line that names the mend.

use std::{io, path::PathBuf};

use backlot_frames::Rate;

/// Everything that can go wrong between a clip and its ladder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No ffmpeg was found.
    #[error(
        "ffmpeg is missing (looked {looked}); install it with `apt-get install ffmpeg` or `pip install imageio-ffmpeg`, or set BACKLOT_FFMPEG to its path"
    )]
    FfmpegMissing {
        /// Where it was looked for.
        looked: String,
    },
    /// The ffmpeg that was found does not run.
    #[error("{path} does not run as ffmpeg: {detail}; set BACKLOT_FFMPEG to a working one")]
    FfmpegBroken {
        /// The file.
        path: PathBuf,
        /// What happened.
        detail: String,
    },
    /// This ffmpeg was built without an encoder that is needed.
    #[error(
        "{ffmpeg} has no encoder {encoder}; install a full build with `pip install imageio-ffmpeg` or choose another codec"
    )]
    EncoderMissing {
        /// The ffmpeg.
        ffmpeg: PathBuf,
        /// ffmpeg's name of the encoder.
        encoder: &'static str,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The disk is full.
    #[error("no space left on the device of {path}; free some, or point the work directory at a larger disk")]
    NoSpace {
        /// What was being written.
        path: PathBuf,
    },
    /// The file is not audio or video at all.
    #[error(
        "{path} is not a video file ({detail}); give a file that ffmpeg can read, such as MP4, MOV, MKV or Y4M"
    )]
    NotVideo {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        detail: String,
    },
    /// The file ends early.
    #[error("{path} is cut short ({detail}); copy or download it again")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The file decodes with errors.
    #[error(
        "{path} is damaged: {detail}; copy it again, or re-encode it with `ffmpeg -i IN -crf 12 OUT.mp4` and look at the result"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The decoder's decisive line.
        detail: String,
    },
    /// There is no picture in the file.
    #[error("{path} has no video stream (audio only?); give a file with video")]
    NoVideo {
        /// The file.
        path: PathBuf,
    },
    /// Frames carry no time.
    #[error(
        "{path} has video without timestamps; wrap it with `ffmpeg -i IN -c copy OUT.mp4`, or give its rate with --fps"
    )]
    NoTimestamps {
        /// The file.
        path: PathBuf,
    },
    /// The picture is too small to encode.
    #[error("{path} is {width}x{height}; both sides must be at least {min} pixels, scale it up first")]
    TooSmall {
        /// The file.
        path: PathBuf,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Least side.
        min: u32,
    },
    /// Frames are not evenly spaced.
    #[error("{path} has a variable frame rate; `--fps {suggested}` makes it constant")]
    VariableRate {
        /// The file.
        path: PathBuf,
        /// A constant rate, not below the mean.
        suggested: Rate,
    },
    /// The picture changes size within the clip.
    #[error(
        "{path} changes size from {from} to {to} within the clip; split it, or scale it to one size first"
    )]
    SizeChanges {
        /// The file.
        path: PathBuf,
        /// The first size.
        from: String,
        /// A later one.
        to: String,
    },
    /// A child process failed.
    #[error("{what} failed ({status}): {line}")]
    Child {
        /// What it was to do.
        what: String,
        /// Exit status.
        status: String,
        /// The decisive line of its log.
        line: String,
    },
    /// The wrong number of frames came out.
    #[error(
        "{what} has {got} frames instead of {expected}; the source's timestamps are irregular, try `--fps`"
    )]
    FrameCount {
        /// What was counted.
        what: String,
        /// Frames asked for.
        expected: u64,
        /// Frames found.
        got: u64,
    },
    /// A range outside the clip, or empty.
    #[error("frames {start} to {end} are not inside a clip of {frames} frames")]
    Range {
        /// First frame.
        start: u64,
        /// One past the last frame.
        end: u64,
        /// Frames in the clip.
        frames: u64,
    },
    /// A rendition that shows nothing of its reference.
    #[error("{path} has no frame in common with the reference; give a rendition of the same title")]
    NothingInCommon {
        /// The rendition.
        path: PathBuf,
    },
    /// An encoder setting outside its range.
    #[error("{setting} {value} is out of range; it must be {range}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// What was given.
        value: u32,
        /// What is allowed.
        range: &'static str,
    },
    /// An MP4 file that this crate wrote or had written is not as expected.
    #[error("{path}: {detail}; encode it again")]
    Mp4 {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Encodes cannot be packaged together.
    #[error("packaging: {0}")]
    Package(String),
    /// Raw video could not be read or compared.
    #[error(transparent)]
    Frames(#[from] backlot_frames::Error),
    /// VMAF cannot be computed.
    #[error(transparent)]
    Vmaf(#[from] backlot_vmaf::Error),
    /// A rate-quality curve cannot be used.
    #[error("rate-quality curve: {0}")]
    Curve(String),
}

impl Error {
    /// An [`Error::Io`], or [`Error::NoSpace`] when that is what the system said.
    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            _ => Self::Io { path, source },
        }
    }
}
