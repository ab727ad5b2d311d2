//! A store in a folder.
//!
//! ```text
//! ROOT/blobs/ab/cd…    blobs, read-only, named by their digest
//! ROOT/named/…         named objects under their own names
//! ROOT/staging/…       what is being written; nothing here is part of the store
//! ```
//!
//! A put writes a file in `staging`, flushes it to the disk, renames it to its place and flushes the folder that it
//! is now in. So an object is there whole or not at all, whatever is killed or loses power when, and a put that was
//! reported done stays done. The writer holds a lock on its staged file; the system drops the lock when the writer
//! dies, by which [`Folder::open`] knows what a killed process has left behind, and removes it.
//!
//! object_store has a folder backend too. This one is our own, because that one cannot adopt a file without copying
//! it, keep a media type, make blobs read-only, list in the order of S3, or tell a dead writer's file from a live one's.
//!
//! Everything here blocks and is called from the runtime's blocking threads.

mod durable;
mod walk;

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tempfile::NamedTempFile;

use crate::backend::{Class, Entry, Listing, Stat};
use crate::error::Error;
use crate::name::{Key, NAMED, OCTET_STREAM};
use crate::{Blob, Digest};

/// The extended attribute for media types that freedesktop.org has agreed on ("Guidelines for extended attributes").
const MEDIA_TYPE: &str = "user.mime_type";
/// Blobs are never written again, not even by their owner.
const READ_ONLY: u32 = 0o444;
/// Named objects and the staging files: what the process's umask leaves.
const READ_WRITE: u32 = 0o666;
/// A new staging file is not locked at once; younger ones are left alone by the sweep.
const UNLOCKED_AT_MOST: Duration = Duration::from_mins(1);
/// How many bytes are copied and hashed at a time: large enough for BLAKE3's widest SIMD and for the disk.
const BUFFER: usize = 1 << 20;

/// A folder that holds a store.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    staging: PathBuf,
    keeps_media_types: bool,
}

impl Folder {
    /// Opens the folder, making it if need be, and removes what killed writers have left in it.
    pub(crate) fn open(root: &Path) -> Result<Folder, Error> {
        let staging = root.join("staging");
        for folder in [root.join("blobs"), root.join("named"), staging.clone()] {
            durable::create_folders(&folder).map_err(Error::file("make", &folder))?;
        }
        let mut folder = Folder { root: root.to_owned(), staging, keeps_media_types: true };
        folder.sweep()?;
        folder.keeps_media_types = folder.can_keep_media_types()?;
        if !folder.keeps_media_types {
            tracing::warn!(
                folder = %root.display(),
                "this filesystem has no extended attributes, so the media types of named objects are lost; \
                 choose a folder on ext4, xfs, btrfs, zfs or apfs to keep them"
            );
        }
        Ok(folder)
    }

    /// Removes staged files whose writer is dead.
    fn sweep(&self) -> Result<(), Error> {
        let entries = fs::read_dir(&self.staging).map_err(Error::file("read", &self.staging))?;
        for entry in entries.flatten() {
            let path = entry.path();
            // Whatever goes wrong with one file (another process sweeps too), it is left for the next start.
            let Ok(file) = File::open(&path) else { continue };
            let age =
                file.metadata().and_then(|meta| meta.modified()).map(|at| at.elapsed().unwrap_or_default());
            if age.is_ok_and(|age| age > UNLOCKED_AT_MOST) && file.try_lock().is_ok() {
                tracing::info!(file = %path.display(), "removing what a killed writer left");
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }

    fn can_keep_media_types(&self) -> Result<bool, Error> {
        let probe = self.stage()?;
        match set_media_type(probe.as_file(), OCTET_STREAM) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(false),
            Err(error) => Err(Error::file("write an attribute of", probe.path())(error)),
        }
    }

    /// A new, locked, empty file for something that is to become an object. It is removed when dropped.
    pub(crate) fn stage(&self) -> Result<NamedTempFile, Error> {
        let staged = tempfile::Builder::new()
            .prefix("put-")
            .permissions(Permissions::from_mode(READ_WRITE))
            .tempfile_in(&self.staging)
            .map_err(Error::file("make a file in", &self.staging))?;
        staged.as_file().lock().map_err(Error::file("lock", staged.path()))?;
        Ok(staged)
    }

    /// The file of an object, there or not.
    pub(crate) fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    /// The size, time and type of an object; `None` when there is none.
    pub(crate) fn stat(&self, key: &Key) -> Result<Option<Stat>, Error> {
        let path = self.path(key);
        Ok(look(&path)?.map(|meta| Stat { media_type: media_type(&path), ..stat_of(&meta) }))
    }

    /// An object's file, opened, with its size; `None` when there is none.
    pub(crate) fn open_object(&self, key: &Key) -> Result<Option<(File, Stat)>, Error> {
        let path = self.path(key);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(Error::file("open", &path)(error)),
        };
        let meta = file.metadata().map_err(Error::file("look at", &path))?;
        let stat = Stat { media_type: media_type(&path), ..stat_of(&meta) };
        Ok(meta.is_file().then_some((file, stat)))
    }

    /// A whole object, unless it is larger than `limit`.
    pub(crate) fn read(&self, key: &Key, limit: u64) -> Result<Option<(Stat, Bytes)>, Error> {
        let Some((file, stat)) = self.open_object(key)? else { return Ok(None) };
        if stat.size > limit {
            return Err(Error::TooLarge { what: key.to_string(), size: stat.size, limit });
        }
        let mut content = Vec::with_capacity(stat.size as usize);
        // One byte more shows a file that grows.
        file.take(stat.size + 1).read_to_end(&mut content).map_err(Error::file("read", &self.path(key)))?;
        Ok(Some((stat, content.into())))
    }

    /// The bytes of a range that lies within the object.
    pub(crate) fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        let Some((file, _)) = self.open_object(key)? else { return Ok(None) };
        let mut content = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut content, range.start).map_err(Error::file("read", &self.path(key)))?;
        Ok(Some(content.into()))
    }

    /// Writes `content` under `key`.
    pub(crate) fn put_bytes(&self, key: &Key, content: &[u8], class: &Class) -> Result<(), Error> {
        let mut staged = self.stage()?;
        staged.write_all(content).map_err(Error::file("write", staged.path()))?;
        self.publish(staged, key, class)
    }

    /// Copies the file at `path` to a staged file, and hashes what was copied.
    pub(crate) fn stage_copy(&self, path: &Path) -> Result<(NamedTempFile, Blob), Error> {
        let mut source = open_regular(path)?;
        let mut staged = self.stage()?;
        let mut hasher = blake3::Hasher::new();
        let mut size = 0;
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = source.read(&mut buffer).map_err(Error::file("read", path))?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            staged.write_all(&buffer[..read]).map_err(Error::file("write", staged.path()))?;
            size += read as u64;
        }
        Ok((staged, Blob { digest: hasher.finalize().into(), size }))
    }

    /// Makes the file at `path` itself a blob, by renaming it; `None` when it must be copied, because it is on another
    /// filesystem, has other names through which it could be changed, is a symbolic link, or belongs to another user.
    pub(crate) fn adopt(&self, path: &Path) -> Result<Option<Blob>, Error> {
        let meta = fs::symlink_metadata(path).map_err(Error::file("look at", path))?;
        let ours = fs::metadata(&self.staging).map_err(Error::file("look at", &self.staging))?;
        if !meta.is_file() || meta.nlink() != 1 || meta.dev() != ours.dev() || meta.uid() != ours.uid() {
            return Ok(None);
        }
        let file = open_regular(path)?;
        let blob = hash_file(&file, path)?;
        let key = Key::blob(&blob.digest);
        if self.has_blob(&key, blob.size)? {
            fs::remove_file(path).map_err(Error::file("remove", path))?;
            return Ok(Some(blob));
        }
        file.set_permissions(Permissions::from_mode(READ_ONLY)).map_err(Error::file("protect", path))?;
        file.sync_all().map_err(Error::file("flush", path))?;
        let identity = |meta: &Metadata| (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
        let now = file.metadata().map_err(Error::file("look at", path))?;
        if identity(&meta) != identity(&now) {
            return Err(Error::Changed { path: path.to_owned() });
        }
        match self.move_in(&key, |target| fs::rename(path, target)) {
            Ok(()) => Ok(Some(blob)),
            // Two mounts of one filesystem have the same device number and yet no renaming between them.
            Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::CrossesDevices => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the blob is there with the right size, so that it need not be written again. When it is, its folder is
    /// flushed: another process may have renamed it in a moment ago, and our caller will tell that it is stored.
    pub(crate) fn has_blob(&self, key: &Key, size: u64) -> Result<bool, Error> {
        let path = self.path(key);
        let is_there = look(&path)?.is_some_and(|meta| meta.len() == size);
        if is_there {
            durable::flush_nearest(&path).map_err(Error::file("flush the folder of", &path))?;
        }
        Ok(is_there)
    }

    /// Makes a staged file the object under `key`, replacing what was there.
    pub(crate) fn publish(&self, staged: NamedTempFile, key: &Key, class: &Class) -> Result<(), Error> {
        match class {
            Class::Blob => staged
                .as_file()
                .set_permissions(Permissions::from_mode(READ_ONLY))
                .map_err(Error::file("protect", staged.path()))?,
            Class::Named { media_type } if self.keeps_media_types => {
                set_media_type(staged.as_file(), media_type)
                    .map_err(Error::file("write an attribute of", staged.path()))?;
            }
            Class::Named { .. } => {}
        }
        staged.as_file().sync_all().map_err(Error::file("flush", staged.path()))?;
        // The file stays open, and so locked against the sweep, until it is in its place. Dropping the path removes
        // the staged file if the renaming failed; otherwise there is nothing of that name any more.
        let (_locked, staged) = staged.into_parts();
        self.move_in(key, |target| fs::rename(&staged, target))
    }

    /// Makes the folder for `key`, lets `rename` put the object there, and flushes the folder.
    fn move_in(&self, key: &Key, rename: impl Fn(&Path) -> io::Result<()>) -> Result<(), Error> {
        /// A deletion at the same moment may remove the folder that was just made, or leave an empty one in the way;
        /// each turn mends one such meeting.
        const TURNS: usize = 16;

        let target = self.path(key);
        let parent = target.parent().expect("invariant: a key has a folder");
        let mut turn = 1;
        loop {
            let moved = durable::create_folders(parent).and_then(|()| rename(&target));
            let Err(error) = moved else { break };
            let may_mend = match error.kind() {
                io::ErrorKind::NotFound => true,
                io::ErrorKind::IsADirectory => fs::remove_dir(&target).is_ok(),
                _ => false,
            };
            if !may_mend || turn == TURNS {
                return Err(self.explain(key, &target, error));
            }
            turn += 1;
        }
        durable::flush_nearest(&target).map_err(Error::file("flush the folder of", &target))
    }

    /// The error of a failed renaming: often a name that is another's folder, or the other way round.
    fn explain(&self, key: &Key, target: &Path, error: io::Error) -> Error {
        let name = key.as_str();
        let taken = |other: &str| Error::NameTaken {
            name: name.strip_prefix(NAMED).unwrap_or(name).to_owned(),
            other: other.strip_prefix(NAMED).unwrap_or(other).to_owned(),
        };
        if target.is_dir() {
            return taken(&format!("{name}/…"));
        }
        let ancestors = name.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| &name[..at]);
        for ancestor in ancestors {
            if self.root.join(ancestor).is_file() {
                return taken(ancestor);
            }
        }
        Error::file("store", target)(error)
    }

    /// Removes an object and the folders that are empty without it. It is no error when there is none.
    pub(crate) fn delete(&self, key: &Key) -> Result<(), Error> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if is_absence(&error) => return Ok(()),
            Err(error) => return Err(Error::file("remove", &path)(error)),
        }
        durable::flush_nearest(&path).map_err(Error::file("flush the folder of", &path))?;
        // An empty folder would stand in the way of an object of its name. `blobs` and `named` themselves stay.
        let class_folders = [self.root.join("blobs"), self.root.join("named")];
        let mut folder = path.parent();
        while let Some(empty) = folder.filter(|folder| !class_folders.iter().any(|keep| keep == folder)) {
            if fs::remove_dir(empty).is_err() {
                break;
            }
            folder = empty.parent();
        }
        Ok(())
    }

    /// Up to `limit` objects whose keys begin with `prefix` and come after `start_after`, in the order of their keys.
    pub(crate) fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Listing, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut more = false;
        walk::files(&self.root, prefix, start_after.unwrap_or_default(), &mut |key, path| {
            if entries.len() == limit {
                more = true;
                return Ok(walk::Step::Stop);
            }
            // A file that was deleted since the folder was read is no longer an object.
            if let Some(meta) = look(path)? {
                let stat = stat_of(&meta);
                entries.push(Entry { key, size: stat.size, modified: stat.modified });
            }
            Ok(walk::Step::On)
        })?;
        Ok(Listing { entries, more })
    }
}

/// Reads the next piece of a file, empty at its end.
pub(crate) fn read_piece(file: &mut File) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(BUFFER);
    Read::by_ref(file).take(BUFFER as u64).read_to_end(&mut piece)?;
    Ok(piece.into())
}

/// Hashes an open file from its present position.
pub(crate) fn hash_file(file: &File, path: &Path) -> Result<Blob, Error> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER];
    let mut source = file;
    loop {
        let read = source.read(&mut buffer).map_err(Error::file("read", path))?;
        if read == 0 {
            return Ok(Blob { digest: Digest::from(hasher.finalize()), size: hasher.count() });
        }
        hasher.update(&buffer[..read]);
    }
}

/// Opens a file to be stored. Folders, devices and pipes are refused: reading a pipe could take for ever.
pub(crate) fn open_regular(path: &Path) -> Result<File, Error> {
    let meta = fs::metadata(path).map_err(Error::file("look at", path))?;
    if meta.is_dir() {
        return Err(Error::file("store", path)(io::ErrorKind::IsADirectory.into()));
    }
    if !meta.is_file() {
        let fault = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        return Err(Error::file("store", path)(fault));
    }
    File::open(path).map_err(Error::file("open", path))
}

/// The metadata of a file, `None` when there is no file.
fn look(path: &Path) -> Result<Option<Metadata>, Error> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.is_file().then_some(meta)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(Error::file("look at", path)(error)),
    }
}

/// Whether an error says that there is no such file; `a` being a file, there is no `a/b` either.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

fn stat_of(meta: &Metadata) -> Stat {
    let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Stat { size: meta.len(), modified, media_type: None, version: None }
}

fn set_media_type(file: &File, media_type: &str) -> io::Result<()> {
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::fsetxattr(file, MEDIA_TYPE, media_type.as_bytes(), flags).map_err(io::Error::from)
}

fn media_type(path: &Path) -> Option<String> {
    let mut value = [0; 256];
    let length = rustix::fs::getxattr(path, MEDIA_TYPE, &mut value[..]).ok()?;
    let text = std::str::from_utf8(value.get(..length)?).ok()?;
    crate::name::check_media_type(text).is_ok().then(|| text.to_owned())
}
