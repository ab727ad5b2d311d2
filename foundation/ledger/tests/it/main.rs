//! The ledger's tests. What is promised of both backends runs on both, by `testing::on_each_backend`.

// Clippy spares `#[test]` functions by itself, but not what they call.
#![allow(clippy::unwrap_used)]

mod batching;
mod changes;
mod child;
mod durability;
mod isolation;
mod journal;
mod leases;
mod maintenance;
mod migrations;
mod statements;
mod tls;
