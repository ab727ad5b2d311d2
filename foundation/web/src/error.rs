//! Errors of setting the shell up. What a client sees is an [`ApiError`](crate::ApiError).

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the shell, its tokens or its documents could not be set up. Each message is one line and names the mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The listener would be reachable from the network while authentication is off.
    #[error(
        "refusing to listen on {bind} without authentication: anyone on the network could use it; turn tokens on, or listen on 127.0.0.1"
    )]
    OpenBind {
        /// The refused address.
        bind: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {bind}: {source}; stop what uses that address, or choose another one")]
    Bind {
        /// The wanted address.
        bind: SocketAddr,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The listener broke while serving.
    #[error("the listener failed: {source}; start the server again")]
    Listener {
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A prefix that cannot be mounted.
    #[error("cannot mount `{prefix}`: {reason}")]
    Prefix {
        /// The prefix as given.
        prefix: String,
        /// What is wrong and how it should look.
        reason: &'static str,
    },
    /// Two departments describe one thing differently.
    #[error("the OpenAPI fragments disagree about {what}; give one of them another path or name")]
    OpenApiConflict {
        /// The path and method, or the component, that occurs twice.
        what: String,
    },
    /// A fragment is not shaped like a part of an OpenAPI document.
    #[error(
        "an OpenAPI fragment is malformed: {what}; a fragment is an object of paths, components and tags"
    )]
    OpenApiFragment {
        /// The malformed part.
        what: String,
    },
    /// A private file cannot be read or written.
    #[error("cannot {action} {}: {source}; check that the directory exists, has space and belongs to you", path.display())]
    File {
        /// What was tried ("read", "write").
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A private file that others may read.
    #[error(
        "{} can be read by other users (mode {mode:o}); run `chmod 600 {}`, and replace the token if others had access",
        path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A private file with content that is not ours.
    #[error("{} is damaged: {reason}; restore it from a backup, or delete it to start afresh", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A token's name, scope or expiry is not acceptable.
    #[error("{what} is not acceptable: {mend}")]
    Token {
        /// The name, scope or expiry.
        what: String,
        /// How it should look.
        mend: &'static str,
    },
    /// Tokens are off, so none can be made or listed.
    #[error("authentication is off; start with tokens on to manage them")]
    TokensOff,
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {source}; make /dev/urandom available")]
    Random {
        /// The operating system's answer.
        source: std::io::Error,
    },
}
