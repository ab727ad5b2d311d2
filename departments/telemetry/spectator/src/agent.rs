//! The agent: sockets, registry and publisher put together.
//!
//! Threads of the sockets record; one task flushes each interval, tells what the agent knows of itself, and publishes in
//! batches. A flush takes the registry in parts, so that the sockets wait for a millisecond at most.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use backlot_meters::Measurement;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::admin;
use crate::common_tags::CommonTags;
use crate::listen::{self, Going, Socket};
use crate::proc_net;
use crate::publish::{Batch, Outcome, Publisher};
use crate::registry::{FlushPart, Flushing, Limits, Moment, Registry, Size, Tally};
use crate::self_metrics::{Queue, SelfMetrics, Standing};
use crate::systemd;

/// The port of spectatord, UDP for lines and TCP for the admin.
pub const PORT: u16 = 1234;

/// The port of DogStatsD.
pub const STATSD_PORT: u16 = 8125;

/// Where clients that are told `unix` send their lines.
pub const SOCKET_PATH: &str = "/run/spectatord/spectatord.unix";

/// What the agent does. The default is that of spectatord, but for DogStatsD and the unix socket, which are off, and for the
/// sockets, which are open to this host only.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AgentConfig {
    /// UDP for lines of the Spectator protocol. Port 0 lets the system choose.
    pub lines: Option<SocketAddr>,
    /// UDP for lines of DogStatsD.
    pub statsd: Option<SocketAddr>,
    /// A unix datagram socket for lines of the Spectator protocol.
    pub unix: Option<PathBuf>,
    /// TCP for the admin. Only on loopback: it takes changes without a sign-in.
    pub admin: Option<SocketAddr>,
    /// Who may send lines by UDP.
    pub reach: Reach,
    /// How long an interval is.
    pub frequency: Duration,
    /// Measurements in one request.
    pub batch_size: usize,
    /// Bytes that each socket may queue. What waits here during a flush or when the machine is busy is not lost.
    pub receive_buffer: usize,
    /// Tags of all measurements.
    pub common_tags: CommonTags,
    /// Whether the agent tells of itself.
    pub status: Status,
    /// The tag `nf.process` of what it tells of itself.
    pub process: String,
    /// What it holds at most.
    pub limits: Limits,
    /// The meters of the program that the agent runs in, published with the others.
    pub meters: Option<backlot_meters::Registry>,
}

/// Who may send lines by UDP, which knows no sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Programs of this host; an address beyond loopback is refused.
    ThisHost,
    /// Whoever reaches the address.
    Anyone,
}

/// Whether the agent tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Published,
    /// It does not, as spectatord without common tags.
    Silent,
}

impl Default for AgentConfig {
    fn default() -> Self {
        let loopback = |port| Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
        Self {
            lines: loopback(PORT),
            statsd: None,
            unix: None,
            admin: loopback(PORT),
            reach: Reach::ThisHost,
            frequency: Duration::from_secs(5),
            batch_size: 10_000,
            receive_buffer: 16 << 20,
            common_tags: CommonTags::new(),
            status: Status::Published,
            process: "spectatord".to_owned(),
            limits: Limits::default(),
            meters: None,
        }
    }
}

/// What keeps an agent from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// A socket cannot be opened.
    #[error("cannot listen on {what}: {error}; choose another one, or end the program that has it")]
    Listen {
        /// Which.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// A socket would be open to the network.
    #[error(
        "{0} is open to the network, where nobody signs in; use a loopback address, or allow anyone to send lines"
    )]
    Exposed(SocketAddr),
    /// The admin would be open to the network.
    #[error("the admin takes changes without a sign-in, so {0} has to be a loopback address")]
    ExposedAdmin(SocketAddr),
    /// No thread can be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// An interval or a batch of nothing.
    #[error("{0} must be greater than zero")]
    Zero(&'static str),
}

/// What one flush came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Measurements, those of the agent itself among them.
    pub measurements: usize,
    /// What became of them.
    pub outcome: Outcome,
}

/// The agent. See [`Agent::start`].
#[derive(Debug)]
pub struct Agent;

/// A running agent. Dropped without [`stop`](Self::stop), it goes on until the runtime ends.
#[derive(Debug)]
pub struct AgentHandle {
    shared: Arc<Shared>,
    flushes: mpsc::Sender<oneshot::Sender<Flushed>>,
    flusher: tokio::task::JoinHandle<()>,
    receivers: Vec<JoinHandle<Socket>>,
    stop_admin: watch::Sender<bool>,
    admin: Option<tokio::task::JoinHandle<()>>,
    addresses: Addresses,
}

/// Where an agent listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// UDP, lines of the Spectator protocol.
    pub lines: Option<SocketAddr>,
    /// UDP, lines of DogStatsD.
    pub statsd: Option<SocketAddr>,
    /// Unix datagrams, lines of the Spectator protocol.
    pub unix: Option<PathBuf>,
    /// TCP, the admin.
    pub admin: Option<SocketAddr>,
}

/// What threads and tasks of an agent share.
pub(crate) struct Shared {
    registry: Mutex<Registry>,
    common_tags: Mutex<CommonTags>,
    pub(crate) config: AgentConfig,
    started: Instant,
    is_ending: AtomicBool,
    /// A refused line of this interval, for the log.
    refusal: Mutex<Option<String>>,
    /// The sockets by which the kernel may lose lines.
    inodes: Vec<u64>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        // A line that met a bug must not take those of all others with it.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn common_tags(&self) -> MutexGuard<'_, CommonTags> {
        self.common_tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Moment {
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Moment { monotonic: self.started.elapsed(), epoch }
    }

    fn note_refusal(&self, line: &[u8], error: &dyn std::fmt::Display) {
        let mut noted = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.is_none() {
            let shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
            *noted = Some(format!("{error}: {}", shown.escape_debug()));
        }
    }

    fn queue(&self) -> Queue {
        let queues = self.inodes.iter().filter_map(|inode| proc_net::queue(*inode));
        queues.fold(Queue::default(), |sum, queue| Queue {
            waiting: sum.waiting + queue.waiting,
            dropped: sum.dropped + queue.dropped,
        })
    }
}

/// Bytes of a refused line that are shown in the log.
const SHOWN: usize = 200;

impl Agent {
    /// Opens the sockets and begins to publish. Needs a runtime of tokio.
    ///
    /// # Errors
    /// A socket that cannot be opened, or would be open to the network.
    pub async fn start(
        config: AgentConfig,
        publisher: Arc<dyn Publisher>,
    ) -> Result<AgentHandle, AgentError> {
        if config.frequency.is_zero() {
            return Err(AgentError::Zero("the frequency"));
        }
        if config.batch_size == 0 {
            return Err(AgentError::Zero("the batch size"));
        }
        let admin = match config.admin {
            Some(address) if !address.ip().is_loopback() => return Err(AgentError::ExposedAdmin(address)),
            Some(address) => Some(TcpListener::bind(address).await.map_err(listen_error(&address))?),
            None => None,
        };
        let lines = open_udp(config.lines, &config)?;
        let statsd = open_udp(config.statsd, &config)?;
        let unix = config
            .unix
            .as_deref()
            .map(|path| Socket::unix(path, config.receive_buffer).map_err(listen_error(&path.display())));
        let unix = unix.transpose()?;
        let addresses = Addresses {
            lines: lines.as_ref().and_then(Socket::address),
            statsd: statsd.as_ref().and_then(Socket::address),
            unix: config.unix.clone(),
            admin: admin.as_ref().and_then(|listener| listener.local_addr().ok()),
        };
        let udp = [&lines, &statsd].into_iter().flatten();
        let shared = Arc::new(Shared {
            registry: Mutex::new(Registry::new(config.limits)),
            common_tags: Mutex::new(config.common_tags.clone()),
            started: Instant::now(),
            is_ending: AtomicBool::new(false),
            refusal: Mutex::default(),
            inodes: udp.filter_map(|socket| proc_net::inode(socket.as_fd())).collect(),
            config,
        });
        let mut receivers = Vec::new();
        for (name, socket, dialect) in [
            ("udp", lines, Dialect::Spectator),
            ("unix", unix, Dialect::Spectator),
            ("statsd", statsd, Dialect::Statsd),
        ] {
            if let Some(socket) = socket {
                receivers.push(receive(name, socket, dialect, &shared).map_err(AgentError::Thread)?);
            }
        }
        let (stop_admin, stopping) = watch::channel(false);
        let admin = admin.map(|listener| tokio::spawn(admin::serve(listener, Arc::clone(&shared), stopping)));
        let (flushes, requests) = mpsc::channel(1);
        let flusher = tokio::spawn(flush_each_interval(Arc::clone(&shared), publisher, requests));
        Ok(AgentHandle { shared, flushes, flusher, receivers, stop_admin, admin, addresses })
    }

    /// Runs an agent until the process is told to end, by SIGTERM or SIGINT; gives what the final flush came to.
    ///
    /// # Errors
    /// As [`Agent::start`].
    pub async fn run(config: AgentConfig, publisher: Arc<dyn Publisher>) -> Result<Flushed, AgentError> {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::Thread)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Thread)?;
        let agent = Agent::start(config, publisher).await?;
        let addresses = agent.addresses();
        // All sockets are open, the admin's among them.
        systemd::notify("READY=1");
        tracing::info!(lines = ?addresses.lines, unix = ?addresses.unix, statsd = ?addresses.statsd, admin = ?addresses.admin, "agent listens");
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        systemd::notify("STOPPING=1");
        let flushed = agent.stop().await;
        tracing::info!(
            measurements = flushed.measurements,
            dropped = flushed.outcome.dropped(),
            "final flush"
        );
        Ok(flushed)
    }
}

fn open_udp(address: Option<SocketAddr>, config: &AgentConfig) -> Result<Option<Socket>, AgentError> {
    let Some(address) = address else { return Ok(None) };
    if !address.ip().is_loopback() && config.reach == Reach::ThisHost {
        return Err(AgentError::Exposed(address));
    }
    Socket::udp(address, config.receive_buffer).map(Some).map_err(listen_error(&address))
}

fn listen_error(what: &impl ToString) -> impl FnOnce(io::Error) -> AgentError {
    let what = what.to_string();
    move |error| AgentError::Listen { what, error }
}

#[derive(Clone, Copy)]
enum Dialect {
    Spectator,
    Statsd,
}

fn receive(
    name: &str,
    socket: Socket,
    dialect: Dialect,
    shared: &Arc<Shared>,
) -> io::Result<JoinHandle<Socket>> {
    let (asked, shared) = (Arc::clone(shared), Arc::clone(shared));
    let going = move || if asked.is_ending.load(Ordering::Acquire) { Going::Ending } else { Going::On };
    listen::spawn(name, socket, going, move |datagrams| {
        let now = shared.now();
        let mut registry = shared.registry();
        for datagram in datagrams {
            match dialect {
                Dialect::Spectator => {
                    registry.record_lines(datagram, now, |line, error| shared.note_refusal(line, &error));
                }
                Dialect::Statsd => {
                    registry
                        .record_statsd_lines(datagram, now, |line, error| shared.note_refusal(line, &error));
                }
            }
        }
    })
}

impl AgentHandle {
    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What has happened since the start.
    pub fn tally(&self) -> Tally {
        self.shared.registry().tally()
    }

    /// How many meters there are.
    pub fn size(&self) -> Size {
        self.shared.registry().size()
    }

    /// Datagrams that the kernel has dropped, because they came faster than they were taken.
    pub fn dropped_by_kernel(&self) -> u64 {
        self.shared.queue().dropped
    }

    /// Ends the interval now.
    pub async fn flush(&self) -> Flushed {
        let (reply, answer) = oneshot::channel();
        // Both fail only when the flusher is gone, and then there is nothing to flush to.
        let _sent = self.flushes.send(reply).await;
        answer.await.unwrap_or_default()
    }

    /// Takes what clients have sent so far, publishes it, and ends.
    pub async fn stop(self) -> Flushed {
        self.shared.is_ending.store(true, Ordering::Release);
        let receivers = self.receivers;
        let join = move || receivers.into_iter().map(JoinHandle::join).collect::<Vec<_>>();
        // Kept open until the final flush has told what the kernel dropped.
        let sockets = tokio::task::spawn_blocking(join).await;
        let _stopped = self.stop_admin.send(true);
        if let Some(admin) = self.admin {
            let _ended = admin.await;
        }
        let (reply, answer) = oneshot::channel();
        let _sent = self.flushes.send(reply).await;
        let flushed = answer.await.unwrap_or_default();
        drop(sockets);
        drop(self.flushes);
        let _ended = self.flusher.await;
        flushed
    }
}

/// Requests to an aggregator at the same time. Batches are large, so a few fill the line.
const SENDERS: usize = 4;

/// How long batches are tried at most, however long an interval is: an agent that is to end waits for them.
const LONGEST_PUBLISHING: Duration = Duration::from_secs(30);

/// Meters that a flush takes while the sockets wait; about a millisecond.
const FLUSH_PART: usize = 5_000;

async fn flush_each_interval(
    shared: Arc<Shared>,
    publisher: Arc<dyn Publisher>,
    mut requests: mpsc::Receiver<oneshot::Sender<Flushed>>,
) {
    let mut ticks = tokio::time::interval(shared.config.frequency);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut flusher = Flusher::new(shared, publisher);
    loop {
        let request = tokio::select! {
            _ = ticks.tick() => None,
            request = requests.recv() => match request {
                Some(request) => Some(request),
                None => return,
            },
        };
        let flushed = flusher.flush().await;
        if let Some(request) = request {
            // Whoever asked may have gone.
            let _told = request.send(flushed);
        }
    }
}

struct Flusher {
    shared: Arc<Shared>,
    publisher: Arc<dyn Publisher>,
    self_metrics: SelfMetrics,
    published: Outcome,
    tally: Tally,
}

impl Flusher {
    fn new(shared: Arc<Shared>, publisher: Arc<dyn Publisher>) -> Self {
        let self_metrics = SelfMetrics::new(shared.config.process.clone());
        Self { shared, publisher, self_metrics, published: Outcome::default(), tally: Tally::default() }
    }

    async fn flush(&mut self) -> Flushed {
        let deadline = Instant::now() + self.shared.config.frequency.min(LONGEST_PUBLISHING);
        let measurements = self.measure();
        let count = measurements.len();
        let outcome = self.publish(measurements, deadline).await;
        if outcome.dropped() > 0 {
            tracing::warn!(sent = outcome.sent, dropped = outcome.dropped(), reasons = ?outcome.messages, "measurements were not taken");
        }
        self.published = outcome.clone();
        Flushed { measurements: count, outcome }
    }

    fn measure(&mut self) -> Vec<Measurement> {
        let shared = Arc::clone(&self.shared);
        let mut out = Vec::new();
        let mut part = FlushPart::default();
        while shared.registry().flush_part(&mut part, FLUSH_PART, shared.now(), &mut out)
            == Flushing::Unfinished
        {}
        if let Some(meters) = &shared.config.meters {
            out.extend(meters.snapshot(shared.now().monotonic));
        }
        let (tally, size) = {
            let registry = shared.registry();
            (registry.tally(), registry.size())
        };
        self.warn(tally);
        if shared.config.status == Status::Published {
            let standing = Standing {
                tally,
                size,
                queue: shared.queue(),
                uptime: shared.started.elapsed(),
                published: &self.published,
                measurements: out.len(),
            };
            self.self_metrics.measure(&standing, &mut out);
        }
        out.retain(|measurement| measurement.value.is_finite());
        out
    }

    /// Says once an interval what people have to know.
    fn warn(&mut self, tally: Tally) {
        let was = std::mem::replace(&mut self.tally, tally);
        let (folded, dropped) = (tally.folded - was.folded, tally.dropped - was.dropped);
        if folded + dropped > 0 {
            let limits = self.shared.config.limits;
            tracing::warn!(folded, dropped, ?limits, "too many ids: lines lost their tags or were dropped");
        }
        let refused = tally.refused - was.refused;
        let example = self.shared.refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
        if refused > 0 {
            tracing::warn!(refused, example, "lines were not understood");
        }
    }

    async fn publish(&self, mut measurements: Vec<Measurement>, deadline: Instant) -> Outcome {
        let common_tags: Arc<[(String, String)]> = self.shared.common_tags().clone().into();
        let mut total = Outcome::default();
        let mut sending = JoinSet::new();
        while !measurements.is_empty() {
            let rest = measurements.split_off(measurements.len().min(self.shared.config.batch_size));
            let batch = Batch {
                common_tags: Arc::clone(&common_tags),
                measurements: std::mem::replace(&mut measurements, rest),
                deadline,
            };
            if sending.len() == SENDERS
                && let Some(Ok(outcome)) = sending.join_next().await
            {
                total.add(outcome);
            }
            let publisher = Arc::clone(&self.publisher);
            sending.spawn(async move {
                let count = batch.measurements.len() as u64;
                // A publisher that panics has lost its batch, and only that.
                let publishing = tokio::spawn(async move { publisher.publish(batch).await });
                publishing.await.unwrap_or_else(|error| Outcome {
                    other: count,
                    messages: vec![error.to_string()],
                    ..Outcome::default()
                })
            });
        }
        while let Some(outcome) = sending.join_next().await {
            total.add(outcome.unwrap_or_default());
        }
        total
    }
}
