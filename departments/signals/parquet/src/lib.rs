//! Signals from Parquet files, wide or long, as pandas, polars, DuckDB and Spark write them.
//!
//! | form | columns | signals |
//! |---|---|---|
//! | wide | a time, and numbers | each column of numbers is a signal |
//! | long | a time, texts, and numbers | each combination of texts is a signal, for each column of numbers: `cpu{host=a}` |
//!
//! The time is the first column of timestamps; without one, a column of numbers (seconds since 1970, milliseconds from 10¹¹ on) that is called `time`, `timestamp`, `ts`,
//! `date` or `datetime`. Of the texts, one called `name`, `metric` or `signal` names the signal and the others are its tags. Null is a missing point. Columns
//! that are neither (lists, structures, bytes) are left out, and told.
//!
//! The one idea: **a file is a claim.** Nothing is allocated because the file says so: columns grow as their pages are decoded, counts are compared with what
//! came, and a decoder that panics on broken bytes is an error like any other.
//!
//! The decoding is the crate `parquet`'s, of which only columns of plain values are used.

mod column;
mod error;
mod long;
mod schema;

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};

pub use error::Error;

/// What a Parquet file begins and ends with.
pub const MAGIC: &[u8; 4] = b"PAR1";

/// The signals of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// Milliseconds since 1970; rising, if the file's rows are in order.
    pub times: Vec<i64>,
    /// What each signal is called.
    pub names: Vec<String>,
    /// The values of each signal, one for each time; NaN where one is missing.
    pub signals: Vec<Vec<f64>>,
    /// What was left out.
    pub notes: Vec<String>,
}

/// Reads all signals of a file, of at most `most_values` values.
///
/// # Errors
/// Bytes that are no Parquet file or a broken one, a file without times or numbers, too many values, two points of one signal at one time.
pub fn read(file: impl Into<Bytes>, most_values: usize) -> Result<Columns, Error> {
    let file = file.into();
    guarded(|| read_file(file, most_values))
}

/// The decoder checks much but not everything: what it trips over is a broken file, not the end of the process.
fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::Broken("its pages cannot be decoded".to_owned())))
}

fn read_file(file: Bytes, most_values: usize) -> Result<Columns, Error> {
    if file.len() < 12 || !file.starts_with(MAGIC) || !file.ends_with(MAGIC) {
        return Err(Error::NotParquet);
    }
    let reader = SerializedFileReader::new(file)?;
    let plan = schema::Plan::of(reader.metadata().file_metadata().schema_descr())?;
    let rows = usize::try_from(reader.metadata().file_metadata().num_rows())
        .map_err(|_| Error::Broken("it has a negative number of rows".to_owned()))?;
    let wanted = rows.saturating_mul(plan.numbers.len() + plan.texts.len() + 1);
    if wanted > most_values.saturating_mul(2) {
        return Err(Error::TooMany { values: rows.saturating_mul(plan.numbers.len()), limit: most_values });
    }
    let times = column::times(&reader, &plan.time, rows)?;
    if plan.texts.is_empty() {
        if rows.saturating_mul(plan.numbers.len()) > most_values {
            return Err(Error::TooMany {
                values: rows.saturating_mul(plan.numbers.len()),
                limit: most_values,
            });
        }
        let signals = each(&plan.numbers, |number| column::numbers(&reader, number, rows))?;
        let names = plan.numbers.iter().map(|number| number.name.clone()).collect();
        return Ok(Columns { times, names, signals, notes: plan.notes });
    }
    long::read(&reader, plan, times, most_values)
}

/// Does something with each of several columns, on all processors.
fn each<A: Sync, T: Send>(all: &[A], work: impl Fn(&A) -> Result<T, Error> + Sync) -> Result<Vec<T>, Error> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(all.len().max(1));
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(at) else { return done };
            let result = guarded(|| work(one));
            let is_wrong = result.is_err();
            done.push((at, result));
            if is_wrong {
                // What others have begun they end; nothing further begins.
                next.fetch_max(all.len(), Ordering::Relaxed);
            }
        }
    };
    let mut done = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for helper in helpers {
            match helper.join() {
                Ok(part) => done.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
