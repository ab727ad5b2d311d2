//! The media department: from a clip to a ladder that players can play.
//!
//! For whoever prepares titles. A clip is probed, cut into shots, encoded per shot at several sizes and qualities,
//! measured against its source, and a ladder is chosen from what was measured; the chosen encodes are stitched and
//! packaged as CMAF under HLS playlists.
//!
//! The one idea: **everything is per shot, and exact**. A shot is a range of frame numbers. Every step takes one and
//! fails unless it got precisely those frames, so shots can be encoded anywhere, in any order, again after a crash, and
//! still join to a title with the frame count and the duration of its source. The steps ([`probe`], [`shots`],
//! [`encode`], [`measure`], [`audio`], [`thumbnail`], [`package`]) run ffmpeg as a child process and are plain functions of
//! serialisable requests; the decisions between them ([`plan`]) are pure.
//!
//! ```no_run
//! # async fn run() -> Result<(), backlot_media::Error> {
//! use std::path::Path;
//! use backlot_media::{encode, ffmpeg::Ffmpeg, measure, plan::Size, probe, shots, source::Source};
//!
//! let (ffmpeg, path) = (Ffmpeg::find().await?, Path::new("clip.mp4"));
//! let probed = probe::probe(&ffmpeg, path, probe::ProbeOptions::default()).await?;
//! probed.require_encodable(path)?;
//! let source = Source { path, probe: &probed };
//! let shot = shots::detect_shots(&ffmpeg, source, Default::default(), |_| ()).await?.shots[0];
//! let request = encode::EncodeRequest {
//!     shot,
//!     size: Size { width: 640, height: 360 },
//!     codec: encode::Codec::X264,
//!     crf: 28,
//!     key_interval: 50,
//!     effort: encode::Effort::Fast,
//! };
//! let encoded = encode::encode(&ffmpeg, source, request, Path::new("shot.mp4"), |_| ()).await?;
//! let measured = measure::measure(&ffmpeg, source, shot, &[encoded.path], &[]).await?;
//! println!("{:?} dB", measured[0].scores.clip("psnr_avg"));
//! # Ok(()) }
//! ```

pub mod audio;
pub mod compare;
pub mod encode;
pub mod ffmpeg;
pub mod kinds;
pub mod measure;
pub mod package;
pub mod plan;
pub mod probe;
pub mod shots;
pub mod source;
pub mod thumbnail;

mod archer;
mod commands;
mod comparisons;
mod container;
mod department;
mod error;
mod mp4;
mod partial;
mod run_pages;
mod timing;
mod titles;

pub use backlot_frames::Rate;
pub use department::Media;
pub use error::Error;
pub use titles::{Report, report};
