//! One transaction of a worker's loop: the results, lines and progress that have gathered, what is due, and new claims.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backlot_ledger::{Timestamp, Tx, Value as Sql, params};

use crate::error::{Error, Result};
use crate::hub::Gathered;
use crate::transition::claim::{Claimed, Room};
use crate::transition::finish::{Finished, Outcome};
use crate::transition::{Effects, Transition};

/// What one transaction of the loop is to do.
pub(crate) struct Turn {
    pub(crate) finished: Vec<Finished>,
    pub(crate) resubmitted: bool,
    pub(crate) gathered: Arc<Gathered>,
    pub(crate) sweep: bool,
    pub(crate) renew: bool,
    /// What the worker holds besides `finished`, when that is to be compared with the ledger.
    pub(crate) held: Option<BTreeSet<i64>>,
    pub(crate) room: Option<Room>,
}

/// What it did.
pub(crate) struct Turned {
    pub(crate) claimed: Vec<Claimed>,
    pub(crate) more: bool,
    pub(crate) effects: Effects,
    pub(crate) late: usize,
    /// Other workers whose leases had run out.
    pub(crate) lost: usize,
    pub(crate) next_backoff: Option<Timestamp>,
}

pub(crate) fn tasks_to_stop(tx: &mut Tx<'_>, worker: i64) -> Result<Vec<i64>> {
    let cancelling =
        tx.query_opt("SELECT 1 FROM work_runs WHERE state = 'cancelling' AND finished IS NULL LIMIT 1", &[])?;
    if cancelling.is_none() {
        return Ok(Vec::new());
    }
    let rows = tx.query(
        "SELECT t.id FROM work_tasks t JOIN work_runs r ON r.id = t.run \
         WHERE t.state = 'running' AND t.worker = $1 AND r.state = 'cancelling'",
        params![worker],
    )?;
    rows.iter().map(|row| Ok(row.get(0)?)).collect()
}

/// The body of the loop's transaction.
pub(crate) fn take_turn(
    transition: &mut Transition<'_, '_>,
    worker: i64,
    lease: Duration,
    turn: &Turn,
) -> Result<Turned> {
    // Nothing is done under a lease that others have ended: neither results nor claims.
    let alive = transition
        .tx
        .query_opt("SELECT 1 FROM work_workers WHERE id = $1 AND state = 'alive'", params![worker])?;
    if alive.is_none() {
        return Err(Error::LeaseLost);
    }
    if turn.renew {
        let until = transition.now.checked_add(lease);
        transition
            .tx
            .execute("UPDATE work_workers SET alive_until = $2 WHERE id = $1", params![worker, until])?;
    }
    write_gathered(transition, &turn.gathered)?;
    let late = if turn.finished.is_empty() {
        0
    } else {
        transition.finish(worker, turn.finished.clone(), turn.resubmitted)?
    };
    if let Some(held) = &turn.held {
        transition.return_unheld(worker, held)?;
    }
    let mut next_backoff = None;
    let lost = if turn.sweep { transition.sweep(worker)? } else { 0 };
    if turn.sweep || turn.finished.iter().any(|finished| matches!(finished.outcome, Outcome::Failed { .. })) {
        next_backoff = transition.next_backoff()?;
    }
    let (claimed, more) = match &turn.room {
        Some(room) => transition.claim(worker, room.clone())?,
        None => (Vec::new(), false),
    };
    Ok(Turned { claimed, more, effects: Effects::default(), late, lost, next_backoff })
}

fn write_gathered(transition: &mut Transition<'_, '_>, gathered: &Gathered) -> Result<()> {
    if gathered.is_empty() {
        return Ok(());
    }
    let now = transition.now;
    let chunks: Vec<Vec<Sql>> = gathered
        .chunks
        .iter()
        .map(|chunk| {
            vec![
                chunk.task.into(),
                chunk.attempt.into(),
                chunk.seq.into(),
                now.into(),
                chunk.text.as_str().into(),
            ]
        })
        .collect();
    transition.tx.execute_many(
        "INSERT INTO work_logs (task, attempt, seq, at, text) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        &chunks,
    )?;
    let drops: Vec<Vec<Sql>> = gathered
        .drops
        .iter()
        .map(|drop| vec![drop.task.into(), drop.attempt.into(), drop.seq.into()])
        .collect();
    transition
        .tx
        .execute_many("DELETE FROM work_logs WHERE task = $1 AND attempt = $2 AND seq = $3", &drops)?;
    let progress: Vec<Vec<Sql>> = gathered
        .progress
        .iter()
        .map(|progress| {
            vec![
                progress.task.into(),
                progress.attempt.into(),
                progress.fraction.into(),
                progress.message.as_str().into(),
            ]
        })
        .collect();
    transition.tx.execute_many(
        "UPDATE work_tasks SET progress = $3, message = $4 WHERE id = $1 AND attempt = $2 AND state = 'running'",
        &progress,
    )?;
    Ok(())
}
