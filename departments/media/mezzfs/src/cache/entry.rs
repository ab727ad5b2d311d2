//! One version of stored bytes in the cache folder.
//!
//! ```text
//! FOLDER/<identity>/data    a sparse file of the object's size
//! FOLDER/<identity>/map     8 bytes for each block of 4 KiB of it: its checksum, or zeros
//! ```
//!
//! A block counts as there when its checksum is, and its bytes are given out only when they have it. So nothing has to be
//! flushed: whatever is killed, loses power or is damaged when, a block is right or it is fetched again. The checksum is the
//! beginning of the BLAKE3 of the block, told apart by the block's number, so that a block in another's place is wrong too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use backlot_store::Digest;

use crate::Error;

/// What has a checksum of its own, in bytes: a page, since that is what the kernel reads at least. A larger one would make
/// scattered reads fetch more than they ask for.
const BLOCK: u64 = 4096;
/// Bytes of a checksum.
const SUM: u64 = 8;
/// How much of the map or the data is read at a time.
const PIECE: usize = 1 << 20;

/// The largest entry that is checked while a program waits for it to open: a quarter of a second.
const CHECKED_AT_ONCE: u64 = 512 << 20;

const UNKNOWN: u8 = 0;
const CHECKING: u8 = 1;
const CHECKED: u8 = 2;

/// An entry.
#[derive(Debug)]
pub struct Entry {
    data: File,
    map: File,
    size: u64,
    present: Mutex<Present>,
    /// Whether the complete file was checked: [`UNKNOWN`], [`CHECKING`] or [`CHECKED`].
    whole: AtomicU8,
}

/// A bit for each block.
#[derive(Debug)]
struct Present {
    bits: Vec<u64>,
    count: u64,
}

impl Present {
    fn has(&self, block: u64) -> bool {
        self.bits.get((block / 64) as usize).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    fn set(&mut self, block: u64) {
        if let Some(word) = self.bits.get_mut((block / 64) as usize) {
            self.count += u64::from(*word >> (block % 64) & 1 == 0);
            *word |= 1 << (block % 64);
        }
    }

    fn clear(&mut self, block: u64) {
        if let Some(word) = self.bits.get_mut((block / 64) as usize) {
            self.count -= *word >> (block % 64) & 1;
            *word &= !(1 << (block % 64));
        }
    }
}

/// An entry of the folder, as a listing sees it.
pub(super) struct Listed {
    pub(super) identity: Digest,
    /// What it takes on the disk.
    pub(super) bytes: u64,
    pub(super) used: SystemTime,
}

/// The entries of a folder; what is none of ours is left alone.
pub(super) fn list(folder: &Path) -> Result<Vec<Listed>, Error> {
    let mut listed = Vec::new();
    for item in fs::read_dir(folder).map_err(Error::file("read", folder))?.flatten() {
        let Some(identity) = item.file_name().to_str().and_then(super::identity) else { continue };
        let files = ["data", "map"].map(|name| fs::metadata(item.path().join(name)));
        let bytes = files.iter().flatten().map(|meta| meta.blocks() * 512).sum();
        let used = files.iter().flatten().filter_map(|meta| meta.modified().ok()).max();
        listed.push(Listed { identity, bytes, used: used.unwrap_or(SystemTime::UNIX_EPOCH) });
    }
    Ok(listed)
}

impl Entry {
    /// Opens the entry at `path`, making it if it is not there.
    pub(super) fn create(path: &Path, size: u64) -> Result<Self, Error> {
        super::make_private(path)?;
        let open = |name: &str| {
            let file = path.join(name);
            let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&file);
            opened.map_err(Error::file("open", &file))
        };
        let (data, map) = (open("data")?, open("map")?);
        data.set_len(size).map_err(Error::file("size", path))?;
        map.set_len(size.div_ceil(BLOCK) * SUM).map_err(Error::file("size", path))?;
        Self::load(data, map, size, path)
    }

    /// Opens the entry at `path`, if it is there.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Error> {
        let open = |name: &str| OpenOptions::new().read(true).write(true).open(path.join(name));
        let (data, map) = match (open("data"), open("map")) {
            (Ok(data), Ok(map)) => (data, map),
            (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            (Err(error), _) | (_, Err(error)) => return Err(Error::file("open", path)(error)),
        };
        let size = data.metadata().map_err(Error::file("look at", path))?.len();
        Self::load(data, map, size, path).map(Some)
    }

    fn load(data: File, mut map: File, size: u64, path: &Path) -> Result<Self, Error> {
        let blocks = size.div_ceil(BLOCK);
        let mut present = Present { bits: vec![0; blocks.div_ceil(64) as usize], count: 0 };
        let mut piece = vec![0; PIECE];
        let mut block = 0;
        map.rewind().map_err(Error::file("read", path))?;
        let mut reader = (&map).take(blocks * SUM);
        loop {
            let mut filled = 0;
            while filled < piece.len() {
                match reader.read(&mut piece[filled..]).map_err(Error::file("read", path))? {
                    0 => break,
                    count => filled += count,
                }
            }
            for sum in piece[..filled].chunks_exact(SUM as usize) {
                if sum.iter().any(|&byte| byte != 0) {
                    present.set(block);
                }
                block += 1;
            }
            if filled < piece.len() {
                break;
            }
        }
        Ok(Self { data, map, size, present: Mutex::new(present), whole: AtomicU8::new(UNKNOWN) })
    }

    /// The size of the stored bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn present(&self) -> std::sync::MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every block of a range is there, as far as is known before its bytes are checked.
    pub fn has(&self, range: &Range<u64>) -> bool {
        let present = self.present();
        (range.start / BLOCK..range.end.div_ceil(BLOCK)).all(|block| present.has(block))
    }

    /// The bytes of the whole blocks in a range that are not there.
    pub(super) fn missing_bytes(&self, range: &Range<u64>) -> u64 {
        let present = self.present();
        self.whole_blocks(range).filter(|&block| !present.has(block)).count() as u64 * BLOCK
    }

    /// The blocks that lie wholly in a range; the last block ends where the object does.
    fn whole_blocks(&self, range: &Range<u64>) -> Range<u64> {
        let end = if range.end >= self.size { self.size.div_ceil(BLOCK) } else { range.end / BLOCK };
        range.start.div_ceil(BLOCK)..end
    }

    /// Appends a range to `out` when every block of it is there and right. Damaged blocks are forgotten.
    pub fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> bool {
        if range.end > self.size || !self.has(&range) {
            return false;
        }
        let (first, last) = (range.start / BLOCK, range.end.div_ceil(BLOCK));
        let start = first * BLOCK;
        let mut bytes = vec![0; ((last * BLOCK).min(self.size) - start) as usize];
        let mut sums = vec![0; ((last - first) * SUM) as usize];
        let read = self.data.read_exact_at(&mut bytes, start);
        if read.and_then(|()| self.map.read_exact_at(&mut sums, first * SUM)).is_err() {
            return false;
        }
        let mut is_right = true;
        let blocks = bytes.chunks(BLOCK as usize).zip(sums.chunks(SUM as usize));
        for (number, (block, known)) in (first..).zip(blocks) {
            if checksum(number, block) != known {
                is_right = false;
                self.present().clear(number);
                self.whole.store(UNKNOWN, Ordering::Release);
            }
        }
        if is_right {
            out.extend_from_slice(&bytes[(range.start - start) as usize..(range.end - start) as usize]);
        } else {
            tracing::warn!(
                start = range.start,
                end = range.end,
                "the cache is damaged there; it is fetched again"
            );
        }
        is_right
    }

    /// Writes the whole blocks of a range: the data, then the checksums that make it count.
    ///
    /// # Errors
    /// A full disk, mostly.
    pub(super) fn write(&self, range: Range<u64>, bytes: &[u8]) -> Result<u64, Error> {
        let blocks = self.whole_blocks(&range);
        if blocks.is_empty() {
            return Ok(0);
        }
        let (start, end) = (blocks.start * BLOCK, (blocks.end * BLOCK).min(self.size));
        let whole = &bytes[(start - range.start) as usize..(end - range.start) as usize];
        let sums: Vec<u8> = blocks
            .clone()
            .zip(whole.chunks(BLOCK as usize))
            .flat_map(|(number, block)| checksum(number, block))
            .collect();
        let failed = || Error::file("write to", Path::new("the cache"));
        self.data.write_all_at(whole, start).map_err(failed())?;
        self.map.write_all_at(&sums, blocks.start * SUM).map_err(failed())?;
        let mut present = self.present();
        blocks.for_each(|block| present.set(block));
        Ok(end - start)
    }

    /// The file, when every block is there and was found right.
    ///
    /// A complete entry is read once to know that. One of up to [`CHECKED_AT_ONCE`] bytes is read by the call; a larger one in
    /// a thread of its own, and until that has ended there is no file. Damage makes it a plain cache again.
    pub fn complete_file(self: &Arc<Self>) -> Option<File> {
        if self.size == 0 || self.present().count < self.size.div_ceil(BLOCK) {
            return None;
        }
        let state = self.whole.load(Ordering::Acquire);
        if state != CHECKED && state != CHECKING {
            self.whole.store(CHECKING, Ordering::Release);
            if self.size <= CHECKED_AT_ONCE {
                self.check();
            } else {
                let entry = Arc::clone(self);
                std::thread::spawn(move || entry.check());
            }
        }
        if self.whole.load(Ordering::Acquire) == CHECKED { self.data.try_clone().ok() } else { None }
    }

    /// Reads all of it.
    fn check(&self) {
        let mut bytes = Vec::new();
        let is_right = (0..self.size).step_by(PIECE).all(|start| {
            bytes.clear();
            self.read(start..(start + PIECE as u64).min(self.size), &mut bytes)
        });
        self.whole.store(if is_right { CHECKED } else { UNKNOWN }, Ordering::Release);
    }
}

/// The checksum of a block; never zeros.
fn checksum(number: u64, block: &[u8]) -> [u8; SUM as usize] {
    let hash = blake3::hash(block);
    let mut sum = [0; SUM as usize];
    sum.copy_from_slice(&hash.as_bytes()[..SUM as usize]);
    let sum = u64::from_le_bytes(sum) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    sum.max(1).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(size: u64) -> Vec<u8> {
        (0..size).map(|i| (i * 31 % 251) as u8).collect()
    }

    #[test]
    fn what_is_damaged_is_not_given_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entry");
        let whole = content(3 * BLOCK + 100);
        let entry = Arc::new(Entry::create(&path, whole.len() as u64).unwrap());
        entry.write(0..whole.len() as u64, &whole).unwrap();
        assert!(entry.complete_file().is_some());
        drop(entry);
        let data = OpenOptions::new().write(true).open(path.join("data")).unwrap();
        data.write_all_at(b"X", BLOCK + 5).unwrap();
        let entry = Arc::new(Entry::open(&path).unwrap().unwrap());
        assert!(entry.complete_file().is_none());
        let mut out = Vec::new();
        assert!(!entry.read(BLOCK..BLOCK + 10, &mut out) && out.is_empty());
        assert!(entry.read(0..BLOCK, &mut out) && out == whole[..BLOCK as usize]);
        entry.write(BLOCK..2 * BLOCK, &whole[BLOCK as usize..2 * BLOCK as usize]).unwrap();
        assert!(entry.complete_file().is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_cache_gives_what_was_written_or_nothing(
            size in 1_u64..40_000,
            writes in prop::collection::vec((0_u64..40_000, 1_u64..20_000), 1..8),
            reads in prop::collection::vec((0_u64..40_000, 1_u64..9000), 1..20),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("entry");
            let whole = content(size);
            let mut known = vec![false; size as usize];
            let entry = Entry::create(&path, size).unwrap();
            for (start, len) in writes {
                let start = start.min(size - 1);
                let end = (start + len).min(size);
                entry.write(start..end, &whole[start as usize..end as usize]).unwrap();
                for block in entry.whole_blocks(&(start..end)) {
                    (block * BLOCK..((block + 1) * BLOCK).min(size)).for_each(|at| known[at as usize] = true);
                }
            }
            drop(entry);
            let entry = Entry::open(&path).unwrap().unwrap();
            for (start, len) in reads {
                let start = start.min(size - 1);
                let end = (start + len).min(size);
                let mut out = Vec::new();
                let blocks = start / BLOCK * BLOCK..(end.div_ceil(BLOCK) * BLOCK).min(size);
                let all = blocks.clone().all(|at| known[at as usize]);
                prop_assert_eq!(entry.read(start..end, &mut out), all);
                prop_assert_eq!(&out[..], if all { &whole[start as usize..end as usize] } else { &[][..] });
            }
        }
    }
}
