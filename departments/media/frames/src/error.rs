//! What can be wrong with a stream of pictures or with two pictures that are to be compared.

use crate::frame::Format;

/// Everything that this crate refuses. Each message is one line and says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stream failed to read or write.
    #[error("video stream: {0}")]
    Io(#[from] std::io::Error),
    /// The stream does not begin with the `YUV4MPEG2` magic.
    #[error(
        "not a YUV4MPEG2 stream (it begins with {start:?}); write one with `ffmpeg -i FILE -f yuv4mpegpipe OUT.y4m`"
    )]
    NotY4m {
        /// The first bytes, shortened.
        start: String,
    },
    /// A header or frame line is malformed.
    #[error("bad YUV4MPEG2 {what}: {detail}; the stream is damaged or was not written by a YUV4MPEG2 writer")]
    BadLine {
        /// `header` or `frame line`.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The colour tag names a layout that this crate does not carry.
    #[error(
        "YUV4MPEG2 colour tag {tag:?} is not supported; convert with `-pix_fmt yuv420p` (or yuv422p, yuv444p, gray, and their 10 to 16 bit forms)"
    )]
    ColourTag {
        /// The tag without its leading `C`.
        tag: String,
    },
    /// The picture has no area, or more than this crate takes.
    #[error(
        "picture size {width}x{height} is out of range; both sides must be 1 to {} and the area at most {} pixels",
        crate::frame::MAX_SIDE,
        crate::frame::MAX_PIXELS
    )]
    Size {
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
    },
    /// The bit depth is outside 8 to 16.
    #[error("bit depth {0} is not supported; it must be 8 to 16")]
    Depth(u32),
    /// The frame rate has a zero term or does not fit.
    #[error("frame rate {num}/{den} is not a positive rational; give one such as 25/1 or 24000/1001")]
    Rate {
        /// Numerator.
        num: u64,
        /// Denominator.
        den: u64,
    },
    /// The stream ended within a frame.
    #[error(
        "the stream ends inside frame {frame}: {got} of {wanted} bytes are there; the writer died or the file is cut short"
    )]
    TruncatedFrame {
        /// Index of the frame, from zero.
        frame: u64,
        /// Bytes of picture data found.
        got: usize,
        /// Bytes of picture data that a frame has.
        wanted: usize,
    },
    /// A sample is larger than its bit depth allows.
    #[error(
        "frame {frame} has a sample of {value} in a {depth}-bit plane; the stream's colour tag does not match its data"
    )]
    SampleRange {
        /// Index of the frame, from zero.
        frame: u64,
        /// The sample.
        value: u16,
        /// Bits per sample that the header promises.
        depth: u32,
    },
    /// Two pictures of different layouts were to be compared, or one changed within a clip.
    #[error(
        "pictures differ in layout: expected {expected}, got {got}; scale and convert one to match the other first"
    )]
    FormatMismatch {
        /// The layout that the metric or writer was made for.
        expected: Format,
        /// The layout that came.
        got: Format,
    },
    /// The picture has a plane too small for the metric's window.
    #[error(
        "{metric} needs planes of at least {min}x{min}, but one of this {format} picture is smaller; use a larger picture"
    )]
    TooSmall {
        /// The metric's name.
        metric: &'static str,
        /// Least width and height.
        min: usize,
        /// The picture's layout.
        format: Format,
    },
    /// A clip without a frame has no scores.
    #[error("no frame was measured; the clip is empty")]
    NoFrames,
}
