//! ZMTP 3.0, the DEALER and SUB ends that a Jupyter server needs, reading and writing apart so that one task can do both.
//!
//! A kernel binds and we connect, so there is no server here and no reconnection. Reading is cancel safe: bytes that were read stay in
//! the buffer. RFC 23/ZMTP describes greeting, `READY` and frames; the mechanism is NULL: every message is signed.

use std::io;
use std::path::Path;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// The longest frame that is taken: outputs of hundreds of megabytes come in one frame, more is a fault.
const MAX_FRAME: u64 = 1 << 30;

/// The most frames of a message: seven and its buffers.
const MAX_FRAMES: usize = 1024;

const GREETING: usize = 64;
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// What a socket is to its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sends requests and takes replies; it has an identity.
    Dealer,
    /// Takes everything that is published.
    Subscriber,
}

/// The reading end.
pub(crate) struct Reader {
    stream: Box<dyn AsyncRead + Send + Unpin>,
    buffer: BytesMut,
    frames: Vec<Bytes>,
}

/// The writing end.
pub(crate) struct Writer(Box<dyn AsyncWrite + Send + Unpin>);

/// Connects to a Unix socket.
pub(crate) async fn unix(path: &Path, role: Role, identity: &[u8]) -> io::Result<(Reader, Writer)> {
    let (read, write) = UnixStream::connect(path).await?.into_split();
    greet(Box::new(read), Box::new(write), role, identity).await
}

/// Connects to a TCP socket on loopback.
pub(crate) async fn tcp(port: u16, role: Role, identity: &[u8]) -> io::Result<(Reader, Writer)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    // Requests are small and waited for; Nagle's algorithm would hold each back for a delayed acknowledgement.
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    greet(Box::new(read), Box::new(write), role, identity).await
}

async fn greet(
    stream: Box<dyn AsyncRead + Send + Unpin>,
    mut writer: Box<dyn AsyncWrite + Send + Unpin>,
    role: Role,
    identity: &[u8],
) -> io::Result<(Reader, Writer)> {
    let mut greeting = [0_u8; GREETING];
    (greeting[0], greeting[8], greeting[9], greeting[10]) = (0xff, 1, 0x7f, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    writer.write_all(&greeting).await?;
    let mut reader = Reader { stream, buffer: BytesMut::with_capacity(64 << 10), frames: Vec::new() };
    reader.fill(GREETING).await?;
    let theirs = reader.buffer.split_to(GREETING);
    if theirs[0] != 0xff || theirs[9] != 0x7f || theirs[10] < 3 || &theirs[12..17] != b"NULL\0" {
        return Err(fault("the peer does not speak ZMTP 3 without encryption"));
    }
    let mut ready = b"\x05READY".to_vec();
    let (kind, identity): (&[u8], &[u8]) = match role {
        Role::Dealer => (b"DEALER", identity),
        Role::Subscriber => (b"SUB", b""),
    };
    property(&mut ready, b"Socket-Type", kind);
    property(&mut ready, b"Identity", identity);
    let mut first = Vec::new();
    push_frame(&mut first, COMMAND, &ready);
    if role == Role::Subscriber {
        push_frame(&mut first, 0, b"\x01"); // the empty prefix: everything
    }
    writer.write_all(&first).await?;
    let (flags, body) = reader.frame().await?;
    if flags & COMMAND == 0 || !body.starts_with(b"\x05READY") {
        return Err(fault("the peer refused the connection"));
    }
    Ok((reader, Writer(writer)))
}

impl Writer {
    /// Sends a message.
    pub(crate) async fn send(&mut self, frames: &[&[u8]]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(frames.iter().map(|frame| frame.len() + 9).sum());
        for (index, frame) in frames.iter().enumerate() {
            push_frame(&mut bytes, if index + 1 < frames.len() { MORE } else { 0 }, frame);
        }
        self.0.write_all(&bytes).await
    }
}

impl Reader {
    /// The next message. Cancel safe. `UnexpectedEof` when the peer has closed.
    pub(crate) async fn recv(&mut self) -> io::Result<Vec<Bytes>> {
        loop {
            let (flags, body) = self.frame().await?;
            if flags & COMMAND != 0 {
                continue; // no heartbeat was asked for
            }
            self.frames.push(body);
            if flags & MORE == 0 {
                return Ok(std::mem::take(&mut self.frames));
            }
            if self.frames.len() > MAX_FRAMES {
                return Err(fault("a message of too many frames"));
            }
        }
    }

    async fn frame(&mut self) -> io::Result<(u8, Bytes)> {
        self.fill(2).await?;
        let flags = self.buffer[0];
        let (head, length) = if flags & LONG == 0 {
            (2, u64::from(self.buffer[1]))
        } else {
            self.fill(9).await?;
            (9, (&self.buffer[1..9]).get_u64())
        };
        if length > MAX_FRAME {
            return Err(fault("a frame that is too long"));
        }
        self.fill(head + length as usize).await?;
        self.buffer.advance(head);
        Ok((flags, self.buffer.split_to(length as usize).freeze()))
    }

    /// Reads until this many bytes are in the buffer.
    async fn fill(&mut self, needed: usize) -> io::Result<()> {
        while self.buffer.len() < needed {
            self.buffer.reserve((needed - self.buffer.len()).max(16 << 10));
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

fn fault(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn property(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    out.extend_from_slice(value);
}

fn push_frame(out: &mut Vec<u8>, flags: u8, body: &[u8]) {
    if let Ok(length) = u8::try_from(body.len()) {
        out.extend_from_slice(&[flags, length]);
    } else {
        out.push(flags | LONG);
        out.extend_from_slice(&(body.len() as u64).to_be_bytes());
    }
    out.extend_from_slice(body);
}
