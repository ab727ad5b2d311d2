//! Caches in front of the origin: a folder on this machine, and peers that share theirs.
//!
//! What is cached is *stored* bytes: of an encrypted object the sealed parts, so that neither a disk nor a peer ever holds
//! what only the key may open. An entry belongs to one version of one place ([`Source::identity`]); a new version is another
//! entry. The cache is never needed: whatever fails in it (a full disk, damage, a peer that is gone) is counted, told once,
//! and the bytes come from the origin.

mod entry;
pub mod peer;

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use backlot_store::Digest;

pub use self::entry::Entry;
use crate::cache::peer::Peer;
use crate::meters::Meters;
use crate::source::Source;
use crate::{Error, Room};

/// A folder of entries.
#[derive(Clone, Debug)]
pub struct CacheFolder {
    /// The folder. It is made if it is missing.
    pub path: PathBuf,
    /// How many bytes the entries may take on the disk.
    pub limit: u64,
}

/// The caches of a mount.
#[derive(Debug)]
pub struct Cache {
    folder: Option<CacheFolder>,
    peers: Vec<Peer>,
    meters: Arc<Meters>,
    open: Mutex<HashMap<Digest, Weak<Entry>>>,
    /// Bytes that the entries take on the disk, as far as this process knows.
    used: AtomicU64,
    has_complained: AtomicBool,
}

impl Cache {
    /// Opens the caches.
    ///
    /// # Errors
    /// A folder that cannot be made or read.
    pub fn open(folder: Option<CacheFolder>, peers: Vec<Peer>, meters: Arc<Meters>) -> Result<Self, Error> {
        let mut used = 0;
        if let Some(CacheFolder { path, .. }) = &folder {
            make_private(path)?;
            used = entry::list(path)?.iter().map(|entry| entry.bytes).sum();
        }
        Ok(Self {
            folder,
            peers,
            meters,
            open: Mutex::default(),
            used: AtomicU64::new(used),
            has_complained: AtomicBool::new(false),
        })
    }

    /// No cache at all.
    pub fn none(meters: Arc<Meters>) -> Self {
        Self {
            folder: None,
            peers: Vec::new(),
            meters,
            open: Mutex::default(),
            used: AtomicU64::new(0),
            has_complained: AtomicBool::new(false),
        }
    }

    /// Puts the caches in front of a source. A folder that fails is told of and left out.
    pub fn wrap(self: &Arc<Self>, source: Source) -> Cached {
        let entry = match &self.folder {
            Some(folder) if !source.is_local() => {
                match self.entry(folder, source.identity(), Some(source.size())) {
                    Ok(entry) => entry,
                    Err(error) => {
                        self.complain(&error);
                        None
                    }
                }
            }
            _ => None,
        };
        Cached { source, entry, cache: Arc::clone(self) }
    }

    /// The entry of this identity: an open one, or from the folder; made if a size is given.
    fn entry(
        &self,
        folder: &CacheFolder,
        identity: &Digest,
        size: Option<u64>,
    ) -> Result<Option<Arc<Entry>>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = open.get(identity).and_then(Weak::upgrade) {
            return Ok(Some(entry));
        }
        let path = folder.path.join(identity.to_hex());
        let entry = match size {
            Some(size) => Some(Entry::create(&path, size)?),
            None => Entry::open(&path)?,
        };
        let entry = entry.map(Arc::new);
        if let Some(entry) = &entry {
            open.insert(*identity, Arc::downgrade(entry));
            open.retain(|_, entry| entry.strong_count() > 0);
        }
        Ok(entry)
    }

    /// Bytes of a cached version, for a peer; `None` when any of them is missing or damaged.
    pub(crate) fn share(&self, identity: &Digest, range: Range<u64>) -> Option<Vec<u8>> {
        let entry = self.entry(self.folder.as_ref()?, identity, None).ok()??;
        if range.end > entry.size() {
            return None;
        }
        let mut out = Vec::with_capacity((range.end - range.start) as usize);
        entry.read(range, &mut out).then_some(out)
    }

    /// Writes to an entry, if the limit allows or entries that nobody uses can go.
    fn store(&self, entry: &Entry, range: Range<u64>, bytes: &[u8]) {
        let Some(folder) = &self.folder else { return };
        let wanted = entry.missing_bytes(&range);
        if wanted == 0 || !self.reserve(folder, wanted) {
            return;
        }
        match entry.write(range, bytes) {
            Ok(written) => Meters::add(&self.meters.cache_written_bytes, written),
            Err(error) => {
                Meters::add(&self.meters.cache_failed, 1);
                self.complain(&error);
            }
        }
    }

    fn reserve(&self, folder: &CacheFolder, wanted: u64) -> bool {
        let used = self.used.fetch_add(wanted, Ordering::Relaxed) + wanted;
        if used <= folder.limit {
            return true;
        }
        let freed = self.evict(folder, used - folder.limit);
        let used = self.used.fetch_sub(freed, Ordering::Relaxed) - freed;
        if used <= folder.limit {
            return true;
        }
        self.used.fetch_sub(wanted, Ordering::Relaxed);
        false
    }

    /// Removes entries that are not open here, longest unused first, until this much is free. Another process that has one
    /// open keeps reading it: its files live until it closes them.
    fn evict(&self, folder: &CacheFolder, needed: u64) -> u64 {
        let Ok(mut entries) = entry::list(&folder.path) else { return 0 };
        entries.sort_by_key(|entry| entry.used);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut freed = 0;
        for entry in entries {
            if freed >= needed {
                break;
            }
            let is_open = open.get(&entry.identity).is_some_and(|entry| entry.strong_count() > 0);
            if !is_open && fs::remove_dir_all(folder.path.join(entry.identity.to_hex())).is_ok() {
                freed += entry.bytes;
            }
        }
        freed
    }

    fn complain(&self, error: &Error) {
        if !self.has_complained.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the cache fails; reading goes on without what it cannot keep");
        }
    }
}

/// The identity that these 64 hexadecimal digits name.
fn identity(hex: &str) -> Option<Digest> {
    format!("blake3:{hex}").parse().ok()
}

/// Makes a folder that only this user can look into: it holds copies of what others may not read.
fn make_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(Error::file("make", path))
}

/// A source with the caches in front of it.
#[derive(Debug)]
pub struct Cached {
    source: Source,
    entry: Option<Arc<Entry>>,
    cache: Arc<Cache>,
}

impl Cached {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.source.size()
    }

    /// Reads these bytes: from this machine, from a peer, or from the origin. `out` has room for them.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub async fn read(&self, range: Range<u64>, out: &mut Room) -> Result<(), Error> {
        let wanted = range.end - range.start;
        let meters = &self.cache.meters;
        if let Some(entry) = &self.entry
            && entry.has(&range)
        {
            let (entry, asked) = (Arc::clone(entry), range.clone());
            let read = move || {
                let mut bytes = Vec::new();
                entry.read(asked, &mut bytes).then_some(bytes)
            };
            if let Ok(Some(bytes)) = tokio::task::spawn_blocking(read).await {
                Meters::add(&meters.cache_bytes, wanted);
                out.push(&bytes);
                return Ok(());
            }
        }
        let begin = out.filled().len();
        for peer in self.cache.peers.iter().filter(|_| !self.source.is_local()) {
            if peer.read(self.source.identity(), &range, out).await {
                Meters::add(&meters.peer_bytes, wanted);
                self.keep(range, &out.filled()[begin..]).await;
                return Ok(());
            }
            out.truncate(begin);
        }
        self.source.read(range.clone(), out).await?;
        self.keep(range, &out.filled()[begin..]).await;
        Ok(())
    }

    async fn keep(&self, range: Range<u64>, bytes: &[u8]) {
        let Some(entry) = &self.entry else { return };
        let (entry, cache, bytes) = (Arc::clone(entry), Arc::clone(&self.cache), bytes.to_vec());
        // Waited for, so that what is on its way to the disk is bounded by what is being fetched.
        let written = tokio::task::spawn_blocking(move || cache.store(&entry, range, &bytes)).await;
        if written.is_err() {
            Meters::add(&self.cache.meters.cache_failed, 1);
        }
    }

    /// The file that holds all of it on this machine, every block of it checked; `None` as long as there is none.
    pub fn complete_file(&self) -> Option<fs::File> {
        self.entry.as_ref()?.complete_file()
    }
}
