//! Terminals: a shell behind a pseudo-terminal, for any number of clients: `/api/terminals`, `/terminals/websocket/{name}`.
//!
//! One task per terminal reads what the shell writes, keeps the last of it for clients that come later, and hands it to all clients. A
//! client that takes nothing holds the shell up, as a full terminal would, and for a few seconds only: then it is taken for gone. A
//! command that floods the screen therefore fills no memory.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path as FilePath, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::{Value, json};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval, timeout};

use crate::error::Error;
use crate::server::{Pings, Server};
use crate::web::{json_response, parse_json};

/// The most terminals of one server.
const MAX_TERMINALS: usize = 100;

/// What is kept of the last output for clients that come later: some screens full.
const MAX_KEPT: usize = 256 << 10;

/// Pieces of output that wait for a client, and how long one may be full.
const MAX_WAITING: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that is read or written at once.
const PIECE: usize = 16 << 10;

/// How long a shell may take to end after it was hung up on.
const END: Duration = Duration::from_secs(2);

static NEXT_CLIENT: AtomicU64 = AtomicU64::new(1);

/// All terminals of a server.
#[derive(Debug, Default)]
pub(crate) struct Terminals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    terminals: BTreeMap<String, Arc<Terminal>>,
    made: u64,
}

/// A running terminal.
#[derive(Debug)]
struct Terminal {
    name: String,
    activity: Mutex<(String, Instant)>,
    asks: mpsc::Sender<Ask>,
}

enum Ask {
    Attach(u64, mpsc::Sender<String>),
    Detach(u64),
    Write(Vec<u8>),
    Resize(u64, u16, u16),
    End(oneshot::Sender<()>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Terminal {
    fn model(&self) -> Value {
        json!({ "name": self.name, "last_activity": lock(&self.activity).0 })
    }

    fn touch(&self) {
        *lock(&self.activity) = (crate::web::now(), Instant::now());
    }
}

impl Terminals {
    fn find(&self, name: &str) -> Result<Arc<Terminal>, Error> {
        let known = lock(&self.0).terminals.get(name).cloned();
        known.ok_or_else(|| Error::not_found(format!("Terminal not found: {name}")))
    }

    /// The last activity of any terminal.
    pub(crate) fn last_activity(&self) -> Option<String> {
        lock(&self.0).terminals.values().map(|terminal| lock(&terminal.activity).0.clone()).max()
    }

    fn start(
        self: &Arc<Self>,
        shell: &[String],
        directory: &FilePath,
        cull_after: Option<Duration>,
    ) -> Result<Arc<Terminal>, Error> {
        let failed = |error: io::Error| Error::internal(format!("the terminal does not start: {error}"));
        let mut known = lock(&self.0);
        if known.terminals.len() >= MAX_TERMINALS {
            return Err(Error::forbidden(format!("{MAX_TERMINALS} terminals run already; end some")));
        }
        let (pty, child) = open(shell, directory).map_err(failed)?;
        known.made += 1;
        let name = known.made.to_string();
        let (asks, asked) = mpsc::channel(MAX_WAITING);
        let activity = Mutex::new((crate::web::now(), Instant::now()));
        let terminal = Arc::new(Terminal { name: name.clone(), activity, asks });
        known.terminals.insert(name.clone(), terminal.clone());
        let all = self.clone();
        let pump = Pump {
            terminal: terminal.clone(),
            pty,
            child,
            clients: HashMap::new(),
            kept: VecDeque::new(),
            cull_after,
        };
        tokio::spawn(async move {
            pump.run(asked).await;
            lock(&all.0).terminals.remove(&name);
        });
        Ok(terminal)
    }

    /// Ends all terminals.
    pub(crate) async fn end_all(&self) {
        let all: Vec<Arc<Terminal>> = lock(&self.0).terminals.values().cloned().collect();
        for terminal in all {
            end_one(&terminal).await;
        }
    }
}

async fn end_one(terminal: &Terminal) {
    let (done, is_done) = oneshot::channel();
    if terminal.asks.send(Ask::End(done)).await.is_ok() {
        let _ = is_done.await; // it may have ended by itself
    }
}

/// A shell with a pseudo-terminal of its own: our end of it, and the process.
fn open(shell: &[String], directory: &FilePath) -> io::Result<(AsyncFd<OwnedFd>, Child)> {
    let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&pty)?;
    unlockpt(&pty)?;
    let name = ptsname(&pty, Vec::new())?;
    let name = PathBuf::from(name.to_string_lossy().into_owned());
    let theirs = File::options().read(true).write(true).open(name)?;
    let Some((program, arguments)) = shell.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no shell is set"));
    };
    // `setsid --ctty` makes the terminal the session's own, without which there is no job control and no Ctrl-C. Nor is there where
    // signals are ignored, as in what a script starts with `&`; children would inherit that.
    let mut command = Command::new("setsid");
    command.args(["--ctty", "env", "--default-signal=INT,QUIT"]).arg(program).args(arguments);
    command
        .current_dir(directory)
        .env("TERM", "xterm-256color")
        .env_remove("BACKLOT_TOKEN")
        .kill_on_drop(true);
    command
        .stdin(Stdio::from(theirs.try_clone()?))
        .stdout(Stdio::from(theirs.try_clone()?))
        .stderr(Stdio::from(theirs));
    // Not the leader of a process group: then `setsid` need not fork, and the process that we wait for is the shell.
    let child = command.spawn()?;
    rustix::io::ioctl_fionbio(&pty, true)?;
    #[expect(
        deprecated,
        reason = "unsound for types that close or swap their descriptor; an OwnedFd does neither"
    )]
    let pty = AsyncFd::new(pty)?;
    Ok((pty, child))
}

/// The task of one terminal.
struct Pump {
    terminal: Arc<Terminal>,
    pty: AsyncFd<OwnedFd>,
    child: Child,
    clients: HashMap<u64, Client>,
    kept: VecDeque<String>,
    cull_after: Option<Duration>,
}

struct Client {
    outbox: mpsc::Sender<String>,
    size: Option<(u16, u16)>,
}

impl Pump {
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        let mut piece = vec![0; PIECE];
        let mut unread = Vec::new();
        let mut to_write: VecDeque<u8> = VecDeque::new();
        let mut looks = interval(Duration::from_secs(1));
        let mut done = None;
        loop {
            tokio::select! {
                read = read(&self.pty, &mut piece) => {
                    let Ok(count) = read else { break };
                    if count == 0 { break }
                    unread.extend_from_slice(&piece[..count]);
                    self.publish(take_text(&mut unread)).await;
                }
                written = write(&self.pty, to_write.make_contiguous()), if !to_write.is_empty() => match written {
                    Ok(count) => drop(to_write.drain(..count)),
                    Err(_) => break,
                },
                ask = asked.recv(), if to_write.len() < PIECE => match ask {
                    None => break,
                    Some(Ask::Attach(id, outbox)) => self.attach(id, outbox),
                    Some(Ask::Detach(id)) => { self.clients.remove(&id); self.resize(); }
                    Some(Ask::Write(bytes)) => { self.terminal.touch(); to_write.extend(bytes); }
                    Some(Ask::Resize(id, rows, columns)) => {
                        if let Some(client) = self.clients.get_mut(&id) { client.size = Some((rows, columns)) }
                        self.resize();
                    }
                    Some(Ask::End(tell)) => { done = Some(tell); break }
                },
                _ = self.child.wait() => {
                    // What it wrote last is still to be read.
                    while let Ok(Ok(count @ 1..)) = timeout(Duration::from_millis(50), read(&self.pty, &mut piece)).await {
                        unread.extend_from_slice(&piece[..count]);
                        self.publish(take_text(&mut unread)).await;
                    }
                    break;
                }
                _ = looks.tick() => {
                    let idle = lock(&self.terminal.activity).1.elapsed();
                    if self.cull_after.is_some_and(|limit| idle >= limit) { break }
                }
            }
        }
        self.publish_raw(json!(["disconnect", 1]).to_string()).await;
        self.end().await;
        if let Some(done) = done {
            let _ = done.send(()); // whoever asked may have gone
        }
    }

    fn attach(&mut self, id: u64, outbox: mpsc::Sender<String>) {
        let _ = outbox.try_send(json!(["setup", {}]).to_string()); // its queue is empty
        let kept: String = self.kept.iter().map(String::as_str).collect();
        if !kept.is_empty() {
            let _ = outbox.try_send(json!(["stdout", kept]).to_string()); // as above
        }
        self.clients.insert(id, Client { outbox, size: None });
    }

    async fn publish(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        self.terminal.touch();
        let told = json!(["stdout", text]).to_string();
        self.kept.push_back(text);
        let mut size: usize = self.kept.iter().map(String::len).sum();
        while size > MAX_KEPT {
            size -= self.kept.pop_front().map_or(size, |oldest| oldest.len());
        }
        self.publish_raw(told).await;
    }

    async fn publish_raw(&mut self, told: String) {
        let mut gone = Vec::new();
        for (id, client) in &self.clients {
            if !matches!(timeout(PATIENCE, client.outbox.send(told.clone())).await, Ok(Ok(()))) {
                gone.push(*id);
            }
        }
        for id in gone {
            self.clients.remove(&id);
        }
    }

    /// The terminal is as large as its smallest client.
    fn resize(&self) {
        let sizes = || self.clients.values().filter_map(|client| client.size);
        if let (Some(rows), Some(columns)) =
            (sizes().map(|size| size.0).min(), sizes().map(|size| size.1).min())
        {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            let _ = tcsetwinsize(self.pty.get_ref().as_fd(), size); // a shell that has ended needs no size
        }
    }

    async fn end(&mut self) {
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        for signal in [Signal::HUP, Signal::KILL] {
            if let Some(group) = group {
                let _ = kill_process_group(group, signal); // it may have ended by itself
            }
            if timeout(END, self.child.wait()).await.is_ok() {
                return;
            }
        }
    }
}

async fn read(pty: &AsyncFd<OwnedFd>, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut ready = pty.readable().await?;
        if let Ok(read) = ready.try_io(|pty| Ok(rustix::io::read(pty.get_ref(), &mut *piece)?)) {
            return read;
        }
    }
}

async fn write(pty: &AsyncFd<OwnedFd>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        let mut ready = pty.writable().await?;
        if let Ok(written) = ready.try_io(|pty| Ok(rustix::io::write(pty.get_ref(), bytes)?)) {
            return written;
        }
    }
}

/// The text so far; the beginning of a character that is not whole yet stays.
fn take_text(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    loop {
        match std::str::from_utf8(bytes) {
            Ok(rest) => {
                text.push_str(rest);
                bytes.clear();
                return text;
            }
            Err(error) => {
                let valid = error.valid_up_to();
                text.push_str(&String::from_utf8_lossy(&bytes[..valid]));
                match error.error_len() {
                    Some(length) => {
                        text.push('\u{fffd}');
                        bytes.drain(..valid + length);
                    }
                    None => {
                        bytes.drain(..valid);
                        return text;
                    }
                }
            }
        }
    }
}

pub(crate) async fn list(State(server): State<Arc<Server>>) -> Response {
    let models: Vec<Value> =
        lock(&server.terminals.0).terminals.values().map(|terminal| terminal.model()).collect();
    json_response(StatusCode::OK, Value::Array(models).to_string())
}

/// Starts a terminal: `{"cwd"?}`, an absolute folder or one below the root.
pub(crate) async fn start(State(server): State<Arc<Server>>, body: Bytes) -> Result<Response, Error> {
    if !server.config.terminals {
        return Err(Error::forbidden("terminals are switched off here"));
    }
    let model = parse_json(&body)?;
    let wanted = model["cwd"].as_str().filter(|wanted| !wanted.is_empty());
    let folder = wanted.map(|wanted| match FilePath::new(wanted) {
        path if path.is_absolute() && path.is_dir() => path.to_owned(),
        _ => server.kernel_directory(wanted),
    });
    let folder = folder.unwrap_or_else(|| server.root().to_owned());
    let terminal =
        server.terminals.start(&server.config.shell, &folder, server.config.cull_terminals_after)?;
    Ok(json_response(StatusCode::OK, terminal.model().to_string()))
}

pub(crate) async fn one(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    Ok(json_response(StatusCode::OK, server.terminals.find(&name)?.model().to_string()))
}

pub(crate) async fn end(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    end_one(&*server.terminals.find(&name)?).await;
    Ok(StatusCode::NO_CONTENT)
}

/// A client's websocket to a terminal; one that has no terminal of this name yet, gets 404.
pub(crate) async fn connect(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Error> {
    let terminal = server.terminals.find(&name)?;
    let id = NEXT_CLIENT.fetch_add(1, Ordering::Relaxed);
    let (outbox, inbox) = mpsc::channel(MAX_WAITING);
    let absent = |_| Error::not_found(format!("Terminal not found: {name}"));
    terminal.asks.send(Ask::Attach(id, outbox)).await.map_err(absent)?;
    Ok(upgrade.on_upgrade(move |socket| async move {
        converse(socket, id, &terminal, inbox, server.config.pings).await;
        let _ = terminal.asks.send(Ask::Detach(id)).await; // it may have ended
    }))
}

async fn converse(
    mut socket: WebSocket,
    id: u64,
    terminal: &Terminal,
    mut inbox: mpsc::Receiver<String>,
    pings: Pings,
) {
    let mut ticks = interval(pings.every);
    let mut heard = Instant::now();
    loop {
        let sent = tokio::select! {
            told = inbox.recv() => match told {
                Some(told) => socket.send(Message::Text(told.into())).await,
                None => break,
            },
            received = socket.recv() => {
                heard = Instant::now();
                let text = match received {
                    Some(Ok(Message::Text(text))) => text,
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                };
                let Some(ask) = parse(id, &text) else { continue };
                if terminal.asks.send(ask).await.is_err() {
                    break;
                }
                continue;
            }
            _ = ticks.tick() => {
                if heard.elapsed() > pings.patience { return }
                socket.send(Message::Ping(Bytes::new())).await
            }
        };
        if sent.is_err() {
            return;
        }
    }
    let _ = socket.send(Message::Close(None)).await; // it may be closed
}

/// `["stdin", text]` or `["set_size", rows, columns, …]`.
fn parse(id: u64, text: &str) -> Option<Ask> {
    let message: Value = serde_json::from_str(text).ok()?;
    let number = |index: usize| u16::try_from(message[index].as_u64()?).ok().filter(|number| *number > 0);
    match message[0].as_str()? {
        "stdin" => Some(Ask::Write(message[1].as_str()?.as_bytes().to_vec())),
        "set_size" => Some(Ask::Resize(id, number(1)?, number(2)?)),
        _ => None,
    }
}

/// The shell that a user has.
pub(crate) fn default_shell() -> Vec<String> {
    let shell = std::env::var("SHELL").ok().filter(|shell| FilePath::new(shell).is_file());
    vec![shell.unwrap_or_else(|| "/bin/sh".to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_come_whole() {
        let mut bytes = "aé".as_bytes()[..2].to_vec();
        assert_eq!(take_text(&mut bytes), "a");
        bytes.extend([0xa9, 0xff, b'b']);
        assert_eq!(take_text(&mut bytes), "é\u{fffd}b");
        assert!(bytes.is_empty());
    }

    #[test]
    fn only_sense_is_taken_from_a_client() {
        assert!(matches!(parse(1, r#"["stdin", "ls\r"]"#), Some(Ask::Write(bytes)) if bytes == b"ls\r"));
        assert!(matches!(parse(1, r#"["set_size", 24, 80, 0, 0]"#), Some(Ask::Resize(1, 24, 80))));
        for text in
            ["", "[]", "{}", r#"["set_size", -1, 80]"#, r#"["set_size", 0, 1e9]"#, r#"["stdin"]"#, "[1]"]
        {
            assert!(parse(1, text).is_none(), "{text}");
        }
    }
}
