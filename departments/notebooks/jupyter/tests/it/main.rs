//! The server, asked as clients ask it.

mod contents;
mod deploy;
mod door;
mod faults;
mod kernels;
mod lab;
mod socket;
mod terminals;
mod web;
