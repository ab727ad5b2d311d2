//! A store in a bucket of an S3 endpoint, or under a prefix in one.
//!
//! Objects are written in one request when they fit into one part and as multipart uploads otherwise, so they appear
//! whole or not at all. They are read in ranges of one part each, several at a time: no request runs longer than one
//! part takes, so one time limit fits them all, and a slow reader holds no connection open.
//!
//! TLS: the process-wide provider is ring (the alternative, aws-lc, is a second, far heavier C library), and the roots
//! are those of the platform, since S3 servers at home are often signed by a company's own authority, which only the
//! platform knows (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured). A plain `http` endpoint needs no roots at all, so
//! that a slim container without `ca-certificates` can still use one.

mod fault;
mod transfer;

use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path as ObjectPath;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, GetOptions, GetRange, GetResult, ObjectStore,
    ObjectStoreExt, PutOptions, RetryConfig,
};

use crate::Error;
use crate::backend::{Class, Entry, Listing, Stat};
use crate::name::Key;
use crate::options::{Credentials, Options, Patience};
use crate::url::Bucket;

/// S3's limit for a key, in bytes.
const LONGEST_KEY: usize = 1024;
/// S3's limit for one page of a listing.
const LONGEST_PAGE: usize = 1000;

/// A bucket, or a prefix in one.
#[derive(Debug)]
pub(crate) struct S3 {
    client: AmazonS3,
    /// Empty, or a path with a slash at its end.
    prefix: String,
    /// The store's URL, for messages.
    place: String,
}

impl S3 {
    /// Prepares a client. Nothing is sent yet.
    pub(crate) fn open(bucket: &Bucket, options: &Options) -> Result<S3, Error> {
        // An error only says that the process has a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place = bucket.to_string();
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let client = configure(bucket, options, &env)
            .build()
            .map_err(|error| fault::explain("open the store".to_owned(), &place, &error))?;
        let prefix = if bucket.prefix.is_empty() { String::new() } else { format!("{}/", bucket.prefix) };
        Ok(S3 { client, prefix, place })
    }

    fn object_path(&self, key: &Key) -> Result<ObjectPath, Error> {
        let path = format!("{}{key}", self.prefix);
        if path.len() > LONGEST_KEY {
            let fault = "with the store's prefix it is longer than the 1024 bytes of an S3 key; shorten it";
            return Err(Error::NotAName { text: crate::error::shorten(key.as_str()), fault });
        }
        ObjectPath::parse(&path).map_err(|_| Error::NotAName {
            text: crate::error::shorten(key.as_str()),
            fault: "it cannot be an S3 key; use letters, digits, `-`, `_`, `.` and `/`",
        })
    }

    fn fail(&self, action: &str, key: &Key, error: &object_store::Error) -> Error {
        fault::explain(format!("{action} {key}"), &self.place, error)
    }

    pub(crate) async fn stat(&self, key: &Key) -> Result<Option<Stat>, Error> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        match self.client.get_opts(&self.object_path(key)?, options).await {
            Ok(found) => Ok(Some(stat_of(&found))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.fail("look for", key, &error)),
        }
    }

    pub(crate) async fn read(&self, key: &Key, limit: u64) -> Result<Option<(Stat, Bytes)>, Error> {
        let found = match self.client.get_opts(&self.object_path(key)?, GetOptions::default()).await {
            Ok(found) => found,
            Err(error) if fault::is_missing_object(&error) => return Ok(None),
            Err(error) => return Err(self.fail("read", key, &error)),
        };
        let stat = stat_of(&found);
        if stat.size > limit {
            return Err(Error::TooLarge { what: key.to_string(), size: stat.size, limit });
        }
        let content = found.bytes().await.map_err(|error| self.fail("read", key, &error))?;
        Ok(Some((stat, content)))
    }

    /// A range that is not empty, of the object as it was when it had the entity tag `version`, if one is given.
    pub(crate) async fn read_range(
        &self,
        key: &Key,
        range: Range<u64>,
        version: Option<String>,
    ) -> Result<Option<Bytes>, Error> {
        let options =
            GetOptions { range: Some(GetRange::Bounded(range)), if_match: version, ..GetOptions::default() };
        let found = match self.client.get_opts(&self.object_path(key)?, options).await {
            Ok(found) => found,
            Err(error) if fault::is_missing_object(&error) => return Ok(None),
            Err(object_store::Error::Precondition { .. }) => {
                let name = key.as_str().trim_start_matches(crate::name::NAMED).to_owned();
                return Err(Error::Replaced { name });
            }
            Err(error) => return Err(self.fail("read", key, &error)),
        };
        found.bytes().await.map(Some).map_err(|error| self.fail("read", key, &error))
    }

    pub(crate) async fn put_bytes(&self, key: &Key, content: Bytes, class: &Class) -> Result<(), Error> {
        let options = PutOptions { attributes: attributes_of(class), ..PutOptions::default() };
        let stored = self.client.put_opts(&self.object_path(key)?, content.into(), options).await;
        stored.map(|_| ()).map_err(|error| self.fail("store", key, &error))
    }

    pub(crate) async fn delete(&self, key: &Key) -> Result<(), Error> {
        match self.client.delete(&self.object_path(key)?).await {
            Ok(()) => Ok(()),
            Err(error) if fault::is_missing_object(&error) => Ok(()),
            Err(error) => Err(self.fail("delete", key, &error)),
        }
    }

    pub(crate) async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Listing, Error> {
        let whole_prefix = format!("{}{prefix}", self.prefix);
        let mut entries = Vec::new();
        let mut page_token = None;
        loop {
            // One more than wanted tells whether others follow.
            let wanted = limit + 1 - entries.len();
            let options = PaginatedListOptions {
                offset: start_after.map(|key| format!("{}{key}", self.prefix)),
                max_keys: Some(wanted.min(LONGEST_PAGE)),
                page_token,
                ..PaginatedListOptions::default()
            };
            let page = self
                .client
                .list_paginated(Some(&whole_prefix), options)
                .await
                .map_err(|error| fault::explain(format!("list {prefix}"), &self.place, &error))?;
            for meta in page.result.objects {
                // Keys that merely look like folders (`a/`, made by web consoles) have lost their slash in `location`
                // and may stand for no object of ours; they are empty and do no harm.
                let Some(key) = meta.location.as_ref().strip_prefix(self.prefix.as_str()) else { continue };
                entries.push(Entry {
                    key: key.to_owned(),
                    size: meta.size,
                    modified: meta.last_modified.into(),
                });
            }
            page_token = page.page_token;
            if page_token.is_none() || entries.len() > limit {
                break;
            }
        }
        let more = entries.len() > limit;
        entries.truncate(limit);
        Ok(Listing { entries, more })
    }
}

fn stat_of(found: &GetResult) -> Stat {
    Stat {
        size: found.meta.size,
        modified: SystemTime::from(found.meta.last_modified),
        media_type: found.attributes.get(&Attribute::ContentType).map(|value| value.as_ref().to_owned()),
        version: found.meta.e_tag.clone(),
    }
}

fn attributes_of(class: &Class) -> Attributes {
    let media_type = match class {
        Class::Blob => crate::name::OCTET_STREAM,
        Class::Named { media_type } => media_type,
    };
    Attributes::from_iter([(Attribute::ContentType, media_type.to_owned())])
}

/// Everything that decides to whom and how requests are sent.
///
/// Of the environment only credentials and the region are taken: the endpoint is in the URL or it is Amazon's, so that
/// a URL means the same place in every shell.
fn configure(bucket: &Bucket, options: &Options, env: &dyn Fn(&str) -> Option<String>) -> AmazonS3Builder {
    let Patience { connect, request, retry, retries } = options.patience;
    let is_plain = bucket.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme == "http");
    let client_options = ClientOptions::new()
        .with_allow_http(is_plain)
        .with_connect_timeout(connect)
        .with_timeout(request)
        .with_no_system_certificates(is_plain);
    let retry_config =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: retries, retry_timeout: retry };
    let region = bucket
        .region
        .clone()
        .or_else(|| env("AWS_REGION"))
        .or_else(|| env("AWS_DEFAULT_REGION"))
        .unwrap_or_else(|| "us-east-1".to_owned());
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket.name)
        .with_region(region)
        .with_virtual_hosted_style_request(!bucket.is_path_style())
        // We delete one object at a time, for which the plain request is enough and understood by every server.
        .with_disable_bulk_delete(true)
        .with_client_options(client_options)
        .with_retry(retry_config);
    if let Some(endpoint) = &bucket.endpoint {
        let (scheme, authority) = (&endpoint.scheme, &endpoint.authority);
        builder = builder.with_endpoint(if bucket.is_path_style() {
            endpoint.to_string()
        } else {
            format!("{scheme}://{}.{authority}", bucket.name)
        });
    }
    with_credentials(builder, bucket, options.credentials.as_ref(), env)
}

/// The caller's credentials, else those of the environment, else (in the cloud) those of the machine's role.
fn with_credentials(
    mut builder: AmazonS3Builder,
    bucket: &Bucket,
    given: Option<&Credentials>,
    env: &dyn Fn(&str) -> Option<String>,
) -> AmazonS3Builder {
    const KEYS: [(&str, AmazonS3ConfigKey); 10] = [
        ("AWS_ACCESS_KEY_ID", AmazonS3ConfigKey::AccessKeyId),
        ("AWS_SECRET_ACCESS_KEY", AmazonS3ConfigKey::SecretAccessKey),
        ("AWS_SESSION_TOKEN", AmazonS3ConfigKey::Token),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
        ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
        ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
        ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
    ];

    if let Some(Credentials { key_id, secret, session_token }) = given {
        builder = builder.with_access_key_id(key_id).with_secret_access_key(secret);
        return match session_token {
            Some(token) => builder.with_token(token),
            None => builder,
        };
    }
    let mut found_any = false;
    for (name, key) in KEYS {
        if let Some(value) = env(name) {
            builder = builder.with_config(key, value);
            found_any = true;
        }
    }
    let is_loopback = bucket.endpoint.as_ref().is_some_and(|endpoint| endpoint.is_loopback);
    if !found_any && is_loopback {
        // A server on this machine has no cloud role to ask for, only a long wait for one. Test servers accept any
        // keys, and one that does not refuses these at once and is told about in an error.
        builder = builder.with_access_key_id("backlot").with_secret_access_key("backlot");
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreUrl;
    use crate::url::Place;

    /// What a client for `url` would be set to, in a shell with these variables.
    fn settings(
        url: &str,
        given: Option<Credentials>,
        shell: &[(&str, &str)],
    ) -> impl Fn(AmazonS3ConfigKey) -> String {
        let url: StoreUrl = url.parse().expect("the URL is right");
        let Place::S3(bucket) = url.0 else { panic!("{url} is no bucket") };
        let options = Options { credentials: given, ..Options::default() };
        let env =
            |name: &str| shell.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let builder = configure(&bucket, &options, &env);
        move |key| builder.get_config_value(&key).unwrap_or_default()
    }

    const SHELL: [(&str, &str); 6] = [
        ("AWS_ACCESS_KEY_ID", "id of the shell"),
        ("AWS_SECRET_ACCESS_KEY", "secret of the shell"),
        ("AWS_SESSION_TOKEN", "token of the shell"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", "http://elsewhere"),
        ("AWS_ALLOW_HTTP", "true"),
    ];

    #[test]
    fn credentials_are_given_or_of_the_shell_or_of_the_machine() {
        let local = "s3://titles?endpoint=http://127.0.0.1:5000";
        let given = Some(Credentials::new("given", "secret"));
        let found = settings(local, given, &SHELL);
        assert_eq!(found(AmazonS3ConfigKey::AccessKeyId), "given");
        assert_eq!(found(AmazonS3ConfigKey::Token), "", "a token of other keys would not fit");
        let found = settings(local, None, &SHELL);
        assert_eq!(found(AmazonS3ConfigKey::AccessKeyId), "id of the shell");
        assert_eq!(found(AmazonS3ConfigKey::SecretAccessKey), "secret of the shell");
        assert_eq!(found(AmazonS3ConfigKey::Token), "token of the shell");
        assert_eq!(settings(local, None, &[])(AmazonS3ConfigKey::AccessKeyId), "backlot");
        assert_eq!(settings("s3://titles", None, &[])(AmazonS3ConfigKey::AccessKeyId), "");
    }

    #[test]
    fn only_the_url_says_where_the_store_is() {
        let found = settings("s3://titles", None, &SHELL);
        assert_eq!(found(AmazonS3ConfigKey::Endpoint), "");
        assert_eq!(found(AmazonS3ConfigKey::S3Endpoint), "");
        assert_eq!(found(AmazonS3ConfigKey::Region), "eu-west-1");
        assert_eq!(found(AmazonS3ConfigKey::VirtualHostedStyleRequest), "true");
        let found = settings("s3://titles?region=us-west-2", None, &SHELL);
        assert_eq!(found(AmazonS3ConfigKey::Region), "us-west-2");
        assert_eq!(settings("s3://titles", None, &[])(AmazonS3ConfigKey::Region), "us-east-1");
    }

    #[test]
    fn the_bucket_is_in_the_path_or_in_the_host() {
        let found = settings("s3://titles?endpoint=https://nas:9000", None, &[]);
        assert_eq!(found(AmazonS3ConfigKey::Endpoint), "https://nas:9000");
        assert_eq!(found(AmazonS3ConfigKey::VirtualHostedStyleRequest), "false");
        let found = settings("s3://titles?endpoint=https://nas:9000&path_style=false", None, &[]);
        assert_eq!(found(AmazonS3ConfigKey::Endpoint), "https://titles.nas:9000");
        assert_eq!(found(AmazonS3ConfigKey::VirtualHostedStyleRequest), "true");
        let dotted = settings("s3://titles.example.org", None, &[]);
        assert_eq!(dotted(AmazonS3ConfigKey::VirtualHostedStyleRequest), "false");
    }
}
