//! For tests: a shell on a port of its own, and a client that sends exactly the bytes it is given.
//!
//! No HTTP library stands between a test and the wire, so tests can send what no library would, and see what arrives.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{Error, Shell};

/// No step of a test takes this long unless it hangs.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for something that must happen.
///
/// # Panics
/// When it has not happened within [`DEADLINE`].
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// A shell being served; it stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), Error>>,
}

impl Server {
    /// Serves a shell on its configured address; a port of 0 picks a free one.
    ///
    /// # Errors
    /// As [`Shell::bind`].
    pub async fn start(shell: Shell) -> Result<Self, Error> {
        let listener = shell.bind().await?;
        let address = listener.local_addr().map_err(|source| Error::Listener { source })?;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(async move {
            // A sender that is dropped means the same as one that sends.
            shell.serve(listener, async { drop(stopped.await) }).await
        });
        Ok(Self { address, stop: Some(stop), served })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of its pages, as a browser's `Origin`.
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.address.port())
    }

    /// Tells it to shut down.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has shut down.
    ///
    /// # Errors
    /// As [`Shell::serve`].
    pub async fn ended(self) -> Result<(), Error> {
        in_time("the server's end", self.served).await.expect("the server did not panic")
    }

    /// A connection to it.
    pub async fn connect(&self) -> TcpStream {
        let port = self.address.port();
        in_time("a connection", TcpStream::connect(("127.0.0.1", port))).await.expect("the server accepts")
    }

    /// Sends these bytes on a connection of their own and reads until the server closes it.
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("the server takes the request");
        Answer::read(&mut stream).await
    }

    /// Sends a request: the head line without its version, header fields, a body. Fields for host, length and closing are
    /// added.
    pub async fn send(&self, line: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        self.raw(self.request(line, fields, body, "close").as_bytes()).await
    }

    /// Reads a path.
    pub async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(&format!("GET {path}"), fields, "").await
    }

    /// Opens a path whose answer goes on, such as an event stream, and leaves the reading to the caller.
    pub async fn open(&self, path: &str, fields: &[(&str, &str)]) -> TcpStream {
        let mut stream = self.connect().await;
        let request = self.request(&format!("GET {path}"), fields, "", "keep-alive");
        stream.write_all(request.as_bytes()).await.expect("the server takes the request");
        stream
    }

    fn request(&self, line: &str, fields: &[(&str, &str)], body: &str, connection: &str) -> String {
        let host = format!("127.0.0.1:{}", self.address.port());
        let length = body.len().to_string();
        let mut all = vec![("connection", connection)];
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            all.push(("host", &host));
        }
        if !body.is_empty() {
            all.push(("content-length", &length));
        }
        let text = |(name, value): &(&str, &str)| format!("{name}: {value}\r\n");
        let head: String = all.iter().chain(fields).map(text).collect();
        format!("{line} HTTP/1.1\r\n{head}\r\n{body}")
    }
}

/// Reads until the text has arrived, and returns everything read.
///
/// # Panics
/// When the connection ends first, or the text has not come within [`DEADLINE`].
pub async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let search = async {
        let mut piece = vec![0; 8192];
        loop {
            let so_far = String::from_utf8_lossy(&read).into_owned();
            if so_far.contains(text) {
                return so_far;
            }
            let count = stream.read(&mut piece).await.expect("the connection holds");
            assert_ne!(count, 0, "the answer ended without {text:?}: {so_far}");
            read.extend_from_slice(&piece[..count]);
        }
    };
    // One deadline for all reads: a stream that says nothing still sends its keep-alives.
    in_time(text, search).await
}

/// An answer, taken apart.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
    fields: BTreeMap<String, String>,
}

impl Answer {
    /// Reads a whole answer, to the connection's end.
    ///
    /// # Panics
    /// When what arrives is no HTTP answer.
    pub async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset after the answer is fine: the server closes on clients that still have bytes to send.
        let _ = in_time("an answer", stream.read_to_end(&mut bytes)).await;
        Self::parse(&bytes).unwrap_or_else(|| panic!("no answer in {:?}", String::from_utf8_lossy(&bytes)))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let fields: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let body = &bytes[end + 4..];
        let is_chunked = fields.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked");
        let body = if is_chunked { without_chunks(body) } else { body.to_vec() };
        Some(Self { status, body, fields })
    }

    /// A header field, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// The error code of the house's error form, or nothing.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The content of chunks (RFC 9112, section 7.1), as far as they have arrived.
fn without_chunks(mut framed: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = framed.windows(2).position(|window| window == b"\r\n") {
        let size =
            std::str::from_utf8(&framed[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(size) = size.filter(|size| *size > 0 && end + 2 + size <= framed.len()) else { break };
        body.extend_from_slice(&framed[end + 2..end + 2 + size]);
        framed = framed.get(end + 2 + size + 2..).unwrap_or_default();
    }
    body
}

/// What PyPI's `openapi-spec-validator` says of an OpenAPI document; `None` when it is not installed, which is told loudly.
///
/// It is looked for in the virtual environment that `BACKLOT_VENV` names, or else in `.venv` of the workspace.
///
/// # Panics
/// When it is missing and `BACKLOT_REQUIRE_ALL` is 1.
pub fn openapi_verdict(document: &serde_json::Value) -> Option<Result<(), String>> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let home = std::env::var_os("BACKLOT_VENV").map_or_else(|| workspace.join(".venv"), PathBuf::from);
    let python = home.join("bin/python");
    let import = Command::new(&python).args(["-c", "import openapi_spec_validator"]).output();
    if !import.is_ok_and(|output| output.status.success()) {
        let mend = "make a virtual environment, `pip install openapi-spec-validator` in it, and set BACKLOT_VENV to it";
        assert!(
            std::env::var_os("BACKLOT_REQUIRE_ALL").is_none_or(|value| value != "1"),
            "no validator: {mend}"
        );
        eprintln!("skipped: no openapi-spec-validator; {mend}");
        return None;
    }
    let mut child = Command::new(&python)
        .args(["-m", "openapi_spec_validator", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the validator starts");
    let mut input = child.stdin.take().expect("invariant: it was piped");
    input.write_all(document.to_string().as_bytes()).expect("the validator reads");
    drop(input);
    let output = child.wait_with_output().expect("the validator ends");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some(if output.status.success() { Ok(()) } else { Err(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together() {
        let bytes =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\n\r\n\r\n0\r\n\r\n";
        let answer = Answer::parse(bytes).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "abc\r\n"));
        assert!(Answer::parse(b"nonsense").is_none());
    }
}
