//! The tests of the store: one suite on every kind of place, and what is particular to folders and endpoints.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports, in its helpers too")]

mod endpoint;
mod folder;
mod memory;
mod moto;
mod place;
mod suite;
mod text;
