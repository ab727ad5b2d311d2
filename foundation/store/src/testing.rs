//! A real S3 endpoint for tests: moto's server, from the PyPI package `moto[server]`.
//!
//! The server runs as a child process that reads its standard input and ends when that ends. The other side of the
//! pipe is held by [`Moto`] and so, whatever becomes of the test (also `kill -9`), closed by the system at the latest
//! when the test's process ends: no server is left behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long the server may take to start. It imports a large part of boto first: seconds on a busy machine.
const START: Duration = Duration::from_mins(2);
/// How long it may take to make a bucket.
const ANSWER: Duration = Duration::from_secs(30);

/// Runs moto's server on a free port until standard input ends.
const SERVER: &str = "
import os, sys, threading
def end_with_input():
    sys.stdin.buffer.read()
    os._exit(0)
threading.Thread(target=end_with_input, daemon=True).start()
from moto.server import main
main(['-H', '127.0.0.1', '-p', '0'])
";

/// A running server of moto's. Dropping it ends it.
#[derive(Debug)]
pub struct Moto {
    server: Child,
    port: u16,
}

impl Moto {
    /// Starts a server on a free port of loopback.
    ///
    /// Python is looked for in the folder `BACKLOT_VENV`, else in `.venv` of the present folder and those above it.
    /// Without one that has moto, says `skipped: …` on standard error and returns `None`.
    ///
    /// # Panics
    /// In that case, if `BACKLOT_REQUIRE_ALL=1` is set; and when moto is there but does not start.
    pub fn start() -> Option<Moto> {
        match find_python() {
            Ok(python) => Some(Moto::start_with(&python)),
            Err(reason) => {
                let line = format!(
                    "skipped: the tests on S3, because {reason}; \
                     run `python3 -m venv .venv && .venv/bin/pip install 'moto[server]'`"
                );
                let is_required = std::env::var("BACKLOT_REQUIRE_ALL").is_ok_and(|value| value == "1");
                assert!(!is_required, "{line}");
                eprintln!("{line}");
                None
            }
        }
    }

    fn start_with(python: &Path) -> Moto {
        let mut server = Command::new(python)
            .args(["-u", "-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto's server could not be started");
        let log = server.stderr.take().expect("invariant: its standard error is piped");
        let (sender, receiver) = mpsc::channel();
        // The log must be read on after the start: a full pipe would stop the server.
        std::thread::spawn(move || follow_log(log, &sender));
        match receiver.recv_timeout(START) {
            Ok(Ok(port)) => Moto { server, port },
            Ok(Err(log)) => panic!("moto's server ended at its start: {log}"),
            Err(_) => {
                let _ = server.kill();
                let _ = server.wait();
                panic!("moto's server did not start within {START:?}");
            }
        }
    }

    /// The server's address, for example `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The URL of a store in this server, under `prefix` (which may be empty) in `bucket`, which is made if missing.
    pub fn url(&self, bucket: &str, prefix: &str) -> String {
        self.make_bucket(bucket);
        let slash = if prefix.is_empty() { "" } else { "/" };
        format!("s3://{bucket}{slash}{prefix}?endpoint={}&region=us-east-1", self.endpoint())
    }

    /// Sends `PUT /bucket`, which is all that making a bucket in us-east-1 takes; moto asks for no signature.
    fn make_bucket(&self, bucket: &str) {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("moto's server is gone");
        connection.set_read_timeout(Some(ANSWER)).expect("invariant: the time is not zero");
        let request = format!(
            "PUT /{bucket} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).expect("moto's server is gone");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("moto's server does not answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "moto did not make the bucket: {answer}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Sends the port once the log tells it, or the whole log if it ends before, and goes on reading.
fn follow_log(log: ChildStderr, sender: &mpsc::Sender<Result<u16, String>>) {
    const BEFORE_PORT: &str = "Running on http://127.0.0.1:";

    let mut told = String::new();
    let mut is_running = false;
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if is_running {
            continue;
        }
        told.push_str(&line);
        told.push('\n');
        let digits = line
            .split_once(BEFORE_PORT)
            .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        if let Some(port) = digits.and_then(|digits| digits.parse().ok()) {
            is_running = true;
            let _ = sender.send(Ok(port));
        }
    }
    if !is_running {
        let _ = sender.send(Err(told));
    }
}

/// The Python that has moto, or why there is none.
fn find_python() -> Result<PathBuf, String> {
    let venv = if let Some(venv) = std::env::var_os("BACKLOT_VENV") {
        PathBuf::from(venv)
    } else {
        let here =
            std::env::current_dir().map_err(|error| format!("there is no present folder ({error})"))?;
        let venv = here.ancestors().map(|folder| folder.join(".venv")).find(|venv| venv.is_dir());
        venv.ok_or("BACKLOT_VENV is not set and there is no folder .venv")?
    };
    let python = venv.join("bin").join("python");
    let find =
        "import importlib.util as u, sys; sys.exit(0 if u.find_spec('moto') and u.find_spec('flask') else 1)";
    match Command::new(&python).args(["-c", find]).stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(python),
        Ok(_) => Err(format!("{} has no moto[server]", python.display())),
        Err(error) => Err(format!("{} does not run ({error})", python.display())),
    }
}
