//! Durable runs: the same bytes as here, nothing twice, and what becomes of them when the clip is delivered anew.

use std::path::Path;
use std::sync::Arc;

use backlot_archer::Job;
use backlot_archer::durable::{Delivery, Submission, kinds, outcome, result_bytes, take_files};
use backlot_archer::native::Natives;
use backlot_events::Events;
use backlot_ledger::Ledger;
use backlot_store::Store;
use backlot_work::{Kinds, RunState, RunStatus, SubmitOptions, Work, Worker, WorkerOptions};
use serde_json::Map;

use crate::support::{Drawn, job, run};

struct House {
    home: tempfile::TempDir,
    work: Work,
}

impl House {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&format!("sqlite://{}/ledger.db", home.path().display())).unwrap();
        let store = Store::open(&format!("file://{}/blobs", home.path().display())).unwrap();
        let work = Work::open(&ledger, &store, &Events::open(&ledger).unwrap()).unwrap();
        Self { home, work }
    }

    async fn worker(&self) -> Worker {
        let mut all = Kinds::new();
        for kind in kinds(Arc::new(Drawn), Natives::shipped()) {
            all = all.with(kind);
        }
        Worker::start(&self.work, all, WorkerOptions::new(self.home.path().join("scratch"))).await.unwrap()
    }

    async fn submit(&self, job: &Job, base: &Path) -> (String, Vec<String>) {
        let clip = base.join("clip.mp4");
        let delivery = Delivery::take(self.work.store(), clip.to_str().unwrap()).await.unwrap();
        let files = take_files(self.work.store(), job, base).await.unwrap();
        let params = job.bind(Map::new()).unwrap();
        let submission = Submission { job: job.clone(), files, params, delivery, fps: None };
        submission.submit(&self.work, SubmitOptions::default()).await.unwrap()
    }

    async fn ended(&self, run: &str) -> RunStatus {
        tokio::time::timeout(std::time::Duration::from_secs(60), self.work.wait(run)).await.unwrap().unwrap()
    }
}

/// A job whose functions note each call in a file, with floats that do not survive careless parsing.
fn noting(base: &Path) -> Job {
    std::fs::write(base.join("clip.mp4"), "a clip").unwrap();
    std::fs::write(base.join("look.sh"), "tail -c1 $(ls frames/* | tail -1) | od -An -tu1 | tr -d ' \\n'")
        .unwrap();
    let calls = base.join("calls").display().to_string();
    job(&format!(
        r#"
        name = "noting"
        split = {{ frames = 3 }}
        map = {{ argv = ["sh", "-c", "echo map >>{calls}; n=$(sh look.sh); echo [$n, 0.1, 2.2250738585072014e-308, 123456789.123456789] >result.json; echo $n >out/n"] }}
        collect = {{ argv = ["sh", "-c", "echo collect >>{calls}; cat parts/*/n >out/all; cp task.json result.json"] }}
        [files]
        "look.sh" = "look.sh"
        [frames]
        encoding = "raw"
        "#
    ))
}

#[tokio::test]
async fn a_durable_run_makes_the_bytes_of_a_local_one_and_nothing_twice() {
    let base = tempfile::tempdir().unwrap();
    let job = noting(base.path());
    let calls = || std::fs::read_to_string(base.path().join("calls")).unwrap().lines().count();
    let (here, _scratch) = run(base.path(), &job).await.unwrap();
    assert_eq!(calls(), 8);

    let house = House::new();
    let worker = house.worker().await;
    let (id, _) = house.submit(&job, base.path()).await;
    let status = house.ended(&id).await;
    assert_eq!(status.state, RunState::Succeeded, "{:?}", status.error);
    let there = outcome(&house.work, &status).await.unwrap();
    assert_eq!(String::from_utf8(result_bytes(&there.result)), String::from_utf8(result_bytes(&here.result)));
    let all = house.work.store().get(&there.files["all"].digest, 1 << 20).await.unwrap();
    assert_eq!(all, std::fs::read(&here.files["all"]).unwrap());
    assert_eq!(calls(), 16);

    // Again: every task but the look for tools is reused.
    let (again, _) = house.submit(&job, base.path()).await;
    let status = house.ended(&again).await;
    assert_eq!((status.state, calls()), (RunState::Succeeded, 16));
    assert_eq!(outcome(&house.work, &status).await.unwrap(), there);

    // Delivered anew with other content: everything is looked at again, and the result is another.
    std::fs::write(base.path().join("clip.mp4"), "b clip").unwrap();
    let (anew, _) = house.submit(&job, base.path()).await;
    let status = house.ended(&anew).await;
    assert_eq!(calls(), 24);
    assert_ne!(outcome(&house.work, &status).await.unwrap().result, there.result);
    worker.stop().await;
}

#[tokio::test]
async fn a_redelivered_clip_cancels_runs_on_the_old_one() {
    let base = tempfile::tempdir().unwrap();
    let job = noting(base.path());
    let house = House::new(); // nobody works
    let (old, none) = house.submit(&job, base.path()).await;
    let (same, none_again) = house.submit(&job, base.path()).await;
    assert!(none.is_empty() && none_again.is_empty(), "the same delivery is no reason");
    std::fs::write(base.path().join("clip.mp4"), "b clip").unwrap();
    let (new, mut superseded) = house.submit(&job, base.path()).await;
    superseded.sort();
    let mut wanted = vec![old.clone(), same];
    wanted.sort();
    assert_eq!(superseded, wanted);
    assert_eq!(house.work.run(&old).await.unwrap().state, RunState::Cancelled);
    assert!(!house.work.run(&new).await.unwrap().state.is_final());
}

#[tokio::test]
async fn a_part_that_fails_for_good_leaves_the_others_done() {
    let base = tempfile::tempdir().unwrap();
    std::fs::write(base.path().join("clip.mp4"), "a clip").unwrap();
    let text = "name = 'x'\nsplit = { frames = 5 }\nmap = { argv = ['sh', '-c', 'grep -q \"index.:2\" task.json && exit 9; echo 1 >result.json'] }\n[limits]\nretries = 0";
    let failing = job(text);
    let house = House::new();
    let worker = house.worker().await;
    let (id, _) = house.submit(&failing, base.path()).await;
    let status = house.ended(&id).await;
    assert_eq!((status.state, status.tasks.failed), (RunState::Failed, 1), "{status:?}");
    assert_eq!(status.tasks.succeeded, 6, "tools, probe, split and three parts");

    let collecting = Job { on_failure: backlot_archer::OnFailure::Collect, ..failing };
    let (id, _) = house.submit(&collecting, base.path()).await;
    let status = house.ended(&id).await;
    assert_eq!(status.state, RunState::Succeeded, "{:?}", status.error);
    let there = outcome(&house.work, &status).await.unwrap().result;
    assert_eq!(there, serde_json::json!([1, 1, null, 1]));
    assert_eq!(run(base.path(), &collecting).await.unwrap().0.result, there);
    worker.stop().await;
}
