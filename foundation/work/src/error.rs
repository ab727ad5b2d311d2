//! What can go wrong with durable work.

use crate::reference::ReferenceError;
use crate::spec::SpecError;

/// An error of the work engine; each names the thing and the mend in one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The spec cannot run as it is.
    #[error("{0}")]
    Spec(#[from] SpecError),
    /// A reference in a spec could not be followed.
    #[error("{0}")]
    Reference(#[from] ReferenceError),
    /// No run has this id.
    #[error("there is no run `{0}`; `backlot runs` lists the ids")]
    NoSuchRun(String),
    /// More than one run's id starts like this.
    #[error("`{0}` is the start of several runs' ids; give more of it")]
    AmbiguousRun(String),
    /// The run has no such step.
    #[error("run `{run}` has no step `{step}`; it has {known}")]
    NoSuchStep {
        /// The run's id.
        run: String,
        /// The name asked for.
        step: String,
        /// The names there are.
        known: String,
    },
    /// The step has no task at this position.
    #[error("there is no task `{0}`; `backlot tasks RUN` lists them")]
    NoSuchTask(String),
    /// What was asked does not fit the state of the run.
    #[error("run `{run}` is {state}: {mend}")]
    WrongState {
        /// The run's id.
        run: String,
        /// Its state.
        state: &'static str,
        /// What can be done instead.
        mend: &'static str,
    },
    /// A kind that no part of the house offers.
    #[error(
        "step `{step}` wants the task kind `{kind}`, which is not registered here; the kinds are {known}"
    )]
    NoSuchKind {
        /// The step that names it.
        step: String,
        /// The kind.
        kind: String,
        /// What is registered.
        known: String,
    },
    /// Stored state that this version cannot read.
    #[error(
        "the ledger holds {0} that this version cannot read; restore a backup or run the version that wrote it"
    )]
    Unreadable(String),
    /// This worker's lease was taken away, because it was silent for too long.
    #[error("this worker's lease ran out; its tasks have been given to others")]
    LeaseLost,
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] backlot_ledger::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] backlot_store::Error),
    /// The event log failed.
    #[error(transparent)]
    Events(#[from] backlot_events::Error),
    /// A file or directory of the worker failed.
    #[error("{what}: {error}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// The cause.
        error: std::io::Error,
    },
}

/// The result of the engine's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
