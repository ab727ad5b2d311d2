//! A kernel's process: its connection file, its sockets, its start and its end.
//!
//! Python kernels listen on Unix sockets in a folder that only their user may enter, so nothing goes over TCP in the clear; others
//! on loopback TCP, every message signed.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ring::hmac;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::zmtp::{self, Reader, Role, Writer};
use crate::specs::Spec;

/// How often a connection to a kernel that does not listen yet is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// How to start a kernel.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) spec: Spec,
    pub(crate) directory: PathBuf,
    /// Variables besides those of the spec.
    pub(crate) env: Vec<(String, String)>,
}

/// The four conversations.
pub(crate) struct Sockets {
    pub(crate) shell: (Reader, Writer),
    pub(crate) iopub: (Reader, Writer),
    pub(crate) stdin: (Reader, Writer),
    pub(crate) control: (Reader, Writer),
}

/// A started kernel. Dropped, its process group is killed.
pub(crate) struct Process {
    pub(crate) child: Child,
    group: Option<Pid>,
    address: Address,
    pub(crate) key: hmac::Key,
    /// Its sockets and connection file; removed with it.
    _folder: tempfile::TempDir,
}

impl Process {
    /// Starts a kernel.
    pub(crate) fn start(launch: &Launch) -> io::Result<Process> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("backlot-kernel-").permissions(std::fs::Permissions::from_mode(0o700));
        // A Unix socket's path has at most 107 bytes.
        let temporary = std::env::temp_dir();
        let parent = if temporary.as_os_str().len() <= 60 { temporary } else { PathBuf::from("/tmp") };
        let folder = builder.tempdir_in(parent)?;
        let key = crate::chance::hex(&crate::chance::bytes(32));
        let argv = launch.spec.json["argv"].as_array().cloned().unwrap_or_default();
        let argv: Vec<&str> = argv.iter().filter_map(serde_json::Value::as_str).collect();
        let Some((program, arguments)) = argv.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "its kernel.json has no argv"));
        };
        let address = Address::choose(&argv, folder.path())?;
        let file = folder.path().join("connection.json");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let text = address.connection_file(&key, &launch.spec.name).to_string();
        io::Write::write_all(&mut options.open(&file)?, text.as_bytes())?;
        let file = file.to_string_lossy();
        let own = launch.spec.folder.to_string_lossy();
        let fill = |word: &&str| word.replace("{connection_file}", &file).replace("{resource_dir}", &own);
        let mut command = Command::new(interpreter(program, &launch.spec.folder));
        command.args(arguments.iter().map(fill)).stdin(Stdio::null()).stdout(Stdio::null());
        let log = std::fs::File::create(folder.path().join("stderr"))?;
        command.stderr(log).current_dir(&launch.directory).process_group(0).kill_on_drop(true);
        if let Some(env) = launch.spec.json["env"].as_object() {
            command.envs(env.iter().filter_map(|(key, value)| Some((key, value.as_str()?))));
        }
        command.envs(launch.env.iter().map(|(key, value)| (key, value)));
        // The kernel ends when this process has: ipykernel looks after its parent by this variable.
        command.env("JPY_PARENT_PID", std::process::id().to_string());
        command.env("PYDEVD_DISABLE_FILE_VALIDATION", "1");
        let child = command.spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        Ok(Process { child, group, address, key, _folder: folder })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Address {
        self.address.clone()
    }

    /// Signals the kernel and its children.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal); // it may have ended by itself
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The interpreter for a kernel that only says `python`: that of the environment in which the kernel lies, if there is one.
fn interpreter(program: &str, folder: &Path) -> PathBuf {
    if matches!(program, "python" | "python3")
        && let Some(prefix) = folder.ancestors().nth(4)
        && let Some(found) =
            ["bin/python3", "bin/python"].iter().map(|name| prefix.join(name)).find(|path| path.exists())
    {
        return found;
    }
    PathBuf::from(program)
}

/// Where a kernel listens.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Unix(PathBuf),
    Tcp([u16; 5]),
}

impl Address {
    fn choose(argv: &[&str], folder: &Path) -> io::Result<Address> {
        if argv.iter().any(|word| word.starts_with("ipykernel")) {
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

    fn connection_file(&self, key: &str, name: &str) -> serde_json::Value {
        let (transport, ip, ports) = match self {
            Address::Unix(path) => ("ipc", path.to_string_lossy().into_owned(), [1, 2, 3, 4, 5]),
            Address::Tcp(ports) => ("tcp", Ipv4Addr::LOCALHOST.to_string(), *ports),
        };
        let [shell, iopub, stdin, control, heartbeat] = ports;
        json!({
            "shell_port": shell, "iopub_port": iopub, "stdin_port": stdin, "control_port": control, "hb_port": heartbeat,
            "ip": ip, "key": key, "transport": transport, "signature_scheme": "hmac-sha256", "kernel_name": name,
        })
    }

    /// Connects as soon as it listens.
    pub(crate) async fn connect_all(&self, identity: &[u8]) -> io::Result<Sockets> {
        let shell = self.connect(0, Role::Dealer, identity).await?;
        let iopub = self.connect(1, Role::Subscriber, identity).await?;
        let stdin = self.connect(2, Role::Dealer, identity).await?;
        let control = self.connect(3, Role::Dealer, identity).await?;
        Ok(Sockets { shell, iopub, stdin, control })
    }

    async fn connect(&self, index: usize, role: Role, identity: &[u8]) -> io::Result<(Reader, Writer)> {
        loop {
            let connected = match self {
                Address::Unix(path) => {
                    let path = format!("{}-{}", path.display(), index + 1);
                    zmtp::unix(Path::new(&path), role, identity).await
                }
                Address::Tcp(ports) => zmtp::tcp(ports[index], role, identity).await,
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
