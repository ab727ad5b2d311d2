//! The server, asked as clients ask it.

mod contents;
mod web;
