//! The sockets that lines come in by, and the threads that empty them.
//!
//! A thread for each socket takes as many datagrams as wait, up to [`BATCH`], with one system call, and gives them to the registry
//! under one lock. While it does so the kernel queues what comes; a large receive buffer bridges the moments in which a
//! flush holds the registry. It wakes twice a second to see whether it is to end; then it takes what is still queued, so
//! that what a client has sent before the end is published.
//!
//! # Why it naps
//!
//! A thread that waits in the kernel is woken by the next datagram, and the *sender* pays for waking it, which costs more than
//! sending did. A receiver that is faster than its senders would be woken for almost each datagram. So when a batch shows that
//! there is traffic, and has emptied the queue, the thread sleeps for a moment instead of waiting: nobody wakes it, and the next
//! batches are full. The moment is so short that the receive buffer holds what comes in it, and next to an interval of five
//! seconds it is nothing. One line a datagram costs the receiver less than half of the time that way, and its
//! sender a quarter less.

use std::fs;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, getsockopt, recvmmsg, setsockopt, sockopt};

/// Datagrams taken with one system call: enough that the call costs little for each, few enough that they stay in the
/// processor's cache.
pub(crate) const BATCH: usize = 64;

/// The longest datagram there is.
const LONGEST: usize = 65_536;

/// From one buffer to the next. Were it a power of two, the beginnings of all datagrams, which are mostly short, would share one
/// set of the processor's caches and push each other out.
const STRIDE: usize = LONGEST + 192;

/// A batch of so many datagrams shows that there is traffic. A few a second are taken as they come.
const TRAFFIC: usize = 4;

/// The longest nap: in so much time senders fill a batch or two, and longer ones save nothing more.
const LONGEST_NAP: Duration = Duration::from_micros(200);

/// The shortest nap: the kernel's timers are late by 50 microseconds, so that shorter ones would be longer than they say.
const SHORTEST_NAP: Duration = Duration::from_micros(100);

/// How long a nap may be with a receive buffer of so many bytes: a quarter of the time in which two million datagrams a second,
/// more than a thread takes, of the 768 bytes that the kernel counts for a short one fill it.
fn nap(buffer: usize) -> Option<Duration> {
    let fills = Duration::from_secs_f64(buffer as f64 / 768.0 / 2e6);
    Some((fills / 4).min(LONGEST_NAP)).filter(|nap| *nap >= SHORTEST_NAP)
}

/// How long a thread waits for datagrams before it looks whether it is to end.
const PATIENCE: Duration = Duration::from_millis(500);

/// A socket of the agent.
#[derive(Debug)]
pub(crate) enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram, PathBuf),
}

impl Socket {
    /// Opens a UDP socket with a receive buffer of this size, or the greatest that the system allows.
    pub(crate) fn udp(address: SocketAddr, buffer: usize) -> io::Result<Socket> {
        let socket = UdpSocket::bind(address)?;
        enlarge(&socket, buffer)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Socket::Udp(socket))
    }

    /// Opens a unix socket that every user of the host may write to. One that is left of an earlier agent is replaced;
    /// anything else at this path is not.
    pub(crate) fn unix(path: &Path, buffer: usize) -> io::Result<Socket> {
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is not a socket"));
            }
            Ok(_) if UnixDatagram::unbound()?.connect(path).is_ok() => {
                return Err(io::Error::new(ErrorKind::AddrInUse, "another agent listens there"));
            }
            Ok(_) => fs::remove_file(path)?,
            Err(_) => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
            }
        }
        let socket = UnixDatagram::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        enlarge(&socket, buffer)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Socket::Unix(socket, path.to_owned()))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Udp(socket) => socket.as_fd(),
            Socket::Unix(socket, _) => socket.as_fd(),
        }
    }

    /// Bytes that the system lets it queue, the kernel's own among them.
    pub(crate) fn receive_buffer(&self) -> usize {
        getsockopt(&self.as_fd(), sockopt::RcvBuf).unwrap_or(0)
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Socket::Udp(socket) => socket.local_addr().ok(),
            Socket::Unix(..) => None,
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Socket::Unix(_, path) = self {
            // Only a stale name would stay; the next agent replaces it.
            let _removed = fs::remove_file(path);
        }
    }
}

/// Asks for a buffer beyond the system's limit, which needs a privilege, then for one within it.
fn enlarge(socket: &impl AsFd, buffer: usize) -> io::Result<()> {
    setsockopt(socket, sockopt::RcvBufForce, &buffer)
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &buffer))
        .map_err(io::Error::from)
}

/// Whether a thread is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Going {
    On,
    /// Take what is queued, and end.
    Ending,
}

/// Starts the thread of a socket. `going` is asked between batches; `take` gets each batch. At its end the thread gives the
/// socket back: the kernel tells what it dropped only as long as it is open.
///
/// # Errors
/// When the system gives no more threads.
pub(crate) fn spawn(
    name: &str,
    socket: Socket,
    going: impl Fn() -> Going + Send + 'static,
    take: impl FnMut(&mut dyn Iterator<Item = &[u8]>) + Send + 'static,
) -> io::Result<JoinHandle<Socket>> {
    std::thread::Builder::new().name(format!("lines-{name}")).spawn(move || {
        receive(&socket, &going, take);
        socket
    })
}

fn receive(
    socket: &Socket,
    going: &impl Fn() -> Going,
    mut take: impl FnMut(&mut dyn Iterator<Item = &[u8]>),
) {
    let mut buffers = vec![0_u8; BATCH * STRIDE];
    let nap = match socket {
        Socket::Udp(_) => nap(socket.receive_buffer()),
        // A unix socket queues a few datagrams only (`net.unix.max_dgram_qlen`), and then its senders wait for the receiver.
        Socket::Unix(..) => None,
    };
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    loop {
        let is_ending = going() == Going::Ending;
        let flags = if is_ending { MsgFlags::MSG_DONTWAIT } else { MsgFlags::MSG_WAITFORONE };
        let mut lengths = [0_usize; BATCH];
        let received = {
            let mut chunks = buffers.chunks_exact_mut(STRIDE);
            let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(chunks.next().unwrap_or_default())]);
            let fd = socket.as_fd().as_raw_fd();
            recvmmsg(fd, &mut headers, &mut slices, flags, None).map(|messages| {
                let mut count = 0;
                for message in messages {
                    lengths[count] = message.bytes;
                    count += 1;
                }
                count
            })
        };
        match received {
            Ok(count) => {
                let datagrams = buffers.chunks_exact(STRIDE).zip(&lengths[..count]);
                take(&mut datagrams.map(|(buffer, length)| &buffer[..*length]));
                if let Some(nap) = nap
                    && !is_ending
                    && (TRAFFIC..BATCH).contains(&count)
                {
                    std::thread::sleep(nap);
                }
            }
            Err(Errno::EAGAIN) if is_ending => return,
            // Nothing came, or a signal did, or a client is gone.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => {}
            Err(error) => {
                tracing::error!(%error, "cannot receive lines");
                if is_ending {
                    return;
                }
                // Not at full speed, should it be for good.
                std::thread::sleep(PATIENCE);
            }
        }
    }
}
