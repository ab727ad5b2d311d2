//! The crate from outside.
#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod isa;
mod tool;
