//! The crate from outside: the JSON model against Python's Plotly, the renderer against stored drawings and against hostile
//! figures.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![allow(clippy::unreadable_literal, reason = "colours are read as rrggbb")]

#[path = "../../examples/gallery/figures.rs"]
mod figures;

mod golden;
mod hostile;
mod model;
mod plotly;
