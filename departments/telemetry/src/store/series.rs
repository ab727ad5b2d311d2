//! The values of one series.

use std::collections::VecDeque;

use backlot_atlas::normalize::DataKind;
use backlot_series::{Tags, block};
use bytes::Bytes;

use super::BLOCK;
use super::tier::Rolled;
use super::write::Effect;

/// Steps of one packed column: longer ones pack better, and a query that wants one step reads all.
const COLUMN: usize = 360;

/// Values of 60 steps, unpacked.
#[derive(Clone, Debug)]
pub(crate) struct RawBlock {
    /// The number of its first step, a multiple of [`BLOCK`].
    pub(crate) first: i64,
    pub(crate) values: Box<[f64; BLOCK as usize]>,
    /// Whether it has changed since the last segment.
    pub(crate) dirty: bool,
}

impl RawBlock {
    #[inline]
    fn apply(&mut self, at: i64, effect: Effect, value: f64) {
        let slot = &mut self.values[at as usize];
        *slot = match effect {
            Effect::Set => value,
            Effect::Add => backlot_series::nan::add(*slot, value),
            Effect::Max => backlot_series::nan::max(*slot, value),
        };
        self.dirty = true;
    }
}

/// The unpacked blocks of a series, the oldest first. The newest, which is the one that is written, stands in the series itself and not
/// behind a pointer: a series is touched once in a step, so each line of memory of it is far away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks {
    older: VecDeque<RawBlock>,
    newest: Option<RawBlock>,
}

impl Blocks {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &RawBlock> {
        self.older.iter().chain(&self.newest)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut RawBlock> {
        self.older.iter_mut().chain(&mut self.newest)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.newest.is_none()
    }

    /// Puts a block to its place. There is none that begins with the same step.
    pub(crate) fn insert(&mut self, block: RawBlock) {
        match &self.newest {
            Some(newest) if newest.first > block.first => {
                let place = self.older.partition_point(|older| older.first < block.first);
                self.older.insert(place, block);
            }
            _ => self.older.extend(self.newest.replace(block)),
        }
    }

    fn take(&mut self) -> impl Iterator<Item = RawBlock> + use<> {
        let Self { older, newest } = std::mem::take(self);
        older.into_iter().chain(newest)
    }
}

impl FromIterator<RawBlock> for Blocks {
    fn from_iter<T: IntoIterator<Item = RawBlock>>(blocks: T) -> Self {
        let mut older: VecDeque<RawBlock> = blocks.into_iter().collect();
        let newest = older.pop_back();
        Self { older, newest }
    }
}

/// Values of some steps in a row, packed.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    /// The number of its first step.
    pub(crate) first: i64,
    /// How many steps.
    pub(crate) len: usize,
    pub(crate) bytes: Bytes,
}

/// A series: its tags and values. Where a step is both in a raw block and packed, the raw value holds.
#[derive(Clone, Debug)]
pub(crate) struct SeriesData {
    pub(crate) tags: Tags,
    /// What its samples are, where they do not come as values.
    pub(crate) kind: DataKind,
    pub(crate) raw: Blocks,
    pub(crate) packed: Vec<Packed>,
    /// Its columns of the tiers, the later of which hold.
    pub(crate) rolled: Vec<Rolled>,
    /// The number of the log that knows it.
    pub(crate) told: u64,
    /// The first step that was written after it had been rolled up; `i64::MAX` for none.
    pub(crate) late: i64,
    /// What makes values of its samples, where they do not come as values.
    pub(crate) normalizer: Option<Box<super::write::Normalizer>>,
}

impl SeriesData {
    pub(crate) fn new(tags: Tags) -> Self {
        let kind = DataKind::from_tag(tags.get("atlas.dstype"));
        Self {
            tags,
            kind,
            raw: Blocks::default(),
            packed: Vec::new(),
            rolled: Vec::new(),
            told: 0,
            late: i64::MAX,
            normalizer: None,
        }
    }

    /// Applies a value to a step.
    #[inline]
    pub(crate) fn apply(&mut self, step: i64, effect: Effect, value: f64) {
        let at = step.rem_euclid(BLOCK);
        let first = step - at;
        match &mut self.raw.newest {
            Some(newest) if newest.first == first => newest.apply(at, effect, value),
            _ => self.block(first).apply(at, effect, value),
        }
    }

    /// The block that begins with a step.
    #[cold]
    fn block(&mut self, first: i64) -> &mut RawBlock {
        if self.raw.iter().all(|block| block.first != first) {
            let mut values = Box::new([f64::NAN; BLOCK as usize]);
            let mut column = Vec::new();
            // A step that was packed goes on from its value.
            for packed in &self.packed {
                if packed.first < first + BLOCK && packed.first + packed.len as i64 > first {
                    packed.read(first, &mut values[..], &mut column);
                }
            }
            self.raw.insert(RawBlock { first, values, dirty: false });
        }
        let found = self.raw.iter_mut().find(|block| block.first == first);
        found.expect("invariant: the block was there or has been inserted")
    }

    /// Reads the steps from `first` on into a column.
    pub(crate) fn read(&self, first: i64, column: &mut [f64], scratch: &mut Vec<f64>) {
        column.fill(f64::NAN);
        let end = first + column.len() as i64;
        for packed in &self.packed {
            if packed.first < end && packed.first + packed.len as i64 > first {
                packed.read(first, column, scratch);
            }
        }
        for (from, values) in self.raw_parts(first, end) {
            let at = (from - first) as usize;
            column[at..at + values.len()].copy_from_slice(values);
        }
    }

    /// The raw values between two steps: the number of the first step of each part, and its values.
    pub(crate) fn raw_parts(&self, first: i64, end: i64) -> impl Iterator<Item = (i64, &[f64])> {
        self.raw.iter().filter(move |block| block.first < end && block.first + BLOCK > first).map(
            move |block| {
                let (from, to) = (first.max(block.first), end.min(block.first + BLOCK));
                (from, &block.values[(from - block.first) as usize..(to - block.first) as usize])
            },
        )
    }

    /// Whether raw blocks alone hold all steps from `first` on.
    pub(crate) fn is_raw_from(&self, first: i64) -> bool {
        self.packed.iter().all(|packed| packed.first + packed.len as i64 <= first)
    }

    /// The value of one step.
    pub(crate) fn value(&self, step: i64, scratch: &mut Vec<f64>) -> f64 {
        match self.raw_parts(step, step + 1).next() {
            Some((_, values)) => values[0],
            None => {
                let mut one = [f64::NAN];
                self.read(step, &mut one, scratch);
                one[0]
            }
        }
    }

    /// Packs the blocks that end before the step `hot` and are in a segment.
    pub(crate) fn pack_before(&mut self, hot: i64) {
        let is_old = |block: &RawBlock| !block.dirty && block.first + BLOCK <= hot;
        let (mut old, raw): (Vec<RawBlock>, Vec<RawBlock>) = self.raw.take().partition(is_old);
        self.raw = raw.into_iter().collect();
        for (first, values) in columns(old.iter_mut()) {
            let mut bytes = Vec::new();
            block::encode(&values, &mut bytes);
            self.packed.push(Packed { first, len: values.len(), bytes: bytes.into() });
        }
    }

    /// Forgets steps before `oldest`; whether anything is left.
    pub(crate) fn expire(&mut self, oldest: i64) -> bool {
        if self.raw.iter().any(|block| block.first + BLOCK <= oldest) {
            self.raw = self.raw.take().filter(|block| block.first + BLOCK > oldest).collect();
        }
        self.packed.retain(|packed| packed.first + packed.len as i64 > oldest);
        !self.raw.is_empty() || !self.packed.is_empty() || !self.rolled.is_empty()
    }
}

impl Packed {
    /// Reads what lies in a column that begins at the step `first`. A block that is damaged in memory reads as nothing.
    fn read(&self, first: i64, column: &mut [f64], scratch: &mut Vec<f64>) {
        scratch.clear();
        if block::decode(&self.bytes, scratch).is_err() {
            return;
        }
        let end = first + column.len() as i64;
        let (from, to) = (first.max(self.first), end.min(self.first + scratch.len() as i64));
        if from < to {
            let values = &scratch[(from - self.first) as usize..(to - self.first) as usize];
            for (slot, value) in column[(from - first) as usize..].iter_mut().zip(values) {
                if !value.is_nan() {
                    *slot = *value;
                }
            }
        }
    }
}

/// The values of blocks as columns of steps in a row, without missing steps at their ends. The blocks are clean afterwards.
pub(crate) fn columns<'a>(blocks: impl Iterator<Item = &'a mut RawBlock>) -> Vec<(i64, Vec<f64>)> {
    let mut columns: Vec<(i64, Vec<f64>)> = Vec::new();
    for block in blocks {
        block.dirty = false;
        let Some(from) = block.values.iter().position(|value| !value.is_nan()) else { continue };
        let to = block.values.iter().rposition(|value| !value.is_nan()).map_or(0, |last| last + 1);
        let first = block.first + from as i64;
        match columns.last_mut() {
            // A gap within a column costs less than a column of its own.
            Some((start, values)) if (first + (to - from) as i64 - *start) as usize <= COLUMN => {
                values.resize((first - *start) as usize, f64::NAN);
                values.extend_from_slice(&block.values[from..to]);
            }
            _ => columns.push((first, block.values[from..to].to_vec())),
        }
    }
    columns
}
