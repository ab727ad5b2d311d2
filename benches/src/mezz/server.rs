//! The S3 server: s3s-fs, as it is or with longer pieces.
//!
//! s3s-fs reads a file in pieces of 4 KiB, each of which goes to another thread and back. That costs so much that two cores
//! give 200 MB/s to whoever asks and however: mounts that differ look alike behind it. With [`Pieces::Of`] all answers are
//! s3s-fs's still, ETags, ranges and errors; only the bytes of a body are read from the same file in longer pieces.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::dto::{
    GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput, HeadBucketInput,
    HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput,
    ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, PutObjectInput,
    PutObjectOutput, StreamingBlob,
};
use s3s::{S3, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use serde::{Deserialize, Serialize};

use crate::house::AnyError;
use crate::mezz::children::KEY;

/// How the bodies of answers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pieces {
    /// As s3s-fs does it.
    AsTheyAre,
    /// In pieces of this many bytes.
    Of(usize),
}

/// Serves the buckets in a folder, for ever, and tells the port.
///
/// # Errors
/// A folder or a port that cannot be had.
pub async fn serve(root: &Path, pieces: Pieces) -> Result<u16, AnyError> {
    let files = FileSystem::new(root).map_err(|error| format!("{error:?}"))?;
    let mut service = match pieces {
        Pieces::AsTheyAre => s3s::service::S3ServiceBuilder::new(files),
        Pieces::Of(piece) => {
            s3s::service::S3ServiceBuilder::new(LongPieces { files, root: root.to_owned(), piece })
        }
    };
    service.set_auth(s3s::auth::SimpleAuth::from_single(KEY, KEY));
    let service = service.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            let service = service.clone();
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    Ok(port)
}

struct LongPieces {
    files: FileSystem,
    root: PathBuf,
    piece: usize,
}

/// All of the protocol that a mount speaks is s3s-fs's. The whole implementation is made by the macro, since `async_trait` must
/// see its functions.
macro_rules! handed_on_but_get_object {
    ($($name:ident: $input:ty => $output:ty,)*) => {
        #[async_trait::async_trait]
        impl S3 for LongPieces {
            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                self.files.$name(request).await
            })*

            async fn get_object(
                &self,
                request: S3Request<GetObjectInput>,
            ) -> S3Result<S3Response<GetObjectOutput>> {
                let path = self.root.join(&request.input.bucket).join(&request.input.key);
                let answer = self.files.get_object(request).await?;
                Ok(in_pieces(answer, &path, self.piece))
            }
        }
    };
}

handed_on_but_get_object! {
    get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput,
    head_bucket: HeadBucketInput => HeadBucketOutput,
    head_object: HeadObjectInput => HeadObjectOutput,
    list_buckets: ListBucketsInput => ListBucketsOutput,
    list_objects: ListObjectsInput => ListObjectsOutput,
    list_objects_v2: ListObjectsV2Input => ListObjectsV2Output,
    put_object: PutObjectInput => PutObjectOutput,
}

/// The answer, with its body read from the file in longer pieces.
fn in_pieces(
    mut answer: S3Response<GetObjectOutput>,
    path: &Path,
    piece: usize,
) -> S3Response<GetObjectOutput> {
    let first = |range: &str| range.strip_prefix("bytes ")?.split_once('-')?.0.parse::<u64>().ok();
    let start = answer.output.content_range.as_deref().map_or(Some(0), first);
    let (Ok(file), Some(start), Some(len)) = (File::open(path), start, answer.output.content_length) else {
        return answer;
    };
    let end = start + len.unsigned_abs();
    let read = move |at: u64| -> std::io::Result<Bytes> {
        let mut bytes = vec![0; (piece as u64).min(end - at) as usize];
        file.read_exact_at(&mut bytes, at)?;
        Ok(bytes.into())
    };
    // From the page cache, which is not worth another thread.
    answer.output.body =
        Some(StreamingBlob::wrap(futures::stream::iter((start..end).step_by(piece).map(read))));
    answer
}
