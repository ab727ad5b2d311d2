//! Archer: work over the frames of a clip, written as three functions.
//!
//! For whoever looks at pictures: finds dead pixels, picks artwork, scores shots. A *job* has three functions. **Split** cuts a
//! clip into *parts*; **map** looks at one part; **collect** makes one result of all. Each is a program in any language ([`task`]
//! is what passes between it and the platform), a Python function, or Rust ([`native`]). The platform decodes the frames
//! that map asks for and lays them beside it as pictures or raw files; it does the rest too: parallelism, retries, limits,
//! crashes, reuse.
//!
//! The one idea: **a function sees a directory and nothing else.** What is in it depends on the clip and the job alone, never
//! on the machine. So the same job runs on a laptop ([`local`]) and as durable tasks on any number of workers ([`durable`]), through
//! the same code ([`steps`]), and the result has the same bytes.
//!
//! ```
//! use backlot_archer::Job;
//!
//! let job = Job::from_toml(r#"
//!     name = "count"
//!     split = { seconds = 2 }
//!     map = { argv = ["sh", "-c", "ls frames | wc -l >result.json"] }
//!     [frames]
//!     encoding = "png"
//!     scale = { width = 320 }
//! "#)?;
//! assert_eq!(job.name, "count");
//! # Ok::<(), backlot_archer::JobError>(())
//! ```

pub mod command;
pub mod durable;
pub mod local;
pub mod media;
pub mod native;
pub mod steps;
pub mod task;

mod container;
mod escapees;
mod host;
mod job;
mod kinds;
mod part;
mod processes;
mod python;
mod sandbox;

pub use host::{Ended, Failure, Host};
pub use job::{
    Container, Crop, Encoding, FrameRequest, Function, Job, JobError, Limits, MAX_NAME, Network, OnFailure,
    Scale, Split,
};
pub use part::{MAX_PARTS, Part, PartError, by_frames, by_seconds, of_function};
