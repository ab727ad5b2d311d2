//! Encrypted objects.
//!
//! An object has a key of its own, drawn at random, which encrypts nothing else. It is cut into parts and each part into
//! *segments*; every segment is sealed by AES-256-GCM and followed by its tag. So any segment can be opened alone, and what
//! does not carry the tag that it must carry is an error, never data.
//!
//! - The nonce of a segment is its part's number and its own, 4 bytes each, big-endian, and 4 zero bytes. The key is used for
//!   one object, so no nonce repeats.
//! - The additional data is the shape of the object: its size, the sizes of parts and segments. A segment that was moved,
//!   or an object that was cut short or put together otherwise, fails.
//! - The object's key lies in the manifest, sealed by the *wrapping key*, which never leaves the machines that use it and is
//!   given by a variable or a file, not on the command line.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::Error;

/// The length of a tag, in bytes.
pub const TAG: u64 = 16;
/// The variable that holds the wrapping key.
pub const KEY_VARIABLE: &str = "BACKLOT_MEZZ_KEY";
const KEY_LEN: usize = 32;
/// A key file is a line of text; more than this is another file.
const LONGEST_KEY_FILE: u64 = 4096;

/// The key that seals the keys of objects. Its `Debug` text shows its identifier only.
#[derive(Clone)]
pub struct WrappingKey {
    bytes: [u8; KEY_LEN],
    id: String,
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappingKey({})", self.id)
    }
}

impl WrappingKey {
    /// A key of 32 bytes, written as 64 hexadecimal digits or in base64.
    ///
    /// # Errors
    /// [`Error::Key`], which does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let bytes = from_hex(text).or_else(|| BASE64.decode(text).ok());
        let bytes: [u8; KEY_LEN] = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
            Error::Key(
                "the wrapping key is not 32 bytes in hexadecimal or base64; make one with `openssl rand -hex 32`"
                    .to_owned(),
            )
        })?;
        let id = blake3::derive_key("backlot mezz 1 wrapping key identifier", &bytes);
        let id = blake3::Hash::from_bytes(id).to_hex()[..16].to_owned();
        Ok(Self { bytes, id })
    }

    /// The key of this file, else that of [`KEY_VARIABLE`], else none.
    ///
    /// # Errors
    /// A file that cannot be read, a text that is no key.
    pub fn find(file: Option<&Path>) -> Result<Option<Self>, Error> {
        if let Some(path) = file {
            let size = std::fs::metadata(path).map_err(Error::file("read", path))?.len();
            if size > LONGEST_KEY_FILE {
                return Err(Error::Key(format!("{} is no key file: it is too large", path.display())));
            }
            let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
            return Self::parse(&text).map(Some);
        }
        match std::env::var(KEY_VARIABLE) {
            Ok(text) if !text.is_empty() => Self::parse(&text).map(Some),
            _ => Ok(None),
        }
    }

    /// What tells this key from others without telling the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn aead(&self) -> LessSafeKey {
        aead(&self.bytes)
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * KEY_LEN || !text.is_ascii() {
        return None;
    }
    (0..KEY_LEN).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()).collect()
}

fn aead(bytes: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("invariant: the key has AES-256's length"))
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let drawn = SystemRandom::new().fill(&mut bytes);
    drawn.map_err(|_| Error::Key("the system gives no random numbers; check /dev/urandom".to_owned()))?;
    Ok(bytes)
}

const WRAP_AAD: &[u8] = b"backlot mezz 1 wrapped key";

/// An object's key with what its segments are bound to.
pub struct ObjectKey {
    aead: LessSafeKey,
    aad: Vec<u8>,
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectKey")
    }
}

/// What the segments of an object are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The object's bytes, unsealed.
    pub size: u64,
    /// The bytes of a part but the last, unsealed.
    pub part: u64,
    /// The bytes of a segment but a part's last, unsealed.
    pub segment: u64,
}

impl Binding {
    fn aad(self) -> Vec<u8> {
        let numbers = [self.size, self.part, self.segment].map(u64::to_be_bytes);
        [b"backlot mezz 1 segment".as_slice(), numbers.as_flattened()].concat()
    }
}

impl ObjectKey {
    /// A new key, and the same wrapped for the manifest.
    ///
    /// # Errors
    /// A system without random numbers.
    pub fn generate(wrapping: &WrappingKey, binding: Binding) -> Result<(Self, String), Error> {
        let key: [u8; KEY_LEN] = random()?;
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = key.to_vec();
        wrapping
            .aead()
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(WRAP_AAD), &mut sealed)
            .map_err(|_| Error::Key("the object's key cannot be sealed".to_owned()))?;
        let wrapped = BASE64.encode([nonce.as_slice(), &sealed].concat());
        Ok((Self { aead: aead(&key), aad: binding.aad() }, wrapped))
    }

    /// The key of a manifest.
    ///
    /// # Errors
    /// [`Error::Key`] when it was sealed by another wrapping key or was altered.
    pub fn unwrap(wrapping: &WrappingKey, wrapped: &str, binding: Binding) -> Result<Self, Error> {
        let wrong = || {
            Error::Key(
                "the object's key is damaged or sealed by another key; give the key that it was put with"
                    .to_owned(),
            )
        };
        let mut bytes = BASE64.decode(wrapped).map_err(|_| wrong())?;
        if bytes.len() != NONCE_LEN + KEY_LEN + TAG as usize {
            return Err(wrong());
        }
        let nonce = Nonce::try_assume_unique_for_key(&bytes[..NONCE_LEN]).map_err(|_| wrong())?;
        let key = wrapping.aead().open_in_place(nonce, Aad::from(WRAP_AAD), &mut bytes[NONCE_LEN..]);
        let key: [u8; KEY_LEN] = key.map_err(|_| wrong())?.try_into().map_err(|_| wrong())?;
        Ok(Self { aead: aead(&key), aad: binding.aad() })
    }

    /// Seals a segment in place and appends its tag.
    ///
    /// # Errors
    /// A segment longer than AES-GCM allows (64 GiB).
    pub fn seal(&self, part: u32, segment: u32, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let sealed = self.aead.seal_in_place_append_tag(nonce(part, segment), Aad::from(&self.aad), bytes);
        sealed.map_err(|_| Error::Key("the segment is too long to be sealed".to_owned()))
    }

    /// Opens a segment in place; its bytes are then all but the last [`TAG`]. `None` when its tag is wrong; the bytes are
    /// then of no use and must be thrown away.
    pub fn open<'a>(&self, part: u32, segment: u32, bytes: &'a mut [u8]) -> Option<&'a mut [u8]> {
        self.aead.open_in_place(nonce(part, segment), Aad::from(&self.aad), bytes).ok()
    }
}

fn nonce(part: u32, segment: u32) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[..4].copy_from_slice(&part.to_be_bytes());
    bytes[4..8].copy_from_slice(&segment.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BINDING: Binding = Binding { size: 100, part: 100, segment: 10 };

    #[test]
    fn a_key_opens_what_it_sealed_and_nothing_else() {
        let wrapping = WrappingKey::parse(HEX).unwrap();
        let (key, wrapped) = ObjectKey::generate(&wrapping, BINDING).unwrap();
        let mut sealed = b"slate".to_vec();
        key.seal(1, 2, &mut sealed).unwrap();
        assert_eq!(sealed.len() as u64, 5 + TAG);
        let again = ObjectKey::unwrap(&wrapping, &wrapped, BINDING).unwrap();
        assert_eq!(again.open(1, 2, &mut sealed.clone()).unwrap(), b"slate");
        // Moved, altered, or of an object of another shape.
        assert!(again.open(2, 1, &mut sealed.clone()).is_none());
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(again.open(1, 2, &mut altered).is_none());
        }
        let other = ObjectKey::unwrap(&wrapping, &wrapped, Binding { size: 99, ..BINDING }).unwrap();
        assert!(other.open(1, 2, &mut sealed.clone()).is_none());
        let stranger = WrappingKey::parse(&HEX.replace('0', "f")).unwrap();
        assert!(ObjectKey::unwrap(&stranger, &wrapped, BINDING).is_err());
        assert_ne!(stranger.id(), wrapping.id());
    }

    #[test]
    fn keys_are_hex_or_base64_and_never_shown() {
        let hex = WrappingKey::parse(&format!("{HEX}\n")).unwrap();
        let base64 = WrappingKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        assert_eq!(hex.id(), base64.id());
        assert!(!format!("{hex:?}").contains("0001"));
        let error = WrappingKey::parse("hush").unwrap_err().to_string();
        assert!(!error.contains("hush"), "{error}");
    }
}
