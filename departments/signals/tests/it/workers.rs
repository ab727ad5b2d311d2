//! Any number of workers, and one that dies, give the bytes that one process gives.

use std::num::NonZeroUsize;
use std::time::Duration;

use backlot_signals::{Table, explain};
use backlot_work::{RunState, TaskFilter, TaskState};

use crate::house::{Lot, table};

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
        let run = lot.submit(&csv, &asked).await;
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
