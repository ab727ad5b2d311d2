//! Reading a blob as a stream that cannot end well unless the content was right.
//!
//! The hash of a blob is known only at its end, so the first pieces are handed over unchecked. But the size is known
//! from the start, and so the piece that completes it is held back until the hash of the whole has been compared: who
//! reads a blob to its last byte, even without asking for the end, has read what was put, or has got
//! [`Error::Corrupt`](crate::Error::Corrupt).

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};
use tokio_util::io::StreamReader;

use crate::backend::{Pieces, blocking};
use crate::error::{Damage, Error};
use crate::{Blob, Digest};

/// A blob or named object being read: an [`AsyncRead`] and [`AsyncBufRead`], or a stream of [`Bytes`].
///
/// Its errors are [`io::Error`]s that wrap the store's own; [`Error::from_read`] takes those out.
pub struct Reader {
    size: u64,
    pieces: StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>,
}

impl Reader {
    pub(crate) fn new(size: u64, pieces: Pieces) -> Reader {
        Reader { size, pieces: StreamReader::new(pieces.map_err(Error::into_read).boxed()) }
    }

    /// The length of the whole, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What is left to read, as a stream of pieces of up to 8 MiB, for example for the body of a response. Nothing
    /// may have been read through [`AsyncRead`] before: a piece that was begun is lost.
    pub fn into_stream(self) -> BoxStream<'static, io::Result<Bytes>> {
        self.pieces.into_inner()
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pieces).poll_read(cx, buf)
    }
}

impl AsyncBufRead for Reader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().pieces).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        Pin::new(&mut self.pieces).consume(amount);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("size", &self.size).finish_non_exhaustive()
    }
}

/// A blob's pieces with its hash so far.
struct Check {
    pieces: Pieces,
    hasher: blake3::Hasher,
    promised: Blob,
    store: String,
    is_done: bool,
}

/// Passes on the pieces of the blob that `promised` describes, the last one only when their hash is right.
pub(crate) fn verified(pieces: Pieces, promised: Blob, store: String) -> Pieces {
    let check = Check { pieces, hasher: blake3::Hasher::new(), promised, store, is_done: false };
    stream::try_unfold(check, |mut check| async move {
        if check.is_done {
            return Ok(None);
        }
        let Some(piece) = check.pieces.try_next().await? else {
            // Only an empty blob ends here in order: others end with the piece that completes them.
            let found = Blob { digest: check.hasher.finalize().into(), size: check.hasher.count() };
            compare(check.promised, found, &check.store)?;
            return Ok(None);
        };
        let (piece, mut check) = blocking(move || {
            check.hasher.update(&piece);
            Ok((piece, check))
        })
        .await?;
        if check.hasher.count() >= check.promised.size {
            let found = Blob { digest: check.hasher.finalize().into(), size: check.hasher.count() };
            compare(check.promised, found, &check.store)?;
            check.is_done = true;
        }
        Ok(Some((piece, check)))
    })
    .boxed()
}

/// Compares what was read of a blob with what was promised.
pub(crate) fn compare(promised: Blob, found: Blob, store: &str) -> Result<(), Error> {
    let damage = if found.size != promised.size {
        Damage::Length { expected: promised.size, found: found.size }
    } else if found.digest != promised.digest {
        Damage::Content { found: found.digest }
    } else {
        return Ok(());
    };
    Err(Error::Corrupt { digest: promised.digest, store: store.to_owned(), damage })
}

/// Hashes bytes in memory, on a thread that may block when they are many.
pub(crate) async fn digest_of(content: &Bytes) -> Result<Digest, Error> {
    /// BLAKE3 hashes this much in well under 0.1 ms, less than what a change of thread may cost under load.
    const AT_ONCE: usize = 64 << 10;

    if content.len() <= AT_ONCE {
        return Ok(Digest::of(content));
    }
    let content = content.clone();
    blocking(move || Ok(Digest::of(&content))).await
}
