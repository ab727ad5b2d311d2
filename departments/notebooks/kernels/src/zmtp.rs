//! ZMTP 3.0 over Unix or TCP sockets: the DEALER and SUB ends that a Jupyter client needs, and nothing else.
//!
//! A kernel binds, we connect; so there is no server here, no fair queueing and no reconnection: when a kernel's socket
//! closes, the kernel has ended. Reading is cancel safe: bytes that were read stay in the buffer. RFC 23/ZMTP describes greeting, `READY`
//! command and frames; the mechanism is NULL, since a kernel's sockets lie in a folder that only its user may enter and
//! every message is signed.

use std::io;
use std::path::Path;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// The longest frame that is taken: a kernel's output of hundreds of megabytes is in one frame, more is a fault.
const MAX_FRAME: u64 = 1 << 30;

/// The most frames of a message: a Jupyter message has seven and its buffers.
const MAX_FRAMES: usize = 1024;

/// What a socket's buffer begins with. An idle server keeps four per kernel.
const BUFFER: usize = 16 << 10;

const GREETING: usize = 64;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// What a socket is to its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends requests and takes replies; it has an identity.
    Dealer,
    /// Takes everything that is published.
    Subscriber,
}

/// The reading end of a socket.
pub struct Reader {
    stream: Box<dyn AsyncRead + Send + Unpin>,
    buffer: BytesMut,
    frames: Vec<Bytes>,
}

/// The writing end of a socket.
pub struct Writer(Box<dyn AsyncWrite + Send + Unpin>);

/// A connected socket.
pub struct Socket {
    reader: Reader,
    writer: Writer,
}

impl Socket {
    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// Nobody listens, or no ZMTP 3 without encryption.
    pub async fn unix(path: &Path, role: Role, identity: &[u8]) -> io::Result<Socket> {
        let (read, write) = UnixStream::connect(path).await?.into_split();
        Socket::greet(Box::new(read), Box::new(write), role, identity).await
    }

    /// Connects to a TCP socket.
    ///
    /// # Errors
    /// As [`Socket::unix`].
    pub async fn tcp(address: (&str, u16), role: Role, identity: &[u8]) -> io::Result<Socket> {
        let stream = TcpStream::connect(address).await?;
        // Requests are small and waited for; Nagle's algorithm would hold each back for a delayed acknowledgement.
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        Socket::greet(Box::new(read), Box::new(write), role, identity).await
    }

    async fn greet(
        stream: Box<dyn AsyncRead + Send + Unpin>,
        mut write: Box<dyn AsyncWrite + Send + Unpin>,
        role: Role,
        identity: &[u8],
    ) -> io::Result<Socket> {
        let mut greeting = [0_u8; GREETING];
        (greeting[0], greeting[8], greeting[9], greeting[10]) = (0xff, 1, 0x7f, 3);
        greeting[12..16].copy_from_slice(b"NULL");
        write.write_all(&greeting).await?;
        let mut reader = Reader { stream, buffer: BytesMut::with_capacity(BUFFER), frames: Vec::new() };
        reader.fill(GREETING).await?;
        let theirs = reader.buffer.split_to(GREETING);
        if theirs[0] != 0xff || theirs[9] != 0x7f || theirs[10] < 3 || &theirs[12..17] != b"NULL\0" {
            return Err(fault("the peer does not speak ZMTP 3 without encryption"));
        }
        let (kind, identity): (&[u8], &[u8]) = match role {
            Role::Dealer => (b"DEALER", identity),
            Role::Subscriber => (b"SUB", b""),
        };
        let mut ready = b"\x05READY".to_vec();
        property(&mut ready, b"Socket-Type", kind);
        property(&mut ready, b"Identity", identity);
        let mut first = Vec::new();
        push_frame(&mut first, COMMAND, &ready);
        if role == Role::Subscriber {
            push_frame(&mut first, 0, b"\x01"); // the empty prefix: everything
        }
        write.write_all(&first).await?;
        let (flags, body) = reader.frame().await?;
        if flags & COMMAND == 0 || !body.starts_with(b"\x05READY") {
            return Err(fault("the peer refused the connection"));
        }
        Ok(Socket { reader, writer: Writer(write) })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The peer has closed.
    pub async fn send(&mut self, frames: &[&[u8]]) -> io::Result<()> {
        self.writer.send(frames).await
    }

    /// The next message. Cancel safe.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer has closed; a message that is too long.
    pub async fn recv(&mut self) -> io::Result<Vec<Bytes>> {
        self.reader.recv().await
    }

    /// Its two ends, for one task that reads and writes at once.
    pub fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }
}

impl Writer {
    /// Sends a message.
    ///
    /// # Errors
    /// The peer has closed.
    pub async fn send(&mut self, frames: &[&[u8]]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(frames.iter().map(|frame| frame.len() + 9).sum());
        for (index, frame) in frames.iter().enumerate() {
            push_frame(&mut bytes, if index + 1 < frames.len() { MORE } else { 0 }, frame);
        }
        self.0.write_all(&bytes).await
    }
}

impl Reader {
    /// The next message. Cancel safe.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer has closed; a message that is too long.
    pub async fn recv(&mut self) -> io::Result<Vec<Bytes>> {
        loop {
            let (flags, body) = self.frame().await?;
            if flags & COMMAND != 0 {
                continue; // a ping needs no answer: no heartbeat was asked for
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// The other end of a handshake, after which it sends these bytes in pieces and closes.
    async fn peer(bytes: &'static [u8], piece: usize) -> (tempfile::TempDir, io::Result<Socket>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut greeting = [0_u8; GREETING];
            stream.read_exact(&mut greeting).await.unwrap();
            stream.write_all(&greeting).await.unwrap();
            stream.write_all(b"\x04\x06\x05READY").await.unwrap();
            // What is left unread when a socket closes makes the other end see a reset.
            assert!(stream.read(&mut [0; 256]).await.unwrap() > 0);
            for piece in bytes.chunks(piece) {
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let socket = Socket::unix(&path, Role::Dealer, b"me").await;
        (folder, socket)
    }

    #[tokio::test]
    async fn messages_come_whole_from_any_pieces() {
        let sent = b"\x01\x02ab\x00\x00\x04\x04PING\x02\x00\x00\x00\x00\x00\x00\x00\x03xyz";
        let (_folder, socket) = peer(sent, 1).await;
        let mut socket = socket.unwrap();
        assert_eq!(socket.recv().await.unwrap(), [Bytes::from("ab"), Bytes::new()]);
        assert_eq!(socket.recv().await.unwrap(), [Bytes::from("xyz")]);
        assert_eq!(socket.recv().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_frame_beyond_the_limit_is_refused_before_it_is_read() {
        let (_folder, socket) = peer(b"\x02\x7f\xff\xff\xff\xff\xff\xff\xff", 64).await;
        assert_eq!(socket.unwrap().recv().await.unwrap_err().to_string(), "a frame that is too long");
    }
}
