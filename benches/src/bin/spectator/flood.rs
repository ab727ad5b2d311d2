//! Distinct ids without end, as runaway tags make them: what the process holds while they come, and afterwards.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_benches::house::AnyError;
use backlot_spectator::{Agent, AgentConfig, Publisher};

use crate::lines::Keep;

/// What the process may take for them. The registry's limits allow for 200 000 meters and 64 MiB of ids, each id a second time as it
/// was sent, and for what tables have spare; payloads of a flush come to it.
const CAP: u64 = 400 << 20;

/// Lines of a datagram.
const LINES: usize = 32;

/// A kind of flood: what it is called, and its lines by number.
type Flood = (&'static str, fn(&mut String, usize));

const FLOODS: [Flood; 4] = [
    ("counters of one name", |out, at| {
        let _ = writeln!(out, "c:server.requests,nf.app=www,user=u{at}:1");
    }),
    ("counters, each with its own name", |out, at| {
        let _ = writeln!(out, "c:server.requests.u{at},nf.app=www:1");
    }),
    ("percentile timers, each with its own name", |out, at| {
        let _ = writeln!(out, "T:server.latency.u{at},nf.app=www:0.{}", at % 1000);
    }),
    ("gauges with ids of 500 bytes", |out, at| {
        let _ = writeln!(out, "g:server.queue.u{at},nf.app={:0>470}:1", at % 100);
    }),
];

/// Sends so many distinct ids of each kind to an agent of its own, and prints the table.
pub(crate) async fn print(ids: usize) -> Result<(), AnyError> {
    println!(
        "\n{:42} {:>9} {:>9} {:>9} {:>9} {:>9}",
        format!("{ids} distinct ids, cap {} MiB", CAP >> 20),
        "meters",
        "folded",
        "dropped",
        "peak MiB",
        "after"
    );
    for (name, line) in FLOODS {
        flood(name, line, ids).await?;
    }
    Ok(())
}

async fn flood(name: &str, line: fn(&mut String, usize), ids: usize) -> Result<(), AnyError> {
    let folder = tempfile::tempdir()?;
    let mut config = AgentConfig::default();
    (config.lines, config.admin) = (None, None);
    config.unix = Some(folder.path().join("agent.unix"));
    config.frequency = Duration::from_hours(1);
    let publisher: Arc<dyn Publisher> = Arc::new(Keep::default());
    // What the floods before left to the allocator is not this one's.
    let before = memory("VmRSS:");
    fs::write("/proc/self/clear_refs", "5")?;
    let agent = Agent::start(config, publisher).await?;
    let socket = UnixDatagram::unbound()?;
    socket.connect(agent.addresses().unix.as_ref().ok_or("the agent has no unix socket")?)?;
    let mut text = String::new();
    for first in (0..ids).step_by(LINES) {
        text.clear();
        (first..ids.min(first + LINES)).for_each(|at| line(&mut text, at));
        socket.send(text.as_bytes())?;
    }
    let deadline = Instant::now() + Duration::from_mins(2);
    while agent.tally().parsed < ids as u64 {
        if Instant::now() > deadline {
            return Err(format!("the agent took {} of {ids} lines", agent.tally().parsed).into());
        }
        std::thread::yield_now();
    }
    let (tally, size) = (agent.tally(), agent.size());
    if tally.folded + tally.dropped + size.meters as u64 <= ids as u64 / 2 {
        return Err(format!("{} of {ids} ids are accounted for", tally.folded + tally.dropped).into());
    }
    agent.flush().await;
    let peak = memory("VmHWM:").saturating_sub(before);
    agent.stop().await;
    let after = memory("VmRSS:").saturating_sub(before);
    println!(
        "{name:42} {:>9} {:>9} {:>9} {:>9} {:>9}",
        size.meters,
        tally.folded,
        tally.dropped,
        peak >> 20,
        after >> 20
    );
    if peak > CAP { Err(format!("{name} took {} MiB, beyond the cap", peak >> 20).into()) } else { Ok(()) }
}

/// Bytes that this process has in memory, now or at most.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) << 10
}
