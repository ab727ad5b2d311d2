//! The metrics store under load, killed again and again: nothing that was acknowledged is lost, nothing is there that was never
//! sent. Now and then the log's end is torn besides, as when a machine loses power: then a last part may be missing, and only that.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backlot_atlas::{Aggregate, DataExpr, Database};
use backlot_series::{Grid, Query};
use backlot_telemetry::store::{Options, Store};
use serde_json::json;

use crate::house::AnyError;
use crate::telemetry::client::Client;
use crate::telemetry::server::Server;

const STEP: i64 = 1000;
/// Connections that write at once.
const WRITERS: usize = 2;
/// Series of a batch.
const SERIES: usize = 50;
const HOT: i64 = 60 * STEP;

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// How often the server was killed.
    pub kills: usize,
    /// Batches that were acknowledged.
    pub acknowledged: i64,
    /// Batches that were there though no answer had come.
    pub unanswered: i64,
    /// Acknowledged batches that tearing the log's end cost.
    pub torn: i64,
    /// The longest time to be ready again.
    pub slowest_start: Duration,
}

/// Kills a server of ours under load.
///
/// # Errors
/// An acknowledged batch that is missing, a value that was never sent, a server that does not start again.
pub fn run(kills: usize, seed: u64) -> Result<Report, AnyError> {
    let home = tempfile::tempdir()?;
    let mut random = fastrand::Rng::with_seed(seed);
    let settings =
        json!({ "step": "1s", "hot": "1m", "sync_interval": "100ms", "checkpoint_interval": "1s" });
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    // A day of steps before now is more than all writers get through.
    let base = (now / STEP - 86_400) * STEP;
    let mut report = Report::default();
    let taken: Vec<AtomicI64> = (0..WRITERS).map(|_| AtomicI64::new(0)).collect();
    for kill in 0..kills {
        let began = Instant::now();
        let server = Server::ours(home.path(), &settings)?;
        report.slowest_start = report.slowest_start.max(began.elapsed());
        let before: i64 = taken.iter().map(|taken| taken.load(Ordering::SeqCst)).sum();
        let is_over = AtomicBool::new(false);
        let port = server.port;
        std::thread::scope(|scope| {
            for (writer, taken) in taken.iter().enumerate() {
                let is_over = &is_over;
                scope.spawn(move || {
                    // It ends with the server.
                    drop(write(port, writer, base, taken, is_over));
                });
            }
            std::thread::sleep(Duration::from_millis(random.u64(50..700)));
            is_over.store(true, Ordering::SeqCst);
            server.kill()
        })?;
        report.kills += 1;
        let sum: i64 = taken.iter().map(|taken| taken.load(Ordering::SeqCst)).sum();
        report.acknowledged += sum - before;
        let directory = home.path().join("telemetry/series");
        let is_torn = kill % 5 == 4;
        tear(&directory, if is_torn { Some(random.u64(1..2000)) } else { None })?;
        for (writer, taken) in taken.iter().enumerate() {
            let known = taken.load(Ordering::SeqCst);
            let found = check(&directory, writer, base, known, now)?;
            if found < known && !is_torn {
                return Err(format!(
                    "kill {kill}: writer {writer} was told that {known} batches are taken, {found} are there"
                )
                .into());
            }
            report.unanswered += (found - known).max(0);
            report.torn += (known - found).max(0);
            taken.store(found, Ordering::SeqCst);
        }
    }
    Ok(report)
}

fn write(
    port: u16,
    writer: usize,
    base: i64,
    taken: &AtomicI64,
    is_over: &AtomicBool,
) -> Result<(), AnyError> {
    let mut client = Client::new(port)?;
    while !is_over.load(Ordering::SeqCst) {
        let batch = taken.load(Ordering::SeqCst) + 1;
        let time = base + batch * STEP;
        let body: String = (0..SERIES)
            .map(|series| format!("killed{{writer=\"{writer}\",series=\"{series}\"}} {batch} {time}\n"))
            .collect();
        match client.post("/prometheus/api/v1/import/prometheus", "", body.as_bytes())? {
            204 => taken.store(batch, Ordering::SeqCst),
            status => return Err(format!("{status} {}", client.text()).into()),
        }
    }
    Ok(())
}

/// Writes rubbish behind the log's end, or cuts so many bytes off.
fn tear(directory: &Path, cut: Option<u64>) -> Result<(), AnyError> {
    let mut logs: Vec<_> = fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log-")))
        .collect();
    logs.sort();
    let Some(newest) = logs.last() else { return Ok(()) };
    let mut file = OpenOptions::new().append(true).open(newest)?;
    match cut {
        Some(bytes) => file.set_len(file.metadata()?.len().saturating_sub(bytes))?,
        None => file.write_all(&[0x5a; 300])?,
    }
    Ok(())
}

/// How many batches of a writer are there, each whole and none missing in between.
fn check(directory: &Path, writer: usize, base: i64, known: i64, now: i64) -> Result<i64, AnyError> {
    let options =
        Options { step: STEP, hot: HOT, directory: Some(directory.to_owned()), ..Options::default() };
    let store = Store::open(options, now)?;
    let query = Query::equal("writer", writer.to_string());
    let len = usize::try_from(known + 2)?;
    let lines = store.lines(&DataExpr::new(query, Aggregate::All), Grid::new(base + STEP, STEP, len))?;
    let mut found = None;
    for line in &lines {
        let there = line.values.iter().take_while(|value| !value.is_nan()).count();
        let is_right = |(at, value): (usize, &f64)| *value == (at + 1) as f64;
        if !line.values.iter().take(there).enumerate().all(is_right) {
            return Err(format!("writer {writer}: {} has a value that was never sent", line.tags).into());
        }
        if line.values[there..].iter().any(|value| !value.is_nan()) {
            return Err(format!("writer {writer}: {} has a gap after batch {there}", line.tags).into());
        }
        if *found.get_or_insert(there) != there {
            return Err(format!("writer {writer}: a batch is there in parts, after batch {there}").into());
        }
    }
    if found.is_some() && lines.len() != SERIES {
        return Err(format!("writer {writer}: {} series of {SERIES}", lines.len()).into());
    }
    Ok(found.unwrap_or(0) as i64)
}
