//! What a mount has done, as counters.
//!
//! The names are those under which a Spectator registry would publish them. They can be asked of a running mount through the
//! extended attribute `user.mezz.meters` of its root folder, and are part of every replay file.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! meters {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// The counters of a mount.
        #[derive(Debug, Default)]
        pub struct Meters { $($(#[$doc])* pub $field: AtomicU64,)* }

        impl Meters {
            /// Every counter with its name, in a fixed order.
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$(($name, self.$field.load(Ordering::Relaxed)),)*]
            }
        }
    };
}

meters! {
    /// Reads that were asked for.
    reads = "mezz.reads",
    /// Bytes that were handed over.
    read_bytes = "mezz.read.bytes",
    /// Reads whose bytes were all buffered or on their way.
    hits = "mezz.read.hits",
    /// Reads that waited for room.
    blocked = "mezz.read.blocked",
    /// Reads that failed.
    failed = "mezz.read.failed",
    /// Requests to the origin, without those that were tried again.
    fetches = "mezz.fetches",
    /// Bytes that the origin sent.
    fetched_bytes = "mezz.fetch.bytes",
    /// Requests that were tried again.
    retries = "mezz.fetch.retries",
    /// Fetches that failed for good.
    fetches_failed = "mezz.fetch.failed",
    /// Bytes that the cache on this machine had.
    cache_bytes = "mezz.cache.hit.bytes",
    /// Bytes that were written to the cache.
    cache_written_bytes = "mezz.cache.written.bytes",
    /// Writes to the cache that failed; reading goes on without it.
    cache_failed = "mezz.cache.failed",
    /// Bytes that a peer had.
    peer_bytes = "mezz.peer.hit.bytes",
    /// Files that were opened.
    opens = "mezz.opens",
    /// Files that were opened for the kernel to read from the cache itself.
    passthrough_opens = "mezz.opens.passthrough",
}

impl Meters {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    /// Reads a counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
