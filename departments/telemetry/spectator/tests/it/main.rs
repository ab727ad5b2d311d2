//! Whole agents, on ports of the system's choice, publishing to an aggregator of the test's own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, in its helpers too")]

mod admin;
mod aggregator;
mod publishing;
mod sockets;
mod support;
