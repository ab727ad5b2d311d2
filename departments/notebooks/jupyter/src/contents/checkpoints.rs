//! Checkpoints: one earlier state of each file, in `.ipynb_checkpoints` beside it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Contents;
use super::model::moment;
use crate::error::Error;

const FOLDER: &str = ".ipynb_checkpoints";

/// The id of the only checkpoint.
pub(crate) const ID: &str = "checkpoint";

/// Where the checkpoint of a file is.
fn of(place: &Path) -> Option<PathBuf> {
    let name = place.file_name()?.to_str()?;
    let dot = name.rfind('.').filter(|dot| *dot > 0).unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    Some(place.parent()?.join(FOLDER).join(format!("{stem}-{ID}{extension}")))
}

/// A file was renamed: its checkpoint goes along.
pub(crate) fn follow(old: &Path, new: &Path) {
    if let (Some(from), Some(to)) = (of(old), of(new))
        && from.is_file()
        && to.parent().is_some_and(|folder| std::fs::create_dir_all(folder).is_ok())
        && let Err(error) = std::fs::rename(&from, &to)
    {
        tracing::warn!(%error, "a checkpoint did not follow its file");
    }
}

/// A file was deleted: so is its checkpoint.
pub(crate) fn forget(place: &Path) {
    if let Some(checkpoint) = of(place) {
        let _ = std::fs::remove_file(checkpoint); // most have none
    }
}

impl Contents {
    fn checkpoint_place(&self, path: &str) -> Result<(PathBuf, PathBuf), Error> {
        let place = self.root.resolve(path)?;
        let checkpoint = of(&place).ok_or_else(|| Error::bad_request("the root has no checkpoints"))?;
        Ok((place, checkpoint))
    }

    /// The checkpoints of a file: none or one.
    pub(crate) fn checkpoints(&self, path: &str) -> Result<Vec<Value>, Error> {
        let (_, checkpoint) = self.checkpoint_place(path)?;
        Ok(describe(&checkpoint).into_iter().collect())
    }

    /// Keeps a file as it is.
    pub(crate) fn create_checkpoint(&self, path: &str) -> Result<Value, Error> {
        let (place, checkpoint) = self.checkpoint_place(path)?;
        self.refuse_hidden(path, "keep")?;
        let bytes = std::fs::read(&place).map_err(|error| Error::from_io(&error, path))?;
        let folder = checkpoint.parent().unwrap_or(&place);
        std::fs::create_dir_all(folder).map_err(|error| Error::from_io(&error, path))?;
        super::save::replace(&checkpoint, &bytes, path)?;
        describe(&checkpoint).ok_or_else(|| Error::internal(format!("the checkpoint of {path} is gone")))
    }

    /// Brings a file back to its checkpoint.
    pub(crate) fn restore_checkpoint(&self, path: &str, id: &str) -> Result<(), Error> {
        let (place, checkpoint) = self.checkpoint_place(path)?;
        let bytes =
            std::fs::read(known(id, checkpoint, path)?).map_err(|error| Error::from_io(&error, path))?;
        super::save::replace(&place, &bytes, path)
    }

    /// Deletes a checkpoint.
    pub(crate) fn delete_checkpoint(&self, path: &str, id: &str) -> Result<(), Error> {
        let (_, checkpoint) = self.checkpoint_place(path)?;
        std::fs::remove_file(known(id, checkpoint, path)?).map_err(|error| Error::from_io(&error, path))
    }
}

fn known(id: &str, checkpoint: PathBuf, path: &str) -> Result<PathBuf, Error> {
    if id == ID && checkpoint.is_file() {
        return Ok(checkpoint);
    }
    Err(Error::not_found(format!("Checkpoint does not exist: {path}@{id}")))
}

fn describe(checkpoint: &Path) -> Option<Value> {
    let metadata = std::fs::metadata(checkpoint).ok().filter(std::fs::Metadata::is_file)?;
    Some(json!({ "id": ID, "last_modified": moment(metadata.modified()) }))
}
