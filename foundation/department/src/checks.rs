//! External parts: what a department needs that is not in the binary, how to find it, how to get it.

use std::fmt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use tokio::process::Command;

/// A program that does not tell its version within this time is not working.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much depends on a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The department cannot work without it.
    Required,
    /// Something is missing without it; the check's purpose says what.
    Optional,
}

/// How a part can be installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Install {
    /// Debian packages.
    Apt(Vec<String>),
    /// Packages of the Python package index, into the house's virtual environment.
    Pip(Vec<String>),
    /// By hand, as this line says.
    Manual(String),
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// It is there; the text is its version.
    Found(String),
    /// It is not there.
    Missing,
    /// It is there and of no use; the text says why.
    Unusable(String),
}

/// One external part that a department needs.
#[derive(Clone)]
pub struct Check {
    /// The part: `ffmpeg`.
    pub name: String,
    /// What it is needed for: "encodes shots".
    pub purpose: String,
    /// How much depends on it.
    pub need: Need,
    /// Ways to get it, best first.
    pub install: Vec<Install>,
    probe: Arc<dyn Fn() -> BoxFuture<'static, Finding> + Send + Sync>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).field("need", &self.need).finish_non_exhaustive()
    }
}

impl Check {
    /// A check with a probe of its own.
    pub fn new<F, R>(name: impl Into<String>, purpose: impl Into<String>, need: Need, probe: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Finding> + Send + 'static,
    {
        let probe = Arc::new(move || probe().boxed());
        Self { name: name.into(), purpose: purpose.into(), need, install: Vec::new(), probe }
    }

    /// A check for a program on the search path; `arguments` make it print its version, whose first line is reported.
    pub fn program(program: &str, arguments: &[&str], purpose: &str, need: Need) -> Self {
        let owned = program.to_owned();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self::new(program, purpose, need, move || probe_program(owned.clone(), arguments.clone()))
    }

    /// Adds a way to get the part.
    pub fn install(mut self, install: Install) -> Self {
        self.install.push(install);
        self
    }

    /// Looks for the part now.
    pub async fn run(&self) -> Finding {
        (self.probe)().await
    }
}

async fn probe_program(program: String, arguments: Vec<String>) -> Finding {
    let mut command = Command::new(&program);
    command.args(&arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(PROBE_TIMEOUT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return Finding::Missing,
        Ok(Err(error)) => return Finding::Unusable(format!("it cannot be started: {error}")),
        Err(_) => {
            return Finding::Unusable(format!("it did not answer within {} s", PROBE_TIMEOUT.as_secs()));
        }
    };
    // Some programs print their version on standard error.
    let text = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let first_line = String::from_utf8_lossy(text).lines().next().unwrap_or_default().trim().to_owned();
    if output.status.success() {
        Finding::Found(first_line)
    } else {
        Finding::Unusable(format!("it ended with {}: {first_line}", output.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn look_for(program: &str, arguments: &[&str]) -> Finding {
        Check::program(program, arguments, "tests", Need::Optional).run().await
    }

    #[tokio::test]
    async fn programs_are_found_missing_or_unusable() {
        assert_eq!(
            look_for("sh", &["-c", "echo version 7; echo more"]).await,
            Finding::Found("version 7".into())
        );
        assert_eq!(look_for("sh", &["-c", "echo 8 >&2"]).await, Finding::Found("8".into()));
        assert_eq!(look_for("no-such-program-here", &[]).await, Finding::Missing);
        let Finding::Unusable(why) = look_for("sh", &["-c", "echo broken; exit 3"]).await else {
            panic!("usable")
        };
        assert!(why.contains("broken") && why.contains('3'), "{why}");
    }
}
