//! The ledger's handle: opening, queues, and what goes into them.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::connection::{Connection, Mode};
use crate::job::{self, Job};
use crate::migrate::KnownMigrations;
use crate::postgres::{PostgresConnection, Target};
use crate::reader::Readers;
use crate::sqlite::{Place, SqliteConnection};
use crate::time::LedgerClock;
use crate::writer::{Message, Writer};
use crate::{Clock, Error, SystemClock, Timestamp, Tx};

/// Which database holds the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file on this machine (or memory, for tests).
    Sqlite,
    /// A server.
    Postgres,
}

/// How a ledger is opened. `Options::default()` suits production.
#[derive(Clone)]
pub struct Options {
    /// The clock to go by; by default the machine's on SQLite and the database server's on PostgreSQL.
    pub clock: Option<Arc<dyn Clock>>,
    /// Reader threads (and connections) at most.
    pub readers: usize,
    /// Closures that may wait in the writer's queue; further callers wait for room. The readers' queue has the same.
    pub queue: usize,
    /// How long to wait for another process's write before [`Error::Busy`].
    pub lock_timeout: Duration,
    /// How long to try to reach the server before [`Error::Unavailable`].
    pub connect_timeout: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            clock: None,
            // More would only contend for the cores; reads are short.
            readers: std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8)),
            queue: 4096,
            lock_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// SQL state with serialised, durable, batched writes. A cheap handle: clone it freely.
///
/// The threads end when the last clone is dropped, after all queued work is done.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    writer: mpsc::Sender<Message>,
    readers: Readers,
    known: Mutex<KnownMigrations>,
}

#[derive(Clone)]
enum Destination {
    Sqlite(Place),
    Postgres(Box<Target>),
}

/// What the threads share with the handles. It holds no queue's sending end, so it keeps no thread alive.
pub(crate) struct Shared {
    destination: Destination,
    options: Options,
    clock: LedgerClock,
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) stats: Counters,
}

#[derive(Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    committed: AtomicU64,
    rolled_back: AtomicU64,
    largest_batch: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) reconnects: AtomicU64,
    queue_peak: AtomicUsize,
}

/// Counts since the ledger was opened in this process, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Transactions committed.
    pub commits: u64,
    /// Write closures whose changes were committed; over `commits` it is the mean batch.
    pub committed: u64,
    /// Write closures that were rolled back.
    pub rolled_back: u64,
    /// The most closures that one commit held.
    pub largest_batch: u64,
    /// Read closures run.
    pub reads: u64,
    /// Times the writer had to connect to the server anew.
    pub reconnects: u64,
    /// Write closures waiting now.
    pub queue_depth: usize,
    /// The most that ever waited.
    pub queue_peak: usize,
    /// How many may wait.
    pub queue_capacity: usize,
}

impl Counters {
    pub(crate) fn note_batch(&self, committed: usize, rolled_back: usize) {
        if committed > 0 {
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.committed.fetch_add(committed as u64, Ordering::Relaxed);
            self.largest_batch.fetch_max(committed as u64, Ordering::Relaxed);
        }
        self.rolled_back.fetch_add(rolled_back as u64, Ordering::Relaxed);
    }
}

thread_local! {
    /// The ledger whose thread this is, by the address of its shared part.
    static LEDGER_THREAD: Cell<usize> = const { Cell::new(0) };
}

/// Marks the calling thread as one of `shared`'s, so that waiting for itself is noticed.
pub(crate) fn mark_ledger_thread(shared: &Arc<Shared>) {
    LEDGER_THREAD.set(Arc::as_ptr(shared) as usize);
}

impl Shared {
    pub(crate) fn connect(&self, mode: Mode) -> Result<Connection, Error> {
        let options = &self.options;
        let clock = self.clock.clone();
        Ok(match &self.destination {
            Destination::Sqlite(place) => {
                let opened = SqliteConnection::open(place, mode, options.lock_timeout)?;
                Connection::Sqlite(Box::new(opened), clock)
            }
            Destination::Postgres(target) => {
                let opened =
                    PostgresConnection::open(target, mode, options.lock_timeout, options.connect_timeout)?;
                Connection::Postgres(Box::new(opened), clock)
            }
        })
    }

    pub(crate) fn bump(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Ledger {
    /// Opens the ledger at `url` with [`Options::default`].
    ///
    /// `sqlite:///absolute/path/ledger.db` (the file is created, its directory must exist; the path is taken as it
    /// stands, without percent-decoding), `sqlite::memory:` (gone with the last handle; reads take turns with writes),
    /// or `postgres://user:password@host:port/database?sslmode=disable|prefer|require|verify-full&sslrootcert=FILE`.
    pub fn open(url: &str) -> Result<Ledger, Error> {
        Ledger::open_with(url, Options::default())
    }

    /// Opens the ledger at `url`. Blocks until the database has answered.
    pub fn open_with(url: &str, options: Options) -> Result<Ledger, Error> {
        let destination = parse(url)?;
        let server_clock = matches!(destination, Destination::Postgres(_));
        let clock = match &options.clock {
            Some(clock) => LedgerClock::Own(clock.clone()),
            None if server_clock => LedgerClock::Server { ahead: Arc::default() },
            None => LedgerClock::Own(Arc::new(SystemClock)),
        };
        let queue = options.queue.max(1);
        let readers = Readers::new(options.readers.max(1), queue);
        let shared = Arc::new(Shared {
            destination,
            options,
            clock,
            changes: watch::Sender::new(0),
            stats: Counters::default(),
        });
        let (writer, inbox) = mpsc::channel(queue);
        start_writer(&shared, inbox)?;
        let ledger = Ledger { inner: Arc::new(Inner { shared, writer, readers, known: Mutex::default() }) };
        crate::migrate::create_own_tables(&ledger)?;
        Ok(ledger)
    }

    /// Which database this is.
    pub fn backend(&self) -> Backend {
        match self.inner.shared.destination {
            Destination::Sqlite(_) => Backend::Sqlite,
            Destination::Postgres(_) => Backend::Postgres,
        }
    }

    /// Where the ledger lives, for messages; without password.
    pub fn place(&self) -> String {
        match &self.inner.shared.destination {
            Destination::Sqlite(place) => place.name(),
            Destination::Postgres(target) => target.place().to_owned(),
        }
    }

    /// Runs `f` in a write transaction and returns its answer after the commit is durable.
    ///
    /// Writes are strictly serialised, over all processes: `f` sees everything that was committed before it and
    /// nothing of a concurrent write. It shares its commit with whatever else was waiting, but not its fate: an `Err`
    /// undoes only its own changes. `f` runs on the writer's thread and should be short; everybody else waits for it.
    /// Dropping the returned future does not stop a closure that is already queued.
    pub async fn write<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = job::new(Mode::Write, f);
        self.queue_write(job).await?;
        answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// [`Ledger::write`] for code that is not async. It blocks the calling thread.
    pub fn write_blocking<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        job::block_on(self.write(f))
    }

    /// Runs `f` on a snapshot: it sees one state of the ledger throughout, at least as new as every write answered
    /// before the call. Reads run beside writes, several at a time. Statements that write are refused.
    pub async fn read<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = job::new(Mode::Read, f);
        self.queue_read(job).await?;
        answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// [`Ledger::read`] for code that is not async. It blocks the calling thread.
    pub fn read_blocking<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        job::block_on(self.read(f))
    }

    /// A counter that moves after every commit that changed something, of this process at once and of other processes
    /// promptly (SQLite: within about 25 ms while somebody listens; PostgreSQL: by LISTEN/NOTIFY).
    ///
    /// It may move without a change, and several commits may move it once: take it as "look again".
    pub fn changes(&self) -> watch::Receiver<u64> {
        let receiver = self.inner.shared.changes.subscribe();
        // The writer may be asleep without watching others. When its queue is full it is awake anyway.
        let _ = self.inner.writer.try_send(Message::Nudge);
        receiver
    }

    /// The ledger's clock: the injected one, else the machine's on SQLite, the database server's (as last seen) on
    /// PostgreSQL.
    pub fn now(&self) -> Timestamp {
        self.inner.shared.clock.now()
    }

    /// Counts for metrics.
    pub fn stats(&self) -> Stats {
        let counters = &self.inner.shared.stats;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let writer = &self.inner.writer;
        Stats {
            commits: load(&counters.commits),
            committed: load(&counters.committed),
            rolled_back: load(&counters.rolled_back),
            largest_batch: load(&counters.largest_batch),
            reads: load(&counters.reads),
            reconnects: load(&counters.reconnects),
            queue_depth: writer.max_capacity() - writer.capacity(),
            queue_peak: counters.queue_peak.load(Ordering::Relaxed),
            queue_capacity: writer.max_capacity(),
        }
    }

    pub(crate) fn known(&self) -> &Mutex<KnownMigrations> {
        &self.inner.known
    }

    /// The database file, when there is one.
    pub(crate) fn sqlite_file(&self) -> Option<&Path> {
        match &self.inner.shared.destination {
            Destination::Sqlite(Place::File(path)) => Some(path),
            _ => None,
        }
    }

    /// A connection of its own, for maintenance.
    pub(crate) fn connect(&self, mode: Mode) -> Result<Connection, Error> {
        self.inner.shared.connect(mode)
    }

    async fn queue_write(&self, job: Box<dyn Job>) -> Result<(), Error> {
        self.refuse_own_thread()?;
        let writer = &self.inner.writer;
        if writer.send(Message::Job(job)).await.is_err() {
            return Err(Error::Closed);
        }
        let depth = writer.max_capacity() - writer.capacity();
        self.inner.shared.stats.queue_peak.fetch_max(depth, Ordering::Relaxed);
        Ok(())
    }

    async fn queue_read(&self, job: Box<dyn Job>) -> Result<(), Error> {
        if let Destination::Sqlite(Place::Memory) = self.inner.shared.destination {
            // There is only one connection to see it through.
            return self.queue_write(job).await;
        }
        self.refuse_own_thread()?;
        self.inner.readers.queue(job, &self.inner.shared).await
    }

    fn refuse_own_thread(&self) -> Result<(), Error> {
        if LEDGER_THREAD.get() == Arc::as_ptr(&self.inner.shared) as usize {
            return Err(Error::Nested);
        }
        Ok(())
    }
}

/// Starts the writer's thread and waits until it has its connection.
fn start_writer(shared: &Arc<Shared>, inbox: mpsc::Receiver<Message>) -> Result<(), Error> {
    let place = match &shared.destination {
        Destination::Sqlite(place) => place.name(),
        Destination::Postgres(target) => target.place().to_owned(),
    };
    let failed = |problem: String| Error::Open { place: place.clone(), problem };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|e| failed(format!("cannot start a runtime: {e}")))?;
    let (ready, opened) = std::sync::mpsc::channel();
    let shared = shared.clone();
    let thread = std::thread::Builder::new().name("ledger-writer".to_owned());
    thread
        .spawn(move || {
            mark_ledger_thread(&shared);
            match shared.connect(Mode::Write) {
                Ok(connection) => {
                    let _ = ready.send(Ok(()));
                    Writer { connection, inbox, runtime, shared }.run();
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        })
        .map_err(|e| failed(format!("cannot start the writer thread: {e}")))?;
    opened.recv().unwrap_or_else(|_| Err(failed("the writer thread ended at once".to_owned())))
}

fn parse(url: &str) -> Result<Destination, Error> {
    let bad =
        |problem: &str| Error::Url { url: crate::postgres::target::redact(url), problem: problem.to_owned() };
    if url == "sqlite::memory:" {
        return Ok(Destination::Sqlite(Place::Memory));
    }
    if let Some(path) = url.strip_prefix("sqlite://") {
        if !path.starts_with('/') {
            return Err(bad("the path is not absolute"));
        }
        if path.ends_with('/') {
            return Err(bad("the path names a directory, not a file"));
        }
        return Ok(Destination::Sqlite(Place::File(PathBuf::from(path))));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Destination::Postgres(Box::new(Target::parse(url)?)));
    }
    Err(bad("the scheme is unknown"))
}
