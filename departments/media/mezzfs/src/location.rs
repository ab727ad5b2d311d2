//! The names of objects that can be mounted.
//!
//! | text | the object |
//! |---|---|
//! | `s3://bucket/key?endpoint=URL&region=NAME` | an object of an S3 server |
//! | `http://host/path`, `https://host/path` | a file of a web server that gives ranges |
//! | `file:///abs/path` | a file of this machine |
//! | `named:NAME` | a named object of the house's store |
//! | `blob:DIGEST` | a blob of the house's store |

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use backlot_store::Digest;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::Error;
use crate::error::shorten;

/// Where an object is. Its text holds no secret: locations with a user name or password are refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Location {
    /// An object of an S3 server.
    S3(S3Location),
    /// A file of a web server.
    Http(Url),
    /// A file of this machine.
    File(PathBuf),
    /// A named object of the house's store.
    Named(String),
    /// A blob of the house's store.
    Blob(Digest),
}

/// A bucket, a key, and the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct S3Location {
    /// The bucket.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// The server, if it is not Amazon's.
    pub endpoint: Option<String>,
    /// The region requests are signed for.
    pub region: Option<String>,
}

impl Location {
    /// The last part of its path: how a file is named that nobody named.
    pub fn file_name(&self) -> String {
        let path = match self {
            Self::S3(place) => place.key.clone(),
            Self::Http(url) => percent_decode_str(url.path()).decode_utf8_lossy().into_owned(),
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Named(name) => name.clone(),
            Self::Blob(digest) => digest.to_string(),
        };
        path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("object").to_owned()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(place) => {
                write!(f, "s3://{}/{}", place.bucket, place.key)?;
                let options = [("endpoint", &place.endpoint), ("region", &place.region)];
                let given = options.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
                for (i, (name, value)) in given.enumerate() {
                    write!(f, "{}{name}={value}", if i == 0 { '?' } else { '&' })?;
                }
                Ok(())
            }
            Self::Http(url) => write!(f, "{url}"),
            Self::File(path) => write!(f, "file://{}", path.display()),
            Self::Named(name) => write!(f, "named:{name}"),
            Self::Blob(digest) => write!(f, "blob:{digest}"),
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |fault: &str| Error::NotALocation { text: shorten(text), fault: fault.to_owned() };
        if let Some(name) = text.strip_prefix("named:") {
            return match name.parse::<backlot_store::Name>() {
                Ok(name) => Ok(Self::Named(name.as_str().to_owned())),
                Err(error) => Err(refuse(&error.to_string())),
            };
        }
        if let Some(digest) = text.strip_prefix("blob:") {
            let digest =
                digest.parse().map_err(|_| refuse("write blob: and the digest that `put` printed"))?;
            return Ok(Self::Blob(digest));
        }
        let url = Url::parse(text).map_err(|_| {
            refuse("write s3://bucket/key, https://host/path, file:///abs/path, named:NAME or blob:DIGEST")
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::NotALocation {
                text: format!("{}://…", url.scheme()),
                fault: "credentials do not belong in it; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    .to_owned(),
            });
        }
        match url.scheme() {
            "http" | "https" => {
                let mut url = url;
                url.set_fragment(None);
                Ok(Self::Http(url))
            }
            "file" => {
                let path = url.to_file_path().ok().filter(|path| path.is_absolute());
                let path = path.filter(|_| url.query().is_none());
                path.map(Self::File).ok_or_else(|| refuse("write file:///abs/path with three slashes"))
            }
            "s3" => parse_s3(&url).map(Self::S3).map_err(refuse),
            _ => Err(refuse("use s3://, https://, http://, file://, named: or blob:")),
        }
    }
}

fn parse_s3(url: &Url) -> Result<S3Location, &'static str> {
    let bucket = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or("the bucket is missing; write s3://bucket/key")?;
    if url.port().is_some() {
        return Err("it has a port; write the server as the option endpoint=http://host:port");
    }
    let key = percent_decode_str(url.path().trim_start_matches('/')).decode_utf8();
    let key = key.map_err(|_| "the key is not UTF-8; write it percent-encoded")?.into_owned();
    if key.is_empty() || key.ends_with('/') {
        return Err("the key is missing; write s3://bucket/key");
    }
    let mut place = S3Location { bucket: bucket.to_owned(), key, endpoint: None, region: None };
    for (option, value) in url.query_pairs() {
        match option.as_ref() {
            "endpoint" => place.endpoint = Some(check_endpoint(&value)?),
            "region" => place.region = Some(value.into_owned()),
            _ => return Err("it has an unknown option; the options are endpoint and region"),
        }
    }
    Ok(place)
}

/// Plain HTTP carries data and signatures in the clear, so it is for this machine only.
fn check_endpoint(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).map_err(|_| "the endpoint is not a URL; write http://host:port")?;
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return Err("the endpoint has no host; write http://host:port"),
    };
    match url.scheme() {
        "https" => {}
        "http" if is_loopback => {}
        "http" => return Err("the endpoint is plain http beyond this machine; use https"),
        _ => return Err("the endpoint is neither http nor https"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials do not belong in the endpoint");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_say_themselves() {
        for text in [
            "s3://titles/a/b%20c.mov",
            "s3://titles/a.mov?endpoint=http://127.0.0.1:9000&region=eu-west-1",
            "https://example.org/a.mov?x=1",
            "file:///media/a.mov",
            "named:takes/1.mov",
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string().replace(' ', "%20"), text);
        }
        assert_eq!("s3://b-b/x/y.mov".parse::<Location>().unwrap().file_name(), "y.mov");
    }

    #[test]
    fn what_is_refused_is_told_without_secrets() {
        for (text, part) in [
            ("a.mov", "write s3://"),
            ("s3://bucket", "the key is missing"),
            ("s3://bucket/key?secret=x", "unknown option"),
            ("s3://bucket/key?endpoint=http://example.org", "plain http"),
            ("file://relative/a.mov", "three slashes"),
            ("ftp://example.org/a", "use s3://"),
            ("blob:xyz", "digest"),
            ("named:../a", ""),
        ] {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let error = "https://ann:hush@example.org/a".parse::<Location>().unwrap_err().to_string();
        assert!(error.contains("credentials") && !error.contains("hush"), "{error}");
    }
}
