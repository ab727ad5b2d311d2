//! Moving large objects in parts, several at a time, in bounded memory.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use object_store::{MultipartUpload, ObjectStore, PutMultipartOptions};
use tokio::task::JoinSet;

use super::{S3, attributes_of};
use crate::backend::{Class, Pieces, Stat, blocking};
use crate::name::Key;
use crate::{Blob, Error};

/// The size of a part in bytes. S3 takes parts from 5 MiB up; Amazon advises 8 to 16 MiB, at which a request's fixed
/// cost (some 20 to 50 ms) is small beside its transfer on a link of 1 Gbit/s (67 ms).
const PART: u64 = 8 << 20;
/// How many parts travel at once in either direction: enough for a few Gbit/s from a real S3, which gives about
/// 0.7 Gbit/s to each connection. With the part in hand a transfer holds 40 MiB. glibc's allocator may keep twice as
/// much resident afterwards, in the arenas of the threads that had the parts.
const IN_FLIGHT: usize = 4;
/// S3's limit for the number of parts of an upload. Files beyond 78 GiB get larger parts to stay within it.
const MOST_PARTS: u64 = 10_000;

impl S3 {
    /// The pieces of an object: ranges of one part each, fetched in parallel, handed on in order. A named object is
    /// insisted on in the version of `stat`; a blob is always the same, and its reader checks that.
    pub(crate) fn pieces(s3: &Arc<S3>, key: &Key, stat: &Stat) -> Pieces {
        let is_blob = key.as_str().starts_with(crate::name::BLOBS);
        let version = if is_blob { None } else { stat.version.clone() };
        let size = stat.size;
        let (s3, key) = (Arc::clone(s3), key.clone());
        let starts = (0..size.div_ceil(PART)).map(|part| part * PART);
        stream::iter(starts)
            .map(move |start| {
                let (s3, key, version) = (Arc::clone(&s3), key.clone(), version.clone());
                async move {
                    let range = start..size.min(start + PART);
                    let wanted = (range.end - range.start) as usize;
                    match s3.read_range(&key, range, version).await? {
                        Some(piece) if piece.len() == wanted => Ok(piece),
                        Some(_) => {
                            Err(s3.say("read", &key, "the endpoint sent another range than was asked for"))
                        }
                        None => Err(s3.say("read", &key, "it was deleted while it was read")),
                    }
                }
            })
            .buffered(IN_FLIGHT)
            .boxed()
    }

    /// Uploads an open file from its beginning, of which `blob` says the digest and size. It is hashed again on the
    /// way, and nothing becomes visible if it is no longer the same. `path` is for messages.
    pub(crate) async fn upload(
        &self,
        key: &Key,
        file: File,
        blob: Blob,
        class: &Class,
        path: &Path,
    ) -> Result<(), Error> {
        let part_size = PART.max(blob.size.div_ceil(MOST_PARTS).next_multiple_of(1 << 20));
        let mut source =
            Source { file, hasher: blake3::Hasher::new(), left: blob.size, part_size, path: path.into() };
        if blob.size <= part_size {
            let content = source.next_part().await?;
            source.check(blob)?;
            return self.put_bytes(key, content, class).await;
        }
        let options =
            PutMultipartOptions { attributes: attributes_of(class), ..PutMultipartOptions::default() };
        let upload = self
            .client
            .put_multipart_opts(&self.object_path(key)?, options)
            .await
            .map_err(|error| self.fail("begin to store", key, &error))?;
        let mut upload = AbortOnDrop(Some(upload));
        match self.send_parts(key, &mut upload, &mut source, blob).await {
            Ok(()) => {
                upload.0 = None;
                Ok(())
            }
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    async fn send_parts(
        &self,
        key: &Key,
        upload: &mut AbortOnDrop,
        source: &mut Source,
        blob: Blob,
    ) -> Result<(), Error> {
        let upload =
            upload.0.as_mut().expect("invariant: an upload is there until it is complete or aborted");
        let mut travelling: JoinSet<object_store::Result<()>> = JoinSet::new();
        // Larger parts travel in smaller company, so that memory stays bounded.
        let in_flight = ((PART * IN_FLIGHT as u64 / source.part_size) as usize).max(1);
        while source.left > 0 {
            let part = source.next_part().await?;
            while travelling.len() >= in_flight {
                self.land(key, &mut travelling).await?;
            }
            travelling.spawn(upload.put_part(part.into()));
        }
        while !travelling.is_empty() {
            self.land(key, &mut travelling).await?;
        }
        source.check(blob)?;
        upload.complete().await.map(|_| ()).map_err(|error| self.fail("complete the storing of", key, &error))
    }

    /// Waits for one part to arrive.
    async fn land(&self, key: &Key, travelling: &mut JoinSet<object_store::Result<()>>) -> Result<(), Error> {
        match travelling.join_next().await {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(self.fail("store a part of", key, &error)),
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::ShuttingDown),
            },
        }
    }

    fn say(&self, action: &str, key: &Key, reason: &str) -> Error {
        Error::Endpoint {
            action: format!("{action} {key}"),
            endpoint: self.place.clone(),
            reason: reason.to_owned(),
            mend: "try again",
        }
    }
}

/// A file that is read and hashed part by part.
struct Source {
    file: File,
    hasher: blake3::Hasher,
    /// How many bytes of the promised size are still to be read.
    left: u64,
    part_size: u64,
    path: std::path::PathBuf,
}

impl Source {
    async fn next_part(&mut self) -> Result<Bytes, Error> {
        let size = self.left.min(self.part_size);
        let file = self.file.try_clone().map_err(Error::file("read", &self.path))?;
        let mut hasher = self.hasher.clone();
        let path = self.path.clone();
        let (part, hasher) = blocking(move || {
            let mut part = Vec::with_capacity(size as usize);
            file.take(size).read_to_end(&mut part).map_err(Error::file("read", &path))?;
            if part.len() as u64 != size {
                return Err(Error::Changed { path });
            }
            hasher.update(&part);
            Ok((Bytes::from(part), hasher))
        })
        .await?;
        self.hasher = hasher;
        self.left -= size;
        Ok(part)
    }

    /// Whether what was read is what the blob was named after.
    fn check(&self, blob: Blob) -> Result<(), Error> {
        if blob.digest == self.hasher.finalize().into() {
            Ok(())
        } else {
            Err(Error::Changed { path: self.path.clone() })
        }
    }
}

/// A multipart upload that is not complete. The parts of one that is given up cost money until they are removed, so
/// they are, also when the future that uploads is dropped. What a killed process leaves is for the bucket's lifecycle
/// rule `AbortIncompleteMultipartUpload`.
struct AbortOnDrop(Option<Box<dyn MultipartUpload>>);

impl AbortOnDrop {
    async fn abort(&mut self) {
        if let Some(mut upload) = self.0.take()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(%error, "could not remove the parts of an upload that failed");
        }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        let Some(upload) = self.0.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { AbortOnDrop(Some(upload)).abort().await });
        }
    }
}
