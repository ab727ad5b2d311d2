//! The department: its store against a naive one and across restarts, its doors through the house's own shell.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agent;
mod alerts;
mod crash;
mod doors;
mod lwc;
mod neighbours;
mod store;
mod tiers;
