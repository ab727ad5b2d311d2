//! The two places a store can be in, behind one set of operations on keys.
//!
//! Everything above (digests, verification, names, caching) is written once over these; everything below knows only
//! keys and bytes.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use crate::Error;
use crate::folder::{self, Folder};
use crate::name::Key;
use crate::s3::S3;

#[derive(Clone, Debug)]
pub(crate) enum Backend {
    Folder(Arc<Folder>),
    S3(Arc<S3>),
}

/// What is known of an object without reading it.
#[derive(Clone, Debug)]
pub(crate) struct Stat {
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
    /// `None` when the place does not tell.
    pub(crate) media_type: Option<String>,
    /// The entity tag of an S3 object, by which a later read can insist on the same content.
    pub(crate) version: Option<String>,
}

/// One line of a listing.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
}

/// A page of a listing, in the order of the keys' bytes.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    /// Whether others follow.
    pub(crate) more: bool,
}

/// What kind of object is written.
#[derive(Clone, Debug)]
pub(crate) enum Class {
    Blob,
    Named { media_type: String },
}

/// The pieces of an object in order.
pub(crate) type Pieces = BoxStream<'static, Result<Bytes, Error>>;

impl Backend {
    pub(crate) async fn stat(&self, key: &Key) -> Result<Option<Stat>, Error> {
        match self {
            Backend::Folder(folder) => on_folder(folder, key, Folder::stat).await,
            Backend::S3(s3) => s3.stat(key).await,
        }
    }

    /// Whether the blob is durably there with this size.
    pub(crate) async fn has_blob(&self, key: &Key, size: u64) -> Result<bool, Error> {
        match self {
            Backend::Folder(folder) => {
                on_folder(folder, key, move |folder, key| folder.has_blob(key, size)).await
            }
            Backend::S3(s3) => Ok(s3.stat(key).await?.is_some_and(|stat| stat.size == size)),
        }
    }

    /// A whole object; `None` when there is none, an error when it is larger than `limit`.
    pub(crate) async fn read(&self, key: &Key, limit: u64) -> Result<Option<(Stat, Bytes)>, Error> {
        match self {
            Backend::Folder(folder) => {
                on_folder(folder, key, move |folder, key| folder.read(key, limit)).await
            }
            Backend::S3(s3) => s3.read(key, limit).await,
        }
    }

    /// A range that the caller knows to lie within the object and to be not empty.
    pub(crate) async fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        match self {
            Backend::Folder(folder) => {
                on_folder(folder, key, move |folder, key| folder.read_range(key, range)).await
            }
            Backend::S3(s3) => s3.read_range(key, range, None).await,
        }
    }

    /// An object's pieces, each read when it is wanted (and from S3 a few ahead); `None` when there is none.
    pub(crate) async fn pieces(&self, key: &Key) -> Result<Option<(Stat, Pieces)>, Error> {
        match self {
            Backend::Folder(folder) => {
                let opened = on_folder(folder, key, Folder::open_object).await?;
                let path = folder.path(key);
                Ok(opened.map(|(file, stat)| {
                    let pieces = stream::try_unfold((file, path), |(mut file, path)| async move {
                        blocking(move || {
                            let piece = folder::read_piece(&mut file).map_err(Error::file("read", &path))?;
                            Ok((!piece.is_empty()).then_some((piece, (file, path))))
                        })
                        .await
                    });
                    (stat, pieces.boxed())
                }))
            }
            Backend::S3(s3) => {
                let Some(stat) = s3.stat(key).await? else { return Ok(None) };
                let pieces = S3::pieces(s3, key, &stat);
                Ok(Some((stat, pieces)))
            }
        }
    }

    pub(crate) async fn put_bytes(&self, key: &Key, content: Bytes, class: Class) -> Result<(), Error> {
        match self {
            Backend::Folder(folder) => {
                on_folder(folder, key, move |folder, key| folder.put_bytes(key, &content, &class)).await
            }
            Backend::S3(s3) => s3.put_bytes(key, content, &class).await,
        }
    }

    pub(crate) async fn delete(&self, key: &Key) -> Result<(), Error> {
        match self {
            Backend::Folder(folder) => on_folder(folder, key, Folder::delete).await,
            Backend::S3(s3) => s3.delete(key).await,
        }
    }

    /// Up to `limit` objects whose keys begin with `prefix` and are greater than `start_after`.
    pub(crate) async fn list(
        &self,
        prefix: String,
        start_after: Option<String>,
        limit: usize,
    ) -> Result<Listing, Error> {
        match self {
            Backend::Folder(folder) => {
                let folder = Arc::clone(folder);
                blocking(move || folder.list(&prefix, start_after.as_deref(), limit)).await
            }
            Backend::S3(s3) => s3.list(&prefix, start_after.as_deref(), limit).await,
        }
    }
}

async fn on_folder<T, F>(folder: &Arc<Folder>, key: &Key, work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce(&Folder, &Key) -> Result<T, Error> + Send + 'static,
{
    let (folder, key) = (Arc::clone(folder), key.clone());
    blocking(move || work(&folder, &key)).await
}

/// Runs file and hashing work on a thread that may block.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Error> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::ShuttingDown),
        },
    }
}
