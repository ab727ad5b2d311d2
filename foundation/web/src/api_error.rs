//! Errors as a client sees them: a status, a stable code, what happened, and how to mend it.
//!
//! A handler returns an [`ApiError`]. Its response carries the error itself beside the JSON body, so that the envelope,
//! which knows the request's id and whether a browser asks, can write the final body: JSON for programs, a small page
//! for people.

use std::borrow::Cow;
use std::fmt;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error for the client.
///
/// As JSON: `{"error": {"code": …, "message": …, "mend": …, "request_id": …}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// A stable name for programs, in `snake_case`.
    pub code: Cow<'static, str>,
    /// What happened, in one line.
    pub message: String,
    /// What the client can do about it, in one line.
    pub mend: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// An error with every part given.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { status, code: code.into(), message: message.into(), mend: mend.into(), headers: Vec::new() }
    }

    /// 400 `bad_request`.
    pub fn bad_request(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message, mend)
    }

    /// 404 `not_found`.
    pub fn not_found(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message, mend)
    }

    /// 409 `conflict`: the request contradicts the present state.
    pub fn conflict(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message, mend)
    }

    /// 422 `invalid`: well-formed, but the content cannot be accepted.
    pub fn invalid(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message, mend)
    }

    /// 503 `unavailable`: a part that the request needs is not there now.
    pub fn unavailable(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message, mend)
    }

    /// 500 `internal`. The cause goes to the log, not to the client: it may name files, queries or secrets.
    pub fn internal(cause: &dyn fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed to answer this request",
            "look up the request id in the server's log",
        )
    }

    /// Adds a header to the response, such as `Retry-After`.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn scope_missing(caller: &str, scope: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "scope_missing",
            format!("the token `{caller}` does not carry the scope `{scope}`"),
            format!("use a token with the scope `{scope}` or `admin`"),
        )
    }

    /// The body for programs.
    pub(crate) fn to_json(&self, request_id: Option<&str>) -> serde_json::Value {
        let mut error = json!({ "code": self.code, "message": self.message, "mend": self.mend });
        if let Some(id) = request_id {
            error["request_id"] = id.into();
        }
        json!({ "error": error })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.mend)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.to_json(None))).into_response();
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}
