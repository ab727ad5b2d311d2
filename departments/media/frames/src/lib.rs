//! Raw video as plain data: planes, the YUV4MPEG2 stream that carries them, what two pictures differ by, and where
//! one shot ends and the next begins.
//!
//! The crate serves whoever already has decoded pictures (the media department pipes them out of a decoder) and wants
//! numbers about them. It does no I/O besides reading and writing the streams it is handed.
//!
//! The one idea: **a clip is read once, frame by frame, in bounded memory**. Everything that looks at a clip is a
//! small state machine fed with frames: a [`FrameMetric`] gets pairs of frames and pools them at the end, a
//! [`ShotDetector`] gets single frames and reports a cut as soon as it has seen enough of what follows. Nothing holds
//! the clip.
//!
//! ```
//! use backlot_frames::{BitDepth, Format, Frame, FrameMetric, Header, Psnr, Rate, Reader, Subsampling, Writer};
//!
//! let format = Format::new(64, 48, Subsampling::C420, BitDepth::EIGHT)?;
//! let mut stream = Vec::new();
//! let mut writer = Writer::new(&mut stream, Header::new(format, Rate::new(25, 1)?))?;
//! writer.write_frame(&Frame::black(format))?;
//!
//! let mut reader = Reader::new(stream.as_slice())?;
//! let mut psnr = Psnr::new(format);
//! while let Some(frame) = reader.read_frame()? {
//!     psnr.push(&frame, &Frame::black(format))?;
//! }
//! assert_eq!(psnr.finish()?.clip("psnr_y"), Some(f64::INFINITY));
//! # Ok::<(), backlot_frames::Error>(())
//! ```

mod align;
mod error;
mod frame;
mod metric;
mod psnr;
mod rate;
mod shots;
mod signature;
mod ssim;
mod y4m;

pub use align::{Alignment, Print, align};
pub use error::Error;
pub use frame::{BitDepth, Format, Frame, MAX_PIXELS, MAX_SIDE, Pixels, Plane, Sample, Subsampling};
pub use metric::{ClipScores, Column, FrameMetric, Pooling};
pub use psnr::Psnr;
pub use rate::Rate;
pub use shots::{Cut, Shot, ShotDetector, ShotOptions, shots_between};
pub use ssim::Ssim;
pub use y4m::{Header, Interlacing, Reader, Writer};
