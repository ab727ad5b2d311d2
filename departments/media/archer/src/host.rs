//! Where functions run, as the steps see it: a worker's task, or this process.

use async_trait::async_trait;
use tokio::process::Command;

/// Why a step did not succeed; the text is one line that names the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A function failed; another attempt may succeed.
    #[error("{0}")]
    Function(String),
    /// Trouble of the machine that may pass.
    #[error("{0}")]
    Machine(String),
    /// No attempt will succeed: the clip, the job or the machine must change first.
    #[error("{0}")]
    Refused(String),
    /// It stopped because it was told to.
    #[error("stopped")]
    Stopped,
}

impl Failure {
    /// Trouble with a file.
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Machine(format!("{}: {error}", path.display()))
    }
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With exit status 0.
    Well,
    /// Otherwise: `exit status 3: last line of standard error`.
    Badly(String),
}

/// Runs programs and takes what they say.
#[async_trait]
pub trait Host: Send + Sync {
    /// Adds a line to the log.
    fn log(&self, line: &str);

    /// Says how far the step is, 0 to 1.
    fn progress(&self, fraction: f64, message: &str);

    /// Runs a program to its end, its output to the log. The program leads a process group, and dropping the future kills
    /// the group.
    async fn child(&self, command: Command) -> Result<Ended, Failure>;
}
