//! The department on real stores, ledgers and workers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod door;
mod house;
mod workers;
