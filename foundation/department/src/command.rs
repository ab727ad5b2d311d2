//! What a command gets, and how it fails.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;

use crate::{Endpoint, Error, House};

/// How a command writes its result to standard output. Progress and messages go to standard error in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON value, for programs.
    Json,
}

/// What a command gets.
#[derive(Clone)]
pub struct CommandContext {
    /// The home directory.
    pub home: PathBuf,
    /// How to write the result.
    pub format: OutputFormat,
    /// A server that was named by flag or variable, or else announced in the home.
    server: Option<Endpoint>,
    open_house: Arc<dyn Fn() -> BoxFuture<'static, Result<House, Error>> + Send + Sync>,
    output: Arc<Mutex<dyn Write + Send>>,
}

impl fmt::Debug for CommandContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandContext")
            .field("home", &self.home)
            .field("format", &self.format)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl CommandContext {
    /// A context; `open_house` opens the home in this process, for commands that need no server.
    pub fn new<F, R>(
        home: impl Into<PathBuf>,
        format: OutputFormat,
        server: Option<Endpoint>,
        open_house: F,
    ) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<House, Error>> + Send + 'static,
    {
        let output = Arc::new(Mutex::new(std::io::stdout()));
        Self { home: home.into(), format, server, open_house: Arc::new(move || open_house().boxed()), output }
    }

    /// Writes results there instead of to standard output.
    pub fn with_output(mut self, output: Arc<Mutex<dyn Write + Send>>) -> Self {
        self.output = output;
        self
    }

    /// The running server, if one is known.
    pub fn server(&self) -> Option<&Endpoint> {
        self.server.as_ref()
    }

    /// The running server, for commands that need one.
    ///
    /// # Errors
    /// Exit code 3 and how to start one.
    pub fn require_server(&self) -> Result<&Endpoint, CommandError> {
        self.server.as_ref().ok_or_else(|| {
            CommandError::new(
                CommandError::UNREACHABLE,
                format!("no server runs for {}", self.home.display()),
                "start one with `backlot up`, or name one with --url",
            )
        })
    }

    /// Opens the house in this process.
    ///
    /// # Errors
    /// Whatever keeps it shut.
    pub async fn open_house(&self) -> Result<House, CommandError> {
        (self.open_house)().await.map_err(CommandError::from)
    }

    /// Writes a command's result: the value as JSON, or what `text` makes of it.
    ///
    /// # Errors
    /// As [`CommandContext::write`].
    pub fn print<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CommandError> {
        match self.format {
            OutputFormat::Text => self.write(&text(value)),
            OutputFormat::Json => self.write(&to_json(serde_json::to_string_pretty(value))?),
        }
    }

    /// Writes one of many results as they come: the value as one line of JSON, or what `text` makes of it.
    ///
    /// # Errors
    /// As [`CommandContext::write`].
    pub fn print_line<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CommandError> {
        match self.format {
            OutputFormat::Text => self.write(&text(value)),
            OutputFormat::Json => self.write(&to_json(serde_json::to_string(value))?),
        }
    }

    /// Writes text and the line's end, if it has none.
    ///
    /// # Errors
    /// Output that cannot be written to. A reader that has closed the pipe has seen enough: that error has the exit code 0 and
    /// no message, so that `?` ends the command quietly.
    pub fn write(&self, text: &str) -> Result<(), CommandError> {
        if text.is_empty() {
            return Ok(());
        }
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let written = output.write_all(text.as_bytes()).and_then(|()| output.write_all(end.as_bytes()));
        written.and_then(|()| output.flush()).map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => CommandError::new(0, "", ""),
            _ => CommandError::failed(
                format!("cannot write the result: {error}"),
                "check where the output goes",
            ),
        })
    }
}

fn to_json(written: serde_json::Result<String>) -> Result<String, CommandError> {
    written.map_err(|error| {
        CommandError::failed(format!("the result is no JSON: {error}"), "leave --output json out")
    })
}

/// How a command failed: one line, the mend, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {mend}")]
pub struct CommandError {
    /// The process's exit code.
    pub code: u8,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub mend: String,
}

impl CommandError {
    /// The work itself failed.
    pub const FAILED: u8 = 1;
    /// The command was not called rightly.
    pub const USAGE: u8 = 2;
    /// No server, or one that does not answer.
    pub const UNREACHABLE: u8 = 3;

    /// An error with every part given.
    pub fn new(code: u8, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { code, message: message.into(), mend: mend.into() }
    }

    /// The work itself failed: exit code 1.
    pub fn failed(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(Self::FAILED, message, mend)
    }

    /// The command was not called rightly: exit code 2.
    pub fn usage(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(Self::USAGE, message, mend)
    }

    /// Whether there is nothing to say: the reader of the output has gone.
    pub fn is_silent(&self) -> bool {
        self.message.is_empty()
    }

    /// The code for the process's end.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<Error> for CommandError {
    /// The house's errors name their mend in their own text.
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let (message, mend) = text.rsplit_once("; ").unwrap_or((&text, "see `backlot doctor`"));
        Self::failed(message, mend)
    }
}
