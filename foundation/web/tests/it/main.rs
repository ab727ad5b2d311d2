//! The shell on a real socket, spoken to byte by byte: what clients, browsers and attackers see.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests too; the lint sees only the annotated functions.

mod auth;
mod console;
mod envelope;
mod limits;
mod openapi;
mod shutdown;
mod support;
