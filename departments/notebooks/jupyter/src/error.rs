//! Errors as Jupyter's clients read them: a status and `{"message": …, "reason": …}`.

use std::io;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// What is answered instead of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The status of the answer.
    pub status: StatusCode,
    /// What went wrong; clients show it.
    pub message: String,
    /// A few words for it, where Jupyter has them.
    pub reason: Option<&'static str>,
}

impl Error {
    /// An error of any status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Error {
        Error { status, message: message.into(), reason: None }
    }

    /// 400: the request is at fault.
    pub fn bad_request(message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404: no such thing, or none that may be seen.
    pub fn not_found(message: impl Into<String>) -> Error {
        Error::new(StatusCode::NOT_FOUND, message)
    }

    /// 403: not with these rights.
    pub fn forbidden(message: impl Into<String>) -> Error {
        Error::new(StatusCode::FORBIDDEN, message)
    }

    /// 409: something of that name is there.
    pub fn conflict(message: impl Into<String>) -> Error {
        Error::new(StatusCode::CONFLICT, message)
    }

    /// 500: we are at fault.
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// The same with Jupyter's words for it.
    #[must_use]
    pub(crate) fn because(mut self, reason: &'static str) -> Error {
        self.reason = Some(reason);
        self
    }

    /// What a failed file operation on `path` (as clients name it) means.
    pub(crate) fn from_io(error: &io::Error, path: &str) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Error::not_found(format!("No such file or directory: {path}"))
            }
            io::ErrorKind::PermissionDenied => Error::forbidden(format!("Permission denied: {path}")),
            io::ErrorKind::StorageFull => Error::new(
                StatusCode::INSUFFICIENT_STORAGE,
                format!("The disk is full; {path} is as it was before. Free some space and save again"),
            ),
            _ => Error::internal(format!("Unexpected error: {path} {error}")),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = json!({ "message": self.message, "reason": self.reason }).to_string();
        (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
