//! What happens around every request, whoever answers it: a request id, the host check, the catching of panics, the
//! final form of errors, security headers, and one line in the access log.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tracing::Instrument;

use crate::requests::Answered;
use crate::shell::Shared;
use crate::{ApiError, Caller, console, gate};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Only what comes from here may run, load or frame; `data:` images are the console's own small marks.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

/// The name of one request in logs, errors and the `X-Request-Id` header. An extractor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The client's own id when it is a sane one (1 to 64 letters, digits and `. _ -`), else a fresh one.
    fn of(headers: &HeaderMap, fresh: &RequestIds) -> Self {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let sane = |id: &&str| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        };
        match given.filter(sane) {
            Some(id) => Self(id.into()),
            None => fresh.next(),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let facts = parts.extensions.get::<Facts>();
        facts
            .map(|facts| facts.id.clone())
            .ok_or_else(|| ApiError::internal(&"no envelope around this handler"))
    }
}

/// Makes request ids: a random part per process and a counter, so ids are unique and their order can be read.
pub(crate) struct RequestIds {
    process: String,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(process: &str) -> Self {
        Self { process: process.to_owned(), count: AtomicU64::new(1) }
    }

    fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        RequestId(format!("{}-{count:06x}", self.process).into())
    }
}

/// What the envelope found out about a request, for the stations behind it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) id: RequestId,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// A browser asks for a page, so errors are pages too.
    pub(crate) wants_html: bool,
    /// From this machine, addressed by a loopback name, and through no proxy.
    pub(crate) local: bool,
}

pub(crate) async fn envelope(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let mut facts = Facts {
        id: RequestId::of(request.headers(), &shared.request_ids),
        method: request.method().clone(),
        uri: request.uri().clone(),
        wants_html: wants_html(request.headers()),
        local: false,
    };
    let span = tracing::info_span!("request", request_id = %facts.id);
    let mut response = match gate::check_host(&shared, &request) {
        Ok(local) => {
            facts.local = local;
            request.extensions_mut().insert(facts.clone());
            request.extensions_mut().insert(Arc::clone(&shared));
            let answer = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone());
            answer.await.unwrap_or_else(|panic| span.in_scope(|| panicked(panic.as_ref())))
        }
        Err(error) => error.into_response(),
    };
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        response = with_error_body(response, &error, &facts, &shared);
    }
    add_headers(response.headers_mut(), &facts.id);
    let took = started.elapsed();
    if let Some(Answered(meters)) = response.extensions_mut().remove::<Answered>() {
        meters.answered(response.status().as_u16(), took);
    }
    let caller = response.extensions().get::<Caller>().map_or("-", Caller::name);
    // The path without its query: `/login?token=…` must not reach the log.
    tracing::info!(
        request_id = %facts.id, method = %facts.method, path = facts.uri.path(), status = response.status().as_u16(),
        caller, micros = took.as_micros() as u64, "answered"
    );
    response
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept
        .split(',')
        .any(|range| range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/html"))
}

fn panicked(payload: &(dyn std::any::Any + Send)) -> Response {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text =
        text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message");
    ApiError::internal(&format_args!("a handler panicked: {text}")).into_response()
}

/// Gives an error its final body, keeping the headers that came with it.
fn with_error_body(response: Response, error: &ApiError, facts: &Facts, shared: &Shared) -> Response {
    let (mut head, _) = response.into_parts();
    let (media_type, text) = if facts.wants_html {
        ("text/html; charset=utf-8", console::error_page(shared, error, facts.id.as_str()).into_string())
    } else {
        ("application/json", error.to_json(Some(facts.id.as_str())).to_string())
    };
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    head.headers.insert(header::CONTENT_LENGTH, text.len().into());
    Response::from_parts(head, Body::from(text))
}

/// Adds what every response carries; a door that set one of these headers itself keeps its own.
fn add_headers(headers: &mut HeaderMap, id: &RequestId) {
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, value);
    }
    let defaults = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        // Not `no-referrer`: under it browsers send `Origin: null` with our own forms.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(value);
    }
    // Pages and API answers depend on who asks and when; assets say otherwise themselves.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(given: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(given).unwrap());
        RequestId::of(&headers, &RequestIds::new("fresh")).to_string()
    }

    #[test]
    fn a_sane_request_id_is_kept_and_any_other_replaced() {
        assert_eq!(id_for(b"abc-1.2_3"), "abc-1.2_3");
        for bad in [&b""[..], b"a b", b"<script>", b"a\tb", "é".as_bytes(), &[b'a'; 65]] {
            assert_eq!(id_for(bad), "fresh-000001");
        }
    }

    #[test]
    fn only_a_browser_wants_html() {
        let accept = |value: &'static str| {
            wants_html(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))]))
        };
        assert!(accept("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(accept("application/json, TEXT/HTML;q=0.5"));
        assert!(!accept("*/*"));
        assert!(!accept("application/json"));
        assert!(!wants_html(&HeaderMap::new()));
    }
}
