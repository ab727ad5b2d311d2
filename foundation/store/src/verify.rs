//! Reading a whole store again to find what the disk has lost.

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::blobs::BlobInfo;
use crate::error::{Damage, Error};
use crate::name::Key;
use crate::{Blob, Digest, LONGEST_LISTING, Store, reader, spool};

/// How many blobs are read at once: enough to hide the latency of S3 for small ones; large ones come in parallel
/// parts of their own.
const AT_ONCE: usize = 4;
/// How many damaged blobs and strays a report lists by name. Beyond it the store is lost and only counts matter.
const LONGEST_LIST: usize = 10_000;

/// How far a verification has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Blobs read.
    pub blobs: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Blobs found damaged.
    pub damaged: u64,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The counts over the whole store.
    pub total: Progress,
    /// The damaged blobs and how they differ, in no order; the first 10,000.
    pub damaged: Vec<(Digest, Damage)>,
    /// Keys below `blobs/` that are no blobs': files of someone else's; the first 10,000.
    pub strays: Vec<String>,
}

impl Store {
    /// Reads every blob and compares it with its digest. Blobs that appear or disappear meanwhile are no fault.
    /// `progress` is called after each blob.
    ///
    /// # Errors
    /// The store cannot be read at all. A damaged blob is not an error but an entry in the report.
    pub async fn verify(&self, mut progress: impl FnMut(Progress)) -> Result<Report, Error> {
        let mut report = Report::default();
        let mut start_after = None;
        loop {
            let page = self.list_blobs(LONGEST_LISTING, start_after.as_ref()).await?;
            let room = LONGEST_LIST.saturating_sub(report.strays.len());
            report.strays.extend(page.strays.into_iter().take(room));
            let mut checks =
                stream::iter(page.blobs).map(|blob| self.verify_blob(blob)).buffer_unordered(AT_ONCE).boxed();
            while let Some(checked) = checks.try_next().await? {
                let Some((blob, damage)) = checked else { continue };
                report.total.blobs += 1;
                report.total.bytes += blob.size;
                if let Some(damage) = damage {
                    report.total.damaged += 1;
                    if report.damaged.len() < LONGEST_LIST {
                        report.damaged.push((blob.digest, damage));
                    }
                }
                progress(report.total);
            }
            match page.next {
                Some(last) => start_after = Some(last),
                None => return Ok(report),
            }
        }
    }

    /// The damage of one blob, if any; `None` when the blob is gone.
    async fn verify_blob(&self, blob: BlobInfo) -> Result<Option<(BlobInfo, Option<Damage>)>, Error> {
        let Some((stat, pieces)) = self.backend.pieces(&Key::blob(&blob.digest)).await? else {
            return Ok(None);
        };
        let (_, found) = spool::fill(pieces, std::io::sink(), std::path::PathBuf::new()).await?;
        let promised = Blob { digest: blob.digest, size: stat.size };
        match reader::compare(promised, found, "") {
            Ok(()) => Ok(Some((blob, None))),
            Err(Error::Corrupt { damage, .. }) => Ok(Some((blob, Some(damage)))),
            Err(other) => Err(other),
        }
    }
}
