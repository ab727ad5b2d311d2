//! What follows a client's save: an archive of versions, if the server was given one.

use std::fmt;
use std::sync::Arc;

use backlot_notebooks_model::SaveHook;

use super::Contents;
use super::place::is_notebook;

/// Who is told of saved notebooks, if anybody is.
#[derive(Clone, Default)]
pub struct AfterSave(Option<Arc<dyn SaveHook>>);

impl AfterSave {
    /// This one is told.
    pub fn tell(hook: Arc<dyn SaveHook>) -> AfterSave {
        AfterSave(Some(hook))
    }
}

impl fmt::Debug for AfterSave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AfterSave").field(&self.0.is_some()).finish()
    }
}

impl Contents {
    /// Hands on a notebook as it is now in its file. The client's save has succeeded whatever comes of it.
    pub(crate) fn keep(&self, path: &str, who: &str) {
        let Some(hook) = self.after_save.0.as_ref().filter(|_| is_notebook(path)) else { return };
        let read = self.root.resolve(path).map_err(|error| error.to_string());
        let bytes = read.and_then(|place| std::fs::read(place).map_err(|error| error.to_string()));
        let kept = bytes.and_then(|bytes| hook.saved(path, &bytes, who).map_err(|error| error.to_string()));
        if let Err(error) = kept {
            tracing::error!(path, error, "a save is in its file, but not among the versions");
        }
    }
}
