//! Handing a blob out over HTTP.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use backlot_store::Store;
use backlot_web::{ApiError, attachment};
use backlot_work::BlobRef;
use bytes::Bytes;
use futures::stream;

/// What is read from the store at once for a range. Small enough for many players at a time, large enough for S3.
const PIECE: u64 = 4 * 1024 * 1024;

/// What a browser does with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It shows it where it is. Only for types that cannot run in the page's name.
    InPlace,
    /// It saves it to a file.
    Saved,
}

/// Answers a request with a blob under the name `file_name`. Understands one byte range, so that players can seek, and
/// `If-None-Match`.
///
/// # Errors
/// Not found when the store does not have the blob.
pub async fn blob_response(
    store: &Store,
    blob: &BlobRef,
    file_name: &str,
    request: &HeaderMap,
    shown: Shown,
) -> Result<Response, ApiError> {
    let etag = format!("\"{}\"", blob.digest);
    let mut headers = HeaderMap::from_iter(attachment(file_name, &blob.media_type));
    if shown == Shown::InPlace {
        headers.remove(header::CONTENT_DISPOSITION);
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // The same address may have another content later, so it is asked for again, cheaply.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(value) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, value);
    }
    if request.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let wanted = request.get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(parse_range);
    match wanted.map(|range| range.within(blob.size)) {
        None => {
            let reader =
                store.open_blob(&blob.digest).await.map_err(|error| missing(blob, file_name, &error))?;
            headers.insert(header::CONTENT_LENGTH, blob.size.into());
            Ok((headers, Body::from_stream(reader.into_stream())).into_response())
        }
        Some(None) => {
            let range = HeaderValue::from_str(&format!("bytes */{}", blob.size));
            headers.insert(header::CONTENT_RANGE, range.expect("invariant: digits and plain ASCII"));
            headers.remove(header::CONTENT_TYPE);
            Ok((StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response())
        }
        Some(Some(range)) => {
            let text = format!("bytes {}-{}/{}", range.start, range.end - 1, blob.size);
            headers.insert(
                header::CONTENT_RANGE,
                HeaderValue::from_str(&text).expect("invariant: digits and plain ASCII"),
            );
            headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
            Ok((
                StatusCode::PARTIAL_CONTENT,
                headers,
                Body::from_stream(pieces(store.clone(), blob.clone(), range)),
            )
                .into_response())
        }
    }
}

fn missing(blob: &BlobRef, file_name: &str, error: &backlot_store::Error) -> ApiError {
    tracing::error!(%error, digest = %blob.digest, "a blob cannot be read");
    ApiError::not_found(
        format!("the content of `{file_name}` cannot be read"),
        "run `backlot store verify` on the server",
    )
}

fn pieces(
    store: Store,
    blob: BlobRef,
    range: Range<u64>,
) -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send {
    stream::try_unfold((store, range), move |(store, range)| {
        let digest = blob.digest;
        async move {
            if range.is_empty() {
                return Ok(None);
            }
            let end = range.end.min(range.start + PIECE);
            let piece = store.get_range(&digest, range.start..end).await.map_err(std::io::Error::other)?;
            Ok(Some((piece, (store, end..range.end))))
        }
    })
}

/// One range of a `Range` header (RFC 9110, section 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByteRange {
    From { first: u64, last: Option<u64> },
    Last(u64),
}

impl ByteRange {
    /// The bytes of a blob of this size that it means; `None` when there are none.
    fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From { first, last } => first..last.map_or(size, |last| last.saturating_add(1).min(size)),
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Reads a header with one range. Several ranges, other units and nonsense are ignored, as the RFC allows: the whole blob is
/// the answer then.
fn parse_range(text: &str) -> Option<ByteRange> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        return last.parse().ok().map(ByteRange::Last);
    }
    let first = first.parse().ok()?;
    let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
    if last.is_some_and(|last| last < first) { None } else { Some(ByteRange::From { first, last }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_blob() {
        let range = |text: &str| parse_range(text).and_then(|range| range.within(100));
        assert_eq!(range("bytes=0-9"), Some(0..10));
        assert_eq!(range("bytes=90-"), Some(90..100));
        assert_eq!(range("bytes=90-500"), Some(90..100));
        assert_eq!(range("bytes=-5"), Some(95..100));
        assert_eq!(range("bytes=-500"), Some(0..100));
        assert_eq!(range("bytes=100-"), None);
        assert_eq!(range("bytes=-0"), None);
        for ignored in [
            "bytes=0-1,3-4",
            "bytes=5-4",
            "items=0-1",
            "bytes=",
            "bytes=a-b",
            "bytes=--1",
            "bytes=0-18446744073709551616",
        ] {
            assert_eq!(parse_range(ignored), None, "{ignored}");
        }
        assert_eq!(range("bytes=0-18446744073709551615"), Some(0..100));
    }
}
