//! Segments: what a checkpoint writes.
//!
//! A segment holds every step that changed since the one before, packed, and the number of the last log that it covers. Its
//! tags, which hardly change from one segment to the next, are deflated together. A file is complete or has another name: it is
//! written beside, synced, and renamed.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use backlot_series::block;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::log::{Cursor, Log, log_path, replay, sync_directory, write_tags};
use super::series::{Packed, RawBlock, columns};
use super::{BLOCK, SeriesId, Store, StoreError};

const MAGIC: &[u8; 8] = b"BLTSEG1\n";

/// Largest inflated directory of tags that is believed: ten million series.
const LARGEST_DIRECTORY: u64 = 4 << 30;

/// One series' changed steps: tags, then columns.
struct Changed {
    id: u32,
    columns: Vec<(i64, Vec<f64>)>,
}

impl Store {
    /// Reads the directory and begins a new log.
    pub(super) fn load(&self, directory: &Path, now: i64) -> Result<(), StoreError> {
        let failed = |source| StoreError::File { path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(failed)?;
        let lock = lock(directory)?;
        let (mut segments, mut logs, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for entry in fs::read_dir(directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if let Some(number) = name.strip_prefix("segment-").and_then(|number| number.parse::<u64>().ok())
            {
                segments.push(number);
            } else if let Some(number) =
                name.strip_prefix("log-").and_then(|number| number.parse::<u64>().ok())
            {
                logs.push(number);
            } else if Path::new(&name).extension().is_some_and(|extension| extension == "part") {
                // Not finished by a process that died; what it would have held is still in the log.
                drop(fs::remove_file(directory.join(name)));
            } else {
                names.push(name);
            }
        }
        segments.sort_unstable();
        logs.sort_unstable();
        self.load_tiers(directory, &names, now)?;
        let oldest = self.needed_from(now);
        let mut covered = 0;
        for number in &segments {
            covered = covered.max(self.load_segment(&segment_path(directory, *number), oldest)?);
        }
        for number in logs.iter().filter(|number| **number > covered) {
            replay(self, &log_path(directory, *number))?;
        }
        for number in logs.iter().filter(|number| **number <= covered) {
            drop(fs::remove_file(log_path(directory, *number)));
        }
        let next = logs.last().copied().unwrap_or(0).max(covered) + 1;
        let log = Log::create(directory, next, self.options.step)?;
        {
            let mut inner = self.write_lock();
            inner.log = Some(log);
            inner.lock = Some(lock);
        }
        self.unpack_hot(now);
        Ok(())
    }

    /// Unpacks what is recent: it is what most queries read.
    fn unpack_hot(&self, now: i64) {
        let hot = now.saturating_sub(self.options.hot).div_euclid(self.options.step);
        let first = hot - hot.rem_euclid(BLOCK);
        let mut inner = self.write_lock();
        let mut scratch = Vec::new();
        for series in inner.series.iter_mut().flatten() {
            let Some(end) = series.packed.iter().map(|packed| packed.first + packed.len as i64).max() else {
                continue;
            };
            let mut block = first;
            while block < end {
                if !series.raw.iter().any(|raw| raw.first == block) {
                    let mut values = Box::new([f64::NAN; BLOCK as usize]);
                    series.read(block, &mut values[..], &mut scratch);
                    if values.iter().any(|value| !value.is_nan()) {
                        series.raw.insert(RawBlock { first: block, values, dirty: false });
                    }
                }
                block += BLOCK;
            }
            series.packed.retain(|packed| packed.first < first);
        }
    }

    /// Writes what has changed into a segment, forgets what is too old, packs what is no longer recent, and removes the logs that are
    /// covered.
    ///
    /// # Errors
    /// A disk that does not take it; the logs stay then, and the next checkpoint tries again.
    pub fn checkpoint(&self, now: i64) -> Result<(), StoreError> {
        let step = self.options.step;
        let oldest = now.saturating_sub(self.options.retention).div_euclid(step);
        let hot = now.saturating_sub(self.options.hot).div_euclid(step);
        let (changed, covered, directory) = {
            let mut inner = self.write_lock();
            inner.now = now;
            let Some(log) = &inner.log else {
                self.expire(&mut inner, oldest);
                return Ok(());
            };
            let (covered, directory) = (log.number, log.directory().to_owned());
            let log = Log::create(&directory, covered + 1, step)?;
            inner.log = Some(log);
            let mut changed = Vec::new();
            for (id, series) in inner.series.iter_mut().enumerate() {
                let Some(series) = series else { continue };
                let columns = columns(series.raw.iter_mut().filter(|block| block.dirty));
                if !columns.is_empty() {
                    changed.push(Changed { id: id as u32, columns });
                }
            }
            (changed, covered, directory)
        };
        let written = self.write_segment(&directory, covered, &changed);
        let mut inner = self.write_lock();
        match written {
            Ok(bytes) => inner.segment_bytes += bytes,
            Err(error) => {
                for change in &changed {
                    for block in
                        inner.series[change.id as usize].iter_mut().flat_map(|series| series.raw.iter_mut())
                    {
                        let is_in = |(first, values): &(i64, Vec<f64>)| {
                            block.first < first + values.len() as i64 && block.first + BLOCK > *first
                        };
                        block.dirty |= change.columns.iter().any(is_in);
                    }
                }
                return Err(error);
            }
        }
        for series in inner.series.iter_mut().flatten() {
            series.pack_before(hot);
        }
        drop(inner);
        let rolled = self.roll_up(&directory, now, hot);
        let mut inner = self.write_lock();
        self.expire_tiers(&mut inner, now);
        if rolled.is_ok() {
            // What could not be rolled up is needed for the next try.
            self.expire(&mut inner, oldest);
        }
        drop(inner);
        for number in (1..=covered).rev() {
            if fs::remove_file(log_path(&directory, number)).is_err() {
                break;
            }
        }
        if rolled.is_ok() {
            self.remove_old_segments(&directory, covered, oldest);
        }
        rolled
    }

    fn expire(&self, inner: &mut super::Inner, oldest: i64) {
        let mut gone = Vec::new();
        for (id, series) in inner.series.iter_mut().enumerate() {
            if series.as_mut().is_some_and(|series| !series.expire(oldest) && series.normalizer.is_none()) {
                gone.push(id as u32);
            }
        }
        inner.forget(&gone);
        self.naming.forget(gone.into_iter().map(SeriesId));
    }

    /// Writes a segment; its size in bytes.
    fn write_segment(&self, directory: &Path, covered: u64, changed: &[Changed]) -> Result<u64, StoreError> {
        let mut tags = Vec::new();
        let mut body = Vec::new();
        let mut count = 0i64;
        let mut newest = i64::MIN;
        {
            let inner = self.read();
            for change in changed {
                let Some(series) = inner.series[change.id as usize].as_ref() else { continue };
                write_tags(series.tags.iter(), &mut tags);
                body.extend_from_slice(&(change.columns.len() as u16).to_le_bytes());
                count += 1;
                for (first, values) in &change.columns {
                    let mut bytes = Vec::new();
                    block::encode(values, &mut bytes);
                    body.extend_from_slice(&first.to_le_bytes()[..6]);
                    body.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
                    body.extend_from_slice(&bytes);
                    newest = newest.max(first + values.len() as i64);
                }
            }
        }
        let path = segment_path(directory, covered);
        let part = path.with_extension("part");
        let failed = |source| StoreError::File { path: part.clone(), source };
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
        let directory_bytes = deflated.write_all(&tags).and_then(|()| deflated.finish()).map_err(failed)?;
        let mut bytes = MAGIC.to_vec();
        for number in [self.options.step, covered as i64, newest, count, directory_bytes.len() as i64] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&directory_bytes);
        bytes.extend_from_slice(&body);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let mut file = File::create(&part).map_err(failed)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&part, &path).map_err(failed)?;
        sync_directory(directory)?;
        Ok(bytes.len() as u64)
    }

    /// Reads a segment; the last log that it covers.
    fn load_segment(&self, path: &Path, oldest: i64) -> Result<u64, StoreError> {
        let failed = |source| StoreError::File { path: path.to_owned(), source };
        let damaged = |reason: &str| StoreError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
        let bytes = Bytes::from(fs::read(path).map_err(failed)?);
        let (content, checksum) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("it is too short"))?;
        if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
            return Err(damaged("its checksum is wrong"));
        }
        let short = || damaged("it ends early");
        let mut cursor = Cursor(content);
        if cursor.take(8) != Some(MAGIC) {
            return Err(damaged("it is no segment, or one of another version"));
        }
        let mut number = || cursor.array().map(i64::from_le_bytes).ok_or_else(short);
        let (step, covered, newest, count, directory) =
            (number()?, number()?, number()?, number()?, number()?);
        if step != self.options.step {
            return Err(StoreError::Step { path: path.to_owned(), found: step, wanted: self.options.step });
        }
        let deflated = cursor.take(directory as usize).ok_or_else(short)?;
        let mut tags = Vec::new();
        DeflateDecoder::new(deflated)
            .take(LARGEST_DIRECTORY)
            .read_to_end(&mut tags)
            .map_err(|_| damaged("its tags cannot be read"))?;
        let mut tags = Cursor(&tags);
        let oldest = oldest.div_euclid(step);
        let mut inner = self.write_lock();
        inner.segment_bytes += bytes.len() as u64;
        inner.newest = inner.newest.max(newest.saturating_sub(1).saturating_mul(step));
        for _ in 0..count {
            let pairs = tags.tags().ok_or_else(short)?;
            let columns = cursor.array().map(u16::from_le_bytes).ok_or_else(short)?;
            let mut own = Vec::with_capacity(columns.into());
            for _ in 0..columns {
                let mut first = [0; 8];
                first[..6].copy_from_slice(cursor.take(6).ok_or_else(short)?);
                // The sign of a 48-bit number.
                let first = i64::from_le_bytes(first) << 16 >> 16;
                let length = cursor.array().map(u16::from_le_bytes).ok_or_else(short)?;
                let packed = cursor.take(length.into()).ok_or_else(short)?;
                let len = packed
                    .get(1..3)
                    .map(|len| usize::from(u16::from_le_bytes([len[0], len[1]])))
                    .ok_or_else(short)?;
                if first + len as i64 > oldest {
                    own.push(Packed { first, len, bytes: bytes.slice_ref(packed) });
                }
            }
            if !own.is_empty()
                && let Some(id) = inner.find_or_insert(&pairs, usize::MAX)
                && let Some(series) = inner.series[id as usize].as_mut()
            {
                series.packed.append(&mut own);
            }
        }
        Ok(covered as u64)
    }

    /// Removes segments that hold nothing that is kept. The newest stays: it says which logs are covered.
    fn remove_old_segments(&self, directory: &Path, covered: u64, oldest: i64) {
        let stays = segment_path(directory, covered);
        let Ok(entries) = fs::read_dir(directory) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_segment =
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("segment-"));
            if !is_segment || path.extension().is_some() || path == stays {
                continue;
            }
            let mut head = [0; 32];
            let read = File::open(&path).and_then(|mut file| file.read_exact(&mut head));
            let newest = i64::from_le_bytes([
                head[24], head[25], head[26], head[27], head[28], head[29], head[30], head[31],
            ]);
            let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            if read.is_ok() && newest <= oldest && fs::remove_file(&path).is_ok() {
                let mut inner = self.write_lock();
                inner.segment_bytes = inner.segment_bytes.saturating_sub(size);
            }
        }
    }
}

/// Takes the directory for this process: two that write into one would each lose what the other writes. The system gives it back
/// when the process ends, however it ends.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let failed = |source| StoreError::File { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("segment-{number:012}"))
}
