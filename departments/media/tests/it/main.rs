//! The department on real files: a real ffmpeg, a real clip, ffprobe's word on the result, a real browser.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod chain;
mod compare;
mod exactness;
mod outside;
mod player;
