//! Contents: the files, folders and notebooks under the root, as Jupyter's contents API names them.
//!
//! Each operation is a plain function over the file system ([`Contents`]); the routes call them on a thread for blocking work. A file is
//! replaced in one step (written beside, synced, renamed), so a full disk or a crash leaves the old one.

pub(crate) mod checkpoints;
pub(crate) mod format;
mod keep;
mod mime;
mod model;
pub(crate) mod place;
pub(crate) mod routes;
mod save;
mod trust;
mod upgrade;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use keep::AfterSave;
pub(crate) use model::{Kind, Model, moment};
use place::Root;
pub(crate) use save::replace;
use trust::Notary;

use crate::error::Error;

/// Files that are written at once without waiting for each other.
const TURNS: usize = 32;

/// What a client wants to see of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) kind: Option<Kind>,
    pub(crate) format: Option<Format>,
    pub(crate) with: With,
}

/// The parts of a model that cost a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct With {
    pub(crate) content: bool,
    pub(crate) hash: bool,
}

/// How the bytes of a file are told in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Base64,
}

impl Format {
    pub(crate) fn parse(text: &str) -> Result<Format, Error> {
        match text {
            "text" => Ok(Format::Text),
            "base64" => Ok(Format::Base64),
            other => Err(Error::bad_request(format!("Format '{other}' is invalid"))),
        }
    }
}

/// The mime type to send a file of this name with.
pub(crate) fn mime_of(name: &str) -> &'static str {
    mime::guess(name).unwrap_or(if place::is_notebook(name) {
        "application/json"
    } else {
        "application/octet-stream"
    })
}

/// The files that are served.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) root: Root,
    notary: Notary,
    after_save: AfterSave,
    /// Held while a notebook is written, by its path's place: what changes a notebook reads it first, and must not bring back what
    /// somebody else has replaced meanwhile.
    turns: [Mutex<()>; TURNS],
}

impl Contents {
    /// The files under a root; trust is kept in `state`.
    pub(crate) fn open(root: Root, state: &Path, after_save: AfterSave) -> std::io::Result<Contents> {
        Ok(Contents {
            root,
            notary: Notary::open(&state.join("trust"))?,
            after_save,
            turns: Default::default(),
        })
    }

    /// Waits for one's turn to write this file.
    fn turn(&self, place: &Path) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        place.hash(&mut hasher);
        let turn = &self.turns[hasher.finish() as usize % TURNS];
        turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses hidden paths, as a request that cannot be.
    pub(crate) fn refuse_hidden(&self, path: &str, verb: &str) -> Result<(), Error> {
        if self.root.is_hidden(path) {
            return Err(Error::bad_request(format!("Cannot {verb} file or directory '{path}'")));
        }
        Ok(())
    }
}
