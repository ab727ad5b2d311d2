//! Bytes of an S3 server.
//!
//! `object_store` signs and sends; trying again is ours, so that a body that ends early goes on where it ended and every
//! source counts its retries alike. Where the endpoint is plain HTTP it signs URLs instead, which are read without its buffers.

use std::ops::Range;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as ObjectPath;
use object_store::signer::{Method, Signer};
use object_store::{ClientOptions, GetOptions, GetRange, ObjectStore, RetryConfig};
use url::Url;

use super::http::{check, parse_content_range};
use super::{Clients, Failure, Patience, Version};
use crate::location::S3Location;
use crate::{Error, Room};

/// How long a signed URL is good for. It is used at once; an hour forgives a clock that is wrong by less.
const SIGNED: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub(crate) struct S3 {
    client: AmazonS3,
    key: ObjectPath,
    /// Whether the server is asked without TLS.
    is_plain: bool,
    pub(crate) version: Version,
}

/// A client for a bucket. Of the environment only credentials and the region are taken, so that a location means the same
/// place in every shell.
pub(crate) fn client(place: &S3Location, patience: Patience) -> Result<AmazonS3, Error> {
    const KEYS: [(&str, AmazonS3ConfigKey); 7] = [
        ("AWS_ACCESS_KEY_ID", AmazonS3ConfigKey::AccessKeyId),
        ("AWS_SECRET_ACCESS_KEY", AmazonS3ConfigKey::SecretAccessKey),
        ("AWS_SESSION_TOKEN", AmazonS3ConfigKey::Token),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
        ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ];
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let is_plain = is_plain(place);
    let options = ClientOptions::new()
        .with_allow_http(is_plain)
        .with_no_system_certificates(is_plain)
        .with_connect_timeout(patience.connect)
        .with_timeout_disabled()
        .with_http1_only();
    let region = place.region.clone().or_else(|| env("AWS_REGION")).or_else(|| env("AWS_DEFAULT_REGION"));
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&place.bucket)
        .with_region(region.unwrap_or_else(|| "us-east-1".to_owned()))
        .with_virtual_hosted_style_request(place.endpoint.is_none() && !place.bucket.contains('.'))
        .with_client_options(options)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let mut found = false;
    for (name, key) in KEYS {
        if let Some(value) = env(name) {
            builder = builder.with_config(key, value);
            found = true;
        }
    }
    if !found && is_plain {
        // A server on this machine has no cloud role to ask for, only a long wait for one.
        builder = builder.with_access_key_id("backlot").with_secret_access_key("backlot");
    }
    builder.build().map_err(|error| Error::NotALocation {
        text: format!("s3://{}/{}", place.bucket, place.key),
        fault: error.to_string(),
    })
}

fn is_plain(place: &S3Location) -> bool {
    place.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"))
}

impl S3 {
    pub(crate) async fn open(
        clients: &Clients,
        client: &AmazonS3,
        at: &S3Location,
        place: &str,
    ) -> Result<(Self, u64), Failure> {
        let key = ObjectPath::parse(&at.key).map_err(|error| {
            Failure::Final(Error::NotALocation { text: place.to_owned(), fault: error.to_string() })
        })?;
        let head = GetOptions { head: true, ..GetOptions::default() };
        let found = client.get_opts(&key, head).await.map_err(|error| failure(&error, place))?;
        let version =
            Version { etag: found.meta.e_tag.clone(), modified: Some(found.meta.last_modified.to_rfc3339()) };
        let s3 = Self { client: client.clone(), key, is_plain: is_plain(at), version };
        if let Some(url) = s3.signed().await {
            clients.wire.prepare(clients.patience, &url);
        }
        Ok((s3, found.meta.size))
    }

    pub(crate) async fn read(
        &self,
        clients: &Clients,
        place: &str,
        size: u64,
        range: Range<u64>,
        out: &mut Room,
    ) -> Result<(), Failure> {
        let signed = self.signed().await;
        if let Some(url) = &signed
            && self.read_signed(clients, url, place, size, &range, out).await?
        {
            return Ok(());
        }
        let patience = clients.patience;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: self.version.strong().map(str::to_owned),
            ..GetOptions::default()
        };
        let silent = |_| Failure::Passing("no answer in time".to_owned());
        let sent = tokio::time::timeout(patience.stall, self.client.get_opts(&self.key, options));
        let found = sent.await.map_err(silent)?.map_err(|error| failure(&error, place))?;
        let modified = found.meta.last_modified.to_rfc3339();
        if found.meta.size != size || !self.version.is_of(found.meta.e_tag.as_deref(), Some(&modified)) {
            return Err(Failure::Final(Error::Changed { place: place.to_owned() }));
        }
        if found.range != range {
            return Err(Failure::Passing("the answer is not of the range that was asked for".to_owned()));
        }
        let mut body = found.into_stream();
        let mut left = range.end - range.start;
        loop {
            let next = tokio::time::timeout(patience.stall, body.try_next()).await.map_err(silent)?;
            let Some(chunk) = next.map_err(|error| failure(&error, place))? else { break };
            let taken = left.min(chunk.len() as u64) as usize;
            out.push(&chunk[..taken]);
            left -= taken as u64;
        }
        if left > 0 {
            return Err(Failure::Passing(format!("the body ended {left} bytes early")));
        }
        if let Some(url) = &signed {
            clients.wire.decline(url);
        }
        Ok(())
    }

    /// A signed URL of the object, where it may be asked for without TLS.
    async fn signed(&self) -> Option<Url> {
        if !self.is_plain {
            return None;
        }
        self.client.signed_url(Method::GET, &self.key, SIGNED).await.ok()
    }

    /// Reads by a signed URL. False, and nothing read, when the answer is better told by the S3 client.
    async fn read_signed(
        &self,
        clients: &Clients,
        url: &Url,
        place: &str,
        size: u64,
        range: &Range<u64>,
        out: &mut Room,
    ) -> Result<bool, Failure> {
        let asked = clients.wire.ask(clients.patience, url, range, self.version.strong()).await?;
        let Some(answer) = asked else { return Ok(false) };
        let head = &answer.head;
        // Of the times of two clients only the ETag can be compared. A refusal may be of signed URLs alone.
        if head.status == 206 && head.etag.is_none() || matches!(head.status, 400 | 401 | 403) {
            return Ok(false);
        }
        let given = head.content_range.as_deref().and_then(parse_content_range);
        let version = (head.etag.as_deref(), None);
        check(&self.version, place, size, range, head.status, version, given)?;
        answer.body(range.end - range.start, out).await?;
        Ok(true)
    }
}

fn failure(error: &object_store::Error, place: &str) -> Failure {
    let place = place.to_owned();
    match error {
        object_store::Error::NotFound { .. } => Failure::Final(Error::NotFound { place }),
        object_store::Error::Precondition { .. } => Failure::Final(Error::Changed { place }),
        object_store::Error::PermissionDenied { .. } => {
            Failure::Final(Error::Forbidden { place, status: 403 })
        }
        object_store::Error::Unauthenticated { .. } => {
            Failure::Final(Error::Forbidden { place, status: 401 })
        }
        other => {
            let mut innermost: &dyn std::error::Error = other;
            while let Some(source) = innermost.source() {
                innermost = source;
            }
            Failure::Passing(innermost.to_string())
        }
    }
}
