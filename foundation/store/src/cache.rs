//! A blob as a file on this machine, wherever the store is.
//!
//! A folder store has the file already. From S3 it is fetched into a cache folder, which is kept below a size by
//! removing the files that were used longest ago. A file that someone uses must not be removed, also not by another
//! process, so each [`LocalFile`] holds a shared lock on its file, and only a file that can be locked exclusively is
//! removed.

use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::backend::blocking;
use crate::error::Error;
use crate::{Digest, Store};

/// A blob's file on this machine. It stays there at least as long as this value lives; derefs to its [`Path`].
#[derive(Debug)]
pub struct LocalFile {
    path: PathBuf,
    /// The lock against removal from the cache; a folder store's own file needs none.
    _lock: Option<File>,
}

impl LocalFile {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Deref for LocalFile {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for LocalFile {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// The blob as a file on this machine: the store's own, or one in the folder `cache`, fetched there (and checked)
    /// if it is not there yet. `cache` is made if missing, may be shared by processes and stores, and is kept below
    /// [`Options::cache_bytes`](crate::Options::cache_bytes).
    ///
    /// The file is not to be written to; keep the [`LocalFile`] for as long as it is read.
    pub async fn materialize(&self, digest: &Digest, cache: impl AsRef<Path>) -> Result<LocalFile, Error> {
        if let Some(path) = self.local_path(digest).await? {
            return Ok(LocalFile { path, _lock: None });
        }
        let cache = cache.as_ref().to_owned();
        let path = cache.join(digest.to_hex());
        // The fetched file may be removed by another process before it is locked: then once more.
        loop {
            if let Some(file) = take(&path).await? {
                return Ok(file);
            }
            let size = self.stat(digest).await?.size;
            let (folder, limit) = (cache.clone(), self.options.cache_bytes.saturating_sub(size));
            blocking(move || {
                fs::create_dir_all(&folder).map_err(Error::file("make", &folder))?;
                shrink(&folder, limit)
            })
            .await?;
            self.fetch_to(digest, &path).await?;
        }
    }
}

/// Locks the cached file at `path` against removal; `None` when there is none.
async fn take(path: &Path) -> Result<Option<LocalFile>, Error> {
    let path = path.to_owned();
    blocking(move || {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("open", &path)(error)),
        };
        file.lock_shared().map_err(Error::file("lock", &path))?;
        // It may have been removed between the opening and the locking.
        let is_still_there = match (fs::metadata(&path), file.metadata()) {
            (Ok(there), Ok(ours)) => there.ino() == ours.ino() && there.dev() == ours.dev(),
            _ => false,
        };
        if !is_still_there {
            return Ok(None);
        }
        // The time of last use, by which the oldest is found. Without it (a cache we may not write) order is by fetch.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(LocalFile { path, _lock: Some(file) }))
    })
    .await
}

/// Removes the files used longest ago until the folder holds at most `limit` bytes, passing by those in use.
fn shrink(folder: &Path, limit: u64) -> Result<(), Error> {
    let mut files = Vec::new();
    let mut total = 0;
    for entry in fs::read_dir(folder).map_err(Error::file("list", folder))?.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| Digest::from_hex(name).is_some());
        let Ok(meta) = entry.metadata() else { continue };
        if is_ours && meta.is_file() {
            total += meta.len();
            files.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), entry.path()));
        }
    }
    files.sort_unstable();
    for (_, size, path) in files {
        if total <= limit {
            break;
        }
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() && fs::remove_file(&path).is_ok() {
            total -= size;
        }
    }
    Ok(())
}
