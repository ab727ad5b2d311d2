//! A house for one test: a ledger, a store, a worker, and kinds to play with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backlot_events::Events;
use backlot_ledger::Ledger;
use backlot_ledger::testing::Postgres;
use backlot_store::Store;
use backlot_work::{
    Kinds, Outputs, RunSpec, RunState, RunStatus, SubmitOptions, TaskError, TaskFilter, TaskStatus, Work,
    Worker, WorkerOptions,
};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

/// The longest any test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct House {
    pub(crate) work: Work,
    pub(crate) kinds: Kinds,
    pub(crate) home: tempfile::TempDir,
    /// How often each of the counting kinds has run.
    pub(crate) ran: Arc<AtomicU64>,
    /// Tasks of the kind `gate` wait for a permit of this.
    pub(crate) gate: Arc<Semaphore>,
    /// Tasks of the kind `gate` that wait now, and the most that ever did.
    pub(crate) at_gate: Arc<AtomicU64>,
    pub(crate) most_at_gate: Arc<AtomicU64>,
    /// Tasks of the kind `gate` that have gone through.
    pub(crate) passed: Arc<AtomicU64>,
}

impl House {
    pub(crate) fn on(ledger_url: Option<String>) -> House {
        let home = tempfile::tempdir().unwrap();
        let url = ledger_url.unwrap_or_else(|| format!("sqlite://{}/ledger.db", home.path().display()));
        let ledger = Ledger::open(&url).unwrap();
        let store = Store::open(&format!("file://{}/store", home.path().display())).unwrap();
        let events = Events::open(&ledger).unwrap();
        let work = Work::open(&ledger, &store, &events).unwrap();
        let ran = Arc::new(AtomicU64::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let (at_gate, most_at_gate) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let passed = Arc::new(AtomicU64::new(0));
        let kinds = kinds(&ran, &gate, &at_gate, &most_at_gate, &passed);
        House { work, kinds, home, ran, gate, at_gate, most_at_gate, passed }
    }

    /// On a fresh PostgreSQL database; `None` (and a printed line) where there is no server to start.
    pub(crate) fn on_postgres(database: &'static str) -> Option<(House, Postgres)> {
        // The helper drives a runtime of its own, so it needs a thread without one.
        let (url, server) = std::thread::spawn(move || {
            let server = Postgres::start()?;
            Some((server.url(database), server))
        })
        .join()
        .unwrap()?;
        Some((House::on(Some(url)), server))
    }

    pub(crate) fn new() -> House {
        House::on(None)
    }

    pub(crate) fn options(&self) -> WorkerOptions {
        let mut options = WorkerOptions::new(self.home.path().join("scratch"));
        options.cpus = 4.0;
        options
    }

    pub(crate) async fn worker(&self) -> Worker {
        Worker::start(&self.work, self.kinds.clone(), self.options()).await.unwrap()
    }

    pub(crate) async fn submit(&self, spec: RunSpec) -> String {
        self.submit_with(spec, json!({})).await
    }

    pub(crate) async fn submit_with(&self, spec: RunSpec, params: Value) -> String {
        let params: Map<String, Value> = params.as_object().unwrap().clone();
        self.work.submit(spec, params, SubmitOptions::default(), Some(&self.kinds)).await.unwrap()
    }

    /// For kinds that only the test's own workers know.
    pub(crate) async fn submit_unchecked(&self, spec: RunSpec) -> String {
        self.work.submit(spec, Map::new(), SubmitOptions::default(), None).await.unwrap()
    }

    pub(crate) async fn end(&self, run: &str) -> RunStatus {
        let Ok(status) = tokio::time::timeout(PATIENCE, self.work.wait(run)).await else {
            panic!("run {run} did not end: {:#?}", self.work.steps(run).await)
        };
        status.unwrap()
    }

    /// Runs a spec to its end with a worker of its own.
    pub(crate) async fn play(&self, spec: RunSpec) -> (String, RunStatus) {
        let worker = self.worker().await;
        let run = self.submit(spec).await;
        let status = self.end(&run).await;
        worker.stop().await;
        (run, status)
    }

    /// Waits until this many tasks stand at the gate.
    pub(crate) async fn until_at_gate(&self, count: u64) {
        until(&format!("{count} at the gate"), || async {
            (self.at_gate.load(Ordering::SeqCst) == count).then_some(())
        })
        .await;
    }

    /// Lets one task through the gate: the next one that comes, when none stands there. Returns when it is through.
    pub(crate) async fn let_one_pass(&self) {
        let before = self.passed.load(Ordering::SeqCst);
        self.gate.add_permits(1);
        until("a task through the gate", || async {
            (self.passed.load(Ordering::SeqCst) > before).then_some(())
        })
        .await;
    }

    pub(crate) async fn tasks(&self, run: &str) -> Vec<TaskStatus> {
        self.work.tasks(run, TaskFilter { limit: 1000, ..TaskFilter::default() }).await.unwrap()
    }

    pub(crate) fn ran(&self) -> u64 {
        self.ran.load(Ordering::SeqCst)
    }
}

/// Waits until `found` gives something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut found: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await; // polling, bounded by the deadline above
    }
}

pub(crate) async fn until_state(house: &House, run: &str, state: RunState) {
    until(state.as_str(), || async { (house.work.run(run).await.unwrap().state == state).then_some(()) })
        .await;
}

fn kinds(
    ran: &Arc<AtomicU64>,
    gate: &Arc<Semaphore>,
    at_gate: &Arc<AtomicU64>,
    most_at_gate: &Arc<AtomicU64>,
    passed: &Arc<AtomicU64>,
) -> Kinds {
    let count = ran.clone();
    let fail_count = ran.clone();
    let (gate, at_gate, most_at_gate) = (gate.clone(), at_gate.clone(), most_at_gate.clone());
    let passed = passed.clone();
    Kinds::new()
        .with_fn("echo", 1, move |task| {
            count.fetch_add(1, Ordering::SeqCst);
            async move { Outputs::new().value("out", task.input()) }
        })
        .with_fn("fail", 1, move |task| {
            fail_count.fetch_add(1, Ordering::SeqCst);
            async move {
                let until = task.input().get("until").and_then(Value::as_i64).unwrap_or(i64::MAX);
                if task.attempt() >= until {
                    return Outputs::new().value("attempt", task.attempt());
                }
                match task.input().get("how").and_then(Value::as_str) {
                    Some("permanent") => Err(TaskError::Permanent("it cannot work".into())),
                    Some("panic") => panic!("ouch"),
                    _ => Err(TaskError::Retryable(format!("attempt {} failed", task.attempt()))),
                }
            }
        })
        .with_fn("gate", 1, move |task| {
            let (gate, at_gate, most) = (gate.clone(), at_gate.clone(), most_at_gate.clone());
            let through = passed.clone();
            async move {
                let now = at_gate.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                let open = tokio::select! {
                    permit = gate.acquire() => { permit.expect("open").forget(); true }
                    () = task.cancelled() => false,
                };
                at_gate.fetch_sub(1, Ordering::SeqCst);
                if !open {
                    return Err(TaskError::Stopped);
                }
                through.fetch_add(1, Ordering::SeqCst);
                Outputs::new().value("out", task.index())
            }
        })
}
