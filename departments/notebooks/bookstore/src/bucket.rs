//! The bucket of bookstore's own keys: versioned objects, and errors in the words that its clients know.

use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{ClientOptions, GetOptions, ObjectStore, ObjectStoreExt, RetryConfig};

use crate::settings::Settings;

/// How long one request may take in all, its retries included: a person waits for a clone.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a request is tried again.
const RETRIES: usize = 3;

/// The largest object that is cloned: as the largest notebook.
const LIMIT: u64 = backlot_notebooks_model::MAX_BYTES as u64;

/// What the bucket refused, as bookstore passes it on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// Its HTTP status.
    pub status: u16,
    /// `An error occurred (NoSuchKey) when calling the GetObject operation: …`
    pub message: String,
}

/// The buckets of one endpoint.
#[derive(Clone, Debug)]
pub struct Buckets {
    settings: Settings,
}

/// What an object was.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its bytes.
    pub content: Bytes,
    /// Its version, where the bucket has versions.
    pub version: Option<String>,
}

impl Buckets {
    /// The buckets that the settings lead to.
    pub fn new(settings: &Settings) -> Buckets {
        Buckets { settings: settings.clone() }
    }

    fn open(&self, bucket: &str, operation: &str) -> Result<AmazonS3, Refused> {
        // The name becomes a part of the URL.
        let is_name = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
            && !bucket.starts_with('.');
        if !is_name {
            let message = spoken("InvalidBucketName", operation, "The specified bucket is not valid.");
            return Err(Refused { status: 400, message });
        }
        // An error only says that the process has a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = &self.settings;
        let mut builder = AmazonS3Builder::from_env();
        if let (Some(id), Some(secret)) = (&settings.s3_access_key_id, &settings.s3_secret_access_key) {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        }
        let is_plain = settings.s3_endpoint_url.starts_with("http://");
        let options = ClientOptions::new().with_timeout(PATIENCE).with_allow_http(is_plain);
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: PATIENCE, ..RetryConfig::default() };
        builder
            .with_bucket_name(bucket)
            .with_region(&settings.s3_region_name)
            .with_endpoint(&settings.s3_endpoint_url)
            .with_client_options(options)
            .with_retry(retry)
            .build()
            .map_err(|error| refused(operation, &error))
    }

    /// Stores an object; its version, where the bucket has versions.
    ///
    /// # Errors
    /// What the bucket refused.
    pub async fn put(&self, bucket: &str, key: &str, content: Bytes) -> Result<Option<String>, Refused> {
        let stored = self.open(bucket, PUT)?.put(&path(key, PUT)?, content.into()).await;
        stored.map(|stored| stored.version).map_err(|error| refused(PUT, &error))
    }

    /// An object, of one version if one is named.
    ///
    /// # Errors
    /// What the bucket refused; 413 for what is longer than a notebook may be.
    pub async fn get(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Object, Refused> {
        let options = GetOptions { version: version.map(str::to_owned), ..GetOptions::default() };
        let found = self.open(bucket, GET)?.get_opts(&path(key, GET)?, options).await;
        let found = found.map_err(|error| refused(GET, &error))?;
        if found.meta.size > LIMIT {
            let message = format!("the object has {} bytes, more than {LIMIT}", found.meta.size);
            return Err(Refused { status: 413, message });
        }
        let version = found.meta.version.clone();
        let content = found.bytes().await.map_err(|error| refused(GET, &error))?;
        Ok(Object { content, version })
    }
}

const PUT: &str = "PutObject";
const GET: &str = "GetObject";

fn path(key: &str, operation: &str) -> Result<Key, Refused> {
    Key::parse(key).map_err(|_| Refused {
        status: 400,
        message: spoken(
            "InvalidKey",
            operation,
            "The specified key cannot be used; leave out [ ] { } # % and the like",
        ),
    })
}

/// An error in the words of Python's S3 client.
pub(crate) fn spoken(code: &str, operation: &str, message: &str) -> String {
    format!("An error occurred ({code}) when calling the {operation} operation: {message}")
}

fn refused(operation: &str, error: &object_store::Error) -> Refused {
    use object_store::Error;
    let text = chain(error);
    let code = between(&text, "<Code>", "</Code>");
    let told = between(&text, "<Message>", "</Message>");
    let (status, code_known, told_known) = match error {
        Error::NotFound { .. } => (404, "NoSuchKey", "The specified key does not exist."),
        Error::PermissionDenied { .. } => (403, "AccessDenied", "Access Denied"),
        Error::Unauthenticated { .. } => (401, "Unauthorized", "Unauthorized"),
        Error::Precondition { .. } => (412, "PreconditionFailed", "A precondition failed"),
        _ => (status_in(&text).unwrap_or(502), "Unreachable", text.as_str()),
    };
    let message = spoken(code.unwrap_or(code_known), operation, told.unwrap_or(told_known));
    Refused { status, message }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        next = cause.source();
    }
    text
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    Some(rest.split_once(to)?.0)
}

/// The status that an error's text tells.
fn status_in(text: &str) -> Option<u16> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("status") {
        let digits: String = after
            .trim_start_matches(|c: char| !c.is_ascii_digit())
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        if let Ok(status @ 400..=599) = digits.parse() {
            return Some(status);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_found_in_texts() {
        assert_eq!(status_in("Server returned non-2xx status code: 400 Bad Request: <Error>"), Some(400));
        assert_eq!(status_in("nothing"), None);
        assert_eq!(status_in("status 12, then status: 503"), Some(503));
    }
}
