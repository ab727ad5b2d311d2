//! The readers: a few threads, each with a connection of its own, that share one queue.
//!
//! A reader is started when a read finds none idle and the pool is not full, so a ledger that is only written to
//! opens no second connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::Error;
use crate::connection::Mode;
use crate::job::Job;
use crate::ledger::{Shared, mark_ledger_thread};
use crate::writer::run_read;

pub(crate) struct Readers {
    pub(crate) queue: Sender<Box<dyn Job>>,
    inbox: Arc<Mutex<Receiver<Box<dyn Job>>>>,
    idle: Arc<AtomicUsize>,
    started: AtomicUsize,
    limit: usize,
}

impl Readers {
    pub(crate) fn new(limit: usize, capacity: usize) -> Readers {
        let (queue, inbox) = channel(capacity);
        Readers {
            queue,
            inbox: Arc::new(Mutex::new(inbox)),
            idle: Arc::default(),
            started: AtomicUsize::new(0),
            limit,
        }
    }

    /// Called before a job is queued: sees to it that somebody will take it.
    pub(crate) fn ensure(&self, shared: &Arc<Shared>) -> Result<(), Error> {
        let waiting = self.queue.max_capacity() - self.queue.capacity();
        if self.idle.load(Ordering::Acquire) > waiting {
            return Ok(());
        }
        let claimed = self
            .started
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < self.limit).then_some(n + 1));
        let Ok(number) = claimed else { return Ok(()) };
        let (shared, inbox, idle) = (shared.clone(), self.inbox.clone(), self.idle.clone());
        let thread = std::thread::Builder::new().name(format!("ledger-reader-{number}"));
        let spawned = thread.spawn(move || serve(&shared, &inbox, &idle));
        if let Err(error) = spawned {
            self.started.fetch_sub(1, Ordering::AcqRel);
            // Fewer readers do as well, but one there must be.
            if number == 0 {
                let problem = format!("cannot start a reader thread: {error}");
                return Err(Error::Open { place: "readers".to_owned(), problem });
            }
        }
        Ok(())
    }
}

/// Takes jobs until no sender is left.
fn serve(shared: &Arc<Shared>, inbox: &Mutex<Receiver<Box<dyn Job>>>, idle: &AtomicUsize) {
    mark_ledger_thread(shared);
    let mut connection = None;
    loop {
        idle.fetch_add(1, Ordering::AcqRel);
        // The idle readers queue on the lock; the one that has it waits for the next job.
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        idle.fetch_sub(1, Ordering::AcqRel);
        let Some(job) = job else { return };
        let connected = match connection.take() {
            Some(connected) => Ok(connected),
            None => shared.connect(Mode::Read),
        };
        match connected {
            Ok(mut connected) => {
                run_read(&mut connected, job, shared);
                connection = Some(connected);
            }
            Err(error) => job.answer(Some(error)),
        }
    }
}
