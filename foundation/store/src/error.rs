//! What can go wrong in a store, each in one line that names the thing and the mend.

use std::io;
use std::path::{Path, PathBuf};

use crate::Digest;

/// An error of a store.
///
/// Its text is one line, names the thing that failed and says what would mend it. It never holds a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a store URL.
    #[error("`{url}` is not a store: {fault}")]
    NotAStore {
        /// The text, without user information and options, which may hold secrets.
        url: String,
        /// What is wrong and what would mend it.
        fault: String,
    },
    /// The text is not a digest.
    #[error("`{text}` is not a blob's digest; write `blake3:` and 64 lower-case hexadecimal digits")]
    NotADigest {
        /// The text, shortened.
        text: String,
    },
    /// The text cannot name an object.
    #[error("`{text}` cannot name an object: {fault}")]
    NotAName {
        /// The text, shortened.
        text: String,
        /// What is wrong and what would mend it.
        fault: &'static str,
    },
    /// The text is not a media type.
    #[error("`{text}` is not a media type; write one like `text/plain` or `video/mp4`")]
    NotAMediaType {
        /// The text, shortened.
        text: String,
    },
    /// The store has no such blob.
    #[error("{store} has no blob {digest}; put it first, or open the store that has it")]
    NoBlob {
        /// The blob that was asked for.
        digest: Digest,
        /// The store's URL.
        store: String,
    },
    /// The store has no object of that name.
    #[error("{store} has no object named `{name}`; put it first, or look for its name with a listing")]
    NoObject {
        /// The name that was asked for.
        name: String,
        /// The store's URL.
        store: String,
    },
    /// What the store holds under a blob's digest is not the content that was put.
    #[error("blob {digest} in {store} is corrupt: {damage}; delete it and put it again from its source")]
    Corrupt {
        /// The blob that was asked for.
        digest: Digest,
        /// The store's URL.
        store: String,
        /// How the content differs.
        damage: Damage,
    },
    /// An object is larger than the caller is ready to hold in memory.
    #[error(
        "{what} has {size} bytes, more than the {limit} allowed here; read it as a stream, or raise the limit"
    )]
    TooLarge {
        /// The blob or object.
        what: String,
        /// Its size in bytes.
        size: u64,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// A range that does not lie inside its blob.
    #[error("bytes {start}..{end} are not within blob {digest} of {size} bytes; ask for a range inside it")]
    OutOfRange {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The first byte asked for.
        start: u64,
        /// The byte after the last one asked for.
        end: u64,
    },
    /// On a folder a name cannot be both an object and the folder of others.
    #[error(
        "`{name}` cannot be stored beside `{other}`: a folder store cannot have an object inside an object; rename one"
    )]
    NameTaken {
        /// The name that was to be stored.
        name: String,
        /// The name, or beginning of names, that stands in its way.
        other: String,
    },
    /// A file changed while it was stored, so that its digest no longer names its content.
    #[error("{} changed while it was stored; put it again when nothing writes to it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A named object was replaced while it was read.
    #[error("object `{name}` was replaced while it was read; read it again")]
    Replaced {
        /// The object's name.
        name: String,
    },
    /// The stream or reader that a blob was to be made from failed.
    #[error("the data to store could not be read: {source}; mend its source and put it again")]
    Source {
        /// What the stream or reader said.
        source: io::Error,
    },
    /// A file or folder could not be used.
    #[error("cannot {action} {}: {source}; {}", path.display(), mend_of(source))]
    File {
        /// What was to be done, as a verb: `read`, `write`.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// An S3 endpoint failed, refused or did not answer in time.
    #[error("cannot {action} at {endpoint}: {reason}; {mend}")]
    Endpoint {
        /// What was to be done, with the name of the object.
        action: String,
        /// The endpoint's URL and bucket.
        endpoint: String,
        /// What happened, shortened to one line.
        reason: String,
        /// What would mend it.
        mend: &'static str,
    },
    /// The runtime was shut down while a file operation waited.
    #[error(
        "the store's work was dropped because the process is shutting down; do it again after the restart"
    )]
    ShuttingDown,
}

/// How a stored blob differs from what its digest promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The content has another hash.
    Content {
        /// The hash of what the store holds.
        found: Digest,
    },
    /// The content ended before, or went on after, the size that the store itself gives for it.
    Length {
        /// The size that the store gives, in bytes.
        expected: u64,
        /// How many bytes came, at least.
        found: u64,
    },
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Damage::Content { found } => write!(f, "its content has the digest {found}"),
            Damage::Length { expected, found } => write!(f, "{found} bytes were read of {expected}"),
        }
    }
}

impl Error {
    /// Makes a closure for `map_err` that says what was done with which file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::File { action, path, source }
    }

    /// Takes the store's error back out of an [`io::Error`] of one of the store's readers.
    ///
    /// A reader can only fail with an `io::Error`; what it wraps is the store's own error, for example
    /// [`Error::Corrupt`] at the end of a corrupt blob. Other errors become [`Error::Source`].
    pub fn from_read(error: io::Error) -> Error {
        match error.downcast::<Error>() {
            Ok(own) => own,
            Err(source) => Error::Source { source },
        }
    }

    /// Packs the error for a reader; [`Error::from_read`] is the way back.
    pub(crate) fn into_read(self) -> io::Error {
        let kind = match &self {
            Error::Corrupt { .. } => io::ErrorKind::InvalidData,
            Error::NoBlob { .. } | Error::NoObject { .. } => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}

/// What mends an error of the operating system.
fn mend_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space there, or choose a folder on a larger disk"
        }
        io::ErrorKind::PermissionDenied => "give this user access to it, or choose another folder",
        io::ErrorKind::ReadOnlyFilesystem => "mount it writable, or choose another folder",
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::IsADirectory => "name a file, not a folder",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "remove the file that stands where a folder must be"
        }
        io::ErrorKind::InvalidInput => "name a regular file",
        _ => "check the disk and the path",
    }
}

/// A piece of foreign text that is safe in a one-line message: no control characters, at most 80 characters.
pub(crate) fn shorten(text: &str) -> String {
    one_line(text, 80)
}

/// `text` with every run of white space and control characters as one space, cut to `longest` characters.
pub(crate) fn one_line(text: &str, longest: usize) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(longest) {
        None => line,
        Some((cut, _)) => format!("{}…", &line[..cut]),
    }
}
