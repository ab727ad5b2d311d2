//! Any number of workers, and one that dies, give the bytes that one process gives.

use std::num::NonZeroUsize;
use std::time::Duration;

use backlot_signals::{Asked, Table, explain};
use backlot_work::{RunState, TaskFilter, TaskState};

use backlot_department::Config;
use backlot_signals::Signals;
use backlot_signals_kernels::incident::Plan;
use backlot_work::{Worker, WorkerOptions};

use crate::house::{Lot, STEP, open_with, table, table_bytes};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_two_and_eight_workers_and_no_worker_at_all_agree_to_the_byte() {
    let (incident, csv, asked) = table();
    let parsed = Table::from_csv(&csv).unwrap();
    let here = explain(&parsed, &asked, NonZeroUsize::MIN).unwrap();
    let threads = explain(&parsed, &asked, NonZeroUsize::new(3).unwrap()).unwrap();
    assert_eq!(here.to_json(), threads.to_json());
    let first: Vec<&str> = here.timeline.iter().take(3).map(|entry| entry.signal.as_str()).collect();
    assert!(first.contains(&incident.names[incident.root].as_str()), "{first:?}");

    let lot = Lot::new();
    let mut digests = Vec::new();
    for count in [1, 2, 8] {
        let mut workers = Vec::new();
        for number in 0..count {
            workers.push(lot.worker(number).await);
        }
        let run = lot.submit(csv.clone(), &asked).await;
        let ended = tokio::time::timeout(PATIENCE, lot.house.work.wait(&run)).await.unwrap().unwrap();
        assert_eq!(ended.state, RunState::Succeeded, "{:?}", ended.error);
        for worker in workers {
            worker.stop().await;
        }
        let names = ["explanation", "timeline", "figure", "figure_light", "figure_dark"];
        let mut forms = Vec::new();
        for name in names {
            forms.push(lot.blob(&run, name).await.digest);
        }
        digests.push(forms);
        let blob = lot.blob(&run, "explanation").await;
        let bytes = lot.house.store.get(&blob.digest, 1 << 30).await.unwrap();
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), here.to_json());
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_none_fails_with_its_line() {
    let lot = Lot::new();
    let worker = lot.worker(0).await;
    let (_, _, asked) = table();
    let run = lot.submit("time,starts\n1,2\n2,x\n", &asked).await;
    let ended = tokio::time::timeout(PATIENCE, lot.house.work.wait(&run)).await.unwrap().unwrap();
    worker.stop().await;
    assert_eq!(ended.state, RunState::Failed);
    let failed = TaskFilter { states: vec![TaskState::Failed], limit: 10, ..TaskFilter::default() };
    let tasks = lot.house.work.tasks(&run, failed).await.unwrap();
    let why = tasks[0].error.clone().unwrap();
    assert!(why.contains("line 3") && why.contains("`x` is no number"), "{why}");
}

const CHILD: &str = "SIGNALS_TEST_CHILD";

/// A worker in a process of its own, when this binary was started as one.
#[test]
fn child() {
    let Ok(home) = std::env::var(CHILD) else { return };
    let home = std::path::PathBuf::from(home);
    let url = format!("sqlite://{}/ledger.db", home.display());
    let house = open_with(&home, &url, Config::default(), Box::new(Signals::default()));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut options = WorkerOptions::new(home.join("scratch-child"));
        options.cpus = 1.0;
        let _worker = Worker::start(&house.work, house.kinds.clone(), options).await.unwrap();
        std::future::pending::<()>().await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_in_the_middle_loses_nothing() {
    let incident = Plan { signals: 3000, points: 600, ..Plan::default() }.make(4);
    let (table, bytes) = table_bytes(&incident);
    let at = Some((incident.fired * STEP).to_string());
    let asked = Asked { alert: "starts".to_owned(), at, ..Asked::default() };
    let home = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/ledger.db", home.path().display());
    let house = open_with(home.path(), &url, Config::default(), Box::new(Signals::default()));
    let lot = Lot { house, home };
    let run = lot.submit(bytes, &asked).await;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "workers::child", "--nocapture", "--test-threads=1"])
        .env(CHILD, lot.home.path())
        .spawn()
        .unwrap();
    // Into the middle of the map: some parts done, some at work.
    let mut changes = lot.house.ledger.changes();
    let done = tokio::time::timeout(PATIENCE, async {
        loop {
            changes.borrow_and_update();
            let steps = lot.house.work.steps(&run).await.unwrap();
            let examine = steps.iter().find(|step| step.name == "examine").unwrap();
            if examine.tasks.succeeded >= 2 {
                return examine.tasks.succeeded;
            }
            let _ = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
        }
    });
    let done = done.await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(done < 12, "the worker was too fast to be killed in the middle");
    let worker = lot.worker(0).await;
    let ended = tokio::time::timeout(PATIENCE, lot.house.work.wait(&run)).await.unwrap().unwrap();
    worker.stop().await;
    assert_eq!(ended.state, RunState::Succeeded, "{:?}", ended.error);
    let blob = lot.blob(&run, "explanation").await;
    let through = lot.house.store.get(&blob.digest, 1 << 30).await.unwrap();
    let here = explain(&table, &asked, NonZeroUsize::new(2).unwrap()).unwrap();
    assert_eq!(std::str::from_utf8(&through).unwrap(), here.to_json());
}
