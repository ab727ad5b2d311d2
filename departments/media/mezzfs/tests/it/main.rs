//! Real reads over real sockets, a real kernel's FUSE, and servers that fail in every way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cached;
mod faults;
mod mounted;
mod outside;
mod sealed;
mod server;
