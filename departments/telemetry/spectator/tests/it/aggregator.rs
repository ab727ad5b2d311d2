//! An aggregator that keeps what it is sent: a small HTTP server on threads, which decodes payloads.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use backlot_spectator::payload::{self, Payload};

/// What a client sent.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) payload: Payload,
}

/// An answer, status and body.
type Answer = (u16, String);

pub(crate) struct Aggregator {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Aggregator {
    pub(crate) fn start() -> Aggregator {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let (kept, given) = (Arc::clone(&received), Arc::clone(&answers));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, given) = (Arc::clone(&kept), Arc::clone(&given));
                thread::spawn(move || while serve(&stream, &kept, &given).is_some() {});
            }
        });
        Aggregator { address, received, answers }
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://{}/api/v4/update", self.address)
    }

    /// What it answers to the next requests, in this order; then 200 again.
    pub(crate) fn answer(&self, answers: &[(u16, &str)]) {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned()));
        self.answers.lock().unwrap().extend(answers);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// All updates so far as lines, in order; without those of the agent itself.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.all_lines().into_iter().filter(|line| !line.starts_with("spectator")).collect()
    }

    pub(crate) fn all_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.received().iter().flat_map(|one| lines(&one.payload)).collect();
        lines.sort();
        lines
    }
}

/// `name,key=value ADD 1`.
pub(crate) fn lines(payload: &Payload) -> Vec<String> {
    let line = |update: payload::Update<'_>| {
        let mut tags: BTreeMap<&str, &str> = update.tags().collect();
        let name = tags.remove("name").unwrap_or("?").to_owned();
        let tags: Vec<String> = tags.iter().map(|(key, value)| format!(",{key}={value}")).collect();
        format!("{name}{} {:?} {}", tags.concat(), update.operation, update.value)
    };
    payload.updates().map(line).collect()
}

/// Serves one request of a connection; nothing when it is over.
fn serve(stream: &TcpStream, received: &Mutex<Vec<Received>>, answers: &Mutex<Vec<Answer>>) -> Option<()> {
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
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let answer = {
        let mut answers = answers.lock().unwrap();
        if answers.is_empty() { (200, "{}".to_owned()) } else { answers.remove(0) }
    };
    if answer.0 < 300 || answer.0 == 400 {
        let header = |name: &str| headers.get(name).map(String::as_str);
        let payload =
            payload::decode_request(header("content-type"), header("content-encoding"), &body, 64 << 20)
                .unwrap();
        received.lock().unwrap().push(Received { path, headers, payload });
    }
    let (status, text) = answer;
    if status == 0 {
        // The request was taken, and the connection breaks before the answer.
        return None;
    }
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n", text.len());
    let mut stream = stream;
    stream.write_all(format!("{head}{text}").as_bytes()).ok()
}
