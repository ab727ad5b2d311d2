//! The server, asked as clients ask it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod contents;
mod culling;
mod deploy;
mod door;
mod faults;
mod kernels;
mod lab;
mod live;
mod socket;
mod terminals;
mod web;
