//! An HTTP server of objects that fails as it is told to.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What the server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It answers rightly.
    None,
    /// It answers with this status.
    Status(u16),
    /// It resets the connection after this many bytes of the body.
    ResetAfter(usize),
    /// It closes the connection after this many bytes of the body, as if that were all.
    ShortAfter(usize),
    /// It sends the whole object with 200, whatever range was asked for.
    Whole,
    /// It sends the bytes of another range, and says so.
    OtherRange,
    /// It says nothing until the client gives up.
    Silence,
    /// It answers rightly, in chunks that do not tell the length.
    Chunked,
    /// It answers rightly and closes the connection without saying so.
    Closing,
    /// It tells of another place: the path with `/moved` before it.
    Elsewhere,
}

/// The bytes of an object.
#[derive(Clone)]
pub(crate) enum Content {
    /// These.
    Bytes(Arc<Vec<u8>>),
    /// As many as this, each made from its place: objects larger than any disk.
    Made(u64),
}

impl Content {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Made(size) => *size,
        }
    }

    fn of(&self, range: Range<u64>) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes[range.start as usize..range.end as usize].to_vec(),
            Self::Made(_) => made(range),
        }
    }
}

/// The bytes at these places of an object that is made.
pub(crate) fn made(range: Range<u64>) -> Vec<u8> {
    let word = |at: u64| {
        (at / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).to_le_bytes()[(at % 8) as usize]
    };
    range.map(word).collect()
}

/// What is served under a path.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) content: Content,
    pub(crate) etag: Option<String>,
    /// Whether `If-Match` is understood.
    pub(crate) is_strict: bool,
}

type Plan = Box<dyn FnMut(&Range<u64>) -> Fault + Send>;

struct State {
    objects: Mutex<HashMap<String, Served>>,
    plan: Mutex<Plan>,
    requests: AtomicU64,
    bytes: AtomicU64,
    refuses_signed_urls: AtomicBool,
    is_over: AtomicBool,
}

/// The server. It ends when it is dropped.
pub(crate) struct Server {
    port: u16,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            objects: Mutex::default(),
            plan: Mutex::new(Box::new(|_| Fault::None)),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            refuses_signed_urls: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let accepting = std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if shared.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(connection, &shared));
            }
        });
        Self { port, state, accepting: Some(accepting) }
    }

    /// Serves these bytes and gives their URL.
    pub(crate) fn put(&self, path: &str, content: Vec<u8>, etag: &str) -> String {
        let served = Served {
            content: Content::Bytes(Arc::new(content)),
            etag: Some(format!("\"{etag}\"")),
            is_strict: true,
        };
        self.put_as(path, served)
    }

    pub(crate) fn put_as(&self, path: &str, served: Served) -> String {
        self.state.objects.lock().unwrap().insert(path.to_owned(), served);
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Fails from now on as this tells for each range that is asked for.
    pub(crate) fn fail(&self, plan: impl FnMut(&Range<u64>) -> Fault + Send + 'static) {
        *self.state.plan.lock().unwrap() = Box::new(plan);
    }

    /// Takes the signature of a request from its headers alone.
    pub(crate) fn refuse_signed_urls(&self) {
        self.state.refuses_signed_urls.store(true, Ordering::Relaxed);
    }

    /// Requests so far, and bytes of bodies.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.state.requests.load(Ordering::Relaxed), self.state.bytes.load(Ordering::Relaxed))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.accepting.take().unwrap().join();
    }
}

fn serve(connection: TcpStream, state: &State) {
    connection.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut connection = connection;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut words = first.split(' ');
        let is_head = words.next() == Some("HEAD");
        let path = words.next().unwrap_or("/").to_owned();
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        if answer(&mut connection, state, is_head, &path, &headers).is_err() {
            return;
        }
    }
}

/// Answers one request; an error ends the connection.
fn answer(
    connection: &mut TcpStream,
    state: &State,
    is_head: bool,
    path: &str,
    headers: &HashMap<String, String>,
) -> std::io::Result<()> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let served = state.objects.lock().unwrap().get(path).cloned();
    state.requests.fetch_add(1, Ordering::Relaxed);
    let Some(served) = served else { return status(connection, 404) };
    if query.contains("X-Amz-Signature") && state.refuses_signed_urls.load(Ordering::Relaxed) {
        return status(connection, 403);
    }
    let size = served.content.size();
    if is_head {
        let etag = served.etag.as_deref().unwrap_or_default();
        let modified = "Tue, 15 Nov 1994 12:45:26 GMT";
        return write!(
            connection,
            "HTTP/1.1 200 OK\r\netag: {etag}\r\nlast-modified: {modified}\r\ncontent-length: {size}\r\n\r\n"
        );
    }
    let range = headers.get("range").and_then(|text| {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        Some(first..(last + 1).min(size))
    });
    let mut range = range.unwrap_or(0..size);
    if range.start >= size {
        return write!(
            connection,
            "HTTP/1.1 416 R\r\ncontent-range: bytes */{size}\r\ncontent-length: 0\r\n\r\n"
        );
    }
    let wanted_etag = headers.get("if-match");
    if served.is_strict && wanted_etag.is_some() && wanted_etag != served.etag.as_ref() {
        return status(connection, 412);
    }
    let fault = (state.plan.lock().unwrap())(&range);
    match fault {
        Fault::Status(code) => return status(connection, code),
        Fault::Silence => {
            // Until the client closes.
            let _ = connection.read(&mut [0]);
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        Fault::OtherRange => range = range.start + 1..(range.end + 1).min(size),
        Fault::Elsewhere if !path.starts_with("/moved") => {
            return write!(
                connection,
                "HTTP/1.1 302 Found\r\nlocation: /moved{path}\r\ncontent-length: 0\r\n\r\n"
            );
        }
        _ => {}
    }
    let etag = served.etag.as_ref().map_or(String::new(), |etag| format!("etag: {etag}\r\n"));
    if fault == Fault::Whole {
        write!(connection, "HTTP/1.1 200 OK\r\n{etag}content-length: {size}\r\n\r\n")?;
        return connection.write_all(&served.content.of(0..size));
    }
    let length = range.end - range.start;
    let (first, last) = (range.start, range.end - 1);
    let body = served.content.of(range.clone());
    let sent = match fault {
        Fault::ResetAfter(count) | Fault::ShortAfter(count) => &body[..count.min(body.len())],
        _ => &body[..],
    };
    // Counted before the client can know of it.
    state.bytes.fetch_add(sent.len() as u64, Ordering::Relaxed);
    let head = format!("HTTP/1.1 206 Partial\r\n{etag}content-range: bytes {first}-{last}/{size}\r\n");
    if fault == Fault::Chunked {
        write!(connection, "{head}transfer-encoding: chunked\r\n\r\n")?;
        for chunk in sent.chunks(100_000) {
            write!(connection, "{:x}\r\n", chunk.len())?;
            connection.write_all(chunk)?;
            connection.write_all(b"\r\n")?;
        }
        return connection.write_all(b"0\r\n\r\n");
    }
    write!(connection, "{head}content-length: {length}\r\n\r\n")?;
    connection.write_all(sent)?;
    match fault {
        Fault::Closing => Err(std::io::ErrorKind::ConnectionAborted.into()),
        Fault::ResetAfter(_) => {
            // A socket that is closed with a linger time of zero sends RST and not FIN.
            rustix::net::sockopt::set_socket_linger(&*connection, Some(std::time::Duration::ZERO)).unwrap();
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
        Fault::ShortAfter(_) => {
            let _ = connection.shutdown(std::net::Shutdown::Both);
            Err(std::io::ErrorKind::ConnectionAborted.into())
        }
        _ => Ok(()),
    }
}

fn status(connection: &mut TcpStream, code: u16) -> std::io::Result<()> {
    write!(connection, "HTTP/1.1 {code} Told\r\ncontent-length: 0\r\n\r\n")
}
