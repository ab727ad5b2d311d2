//! The sockets that lines come in by, and the threads that empty them.
//!
//! A thread for each socket takes as many datagrams as wait, up to [`BATCH`], with one system call, and gives them to the registry
//! under one lock. While it does so the kernel queues what comes; a large receive buffer bridges the moments in which a
//! flush holds the registry. It wakes twice a second to see whether it is to end; then it takes what is still queued, so
//! that what a client has sent before the end is published.

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
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt};

/// Datagrams taken with one system call: enough that the call costs little for each, few enough that they stay in the
/// processor's cache.
pub(crate) const BATCH: usize = 64;

/// The longest datagram there is.
const LONGEST: usize = 65_536;

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
    let mut buffers = vec![0_u8; BATCH * LONGEST];
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    loop {
        let is_ending = going() == Going::Ending;
        let flags = if is_ending { MsgFlags::MSG_DONTWAIT } else { MsgFlags::MSG_WAITFORONE };
        let mut lengths = [0_usize; BATCH];
        let received = {
            let mut chunks = buffers.chunks_exact_mut(LONGEST);
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
                let datagrams = buffers.chunks_exact(LONGEST).zip(&lengths[..count]);
                take(&mut datagrams.map(|(buffer, length)| &buffer[..*length]));
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
