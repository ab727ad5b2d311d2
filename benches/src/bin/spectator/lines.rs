//! Lines from a sender to the agent: how many it takes in a second, and what each costs it.

use std::fs;
use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backlot_benches::house::AnyError;
use backlot_benches::statistics::median;
use backlot_meters::Measurement;
use backlot_spectator::{Agent, AgentConfig, AgentHandle, Batch, Outcome, Publisher};
use nix::sys::socket::{MsgFlags, MultiHeaders, send, sendmmsg, setsockopt, sockopt};

/// Ids that the lines are about: a host's programs have some hundreds.
const IDS: usize = 1000;

/// Datagrams for one system call of the sender: as many as the kernel takes apart by itself.
const SENT_AT_ONCE: usize = 64;

/// The most bytes that the kernel takes apart.
const LARGEST_SEND: usize = 65_000;

/// Bytes of the agent's receive buffer that may be under way, a part of the 32 MiB that the kernel makes of the agent's 16.
const UNDER_WAY: usize = 12 << 20;

/// How a program reaches the agent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// UDP, each datagram on its way through the kernel alone.
    Udp,
    /// UDP, sent many at once and taken apart by the kernel before the agent's queue (`UDP_SEGMENT`): the agent gets the same
    /// datagrams, but the sender takes less of the machine that both share.
    UdpSegments,
    /// Unix datagrams.
    Unix,
}

/// One row of the table.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) door: Door,
    /// Lines of a datagram.
    pub(crate) lines: usize,
    /// Datagrams of a run.
    pub(crate) datagrams: usize,
    /// What is to be reached.
    pub(crate) target: &'static str,
}

struct Figure {
    /// Lines in a second of the clock.
    rate: f64,
    /// Nanoseconds of the agent's thread for a line.
    agent: f64,
    /// Nanoseconds of the sender for a line.
    sender: f64,
    dropped: u64,
}

/// The head of the table.
pub(crate) fn print_head() {
    println!(
        "\n{:42} {:>10} {:>12} {:>10} {:>10} {:>8} {:>11}",
        "the agent, medians", "lines/s", "a core", "ns a line", "sender ns", "dropped", "target"
    );
}

/// Measures and prints a row.
pub(crate) async fn print(case: &Case, runs: usize) -> Result<(), AnyError> {
    let mut figures = Vec::new();
    for _ in 0..runs {
        figures.push(drive(case).await?);
    }
    let of = |read: fn(&Figure) -> f64| median(&figures.iter().map(read).collect::<Vec<_>>());
    let dropped: u64 = figures.iter().map(|figure| figure.dropped).sum();
    let (rate, agent, sender) =
        (of(|figure| figure.rate), of(|figure| figure.agent), of(|figure| figure.sender));
    println!(
        "{:42} {rate:>10.0} {:>12.0} {agent:>10.0} {sender:>10.0} {dropped:>8} {:>11}",
        case.name,
        1e9 / agent,
        case.target
    );
    Ok(())
}

/// Datagrams of so many lines each, which go through all ids. Each line counts one, and all are of one length, as the kernel
/// wants those that it takes apart to be.
pub(crate) fn payloads(lines: usize) -> Vec<Vec<u8>> {
    let line = |at: usize| {
        let id = at % IDS;
        format!("c:server.requestCount,nf.app=www,status=200,id=endpoint-{id:03}:1\n")
    };
    (0..IDS)
        .map(|first| (0..lines).map(|at| line(first * lines + at)).collect::<String>().into_bytes())
        .collect()
}

/// Whether exactly what was sent is published.
pub(crate) fn check(published: &[Measurement], sent: u64) -> Result<(), AnyError> {
    let own = published.iter().filter(|measurement| measurement.id.name() == "server.requestCount");
    let counted: f64 = own.map(|measurement| measurement.value).sum();
    if counted == sent as f64 {
        Ok(())
    } else {
        Err(format!("sent {sent} lines, published {counted}").into())
    }
}

/// Keeps what is published.
#[derive(Default)]
pub(crate) struct Keep(Mutex<Vec<Measurement>>);

#[async_trait]
impl Publisher for Keep {
    async fn publish(&self, batch: Batch) -> Outcome {
        let sent = batch.measurements.len() as u64;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(batch.measurements);
        Outcome { sent, ..Outcome::default() }
    }
}

async fn drive(case: &Case) -> Result<Figure, AnyError> {
    let folder = tempfile::tempdir()?;
    let mut config = AgentConfig::default();
    (config.lines, config.admin) = (Some(([127, 0, 0, 1], 0).into()), None);
    config.unix = Some(folder.path().join("agent.unix"));
    config.frequency = Duration::from_hours(1);
    let published = Arc::new(Keep::default());
    let publisher: Arc<dyn Publisher> = published.clone();
    let agent = Agent::start(config, publisher).await?;
    let thread = if case.door == Door::Unix { "lines-unix" } else { "lines-udp" };
    let sender = Sender::open(case, &agent)?;
    let cpu = processor_time(thread);
    let began = Instant::now();
    let sender_cpu = tokio::task::block_in_place(|| sender.send_all(&agent))?;
    let took = began.elapsed().as_secs_f64();
    let busy = processor_time(thread) - cpu;
    let dropped = agent.dropped_by_kernel();
    agent.stop().await;
    let sent = (case.datagrams * case.lines) as u64;
    let published = published.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    check(&published, sent - dropped * case.lines as u64)?;
    Ok(Figure {
        rate: sent as f64 / took,
        agent: busy * 1e9 / sent as f64,
        sender: sender_cpu * 1e9 / sent as f64,
        dropped,
    })
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Udp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

struct Sender {
    socket: Socket,
    door: Door,
    /// All datagrams, one after the other, the first of them again behind the last.
    ring: Vec<u8>,
    /// Bytes of a datagram.
    size: usize,
    /// How many the ring has, without the repeated ones.
    count: usize,
    lines: u64,
    datagrams: usize,
    /// Datagrams that may wait at the agent.
    window: u64,
}

impl Sender {
    fn open(case: &Case, agent: &AgentHandle) -> Result<Self, AnyError> {
        let payloads = payloads(case.lines);
        let (count, size) = (payloads.len(), payloads[0].len());
        let ring = payloads.iter().chain(&payloads[..SENT_AT_ONCE]).flatten().copied().collect();
        let socket = if case.door == Door::Unix {
            let socket = UnixDatagram::unbound()?;
            socket.connect(agent.addresses().unix.as_ref().ok_or("the agent has no unix socket")?)?;
            Socket::Unix(socket)
        } else {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(agent.addresses().lines.ok_or("the agent has no UDP socket")?)?;
            if case.door == Door::UdpSegments {
                setsockopt(&socket, sockopt::UdpGsoSegment, &i32::try_from(size)?)?;
            }
            Socket::Udp(socket)
        };
        // The kernel counts the memory of a datagram: its size up to the next power of two, and some hundred bytes.
        let window = (UNDER_WAY / ((size + 320).next_power_of_two() + 256)) as u64;
        let (door, lines, datagrams) = (case.door, case.lines as u64, case.datagrams);
        Ok(Self { socket, door, ring, size, count, lines, datagrams, window })
    }

    /// Sends, and waits until the agent has taken everything that was not dropped. Gives the seconds that sending took a
    /// processor.
    fn send_all(&self, agent: &AgentHandle) -> Result<f64, AnyError> {
        let taken = || agent.tally().parsed / self.lines;
        let mut headers = MultiHeaders::<()>::preallocate(SENT_AT_ONCE, None);
        let slices: Vec<[IoSlice<'_>; 1]> =
            self.ring.chunks_exact(self.size).map(|datagram| [IoSlice::new(datagram)]).collect();
        let fd = self.socket.as_fd().as_raw_fd();
        let at_once = match self.door {
            Door::UdpSegments => SENT_AT_ONCE.min(LARGEST_SEND / self.size),
            Door::Udp | Door::Unix => SENT_AT_ONCE,
        };
        let (mut sent, mut cpu, mut asked) = (0, 0.0, 0);
        let mut began = own_time();
        while sent < self.datagrams {
            let first = sent % self.count;
            let count = at_once.min(self.datagrams - sent);
            sent += if self.door == Door::UdpSegments {
                let bytes = &self.ring[first * self.size..(first + count) * self.size];
                send(fd, bytes, MsgFlags::empty())? / self.size
            } else {
                let slices = &slices[first..first + count];
                sendmmsg(fd, &mut headers, slices, [None; SENT_AT_ONCE], [], MsgFlags::empty())?.count()
            };
            // Now and then, for the question takes the agent's lock. A unix socket makes the sender wait by itself.
            if self.door != Door::Unix && (sent - asked) as u64 > self.window / 4 {
                asked = sent;
                cpu += own_time() - began;
                while sent as u64 - taken() > self.window && agent.dropped_by_kernel() == 0 {
                    std::thread::yield_now();
                }
                began = own_time();
            }
        }
        cpu += own_time() - began;
        let deadline = Instant::now() + Duration::from_mins(1);
        while taken() + agent.dropped_by_kernel() < self.datagrams as u64 {
            if Instant::now() > deadline {
                return Err(format!("the agent took {} of {} datagrams", taken(), self.datagrams).into());
            }
            std::thread::yield_now();
        }
        Ok(cpu)
    }
}

/// Seconds that this thread has been running.
fn own_time() -> f64 {
    schedstat("/proc/thread-self/schedstat").unwrap_or(0.0)
}

/// Seconds that the thread of this name has been running.
fn processor_time(name: &str) -> f64 {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let named = tasks
        .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
    named.filter_map(|task| schedstat(task.path().join("schedstat"))).sum()
}

fn schedstat(path: impl AsRef<std::path::Path>) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    // The first column is the time on a processor, in nanoseconds.
    Some(text.split_whitespace().next()?.parse::<f64>().ok()? / 1e9)
}
