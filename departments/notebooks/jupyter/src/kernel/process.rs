//! A kernel's process: its connection file, its sockets, its start and its end.
//!
//! Python kernels listen on Unix sockets in a folder that only their user may enter, so nothing goes over TCP in the clear; others
//! on loopback TCP, every message signed.

use std::io;
use std::path::PathBuf;

use backlot_notebooks_kernels::{
    Address, CONNECTION_FILE, Channel, Drained, KernelSpec, Reader, Role, Writer, command, private_folder,
    write_private,
};
use ring::hmac;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::process::Child;

use crate::server::KernelLimits;

/// How to start a kernel.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The kernel's id.
    pub(crate) id: String,
    pub(crate) spec: KernelSpec,
    pub(crate) directory: PathBuf,
    /// Variables besides those of the spec.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) limits: KernelLimits,
}

/// The four conversations.
pub(crate) struct Sockets {
    pub(crate) shell: (Reader, Writer),
    /// Read ahead.
    pub(crate) iopub: Drained,
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
        let folder = private_folder()?;
        let key = crate::chance::hex(&crate::chance::bytes(32));
        let address = Address::choose(&launch.spec, folder.path())?;
        let connection = address.connection_file(&key, &launch.spec);
        let file = connection_file(&launch.id);
        write_private(&folder.path().join(&file), connection.as_bytes())?;
        let mut command = command(&launch.spec, folder.path(), &file)?;
        command.current_dir(&launch.directory);
        command.envs(launch.env.iter().map(|(key, value)| (key, value)));
        let child = command.spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        limit(group, &launch.limits)?;
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

/// The name of a kernel's connection file. Tools that run inside a kernel read the kernel's id from it.
fn connection_file(id: &str) -> String {
    // The id may be a client's, and is no path.
    let is_plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_plain && id.len() <= 64 { format!("kernel-{id}.json") } else { CONNECTION_FILE.to_owned() }
}

/// Sets what a process may take; its children inherit it.
fn limit(process: Option<Pid>, limits: &KernelLimits) -> io::Result<()> {
    let wanted = [(Resource::As, limits.memory), (Resource::Nofile, limits.open_files)];
    for (resource, most) in wanted {
        if let Some(most) = most {
            prlimit(process, resource, Rlimit { current: Some(most), maximum: Some(most) })?;
        }
    }
    Ok(())
}

/// Connects all four conversations as soon as the kernel listens.
pub(crate) async fn connect_all(address: &Address, identity: &[u8]) -> io::Result<Sockets> {
    let shell = address.connect(Channel::Shell, Role::Dealer, identity).await?;
    let iopub = Drained::connect(address.clone(), identity).await?;
    let stdin = address.connect(Channel::Stdin, Role::Dealer, identity).await?;
    let control = address.connect(Channel::Control, Role::Dealer, identity).await?;
    Ok(Sockets { shell: shell.split(), iopub, stdin: stdin.split(), control: control.split() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_file_is_named_for_its_kernel_and_never_elsewhere() {
        assert_eq!(connection_file("f92b7c8b-0858"), "kernel-f92b7c8b-0858.json");
        for id in ["", "../../x", "a/b", "a.b", &"a".repeat(300)] {
            assert_eq!(connection_file(id), CONNECTION_FILE);
        }
    }
}
