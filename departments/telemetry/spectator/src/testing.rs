//! An aggregator for tests: it keeps what it is sent, and answers what it is told to.
//!
//! A small HTTP server on threads of its own, so that a test sees the bytes that a real one would see. Its payloads are read as the
//! store reads them.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use backlot_atlas::wire::{Json, Operator, Point, Smile, Tabled, WireError, read_updates};
use flate2::read::MultiGzDecoder;

use crate::payload::Format;

/// The greatest body that it reads.
const LONGEST_BODY: usize = 64 << 20;

/// What a client sent.
#[derive(Clone, Debug)]
pub struct Received {
    /// The path of the request.
    pub path: String,
    /// Its headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its updates as lines `name,key=value Add 1`, in the order of the body, if it could be read.
    pub payload: Result<Vec<String>, String>,
}

/// The answer to one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status and a body. Unless the status tells of success or of invalid measurements, the payload is not kept.
    Status(u16, String),
    /// The payload is kept, and the connection breaks.
    Break,
}

#[derive(Debug, Default)]
struct Kept {
    received: Vec<Received>,
    answers: Vec<Answer>,
}

/// The aggregator. It serves until the process ends.
#[derive(Debug)]
pub struct Aggregator {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl Aggregator {
    /// Begins to listen on a port of the system's choice.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start() -> io::Result<Aggregator> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let kept = Arc::<Mutex<Kept>>::default();
        let shared = Arc::clone(&kept);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&shared);
                thread::spawn(move || while serve(&stream, &kept).is_some() {});
            }
        });
        Ok(Aggregator { address, kept })
    }

    /// The address to publish to.
    pub fn uri(&self) -> String {
        format!("http://{}/api/v4/update", self.address)
    }

    /// Gives these answers to the next requests, in this order; then 200 again.
    pub fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.kept).answers.extend(answers);
    }

    /// What was sent so far.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.kept).received.clone()
    }

    /// Takes what was sent since the last time.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut lock(&self.kept).received)
    }
}

/// The updates of some requests as lines `name,key=value Add 1`, in order.
pub fn lines(received: &[Received]) -> Vec<String> {
    let mut lines: Vec<String> =
        received.iter().flat_map(|one| one.payload.iter().flatten()).cloned().collect();
    lines.sort();
    lines
}

fn line(read: &Tabled<'_, Operator>, point: &Point<Operator>) -> String {
    let tags = read.tags(point);
    let mut tags: BTreeMap<&str, &str> = tags.iter().map(|(key, value)| (&**key, &**value)).collect();
    let name = tags.remove("name").unwrap_or("?").to_owned();
    let tags: Vec<String> = tags.iter().map(|(key, value)| format!(",{key}={value}")).collect();
    format!("{name}{} {:?} {}", tags.concat(), point.head, point.value)
}

/// Reads a body by the headers of its request.
fn decode(headers: &BTreeMap<String, String>, body: &[u8]) -> Result<Vec<String>, String> {
    let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
    let mut plain = Vec::new();
    match header("content-encoding") {
        "gzip" => {
            let mut decoder = MultiGzDecoder::new(body).take(LONGEST_BODY as u64);
            decoder.read_to_end(&mut plain).map_err(|error| error.to_string())?;
        }
        _ => plain.extend_from_slice(body),
    }
    let is_smile = header("content-type").starts_with(Format::Smile.content_type());
    let read = if is_smile {
        Smile::new(&plain).and_then(|mut tokens| read_updates(&mut tokens))
    } else {
        read_updates(&mut Json::new(&plain))
    };
    let read = read.map_err(|error: WireError| error.to_string())?;
    Ok(read.points.iter().map(|point| line(&read, point)).collect())
}

/// Serves one request of a connection; nothing when it is over.
fn serve(mut stream: &TcpStream, kept: &Mutex<Kept>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let body = if headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked") {
        read_chunks(&mut reader)?
    } else {
        let length: usize = headers.get("content-length")?.parse().ok().filter(|n| *n <= LONGEST_BODY)?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        body
    };
    let mut kept = lock(kept);
    let answer =
        if kept.answers.is_empty() { Answer::Status(200, "{}".to_owned()) } else { kept.answers.remove(0) };
    if matches!(answer, Answer::Break | Answer::Status(200 | 202 | 400, _)) {
        let payload = decode(&headers, &body);
        kept.received.push(Received { path, headers, payload });
    }
    drop(kept);
    let Answer::Status(status, text) = answer else { return None };
    let head = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    stream.write_all(format!("{head}{text}").as_bytes()).ok()
}

fn read_chunks(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        let start = body.len();
        if start + length > LONGEST_BODY {
            return None;
        }
        body.resize(start + length, 0);
        reader.read_exact(&mut body[start..]).ok()?;
        // The end of a chunk's line.
        line.clear();
        reader.read_line(&mut line).ok()?;
        if length == 0 {
            return Some(body);
        }
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
