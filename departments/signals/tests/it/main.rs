//! The department on real stores, ledgers and workers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alerts;
mod door;
mod house;
mod live;
mod tables;
mod workers;
