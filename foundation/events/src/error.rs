//! What can go wrong with events.

/// The error of every operation on events.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] backlot_ledger::Error),
    /// The event is not a valid CloudEvents 1.0 event.
    #[error("event is not CloudEvents 1.0: {problem}")]
    Invalid {
        /// Which attribute, and what is wrong with it.
        problem: String,
    },
    /// The text is not JSON, or not the JSON of one event or of a batch.
    #[error("not a CloudEvents JSON document: {problem}")]
    Json {
        /// Where and what.
        problem: String,
    },
    /// The event, or the batch, is too large.
    #[error("{what} is {found}, the limit is {limit}; send less at a time, keep large data in the store")]
    TooLarge {
        /// "event size in bytes" or "number of events in the batch".
        what: &'static str,
        /// How much it is.
        found: usize,
        /// How much it may be.
        limit: usize,
    },
    /// A stored event cannot be read back.
    #[error("event {seq} in the ledger is damaged: {problem}; run `ledger check`")]
    Damaged {
        /// Its sequence number.
        seq: u64,
        /// What is wrong.
        problem: String,
    },
    /// Another member of the consumer group is the active one.
    #[error("consumer group {group} is served by another member now; poll again to take part")]
    NotActive {
        /// The group.
        group: String,
    },
    /// A consumer group's name is empty or too long.
    #[error("consumer group name {name:?} is not usable; give 1 to 200 characters")]
    GroupName {
        /// The name, shortened.
        name: String,
    },
}

impl Error {
    pub(crate) fn invalid(problem: impl Into<String>) -> Error {
        Error::Invalid { problem: problem.into() }
    }
}
