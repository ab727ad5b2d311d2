//! What can be wrong with an expression or a request.

/// An error with the class that clients of Atlas know it by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value does not fit: status 400.
    #[error("IllegalArgumentException: {0}")]
    Argument(String),
    /// The expression cannot go on from here: status 400.
    #[error("IllegalStateException: {0}")]
    State(String),
    /// Something that is named is not there: status 404.
    #[error("NoSuchElementException: {0}")]
    Missing(String),
    /// More than this server computes at once: status 413.
    #[error("IllegalArgumentException: {0}")]
    TooLarge(String),
}

impl Error {
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::Argument(message.into())
    }

    pub(crate) fn state(message: impl Into<String>) -> Self {
        Self::State(message.into())
    }

    /// The HTTP status for it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Argument(_) | Self::State(_) => 400,
            Self::Missing(_) => 404,
            Self::TooLarge(_) => 413,
        }
    }
}
