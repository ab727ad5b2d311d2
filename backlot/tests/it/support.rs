//! A home of its own for each test, the binary run in it, and servers that end with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// No step of a test takes this long unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits on a thread for something that must happen.
pub(crate) fn in_time<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(DEADLINE).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// How a call of the binary ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    pub(crate) fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Asserts on the exit code, showing everything where it differs.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The one line of an error that says these things.
    #[track_caller]
    pub(crate) fn complains_of(&self, words: &[&str]) {
        let lines: Vec<&str> = self.err.lines().collect();
        assert!(lines.len() == 1 && lines[0].starts_with("error: "), "{self:#?}");
        for word in words {
            assert!(lines[0].contains(word), "{word:?} is not in {self:#?}");
        }
    }
}

/// A directory with a home in it, which is made by the binary.
pub(crate) struct Lot {
    directory: tempfile::TempDir,
}

impl Lot {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// Writes a file beside the home and returns its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The binary with nothing of this machine's own configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backlot"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BACKLOT_") || name == "NO_COLOR" {
                command.env_remove(name);
            }
        }
        command.env("BACKLOT_HOME", self.home()).env("XDG_CONFIG_HOME", self.path().join("config"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        finish(self.command(arguments))
    }

    /// Runs the binary with this on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Answer {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Answer::new(in_time("the command's end", move || child.wait_with_output().unwrap()))
    }

    /// A server on a free port.
    pub(crate) fn up(&self, arguments: &[&str]) -> Service {
        let line = [&["up", "--bind", "127.0.0.1:0", "--output", "json"], arguments].concat();
        Service::start(self.command(&line))
    }

    pub(crate) fn worker(&self, arguments: &[&str]) -> Service {
        Service::start(self.command(&[&["worker", "--output", "json"], arguments].concat()))
    }

    /// The file of a spec of one task that tells the stage when it begins and waits for its cue. It ignores SIGTERM.
    pub(crate) fn staged(&self, stage: &Stage) -> String {
        let port = stage.0.local_addr().unwrap().port();
        let script = format!(
            "trap \"\" TERM; exec 3<>/dev/tcp/127.0.0.1/{port}; echo $BACKLOT_ATTEMPT >&3; read -r word <&3; echo $word"
        );
        let step = format!("name = 'act'\ncommand = {{ argv = ['bash', '-c', '{script}'] }}\n");
        self.file("staged.toml", format!("name = 'staged'\n[[step]]\n{step}"))
    }

    /// Submits that and gives the run's id.
    pub(crate) fn submit_for(&self, stage: &Stage) -> String {
        let spec = self.staged(stage);
        let answer = self.run(&["run", &spec, "--detach", "--output", "json"]).ends(0);
        answer.json()["id"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn finish(mut command: Command) -> Answer {
    Answer::new(in_time("the command's end", move || command.output().unwrap()))
}

/// A server or worker that has said it is ready; killed when dropped.
pub(crate) struct Service {
    child: Child,
    /// What it said when it was ready.
    pub(crate) ready: Value,
    errors: Receiver<String>,
}

impl Service {
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = lines(child.stderr.take().unwrap());
        let output = lines(child.stdout.take().unwrap());
        let Ok(first) = output.recv_timeout(DEADLINE) else {
            let _ = child.kill();
            panic!("it did not begin: {:?}", errors.iter().collect::<Vec<_>>());
        };
        Self { child, ready: serde_json::from_str(&first).unwrap(), errors }
    }

    pub(crate) fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for a line on standard error that holds this.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> String {
        loop {
            let line =
                self.errors.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("it never says {words:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Waits for its end and gives the exit code, or minus the signal.
    pub(crate) fn ended(mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        // The pipe ends with the process, so this waits with a deadline that `wait` does not have.
        while self.errors.recv_timeout(DEADLINE).is_ok() {}
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| -status.signal().unwrap())
    }

    /// Ends it in order.
    pub(crate) fn stop(self) -> i32 {
        self.send(Signal::TERM);
        self.ended()
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(self) {
        self.send(Signal::KILL);
        assert_eq!(self.ended(), -9);
    }

    /// The status and body of a GET, with this token.
    pub(crate) fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        get(&format!("{}{path}", self.url()), token)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream as they come.
pub(crate) fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

pub(crate) fn get(url: &str, token: Option<&str>) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(DEADLINE))
        .build()
        .into();
    let mut request = agent.get(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut response = request.call().unwrap();
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

/// Where a task reports that it has begun, and waits for its cue: waits without sleeping, on both sides.
pub(crate) struct Stage(TcpListener);

impl Stage {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// The next task that begins.
    pub(crate) fn next(&self) -> Actor {
        let listener = self.0.try_clone().unwrap();
        in_time("a task's beginning", move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut attempt = String::new();
            reader.read_line(&mut attempt).unwrap();
            Actor { attempt: attempt.trim().to_owned(), stream }
        })
    }
}

/// A running task.
pub(crate) struct Actor {
    pub(crate) attempt: String,
    stream: TcpStream,
}

impl Actor {
    /// Lets it end, with this word as its output.
    pub(crate) fn cue(mut self, word: &str) {
        writeln!(self.stream, "{word}").unwrap();
    }

    /// Waits until the task's process is gone.
    pub(crate) fn gone(mut self) {
        in_time("the task's end", move || {
            let mut rest = Vec::new();
            // A connection that is reset is as gone as one that is closed.
            let _ = self.stream.read_to_end(&mut rest);
        });
    }
}
