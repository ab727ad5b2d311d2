//! The department as the binary would run it: a real ledger, store, worker and server, and clients on the wire.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests too; the lint sees only the annotated functions.

mod api;
mod commands;
mod events;
mod openapi;
mod pages;
mod support;
