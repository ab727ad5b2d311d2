//! Kernels: started, spoken with, ended.
//!
//! A kernel is a child process that listens on five sockets, told it by a connection file. Python kernels listen on Unix sockets
//! in a folder that only their user may enter; kernels of which we do not know that they can, on loopback TCP. Every message is
//! signed with a key that only the connection file holds.
//!
//! A kernel is ready when it has answered *and* something came over its iopub channel: a subscription takes effect some time after
//! it was sent, and what is published before is lost.

mod pool;
mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use backlot_notebooks_kernels::{
    Address, CONNECTION_FILE, Channel, Drained, LOG_FILE, Role, Socket, SpecError, Use, command, preparation,
    private_folder, write_private,
};
pub use backlot_notebooks_kernels::{InterruptMode, KernelSearch, KernelSpec};
use backlot_notebooks_model::json::{Object, Value};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::time::{Instant, timeout, timeout_at};

pub use pool::KernelPool;
pub(crate) use wire::Message;
use wire::Session;

/// How long a kernel may take to end after it was asked to.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// How long to wait for something on iopub after a reply, before the kernel is asked again.
const NUDGE: Duration = Duration::from_millis(100);

/// How much of what a dead kernel wrote to standard error is told.
const LOG_TAIL: usize = 2_000;

/// What goes wrong with kernels.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No such kernel, or one whose `kernel.json` cannot be used.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// It did not start.
    #[error("the kernel `{program}` does not start: {why}; check the `argv` of its kernel.json")]
    Start {
        /// Its program.
        program: String,
        /// Why not.
        why: String,
    },
    /// It started and did not answer in time.
    #[error("Kernel didn't respond in {seconds} seconds; raise --start-timeout")]
    Silent {
        /// How long it had.
        seconds: u64,
    },
    /// Its process ended.
    #[error("Kernel died: {how}{log}")]
    Died {
        /// How it ended.
        how: String,
        /// The last that it wrote, if anything.
        log: String,
    },
    /// A socket failed.
    #[error("the connection to the kernel failed: {0}; run the notebook again")]
    Connection(#[from] io::Error),
}

impl KernelError {
    /// Whether the kernel's process ended by itself.
    pub fn is_death(&self) -> bool {
        matches!(self, KernelError::Died { .. })
    }
}

/// How to start a kernel.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What to start.
    pub spec: KernelSpec,
    /// Its working directory; this process's own if none is given.
    pub directory: Option<PathBuf>,
    /// How long it may take until it answers.
    pub patience: Duration,
}

/// Something that a kernel sent.
#[derive(Debug)]
pub(crate) enum Event {
    /// On iopub.
    Published(Message),
    /// On shell.
    Reply(Message),
}

/// A running kernel. Dropped, it is killed at once; [`Kernel::shut_down`] asks first.
pub struct Kernel {
    child: Child,
    group: Option<Pid>,
    shell: Socket,
    iopub: Drained,
    control: Socket,
    session: Session,
    /// What it said of itself: `kernel_info_reply`.
    info: Value,
    interrupt: InterruptMode,
    language: String,
    /// Its sockets, connection file and standard error; removed with it.
    folder: tempfile::TempDir,
}

impl Kernel {
    /// Starts a kernel and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not answer in time.
    pub async fn start(launch: &Launch) -> Result<Kernel, KernelError> {
        let deadline = Instant::now() + launch.patience;
        let silent = || KernelError::Silent { seconds: launch.patience.as_secs() };
        let folder = private_folder()?;
        let key = crate::chance::hex(&crate::chance::bytes(32));
        let session = Session::new(&key, crate::chance::hex(&crate::chance::bytes(16)));
        let address = Address::choose(&launch.spec, folder.path())?;
        write_private(
            &folder.path().join(CONNECTION_FILE),
            address.connection_file(&key, &launch.spec).as_bytes(),
        )?;
        let mut child = spawn(launch, folder.path())?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let group_guard = GroupGuard(group);
        let id = session.id().as_bytes().to_owned();
        let connect = async {
            let shell = address.connect(Channel::Shell, Role::Dealer, &id).await?;
            let iopub = Drained::connect(address.clone(), &id).await?;
            let control = address.connect(Channel::Control, Role::Dealer, &id).await?;
            Ok::<_, io::Error>((shell, iopub, control))
        };
        let connected = tokio::select! {
            connected = timeout_at(deadline, connect) => connected,
            ended = child.wait() => return Err(died(ended, folder.path())),
        };
        let (shell, iopub, control) = connected.map_err(|_| silent())??;
        drop(group_guard.keep());
        let mut kernel = Kernel {
            child,
            group,
            shell,
            iopub,
            control,
            session,
            info: Value::Null,
            interrupt: launch.spec.interrupt_mode,
            language: launch.spec.language.clone(),
            folder,
        };
        let prepared = async {
            kernel.wait_until_ready().await?;
            for code in preparation(&launch.spec, Use::Batch) {
                // One that refuses it does without.
                if let Err(error) = kernel.run_silently(code).await
                    && error.is_death()
                {
                    return Err(error);
                }
            }
            Ok(())
        };
        timeout_at(deadline, prepared).await.map_err(|_| silent())??;
        Ok(kernel)
    }

    async fn wait_until_ready(&mut self) -> Result<(), KernelError> {
        loop {
            let id = self.request("kernel_info_request", &Value::Object(Object::new())).await?;
            let mut is_heard = false;
            let answered = loop {
                match self.next().await? {
                    Event::Published(_) => is_heard = true,
                    Event::Reply(reply) if reply.parent == id => break reply,
                    Event::Reply(_) => {}
                }
            };
            self.info = answered.content;
            let heard = async {
                while !is_heard {
                    is_heard = matches!(self.next().await?, Event::Published(_));
                }
                Ok::<(), KernelError>(())
            };
            if let Ok(heard) = timeout(NUDGE, heard).await {
                return heard;
            }
        }
    }

    /// Its language, as `language_info` of a notebook.
    pub(crate) fn language_info(&self) -> Option<&Value> {
        self.info.get("language_info")
    }

    /// Runs code without a trace: no history, no output is waited for.
    ///
    /// # Errors
    /// The kernel died, or the code failed.
    pub(crate) async fn run_silently(&mut self, code: &str) -> Result<(), KernelError> {
        let id =
            self.request("execute_request", &execute_content(code, Silence::Silent, OnError::Stop)).await?;
        loop {
            if let Event::Reply(reply) = self.next().await?
                && reply.parent == id
            {
                return match reply.text("status") {
                    "ok" => Ok(()),
                    _ => Err(KernelError::Connection(io::Error::other(format!(
                        "the kernel refused its preparation: {}",
                        reply.text("evalue")
                    )))),
                };
            }
        }
    }

    /// Moves it to another working directory. Only a Python kernel can be moved.
    pub(crate) async fn move_to(&mut self, directory: &Path) -> Result<(), KernelError> {
        let literal = Value::from(directory.to_string_lossy().into_owned()).to_compact();
        self.run_silently(&format!("import os as _o; _o.chdir({literal}); del _o")).await
    }

    /// Whether [`Kernel::move_to`] works.
    pub(crate) fn can_move(&self) -> bool {
        self.language == "python"
    }

    /// Asks it to run code; the id by which its events are known.
    pub(crate) async fn execute(&mut self, code: &str, on_error: OnError) -> Result<String, KernelError> {
        self.request("execute_request", &execute_content(code, Silence::Loud, on_error)).await
    }

    async fn request(&mut self, kind: &str, content: &Value) -> Result<String, KernelError> {
        let (id, frames) = self.session.request(kind, content, &crate::clock::now_z());
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        match self.shell.send(&frames).await {
            Ok(()) => Ok(id),
            Err(error) => Err(self.why_closed(error).await),
        }
    }

    /// The next thing that it sends. What it published before it died comes before its death. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Event, KernelError> {
        loop {
            let (frames, is_reply) = tokio::select! {
                biased;
                frames = self.iopub.recv() => (frames, false),
                frames = self.shell.recv() => (frames, true),
                ended = self.child.wait() => {
                    // Its sockets are closed, but what is in them is still to be read.
                    match timeout(NUDGE, self.iopub.recv()).await {
                        Ok(Ok(frames)) => (Ok(frames), false),
                        _ => return Err(died(ended, self.folder.path())),
                    }
                }
            };
            match frames {
                Err(error) => return Err(self.why_closed(error).await),
                Ok(frames) => {
                    if let Some(message) = self.session.read(frames) {
                        return Ok(if is_reply { Event::Reply(message) } else { Event::Published(message) });
                    }
                }
            }
        }
    }

    /// A closed socket nearly always means that the process ended.
    async fn why_closed(&mut self, error: io::Error) -> KernelError {
        match timeout(Duration::from_secs(1), self.child.wait()).await {
            Ok(ended) => died(ended, self.folder.path()),
            Err(_) => KernelError::Connection(error),
        }
    }

    /// Tells it to stop what it does.
    pub(crate) async fn interrupt(&mut self) {
        match self.interrupt {
            InterruptMode::Signal => self.signal(Signal::INT),
            InterruptMode::Message => self.tell("interrupt_request", Object::new()).await,
        }
    }

    /// Asks it to end, and ends it if it does not: its `atexit` hooks run, as with jupyter_client.
    pub async fn shut_down(mut self) {
        self.tell("shutdown_request", [("restart".to_owned(), Value::Bool(false))].into_iter().collect())
            .await;
        // What it still publishes must not keep it from ending.
        let ended = async {
            loop {
                tokio::select! {
                    _ = self.child.wait() => return,
                    frames = self.iopub.recv() => if frames.is_err() { let _ = self.child.wait().await; return },
                }
            }
        };
        if timeout(SHUTDOWN, ended).await.is_err() {
            self.signal(Signal::TERM);
            let _ = timeout(Duration::from_secs(1), self.child.wait()).await;
        }
    }

    async fn tell(&mut self, kind: &str, content: Object) {
        let (_, frames) = self.session.request(kind, &Value::Object(content), &crate::clock::now_z());
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let _ = self.control.send(&frames).await; // one that has ended need not be told
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal); // it may have ended by itself
        }
    }

    /// Whether its process still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The id of its process.
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Kills a process group unless it was given into other hands.
struct GroupGuard(Option<Pid>);

impl GroupGuard {
    fn keep(mut self) -> GroupGuard {
        self.0 = None;
        self
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL); // it may have ended by itself
        }
    }
}

/// Whether what runs shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Silence {
    Silent,
    Loud,
}

/// Whether an error empties the kernel's queue of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnError {
    Stop,
    Continue,
}

fn execute_content(code: &str, silence: Silence, on_error: OnError) -> Value {
    let members = [
        ("code", Value::from(code)),
        ("silent", Value::Bool(silence == Silence::Silent)),
        ("store_history", Value::Bool(silence == Silence::Loud)),
        ("user_expressions", Value::Object(Object::new())),
        ("allow_stdin", Value::Bool(false)),
        ("stop_on_error", Value::Bool(on_error == OnError::Stop)),
    ];
    Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn spawn(launch: &Launch, folder: &Path) -> Result<Child, KernelError> {
    let program = || launch.spec.argv.first().cloned().unwrap_or_default();
    let refused = |error: io::Error| KernelError::Start { program: program(), why: error.to_string() };
    let mut command = command(&launch.spec, folder, CONNECTION_FILE).map_err(refused)?;
    if let Some(directory) = &launch.directory {
        command.current_dir(directory);
    }
    command.spawn().map_err(refused)
}

fn died(ended: io::Result<ExitStatus>, folder: &Path) -> KernelError {
    use std::os::unix::process::ExitStatusExt;
    let how = match ended {
        Ok(status) => match (status.signal(), status.code()) {
            (Some(signal), _) => format!("killed by signal {signal}"),
            (None, Some(code)) => format!("exit status {code}"),
            (None, None) => "it ended abnormally".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    let log = std::fs::read(folder.join(LOG_FILE)).unwrap_or_default();
    let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).trim().to_owned();
    KernelError::Died { how, log: if tail.is_empty() { tail } else { format!("; it wrote: {tail}") } }
}
