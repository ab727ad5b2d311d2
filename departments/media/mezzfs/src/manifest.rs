//! Manifests: of an object that is put together from parts, and of a mount.
//!
//! An [`ObjectManifest`] says which parts an object consists of, in order, and how they are sealed. `backlot mezz put`
//! writes one; others may write their own over parts that lie elsewhere.
//!
//! ```json
//! { "mezz": 1, "name": "film.mov", "size": 5000000, "part": 4194304,
//!   "encryption": { "cipher": "AES-256-GCM", "key_id": "0f3a…", "wrapped_key": "…", "segment": 65536 },
//!   "parts": [ "blob:6f1e…", "s3://bucket/film.mov.1" ] }
//! ```
//!
//! A [`MountManifest`] says which objects are mounted and which of their bytes are which files, such as every frame of a
//! scene as a file:
//!
//! ```json
//! { "mezz_mount": 1,
//!   "objects": { "film": { "source": "https://example.org/film.yuv" }, "cut": { "manifest": "named:mezz/cut.json" } },
//!   "files": [ { "path": "film.yuv", "object": "film" },
//!              { "path": "frames/{}.yuv", "object": "film", "offset": 0, "length": 3110400, "count": 240 } ] }
//! ```
//!
//! Manifests are read as input of strangers: every number is checked before it is used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::seal::{Binding, TAG};
use crate::{Error, Location};

/// The version of both formats.
pub const VERSION: u32 = 1;
/// The largest manifest that is read: a million files at 200 bytes.
pub const LARGEST: u64 = 256 << 20;
/// The most parts of an object; 4 TiB in parts of 4 MiB.
pub const MOST_PARTS: usize = 1 << 20;
/// The most files of a mount. Each costs about 200 bytes of memory.
pub const MOST_FILES: usize = 1 << 20;
/// The longest segment: it is held in memory whole before its first byte is known to be right.
pub const LONGEST_SEGMENT: u64 = 16 << 20;
/// The largest object: what an offset of a file can tell.
pub const LARGEST_OBJECT: u64 = i64::MAX as u64;

/// How an object is put together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectManifest {
    /// The version of the format.
    pub mezz: u32,
    /// What the object is called.
    pub name: String,
    /// Its bytes, unsealed.
    pub size: u64,
    /// The bytes of every part but the last, unsealed. At least 1.
    pub part: u64,
    /// How the parts are sealed; they are plain without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Where the parts are, in order.
    pub parts: Vec<String>,
}

/// How parts are sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// Always `AES-256-GCM`.
    pub cipher: String,
    /// Which wrapping key sealed the object's key.
    pub key_id: String,
    /// The object's key, sealed.
    pub wrapped_key: String,
    /// The bytes of every segment but a part's last, unsealed.
    pub segment: u64,
}

/// The only cipher.
pub const CIPHER: &str = "AES-256-GCM";

impl ObjectManifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`Error::Manifest`], which tells what is wrong.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, Error> {
        let manifest: Self =
            serde_json::from_slice(text).map_err(|error| Error::manifest(name, error.to_string()))?;
        manifest.check().map_err(|fault| Error::manifest(name, fault))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.mezz != VERSION {
            return Err(format!("its version is {}, and this program reads {VERSION}", self.mezz));
        }
        if self.size > LARGEST_OBJECT || self.part == 0 || self.part > LARGEST_OBJECT {
            return Err("`size` and `part` must be less than 2^63, and `part` at least 1".to_owned());
        }
        if self.parts.len() > MOST_PARTS {
            return Err(format!("it has more than {MOST_PARTS} parts; make them longer"));
        }
        if self.size.div_ceil(self.part) != self.parts.len() as u64 {
            return Err(format!(
                "{} bytes in parts of {} are {} parts, and it names {}",
                self.size,
                self.part,
                self.size.div_ceil(self.part),
                self.parts.len()
            ));
        }
        if let Some(encryption) = &self.encryption {
            if encryption.cipher != CIPHER {
                return Err(format!("its cipher is not {CIPHER}"));
            }
            if encryption.segment == 0 || encryption.segment > LONGEST_SEGMENT {
                return Err(format!("`segment` must be between 1 and {LONGEST_SEGMENT}"));
            }
            // The tags of a part must not run over what an offset can tell, nor the nonce's count of segments.
            if self.part.div_ceil(encryption.segment) > u64::from(u32::MAX) {
                return Err("a part has more than 2^32 segments; make segments longer".to_owned());
            }
        }
        for part in &self.parts {
            part.parse::<Location>().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The bytes of a part, unsealed; 0 beyond the last.
    pub fn part_size(&self, part: usize) -> u64 {
        self.size.saturating_sub((part as u64).saturating_mul(self.part)).min(self.part)
    }

    /// The bytes of a part as it is stored.
    pub fn stored_size(&self, part: usize) -> u64 {
        let plain = self.part_size(part);
        match &self.encryption {
            None => plain,
            Some(encryption) => plain + plain.div_ceil(encryption.segment) * TAG,
        }
    }

    /// What the segments are bound to; `None` for a plain object.
    pub fn binding(&self) -> Option<Binding> {
        let encryption = self.encryption.as_ref()?;
        Some(Binding { size: self.size, part: self.part, segment: encryption.segment })
    }
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountManifest {
    /// The version of the format.
    pub mezz_mount: u32,
    /// The objects, by names of the manifest's own.
    pub objects: BTreeMap<String, ObjectSource>,
    /// The files.
    pub files: Vec<FileEntry>,
}

/// Where an object of a mount comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ObjectSource {
    /// It is the bytes at this location.
    Source(String),
    /// It is put together as the manifest at this location says.
    Manifest(String),
}

/// One file of a mount, or with `count` a row of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its path in the mount: relative, parts separated by `/`. With `count`, `{}` stands for the number, with leading zeros.
    pub path: String,
    /// The name of its object.
    pub object: String,
    /// Its first byte in the object.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: u64,
    /// Its bytes; to the object's end without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// How many files follow one another in the object, each of `length` bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl MountManifest {
    /// Reads a manifest and checks what can be checked without its objects.
    ///
    /// # Errors
    /// [`Error::Manifest`], which tells what is wrong.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, Error> {
        let manifest: Self =
            serde_json::from_slice(text).map_err(|error| Error::manifest(name, error.to_string()))?;
        if manifest.mezz_mount != VERSION {
            let fault = format!("its version is {}, and this program reads {VERSION}", manifest.mezz_mount);
            return Err(Error::manifest(name, fault));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(edit: impl FnOnce(&mut serde_json::Value)) -> Result<ObjectManifest, Error> {
        let mut value = serde_json::json!({
            "mezz": 1, "name": "film", "size": 10, "part": 4,
            "encryption": { "cipher": "AES-256-GCM", "key_id": "k", "wrapped_key": "w", "segment": 3 },
            "parts": ["file:///a", "file:///b", "file:///c"]
        });
        edit(&mut value);
        ObjectManifest::parse("film.json", value.to_string().as_bytes())
    }

    #[test]
    fn sizes_are_told_sealed_and_plain() {
        let manifest = manifest(|_| ()).unwrap();
        assert_eq!((0..4).map(|i| manifest.part_size(i)).collect::<Vec<_>>(), [4, 4, 2, 0]);
        assert_eq!((0..4).map(|i| manifest.stored_size(i)).collect::<Vec<_>>(), [36, 36, 18, 0]);
    }

    #[test]
    fn nonsense_is_an_error_that_tells_what() {
        let told = |edit: fn(&mut serde_json::Value)| manifest(edit).unwrap_err().to_string();
        assert!(told(|v| v["mezz"] = 2.into()).contains("version"));
        assert!(told(|v| v["size"] = 100.into()).contains("25 parts"));
        assert!(told(|v| v["size"] = u64::MAX.into()).contains("2^63"));
        assert!(told(|v| v["part"] = 0.into()).contains("at least 1"));
        assert!(told(|v| v["encryption"]["segment"] = 0.into()).contains("segment"));
        assert!(told(|v| v["encryption"]["cipher"] = "rot13".into()).contains("cipher"));
        assert!(told(|v| v["parts"][1] = "../x".into()).contains("no object"));
        assert!(told(|v| v["more"] = 1.into()).contains("unknown field"));
        assert!(ObjectManifest::parse("x", b"\xff").is_err());
    }
}
