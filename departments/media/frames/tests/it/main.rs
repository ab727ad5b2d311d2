//! The crate against software that nobody here wrote: ffmpeg's decoders, sources and metric filters, PySceneDetect.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod metrics;
mod outside;
mod shots;
