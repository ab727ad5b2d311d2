//! Replay files: every read of a mount, and everything that was fetched for it.
//!
//! A replay is recorded by `backlot mezz mount --record`, and can then be looked at ([`Summary`], [`picture`]), run again
//! against the same objects with another buffering ([`rerun`]), or judged in a batch. Millions of reads fit into a few
//! megabytes; see [`format`] for the bytes.

pub mod format;
pub mod picture;
pub mod rerun;
mod summary;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

pub use self::format::{Operation, Record, Replay};
pub use self::summary::Summary;
use crate::Error;
use crate::meters::Meters;
use crate::plan::{Fetch, Read};

/// What a replay begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The program and its version.
    pub program: String,
    /// When the recording began, in seconds since 1970.
    pub began: u64,
    /// The kernel and the number of processors.
    pub environment: String,
    /// How buffers were chosen: `adaptive` or `fixed:BYTES`.
    pub buffer: String,
    /// The limit of what is buffered, in bytes.
    pub max_buffer: u64,
    /// The objects, by position.
    pub objects: Vec<RecordedObject>,
}

/// An object of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedObject {
    /// What it was called.
    pub name: String,
    /// Where it was: a location.
    pub place: String,
    /// Whether that is the location of a manifest.
    #[serde(default)]
    pub is_manifest: bool,
    /// Its bytes.
    pub size: u64,
    /// The parts of it that were mounted; empty for all of it.
    #[serde(default)]
    pub regions: Vec<(u64, u64)>,
}

/// Writes a replay while the mount runs.
#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    path: PathBuf,
    writer: Mutex<format::Writer<File>>,
    has_failed: AtomicBool,
}

impl Recorder {
    /// Begins a replay file.
    ///
    /// # Errors
    /// A file that cannot be made.
    pub fn create(path: &Path, metadata: &Metadata) -> Result<Self, Error> {
        let file = File::create(path).map_err(Error::file("make", path))?;
        let writer = format::Writer::begin(file, metadata).map_err(Error::file("write", path))?;
        let began = Instant::now();
        Ok(Self {
            began,
            path: path.to_owned(),
            writer: Mutex::new(writer),
            has_failed: AtomicBool::new(false),
        })
    }

    /// A read that has just been answered.
    pub fn read(&self, read: Read, begun: Instant, is_ok: bool) {
        self.record(Operation::Read, read, begun, is_ok);
    }

    /// A fetch that has just ended.
    pub fn fetched(&self, fetch: &Fetch, begun: Instant, is_ok: bool) {
        let len = fetch.range.end - fetch.range.start;
        self.record(
            Operation::Fetch,
            Read { object: fetch.object, offset: fetch.range.start, len },
            begun,
            is_ok,
        );
    }

    /// A file that has just been opened: its bytes.
    pub fn opened(&self, file: Read) {
        self.record(Operation::Open, file, Instant::now(), true);
    }

    fn record(&self, operation: Operation, read: Read, begun: Instant, is_ok: bool) {
        let now = Instant::now();
        let micros = |duration: std::time::Duration| duration.as_micros() as u64;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let record = Record {
            operation,
            at: micros(now.saturating_duration_since(self.began)),
            took: micros(now.saturating_duration_since(begun)),
            object: read.object,
            offset: read.offset,
            len: read.len,
            is_ok,
        };
        if let Err(error) = writer.write(&record)
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, file = %self.path.display(), "the replay cannot be recorded on");
        }
    }

    /// Ends the file with the counters of the mount.
    ///
    /// # Errors
    /// A full disk, mostly.
    pub fn finish(&self, meters: &Meters) -> Result<(), Error> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.finish(&meters.snapshot()).map_err(Error::file("write", &self.path))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        // A replay without its end can be read as far as it goes.
        let _ = writer.flush_out();
    }
}
