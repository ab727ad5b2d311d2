//! One SQLite connection.
//!
//! WAL mode, so that readers see a snapshot while the writer writes; `synchronous=FULL`, so that a commit that was
//! answered is on disk. Writers of several processes take turns through `BEGIN IMMEDIATE`; a waiting one polls in
//! short, growing naps rather than SQLite's own (which reach 100 ms and let a busy neighbour starve it).

use std::cell::Cell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::ffi;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{ErrorCode, OpenFlags, ToSql};

use crate::connection::{CommitError, Mode};
use crate::error::shorten;
use crate::sql;
use crate::{ConstraintKind, Error, Row, Value};

/// Statements kept prepared per connection; the least recently used goes first.
const STATEMENT_CACHE: usize = 256;
/// Translated texts kept per connection; beyond it the map starts anew. Texts are few unless SQL is assembled by hand.
const TEXT_CACHE: usize = 1024;
/// Pages in the WAL at which a commit also checkpoints: 16 MiB, four times the default, so that fewer commits pay for it.
const CHECKPOINT_PAGES: u32 = 4096;
/// The WAL file is cut back to this size after a checkpoint.
const WAL_LIMIT_BYTES: u64 = 64 << 20;

/// Where a SQLite ledger lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Private to one connection.
    Memory,
    /// A file that several processes may open.
    File(PathBuf),
}

impl Place {
    pub(crate) fn name(&self) -> String {
        match self {
            Place::Memory => "sqlite::memory:".to_owned(),
            Place::File(path) => path.display().to_string(),
        }
    }
}

pub(crate) struct SqliteConnection {
    connection: rusqlite::Connection,
    mode: Mode,
    place: String,
    texts: HashMap<String, Arc<str>>,
    data_version: i64,
    asked_others: Instant,
    /// The last statement error inside the open transaction, kept to explain a rollback that SQLite did by itself.
    last_error: Option<Error>,
}

thread_local! {
    static LOCK_TIMEOUT: Cell<Duration> = const { Cell::new(Duration::from_secs(30)) };
    static WAITING_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// SQLite calls this when another connection holds the lock; `true` is "try again".
fn wait_for_lock(attempt: i32) -> bool {
    const LONGEST_NAP: Duration = Duration::from_millis(4);
    let started = match WAITING_SINCE.get() {
        Some(started) if attempt > 0 => started,
        _ => {
            let now = Instant::now();
            WAITING_SINCE.set(Some(now));
            now
        }
    };
    if started.elapsed() > LOCK_TIMEOUT.get() {
        return false;
    }
    let step = u64::try_from(attempt).unwrap_or(0).min(16);
    let nap = Duration::from_micros(100 + 250 * step + fastrand::u64(0..200)).min(LONGEST_NAP);
    std::thread::sleep(nap);
    true
}

impl SqliteConnection {
    /// Opens `place` for the calling thread. `lock_timeout` bounds the wait for other writers.
    pub(crate) fn open(place: &Place, mode: Mode, lock_timeout: Duration) -> Result<SqliteConnection, Error> {
        let name = place.name();
        let open_error = |problem: String| Error::Open { place: name.clone(), problem };
        let connection = match place {
            Place::Memory => rusqlite::Connection::open_in_memory(),
            Place::File(path) => {
                if let Some(parent) = path.parent()
                    && !parent.is_dir()
                {
                    return Err(open_error(format!(
                        "the directory {} does not exist; create it",
                        parent.display()
                    )));
                }
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
                    | OpenFlags::SQLITE_OPEN_CREATE
                    | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                rusqlite::Connection::open_with_flags(path, flags)
            }
        }
        .map_err(|e| {
            open_error(format!("{e}; check that the path is a file that may be read and written"))
        })?;

        LOCK_TIMEOUT.set(lock_timeout);
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        let mut opened = SqliteConnection {
            connection,
            mode,
            place: name.clone(),
            texts: HashMap::new(),
            data_version: 0,
            asked_others: Instant::now(),
            last_error: None,
        };
        opened.configure(place, mode).map_err(|e| match e {
            Error::Sql { problem, .. } => open_error(problem),
            other => other,
        })?;
        Ok(opened)
    }

    fn configure(&mut self, place: &Place, mode: Mode) -> Result<(), Error> {
        let run = |this: &Self, sql: &str| -> Result<(), Error> {
            this.connection.execute_batch(sql).map_err(|e| this.error(&e, sql))
        };
        if let Err(e) = self.connection.busy_handler(Some(wait_for_lock)) {
            return Err(self.error(&e, "busy handler"));
        }
        if *place != Place::Memory {
            let journal = self.ask_for_write_ahead_log()?;
            if journal != "wal" {
                return Err(Error::Open {
                    place: self.place.clone(),
                    problem: format!(
                        "the file system offers no write-ahead log (journal mode stayed {journal}); put it on a local disk"
                    ),
                });
            }
        }
        run(
            self,
            &format!(
                "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}; \
                 PRAGMA journal_size_limit={WAL_LIMIT_BYTES}; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16000"
            ),
        )?;
        if mode == Mode::Read {
            run(self, "PRAGMA query_only=ON")?;
        }
        self.data_version = self.read_data_version()?;
        Ok(())
    }

    /// The journal mode after asking for the write-ahead log.
    ///
    /// Of several processes that open a new file at once one makes the change, and SQLite tells the others that they
    /// are busy without calling the busy handler, since each holds the lock that the change needs alone. So they ask again.
    fn ask_for_write_ahead_log(&self) -> Result<String, Error> {
        let sql = "PRAGMA journal_mode=WAL";
        let started = Instant::now();
        let mut attempt = 0;
        loop {
            match self.connection.query_row(sql, [], |row| row.get(0)) {
                Err(e)
                    if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                        && started.elapsed() < LOCK_TIMEOUT.get()
                        && wait_for_lock(attempt) =>
                {
                    attempt += 1;
                }
                outcome => return outcome.map_err(|e| self.error(&e, sql)),
            }
        }
    }

    fn read_data_version(&self) -> Result<i64, Error> {
        let sql = "PRAGMA data_version";
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| self.error(&e, sql))?;
        statement.query_row([], |row| row.get(0)).map_err(|e| self.error(&e, sql))
    }

    /// Whether another connection committed since the last call. Asks at most once per `period`; `false` in between.
    ///
    /// `PRAGMA data_version` moves only for commits of *other* connections, so asking on the writer's own connection
    /// leaves out this process's writes.
    pub(crate) fn others_committed(&mut self, period: Duration) -> bool {
        if self.asked_others.elapsed() < period {
            return false;
        }
        self.asked_others = Instant::now();
        match self.read_data_version() {
            Ok(version) => std::mem::replace(&mut self.data_version, version) != version,
            Err(error) => {
                tracing::warn!(%error, "cannot ask for commits of other processes");
                false
            }
        }
    }

    pub(crate) fn begin(&mut self, mode: Mode) -> Result<(), Error> {
        self.last_error = None;
        if !self.connection.is_autocommit() {
            // A rollback that failed earlier; nothing may be built on what it left.
            self.rollback();
        }
        match mode {
            Mode::Write => self.control("BEGIN IMMEDIATE"),
            Mode::Read => {
                if self.mode == Mode::Write {
                    // The one connection of a ledger in memory serves reads as well.
                    self.control("PRAGMA query_only=ON")?;
                }
                self.control("BEGIN DEFERRED")
            }
        }
    }

    /// SAVEPOINT and its kin, and BEGIN.
    pub(crate) fn control(&mut self, sql: &str) -> Result<(), Error> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| self.error(&e, sql))?;
        statement.execute([]).map_err(|e| self.error(&e, sql))?;
        Ok(())
    }

    pub(crate) fn commit(&mut self) -> Result<(), CommitError> {
        let sql = "COMMIT";
        let outcome = {
            let statement = self.connection.prepare_cached(sql);
            statement.and_then(|mut statement| statement.execute([]))
        };
        let Err(cause) = outcome else { return Ok(()) };
        let error = self.error(&cause, sql);
        self.rollback();
        // After a failed fsync nobody knows what reached the disk.
        let disk_failed = cause.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
        if disk_failed {
            let problem = cause.to_string();
            return Err(CommitError(Error::CommitUnknown { place: self.place.clone(), problem }));
        }
        Err(CommitError(error))
    }

    pub(crate) fn rollback(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(place = %self.place, %error, "rollback failed");
        }
        if self.mode == Mode::Write
            && let Err(error) = self.control("PRAGMA query_only=OFF")
        {
            tracing::warn!(place = %self.place, %error, "cannot allow writes again");
        }
    }

    /// Why the open transaction is gone, when SQLite rolled it back by itself (disk full, I/O error).
    pub(crate) fn fault(&mut self) -> Option<Error> {
        if !self.connection.is_autocommit() {
            return None;
        }
        Some(self.last_error.take().unwrap_or_else(|| Error::ConnectionLost {
            place: self.place.clone(),
            problem: "the transaction ended by itself".to_owned(),
        }))
    }

    fn text(&mut self, sql: &str) -> Arc<str> {
        if let Some(text) = self.texts.get(sql) {
            return text.clone();
        }
        if self.texts.len() >= TEXT_CACHE {
            self.texts.clear();
        }
        let text: Arc<str> = sql::for_sqlite(sql).into();
        self.texts.insert(sql.to_owned(), text.clone());
        text
    }

    pub(crate) fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        self.execute_rows(sql, std::iter::once(params))
    }

    pub(crate) fn execute_many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<u64, Error> {
        self.execute_rows(sql, rows.iter().map(Vec::as_slice))
    }

    fn execute_rows<'v>(&mut self, sql: &str, rows: impl Iterator<Item = &'v [Value]>) -> Result<u64, Error> {
        let text = self.text(sql);
        let outcome = (|| {
            let mut statement = self.connection.prepare_cached(&text).map_err(|e| self.error(&e, sql))?;
            let mut affected = 0;
            for params in rows {
                check_count(&statement, params, sql)?;
                if statement.column_count() == 0 {
                    affected += statement
                        .execute(rusqlite::params_from_iter(params.iter().map(Bound)))
                        .map_err(|e| self.error(&e, sql))? as u64;
                } else {
                    // RETURNING: every row must be stepped through, or the statement stops half way.
                    let mut returned = statement
                        .query(rusqlite::params_from_iter(params.iter().map(Bound)))
                        .map_err(|e| self.error(&e, sql))?;
                    while returned.next().map_err(|e| self.error(&e, sql))?.is_some() {
                        affected += 1;
                    }
                }
            }
            Ok(affected)
        })();
        self.remember(outcome)
    }

    pub(crate) fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let text = self.text(sql);
        let outcome = (|| {
            let mut statement = self.connection.prepare_cached(&text).map_err(|e| self.error(&e, sql))?;
            check_count(&statement, params, sql)?;
            let mut found = statement
                .query(rusqlite::params_from_iter(params.iter().map(Bound)))
                .map_err(|e| self.error(&e, sql))?;
            let mut rows = Vec::new();
            while let Some(row) = found.next().map_err(|e| self.error(&e, sql))? {
                // Asked anew: the first step prepares the statement again when another process changed the schema.
                let columns = row.as_ref().column_count();
                let mut values = Vec::with_capacity(columns);
                for index in 0..columns {
                    let value = row.get_ref(index).map_err(|e| self.error(&e, sql))?;
                    values.push(decode(index, value)?);
                }
                rows.push(Row::new(values));
            }
            Ok(rows)
        })();
        self.remember(outcome)
    }

    /// Runs several statements without parameters.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), Error> {
        let outcome = self.connection.execute_batch(sql).map_err(|e| self.error(&e, sql));
        self.remember(outcome)
    }

    fn remember<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &outcome {
            self.last_error = Some(error.clone());
        }
        outcome
    }

    /// Copies the whole database to the new file `to` through SQLite's backup API; writers go on meanwhile.
    pub(crate) fn copy_to(&self, to: &Path) -> Result<(), Error> {
        let backup_error = |e: rusqlite::Error| Error::Backup {
            to: to.display().to_string(),
            problem: format!("{e}; check the space and the rights there"),
        };
        let mut target = rusqlite::Connection::open(to).map_err(backup_error)?;
        {
            let backup =
                rusqlite::backup::Backup::new(&self.connection, &mut target).map_err(backup_error)?;
            // All pages in one step: one read transaction, so one snapshot, and in WAL mode no writer waits for it.
            let progress = backup.step(-1).map_err(backup_error)?;
            if progress != rusqlite::backup::StepResult::Done {
                return Err(Error::Backup {
                    to: to.display().to_string(),
                    problem: format!("stopped with {progress:?}; try again"),
                });
            }
        }
        // A single file, without -wal beside it.
        target.execute_batch("PRAGMA journal_mode=DELETE").map_err(backup_error)?;
        let verdict: String =
            target.query_row("PRAGMA quick_check", [], |row| row.get(0)).map_err(backup_error)?;
        if verdict != "ok" {
            let problem = format!("the copy is damaged ({verdict}); run `ledger check` on the source");
            return Err(Error::Backup { to: to.display().to_string(), problem });
        }
        target.close().map_err(|(_, e)| backup_error(e))
    }

    fn error(&self, cause: &rusqlite::Error, sql: &str) -> Error {
        let place = self.place.clone();
        let problem = cause.to_string();
        let rusqlite::Error::SqliteFailure(code, _) = cause else {
            return Error::Sql { problem, sql: shorten(sql) };
        };
        match code.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Busy { place, problem },
            ErrorCode::DiskFull => Error::DiskFull { place, problem },
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Error::Corrupt { place, problem },
            ErrorCode::CannotOpen | ErrorCode::SystemIoFailure => Error::Unavailable { place, problem },
            ErrorCode::ReadOnly => Error::ReadOnly { sql: shorten(sql) },
            ErrorCode::ConstraintViolation => {
                let kind = match code.extended_code {
                    ffi::SQLITE_CONSTRAINT_UNIQUE
                    | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                    | ffi::SQLITE_CONSTRAINT_ROWID => ConstraintKind::Unique,
                    ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ConstraintKind::ForeignKey,
                    ffi::SQLITE_CONSTRAINT_NOTNULL => ConstraintKind::NotNull,
                    ffi::SQLITE_CONSTRAINT_CHECK => ConstraintKind::Check,
                    ffi::SQLITE_CONSTRAINT_TRIGGER => ConstraintKind::Trigger,
                    _ => ConstraintKind::Other,
                };
                Error::Constraint { kind, problem }
            }
            _ => Error::Sql { problem, sql: shorten(sql) },
        }
    }
}

fn check_count(statement: &rusqlite::Statement<'_>, params: &[Value], sql: &str) -> Result<(), Error> {
    let wanted = statement.parameter_count();
    if wanted == params.len() {
        return Ok(());
    }
    let problem = format!("count is {}, the statement has {wanted}", params.len());
    Err(Error::Parameter { problem, sql: shorten(sql) })
}

fn decode(index: usize, value: ValueRef<'_>) -> Result<Value, Error> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i) => Value::Integer(i),
        ValueRef::Real(r) => Value::Real(r),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(e) => return Err(Error::Column { index, problem: format!("text is not UTF-8: {e}") }),
        },
    })
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(i) => ValueRef::Integer(*i),
            Value::Real(r) => ValueRef::Real(*r),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
