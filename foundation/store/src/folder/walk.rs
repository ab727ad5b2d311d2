//! Listing a tree of files in the order in which S3 lists keys.
//!
//! S3 orders by the bytes of whole keys. A walk that sorts each folder by name comes close, but puts `a/c` before
//! `a-b`, since it compares `a` with `a-b`. Comparing folders with their slash (`a/` with `a-b`) gives S3's order, and
//! so the walk may stop as soon as enough was found, and pass by every folder that lies wholly before the start.

use std::fs;
use std::io;
use std::path::Path;

use crate::Error;

/// Whether a walk goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    On,
    Stop,
}

/// What to do with each file.
type Visit<'a> = dyn FnMut(String, &Path) -> Result<Step, Error> + 'a;

/// Calls `visit` with the key and path of each file below `root` whose key begins with `prefix` and is greater than
/// `start_after`, in the order of the keys' bytes, until it says to stop.
pub(super) fn files(
    root: &Path,
    prefix: &str,
    start_after: &str,
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    // Begin in the deepest folder that `prefix` names whole.
    let base = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
    folder(root, base, prefix, start_after, visit).map(|_| ())
}

/// Walks the folder whose keys begin with `base`, which is empty or ends in a slash.
fn folder(
    root: &Path,
    base: &str,
    prefix: &str,
    start_after: &str,
    visit: &mut Visit<'_>,
) -> Result<Step, Error> {
    for key in sorted_entries(root, base)? {
        let may_match = key.starts_with(prefix) || prefix.starts_with(key.as_str());
        if !may_match {
            continue;
        }
        let step = if key.ends_with('/') {
            // The greatest keys of a folder begin with its own, so it is passed by only if it sorts before
            // `start_after` and is not a beginning of it.
            let is_before = key.as_str() < start_after && !start_after.starts_with(key.as_str());
            if is_before { Step::On } else { folder(root, &key, prefix, start_after, visit)? }
        } else if key.as_str() > start_after && key.starts_with(prefix) {
            let path = root.join(&key);
            visit(key, &path)?
        } else {
            Step::On
        };
        if step == Step::Stop {
            return Ok(Step::Stop);
        }
    }
    Ok(Step::On)
}

/// The keys of the files and folders directly in the folder of `base`, those of folders with a slash at their end, in
/// order. A folder that is gone has none. Files that are not named in UTF-8 cannot have been stored by us and are left
/// out, as are symbolic links, devices and pipes.
fn sorted_entries(root: &Path, base: &str) -> Result<Vec<String>, Error> {
    let path = root.join(base);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::file("list", &path)(error)),
    };
    let mut keys = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::file("list", &path))?;
        let Ok(kind) = entry.file_type() else { continue };
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if kind.is_dir() {
            keys.push(format!("{base}{name}/"));
        } else if kind.is_file() {
            keys.push(format!("{base}{name}"));
        }
    }
    keys.sort_unstable();
    Ok(keys)
}
