//! Files that only their owner may read, replaced atomically.
//!
//! Content is written to a fresh file of mode 0600 beside the target, synced, and then takes the target's name: by
//! `rename` when it replaces ([`replace`]), by `link` when it must not ([`create`]: the `O_EXCL` of a whole file, so that of
//! two processes that start at once one wins and the other never reads a half-written token).

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, random};

/// Identity of one version of a file; it changes when the file is replaced or rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

/// The stamp of the file at `path`, or `None` when there is none.
pub(crate) fn stamp(path: &Path) -> Result<Option<Stamp>, Error> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(Stamp {
            inode: meta.ino(),
            length: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { action: "read", path: path.to_owned(), source }),
    }
}

/// Reads a private file. Refuses one that other users may read.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed { path: path.to_owned(), mode });
    }
    std::io::read_to_string(file).map(Some).map_err(failed)
}

/// Makes the file with this content, unless it exists. Says whether it was made.
pub(crate) fn create(path: &Path, content: &str) -> Result<bool, Error> {
    let fresh = write_fresh(path, content)?;
    let linked = fs::hard_link(&fresh, path);
    let removed = fs::remove_file(&fresh);
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(source) => return Err(Error::File { action: "write", path: path.to_owned(), source }),
    }
    removed.map_err(|source| Error::File { action: "remove", path: fresh, source })?;
    sync_directory(path)?;
    Ok(true)
}

/// Gives the file this content; a reader sees the old or the new, never a mixture.
pub(crate) fn replace(path: &Path, content: &str) -> Result<(), Error> {
    let fresh = write_fresh(path, content)?;
    if let Err(source) = fs::rename(&fresh, path) {
        // The rename's error is the one to tell; a leftover fresh file is harmless and private.
        let _ = fs::remove_file(&fresh);
        return Err(Error::File { action: "write", path: path.to_owned(), source });
    }
    sync_directory(path)
}

/// An exclusive lock among processes, held until it is dropped.
pub(crate) fn lock(path: &Path) -> Result<File, Error> {
    let failed = |source| Error::File { action: "lock", path: path.to_owned(), source };
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|code| failed(code.into()))?;
    Ok(file)
}

fn write_fresh(path: &Path, content: &str) -> Result<PathBuf, Error> {
    let suffix = random::secret()?;
    let fresh = path.with_extension(format!("{}.tmp", &suffix[..12]));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()
    };
    if let Err(source) = write() {
        let _ = fs::remove_file(&fresh);
        return Err(Error::File { action: "write", path: path.to_owned(), source });
    }
    Ok(fresh)
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(|source| Error::File {
        action: "sync",
        path: directory.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_is_exclusive_and_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.token");
        assert!(create(&path, "first").unwrap());
        assert!(!create(&path, "second").unwrap());
        assert_eq!(read(&path).unwrap().as_deref(), Some("first"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "no fresh file is left over");
    }

    #[test]
    fn of_many_creators_one_wins_and_all_read_its_content() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.token");
        let contents: Vec<String> = std::thread::scope(|scope| {
            let creators: Vec<_> = (0..16)
                .map(|index| {
                    let path = &path;
                    scope.spawn(move || {
                        create(path, &format!("token {index}")).unwrap();
                        read(path).unwrap().unwrap()
                    })
                })
                .collect();
            creators.into_iter().map(|creator| creator.join().unwrap()).collect()
        });
        assert!(contents.iter().all(|content| content == &contents[0] && content.starts_with("token ")));
    }

    #[test]
    fn replacing_changes_the_stamp() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tokens.json");
        assert_eq!(stamp(&path).unwrap(), None);
        replace(&path, "[]").unwrap();
        let first = stamp(&path).unwrap();
        replace(&path, "{}").unwrap();
        assert_ne!(stamp(&path).unwrap(), first);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.token");
        create(&path, "secret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("chmod 600"), "{message}");
        assert!(!message.contains("secret"));
    }
}
