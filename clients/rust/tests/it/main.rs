//! The client against the real doors of department runs, in a server of the test's own.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests too; the lint sees only the annotated functions.

mod follow;
mod look;
mod support;
