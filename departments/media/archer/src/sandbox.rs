//! One call of a function written as a program, held to its limits.
//!
//! The program is started by a shell that notes its own process number, lowers its limits and becomes the program; so there is
//! no moment in which the program runs without them. The kernel stops a single process at the allocation that would exceed the memory
//! (`RLIMIT_DATA`, which counts private writable memory; address space that is only reserved is free). A watch beside it sums up
//! what all its processes use, counts them, and looks at the clock. Whatever ends the call, its process group is killed, and who left
//! the group is found by tag (`escapees`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::container;
use crate::escapees::{TAG_VARIABLE, clear_soon, new_tag};
use crate::host::{Ended, Failure, Host};
use crate::processes;
use crate::{Container, Limits};

/// How often the watch looks. What a call can do in this time is bounded by the kernel's own limits; a call that ends before
/// the first look costs nothing.
const LOOK: Duration = Duration::from_millis(100);

/// Variables that programs get from the worker: without them common ones do not find their parts.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// Notes the process's number in the file `$0`, lowers the limits, becomes the program. `-d` is in KiB.
const SCRIPT: &str = "echo $$ >\"$0\" && ulimit -c 0 && ulimit -d LIMIT && exec \"$@\"";

/// A call of a program.
pub(crate) struct Call<'a> {
    pub(crate) argv: &'a [String],
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) limits: &'a Limits,
    pub(crate) container: Option<&'a Container>,
    /// `split`, `map` or `collect`.
    pub(crate) function: &'static str,
    /// For messages: `map of part 3`.
    pub(crate) what: &'a str,
    /// Its directory, with everything laid into it.
    pub(crate) directory: &'a Path,
    /// A directory beside it, for what the function is not to see.
    pub(crate) beside: &'a Path,
    pub(crate) clip: &'a Path,
    /// The clip's name in the directory.
    pub(crate) clip_name: &'a str,
}

impl Call<'_> {
    /// Runs it to its end.
    pub(crate) async fn run(&self, host: &dyn Host) -> Result<(), Failure> {
        let tag = Tag(new_tag());
        let note = self.beside.join("leader");
        let command = self.command(&note, &tag.0)?;
        let ended = tokio::select! {
            ended = host.child(command) => ended?,
            breach = self.watch(&note) => return Err(Failure::Function(breach)),
        };
        match ended {
            Ended::Well => Ok(()),
            Ended::Badly(how) => Err(Failure::Function(format!("{}: `{}`: {how}", self.what, self.argv[0]))),
        }
    }

    fn command(&self, note: &Path, tag: &str) -> Result<Command, Failure> {
        let line: Vec<OsString> = match self.container {
            Some(container) => {
                container::wrap(container, self.directory, self.clip, self.clip_name, self.argv)?
            }
            None => self.argv.iter().map(OsString::from).collect(),
        };
        let temporary = self.beside.join("tmp");
        std::fs::create_dir_all(&temporary).map_err(|error| Failure::file(&temporary, &error))?;
        let kibibytes = self.limits.memory.bytes().div_ceil(1024).to_string();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT.replace("LIMIT", &kibibytes)).arg(note).args(line);
        command.current_dir(self.directory).env_clear().env("TMPDIR", &temporary);
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("PYTHONHASHSEED", "0").env("PYTHONDONTWRITEBYTECODE", "1").envs(self.env);
        command.env("ARCHER_FUNCTION", self.function).env(TAG_VARIABLE, tag);
        Ok(command)
    }

    /// Ends when a limit is exceeded, with what to say about it.
    async fn watch(&self, note: &Path) -> String {
        let Limits { timeout, memory, processes: most, .. } = self.limits;
        let deadline = Instant::now() + timeout.duration();
        loop {
            sleep(LOOK.min(deadline.saturating_duration_since(Instant::now()))).await;
            if Instant::now() >= deadline {
                return format!(
                    "{} took longer than {timeout} and was killed; raise limits.timeout if it may",
                    self.what
                );
            }
            let Some(leader) = read_note(note) else { continue };
            let members = processes::members(leader);
            if members.len() > *most as usize {
                return format!(
                    "{} had {} processes, more than {most}, and was killed; raise limits.processes if it may",
                    self.what,
                    members.len()
                );
            }
            let used = processes::memory(&members, memory.bytes());
            if used > memory.bytes() {
                return format!(
                    "{} used {} MiB of memory, more than {}, and was killed; raise limits.memory if it may",
                    self.what,
                    used >> 20,
                    memory
                );
            }
        }
    }
}

fn read_note(note: &Path) -> Option<i32> {
    std::fs::read_to_string(note).ok()?.trim().parse().ok()
}

/// A call's tag; when it is dropped the call has ended, however it did.
struct Tag(String);

impl Drop for Tag {
    fn drop(&mut self) {
        clear_soon(std::mem::take(&mut self.0));
    }
}

/// Lays a file into a function's directory: a link, or a copy where links would lead nowhere.
pub(crate) fn lay(from: &Path, to: &Path, container: Option<&Container>) -> Result<(), Failure> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|error| Failure::file(parent, &error))?;
    }
    let laid = match container {
        Some(_) => std::fs::copy(from, to).map(drop),
        None => absolute(from).and_then(|from| std::os::unix::fs::symlink(from, to)),
    };
    laid.map_err(|error| Failure::file(to, &error))
}

fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    std::path::absolute(path)
}
