//! The servers that are measured, each a process of its own: ours (the department behind the house's own shell), VictoriaMetrics.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use backlot_department::{Config, Department, House, shell_part};
use backlot_ledger::Ledger;
use backlot_store::Store;
use backlot_telemetry::Telemetry;
use backlot_web::{Shell, Tokens, WebConfig};
use serde_json::{Value, json};

use crate::house::AnyError;
use crate::telemetry::client::Client;

/// The first argument of this program as our server; the home and the settings follow.
pub const CHILD: &str = "--child";

/// The program of Debian's package `victoria-metrics`.
pub const PEER: &str = "victoria-metrics";

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is running.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Ours ends with its input.
    input: Option<ChildStdin>,
    /// Its port.
    pub port: u16,
}

impl Server {
    /// Starts ours.
    ///
    /// # Errors
    /// A child that does not start.
    pub fn ours(home: &Path, settings: &Value) -> Result<Self, AnyError> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([CHILD, &home.display().to_string(), &settings.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let port = line.trim().parse().map_err(|_| "our server did not start")?;
        Ok(Self { child, input, port })
    }

    /// Starts VictoriaMetrics with its data in a folder; `None` where it is not installed.
    ///
    /// # Errors
    /// A child that does not start.
    pub fn peer(folder: &Path) -> Result<Option<Self>, AnyError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|folder| folder.join(PEER).is_file()) {
            return Ok(None);
        }
        // A port that was free a moment ago: it takes none by itself.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(PEER)
            .arg(format!("-storageDataPath={}", folder.display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .args(["-retentionPeriod=100y", "-search.latencyOffset=0s", "-loggerLevel=ERROR"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { child, input: None, port };
        let deadline = Instant::now() + PATIENCE;
        while Client::new(port).and_then(|mut client| client.get("/health").map(drop)).is_err() {
            if Instant::now() > deadline {
                return Err(format!("{PEER} does not answer on port {port}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(server))
    }

    /// Seconds of processor time that it has used.
    ///
    /// # Errors
    /// A process that has ended.
    pub fn cpu(&self) -> Result<f64, AnyError> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // After the name in parentheses the fields 12 and 13 are user and system time in ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        Ok((ticks(11) + ticks(12)) / 100.0)
    }

    /// Seconds of processor time that it has used once it has ended what it put off: when it has used none for a while.
    ///
    /// # Errors
    /// A process that has ended.
    pub fn rested(&self) -> Result<f64, AnyError> {
        /// Longer than the second after which VictoriaMetrics writes what it holds.
        const QUIET: Duration = Duration::from_millis(1200);
        /// A few ticks of its clocks are no work.
        const IDLE: f64 = 0.03;
        let deadline = Instant::now() + PATIENCE;
        let mut cpu = self.cpu()?;
        loop {
            std::thread::sleep(QUIET);
            let now = self.cpu()?;
            if now - cpu <= IDLE || Instant::now() > deadline {
                return Ok(now);
            }
            cpu = now;
        }
    }

    /// The most memory that it has had, in bytes.
    pub fn most_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// Kills it as the kernel would.
    ///
    /// # Errors
    /// A process that cannot be waited for.
    pub fn kill(mut self) -> Result<(), AnyError> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it as its operator would, so that it writes what it holds.
    ///
    /// # Errors
    /// One that does not end.
    pub fn stop(mut self) -> Result<(), AnyError> {
        if self.input.take().is_none() {
            let id = rustix::process::Pid::from_child(&self.child);
            rustix::process::kill_process(id, rustix::process::Signal::INT)?;
        }
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err("a server does not end".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended cannot be killed, which is as well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Is our server, until its input ends.
///
/// # Errors
/// Whatever keeps it from starting.
pub fn serve(home: &str, settings: &str) -> Result<(), AnyError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let departments: [Box<dyn Department>; 1] = [Box::<Telemetry>::default()];
        let mut settings: Value = serde_json::from_str(settings)?;
        // Only what is sent is to be there.
        settings["self_metrics"] = false.into();
        settings["agent"] = json!({ "enabled": false });
        let sections = json!({ "telemetry": settings }).as_object().cloned().ok_or("no settings")?;
        let ledger = Ledger::open("sqlite::memory:")?;
        let store = Store::open(&format!("file://{home}/blobs"))?;
        let house = House::open(home, Config::new(sections), store, ledger, &departments)?;
        house.start(&departments).await?;
        house.serve(&departments).await?;
        let mut config = WebConfig::new(Tokens::open(Path::new(home))?);
        config.bind = SocketAddr::from(([127, 0, 0, 1], 0));
        let shell = Shell::builder(config).department(shell_part(&*departments[0], &house)).build()?;
        let listener = shell.bind().await?;
        println!("{}", listener.local_addr()?.port());
        let ended = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line)
        });
        shell.serve(listener, async { drop(ended.await) }).await?;
        house.stop(&departments).await;
        Ok(())
    })
}

/// Bytes of the files below a folder whose path holds a text.
pub fn bytes_below(folder: &Path, part: &str) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => bytes_below(&path, part),
                Ok(_) if path.to_string_lossy().contains(part) => {
                    entry.metadata().map_or(0, |data| data.len())
                }
                _ => 0,
            }
        })
        .sum()
}
