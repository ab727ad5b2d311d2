//! Child processes of tasks.
//!
//! A child runs in a process group of its own, so that whatever it starts ends with it: on cancel the group gets
//! SIGTERM, and SIGKILL when it has not ended after [`GRACE`]; when the task's future is dropped the group is killed
//! at once. Children carry the worker's tag in their environment (`BACKLOT_WORKER`); by it the other workers of the machine
//! find the children that a crash left behind, and end them (see `orphans`).

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::kind::{TaskContext, TaskError};

/// How long a child may take to end after SIGTERM.
pub const GRACE: Duration = Duration::from_secs(5);

/// The variable by which a worker knows the children of workers before it.
pub(crate) const WORKER_VARIABLE: &str = "BACKLOT_WORKER";

/// The last lines of standard error kept for the error message.
const KEPT_LINES: usize = 20;

/// What a child reads on standard input.
pub enum Input {
    /// Nothing.
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// This file.
    File(std::path::PathBuf),
}

/// How a child ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// The last lines it wrote to standard error, oldest first.
    pub last_errors: Vec<String>,
}

impl Ended {
    /// `exit status 3: last line` or `killed by signal 9: …`.
    pub fn describe(&self) -> String {
        use std::os::unix::process::ExitStatusExt;
        let how = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "ended abnormally".to_owned(),
        };
        match self.last_errors.iter().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => format!("{how}: {}", line.trim()),
            None => how,
        }
    }
}

/// Kills the group when dropped before the child's end was seen.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, signal); // it may have ended by itself in the meantime
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl TaskContext {
    /// Runs a child to its end. Standard output goes to `stdout` if given, else to the task's log, where standard
    /// error goes too. Gives [`TaskError::Stopped`] when the task was told to stop, after the whole group has ended.
    pub async fn child(
        &self,
        mut command: Command,
        input: Input,
        stdout: Option<&Path>,
    ) -> Result<Ended, TaskError> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        command.process_group(0).kill_on_drop(true).stderr(Stdio::piped());
        command.env(WORKER_VARIABLE, &self.0.worker_tag);
        let io_error = |what: &str, error: std::io::Error| TaskError::Retryable(format!("{what}: {error}"));
        match &input {
            Input::Null => command.stdin(Stdio::null()),
            Input::Bytes(_) => command.stdin(Stdio::piped()),
            Input::File(path) => {
                let file = std::fs::File::open(path)
                    .map_err(|error| io_error(&path.display().to_string(), error))?;
                command.stdin(Stdio::from(file))
            }
        };
        match stdout {
            Some(path) => {
                let file = std::fs::File::create(path)
                    .map_err(|error| io_error(&path.display().to_string(), error))?;
                command.stdout(Stdio::from(file))
            }
            None => command.stdout(Stdio::piped()),
        };
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => TaskError::Permanent(format!(
                "there is no program `{program}` on this machine; install it or give its full path"
            )),
            std::io::ErrorKind::PermissionDenied => TaskError::Permanent(format!(
                "`{program}` may not be run: permission denied; make it executable"
            )),
            _ => TaskError::Retryable(format!("`{program}` could not be started: {error}")),
        })?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(id as i32)));
        let ended = tokio::select! {
            ended = self.attend(&mut child, input) => ended.map_err(|error| io_error(&program, error)),
            () = self.cancelled() => {
                group.signal(Signal::TERM);
                if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
                    group.signal(Signal::KILL);
                    let _ = child.wait().await;
                }
                Err(TaskError::Stopped)
            }
        };
        // The child has ended; what it left running in its group ends now.
        group.signal(Signal::KILL);
        group.0 = None;
        ended
    }

    async fn attend(&self, child: &mut Child, input: Input) -> std::io::Result<Ended> {
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let feed = async {
            if let (Some(mut stdin), Input::Bytes(bytes)) = (stdin, input) {
                let _ = stdin.write_all(&bytes).await; // a child need not read all of it
            }
        };
        let out = async {
            match stdout {
                Some(stdout) => self.follow(stdout, 0).await,
                None => Vec::new(),
            }
        };
        let errors = async {
            match stderr {
                Some(stderr) => self.follow(stderr, KEPT_LINES).await,
                None => Vec::new(),
            }
        };
        let pipes = async { tokio::join!(feed, out, errors).2 };
        tokio::pin!(pipes);
        let mut last_errors = None;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                lines = &mut pipes, if last_errors.is_none() => last_errors = Some(lines),
            }
        };
        let last_errors = match last_errors {
            Some(lines) => lines,
            // A grandchild may hold the pipes open for ever; what was written until now has arrived.
            None => tokio::time::timeout(Duration::from_millis(500), pipes).await.unwrap_or_default(),
        };
        Ok(Ended { status, last_errors })
    }

    /// Copies lines into the log, and keeps the last `kept` of them.
    async fn follow(&self, pipe: impl AsyncRead + Unpin, kept: usize) -> Vec<String> {
        let mut reader = BufReader::new(pipe);
        let mut last = std::collections::VecDeque::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            // A "line" without an end is cut, so that it cannot fill the memory.
            let mut bounded = (&mut reader).take(64 << 10);
            match bounded.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return last.into(),
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            // Progress bars rewrite their line with carriage returns; the last state is what matters.
            let text = text.rsplit('\r').next().unwrap_or_default();
            self.log(text);
            if kept > 0 {
                if last.len() == kept {
                    last.pop_front();
                }
                last.push_back(text.to_owned());
            }
        }
    }
}
