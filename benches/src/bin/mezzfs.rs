//! Mounts of one S3 object side by side: ours, Debian's s3fs and rclone, on the same server (s3s-fs), near and far.
//!
//! Every figure is of a fresh mount, so nothing is in the kernel's page cache; every byte that was read is compared with the
//! original. Far is a proxy: 20 ms to the server and 50 MB/s for a connection. All rates are in MB/s, of 10^6 bytes.
//!
//! The server is s3s-fs with longer pieces, unless `--server-pieces 0` leaves it as it is (`mezz::server` says why).

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_benches::house::AnyError;
use backlot_benches::mezz::children::{self, CHILD, Role, Started};
use backlot_benches::mezz::mounts::{BUCKET, Mounted, OBJECT, Who};
use backlot_benches::mezz::patterns::{Pattern, Reading, SCATTERED};
use backlot_benches::mezz::server::Pieces;
use backlot_benches::statistics::median;
use backlot_mezzfs::meters::Meters;
use backlot_mezzfs::plan::Parallel;
use backlot_mezzfs::source::{Clients, Patience, Source};
use backlot_mezzfs::{Location, Room};
use clap::Parser;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use object_store::ObjectStoreExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};

/// Measures mounts of an S3 object.
#[derive(Parser)]
struct Arguments {
    /// A small object and one run: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// The object's size in MiB; the article's dense case is 1 GiB.
    #[arg(long, default_value_t = 1024)]
    size: u64,
    /// Runs of each case; the middle one counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How many bytes the server reads of its file at a time; 0 leaves s3s-fs as it is, with 4 KiB.
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 10)]
    server_pieces: usize,
    /// Only some of the cases.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Where the object lies and mounts are made; the system's temporary directory unless said.
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

/// The cases by where the server is and what is asked.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The server on this machine.
    Near,
    /// The server behind the proxy.
    Far,
    /// The article's cases, behind the proxy.
    Article,
    /// From the cache.
    Cached,
}

/// What is to be reached.
mod target {
    pub(super) const OVER_S3FS: f64 = 1.5;
    pub(super) const OF_RAW: f64 = 0.9;
    pub(super) const OVER_RCLONE_SPARSE: f64 = 3.0;
    pub(super) const AMPLIFICATION: f64 = 1.1;
    pub(super) const STRIDED: f64 = 1.3;
    pub(super) const OF_NATIVE: f64 = 0.8;
    pub(super) const DENSE_OVER_FIXED: f64 = 2.0;
}

const ROUND_TRIP_MS: u64 = 20;
const RATE: f64 = 50e6;
const FIXED: u64 = 8 << 20;
/// The article's sparse case: 32 MiB in pieces of 64 KiB.
const PIECES: u64 = 512;
/// Programs that read at a time: as many as encoders of shots that one machine runs.
const CROWD: usize = 16;

fn main() -> ExitCode {
    let mut raw = std::env::args().skip(1);
    let outcome = match (raw.next().as_deref(), raw.next()) {
        (Some(CHILD), Some(role)) => children::obey(&role),
        _ => Bench::new(Arguments::parse()).and_then(Bench::run),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Bench {
    only: Vec<Part>,
    runs: usize,
    pieces: u64,
    scratch: tempfile::TempDir,
    original: PathBuf,
    peers: Vec<Who>,
    runtime: tokio::runtime::Runtime,
    server: Started,
    port: u16,
}

impl Bench {
    fn new(arguments: Arguments) -> Result<Self, AnyError> {
        let scratch = match &arguments.dir {
            Some(dir) => tempfile::tempdir_in(dir)?,
            None => tempfile::tempdir()?,
        };
        let root = scratch.path().join("s3");
        fs::create_dir_all(root.join(BUCKET))?;
        let pieces = match arguments.server_pieces {
            0 => Pieces::AsTheyAre,
            bytes => Pieces::Of(bytes),
        };
        let server = Started::new(&Role::Server { root: root.display().to_string(), pieces })?;
        let port = server.said.parse()?;
        let size = if arguments.quick { 64 } else { arguments.size };
        let original = scratch.path().join("original");
        make(&original, size << 20)?;
        put(&original, port)?;
        let on_path = |program: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        };
        let mut peers = Vec::new();
        for peer in [Who::S3fs, Who::Rclone] {
            match peer.program() {
                Some(program) if !on_path(program) => {
                    println!("SKIPPED: no {program} here; apt-get install {program}");
                }
                _ => peers.push(peer),
            }
        }
        println!("an object of {size} MiB; rates in MB/s; every byte read was compared with the original");
        let runs = if arguments.quick { 1 } else { arguments.runs.max(1) };
        let pieces = if arguments.quick { 64 } else { PIECES };
        let runtime = tokio::runtime::Runtime::new()?;
        Ok(Self { only: arguments.only, runs, pieces, scratch, original, peers, runtime, server, port })
    }

    fn run(self) -> Result<(), AnyError> {
        let asked = |part: Part| self.only.is_empty() || self.only.contains(&part);
        if asked(Part::Near) {
            println!("\nnear: the server on this machine");
            self.place(self.port, None)?;
            self.floor()?;
        }
        let round_trip = ROUND_TRIP_MS;
        let mut proxy = Started::new(&Role::Proxy { upstream: self.port, round_trip, rate: RATE })?;
        let port = proxy.said.parse()?;
        if asked(Part::Far) {
            println!("\nfar: {round_trip} ms to the server, {:.0} MB/s for a connection", RATE / 1e6);
            self.place(port, Some(&mut proxy))?;
        }
        if asked(Part::Article) {
            println!("\nfar: the article's cases, a fixed buffer of 8 MiB against the adaptive one");
            self.fixed_against_adaptive(port)?;
        }
        if asked(Part::Cached) {
            println!("\ncached: read again from the cache on this machine");
            self.cached()?;
        }
        Ok(())
    }

    /// The rate of one case: the middle of the runs, each on a fresh mount. Also the bytes fetched for each byte read.
    fn case(
        &self,
        runs: usize,
        who: &Who,
        port: u16,
        pattern: Pattern,
        proxy: &mut Option<&mut Started>,
    ) -> Result<Figure, AnyError> {
        let mut rates = Vec::new();
        let mut amplification = None;
        for _ in 0..runs {
            let mut mounted = Mounted::new(who, port, self.scratch.path())?;
            let before = (mounted.fetched()?, proxy.as_mut().map(|proxy| proxy.count()).transpose()?);
            let reading = Reading::of(&mounted.file(), pattern)?;
            let after = (mounted.fetched()?, proxy.as_mut().map(|proxy| proxy.count()).transpose()?);
            reading.compare(&self.original)?;
            let timed = reading.timed;
            let fetched = match (before, after) {
                ((Some(before), _), (Some(after), _)) | ((_, Some(before)), (_, Some(after))) => {
                    Some(after - before)
                }
                _ => None,
            };
            amplification = fetched.map(|fetched| fetched as f64 / timed.bytes as f64);
            rates.push(timed.rate());
        }
        Ok(Figure { rate: median(&rates), amplification })
    }

    fn place(&self, port: u16, mut proxy: Option<&mut Started>) -> Result<(), AnyError> {
        let (raw, own) = (self.raw(port)?, self.own_client(port)?);
        println!("  {:<22} {raw:>8.1} (by our own client {own:.1})", "raw parallel ranges");
        let mut sequential = 0.0;
        let cases = [
            ("sequential", Pattern::Sequential),
            ("40 MB, skip 10 MB", Pattern::Strided),
            ("scattered 64 KiB", Pattern::Scattered { count: self.pieces, readers: 1 }),
            ("the same, 16 readers", Pattern::Scattered { count: self.pieces, readers: CROWD }),
        ];
        for (name, pattern) in cases {
            let ours = self.case(self.runs, &Who::ours(), port, pattern, &mut proxy)?;
            let mut line = format!("  {name:<22} {:>8.1}", ours.rate);
            if let Some(ratio) = ours.amplification {
                line.push_str(&format!(" ({ratio:.3} fetched for each byte read)"));
            }
            say(&line);
            let direct = self.case(self.runs, &Who::ours_direct(), port, pattern, &mut proxy)?;
            let fetched =
                direct.amplification.map_or(String::new(), |ratio| format!(" ({ratio:.3} fetched)"));
            say(&format!("    {:<20} {:>8.1}{fetched}", "ours with --direct", direct.rate));
            let mut s3fs = None;
            let mut rclone = None;
            for peer in &self.peers {
                let program = peer.program().unwrap_or_default();
                match self.case(self.runs, peer, port, pattern, &mut proxy) {
                    Err(error) => say(&format!("    {program:<20} failed: {error}")),
                    Ok(theirs) => {
                        let ratio = ours.rate / theirs.rate;
                        let fetched = theirs
                            .amplification
                            .map_or(String::new(), |ratio| format!(" ({ratio:.3} fetched)"));
                        say(&format!(
                            "    {program:<20} {:>8.1}{fetched}; ours is {ratio:.2} times that",
                            theirs.rate
                        ));
                        if program == "s3fs" { s3fs = Some(ratio) } else { rclone = Some(ratio) }
                    }
                }
            }
            match pattern {
                Pattern::Sequential => {
                    sequential = ours.rate;
                    if let Some(ratio) = s3fs {
                        verdict("over s3fs", ratio, target::OVER_S3FS);
                        let most = raw * ratio / ours.rate;
                        if most < target::OVER_S3FS {
                            say(&format!(
                                "        (s3fs is at {:.2} of the raw rate: no mount could be {:.2} times as fast)",
                                1.0 / most,
                                target::OVER_S3FS
                            ));
                        }
                    }
                    verdict("of the raw rate", ours.rate / raw, target::OF_RAW);
                    verdict("of the raw rate, with --direct", direct.rate / raw, target::OF_RAW);
                }
                Pattern::Strided => below("sequential over this", sequential / ours.rate, target::STRIDED),
                Pattern::Scattered { readers, .. } => {
                    if let Some(ratio) = rclone {
                        verdict("over rclone", ratio, target::OVER_RCLONE_SPARSE);
                    }
                    if proxy.is_some() && readers == 1 {
                        // Nobody knows the next place before the read before has ended.
                        let least = ROUND_TRIP_MS as f64 / 1e3 + SCATTERED as f64 / RATE;
                        let most = SCATTERED as f64 / 1e6 / least;
                        say(&format!(
                            "      one round trip for each read allows {most:.1}; ours is {:.2} of it",
                            ours.rate / most
                        ));
                    }
                    if let Some(ratio) = ours.amplification {
                        below("fetched for each byte", ratio, target::AMPLIFICATION);
                    }
                }
            }
        }
        Ok(())
    }

    /// What FUSE alone costs, and so what a mount could reach at most where all cores are busy: that of the raw rate which the
    /// processor's time for raw bytes is of that time and FUSE's.
    fn floor(&self) -> Result<(), AnyError> {
        let size = fs::metadata(&self.original)?.len();
        let own = || -> Result<Duration, AnyError> {
            let usage = getrusage(UsageWho::RUSAGE_SELF)?;
            let time = usage.user_time() + usage.system_time();
            Ok(Duration::from_micros(u64::try_from(time.num_microseconds())?))
        };
        let each = |time: Duration| time.as_secs_f64() * 1e9 / (size * self.runs as u64) as f64;
        let (server, before) = (self.server.cpu()?, own()?);
        self.raw(self.port)?;
        let (server, client) = (self.server.cpu()?.saturating_sub(server), own()?.saturating_sub(before));
        let (mut mount, mut reader, mut rates) = (Duration::ZERO, Duration::ZERO, Vec::new());
        for _ in 0..self.runs {
            let folder = tempfile::tempdir_in(self.scratch.path())?;
            let role = Role::Blank { path: folder.path().display().to_string(), size };
            let blank = Started::new(&role)?;
            let (mounted, before) = (blank.cpu()?, own()?);
            let reading = Reading::of(&folder.path().join(OBJECT), Pattern::Sequential)?;
            mount += blank.cpu()?.saturating_sub(mounted);
            reader += own()?.saturating_sub(before);
            rates.push(reading.timed.rate());
        }
        let (raw, fuse) = (server + client, mount + reader);
        say(&format!(
            "  nanoseconds of the processor for a byte: raw {:.2} (server {:.2}, client {:.2}), FUSE alone {:.2} (mount {:.2}, \
             reader {:.2}) at {:.0} MB/s",
            each(raw),
            each(server),
            each(client),
            each(fuse),
            each(mount),
            each(reader),
            median(&rates)
        ));
        say(&format!(
            "      with all cores busy, the client's work done as it does it and FUSE's after it, a mount reaches {:.2} of the raw rate",
            each(raw) / (each(raw) + each(fuse))
        ));
        Ok(())
    }

    /// What the server gives into memory, to as many requests at a time as a mount makes and of the same length, by the client
    /// that a program without a mount would use.
    fn raw(&self, port: u16) -> Result<f64, AnyError> {
        let client = Arc::new(s3(port)?);
        let size = fs::metadata(&self.original)?.len();
        self.ranges(size, move |range| {
            let client = Arc::clone(&client);
            async move { Ok(client.get_range(&OBJECT.into(), range).await?.len() as u64) }
        })
    }

    /// The same by the client that our mount has.
    fn own_client(&self, port: u16) -> Result<f64, AnyError> {
        let location: Location =
            format!("s3://{BUCKET}/{OBJECT}?endpoint=http://127.0.0.1:{port}").parse()?;
        let clients = Arc::new(Clients::new(None, Patience::default(), Arc::new(Meters::default()))?);
        let source = self.runtime.block_on(Source::open(&location, &clients))?;
        let (source, size) = (Arc::new(source), fs::metadata(&self.original)?.len());
        self.ranges(size, move |range| {
            let source = Arc::clone(&source);
            async move {
                let mut out = Room::new((range.end - range.start) as usize);
                source.read(range, &mut out).await?;
                Ok(out.filled().len() as u64)
            }
        })
    }

    /// The middle rate of fetching all ranges of an object; `fetch` tells the bytes of each.
    fn ranges<F, R>(&self, size: u64, fetch: F) -> Result<f64, AnyError>
    where
        F: Fn(Range<u64>) -> R,
        R: Future<Output = Result<u64, AnyError>> + Send + 'static,
    {
        let Parallel { ways, longest, .. } = Parallel::default();
        let mut rates = Vec::new();
        for _ in 0..self.runs {
            let begun = Instant::now();
            let bytes = self.runtime.block_on(async {
                let slots = Arc::new(tokio::sync::Semaphore::new(ways as usize));
                let mut tasks = tokio::task::JoinSet::new();
                for start in (0..size).step_by(longest as usize) {
                    let slot = Arc::clone(&slots).acquire_owned().await?;
                    let fetched = fetch(start..(start + longest).min(size));
                    tasks.spawn(async move {
                        let fetched = fetched.await;
                        drop(slot);
                        fetched
                    });
                }
                let mut bytes = 0;
                while let Some(done) = tasks.join_next().await {
                    bytes += done??;
                }
                Ok::<u64, AnyError>(bytes)
            })?;
            if bytes != size {
                return Err(format!("{bytes} bytes of {size} came").into());
            }
            rates.push(size as f64 / 1e6 / begun.elapsed().as_secs_f64());
        }
        Ok(median(&rates))
    }

    fn fixed_against_adaptive(&self, port: u16) -> Result<(), AnyError> {
        for (name, pattern) in [
            ("dense", Pattern::Sequential),
            ("sparse", Pattern::Scattered { count: self.pieces, readers: 1 }),
        ] {
            let fixed = |is_split| Who::Ours { fixed: Some(FIXED), is_split, cache: None, is_direct: false };
            // Once each: a fixed buffer takes minutes.
            let one = self.case(1, &fixed(false), port, pattern, &mut None)?;
            let split = self.case(1, &fixed(true), port, pattern, &mut None)?;
            let adaptive = self.case(1, &Who::ours(), port, pattern, &mut None)?;
            let told = |figure: &Figure| {
                format!("{:.1} ({:.3} fetched)", figure.rate, figure.amplification.unwrap_or_default())
            };
            say(&format!(
                "  {name}: fixed, one request {}; fixed, in parallel {}; adaptive {}",
                told(&one),
                told(&split),
                told(&adaptive)
            ));
            if pattern == Pattern::Sequential {
                verdict("over the fixed buffer", adaptive.rate / one.rate, target::DENSE_OVER_FIXED);
            } else {
                let fetched = adaptive.amplification.unwrap_or_default();
                below("fetched for each byte", fetched, target::AMPLIFICATION);
            }
        }
        Ok(())
    }

    fn cached(&self) -> Result<(), AnyError> {
        let cache = self.scratch.path().join("cache");
        let who = Who::Ours { fixed: None, is_split: false, cache: Some(cache.clone()), is_direct: false };
        let filling = Mounted::new(&who, self.port, self.scratch.path())?;
        Reading::of(&filling.file(), Pattern::Sequential)?.compare(&self.original)?;
        drop(filling);
        let entry = fs::read_dir(&cache)?.next().ok_or("the cache is empty")??.path().join("data");
        let (mut native, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..self.runs.max(3) {
            let mounted = Mounted::new(&who, self.port, self.scratch.path())?;
            // The first opening has the whole file checked; it is not the reading that is measured.
            mounted.pass_through()?;
            for (path, rates) in [(&entry, &mut native), (&mounted.file(), &mut ours)] {
                let reading = Reading::of(path, Pattern::Sequential)?;
                reading.compare(&self.original)?;
                rates.push(reading.timed.rate());
            }
        }
        let (native, ours) = (median(&native), median(&ours));
        say(&format!("  the cache's file itself {native:.0}, through the mount {ours:.0}"));
        verdict("of native", ours / native, target::OF_NATIVE);
        Ok(())
    }
}

struct Figure {
    rate: f64,
    amplification: Option<f64>,
}

fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}

fn verdict(what: &str, is: f64, least: f64) {
    say(&format!(
        "      {what}: {is:.2}, to be at least {least}: {}",
        if is >= least { "met" } else { "MISSED" }
    ));
}

fn below(what: &str, is: f64, most: f64) {
    say(&format!(
        "      {what}: {is:.3}, to be at most {most}: {}",
        if is <= most { "met" } else { "MISSED" }
    ));
}

/// An object in which every place can be told from every other.
fn make(path: &Path, size: u64) -> std::io::Result<()> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut file = std::io::BufWriter::new(fs::File::create(path)?);
    let mut piece = vec![0; 1 << 20];
    for _ in 0..size >> 20 {
        random.fill(&mut piece);
        file.write_all(&piece)?;
    }
    file.flush()
}

/// A client of the server.
fn s3(port: u16) -> Result<AmazonS3, AnyError> {
    // An error only says that the process has a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = object_store::ClientOptions::new()
        .with_allow_http(true)
        .with_no_system_certificates(true)
        .with_timeout_disabled()
        .with_http1_only();
    Ok(AmazonS3Builder::new()
        .with_endpoint(format!("http://127.0.0.1:{port}"))
        .with_allow_http(true)
        .with_bucket_name(BUCKET)
        .with_region("us-east-1")
        .with_access_key_id(children::KEY)
        .with_secret_access_key(children::KEY)
        .with_client_options(options)
        .build()?)
}

/// Puts the object by the server's own protocol, so that the server knows its ETag.
fn put(original: &Path, port: u16) -> Result<(), AnyError> {
    let client = s3(port)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(client.put(&OBJECT.into(), fs::read(original)?.into()))?;
    Ok(())
}
