//! The processes that are killed: what they do, and how the harness holds them.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use backlot_work::{SubmitOptions, Worker, WorkerOptions};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::crash::scenario;
use crate::house::{self, AnyError};

/// The hidden argument that makes the harness's program one of the processes it kills.
pub const CHILD_ARGUMENT: &str = "--child";

/// The lease of the workers: short, so that waiting for it to run out does not take long.
pub const LEASE: Duration = Duration::from_millis(1500);

/// How long the ledger may be away, at a start or a submission.
const LEDGER_AWAY: Duration = Duration::from_secs(30);

/// The longest a process may take to stop when it is asked to.
const STOPPING: Duration = Duration::from_secs(20);

/// What a child is told at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// Its name in the list of workers.
    pub name: String,
    /// The home that all share.
    pub home: PathBuf,
    /// The ledger that all share.
    pub ledger: String,
    /// Tasks in each run that it is told to submit.
    pub tasks: usize,
}

/// The child's side: works until standard input ends, and submits the rounds that are named there, one a line. A round
/// submitted again is the same run, so the harness repeats itself after every kill.
pub fn play(role: &str) -> Result<(), AnyError> {
    let role: Role = serde_json::from_str(role)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let kinds = scenario::kinds(&role.home);
    let mut options = WorkerOptions::new(role.home.join("scratch"));
    options.name.clone_from(&role.name);
    options.cpus = 2.0;
    options.lease = LEASE;
    // The database may be down while this process starts; whoever runs a server starts it again then.
    let deadline = Instant::now() + LEDGER_AWAY;
    let (work, worker) = loop {
        let started = house::open(&role.home, Some(&role.ledger)).and_then(|work| {
            let worker = runtime.block_on(Worker::start(&work, kinds.clone(), options.clone()))?;
            Ok((work, worker))
        });
        match started {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            started => break started?,
        }
    };
    for round in std::io::stdin().lock().lines() {
        let round = round?;
        let spec = scenario::spec(&role.home, &round, role.tasks);
        let options = SubmitOptions { key: Some(round), ..SubmitOptions::default() };
        runtime.block_on(submit_until_heard(&work, spec, options, &kinds))?;
    }
    runtime.block_on(worker.stop());
    Ok(())
}

/// Submits under a key: when the ledger is away for a moment or the answer was lost, asking again is safe.
async fn submit_until_heard(
    work: &backlot_work::Work,
    spec: backlot_work::RunSpec,
    options: SubmitOptions,
    kinds: &backlot_work::Kinds,
) -> Result<(), AnyError> {
    let deadline = Instant::now() + LEDGER_AWAY;
    loop {
        let answer =
            work.submit(spec.clone(), serde_json::Map::default(), options.clone(), Some(kinds)).await;
        match answer {
            Ok(_) => return Ok(()),
            Err(backlot_work::Error::Ledger(_)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A child that is alive, as far as the harness knows.
pub struct Process {
    role: Role,
    child: Child,
    orders: Option<ChildStdin>,
}

impl Process {
    /// Starts the calling program again in this role.
    pub fn start(role: &Role) -> Result<Process, AnyError> {
        let program = std::env::current_exe()?;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log_of(role))?;
        let mut child = Command::new(program)
            .arg(CHILD_ARGUMENT)
            .arg(serde_json::to_string(role)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let orders = child.stdin.take();
        Ok(Process { role: role.clone(), child, orders })
    }

    /// What it was told at its start.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// Tells it to submit a round. A process that is gone does not hear it; the next one is told again.
    pub fn submit(&mut self, round: &str) {
        if let Some(orders) = &mut self.orders {
            let _ = writeln!(orders, "{round}").and_then(|()| orders.flush());
        }
    }

    /// An error when it has ended although nobody killed it.
    pub fn check_alive(&mut self) -> Result<(), AnyError> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let log = std::fs::read_to_string(log_of(&self.role)).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it wrote nothing");
                Err(format!("{} ended by itself with {status}: {last}", self.role.name).into())
            }
        }
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(mut self) -> Result<Role, AnyError> {
        self.check_alive()?;
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.role.clone())
    }

    /// SIGSTOP: from now on it is silent.
    pub fn freeze(&self) -> Result<(), AnyError> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT: it goes on as if no time had passed.
    pub fn thaw(&self) -> Result<(), AnyError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), AnyError> {
        let pid = Pid::from_raw(self.child.id() as i32).ok_or("a process without a number")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Lets it stop in good order.
    pub fn stop(mut self) -> Result<(), AnyError> {
        self.orders = None; // the end of its standard input
        let deadline = Instant::now() + STOPPING;
        loop {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(log_of(&self.role)).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default().to_owned();
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("{}: {status}: {last}", self.role.name).into())
                };
            }
            if Instant::now() > deadline {
                return Err(format!("{} did not stop within {STOPPING:?}", self.role.name).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // no harm when it is gone already
        let _ = self.child.wait();
    }
}

fn log_of(role: &Role) -> PathBuf {
    role.home.join(format!("{}.log", role.name))
}

/// Processes whose environment says that a task of this home started them.
pub fn programs_of(home: &Path) -> Vec<u32> {
    let wanted = format!("{}={}", scenario::HOUSE_VARIABLE, home.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes()) {
            found.push(pid);
        }
    }
    found
}
