//! The name of a blob: the BLAKE3 hash of its content.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// What stands before the hexadecimal digits in a digest's text.
const SCHEME: &str = "blake3:";

/// The BLAKE3 hash (32 bytes, the default output length of the BLAKE3 paper, section 2) of a blob's content.
///
/// Its one text form is `blake3:` and 64 lower-case hexadecimal digits; other spellings are refused, so that equal
/// digests have equal texts. Serde reads and writes that text. The order is that of the bytes, and of the texts.
///
/// ```
/// use backlot_store::Digest;
///
/// let digest = Digest::of(b"");
/// let text = digest.to_string();
/// assert_eq!(text, "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
/// assert_eq!(text.parse::<Digest>()?, digest);
/// # Ok::<(), backlot_store::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Digest {
        Digest(*blake3::hash(content).as_bytes())
    }

    /// The digest with these 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// The 32 bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 lower-case hexadecimal digits, without `blake3:`.
    pub fn to_hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// Reads 64 lower-case hexadecimal digits, without `blake3:`.
    pub(crate) fn from_hex(hex: &str) -> Option<Digest> {
        let canonical = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !canonical {
            return None;
        }
        blake3::Hash::from_hex(hex).ok().map(Digest::from)
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Digest {
        Digest(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest, Error> {
        text.strip_prefix(SCHEME)
            .and_then(Digest::from_hex)
            .ok_or_else(|| Error::NotADigest { text: crate::error::shorten(text) })
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Digest, Error> {
        text.parse()
    }
}

/// A stored blob: what it is called and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Blob {
    /// The hash of the content, by which the blob is found again.
    pub digest: Digest,
    /// The length of the content, in bytes.
    pub size: u64,
}
