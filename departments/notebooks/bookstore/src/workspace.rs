//! The folder in which people's notebooks lie: what is cloned and restored goes there, and nothing leads out of it.
//!
//! A path of a client is cleaned ([`crate::key::clean`]), its folder is resolved with its links, and what does not lie below the
//! root then is not there. Files appear whole or not at all.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::error::Error;
use crate::key;

/// How many names are tried for a clone before it is refused.
const NAMES: u32 = 10_000;

/// Why a file cannot be had or written: for a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// As an HTTP status.
    pub status: u16,
    /// What to tell.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Problem {
        Problem { status, message: message.into() }
    }

    fn from_io(error: &std::io::Error, path: &str) -> Problem {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound => Problem::new(404, format!("No such file or directory: {path}")),
            ErrorKind::PermissionDenied => Problem::new(403, format!("Permission denied: {path}")),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Problem::new(507, format!("No room on the disk for {path}; free some"))
            }
            _ => Problem::new(500, format!("Unexpected error while saving file: {path} {error}")),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let status = match &error {
            Error::NotAPath { .. } | Error::Notebook(_) => 400,
            Error::NoSuchPath { .. } | Error::NoSuchVersion { .. } => 404,
            _ => 500,
        };
        Problem::new(status, error.to_string())
    }
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The folder at this path, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(root: &Path) -> Result<Workspace, Error> {
        let fault = |error| Error::File { path: root.display().to_string(), error };
        std::fs::create_dir_all(root).map_err(fault)?;
        Ok(Workspace { root: root.canonicalize().map_err(fault)? })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder and the name of a client's path.
    fn place(&self, path: &str) -> Result<(PathBuf, String), Problem> {
        let outside = || Problem::new(404, format!("{path} is outside root contents directory"));
        let clean = match key::clean(path) {
            Err(_) if path.split('/').any(|part| part == "..") => return Err(outside()),
            cleaned => cleaned?,
        };
        if clean.split('/').any(|part| part.starts_with('.')) {
            return Err(Problem::new(
                400,
                format!("{path} is hidden; choose a name that does not begin with a dot"),
            ));
        }
        let (folder, name) = clean.rsplit_once('/').unwrap_or(("", &clean));
        let folder = self.root.join(folder);
        let real = folder.canonicalize();
        let real =
            real.map_err(|_| Problem::new(404, format!("No such directory for {path}; make it first")))?;
        if real.starts_with(&self.root) { Ok((real, name.to_owned())) } else { Err(outside()) }
    }

    /// Writes a new file of this path, or of the next free name: `a.ipynb`, `a-1.ipynb`; the path it got.
    ///
    /// # Errors
    /// 404 for a folder that is not there or lies outside, 507 for a full disk.
    pub fn save_new(&self, path: &str, content: &[u8]) -> Result<String, Problem> {
        let (folder, name) = self.place(path)?;
        let fault = |error: std::io::Error| Problem::from_io(&error, path);
        let mut file = staged(&folder, content, None).map_err(fault)?;
        for number in 0..NAMES {
            let name = numbered(&name, number);
            match file.persist_noclobber(folder.join(&name)) {
                Ok(_) => {
                    sync(&folder);
                    let folder = folder.strip_prefix(&self.root).unwrap_or(Path::new(""));
                    return Ok(folder.join(name).to_string_lossy().into_owned());
                }
                Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => file = error.file,
                Err(error) => return Err(fault(error.error)),
            }
        }
        Err(Problem::new(409, format!("there are {NAMES} files named like {path}; remove some")))
    }

    /// Makes the folders of a path that are not there.
    fn make_folder(&self, path: &str) -> Result<(), Problem> {
        let clean = key::clean(path)?;
        let parents = clean.rsplit_once('/').map_or("", |(parents, _)| parents);
        let mut folder = self.root.clone();
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            folder.push(part);
            match std::fs::create_dir(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Problem::from_io(&error, path)),
            }
            // A link that is there may lead outside; nothing is made beyond it.
            if !folder.canonicalize().is_ok_and(|real| real.starts_with(&self.root)) {
                return Err(Problem::new(404, format!("{path} is outside root contents directory")));
            }
        }
        Ok(())
    }

    /// Replaces a file, or makes it, with the folders that lead to it.
    ///
    /// # Errors
    /// As [`Workspace::save_new`].
    pub fn replace(&self, path: &str, content: &[u8]) -> Result<(), Problem> {
        self.make_folder(path)?;
        let (folder, name) = self.place(path)?;
        let target = folder.join(name);
        if target.is_dir() || target.is_symlink() {
            return Err(Problem::new(400, format!("{path} is no file")));
        }
        let fault = |error: std::io::Error| Problem::from_io(&error, path);
        let mode = std::fs::metadata(&target).ok().map(|known| known.permissions());
        let file = staged(&folder, content, mode).map_err(fault)?;
        file.persist(&target).map_err(|error| fault(error.error))?;
        sync(&folder);
        Ok(())
    }

    /// The bytes of a file; `None` if there is none, or what is there is no file.
    ///
    /// # Errors
    /// It is there and cannot be read, or lies outside.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Problem> {
        let (folder, name) = match self.place(path) {
            Ok(place) => place,
            Err(problem) if problem.status == 404 => return Ok(None),
            Err(problem) => return Err(problem),
        };
        let place = folder.join(name);
        match place.canonicalize() {
            Ok(real) if real.starts_with(&self.root) && real.is_file() => {
                std::fs::read(real).map(Some).map_err(|error| Problem::from_io(&error, path))
            }
            _ => Ok(None),
        }
    }
}

/// A whole file beside where it is to lie, on the disk.
fn staged(
    folder: &Path,
    content: &[u8],
    mode: Option<std::fs::Permissions>,
) -> std::io::Result<tempfile::NamedTempFile> {
    let mode = mode.unwrap_or_else(|| std::fs::Permissions::from_mode(0o644));
    let mut file =
        tempfile::Builder::new().prefix(".~").suffix(".saving").permissions(mode).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Makes a new name in a folder survive the loss of power. Where a folder cannot be synced, there is nothing more to do.
fn sync(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// A name with a number before its extension, which is a notebook's last and another file's first, as in Jupyter.
fn numbered(name: &str, number: u32) -> String {
    if number == 0 {
        return name.to_owned();
    }
    let dot = if key::is_notebook(name) { name.rfind('.') } else { name.find('.') };
    let (stem, end) = name.split_at(dot.unwrap_or(name.len()));
    format!("{stem}-{number}{end}")
}

/// A file below the folder for cloning: where a relative path leads, and its bytes.
///
/// The path is resolved with its links first, as bookstore does; the file is then opened from that folder without following any
/// link, so that one which is put there in between leads nowhere.
///
/// # Errors
/// 400 for an empty path and what is no file, 404 for what lies outside.
pub fn cloned_file(base: &Path, relative: &str, limit: u64) -> Result<(PathBuf, Vec<u8>), Problem> {
    if relative.is_empty() {
        return Err(Problem::new(400, "Request malformed, must provide a non-empty relative path."));
    }
    let shown = lexical(base, relative);
    let outside = || Problem::new(404, format!("{} is outside root cloning directory.", shown.display()));
    if relative.contains('\0') {
        return Err(outside());
    }
    let base = base.canonicalize().map_err(|_| outside())?;
    let joined = base.join(relative);
    let unreadable = |why: &dyn std::fmt::Display| {
        Problem::new(400, format!("Unreadable Notebook: {} {why}", shown.display()))
    };
    let real = match joined.canonicalize() {
        Ok(real) => real,
        // What is not there is told apart from what lies outside only within the base.
        Err(_) if !lexical(&base, relative).starts_with(&base) => return Err(outside()),
        Err(error) => {
            let parent = joined.parent().and_then(|parent| parent.canonicalize().ok());
            let is_inside = parent.is_none_or(|parent| parent.starts_with(&base));
            return Err(if is_inside { unreadable(&error) } else { outside() });
        }
    };
    let below = match real.strip_prefix(&base) {
        Ok(below) if !below.as_os_str().is_empty() => below,
        _ => return Err(outside()),
    };
    let read = || -> std::io::Result<Vec<u8>> {
        let folder = File::open(&base)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let file = File::from(rustix::fs::openat2(&folder, below, flags, Mode::empty(), resolve)?);
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(std::io::Error::other(format!("it has more than {limit} bytes")));
        }
        Ok(bytes)
    };
    let bytes = read().map_err(|error| unreadable(&error))?;
    Ok((real, bytes))
}

/// A path joined and freed of `..` as it is written, without looking at the disk.
fn lexical(base: &Path, relative: &str) -> PathBuf {
    let mut place = PathBuf::new();
    for part in base.join(relative).components() {
        match part {
            Component::ParentDir => {
                place.pop();
            }
            Component::CurDir => {}
            part => place.push(part),
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn clones_get_the_next_free_name() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::open(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        let names: Vec<String> =
            (0..3).map(|_| workspace.save_new("./sub/a.b.ipynb", b"x").unwrap()).collect();
        assert_eq!(names, ["sub/a.b.ipynb", "sub/a.b-1.ipynb", "sub/a.b-2.ipynb"]);
        assert_eq!(workspace.save_new("t.tar.gz", b"").unwrap(), "t.tar.gz");
        assert_eq!(workspace.save_new("t.tar.gz", b"").unwrap(), "t-1.tar.gz");
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 3, "nothing half written is left");
    }

    #[test]
    fn nothing_is_written_outside() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let workspace = Workspace::open(&root).unwrap();
        symlink(folder.path(), root.join("up")).unwrap();
        symlink(folder.path().join("secret"), root.join("link.ipynb")).unwrap();
        std::fs::write(folder.path().join("secret"), "s").unwrap();
        for path in ["../x.ipynb", "up/x.ipynb", "a/../../x.ipynb", "no/x.ipynb"] {
            assert_eq!(workspace.save_new(path, b"x").unwrap_err().status, 404, "{path}");
        }
        for path in ["", ".hidden.ipynb", "a\0b"] {
            assert_eq!(workspace.save_new(path, b"x").unwrap_err().status, 400, "{path:?}");
        }
        assert_eq!(workspace.replace("link.ipynb", b"x").unwrap_err().status, 400);
        assert_eq!(workspace.replace("up/new/x.ipynb", b"x").unwrap_err().status, 404);
        workspace.replace("new/deep/x.ipynb", b"x").unwrap();
        assert_eq!(workspace.read("new/deep/x.ipynb").unwrap().unwrap(), b"x");
        assert_eq!(workspace.read("link.ipynb").unwrap(), None);
        assert_eq!(std::fs::read(folder.path().join("secret")).unwrap(), b"s");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn cloning_stays_below_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        std::fs::create_dir_all(base.join("sub")).unwrap();
        std::fs::write(folder.path().join("secret"), "s").unwrap();
        std::fs::write(base.join("sub/a.ipynb"), "a").unwrap();
        symlink(folder.path().join("secret"), base.join("out")).unwrap();
        symlink("sub/a.ipynb", base.join("in")).unwrap();
        symlink(folder.path(), base.join("up")).unwrap();
        for path in [
            "../secret",
            "../../etc/passwd",
            "out",
            "up/secret",
            "sub/../../secret",
            "/etc/passwd",
            ".",
            "a\0",
        ] {
            assert_eq!(cloned_file(&base, path, 100).unwrap_err().status, 404, "{path:?}");
        }
        assert_eq!(cloned_file(&base, "", 100).unwrap_err().status, 400);
        assert_eq!(cloned_file(&base, "sub", 100).unwrap_err().status, 400);
        assert_eq!(cloned_file(&base, "no/such", 100).unwrap_err().status, 400);
        for path in ["sub/a.ipynb", "in", "sub/../sub/a.ipynb"] {
            assert_eq!(cloned_file(&base, path, 100).unwrap().1, b"a", "{path}");
        }
        assert!(cloned_file(&base, "in", 0).unwrap_err().message.contains("more than 0 bytes"));
        let told = cloned_file(Path::new("/anything"), "../../etc/passwd", 100).unwrap_err().message;
        assert_eq!(told, "/etc/passwd is outside root cloning directory.");
    }
}
