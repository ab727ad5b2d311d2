//! A hundred thousand alert expressions against a million values within one step of five seconds.
//!
//! A whole server: rules are made through its API, values are published through its door, and what fires is read from
//! Alertmanager's interface. Half of the rules are a sum over a threshold; the others group, roll, smooth and join, as people's do.
//! Before any figure counts, the alerts must be exactly those that were worked out beforehand, and no value may have been dropped.
//!
//! Printed for each step: how long the publishing took, how long the evaluator took for all expressions once the step had closed,
//! how long after the step's end all its alerts were there, and the processor time of the whole.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use backlot_benches::house::AnyError;
use backlot_benches::statistics::median;
use backlot_department::{Config, Department, House, shell_part};
use backlot_ledger::Ledger;
use backlot_store::Store;
use backlot_telemetry::Telemetry;
use backlot_web::testing::Server;
use backlot_web::{Shell, Tokens, WebConfig};
use clap::Parser;
use serde_json::{Value, json};

/// Measures the streaming evaluation of alerts.
#[derive(Parser)]
struct Arguments {
    /// A hundredth of everything: shows that it works, not how fast it is.
    #[arg(long)]
    quick: bool,
}

/// The step.
const STEP: i64 = 5000;

/// After its end.
const GRACE: i64 = 500;

/// Values of one body.
const BODY: usize = 10_000;

/// Of so many rules one fires.
const ONE_IN: usize = 200;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("alerts: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The expression of a rule: its metric has two hosts in each of five clusters.
fn expression(number: usize) -> String {
    let query = format!("name,metric.{number},:eq,nf.app,app{},:eq,:and", number % 100);
    match number % 10 {
        0..5 => format!("{query},:sum,1000,:gt"),
        5 => format!("{query},(,nf.cluster,),:by,200,:gt"),
        6 => format!("{query},:sum,1000,:gt,2,:rolling-count,1,:ge"),
        7 => format!("{query},:sum,:dup,10,0.1,0.02,:des,0,:mul,:add,1000,:gt"),
        8 => format!("{query},:max,100,:gt,{query},:count,9,:gt,:and"),
        _ => format!("{query},:avg,:dup,3,:rolling-max,100,:clamp-max,:ge,{query},:max,100,:gt,:and"),
    }
}

/// The values of one step as bodies: ten series for each rule's metric. The metrics of those that fire are ten times as large.
fn bodies(rules: usize, at: i64) -> Vec<String> {
    let mut all = Vec::new();
    let mut body = String::new();
    let mut count = 0;
    for host in 0..10 {
        for number in 0..rules {
            let value = if number % ONE_IN == 0 { 500 + number % 7 } else { 5 + number % 7 };
            body.push_str(if count == 0 {
                "{\"tags\":{\"atlas.dstype\":\"gauge\"},\"metrics\":["
            } else {
                ","
            });
            body.push_str(&format!(
                "{{\"tags\":{{\"name\":\"metric.{number}\",\"nf.app\":\"app{}\",\"nf.cluster\":\"c{}\",\"nf.node\":\"i-{host}\"}},\"timestamp\":{at},\"value\":{value}}}",
                number % 100,
                host / 2
            ));
            count += 1;
            if count == BODY {
                body.push_str("]}");
                all.push(std::mem::take(&mut body));
                count = 0;
            }
        }
    }
    if count > 0 {
        body.push_str("]}");
        all.push(body);
    }
    all
}

fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    // utime and stime, in ticks of 10 ms.
    (ticks(11) + ticks(12)) / 100.0
}

struct Served {
    house: House,
    server: Server,
    _departments: [Box<dyn Department>; 1],
}

async fn serve(home: &std::path::Path) -> Result<Served, AnyError> {
    let departments: [Box<dyn Department>; 1] = [Box::<Telemetry>::default()];
    let ledger = Ledger::open(&format!("sqlite://{}/ledger.db", home.display()))?;
    let store = Store::open(&format!("file://{}/blobs", home.display()))?;
    let settings = json!({ "telemetry": { "step": "5s", "max_series": 2_000_000, "alerts": { "grace": format!("{GRACE}ms") } } });
    let sections = settings.as_object().cloned().unwrap_or_default();
    let house = House::open(home, Config::new(sections), store, ledger, &departments)?;
    house.start(&departments).await?;
    house.serve(&departments).await?;
    let mut web = WebConfig::new(Tokens::open(home)?);
    web.bind = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let shell = Shell::builder(web).department(shell_part(&*departments[0], &house)).build()?;
    let server = Server::start(shell).await?;
    Ok(Served { house, server, _departments: departments })
}

impl Served {
    fn now(&self) -> i64 {
        self.house.ledger.now().micros().div_euclid(1000)
    }

    async fn post(&self, path: &str, body: &str) -> Result<(), AnyError> {
        let answer =
            self.server.send(&format!("POST {path}"), &[("content-type", "application/json")], body).await;
        if matches!(answer.status, 200..300) {
            return Ok(());
        }
        Err(format!("{path}: {} {}", answer.status, answer.text()).into())
    }

    async fn evaluation(&self) -> Value {
        let answer = self.server.get("/telemetry/api/v1/rules?limit=1", &[]).await;
        answer.json()["evaluation"].clone()
    }

    /// Waits until a step has closed; gives what was said of it.
    async fn closed(&self, end: i64) -> Value {
        loop {
            let evaluation = self.evaluation().await;
            if evaluation["closed"].as_i64().is_some_and(|closed| closed >= end) {
                return evaluation;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn firing(&self) -> usize {
        let answer = self.server.get("/alertmanager/api/v2/alerts", &[]).await;
        answer.json().as_array().map_or(0, Vec::len)
    }
}

/// The number of alerts that should fire: one for each rule whose metric is large, five where they are grouped by cluster.
fn expected(rules: usize) -> usize {
    (0..rules).filter(|number| number % ONE_IN == 0).map(|number| if number % 10 == 5 { 5 } else { 1 }).sum()
}

async fn run(arguments: &Arguments) -> Result<(), AnyError> {
    let (rules, steps) = if arguments.quick { (1000, 3) } else { (100_000, 5) };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load when it began: {}", load.split_whitespace().next().unwrap_or("?"));
    let home = tempfile::tempdir()?;
    let served = serve(home.path()).await?;
    let begun = Instant::now();
    let all: Vec<Value> = (0..rules)
        .map(|number| json!({ "name": format!("rule {number}"), "expression": expression(number) }))
        .collect();
    for part in all.chunks(BODY) {
        served.post("/telemetry/api/v1/rules", &serde_json::to_string(part)?).await?;
    }
    println!("{rules} rules made in {:.1} s", begun.elapsed().as_secs_f64());
    let mut figures: Vec<[f64; 4]> = Vec::new();
    println!(
        "{:>5} {:>14} {:>14} {:>16} {:>14}",
        "step", "published in", "evaluated in", "alerts there in", "processor"
    );
    // The first steps bring the series and the rules' first look at the store; they are not counted.
    for round in 0..steps + 2 {
        let now = served.now();
        let begin = now - now.rem_euclid(STEP) + STEP;
        let end = begin + STEP;
        let bodies = bodies(rules, begin + 1);
        while served.now() < begin + 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let before = processor_seconds();
        let began = Instant::now();
        for body in &bodies {
            served.post("/atlas/api/v1/publish", body).await?;
        }
        let published = began.elapsed().as_secs_f64();
        let evaluation = served.closed(end).await;
        while served.firing().await < expected(rules) && served.now() < end + 10 * STEP {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let there = (served.now() - end) as f64 / 1000.0;
        let took = evaluation["took_ms"].as_f64().unwrap_or(f64::NAN) / 1000.0;
        let processor = processor_seconds() - before;
        println!("{round:>5} {published:>12.2} s {took:>12.2} s {there:>14.2} s {processor:>12.2} s");
        if round >= 2 {
            figures.push([published, took, there, processor]);
        }
    }
    let evaluation = served.evaluation().await;
    let firing = served.firing().await;
    let lost = ["dropped", "refused", "errors"].map(|what| evaluation[what].as_u64().unwrap_or(u64::MAX));
    let late = evaluation["late"].as_u64().unwrap_or(u64::MAX);
    if firing != expected(rules) || lost != [0; 3] {
        return Err(format!(
            "{firing} alerts, not {}; dropped, refused, errors {lost:?}, late {late}",
            expected(rules)
        )
        .into());
    }
    let of = |at: usize| median(&figures.iter().map(|figure| figure[at]).collect::<Vec<_>>());
    println!(
        "\n{rules} expressions, {} values a step of {} s: published in {:.2} s, evaluated in {:.2} s, {firing} alerts there {:.2} s after the step's end ({late} values late)",
        rules * 10,
        STEP / 1000,
        of(0),
        of(1),
        of(2)
    );
    let within = of(0).max(of(1)) < STEP as f64 / 1000.0;
    println!("within one step: {}", if within { "yes" } else { "NO" });
    if within { Ok(()) } else { Err("slower than the data comes".into()) }
}
