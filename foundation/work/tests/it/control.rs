//! Retries, timeouts, cancel, pause, resume, retry, lost workers, logs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use backlot_ledger::params;
use backlot_work::{RunSpec, RunState, TaskState};
use serde_json::json;

use crate::house::{House, until, until_state};

fn toml(text: &str) -> RunSpec {
    RunSpec::from_toml(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_retried_as_often_as_the_step_says() {
    let house = House::new();
    let retry = "retry={max=3,backoff='5ms',jitter=0.0}";
    let (run, status) = house
        .play(toml(&format!("name='x'\n[[step]]\nname='a'\nkind='fail'\ninput={{until=3}}\n{retry}")))
        .await;
    assert_eq!(status.state, RunState::Succeeded);
    let task = &house.tasks(&run).await[0];
    assert_eq!((task.attempt, task.failures, house.ran()), (3, 2, 3));

    let (run, status) =
        house.play(toml(&format!("name='x'\n[[step]]\nname='a'\nkind='fail'\ninput={{n=1}}\n{retry}"))).await;
    assert_eq!((status.state, house.tasks(&run).await[0].attempt), (RunState::Failed, 4));
    let (run, status) = house
        .play(toml(&format!("name='x'\n[[step]]\nname='a'\nkind='fail'\ninput={{how='permanent'}}\n{retry}")))
        .await;
    assert_eq!((status.state, house.tasks(&run).await[0].attempt), (RunState::Failed, 1));
    let (run, status) = house
        .play(toml(&format!("name='x'\n[[step]]\nname='a'\nkind='fail'\ninput={{how='panic'}}\n{retry}")))
        .await;
    assert_eq!((status.state, house.tasks(&run).await[0].attempt), (RunState::Failed, 1));
    assert!(status.error.unwrap().contains("panicked, a defect of the kind: ouch"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_ends_an_attempt_and_a_deadline_the_run() {
    let house = House::new();
    let (_, status) = house.play(toml("name='x'\n[[step]]\nname='a'\nkind='gate'\ntimeout='50ms'")).await;
    assert_eq!(status.state, RunState::Failed);
    assert_eq!(
        status.error.as_deref(),
        Some("step `a`: did not end within its timeout of 0.05 s; raise `timeout`")
    );
    let (run, status) = house.play(toml("name='x'\ndeadline='100ms'\n[[step]]\nname='a'\nkind='gate'")).await;
    assert_eq!(
        (status.state, status.error.as_deref()),
        (RunState::Cancelled, Some("the run's deadline passed"))
    );
    assert_eq!(house.tasks(&run).await[0].state, TaskState::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_ends_what_runs_and_drops_what_waits() {
    let house = House::new();
    let worker = house.worker().await;
    let run = house
        .submit(toml("name='x'\n[[step]]\nname='m'\nkind='gate'\nmap={over=[1,2,3,4,5,6,7,8]}\n[[step]]\nname='b'\nkind='echo'\nafter=['m']"))
        .await;
    house.until_at_gate(4).await;
    house.work.cancel(&run, "test", Some("enough")).await.unwrap();
    let status = house.end(&run).await;
    assert_eq!((status.state, status.tasks.cancelled), (RunState::Cancelled, 8));
    assert_eq!(status.error.as_deref(), Some("enough"));
    assert_eq!(house.at_gate.load(Ordering::SeqCst), 0);
    assert_eq!(house.work.cancel(&run, "test", None).await.unwrap(), RunState::Cancelled);

    // A cancelled run can be taken up again.
    house.gate.add_permits(8);
    assert_eq!(house.work.retry(&run, None, "test").await.unwrap(), RunState::Running);
    let status = house.end(&run).await;
    assert_eq!((status.state, status.tasks.succeeded), (RunState::Succeeded, 9));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_lets_nothing_start_until_resume() {
    let house = House::new();
    let worker = house.worker().await;
    let run = house
        .submit(toml("name='x'\n[[step]]\nname='m'\nkind='gate'\nmap={over=[1,2,3,4],concurrency=1}"))
        .await;
    house.until_at_gate(1).await;
    house.work.pause(&run, "test").await.unwrap();
    house.gate.add_permits(1);
    until("the running task to end", || async {
        (house.work.run(&run).await.unwrap().tasks.succeeded == 1).then_some(())
    })
    .await;
    // A second run passes by: the worker is free, and still nothing of the paused run starts.
    let other = house.submit(toml("name='y'\n[[step]]\nname='a'\nkind='echo'")).await;
    house.end(&other).await;
    assert_eq!(house.at_gate.load(Ordering::SeqCst), 0);
    assert_eq!(house.work.run(&run).await.unwrap().state, RunState::Paused);
    house.gate.add_permits(3);
    house.work.resume(&run, "test").await.unwrap();
    assert_eq!(house.end(&run).await.state, RunState::Succeeded);
    assert!(house.work.resume(&run, "test").await.unwrap_err().to_string().contains("only a paused run"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_runs_only_what_did_not_succeed() {
    let house = House::new();
    // The item fails in its first attempt and succeeds later, as a mended machine would let it.
    let text = "name='x'\ncache=false\n[[step]]\nname='a'\nkind='echo'\n[[step]]\nname='m'\nkind='fail'\nafter=['a']\n\
                map={over=[{until=1},{until=2},{until=1}],concurrency=2}\nkeep_going=true\ninput='${item}'\n\
                [[step]]\nname='z'\nkind='echo'\ninput='${steps.m.attempt}'";
    let (run, status) = house.play(toml(text)).await;
    assert_eq!((status.state, house.ran()), (RunState::Failed, 4));
    let worker = house.worker().await;
    house.work.retry(&run, None, "test").await.unwrap();
    let status = house.end(&run).await;
    assert_eq!((status.state, house.ran()), (RunState::Succeeded, 6), "{status:?}");
    assert_eq!(house.work.outputs(&run, "z").await.unwrap(), json!({"out": [1, 2, 1]}));
    // From a step: it and everything after it, nothing before it.
    house.work.retry(&run, Some("m"), "test").await.unwrap();
    let status = house.end(&run).await;
    assert_eq!((status.state, house.ran()), (RunState::Failed, 9), "a fresh first attempt fails again");
    house.work.retry(&run, None, "test").await.unwrap();
    assert_eq!(house.end(&run).await.state, RunState::Succeeded);
    assert!(
        house.work.retry(&run, Some("q"), "test").await.unwrap_err().to_string().contains("has no step `q`")
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_worker_loses_its_tasks_and_its_late_result_is_refused() {
    let house = House::new();
    let silent = house.worker().await;
    let run = house.submit(toml("name='x'\n[[step]]\nname='a'\nkind='gate'")).await;
    house.until_at_gate(1).await;
    // Its lease is made to be over, as if it had been stopped for long.
    let id = silent.id();
    house
        .work
        .ledger()
        .write(move |tx| -> Result<u64, backlot_ledger::Error> {
            tx.execute("UPDATE work_workers SET alive_until = 1 WHERE id = $1", params![id])
        })
        .await
        .unwrap();
    let heir = house.worker().await;
    until("a second attempt", || async { (house.tasks(&run).await[0].attempt >= 2).then_some(()) }).await;
    house.gate.add_permits(2);
    let status = house.end(&run).await;
    assert_eq!((status.state, status.tasks.succeeded), (RunState::Succeeded, 1));
    let task = &house.tasks(&run).await[0];
    assert_eq!(task.failures, 0);
    silent.stop().await;
    heir.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_a_worker_gives_its_tasks_back() {
    let house = House::new();
    let worker = house.worker().await;
    let run = house.submit(toml("name='x'\n[[step]]\nname='m'\nkind='gate'\nmap={over=[1,2,3,4,5,6]}")).await;
    house.until_at_gate(4).await;
    tokio::time::timeout(Duration::from_secs(20), worker.stop()).await.unwrap();
    assert!(house.tasks(&run).await.iter().all(|task| task.state == TaskState::Ready));
    house.gate.add_permits(6);
    let worker = house.worker().await;
    let status = house.end(&run).await;
    assert_eq!((status.state, status.tasks.succeeded, status.tasks.failed), (RunState::Succeeded, 6, 0));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_change_is_an_event_of_the_same_transaction() {
    let house = House::new();
    let (run, _) = house
        .play(toml("name='x'\n[[step]]\nname='a'\nkind='fail'\ninput={until=2}\nretry={max=1,backoff='1ms'}"))
        .await;
    let query = backlot_events::Query { limit: 1000, ..backlot_events::Query::default() };
    let events = house.work.events().read(query).await.unwrap();
    let kinds: Vec<&str> = events
        .iter()
        .filter(|event| event.subject.as_deref().is_some_and(|subject| subject.starts_with(&run)))
        .map(|event| event.kind.trim_start_matches("backlot.work."))
        .collect();
    assert_eq!(
        kinds,
        [
            "run.queued",
            "step.opened",
            "run.started",
            "task.started",
            "task.retrying",
            "task.started",
            "task.succeeded",
            "step.succeeded",
            "run.succeeded"
        ]
    );
    until_state(&house, &run, RunState::Succeeded).await;
}
