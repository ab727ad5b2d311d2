//! The meters of one kind: slots, found by the spelling or by the id.
//!
//! `spellings` is a cache from ids as they were sent to slots. Slots that are freed keep their number until the spellings that
//! may point to them are swept, at the end of a flush; until then such a spelling finds nothing and its id is read again.
//! When the cache has grown to more than a few spellings of each id, as only nonsense would, it is emptied: a cache that
//! is wrong about nothing can always be.

use std::collections::HashMap;
use std::time::Duration;

use backlot_meters::{Id, Measurement};
use foldhash::fast::RandomState;

use super::budget::{Account, Admission, Budget, Fold};
use super::state::State;
use super::{Moment, Tally};

/// Spellings for each id that the limits allow, before the cache is emptied. A client sends an id in one order of tags; an
/// agent sees those of a few clients.
const SPELLINGS: usize = 2;

/// A meter of the kind `M`.
#[derive(Debug)]
struct Slot<M> {
    id: Id,
    account: Account,
    /// On the clock that never goes back.
    updated: Duration,
    state: M,
}

/// All meters of the kind `M`.
#[derive(Debug)]
pub(crate) struct Family<M> {
    slots: Vec<Option<Slot<M>>>,
    free: Vec<u32>,
    /// Freed since the spellings were swept.
    freed: Vec<u32>,
    ids: HashMap<Id, u32>,
    /// By name, the meters that stand for those over the limit.
    overflows: HashMap<Box<str>, u32>,
    /// With a hash that is quick for ids of usual length, seeded for each table; the limits bound what a client that guesses well
    /// could make a lookup cost.
    spellings: HashMap<Box<[u8]>, u32, RandomState>,
    spelling_bytes: usize,
}

impl<M> Default for Family<M> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            freed: Vec::new(),
            ids: HashMap::new(),
            overflows: HashMap::new(),
            spellings: HashMap::default(),
            spelling_bytes: 0,
        }
    }
}

/// Where a flush in parts stands.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    slot: usize,
}

/// Whether there is more to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushing {
    Unfinished,
    Finished,
}

impl<M: State> Family<M> {
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn spellings(&self) -> usize {
        self.spellings.len()
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = &M> {
        self.slots.iter().flatten().map(|slot| &slot.state)
    }

    /// The meter of an id as it was sent; a new one if there is room. `None` if its lines are lost.
    ///
    /// # Errors
    /// Those of `read`, which reads the id.
    pub(crate) fn find<E>(
        &mut self,
        raw: &[u8],
        read: impl FnOnce() -> Result<Id, E>,
        fold: Fold,
        budget: &mut Budget,
        tally: &mut Tally,
        now: Moment,
    ) -> Result<Option<&mut M>, E> {
        let known = self.spellings.get(raw).copied().filter(|at| self.slots[*at as usize].is_some());
        let at = if let Some(at) = known {
            tally.hits += 1;
            at
        } else {
            let id = read()?;
            tally.misses += 1;
            match self.admit(id, fold, budget, tally, now) {
                Admitted::Regular(at) => {
                    self.remember(raw, at, budget);
                    at
                }
                // Not remembered: spellings of ids without end would push out those of the others.
                Admitted::Overflow(at) => at,
                Admitted::Nowhere => return Ok(None),
            }
        };
        let found = self.slots[at as usize].as_mut();
        Ok(found.map(|slot| {
            slot.updated = now.monotonic;
            &mut slot.state
        }))
    }

    fn admit(&mut self, id: Id, fold: Fold, budget: &mut Budget, tally: &mut Tally, now: Moment) -> Admitted {
        if let Some(at) = self.ids.get(&id) {
            return Admitted::Regular(*at);
        }
        if self.len() >= M::limit(&budget.limits) {
            tally.dropped += 1;
            return Admitted::Nowhere;
        }
        match budget.admit(&id, fold) {
            Admission::Admitted => return Admitted::Regular(self.insert(id, Account::Regular, budget, now)),
            Admission::Folded => {}
            Admission::Dropped => {
                tally.dropped += 1;
                return Admitted::Nowhere;
            }
        }
        let is_live = |at: &u32| self.slots[*at as usize].is_some();
        let known = self.overflows.get(id.name()).copied().filter(is_live);
        let Some(at) = known.or_else(|| self.insert_overflow(id.name(), budget, now)) else {
            tally.dropped += 1;
            return Admitted::Nowhere;
        };
        tally.folded += 1;
        Admitted::Overflow(at)
    }

    /// A new meter that stands for the others of its name, if there may be one. A client that sends such an id itself has
    /// the same meter.
    fn insert_overflow(&mut self, name: &str, budget: &mut Budget, now: Moment) -> Option<u32> {
        let id = budget.admit_overflow(name)?;
        let at = match self.ids.get(&id) {
            Some(at) => {
                budget.release(&id, Account::Overflow);
                *at
            }
            None => self.insert(id, Account::Overflow, budget, now),
        };
        self.overflows.insert(name.into(), at);
        Some(at)
    }

    fn insert(&mut self, id: Id, account: Account, budget: &Budget, now: Moment) -> u32 {
        let state = M::new(&budget.limits);
        let slot = Some(Slot { id: id.clone(), account, updated: now.monotonic, state });
        let at = if let Some(at) = self.free.pop() {
            self.slots[at as usize] = slot;
            at
        } else {
            self.slots.push(slot);
            // The limits allow far fewer meters than 2^32.
            (self.slots.len() - 1) as u32
        };
        self.ids.insert(id, at);
        at
    }

    fn remember(&mut self, raw: &[u8], at: u32, budget: &Budget) {
        let is_full = self.spellings.len() >= SPELLINGS * budget.limits.meters
            || self.spelling_bytes + raw.len() > SPELLINGS * budget.limits.id_bytes;
        if is_full {
            self.spellings.clear();
            self.spelling_bytes = 0;
        }
        if self.spellings.insert(raw.into(), at).is_none() {
            self.spelling_bytes += raw.len();
        }
    }

    /// Takes what up to `limit` meters measured, and drops those that have been idle for too long.
    pub(crate) fn flush(
        &mut self,
        cursor: &mut Cursor,
        limit: usize,
        now: Moment,
        budget: &mut Budget,
        expired: &mut u64,
        out: &mut Vec<Measurement>,
    ) -> Flushing {
        let end = self.slots.len().min(cursor.slot.saturating_add(limit));
        for at in cursor.slot..end {
            let Some(slot) = &mut self.slots[at] else { continue };
            let idle = now.monotonic.saturating_sub(slot.updated);
            let is_expired = slot.state.is_expired(idle, &budget.limits);
            if !is_expired {
                slot.state.measure(&slot.id, now, out);
                continue;
            }
            *expired += 1;
            self.drop_slot(at as u32, budget);
        }
        cursor.slot = end;
        if end < self.slots.len() {
            return Flushing::Unfinished;
        }
        self.sweep();
        Flushing::Finished
    }

    fn drop_slot(&mut self, at: u32, budget: &mut Budget) {
        if let Some(slot) = self.slots[at as usize].take() {
            self.ids.remove(&slot.id);
            budget.release(&slot.id, slot.account);
            self.freed.push(at);
        }
    }

    /// Forgets the spellings of freed slots, so that these can be used again.
    fn sweep(&mut self) {
        if self.freed.is_empty() {
            return;
        }
        let (slots, bytes) = (&self.slots, &mut self.spelling_bytes);
        self.spellings.retain(|raw, at| {
            let is_used = slots[*at as usize].is_some();
            *bytes -= if is_used { 0 } else { raw.len() };
            is_used
        });
        self.overflows.retain(|_, at| slots[*at as usize].is_some());
        self.free.append(&mut self.freed);
        if self.ids.is_empty() {
            // What a flood of ids took is given back when it has passed.
            *self = Self::default();
        }
    }

    pub(crate) fn delete(&mut self, id: Option<&Id>, budget: &mut Budget) -> usize {
        let doomed: Vec<u32> = match id {
            Some(id) => self.ids.get(id).copied().into_iter().collect(),
            None => self.ids.values().copied().collect(),
        };
        for at in &doomed {
            self.drop_slot(*at, budget);
        }
        self.sweep();
        doomed.len()
    }

    pub(crate) fn list(&self, now: Moment) -> Vec<(Id, f64)> {
        self.slots.iter().flatten().map(|slot| (slot.id.clone(), slot.state.peek(now))).collect()
    }
}

/// Where the lines of an id go.
enum Admitted {
    Regular(u32),
    Overflow(u32),
    Nowhere,
}
