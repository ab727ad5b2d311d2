//! The task of one kernel: reads all its sockets, brings each message to whom it is for, watches its process.
//!
//! There is one set of sockets per kernel and not one per client, so a reply finds its client by the id of the request it answers.
//! A kernel that dies is started again, and clients are told; one that keeps dying is given up.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use backlot_notebooks_kernels::InterruptMode;
use bytes::Bytes;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, interval, sleep, timeout, timeout_at};

use super::message::{Channel, Message};
use super::process::{Launch, Process, Sockets, connect_all};
use super::{Ask, ClientId, Kernel};
use crate::capture::Capture;
use crate::deploy::{Deployments, Trial};

/// How long a kernel may take until it listens and answers.
const START: Duration = Duration::from_secs(60);

/// How long it may take to end after it was asked to, as in jupyter_client.
const END: Duration = Duration::from_secs(5);

/// How long to wait for something on iopub after a reply, before the kernel is asked again: a subscription takes effect some time after it
/// was sent, and what is published before is lost.
const NUDGE: Duration = Duration::from_millis(100);

/// How often in a row a dying kernel is started again.
const MAX_RESTARTS: u32 = 5;

/// A kernel that ran this long did not die of its start.
const STABLE: Duration = Duration::from_secs(10);

/// What is kept for the last client until it comes back, in messages and bytes.
const MAX_KEPT: usize = 20_000;
const MAX_KEPT_BYTES: usize = 64 << 20;

/// Requests whose client is remembered; a reply to an older one goes nowhere.
const MAX_PENDING: usize = 10_000;

/// The rates beyond which a client is spared iopub messages, over [`WINDOW`]: those of jupyter_server.
const MAX_MESSAGES_PER_SECOND: f64 = 1_000.0;
const MAX_BYTES_PER_SECOND: f64 = 1_000_000.0;
const WINDOW: Duration = Duration::from_secs(3);

/// How often changed notebooks are saved while a cell runs and nobody is connected.
const SAVE_EVERY: Duration = Duration::from_millis(250);

struct Client {
    session: String,
    outbox: mpsc::Sender<(Channel, Message)>,
}

/// What came while no client was connected, for the last one's return.
struct Missed {
    session: String,
    messages: VecDeque<(Channel, Message)>,
    bytes: usize,
}

/// Why the conversation with a process ended.
enum End {
    Died,
    Restart(oneshot::Sender<Result<(), String>>),
    Shutdown(Option<oneshot::Sender<()>>),
}

pub(super) struct Pump {
    kernel: Arc<Kernel>,
    launch: Launch,
    process: Process,
    capture: Arc<Capture>,
    cull_after: Option<Duration>,
    clients: HashMap<ClientId, Client>,
    /// Request → the client that waits for its reply.
    pending: HashMap<String, ClientId>,
    pending_order: VecDeque<String>,
    /// What the last client missed.
    missed: Option<Missed>,
    rate: Rate,
}

impl Pump {
    pub(super) fn new(
        kernel: Arc<Kernel>,
        launch: Launch,
        process: Process,
        capture: Arc<Capture>,
        cull_after: Option<Duration>,
    ) -> Pump {
        Pump {
            kernel,
            launch,
            process,
            capture,
            cull_after,
            clients: HashMap::new(),
            pending: HashMap::new(),
            pending_order: VecDeque::new(),
            missed: None,
            rate: Rate::default(),
        }
    }

    /// Runs until the kernel has ended for good; its id.
    pub(super) async fn run(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        mut trial: Option<(Trial, Deployments)>,
    ) -> String {
        let mut deaths = 0;
        let mut waiter: Option<oneshot::Sender<Result<(), String>>> = None;
        loop {
            let started = Instant::now();
            let mut held = Vec::new();
            let connected = self.connect(&mut asks, &mut held).await;
            if let Some((trial, deployments)) = trial.take_if(|_| !matches!(connected, Err(End::Shutdown(_))))
            {
                deployments.started(&trial, connected.is_ok()).await;
                if connected.is_err() {
                    // Whoever asked for a kernel gets one, though not the one that is tried.
                    self.launch.spec = trial.instead;
                }
            }
            let end = match connected {
                Ok(mut sockets) => {
                    self.kernel.set_state("idle");
                    if let Some(waiter) = waiter.take() {
                        let _ = waiter.send(Ok(())); // whoever asked may have gone
                    }
                    self.converse(&mut sockets, &mut asks, held).await
                }
                Err(end) => end,
            };
            match end {
                End::Shutdown(done) => {
                    self.capture.kernel_ended(&self.kernel.id).await;
                    if let Some(done) = done {
                        let _ = done.send(()); // whoever asked may have gone
                    }
                    break;
                }
                End::Restart(done) => {
                    waiter = Some(done);
                    deaths = 0;
                }
                End::Died => {
                    deaths = if started.elapsed() > STABLE { 1 } else { deaths + 1 };
                    self.capture.kernel_died(&self.kernel.id).await;
                    if deaths > MAX_RESTARTS {
                        self.kernel.set_state("dead");
                        self.tell_status("dead");
                        break;
                    }
                    self.kernel.set_state("restarting");
                    self.tell_status("restarting");
                }
            }
            self.pending.clear();
            self.pending_order.clear();
            match Process::start(&self.launch) {
                Ok(process) => self.process = process,
                Err(error) => {
                    if let Some(waiter) = waiter.take() {
                        let _ = waiter.send(Err(error.to_string())); // whoever asked may have gone
                    }
                    self.kernel.set_state("dead");
                    self.tell_status("dead");
                    break;
                }
            }
        }
        self.kernel.id.clone()
    }

    /// Connects, and asks the kernel about itself until it answers and something came over iopub.
    async fn connect(&mut self, asks: &mut mpsc::Receiver<Ask>, held: &mut Vec<Ask>) -> Result<Sockets, End> {
        let identity = crate::chance::hex(&crate::chance::bytes(16));
        let key = self.process.key.clone();
        let address = self.process.address();
        let ready = async {
            let mut sockets = connect_all(&address, identity.as_bytes()).await?;
            loop {
                let request = Message::new("kernel_info_request", &Bytes::from_static(b"{}"), &json!({}));
                send(&mut sockets, Channel::Shell, &request, &key).await?;
                let mut is_heard = false;
                loop {
                    tokio::select! {
                        frames = sockets.iopub.0.recv() => { frames?; is_heard = true; }
                        frames = sockets.shell.0.recv() => { frames?; break; }
                    }
                }
                let mut quiet = Instant::now() + NUDGE;
                // What the kernel says of its own start is for nobody: wait until it is silent.
                while let Ok(frames) = timeout_at(quiet, sockets.iopub.0.recv()).await {
                    frames?;
                    is_heard = true;
                    quiet = Instant::now() + Duration::from_millis(5);
                }
                if is_heard {
                    return Ok::<_, io::Error>(sockets);
                }
            }
        };
        tokio::pin!(ready);
        let deadline = sleep(START);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                sockets = &mut ready => return sockets.map_err(|_| End::Died),
                () = &mut deadline => return Err(End::Died),
                _ = self.process.child.wait() => return Err(End::Died),
                ask = asks.recv() => match ask {
                    None => return Err(End::Shutdown(None)),
                    Some(Ask::Shutdown(done)) => return Err(End::Shutdown(Some(done))),
                    Some(ask) => held.push(ask),
                },
            }
        }
    }

    /// Brings messages to and fro until something ends it.
    async fn converse(
        &mut self,
        sockets: &mut Sockets,
        asks: &mut mpsc::Receiver<Ask>,
        held: Vec<Ask>,
    ) -> End {
        for ask in held {
            if let Some(end) = self.answer(ask, sockets).await {
                return end;
            }
        }
        let mut ticks: Interval = interval(SAVE_EVERY);
        loop {
            let received = tokio::select! {
                frames = sockets.iopub.0.recv() => frames.map(|frames| (Channel::Iopub, frames)),
                frames = sockets.shell.0.recv() => frames.map(|frames| (Channel::Shell, frames)),
                frames = sockets.stdin.0.recv() => frames.map(|frames| (Channel::Stdin, frames)),
                frames = sockets.control.0.recv() => frames.map(|frames| (Channel::Control, frames)),
                ask = asks.recv() => {
                    let Some(ask) = ask else { return End::Shutdown(None) };
                    if let Some(end) = self.answer(ask, sockets).await {
                        return end;
                    }
                    continue;
                }
                _ = ticks.tick() => {
                    self.capture.save(&self.kernel.id).await;
                    if self.cull_after.is_some_and(|limit| self.kernel.is_idle_for(limit)) {
                        tracing::info!(kernel = self.kernel.id, "an idle kernel is ended");
                        return self.end(sockets, End::Shutdown(None)).await;
                    }
                    continue;
                }
                _ = self.process.child.wait() => {
                    // Its sockets are closed, but what is in them is still to be read.
                    while let Ok(Ok(frames)) = timeout(NUDGE, sockets.iopub.0.recv()).await {
                        self.receive(Channel::Iopub, frames);
                    }
                    return End::Died;
                }
            };
            match received {
                Ok((channel, frames)) => self.receive(channel, frames),
                Err(_) => {
                    let _ = timeout(END, self.process.child.wait()).await; // a closed socket nearly always means this
                    return End::Died;
                }
            }
        }
    }

    async fn answer(&mut self, ask: Ask, sockets: &mut Sockets) -> Option<End> {
        match ask {
            Ask::Attach { client, session, outbox } => self.attach(client, session, outbox),
            Ask::Detach(client) => {
                if let Some(gone) = self.clients.remove(&client)
                    && self.clients.is_empty()
                {
                    self.missed = Some(Missed { session: gone.session, messages: VecDeque::new(), bytes: 0 });
                }
                self.capture.client_left(&self.kernel.id, client);
                self.kernel.set_connections(self.clients.len());
            }
            Ask::Send(client, channel, message) => {
                let header = message.header();
                if header.msg_type == "execute_request" {
                    self.capture.executes(&self.kernel.id, client, &header.msg_id, &message);
                }
                self.kernel.touch();
                self.remember(header.msg_id, client);
                let key = self.process.key.clone();
                if send(sockets, channel, &message, &key).await.is_err() {
                    return None; // the reading side sees the end
                }
            }
            Ask::Interrupt => {
                if self.launch.spec.interrupt_mode == InterruptMode::Message {
                    let request = Message::new("interrupt_request", &Bytes::from_static(b"{}"), &json!({}));
                    let key = self.process.key.clone();
                    let _ = send(sockets, Channel::Control, &request, &key).await; // the reading side sees the end
                } else {
                    self.process.signal(Signal::INT);
                }
            }
            Ask::Restart(done) => {
                self.kernel.set_state("restarting");
                return Some(self.end(sockets, End::Restart(done)).await);
            }
            Ask::Shutdown(done) => return Some(self.end(sockets, End::Shutdown(Some(done))).await),
        }
        None
    }

    /// Asks the process to end, and ends it if it does not.
    async fn end(&mut self, sockets: &mut Sockets, end: End) -> End {
        let restart = matches!(end, End::Restart(_));
        let request =
            Message::new("shutdown_request", &Bytes::from_static(b"{}"), &json!({ "restart": restart }));
        let key = self.process.key.clone();
        let told = send(sockets, Channel::Control, &request, &key).await;
        let ended = async {
            loop {
                tokio::select! {
                    _ = self.process.child.wait() => return,
                    // What it still publishes must not keep it from ending.
                    frames = sockets.iopub.0.recv() => if frames.is_err() { let _ = self.process.child.wait().await; return; },
                }
            }
        };
        let is_over = timeout(END, ended).await.is_ok();
        if told.is_err() || !is_over {
            self.process.signal(Signal::KILL);
            let _ = timeout(END, self.process.child.wait()).await; // killed again when dropped
        }
        end
    }

    fn attach(&mut self, client: ClientId, session: String, outbox: mpsc::Sender<(Channel, Message)>) {
        // A second socket of the same session is the same client come back; the older one is closed.
        self.clients.retain(|_, known| session.is_empty() || known.session != session);
        if let Some(missed) = self.missed.take()
            && missed.session == session
            && !session.is_empty()
        {
            for message in missed.messages {
                let _ = outbox.try_send(message); // there is room for all that is kept
            }
        }
        self.clients.insert(client, Client { session, outbox });
        self.kernel.set_connections(self.clients.len());
    }

    fn remember(&mut self, request: String, client: ClientId) {
        if self.pending_order.len() >= MAX_PENDING
            && let Some(oldest) = self.pending_order.pop_front()
        {
            self.pending.remove(&oldest);
        }
        self.pending_order.push_back(request.clone());
        self.pending.insert(request, client);
    }

    fn receive(&mut self, channel: Channel, frames: Vec<Bytes>) {
        let Some(message) = Message::verify(frames, &self.process.key) else {
            tracing::warn!(
                kernel = self.kernel.id,
                "a message that is not signed with the kernel's key is dropped"
            );
            return;
        };
        if channel != Channel::Iopub {
            if channel == Channel::Shell {
                self.capture.replied(&self.kernel.id, &message);
            }
            if let Some(client) = self.pending.get(&message.parent().msg_id).copied() {
                self.deliver_to(client, channel, message);
            }
            return;
        }
        let header = message.header();
        if header.msg_type == "status" {
            if let Some(state) =
                message.content().as_ref().and_then(|content| content.get("execution_state")?.as_str())
            {
                self.kernel.set_state(state);
            }
        } else {
            self.kernel.touch();
        }
        self.capture.published(&self.kernel.id, &header, &message);
        let message = match self.rate.admit(&header.msg_type, &message) {
            Admission::Pass => message,
            Admission::Drop => return,
            Admission::Warn => {
                Message::new("stream", &message.parts[1], &json!({ "name": "stderr", "text": OVER_RATE }))
            }
        };
        self.deliver(&message);
    }

    /// Brings a message to all clients, or keeps it for the last one.
    fn deliver(&mut self, message: &Message) {
        if self.clients.is_empty() {
            self.keep(Channel::Iopub, message.clone());
            return;
        }
        // A client that reads nothing is gone: half-open connections must not hold memory.
        self.clients.retain(|_, client| client.outbox.try_send((Channel::Iopub, message.clone())).is_ok());
        self.kernel.set_connections(self.clients.len());
    }

    fn deliver_to(&mut self, client: ClientId, channel: Channel, message: Message) {
        match self.clients.get(&client) {
            Some(known) => drop(known.outbox.try_send((channel, message))), // a full one is found by the next iopub message
            None => self.keep(channel, message),
        }
    }

    fn keep(&mut self, channel: Channel, message: Message) {
        if let Some(missed) = &mut self.missed {
            missed.bytes += message.size();
            missed.messages.push_back((channel, message));
            while missed.messages.len() >= MAX_KEPT || missed.bytes > MAX_KEPT_BYTES {
                let Some((_, oldest)) = missed.messages.pop_front() else { break };
                missed.bytes -= oldest.size();
            }
        }
    }

    fn tell_status(&mut self, state: &str) {
        let message =
            Message::new("status", &Bytes::from_static(b"{}"), &json!({ "execution_state": state }));
        self.deliver(&message);
    }
}

const OVER_RATE: &str = "IOPub rate exceeded.\nThe server will temporarily stop sending output to the client, so that it does not \
                         crash. The notebook's file gets all of it once no client is connected.\n";

async fn send(
    sockets: &mut Sockets,
    channel: Channel,
    message: &Message,
    key: &ring::hmac::Key,
) -> io::Result<()> {
    let frames = message.sign(key);
    let frames: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
    match channel {
        Channel::Shell => sockets.shell.1.send(&frames).await,
        Channel::Stdin => sockets.stdin.1.send(&frames).await,
        Channel::Control => sockets.control.1.send(&frames).await,
        Channel::Iopub => Ok(()), // nobody publishes to a kernel
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Admission {
    Pass,
    Drop,
    /// The first that is dropped: a warning goes in its place.
    Warn,
}

/// Counts what a kernel publishes over the last seconds.
#[derive(Default)]
struct Rate {
    window: VecDeque<(Instant, usize)>,
    bytes: usize,
    is_over: bool,
}

impl Rate {
    fn admit(&mut self, kind: &str, message: &Message) -> Admission {
        // States and results are few, and without them a client waits for ever.
        if !matches!(kind, "stream" | "display_data" | "update_display_data" | "clear_output" | "comm_msg") {
            return Admission::Pass;
        }
        let now = Instant::now();
        while let Some((when, size)) = self.window.front().copied() {
            if now.duration_since(when) < WINDOW {
                break;
            }
            self.window.pop_front();
            self.bytes -= size;
        }
        let seconds = WINDOW.as_secs_f64();
        let is_full = self.window.len() as f64 >= MAX_MESSAGES_PER_SECOND * seconds;
        let size = message.size();
        let is_heavy = kind == "stream" && (self.bytes + size) as f64 > MAX_BYTES_PER_SECOND * seconds;
        if is_full || is_heavy {
            let was_over = std::mem::replace(&mut self.is_over, true);
            return if was_over { Admission::Drop } else { Admission::Warn };
        }
        self.is_over = false;
        self.window.push_back((now, size));
        self.bytes += size;
        Admission::Pass
    }
}
