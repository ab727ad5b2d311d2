//! Bytes of a file of this machine.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use super::Failure;
use crate::{Error, Room};

/// A file as it was when it was opened.
#[derive(Debug)]
pub(crate) struct PinnedFile {
    file: Arc<File>,
    seen: Seen,
}

/// What changes with the content. The inode cannot: the file is held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

fn look(file: &File) -> std::io::Result<Seen> {
    let meta = file.metadata()?;
    Ok(Seen {
        device: meta.dev(),
        inode: meta.ino(),
        size: meta.len(),
        changed: (meta.mtime(), meta.mtime_nsec()),
    })
}

impl PinnedFile {
    pub(crate) fn open(path: &Path) -> Result<(Self, u64), Error> {
        let place = || path.display().to_string();
        let file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::NotFound { place: place() },
            _ => Error::file("open", path)(error),
        })?;
        if !file.metadata().map_err(Error::file("look at", path))?.is_file() {
            return Err(Error::NotALocation { text: place(), fault: "it is no regular file".to_owned() });
        }
        let seen = look(&file).map_err(Error::file("look at", path))?;
        Ok((Self { file: Arc::new(file), seen }, seen.size))
    }

    pub(crate) fn version(&self) -> String {
        format!("{:?}", self.seen)
    }

    pub(crate) async fn read(&self, place: &str, range: Range<u64>, out: &mut Room) -> Result<(), Failure> {
        let (file, seen) = (Arc::clone(&self.file), self.seen);
        let length = (range.end - range.start) as usize;
        let mut room = std::mem::take(out);
        let read = move || {
            let ended = match room.rest().get_mut(..length) {
                Some(rest) => file.read_exact_at(rest, range.start),
                None => Err(std::io::ErrorKind::InvalidInput.into()),
            };
            // Looked at after the read: a change before or during it shows.
            let is_same = look(&file).map(|now| now == seen);
            if ended.is_ok() && matches!(is_same, Ok(true)) {
                room.advance(length);
            }
            (room, is_same.and_then(|is_same| if is_same { ended.map(|()| true) } else { Ok(false) }))
        };
        let failed = |reason: String| Failure::Final(Error::Unreachable { place: place.to_owned(), reason });
        let done = tokio::task::spawn_blocking(read).await.map_err(|error| failed(error.to_string()));
        let (room, is_same) = done?;
        *out = room;
        match is_same {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Final(Error::Changed { place: place.to_owned() })),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}
