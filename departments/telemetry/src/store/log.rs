//! The log of what was written since the last segment.
//!
//! A file is a header and records: length, checksum, payload. A payload is the series that are new, then the samples of one batch, in
//! runs of one step and one effect: `step, effect, count, (series, value) × count`. The number in a file's name grows; a segment
//! names the last number that it covers.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::write::Effect;
use super::{Store, StoreError};

const MAGIC: &[u8; 8] = b"BLTLOG2\n";

/// Largest number of a series that is believed: a damaged one would ask for any amount of memory.
const MOST_SERIES: usize = 1 << 28;

/// Bytes of a run's head, and of each of its samples.
const RUN_HEAD: usize = 13;
const RUN_SAMPLE: usize = 12;

/// Longest record that is believed when a log is read: more than any batch makes.
const LONGEST_RECORD: usize = 1 << 30;

pub(super) struct Log {
    directory: PathBuf,
    path: PathBuf,
    file: Arc<File>,
    pub(super) number: u64,
    bytes: u64,
    /// The batch that is being made: new series, then samples.
    new_series: Vec<u8>,
    samples: Vec<u8>,
    /// Where the last run begins, its step, effect and count.
    run: Option<(usize, i64, Effect, u32)>,
}

impl Log {
    pub(super) fn create(directory: &Path, number: u64, step: i64) -> Result<Self, StoreError> {
        let path = log_path(directory, number);
        let failed = |source| StoreError::File { path: path.clone(), source };
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).open(&path).map_err(failed)?;
        file.write_all(MAGIC).and_then(|()| file.write_all(&step.to_le_bytes())).map_err(failed)?;
        sync_directory(directory)?;
        let directory = directory.to_owned();
        Ok(Self {
            directory,
            path,
            file: Arc::new(file),
            number,
            bytes: 16,
            new_series: Vec::new(),
            samples: Vec::new(),
            run: None,
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn handle(&self) -> (Arc<File>, PathBuf) {
        (self.file.clone(), self.path.clone())
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn series<'a>(&mut self, id: u32, tags: impl ExactSizeIterator<Item = (&'a str, &'a str)>) {
        self.new_series.extend_from_slice(&id.to_le_bytes());
        write_tags(tags, &mut self.new_series);
    }

    #[inline]
    pub(super) fn sample(&mut self, id: u32, step: i64, effect: Effect, value: f64) {
        if !matches!(self.run, Some((_, known, same, _)) if known == step && same == effect) {
            self.end_run();
            self.run = Some((self.samples.len(), step, effect, 0));
            self.samples.extend_from_slice(&[0; RUN_HEAD]);
        }
        if let Some((.., count)) = &mut self.run {
            *count += 1;
        }
        let mut sample = [0; RUN_SAMPLE];
        sample[..4].copy_from_slice(&id.to_le_bytes());
        sample[4..].copy_from_slice(&value.to_bits().to_le_bytes());
        self.samples.extend_from_slice(&sample);
    }

    /// Fills in the head of the run, whose length is known now.
    fn end_run(&mut self) {
        if let Some((start, step, effect, count)) = self.run.take() {
            let head = &mut self.samples[start..start + RUN_HEAD];
            head[..8].copy_from_slice(&step.to_le_bytes());
            head[8] = effect as u8;
            head[9..].copy_from_slice(&count.to_le_bytes());
        }
    }

    /// Writes the batch.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        if self.new_series.is_empty() && self.samples.is_empty() {
            return Ok(());
        }
        self.end_run();
        let mut record = Vec::with_capacity(12 + self.new_series.len() + self.samples.len());
        record.extend_from_slice(&[0; 8]);
        record.extend_from_slice(&(self.new_series.len() as u32).to_le_bytes());
        let new_series = self.new_series.len();
        record.append(&mut self.new_series);
        record.append(&mut self.samples);
        let length = (record.len() - 8) as u32;
        let checksum = crc32fast::hash(&record[8..]);
        record[..4].copy_from_slice(&length.to_le_bytes());
        record[4..8].copy_from_slice(&checksum.to_le_bytes());
        let written = (&*self.file).write_all(&record);
        if written.is_err() {
            // A record cut short would hide all that follow it: take it back. The series in it are told with the next one, for
            // samples to come are of them.
            drop(self.file.set_len(self.bytes));
            drop((&*self.file).seek(SeekFrom::Start(self.bytes)));
            self.new_series = record.split_off(12);
            self.new_series.truncate(new_series);
        } else {
            self.bytes += record.len() as u64;
        }
        written.map_err(|source| StoreError::File { path: self.path.clone(), source })
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: directory.to_owned(), source };
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

pub(super) fn log_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("log-{number:012}"))
}

pub(super) fn write_tags<'a>(tags: impl ExactSizeIterator<Item = (&'a str, &'a str)>, into: &mut Vec<u8>) {
    into.extend_from_slice(&(tags.len() as u16).to_le_bytes());
    for (key, value) in tags {
        for text in [key, value] {
            into.extend_from_slice(&(text.len() as u16).to_le_bytes());
            into.extend_from_slice(text.as_bytes());
        }
    }
}

/// A cursor over bytes that gives `None` at an early end.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_le_bytes(self.array()?);
        std::str::from_utf8(self.take(length.into())?).ok()
    }

    pub(super) fn tags(&mut self) -> Option<Vec<(&'a str, &'a str)>> {
        let count = u16::from_le_bytes(self.array()?);
        (0..count).map(|_| Some((self.text()?, self.text()?))).collect()
    }
}

/// Plays a log again. It ends at the first record that is not whole: what was being written as the process died.
pub(super) fn replay(store: &Store, path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(failed)?;
    let mut cursor = Cursor(&bytes);
    let step =
        cursor.take(8).filter(|magic| magic == MAGIC).and_then(|_| cursor.array()).map(i64::from_le_bytes);
    let Some(step) = step else {
        return if bytes.len() < 16 {
            // Its header was being written.
            Ok(())
        } else {
            let reason = "it is no log, or one of another version".to_owned();
            Err(StoreError::Damaged { path: path.to_owned(), reason })
        };
    };
    if step != store.options.step {
        return Err(StoreError::Step { path: path.to_owned(), found: step, wanted: store.options.step });
    }
    let mut ids = Vec::new();
    while let (Some(length), Some(checksum)) =
        (cursor.array().map(u32::from_le_bytes), cursor.array().map(u32::from_le_bytes))
    {
        let whole = (length as usize <= LONGEST_RECORD).then(|| cursor.take(length as usize)).flatten();
        let Some(record) = whole.filter(|record| crc32fast::hash(record) == checksum) else { break };
        if replay_record(store, record, &mut ids).is_none() {
            break;
        }
    }
    Ok(())
}

/// `ids` are the series of this store by their numbers in the log, which are dense.
fn replay_record(store: &Store, record: &[u8], ids: &mut Vec<Option<u32>>) -> Option<()> {
    let mut inner = store.write_lock();
    let mut cursor = Cursor(record);
    let length = u32::from_le_bytes(cursor.array()?) as usize;
    let mut series = Cursor(cursor.take(length)?);
    while !series.0.is_empty() {
        let id = u32::from_le_bytes(series.array()?) as usize;
        let tags = series.tags()?;
        let now = inner.find_or_insert(&tags, usize::MAX)?;
        if id >= MOST_SERIES {
            return None;
        }
        if id >= ids.len() {
            ids.resize(id + 1, None);
        }
        ids[id] = Some(now);
    }
    while !cursor.0.is_empty() {
        let step = i64::from_le_bytes(cursor.array()?);
        let effect = Effect::from_byte(cursor.array::<1>()?[0])?;
        let count = u32::from_le_bytes(cursor.array()?) as usize;
        let samples = cursor.take(count.checked_mul(RUN_SAMPLE)?)?;
        inner.newest = inner.newest.max(step.saturating_mul(store.options.step));
        for sample in samples.chunks_exact(RUN_SAMPLE) {
            let mut sample = Cursor(sample);
            let id = u32::from_le_bytes(sample.array()?) as usize;
            let value = f64::from_bits(u64::from_le_bytes(sample.array()?));
            let id = (*ids.get(id)?)?;
            inner.apply(id, step, effect, value)?;
        }
    }
    Some(())
}
