//! Folders that survive a loss of power.
//!
//! A new name in a folder is on the disk only when the folder itself was flushed (`fsync(2)`, "Notes").

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes `folder` and whatever of its path is missing, and flushes each folder that has got an entry.
///
/// # Errors
/// Among others `NotFound`, when somebody removes a folder of the path at the same moment: then try again.
pub(super) fn create_folders(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Ok(()) => flush_parent(folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::metadata(folder)?.is_dir() {
                Ok(())
            } else {
                Err(error)
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = folder.parent() else { return Err(error) };
            create_folders(parent)?;
            match fs::create_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => flush_parent(folder),
            }
        }
        Err(error) => Err(error),
    }
}

/// Flushes the entries of the folder that holds `path` to the disk.
pub(super) fn flush_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Flushes the innermost folder above `path` that is there. The others are gone, because they had become empty and
/// somebody has removed them, and with them the entry of `path` is.
pub(super) fn flush_nearest(path: &Path) -> io::Result<()> {
    for folder in path.ancestors().skip(1) {
        match File::open(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(folder) => return folder.sync_all(),
        }
    }
    Ok(())
}
