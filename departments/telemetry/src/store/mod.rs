//! The store of series: recent values in memory, everything on disk.
//!
//! ```text
//! write ──► raw blocks of 60 steps (memory)        ──► queries read raw blocks, then packed columns
//!   └────► log, one write per batch (log.rs)             ▲
//!                 every checkpoint ──► segment of packed columns (segment.rs), older logs removed
//! ```
//!
//! A batch is in the log's file before its sender has an answer, so a killed process loses nothing that was acknowledged; the file
//! is synced at intervals, so a machine that loses power loses at most one interval. A segment says which logs it covers: those
//! are not replayed, and additions are never made twice.

mod alias;
mod log;
mod read;
mod segment;
mod series;
mod tap;
mod tier;
mod write;

pub use alias::{Names, Naming};
pub use read::{Membership, ReadLimits};
pub use tap::{Applied, Tap};
pub use tier::Tier;
pub use write::{Batch, Effect, Sample, SeriesId, Written};

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use backlot_series::{KeyCount, Query, TagIndex, Tags};

use log::Log;
use series::SeriesData;

/// Steps in a raw block: an hour of minutes.
pub(crate) const BLOCK: i64 = 60;

/// What keeps the store from working.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file cannot be read or written.
    #[error("{path}: {source}; look at the disk's space and the directory's permissions")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A segment is damaged.
    #[error("{path} is damaged ({reason}); move it away to start without it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process has the store open.
    #[error(
        "{path} is in use by another process; stop the other `backlot up` of this home, or give this one a home of its own with --home"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The files were written with another step.
    #[error(
        "{path} holds steps of {found} ms, and the configuration says {wanted} ms; set `step` back, or move the directory away"
    )]
    Step {
        /// The file.
        path: PathBuf,
        /// Its step.
        found: i64,
        /// The configured step.
        wanted: i64,
    },
}

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The step in milliseconds.
    pub step: i64,
    /// Where its files are; `None` for a store in memory only.
    pub directory: Option<PathBuf>,
    /// How long values are kept, in milliseconds.
    pub retention: i64,
    /// How long values are kept unpacked in memory, in milliseconds.
    pub hot: i64,
    /// Wider steps that are kept for longer, the narrowest first.
    pub tiers: Vec<Tier>,
    /// Most series. More are refused, and counted.
    pub max_series: usize,
    /// What one query may read.
    pub limits: ReadLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            step: 60_000,
            directory: None,
            retention: 16 * 24 * 3_600_000,
            hot: 6 * 3_600_000,
            tiers: Vec::new(),
            max_series: 1_000_000,
            limits: ReadLimits::default(),
        }
    }
}

/// The store.
pub struct Store {
    options: Options,
    naming: Naming,
    inner: RwLock<Inner>,
}

pub(crate) struct Inner {
    pub(crate) index: TagIndex,
    pub(crate) series: Vec<Option<SeriesData>>,
    /// Series by the hash of their tags; few share one.
    by_hash: HashMap<u64, Vec<u32>>,
    hasher: RandomState,
    log: Option<Log>,
    /// What keeps other processes out of the directory.
    lock: Option<std::fs::File>,
    /// Grows with every new or forgotten series: who caches which series fulfil a query sees that it is old.
    pub(crate) generation: u64,
    /// The end of the newest step that has a value.
    pub(crate) newest: i64,
    /// How far the tiers have come, in the order of the options.
    tiers: Vec<tier::Progress>,
    /// The last step that some tier has rolled up, and whether a value came behind it.
    rolled_to: i64,
    is_late: bool,
    /// The time of the last checkpoint.
    now: i64,
    /// Texts that many series share.
    texts: std::collections::HashSet<Arc<str>>,
    /// Bytes of the segments there are.
    segment_bytes: u64,
    samples: u64,
    /// Who is told of every value.
    tap: Option<tap::Tapped>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// Series.
    pub series: u64,
    /// Samples written since the start.
    pub samples: u64,
    /// Bytes of segments on disk.
    pub segment_bytes: u64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
}

impl Store {
    /// Opens a store and reads what its directory holds. `now` decides what is too old to keep.
    ///
    /// # Errors
    /// Files that cannot be read, or were written with another step. A log that ends in the middle of a record ends there: that is what a crash leaves.
    pub fn open(options: Options, now: i64) -> Result<Self, StoreError> {
        let inner = Inner {
            index: TagIndex::default(),
            series: Vec::new(),
            by_hash: HashMap::new(),
            hasher: RandomState::new(),
            log: None,
            lock: None,
            generation: 0,
            newest: i64::MIN,
            tiers: Vec::new(),
            rolled_to: i64::MIN,
            is_late: false,
            now,
            texts: std::collections::HashSet::new(),
            segment_bytes: 0,
            samples: 0,
            tap: None,
        };
        let store = Self { options, naming: Naming::default(), inner: RwLock::new(inner) };
        if let Some(directory) = store.options.directory.clone() {
            store.load(&directory, now)?;
        }
        Ok(store)
    }

    /// Leaves the directory to others. What is written from now on is kept in memory only.
    pub fn release(&self) {
        let mut inner = self.write_lock();
        inner.log = None;
        inner.lock = None;
    }

    /// The names by which senders know series.
    pub fn naming(&self) -> &Naming {
        &self.naming
    }

    /// How it is kept.
    pub fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // A writer that panicked left at worst a batch half applied; the rest is as good as before.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much there is.
    pub fn size(&self) -> StoreSize {
        let inner = self.read();
        StoreSize {
            series: inner.index.len(),
            samples: inner.samples,
            segment_bytes: inner.segment_bytes,
            log_bytes: inner.log.as_ref().map_or(0, Log::bytes),
        }
    }

    /// The keys of the series that fulfil a query.
    pub fn keys(&self, query: &Query) -> Vec<KeyCount> {
        self.read().index.keys(query)
    }

    /// The values of a key among the series that fulfil a query.
    pub fn values(&self, key: &str, query: &Query) -> Vec<KeyCount> {
        self.read().index.values(key, query)
    }

    /// The end of the newest step that has a value.
    pub fn newest(&self) -> Option<i64> {
        Some(self.read().newest).filter(|newest| *newest != i64::MIN)
    }
}

impl Inner {
    /// The series with these tags, sorted by key.
    fn find(&self, pairs: &[(&str, &str)]) -> (u64, Option<u32>) {
        let hash = self.hasher.hash_one(pairs);
        let same = |id: &&u32| {
            let series = self.series.get(**id as usize).and_then(Option::as_ref);
            series.is_some_and(|series| series.tags.iter().eq(pairs.iter().copied()))
        };
        (hash, self.by_hash.get(&hash).and_then(|ids| ids.iter().find(same)).copied())
    }

    /// A new series.
    fn insert(&mut self, hash: u64, tags: Tags) -> u32 {
        let id = self.series.len() as u32;
        self.index.insert(id, &tags);
        self.by_hash.entry(hash).or_default().push(id);
        self.series.push(Some(SeriesData::new(tags)));
        self.generation += 1;
        id
    }

    /// Applies a value to a step of a series; the series, if it is there.
    #[inline]
    fn apply(&mut self, id: u32, step: i64, effect: Effect, value: f64) -> Option<&mut SeriesData> {
        let series = self.series.get_mut(id as usize)?.as_mut()?;
        series.apply(step, effect, value);
        if step <= self.rolled_to {
            series.late = series.late.min(step);
            self.is_late = true;
        }
        Some(series)
    }

    /// The same tags with texts that other series share.
    fn interned(&mut self, pairs: &[(&str, &str)]) -> Tags {
        let mut intern = |text: &str| match self.texts.get(text) {
            Some(known) => known.clone(),
            None => {
                let new: Arc<str> = text.into();
                self.texts.insert(new.clone());
                new
            }
        };
        pairs.iter().map(|(key, value)| (intern(key), intern(value))).collect()
    }

    fn find_or_insert(&mut self, pairs: &[(&str, &str)], most: usize) -> Option<u32> {
        let (hash, found) = self.find(pairs);
        if found.is_some() {
            return found;
        }
        if self.index.len() >= most as u64 {
            return None;
        }
        let tags = self.interned(pairs);
        Some(self.insert(hash, tags))
    }

    /// Forgets series that hold nothing any more. Their numbers are not used again until the next start.
    fn forget(&mut self, gone: &[u32]) {
        for &id in gone {
            let Some(series) = self.series[id as usize].take() else { continue };
            let pairs: Vec<(&str, &str)> = series.tags.iter().collect();
            let hash = self.hasher.hash_one(&pairs[..]);
            self.index.remove(id, &series.tags);
            if let Some(ids) = self.by_hash.get_mut(&hash) {
                ids.retain(|known| *known != id);
                if ids.is_empty() {
                    self.by_hash.remove(&hash);
                }
            }
        }
        if !gone.is_empty() {
            self.generation += 1;
            // Texts that only the forgotten series had are held by nobody else.
            self.texts.retain(|text| Arc::strong_count(text) > 1);
        }
    }
}
