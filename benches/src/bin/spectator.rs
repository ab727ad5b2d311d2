//! The speed of the telemetry agent: lines in a second by UDP and unix datagrams, and nanoseconds to update a meter of ours.
//!
//! The sender is a thread of this process that sends many datagrams with one system call. By UDP it never has more under way
//! than the agent's buffer holds, so that a figure is what the agent takes and not what the kernel throws away; what is dropped
//! all the same is printed. A figure counts only if the agent publishes exactly the sum that was sent. `a core` divides the
//! lines by the processor time of the receiving thread: what one core takes when the sender has others.

use std::fs;
use std::hint::black_box;
use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backlot_benches::house::AnyError;
use backlot_benches::statistics::median;
use backlot_meters::Measurement;
use backlot_spectator::registry::{Limits, Moment, Registry};
use backlot_spectator::{Agent, AgentConfig, AgentHandle, Batch, Outcome, Publisher};
use clap::Parser;
use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg};

/// Measures the telemetry agent.
#[derive(Parser)]
struct Arguments {
    /// Fewer lines and runs: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
}

/// Ids that the lines are about: a host's programs have some hundreds.
const IDS: usize = 1000;

/// Datagrams for one system call of the sender.
const SENT_AT_ONCE: usize = 64;

/// Datagrams that may wait at the agent. Each takes some 800 bytes of its buffer of 16 MB.
const UNDER_WAY: u64 = 8192;

/// What is to be reached.
mod target {
    pub(super) const UDP: f64 = 600e3;
    pub(super) const BATCHES_A_CORE: f64 = 1.5e6;
    pub(super) const COUNTER_NS: f64 = 10.0;
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spectator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), AnyError> {
    let (runs, datagrams) = if arguments.quick { (1, 20_000) } else { (5, 1_000_000) };
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load when it began: {}", load.split_whitespace().next().unwrap_or("?"));
    meters(arguments.quick, runs);
    registry(arguments.quick, runs)?;
    println!(
        "\n{:44} {:>12} {:>12} {:>8} {:>10}",
        "the agent, medians", "lines/s", "a core", "dropped", "target"
    );
    let cases = [
        ("UDP, one line a datagram", Door::Udp, 1, datagrams, format!("{:.0} k", target::UDP / 1e3)),
        ("UDP, 32 lines a datagram", Door::Udp, 32, datagrams / 4, String::new()),
        ("unix socket, one line a datagram", Door::Unix, 1, datagrams, String::new()),
        (
            "unix socket, 32 lines a datagram",
            Door::Unix,
            32,
            datagrams / 4,
            format!("{:.1} M/core", target::BATCHES_A_CORE / 1e6),
        ),
    ];
    for (name, door, lines, datagrams, target) in cases {
        let mut figures = Vec::new();
        for _ in 0..runs {
            figures.push(drive(door, lines, datagrams).await?);
        }
        let of = |read: fn(&Figure) -> f64| median(&figures.iter().map(read).collect::<Vec<_>>());
        let dropped: u64 = figures.iter().map(|figure| figure.dropped).sum();
        let (rate, core) = (of(|figure| figure.rate), of(|figure| figure.of_a_core));
        println!("{name:44} {rate:>12.0} {core:>12.0} {dropped:>8} {target:>10}");
    }
    Ok(())
}

/// Updates of our own meters, in nanoseconds.
fn meters(quick: bool, runs: usize) {
    let updates: u32 = if quick { 100_000 } else { 50_000_000 };
    let registry = backlot_meters::Registry::default();
    let counter = registry.counter("bench.counter");
    let timer = registry.timer("bench.timer");
    let percentiles = registry.percentile_timer("bench.percentiles");
    let gauge = registry.gauge("bench.gauge");
    let time = |update: &dyn Fn()| {
        let measured = (0..runs).map(|_| {
            let began = Instant::now();
            update();
            began.elapsed().as_secs_f64() * 1e9 / f64::from(updates)
        });
        median(&measured.collect::<Vec<_>>())
    };
    println!("\n{:44} {:>12} {:>33}", "a meter of our own, medians", "ns", "target");
    let one = time(&|| (0..updates).for_each(|_| black_box(&counter).increment()));
    println!("{:44} {one:>12.1} {:>33}", "counter", target::COUNTER_NS);
    let two = time(&|| {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..updates).for_each(|_| black_box(&counter).increment()));
            }
        });
    });
    println!("{:44} {two:>12.1}", "counter, two threads at once");
    let value = Duration::from_micros(1500);
    println!("{:44} {:>12.1}", "timer", time(&|| (0..updates).for_each(|_| timer.record(black_box(value)))));
    let percentile = time(&|| (0..updates).for_each(|_| percentiles.record(black_box(value))));
    println!("{:44} {percentile:>12.1}", "percentile timer");
    println!(
        "{:44} {:>12.1}",
        "gauge",
        time(&|| (0..updates).for_each(|n| gauge.set(black_box(f64::from(n)))))
    );
}

/// Lines from memory into the registry, on one core.
fn registry(quick: bool, runs: usize) -> Result<(), AnyError> {
    let rounds = if quick { 10 } else { 2000 };
    let payloads = payloads(32);
    let mut rates = Vec::new();
    for _ in 0..runs {
        let mut registry = Registry::new(Limits::default());
        let began = Instant::now();
        for _ in 0..rounds {
            for payload in &payloads {
                registry.record_lines(payload, Moment::default(), |_, _| {});
            }
        }
        let lines = rounds * payloads.len() * 32;
        rates.push(lines as f64 / began.elapsed().as_secs_f64());
        let mut out = Vec::new();
        registry.flush(Moment::default(), &mut out);
        check(&out, lines as u64)?;
    }
    println!("\n{:44} {:>12.0}", "lines/s from memory into the registry", median(&rates));
    Ok(())
}

/// Datagrams of so many lines, which go through all ids. Each line counts one.
fn payloads(lines: usize) -> Vec<Vec<u8>> {
    let line = |at: usize| {
        let id = at % IDS;
        format!("c:server.requestCount,nf.app=www,status=200,id=endpoint-{id}:1\n")
    };
    (0..IDS)
        .map(|first| (0..lines).map(|at| line(first * lines + at)).collect::<String>().into_bytes())
        .collect()
}

fn check(published: &[Measurement], sent: u64) -> Result<(), AnyError> {
    let own = published.iter().filter(|measurement| measurement.id.name() == "server.requestCount");
    let counted: f64 = own.map(|measurement| measurement.value).sum();
    if counted == sent as f64 {
        Ok(())
    } else {
        Err(format!("sent {sent} lines, published {counted}").into())
    }
}

#[derive(Clone, Copy)]
enum Door {
    Udp,
    Unix,
}

struct Figure {
    rate: f64,
    of_a_core: f64,
    dropped: u64,
}

/// Keeps what is published.
#[derive(Default)]
struct Keep(Mutex<Vec<Measurement>>);

#[async_trait]
impl Publisher for Keep {
    async fn publish(&self, batch: Batch) -> Outcome {
        let sent = batch.measurements.len() as u64;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(batch.measurements);
        Outcome { sent, ..Outcome::default() }
    }
}

async fn drive(door: Door, lines: usize, datagrams: usize) -> Result<Figure, AnyError> {
    let folder = tempfile::tempdir()?;
    let mut config = AgentConfig::default();
    (config.lines, config.admin) = (Some(([127, 0, 0, 1], 0).into()), None);
    config.unix = Some(folder.path().join("agent.unix"));
    config.frequency = Duration::from_hours(1);
    let published = Arc::new(Keep::default());
    let publisher: Arc<dyn Publisher> = published.clone();
    let agent = Agent::start(config, publisher).await?;
    let (name, udp, unix) = match door {
        Door::Udp => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(agent.addresses().lines.ok_or("the agent has no UDP socket")?)?;
            ("lines-udp", Some(socket), None)
        }
        Door::Unix => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(agent.addresses().unix.as_ref().ok_or("the agent has no unix socket")?)?;
            ("lines-unix", None, Some(socket))
        }
    };
    let socket = udp.as_ref().map(AsRawFd::as_raw_fd).or(unix.as_ref().map(AsRawFd::as_raw_fd));
    let socket = socket.ok_or("no socket")?;
    let payloads = payloads(lines);
    let cpu = processor_time(name);
    let began = Instant::now();
    tokio::task::block_in_place(|| send(socket, &payloads, lines, datagrams, &agent))?;
    let took = began.elapsed().as_secs_f64();
    let busy = processor_time(name) - cpu;
    let dropped = agent.dropped_by_kernel();
    agent.stop().await;
    let sent = (datagrams * lines) as u64;
    let published = published.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if dropped == 0 {
        check(&published, sent)?;
    }
    Ok(Figure { rate: sent as f64 / took, of_a_core: sent as f64 / busy, dropped })
}

/// Sends, and waits until the agent has taken everything that was not dropped.
fn send(
    socket: RawFd,
    payloads: &[Vec<u8>],
    lines: usize,
    datagrams: usize,
    agent: &AgentHandle,
) -> Result<(), AnyError> {
    let mut headers = MultiHeaders::<()>::preallocate(SENT_AT_ONCE, None);
    let no_addresses = [None; SENT_AT_ONCE];
    let taken = || agent.tally().parsed / lines as u64;
    let mut sent = 0;
    while sent < datagrams {
        let count = SENT_AT_ONCE.min(datagrams - sent);
        let slices: Vec<[IoSlice<'_>; 1]> =
            (0..count).map(|at| [IoSlice::new(&payloads[(sent + at) % payloads.len()])]).collect();
        let results = sendmmsg(socket, &mut headers, &slices, &no_addresses[..count], [], MsgFlags::empty())?;
        sent += results.count();
        if sent % 4096 < SENT_AT_ONCE {
            // Now and then, for the question takes the agent's lock.
            while sent as u64 - taken() > UNDER_WAY && agent.dropped_by_kernel() == 0 {
                std::thread::yield_now();
            }
        }
    }
    let deadline = Instant::now() + Duration::from_mins(1);
    while taken() + agent.dropped_by_kernel() < datagrams as u64 {
        if Instant::now() > deadline {
            return Err(format!("the agent took {} of {datagrams} datagrams", taken()).into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Seconds that the thread of this name has been running.
fn processor_time(name: &str) -> f64 {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let named = tasks
        .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
    // The first column is the time on a processor, in nanoseconds.
    let times = named.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    times.sum::<f64>() / 1e9
}
