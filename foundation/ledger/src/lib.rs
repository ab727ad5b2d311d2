//! SQL state on SQLite or PostgreSQL, for every part of the house that must remember something.
//!
//! The one idea: **all writes of a ledger happen one after the other**, over all threads and processes, and many of
//! them share one durable commit. A write is a closure that gets a [`Tx`]; it sees everything that was committed
//! before it and nothing of a concurrent write, so it needs no locks, no retries and no thought about isolation. Its
//! caller hears of success only after the commit is on disk. Reads are snapshots and run beside the writes.
//!
//! One SQL text serves both backends: parameters are `$1 $2 …`, types BIGINT, DOUBLE PRECISION, TEXT and BYTEA, and
//! `ON CONFLICT` and `RETURNING` are welcome. A single machine uses a SQLite file; several use PostgreSQL.
//!
//! ```
//! use backlot_ledger::{Error, Ledger, Migration, params};
//!
//! let ledger = Ledger::open("sqlite::memory:")?;
//! let sql = "CREATE TABLE titles (id {identity}, name TEXT NOT NULL UNIQUE)";
//! ledger.migrate("catalogue", &[Migration { version: 1, name: "titles", sql }])?;
//!
//! let id = ledger.write_blocking(|tx| {
//!     let row = tx.query_one("INSERT INTO titles (name) VALUES ($1) RETURNING id", params!["Metropolis"])?;
//!     row.get::<i64>(0)
//! })?;
//! let name = ledger.read_blocking(move |tx| {
//!     tx.query_one("SELECT name FROM titles WHERE id = $1", params![id])?.get::<String>(0)
//! })?;
//! assert_eq!(name, "Metropolis");
//! # Ok::<(), Error>(())
//! ```
//!
//! Beside the tables of its users a ledger holds their [migrations](Migration), an append-only [audit
//! journal](JournalEntry) and fenced [leases](Lease).

mod connection;
mod error;
mod job;
mod journal;
mod lease;
mod ledger;
mod maintenance;
mod migrate;
mod postgres;
mod reader;
mod sql;
mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod tx;
mod value;
mod writer;

pub use error::{ConstraintKind, Error};
pub use journal::{JournalEntry, JournalRecord};
pub use lease::Lease;
pub use ledger::{Backend, Ledger, Options, Stats};
pub use maintenance::CheckReport;
pub use migrate::{AppliedMigration, Migration};
pub use time::{Clock, SystemClock, Timestamp};
pub use tx::Tx;
pub use value::{FromValue, Row, Value};
