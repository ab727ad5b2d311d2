//! The start of a kernel's process: a folder of its own, its connection file, its command.

use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::spec::KernelSpec;

/// The file in a kernel's folder by which it learns where to listen.
pub const CONNECTION_FILE: &str = "connection.json";

/// The file in a kernel's folder that takes its standard error.
pub const LOG_FILE: &str = "stderr";

/// The longest temporary folder in which a kernel's sockets are put: a Unix socket's path has at most 107 bytes.
const MAX_PARENT: usize = 60;

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

/// The command of a kernel whose connection file lies in this folder, in a process group of its own. The caller adds working directory
/// and variables.
///
/// # Errors
/// The spec names no program; the folder cannot be written.
pub fn command(spec: &KernelSpec, folder: &Path) -> io::Result<Command> {
    let Some((program, arguments)) = spec.argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the `argv` of its kernel.json is empty"));
    };
    let file = folder.join(CONNECTION_FILE).to_string_lossy().into_owned();
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
