//! What can be wrong with a table or a request.

use std::path::PathBuf;

/// Why there is no explanation. Each message is one line and names the mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {reason}; check the path and its permissions", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// A line of a CSV file is not what it must be.
    #[error("line {line} of the table: {reason}")]
    Csv {
        /// Its number, from 1.
        line: usize,
        /// What is wrong, and the mend.
        reason: String,
    },
    /// A table as a whole is not what it must be.
    #[error("the table {0}")]
    Table(String),
    /// A Parquet file gives no table.
    #[error("the table {0}")]
    Parquet(#[from] backlot_signals_parquet::Error),
    /// No signal has the name of the alert's.
    #[error("the table has no signal `{name}`; {hint}")]
    NoSignal {
        /// The name asked for.
        name: String,
        /// The nearest names.
        hint: String,
    },
    /// The time of the alert, or a span, cannot be used.
    #[error("{0}")]
    Time(String),
    /// What was asked for is not there.
    #[error("{0}")]
    Parameter(String),
    /// A query of live metrics cannot be answered.
    #[error("the query of the {what} does not do: {reason}")]
    Query {
        /// Whose: "alert", "candidates".
        what: &'static str,
        /// What is wrong, and the mend.
        reason: String,
    },
    /// Live metrics cannot be read now.
    #[error("{0}")]
    Unavailable(String),
    /// Too many explanations are asked for at once.
    #[error("{0} explanations wait for their metrics already; ask again in a few seconds")]
    Busy(usize),
    /// The analysis refuses its input.
    #[error(transparent)]
    Kernel(#[from] backlot_signals_kernels::Error),
}

impl Error {
    /// What is wrong, and the mend.
    pub(crate) fn halves(&self) -> (String, String) {
        let text = self.to_string();
        match text.rsplit_once("; ") {
            Some((message, mend)) => (message.to_owned(), mend.to_owned()),
            None => (text, "see `backlot signals explain --help`".to_owned()),
        }
    }
}
