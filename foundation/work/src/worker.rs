//! A worker: the loop that claims tasks, runs them and commits their results.
//!
//! One loop, one transaction at a time. Each turn of it takes everything that has gathered since the last (results,
//! log lines, progress), and in a single ledger transaction commits the results, does what is due, and claims what
//! there is room for. While that transaction is being made durable the claimed tasks run and new results gather; the
//! busier the worker, the more each commit carries, and the cost of durability is shared.
//!
//! For tasks of microseconds even that would leave the processors idle between claims, so a worker whose tasks are
//! short claims ahead: about [`AHEAD`] worth of work, no more, and what has not started after [`PATIENCE`] is given
//! back, so that a worker never sits on work that another could do.
//!
//! A worker holds its tasks by a lease on itself: one row, renewed at a third of its length. If it falls silent any
//! other worker takes its tasks away; from then on its results are refused (see `transition::finish`).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_ledger::{Value as Sql, params};
use backlot_meters::Registry;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::execution::{Execution, Report, STOP_GRACE};
use crate::host::Host;
use crate::hub::Hub;
use crate::kind::Kinds;
use crate::meters::TaskMeters;
use crate::opener;
use crate::orphans;
use crate::placement::{LocalPlacement, Placed, Placement};
use crate::transition::claim::{Claimed, Room};
use crate::transition::finish::{Finished, Outcome};
use crate::turn::{Turn, Turned, take_turn, tasks_to_stop};
use crate::units::ByteSize;
use crate::work::Work;

/// The work a worker may claim beyond what it can start at once.
const AHEAD: Duration = Duration::from_millis(50);

/// The most tasks it may claim ahead: bounds what a crash gives back and what one transaction writes.
const MAX_AHEAD: usize = 1024;

/// A claimed task that has not started after this long is given back.
const PATIENCE: Duration = Duration::from_millis(500);

/// The most results in one transaction.
const MAX_BATCH: usize = 2048;

/// How often log lines and progress are written while tasks run.
const LOG_PERIOD: Duration = Duration::from_millis(200);

/// The shortest time between two looks at the ledger because somebody else wrote to it.
const PROBE_PERIOD: Duration = Duration::from_millis(5);

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// What it is called in lists.
    pub name: String,
    /// Where tasks get their scratch directories.
    pub scratch: PathBuf,
    /// Where copies of blobs from a remote store are kept; its size is bounded by the store's options.
    pub cache: PathBuf,
    /// Processors its tasks may use together; the machine's unless said otherwise.
    pub cpus: f64,
    /// Memory its tasks may use together; nine tenths of the machine's unless said otherwise.
    pub memory: ByteSize,
    /// The most tasks at once, however little they use.
    pub max_tasks: usize,
    /// How long the worker may be silent before its tasks are given to others.
    pub lease: Duration,
    /// Where tasks are counted; they are not without it.
    pub meters: Option<Registry>,
}

impl WorkerOptions {
    /// A worker that uses the whole machine.
    pub fn new(scratch: impl Into<PathBuf>) -> WorkerOptions {
        let host = Host::current();
        let scratch = scratch.into();
        WorkerOptions {
            name: host.name.clone(),
            cache: scratch.join("cache"),
            scratch,
            cpus: std::thread::available_parallelism().map_or(1.0, |cpus| cpus.get() as f64),
            memory: ByteSize::new(host.memory / 10 * 9),
            max_tasks: 4096,
            lease: Duration::from_secs(15),
            meters: None,
        }
    }
}

/// A running worker. Dropping it stops it without waiting; [`Worker::stop`] waits for its tasks to be given back.
pub struct Worker {
    id: i64,
    stop: CancellationToken,
    handle: Option<tokio::task::JoinHandle<()>>,
}

impl Worker {
    /// Registers a worker, ends what crashed workers of this machine left running, and starts the loop.
    pub async fn start(work: &Work, kinds: Kinds, options: WorkerOptions) -> Result<Worker> {
        std::fs::create_dir_all(&options.scratch).map_err(|error| Error::Io {
            what: format!("the scratch directory {}", options.scratch.display()),
            error,
        })?;
        let placement = Arc::new(LocalPlacement::new(
            (options.cpus * 1000.0) as i64,
            options.memory.bytes().min(i64::MAX as u64) as i64,
        ));
        Worker::start_on(work, kinds, options, placement).await
    }

    /// As [`Worker::start`], with tasks placed elsewhere than in this process.
    pub async fn start_on(
        work: &Work,
        kinds: Kinds,
        options: WorkerOptions,
        placement: Arc<dyn Placement>,
    ) -> Result<Worker> {
        let id = register(work, &options).await?;
        let stop = CancellationToken::new();
        let (finished_tx, finished_rx) = mpsc::unbounded_channel();
        let meters = options.meters.as_ref().map(|registry| Arc::new(TaskMeters::new(registry, &kinds)));
        let turn = Loop {
            meters,
            id,
            tag: tag(work, id),
            nudges: work.nudges(),
            changes: work.ledger().changes(),
            work: work.clone(),
            kinds,
            options,
            placement,
            stop: stop.clone(),
            hub: Hub::default(),
            finished_tx,
            finished_rx,
            running: HashMap::new(),
            mean_seconds: 1.0,
            may_be_ready: true,
            news: false,
        };
        let handle = tokio::spawn(turn.run());
        Ok(Worker { id, stop, handle: Some(handle) })
    }

    /// The worker's number in the ledger.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Stops claiming, tells running tasks to stop, gives them back and ends.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(handle) = self.handle.take() {
            let _ = handle.await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The mark of this worker's children.
fn tag(work: &Work, worker: i64) -> String {
    format!("{}-{worker}", work.ledger_mark())
}

/// Writes the worker's row. Workers of the same machine whose process is gone are declared lost at once, without
/// waiting for their leases, and their children are ended.
async fn register(work: &Work, options: &WorkerOptions) -> Result<i64> {
    let host = Host::current();
    let row: Vec<Sql> = vec![
        options.name.as_str().into(),
        host.id.as_str().into(),
        i64::from(std::process::id()).into(),
        host.process_start.into(),
        ((options.cpus * 1000.0) as i64).into(),
        (options.memory.bytes() as i64).into(),
    ];
    let lease = options.lease;
    let host_id = host.id.clone();
    let (id, dead) = work
        .transition(move |transition| {
            let rows = transition.tx.query(
                "SELECT id, pid, process_start FROM work_workers WHERE state = 'alive' AND host = $1 ORDER BY id",
                params![host_id],
            )?;
            let mut dead = Vec::new();
            for other in rows {
                if !Host::process_lives(other.get(1)?, other.get(2)?) {
                    dead.push(other.get::<i64>(0)?);
                }
            }
            for &worker in &dead {
                transition.lose_worker(worker)?;
            }
            let now = transition.now;
            let until = now.checked_add(lease);
            let mut values = row;
            values.push(now.into());
            values.push(until.into());
            let id: i64 = transition
                .tx
                .query_one(
                    "INSERT INTO work_workers (name, host, pid, process_start, cpus, memory, state, started, alive_until) \
                     VALUES ($1, $2, $3, $4, $5, $6, 'alive', $7, $8) RETURNING id",
                    &values,
                )?
                .get(0)?;
            transition.event("worker.started", format!("worker/{id}"), json!({"worker": id}));
            Ok((id, dead))
        })
        .await?;
    if !dead.is_empty() {
        tracing::info!(workers = dead.len(), "took over from workers that had died");
    }
    if let Err(error) = orphans::clear(work, &options.scratch).await {
        tracing::warn!(%error, "cannot look for what dead workers left; the next lost lease or start of a worker does");
    }
    Ok(id)
}

/// A task this worker holds.
struct Running {
    finished: Finished,
    stop: CancellationToken,
}

struct Loop {
    id: i64,
    meters: Option<Arc<TaskMeters>>,
    tag: String,
    work: Work,
    kinds: Kinds,
    options: WorkerOptions,
    placement: Arc<dyn Placement>,
    stop: CancellationToken,
    hub: Hub,
    nudges: watch::Receiver<u64>,
    changes: watch::Receiver<u64>,
    finished_tx: mpsc::UnboundedSender<Report>,
    finished_rx: mpsc::UnboundedReceiver<Report>,
    running: HashMap<i64, Running>,
    /// A moving mean of how long tasks take; decides how much to claim ahead.
    mean_seconds: f64,
    may_be_ready: bool,
    /// Somebody wrote to the ledger since the last look at it.
    news: bool,
}

impl Loop {
    async fn run(mut self) {
        let mut last_sweep: Option<Instant> = None;
        let mut last_renewal = Instant::now();
        let mut last_logs = Instant::now();
        let mut last_probe = Instant::now();
        let mut next_due: Option<Instant> = None;
        let sweep_period = Duration::from_secs(1).min(self.options.lease / 3);
        loop {
            let mut reports = Vec::new();
            while reports.len() < MAX_BATCH
                && let Ok(report) = self.finished_rx.try_recv()
            {
                reports.push(report);
            }
            let finished = self.take_finished(reports);
            let now = Instant::now();
            let sweep = last_sweep.is_none_or(|last| now - last >= sweep_period)
                || next_due.is_some_and(|due| now >= due);
            let renew = now - last_renewal >= self.options.lease / 3;
            let logs_due = self.hub.is_dirty() && now - last_logs >= LOG_PERIOD;
            let stopping = self.stop.is_cancelled();
            if stopping {
                break self.shut_down(finished).await;
            }
            let room = if self.may_be_ready { self.room() } else { None };
            if finished.is_empty() && !sweep && !renew && !logs_due && room.is_none() {
                self.wait(&mut last_probe, next_due, last_sweep, sweep_period, last_renewal, last_logs).await;
                continue;
            }
            let gathered = Arc::new(self.hub.gather());
            last_logs = now;
            let asked = room.is_some();
            let held = renew.then(|| self.running.keys().copied().collect());
            let turn = Turn { finished, resubmitted: false, gathered, sweep, renew, held, room };
            match self.turn(turn).await {
                Ok(turned) => {
                    if sweep {
                        last_sweep = Some(now);
                        if let Some(meters) = &self.meters {
                            meters.holds(&self.placement.capacity());
                        }
                        self.return_unstarted();
                    }
                    if renew {
                        last_renewal = now;
                    }
                    if turned.late > 0 {
                        tracing::warn!(
                            results = turned.late,
                            "results came after their lease had ended and were refused"
                        );
                    }
                    if turned.lost > 0 {
                        self.clear_orphans();
                    }
                    if asked {
                        self.may_be_ready = turned.more || turned.effects.ready;
                    }
                    self.may_be_ready |= turned.effects.ready;
                    if turned.effects.ready {
                        self.work.nudge(); // other workers of this process
                    }
                    if sweep || turned.next_backoff.is_some() {
                        let ledger_now = self.work.ledger().now();
                        next_due = turned.next_backoff.map(|due| {
                            let wait = due.micros().saturating_sub(ledger_now.micros()).max(0) as u64;
                            Instant::now() + Duration::from_micros(wait)
                        });
                    }
                    if turned.effects.opening || sweep {
                        opener::start(&self.work);
                    }
                    if !turned.claimed.is_empty() {
                        self.launch(turned.claimed).await;
                    }
                }
                Err(Error::LeaseLost) => {
                    if !self.register_again().await {
                        return;
                    }
                    last_renewal = Instant::now();
                }
                Err(error) => unreachable!("invariant: turn retries every other error, not {error}"),
            }
        }
    }

    /// Waits for a result, news in the ledger, or something due.
    async fn wait(
        &mut self,
        last_probe: &mut Instant,
        next_due: Option<Instant>,
        last_sweep: Option<Instant>,
        sweep_period: Duration,
        last_renewal: Instant,
        last_logs: Instant,
    ) {
        let mut until = last_renewal + self.options.lease / 3;
        until = until.min(last_sweep.map_or_else(Instant::now, |last| last + sweep_period));
        if let Some(due) = next_due {
            until = until.min(due);
        }
        if !self.running.is_empty() {
            // Running tasks may have something to say; looked at once a period, however long they have been silent.
            let left = LOG_PERIOD.checked_sub(last_logs.elapsed()).filter(|left| !left.is_zero());
            until = until.min(Instant::now() + left.unwrap_or(LOG_PERIOD));
        }
        let until = until.max(Instant::now() + Duration::from_millis(1));
        tokio::select! {
            report = self.finished_rx.recv() => {
                if let Some(report) = report {
                    let _ = self.finished_tx.send(report); // back in line: the loop takes them all together
                }
            }
            _ = self.nudges.changed() => {
                self.nudges.borrow_and_update();
                self.may_be_ready = true;
            }
            _ = self.changes.changed(), if !self.news => {
                self.changes.borrow_and_update();
                self.news = true;
            }
            () = tokio::time::sleep_until((*last_probe + PROBE_PERIOD).into()), if self.news => {
                self.news = false;
                *last_probe = Instant::now();
                self.probe().await;
            }
            () = tokio::time::sleep_until(until.into()) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Looks at what others have written: tasks ready, steps to open, runs cancelled.
    async fn probe(&mut self) {
        let id = self.id;
        let found = self
            .work
            .ledger()
            .read(move |tx| -> Result<(bool, bool, Vec<i64>)> {
                let ready =
                    tx.query_opt("SELECT 1 FROM work_tasks WHERE state = 'ready' LIMIT 1", &[])?.is_some();
                let opening =
                    tx.query_opt("SELECT 1 FROM work_steps WHERE state = 'opening' LIMIT 1", &[])?.is_some();
                Ok((ready, opening, tasks_to_stop(tx, id)?))
            })
            .await;
        match found {
            Ok((ready, opening, to_stop)) => {
                self.may_be_ready |= ready;
                if opening {
                    opener::start(&self.work);
                }
                self.stop_tasks(&to_stop);
            }
            Err(error) => tracing::warn!(%error, "cannot read the ledger; trying again"),
        }
    }

    /// Ends what lost workers left running on this machine, beside the loop.
    fn clear_orphans(&self) {
        let (work, scratch) = (self.work.clone(), self.options.scratch.clone());
        tokio::spawn(async move {
            if let Err(error) = orphans::clear(&work, &scratch).await {
                tracing::warn!(%error, "cannot look for what lost workers left; the next start of a worker does");
            }
        });
    }

    fn stop_tasks(&self, tasks: &[i64]) {
        for task in tasks {
            if let Some(running) = self.running.get(task) {
                running.stop.cancel();
            }
        }
    }

    /// The room to claim for, or `None` when there is none.
    fn room(&self) -> Option<Room> {
        let capacity = self.placement.capacity();
        let held = capacity.waiting + capacity.running;
        let slots = (capacity.total_cpus as f64 / 1000.0).max(1.0);
        let ahead = if self.mean_seconds < AHEAD.as_secs_f64() {
            ((AHEAD.as_secs_f64() / self.mean_seconds.max(1e-6)) * slots) as usize
        } else {
            0
        };
        let ahead = ahead.min(MAX_AHEAD).saturating_sub(capacity.waiting);
        let most = self.options.max_tasks.saturating_sub(held);
        // A task without processors can always start; so ask as long as there is any room at all.
        if most == 0 || (capacity.free_memory == 0 && ahead == 0) {
            return None;
        }
        Some(Room {
            total_cpus: capacity.total_cpus,
            free_cpus: capacity.free_cpus,
            total_memory: capacity.total_memory,
            free_memory: capacity.free_memory,
            ahead,
            most,
            kinds: self.kinds.names().map(str::to_owned).collect(),
        })
    }

    fn take_finished(&mut self, reports: Vec<Report>) -> Vec<Finished> {
        let mut finished = Vec::with_capacity(reports.len());
        for report in reports {
            self.mean_seconds += 0.1 * (report.seconds - self.mean_seconds);
            // After a lost lease the worker may hold the task anew while its earlier execution is still ending.
            let reported = self.running.get(&report.task);
            if reported.is_none_or(|running| running.finished.attempt != report.attempt) {
                continue;
            }
            if let Some(running) = self.running.remove(&report.task) {
                finished.push(Finished { outcome: report.outcome, ..running.finished });
            }
        }
        if !finished.is_empty() {
            self.may_be_ready = true; // there is room again
        }
        finished
    }

    /// Gives back what waits in the placement for too long.
    fn return_unstarted(&mut self) {
        for task in self.placement.withdraw(PATIENCE) {
            let Some(running) = self.running.get(&task) else { continue };
            let _ = self.finished_tx.send(Report {
                task,
                attempt: running.finished.attempt,
                outcome: Outcome::Returned,
                seconds: PATIENCE.as_secs_f64(),
            });
        }
    }

    /// One transaction, tried until it commits: results are never dropped because the ledger was away for a while.
    async fn turn(&mut self, turn: Turn) -> Result<Turned> {
        let mut turn = Arc::new(turn);
        let mut pause = Duration::from_millis(100);
        loop {
            let (id, lease, job) = (self.id, self.options.lease, turn.clone());
            let result = self
                .work
                .transition_with_effects(move |transition| take_turn(transition, id, lease, &job))
                .await;
            match result {
                Ok((mut turned, effects)) => {
                    self.work.set_trouble(None);
                    turned.effects = effects;
                    for finished in &turn.finished {
                        self.hub.forget(finished.task, finished.attempt);
                    }
                    return Ok(turned);
                }
                Err(Error::LeaseLost) => return Err(Error::LeaseLost),
                Err(error) => {
                    self.work.set_trouble(Some(error.to_string()));
                    tracing::warn!(%error, "cannot write to the ledger; trying again");
                    // An unknown commit may have gone through: the next try must not count its results twice.
                    let again = Turn {
                        finished: turn.finished.clone(),
                        resubmitted: true,
                        gathered: turn.gathered.clone(),
                        sweep: turn.sweep,
                        renew: turn.renew,
                        // Nor may its claims, of which nobody heard, stay in this worker's hands.
                        held: Some(self.running.keys().copied().collect()),
                        room: None,
                    };
                    turn = Arc::new(again);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                    if self.stop.is_cancelled() && pause >= Duration::from_secs(1) {
                        return Err(Error::LeaseLost); // shutting down without a ledger: leave it to the lease
                    }
                }
            }
        }
    }

    /// After the lease was lost: everything that runs is stopped and forgotten, and the worker starts anew under
    /// another number. False when it is to stop instead.
    async fn register_again(&mut self) -> bool {
        tracing::warn!(worker = self.id, tasks = self.running.len(), "the lease ran out; starting anew");
        for running in self.running.values() {
            running.stop.cancel();
        }
        self.running.clear();
        self.placement.withdraw(Duration::ZERO);
        loop {
            if self.stop.is_cancelled() {
                return false;
            }
            match register(&self.work, &self.options).await {
                Ok(id) => {
                    self.id = id;
                    self.tag = tag(&self.work, id);
                    self.may_be_ready = true;
                    return true;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot register again; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Works out the inputs of claimed tasks and places them.
    async fn launch(&mut self, claimed: Vec<Claimed>) {
        if let Some(meters) = &self.meters {
            meters.claimed(claimed.len());
        }
        let (work, kinds, batch) = (self.work.clone(), self.kinds.clone(), claimed.clone());
        let prepared =
            self.work.ledger().read(move |tx| work.inputs().prepare(tx, work.plans(), &kinds, batch)).await;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                tracing::warn!(%error, "cannot prepare claimed tasks; giving them back");
                for task in claimed {
                    self.hold(&task, CancellationToken::new());
                    let _ = self.finished_tx.send(Report {
                        task: task.task,
                        attempt: task.attempt,
                        outcome: Outcome::Returned,
                        seconds: 0.1,
                    });
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                return;
            }
        };
        for task in prepared {
            let stop = CancellationToken::new();
            self.hold(&task.claimed, stop.clone());
            let address = format!(
                "{}#{}",
                task.plan.task_subject(task.claimed.step, task.claimed.index),
                task.claimed.attempt
            );
            let (number, cpus, memory) = (task.claimed.task, task.claimed.cpus, task.claimed.memory);
            let execution = Execution {
                kinds: self.kinds.clone(),
                work: self.work.clone(),
                hub: self.hub.clone(),
                scratch: self.options.scratch.join(format!("worker-{}", self.id)),
                cache: self.options.cache.clone(),
                tag: self.tag.clone(),
                stop,
                meters: self.meters.clone(),
                finished: self.finished_tx.clone(),
            };
            let execute = Box::pin(execution.run(task));
            self.placement.place(Placed { address, task: number, cpus, memory, execute });
        }
    }

    fn hold(&mut self, task: &Claimed, stop: CancellationToken) {
        let finished = Finished {
            task: task.task,
            run: task.run,
            step: task.step,
            index: task.index,
            attempt: task.attempt,
            keys: task.keys.clone(),
            outcome: Outcome::Returned,
        };
        self.running.insert(task.task, Running { finished, stop });
    }

    async fn shut_down(mut self, mut finished: Vec<Finished>) {
        for running in self.running.values() {
            running.stop.cancel();
        }
        for task in self.placement.withdraw(Duration::ZERO) {
            if let Some(running) = self.running.remove(&task) {
                finished.push(running.finished);
            }
        }
        let deadline = Instant::now() + STOP_GRACE + Duration::from_secs(2);
        while !self.running.is_empty() {
            match tokio::time::timeout_at(deadline.into(), self.finished_rx.recv()).await {
                Ok(Some(mut report)) => {
                    if matches!(report.outcome, Outcome::Stopped) {
                        report.outcome = Outcome::Returned; // stopped by this shutdown: somebody else goes on
                    }
                    finished.extend(self.take_finished(vec![report]));
                }
                _ => break,
            }
        }
        let gathered = Arc::new(self.hub.gather());
        let turn = Turn {
            finished,
            resubmitted: false,
            gathered,
            sweep: false,
            renew: false,
            held: None,
            room: None,
        };
        if self.turn(turn).await.is_err() {
            return;
        }
        let id = self.id;
        let stopped = self
            .work
            .transition(move |transition| {
                // Whatever did not report in time goes back with the worker's row.
                transition.lose_worker(id)?;
                transition
                    .tx
                    .execute("UPDATE work_workers SET state = 'stopped' WHERE id = $1", params![id])?;
                Ok(())
            })
            .await;
        if let Err(error) = stopped {
            tracing::warn!(%error, "could not sign off; the lease will run out by itself");
        }
        let _ = std::fs::remove_dir_all(self.options.scratch.join(format!("worker-{id}")));
    }
}
