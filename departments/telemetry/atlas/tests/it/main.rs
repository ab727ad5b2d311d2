//! The language against worked examples, and against input that wants to break it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod demo;
mod expressions;
mod formats;
mod hostile;
mod stream;
mod wire;
