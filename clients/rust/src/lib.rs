//! A small blocking client of the house's HTTP API: submit a run, follow it, read what it made, see the events it left.
//!
//! It serves programs outside the house: the Python package is made of it, and anything written in Rust may use it. It knows
//! the doors `/runs/api/v1` and `/events/api/v1` and depends on no crate of the house, only on what `/api` of a server tells.
//!
//! The central idea: **a server may go away and come back.** A client that was made from a home finds the server again on
//! whatever port it opens next; waits and followers go on where they were, until their patience is at an end; and what is
//! fetched is checked against its digest before anybody sees it as whole.
//!
//! ```no_run
//! # fn main() -> Result<(), backlot_client::Error> {
//! use std::path::Path;
//! use backlot_client::{Client, RunState, SubmitOptions, TaskPlace, read_spec};
//!
//! let client = Client::from_environment()?;
//! let spec = read_spec(Path::new("thumbnails.toml"))?;
//! let run = client.submit(&spec, &serde_json::Map::new(), &SubmitOptions::default())?;
//! let ended = client.wait(&run.id, None, |run| eprintln!("{} of {} steps", run.steps_ended, run.steps))?;
//! assert_eq!(ended.state, RunState::Succeeded);
//! let thumb = client.artifact(&TaskPlace::new(&run.id, "thumb", 0), "thumb", None)?;
//! thumb.save(Path::new("thumb.jpg"), |_| std::ops::ControlFlow::Continue(()))?;
//! # Ok(()) }
//! ```

mod artifact;
mod client;
mod endpoint;
mod error;
mod follow;
mod http;
mod shapes;
mod spec;
mod sse;

pub use artifact::Artifact;
pub use client::{Client, TaskPlace};
pub use error::Error;
pub use follow::{Follow, Next};
pub use shapes::{
    BlobRef, Event, EventFilter, EventPage, LogPage, LogPiece, Run, RunFilter, RunState, Step, StepState,
    SubmitOptions, Task, TaskCounts, TaskFilter, TaskState,
};
pub use spec::read_spec;
