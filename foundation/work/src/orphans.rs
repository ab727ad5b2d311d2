//! What dead workers leave behind on their machine: child processes and scratch directories.
//!
//! A killed worker cannot end its children, and whoever takes its tasks may run them again at once, beside the old
//! ones. So at the start of a worker, and whenever a lease has run out, the workers of a machine look for processes that
//! carry the mark of a worker of this ledger which is alive no more, and end them. Nothing is remembered for this: what is
//! there to be seen in `/proc` and in the scratch directory is what there is to clear, however its worker was lost.
//!
//! A worker that lost its lease while its process lives (it was stopped, or starved) clears up itself when it notices.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use backlot_ledger::params;
use rustix::process::{Pid, Signal, kill_process};

use crate::error::Result;
use crate::host::Host;
use crate::process::WORKER_VARIABLE;
use crate::work::Work;

/// Looks for children at most so often: one that forks while it is being killed leaves another.
const ROUNDS: usize = 5;

/// Ends the children of dead workers of this machine and removes their directories under `scratch`.
pub(crate) async fn clear(work: &Work, scratch: &Path) -> Result<()> {
    let mut directories: BTreeSet<i64> = directories(scratch);
    for _ in 0..ROUNDS {
        let children = children(work.ledger_mark());
        let seen = children.keys().chain(&directories).copied().collect();
        let dead = dead_among(work, seen).await?;
        for worker in directories.intersection(&dead) {
            let _ = std::fs::remove_dir_all(scratch.join(format!("worker-{worker}"))); // only costs space
        }
        directories.clear();
        let orphans: Vec<i32> =
            dead.iter().filter_map(|worker| children.get(worker)).flatten().copied().collect();
        if orphans.is_empty() {
            return Ok(());
        }
        tracing::info!(processes = orphans.len(), "ending what dead workers had left running");
        for pid in orphans.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL); // it may have ended by itself
        }
    }
    Ok(())
}

/// Workers of this machine that are not alive and whose process is gone.
async fn dead_among(work: &Work, workers: BTreeSet<i64>) -> Result<BTreeSet<i64>> {
    if workers.is_empty() {
        return Ok(BTreeSet::new());
    }
    let host = Host::current().id.clone();
    work.ledger()
        .read(move |tx| {
            let mut dead = BTreeSet::new();
            for worker in workers {
                let row = tx.query_opt(
                    "SELECT pid, process_start FROM work_workers WHERE id = $1 AND host = $2 AND state <> 'alive'",
                    params![worker, host.as_str()],
                )?;
                if let Some(row) = row
                    && !Host::process_lives(row.get(0)?, row.get(1)?)
                {
                    dead.insert(worker);
                }
            }
            Ok(dead)
        })
        .await
}

/// Processes that workers of the ledger with this mark have started, by worker.
fn children(mark: &str) -> BTreeMap<i64, Vec<i32>> {
    let prefix = format!("{WORKER_VARIABLE}={mark}-");
    let mut found: BTreeMap<i64, Vec<i32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(pid) = pid else { continue };
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        let worker = environment
            .split(|&byte| byte == 0)
            .find_map(|variable| variable.strip_prefix(prefix.as_bytes()))
            .and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
        if let Some(worker) = worker {
            found.entry(worker).or_default().push(pid);
        }
    }
    found
}

/// Workers that have a directory under `scratch`.
fn directories(scratch: &Path) -> BTreeSet<i64> {
    let entries = std::fs::read_dir(scratch).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("worker-")?.parse().ok()).collect()
}
