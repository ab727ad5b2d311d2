//! Ranges over plain HTTP, read from the socket into the block that they become.
//!
//! A general client reads a body into buffers of its own, from which it has to be copied. Near a fast server that copy, and the
//! pages of those buffers, cost a mount more than receiving does. So the one exchange that a mount makes all the time is made
//! here: a GET of a range of a plain `http:` URL, and an answer whose length is told (RFC 9112, section 6.3). The head is
//! parsed; of the body the system puts every byte where it stays.
//!
//! Connections are kept open between requests, and opened before they are needed: where one had to be, another will be, and
//! far away that costs a round trip. So beside the first request a second connection is opened, and so on, as many as there
//! are requests at a time.
//!
//! Whatever else there is (TLS, which copies anyway; a proxy; a redirect; a body in chunks; a server that cannot be reached at
//! the first address) is left to the general client, which also tells what is wrong. A server that was left to it a few times
//! in a row is not asked here any more, since each of those reads cost a request for nothing.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Host, Url};

use super::{Failure, Patience};
use crate::Room;

/// The longest head that is read. Servers refuse requests with longer ones, and send none.
const LONGEST_HEAD: usize = 64 << 10;
/// What is read at first: heads are shorter. What of the body comes with it is copied.
const HEAD_PIECE: usize = 4 << 10;
const MOST_HEADERS: usize = 128;
/// How many unused connections to a server are enough, open or being opened: half of what a reader in sequence uses at a time.
const ENOUGH: usize = 8;
/// How long a connection is kept that nobody uses. Servers close them after 5 s to some minutes; one that has closed is found
/// out before it is used.
const KEPT: Duration = Duration::from_secs(60);
/// After how many reads in a row that the general client had to do it does all of them.
const DECLINED: u32 = 3;

/// A client of one exchange. A cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    servers: Arc<Mutex<HashMap<String, Server>>>,
    proxies: Arc<Matcher>,
}

/// The connections to a server that nobody uses.
#[derive(Debug, Default)]
struct Server {
    /// How many reads in a row the general client had to do.
    declined: u32,
    idle: Vec<Idle>,
    /// How many are being opened ahead.
    opening: usize,
}

#[derive(Debug)]
struct Idle {
    stream: TcpStream,
    since: Instant,
}

/// What an answer says before its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) modified: Option<String>,
    pub(crate) content_range: Option<String>,
    length: Option<u64>,
    is_kept: bool,
}

/// An answer whose body has yet to be read.
pub(crate) struct Answer {
    pub(crate) head: Head,
    wire: Wire,
    authority: String,
    stream: TcpStream,
    /// What of the body came with the head.
    begun: Vec<u8>,
    length: u64,
    stall: Duration,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self { servers: Arc::default(), proxies: Arc::new(Matcher::from_env()) }
    }

    /// Asks for a range. `None` when that is for the general client.
    pub(crate) async fn ask(
        &self,
        patience: Patience,
        url: &Url,
        range: &Range<u64>,
        if_match: Option<&str>,
    ) -> Result<Option<Answer>, Failure> {
        let Some(authority) = self.authority(url) else { return Ok(None) };
        if self.servers().get(&authority).is_some_and(|server| server.declined >= DECLINED) {
            return Ok(None);
        }
        let request = request(&authority, url, range, if_match);
        loop {
            let kept = self.take(&authority);
            let is_kept = kept.is_some();
            let mut stream = match kept {
                Some(stream) => stream,
                None => {
                    self.prepare(patience, url);
                    match connect(patience, url).await {
                        Some(stream) => stream,
                        None => return Ok(None),
                    }
                }
            };
            let silent = |_| Failure::Passing("no answer in time".to_owned());
            let exchanged = timeout(patience.stall, exchange(&mut stream, request.as_bytes())).await;
            let (head, begun) = match exchanged.map_err(silent)? {
                Ok(answer) => answer,
                // The server closed it while the request was on its way; nothing was answered.
                Err(_) if is_kept => continue,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
                Err(error) => return Err(Failure::Passing(error.to_string())),
            };
            let Some(length) = head.length.filter(|_| !matches!(head.status, 100..=199 | 300..=399)) else {
                return Ok(None);
            };
            let stall = patience.stall;
            return Ok(Some(Answer { head, wire: self.clone(), authority, stream, begun, length, stall }));
        }
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<String, Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection for a request to come, which this does not wait for.
    pub(crate) fn prepare(&self, patience: Patience, url: &Url) {
        let Some(authority) = self.authority(url) else { return };
        {
            let mut servers = self.servers();
            let server = servers.entry(authority.clone()).or_default();
            if server.idle.len() + server.opening >= ENOUGH {
                return;
            }
            server.opening += 1;
        }
        let (wire, url) = (self.clone(), url.clone());
        tokio::spawn(async move {
            let opened = connect(patience, &url).await;
            if let Some(server) = wire.servers().get_mut(&authority) {
                server.opening -= 1;
                server.idle.extend(opened.map(Idle::now));
            }
        });
    }

    /// The general client had to read what was asked for here first, and could.
    pub(crate) fn decline(&self, url: &Url) {
        let Some(authority) = self.authority(url) else { return };
        let mut servers = self.servers();
        let server = servers.entry(authority).or_default();
        if server.declined < DECLINED {
            server.declined += 1;
            if server.declined == DECLINED {
                server.idle.clear();
                tracing::debug!(host = url.host_str(), "read by the general client from now on");
            }
        }
    }

    /// Host and port of a URL that can be asked here.
    fn authority(&self, url: &Url) -> Option<String> {
        if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let uri: Uri = url.as_str().parse().ok()?;
        if self.proxies.intercept(&uri).is_some() {
            return None;
        }
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    }

    /// The connection that was used last and is still open: it has the widest window, and others can be closed by the server.
    fn take(&self, authority: &str) -> Option<TcpStream> {
        let mut servers = self.servers();
        let idle = &mut servers.get_mut(authority)?.idle;
        idle.retain(|idle| idle.since.elapsed() < KEPT);
        while let Some(Idle { stream, .. }) = idle.pop() {
            // Neither closed nor with something to say that nobody asked for.
            if stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return Some(stream);
            }
        }
        None
    }

    fn keep(&self, authority: String, stream: TcpStream) {
        let mut servers = self.servers();
        let server = servers.entry(authority).or_default();
        server.declined = 0;
        server.idle.push(Idle::now(stream));
    }
}

impl Idle {
    fn now(stream: TcpStream) -> Self {
        Self { stream, since: Instant::now() }
    }
}

impl Answer {
    /// Reads the body, which has to be of this length.
    ///
    /// # Errors
    /// A body that ends early or does not come. `out` then holds what came.
    pub(crate) async fn body(mut self, wanted: u64, out: &mut Room) -> Result<(), Failure> {
        if self.length != wanted {
            return Err(Failure::Passing(format!(
                "a body of {} bytes where {wanted} were asked for",
                self.length
            )));
        }
        let is_clean = self.begun.len() as u64 <= wanted;
        self.begun.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        let mut left = wanted - self.begun.len() as u64;
        out.push(&self.begun);
        while left > 0 {
            let rest = out.rest();
            let most = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = timeout(self.stall, self.stream.read(&mut rest[..most])).await;
            let read = read.map_err(|_| Failure::Passing("no answer in time".to_owned()))?;
            match read.map_err(|error| Failure::Passing(error.to_string()))? {
                0 => return Err(Failure::Passing(format!("the body ended {left} bytes early"))),
                count => {
                    out.advance(count);
                    left -= count as u64;
                }
            }
        }
        if self.head.is_kept && is_clean {
            self.wire.keep(self.authority, self.stream);
        }
        Ok(())
    }
}

fn request(authority: &str, url: &Url, range: &Range<u64>, if_match: Option<&str>) -> String {
    let query = url.query().map_or(String::new(), |query| format!("?{query}"));
    let if_match = if_match.map_or(String::new(), |etag| format!("if-match: {etag}\r\n"));
    format!(
        "GET {}{query} HTTP/1.1\r\nhost: {authority}\r\naccept: */*\r\naccept-encoding: identity\r\n\
         range: bytes={}-{}\r\n{if_match}\r\n",
        url.path(),
        range.start,
        range.end - 1
    )
}

async fn connect(patience: Patience, url: &Url) -> Option<TcpStream> {
    let port = url.port_or_known_default()?;
    let connecting = async {
        match url.host()? {
            Host::Domain(name) => TcpStream::connect((name, port)).await.ok(),
            Host::Ipv4(address) => TcpStream::connect((address, port)).await.ok(),
            Host::Ipv6(address) => TcpStream::connect((address, port)).await.ok(),
        }
    };
    let stream = timeout(patience.connect, connecting).await.ok()??;
    // A request is one short write, which must not wait for more to send.
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// Sends a request and reads the head of its answer, and what of the body comes with it.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<(Head, Vec<u8>)> {
    stream.write_all(request).await?;
    let mut text = Vec::with_capacity(HEAD_PIECE);
    loop {
        if stream.read_buf(&mut text).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((head, length)) = parse(&text)? {
            return Ok((head, text.split_off(length)));
        }
        if text.len() >= LONGEST_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        text.reserve(HEAD_PIECE);
    }
}

/// The head at the beginning of this text and its length, once it is there whole.
fn parse(text: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let httparse::Status::Complete(end) = parsed else { return Ok(None) };
    let mut head = Head {
        status: answer.code.unwrap_or(0),
        etag: None,
        modified: None,
        content_range: None,
        length: None,
        is_kept: answer.version == Some(1),
    };
    let mut is_plain = true;
    for header in answer.headers.iter() {
        let value = std::str::from_utf8(header.value).ok().map(|value| value.trim().to_owned());
        match header.name.to_ascii_lowercase().as_str() {
            "etag" => head.etag = value,
            "last-modified" => head.modified = value,
            "content-range" => head.content_range = value,
            "content-length" => {
                let length = value.and_then(|value| value.parse().ok());
                // Two that differ are an attack on whoever believes the one or the other.
                is_plain &= length.is_some() && head.length.is_none_or(|before| Some(before) == length);
                head.length = length;
            }
            "transfer-encoding" | "content-encoding" => {
                is_plain &= value.is_some_and(|value| value.eq_ignore_ascii_case("identity"));
            }
            "connection" => {
                head.is_kept &= value.is_some_and(|value| !value.to_ascii_lowercase().contains("close"));
            }
            _ => {}
        }
    }
    if !is_plain {
        head.length = None;
    }
    Ok(Some((head, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Option<(Head, usize)> {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_head_tells_the_version_the_range_and_the_length() {
        let text = "HTTP/1.1 206 Partial Content\r\nETag: \"a\"\r\nContent-Range: bytes 0-4/10\r\n\
                    content-length: 5\r\nLast-Modified: Tue, 15 Nov 1994 12:45:26 GMT\r\n\r\n";
        assert!(head(&text[..text.len() - 2]).is_none());
        let (found, end) = head(&format!("{text}slate")).unwrap();
        assert_eq!(end, text.len());
        assert_eq!((found.status, found.length, found.is_kept), (206, Some(5), true));
        assert_eq!(found.etag.as_deref(), Some("\"a\""));
        assert_eq!(found.content_range.as_deref(), Some("bytes 0-4/10"));
    }

    #[test]
    fn what_does_not_tell_its_length_plainly_is_not_for_us() {
        for header in [
            "transfer-encoding: chunked",
            "content-length: 5\r\ncontent-encoding: gzip",
            "content-length: 5\r\ncontent-length: 6",
            "content-length: five",
            "x: y",
        ] {
            assert_eq!(
                head(&format!("HTTP/1.1 206 P\r\n{header}\r\n\r\n")).unwrap().0.length,
                None,
                "{header}"
            );
        }
        assert!(parse(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").is_err());
    }

    #[test]
    fn a_connection_is_kept_when_both_sides_keep_it() {
        let kept =
            |first: &str, header: &str| head(&format!("{first}\r\n{header}\r\n\r\n")).unwrap().0.is_kept;
        assert!(kept("HTTP/1.1 206 P", "x: y"));
        assert!(!kept("HTTP/1.1 206 P", "Connection: Close"));
        assert!(!kept("HTTP/1.0 206 P", "x: y"));
    }

    #[test]
    fn a_request_names_host_query_and_range() {
        let url: Url = "http://[::1]:81/a%20b?x=1".parse().unwrap();
        let wire = Wire { servers: Arc::default(), proxies: Arc::new(Matcher::builder().build()) };
        let authority = wire.authority(&url).unwrap();
        let text = request(&authority, &url, &(5..10), Some("\"v\""));
        assert!(text.starts_with("GET /a%20b?x=1 HTTP/1.1\r\nhost: [::1]:81\r\n"), "{text}");
        assert!(text.contains("\r\nrange: bytes=5-9\r\nif-match: \"v\"\r\n\r\n"), "{text}");
        for other in ["https://a/b", "http://me:secret@a/b"] {
            assert_eq!(wire.authority(&other.parse().unwrap()), None);
        }
        let proxies = Arc::new(Matcher::builder().http("http://proxy:3128").build());
        let behind = Wire { servers: Arc::default(), proxies };
        assert_eq!(behind.authority(&url), None);
    }
}
