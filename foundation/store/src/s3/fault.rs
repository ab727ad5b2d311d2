//! Turning what an endpoint, the network or the client says into one line with a mend.

use std::error::Error as StdError;

use object_store::client::{HttpError, HttpErrorKind};

use crate::error::{Error, one_line};

/// How much of a foreign message is kept, in characters: the request, the status and the server's code fit.
const LONGEST_REASON: usize = 400;

/// Whether the error says that the object is missing, and not the whole bucket.
pub(super) fn is_missing_object(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. }) && !error.to_string().contains("NoSuchBucket")
}

/// The error of `action`, which names its object, at the store `place`.
pub(super) fn explain(action: String, place: &str, error: &object_store::Error) -> Error {
    let chain = messages(error);
    let text = chain.join(": ");
    let mend = mend(error, &text);
    Error::Endpoint { action, endpoint: place.to_owned(), reason: one_line(&text, LONGEST_REASON), mend }
}

/// The messages of an error and its causes, without those that an outer one already tells.
fn messages(error: &object_store::Error) -> Vec<String> {
    let mut told: Vec<String> = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !told.iter().any(|outer| outer.contains(&message)) {
            told.push(message);
        }
        cause = error.source();
    }
    told
}

fn mend(error: &object_store::Error, text: &str) -> &'static str {
    const BY_TEXT: [(&str, &str); 7] = [
        (
            "169.254.",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: this machine has no role to take keys from",
        ),
        ("NoSuchBucket", "create the bucket, or correct its name in the store's URL"),
        ("InvalidAccessKeyId", "correct AWS_ACCESS_KEY_ID: the endpoint does not know it"),
        ("SignatureDoesNotMatch", "correct AWS_SECRET_ACCESS_KEY: it does not fit the key's identifier"),
        ("RequestTimeTooSkewed", "set this machine's clock: it differs from the endpoint's"),
        ("No CA certificates", "install the package ca-certificates, or set SSL_CERT_FILE"),
        (
            "UnknownIssuer",
            "add the endpoint's authority to this machine's certificates, or set SSL_CERT_FILE",
        ),
    ];

    if let Some((_, mend)) = BY_TEXT.iter().find(|(mark, _)| text.contains(mark)) {
        return mend;
    }
    match error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            return "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and what they may do in this bucket";
        }
        object_store::Error::NotFound { .. } => return "check the bucket's name in the store's URL",
        _ => {}
    }
    match transport_fault(error) {
        Some(HttpErrorKind::Timeout) => {
            "check that the endpoint is up and can be reached from here; it did not answer in time"
        }
        Some(HttpErrorKind::Connect) => "check the endpoint's address and port and that it is up",
        Some(_) => "check the network between here and the endpoint, and try again",
        None => "look at the endpoint's own log, and try again when it is well",
    }
}

/// How the transport failed, if it was the transport.
fn transport_fault(error: &object_store::Error) -> Option<HttpErrorKind> {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return Some(http.kind());
        }
        cause = error.source();
    }
    None
}
