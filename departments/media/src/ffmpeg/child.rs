//! One run of ffmpeg.
//!
//! The child leads a process group of its own, and the group is killed when the run is dropped before it ended: a
//! cancelled task leaves nothing behind. Its log is read line by line and only the last lines are kept.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    process::Command,
    task::JoinHandle,
};

use crate::{
    Error,
    ffmpeg::{Ffmpeg, diagnosis},
};

/// Log lines kept for the error message.
const LINES_KEPT: usize = 60;
/// Longer log lines are cut.
const LINE_LIMIT: usize = 2000;

/// Takes the lines of a child's log, or of its machine-readable progress, as they come.
pub(crate) trait LineSink: Send + 'static {
    /// The next line, without its end.
    fn line(&mut self, line: &str);
}

impl LineSink for () {
    fn line(&mut self, _line: &str) {}
}

impl<F: FnMut(&str) + Send + 'static> LineSink for F {
    fn line(&mut self, line: &str) {
        self(line);
    }
}

/// What ffmpeg is to do.
pub(crate) struct Job {
    what: String,
    subject: PathBuf,
    output: Option<PathBuf>,
    args: Vec<OsString>,
}

impl Job {
    /// A job named by `what` (for messages) that reads `subject`. `log_level` is ffmpeg's.
    pub(crate) fn new(what: impl Into<String>, subject: &Path, log_level: &str) -> Self {
        // Only files are opened, whatever a playlist inside the subject says.
        let args =
            ["-hide_banner", "-nostdin", "-nostats", "-v", log_level, "-protocol_whitelist", "file,pipe"];
        Self {
            what: what.into(),
            subject: subject.to_owned(),
            output: None,
            args: args.into_iter().map(OsString::from).collect(),
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// `-i` of a file, whatever its name looks like.
    pub(crate) fn input(self, path: &Path) -> Self {
        self.arg("-i").arg(file_url(path))
    }

    /// The output file, overwritten.
    pub(crate) fn output(mut self, path: &Path) -> Self {
        self.output = Some(path.to_owned());
        self.arg("-y").arg(file_url(path))
    }

    /// Starts the child. Its log goes to `log`; its standard output is the caller's to take.
    pub(crate) fn spawn<L: LineSink>(self, ffmpeg: &Ffmpeg, log: L) -> Result<Running<L>, Error> {
        let mut child = Command::new(ffmpeg.path())
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| Error::FfmpegBroken {
                path: ffmpeg.path().to_owned(),
                detail: error.to_string(),
            })?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let stderr = child.stderr.take().expect("invariant: stderr is piped above");
        let log = tokio::spawn(read_log(stderr, log));
        Ok(Running { child, group, log, job: self })
    }

    /// Runs the child to its end: its log goes to `log`, the lines of its standard output to `out`; both come back.
    pub(crate) async fn run<L: LineSink, O: LineSink>(
        self,
        ffmpeg: &Ffmpeg,
        log: L,
        mut out: O,
    ) -> Result<(L, O), Error> {
        let mut running = self.spawn(ffmpeg, log)?;
        if let Some(stdout) = running.child.stdout.take() {
            each_line(stdout, |line| out.line(line)).await;
        }
        let log = running.finish().await?;
        Ok((log, out))
    }
}

fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// A child at work. Dropping it kills its process group.
pub(crate) struct Running<L> {
    child: tokio::process::Child,
    group: Group,
    log: JoinHandle<(Tail, L)>,
    job: Job,
}

impl<L: LineSink> Running<L> {
    /// The child's standard output as a blocking file, for a reader on a thread of its own. `None` the second time.
    pub(crate) fn take_stdout(&mut self) -> Result<Option<File>, Error> {
        let Some(stdout) = self.child.stdout.take() else { return Ok(None) };
        let pipe = stdout.into_owned_fd().map_err(|error| Error::io(&self.job.subject, error))?;
        Ok(Some(File::from(pipe)))
    }

    /// Waits for the end. A failure becomes the error that the log tells of.
    pub(crate) async fn finish(mut self) -> Result<L, Error> {
        let status = self.child.wait().await.map_err(|error| Error::io(&self.job.subject, error))?;
        // The leader is reaped: its id may be another's from here on.
        self.group.0 = None;
        let (tail, log) = (&mut self.log).await.map_err(|error| Error::Child {
            what: self.job.what.clone(),
            status: status.to_string(),
            line: error.to_string(),
        })?;
        if status.success() { Ok(log) } else { Err(self.diagnose(&tail, status)) }
    }

    fn diagnose(&self, tail: &Tail, status: ExitStatus) -> Error {
        let Job { what, subject, output, .. } = &self.job;
        diagnosis::error_of(what, subject, output.as_deref(), tail, status)
    }
}

/// A process group that is killed on drop while it is set.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            // It fails when the group has already ended, which is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The last lines of a log.
type Tail = VecDeque<String>;

async fn read_log<L: LineSink>(stderr: impl AsyncRead + Unpin, mut log: L) -> (Tail, L) {
    let mut tail = Tail::default();
    each_line(stderr, |line| {
        log.line(line);
        if tail.len() == LINES_KEPT {
            tail.pop_front();
        }
        tail.push_back(line.to_owned());
    })
    .await;
    (tail, log)
}

/// Hands each line of a pipe to `sink` until the pipe ends or breaks; overlong lines are cut in pieces.
async fn each_line(pipe: impl AsyncRead + Unpin, mut sink: impl FnMut(&str)) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(LINE_LIMIT as u64).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        sink(text.trim_end_matches(['\n', '\r']));
    }
}
