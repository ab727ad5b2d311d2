//! The cases of the suite.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_spectator::testing::{Aggregator, lines};
use backlot_spectator::{Agent, AgentConfig, AgentHandle, HttpPublisher, HttpTarget};

use crate::clients::{self, Missing};
use crate::expected;

/// How long a condition may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a case has not passed.
enum Ended {
    Failed(String),
    Skipped(Missing),
}

impl<E: std::error::Error> From<E> for Ended {
    fn from(error: E) -> Self {
        Ended::Failed(error.to_string())
    }
}

type Case = Result<usize, Ended>;

pub(crate) async fn run() -> ExitCode {
    let mut tally = Tally::default();
    tally.count("netflix-spectator-py 1.2.1, UDP", python_lines(Door::Udp, 0).await);
    tally.count("netflix-spectator-py 1.2.1, UDP, buffer of 2 KB", python_lines(Door::Udp, 2048).await);
    tally.count("netflix-spectator-py 1.2.1, unix socket", python_lines(Door::Unix, 0).await);
    tally.count(
        "netflix-spectator-py 1.2.1, unix socket, buffer of 2 KB",
        python_lines(Door::Unix, 2048).await,
    );
    tally.count("netflix-spectator-py 0.1.18, HTTP", python_payload());
    tally.count("nflx-spectator 1.0.0 (npm), HTTP", node_payload());
    tally.count("hot-shots 17.1.1 (npm), DogStatsD", hot_shots().await);
    tally.count("an agent in a process of its own, ended by SIGTERM", terminated());
    tally.finish()
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    fn count(&mut self, name: &str, case: Case) {
        match case {
            Ok(values) => {
                self.passed += 1;
                println!("ok       {name}: {values} values as worked out by hand");
            }
            Err(Ended::Failed(reason)) => {
                self.failed += 1;
                println!("FAILED   {name}: {reason}");
            }
            Err(Ended::Skipped(missing)) if env::var("BACKLOT_REQUIRE_ALL").is_ok_and(|all| all == "1") => {
                self.failed += 1;
                println!("FAILED   {name}: {missing}");
            }
            Err(Ended::Skipped(missing)) => {
                self.skipped += 1;
                println!("skipped: {name}: {missing}");
            }
        }
    }

    fn finish(&self) -> ExitCode {
        println!("\n{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// How lines come in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Udp,
    Unix,
}

/// An agent on ports of the system's choice, which publishes when it is told to.
async fn agent(aggregator: &Aggregator, folder: &tempfile::TempDir) -> Result<AgentHandle, Ended> {
    let mut config = AgentConfig::default();
    let any = Some(([127, 0, 0, 1], 0).into());
    (config.lines, config.statsd, config.admin) = (any, any, any);
    config.unix = Some(folder.path().join("agent.unix"));
    config.frequency = Duration::from_hours(1);
    Ok(Agent::start(config, Arc::new(HttpPublisher::new(HttpTarget::new(aggregator.uri())))).await?)
}

async fn python_lines(door: Door, buffer: usize) -> Case {
    let mut python = clients::python("requirements-1.txt").map_err(Ended::Skipped)?;
    let (aggregator, folder) = (Aggregator::start()?, tempfile::tempdir()?);
    let agent = agent(&aggregator, &folder).await?;
    let addresses = agent.addresses().clone();
    let location = match door {
        Door::Udp => {
            format!("udp://{}", addresses.lines.map(|address| address.to_string()).unwrap_or_default())
        }
        Door::Unix => format!("unix://{}", addresses.unix.unwrap_or_default().display()),
    };
    python.arg(clients::scripts().join("lines.py")).arg(location).arg(buffer.to_string());
    let mut client = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let first = interval(&mut client, &agent, &aggregator, 21).await?;
    let second = interval(&mut client, &agent, &aggregator, 24).await?;
    agent.stop().await;
    let ended = client.wait()?;
    if !ended.success() {
        return Err(Ended::Failed(format!("the client {ended}")));
    }
    let ages = [age(&first, "A.now")?, age(&first, "A.set")?];
    if !(0.0..PATIENCE.as_secs_f64()).contains(&ages[0]) || ages[1] < 6e8 {
        return Err(Ended::Failed(format!("ages {ages:?}")));
    }
    let is_told = |line: &String| !line.starts_with("A.") && !line.starts_with("spectator");
    let told = |lines: Vec<String>| lines.into_iter().filter(is_told).collect::<Vec<_>>();
    let checked =
        compare(&told(first), expected::LINES_FIRST)? + compare(&told(second), expected::LINES_SECOND)?;
    Ok(checked + ages.len())
}

/// Waits until the client has written an interval and the agent has seen it (`lines` in all); gives what is published.
async fn interval(
    client: &mut Child,
    agent: &AgentHandle,
    aggregator: &Aggregator,
    lines_seen: u64,
) -> Result<Vec<String>, Ended> {
    let (Some(stdout), Some(stdin)) = (&mut client.stdout, &mut client.stdin) else {
        return Err(Ended::Failed("the client has no pipes".to_owned()));
    };
    // One word for an interval, so that the reader takes no more than it.
    let mut word = String::new();
    BufReader::with_capacity(1, stdout).read_line(&mut word)?;
    if word.trim() != "written" {
        return Err(Ended::Failed(format!("the client said `{}`", word.trim())));
    }
    until("the agent has seen all lines", || agent.tally().parsed >= lines_seen).await?;
    let tally = agent.tally();
    if tally.refused > 0 || tally.trailing > 0 || tally.parsed != lines_seen {
        return Err(Ended::Failed(format!("{tally:?}")));
    }
    agent.flush().await;
    stdin.write_all(b"\n")?;
    Ok(lines(&aggregator.take()))
}

fn age(lines: &[String], name: &str) -> Result<f64, Ended> {
    let found = lines.iter().find_map(|line| {
        line.strip_prefix(name)?.strip_prefix(",platform=python,statistic=gauge Max ")?.parse().ok()
    });
    found.ok_or_else(|| Ended::Failed(format!("{name} has no age")))
}

fn python_payload() -> Case {
    let mut python = clients::python("requirements-0.txt").map_err(Ended::Skipped)?;
    python.arg(clients::scripts().join("payload.py"));
    posted(&mut python, "application/json", expected::PAYLOAD_PYTHON)
}

fn node_payload() -> Case {
    let mut node = clients::node().map_err(Ended::Skipped)?;
    node.arg(clients::scripts().join("payload.js"));
    posted(&mut node, "application/json", expected::PAYLOAD_NODE)
}

/// Runs a client that posts by itself, and reads its payloads.
fn posted(client: &mut Command, content_type: &str, expected: &[&str]) -> Case {
    let aggregator = Aggregator::start()?;
    let ended = client.arg(aggregator.uri()).stdin(Stdio::null()).status()?;
    if !ended.success() {
        return Err(Ended::Failed(format!("the client {ended}")));
    }
    let received = aggregator.take();
    for one in &received {
        let stated = one.headers.get("content-type").map_or("", String::as_str);
        if !stated.starts_with(content_type) || one.payload.is_err() {
            return Err(Ended::Failed(format!("a payload of {stated}: {:?}", one.payload.as_ref().err())));
        }
    }
    let told =
        lines(&received).into_iter().filter(|line| !line.starts_with("spectator.")).collect::<Vec<_>>();
    compare(&told, expected)
}

async fn hot_shots() -> Case {
    let mut node = clients::node().map_err(Ended::Skipped)?;
    let (aggregator, folder) = (Aggregator::start()?, tempfile::tempdir()?);
    let agent = agent(&aggregator, &folder).await?;
    let port = agent.addresses().statsd.map_or(0, |address| address.port());
    node.arg(clients::scripts().join("statsd.js")).arg(port.to_string());
    let ended = node.stdin(Stdio::null()).status()?;
    if !ended.success() {
        return Err(Ended::Failed(format!("the client {ended}")));
    }
    until("the agent has seen all lines", || agent.tally().parsed >= 13).await?;
    let tally = agent.tally();
    // What falls, the set, the event and the check.
    if tally.refused > 0 || tally.ignored != 4 {
        return Err(Ended::Failed(format!("{tally:?}")));
    }
    agent.stop().await;
    let told = lines(&aggregator.take())
        .into_iter()
        .filter(|line| !line.starts_with("spectator"))
        .collect::<Vec<_>>();
    compare(&told, expected::STATSD)
}

/// An agent as users run it: told to end, it publishes what it holds.
fn terminated() -> Case {
    let aggregator = Aggregator::start()?;
    // A port that was free a moment ago; the system chooses another each time.
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let arguments = [
        "agent".to_owned(),
        format!("--port={port}"),
        "--admin-port=0".to_owned(),
        format!("--uri={}", aggregator.uri()),
        "--frequency=1h".to_owned(),
        "--common-tags=nf.app=www".to_owned(),
    ];
    let mut agent = Command::new(env::current_exe()?).args(arguments).spawn()?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(("127.0.0.1", port))?;
    let deadline = Instant::now() + PATIENCE;
    // A datagram to a port that nobody has is refused, which the next one is told.
    let mut sent = 0;
    while sent < 2 {
        sent = if client.send(b"g:n:1").is_ok() { sent + 1 } else { 0 };
        if Instant::now() > deadline {
            agent.kill()?;
            return Err(Ended::Failed("the agent does not listen".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    for _ in 0..1000 {
        client.send(b"c:n:1\nd:n:2")?;
    }
    let terminated = Command::new("kill").arg("-TERM").arg(agent.id().to_string()).status()?;
    let ended = agent.wait()?;
    if !terminated.success() || !ended.success() {
        return Err(Ended::Failed(format!("the agent {ended}")));
    }
    let told = lines(&aggregator.take())
        .into_iter()
        .filter(|line| !line.starts_with("spectator"))
        .collect::<Vec<_>>();
    let expected = [
        "n,nf.app=www,statistic=count Add 1000",
        "n,nf.app=www,statistic=count Add 1000",
        "n,nf.app=www,statistic=gauge Max 1",
        "n,nf.app=www,statistic=max Max 2",
        "n,nf.app=www,statistic=totalAmount Add 2000",
        "n,nf.app=www,statistic=totalOfSquares Add 4000",
    ];
    compare(&told, &expected)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) -> Result<(), Ended> {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > deadline {
            return Err(Ended::Failed(format!("waited in vain until {what}")));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// How many values there are, if all are as expected; else the first that are not.
fn compare(found: &[String], expected: &[&str]) -> Case {
    let missing: Vec<_> = expected.iter().filter(|line| !found.iter().any(|found| found == *line)).collect();
    let unexpected: Vec<_> = found.iter().filter(|line| !expected.contains(&line.as_str())).collect();
    if missing.is_empty() && unexpected.is_empty() && found.len() == expected.len() {
        Ok(found.len())
    } else {
        Err(Ended::Failed(format!("missing {missing:#?}, instead {unexpected:#?}")))
    }
}
