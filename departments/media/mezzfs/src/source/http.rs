//! Bytes of a web server (RFC 9110, section 14: range requests).

use std::ops::Range;
use std::sync::Arc;

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_MATCH, LAST_MODIFIED, RANGE,
};
use reqwest::{Response, StatusCode};
use url::Url;

use super::{Clients, Failure, Version};
use crate::{Error, Room};

#[derive(Debug)]
pub(crate) struct Http {
    url: Url,
    pub(crate) version: Version,
}

impl Http {
    /// Asks for the first byte: that a server answers it with 206 proves what `Accept-Ranges` only claims.
    pub(crate) async fn open(url: &Url, clients: &Arc<Clients>) -> Result<(Self, u64), Failure> {
        let place = url.to_string();
        let answer = clients
            .web
            .get(url.clone())
            .header(RANGE, "bytes=0-0")
            .header(ACCEPT_ENCODING, "identity")
            .send()
            .await
            .map_err(|error| Failure::Passing(told(&error)))?;
        let size = match answer.status() {
            StatusCode::PARTIAL_CONTENT => content_range(answer.headers()).map(|(_, size)| size),
            // An object of no bytes has no first one.
            StatusCode::RANGE_NOT_SATISFIABLE => unsatisfied_size(answer.headers()).filter(|&size| size == 0),
            StatusCode::OK if answer.content_length() == Some(0) => Some(0),
            StatusCode::OK => None,
            status => return Err(refusal(status.as_u16(), &place)),
        };
        let size = size.ok_or_else(|| Failure::Final(Error::NoRanges { place: place.clone() }))?;
        let version =
            Version { etag: text(answer.headers(), &ETAG), modified: text(answer.headers(), &LAST_MODIFIED) };
        if size > 0 && version.etag.is_none() && version.modified.is_none() {
            return Err(Failure::Final(Error::NoVersion { place }));
        }
        clients.wire.prepare(clients.patience, url);
        Ok((Self { url: url.clone(), version }, size))
    }

    pub(crate) async fn read(
        &self,
        clients: &Clients,
        place: &str,
        size: u64,
        range: Range<u64>,
        out: &mut Room,
    ) -> Result<(), Failure> {
        let strong = self.version.strong();
        if let Some(answer) = clients.wire.ask(clients.patience, &self.url, &range, strong).await? {
            let head = &answer.head;
            let given = head.content_range.as_deref().and_then(parse_content_range);
            let version = (head.etag.as_deref(), head.modified.as_deref());
            check(&self.version, place, size, &range, head.status, version, given)?;
            return answer.body(range.end - range.start, out).await;
        }
        let mut request = clients
            .web
            .get(self.url.clone())
            .header(RANGE, format!("bytes={}-{}", range.start, range.end - 1))
            .header(ACCEPT_ENCODING, "identity");
        if let Some(etag) = strong {
            request = request.header(IF_MATCH, etag);
        }
        let answer = request.send().await.map_err(|error| Failure::Passing(told(&error)))?;
        let headers = answer.headers();
        let (etag, modified) = (text(headers, &ETAG), text(headers, &LAST_MODIFIED));
        let version = (etag.as_deref(), modified.as_deref());
        check(&self.version, place, size, &range, answer.status().as_u16(), version, content_range(headers))?;
        take_body(answer, range.end - range.start, out).await?;
        clients.wire.decline(&self.url);
        Ok(())
    }
}

/// Whether an answer is of the range that was asked for, and of the version that was pinned.
pub(crate) fn check(
    pinned: &Version,
    place: &str,
    size: u64,
    range: &Range<u64>,
    status: u16,
    (etag, modified): (Option<&str>, Option<&str>),
    given: Option<(Range<u64>, u64)>,
) -> Result<(), Failure> {
    let changed = || Failure::Final(Error::Changed { place: place.to_owned() });
    match status {
        206 => {}
        200 | 412 | 416 => return Err(changed()),
        status => return Err(refusal(status, place)),
    }
    if !pinned.is_of(etag, modified) {
        return Err(changed());
    }
    match given {
        Some((given, total)) if total == size && given == *range => Ok(()),
        Some((_, total)) if total != size => Err(changed()),
        // Another range than was asked for, or none: the bytes could be any.
        _ => Err(Failure::Passing("the answer does not tell the range that was asked for".to_owned())),
    }
}

/// Reads `wanted` bytes of the body.
async fn take_body(mut answer: Response, wanted: u64, out: &mut Room) -> Result<(), Failure> {
    let mut left = wanted;
    let place = answer.url().to_string();
    while let Some(chunk) = answer.chunk().await.map_err(|error| Failure::Passing(told(&error)))? {
        let taken = left.min(chunk.len() as u64) as usize;
        out.push(&chunk[..taken]);
        left -= taken as u64;
        if taken < chunk.len() {
            let reason = "the body is longer than the range that it claims to be".to_owned();
            return Err(Failure::Final(Error::Unreachable { place, reason }));
        }
    }
    if left == 0 { Ok(()) } else { Err(Failure::Passing(format!("the body ended {left} bytes early"))) }
}

/// What a status means that is no success.
pub(crate) fn refusal(status: u16, place: &str) -> Failure {
    let place = place.to_owned();
    match status {
        404 | 410 => Failure::Final(Error::NotFound { place }),
        401 | 403 => Failure::Final(Error::Forbidden { place, status }),
        408 | 425 | 429 | 500.. => Failure::Passing(format!("the server answers {status}")),
        _ => Failure::Final(Error::Unreachable { place, reason: format!("the server answers {status}") }),
    }
}

/// An error with its causes, which reqwest keeps to itself, and without the URL, which the message has already.
fn told(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { innermost.to_string() }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// The range and the total of `Content-Range: bytes 0-4/10`.
pub(crate) fn parse_content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let total = total.parse().ok()?;
    (first <= last && last < total).then_some((first..last + 1, total))
}

fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    parse_content_range(headers.get(CONTENT_RANGE)?.to_str().ok()?)
}

/// The total of `Content-Range: bytes */10`.
fn unsatisfied_size(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes */")?.parse().ok()
}
