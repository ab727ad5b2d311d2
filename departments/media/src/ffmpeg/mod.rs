//! Finding ffmpeg, and running it as a child process.
//!
//! ffmpeg is never linked: it is found at run time, so that the house builds with Rust alone and uses whichever build
//! its operator trusts. Anything from 5.1 (Debian 12) on will do; ffprobe is not needed.

mod child;
mod diagnosis;
mod find;

pub(crate) use child::{Job, LineSink, Running};
pub use find::{Ffmpeg, FfmpegSearch};
