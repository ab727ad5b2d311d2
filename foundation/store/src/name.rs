//! Names of objects, media types, and the keys under which both kinds of objects lie.
//!
//! A [`Key`] can only be made from a [`Digest`] or a [`Name`], so nothing that a client says reaches a path or an S3
//! key without having been checked here.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, Error};

/// S3's limit for a whole key, in bytes of UTF-8; names keep to it on every backend, so that a store can be moved.
const LONGEST_NAME: usize = 1024;
/// The limit of one path component on the common filesystems (`NAME_MAX`), in bytes.
const LONGEST_SEGMENT: usize = 255;
/// RFC 6838, section 4.2, allows 127 characters for the type and the subtype each.
const LONGEST_MEDIA_TYPE: usize = 255;

/// The media type of bytes of which nothing is known (RFC 2046, section 4.5.1).
pub const OCTET_STREAM: &str = "application/octet-stream";

/// The name of a named object: segments with `/` between them, for example `reports/2031/summary.html`.
///
/// At most 1024 bytes of UTF-8; no segment is empty, `.`, `..` or longer than 255 bytes; no control characters and no
/// backslash. Names are compared byte for byte.
///
/// ```
/// use backlot_store::Name;
///
/// assert_eq!("a/b.txt".parse::<Name>()?.as_str(), "a/b.txt");
/// assert!("../b.txt".parse::<Name>().is_err());
/// # Ok::<(), backlot_store::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Name, Error> {
        match fault_of_path(text) {
            None => Ok(Name(text.to_owned())),
            Some(fault) => Err(Error::NotAName { text: crate::error::shorten(text), fault }),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why `path` cannot be a relative path inside a store, and what would mend it; `None` when it can.
pub(crate) fn fault_of_path(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty; give it at least one character");
    }
    if path.len() > LONGEST_NAME {
        return Some("it is longer than 1024 bytes; shorten it");
    }
    if path.starts_with('/') {
        return Some("it is absolute; leave out the leading slash");
    }
    if path.ends_with('/') {
        return Some("it ends in a slash; name an object, not a folder");
    }
    if let Some(fault) = fault_of_characters(path) {
        return Some(fault);
    }
    path.split('/').find_map(|segment| match segment {
        "" => Some("it has an empty segment; leave out the doubled slash"),
        "." | ".." => Some("it has a relative segment; write the name without `.` and `..`"),
        _ if segment.len() > LONGEST_SEGMENT => Some("it has a segment longer than 255 bytes; shorten it"),
        _ => None,
    })
}

/// Why a text with these characters can be neither a name nor the beginning of one.
fn fault_of_characters(text: &str) -> Option<&'static str> {
    if text.chars().any(char::is_control) {
        return Some("it has a control character; leave it out");
    }
    if text.contains('\\') {
        return Some("it has a backslash; put `/` between segments");
    }
    None
}

/// Checks a prefix to list: the beginning of a name, which may be empty or end in the middle of a segment.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), Error> {
    // The last segment may be cut anywhere; the whole ones before it must be those of a name.
    let whole_segments = prefix.rfind('/').map_or("", |slash| &prefix[..slash]);
    let fault = if prefix.len() > LONGEST_NAME {
        Some("it is longer than 1024 bytes; shorten it")
    } else if prefix.starts_with('/') {
        Some("it is absolute; leave out the leading slash")
    } else if whole_segments.is_empty() {
        fault_of_characters(prefix)
    } else {
        fault_of_characters(prefix).or_else(|| fault_of_path(whole_segments))
    };
    match fault {
        None => Ok(()),
        Some(fault) => Err(Error::NotAName { text: crate::error::shorten(prefix), fault }),
    }
}

/// Checks that `text` has the form of a media type (RFC 9110, section 8.3.1): a type, a slash, a subtype, and
/// whatever parameters, in printable ASCII.
pub(crate) fn check_media_type(text: &str) -> Result<(), Error> {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let well_formed = text.len() <= LONGEST_MEDIA_TYPE
        && text.bytes().all(|b| (b' '..=b'~').contains(&b))
        && essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    if well_formed { Ok(()) } else { Err(Error::NotAMediaType { text: crate::error::shorten(text) }) }
}

/// Where an object lies below the root of its store: `blobs/ab/cd…` or `named/…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

/// The folder of all blobs, with its slash.
pub(crate) const BLOBS: &str = "blobs/";
/// The folder of all named objects, with its slash.
pub(crate) const NAMED: &str = "named/";

impl Key {
    /// A blob lies in one of 256 folders named by its first two hexadecimal digits: folders of a million entries are
    /// slow on many filesystems, and a quarter of a million blobs make only a thousand entries in each.
    pub(crate) fn blob(digest: &Digest) -> Key {
        let hex = digest.to_hex();
        let (shard, rest) = hex.split_at(2);
        Key(format!("{BLOBS}{shard}/{rest}"))
    }

    pub(crate) fn named(name: &Name) -> Key {
        Key(format!("{NAMED}{name}"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The digest of the blob that lies under `key`; `None` for a stray object that no blob is named like.
    pub(crate) fn digest_of(key: &str) -> Option<Digest> {
        let (shard, rest) = key.strip_prefix(BLOBS)?.split_once('/')?;
        if shard.len() == 2 { Digest::from_hex(&format!("{shard}{rest}")) } else { None }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
