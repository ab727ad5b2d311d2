//! Output that exists only when it is complete.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::Error;

/// A file or directory under a temporary name beside its final one. It is removed on drop unless it was completed.
pub(crate) struct Partial {
    temporary: PathBuf,
    target: PathBuf,
    complete: bool,
}

impl Partial {
    /// Output that will be `target`, whose directory must exist.
    pub(crate) fn new(target: &Path) -> Self {
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // The suffix stays last: ffmpeg takes the format from it.
        let temporary = target.with_file_name(format!(".partial-{}-{name}", std::process::id()));
        let partial = Self { temporary, target: target.to_owned(), complete: false };
        partial.remove();
        partial
    }

    /// A directory that will be `target`, created now.
    pub(crate) fn directory(target: &Path) -> Result<Self, Error> {
        let partial = Self::new(target);
        fs::create_dir_all(&partial.temporary).map_err(|error| Error::io(&partial.temporary, error))?;
        Ok(partial)
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Gives the output its final name, over what was there before.
    pub(crate) fn complete(mut self) -> Result<(), Error> {
        let io = |error| Error::io(&self.target, error);
        if self.temporary.is_dir() && self.target.is_dir() {
            fs::remove_dir_all(&self.target).map_err(io)?;
        }
        fs::rename(&self.temporary, &self.target).map_err(io)?;
        self.complete = true;
        Ok(())
    }

    fn remove(&self) {
        // Either may be absent; what cannot be removed will be overwritten or reported then.
        let _ = if self.temporary.is_dir() {
            fs::remove_dir_all(&self.temporary)
        } else {
            fs::remove_file(&self.temporary)
        };
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.complete {
            self.remove();
        }
    }
}
