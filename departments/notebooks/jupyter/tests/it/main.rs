//! The server, asked as clients ask it.

mod contents;
mod kernels;
mod socket;
mod web;
