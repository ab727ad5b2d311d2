//! A version of a kernelspec: the files of its folder, named by the digest of what is in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::DeployError;

/// The largest kernelspec: a `kernel.json`, logos and a script are a thousandth of it.
const MAX_BYTES: u64 = 4 << 20;

/// The most files of one.
const MAX_FILES: usize = 200;

/// The digits of the digest that name a version: enough that two of a million never meet.
const DIGITS: usize = 16;

/// The files of a kernelspec, by their path in its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bundle(BTreeMap<String, Vec<u8>>);

impl Bundle {
    /// The files of a folder.
    ///
    /// # Errors
    /// No `kernel.json` with an `argv`; more than a kernelspec has.
    pub(crate) fn read(folder: &Path) -> Result<Bundle, DeployError> {
        let mut files = BTreeMap::new();
        let mut size = 0;
        gather(folder, "", &mut files, &mut size)?;
        let kernel: Value = files
            .get("kernel.json")
            .and_then(|text| serde_json::from_slice(text).ok())
            .ok_or_else(|| DeployError::NoSpec(folder.to_owned()))?;
        if kernel["argv"].as_array().is_none_or(Vec::is_empty) {
            return Err(DeployError::NoSpec(folder.to_owned()));
        }
        Ok(Bundle(files))
    }

    /// The name of this version.
    pub(crate) fn version(&self) -> String {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for (path, bytes) in &self.0 {
            context.update(&(path.len() as u64).to_le_bytes());
            context.update(path.as_bytes());
            context.update(&(bytes.len() as u64).to_le_bytes());
            context.update(bytes);
        }
        let mut digest = crate::chance::hex(context.finish().as_ref());
        digest.truncate(DIGITS);
        digest
    }

    pub(crate) fn to_json(&self) -> String {
        let files = self.0.iter().map(|(path, bytes)| (path.clone(), Value::from(STANDARD.encode(bytes))));
        Value::Object(files.collect()).to_string()
    }

    pub(crate) fn from_json(text: &str) -> Option<Bundle> {
        let files: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
        let decoded = files.into_iter().map(|(path, text)| Some((path, STANDARD.decode(text).ok()?)));
        decoded.collect::<Option<_>>().map(Bundle)
    }

    /// Puts the files into a folder, in one step, unless it is there.
    pub(crate) fn place(&self, folder: &Path) -> std::io::Result<()> {
        if folder.join("kernel.json").is_file() {
            return Ok(());
        }
        let parent = folder.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent)?;
        let fresh = tempfile::Builder::new().prefix(".placing-").tempdir_in(parent)?;
        for (path, bytes) in &self.0 {
            let place = fresh.path().join(path);
            std::fs::create_dir_all(place.parent().unwrap_or(fresh.path()))?;
            std::fs::write(place, bytes)?;
        }
        match std::fs::rename(fresh.path(), folder) {
            // Another process was first; its files are the same.
            Err(_) if folder.join("kernel.json").is_file() => Ok(()),
            Ok(()) => {
                let _ = fresh.keep(); // it has moved, so there is nothing to remove
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn gather(
    folder: &Path,
    prefix: &str,
    files: &mut BTreeMap<String, Vec<u8>>,
    size: &mut u64,
) -> Result<(), DeployError> {
    let failed = |why: std::io::Error| DeployError::Folder { folder: folder.to_owned(), why };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(failed)?;
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if name.starts_with('.') || name == "__pycache__" {
            continue;
        }
        if kind.is_dir() {
            gather(&entry.path(), &path, files, size)?;
        } else if kind.is_file() {
            *size += entry.metadata().map_err(failed)?.len();
            if *size > MAX_BYTES || files.len() >= MAX_FILES {
                return Err(DeployError::TooLarge(PathBuf::from(folder)));
            }
            files.insert(path, std::fs::read(entry.path()).map_err(failed)?);
        }
    }
    Ok(())
}
