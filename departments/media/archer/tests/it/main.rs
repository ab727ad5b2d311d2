//! The platform without a decoder: functions that misbehave, the contract, retries, local runs beside durable ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod container;
mod contract;
mod durable;
mod limits;
mod support;
