//! From ingest to the evaluator: a bounded queue that never makes ingest wait.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::evaluator::Evaluator;
use crate::store::{Applied, Tap};

/// Batches that may wait.
const MOST_BATCHES: usize = 16_384;

/// Values that may wait: a quarter of a gigabyte.
const MOST_VALUES: usize = 8 << 20;

/// What the evaluator's thread is sent.
pub(crate) enum Message {
    Values(Vec<Applied>),
    Edit(Box<dyn FnOnce(&mut Evaluator) + Send>),
}

/// The way to the evaluator. A cheap handle.
#[derive(Clone)]
pub(crate) struct Feed(Arc<Inner>);

struct Inner {
    sender: SyncSender<Message>,
    receiver: Mutex<Option<Receiver<Message>>>,
    wanted: AtomicBool,
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl Default for Feed {
    fn default() -> Self {
        let (sender, receiver) = sync_channel(MOST_BATCHES);
        Self(Arc::new(Inner {
            sender,
            receiver: Mutex::new(Some(receiver)),
            wanted: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        }))
    }
}

impl Feed {
    /// Values that the evaluator was too slow for.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn set_wanted(&self, wanted: bool) {
        self.0.wanted.store(wanted, Ordering::Relaxed);
    }

    pub(super) fn take_receiver(&self) -> Option<Receiver<Message>> {
        self.0.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn taken(&self, values: usize) {
        self.0.waiting.fetch_sub(values, Ordering::Relaxed);
    }

    /// Changes what is evaluated. Waits for room, so not from an async task.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Evaluator) + Send + 'static) {
        // Without an evaluator there is nothing to change.
        drop(self.0.sender.send(Message::Edit(Box::new(edit))));
    }
}

impl Tap for Feed {
    fn wants(&self) -> bool {
        self.0.wanted.load(Ordering::Relaxed)
    }

    fn take(&self, applied: Vec<Applied>) {
        let count = applied.len();
        let before = self.0.waiting.fetch_add(count, Ordering::Relaxed);
        let sent = before + count <= MOST_VALUES && self.0.sender.try_send(Message::Values(applied)).is_ok();
        if !sent {
            self.0.waiting.fetch_sub(count, Ordering::Relaxed);
            self.0.dropped.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}
