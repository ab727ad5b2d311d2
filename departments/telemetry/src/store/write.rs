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
    /// A number of the kind that the series' tag `atlas.dstype` says; a rate is spread over steps, a counter first made a rate.
    OfSeries(f64),
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
    /// A time and the step that it is of: nearly all samples of a message have the same.
    last: (i64, Step),
}

/// A step, by its end and by its number.
#[derive(Clone, Copy)]
struct Step {
    end: i64,
    number: i64,
}

impl Step {
    fn of(time: i64, step: i64) -> Self {
        let end = step_end(time, step);
        Self { end, number: end.div_euclid(step) }
    }
}

/// Silence of more than this many steps starts a rate anew.
const HEARTBEAT_STEPS: i64 = 2;

impl Store {
    /// Begins a batch.
    pub fn batch(&self) -> Batch<'_> {
        let mut inner = self.write_lock();
        if let Some(tap) = &mut inner.tap {
            tap.begin();
        }
        Batch { store: self, inner, written: Written::default(), last: (0, Step { end: 0, number: 0 }) }
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

/// A series of the store: its number, which no other series has until the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesId(pub(super) u32);

impl super::Inner {
    /// Puts a value into memory and into the log's batch.
    #[inline]
    fn put(&mut self, id: u32, step: Step, effect: Effect, value: f64) {
        if value.is_nan() {
            return;
        }
        self.newest = self.newest.max(step.end);
        if let Some(tap) = &mut self.tap {
            tap.note(id, step.end, effect, value);
        }
        let Some(told) = self.apply(id, step.number, effect, value).map(|series| series.told) else { return };
        let Self { log: Some(log), series, .. } = self else { return };
        // A log knows a series from its first sample on, whatever other logs and segments know.
        if told != log.number
            && let Some(Some(series)) = series.get_mut(id as usize)
        {
            series.told = log.number;
            log.series(id, series.tags.iter());
        }
        log.sample(id, step.number, effect, value);
    }
}

impl Batch<'_> {
    /// The series with these tags; `None` if there are too many. The tags are sorted by key, each key once.
    pub fn find_or_insert(&mut self, tags: &[(&str, &str)]) -> Option<SeriesId> {
        let found = self.inner.find_or_insert(tags, self.store.options.max_series);
        self.written.refused += usize::from(found.is_none());
        found.map(SeriesId)
    }

    /// Writes a sample. The tags are sorted by key, each key once. Returns whether it was taken.
    pub fn write(&mut self, tags: &[(&str, &str)], time: i64, sample: Sample) -> bool {
        self.find_or_insert(tags).is_some_and(|id| self.put(id, time, sample))
    }

    /// Writes a sample of a series; whether it was taken, which it is not where the series has been forgotten.
    #[inline]
    pub fn put(&mut self, id: SeriesId, time: i64, sample: Sample) -> bool {
        if time != self.last.0 {
            self.last = (time, Step::of(time, self.store.options.step));
        }
        let inner = &mut *self.inner;
        let Some(Some(series)) = inner.series.get(id.0 as usize) else { return false };
        match (sample, series.kind) {
            (Sample::Value(effect, value), _) => inner.put(id.0, self.last.1, effect, value),
            (Sample::OfSeries(value), DataKind::Gauge) => inner.put(id.0, self.last.1, Effect::Set, value),
            (Sample::OfSeries(value), DataKind::Sum) => inner.put(id.0, self.last.1, Effect::Add, value),
            (Sample::OfSeries(value), kind) => self.put_rate(id, time, kind, value),
        }
        self.inner.samples += 1;
        self.written.taken += 1;
        true
    }

    /// Writes a rate, spread over the steps since the last, or the count that one is made of.
    fn put_rate(&mut self, id: SeriesId, time: i64, kind: DataKind, value: f64) {
        let step = self.store.options.step;
        let inner = &mut *self.inner;
        let Some(Some(series)) = inner.series.get_mut(id.0 as usize) else { return };
        let mut normalizer = series.normalizer.take().unwrap_or_default();
        let rate =
            if kind == DataKind::Counter { normalizer.counter.update(time, value) } else { Some(value) };
        if let Some(rate) = rate {
            normalizer.spread.update(time, rate, step, HEARTBEAT_STEPS * step, |end, value| {
                inner.put(id.0, Step::of(end, step), Effect::Set, value);
            });
        }
        if let Some(Some(series)) = inner.series.get_mut(id.0 as usize) {
            series.normalizer = Some(normalizer);
        }
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
