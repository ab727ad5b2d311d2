//! One HTTP connection that is kept, so that what is timed is the server and not the client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::house::AnyError;

/// No answer takes longer on a machine that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to a server of this machine.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// A server that does not listen.
    pub fn new(port: u16) -> Result<Self, AnyError> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::with_capacity(1 << 16, stream), body: Vec::new() })
    }

    /// Sends a body; the status of the answer.
    ///
    /// # Errors
    /// A connection that ends.
    pub fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> Result<u16, AnyError> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        self.answer()
    }

    /// Asks; the body of the answer if its status is 200.
    ///
    /// # Errors
    /// A connection that ends, another status.
    pub fn get(&mut self, path: &str) -> Result<&[u8], AnyError> {
        let head = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
        self.stream.get_mut().write_all(head.as_bytes())?;
        match self.answer()? {
            200 => Ok(&self.body),
            status => Err(format!("GET {path}: {status} {}", self.text()).into()),
        }
    }

    /// The body of the last answer.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn answer(&mut self) -> Result<u16, AnyError> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no HTTP answer")?;
        let (mut length, mut is_chunked) = (0usize, false);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let field = line.trim_end().to_ascii_lowercase();
            if field.is_empty() {
                break;
            }
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            is_chunked |= field.starts_with("transfer-encoding:") && field.contains("chunked");
        }
        self.body.clear();
        if is_chunked {
            self.chunks()?;
        } else {
            self.body.resize(length, 0);
            self.stream.read_exact(&mut self.body)?;
        }
        Ok(status)
    }

    fn chunks(&mut self) -> Result<(), AnyError> {
        let mut line = String::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16)?;
            let start = self.body.len();
            self.body.resize(start + length, 0);
            self.stream.read_exact(&mut self.body[start..])?;
            self.stream.read_line(&mut line)?;
            if length == 0 {
                return Ok(());
            }
        }
    }
}
