//! Writing a stream to a file while hashing it.
//!
//! Each piece is hashed and written on a thread that may block, while the next one is awaited: the two sides overlap,
//! and at most two pieces are in memory. No thread is held between pieces. If one were, many streams at once could
//! hold all of them, each waiting for a source that itself needs such a thread, and nobody would move again.

use std::io::Write;
use std::path::PathBuf;
use std::pin::pin;

use bytes::Bytes;
use futures::{Stream, StreamExt};

use crate::backend::blocking;
use crate::{Blob, Error};

/// Writes all pieces to `sink`, in order, and returns it with the digest and size of what was written.
///
/// `path` is only for messages. If the stream fails, or the future is dropped, `sink` is dropped unfinished.
pub(crate) async fn fill<W>(
    pieces: impl Stream<Item = Result<Bytes, Error>>,
    sink: W,
    path: PathBuf,
) -> Result<(W, Blob), Error>
where
    W: Write + Send + 'static,
{
    let mut pieces = pin!(pieces);
    let mut written = (sink, blake3::Hasher::new(), path);
    let mut next = pieces.next().await.transpose()?;
    while let Some(piece) = next {
        let write = blocking(move || {
            let (mut sink, mut hasher, path) = written;
            hasher.update(&piece);
            sink.write_all(&piece).map_err(Error::file("write", &path))?;
            Ok((sink, hasher, path))
        });
        let (wrote, came) = futures::join!(write, pieces.next());
        written = wrote?;
        next = came.transpose()?;
    }
    let (mut sink, hasher, path) = written;
    sink.flush().map_err(Error::file("write", &path))?;
    Ok((sink, Blob { digest: hasher.finalize().into(), size: hasher.count() }))
}
