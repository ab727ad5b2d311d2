//! Workers that lose their lease, or their memory of what they hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backlot_ledger::params;
use backlot_work::{Kinds, Outputs, RunSpec, RunState, StepSpec, TaskError, TaskState, Worker};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::house::{House, until};

async fn sql(house: &House, sql: &'static str, worker: i64) {
    let changed = house.work.ledger().write(move |tx| tx.execute(sql, params![worker])).await.unwrap();
    assert_eq!(changed, 1);
}

/// A worker that was given up for dead takes the same task again under its new number, while its first execution of it
/// is still ending. What the first execution reports must not be taken for the second's result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_from_before_the_lease_was_lost_does_not_end_the_task() {
    let house = House::new();
    let (slow_stop, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let started = Arc::new(AtomicU64::new(0));
    let kinds = house.kinds.clone().with_fn("stubborn", 1, {
        let (slow_stop, gate, started) = (slow_stop.clone(), gate.clone(), started.clone());
        move |task| {
            let (slow_stop, gate, started) = (slow_stop.clone(), gate.clone(), started.clone());
            async move {
                let is_first = started.fetch_add(1, Ordering::SeqCst) == 0;
                if is_first {
                    task.cancelled().await;
                    slow_stop.acquire().await.unwrap().forget();
                    return Err(TaskError::Stopped);
                }
                gate.acquire().await.unwrap().forget();
                Outputs::new().value("attempt", task.attempt())
            }
        }
    });
    let worker = Worker::start(&house.work, kinds, house.options()).await.unwrap();
    let run = house.submit_unchecked(RunSpec::new("x").step(StepSpec::new("a", "stubborn", json!(1)))).await;
    until("the first start", || async { (started.load(Ordering::SeqCst) == 1).then_some(()) }).await;

    sql(&house, "UPDATE work_workers SET alive_until = 0 WHERE id = $1", worker.id()).await;
    // Another worker, which cannot run the task itself, sweeps when it starts.
    let sweeper = Worker::start(&house.work, Kinds::new(), house.options()).await.unwrap();
    until("the second start", || async { (started.load(Ordering::SeqCst) == 2).then_some(()) }).await;
    slow_stop.add_permits(1);
    // A whole run after it: the first execution's report has been seen by then.
    let other = house.submit(RunSpec::new("y").step(StepSpec::new("b", "echo", json!(2)))).await;
    assert_eq!(house.end(&other).await.state, RunState::Succeeded);
    assert_eq!(house.work.run(&run).await.unwrap().state, RunState::Running);
    gate.add_permits(1);
    assert_eq!(house.end(&run).await.state, RunState::Succeeded);
    assert_eq!(started.load(Ordering::SeqCst), 2);
    worker.stop().await;
    sweeper.stop().await;
}

/// A claim whose commit went through unheard (the database's answer was lost) leaves a task in the hands of a worker that
/// does not know of it. The worker gives it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_the_worker_never_heard_of_is_given_back() {
    let house = House::new();
    let run = house.submit(RunSpec::new("x").step(StepSpec::new("a", "echo", json!(1)))).await;
    let mut options = house.options();
    options.lease = std::time::Duration::from_millis(600);
    let forgetful = Worker::start(&house.work, Kinds::new(), options).await.unwrap();
    sql(
        &house,
        "UPDATE work_tasks SET state = 'running', attempt = attempt + 1, worker = $1 WHERE state = 'ready'",
        forgetful.id(),
    )
    .await;
    until("the task to be ready again", || async {
        (house.tasks(&run).await[0].state == TaskState::Ready).then_some(())
    })
    .await;
    let worker = house.worker().await;
    assert_eq!(house.end(&run).await.state, RunState::Succeeded);
    assert_eq!(house.ran(), 1);
    forgetful.stop().await;
    worker.stop().await;
}
