//! What a mount has done, as Spectator meters.
//!
//! Each meter counts twice: what it has come to since the mount began, which can be asked of a running mount through the
//! extended attribute `user.mezz.meters` of its root folder and is part of every replay file; and a counter of a Spectator
//! [`Registry`], which [`publish`] sends on as other programs' Spectator clients do, so that a mount's rates are seen in Atlas
//! beside everybody's.

use std::io;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backlot_meters::{Counter, Op, Registry};
use tokio::time::{Instant, MissedTickBehavior};

use crate::Error;

/// The variable that tells Spectator's clients where the agent listens.
pub const OUTPUT_VARIABLE: &str = "SPECTATOR_OUTPUT_LOCATION";
/// How often meters are sent, as Spectator's clients do.
const INTERVAL: Duration = Duration::from_secs(5);
/// The longest datagram: what fits into an Ethernet frame.
const LONGEST_DATAGRAM: usize = 1400;

/// One meter: its total, and what is to be published.
#[derive(Debug, Default)]
pub struct Meter {
    total: AtomicU64,
    counter: Counter,
}

macro_rules! meters {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// The meters of a mount.
        #[derive(Debug)]
        pub struct Meters {
            registry: Registry,
            $($(#[$doc])* pub $field: Meter,)*
        }

        impl Default for Meters {
            fn default() -> Self {
                let registry = Registry::default();
                let meter = |name: &'static str| Meter { total: AtomicU64::new(0), counter: registry.counter(name) };
                Self { $($field: meter($name),)* registry }
            }
        }

        impl Meters {
            /// Every total with its name, in a fixed order.
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$(($name, Self::get(&self.$field)),)*]
            }
        }
    };
}

meters! {
    /// Reads that were asked for.
    reads = "mezz.reads",
    /// Bytes that were handed over.
    read_bytes = "mezz.read.bytes",
    /// Reads whose bytes were all buffered or on their way.
    hits = "mezz.read.hits",
    /// Reads that waited for room.
    blocked = "mezz.read.blocked",
    /// Reads that failed.
    failed = "mezz.read.failed",
    /// Requests to the origin, without those that were tried again.
    fetches = "mezz.fetches",
    /// Bytes that the origin sent.
    fetched_bytes = "mezz.fetch.bytes",
    /// Requests that were tried again.
    retries = "mezz.fetch.retries",
    /// Fetches that failed for good.
    fetches_failed = "mezz.fetch.failed",
    /// Bytes that the cache on this machine had.
    cache_bytes = "mezz.cache.hit.bytes",
    /// Bytes that were written to the cache.
    cache_written_bytes = "mezz.cache.written.bytes",
    /// Writes to the cache that failed; reading goes on without it.
    cache_failed = "mezz.cache.failed",
    /// Bytes that a peer had.
    peer_bytes = "mezz.peer.hit.bytes",
    /// Files that were opened.
    opens = "mezz.opens",
    /// Files that were opened for the kernel to read from the cache itself.
    passthrough_opens = "mezz.opens.passthrough",
}

impl Meters {
    /// Adds to a meter.
    pub fn add(meter: &Meter, amount: u64) {
        meter.total.fetch_add(amount, Ordering::Relaxed);
        meter.counter.add(amount);
    }

    /// What a meter has come to since the mount began.
    pub fn get(meter: &Meter) -> u64 {
        meter.total.load(Ordering::Relaxed)
    }

    /// The meters, as a Spectator agent is told of them.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// Where a Spectator agent listens.
#[derive(Debug)]
enum Agent {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Agent {
    /// The agent at `udp://host:port` or `unix:///path`.
    fn at(location: &str) -> Result<Self, Error> {
        let fail = |fault: String| Error::NotALocation { text: crate::error::shorten(location), fault };
        let told =
            |error: io::Error| fail(format!("no agent can be told there ({error}); check {OUTPUT_VARIABLE}"));
        if let Some(address) = location.strip_prefix("udp://") {
            let socket = UdpSocket::bind("0.0.0.0:0").or_else(|_| UdpSocket::bind("[::]:0")).map_err(told)?;
            socket.connect(address).map_err(told)?;
            return Ok(Self::Udp(socket));
        }
        if let Some(path) = location.strip_prefix("unix://") {
            let socket = UnixDatagram::unbound().map_err(told)?;
            socket.connect(path).map_err(told)?;
            return Ok(Self::Unix(socket));
        }
        Err(fail(format!("write udp://HOST:PORT or unix:///PATH into {OUTPUT_VARIABLE}")))
    }

    fn send(&self, datagram: &str) {
        // An agent that is gone for the moment is none of the mount's troubles.
        let _ = match self {
            Self::Udp(socket) => socket.send(datagram.as_bytes()),
            Self::Unix(socket) => socket.send(datagram.as_bytes()),
        };
    }
}

/// The lines of the agent's protocol for what was counted since the last time, in datagrams.
fn datagrams(meters: &Meters, now: Duration, mount: &str) -> Vec<String> {
    let mut datagrams = vec![String::new()];
    for measurement in meters.registry.snapshot(now) {
        let op = match measurement.op() {
            Op::Add => 'c',
            Op::Max => 'g',
        };
        let line = format!("{op}:{},mount={mount}:{}\n", measurement.id.name(), measurement.value);
        if datagrams.last().is_some_and(|last| last.len() + line.len() > LONGEST_DATAGRAM) {
            datagrams.push(String::new());
        }
        if let Some(last) = datagrams.last_mut() {
            last.push_str(&line);
        }
    }
    datagrams.retain(|datagram| !datagram.is_empty());
    datagrams
}

/// Sends the meters to the agent every [`INTERVAL`] and once more at the end of the mount, when the handle is dropped.
#[derive(Debug)]
pub struct Publisher {
    task: tokio::task::JoinHandle<()>,
    send: Arc<Sender>,
}

#[derive(Debug)]
struct Sender {
    agent: Agent,
    meters: Arc<Meters>,
    mount: String,
    began: Instant,
}

impl Sender {
    fn once(&self) {
        for datagram in datagrams(&self.meters, self.began.elapsed(), &self.mount) {
            self.agent.send(&datagram);
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
        self.send.once();
    }
}

/// Publishes meters of this mount at a location such as `udp://127.0.0.1:1234`.
///
/// # Errors
/// What is no such location, or a socket that nobody listens at.
pub fn publish(meters: Arc<Meters>, mount: &str, location: &str) -> Result<Publisher, Error> {
    let tag: String =
        mount.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' }).collect();
    let send = Arc::new(Sender { agent: Agent::at(location)?, meters, mount: tag, began: Instant::now() });
    let sender = Arc::clone(&send);
    let task = tokio::spawn(async move {
        let mut ticks = tokio::time::interval_at(Instant::now() + INTERVAL, INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            sender.once();
        }
    });
    Ok(Publisher { task, send })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_agent_is_told_what_was_counted_since_the_last_time() {
        let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let location = format!("udp://{}", agent.local_addr().unwrap());
        let meters = Arc::new(Meters::default());
        let publisher = publish(Arc::clone(&meters), "/mnt/film", &location).unwrap();
        Meters::add(&meters.reads, 3);
        Meters::add(&meters.read_bytes, 4096);
        publisher.send.once();
        Meters::add(&meters.reads, 1);
        drop(publisher);
        let mut bytes = [0; 2048];
        let mut lines = Vec::new();
        for _ in 0..2 {
            let length = agent.recv(&mut bytes).unwrap();
            let mut told: Vec<String> =
                String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned).collect();
            told.sort();
            lines.push(told);
        }
        let name = |name: &str, value: u64| format!("c:{name},mount=_mnt_film:{value}");
        assert_eq!(lines[0], [name("mezz.read.bytes", 4096), name("mezz.reads", 3)]);
        assert_eq!(lines[1], [name("mezz.reads", 1)]);
        assert_eq!(Meters::get(&meters.reads), 4);
        assert!(publish(meters, "/mnt", "file:///tmp/x").unwrap_err().to_string().contains("udp://"));
    }
}
