//! The shapes of the runs and events doors, as `/api` of a server describes them.
//!
//! A later server may say more than this client knows: fields that are not named here are left out, and a state that is not
//! named here reads as `Unknown`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

macro_rules! states {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// A state of a later server.
            #[serde(other)]
            Unknown,
        }

        impl $name {
            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ $name::Unknown => "unknown" }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
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
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
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

impl StepState {
    /// Whether the step has ended.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled)
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
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// Tasks counted by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TaskCounts {
    /// Those known so far.
    pub total: u64,
    /// Succeeded, cached ones among them.
    pub succeeded: u64,
    /// Taken from an earlier equal task.
    pub cached: u64,
    /// Failed for good.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Its spec's name.
    pub name: String,
    /// Where it is.
    pub state: RunState,
    /// When it was submitted.
    pub created: Timestamp,
    /// When its first task started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// When it will be cancelled if it has not ended.
    pub deadline: Option<Timestamp>,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// Who submitted it.
    #[serde(default)]
    pub submitted_by: String,
    /// Its priority.
    #[serde(default)]
    pub priority: i64,
    /// Its parameters.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// Its tasks, over the steps that have begun.
    #[serde(default)]
    pub tasks: TaskCounts,
    /// Steps in all.
    #[serde(default)]
    pub steps: u64,
    /// Steps that have ended.
    #[serde(default)]
    pub steps_ended: u64,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// Its name.
    pub name: String,
    /// The kind of its tasks.
    pub kind: String,
    /// Where it is.
    pub state: StepState,
    /// The steps it waits for.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Whether it is a map: one task for each item of a list.
    #[serde(default)]
    pub map: bool,
    /// Its tasks.
    #[serde(default)]
    pub tasks: TaskCounts,
    /// When its first task was laid down.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A task of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Task {
    /// Its number, the cursor of lists.
    pub task: i64,
    /// The run's id.
    pub run: String,
    /// The step's name.
    pub step: String,
    /// Its position in the map, from 0.
    pub index: u64,
    /// Where it is.
    pub state: TaskState,
    /// Whether its result is an earlier task's.
    #[serde(default)]
    pub cached: bool,
    /// Attempts begun.
    #[serde(default)]
    pub attempt: u64,
    /// Attempts that failed.
    #[serde(default)]
    pub failures: u64,
    /// The number of the worker that has it.
    pub worker: Option<i64>,
    /// When its latest attempt started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// How far it is, 0 to 1.
    pub progress: Option<f64>,
    /// What it is doing.
    pub message: Option<String>,
    /// Why its latest attempt failed.
    pub error: Option<String>,
    /// The key it waits for.
    pub parked_on: Option<String>,
    /// Its item, in a map.
    pub item: Option<Value>,
    /// Its named results; see [`BlobRef`].
    pub outputs: Option<Value>,
}

/// A blob as it stands in outputs: `{"$blob": "blake3:…", "size": 12, "type": "video/mp4"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// The content's digest, `blake3:` and 64 hexadecimal digits.
    #[serde(rename = "$blob")]
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its media type.
    #[serde(rename = "type")]
    pub media_type: String,
}

impl BlobRef {
    /// The blob that a JSON value stands for, if it stands for one.
    pub fn from_value(value: &Value) -> Option<Self> {
        value.get("$blob")?;
        Self::deserialize(value).ok()
    }
}

/// A piece of a task's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogPiece {
    /// The attempt it belongs to, from 1.
    pub attempt: u64,
    /// Its number; a gap means that older pieces were dropped to keep the log bounded.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// Whole lines.
    pub text: String,
}

/// Pieces of a log, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct LogPage {
    /// The pieces.
    pub pieces: Vec<LogPiece>,
    /// The cursor for the pieces that follow.
    pub next: Option<u64>,
}

/// An event, as a CloudEvents 1.0 envelope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Unique within its source.
    pub id: String,
    /// Where it happened, a URI reference.
    pub source: String,
    /// What happened (CloudEvents `type`).
    #[serde(rename = "type")]
    pub kind: String,
    /// What it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened.
    pub time: Option<Timestamp>,
    /// The JSON payload.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// Every other attribute: `specversion`, `data_base64`, extensions, and the place in the log as `backlotseq`.
    #[serde(flatten)]
    pub attributes: Map<String, Value>,
}

impl Event {
    /// Its place in the log; the cursor of lists.
    pub fn seq(&self) -> Option<u64> {
        self.attributes.get("backlotseq")?.as_str()?.parse().ok()
    }
}

/// Events, oldest first.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// The cursor for the events that follow, also for those that have not happened yet.
    pub next: u64,
}

/// What a submission says besides the spec and its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SubmitOptions {
    /// Runs of higher priority start first; it is added to the spec's.
    pub priority: i32,
    /// Do not reuse earlier results.
    pub no_cache: bool,
    /// Submissions with the same key are one run, so a submission whose answer was lost can be sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Which runs to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only these states; all when empty.
    pub states: Vec<RunState>,
    /// Only runs of this name.
    pub name: Option<String>,
    /// Only runs older than this one.
    pub before: Option<String>,
    /// At most so many on a page: the server's 100 when 0, and 1000 at most.
    pub limit: u32,
}

/// Which tasks of a run to list, in the order of its steps and items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only this step's.
    pub step: Option<String>,
    /// Only these states; all when empty.
    pub states: Vec<TaskState>,
    /// Only tasks after the one with this number ([`Task::task`]).
    pub after: Option<i64>,
    /// At most so many on a page: the server's 100 when 0, and 1000 at most.
    pub limit: u32,
}

/// Which events to read, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only after this place in the log.
    pub after: u64,
    /// Only kinds that start so.
    pub kind: Option<String>,
    /// Only from this source.
    pub source: Option<String>,
    /// Only about this subject.
    pub subject: Option<String>,
    /// Only at this moment or later. Not heeded by a follower, which begins at `after`.
    pub since: Option<Timestamp>,
    /// At most so many on a page: the server's 100 when 0, and 1000 at most.
    pub limit: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn later_servers_are_understood() {
        let run: Run = serde_json::from_value(json!({
            "id": "r1", "name": "x", "state": "hibernating", "created": "2026-01-31T12:00:00.5Z", "colour": "red"
        }))
        .unwrap();
        assert_eq!((run.state, run.state.as_str(), run.started), (RunState::Unknown, "unknown", None));
        assert!(!run.state.is_final());
    }

    #[test]
    fn an_event_keeps_every_attribute() {
        let text = json!({
            "specversion": "1.0", "id": "7", "source": "/a", "type": "b", "time": "2026-01-31T12:00:00Z",
            "backlotseq": "7", "colour": "red", "data": { "n": 1 }
        });
        let event: Event = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(
            (event.seq(), event.kind.as_str(), &event.attributes["colour"]),
            (Some(7), "b", &json!("red"))
        );
        assert_eq!(serde_json::to_value(&event).unwrap(), text);
    }

    #[test]
    fn blobs_are_known_by_their_mark() {
        let blob = json!({ "$blob": "blake3:00", "size": 1, "type": "text/plain" });
        assert_eq!(BlobRef::from_value(&blob).unwrap().size, 1);
        for other in [json!(1), json!({}), json!({ "$blob": 3 }), json!({ "size": 1 })] {
            assert_eq!(BlobRef::from_value(&other), None);
        }
    }
}
