//! The states that things go through, each with one word and one colour everywhere in the console.

use std::fmt;

/// The state of a run, step, task or anything else with a life.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Not begun: it waits for others.
    Pending,
    /// Ready to begin, waiting for a worker.
    Queued,
    /// Under way.
    Running,
    /// Will be tried again.
    Retrying,
    /// Held by a person.
    Paused,
    /// Done.
    Succeeded,
    /// Done earlier; the result was reused.
    Cached,
    /// Not needed.
    Skipped,
    /// Ended without its result.
    Failed,
    /// Ended by a person.
    Cancelled,
    /// Works.
    Ready,
    /// Works in part.
    Degraded,
    /// Does not work.
    Down,
    /// A word that the console does not know; shown as it is.
    Other(String),
}

impl Status {
    /// Reads a state's name; a word that is not known is kept.
    pub fn from_name(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "pending" | "waiting" | "held" | "parked" | "blocked" => Self::Pending,
            "queued" | "opening" => Self::Queued,
            "running" | "active" => Self::Running,
            "retrying" | "backoff" => Self::Retrying,
            "paused" => Self::Paused,
            "succeeded" | "success" | "done" | "ok" => Self::Succeeded,
            "cached" => Self::Cached,
            "skipped" => Self::Skipped,
            "failed" | "error" => Self::Failed,
            "cancelled" | "canceled" => Self::Cancelled,
            "ready" => Self::Ready,
            "degraded" => Self::Degraded,
            "down" => Self::Down,
            _ => Self::Other(name.to_owned()),
        }
    }

    /// The class that gives it its colour.
    pub(crate) fn tone(&self) -> &'static str {
        match self {
            Self::Pending | Self::Queued | Self::Skipped | Self::Cancelled | Self::Other(_) => "neutral",
            Self::Running => "active",
            Self::Retrying | Self::Paused | Self::Degraded => "warn",
            Self::Succeeded | Self::Ready => "good",
            Self::Cached => "cached",
            Self::Failed | Self::Down => "bad",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Cached => "cached",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Other(name) => name,
        })
    }
}
