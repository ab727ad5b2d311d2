//! The writer: one thread that runs every write closure, many per commit.
//!
//! Closures wait in a bounded queue. The writer begins a transaction, runs the first closure, then every other that
//! is waiting by then, each in a savepoint of its own, commits once, and only then answers them all. So the cost of
//! making a commit durable is shared, and the busier the ledger the more it is shared. The first closure needs no
//! savepoint: when it fails there is nothing else in the transaction yet, and rolling the whole back is the same.
//!
//! A closure that failed is answered after the commit too: what it saw (a name that was taken, say) may have been the
//! work of a neighbour in the same transaction, which counts only once it is committed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::mpsc::Receiver;

use crate::connection::{Connection, Mode, Wake};
use crate::job::{Job, Verdict};
use crate::ledger::Shared;
use crate::{Error, Tx};

/// Closures in one commit at most, so that one failed commit is no mass event.
const BATCH_CLOSURES: usize = 512;
/// No further closure joins a batch that has run this long: it bounds how long the first one waits for the last.
const BATCH_TIME: Duration = Duration::from_millis(20);

const SAVEPOINT: &str = "SAVEPOINT closure";
const RELEASE: &str = "RELEASE SAVEPOINT closure";
const ROLLBACK_TO: &str = "ROLLBACK TO SAVEPOINT closure";

/// What the writer's queue carries.
pub(crate) enum Message {
    Job(Box<dyn Job>),
    /// Somebody began to listen for changes: look at the listeners anew.
    Nudge,
}

pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) inbox: Receiver<Message>,
    pub(crate) runtime: Runtime,
    pub(crate) shared: Arc<Shared>,
}

impl Writer {
    /// Serves the queue until the last handle of the ledger is gone.
    pub(crate) fn run(mut self) {
        loop {
            let listened = self.shared.changes.receiver_count() > 0;
            match self.connection.wait(&self.runtime, &mut self.inbox, listened) {
                Wake::Message(Message::Job(job)) => self.serve(job),
                Wake::Message(Message::Nudge) | Wake::Nothing => {}
                Wake::OthersCommitted => self.shared.bump(),
                Wake::Closed => return,
            }
        }
    }

    fn serve(&mut self, job: Box<dyn Job>) {
        let mut next = Some(job);
        while let Some(job) = next.take() {
            next = match job.mode() {
                Mode::Write => self.batch(job),
                Mode::Read => {
                    run_read(&mut self.connection, job, &self.shared);
                    None
                }
            };
        }
        self.shared.stats.reconnects.store(self.connection.reconnects(), Ordering::Relaxed);
    }

    /// One transaction that starts with `first`. Returns a job that was taken from the queue but does not belong in it.
    fn batch(&mut self, first: Box<dyn Job>) -> Option<Box<dyn Job>> {
        let now = match self.connection.begin(Mode::Write) {
            Ok(now) => now,
            Err(error) => {
                // All that wait would only wait for the same failure again, one after the other.
                first.answer(Some(error.clone()));
                while let Ok(message) = self.inbox.try_recv() {
                    if let Message::Job(job) = message {
                        job.answer(Some(error.clone()));
                    }
                }
                return None;
            }
        };
        let started = Instant::now();
        let mut ran: Vec<Box<dyn Job>> = Vec::new();
        let mut wrote = false;
        let mut undone = 0;
        let mut left_over = None;
        let mut job = first;
        loop {
            let in_savepoint = !ran.is_empty();
            let outcome = self.run_one(&mut *job, now, in_savepoint);
            ran.push(job);
            match outcome {
                Ok(Verdict::Keep { wrote: this_wrote }) => wrote |= this_wrote,
                Ok(Verdict::Undo) if in_savepoint => undone += 1,
                Ok(Verdict::Undo) => {
                    self.connection.rollback();
                    self.shared.stats.note_batch(0, 1);
                    answer_all(ran, None);
                    return None;
                }
                Err(fault) => {
                    self.connection.rollback();
                    self.shared.stats.note_batch(0, ran.len());
                    answer_all(ran, Some(fault));
                    return None;
                }
            }
            if ran.len() >= BATCH_CLOSURES || started.elapsed() >= BATCH_TIME {
                break;
            }
            job = match self.next_job() {
                Some(job) if job.mode() == Mode::Write => job,
                other => {
                    left_over = other;
                    break;
                }
            };
        }

        let committed = self.connection.commit(wrote);
        if let Err(failure) = committed {
            self.shared.stats.note_batch(0, ran.len());
            answer_all(ran, Some(failure.0));
            return left_over;
        }
        self.shared.stats.note_batch(ran.len() - undone, undone);
        if wrote {
            self.shared.bump();
        }
        answer_all(ran, None);
        left_over
    }

    /// Runs one closure. An error means that the whole transaction is lost.
    fn run_one(
        &mut self,
        job: &mut dyn Job,
        now: crate::Timestamp,
        in_savepoint: bool,
    ) -> Result<Verdict, Error> {
        if in_savepoint {
            self.connection.control(SAVEPOINT)?;
        }
        let verdict = job.run(&mut Tx::new(&mut self.connection, Mode::Write, now));
        if let Some(fault) = self.connection.fault() {
            return Err(fault);
        }
        if in_savepoint {
            if verdict == Verdict::Undo {
                self.connection.control(ROLLBACK_TO)?;
            }
            self.connection.control(RELEASE)?;
        }
        Ok(verdict)
    }

    fn next_job(&mut self) -> Option<Box<dyn Job>> {
        loop {
            match self.inbox.try_recv() {
                Ok(Message::Job(job)) => return Some(job),
                Ok(Message::Nudge) => {}
                Err(_) => return None,
            }
        }
    }
}

fn answer_all(jobs: Vec<Box<dyn Job>>, overruled: Option<Error>) {
    for job in jobs {
        job.answer(overruled.clone());
    }
}

/// One read closure in a snapshot of its own.
pub(crate) fn run_read(connection: &mut Connection, mut job: Box<dyn Job>, shared: &Shared) {
    let now = match connection.begin(Mode::Read) {
        Ok(now) => now,
        Err(error) => return job.answer(Some(error)),
    };
    job.run(&mut Tx::new(connection, Mode::Read, now));
    let fault = connection.fault();
    connection.rollback();
    shared.stats.reads.fetch_add(1, Ordering::Relaxed);
    job.answer(fault);
}
