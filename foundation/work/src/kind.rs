//! Task kinds: the work that a department registers, and what a running task is given.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use backlot_store::{Digest, LocalFile, Store};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::hub::TaskHub;

/// Work of one kind. Kinds are registered by name; a step of a run names the kind that does it.
#[async_trait]
pub trait Kind: Send + Sync + 'static {
    /// The name, `department.verb`.
    fn name(&self) -> &str;

    /// Raised whenever the same input may give another result; results of other versions are not reused.
    fn version(&self) -> u32 {
        1
    }

    /// Whether a result may be reused for an equal input.
    fn reusable(&self) -> bool {
        true
    }

    /// Does the work. The future is dropped when the task is cancelled and does not return soon after
    /// [`TaskContext::cancelled`]; a task may run more than once, but only one result is ever committed.
    async fn run(&self, task: TaskContext) -> Result<Outputs, TaskError>;
}

/// Why an attempt failed; the text is one line that names the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// Another attempt may succeed; the step's `retry` decides.
    #[error("{0}")]
    Retryable(String),
    /// No attempt will succeed: the input or the machine must change first.
    #[error("{0}")]
    Permanent(String),
    /// The task stopped because it was told to.
    #[error("stopped")]
    Stopped,
}

impl From<backlot_store::Error> for TaskError {
    fn from(error: backlot_store::Error) -> TaskError {
        TaskError::Retryable(error.to_string())
    }
}

/// A blob as it stands in inputs and outputs: `{"$blob": "blake3:…", "size": 12, "type": "video/mp4"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// The content's digest.
    #[serde(rename = "$blob")]
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Its media type.
    #[serde(rename = "type")]
    pub media_type: String,
}

impl BlobRef {
    /// The blob that a JSON value stands for, if it stands for one.
    pub fn from_value(value: &Value) -> Option<BlobRef> {
        value.get("$blob")?;
        serde_json::from_value(value.clone()).ok()
    }
}

/// The named results of a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs(pub(crate) Map<String, Value>);

impl Outputs {
    /// No results.
    pub fn new() -> Outputs {
        Outputs::default()
    }

    /// Adds a JSON value. Values beyond 256 KiB are moved to the store and read back where they are used.
    pub fn value(mut self, name: &str, value: impl Serialize) -> Result<Outputs, TaskError> {
        let value = serde_json::to_value(value).map_err(|error| {
            TaskError::Permanent(format!("output `{name}` cannot be written as JSON: {error}"))
        })?;
        self.0.insert(name.to_owned(), value);
        Ok(self)
    }

    /// Adds a blob.
    pub fn blob(mut self, name: &str, blob: &BlobRef) -> Outputs {
        let value = serde_json::to_value(blob).expect("invariant: a blob reference is plain JSON");
        self.0.insert(name.to_owned(), value);
        self
    }
}

/// What a running task knows and may use. Cheap to clone.
#[derive(Clone)]
pub struct TaskContext(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) run: String,
    pub(crate) step: String,
    pub(crate) index: i64,
    pub(crate) attempt: i64,
    pub(crate) input: Value,
    pub(crate) store: Store,
    pub(crate) scratch: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) scratch_made: OnceLock<Result<(), String>>,
    pub(crate) hub: TaskHub,
    pub(crate) stop: CancellationToken,
    pub(crate) worker_tag: String,
}

impl TaskContext {
    /// The run's id.
    pub fn run(&self) -> &str {
        &self.0.run
    }

    /// The step's name.
    pub fn step(&self) -> &str {
        &self.0.step
    }

    /// The task's position in its map, from 0.
    pub fn index(&self) -> i64 {
        self.0.index
    }

    /// The attempt's number, from 1.
    pub fn attempt(&self) -> i64 {
        self.0.attempt
    }

    /// The input, with every reference replaced by its value.
    pub fn input(&self) -> &Value {
        &self.0.input
    }

    /// The input as a type of the kind's own.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        T::deserialize(&self.0.input).map_err(|error| {
            TaskError::Permanent(format!("the input of step `{}` does not fit: {error}", self.0.step))
        })
    }

    /// The house's blobs.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// A directory for this attempt alone, made at the first call and removed after the attempt.
    pub fn scratch(&self) -> Result<&Path, TaskError> {
        let made = self.0.scratch_made.get_or_init(|| {
            std::fs::create_dir_all(&self.0.scratch).map_err(|error| {
                format!("cannot make the scratch directory {}: {error}", self.0.scratch.display())
            })
        });
        match made {
            Ok(()) => Ok(&self.0.scratch),
            Err(why) => Err(TaskError::Retryable(why.clone())),
        }
    }

    /// The blob as a file to read: the store's own when it is a folder, else a copy in the worker's cache, fetched once
    /// for all its tasks. Keep the returned value for as long as the file is read.
    pub async fn file(&self, blob: &BlobRef) -> Result<LocalFile, TaskError> {
        Ok(self.0.store.materialize(&blob.digest, &self.0.cache).await?)
    }

    /// Stores a file; the reference goes into the outputs.
    pub async fn put_file(&self, path: &Path, media_type: &str) -> Result<BlobRef, TaskError> {
        let blob = self.0.store.put_file(path).await?;
        Ok(BlobRef { digest: blob.digest, size: blob.size, media_type: media_type.to_owned() })
    }

    /// Stores bytes; the reference goes into the outputs.
    pub async fn put(
        &self,
        bytes: impl Into<bytes::Bytes> + Send,
        media_type: &str,
    ) -> Result<BlobRef, TaskError> {
        let blob = self.0.store.put(bytes.into()).await?;
        Ok(BlobRef { digest: blob.digest, size: blob.size, media_type: media_type.to_owned() })
    }

    /// Adds a line to the task's log.
    pub fn log(&self, line: impl AsRef<str>) {
        self.0.hub.log(line.as_ref());
    }

    /// Reports how far the task is, 0 to 1, and what it is doing.
    pub fn progress(&self, fraction: f64, message: impl Into<String>) {
        self.0.hub.progress(fraction, message.into());
    }

    /// Completes when the task has been told to stop.
    pub async fn cancelled(&self) {
        self.0.stop.cancelled().await;
    }

    /// Whether the task has been told to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    /// Runs a closure that computes on a thread of its own, so that other tasks go on meanwhile.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, TaskError> + Send + 'static,
    ) -> Result<T, TaskError> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(TaskError::Permanent(format!("the computation did not end well: {error}"))),
        }
    }
}

/// The kinds a worker can run.
#[derive(Clone, Default)]
pub struct Kinds(BTreeMap<String, Arc<dyn Kind>>);

impl Kinds {
    /// The kinds built into the engine: `command`.
    pub fn new() -> Kinds {
        Kinds::default().with(Arc::new(crate::command::CommandKind))
    }

    /// Adds a kind; a later one replaces an earlier one of the same name.
    pub fn with(mut self, kind: Arc<dyn Kind>) -> Kinds {
        self.0.insert(kind.name().to_owned(), kind);
        self
    }

    /// Adds a kind made from an async function.
    pub fn with_fn<F, R>(self, name: &str, version: u32, run: F) -> Kinds
    where
        F: Fn(TaskContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Outputs, TaskError>> + Send + 'static,
    {
        self.with(Arc::new(FnKind {
            name: name.to_owned(),
            version,
            run: Box::new(move |task| Box::pin(run(task))),
        }))
    }

    /// The kind of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Kind>> {
        self.0.get(name)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

type BoxRun =
    dyn Fn(TaskContext) -> Pin<Box<dyn Future<Output = Result<Outputs, TaskError>> + Send>> + Send + Sync;

struct FnKind {
    name: String,
    version: u32,
    run: Box<BoxRun>,
}

#[async_trait]
impl Kind for FnKind {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    async fn run(&self, task: TaskContext) -> Result<Outputs, TaskError> {
        (self.run)(task).await
    }
}
