//! The crate against naive twins.

mod block;
mod index;
mod window;
