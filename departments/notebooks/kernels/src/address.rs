//! Where a kernel listens: five sockets, told it by its connection file, of which we connect to those that we need.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::spec::KernelSpec;
use crate::zmtp::{Role, Socket};

/// How often a connection to a kernel that does not listen yet is tried again.
const RETRY: Duration = Duration::from_millis(3);

/// A conversation with a kernel. The number is its place among the sockets of a connection file; the heartbeat is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Requests and replies.
    Shell = 0,
    /// What the kernel publishes.
    Iopub = 1,
    /// What the kernel asks its user.
    Stdin = 2,
    /// Requests that do not wait behind others.
    Control = 3,
}

/// Where a kernel listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Unix sockets: this path, a dash, and the number of the socket from 1.
    Unix(PathBuf),
    /// Ports on loopback.
    Tcp([u16; 5]),
}

impl Address {
    /// Where a kernel is to listen: in this folder if we know that it can, else on loopback. `BACKLOT_KERNEL_TRANSPORT` (`ipc` or `tcp`)
    /// decides over that.
    ///
    /// # Errors
    /// There are no five free ports.
    pub fn choose(spec: &KernelSpec, folder: &Path) -> io::Result<Address> {
        let wanted = std::env::var("BACKLOT_KERNEL_TRANSPORT").unwrap_or_default();
        let speaks_ipc =
            spec.argv.iter().any(|word| word.starts_with("ipykernel")) || spec.language == "bash";
        if wanted == "ipc" || (wanted != "tcp" && speaks_ipc) {
            return Ok(Address::Unix(folder.join("s")));
        }
        // Bound all at once, so that they differ, and let go right before the kernel binds them.
        let listeners: io::Result<Vec<TcpListener>> =
            (0..5).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
        let mut ports = [0; 5];
        for (port, listener) in ports.iter_mut().zip(listeners?) {
            *port = listener.local_addr()?.port();
        }
        Ok(Address::Tcp(ports))
    }

    /// The text of the connection file.
    pub fn connection_file(&self, key: &str, spec: &KernelSpec) -> String {
        let (transport, ip, ports) = match self {
            Address::Unix(path) => ("ipc", path.to_string_lossy().into_owned(), [1, 2, 3, 4, 5]),
            Address::Tcp(ports) => ("tcp", Ipv4Addr::LOCALHOST.to_string(), *ports),
        };
        let [shell, iopub, stdin, control, heartbeat] = ports;
        json!({
            "shell_port": shell, "iopub_port": iopub, "stdin_port": stdin, "control_port": control, "hb_port": heartbeat,
            "ip": ip, "key": key, "transport": transport, "signature_scheme": "hmac-sha256", "kernel_name": spec.name,
        })
        .to_string()
    }

    /// Connects as soon as the kernel listens.
    ///
    /// # Errors
    /// A peer that is no kernel. One that does not listen is waited for without end: put a deadline around it.
    pub async fn connect(&self, channel: Channel, role: Role, identity: &[u8]) -> io::Result<Socket> {
        loop {
            let connected = match self {
                Address::Unix(path) => {
                    let path = format!("{}-{}", path.display(), channel as usize + 1);
                    Socket::unix(Path::new(&path), role, identity).await
                }
                Address::Tcp(ports) => {
                    Socket::tcp(("127.0.0.1", ports[channel as usize]), role, identity).await
                }
            };
            match connected {
                Err(error) if is_not_there_yet(&error) => sleep(RETRY).await,
                connected => return connected,
            }
        }
    }
}

fn is_not_there_yet(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof)
}
