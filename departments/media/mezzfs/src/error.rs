//! What can go wrong, each with its mend.

use std::io;
use std::path::{Path, PathBuf};

/// Why an object cannot be opened, read or mounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that names no object.
    #[error("`{text}` names no object: {fault}")]
    NotALocation {
        /// The text, without secrets: locations have none.
        text: String,
        /// What is wrong, and how to write it.
        fault: String,
    },
    /// There is no such object.
    #[error("{place} does not exist; check its name")]
    NotFound {
        /// The object.
        place: String,
    },
    /// The server forbids reading it.
    #[error(
        "{place} may not be read (status {status}); check the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the URL"
    )]
    Forbidden {
        /// The object.
        place: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server does not give ranges.
    #[error("{place} is served without byte ranges; use a server that answers `Range` with 206")]
    NoRanges {
        /// The object.
        place: String,
    },
    /// Nothing would show that the object was replaced.
    #[error(
        "{place} has neither an ETag nor a Last-Modified, so that a change could not be seen; use a server that sends one"
    )]
    NoVersion {
        /// The object.
        place: String,
    },
    /// The object is not what it was when it was opened.
    #[error("{place} has changed since it was mounted; mount it again")]
    Changed {
        /// The object.
        place: String,
    },
    /// The server failed again and again.
    #[error("{place} cannot be read: {reason}; check the server and the network, then read again")]
    Unreachable {
        /// The object.
        place: String,
        /// The last failure.
        reason: String,
    },
    /// Bytes that were not written by whoever holds the key.
    #[error(
        "part {part} of {object}, segment {segment}, fails its authentication: it was altered, or the key is another; restore the part, or give the right key"
    )]
    Tampered {
        /// The object.
        object: String,
        /// Which part.
        part: usize,
        /// Which segment of it.
        segment: u64,
    },
    /// A manifest that cannot be used.
    #[error("the manifest {name} cannot be used: {fault}")]
    Manifest {
        /// Its name or path.
        name: String,
        /// What is wrong, and how to write it.
        fault: String,
    },
    /// A key that is missing or wrong.
    #[error("{0}")]
    Key(String),
    /// A file or folder of this machine.
    #[error("cannot {action} {path}: {source}; check the path, the permissions and the free space")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The mount itself.
    #[error("cannot mount at {path}: {fault}")]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why not, and what to do.
        fault: String,
    },
    /// A mount that cannot be taken away.
    #[error("cannot unmount {path}: {fault}")]
    Unmount {
        /// Where.
        path: PathBuf,
        /// Why not, and what to do.
        fault: String,
    },
    /// A setting that no mount can have.
    #[error("{0}")]
    Setting(String),
    /// A replay file that is damaged or of another version.
    #[error("the replay file {name} cannot be read: {fault}; record it again")]
    Replay {
        /// Its name.
        name: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The house's store.
    #[error(transparent)]
    Store(#[from] backlot_store::Error),
}

impl Error {
    /// An error on a file of this machine, for `map_err`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// A limit of what is buffered that is too low.
    pub(crate) fn low_buffer(given: u64, least: u64) -> Self {
        Self::Setting(format!(
            "a buffer of {given} bytes is less than the {least} that one read may need; give more with --max-buffer"
        ))
    }

    pub(crate) fn manifest(name: &str, fault: impl Into<String>) -> Self {
        Self::Manifest { name: shorten(name), fault: fault.into() }
    }
}

/// The longest piece of a user's text that a message repeats, in characters.
const LONGEST_QUOTE: usize = 120;

/// A user's text, short enough for a line.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
