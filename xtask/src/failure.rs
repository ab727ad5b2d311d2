//! How a command fails: one line that names the mend, and an exit code.

use std::fmt::Display;
use std::path::Path;

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// One line: what is wrong and what mends it.
    pub(crate) message: String,
    /// The exit code of `cargo xtask`.
    pub(crate) code: u8,
}

impl Failure {
    /// A check, a test or a program that failed: exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), code: 1 }
    }

    /// Arguments that make no sense: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), code: 2 }
    }

    /// Something outside that is missing and that only the user can install: exit code 3.
    pub(crate) fn missing(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), code: 3 }
    }

    /// An input or output error at `path`; use with `map_err`.
    pub(crate) fn at<E: Display>(path: &Path) -> impl Fn(E) -> Failure {
        move |error| Failure::new(format!("{}: {error}", path.display()))
    }
}
