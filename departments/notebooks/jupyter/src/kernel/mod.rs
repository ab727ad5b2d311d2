//! Kernels: started, spoken with by any number of clients, ended.
//!
//! One task per kernel ([`pump`]) owns its process and sockets and lives as long as the kernel, whoever is connected. Clients attach
//! and leave; what the kernel publishes goes to all of them, a reply to the one that asked. Because the task always reads, nothing is lost
//! while no client is there: outputs go to the notebook (see `capture`), and what the last client missed is replayed to it
//! when it comes back.

pub(crate) mod culling;
pub(crate) mod message;
mod process;
mod pump;
mod rate;
pub(crate) mod routes;
pub(crate) mod runs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use backlot_notebooks_kernels::KernelSearch;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::capture::Capture;
use crate::deploy::{Choice, Deployments};
use crate::error::Error;
use crate::server::KernelLimits;
use culling::Culling;
use message::{Channel, Message};
pub(crate) use process::Launch;

/// How long a restart or the end of a kernel is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client gets: messages that wait to be sent to it. A client that lets this many wait is taken for gone.
const MAX_WAITING: usize = 20_000;

/// Messages that are no activity of a user, as in jupyter_server: what comes of itself, and what pages ask to know how a kernel is.
pub(crate) const UNTRACKED: [&str; 21] = [
    "comm_info_request",
    "comm_info_reply",
    "kernel_info_request",
    "kernel_info_reply",
    "shutdown_request",
    "shutdown_reply",
    "interrupt_request",
    "interrupt_reply",
    "debug_request",
    "debug_reply",
    "stream",
    "display_data",
    "update_display_data",
    "execute_input",
    "execute_result",
    "error",
    "status",
    "clear_output",
    "debug_event",
    "input_request",
    "input_reply",
];

/// A client of a kernel.
pub(crate) type ClientId = u64;

/// What is asked of a kernel's task.
pub(crate) enum Ask {
    /// A client comes; it gets a sender of its own.
    Attach { client: ClientId, session: String, user: String, outbox: mpsc::Sender<(Channel, Message)> },
    /// A client is gone.
    Detach(ClientId),
    /// A client's message for the kernel.
    Send(ClientId, Channel, Message),
    /// The client of this session shows the runs whose own client has gone: the ids of their requests.
    Adopt(String, oneshot::Sender<Vec<String>>),
    /// Stop what you do.
    Interrupt,
    /// Begin anew.
    Restart(oneshot::Sender<Result<(), String>>),
    /// End.
    Shutdown(oneshot::Sender<()>),
}

/// What is known of a kernel.
#[derive(Debug)]
struct State {
    /// `starting`, `idle`, `busy`, `restarting` or `dead`.
    execution: String,
    last_activity: String,
    active: Instant,
    connections: usize,
}

/// A running kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) id: String,
    pub(crate) name: String,
    directory: PathBuf,
    state: Mutex<State>,
    asks: mpsc::Sender<Ask>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kernel {
    /// Its working directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its model.
    pub(crate) fn model(&self) -> Value {
        let state = lock(&self.state);
        json!({
            "id": self.id, "name": self.name, "last_activity": state.last_activity,
            "execution_state": state.execution, "connections": state.connections,
        })
    }

    fn set_state(&self, execution_state: &str) {
        let mut state = lock(&self.state);
        execution_state.clone_into(&mut state.execution);
        state.last_activity = crate::web::now();
        state.active = Instant::now();
    }

    /// It published something: what counts as activity, and whose states count, is as in jupyter_server.
    fn hears(&self, kind: &str, parent_kind: &str, execution_state: Option<&str>) {
        let is_tracked = |kind: &str| !kind.is_empty() && !UNTRACKED.contains(&kind);
        let mut state = lock(&self.state);
        if is_tracked(kind) || is_tracked(parent_kind) || state.execution == "busy" {
            state.last_activity = crate::web::now();
            state.active = Instant::now();
        }
        match execution_state {
            Some(new) if is_tracked(parent_kind) => new.clone_into(&mut state.execution),
            Some(new) if state.execution == "starting" && new != "starting" => {
                "idle".clone_into(&mut state.execution);
            }
            _ => {}
        }
    }

    fn set_connections(&self, connections: usize) {
        lock(&self.state).connections = connections;
    }

    /// Whether it did nothing for so long that it is to be ended.
    fn may_be_culled(&self, culling: &Culling) -> bool {
        let state = lock(&self.state);
        culling.applies(state.active.elapsed(), state.connections, &state.execution)
    }

    /// Asks its task for something.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<(), Error> {
        self.asks.send(ask).await.map_err(|_| Error::not_found(format!("Kernel does not exist: {}", self.id)))
    }

    /// Attaches a client: what it gets.
    pub(crate) async fn attach(
        &self,
        client: ClientId,
        session: String,
        user: String,
    ) -> Result<mpsc::Receiver<(Channel, Message)>, Error> {
        let (outbox, inbox) = mpsc::channel(MAX_WAITING);
        self.ask(Ask::Attach { client, session, user, outbox }).await?;
        Ok(inbox)
    }

    /// Restarts it; returns when it answers again.
    pub(crate) async fn restart(&self) -> Result<(), Error> {
        let (done, is_done) = oneshot::channel();
        self.ask(Ask::Restart(done)).await?;
        match tokio::time::timeout(PATIENCE, is_done).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(why))) => Err(Error::internal(format!("the kernel does not start again: {why}"))),
            _ => Err(Error::internal(format!("the kernel did not answer within {} s", PATIENCE.as_secs()))),
        }
    }
}

/// All kernels of a server.
#[derive(Debug)]
pub(crate) struct Kernels {
    running: Mutex<BTreeMap<String, Arc<Kernel>>>,
    search: KernelSearch,
    capture: Arc<Capture>,
    culling: Culling,
    limits: KernelLimits,
    deployments: Option<Deployments>,
}

/// What kernel a client wants.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    pub(crate) name: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) directory: PathBuf,
    pub(crate) env: Vec<(String, String)>,
}

impl Kernels {
    pub(crate) fn new(
        search: KernelSearch,
        capture: Arc<Capture>,
        culling: Culling,
        limits: KernelLimits,
        deployments: Option<Deployments>,
    ) -> Kernels {
        Kernels { running: Mutex::default(), search, capture, culling, limits, deployments }
    }

    /// With what a kernel of this name, or of the default one, starts.
    ///
    /// # Errors
    /// 501, as sessions answer for an unknown kernel.
    async fn choose(&self, name: Option<&str>, id: &str) -> Result<Choice, Error> {
        let name = name.map_or_else(|| self.search.default_name(), str::to_owned);
        // The name that every server understands means the default.
        let name = if name == "python" { self.search.default_name() } else { name };
        if let Some(deployments) = &self.deployments {
            match deployments.choose(&self.search, &name, id).await {
                Ok(Some(choice)) => return Ok(choice),
                Ok(None) => {}
                // A ledger that cannot be read must not keep anybody from work: what is installed is there.
                Err(error) => tracing::error!(%error, name, "the deployed kernelspec is passed over"),
            }
        }
        let missing = |_| Error::new(StatusCode::NOT_IMPLEMENTED, format!("No such kernel named {name}"));
        Ok(Choice { spec: self.search.find(&name).map_err(missing)?, trial: None })
    }

    /// Starts a kernel.
    pub(crate) async fn start(self: &Arc<Kernels>, wish: Wish) -> Result<Arc<Kernel>, Error> {
        let id = wish.id.clone().unwrap_or_else(crate::chance::uuid);
        let choice = self.choose(wish.name.as_deref(), &id).await?;
        let trial = choice.trial.clone();
        match self.start_with(choice, id.clone(), &wish) {
            // A canary that cannot even be started has failed, and its user gets the other.
            Err(error) if trial.is_some() && error.status == StatusCode::INTERNAL_SERVER_ERROR => {
                if let (Some(deployments), Some(trial)) = (&self.deployments, trial) {
                    deployments.started(&trial, false).await;
                    return self.start_with(Choice { spec: trial.instead, trial: None }, id, &wish);
                }
                Err(error)
            }
            started => started,
        }
    }

    fn start_with(
        self: &Arc<Kernels>,
        choice: Choice,
        id: String,
        wish: &Wish,
    ) -> Result<Arc<Kernel>, Error> {
        let Choice { spec, trial } = choice;
        let mut running = lock(&self.running);
        let most = self.limits.count;
        if running.len() >= most {
            return Err(Error::forbidden(format!("{most} kernels run already; end some")));
        }
        if running.contains_key(&id) {
            return Err(Error::conflict(format!("Kernel already exists: {id}")));
        }
        let (asks, asked) = mpsc::channel(1024);
        let state = State {
            execution: "starting".to_owned(),
            last_activity: crate::web::now(),
            active: Instant::now(),
            connections: 0,
        };
        let kernel = Arc::new(Kernel {
            id: id.clone(),
            name: spec.name.clone(),
            directory: wish.directory.clone(),
            state: Mutex::new(state),
            asks,
        });
        let launch = Launch {
            id: id.clone(),
            spec,
            directory: wish.directory.clone(),
            env: wish.env.clone(),
            limits: self.limits,
        };
        let culling = self.culling.of(&launch.spec);
        let process = process::Process::start(&launch);
        let process =
            process.map_err(|error| Error::internal(format!("the kernel does not start: {error}")))?;
        running.insert(id, kernel.clone());
        let pump = pump::Pump::new(kernel.clone(), launch, process, self.capture.clone(), culling);
        let trial = trial.zip(self.deployments.clone());
        let all = self.clone();
        tokio::spawn(async move {
            let id = pump.run(asked, trial).await;
            lock(&all.running).remove(&id);
        });
        Ok(kernel)
    }

    /// The kernel of an id.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Kernel>, Error> {
        let kernel = lock(&self.running).get(id).cloned();
        kernel.ok_or_else(|| Error::not_found(format!("Kernel does not exist: {id}")))
    }

    /// All kernels.
    pub(crate) fn all(&self) -> Vec<Arc<Kernel>> {
        lock(&self.running).values().cloned().collect()
    }

    /// Ends a kernel; returns when its process has ended.
    pub(crate) async fn shut_down(&self, id: &str) -> Result<(), Error> {
        let kernel = self.find(id)?;
        let (done, is_done) = oneshot::channel();
        let asked = kernel.ask(Ask::Shutdown(done)).await;
        lock(&self.running).remove(id);
        asked?;
        let _ = tokio::time::timeout(PATIENCE, is_done).await; // dropped, its process is killed all the same
        Ok(())
    }
}
