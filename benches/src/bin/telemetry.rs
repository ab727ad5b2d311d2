//! The metrics store beside VictoriaMetrics: the same samples into both in one run, answers compared first, then the times.
//!
//! | table | what is timed |
//! |---|---|
//! | ingest | bodies of one step and some thousand series by four connections, until the last is acknowledged; series are known; one server at a time, and it may end what it put off before the next run |
//! | queries | one HTTP request for three hours of ten thousand series |
//! | disk | what real machines measure, after both servers have ended |
//! | restart | opening a store of ten million samples, after a kill and after an orderly end |
//!
//! `--kills 50` kills our server under load so many times instead, and reads what is left.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backlot_atlas::{Database, parse_one};
use backlot_benches::house::AnyError;
use backlot_benches::statistics::median;
use backlot_benches::telemetry::client::Client;
use backlot_benches::telemetry::samples::{self, Form, METRIC, METRIC_UNDERLINED, Template};
use backlot_benches::telemetry::server::{CHILD, PEER, Server, bytes_below, serve};
use backlot_benches::telemetry::{kills, node};
use backlot_series::Grid;
use backlot_telemetry::store::{Effect, Options, Sample, Store};
use clap::Parser;
use serde_json::{Value, json};

/// Measures the metrics store.
#[derive(Parser)]
struct Arguments {
    /// Fewer series and runs: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Only these tables: ingest, queries, disk, restart.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A folder of exporters' texts, one a scrape, for the table of bytes; scraped now without it.
    #[arg(long, value_name = "DIRECTORY")]
    recorded: Option<PathBuf>,
    /// Kills our server under load so many times.
    #[arg(long, value_name = "TIMES")]
    kills: Option<usize>,
    /// Decides when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is to be reached.
mod target {
    pub(super) const INGEST: f64 = 3.0;
    pub(super) const SUM_MS: f64 = 5.0;
    pub(super) const SUM: f64 = 10.0;
    pub(super) const BYTES: f64 = 2.0;
}

const STEP: i64 = 60_000;
/// Three hours of minutes: what one run sends, and what a query reads.
const STEPS: usize = 180;
/// Runs of ingesting in each form.
const RUNS: usize = 5;
/// The steps that queries read.
const LAST: std::ops::RangeInclusive<usize> = (RUNS - 1) * STEPS + 1..=RUNS * STEPS;
/// As many as vmagent has for two processors.
const CONNECTIONS: usize = 4;

fn main() -> ExitCode {
    let mut raw = std::env::args().skip(1);
    let outcome = match (raw.next().as_deref(), raw.next(), raw.next()) {
        (Some(CHILD), Some(home), Some(settings)) => serve(&home, &settings),
        _ => run(&Arguments::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("telemetry: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), AnyError> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load when it began: {}", load.split_whitespace().next().unwrap_or("?"));
    if let Some(times) = arguments.kills {
        let report = kills::run(times, arguments.seed)?;
        println!(
            "{} kills: {} batches acknowledged, none of them lost; {} more were there; torn ends of logs cost {} batches; ready again after at most {:.2} s",
            report.kills,
            report.acknowledged,
            report.unanswered,
            report.torn,
            report.slowest_start.as_secs_f64()
        );
        return Ok(());
    }
    let wanted = |table: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == table);
    let bench = Bench::new(arguments.quick)?;
    if !bench.has_peer {
        println!("SKIPPED: no {PEER} here; apt-get install {PEER}");
    }
    if wanted("ingest") || wanted("queries") {
        bench.ingest_and_queries(wanted("queries"))?;
    }
    if wanted("disk") {
        bench.disk(arguments)?;
    }
    if wanted("restart") {
        restart(if arguments.quick { 100_000 } else { 10_000_000 })?;
    }
    Ok(())
}

struct Bench {
    series: usize,
    has_peer: bool,
    /// The end of the step before the first.
    base: i64,
}

/// What ingesting in one form came to.
struct Ingested {
    rate: f64,
    /// Seconds of processor time for a million samples, with what was put off.
    cpu: f64,
    bytes: f64,
}

impl Bench {
    fn new(quick: bool) -> Result<Self, AnyError> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        let folder = tempfile::tempdir()?;
        let has_peer = Server::peer(folder.path())?.is_some();
        Ok(Self {
            series: if quick { 400 } else { 10_000 },
            has_peer,
            base: now / STEP * STEP - (RUNS * STEPS) as i64 * STEP,
        })
    }

    fn time(&self, step: usize) -> i64 {
        self.base + step as i64 * STEP
    }

    fn ingest_and_queries(&self, with_queries: bool) -> Result<(), AnyError> {
        println!(
            "\n{:44} {:>12} {:>10} {:>10} {:>8}   {} series, {RUNS} runs of {STEPS} steps",
            "ingest, medians", "samples/s", "CPU s/M", "bytes", "target", self.series
        );
        let settings = json!({ "max_age": "1d", "time_zone": "UTC" });
        // Only what queries want goes on while others are measured.
        let (mut peer, mut best) = (None, 0.0f64);
        if self.has_peer {
            for form in [Form::Text, Form::Influx, Form::JsonLines, Form::RemoteWrite] {
                let folder = tempfile::tempdir()?;
                let server = Server::peer(folder.path())?.ok_or("the peer has gone")?;
                let (path, headers) = form.peers().ok_or("no path")?;
                let ingested = self.ingest(&server, form, path, headers)?;
                self.peer_has(&server)?;
                println!("{:44} {}", format!("VictoriaMetrics: {}", form.name()), ingested);
                best = best.max(ingested.rate);
                if form == Form::Text {
                    peer = Some((server, folder));
                }
            }
        }
        let mut ours = None;
        for form in [Form::Publish, Form::Compact, Form::Update, Form::RemoteWrite, Form::Text] {
            let home = tempfile::tempdir()?;
            let server = Server::ours(home.path(), &settings)?;
            let (path, headers) = form.ours().ok_or("no path")?;
            let ingested = self.ingest(&server, form, path, headers)?;
            if form == Form::Update {
                self.ours_added(&server)?;
            } else {
                self.ours_has(&server, form)?;
            }
            let ratio = if best > 0.0 { format!("{:.1} x", ingested.rate / best) } else { String::new() };
            println!(
                "{:44} {} {:>8.0} x   {ratio}",
                format!("ours: {}", form.name()),
                ingested,
                target::INGEST
            );
            if form == Form::Text {
                ours = Some((server, home));
            }
        }
        match &ours {
            Some((ours, _)) if with_queries => self.queries(ours, peer.as_ref().map(|(server, _)| server)),
            _ => Ok(()),
        }
    }

    /// Sends the steps run by run, after one step that is not timed, for it makes the series. Bodies are made before.
    fn ingest(&self, server: &Server, form: Form, path: &str, headers: &str) -> Result<Ingested, AnyError> {
        let share = self.series / CONNECTIONS;
        let templates: Vec<Template> = (0..CONNECTIONS)
            .map(|number| Template::new(form, number * share..(number + 1) * share))
            .collect();
        let bodies = |steps: std::ops::RangeInclusive<usize>| -> Vec<Vec<Vec<u8>>> {
            let of = |template: &Template| -> Vec<Vec<u8>> {
                steps.clone().map(|step| template.body(step, self.time(step))).collect()
            };
            templates.iter().map(of).collect()
        };
        send(server, path, headers, &bodies(1..=1))?;
        let (mut rates, mut cpus, mut bytes) = (Vec::new(), Vec::new(), 0);
        for run in 0..RUNS {
            let steps = (run * STEPS + 1).max(2)..=(run + 1) * STEPS;
            let samples = (steps.clone().count() * self.series) as f64;
            let bodies = bodies(steps);
            bytes += bodies.iter().flatten().map(Vec::len).sum::<usize>();
            let cpu = server.cpu()?;
            let began = Instant::now();
            send(server, path, headers, &bodies)?;
            rates.push(samples / began.elapsed().as_secs_f64());
            cpus.push((server.rested()? - cpu) / samples * 1e6);
        }
        let samples = (RUNS * STEPS - 1) * self.series;
        Ok(Ingested { rate: median(&rates), cpu: median(&cpus), bytes: bytes as f64 / samples as f64 })
    }

    /// Waits until the peer shows what was sent, which takes it a second or two.
    fn peer_has(&self, server: &Server) -> Result<(), AnyError> {
        let mut client = Client::new(server.port)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            client.post("/internal/force_flush", "", b"")?;
            let answer = |client: &mut Client, steps| {
                let query = self.peers_query(&format!("sum({METRIC_UNDERLINED})"), steps);
                peers_values(client.get(&query)?)
            };
            match self.compare(|steps| answer(&mut client, steps)) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(format!("{PEER}: {error}").into()),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn ours_has(&self, server: &Server, form: Form) -> Result<(), AnyError> {
        let metric = if matches!(form, Form::Publish | Form::Compact) { METRIC } else { METRIC_UNDERLINED };
        let mut client = Client::new(server.port)?;
        let expression = format!("name,{metric},:eq,:sum");
        self.compare(|steps| ours_values(client.get(&self.ours_query(&expression, steps))?))
            .map_err(|error| format!("{}: {error}", form.name()).into())
    }

    /// Updates have no time: all counts are in the last minutes, as rates.
    fn ours_added(&self, server: &Server) -> Result<(), AnyError> {
        let path = format!("/atlas/api/v1/graph?q=name,{METRIC},:eq,:sum&s=e-10m&e=now%2B1m&format=std.json");
        let sums = ours_values(Client::new(server.port)?.get(&path)?)?;
        let found: f64 = sums.iter().filter(|sum| !sum.is_nan()).sum::<f64>() * (STEP / 1000) as f64;
        let sent: f64 = (1..=RUNS * STEPS).map(|step| samples::sum(self.series, step)).sum();
        // Rates are sums of quotients.
        if (found - sent).abs() <= sent * 1e-9 {
            Ok(())
        } else {
            Err(format!("updates: {found} of {sent}").into())
        }
    }

    /// Holds the sums of all steps, asked for run by run, against those that were sent.
    fn compare(
        &self,
        mut sums: impl FnMut(std::ops::RangeInclusive<usize>) -> Result<Vec<f64>, AnyError>,
    ) -> Result<(), AnyError> {
        for run in 0..RUNS {
            let steps = run * STEPS + 1..=(run + 1) * STEPS;
            let expected: Vec<f64> = steps.clone().map(|step| samples::sum(self.series, step)).collect();
            let sums = sums(steps)?;
            if sums != expected {
                let right = sums.iter().zip(&expected).filter(|(sum, expected)| sum == expected).count();
                let (of, came) = (expected.len(), sums.len());
                return Err(format!("run {run}: {right} of {of} sums are right, {came} came").into());
            }
        }
        Ok(())
    }

    fn ours_query(&self, expression: &str, steps: std::ops::RangeInclusive<usize>) -> String {
        let (start, end) = (self.time(steps.start() - 1), self.time(*steps.end()));
        format!("/atlas/api/v1/graph?q={expression}&s={start}&e={end}&step=1m&tz=UTC&format=std.json")
    }

    fn peers_query(&self, expression: &str, steps: std::ops::RangeInclusive<usize>) -> String {
        let (start, end) = (self.time(*steps.start()) / 1000, self.time(*steps.end()) / 1000);
        format!("/api/v1/query_range?query={expression}&start={start}&end={end}&step=60&nocache=1")
    }

    fn queries(&self, ours: &Server, peer: Option<&Server>) -> Result<(), AnyError> {
        println!(
            "\n{:44} {:>10} {:>18} {:>10}",
            "queries, medians in ms", "ours", "VictoriaMetrics", "ratio"
        );
        let name = format!("name,{METRIC_UNDERLINED},:eq");
        let cases = [
            ("sum", format!("{name},:sum"), format!("sum({METRIC_UNDERLINED})")),
            ("sum by app", format!("{name},:sum,(,app,),:by"), format!("sum({METRIC_UNDERLINED})by(app)")),
            (
                "sum of a third",
                format!("{name},zone,us-east-1a,:eq,:and,:sum"),
                format!("sum({METRIC_UNDERLINED}%7Bzone=%22us-east-1a%22%7D)"),
            ),
            ("max", format!("{name},:max"), format!("max({METRIC_UNDERLINED})")),
        ];
        for (name, ours_text, peers_text) in cases {
            let (path, times) = (self.ours_query(&ours_text, LAST), if self.series < 1000 { 3 } else { 15 });
            let (our_time, our_answer) = timed(ours.port, &path, times)?;
            let mut line = format!("{name:44} {our_time:>10.2}");
            if let Some(peer) = peer {
                let (peer_time, peer_answer) = timed(peer.port, &self.peers_query(&peers_text, LAST), times)?;
                let sum = |values: Vec<f64>| values.iter().filter(|value| !value.is_nan()).sum::<f64>();
                let (one, other) = (sum(ours_values(&our_answer)?), sum(peers_values(&peer_answer)?));
                if one != other {
                    return Err(format!("{name}: ours is {one}, the peer's is {other}").into());
                }
                line.push_str(&format!(" {peer_time:>18.2} {:>8.1} x", peer_time / our_time));
            }
            if name == "sum" {
                line.push_str(&format!("   target: < {:.0} ms, {:.0} x", target::SUM_MS, target::SUM));
            }
            println!("{line}");
        }
        Ok(())
    }

    fn disk(&self, arguments: &Arguments) -> Result<(), AnyError> {
        let (texts, origin) = match &arguments.recorded {
            Some(folder) => (node::recorded(folder)?, "recorded".to_owned()),
            None => {
                let (times, between) = if arguments.quick {
                    (20, Duration::from_millis(20))
                } else {
                    (240, Duration::from_millis(150))
                };
                match node::scraped(times, between)? {
                    Some(texts) => (texts, format!("scraped every {} ms", between.as_millis())),
                    None => {
                        println!("SKIPPED: no {} here; apt-get install {}", node::EXPORTER, node::EXPORTER);
                        return Ok(());
                    }
                }
            }
        };
        let step = 15_000;
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())? / step * step;
        let first = now - texts.len() as i64 * step;
        let bodies = texts.iter().enumerate().map(|(at, text)| node::timed(text, first + at as i64 * step));
        let bodies: Vec<(String, usize)> = bodies.collect();
        let samples: usize = bodies.iter().map(|(_, count)| count).sum();
        println!(
            "\n{:44} {:>14} {:>10}   {samples} samples of {}, {} scrapes {origin}",
            "disk",
            "bytes",
            "a sample",
            node::EXPORTER,
            texts.len()
        );
        let home = tempfile::tempdir()?;
        let server = Server::ours(home.path(), &json!({ "step": "15s" }))?;
        let mut client = Client::new(server.port)?;
        for (body, _) in &bodies {
            if client.post("/prometheus/api/v1/import/prometheus", "", body.as_bytes())? != 204 {
                return Err(client.text().into());
            }
        }
        server.stop()?;
        let told = |name: &str, bytes: u64, target: &str| {
            println!("{name:44} {bytes:>14} {:>10.2}   {target}", bytes as f64 / samples as f64);
        };
        let ours = bytes_below(home.path(), "segment-");
        told("ours, tags with it", ours, &format!("target: at most {:.0}", target::BYTES));
        if self.has_peer {
            let folder = tempfile::tempdir()?;
            let server = Server::peer(folder.path())?.ok_or("the peer has gone")?;
            let mut client = Client::new(server.port)?;
            for (body, _) in &bodies {
                client.post("/api/v1/import/prometheus", "", body.as_bytes())?;
            }
            server.stop()?;
            told("VictoriaMetrics: data", bytes_below(folder.path(), "/data/"), "");
            told("VictoriaMetrics: data and index", bytes_below(folder.path(), ""), "");
        }
        Ok(())
    }
}

impl std::fmt::Display for Ingested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>12.0} {:>10.2} {:>10.1}", self.rate, self.cpu, self.bytes)
    }
}

/// Sends the bodies of each connection one after the other, all connections at once.
fn send(server: &Server, path: &str, headers: &str, bodies: &[Vec<Vec<u8>>]) -> Result<(), AnyError> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = bodies
            .iter()
            .map(|bodies| {
                scope.spawn(move || {
                    let mut client = Client::new(server.port)?;
                    for body in bodies {
                        let status = client.post(path, headers, body)?;
                        if !(200..300).contains(&status) || status == 202 {
                            return Err(format!("POST {path}: {status} {}", client.text()).into());
                        }
                    }
                    Ok::<(), AnyError>(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a sender panicked")?)
    })
}

/// The median time of a request in milliseconds, and the answer.
fn timed(port: u16, path: &str, times: usize) -> Result<(f64, Vec<u8>), AnyError> {
    let mut client = Client::new(port)?;
    let mut answer = client.get(path)?.to_vec();
    let mut took = Vec::new();
    for _ in 0..times {
        let began = Instant::now();
        let now = client.get(path)?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        answer = now.to_vec();
    }
    Ok((median(&took), answer))
}

fn ours_values(body: &[u8]) -> Result<Vec<f64>, AnyError> {
    let graph: Value = serde_json::from_slice(body)?;
    let rows = graph["values"].as_array().ok_or("no values")?;
    let cells = rows.iter().flat_map(|row| row.as_array().into_iter().flatten());
    Ok(cells.map(|cell| cell.as_f64().unwrap_or(f64::NAN)).collect())
}

fn peers_values(body: &[u8]) -> Result<Vec<f64>, AnyError> {
    let answer: Value = serde_json::from_slice(body)?;
    let results = answer["data"]["result"].as_array().ok_or("no result")?;
    let points = results.iter().flat_map(|result| result["values"].as_array().into_iter().flatten());
    Ok(points
        .map(|point| point[1].as_str().and_then(|value| value.parse().ok()).unwrap_or(f64::NAN))
        .collect())
}

/// The time to open a store of so many samples.
fn restart(samples: usize) -> Result<(), AnyError> {
    println!("\n{:44} {:>10} {:>14}   {samples} samples", "restart", "seconds", "bytes read");
    let home = tempfile::tempdir()?;
    let series = (samples / 1000).max(1);
    let steps = samples / series;
    let options = || Options {
        directory: Some(home.path().to_owned()),
        hot: steps as i64 * STEP,
        ..Options::default()
    };
    let now = steps as i64 * STEP;
    let store = Store::open(options(), now)?;
    let names: Vec<_> = (0..series).map(samples::tags).collect();
    for step in 1..=steps {
        let mut batch = store.batch();
        for (number, tags) in names.iter().enumerate() {
            let pairs: Vec<(&str, &str)> = [("app", 0), ("cluster", 1)]
                .iter()
                .map(|&(key, at)| (key, &*tags[at].1))
                .chain([("name", METRIC)])
                .chain([("node", &*tags[2].1), ("status", &*tags[3].1), ("zone", &*tags[4].1)])
                .collect();
            let value = f64::from(samples::value(number, step));
            batch.write(&pairs, step as i64 * STEP, Sample::Value(Effect::Set, value));
        }
        batch.commit()?;
    }
    store.sync()?;
    let open = |name: &str, store: Store| -> Result<Store, AnyError> {
        drop(store);
        let bytes = bytes_below(home.path(), "");
        let began = Instant::now();
        let store = Store::open(options(), now)?;
        println!("{name:44} {:>10.2} {bytes:>14}", began.elapsed().as_secs_f64());
        let styled = parse_one(&format!("name,{METRIC},:eq,:sum"))?;
        let data = styled.expr.data()[0].clone();
        let lines = store.lines(&data, Grid::new(STEP, STEP, steps))?;
        let expected: Vec<f64> = (1..=steps).map(|step| samples::sum(series, step)).collect();
        if lines.first().is_none_or(|line| line.values != expected) {
            return Err("what was read is not what was written".into());
        }
        Ok(store)
    };
    let store = open("after a kill: the log is played again", store)?;
    store.checkpoint(now)?;
    open("after an orderly end: segments are read", store).map(drop)
}
