//! One PostgreSQL connection, driven by blocking calls on the thread that owns it.
//!
//! The connection's protocol task lives on a current-thread runtime and runs only inside `block_on`, so a statement
//! costs no thread switch. Round trips are what a transaction costs, so they are saved where they can be: BEGIN, the
//! writers' lock and the clock are one; SAVEPOINT and RELEASE travel with the next statement (`pending`); the notice
//! to other processes travels with COMMIT; `execute_many` sends all its executions before it awaits the first, and
//! gathers the rows of a plain INSERT in statements of many rows, since the server's cost is by the statement.

mod bind;
pub(crate) mod target;
mod tls;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::{join, join_all};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, unbounded_channel};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage, Statement};

use crate::connection::{CommitError, Mode, Wake};
use crate::error::shorten;
use crate::{ConstraintKind, Error, Row, Timestamp, Value, sql};
use bind::{Bound, Decoded};
pub(crate) use target::Target;

/// All ledger writers of a database queue on this advisory lock ("backlot" read as a number).
const WRITER_LOCK: i64 = 0x0062_6163_6b6c_6f74;
/// The NOTIFY channel that tells of commits.
const CHANNEL: &str = "backlot_ledger";
/// Statements kept prepared per connection; beyond it the cache starts anew. Statements are few unless SQL is
/// assembled by hand.
const STATEMENT_CACHE: usize = 512;
/// Executions of `execute_many` in flight at once: enough to hide the round trip, little enough to bound memory.
const PIPELINE: usize = 1024;
/// Rows of a plain INSERT in one statement, so long as there are as many: most of the gain, a text of moderate length,
/// and far from the protocol's limit of 65,535 parameters.
const ROWS_TOGETHER: usize = 64;
/// A writer whose process stopped inside a transaction loses its connection after this, so that others go on.
const IDLE_IN_TRANSACTION: Duration = Duration::from_mins(1);
/// Pauses between attempts to reconnect grow from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

pub(crate) struct PostgresConnection {
    runtime: Runtime,
    target: Target,
    mode: Mode,
    lock_timeout: Duration,
    connect_timeout: Duration,
    session: Option<Session>,
    /// Control statements to send ahead of the next one.
    pending: String,
    /// Set when the transaction as a whole is lost.
    fault: Option<Error>,
    connects: u64,
    /// While idle and unreachable: when to try again.
    next_attempt: Instant,
    /// The connection was lost and found again, so notices may have been missed.
    missed_notices: bool,
}

struct Session {
    client: Client,
    statements: HashMap<String, Statement>,
    notices: UnboundedReceiver<i32>,
    pid: i32,
}

impl PostgresConnection {
    pub(crate) fn open(
        target: &Target,
        mode: Mode,
        lock_timeout: Duration,
        connect_timeout: Duration,
    ) -> Result<PostgresConnection, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| {
            Error::Open { place: target.place().to_owned(), problem: format!("cannot start a runtime: {e}") }
        })?;
        let mut opened = PostgresConnection {
            runtime,
            target: target.clone(),
            mode,
            lock_timeout,
            connect_timeout,
            session: None,
            pending: String::new(),
            fault: None,
            connects: 0,
            next_attempt: Instant::now(),
            missed_notices: false,
        };
        opened.connect()?;
        Ok(opened)
    }

    /// How often the connection had to be made anew.
    pub(crate) fn reconnects(&self) -> u64 {
        self.connects.saturating_sub(1)
    }

    fn connect(&mut self) -> Result<(), Error> {
        let place = self.target.place().to_owned();
        let unavailable = |problem: String| Error::Unavailable { place: place.clone(), problem };
        let setup = format!(
            "SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; SET client_min_messages = warning; \
             SELECT set_config('synchronous_commit', 'on', false) \
               WHERE current_setting('synchronous_commit') = 'off'; {} \
             SELECT pg_backend_pid()",
            self.lock_timeout.as_millis().max(1),
            IDLE_IN_TRANSACTION.as_millis(),
            if self.mode == Mode::Write { format!("LISTEN {CHANNEL};") } else { String::new() },
        );
        let (target, connect_timeout) = (&self.target, self.connect_timeout);
        let session = self.runtime.block_on(async {
            let connected = tokio::time::timeout(connect_timeout, target.connect()).await;
            let Ok(connected) = connected else {
                return Err(unavailable(format!("no answer within {connect_timeout:?}")));
            };
            let (client, mut connection) = connected?;
            let (sender, notices) = unbounded_channel();
            tokio::spawn(async move {
                // Ends when the client is dropped or the connection breaks; either closes `notices`.
                while let Some(message) =
                    futures::future::poll_fn(|context| connection.poll_message(context)).await
                {
                    match message {
                        Ok(AsyncMessage::Notification(notice)) => {
                            if sender.send(notice.process_id()).is_err() {
                                break;
                            }
                        }
                        Ok(AsyncMessage::Notice(notice)) => tracing::debug!(%notice, "postgres notice"),
                        Ok(_) => {}
                        Err(error) => {
                            tracing::debug!(%error, "postgres connection ended");
                            break;
                        }
                    }
                }
            });
            let answer = client.simple_query(&setup).await.map_err(|e| unavailable(describe(&e)))?;
            let pid = last_cell(&answer).and_then(|text| text.parse().ok());
            let pid = pid.ok_or_else(|| unavailable("the server did not tell its process id".to_owned()))?;
            Ok(Session { client, statements: HashMap::new(), notices, pid })
        })?;
        self.session = Some(session);
        self.connects += 1;
        self.missed_notices = self.connects > 1;
        Ok(())
    }

    /// Starts a transaction and returns the server's clock, all in one round trip. Since no closure has run yet, a
    /// broken connection is mended here, for up to `connect_timeout`.
    pub(crate) fn begin(&mut self, mode: Mode) -> Result<Timestamp, Error> {
        let deadline = Instant::now() + self.connect_timeout;
        let mut pause = BACKOFF.0;
        loop {
            let outcome = match self.session {
                Some(_) => Ok(()),
                None => self.connect(),
            };
            let outcome = outcome.and_then(|()| self.try_begin(mode));
            let Err(error) = outcome else { return outcome };
            let may_mend = matches!(error, Error::Unavailable { .. } | Error::ConnectionLost { .. });
            if !may_mend || Instant::now() + pause >= deadline {
                return Err(match error {
                    Error::ConnectionLost { place, problem } => Error::Unavailable { place, problem },
                    other => other,
                });
            }
            self.session = None;
            tracing::debug!(%error, "postgres unreachable, trying again");
            std::thread::sleep(pause);
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    fn try_begin(&mut self, mode: Mode) -> Result<Timestamp, Error> {
        const CLOCK: &str = "SELECT (extract(epoch from clock_timestamp()) * 1000000)::bigint";
        self.pending.clear();
        self.fault = None;
        let sql = match mode {
            Mode::Write => format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({WRITER_LOCK}); {CLOCK}"
            ),
            Mode::Read => format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {CLOCK}"),
        };
        let answer = self.simple(&sql);
        let micros = answer.and_then(|answer| {
            let micros = last_cell(&answer).and_then(|text| text.parse().ok());
            micros.ok_or_else(|| Error::Sql {
                problem: "the server did not tell the time".to_owned(),
                sql: shorten(&sql),
            })
        });
        match micros {
            Ok(micros) => Ok(Timestamp::from_micros(micros)),
            Err(error) => {
                self.rollback();
                Err(error)
            }
        }
    }

    /// Queues SAVEPOINT, RELEASE or ROLLBACK TO, to travel with the next statement.
    pub(crate) fn control(&mut self, sql: &str) {
        self.pending.push_str(sql);
        self.pending.push(';');
    }

    pub(crate) fn commit(&mut self, wrote: bool) -> Result<(), CommitError> {
        let mut sql = std::mem::take(&mut self.pending);
        if wrote {
            sql.push_str("NOTIFY ");
            sql.push_str(CHANNEL);
            sql.push(';');
        }
        sql.push_str("COMMIT");
        let Err(error) = self.simple(&sql) else { return Ok(()) };
        if let Error::ConnectionLost { place, problem } = error {
            return Err(CommitError(Error::CommitUnknown { place, problem }));
        }
        self.rollback();
        Err(CommitError(error))
    }

    pub(crate) fn rollback(&mut self) {
        self.pending.clear();
        if self.session.is_some()
            && let Err(error) = self.simple("ROLLBACK")
        {
            tracing::debug!(%error, "rollback failed, dropping the connection");
            self.session = None;
        }
    }

    pub(crate) fn fault(&mut self) -> Option<Error> {
        self.fault.clone()
    }

    pub(crate) fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let statement = self.prepare(sql)?;
        bind::check(&statement, params, sql)?;
        self.run(sql, async |client| client.execute_raw(&statement, params.iter().map(Bound)).await)
    }

    pub(crate) fn execute_many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<u64, Error> {
        let statement = self.prepare(sql)?;
        for params in rows {
            bind::check(&statement, params, sql)?;
        }
        let many = self.prepare_together(sql, &statement, rows.len())?;
        let rest = rows.len() % ROWS_TOGETHER;
        let (together, single) = rows.split_at(if many.is_some() { rows.len() - rest } else { 0 });
        let mut affected = 0;
        if let Some(many) = &many {
            for chunk in together.chunks(PIPELINE) {
                affected += self.run(sql, async |client| {
                    let executions = chunk.chunks(ROWS_TOGETHER).map(|rows| {
                        let values: Vec<Bound<'_>> = rows.iter().flatten().map(Bound).collect();
                        client.execute_raw(many, values)
                    });
                    join_all(executions).await.into_iter().sum::<Result<u64, _>>()
                })?;
            }
        }
        for chunk in single.chunks(PIPELINE) {
            affected += self.run(sql, async |client| {
                let executions =
                    chunk.iter().map(|params| client.execute_raw(&statement, params.iter().map(Bound)));
                join_all(executions).await.into_iter().sum::<Result<u64, _>>()
            })?;
        }
        Ok(affected)
    }

    /// `sql` for [`ROWS_TOGETHER`] rows, where there are so many, where it can be written so, and where the server
    /// takes the parameters for the same types as those of `single`.
    fn prepare_together(
        &mut self,
        sql: &str,
        single: &Statement,
        rows: usize,
    ) -> Result<Option<Statement>, Error> {
        if rows < ROWS_TOGETHER {
            return Ok(None);
        }
        let Some(text) = sql::for_rows(sql, ROWS_TOGETHER) else { return Ok(None) };
        let many = self.prepare(&text)?;
        let same_types = many.params().chunks(single.params().len()).all(|row| row == single.params());
        Ok(same_types.then_some(many))
    }

    pub(crate) fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(sql)?;
        bind::check(&statement, params, sql)?;
        let found = self.run(sql, async |client| {
            let mut stream = std::pin::pin!(client.query_raw(&statement, params.iter().map(Bound)).await?);
            let mut found = Vec::new();
            while let Some(row) = stream.next().await {
                found.push(row?);
            }
            Ok(found)
        })?;
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            let mut values = Vec::with_capacity(row.len());
            for index in 0..row.len() {
                let Decoded(value) = row.try_get(index).map_err(|e| Error::Column {
                    index,
                    problem: std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string),
                })?;
                values.push(value);
            }
            rows.push(Row::new(values));
        }
        Ok(rows)
    }

    pub(crate) fn script(&mut self, sql: &str) -> Result<(), Error> {
        if let Some(session) = &mut self.session {
            // Plans and result types may change under a migration.
            session.statements.clear();
        }
        let mut text = std::mem::take(&mut self.pending);
        text.push_str(sql);
        self.simple(&text).map(|_| ())
    }

    fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.session.as_ref().and_then(|s| s.statements.get(sql)) {
            return Ok(statement.clone());
        }
        let statement = self.run(sql, async |client| client.prepare(sql).await)?;
        if let Some(session) = &mut self.session {
            if session.statements.len() >= STATEMENT_CACHE {
                session.statements.clear();
            }
            session.statements.insert(sql.to_owned(), statement.clone());
        }
        Ok(statement)
    }

    /// Runs `action`, preceded on the wire by whatever is pending.
    fn run<T>(
        &mut self,
        sql: &str,
        action: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Error> {
        let pending = std::mem::take(&mut self.pending);
        let Some(session) = &self.session else { return Err(self.lost("not connected".to_owned())) };
        let client = &session.client;
        let (ahead, outcome) = self.runtime.block_on(async {
            if pending.is_empty() {
                (Ok(()), action(client).await)
            } else {
                // Polled in this order, so that is the order on the wire.
                join(client.batch_execute(&pending), action(client)).await
            }
        });
        if let Err(cause) = ahead {
            let error = self.error(&cause, &pending);
            self.fault = Some(error.clone());
            return Err(error);
        }
        outcome.map_err(|cause| self.error(&cause, sql))
    }

    fn simple(&mut self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        let Some(session) = &self.session else { return Err(self.lost("not connected".to_owned())) };
        let outcome = self.runtime.block_on(session.client.simple_query(sql));
        outcome.map_err(|cause| self.error(&cause, sql))
    }

    fn lost(&mut self, problem: String) -> Error {
        self.session = None;
        let error = Error::ConnectionLost { place: self.target.place().to_owned(), problem };
        self.fault = Some(error.clone());
        error
    }

    fn error(&mut self, cause: &tokio_postgres::Error, sql: &str) -> Error {
        let place = self.target.place().to_owned();
        let problem = describe(cause);
        let Some(database) = cause.as_db_error() else {
            // Everything but a server's answer and a value that cannot be sent is the end of the connection.
            return self.lost(problem);
        };
        let code = database.code();
        let constraint = |kind| Error::Constraint { kind, problem: problem.clone() };
        match *code {
            SqlState::UNIQUE_VIOLATION => constraint(ConstraintKind::Unique),
            SqlState::FOREIGN_KEY_VIOLATION => constraint(ConstraintKind::ForeignKey),
            SqlState::NOT_NULL_VIOLATION => constraint(ConstraintKind::NotNull),
            SqlState::CHECK_VIOLATION => constraint(ConstraintKind::Check),
            SqlState::RAISE_EXCEPTION => constraint(ConstraintKind::Trigger),
            SqlState::DISK_FULL => Error::DiskFull { place, problem },
            SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => Error::Corrupt { place, problem },
            SqlState::LOCK_NOT_AVAILABLE => Error::Busy { place, problem },
            SqlState::READ_ONLY_SQL_TRANSACTION => Error::ReadOnly { sql: shorten(sql) },
            SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => self.lost(problem),
            SqlState::FEATURE_NOT_SUPPORTED if problem.contains("cached plan") => {
                // Another process migrated the schema: prepare anew, and let the caller try again.
                if let Some(session) = &mut self.session {
                    session.statements.clear();
                }
                Error::Sql {
                    problem: format!("{problem}; the schema just changed, try again"),
                    sql: shorten(sql),
                }
            }
            _ if code.code().starts_with("08") || database.severity() == "FATAL" => self.lost(problem),
            _ => Error::Sql { problem, sql: shorten(sql) },
        }
    }

    /// Waits for a message, or for the notice of another process's commit.
    pub(crate) fn wait<T>(&mut self, inbox: &mut Receiver<T>, listened: bool) -> Wake<T> {
        if std::mem::take(&mut self.missed_notices) {
            return Wake::OthersCommitted;
        }
        let message = |received: Option<T>| received.map_or(Wake::Closed, Wake::Message);
        let Some(session) = &mut self.session else {
            if !listened {
                return message(self.runtime.block_on(inbox.recv()));
            }
            // Somebody wants to hear of others: do not wait for the next write to reconnect.
            let until = tokio::time::Instant::from_std(self.next_attempt);
            let received =
                self.runtime.block_on(async { tokio::time::timeout_at(until, inbox.recv()).await });
            if let Ok(received) = received {
                return message(received);
            }
            if let Err(error) = self.connect() {
                tracing::debug!(%error, "still cannot reach postgres");
                self.next_attempt = Instant::now() + BACKOFF.1;
            }
            return Wake::Nothing;
        };
        let own = session.pid;
        let notices = &mut session.notices;
        let woken = self.runtime.block_on(async {
            loop {
                tokio::select! {
                    biased;
                    received = inbox.recv() => return Some(message(received)),
                    notice = notices.recv() => match notice {
                        Some(pid) if pid == own => {}
                        Some(_) => {
                            // One wake for all that wait.
                            while notices.try_recv().is_ok() {}
                            return Some(Wake::OthersCommitted);
                        }
                        None => return None,
                    },
                }
            }
        });
        woken.unwrap_or_else(|| {
            self.session = None;
            self.next_attempt = Instant::now();
            Wake::Nothing
        })
    }
}

/// The last value of the last row of a simple query's answer.
fn last_cell(answer: &[SimpleQueryMessage]) -> Option<&str> {
    answer.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(row.len().checked_sub(1)?),
        _ => None,
    })
}

/// The server's own words where there are some; tokio-postgres says only "db error".
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(database) = error.as_db_error() {
        let detail = database.detail().map(|d| format!(" ({d})")).unwrap_or_default();
        return format!("{}{detail} [{}]", database.message(), database.code().code());
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
