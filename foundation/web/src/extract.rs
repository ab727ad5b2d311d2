//! axum's extractors, with rejections as [`ApiError`]s: a malformed body, query or path is answered in the house's own
//! error form instead of bare text.

use axum::extract::rejection::{BytesRejection, FormRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body::Body;
use serde::de::DeserializeOwned;

use crate::ApiError;

/// A JSON body, in and out; like [`axum::Json`].
#[derive(Clone, Copy, Debug, Default, FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
pub struct Json<T>(pub T);

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T, S> OptionalFromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    /// `None` for a request without a body.
    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        if request.body().is_end_stream() {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

/// The query string; like [`axum::extract::Query`].
#[derive(Clone, Copy, Debug, Default, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub struct Query<T>(pub T);

/// The path's parameters; like [`axum::extract::Path`].
#[derive(Clone, Copy, Debug, Default, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub struct Path<T>(pub T);

/// A whole body; like [`bytes::Bytes`].
#[derive(Clone, Debug, Default)]
pub struct Bytes(pub bytes::Bytes);

impl<S: Send + Sync> FromRequest<S> for Bytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Ok(Self(bytes::Bytes::from_request(request, state).await?))
    }
}

/// An HTML form's body; like [`axum::Form`].
#[derive(Clone, Copy, Debug, Default, FromRequest)]
#[from_request(via(axum::Form), rejection(ApiError))]
pub struct Form<T>(pub T);

impl From<FormRejection> for ApiError {
    fn from(rejection: FormRejection) -> Self {
        rejected(rejection.status(), rejection.body_text(), "send the form's fields, URL-encoded")
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        rejected(
            rejection.status(),
            rejection.body_text(),
            "send a JSON body with `Content-Type: application/json`",
        )
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        rejected(rejection.status(), rejection.body_text(), "correct the query string")
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        rejected(rejection.status(), rejection.body_text(), "correct the path")
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        rejected(rejection.status(), rejection.body_text(), "send the whole body")
    }
}

fn rejected(status: StatusCode, text: String, mend: &str) -> ApiError {
    // axum's text may run over several lines; an error of ours is one.
    let message = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::body_too_large(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ApiError::new(status, "unsupported_media_type", message, mend),
        StatusCode::UNPROCESSABLE_ENTITY => ApiError::invalid(message, mend),
        _ if status.is_server_error() => ApiError::internal(&message),
        _ => ApiError::new(status, "bad_request", message, mend),
    }
}

impl ApiError {
    pub(crate) fn body_too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the request body is larger than this door accepts",
            "send less at once, or raise the body limit in the server's configuration",
        )
    }
}
