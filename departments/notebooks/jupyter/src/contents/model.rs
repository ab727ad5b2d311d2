//! What a client gets to know of a file: its model, with or without its content.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use backlot_notebooks_model::json::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::place::{is_hidden_name, is_notebook, join, split};
use super::{Contents, Format, View, With, format};
use crate::error::Error;

/// What a file is to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    Notebook,
}

impl Kind {
    /// The kind of this name; unknown ones are files, as in jupyter_server.
    pub(crate) fn parse(text: &str) -> Kind {
        match text {
            "directory" => Kind::Directory,
            "notebook" => Kind::Notebook,
            _ => Kind::File,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Directory => "directory",
            Kind::File => "file",
            Kind::Notebook => "notebook",
        }
    }
}

/// A file as clients see it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) last_modified: String,
    created: String,
    /// Its content as JSON text.
    content: Option<String>,
    format: Option<&'static str>,
    mimetype: Option<&'static str>,
    size: Option<u64>,
    is_writable: bool,
    hash: Option<String>,
    /// What is wrong with it, if anything.
    pub(crate) message: Option<String>,
}

impl Model {
    /// The model as JSON.
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::with_capacity(400 + self.content.as_ref().map_or(0, String::len));
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        let text = |out: &mut String, key: &str, value: Option<&str>| {
            out.push_str(key);
            match value {
                Some(value) => push_string(out, value),
                None => out.push_str("null"),
            }
        };
        text(out, "{\"name\":", Some(split(&self.path).1));
        text(out, ",\"path\":", Some(&self.path));
        text(out, ",\"last_modified\":", Some(&self.last_modified));
        text(out, ",\"created\":", Some(&self.created));
        out.push_str(",\"content\":");
        out.push_str(self.content.as_deref().unwrap_or("null"));
        text(out, ",\"format\":", self.format);
        text(out, ",\"mimetype\":", self.mimetype);
        out.push_str(",\"size\":");
        match self.size {
            Some(size) => out.push_str(&size.to_string()),
            None => out.push_str("null"),
        }
        out.push_str(if self.is_writable { ",\"writable\":true" } else { ",\"writable\":false" });
        text(out, ",\"hash\":", self.hash.as_deref());
        text(out, ",\"hash_algorithm\":", self.hash.as_ref().map(|_| "sha256"));
        if let Some(message) = &self.message {
            text(out, ",\"message\":", Some(message));
        }
        text(out, ",\"type\":", Some(self.kind.name()));
        out.push('}');
    }
}

/// Appends a JSON string.
fn push_string(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("invariant: a string is JSON"));
}

/// A moment as jupyter_server writes it.
pub(crate) fn moment(time: std::io::Result<std::time::SystemTime>) -> String {
    let time = time.ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    let micros = time.as_microsecond().rem_euclid(1_000_000);
    if micros == 0 {
        time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    } else {
        time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    }
}

fn changed(metadata: &Metadata) -> std::time::SystemTime {
    use std::os::unix::fs::MetadataExt;
    let since = std::time::Duration::new(metadata.ctime().max(0) as u64, metadata.ctime_nsec().max(0) as u32);
    std::time::SystemTime::UNIX_EPOCH + since
}

impl Contents {
    /// The model of what is at a path.
    ///
    /// # Errors
    /// 404 if there is nothing or nothing that may be seen; 400 if it is not what was asked for.
    pub(crate) fn get(&self, path: &str, view: &View) -> Result<Model, Error> {
        let path = path.trim_matches('/');
        let absent = || Error::not_found(format!("file or directory '{path}' does not exist"));
        if self.root.is_hidden(path) {
            return Err(absent());
        }
        let place = self.root.resolve(path)?;
        let own = std::fs::symlink_metadata(&place).map_err(|_| absent())?;
        let metadata =
            if own.is_symlink() { std::fs::metadata(&place).map_err(|_| absent())? } else { own.clone() };
        if metadata.is_dir() {
            if let Some(kind) = view.kind
                && kind != Kind::Directory
            {
                let what = format!("{path} is a directory, not a {}", kind.name());
                return Err(Error::bad_request(what).because("bad type"));
            }
            let mut model = base(path, &place, &own, Kind::Directory);
            model.size = None;
            if view.with.content {
                model.content = Some(self.listing(path, &place)?);
                model.format = Some("json");
            }
            return Ok(model);
        }
        match view.kind {
            Some(Kind::Directory) => {
                Err(Error::bad_request(format!("{path} is not a directory")).because("bad type"))
            }
            Some(Kind::Notebook) => self.notebook(path, &place, &own, view.with),
            None if is_notebook(path) => self.notebook(path, &place, &own, view.with),
            _ => file(path, &place, &own, view),
        }
    }

    /// The models in a folder, without content, as a JSON array.
    fn listing(&self, path: &str, place: &Path) -> Result<String, Error> {
        let entries = std::fs::read_dir(place).map_err(|error| Error::from_io(&error, path))?;
        let mut out = String::from("[");
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let Ok(name) = std::str::from_utf8(name.as_bytes()) else { continue };
            let is_left_out = matches!(name, "__pycache__" | "__MACOSX")
                || name.ends_with('~')
                || name.rsplit_once('.').is_some_and(|(_, extension)| extension == "pyc");
            if is_left_out || (self.root.hidden == super::place::Hidden::Refused && is_hidden_name(name)) {
                continue;
            }
            let Ok(own) = entry.metadata() else { continue };
            let path = join(path, name);
            let is_dir = if own.is_symlink() {
                // A link is shown as what it leads to, and not at all if that is gone or outside.
                match self.root.resolve(&path).ok().and_then(|place| std::fs::metadata(place).ok()) {
                    Some(metadata) => metadata.is_dir(),
                    None => continue,
                }
            } else if own.is_dir() || own.is_file() {
                own.is_dir()
            } else {
                continue;
            };
            let kind = match (is_dir, is_notebook(name)) {
                (true, _) => Kind::Directory,
                (false, true) => Kind::Notebook,
                (false, false) => Kind::File,
            };
            let mut model = base(&path, &entry.path(), &own, kind);
            match kind {
                Kind::Directory => model.size = None,
                Kind::File => model.mimetype = super::mime::guess(name),
                Kind::Notebook => {}
            }
            if out.len() > 1 {
                out.push(',');
            }
            model.write(&mut out);
        }
        out.push(']');
        Ok(out)
    }

    fn notebook(&self, path: &str, place: &Path, own: &Metadata, with: With) -> Result<Model, Error> {
        let mut model = base(path, place, own, Kind::Notebook);
        if with.content || with.hash {
            let bytes = std::fs::read(place).map_err(|error| Error::from_io(&error, path))?;
            if with.content {
                let mut notebook = format::read(&bytes, path)?;
                model.message = describe_fault(&notebook);
                self.notary.mark(&mut notebook);
                model.content = Some(notebook.to_compact());
                model.format = Some("json");
            }
            model.hash = with.hash.then(|| sha256(&bytes));
        }
        Ok(model)
    }

    /// Trusts a notebook from now on.
    pub(crate) fn trust(&self, path: &str) -> Result<(), Error> {
        let place = self.root.resolve(path)?;
        let bytes = std::fs::read(place).map_err(|error| Error::from_io(&error, path))?;
        self.notary.sign(&format::read(&bytes, path)?);
        Ok(())
    }

    pub(crate) fn is_trusted(&self, notebook: &Value) -> bool {
        self.notary.is_trusted(notebook)
    }

    pub(crate) fn sign(&self, notebook: &Value) {
        self.notary.sign(notebook);
    }

    pub(crate) fn check_and_sign(&self, notebook: &Value) {
        self.notary.check_and_sign(notebook);
    }
}

/// What a client is told of a notebook that does not follow the format.
pub(crate) fn describe_fault(notebook: &Value) -> Option<String> {
    format::fault(notebook).map(|fault| format!("Notebook validation failed: {fault}"))
}

fn base(path: &str, place: &Path, own: &Metadata, kind: Kind) -> Model {
    Model {
        path: path.to_owned(),
        kind,
        last_modified: moment(own.modified()),
        created: moment(Ok(changed(own))),
        content: None,
        format: None,
        mimetype: None,
        size: Some(own.len()),
        is_writable: is_writable(place),
        hash: None,
        message: None,
    }
}

/// Whether we may write there.
pub(crate) fn is_writable(place: &Path) -> bool {
    rustix::fs::access(place, rustix::fs::Access::WRITE_OK).is_ok()
}

fn file(path: &str, place: &Path, own: &Metadata, view: &View) -> Result<Model, Error> {
    let mut model = base(path, place, own, Kind::File);
    model.mimetype = super::mime::guess(path);
    if !view.with.content && !view.with.hash {
        return Ok(model);
    }
    if !std::fs::metadata(place).is_ok_and(|metadata| metadata.is_file()) {
        // A pipe would be waited for without end.
        return Err(Error::bad_request(format!("Cannot get content of non-file {path}")).because("bad type"));
    }
    let bytes = std::fs::read(place).map_err(|error| Error::from_io(&error, path))?;
    model.hash = view.with.hash.then(|| sha256(&bytes));
    if view.with.content {
        let text = if view.format == Some(Format::Base64) { None } else { std::str::from_utf8(&bytes).ok() };
        let (content, format, mimetype) = match (text, view.format) {
            (Some(text), _) => (text.to_owned(), "text", "text/plain"),
            (None, Some(Format::Text)) => {
                return Err(Error::bad_request(format!("{path} is not UTF-8 encoded")).because("bad format"));
            }
            (None, _) => (base64_lines(&bytes), "base64", "application/octet-stream"),
        };
        let mut json = String::with_capacity(content.len() + 2);
        push_string(&mut json, &content);
        model.content = Some(json);
        model.format = Some(format);
        model.mimetype = model.mimetype.or(Some(mimetype));
    }
    Ok(model)
}

/// Base64 in lines of 76, each ended by a newline, as Python's `encodebytes`.
fn base64_lines(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 4 / 3 + bytes.len() / 57 + 8);
    for line in bytes.chunks(57) {
        STANDARD.encode_string(line, &mut out);
        out.push('\n');
    }
    out
}

fn sha256(bytes: &[u8]) -> String {
    crate::chance::hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}
