//! Measures the ledger: `cargo run --release -p backlot-ledger --features testing --example throughput [directory]`.
//!
//! Small writes from 64 concurrent tasks (group commit, every one durable before it is answered), one caller's commit
//! latency, and `execute_many` of 15,000 rows, on a SQLite file in `directory` (default: the current one) and on a
//! private PostgreSQL server when one is installed.

use std::error::Error;
use std::time::{Duration, Instant};

use backlot_ledger::testing::Postgres;
use backlot_ledger::{Ledger, Migration, Value, params};

type AnyError = Box<dyn Error>;

const TASKS: usize = 64;
const RUN: Duration = Duration::from_secs(3);
const ROWS: i64 = 15_000;
const TABLES: &[Migration] = &[Migration {
    version: 1,
    name: "bench",
    sql: "CREATE TABLE bench (id {identity}, worker BIGINT NOT NULL, note TEXT NOT NULL);
          CREATE TABLE bulk (id BIGINT NOT NULL, name TEXT NOT NULL, size BIGINT NOT NULL);",
}];

fn main() -> Result<(), AnyError> {
    let directory = std::env::args().nth(1).map_or_else(std::env::current_dir, |d| Ok(d.into()))?;
    let directory = tempfile::tempdir_in(directory)?;
    println!(
        "{:<10} {:>12} {:>14} {:>14} {:>16} {:>14}",
        "backend", "writes/s", "mean batch", "latency p50", "latency p99", "15,000 rows"
    );
    measure("sqlite", &format!("sqlite://{}/ledger.db", directory.path().display()))?;
    if let Some(server) = Postgres::start() {
        measure("postgres", &server.url("bench"))?;
    }
    Ok(())
}

fn measure(name: &str, url: &str) -> Result<(), AnyError> {
    let ledger = Ledger::open(url)?;
    ledger.migrate("bench", TABLES)?;
    let runtime = tokio::runtime::Runtime::new()?;

    let before = ledger.stats();
    let started = Instant::now();
    let mut latencies = runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS as i64)
            .map(|worker| tokio::spawn(write_for(ledger.clone(), worker, started + RUN)))
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await??);
        }
        Ok::<_, AnyError>(latencies)
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let after = ledger.stats();
    latencies.sort();
    let batch = (after.committed - before.committed) as f64 / (after.commits - before.commits) as f64;
    let percentile = |p: f64| latencies[(p * (latencies.len() - 1) as f64) as usize];

    let mut best = Duration::MAX;
    for round in 0..5 {
        let rows: Vec<Vec<Value>> =
            (0..ROWS).map(|i| params![round * ROWS + i, format!("row {i}"), i * 7].to_vec()).collect();
        let started = Instant::now();
        ledger.write_blocking(move |tx| {
            tx.execute_many("INSERT INTO bulk (id, name, size) VALUES ($1, $2, $3)", &rows)
        })?;
        best = best.min(started.elapsed());
    }
    println!(
        "{name:<10} {:>12.0} {batch:>14.1} {:>14.2?} {:>16.2?} {best:>14.1?}",
        latencies.len() as f64 / seconds,
        percentile(0.5),
        percentile(0.99),
    );
    Ok(())
}

/// Inserts one row after the other until `end`; each one's time to its durable answer.
async fn write_for(
    ledger: Ledger,
    worker: i64,
    end: Instant,
) -> Result<Vec<Duration>, backlot_ledger::Error> {
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let started = Instant::now();
        ledger
            .write(move |tx| {
                tx.execute(
                    "INSERT INTO bench (worker, note) VALUES ($1, $2)",
                    params![worker, "a small note"],
                )
            })
            .await?;
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}
