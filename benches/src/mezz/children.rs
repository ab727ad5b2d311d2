//! The processes of the benchmark that are ours: the S3 server, the proxy, and our mount, each in a process of its own, so that
//! no thread of one waits for a lock of another. Each says on standard output that it is ready, and ends with its input.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backlot_mezzfs::cache::CacheFolder;
use backlot_mezzfs::manifest::ObjectSource;
use backlot_mezzfs::meters::Meters;
use backlot_mezzfs::mount::{Mount, Options, Route};
use backlot_mezzfs::plan::{Parallel, Policy};
use backlot_mezzfs::session::{ManifestBuilder, Session, Settings};
use serde::{Deserialize, Serialize};

use crate::house::AnyError;
use crate::mezz::blank;
use crate::mezz::proxy::{self, Distance};
use crate::mezz::server::{self, Pieces};

/// The first argument of a child.
pub const CHILD: &str = "--child";
/// The user and the key of the server.
pub const KEY: &str = "backlot";

/// What a child is to be.
#[derive(Debug, Serialize, Deserialize)]
pub enum Role {
    /// s3s-fs over a folder. Says its port.
    Server {
        /// The folder of buckets.
        root: String,
        /// How it reads bodies.
        pieces: Pieces,
    },
    /// The proxy. Says its port, and for each line of input the bytes so far.
    Proxy {
        /// The server's port.
        upstream: u16,
        /// The round trip in milliseconds.
        round_trip: u64,
        /// Bytes in a second for each connection.
        rate: f64,
    },
    /// The mount that does nothing. Says `ready`.
    Blank {
        /// Where it is mounted.
        path: String,
        /// The bytes of its file.
        size: u64,
    },
    /// Our mount. Says `ready`, and for each line of input the bytes fetched so far.
    Mount {
        /// The object.
        source: String,
        /// Where it is mounted.
        path: String,
        /// The length of a fixed buffer; adaptive without it.
        fixed: Option<u64>,
        /// Whether a fixed buffer is fetched in parallel requests, as an adaptive one is.
        is_split: bool,
        /// The folder of the cache.
        cache: Option<String>,
        /// Whether programs read without the kernel's page cache.
        is_direct: bool,
    },
}

/// A child that is ready.
#[derive(Debug)]
pub struct Started {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What it said first.
    pub said: String,
}

impl Started {
    /// Starts this program as a child and waits until it is ready.
    ///
    /// # Errors
    /// A child that ends before it is ready; what it wrote to standard error says why.
    pub fn new(role: &Role) -> Result<Self, AnyError> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([CHILD, &serde_json::to_string(role)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = BufReader::new(output.ok_or("no output")?);
        let mut started = Self { child, input, output, said: String::new() };
        started.said = started.line()?;
        Ok(started)
    }

    fn line(&mut self) -> Result<String, AnyError> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.is_empty() { Err("the child has ended".into()) } else { Ok(line.trim().to_owned()) }
    }

    /// The time that the processor has spent on it so far.
    ///
    /// # Errors
    /// A child that has ended.
    pub fn cpu(&self) -> Result<Duration, AnyError> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The fields 14 and 15 of proc(5); the second is the name in parentheses, which may hold anything.
        let fields = text.rsplit_once(") ").ok_or("no fields")?.1.split(' ').skip(11).take(2);
        let ticks: u64 = fields.map(str::parse::<u64>).sum::<Result<_, _>>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Asks for the number that it counts.
    ///
    /// # Errors
    /// A child that has ended.
    pub fn count(&mut self) -> Result<u64, AnyError> {
        self.input.as_mut().ok_or("no input")?.write_all(b"\n")?;
        Ok(self.line()?.parse()?)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

/// Does what a child is told, until its input ends.
///
/// # Errors
/// Whatever keeps it from that.
pub fn obey(role: &str) -> Result<(), AnyError> {
    let runtime = tokio::runtime::Runtime::new()?;
    match serde_json::from_str(role)? {
        Role::Server { root, pieces } => {
            let port = runtime.block_on(server::serve(Path::new(&root), pieces))?;
            answer(&port.to_string(), || 0)
        }
        Role::Proxy { upstream, round_trip, rate } => {
            let passed = Arc::new(AtomicU64::new(0));
            let distance = Distance { round_trip: Duration::from_millis(round_trip), rate };
            let port = proxy::start(upstream, distance, Arc::clone(&passed))?;
            answer(&port.to_string(), || passed.load(Ordering::Relaxed))
        }
        Role::Blank { path, size } => {
            let _session = blank::mount(Path::new(&path), size)?;
            answer("ready", || 0)
        }
        Role::Mount { source, path, fixed, is_split, cache, is_direct } => {
            let settings = Settings {
                policy: fixed.map_or(Policy::Adaptive, Policy::Fixed),
                parallel: is_split.then(Parallel::default),
                cache: cache.map(|path| CacheFolder { path: path.into(), limit: 1 << 40 }),
                ..Settings::default()
            };
            let manifest =
                ManifestBuilder::default().object(ObjectSource::Source(source), "film".to_owned()).build();
            let mount = runtime.block_on(async {
                let session = Session::open("the benchmark", &manifest, None, &settings).await?;
                let route = if is_direct { Route::Direct } else { Route::PageCache };
                let options = Options { route, ..Options::default() };
                Mount::start(session.reader, None, Path::new(&path), options)
            })?;
            let meters = Arc::clone(mount.reader().meters());
            answer("ready", || Meters::get(&meters.fetched_bytes))?;
            mount.end()?;
            Ok(())
        }
    }
}

fn answer(ready: &str, count: impl Fn() -> u64) -> Result<(), AnyError> {
    println!("{ready}");
    for line in std::io::stdin().lines() {
        line?;
        println!("{}", count());
    }
    Ok(())
}
