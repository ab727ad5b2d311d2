//! The start of a kernel's process: a folder of its own, its connection file, its command.

use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::spec::KernelSpec;

/// The file in a kernel's folder by which it learns where to listen, where nobody cares for its name.
pub const CONNECTION_FILE: &str = "connection.json";

/// The file in a kernel's folder that takes its standard error.
pub const LOG_FILE: &str = "stderr";

/// The longest temporary folder in which a kernel's sockets are put: a Unix socket's path has at most 107 bytes.
const MAX_PARENT: usize = 60;

/// Whose kernel it is, for its preparation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Somebody's who types: what runs goes into IPython's history.
    Interactive,
    /// A notebook's that runs by itself: the history of its user is left alone. That also saves a seventh of the time of short cells, a
    /// transaction of SQLite for each, and kernels that run side by side do not wait for its lock.
    Batch,
}

/// ipykernel publishes through a ZeroMQ socket that throws messages away when a thousand wait for its sending thread. No reader can prevent
/// that: on a busy machine that thread comes late, and a loop that publishes is faster. So the socket is given room for a million, by the
/// thread that owns it.
const ROOM: &str = "(lambda thread: thread.schedule(lambda: thread.socket.set_hwm(1_000_000)))(get_ipython().kernel.iopub_thread)";

const NO_HISTORY: &str = "(lambda history: (setattr(history, 'enabled', False), setattr(history, 'db_cache_size', 1 << 30)))\
                          (get_ipython().history_manager)";

/// What a kernel is asked to run, one after the other, before anybody else asks it. It leaves no name behind; a kernel of another make or
/// age that refuses it is left as it is.
pub fn preparation(spec: &KernelSpec, for_whom: Use) -> &'static [&'static str] {
    let is_ipykernel =
        spec.language == "python" && spec.argv.iter().any(|word| word.starts_with("ipykernel"));
    match for_whom {
        _ if !is_ipykernel => &[],
        Use::Interactive => &[ROOM],
        Use::Batch => &[ROOM, NO_HISTORY],
    }
}

/// A folder for one kernel, which only its user may enter.
///
/// # Errors
/// The temporary folder cannot be written.
pub fn private_folder() -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("backlot-kernel-").permissions(std::fs::Permissions::from_mode(0o700));
    let preferred = std::env::temp_dir();
    // POSIX names a short one.
    if preferred.as_os_str().len() <= MAX_PARENT { builder.tempdir() } else { builder.tempdir_in("/tmp") }
}

/// Writes a file that only its user may read, and that was not there before.
///
/// # Errors
/// It is there, or cannot be written.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, content)
}

/// The command of a kernel whose connection file has this name in this folder, in a process group of its own. The caller adds working
/// directory and variables.
///
/// # Errors
/// The spec names no program; the folder cannot be written.
pub fn command(spec: &KernelSpec, folder: &Path, connection_file: &str) -> io::Result<Command> {
    let Some((program, arguments)) = spec.argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the `argv` of its kernel.json is empty"));
    };
    let file = folder.join(connection_file).to_string_lossy().into_owned();
    let own = spec.folder.to_string_lossy();
    let fill = |word: &String| word.replace("{connection_file}", &file).replace("{resource_dir}", &own);
    let log = std::fs::File::create(folder.join(LOG_FILE))?;
    let mut command = Command::new(program);
    command
        .args(arguments.iter().map(fill))
        .envs(spec.env.iter())
        // The kernel ends when this process has: ipykernel looks after its parent by this variable.
        .env("JPY_PARENT_PID", std::process::id().to_string())
        .env("PYDEVD_DISABLE_FILE_VALIDATION", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}
