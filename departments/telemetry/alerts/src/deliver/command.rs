//! A program with arguments, no shell, the webhook's body on its standard input.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Failure;
use crate::config::Command;

/// How much of what it says is kept, for the message.
const LONGEST_OUTPUT: u64 = 2048;

/// Ends the program and all that it started, when it is dropped before its time.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(leader) = leader {
            // A group that is gone already is what we want.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// Runs the program; exit code 0 is success. Whoever drops this future ends it.
pub(super) async fn run(command: &Command, body: &[u8]) -> Result<(), Failure> {
    let (program, arguments) =
        command.argv.split_first().ok_or_else(|| Failure::lasting("the command has no program"))?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::lasting(format!("{program} cannot be started: {error}")))?;
    let mut group = Group(child.id());
    let (mut stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let write = async {
        if let Some(stdin) = stdin.as_mut() {
            // A program that does not read what it is given may still succeed.
            let _ = stdin.write_all(body).await;
        }
        drop(stdin);
    };
    let read = async {
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            let mut first = stderr.take(LONGEST_OUTPUT);
            let _ = first.read_to_end(&mut said).await;
            let _ = tokio::io::copy(&mut first.into_inner(), &mut tokio::io::sink()).await;
        }
        said
    };
    let (status, (), said) = tokio::join!(child.wait(), write, read);
    let status = status.map_err(|error| Failure::passing(format!("{program}: {error}")))?;
    group.0 = None;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    Err(Failure::passing(format!("{program} ended with {status}: {}", said.trim())))
}
