//! What a store can be told besides its URL.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a store, for [`Store::open_with`](crate::Store::open_with).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Keys for an S3 endpoint; without them the `AWS_*` environment and then the machine's role are asked.
    pub credentials: Option<Credentials>,
    /// How long an S3 endpoint may take.
    pub patience: Patience,
    /// Where a stream for S3 is kept until its digest is known; the system's folder for temporary files without it.
    /// A folder store needs none: it spools where the blob will lie.
    pub spool: Option<PathBuf>,
    /// How many bytes of blobs [`Store::materialize`](crate::Store::materialize) keeps in its cache folder; blobs in
    /// use at the moment may exceed it.
    pub cache_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            credentials: None,
            patience: Patience::default(),
            spool: None,
            // A few mezzanine files of a feature film, and a small part of the disk of a machine that works on them.
            cache_bytes: 20 << 30,
        }
    }
}

/// How long an S3 endpoint may take before an operation fails.
///
/// An operation on an endpoint that has stopped to answer fails after at most `retry + request` for each request.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Patience {
    /// Until a connection stands. Five seconds leave room for two lost packets (resent after one and three seconds).
    pub connect: Duration,
    /// Until one request is answered whole. No request moves more than one part (8 MiB, larger only for files beyond
    /// 78 GiB), so a minute is enough at 140 kB/s, slower than which no such store is of use.
    pub request: Duration,
    /// Until a request that fails (connection refused, 5xx, 429, no answer) is no longer tried again. A minute
    /// outlasts the restart of a server and the throttling of a busy bucket; object_store signs a request only once,
    /// and a signature is good for fifteen minutes.
    pub retry: Duration,
    /// How many times a request is tried again within `retry`; waits grow from 0.1 s to 15 s with jitter.
    pub retries: usize,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            connect: Duration::from_secs(5),
            request: Duration::from_mins(1),
            retry: Duration::from_mins(1),
            retries: 10,
        }
    }
}

/// A pair of S3 keys. Its `Debug` text shows the key's identifier only.
#[derive(Clone)]
pub struct Credentials {
    pub(crate) key_id: String,
    pub(crate) secret: String,
    pub(crate) session_token: Option<String>,
}

impl Credentials {
    /// A long-lived pair of keys.
    pub fn new(key_id: impl Into<String>, secret: impl Into<String>) -> Credentials {
        Credentials { key_id: key_id.into(), secret: secret.into(), session_token: None }
    }

    /// The same keys with the token of a temporary session.
    pub fn with_session_token(mut self, token: impl Into<String>) -> Credentials {
        self.session_token = Some(token.into());
        self
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
