//! A pool of kernels that were started before they were needed.
//!
//! Starting a Python kernel takes half a second; taking one that waits takes a few milliseconds. A kernel serves one run and is
//! never given back, so runs are as isolated as with a kernel each. The pool keeps one kernel ready for each name that was asked
//! for, and starts the next when one is taken.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Kernel, KernelError, Launch};

/// The most kinds of kernel for which one is kept: each waiting kernel holds some 60 MB.
const MAX_KINDS: usize = 4;

/// How often a start is looked after.
const LOOK: Duration = Duration::from_millis(5);

type Waiting = Arc<Mutex<HashMap<Vec<String>, tokio::task::JoinHandle<Result<Kernel, KernelError>>>>>;

/// Kernels that wait to be used. Cheap to clone; the kernels end with the last clone.
#[derive(Clone, Default)]
pub struct KernelPool {
    waiting: Waiting,
}

impl KernelPool {
    /// An empty pool.
    pub fn new() -> KernelPool {
        KernelPool::default()
    }

    /// Starts a kernel so that it waits, unless one does already.
    pub fn prepare(&self, launch: &Launch) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_KINDS || waiting.contains_key(&launch.spec.argv) {
            let launch = Launch { directory: None, ..launch.clone() };
            waiting
                .entry(launch.spec.argv.clone())
                .or_insert_with(|| tokio::spawn(async move { Kernel::start(&launch).await }));
        }
    }

    /// Waits until every kernel that was prepared has started, or failed to.
    pub async fn settled(&self) {
        loop {
            let is_settled = {
                let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.values().all(tokio::task::JoinHandle::is_finished)
            };
            if is_settled {
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
        let waiting = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.remove(&launch.spec.argv)
        };
        let found = match waiting {
            Some(starting) => match starting.await {
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
