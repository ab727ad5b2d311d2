//! Child programs: run to the end, captured, or found on `PATH`.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use crate::failure::Failure;

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a program to its end with this program's output and no input.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = status(command)?;
    if status.success() { Ok(()) } else { Err(ended_badly(command, status)) }
}

/// Like [`run`], but an exit code other than 0 is the caller's to judge.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus, Failure> {
    command.stdin(Stdio::null()).status().map_err(|error| does_not_start(command, &error))
}

/// Runs a program and returns its standard output; its standard error passes through.
pub(crate) fn capture(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| does_not_start(command, &error))?;
    if !output.status.success() {
        return Err(ended_badly(command, output.status));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::new(format!("`{}` printed something other than UTF-8", words(command))))
}

/// Whether a program runs and succeeds; its output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// The first file called `name` in the folders of `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// `program failed` with its command line and how it ended.
pub(crate) fn ended_badly(command: &Command, status: ExitStatus) -> Failure {
    Failure::new(format!("`{}` failed ({status}); its own message stands above", words(command)))
}

/// The program could not be started at all.
pub(crate) fn does_not_start(command: &Command, error: &std::io::Error) -> Failure {
    let program = command.get_program().to_string_lossy().into_owned();
    Failure::new(format!("`{program}` does not start: {error}; install it or put it on PATH"))
}

fn words(command: &Command) -> String {
    let mut line = short(command.get_program());
    for word in command.get_args() {
        let _ = write!(line, " {}", word.to_string_lossy());
    }
    line
}

/// A program's name without its folder: the folder of a toolchain only clutters a message.
fn short(program: &OsStr) -> String {
    let path = std::path::Path::new(program);
    path.file_name().unwrap_or(program).to_string_lossy().into_owned()
}
