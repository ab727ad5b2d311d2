//! Durable work: the heart of the house.
//!
//! A *run* is a directed acyclic graph of *steps*; a step has one *task*, or one for each item of a list when it is a
//! *map*; an *attempt* is one execution of a task by a *worker* that holds it under a lease. Notebooks, flows, jobs,
//! analyses and encodes are kinds of task; this crate knows none of them.
//!
//! **The one idea**: all state lives in the ledger, every change of it is one serialised transaction that also appends
//! its events, and nothing else is needed. There is no scheduler process: the transaction that ends a task begins the
//! steps that waited for it. Workers anywhere claim ready tasks; a worker that dies loses its lease, its tasks run
//! again elsewhere, and its late results are refused. So a task runs at least once and its result is committed
//! exactly once, through `kill -9` of anything at any moment.
//!
//! ```
//! use backlot_work::{Kinds, Outputs, RunSpec, StepSpec, SubmitOptions, Work, Worker, WorkerOptions};
//! use serde_json::json;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let home = tempfile::tempdir()?;
//! let ledger = backlot_ledger::Ledger::open(&format!("sqlite://{}/ledger.db", home.path().display()))?;
//! let store = backlot_store::Store::open(&format!("file://{}/blobs", home.path().display()))?;
//! let work = Work::open(&ledger, &store, &backlot_events::Events::open(&ledger)?)?;
//! let kinds = Kinds::new().with_fn("math.square", 1, |task| async move {
//!     let number: i64 = task.parse()?;
//!     Outputs::new().value("square", number * number)
//! });
//! let worker = Worker::start(&work, kinds.clone(), WorkerOptions::new(home.path().join("scratch"))).await?;
//!
//! let spec = RunSpec::new("squares")
//!     .step(StepSpec::new("square", "math.square", json!("${item}")).map_over(json!([1, 2, 3]), None));
//! let run = work.submit(spec, Default::default(), SubmitOptions::default(), Some(&kinds)).await?;
//! work.wait(&run).await?;
//! assert_eq!(work.outputs(&run, "square").await?, json!([{"square": 1}, {"square": 4}, {"square": 9}]));
//! worker.stop().await;
//! # Ok(())
//! # }
//! ```

mod command;
mod condition;
mod error;
mod execution;
mod host;
mod hub;
mod inputs;
mod kind;
mod meters;
mod opener;
mod orphans;
mod placement;
mod plan;
mod process;
mod query;
mod reference;
mod schema;
mod spec;
mod state;
mod transition;
mod turn;
mod units;
mod work;
mod worker;

pub use error::{Error, Result};
pub use hub::{KEPT_HEAD, MAX_LOG};
pub use kind::{BlobRef, Kind, Kinds, Outputs, TaskContext, TaskError};
pub use placement::{Capacity, Done, LocalPlacement, Placed, Placement};
pub use process::{Ended, GRACE, Input};
pub use query::{
    LimitStatus, LogPiece, MAX_PAGE, RunFilter, RunStatus, StepStatus, TaskCounts, TaskFilter, TaskStatus,
    WorkerStatus,
};
pub use reference::ReferenceError;
pub use spec::{
    COMMAND_KIND, CommandSpec, Graph, MAX_STEPS, MapSpec, ParamSpec, ParamType, RetrySpec, RunSpec,
    SpecError, StepSpec, Trigger,
};
pub use state::{RunState, StepState, TaskState};
pub use transition::EVENT_SOURCE;
pub use units::{ByteSize, Span};
pub use work::{SubmitOptions, Work};
pub use worker::{Worker, WorkerOptions};
