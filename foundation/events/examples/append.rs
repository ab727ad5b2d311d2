//! Measures appending: `cargo run --release -p backlot-events --example append [directory]`.
//!
//! 15,000 events in one transaction, then read back, on a SQLite file in `directory` (default: the current one) and on a
//! private PostgreSQL server when one is installed. The best of five rounds.

use std::error::Error;
use std::time::{Duration, Instant};

use backlot_events::{Events, NewEvent, Query};
use backlot_ledger::Ledger;
use backlot_ledger::testing::Postgres;
use serde_json::json;

const EVENTS: u64 = 15_000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).map_or_else(std::env::current_dir, |d| Ok(d.into()))?;
    let directory = tempfile::tempdir_in(directory)?;
    println!("{:<10} {:>14} {:>12} {:>14}", "backend", "append 15,000", "events/s", "read 10,000");
    measure("sqlite", &format!("sqlite://{}/ledger.db", directory.path().display()))?;
    if let Some(server) = Postgres::start() {
        measure("postgres", &server.url("bench"))?;
    }
    Ok(())
}

fn measure(name: &str, url: &str) -> Result<(), Box<dyn Error>> {
    let events = Events::open(&Ledger::open(url)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (mut append, mut read) = (Duration::MAX, Duration::MAX);
    for round in 0..5 {
        let batch: Vec<NewEvent> = (0..EVENTS)
            .map(|n| {
                NewEvent::new("/backlot/work", "task.finished")
                    .subject(format!("run/{round}/step/{n}"))
                    .data(json!({"state": "done", "attempt": 1, "seconds": 0.25}))
            })
            .collect();
        let started = Instant::now();
        runtime.block_on(events.publish(&batch))?;
        append = append.min(started.elapsed());
        let started = Instant::now();
        let query = Query { after: round * EVENTS, limit: 10_000, ..Query::default() };
        assert_eq!(runtime.block_on(events.read(query))?.len(), 10_000);
        read = read.min(started.elapsed());
    }
    println!("{name:<10} {append:>14.1?} {:>12.0} {read:>14.1?}", EVENTS as f64 / append.as_secs_f64());
    Ok(())
}
