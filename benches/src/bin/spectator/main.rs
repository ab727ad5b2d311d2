//! The speed of the telemetry agent: lines in a second by UDP and unix datagrams, what a flood of distinct ids does to it, and
//! nanoseconds to update a meter of ours.
//!
//! The sender is a thread of this process that hands the kernel many datagrams with one system call. By UDP it never has more
//! under way than the agent's buffer holds, so that a figure is what the agent takes and not what the kernel throws away; what
//! is dropped all the same is printed, from the kernel's own count. A figure counts only if the agent publishes exactly the sum of
//! what was not dropped. `a core` is one over the processor time of the receiving thread for a line: what one core takes when the
//! sender has others.

mod flood;
mod lines;
mod meters;

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use backlot_benches::house::AnyError;
use backlot_benches::statistics::median;
use backlot_spectator::registry::{Limits, Moment, Registry};
use clap::Parser;

use lines::{Case, Door};

/// Measures the telemetry agent.
#[derive(Parser)]
struct Arguments {
    /// Fewer lines and runs: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Only the parts whose name has this in it: `meters`, `memory`, `distinct ids`, or a row of the agent's table.
    #[arg(long, value_name = "PART", default_value = "")]
    only: String,
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
    let is_wanted = |name: &str| name.contains(&arguments.only);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load when it began: {}", load.split_whitespace().next().unwrap_or("?"));
    if is_wanted("meters") {
        meters::print(arguments.quick, runs);
    }
    if is_wanted("memory") {
        from_memory(arguments.quick, runs)?;
    }
    let case = |name, door, lines, datagrams, target| Case { name, door, lines, datagrams, target };
    let cases = [
        case("UDP, one line a datagram", Door::Udp, 1, datagrams, "600 k"),
        case("UDP, one line, sent in segments", Door::UdpSegments, 1, 2 * datagrams, "600 k"),
        case("UDP, 32 lines a datagram", Door::Udp, 32, datagrams / 4, "1.5 M/core"),
        case("UDP, 32 lines, sent in segments", Door::UdpSegments, 32, datagrams / 4, "1.5 M/core"),
        case("unix socket, one line a datagram", Door::Unix, 1, datagrams, ""),
        case("unix socket, 32 lines a datagram", Door::Unix, 32, datagrams / 4, "1.5 M/core"),
    ];
    if cases.iter().any(|case| is_wanted(case.name)) {
        lines::print_head();
    }
    for case in cases.iter().filter(|case| is_wanted(case.name)) {
        lines::print(case, runs).await?;
    }
    if is_wanted("distinct ids") {
        flood::print(if arguments.quick { 200_000 } else { 5_000_000 }).await?;
    }
    Ok(())
}

/// Lines from memory into the registry, on one core.
fn from_memory(quick: bool, runs: usize) -> Result<(), AnyError> {
    let rounds = if quick { 10 } else { 500 };
    let payloads = lines::payloads(32);
    let mut rates = Vec::new();
    for _ in 0..runs {
        let mut registry = Registry::new(Limits::default());
        let began = Instant::now();
        for _ in 0..rounds {
            for payload in &payloads {
                registry.record_lines(payload, Moment::default(), |_, _| {});
            }
        }
        let sent = rounds * payloads.len() * 32;
        rates.push(sent as f64 / began.elapsed().as_secs_f64());
        let mut out = Vec::new();
        registry.flush(Moment::default(), &mut out);
        lines::check(&out, sent as u64)?;
    }
    println!("\n{:42} {:>10.0}", "lines/s from memory into the registry", median(&rates));
    Ok(())
}
