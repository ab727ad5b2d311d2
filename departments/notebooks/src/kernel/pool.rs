//! A pool of kernels that were started before they were needed.
//!
//! Starting a Python kernel takes half a second; taking one that waits takes a few milliseconds. A kernel serves one run and is
//! never given back, so runs are as isolated as with a kernel each. The pool keeps one kernel ready for each kernelspec that was
//! asked for, and starts the next when one is taken. One that nobody takes for a while is ended: it holds some 60 MB.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{Kernel, KernelError, Launch};

/// The most kernelspecs for which a kernel is kept.
const MAX_KINDS: usize = 4;

/// How long a kernel waits. Jobs that come by the hour start a kernel as well as without a pool; those by the minute find one.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// How often a start is looked after.
const LOOK: Duration = Duration::from_millis(5);

/// A kernel that waits, or is about to.
struct Waiting {
    /// Which start this is, of all in the pool.
    number: u64,
    start: JoinHandle<Result<Kernel, KernelError>>,
}

#[derive(Default)]
struct Kept {
    started: u64,
    /// By command: kernelspecs of one command are one kernel.
    waiting: HashMap<Vec<String>, Waiting>,
}

/// Kernels that wait to be used. Cheap to clone; the kernels end with the last clone.
#[derive(Clone)]
pub struct KernelPool {
    kept: Arc<Mutex<Kept>>,
    idle: Duration,
}

impl Default for KernelPool {
    fn default() -> KernelPool {
        KernelPool::with_idle(IDLE)
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KernelPool {
    /// An empty pool.
    pub fn new() -> KernelPool {
        KernelPool::default()
    }

    /// An empty pool whose kernels wait this long.
    pub fn with_idle(idle: Duration) -> KernelPool {
        KernelPool { kept: Arc::default(), idle }
    }

    /// How many kernels wait, or are about to.
    pub fn waiting(&self) -> usize {
        lock(&self.kept).waiting.len()
    }

    /// Starts a kernel so that it waits, unless one does already.
    pub fn prepare(&self, launch: &Launch) {
        let mut kept = lock(&self.kept);
        let is_full = kept.waiting.len() >= MAX_KINDS;
        if is_full || kept.waiting.contains_key(&launch.spec.argv) {
            return;
        }
        kept.started += 1;
        let number = kept.started;
        let command = launch.spec.argv.clone();
        let launch = Launch { directory: None, ..launch.clone() };
        let start = tokio::spawn(async move { Kernel::start(&launch).await });
        kept.waiting.insert(command.clone(), Waiting { number, start });
        tokio::spawn(end_after(Arc::downgrade(&self.kept), self.idle, command, number));
    }

    /// Waits until every kernel that was prepared has started, or failed to.
    pub async fn settled(&self) {
        loop {
            if lock(&self.kept).waiting.values().all(|waiting| waiting.start.is_finished()) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A kernel: the one that waits if it can be used for this, else a new one. Another is started in its place.
    ///
    /// # Errors
    /// As [`Kernel::start`].
    pub async fn take(&self, launch: &Launch) -> Result<Kernel, KernelError> {
        let waiting = lock(&self.kept).waiting.remove(&launch.spec.argv);
        let found = match waiting {
            Some(waiting) => match waiting.start.await {
                Ok(Ok(kernel)) => self.fit(kernel, launch.directory.as_deref()).await,
                _ => None,
            },
            None => None,
        };
        let kernel = match found {
            Some(kernel) => kernel,
            None => Kernel::start(launch).await?,
        };
        self.prepare(launch);
        Ok(kernel)
    }

    async fn fit(&self, mut kernel: Kernel, directory: Option<&Path>) -> Option<Kernel> {
        if !kernel.is_alive() {
            return None;
        }
        let own = std::env::current_dir().ok();
        let wanted: Option<PathBuf> = directory.map(Path::to_owned).or(own);
        match wanted {
            Some(wanted) if kernel.can_move() => kernel.move_to(&wanted).await.ok().map(|()| kernel),
            None => Some(kernel),
            Some(_) if directory.is_none() => Some(kernel),
            Some(_) => None,
        }
    }
}

/// Ends a kernel that still waits after this time.
async fn end_after(kept: Weak<Mutex<Kept>>, idle: Duration, command: Vec<String>, number: u64) {
    tokio::time::sleep(idle).await;
    let Some(kept) = kept.upgrade() else { return };
    let mut kept = lock(&kept);
    if kept.waiting.get(&command).is_some_and(|waiting| waiting.number == number) {
        // The kernel is killed as its start's result is dropped.
        kept.waiting.remove(&command);
    }
}
