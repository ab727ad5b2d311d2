//! One database connection of either backend, as the writer and the readers use it.

use std::time::Duration;

use crate::postgres::PostgresConnection;
use crate::sqlite::SqliteConnection;
use crate::time::LedgerClock;
use crate::{Backend, Error, Row, Timestamp, Value};

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Read,
}

/// COMMIT failed: the transaction is rolled back, or (`CommitUnknown`) nobody knows.
#[derive(Debug)]
pub(crate) struct CommitError(pub(crate) Error);

/// What ended a wait for work.
pub(crate) enum Wake<T> {
    /// A message arrived.
    Message(T),
    /// Another process committed.
    OthersCommitted,
    /// Time to look around.
    Nothing,
    /// No sender is left.
    Closed,
}

pub(crate) enum Connection {
    Sqlite(Box<SqliteConnection>, LedgerClock),
    Postgres(Box<PostgresConnection>, LedgerClock),
}

/// How often SQLite is asked whether another process committed, while somebody listens.
const POLL_OTHERS: Duration = Duration::from_millis(25);

impl Connection {
    pub(crate) fn backend(&self) -> Backend {
        match self {
            Connection::Sqlite(..) => Backend::Sqlite,
            Connection::Postgres(..) => Backend::Postgres,
        }
    }

    /// How often the connection had to be made anew.
    pub(crate) fn reconnects(&self) -> u64 {
        match self {
            Connection::Sqlite(..) => 0,
            Connection::Postgres(c, _) => c.reconnects(),
        }
    }

    /// Starts a transaction, reconnecting when need be, and tells the time that holds for it.
    pub(crate) fn begin(&mut self, mode: Mode) -> Result<Timestamp, Error> {
        match self {
            Connection::Sqlite(c, clock) => {
                c.begin(mode)?;
                Ok(clock.now())
            }
            Connection::Postgres(c, clock) => {
                let server_now = c.begin(mode)?;
                Ok(clock.observe(server_now))
            }
        }
    }

    /// SAVEPOINT, RELEASE, ROLLBACK TO. PostgreSQL sends it along with the next statement.
    pub(crate) fn control(&mut self, sql: &str) -> Result<(), Error> {
        match self {
            Connection::Sqlite(c, _) => c.control(sql),
            Connection::Postgres(c, _) => {
                c.control(sql);
                Ok(())
            }
        }
    }

    /// Ends the transaction; `wrote` says whether other processes have something to hear of.
    pub(crate) fn commit(&mut self, wrote: bool) -> Result<(), CommitError> {
        match self {
            Connection::Sqlite(c, _) => c.commit(),
            Connection::Postgres(c, _) => c.commit(wrote),
        }
    }

    pub(crate) fn rollback(&mut self) {
        match self {
            Connection::Sqlite(c, _) => c.rollback(),
            Connection::Postgres(c, _) => c.rollback(),
        }
    }

    /// Why the open transaction as a whole is lost, if it is.
    pub(crate) fn fault(&mut self) -> Option<Error> {
        match self {
            Connection::Sqlite(c, _) => c.fault(),
            Connection::Postgres(c, _) => c.fault(),
        }
    }

    pub(crate) fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        match self {
            Connection::Sqlite(c, _) => c.execute(sql, params),
            Connection::Postgres(c, _) => c.execute(sql, params),
        }
    }

    pub(crate) fn execute_many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<u64, Error> {
        match self {
            Connection::Sqlite(c, _) => c.execute_many(sql, rows),
            Connection::Postgres(c, _) => c.execute_many(sql, rows),
        }
    }

    pub(crate) fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        match self {
            Connection::Sqlite(c, _) => c.query(sql, params),
            Connection::Postgres(c, _) => c.query(sql, params),
        }
    }

    pub(crate) fn script(&mut self, sql: &str) -> Result<(), Error> {
        match self {
            Connection::Sqlite(c, _) => c.script(sql),
            Connection::Postgres(c, _) => c.script(sql),
        }
    }

    /// Waits for a message. While `listened` says so, commits of other processes end the wait too.
    pub(crate) fn wait<T>(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        inbox: &mut tokio::sync::mpsc::Receiver<T>,
        listened: bool,
    ) -> Wake<T> {
        let message = |received: Option<T>| received.map_or(Wake::Closed, Wake::Message);
        match self {
            Connection::Sqlite(c, _) if listened => {
                // Asked before the wait too: a stream of local messages must not keep the news of others away.
                if c.others_committed(POLL_OTHERS) {
                    return Wake::OthersCommitted;
                }
                let received =
                    runtime.block_on(async { tokio::time::timeout(POLL_OTHERS, inbox.recv()).await });
                received.map_or(Wake::Nothing, message)
            }
            Connection::Sqlite(..) => message(runtime.block_on(inbox.recv())),
            Connection::Postgres(c, _) => c.wait(inbox, listened),
        }
    }
}
