//! Putting an object into the house's store: cut into parts, sealed if there is a key, under a manifest.

use std::io::Read;
use std::path::Path;

use backlot_store::Store;

use crate::Error;
use crate::manifest::{CIPHER, Encryption, LONGEST_SEGMENT, ObjectManifest, VERSION};
use crate::seal::{Binding, ObjectKey, WrappingKey};

/// How an object is cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// The bytes of a part. One request to an S3 server writes one part.
    pub part: u64,
    /// The bytes of a segment of a sealed object: what is read and opened at least.
    pub segment: u64,
}

impl Default for Cut {
    fn default() -> Self {
        // 64 KiB is the smallest read that the kernel usually makes of a file; its tag adds 0.02 percent.
        Self { part: 16 << 20, segment: 64 << 10 }
    }
}

/// The longest part that is put: a part is held in memory, sealed and unsealed, and S3 takes 5 GiB at once.
const LONGEST_PART: u64 = 1 << 30;

/// The name under which the manifest of an object is kept in the store.
pub fn manifest_name(name: &str) -> String {
    format!("mezz/{name}.json")
}

/// Stores a file's bytes as parts and their manifest, and gives the manifest. The parts are blobs, so that putting the same
/// plain file again stores nothing new.
///
/// # Errors
/// A file that cannot be read or changes while it is; a store that fails; a cut that no manifest can have.
pub async fn put(
    store: &Store,
    file: &Path,
    name: &str,
    cut: Cut,
    key: Option<&WrappingKey>,
) -> Result<ObjectManifest, Error> {
    if cut.part > LONGEST_PART {
        return Err(Error::Setting(format!(
            "a part of {} bytes is longer than {LONGEST_PART}; give less with --part-size",
            cut.part
        )));
    }
    if key.is_some() && !(1..=LONGEST_SEGMENT).contains(&cut.segment) {
        return Err(Error::Setting(format!(
            "a segment of {} bytes is longer than {LONGEST_SEGMENT}; give less with --segment-size",
            cut.segment
        )));
    }
    let opened = std::fs::File::open(file).map_err(Error::file("open", file))?;
    let size = opened.metadata().map_err(Error::file("look at", file))?.len();
    let mut manifest = ObjectManifest {
        mezz: VERSION,
        name: name.to_owned(),
        size,
        part: cut.part,
        encryption: None,
        parts: Vec::new(),
    };
    let mut object_key = None;
    if let Some(wrapping) = key {
        let binding = Binding { size, part: cut.part, segment: cut.segment };
        let (key, wrapped_key) = ObjectKey::generate(wrapping, binding)?;
        object_key = Some(key);
        let (cipher, key_id) = (CIPHER.to_owned(), wrapping.id().to_owned());
        manifest.encryption = Some(Encryption { cipher, key_id, wrapped_key, segment: cut.segment });
    }
    // Checked before anything is stored, with places for parts that are not stored yet.
    let count = size.div_ceil(cut.part.max(1));
    if count > crate::manifest::MOST_PARTS as u64 {
        return Err(Error::manifest(name, "it has too many parts; make them longer with --part-size"));
    }
    let draft = ObjectManifest { parts: vec!["file:///part".to_owned(); count as usize], ..manifest.clone() };
    ObjectManifest::parse(name, &to_json(&draft)?)?;

    let mut opened = opened;
    for part in 0..count as usize {
        let mut plain = vec![0; manifest.part_size(part) as usize];
        let read =
            tokio::task::spawn_blocking(move || opened.read_exact(&mut plain).map(|()| (opened, plain)))
                .await;
        let read = read.map_err(std::io::Error::other).flatten();
        let bytes;
        (opened, bytes) = read.map_err(Error::file("read", file))?;
        let stored = match &object_key {
            None => bytes,
            Some(key) => {
                let mut sealed = Vec::with_capacity(manifest.stored_size(part) as usize);
                for (number, segment) in bytes.chunks(cut.segment as usize).enumerate() {
                    let mut segment = segment.to_vec();
                    key.seal(part as u32, number as u32, &mut segment)?;
                    sealed.extend_from_slice(&segment);
                }
                sealed
            }
        };
        let blob = store.put(stored).await?;
        manifest.parts.push(format!("blob:{}", blob.digest));
    }
    let mut beyond = [0];
    if opened.read(&mut beyond).map_err(Error::file("read", file))? > 0 {
        return Err(Error::Changed { place: file.display().to_string() });
    }
    store.put_named(&manifest_name(name), to_json(&manifest)?, "application/json").await?;
    Ok(manifest)
}

fn to_json(manifest: &ObjectManifest) -> Result<Vec<u8>, Error> {
    serde_json::to_vec_pretty(manifest).map_err(|error| Error::manifest(&manifest.name, error.to_string()))
}
