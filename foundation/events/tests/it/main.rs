//! The tests of events. What is promised of both backends runs on both, by `testing::on_each_backend`.

// Clippy spares `#[test]` functions by itself, but not what they call.
#![allow(clippy::unwrap_used)]

mod consumers;
mod envelope;
mod following;
mod log;
