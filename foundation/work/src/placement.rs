//! Placement: where a claimed task runs.
//!
//! A worker claims no more than its placement has room for. [`LocalPlacement`] runs tasks in this process under a
//! budget of processors and memory, so that two cores are not given three cores' work. A placement on a cluster
//! scheduler implements the same trait: its room is what the queue may hold, and it passes on the task's address.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A claimed task, ready to run.
pub struct Placed {
    /// `run/step/index`, with the attempt: what a scheduler shows its users.
    pub address: String,
    /// The task's number, unique in the ledger.
    pub task: i64,
    /// Thousandths of a processor it uses.
    pub cpus: i64,
    /// Bytes of memory it uses.
    pub memory: i64,
    /// Runs the task in this process.
    pub execute: Pin<Box<dyn Future<Output = Done> + Send>>,
}

/// A task has ended. Dropping this reports it to the worker, which then looks for room; so a placement frees the task's
/// room first.
pub struct Done(Option<Box<dyn FnOnce() + Send>>);

impl Done {
    pub(crate) fn new(report: impl FnOnce() + Send + 'static) -> Done {
        Done(Some(Box::new(report)))
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(report) = self.0.take() {
            report();
        }
    }
}

/// What a placement can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// All thousandths of a processor.
    pub total_cpus: i64,
    /// Those not in use.
    pub free_cpus: i64,
    /// All bytes of memory.
    pub total_memory: i64,
    /// Those not in use.
    pub free_memory: i64,
    /// Tasks that wait here for room.
    pub waiting: usize,
    /// Tasks that run.
    pub running: usize,
}

/// Where claimed tasks run.
pub trait Placement: Send + Sync + 'static {
    /// What can be taken now.
    fn capacity(&self) -> Capacity;
    /// Takes a task: it runs as soon as there is room.
    fn place(&self, task: Placed);
    /// Takes back tasks that have waited longer than `patience` without starting; gives their numbers.
    fn withdraw(&self, patience: Duration) -> Vec<i64>;
}

/// Runs tasks in this process under a budget.
#[derive(Clone)]
pub struct LocalPlacement(Arc<Mutex<State>>);

struct State {
    total_cpus: i64,
    total_memory: i64,
    used_cpus: i64,
    used_memory: i64,
    running: usize,
    waiting: VecDeque<(Instant, Placed)>,
}

impl LocalPlacement {
    /// A budget of `cpus` thousandths of a processor and `memory` bytes.
    pub fn new(cpus: i64, memory: i64) -> LocalPlacement {
        LocalPlacement(Arc::new(Mutex::new(State {
            total_cpus: cpus,
            total_memory: memory,
            used_cpus: 0,
            used_memory: 0,
            running: 0,
            waiting: VecDeque::new(),
        })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts waiting tasks while the first of them fits.
    fn start_waiting(&self) {
        loop {
            let task = {
                let mut state = self.lock();
                let fits = state.waiting.front().is_some_and(|(_, task)| state.fits(task));
                if !fits {
                    return;
                }
                let Some((_, task)) = state.waiting.pop_front() else { return };
                state.used_cpus += task.cpus;
                state.used_memory += task.memory;
                state.running += 1;
                task
            };
            let placement = self.clone();
            tokio::spawn(async move {
                let room = RoomGuard { placement, cpus: task.cpus, memory: task.memory };
                let done = task.execute.await;
                drop(room); // before the report: whoever hears of the end may claim for the room
                drop(done);
            });
        }
    }
}

impl State {
    fn fits(&self, task: &Placed) -> bool {
        self.used_cpus + task.cpus <= self.total_cpus && self.used_memory + task.memory <= self.total_memory
    }
}

/// Gives the room back when the task has ended, however it ended.
struct RoomGuard {
    placement: LocalPlacement,
    cpus: i64,
    memory: i64,
}

impl Drop for RoomGuard {
    fn drop(&mut self) {
        {
            let mut state = self.placement.lock();
            state.used_cpus -= self.cpus;
            state.used_memory -= self.memory;
            state.running -= 1;
        }
        if tokio::runtime::Handle::try_current().is_ok() {
            self.placement.start_waiting();
        }
    }
}

impl Placement for LocalPlacement {
    fn capacity(&self) -> Capacity {
        let state = self.lock();
        let waiting_cpus: i64 = state.waiting.iter().map(|(_, task)| task.cpus).sum();
        let waiting_memory: i64 = state.waiting.iter().map(|(_, task)| task.memory).sum();
        Capacity {
            total_cpus: state.total_cpus,
            free_cpus: (state.total_cpus - state.used_cpus - waiting_cpus).max(0),
            total_memory: state.total_memory,
            free_memory: (state.total_memory - state.used_memory - waiting_memory).max(0),
            waiting: state.waiting.len(),
            running: state.running,
        }
    }

    fn place(&self, task: Placed) {
        self.lock().waiting.push_back((Instant::now(), task));
        self.start_waiting();
    }

    fn withdraw(&self, patience: Duration) -> Vec<i64> {
        let mut state = self.lock();
        let (stale, fresh): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut state.waiting)
            .into_iter()
            .partition(|(since, _)| since.elapsed() >= patience);
        state.waiting = fresh;
        stale.into_iter().map(|(_, task)| task.task).collect()
    }
}
