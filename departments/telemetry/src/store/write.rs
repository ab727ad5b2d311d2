//! Writing.

use backlot_atlas::normalize::{CounterRate, DataKind, RateSpread, step_end};

use super::{Store, StoreError};

/// What a value does to the one that its step has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Effect {
    /// It takes its place.
    Set = 0,
    /// It is added.
    Add = 1,
    /// The larger stays.
    Max = 2,
}

impl Effect {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Set,
            1 => Self::Add,
            2 => Self::Max,
            _ => return None,
        })
    }
}

/// A sample at a time, and what kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample {
    /// A value of the step that ends at or after its time.
    Value(Effect, f64),
    /// A number that is spread over steps, or first made a rate.
    Of(DataKind, f64),
}

/// What a series remembers of its samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Normalizer {
    spread: RateSpread,
    counter: CounterRate,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Samples taken.
    pub taken: usize,
    /// Samples refused because there are too many series.
    pub refused: usize,
}

/// A batch that is being written: the store is locked until it is dropped or committed.
pub struct Batch<'a> {
    store: &'a Store,
    inner: std::sync::RwLockWriteGuard<'a, super::Inner>,
    written: Written,
}

/// Silence of more than this many steps starts a rate anew.
const HEARTBEAT_STEPS: i64 = 2;

impl Store {
    /// Begins a batch.
    pub fn batch(&self) -> Batch<'_> {
        Batch { store: self, inner: self.write_lock(), written: Written::default() }
    }

    /// Syncs the log to the disk.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn sync(&self) -> Result<(), StoreError> {
        let handle = self.read().log.as_ref().map(super::log::Log::handle);
        match handle {
            Some((file, path)) => file.sync_data().map_err(|source| StoreError::File { path, source }),
            None => Ok(()),
        }
    }
}

impl Batch<'_> {
    /// Writes a sample. The tags are sorted by key, each key once. Returns whether it was taken.
    pub fn write(&mut self, tags: &[(&str, &str)], time: i64, sample: Sample) -> bool {
        let step = self.store.options.step;
        let before = self.inner.series.len();
        let Some(id) = self.inner.find_or_insert(tags, self.store.options.max_series) else {
            self.written.refused += 1;
            return false;
        };
        let inner = &mut *self.inner;
        if inner.series.len() > before
            && let Some(log) = &mut inner.log
        {
            log.series(id, tags.iter().copied());
        }
        let Some(series) = inner.series[id as usize].as_mut() else { return false };
        let log = &mut inner.log;
        let newest = &mut inner.newest;
        let tap = &mut inner.tap;
        let mut put = |series: &mut super::SeriesData, end: i64, effect: Effect, value: f64| {
            if value.is_nan() {
                return;
            }
            let number = end.div_euclid(step);
            series.apply(number, effect, value);
            *newest = (*newest).max(end);
            if let Some(tap) = tap {
                tap.note(id, end, effect, value);
            }
            if let Some(log) = log {
                log.sample(id, number, effect, value);
            }
        };
        match sample {
            Sample::Value(effect, value) => put(series, step_end(time, step), effect, value),
            Sample::Of(DataKind::Gauge, value) => put(series, step_end(time, step), Effect::Set, value),
            Sample::Of(DataKind::Sum, value) => put(series, step_end(time, step), Effect::Add, value),
            Sample::Of(kind, value) => {
                let mut normalizer = series.normalizer.take().unwrap_or_default();
                let rate = if kind == DataKind::Counter {
                    normalizer.counter.update(time, value)
                } else {
                    Some(value)
                };
                if let Some(rate) = rate {
                    normalizer.spread.update(time, rate, step, HEARTBEAT_STEPS * step, |end, value| {
                        put(series, end, Effect::Set, value);
                    });
                }
                series.normalizer = Some(normalizer);
            }
        }
        inner.samples += 1;
        self.written.taken += 1;
        true
    }

    /// Puts the batch into the log.
    ///
    /// # Errors
    /// A disk that does not take it. The samples are in memory then, but would not survive a restart.
    pub fn commit(mut self) -> Result<Written, StoreError> {
        if let Some(tap) = &mut self.inner.tap {
            tap.hand_on();
        }
        match &mut self.inner.log {
            Some(log) => log.commit().map(|()| self.written),
            None => Ok(self.written),
        }
    }
}
