//! What senders call their series: the bytes of a message that name one, and which series it was the last time.
//!
//! A sender names the same series with the same bytes in every message: `node_load1{job="node"}`, `{"name":"sps","nf.app":"www"}`. The
//! first time they are parsed, checked, sorted and looked up tag by tag; from then on one look at the bytes is enough, for equal
//! bytes mean equal tags. Only names that were accepted are remembered, and they are compared whole: a hash that two
//! share costs time, never a wrong series.
//!
//! A sender also names its series in the same order every time. Names stand in the order in which they were learnt, and the one after the last that was found is tried first: it needs
//! no hash and no table, what is compared lies side by side in memory, and a form of message whose names end by themselves need not look for the end.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::SeriesId;

/// Bytes of names that are remembered: a million series with names of usual length. When it is full everything is forgotten, and
/// names are parsed once more.
const MOST_BYTES: usize = 256 << 20;

/// Bytes of shared texts whose numbers are remembered: a publisher's table has some thousand.
const MOST_SHARED: usize = 32 << 20;

/// What is known of names, with a lock of its own: a message is read while others are written.
#[derive(Default)]
pub struct Naming {
    hasher: RandomState,
    numbers: Mutex<Numbers>,
    aliases: RwLock<Aliases>,
}

/// Texts by numbers that are never given out again.
#[derive(Debug, Default)]
struct Numbers {
    known: HashMap<Box<[u8]>, u32, RandomState>,
    bytes: usize,
    next: u32,
}

impl Naming {
    /// The names that are known, for who reads a message. Who learns some waits meanwhile.
    pub fn names(&self) -> Names<'_> {
        // Nothing under the lock panics half-way.
        let aliases = self.aliases.read().unwrap_or_else(PoisonError::into_inner);
        Names { hasher: &self.hasher, aliases, next: usize::MAX }
    }

    /// Remembers what series are called, in the order in which messages name them: a context, the bytes, and the series. A name
    /// that is known moves to the new series.
    pub fn remember<'a>(&self, learnt: impl IntoIterator<Item = (u64, &'a [u8], SeriesId)>) {
        let mut aliases = self.aliases.write().unwrap_or_else(PoisonError::into_inner);
        for (context, bytes, series) in learnt {
            aliases.remember(self.hasher.hash_one((context, bytes)), context, bytes, series);
        }
    }

    /// Forgets what series were called that are there no more.
    pub fn forget(&self, gone: impl IntoIterator<Item = SeriesId>) {
        let gone: HashSet<SeriesId> = gone.into_iter().collect();
        if !gone.is_empty() {
            self.aliases.write().unwrap_or_else(PoisonError::into_inner).forget(&gone);
        }
    }

    /// A context: a form of message, and the bytes that all its names share.
    pub fn context(&self, form: u8, shared: &[u8]) -> u64 {
        let mut number = Vec::new();
        if !shared.is_empty() {
            self.numbers([shared], &mut number);
        }
        u64::from(form) << 32 | number.first().map_or(0, |number| u64::from(*number) + 1)
    }

    /// Numbers for texts, the same for the same text until there are too many.
    pub fn numbers<'a>(&self, texts: impl IntoIterator<Item = &'a [u8]>, into: &mut Vec<u32>) {
        // Nothing under the lock panics half-way.
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        for text in texts {
            if let Some(number) = numbers.known.get(text) {
                into.push(*number);
                continue;
            }
            if numbers.bytes + text.len() > MOST_SHARED {
                numbers.known.clear();
                numbers.bytes = 0;
            }
            let number = numbers.next;
            // After four thousand million texts the numbers begin anew, when those that had them are long forgotten.
            numbers.next = numbers.next.wrapping_add(1);
            numbers.bytes += text.len() + 48;
            numbers.known.insert(text.into(), number);
            into.push(number);
        }
    }
}

/// The names that are known, while a message is read.
pub struct Names<'a> {
    hasher: &'a RandomState,
    aliases: RwLockReadGuard<'a, Aliases>,
    /// The place of the name that is expected.
    next: usize,
}

impl Names<'_> {
    /// The series that this name is of in a context, if it is known.
    #[inline]
    pub fn find(&mut self, context: u64, bytes: &[u8]) -> Option<SeriesId> {
        match self.expected(context, bytes) {
            Some((length, series)) if length == bytes.len() => Some(series),
            _ => self.look_up(context, bytes),
        }
    }

    /// The name that was learnt after the last one found, if these bytes begin with it and the context is the same: its length, and its series.
    #[inline]
    pub fn expected(&mut self, context: u64, bytes: &[u8]) -> Option<(usize, SeriesId)> {
        let entry = self.aliases.entries.get(self.next)?;
        if entry.context != context || !bytes.starts_with(self.aliases.bytes_of(entry)) {
            return None;
        }
        self.next += 1;
        Some((entry.length as usize, entry.series?))
    }

    fn look_up(&mut self, context: u64, bytes: &[u8]) -> Option<SeriesId> {
        let place = self.aliases.find(self.hasher.hash_one((context, bytes)), context, bytes)?;
        self.next = place + 1;
        self.aliases.entries[place].series
    }
}

struct Entry {
    hash: u64,
    context: u64,
    start: u32,
    length: u32,
    /// `None` once the series has been forgotten.
    series: Option<SeriesId>,
}

/// The names that are remembered.
#[derive(Default)]
struct Aliases {
    /// In the order in which they were learnt.
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// Places among the entries by hash.
    places: HashTable<u32>,
}

impl Aliases {
    #[inline]
    fn bytes_of(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.start as usize..][..entry.length as usize]
    }

    fn find(&self, hash: u64, context: u64, bytes: &[u8]) -> Option<usize> {
        let is_it = |place: &u32| {
            let entry = &self.entries[*place as usize];
            entry.hash == hash && entry.context == context && self.bytes_of(entry) == bytes
        };
        self.places.find(hash, is_it).map(|place| *place as usize)
    }

    fn remember(&mut self, hash: u64, context: u64, bytes: &[u8], series: SeriesId) {
        if let Some(place) = self.find(hash, context, bytes) {
            self.entries[place].series = Some(series);
            return;
        }
        if self.bytes.len() + bytes.len() > MOST_BYTES {
            *self = Self::default();
        }
        let (start, length) = (self.bytes.len() as u32, bytes.len() as u32);
        self.bytes.extend_from_slice(bytes);
        let place = self.entries.len() as u32;
        self.entries.push(Entry { hash, context, start, length, series: Some(series) });
        let Self { entries, places, .. } = self;
        places.insert_unique(hash, place, |place| entries[*place as usize].hash);
    }

    fn forget(&mut self, gone: &HashSet<SeriesId>) {
        for entry in &mut self.entries {
            entry.series = entry.series.filter(|series| !gone.contains(series));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_their_context_and_move() {
        let naming = Naming::default();
        let (one, two) = (naming.context(0, b""), naming.context(0, b"nf.app=www"));
        assert_eq!(two, naming.context(0, b"nf.app=www"));
        naming.remember([(one, &b"up"[..], SeriesId(1)), (two, b"up", SeriesId(2))]);
        let find = |context, name: &[u8]| naming.names().find(context, name);
        assert_eq!(find(one, b"up"), Some(SeriesId(1)));
        assert_eq!(find(two, b"up"), Some(SeriesId(2)));
        assert_eq!(find(one, b"upp"), None);
        naming.remember([(one, &b"up"[..], SeriesId(3))]);
        assert_eq!(find(one, b"up"), Some(SeriesId(3)));
        naming.forget([SeriesId(3)]);
        assert_eq!(find(one, b"up"), None);
        naming.remember([(one, &b"up"[..], SeriesId(4))]);
        assert_eq!(find(one, b"up"), Some(SeriesId(4)));
    }

    #[test]
    fn a_name_is_expected_after_the_one_before_it() {
        let naming = Naming::default();
        let all: [&[u8]; 4] = [b"a", b"ab", b"abc", b"d"];
        naming.remember(all.iter().zip(1..).map(|(name, id)| (7, *name, SeriesId(id))));
        let mut names = naming.names();
        // Nothing is expected before the first, and nothing after the last.
        assert_eq!(names.expected(7, b"a 1"), None);
        assert_eq!(names.find(7, b"a"), Some(SeriesId(1)));
        assert_eq!(names.expected(8, b"ab 1"), None);
        assert_eq!(names.expected(7, b"ab 1"), Some((2, SeriesId(2))));
        // One that only begins like the expected is another.
        assert_eq!(names.find(7, b"abcd"), None);
        assert_eq!(names.find(7, b"ab"), Some(SeriesId(2)));
        assert_eq!(names.find(7, b"d"), Some(SeriesId(4)));
        assert_eq!(names.expected(7, b"d"), None);
        assert_eq!(names.find(7, b"abc"), Some(SeriesId(3)));
    }
}
