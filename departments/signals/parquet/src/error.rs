//! What can be wrong with a file.

/// Why a file gives no signals. Each message is one line and names the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a Parquet file, or the end of one is missing.
    #[error("is no whole Parquet file; it must begin and end with PAR1, so copy it again from its source")]
    NotParquet,
    /// Broken, or written with something that is not read here.
    #[error("is a broken Parquet file: {0}; write it again")]
    Broken(String),
    /// No column tells the time.
    #[error("has no column of times ({0}); write timestamps, or call a column of seconds since 1970 `time`")]
    NoTime(String),
    /// A point without a time.
    #[error("has no time in row {0}; leave such rows out")]
    TimeMissing(usize),
    /// Nothing to look at.
    #[error("has no column of numbers beside the time; write the signals as numbers")]
    NoNumbers,
    /// Two points of one signal at one time, null or not.
    #[error("has two rows of `{signal}` at {time} ms since 1970; aggregate to one for each time")]
    Twice {
        /// The signal.
        signal: String,
        /// The time.
        time: i64,
    },
    /// More than the reader was told to take.
    #[error("has {values} values, more than {limit}; give fewer signals or wider steps")]
    TooMany {
        /// Values of all signals together.
        values: usize,
        /// The most.
        limit: usize,
    },
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Self {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        Self::Broken(line.trim_end_matches('.').chars().take(200).collect())
    }
}
