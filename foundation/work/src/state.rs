//! The states of runs, steps and tasks, and their words in the ledger and on the wire.

use serde::{Deserialize, Serialize};

macro_rules! states {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// The word used in the ledger, in events and in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }

            /// The state with this word.
            pub fn from_word(word: &str) -> Option<$name> {
                match word { $($text => Some($name::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl From<$name> for backlot_ledger::Value {
            fn from(state: $name) -> backlot_ledger::Value {
                backlot_ledger::Value::from(state.as_str())
            }
        }
    };
}

states! {
    /// Where a run is.
    RunState {
        /// Accepted; no task has started.
        Queued = "queued",
        /// Some task has started.
        Running = "running",
        /// No new task starts until the run is resumed.
        Paused = "paused",
        /// Told to stop; running tasks are being ended.
        Cancelling = "cancelling",
        /// Every step succeeded or was skipped.
        Succeeded = "succeeded",
        /// A step failed.
        Failed = "failed",
        /// Stopped by a person or a deadline.
        Cancelled = "cancelled",
    }
}

impl RunState {
    /// Whether the run has ended.
    pub const fn is_final(self) -> bool {
        matches!(self, RunState::Succeeded | RunState::Failed | RunState::Cancelled)
    }
}

states! {
    /// Where a step is.
    StepState {
        /// Waits for the steps before it.
        Waiting = "waiting",
        /// Its condition and its list are being worked out, and its tasks laid down.
        Opening = "opening",
        /// Its tasks are waiting or running.
        Running = "running",
        /// All its tasks succeeded.
        Succeeded = "succeeded",
        /// A task failed for good.
        Failed = "failed",
        /// Its condition did not hold, or the steps before it ended otherwise than it wants.
        Skipped = "skipped",
        /// Stopped with its run.
        Cancelled = "cancelled",
    }
}

states! {
    /// Where a task is.
    TaskState {
        /// Waits for its turn under the step's own concurrency.
        Held = "held",
        /// A worker with room may take it.
        Ready = "ready",
        /// Waits for a key that others hold.
        Parked = "parked",
        /// Waits before the next attempt.
        Backoff = "backoff",
        /// Its run is paused.
        Paused = "paused",
        /// A worker has it.
        Running = "running",
        /// Done; its result is committed.
        Succeeded = "succeeded",
        /// No attempt is left, or the failure was permanent.
        Failed = "failed",
        /// Stopped.
        Cancelled = "cancelled",
    }
}

impl TaskState {
    /// Whether the task has ended.
    pub const fn is_final(self) -> bool {
        matches!(self, TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled)
    }
}
