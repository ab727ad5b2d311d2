//! Writing: save, create, copy, rename, delete.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use backlot_notebooks_model::json::{Object, Value};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::model::{describe_fault, is_writable};
use super::place::{is_notebook, join, split};
use super::{Contents, Format, Kind, Model, View, checkpoints, format};
use crate::error::Error;

/// The largest folder that is copied in one request, as in jupyter_server: more would outlast the client's patience.
const MAX_COPY_BYTES: u64 = 500 << 20;

/// Base64 as browsers and Python send it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Contents {
    pub(crate) fn is_file(&self, path: &str) -> Result<bool, Error> {
        Ok(self.root.resolve(path)?.is_file())
    }

    fn is_dir(&self, path: &str) -> Result<bool, Error> {
        Ok(self.root.resolve(path)?.is_dir())
    }

    /// A file of a client's model, which says at least what it is; its new model without content.
    ///
    /// # Errors
    /// 400 for a model that says too little; 403, 500 and 507 from the file system.
    pub(crate) fn save(&self, model: &Object, path: &str) -> Result<Model, Error> {
        let path = path.trim_matches('/');
        let kind = model.get("type").and_then(Value::as_str);
        let kind = Kind::parse(kind.ok_or_else(|| Error::bad_request("No file type provided"))?);
        let content = model.get("content");
        if content.is_none() && kind != Kind::Directory {
            return Err(Error::bad_request("No file content provided"));
        }
        self.refuse_hidden(path, "create")?;
        let place = self.root.resolve(path)?;
        let chunk = model.get("chunk").filter(|chunk| **chunk != Value::Null);
        if chunk.is_some() && kind != Kind::File {
            let what = format!("File type \"{}\" is not supported for large file transfer", kind.name());
            return Err(Error::bad_request(what));
        }
        let mut message = None;
        match kind {
            Kind::Directory => save_directory(&place, path)?,
            Kind::File => {
                let bytes = file_bytes(model, path)?;
                match chunk.and_then(Value::as_i64) {
                    None | Some(1) => replace(&place, &bytes, path)?,
                    Some(_) => append(&place, &bytes, path)?,
                }
            }
            Kind::Notebook => {
                let notebook = content.cloned().unwrap_or(Value::Null);
                if notebook.as_object().is_none() {
                    let what =
                        format!("Unexpected error while saving file: {path} its content is no notebook");
                    return Err(Error::bad_request(what));
                }
                self.check_and_sign(&notebook);
                message = describe_fault(&notebook);
                let written = format::write(notebook);
                let turn = self.turn(&place);
                replace(&place, written.as_bytes(), path)?;
                drop(turn);
                // One checkpoint should always exist for notebooks.
                if self.checkpoints(path)?.is_empty() {
                    self.create_checkpoint(path)?;
                }
            }
        }
        let view = View { kind: Some(kind), ..View::default() };
        let mut saved = self.get(path, &view)?;
        saved.message = message;
        Ok(saved)
    }

    /// Changes a notebook in its file, in one step. What was trusted stays trusted: the outputs are this server's own kernel's.
    pub(crate) fn change_notebook(&self, path: &str, change: impl FnOnce(&mut Value)) -> Result<(), Error> {
        let place = self.root.resolve(path)?;
        let _turn = self.turn(&place);
        let bytes = std::fs::read(&place).map_err(|error| Error::from_io(&error, path))?;
        let mut notebook = format::read(&bytes, path)?;
        let is_trusted = self.is_trusted(&notebook);
        change(&mut notebook);
        replace(&place, format::write(notebook.clone()).as_bytes(), path)?;
        if is_trusted {
            self.sign(&notebook);
        }
        Ok(())
    }

    /// A new file; what the model leaves out is filled in by its name.
    pub(crate) fn create(&self, mut model: Object, path: &str) -> Result<Model, Error> {
        let kind = match model.get("type").and_then(Value::as_str) {
            Some(kind) if !kind.is_empty() => Kind::parse(kind),
            _ if is_notebook(path) => Kind::Notebook,
            _ => Kind::File,
        };
        model.insert("type".to_owned(), Value::from(kind.name()));
        if model.get("content").is_none() && kind != Kind::Directory {
            let (content, format) = match kind {
                Kind::Notebook => (format::empty(), "json"),
                _ => (Value::from(""), "text"),
            };
            model.insert("content".to_owned(), content);
            model.insert("format".to_owned(), Value::from(format));
        }
        self.save(&model, path)
    }

    /// A new file in a folder, of a name that is free.
    pub(crate) fn create_untitled(
        &self,
        folder: &str,
        kind: Option<Kind>,
        extension: &str,
    ) -> Result<Model, Error> {
        let folder = folder.trim_matches('/');
        if !self.is_dir(folder)? {
            return Err(Error::not_found(format!("No such directory: {folder}")));
        }
        let kind = kind.unwrap_or(if extension == ".ipynb" { Kind::Notebook } else { Kind::File });
        let name = match kind {
            Kind::Directory => self.free_name(&format!("Untitled Folder{extension}"), folder, " ")?,
            Kind::Notebook => self.free_name("Untitled.ipynb", folder, "")?,
            Kind::File => self.free_name(&format!("untitled{extension}"), folder, "")?,
        };
        let model = [("type".to_owned(), Value::from(kind.name()))].into_iter().collect();
        self.create(model, &join(folder, &name))
    }

    /// A name that is free in a folder: the wish, or with a number before its extension (a notebook's last, else the first dot).
    fn free_name(&self, wish: &str, folder: &str, insert: &str) -> Result<String, Error> {
        if wish.contains('/') {
            return Err(Error::bad_request(format!("`{wish}` is no name of a file")));
        }
        let dot = if is_notebook(wish) { wish.rfind('.') } else { wish.find('.') };
        let (stem, suffix) = wish.split_at(dot.unwrap_or(wish.len()));
        let place = self.root.resolve(folder)?;
        let free = (0_u64..).map(|number| match number {
            0 => wish.to_owned(),
            _ => format!("{stem}{insert}{number}{suffix}"),
        });
        let mut free = free.filter(|name| std::fs::symlink_metadata(place.join(name)).is_err());
        Ok(free.next().unwrap_or_default())
    }

    /// A copy of a file or folder: in the folder `to` under a free name, or at the path `to`.
    pub(crate) fn copy(&self, from: &str, to: &str) -> Result<Model, Error> {
        let (from, to) = (from.trim_matches('/'), to.trim_matches('/'));
        self.refuse_hidden(from, "copy")?;
        self.refuse_hidden(to, "copy")?;
        let source = self.get(from, &View::default())?;
        let name = without_copy_mark(split(from).1);
        let target = if self.is_dir(to)? {
            join(to, &self.free_name(&name, to, "-Copy")?)
        } else {
            let (parent, _) = split(to);
            if !self.is_dir(parent)? {
                return Err(Error::not_found(format!("No such parent directory: {parent} to copy file in")));
            }
            to.to_owned()
        };
        let (source_place, place) = (self.root.resolve(from)?, self.root.resolve(&target)?);
        if source.kind == Kind::Directory {
            let refused = || Error::bad_request(format!("Can't copy '{from}' into Folder '{to}'"));
            if place.starts_with(&source_place) || size_of(&source_place) > MAX_COPY_BYTES {
                return Err(refused());
            }
            copy_tree(&source_place, &place).map_err(|_| refused())?;
        } else {
            let bytes = std::fs::read(&source_place).map_err(|error| Error::from_io(&error, from))?;
            replace(&place, &bytes, &target)?;
        }
        self.get(&target, &View::default())
    }

    /// Renames; checkpoints go along.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<Model, Error> {
        let (from, to) = (from.trim_matches('/'), to.trim_matches('/'));
        self.refuse_hidden(from, "rename")?;
        self.refuse_hidden(to, "rename")?;
        if from != to {
            if from.is_empty() || to.is_empty() {
                return Err(Error::bad_request("Cannot rename the root"));
            }
            let (old, new) = (self.root.resolve(from)?, self.root.resolve(to)?);
            let _turn = self.turn(&old);
            if std::fs::symlink_metadata(&new).is_ok() && !is_same_file(&old, &new) {
                return Err(Error::conflict(format!("File already exists: {to}")));
            }
            std::fs::rename(&old, &new).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => {
                    Error::not_found(format!("File or directory does not exist: {from}"))
                }
                _ => Error::from_io(&error, from),
            })?;
            checkpoints::follow(&old, &new);
        }
        self.get(to, &View::default())
    }

    /// Deletes a file, or a folder with all that is in it.
    pub(crate) fn delete(&self, path: &str) -> Result<(), Error> {
        let path = path.trim_matches('/');
        if path.is_empty() {
            return Err(Error::bad_request("Can't delete root"));
        }
        self.refuse_hidden(path, "delete")?;
        let place = self.root.resolve(path)?;
        let absent = |_| Error::not_found(format!("file or directory does not exist: {path}"));
        let metadata = std::fs::symlink_metadata(&place).map_err(absent)?;
        if !metadata.is_symlink() && !is_writable(&place) {
            return Err(Error::forbidden(format!("Permission denied: {path}")));
        }
        let _turn = self.turn(&place);
        let deleted =
            if metadata.is_dir() { std::fs::remove_dir_all(&place) } else { std::fs::remove_file(&place) };
        deleted.map_err(|error| Error::from_io(&error, path))?;
        checkpoints::forget(&place);
        Ok(())
    }
}

/// The name without the mark of an earlier copy: a copy of a copy is numbered on.
fn without_copy_mark(name: &str) -> String {
    if let Some(start) = name.rfind("-Copy") {
        let rest = &name[start + 5..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if rest[digits..].starts_with('.') {
            return format!("{}{}", &name[..start], &rest[digits..]);
        }
    }
    name.to_owned()
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity =
        |place: &Path| std::fs::metadata(place).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    identity(one).is_some() && identity(one) == identity(other)
}

fn save_directory(place: &Path, path: &str) -> Result<(), Error> {
    if place.is_dir() {
        return Ok(());
    }
    if place.exists() {
        return Err(Error::bad_request(format!("Not a directory: {path}")));
    }
    std::fs::create_dir(place).map_err(|error| Error::from_io(&error, path))
}

fn file_bytes(model: &Object, path: &str) -> Result<Vec<u8>, Error> {
    let content = model.get("content").and_then(Value::as_str);
    let content = content.ok_or_else(|| Error::bad_request(format!("The content of {path} is no text")))?;
    match model.get("format").and_then(Value::as_str).map(Format::parse) {
        Some(Ok(Format::Text)) => Ok(content.as_bytes().to_vec()),
        Some(Ok(Format::Base64)) => {
            let packed: String = content.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            LENIENT
                .decode(packed)
                .map_err(|error| Error::bad_request(format!("Encoding error saving {path}: {error}")))
        }
        _ => Err(Error::bad_request("Must specify format of file contents as 'text' or 'base64'")),
    }
}

/// Replaces a file in one step. A link stays, what it leads to is replaced.
pub(crate) fn replace(place: &Path, bytes: &[u8], path: &str) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::from_io(&error, path);
    if place.is_dir() {
        return Err(Error::bad_request(format!("{path} is a directory")));
    }
    let target: PathBuf =
        if place.is_symlink() { place.canonicalize().map_err(failed)? } else { place.to_owned() };
    let folder = target.parent().unwrap_or(Path::new("/"));
    let known = std::fs::metadata(&target).ok();
    if known.is_some() && !is_writable(&target) {
        return Err(Error::forbidden(format!("Permission denied: {path}")));
    }
    let mode = known.map_or(0o644, |metadata| metadata.permissions().mode() & 0o7777);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".~").suffix(".saving").permissions(std::fs::Permissions::from_mode(mode));
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    // On disk before it takes the old one's place: after a crash there is one or the other, whole.
    file.as_file().sync_data().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}

fn append(place: &Path, bytes: &[u8], path: &str) -> Result<(), Error> {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(place);
    let written = file.and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| Error::from_io(&error, path))
}

fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_a_copy_is_numbered_on() {
        assert_eq!(without_copy_mark("a-Copy2.ipynb"), "a.ipynb");
        assert_eq!(without_copy_mark("a-Copy.txt"), "a.txt");
        assert_eq!(without_copy_mark("a-Copyright.txt"), "a-Copyright.txt");
    }
}
