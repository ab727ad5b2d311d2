//! Opens steps: decides their conditions, fetches their lists, and lays down their tasks chunk by chunk.
//!
//! One opener runs at a time in a process; several processes may open the same step, and the number of tasks laid
//! down so far, kept in the step's row, makes that harmless.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backlot_ledger::params;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::kind::BlobRef;
use crate::plan::Plan;
use crate::transition::finish::StepEnd;
use crate::transition::open::{CHUNK, Laid, NewTask};
use crate::work::Work;

/// The largest list that a map may run over when it comes as a blob: it is parsed in memory.
const MAX_LIST: u64 = 256 << 20;

/// Steps opened before the opener looks at the ledger again.
const PAGE: i64 = 256;

/// Keeps the process to one opener.
#[derive(Default)]
pub(crate) struct OpenerState {
    running: AtomicBool,
    again: AtomicBool,
}

/// Starts the opener, or tells the running one that there is more.
pub(crate) fn start(work: &Work) {
    work.opener().again.store(true, Ordering::SeqCst);
    if work.opener().running.swap(true, Ordering::SeqCst) {
        return;
    }
    let work = work.clone();
    tokio::spawn(async move {
        loop {
            while work.opener().again.swap(false, Ordering::SeqCst) {
                if let Err(error) = open_all(&work).await {
                    tracing::warn!(%error, "cannot open steps; the next sweep tries again");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            work.opener().running.store(false, Ordering::SeqCst);
            // Somebody may have asked between the last look and the store; then this opener goes on.
            if !work.opener().again.load(Ordering::SeqCst)
                || work.opener().running.swap(true, Ordering::SeqCst)
            {
                return;
            }
        }
    });
}

async fn open_all(work: &Work) -> Result<()> {
    loop {
        let steps = work
            .ledger()
            .read(|tx| -> Result<Vec<(i64, usize)>> {
                let rows = tx.query(
                    "SELECT run, step FROM work_steps WHERE state = 'opening' ORDER BY run, step LIMIT $1",
                    params![PAGE],
                )?;
                rows.iter().map(|row| Ok((row.get(0)?, row.get::<i64>(1)? as usize))).collect()
            })
            .await?;
        if steps.is_empty() {
            return Ok(());
        }
        for (run, step) in steps {
            open_step(work, run, step).await?;
        }
    }
}

async fn open_step(work: &Work, run: i64, step: usize) -> Result<()> {
    let reader = work.clone();
    let opened = work
        .ledger()
        .read(move |tx| -> Result<(Arc<Plan>, i64, Result<Option<Value>>)> {
            let plan = reader.plans().get(tx, run)?;
            let row = tx.query_one("SELECT generation FROM work_runs WHERE id = $1", params![run])?;
            let generation = row.get(0)?;
            let list = reader.inputs().open(tx, &plan, step, generation);
            Ok((plan, generation, list))
        })
        .await?;
    let (plan, generation, list) = opened;
    let list = match list {
        Ok(Some(list)) => list,
        Ok(None) => return close(work, plan, step, StepEnd::Skipped { after_failure: false }, None).await,
        Err(Error::Reference(error)) => return close(work, plan, step, StepEnd::Failed, Some(error.0)).await,
        Err(error) => return Err(error),
    };
    if plan.spec.steps[step].map.is_none() {
        return lay_down(work, &plan, step, generation, None).await;
    }
    match items_of(work, list).await {
        Ok(items) => lay_down(work, &plan, step, generation, Some(items)).await,
        Err(ListError::NotAList(why)) => close(work, plan, step, StepEnd::Failed, Some(why)).await,
        Err(ListError::Store(error)) => Err(error.into()),
    }
}

enum ListError {
    NotAList(String),
    Store(backlot_store::Error),
}

async fn items_of(work: &Work, list: Value) -> std::result::Result<Vec<Value>, ListError> {
    let not_a_list = |what: &str| ListError::NotAList(format!("`map.over` is {what}, not a list"));
    let list = match BlobRef::from_value(&list) {
        Some(blob) if blob.size > MAX_LIST => {
            return Err(ListError::NotAList(format!(
                "`map.over` is a list of {} bytes, more than {MAX_LIST}; map over parts of it",
                blob.size
            )));
        }
        Some(blob) => {
            let bytes = work.store().get(&blob.digest, MAX_LIST).await.map_err(ListError::Store)?;
            serde_json::from_slice(&bytes).map_err(|_| not_a_list("a blob that holds no JSON"))?
        }
        None => list,
    };
    match list {
        Value::Array(items) => Ok(items),
        Value::Null => Err(not_a_list("null")),
        Value::Object(_) => Err(not_a_list("an object")),
        other => Err(not_a_list(&format!("`{other}`"))),
    }
}

async fn close(work: &Work, plan: Arc<Plan>, step: usize, end: StepEnd, error: Option<String>) -> Result<()> {
    work.transition(move |transition| transition.close_opening(&plan, step, end, error.as_deref())).await
}

async fn lay_down(
    work: &Work,
    plan: &Arc<Plan>,
    step: usize,
    generation: i64,
    items: Option<Vec<Value>>,
) -> Result<()> {
    let total = items.as_ref().map_or(1, Vec::len);
    let items = Arc::new(items);
    let mut from = 0;
    loop {
        let chunk = from..(from + CHUNK).min(total).max(from);
        let (work_in, plan_in, items_in) = (work.clone(), plan.clone(), items.clone());
        let laid = work
            .transition(move |transition| {
                let mut tasks = Vec::with_capacity(chunk.len());
                for index in chunk {
                    let item = items_in.as_ref().as_ref().map(|items| &items[index]);
                    let keys = match work_in.inputs().keys(
                        transition.tx,
                        &plan_in,
                        step,
                        generation,
                        item,
                        index as i64,
                    ) {
                        Ok(keys) => keys,
                        Err(Error::Reference(error)) => {
                            transition.close_opening(&plan_in, step, StepEnd::Failed, Some(&error.0))?;
                            return Ok(Laid::Over);
                        }
                        Err(error) => return Err(error),
                    };
                    tasks.push(NewTask { item: item.map(Value::to_string), keys });
                }
                transition.lay_down(&plan_in, step, total, from, &tasks)
            })
            .await?;
        match laid {
            Laid::UpTo(done) => from = done,
            Laid::Over => return Ok(()),
        }
    }
}
