//! What can go wrong, each with the thing it happened to and the mend.

use std::fmt;

/// The error of every ledger operation.
///
/// Cloneable, because one failed commit is the answer to every write that shared it. Messages are one lower-case
/// line; passwords never appear in them.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The ledger URL cannot be understood.
    #[error(
        "ledger url {url}: {problem}; write sqlite:///absolute/path/ledger.db, sqlite::memory: or postgres://user@host/database"
    )]
    Url {
        /// The URL as given, its password hidden.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The database could not be opened or set up.
    #[error("cannot open ledger {place}: {problem}")]
    Open {
        /// The file or server.
        place: String,
        /// What went wrong, with the mend.
        problem: String,
    },
    /// The database cannot be reached. Nothing was committed; the call may be repeated.
    #[error(
        "ledger {place} cannot be reached: {problem}; nothing was committed, check the server and try again"
    )]
    Unavailable {
        /// The file or server.
        place: String,
        /// What went wrong.
        problem: String,
    },
    /// The connection broke before COMMIT was sent. Nothing was committed; the call may be repeated.
    #[error("connection to ledger {place} was lost: {problem}; nothing was committed, try again")]
    ConnectionLost {
        /// The file or server.
        place: String,
        /// What went wrong.
        problem: String,
    },
    /// The connection (or the disk) failed while COMMIT was under way: the write is either wholly there or wholly absent.
    #[error(
        "ledger {place} failed during commit: {problem}; the write may or may not be there, read it back before repeating it"
    )]
    CommitUnknown {
        /// The file or server.
        place: String,
        /// What went wrong.
        problem: String,
    },
    /// Another process held the write lock for longer than [`crate::Options::lock_timeout`].
    #[error(
        "ledger {place} is locked by another writer for too long: {problem}; look for a stuck process that holds it open"
    )]
    Busy {
        /// The file or server.
        place: String,
        /// What the database said.
        problem: String,
    },
    /// The disk that holds the database is full. Nothing of this write was kept.
    #[error("no space left for ledger {place}: {problem}; nothing was committed, make room and try again")]
    DiskFull {
        /// The file or server.
        place: String,
        /// What the database said.
        problem: String,
    },
    /// The database file is damaged or is no database.
    #[error("ledger {place} is damaged or not a database: {problem}; restore it from a backup")]
    Corrupt {
        /// The file or server.
        place: String,
        /// What the database said.
        problem: String,
    },
    /// A write statement was used where only reads are allowed.
    #[error("statement writes inside a read: use Ledger::write for: {sql}")]
    ReadOnly {
        /// The statement, shortened.
        sql: String,
    },
    /// A constraint of the schema refused the statement.
    #[error("{kind} constraint refused the statement: {problem}")]
    Constraint {
        /// Which sort of constraint.
        kind: ConstraintKind,
        /// What the database said.
        problem: String,
    },
    /// The database refused the statement.
    #[error("sql error: {problem} in: {sql}")]
    Sql {
        /// What the database said.
        problem: String,
        /// The statement, shortened.
        sql: String,
    },
    /// A statement was given values that do not fit its parameters.
    #[error("parameter {problem} in: {sql}")]
    Parameter {
        /// Which parameter and what is wrong.
        problem: String,
        /// The statement, shortened.
        sql: String,
    },
    /// A column was read as a type it does not have.
    #[error("column {index}: {problem}")]
    Column {
        /// Counted from 0.
        index: usize,
        /// What was found and what was asked for.
        problem: String,
    },
    /// [`crate::Tx::query_one`] or [`crate::Tx::query_opt`] found another number of rows.
    #[error("expected {expected}, found {found} rows for: {sql}")]
    RowCount {
        /// "one row" or "at most one row".
        expected: &'static str,
        /// How many there were.
        found: usize,
        /// The statement, shortened.
        sql: String,
    },
    /// A closure tried to end or nest the ledger's own transaction.
    #[error(
        "transaction control is the ledger's own: return Err to roll back, use Tx::attempt to nest; refused: {sql}"
    )]
    TransactionControl {
        /// The statement, shortened.
        sql: String,
    },
    /// A statement failed earlier in the same closure, so its transaction is void.
    #[error(
        "an earlier statement of this transaction failed: {first}; return the error, or wrap that statement in Tx::attempt"
    )]
    Aborted {
        /// The first failure.
        first: String,
    },
    /// A ledger closure called the same ledger again and would wait for itself.
    #[error(
        "a ledger closure called the same ledger again and would wait for itself: use the Tx it was given"
    )]
    Nested,
    /// The closure panicked; its writes were rolled back.
    #[error("the ledger closure panicked: {message}; its writes were rolled back")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// Migrations must be numbered 1, 2, 3 … without gaps.
    #[error(
        "migrations of {owner}: expected version {expected}, found {found}; number them 1, 2, 3 … in order"
    )]
    MigrationOrder {
        /// Whose migrations.
        owner: String,
        /// The version that should stand there.
        expected: u32,
        /// The version that does.
        found: u32,
    },
    /// An applied migration no longer has the text it was applied with.
    #[error(
        "migration {version} ({name}) of {owner} was changed after it was applied; restore its text and add a new migration instead"
    )]
    MigrationChanged {
        /// Whose migration.
        owner: String,
        /// Its number.
        version: u32,
        /// Its name in this program.
        name: String,
    },
    /// The database was migrated by a newer program.
    #[error("schema of {owner} is at version {found}, this program knows only {known}; run a newer program")]
    NewerSchema {
        /// Whose migrations.
        owner: String,
        /// The version in the database.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// The SQL of a migration failed; nothing of it was kept.
    #[error("migration {version} ({name}) of {owner} failed: {problem}")]
    MigrationFailed {
        /// Whose migration.
        owner: String,
        /// Its number.
        version: u32,
        /// Its name.
        name: String,
        /// What the database said.
        problem: String,
    },
    /// A lease is no longer held: it expired, was released, or went to another holder.
    #[error("lease {name} with token {token} is stale: {now_held}; stop working and acquire it anew")]
    StaleLease {
        /// The lease.
        name: String,
        /// The token that was shown.
        token: i64,
        /// Who holds it now.
        now_held: String,
    },
    /// A time lies outside the years -9999 to 9999, or is not RFC 3339.
    #[error("bad time {text}: {problem}; write RFC 3339, for example 2026-01-31T12:00:00Z")]
    Time {
        /// The text.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// The backup could not be made.
    #[error("backup to {to}: {problem}")]
    Backup {
        /// The target.
        to: String,
        /// What went wrong, with the mend.
        problem: String,
    },
    /// The ledger's thread is gone because the ledger was closed.
    #[error("the ledger is closed; open it again")]
    Closed,
}

/// Which sort of constraint refused a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConstraintKind {
    /// PRIMARY KEY or UNIQUE.
    Unique,
    /// REFERENCES.
    ForeignKey,
    /// NOT NULL.
    NotNull,
    /// CHECK.
    Check,
    /// A trigger's refusal, such as the journal's.
    Trigger,
    /// Any other.
    Other,
}

impl fmt::Display for ConstraintKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConstraintKind::Unique => "unique",
            ConstraintKind::ForeignKey => "foreign key",
            ConstraintKind::NotNull => "not null",
            ConstraintKind::Check => "check",
            ConstraintKind::Trigger => "trigger",
            ConstraintKind::Other => "schema",
        })
    }
}

impl Error {
    /// Whether nothing was committed and the same call may succeed later unchanged.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Error::Unavailable { .. }
                | Error::ConnectionLost { .. }
                | Error::Busy { .. }
                | Error::DiskFull { .. }
        )
    }

    /// Whether a PRIMARY KEY or UNIQUE constraint refused the statement.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Error::Constraint { kind: ConstraintKind::Unique, .. })
    }
}

/// A statement as it appears in messages: one line, at most 200 characters.
pub(crate) fn shorten(sql: &str) -> String {
    const LIMIT: usize = 200;
    let mut line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(LIMIT) {
        line.truncate(cut);
        line.push('…');
    }
    line
}
