//! The task of one kernel: reads all its sockets, brings each message to whom it is for, watches its process.
//!
//! There is one set of sockets per kernel and not one per client, so a reply finds its client by the id of the request it answers.
//! A kernel that dies is started again, and clients are told; one that keeps dying is given up.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use backlot_notebooks_kernels::{InterruptMode, Use, preparation};
use bytes::Bytes;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, timeout, timeout_at};

use super::culling::Culling;
use super::message::{Channel, Message};
use super::process::{Launch, Process, Sockets, connect_all};
use super::rate::{Admission, OVER_RATE, Rate};
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

/// How often changed notebooks are saved while a cell runs and nobody is connected.
const SAVE_EVERY: Duration = Duration::from_millis(250);

/// A save is followed by this many times its own duration without one, so that large notebooks do not keep the disk busy.
const REST: u32 = 9;

struct Client {
    /// Its session, by which it is known when it comes back; of one without, a name of its own.
    name: String,
    user: String,
    outbox: mpsc::Sender<(Channel, Message)>,
}

/// What came while no client was connected, for the last one's return.
struct Missed {
    client: String,
    messages: VecDeque<(Channel, Message)>,
    bytes: usize,
    /// Whether there was room for everything.
    is_whole: bool,
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
    culling: Culling,
    clients: HashMap<ClientId, Client>,
    /// Request → the name of the client that waits for its reply.
    pending: HashMap<String, String>,
    pending_order: VecDeque<String>,
    /// What the last client missed.
    missed: Option<Missed>,
    rate: Rate,
    /// The save that is under way or rested from.
    saving: Option<JoinHandle<()>>,
}

impl Pump {
    pub(super) fn new(
        kernel: Arc<Kernel>,
        launch: Launch,
        process: Process,
        capture: Arc<Capture>,
        culling: Culling,
    ) -> Pump {
        Pump {
            kernel,
            launch,
            process,
            capture,
            culling,
            clients: HashMap::new(),
            pending: HashMap::new(),
            pending_order: VecDeque::new(),
            missed: None,
            rate: Rate::default(),
            saving: None,
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
        let preparation = preparation(&self.launch.spec, Use::Interactive);
        let ready = async {
            let mut sockets = connect_all(&address, identity.as_bytes()).await?;
            loop {
                let request = Message::new("kernel_info_request", &Bytes::from_static(b"{}"), &json!({}));
                send(&mut sockets, Channel::Shell, &request, &key).await?;
                let mut is_heard = false;
                loop {
                    tokio::select! {
                        frames = sockets.iopub.recv() => { frames?; is_heard = true; }
                        frames = sockets.shell.0.recv() => { frames?; break; }
                    }
                }
                let mut quiet = Instant::now() + NUDGE;
                // What the kernel says of its own start is for nobody: wait until it is silent.
                while let Ok(frames) = timeout_at(quiet, sockets.iopub.recv()).await {
                    frames?;
                    is_heard = true;
                    quiet = Instant::now() + Duration::from_millis(5);
                }
                if is_heard {
                    break;
                }
            }
            for code in preparation {
                prepare(&mut sockets, code, &key).await?;
            }
            Ok::<_, io::Error>(sockets)
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
        let mut ticks = interval(SAVE_EVERY);
        let mut culls = self.culling.ticks();
        loop {
            let received = tokio::select! {
                frames = sockets.iopub.recv() => frames.map(|frames| (Channel::Iopub, frames)),
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
                    self.save();
                    continue;
                }
                () = culls.next() => {
                    if self.kernel.may_be_culled(&self.culling) {
                        tracing::info!(kernel = self.kernel.id, "an idle kernel is ended");
                        return self.end(sockets, End::Shutdown(None)).await;
                    }
                    continue;
                }
                _ = self.process.child.wait() => {
                    // Its sockets are closed, but what is in them is still to be read.
                    while let Ok(Ok(frames)) = timeout(NUDGE, sockets.iopub.recv()).await {
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
            Ask::Attach { client, session, user, outbox } => {
                let name = if session.is_empty() { format!("client {client}") } else { session };
                self.attach(client, Client { name, user, outbox });
            }
            Ask::Detach(client) => {
                if let Some(gone) = self.clients.remove(&client)
                    && self.clients.is_empty()
                {
                    self.missed = Some(Missed {
                        client: gone.name,
                        messages: VecDeque::new(),
                        bytes: 0,
                        is_whole: true,
                    });
                }
                self.capture.client_left(&self.kernel.id, client);
                self.kernel.set_connections(self.clients.len());
            }
            Ask::Send(client, channel, message) => {
                let header = message.header();
                let known = self.clients.get(&client);
                if header.msg_type == "execute_request" {
                    let user = known.map_or("", |known| &known.user);
                    self.capture.executes(&self.kernel.id, client, user, &header.msg_id, &message);
                }
                if let Some(name) = known.map(|known| known.name.clone()) {
                    self.remember(header.msg_id, name);
                }
                let key = self.process.key.clone();
                if send(sockets, channel, &message, &key).await.is_err() {
                    return None; // the reading side sees the end
                }
            }
            Ask::Adopt(session, done) => {
                let known = self.clients.iter().find(|(_, client)| client.name == session);
                let adopted = known.map(|(client, _)| self.capture.adopt(&self.kernel.id, *client));
                let _ = done.send(adopted.unwrap_or_default()); // whoever asked may have gone
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

    /// Saves what has changed, unless a save is under way or its rest.
    fn save(&mut self) {
        if self.saving.as_ref().is_none_or(JoinHandle::is_finished) {
            let (capture, kernel) = (self.capture.clone(), self.kernel.id.clone());
            self.saving = Some(tokio::spawn(async move {
                let began = Instant::now();
                capture.save(&kernel).await;
                sleep(began.elapsed() * REST).await;
            }));
        }
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
                    frames = sockets.iopub.recv() => if frames.is_err() { let _ = self.process.child.wait().await; return; },
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

    fn attach(&mut self, client: ClientId, comes: Client) {
        // A second socket of the same session is the same client come back; the older one is closed.
        let earlier = self.clients.iter().find(|(_, known)| known.name == comes.name).map(|(id, _)| *id);
        if let Some(earlier) = earlier {
            self.clients.remove(&earlier);
            self.capture.client_is_now(&self.kernel.id, earlier, client);
        }
        if let Some(missed) = self.missed.take()
            && missed.client == comes.name
        {
            for message in missed.messages {
                let _ = comes.outbox.try_send(message); // there is room for all that is kept
            }
            // What it has asked for it shows and saves again, if it has heard everything.
            if missed.is_whole {
                self.capture.adopt(&self.kernel.id, client);
            }
        }
        self.clients.insert(client, comes);
        self.kernel.set_connections(self.clients.len());
    }

    fn remember(&mut self, request: String, client: String) {
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
            if let Some(client) = self.pending.get(&message.parent().msg_id).cloned() {
                self.deliver_to(&client, channel, message);
            }
            return;
        }
        let header = message.header();
        let content = (header.msg_type == "status").then(|| message.content()).flatten();
        let state = content.as_ref().and_then(|content| content.get("execution_state")?.as_str());
        self.kernel.hears(&header.msg_type, &message.parent().msg_type, state);
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

    fn deliver_to(&mut self, client: &str, channel: Channel, message: Message) {
        match self.clients.values().find(|known| known.name == client) {
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
                missed.is_whole = false;
            }
        }
    }

    fn tell_status(&mut self, state: &str) {
        let message =
            Message::new("status", &Bytes::from_static(b"{}"), &json!({ "execution_state": state }));
        self.deliver(&message);
    }
}

/// Has a kernel run something that nobody sees, and takes its answers off the sockets.
async fn prepare(sockets: &mut Sockets, code: &str, key: &ring::hmac::Key) -> io::Result<()> {
    let content = json!({
        "code": code, "silent": true, "store_history": false, "user_expressions": {}, "allow_stdin": false, "stop_on_error": false,
    });
    let request = Message::new("execute_request", &Bytes::from_static(b"{}"), &content);
    let id = request.header().msg_id;
    send(sockets, Channel::Shell, &request, key).await?;
    let is_ours =
        |frames: Vec<Bytes>| Message::verify(frames, key).filter(|message| message.parent().msg_id == id);
    while is_ours(sockets.shell.0.recv().await?).is_none() {}
    let idle = async {
        loop {
            let message = is_ours(sockets.iopub.recv().await?);
            let content = message.and_then(|message| message.content());
            let state = content.as_ref().and_then(|content| content.get("execution_state")?.as_str());
            if state == Some("idle") {
                return Ok(());
            }
        }
    };
    // A kernel that says nothing of its state has nothing to be taken off.
    timeout(NUDGE, idle).await.unwrap_or(Ok(()))
}

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
