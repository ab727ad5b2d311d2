//! The readers: a few threads, each with a connection of its own, that share one queue.
//!
//! A reader is started when a read finds none to spare and the pool is not full, so a ledger that is only written to
//! opens no second connection. `spare` counts the readers started, less the reads that are queued or running, and a read
//! takes from it before it is queued: no two reads count on the same reader.

use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::Error;
use crate::connection::Mode;
use crate::job::Job;
use crate::ledger::{Shared, mark_ledger_thread};
use crate::writer::run_read;

pub(crate) struct Readers {
    queue: Sender<Box<dyn Job>>,
    inbox: Arc<Mutex<Receiver<Box<dyn Job>>>>,
    spare: Arc<AtomicIsize>,
    started: AtomicUsize,
    limit: usize,
}

impl Readers {
    pub(crate) fn new(limit: usize, capacity: usize) -> Readers {
        let (queue, inbox) = channel(capacity);
        Readers {
            queue,
            inbox: Arc::new(Mutex::new(inbox)),
            spare: Arc::default(),
            started: AtomicUsize::new(0),
            limit,
        }
    }

    /// Queues `job`, where it waits for room, and sees to it that a reader takes it, one of its own while the pool has one.
    pub(crate) async fn queue(&self, job: Box<dyn Job>, shared: &Arc<Shared>) -> Result<(), Error> {
        // Room first: a caller that gives up while it waits has taken no reader.
        let room = self.queue.reserve().await.map_err(|_| Error::Closed)?;
        self.take_reader(shared)?;
        room.send(job);
        Ok(())
    }

    fn take_reader(&self, shared: &Arc<Shared>) -> Result<(), Error> {
        if self.spare.fetch_sub(1, Ordering::AcqRel) > 0 {
            return Ok(());
        }
        let claimed = self
            .started
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < self.limit).then_some(n + 1));
        let Ok(number) = claimed else { return Ok(()) };
        let (shared, inbox, spare) = (shared.clone(), self.inbox.clone(), self.spare.clone());
        let thread = std::thread::Builder::new().name(format!("ledger-reader-{number}"));
        let Err(error) = thread.spawn(move || serve(&shared, &inbox, &spare)) else {
            self.spare.fetch_add(1, Ordering::AcqRel);
            return Ok(());
        };
        self.started.fetch_sub(1, Ordering::AcqRel);
        // Fewer readers do as well, but one there must be.
        if number > 0 {
            return Ok(());
        }
        self.spare.fetch_add(1, Ordering::AcqRel);
        let problem = format!("cannot start a reader thread: {error}");
        Err(Error::Open { place: "readers".to_owned(), problem })
    }
}

/// Takes jobs until no sender is left.
fn serve(shared: &Arc<Shared>, inbox: &Mutex<Receiver<Box<dyn Job>>>, spare: &AtomicIsize) {
    mark_ledger_thread(shared);
    let mut connection = None;
    loop {
        // The idle readers queue on the lock; the one that has it waits for the next job.
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
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
        spare.fetch_add(1, Ordering::AcqRel);
    }
}
