//! The real binary as a child process: what it prints, what it ends with, what it leaves behind.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests too; the lint sees only the annotated functions.

mod archer;
mod command_line;
mod compare;
mod doctor;
mod premiere;
mod serving;
mod state;
mod support;
mod tokens;
mod working;
