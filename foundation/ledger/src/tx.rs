//! The transaction a closure works in.

use crate::connection::{Connection, Mode};
use crate::error::shorten;
use crate::sql::{self, Kind};
use crate::{Backend, Error, Row, Timestamp, Value};

/// A transaction on the ledger, handed to the closures of [`crate::Ledger::write`] and [`crate::Ledger::read`].
///
/// A closure that returns `Ok` commits, one that returns `Err` leaves nothing behind. Once a statement has failed the
/// transaction is void, on SQLite as on PostgreSQL: every later statement answers [`Error::Aborted`], and returning
/// `Ok` all the same is turned into the first error. A failure that is expected goes into [`Tx::attempt`].
pub struct Tx<'c> {
    connection: &'c mut Connection,
    mode: Mode,
    now: Timestamp,
    wrote: bool,
    failed: Option<Error>,
    depth: u32,
}

impl<'c> Tx<'c> {
    pub(crate) fn new(connection: &'c mut Connection, mode: Mode, now: Timestamp) -> Tx<'c> {
        Tx { connection, mode, now, wrote: false, failed: None, depth: 0 }
    }

    /// Runs one statement and returns the number of rows it affected.
    ///
    /// Statements are prepared once per connection and kept, so text should be constant and values go in `params`.
    pub fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let kind = self.admit(sql)?;
        let outcome = self.connection.execute(sql, params);
        self.note(kind, outcome, |affected| *affected > 0)
    }

    /// Runs one statement for each of `rows` and returns the number of rows affected in all.
    ///
    /// The way to write many rows: one prepared statement in a loop on SQLite, all executions sent before the first
    /// answer is awaited on PostgreSQL.
    pub fn execute_many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<u64, Error> {
        let kind = self.admit(sql)?;
        if rows.is_empty() {
            return Ok(0);
        }
        let outcome = self.connection.execute_many(sql, rows);
        self.note(kind, outcome, |affected| *affected > 0)
    }

    /// Runs one statement and returns all its rows.
    pub fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let kind = self.admit(sql)?;
        let outcome = self.connection.query(sql, params);
        self.note(kind, outcome, |rows| !rows.is_empty())
    }

    /// The only row, or `None` when there is none; [`Error::RowCount`] when there are more.
    pub fn query_opt(&mut self, sql: &str, params: &[Value]) -> Result<Option<Row>, Error> {
        let mut rows = self.query(sql, params)?;
        if rows.len() > 1 {
            return Err(Error::RowCount {
                expected: "at most one row",
                found: rows.len(),
                sql: shorten(sql),
            });
        }
        Ok(rows.pop())
    }

    /// The only row; [`Error::RowCount`] when there is none or more than one.
    pub fn query_one(&mut self, sql: &str, params: &[Value]) -> Result<Row, Error> {
        let mut rows = self.query(sql, params)?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(row),
            (last, _) => {
                let found = rows.len() + usize::from(last.is_some());
                Err(Error::RowCount { expected: "one row", found, sql: shorten(sql) })
            }
        }
    }

    /// Runs `f` in a savepoint: when it returns `Err`, what it did is undone and this transaction goes on.
    pub fn attempt<T, E: From<Error>>(
        &mut self,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.usable()?;
        self.depth += 1;
        let name = format!("attempt_{}", self.depth);
        let wrote_before = self.wrote;
        let opened = self.connection.control(&format!("SAVEPOINT {name}"));
        if let Err(error) = opened {
            self.depth -= 1;
            return Err(self.fail(error).into());
        }
        let outcome = f(self);
        self.depth -= 1;
        let outcome = match (outcome, self.failed.take()) {
            (Ok(_), Some(failure)) => Err(failure.into()),
            (outcome, _) => outcome,
        };
        if outcome.is_err() {
            self.wrote = wrote_before;
            let undone = self.connection.control(&format!("ROLLBACK TO SAVEPOINT {name}"));
            if let Err(error) = undone {
                return Err(self.fail(error).into());
            }
        }
        let closing = self.connection.control(&format!("RELEASE SAVEPOINT {name}"));
        match closing {
            Ok(()) => outcome,
            Err(error) => Err(self.fail(error).into()),
        }
    }

    /// The time that holds for the whole closure: the database server's clock on PostgreSQL, the machine's on SQLite,
    /// or the injected one. Closures that commit together may share it.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Which database this is, for the rare statement that cannot be the same on both.
    pub fn backend(&self) -> Backend {
        self.connection.backend()
    }

    /// Several statements without parameters, for migrations.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.usable()?;
        let outcome = self.connection.script(sql);
        self.note(Kind::Schema, outcome, |()| true)
    }

    /// Whether anything was changed.
    pub(crate) fn wrote(&self) -> bool {
        self.wrote
    }

    /// The failure that makes this transaction void.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        self.failed.take()
    }

    fn usable(&self) -> Result<(), Error> {
        match &self.failed {
            Some(first) => Err(Error::Aborted { first: first.to_string() }),
            None => Ok(()),
        }
    }

    fn admit(&mut self, sql: &str) -> Result<Kind, Error> {
        self.usable()?;
        match sql::kind(sql) {
            Kind::Control => Err(self.fail(Error::TransactionControl { sql: shorten(sql) })),
            kind @ (Kind::Change | Kind::Read) => Ok(kind),
            Kind::Schema if self.mode == Mode::Read => Err(self.fail(Error::ReadOnly { sql: shorten(sql) })),
            Kind::Schema => Ok(Kind::Schema),
        }
    }

    fn note<T>(
        &mut self,
        kind: Kind,
        outcome: Result<T, Error>,
        changed: impl FnOnce(&T) -> bool,
    ) -> Result<T, Error> {
        match outcome {
            Ok(value) => {
                self.wrote |= match kind {
                    Kind::Read | Kind::Control => false,
                    Kind::Change => changed(&value),
                    Kind::Schema => true,
                };
                Ok(value)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.failed = Some(error.clone());
        error
    }
}
