//! A job in this process: no ledger, no store, no server. Parts run side by side; the rest is what workers do.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use backlot_frames::Rate;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::escapees;
use crate::host::{Ended, Failure, Host};
use crate::media::Media;
use crate::native::Natives;
use crate::steps::{Environment, Made, PartResult, Step};
use crate::{Job, OnFailure, Part};

/// The longest line of a program's output; longer ones are cut in pieces.
const LONGEST_LINE: u64 = 64 << 10;

/// The last lines of standard error that an error may quote.
const KEPT_LINES: usize = 20;

/// A job and a clip.
#[derive(Clone)]
pub struct LocalRun {
    /// The job.
    pub job: Job,
    /// The directory that the job's `files` are seen from.
    pub base: PathBuf,
    /// The parameters, with defaults filled in.
    pub params: Map<String, Value>,
    /// The clip.
    pub clip: PathBuf,
    /// Makes the frame rate constant at this.
    pub fps: Option<Rate>,
    /// Parts at work at once.
    pub at_once: usize,
}

/// Hears of a run.
pub trait Listener: Send + Sync + 'static {
    /// A line of a program's output, or of the platform's own.
    fn line(&self, who: &str, line: &str);

    /// So many of so many parts are done.
    fn parts(&self, done: usize, of: usize);
}

struct Shared {
    run: LocalRun,
    environment: Environment,
    files: BTreeMap<String, PathBuf>,
    clip: PathBuf,
    source: crate::media::Source,
    scratch: tempfile::TempDir,
    media: Arc<dyn Media>,
    natives: Natives,
    listener: Arc<dyn Listener>,
}

impl LocalRun {
    /// Runs the job to its end. The files of what it made lie in the returned directory, and go with it.
    pub async fn run(
        self,
        media: Arc<dyn Media>,
        natives: Natives,
        listener: Arc<dyn Listener>,
    ) -> Result<(Made, tempfile::TempDir), Failure> {
        let before = fingerprint(&self.clip)?;
        let clip = std::path::absolute(&self.clip).map_err(|error| Failure::file(&self.clip, &error))?;
        let name =
            clip.file_name().map_or_else(|| "clip".to_owned(), |name| name.to_string_lossy().into_owned());
        let source = media.probe(&clip, &name, self.fps).await?;
        let scratch = tempfile::tempdir().map_err(|error| Failure::file(&std::env::temp_dir(), &error))?;
        let files = self.job.files.iter().map(|(name, path)| (name.clone(), self.base.join(path))).collect();
        let environment = Environment::of(&self.job);
        let shared = Arc::new(Shared {
            environment,
            files,
            clip,
            source,
            scratch,
            media,
            natives,
            listener,
            run: self,
        });
        let made = perform(&shared).await;
        escapees::clear_now();
        let made = made?;
        if fingerprint(&shared.run.clip)? != before {
            return Err(Failure::Refused(format!(
                "{} changed while the job looked at it; run the job again",
                shared.run.clip.display()
            )));
        }
        let shared = Arc::into_inner(shared)
            .ok_or_else(|| Failure::Machine("a part is still at work; run the job again".to_owned()))?;
        Ok((made, shared.scratch))
    }
}

async fn perform(shared: &Arc<Shared>) -> Result<Made, Failure> {
    let job = &shared.run.job;
    let Answer::Parts(parts) = shared.attempts("split", Call::Split).await? else {
        return Err(misanswered());
    };
    let (count, done) = (parts.len(), Arc::new(AtomicUsize::new(0)));
    shared.listener.parts(0, count);
    let room = Arc::new(Semaphore::new(
        shared.run.at_once.min(job.limits.concurrency.unwrap_or(u32::MAX) as usize).max(1),
    ));
    let mut tasks = JoinSet::new();
    for part in parts {
        let (shared, room, done) = (shared.clone(), room.clone(), done.clone());
        tasks.spawn(async move {
            let Ok(_place) = room.acquire().await else { return (part, Err(Failure::Stopped)) };
            let made = shared.map(&part).await;
            shared.listener.parts(done.fetch_add(1, Ordering::Relaxed) + 1, count);
            (part, made)
        });
    }
    let mut results = Vec::with_capacity(count);
    while let Some(ended) = tasks.join_next().await {
        results.push(ended.map_err(|error| Failure::Machine(format!("a part did not end well: {error}")))?);
    }
    results.sort_by_key(|(part, _)| part.index);
    let failed = results.iter().filter(|(_, made)| made.is_err()).count();
    let mut told = Vec::with_capacity(count);
    for (part, made) in results {
        let made = match made {
            Ok(made) => Ok(made),
            Err(Failure::Function(why) | Failure::Refused(why)) if job.on_failure == OnFailure::Collect => {
                Err(why)
            }
            Err(Failure::Function(why)) if failed > 1 => {
                return Err(Failure::Function(format!("{failed} of {count} parts failed; the first: {why}")));
            }
            Err(failure) => return Err(failure),
        };
        told.push(PartResult { part, made });
    }
    match shared.attempts("collect", Call::Collect(&told)).await? {
        Answer::Made(made) => Ok(made),
        Answer::Parts(_) => Err(misanswered()),
    }
}

/// One step of a job.
#[derive(Clone, Copy)]
enum Call<'a> {
    Split,
    Map(&'a Part),
    Collect(&'a [PartResult]),
}

enum Answer {
    Parts(Vec<Part>),
    Made(Made),
}

impl Call<'_> {
    async fn on(self, step: Step<'_>, job: &Job) -> Result<Answer, Failure> {
        match self {
            Self::Split => step.split(&job.split).await.map(Answer::Parts),
            Self::Map(part) => step.map(&job.map, job.frames.as_ref(), part).await.map(Answer::Made),
            Self::Collect(results) => step.collect(job.collect.as_ref(), results).await.map(Answer::Made),
        }
    }
}

fn misanswered() -> Failure {
    Failure::Refused("a step gave the answer of another".to_owned())
}

impl Shared {
    async fn map(&self, part: &Part) -> Result<Made, Failure> {
        match self.attempts(&format!("map-{:06}", part.index), Call::Map(part)).await? {
            Answer::Made(made) => Ok(made),
            Answer::Parts(_) => Err(misanswered()),
        }
    }

    /// Calls a function until it succeeds or has no retries left, each time in a directory of its own.
    async fn attempts(&self, what: &str, call: Call<'_>) -> Result<Answer, Failure> {
        let mut attempt = 0;
        loop {
            let scratch = self.scratch.path().join(format!("{what}.{attempt}"));
            std::fs::create_dir_all(&scratch).map_err(|error| Failure::file(&scratch, &error))?;
            let host = LocalHost { who: what.to_owned(), listener: self.listener.clone() };
            let step = Step {
                environment: &self.environment,
                files: &self.files,
                params: &self.run.params,
                source: &self.source,
                clip: &self.clip,
                scratch: &scratch,
                host: &host,
                media: &*self.media,
                natives: &self.natives,
            };
            let result = call.on(step, &self.run.job).await;
            // Frames are large and of no use to anybody else.
            let _ = std::fs::remove_dir_all(scratch.join("task/frames"));
            match result {
                Err(Failure::Function(why)) if attempt < self.run.job.limits.retries => {
                    self.listener.line(what, &format!("failed, tries again: {why}"));
                    attempt += 1;
                }
                other => return other,
            }
        }
    }
}

/// What changes when a file does.
fn fingerprint(path: &Path) -> Result<(u64, Option<SystemTime>), Failure> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok((metadata.len(), metadata.modified().ok())),
        Ok(_) => {
            Err(Failure::Refused(format!("{} is not a file; give the path of a video file", path.display())))
        }
        Err(error) => {
            Err(Failure::Refused(format!("{}: {error}; give the path of a video file", path.display())))
        }
    }
}

struct LocalHost {
    who: String,
    listener: Arc<dyn Listener>,
}

#[async_trait]
impl Host for LocalHost {
    fn log(&self, line: &str) {
        self.listener.line(&self.who, line);
    }

    fn progress(&self, _fraction: f64, _message: &str) {}

    async fn child(&self, mut command: Command) -> Result<Ended, Failure> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let broken =
            |error: std::io::Error| Failure::Machine(format!("`{program}` could not be run: {error}"));
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(broken)?;
        let _group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let (out, errors) = (child.stdout.take(), child.stderr.take());
        let mut last = VecDeque::new();
        let status = {
            let hear = async {
                tokio::join!(
                    each_line(out, |line| self.log(line)),
                    each_line(errors, |line| {
                        self.log(line);
                        if last.len() == KEPT_LINES {
                            last.pop_front();
                        }
                        last.push_back(line.to_owned());
                    })
                );
            };
            tokio::pin!(hear);
            let mut heard = false;
            loop {
                tokio::select! {
                    status = child.wait() => {
                        if !heard {
                            // Somebody who left the group may hold the pipes open for ever.
                            let _ = tokio::time::timeout(std::time::Duration::from_millis(500), &mut hear).await;
                        }
                        break status.map_err(broken)?;
                    }
                    () = &mut hear, if !heard => heard = true,
                }
            }
        };
        if status.success() {
            return Ok(Ended::Well);
        }
        let line = last.iter().rev().find(|line| !line.trim().is_empty());
        Ok(Ended::Badly(describe(status, line.map(|line| line.trim()))))
    }
}

/// As the engine of durable work says it.
fn describe(status: std::process::ExitStatus, line: Option<&str>) -> String {
    use std::os::unix::process::ExitStatusExt;
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended abnormally".to_owned(),
    };
    match line {
        Some(line) => format!("{how}: {line}"),
        None => how,
    }
}

/// A process group that is killed on drop: with its leader, or after it.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL); // it may have ended by itself
        }
    }
}

async fn each_line(pipe: Option<impl AsyncRead + Unpin>, mut sink: impl FnMut(&str)) {
    let Some(pipe) = pipe else { return };
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => sink(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])),
        }
    }
}
