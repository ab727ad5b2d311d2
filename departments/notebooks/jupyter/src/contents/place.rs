//! Where a file is: from the path that a client names to the path on disk, and never outside the root.
//!
//! A client's path is relative to the root, with `/`. It may not climb (`..`), may not hold NUL, and may not lead through a symbolic
//! link to a place outside. What begins with a dot is hidden: it is not shown and not written.

use std::path::{Component, Path, PathBuf};

use crate::error::Error;

/// The folder that is served.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    folder: PathBuf,
    /// Whether files that begin with a dot are shown.
    pub(crate) hidden: Hidden,
}

/// What becomes of hidden files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hidden {
    /// They are not there.
    #[default]
    Refused,
    /// They are files like others.
    Shown,
}

impl Root {
    /// A root; its folder must be there.
    pub(crate) fn new(folder: &Path, hidden: Hidden) -> std::io::Result<Root> {
        Ok(Root { folder: folder.canonicalize()?, hidden })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The place on disk of a client's path.
    ///
    /// # Errors
    /// 404 for what is outside the root: whether something is there is not told.
    pub(crate) fn resolve(&self, path: &str) -> Result<PathBuf, Error> {
        let outside = || Error::not_found(format!("{path} is outside root contents directory"));
        if path.contains('\0') {
            return Err(outside());
        }
        let mut place = self.folder.clone();
        for component in Path::new(path.trim_matches('/')).components() {
            match component {
                Component::Normal(name) => place.push(name),
                Component::CurDir => {}
                Component::ParentDir => {
                    if place == self.folder || !place.pop() {
                        return Err(outside());
                    }
                }
                Component::RootDir | Component::Prefix(_) => return Err(outside()),
            }
        }
        // Links are followed as far as the path exists; what does not exist cannot lead anywhere.
        let mut known = place.as_path();
        loop {
            match known.canonicalize() {
                Ok(real) if real.starts_with(&self.folder) => return Ok(place),
                Ok(_) => return Err(outside()),
                Err(_) if known.is_symlink() && known != place => return Err(outside()),
                Err(_) => known = known.parent().ok_or_else(outside)?,
            }
        }
    }

    /// Whether a path is one of those that are not shown.
    pub(crate) fn is_hidden(&self, path: &str) -> bool {
        self.hidden == Hidden::Refused && path.split('/').any(is_hidden_name)
    }
}

/// Whether a name is hidden.
pub(crate) fn is_hidden_name(name: &str) -> bool {
    name.starts_with('.') && name != "." && name != ".."
}

/// Whether a file of this name is a notebook.
pub(crate) fn is_notebook(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension == "ipynb")
}

/// Folder and name of a client's path.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// A client's path from folder and name.
pub(crate) fn join(folder: &str, name: &str) -> String {
    let folder = folder.trim_matches('/');
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_outside() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("root");
        std::fs::create_dir_all(inside.join("sub")).unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(folder.path(), inside.join("up")).unwrap();
        std::os::unix::fs::symlink("sub", inside.join("ok")).unwrap();
        let root = Root::new(&inside, Hidden::Refused).unwrap();
        for path in ["../secret", "sub/../../secret", "up/secret", "up", "/../secret", "a\0b", "up/new"] {
            assert!(root.resolve(path).is_err(), "{path}");
        }
        for path in ["", "sub", "sub/../sub/new.txt", "ok/x", "no/such/thing", "/sub"] {
            assert!(root.resolve(path).is_ok(), "{path}");
        }
        assert!(root.is_hidden(".x") && root.is_hidden("a/.b/c") && !root.is_hidden("a.b/c"));
    }
}
