//! Blobs: content-addressed artifacts and named objects, in a folder or in an S3 bucket.
//!
//! Every department keeps its bytes here: the outputs of tasks, clips and rungs, notebooks, logs. One machine needs
//! only a folder; several share a bucket; the code above is the same.
//!
//! The one idea: **the name of a blob is the hash of its content** (BLAKE3). So the same content is stored once, a name
//! once written never means anything else, a copy anywhere is as good as the original, and reading can prove that what
//! comes back is what was put. What must have a name that people choose, or content that changes, is a *named object*.
//!
//! ```
//! use backlot_store::Store;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let url = format!("file://{}", folder.path().display());
//! let store = Store::open(&url)?; // or s3://bucket/prefix?endpoint=https://s3.example.org
//! let blob = store.put("a slate and a clapper").await?;
//! assert_eq!(blob.size, 21);
//! assert_eq!(store.get(&blob.digest, 1 << 20).await?, "a slate and a clapper");
//!
//! store.put_named("takes/1/note.txt", "print it", "text/plain").await?;
//! let note = store.get_named("takes/1/note.txt", 1 << 20).await?;
//! assert_eq!((note.content.as_ref(), note.media_type.as_str()), (&b"print it"[..], "text/plain"));
//! # Ok(())
//! # }
//! ```
//!
//! What holds on both backends:
//!
//! - An object is there whole or not at all. When a put returns, the object survives the death of the process, and on
//!   a folder the loss of power (files and folders are flushed with `fsync`).
//! - A blob that does not have its digest's content is [`Error::Corrupt`], never data. Two ways past that check exist
//!   and say so: [`Store::get_range`] and [`Store::local_path`].
//! - Every wait on a network ends: see [`Patience`].
//!
//! The crate runs on Unix, and its async functions in a tokio runtime.

mod backend;
mod blobs;
mod cache;
mod digest;
mod error;
mod folder;
mod name;
mod named;
mod options;
mod reader;
mod s3;
mod spool;
mod url;
mod verify;

#[cfg(feature = "testing")]
pub mod testing;

use std::sync::Arc;

use crate::backend::Backend;
use crate::folder::Folder;
use crate::s3::S3;
use crate::url::Place;

pub use crate::blobs::{BlobInfo, BlobPage};
pub use crate::cache::LocalFile;
pub use crate::digest::{Blob, Digest};
pub use crate::error::{Damage, Error};
pub use crate::name::{Name, OCTET_STREAM};
pub use crate::named::{NamedInfo, NamedObject, NamedPage};
pub use crate::options::{Credentials, Options, Patience};
pub use crate::reader::Reader;
pub use crate::url::StoreUrl;
pub use crate::verify::{Progress, Report};

/// The most entries that one call of a listing returns: S3's own page.
pub const LONGEST_LISTING: usize = 1000;

/// An open store. A handle that is cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
    url: Arc<StoreUrl>,
    options: Arc<Options>,
}

impl Store {
    /// Opens the store at `url`: `file:///abs/dir` (made if it is missing) or `s3://bucket/prefix` with the options of
    /// [`StoreUrl`]. Nothing is sent to an S3 endpoint yet; [`Store::check`] does that.
    ///
    /// # Errors
    /// The URL is not one of a store, or the folder cannot be made or written.
    pub fn open(url: &str) -> Result<Store, Error> {
        Store::open_with(&url.parse()?, Options::default())
    }

    /// Opens the store at `url` with other settings.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(url: &StoreUrl, options: Options) -> Result<Store, Error> {
        let backend = match &url.0 {
            Place::Folder(root) => Backend::Folder(Arc::new(Folder::open(root)?)),
            Place::S3(bucket) => Backend::S3(Arc::new(S3::open(bucket, &options)?)),
        };
        Ok(Store { backend, url: Arc::new(url.clone()), options: Arc::new(options) })
    }

    /// Where the store is.
    pub fn url(&self) -> &StoreUrl {
        &self.url
    }

    /// Proves that the store can be reached, written, read and cleaned, by doing so with a blob of a few bytes.
    ///
    /// # Errors
    /// Whatever stands in the way, with its mend: a missing bucket, refused credentials, a full disk.
    pub async fn check(&self) -> Result<(), Error> {
        // Its own content, so that it is neither a duplicate nor anyone else's blob that is deleted.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let content = format!("check of process {} at {} ns", std::process::id(), now.as_nanos());
        let blob = self.put(content).await?;
        self.get(&blob.digest, blob.size).await?;
        self.delete(&blob.digest).await
    }

    fn place(&self) -> String {
        self.url.to_string()
    }
}
