//! The one URL form of a store.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use url::{Host, Url};

use crate::Error;

/// A checked store URL: `file:///abs/dir`, or `s3://bucket/prefix` with options.
///
/// | option of `s3://`  | meaning | default |
/// |---|---|---|
/// | `endpoint=URL`     | the server, for one that is not Amazon's | Amazon's of the region |
/// | `region=NAME`      | the region that requests are signed for | `AWS_REGION`, `AWS_DEFAULT_REGION`, `us-east-1` |
/// | `path_style=BOOL`  | the bucket is in the path, not in the host name | `true` with `endpoint`, else `false` |
/// | `allow_http=BOOL`  | plain `http://` beyond this machine is accepted | `false` |
///
/// Credentials are never part of it: a URL with a user name, a password or an unknown option is refused, so the
/// `Display` text, which is the URL in its canonical form, holds no secret.
///
/// ```
/// use backlot_store::StoreUrl;
///
/// let url: StoreUrl = "s3://titles/dailies?endpoint=http://127.0.0.1:5000".parse()?;
/// assert_eq!(url.to_string(), "s3://titles/dailies?endpoint=http://127.0.0.1:5000");
/// let error = "/var/lib/backlot".parse::<StoreUrl>().unwrap_err();
/// assert_eq!(error.to_string(), "`/var/lib/backlot` is not a store: it has no scheme; write file:///var/lib/backlot");
/// # Ok::<(), backlot_store::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreUrl(pub(crate) Place);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Folder(PathBuf),
    S3(Bucket),
}

/// A bucket, or a prefix in one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    /// Without slashes at its ends; empty for the whole bucket.
    pub(crate) prefix: String,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) region: Option<String>,
    path_style: Option<bool>,
    allow_http: bool,
}

/// A server's address without a path: `http://127.0.0.1:5000`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    pub(crate) scheme: String,
    /// Host, and port if it is not the scheme's own.
    pub(crate) authority: String,
    pub(crate) is_loopback: bool,
}

/// What must be escaped in a path of our own URLs.
const IN_PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`');

impl StoreUrl {
    /// The store in this folder.
    ///
    /// # Errors
    /// The path is relative, or has a part `..`, which a URL cannot express.
    pub fn folder(path: &Path) -> Result<StoreUrl, Error> {
        if path.is_absolute() && !path.components().any(|part| part == Component::ParentDir) {
            Ok(StoreUrl(Place::Folder(path.to_owned())))
        } else {
            let fault = "the path is relative; write it from the root and without `..`";
            Err(refuse(&path.display().to_string(), fault))
        }
    }
}

impl Bucket {
    /// Whether the bucket's name stands in the path of a request and not in the host name.
    pub(crate) fn is_path_style(&self) -> bool {
        // A dotted bucket name would not match the wildcard certificate of the host names.
        self.path_style.unwrap_or(self.endpoint.is_some() || self.name.contains('.'))
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<StoreUrl, Error> {
        let url = Url::parse(text).map_err(|fault| match fault {
            url::ParseError::RelativeUrlWithoutBase if text.starts_with('/') => {
                refuse(text, format!("it has no scheme; write file://{}", shown(text)))
            }
            url::ParseError::RelativeUrlWithoutBase => {
                refuse(text, "it has no scheme; write file:///abs/dir or s3://bucket/prefix")
            }
            url::ParseError::EmptyHost => refuse(text, "the bucket is missing; write s3://bucket/prefix"),
            other => refuse(text, format!("{other}; write file:///abs/dir or s3://bucket/prefix")),
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse(
                text,
                "credentials do not belong in a URL; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ));
        }
        if url.fragment().is_some() {
            return Err(refuse(text, "it has a fragment; leave out everything from `#` (or write %23)"));
        }
        match url.scheme() {
            "file" => parse_folder(text, &url),
            "s3" => parse_bucket(text, &url),
            other => Err(refuse(text, format!("scheme `{other}` is unknown; use file:// or s3://"))),
        }
    }
}

fn parse_folder(text: &str, url: &Url) -> Result<StoreUrl, Error> {
    // `url` reads `file:dir` and `file://dir` as if they began at the root or at a host: both are meant as relative.
    if !text.get(5..).is_some_and(|rest| rest.starts_with("///")) {
        return Err(refuse(
            text,
            "the path is relative or names a host; write file:///abs/dir with three slashes",
        ));
    }
    if let Some((option, _)) = url.query_pairs().next() {
        let option = crate::error::shorten(&option);
        return Err(refuse(text, format!("option `{option}` is unknown; a file:// store has none")));
    }
    match url.to_file_path() {
        Ok(path) if path.is_absolute() => Ok(StoreUrl(Place::Folder(path))),
        _ => Err(refuse(text, "it is not the path of a folder; write file:///abs/dir")),
    }
}

fn parse_bucket(text: &str, url: &Url) -> Result<StoreUrl, Error> {
    let bucket = url.host_str().unwrap_or_default();
    if bucket.is_empty() {
        return Err(refuse(text, "the bucket is missing; write s3://bucket/prefix"));
    }
    if url.port().is_some() {
        return Err(refuse(text, "it has a port; write the server as the option endpoint=http://host:port"));
    }
    // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    let is_bucket = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
        && !bucket.starts_with(['-', '.'])
        && !bucket.ends_with(['-', '.'])
        && !bucket.contains("..");
    if !is_bucket {
        return Err(refuse(
            text,
            "the bucket's name is not one of S3; use 3 to 63 lower-case letters, digits, `-` and `.`",
        ));
    }
    let path = percent_decode_str(url.path())
        .decode_utf8()
        .map_err(|_| refuse(text, "the prefix is not UTF-8; write it in UTF-8, percent-encoded"))?;
    let prefix = path.trim_matches('/');
    if !prefix.is_empty()
        && let Some(fault) = crate::name::fault_of_path(prefix)
    {
        return Err(refuse(text, format!("the prefix cannot be used: {fault}")));
    }
    let mut place = Bucket {
        name: bucket.to_owned(),
        prefix: prefix.to_owned(),
        endpoint: None,
        region: None,
        path_style: None,
        allow_http: false,
    };
    let mut seen = Vec::new();
    for (option, value) in url.query_pairs() {
        match option.as_ref() {
            "endpoint" => place.endpoint = Some(parse_endpoint(text, &value)?),
            "region" => place.region = Some(parse_region(text, &value)?),
            "path_style" => place.path_style = Some(parse_bool(text, "path_style", &value)?),
            "allow_http" => place.allow_http = parse_bool(text, "allow_http", &value)?,
            other => {
                let option = crate::error::shorten(other);
                return Err(refuse(
                    text,
                    format!(
                        "option `{option}` is unknown; the options are endpoint, region, path_style, allow_http"
                    ),
                ));
            }
        }
        if seen.contains(&option) {
            return Err(refuse(text, format!("option `{option}` is given twice; give it once")));
        }
        seen.push(option);
    }
    if let Some(endpoint) = &place.endpoint
        && endpoint.scheme == "http"
        && !endpoint.is_loopback
        && !place.allow_http
    {
        return Err(refuse(
            text,
            "the endpoint is plain http beyond this machine; use https, or add allow_http=true on a network you trust",
        ));
    }
    Ok(StoreUrl(Place::S3(place)))
}

fn parse_endpoint(text: &str, value: &str) -> Result<Endpoint, Error> {
    let url = Url::parse(value)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| refuse(text, "the endpoint is not an http URL; write endpoint=https://host:port"))?;
    let is_bare = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if !is_bare {
        return Err(refuse(
            text,
            "the endpoint has more than a host and a port; write endpoint=https://host:port",
        ));
    }
    let is_loopback = match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost" || domain.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(refuse(text, "the endpoint has no host; write endpoint=https://host:port")),
    };
    Ok(Endpoint { scheme: url.scheme().to_owned(), authority: url.authority().to_owned(), is_loopback })
}

fn parse_region(text: &str, value: &str) -> Result<String, Error> {
    let is_region = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if is_region {
        Ok(value.to_owned())
    } else {
        Err(refuse(text, "the region is not one; write one like region=eu-central-1"))
    }
}

fn parse_bool(text: &str, option: &str, value: &str) -> Result<bool, Error> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(refuse(text, format!("option `{option}` is neither true nor false; write {option}=true"))),
    }
}

fn refuse(text: &str, fault: impl Into<String>) -> Error {
    Error::NotAStore { url: shown(text), fault: fault.into() }
}

/// The part of a URL that can be shown: no options, no user information, both of which may hold a secret.
fn shown(text: &str) -> String {
    let without_options = text.split(['?', '#']).next().unwrap_or_default();
    let shown = match without_options.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, place)) => format!("{scheme}://…@{place}"),
            None => without_options.to_owned(),
        },
        None => without_options.to_owned(),
    };
    crate::error::shorten(&shown)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Folder(path) => {
                let url =
                    Url::from_file_path(path).expect("invariant: the path of a folder store is absolute");
                f.write_str(url.as_str())
            }
            Place::S3(bucket) => fmt::Display::fmt(bucket, f),
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.name)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", utf8_percent_encode(&self.prefix, IN_PATH))?;
        }
        let options = [
            self.endpoint.as_ref().map(|endpoint| format!("endpoint={endpoint}")),
            self.region.as_ref().map(|region| format!("region={region}")),
            self.path_style.map(|on| format!("path_style={on}")),
            self.allow_http.then(|| "allow_http=true".to_owned()),
        ];
        for (index, option) in options.into_iter().flatten().enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            write!(f, "{separator}{option}")?;
        }
        Ok(())
    }
}
