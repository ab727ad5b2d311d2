//! Our Jupyter server beside jupyter_server, with and without TCP_NODELAY, and beside ZeroMQ alone.
//!
//! `cargo xtask bench jupyter [--quick]`. Both servers have the same folder of 100 notebooks and start the same kernel. A client of this
//! program's own speaks HTTP and websockets to both, so neither has a better one; raw ZeroMQ is asked by our own client over the kernel's
//! sockets. jupyter_server never sets TCP_NODELAY, so an execution waits for a delayed acknowledgement; with four lines of configuration
//! it does, and the figure that counts is the one beside that.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use backlot_benches::house::{AnyError, binary};
use backlot_benches::speed::peers;
use backlot_benches::statistics::median;
use backlot_notebooks_kernels::{
    Address, CONNECTION_FILE, Channel, KernelSearch, Role, Socket, chance, command, private_folder,
    write_private,
};
use clap::Parser;
use ring::hmac;
use serde_json::{Value, json};

/// Our Jupyter server beside jupyter_server.
#[derive(Parser)]
struct Arguments {
    /// Fewer requests: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
}

/// What is to be reached.
mod target {
    pub(super) const LISTING: f64 = 20.0;
    pub(super) const ROUND_TRIP: f64 = 1.2;
    pub(super) const IDLE_MB: f64 = 20.0;
}

const NOTEBOOKS: usize = 100;
const TOKEN: &str = "bench";

/// How long a peer may take to start on a loaded machine.
const START: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A running server.
struct Server {
    child: Child,
    port: u16,
    base: &'static str,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

fn measure() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    let (listings, trips) = if arguments.quick { (20, 10) } else { (200, 100) };
    let python = peers::python().ok_or("no Python environment; run `cargo xtask bench jupyter`")?;
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("root");
    std::fs::create_dir(&root)?;
    for number in 0..NOTEBOOKS {
        let cell = json!({"cell_type": "code", "id": "a", "metadata": {}, "source": "1", "outputs": [], "execution_count": null});
        let notebook = json!({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5});
        std::fs::write(root.join(format!("n{number}.ipynb")), notebook.to_string())?;
    }
    let ours = backlot(&python, &root, folder.path())?;
    let stock = jupyter(&python, &root, folder.path(), Nagle::AsItIs)?;
    let patched = jupyter(&python, &root, folder.path(), Nagle::Off)?;
    let idle = [resident(&ours.child)?, resident(&stock.child)?];
    println!("load {}", std::fs::read_to_string("/proc/loadavg")?.split_whitespace().next().unwrap_or("?"));
    println!("{:46} {:>12} {:>12} {:>12} {:>9}", "what", "stock", "NODELAY", "backlot", "faster");

    // The same answer first.
    let names = |server: &Server| -> Result<Vec<String>, AnyError> {
        let listing: Value = serde_json::from_slice(&get(server, "api/contents")?)?;
        let files = listing["content"].as_array().into_iter().flatten();
        let mut names: Vec<String> =
            files.filter_map(|file| Some(file["path"].as_str()?.to_owned())).collect();
        names.sort();
        Ok(names)
    };
    if names(&ours)? != names(&stock)? {
        return Err("the servers list different files".into());
    }
    for (what, path, goal) in [
        ("GET api/contents, 100 notebooks", "api/contents", Some(target::LISTING)),
        ("GET api/contents/n1.ipynb", "api/contents/n1.ipynb", None),
        ("GET api/status", "api/status", None),
    ] {
        let of = |server: &Server| requests(server, path, listings);
        let (slow, less, fast) = (of(&stock)?, of(&patched)?, of(&ours)?);
        let faster = slow.min(less) / fast;
        let rate = |seconds: f64| format!("{:.0}/s", 1.0 / seconds);
        println!(
            "{what:46} {:>12} {:>12} {:>12} {faster:>8.1}x{}",
            rate(slow),
            rate(less),
            rate(fast),
            verdict(goal.map(|goal| faster >= goal))
        );
    }
    let raw = raw_round_trip(&python, trips)?;
    let trip = |server: &Server| round_trip(server, trips);
    let (slow, less, fast) = (trip(&stock)?, trip(&patched)?, trip(&ours)?);
    println!(
        "{:46} {:>9.2} ms {:>9.2} ms {:>9.2} ms {:>8.1}x",
        "execute `pass` over a websocket, p50",
        slow * 1e3,
        less * 1e3,
        fast * 1e3,
        slow / fast
    );
    let share = fast / raw;
    println!(
        "{:46} {:>25} {:>9.2} ms {share:>8.2} of it{}",
        "the same over ZeroMQ alone, p50",
        "",
        raw * 1e3,
        verdict(Some(share <= target::ROUND_TRIP))
    );
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "{:46} {:>9.1} MB {:>12} {:>9.1} MB {:>8.1}x{}",
        "resident memory, idle",
        megabytes(idle[1]),
        "",
        megabytes(idle[0]),
        megabytes(idle[1]) / megabytes(idle[0]),
        verdict(Some(megabytes(idle[0]) < target::IDLE_MB))
    );
    Ok(())
}

fn verdict(is_reached: Option<bool>) -> &'static str {
    match is_reached {
        None => "",
        Some(true) => "  reached",
        Some(false) => "  MISSED",
    }
}

fn backlot(python: &Path, root: &Path, folder: &Path) -> Result<Server, AnyError> {
    let venv = python.parent().and_then(Path::parent).ok_or("no environment")?;
    let mut command = Command::new(binary()?);
    command
        .arg("--home")
        .arg(folder.join("home"))
        .args(["--output", "json", "jupyter", "--port", "0", "--token", TOKEN]);
    command.arg("--root").arg(root).arg("--state").arg(folder.join("state"));
    command.env("VIRTUAL_ENV", venv).env_remove("BACKLOT_VENV").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let answer: Value = serde_json::from_str(&line)?;
    let port = answer["port"].as_u64().and_then(|port| u16::try_from(port).ok()).ok_or("no port")?;
    Ok(Server { child, port, base: "/" })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nagle {
    AsItIs,
    Off,
}

/// What sets TCP_NODELAY on every websocket of jupyter_server.
const NODELAY: &str = "
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler as Handler
opened = Handler.open
def open(self, *args, **named):
    self.set_nodelay(True)
    return opened(self, *args, **named)
Handler.open = open
";

fn jupyter(python: &Path, root: &Path, folder: &Path, nagle: Nagle) -> Result<Server, AnyError> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = folder.join(format!("config-{port}.py"));
    std::fs::write(&config, if nagle == Nagle::Off { NODELAY } else { "" })?;
    let mut command = Command::new(python);
    command.args(["-m", "jupyter_server", "--allow-root", "--no-browser", "--ServerApp.log_level=ERROR"]);
    command.arg(format!("--config={}", config.display())).arg(format!("--port={port}"));
    command
        .arg(format!("--IdentityProvider.token={TOKEN}"))
        .arg(format!("--ServerApp.root_dir={}", root.display()));
    command.env("HOME", folder).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server { child: command.spawn()?, port, base: "/" };
    let begun = Instant::now();
    while get(&server, "api/status").is_err() {
        if begun.elapsed() > START {
            return Err("jupyter_server does not start; `pip install jupyter_server ipykernel`".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(server)
}

fn resident(child: &Child) -> Result<u64, AnyError> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// A connection that is kept.
struct Http(BufReader<TcpStream>);

impl Http {
    fn open(server: &Server) -> Result<Http, AnyError> {
        let stream = TcpStream::connect(("127.0.0.1", server.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(START))?;
        Ok(Http(BufReader::new(stream)))
    }

    fn ask(&mut self, method: &str, path: &str, more: &str, body: &str) -> Result<(u16, Vec<u8>), AnyError> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {TOKEN}\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.get_mut().write_all(head.as_bytes())?;
        let (mut status, mut length, mut is_chunked) = (0, 0, false);
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err("the server closed the connection".into());
            }
            let text = line.trim().to_ascii_lowercase();
            if let Some(rest) = text.strip_prefix("http/1.1 ") {
                status = rest.split(' ').next().unwrap_or_default().parse()?;
            } else if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            } else if text == "transfer-encoding: chunked" {
                is_chunked = true;
            } else if text.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if is_chunked {
            loop {
                line.clear();
                self.0.read_line(&mut line)?;
                let size = usize::from_str_radix(line.trim(), 16)?;
                let mut piece = vec![0; size + 2];
                self.0.read_exact(&mut piece)?;
                body.extend_from_slice(&piece[..size]);
                if size == 0 {
                    break;
                }
            }
        } else {
            self.0.read_exact(&mut body)?;
        }
        Ok((status, body))
    }
}

fn get(server: &Server, path: &str) -> Result<Vec<u8>, AnyError> {
    let (status, body) = Http::open(server)?.ask("GET", &format!("{}{path}", server.base), "", "")?;
    if status == 200 { Ok(body) } else { Err(format!("GET {path}: {status}").into()) }
}

/// Seconds of a request, one after the other on one connection: the median.
fn requests(server: &Server, path: &str, count: usize) -> Result<f64, AnyError> {
    let mut http = Http::open(server)?;
    let path = format!("{}{path}", server.base);
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        let (status, _) = http.ask("GET", &path, "", "")?;
        times.push(begun.elapsed().as_secs_f64());
        if status != 200 {
            return Err(format!("GET {path}: {status}").into());
        }
    }
    Ok(median(&times))
}

fn execution(id: &str) -> Value {
    json!({
        "channel": "shell", "parent_header": {}, "metadata": {}, "buffers": [],
        "header": {"msg_id": id, "msg_type": "execute_request", "username": "", "session": "bench", "date": "", "version": "5.3"},
        "content": {"code": "pass", "silent": false, "store_history": true, "user_expressions": {}, "allow_stdin": false, "stop_on_error": true},
    })
}

/// Seconds from a request to its reply and the kernel's rest, over a websocket: the median.
fn round_trip(server: &Server, count: usize) -> Result<f64, AnyError> {
    let (status, body) = Http::open(server)?.ask(
        "POST",
        &format!("{}api/kernels", server.base),
        "Content-Type: application/json\r\n",
        r#"{"name": "python3"}"#,
    )?;
    if status != 201 {
        return Err(format!("POST api/kernels: {status}").into());
    }
    let kernel: Value = serde_json::from_slice(&body)?;
    let id = kernel["id"].as_str().ok_or("no kernel")?;
    let mut http = Http::open(server)?;
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (status, _) = http.ask("GET", &format!("{}api/kernels/{id}/channels", server.base), upgrade, "")?;
    if status != 101 {
        return Err(format!("GET channels: {status}").into());
    }
    let mut times = Vec::new();
    for number in 0..count + 5 {
        let request = format!("bench-{number}");
        let begun = Instant::now();
        send(http.0.get_mut(), &execution(&request).to_string())?;
        let (mut is_replied, mut is_idle) = (false, false);
        while !(is_replied && is_idle) {
            let message = receive(&mut http.0)?;
            if message["parent_header"]["msg_id"] == request.as_str() {
                is_replied |= message["msg_type"] == "execute_reply";
                is_idle |= message["content"]["execution_state"] == "idle";
            }
        }
        if number >= 5 {
            times.push(begun.elapsed().as_secs_f64()); // the first warm the kernel up
        }
    }
    Http::open(server)?.ask("DELETE", &format!("{}api/kernels/{id}", server.base), "", "")?;
    Ok(median(&times))
}

fn send(stream: &mut TcpStream, text: &str) -> Result<(), AnyError> {
    let mut frame = vec![0x81, 0xfe];
    frame.extend_from_slice(&u16::try_from(text.len())?.to_be_bytes());
    frame.extend_from_slice(&[0; 4]); // masked with zeros
    frame.extend_from_slice(text.as_bytes());
    Ok(stream.write_all(&frame)?)
}

/// The next text of a websocket.
fn receive(stream: &mut BufReader<TcpStream>) -> Result<Value, AnyError> {
    loop {
        let mut head = [0; 2];
        stream.read_exact(&mut head)?;
        let mut wide = [0; 8];
        let length = match head[1] {
            126 => {
                stream.read_exact(&mut wide[6..])?;
                u64::from_be_bytes(wide)
            }
            127 => {
                stream.read_exact(&mut wide)?;
                u64::from_be_bytes(wide)
            }
            short => u64::from(short),
        };
        let mut body = vec![0; usize::try_from(length)?];
        stream.read_exact(&mut body)?;
        if head[0] & 0x0f == 1 {
            return Ok(serde_json::from_slice(&body)?);
        }
    }
}

/// Seconds for `pass` over a kernel's own sockets, nothing between them and this program: what no server can go below. The kernel signs,
/// as always; nobody verifies.
fn raw_round_trip(python: &Path, count: usize) -> Result<f64, AnyError> {
    let venv = python.ancestors().nth(2).map(|venv| venv.as_os_str().to_owned());
    let search = KernelSearch::with(&|name| match name {
        "VIRTUAL_ENV" => venv.clone(),
        "BACKLOT_VENV" => None,
        name => std::env::var_os(name),
    });
    let spec = search.find("python3")?;
    let folder = private_folder()?;
    let address = Address::choose(&spec, folder.path())?;
    write_private(&folder.path().join(CONNECTION_FILE), address.connection_file(KEY, &spec).as_bytes())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let _child = command(&spec, folder.path(), CONNECTION_FILE)?.spawn()?;
        let mut shell = address.connect(Channel::Shell, Role::Dealer, b"raw").await?;
        let mut iopub = address.connect(Channel::Iopub, Role::Subscriber, b"").await?;
        let mut times = Vec::new();
        for number in 0..count + WARM_UP {
            let began = Instant::now();
            let answered = tokio::time::timeout(START, execute_raw(&mut shell, &mut iopub, number));
            match answered.await {
                Ok(answered) => answered?,
                Err(_) => return Err("the kernel does not answer".into()),
            }
            if number >= WARM_UP {
                times.push(began.elapsed().as_secs_f64());
            }
        }
        Ok(median(&times))
    })
}

/// What messages are signed with.
const KEY: &str = "bench";

/// Round trips that are not counted: the first ones import.
const WARM_UP: usize = 5;

/// Sends `pass`, and waits for the reply and for the kernel's word that it is idle.
async fn execute_raw(shell: &mut Socket, iopub: &mut Socket, number: usize) -> Result<(), AnyError> {
    let id = format!("raw-{number}");
    let header = json!({"msg_id": id, "msg_type": "execute_request", "username": "", "session": "raw", "date": "2026-01-01T00:00:00Z", "version": "5.3"});
    let content = json!({"code": "pass", "silent": false, "store_history": true, "user_expressions": {}, "allow_stdin": false, "stop_on_error": true});
    let (header, content) = (header.to_string(), content.to_string());
    let mut signed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()));
    for part in [&header, "{}", "{}", &content] {
        signed.update(part.as_bytes());
    }
    let signature = chance::hex(signed.sign().as_ref());
    let frames: [&[u8]; 6] =
        [b"<IDS|MSG>", signature.as_bytes(), header.as_bytes(), b"{}", b"{}", content.as_bytes()];
    shell.send(&frames).await?;
    let is_of = |frames: &[bytes::Bytes]| -> Option<Value> {
        let start = frames.iter().position(|frame| &frame[..] == b"<IDS|MSG>")?;
        let parent: Value = serde_json::from_slice(frames.get(start + 3)?).ok()?;
        (parent["msg_id"] == id.as_str())
            .then(|| serde_json::from_slice(&frames[start + 5]).unwrap_or_default())
    };
    while is_of(&shell.recv().await?).is_none() {}
    // What is published before the subscription takes effect is lost; the first requests do without.
    let patience = Duration::from_millis(if number < WARM_UP { 500 } else { 60_000 });
    let idle = async {
        while is_of(&iopub.recv().await?).is_none_or(|content| content["execution_state"] != "idle") {}
        Ok::<(), std::io::Error>(())
    };
    tokio::time::timeout(patience, idle).await.unwrap_or(Ok(()))?;
    Ok(())
}
