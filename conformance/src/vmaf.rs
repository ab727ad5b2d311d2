//! The clips, checks and judge of the suite `vmaf`.

mod clips;
mod judge;
mod netflix;

pub use clips::{Clip, Layout, Source, clips, given_clips};
pub use judge::{Check, Files, Judge, Outcome, Tolerance, checks};
pub use netflix::{SCORE, netflix};
