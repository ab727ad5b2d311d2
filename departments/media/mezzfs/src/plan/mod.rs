//! The kernel: from a trace of reads to a plan of fetches, without I/O, time or chance.
//!
//! [`window`] says how long a buffer should be, [`stride`] what it should leave out; [`blocks`] knows what is buffered;
//! [`Planner`] joins them. The reader
//! around it does what a [`Plan`] says and reports what arrived; so everything that decides speed and memory is here, and the
//! same trace gives the same plans on every machine. [`simulate`] runs a trace with fetches that arrive at once: what
//! `backlot mezz replay rerun` foretells, and what the property tests hold against a naive twin.

pub mod blocks;
pub mod planner;
pub mod stride;
pub mod window;

pub use blocks::BlockId;
pub use planner::{Fetch, Parallel, Plan, Planner, simulate};
pub use window::{Policy, Read, Shape, Window};
