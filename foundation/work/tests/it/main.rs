//! Durable work as its users see it, on both ledgers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, in its helpers too")]

mod control;
mod graph;
mod house;
mod leases;
mod limits;
mod programs;
