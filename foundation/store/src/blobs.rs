//! Blobs: putting, reading, listing and deleting content by its digest.

use std::io::{self, Seek};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::backend::{Backend, Class, blocking};
use crate::error::{Damage, Error};
use crate::name::{BLOBS, Key};
use crate::reader::{self, Reader};
use crate::{Blob, Digest, LONGEST_LISTING, Store, folder, spool};

/// How much is taken from a reader at a time, in bytes: enough for BLAKE3's widest SIMD.
const PIECE: usize = 256 << 10;

/// A blob in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// The blob's digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, by the clock of the store's machine. A collector of garbage must leave young blobs alone:
    /// what refers to them may not have been written yet.
    pub modified: SystemTime,
}

/// A page of a listing of blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobPage {
    /// The blobs, in the order of their digests.
    pub blobs: Vec<BlobInfo>,
    /// Keys below `blobs/` that are no blobs' (someone else's files), at most as many as were asked for.
    pub strays: Vec<String>,
    /// The last digest of this page when others follow it: the next call's `start_after`.
    pub next: Option<Digest>,
}

impl Store {
    /// Stores bytes and returns their digest and size. Content that is already there is not written again.
    pub async fn put(&self, content: impl Into<Bytes>) -> Result<Blob, Error> {
        let content = content.into();
        let blob = Blob { digest: reader::digest_of(&content).await?, size: content.len() as u64 };
        let key = Key::blob(&blob.digest);
        if !self.backend.has_blob(&key, blob.size).await? {
            self.backend.put_bytes(&key, content, Class::Blob).await?;
        }
        Ok(blob)
    }

    /// Stores a copy of the file at `path`, of any size, in bounded memory. The file stays as it is.
    ///
    /// # Errors
    /// [`Error::Changed`] if the file changes during an upload to S3. (A folder store hashes the copy, so that there a
    /// changing file gives whatever was read, under the digest of that.)
    pub async fn put_file(&self, path: impl AsRef<Path>) -> Result<Blob, Error> {
        let path = path.as_ref().to_owned();
        match &self.backend {
            Backend::Folder(folder) => {
                let folder = Arc::clone(folder);
                blocking(move || {
                    let (staged, blob) = folder.stage_copy(&path)?;
                    let key = Key::blob(&blob.digest);
                    if !folder.has_blob(&key, blob.size)? {
                        folder.publish(staged, &key, &Class::Blob)?;
                    }
                    Ok(blob)
                })
                .await
            }
            Backend::S3(s3) => {
                let source = path.clone();
                let (mut file, blob) = blocking(move || {
                    let file = folder::open_regular(&source)?;
                    let blob = folder::hash_file(&file, &source)?;
                    Ok((file, blob))
                })
                .await?;
                let key = Key::blob(&blob.digest);
                if !self.backend.has_blob(&key, blob.size).await? {
                    file.rewind().map_err(Error::file("read", &path))?;
                    s3.upload(&key, file, blob, &Class::Blob, &path).await?;
                }
                Ok(blob)
            }
        }
    }

    /// Stores the file at `path` and takes it away from there: the caller gives it up. A folder store on the same
    /// filesystem moves the file itself, without copying it, and makes it read-only; whoever still has it open for
    /// writing can then spoil the blob, so close it first. Otherwise it is copied and then removed.
    ///
    /// # Errors
    /// The file is still at `path` unless the last step, its removal, is what failed.
    pub async fn put_file_owned(&self, path: impl AsRef<Path>) -> Result<Blob, Error> {
        let path = path.as_ref().to_owned();
        if let Backend::Folder(folder) = &self.backend {
            let (folder, path) = (Arc::clone(folder), path.clone());
            if let Some(blob) = blocking(move || folder.adopt(&path)).await? {
                return Ok(blob);
            }
        }
        let blob = self.put_file(&path).await?;
        blocking(move || std::fs::remove_file(&path).map_err(Error::file("remove", &path))).await?;
        Ok(blob)
    }

    /// Stores what a stream yields, of any length, in bounded memory. For S3 it is kept in a temporary file until its
    /// digest is known (see [`Options::spool`](crate::Options::spool)), for a folder where the blob will lie.
    ///
    /// # Errors
    /// [`Error::Source`] if the stream fails; nothing is stored then.
    pub async fn put_stream(&self, stream: impl Stream<Item = io::Result<Bytes>>) -> Result<Blob, Error> {
        let pieces = stream.map(|piece| piece.map_err(Error::from_read));
        match &self.backend {
            Backend::Folder(folder) => {
                let staging = Arc::clone(folder);
                let staged = blocking(move || staging.stage()).await?;
                let path = staged.path().to_owned();
                let (staged, blob) = spool::fill(pieces, staged, path).await?;
                let folder = Arc::clone(folder);
                blocking(move || {
                    let key = Key::blob(&blob.digest);
                    if !folder.has_blob(&key, blob.size)? {
                        folder.publish(staged, &key, &Class::Blob)?;
                    }
                    Ok(blob)
                })
                .await
            }
            Backend::S3(s3) => {
                let folder = self.options.spool.clone().unwrap_or_else(std::env::temp_dir);
                let path = folder.clone();
                // A file without a name: it cannot outlive the process.
                let spool = blocking(move || {
                    tempfile::tempfile_in(&folder).map_err(Error::file("make a temporary file in", &folder))
                })
                .await?;
                let (mut spool, blob) = spool::fill(pieces, spool, path.clone()).await?;
                let key = Key::blob(&blob.digest);
                if !self.backend.has_blob(&key, blob.size).await? {
                    spool.rewind().map_err(Error::file("read", &path))?;
                    s3.upload(&key, spool, blob, &Class::Blob, &path).await?;
                }
                Ok(blob)
            }
        }
    }

    /// Stores what a reader yields until its end; otherwise as [`Store::put_stream`].
    pub async fn put_reader(&self, reader: impl AsyncRead) -> Result<Blob, Error> {
        self.put_stream(ReaderStream::with_capacity(reader, PIECE)).await
    }

    /// The whole content of a blob, checked against its digest.
    ///
    /// # Errors
    /// [`Error::NoBlob`], [`Error::Corrupt`], or [`Error::TooLarge`] when it has more than `limit` bytes.
    pub async fn get(&self, digest: &Digest, limit: u64) -> Result<Bytes, Error> {
        let found = self.backend.read(&Key::blob(digest), limit).await.map_err(|error| match error {
            Error::TooLarge { size, limit, .. } => {
                Error::TooLarge { what: format!("blob {digest}"), size, limit }
            }
            other => other,
        })?;
        let (stat, content) = found.ok_or_else(|| self.no_blob(digest))?;
        let found = Blob { digest: reader::digest_of(&content).await?, size: content.len() as u64 };
        reader::compare(Blob { digest: *digest, size: stat.size }, found, &self.place())?;
        Ok(content)
    }

    /// A blob as a stream, checked on the way: the piece that completes it is only handed over when the digest of the
    /// whole is right, and an error that wraps [`Error::Corrupt`] comes in its place otherwise.
    pub async fn open_blob(&self, digest: &Digest) -> Result<Reader, Error> {
        let (stat, pieces) =
            self.backend.pieces(&Key::blob(digest)).await?.ok_or_else(|| self.no_blob(digest))?;
        let promised = Blob { digest: *digest, size: stat.size };
        Ok(Reader::new(stat.size, reader::verified(pieces, promised, self.place())))
    }

    /// The bytes `range` of a blob. **Not checked against the digest**, which names the whole: use it where damage
    /// shows or does no harm (answering a player's range request), and [`Store::get`] or [`Store::fetch_to`] elsewhere.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the range does not lie within the blob.
    pub async fn get_range(&self, digest: &Digest, range: Range<u64>) -> Result<Bytes, Error> {
        let Blob { size, .. } = self.stat(digest).await?;
        let Range { start, end } = range;
        if start > end || end > size {
            return Err(Error::OutOfRange { digest: *digest, size, start, end });
        }
        if start == end {
            return Ok(Bytes::new());
        }
        let content = self.backend.read_range(&Key::blob(digest), range).await?;
        let content = content.ok_or_else(|| self.no_blob(digest))?;
        let wanted = end - start;
        if content.len() as u64 != wanted {
            let damage = Damage::Length { expected: wanted, found: content.len() as u64 };
            return Err(Error::Corrupt { digest: *digest, store: self.place(), damage });
        }
        Ok(content)
    }

    /// Copies a blob to the file at `path`, in bounded memory and from S3 in parallel. The file appears (or replaces
    /// the one that is there) when its content has been checked against the digest.
    pub async fn fetch_to(&self, digest: &Digest, path: impl AsRef<Path>) -> Result<Blob, Error> {
        let path = path.as_ref().to_owned();
        let (stat, pieces) =
            self.backend.pieces(&Key::blob(digest)).await?.ok_or_else(|| self.no_blob(digest))?;
        let target = path.clone();
        let partial = blocking(move || {
            let folder = match target.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            tempfile::Builder::new()
                .prefix(".fetch-")
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
                .tempfile_in(folder)
                .map_err(Error::file("make a file in", folder))
        })
        .await?;
        let partial_path = partial.path().to_owned();
        let (partial, found) = spool::fill(pieces, partial, partial_path).await?;
        reader::compare(Blob { digest: *digest, size: stat.size }, found, &self.place())?;
        blocking(move || {
            partial.as_file().sync_data().map_err(Error::file("flush", partial.path()))?;
            partial.persist(&path).map(|_| ()).map_err(|error| Error::file("write", &path)(error.error))
        })
        .await?;
        Ok(found)
    }

    /// The file that is the blob, when the store is a folder and has it: so that a program like ffmpeg reads it without
    /// a copy. It is read-only and **not checked against the digest**; [`Store::verify`] does that now and then.
    pub async fn local_path(&self, digest: &Digest) -> Result<Option<PathBuf>, Error> {
        let Backend::Folder(folder) = &self.backend else { return Ok(None) };
        let key = Key::blob(digest);
        Ok(self.backend.stat(&key).await?.map(|_| folder.path(&key)))
    }

    /// Whether the store has the blob.
    pub async fn exists(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.backend.stat(&Key::blob(digest)).await?.is_some())
    }

    /// The blob's size, as the store gives it.
    ///
    /// # Errors
    /// [`Error::NoBlob`].
    pub async fn stat(&self, digest: &Digest) -> Result<Blob, Error> {
        match self.backend.stat(&Key::blob(digest)).await? {
            Some(stat) => Ok(Blob { digest: *digest, size: stat.size }),
            None => Err(self.no_blob(digest)),
        }
    }

    /// Deletes a blob. It is no error when there is none.
    pub async fn delete(&self, digest: &Digest) -> Result<(), Error> {
        self.backend.delete(&Key::blob(digest)).await
    }

    /// A page of up to `limit` blobs (at most [`LONGEST_LISTING`]) after `start_after`, in the order of their digests.
    pub async fn list_blobs(&self, limit: usize, start_after: Option<&Digest>) -> Result<BlobPage, Error> {
        let limit = limit.clamp(1, LONGEST_LISTING);
        let mut after = start_after.map(|digest| Key::blob(digest).as_str().to_owned());
        let mut page = BlobPage { blobs: Vec::new(), strays: Vec::new(), next: None };
        loop {
            let listing = self.backend.list(BLOBS.to_owned(), after, limit).await?;
            after = listing.entries.last().map(|entry| entry.key.clone());
            for entry in listing.entries {
                match Key::digest_of(&entry.key) {
                    Some(digest) => {
                        page.blobs.push(BlobInfo { digest, size: entry.size, modified: entry.modified });
                    }
                    None if page.strays.len() < limit => page.strays.push(entry.key),
                    None => {}
                }
            }
            if !listing.more {
                return Ok(page);
            }
            // A page of strays only has no digest from which to go on, so it is not the last word.
            if let Some(last) = page.blobs.last() {
                page.next = Some(last.digest);
                // Those after it come again with the next page.
                let last_key = Key::blob(&last.digest);
                page.strays.retain(|key| key.as_str() < last_key.as_str());
                return Ok(page);
            }
        }
    }

    pub(crate) fn no_blob(&self, digest: &Digest) -> Error {
        Error::NoBlob { digest: *digest, store: self.place() }
    }
}
