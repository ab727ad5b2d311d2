//! Rollup tiers: what is too old to be kept at the store's step is kept at wider ones.
//!
//! A wide step keeps four numbers of a series: sum, count, least and largest of the values in it. They are all that any
//! aggregate or consolidation asks for, so a graph of wide steps is the same whether it is read from values or from a tier.
//!
//! ```text
//! values (1m, 16 days)      ……………………………………|————————— not rolled up yet —————————| now
//! tier (5m, 90 days)    ════════════════════╡ boundary
//! ```
//!
//! A tier grows when a good part of a column is there ([`COLUMN`] wide steps), so that columns pack well and files are few: one a
//! day for 5m. Up to its boundary the tier answers, beyond it the values do. A value that comes late, behind a boundary, is
//! rolled up again at the next checkpoint; of two columns with one step the later holds. Columns stay in their file, and
//! are read when they are asked for.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use backlot_atlas::{Aggregate, DataExpr};
use backlot_series::{Consolidation, Grid, block, nan};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::log::{Cursor, sync_directory, write_tags};
use super::series::SeriesData;
use super::{Store, StoreError};

const MAGIC: &[u8; 8] = b"BLTTIER1";

/// Wide steps of a column, and how many must be there before a tier grows: 20 hours of 5m, ten days of 1h.
const COLUMN: i64 = 240;

/// Series that are rolled up without letting go of the store.
const AT_ONCE: usize = 256;

/// Largest inflated list of columns that is believed, as of segments' tags.
const LARGEST_LIST: u64 = 4 << 30;

/// A tier: wider steps, kept for longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// The step in milliseconds, a multiple of the store's.
    pub step: i64,
    /// How long it is kept, in milliseconds.
    pub retention: i64,
}

/// How far a tier has come.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Steps of the store in one of the tier.
    multiple: i64,
    /// The last step of the store that is rolled up.
    boundary: i64,
    /// The number of the next file.
    next_file: u64,
}

/// A file of columns.
#[derive(Debug)]
struct TierFile {
    path: PathBuf,
    file: OnceLock<Option<File>>,
}

impl TierFile {
    fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        // A file that cannot be opened reads as nothing; what opening it said at the start of the process was well.
        let file = self.file.get_or_init(|| File::open(&self.path).ok()).as_ref()?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }
}

/// A column of a series in a file: four blocks.
#[derive(Clone, Debug)]
pub(crate) struct Rolled {
    tier: u8,
    len: u16,
    length: u32,
    checksum: u32,
    first: i64,
    offset: u64,
    file: Arc<TierFile>,
}

/// The four numbers of wide steps in a row.
#[derive(Debug, Default)]
struct Wide {
    sums: Vec<f64>,
    counts: Vec<f64>,
    least: Vec<f64>,
    largest: Vec<f64>,
}

impl Wide {
    fn of(values: &[f64], multiple: usize) -> Self {
        let mut wide = Self::default();
        for group in values.chunks(multiple) {
            let fold = |combine: fn(f64, f64) -> f64| group.iter().copied().fold(f64::NAN, combine);
            wide.sums.push(fold(nan::add));
            wide.counts.push(group.iter().map(|&value| nan::present(value)).fold(f64::NAN, nan::add));
            wide.least.push(fold(nan::min));
            wide.largest.push(fold(nan::max));
        }
        wide
    }

    /// Cuts off wide steps without values; the number of the first that stays, and the bytes.
    fn pack(&self, first: i64) -> Option<(i64, u16, Vec<u8>)> {
        let from = self.counts.iter().position(|count| !count.is_nan())?;
        let to = self.counts.iter().rposition(|count| !count.is_nan())? + 1;
        let mut bytes = Vec::new();
        for column in [&self.sums, &self.counts, &self.least, &self.largest] {
            block::encode(&column[from..to], &mut bytes);
        }
        Some((first + from as i64, (to - from) as u16, bytes))
    }
}

/// Which of the four numbers.
#[derive(Clone, Copy)]
enum Part {
    Sum,
    Count,
    Least,
    Largest,
}

/// A column that is being written.
struct New {
    series: u32,
    first: i64,
    len: u16,
    bytes: Vec<u8>,
}

impl SeriesData {
    /// One of the four numbers at wide steps from `first` on.
    fn wide(&self, tier: u8, part: Part, first: i64, column: &mut [f64]) {
        column.fill(f64::NAN);
        let end = first + column.len() as i64;
        let mut values = Vec::new();
        for rolled in self.rolled.iter().filter(|rolled| rolled.tier == tier) {
            if rolled.first >= end || rolled.first + i64::from(rolled.len) <= first {
                continue;
            }
            let Some(bytes) = rolled.file.read(rolled.offset, rolled.length as usize) else { continue };
            if crc32fast::hash(&bytes) != rolled.checksum {
                continue;
            }
            let mut rest = &bytes[..];
            for _ in 0..=part as usize {
                values.clear();
                match block::decode(rest, &mut values) {
                    Ok(read) => rest = &rest[read..],
                    Err(_) => values.clear(),
                }
            }
            let (from, to) = (first.max(rolled.first), end.min(rolled.first + values.len() as i64));
            for number in from..to {
                let value = values[(number - rolled.first) as usize];
                if !value.is_nan() {
                    column[(number - first) as usize] = value;
                }
            }
        }
    }
}

/// The part of a query that a tier answers.
pub(crate) struct FromTier {
    tier: u8,
    /// Points of the grid, from its start.
    pub(crate) points: usize,
    /// Wide steps in a point.
    multiple: usize,
    /// Steps of the store in a point.
    steps: f64,
    first: i64,
    column: Vec<f64>,
}

impl FromTier {
    /// Folds a series into the points of a line that the tier answers.
    pub(crate) fn add(&mut self, series: &SeriesData, data: &DataExpr, line: &mut [f64]) {
        let how = data.consolidation();
        let part = match (data.aggregate, how) {
            (Aggregate::Count, _) => Part::Count,
            (_, Consolidation::Sum | Consolidation::Average) => Part::Sum,
            (_, Consolidation::Min) => Part::Least,
            (_, Consolidation::Max) => Part::Largest,
        };
        series.wide(self.tier, part, self.first, &mut self.column);
        for (slot, group) in line.iter_mut().zip(self.column.chunks(self.multiple)) {
            let fold = |combine: fn(f64, f64) -> f64| group.iter().copied().fold(f64::NAN, combine);
            let value = match (how, part) {
                (Consolidation::Average, _) => fold(nan::add) / self.steps,
                (Consolidation::Sum, _) => fold(nan::add),
                // Whether there was any value is one, however many there were.
                (_, Part::Count) => nan::present(fold(nan::add)),
                (Consolidation::Min, _) => fold(nan::min),
                (Consolidation::Max, _) => fold(nan::max),
            };
            *slot = match data.aggregate {
                Aggregate::Sum | Aggregate::Count | Aggregate::All => nan::add(*slot, value),
                Aggregate::Min => nan::min(*slot, value),
                Aggregate::Max => nan::max(*slot, value),
            };
        }
    }
}

impl Store {
    /// The narrowest step at which what was written at a time is kept.
    pub fn step_at(&self, time: i64) -> i64 {
        let inner = self.read();
        let age = inner.now.saturating_sub(time);
        if age <= self.options.retention {
            return self.options.step;
        }
        let tiers = &self.options.tiers;
        let tier = tiers.iter().find(|tier| age <= tier.retention).or(tiers.last());
        tier.map_or(self.options.step, |tier| tier.step)
    }

    /// The widest tier that can answer points of a grid.
    pub(crate) fn from_tier(&self, inner: &super::Inner, grid: Grid) -> Option<FromTier> {
        let own = self.options.step;
        let tiers = self.options.tiers.iter().zip(&inner.tiers).enumerate().rev();
        for (number, (tier, progress)) in tiers {
            if grid.step % tier.step != 0 || grid.start.rem_euclid(tier.step) != 0 {
                continue;
            }
            let rolled = progress.boundary.checked_mul(own)?;
            if rolled < grid.start {
                continue;
            }
            let points = ((rolled - grid.start) / grid.step + 1).min(grid.len as i64) as usize;
            let multiple = (grid.step / tier.step) as usize;
            return Some(FromTier {
                tier: number as u8,
                points,
                multiple,
                steps: (grid.step / own) as f64,
                first: (grid.start - grid.step) / tier.step + 1,
                column: vec![f64::NAN; points * multiple],
            });
        }
        None
    }

    /// Grows the tiers up to the step `hot`, and rolls up again what came late.
    pub(crate) fn roll_up(&self, directory: &Path, now: i64, hot: i64) -> Result<(), StoreError> {
        for number in 0..self.options.tiers.len() {
            self.roll_up_tier(directory, number, hot)?;
        }
        let mut inner = self.write_lock();
        if inner.is_late {
            inner.is_late = false;
            for series in inner.series.iter_mut().flatten() {
                series.late = i64::MAX;
            }
        }
        drop(inner);
        self.remove_old_tiers(directory, now);
        Ok(())
    }

    fn roll_up_tier(&self, directory: &Path, number: usize, hot: i64) -> Result<(), StoreError> {
        let (multiple, boundary, next_file, count, is_late) = {
            let inner = self.read();
            let progress = &inner.tiers[number];
            (progress.multiple, progress.boundary, progress.next_file, inner.series.len(), inner.is_late)
        };
        // A new tier begins with the oldest value that is kept.
        let oldest = self.read().now.saturating_sub(self.options.retention).div_euclid(self.options.step);
        let boundary = if boundary == i64::MIN { oldest.div_euclid(multiple) * multiple } else { boundary };
        let goal = hot.div_euclid(multiple) * multiple;
        let is_due = goal - boundary >= COLUMN * multiple;
        let goal = if is_due { goal } else { boundary };
        if !is_due && !is_late {
            return Ok(());
        }
        let mut new = Vec::new();
        for start in (0..count).step_by(AT_ONCE) {
            let inner = self.read();
            for series in start..(start + AT_ONCE).min(count) {
                let Some(data) = inner.series[series].as_ref() else { continue };
                let from = boundary.min((data.late.max(oldest) - 1).div_euclid(multiple) * multiple);
                columns(data, series as u32, from, goal, multiple, &mut new);
            }
        }
        if new.is_empty() && !is_due {
            return Ok(());
        }
        let file = self.write_tier(directory, number, next_file, goal, &new)?;
        let mut inner = self.write_lock();
        let mut offset = file.1;
        for column in new {
            let length = column.bytes.len() as u32;
            if let Some(series) = inner.series[column.series as usize].as_mut() {
                series.rolled.push(Rolled {
                    tier: number as u8,
                    len: column.len,
                    length,
                    checksum: crc32fast::hash(&column.bytes),
                    first: column.first,
                    offset,
                    file: file.0.clone(),
                });
            }
            offset += u64::from(length);
        }
        inner.segment_bytes += offset;
        let progress = &mut inner.tiers[number];
        progress.boundary = progress.boundary.max(goal);
        progress.next_file += 1;
        inner.rolled_to = inner.tiers.iter().map(|tier| tier.boundary).max().unwrap_or(i64::MIN);
        Ok(())
    }

    /// Writes a file; where its columns begin.
    fn write_tier(
        &self,
        directory: &Path,
        number: usize,
        next_file: u64,
        boundary: i64,
        new: &[New],
    ) -> Result<(Arc<TierFile>, u64), StoreError> {
        let tier = self.options.tiers[number];
        let mut list = Vec::new();
        {
            let inner = self.read();
            for column in new {
                let tags = inner.series[column.series as usize].as_ref().map(|series| series.tags.clone());
                write_tags(tags.unwrap_or_default().iter(), &mut list);
                list.extend_from_slice(&column.first.to_le_bytes());
                list.extend_from_slice(&column.len.to_le_bytes());
                list.extend_from_slice(&(column.bytes.len() as u32).to_le_bytes());
                list.extend_from_slice(&crc32fast::hash(&column.bytes).to_le_bytes());
            }
        }
        let path = tier_path(directory, tier.step, next_file);
        let part = path.with_extension("part");
        let failed = |source| StoreError::File { path: part.clone(), source };
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
        let list = deflated.write_all(&list).and_then(|()| deflated.finish()).map_err(failed)?;
        let newest = new.iter().map(|column| column.first + i64::from(column.len)).max().unwrap_or(i64::MIN);
        let mut head = MAGIC.to_vec();
        for number in [self.options.step, tier.step, boundary, newest, new.len() as i64, list.len() as i64] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        head.extend_from_slice(&list);
        head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
        let mut file = File::create(&part).map_err(failed)?;
        file.write_all(&head).map_err(failed)?;
        for columns in new.chunks(1024) {
            let bytes: Vec<u8> = columns.iter().flat_map(|column| &column.bytes).copied().collect();
            file.write_all(&bytes).map_err(failed)?;
        }
        file.sync_all().and_then(|()| fs::rename(&part, &path)).map_err(failed)?;
        sync_directory(directory)?;
        Ok((Arc::new(TierFile { path, file: OnceLock::new() }), head.len() as u64))
    }

    /// Reads the lists of the tiers' files. Those of tiers that are not configured any more are left alone.
    pub(super) fn load_tiers(&self, directory: &Path, names: &[String], now: i64) -> Result<(), StoreError> {
        let own = self.options.step;
        let fresh = |tier: &Tier| Progress { multiple: tier.step / own, boundary: i64::MIN, next_file: 1 };
        let tiers: Vec<Tier> = self.options.tiers.clone();
        {
            let mut inner = self.write_lock();
            inner.now = now;
            inner.tiers = tiers.iter().map(fresh).collect();
        }
        for (number, tier) in tiers.iter().enumerate() {
            let prefix = format!("tier-{}-", tier.step / 1000);
            let files = names.iter().filter_map(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok());
            let mut files: Vec<u64> = files.collect();
            files.sort_unstable();
            for file in files {
                self.load_tier(&tier_path(directory, tier.step, file), number, now)?;
                self.write_lock().tiers[number].next_file = file + 1;
            }
        }
        let mut inner = self.write_lock();
        inner.rolled_to = inner.tiers.iter().map(|tier| tier.boundary).max().unwrap_or(i64::MIN);
        Ok(())
    }

    fn load_tier(&self, path: &Path, number: usize, now: i64) -> Result<(), StoreError> {
        let failed = |source| StoreError::File { path: path.to_owned(), source };
        let damaged = |reason: &str| StoreError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
        let short = || damaged("it ends early");
        let mut file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut head = [0; 56];
        file.read_exact(&mut head).map_err(|_| short())?;
        let mut cursor = Cursor(&head);
        if cursor.take(8) != Some(MAGIC) {
            return Err(damaged("it is no tier's file, or one of another version"));
        }
        let mut next = || cursor.array().map(i64::from_le_bytes).unwrap_or_default();
        let (step, tier_step, boundary, _newest, count, length) =
            (next(), next(), next(), next(), next(), next());
        if step != self.options.step {
            return Err(StoreError::Step { path: path.to_owned(), found: step, wanted: self.options.step });
        }
        if tier_step != self.options.tiers[number].step || !(0..=size as i64).contains(&length) {
            return Err(damaged("its head is wrong"));
        }
        let mut list = vec![0; length as usize + 4];
        file.read_exact(&mut list).map_err(|_| short())?;
        let (list, checksum) = list.split_last_chunk::<4>().ok_or_else(short)?;
        if crc32fast::hash(&[&head[..], list].concat()) != u32::from_le_bytes(*checksum) {
            return Err(damaged("its checksum is wrong"));
        }
        let mut plain = Vec::new();
        let inflated = DeflateDecoder::new(list).take(LARGEST_LIST).read_to_end(&mut plain);
        inflated.map_err(|_| damaged("its list cannot be read"))?;
        let tier = self.options.tiers[number];
        let oldest = now.saturating_sub(tier.retention).div_euclid(tier.step);
        let shared = Arc::new(TierFile { path: path.to_owned(), file: OnceLock::new() });
        let mut cursor = Cursor(&plain);
        let mut offset = 56 + length as u64 + 4;
        let mut inner = self.write_lock();
        inner.segment_bytes += size;
        for _ in 0..count {
            let pairs = cursor.tags().ok_or_else(short)?;
            let first = cursor.array().map(i64::from_le_bytes).ok_or_else(short)?;
            let len = cursor.array().map(u16::from_le_bytes).ok_or_else(short)?;
            let length = cursor.array().map(u32::from_le_bytes).ok_or_else(short)?;
            let checksum = cursor.array().map(u32::from_le_bytes).ok_or_else(short)?;
            if first + i64::from(len) > oldest
                && !pairs.is_empty()
                && let Some(id) = inner.find_or_insert(&pairs, usize::MAX)
                && let Some(series) = inner.series[id as usize].as_mut()
            {
                let file = shared.clone();
                series.rolled.push(Rolled { tier: number as u8, len, length, checksum, first, offset, file });
            }
            offset += u64::from(length);
        }
        if offset > size {
            return Err(short());
        }
        let progress = &mut inner.tiers[number];
        progress.boundary = progress.boundary.max(boundary);
        Ok(())
    }

    /// The first time whose values are still needed: those that are kept, and those that no tier has yet.
    pub(super) fn needed_from(&self, now: i64) -> i64 {
        let inner = self.read();
        let rolled =
            inner.tiers.iter().map(|tier| tier.boundary).filter(|boundary| *boundary != i64::MIN).min();
        let kept = now.saturating_sub(self.options.retention);
        rolled.map_or(kept, |step| kept.min(step.saturating_mul(self.options.step)))
    }

    /// Forgets what the tiers keep no longer. The newest file of a tier stays: it says how far the tier has come.
    pub(crate) fn expire_tiers(&self, inner: &mut super::Inner, now: i64) {
        let oldest: Vec<i64> = self
            .options
            .tiers
            .iter()
            .map(|tier| now.saturating_sub(tier.retention).div_euclid(tier.step))
            .collect();
        for series in inner.series.iter_mut().flatten() {
            series.rolled.retain(|rolled| {
                oldest
                    .get(usize::from(rolled.tier))
                    .is_some_and(|oldest| rolled.first + i64::from(rolled.len) > *oldest)
            });
        }
    }

    fn remove_old_tiers(&self, directory: &Path, now: i64) {
        let next: Vec<u64> = self.read().tiers.iter().map(|tier| tier.next_file).collect();
        for (tier, next) in self.options.tiers.iter().zip(next) {
            let oldest = now.saturating_sub(tier.retention).div_euclid(tier.step);
            for number in (1..next.saturating_sub(1)).rev() {
                let path = tier_path(directory, tier.step, number);
                let mut head = [0; 40];
                let Ok(()) = File::open(&path).and_then(|mut file| file.read_exact(&mut head)) else { break };
                let newest = head.last_chunk::<8>().map_or(i64::MAX, |bytes| i64::from_le_bytes(*bytes));
                let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
                if newest <= oldest && fs::remove_file(&path).is_ok() {
                    let mut inner = self.write_lock();
                    inner.segment_bytes = inner.segment_bytes.saturating_sub(size);
                }
            }
        }
    }
}

/// Rolls up the steps of a series after `from` up to `to`.
fn columns(data: &SeriesData, series: u32, from: i64, to: i64, multiple: i64, into: &mut Vec<New>) {
    let mut scratch = Vec::new();
    let mut start = from;
    while start < to {
        let end = to.min(start + COLUMN * multiple);
        let mut values = vec![f64::NAN; (end - start) as usize];
        data.read(start + 1, &mut values, &mut scratch);
        if let Some((first, len, bytes)) = Wide::of(&values, multiple as usize).pack(start / multiple + 1) {
            into.push(New { series, first, len, bytes });
        }
        start = end;
    }
}

fn tier_path(directory: &Path, step: i64, number: u64) -> PathBuf {
    directory.join(format!("tier-{}-{number:012}", step / 1000))
}
