//! Jobs written in Rust.
//!
//! One implements [`NativeJob`]: its definition as a [`Job`] whose functions are `native`, and the functions. It then runs as any
//! other job does; that it needs no process and no directory only makes it cheaper.

mod artwork;
mod black_freeze;
mod dead_pixels;
mod loudness;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::host::Failure;
use crate::media::Delivered;
use crate::steps::{Made, PartResult, Step};
use crate::{Job, Part};

/// A job in Rust.
#[async_trait]
pub trait NativeJob: Send + Sync + 'static {
    /// Its definition. Functions name it as `native`.
    fn job(&self) -> Job;

    /// The parts, as [`crate::of_function`] reads them, for a job whose split is its own.
    async fn split(&self, _step: &Step<'_>) -> Result<Value, Failure> {
        Err(Failure::Refused(format!(
            "the job `{}` has no split of its own; use a built-in one",
            self.job().name
        )))
    }

    /// Looks at one part.
    async fn map(&self, step: &Step<'_>, part: &Part, frames: Option<&Delivered>) -> Result<Made, Failure>;

    /// Makes one result of all.
    async fn collect(&self, step: &Step<'_>, results: &[PartResult]) -> Result<Made, Failure>;
}

/// The jobs in Rust that a process knows, by name.
#[derive(Clone, Default)]
pub struct Natives(BTreeMap<String, Arc<dyn NativeJob>>);

impl Natives {
    /// The jobs of this crate.
    pub fn shipped() -> Self {
        Self::default()
            .with(Arc::new(artwork::Artwork))
            .with(Arc::new(black_freeze::BlackFreeze))
            .with(Arc::new(dead_pixels::DeadPixels))
            .with(Arc::new(loudness::Loudness))
    }

    /// Adds a job; a later one replaces an earlier one of the same name.
    pub fn with(mut self, job: Arc<dyn NativeJob>) -> Self {
        self.0.insert(job.job().name, job);
        self
    }

    /// The job of this name.
    pub fn get(&self, name: &str) -> Result<&Arc<dyn NativeJob>, Failure> {
        self.0.get(name).ok_or_else(|| {
            let known = self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Failure::Refused(format!("this worker knows no job `{name}`; it knows {known}"))
        })
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn NativeJob>> {
        self.0.values()
    }
}

/// Reads the parameters of a step as a job's own type.
pub fn parse_params<T: DeserializeOwned>(step: &Step<'_>) -> Result<T, Failure> {
    T::deserialize(Value::Object(step.params.clone()))
        .map_err(|error| Failure::Refused(format!("the parameters do not fit: {error}")))
}

/// Reads map's result of a part as a job's own type. A part that failed is the collect's failure.
pub fn parse_result<T: DeserializeOwned>(one: &PartResult) -> Result<T, Failure> {
    let made =
        one.made.as_ref().map_err(|why| Failure::Refused(format!("part {}: {why}", one.part.index)))?;
    T::deserialize(&made.result).map_err(|error| {
        Failure::Refused(format!("the result of part {} does not fit: {error}", one.part.index))
    })
}

/// Runs a computation on a thread of its own.
pub async fn compute<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::Refused(format!("the computation did not end well: {error}"))),
    }
}

/// The frames that a job's definition asks for.
fn wanted(frames: Option<&Delivered>) -> Result<&Delivered, Failure> {
    frames.ok_or_else(|| Failure::Refused("the job looks at frames, but none were asked for".to_owned()))
}

/// A raw frame of one byte a pixel.
fn read_gray(path: &Path, width: usize, height: usize) -> Result<Vec<u8>, Failure> {
    read_raw(path, width * height)
}

/// A raw frame of this many bytes.
fn read_raw(path: &Path, bytes: usize) -> Result<Vec<u8>, Failure> {
    let read = std::fs::read(path).map_err(|error| Failure::file(path, &error))?;
    if read.len() == bytes {
        return Ok(read);
    }
    Err(Failure::Refused(format!(
        "a raw frame has {} bytes where the job wants {bytes}; leave its encoding and pixel format as they are",
        read.len()
    )))
}
