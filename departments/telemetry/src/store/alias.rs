//! What senders call their series: the bytes of a message that name one, and which series it was the last time.
//!
//! A sender names the same series with the same bytes in every message: `node_load1{job="node"}`, `{"name":"sps","nf.app":"www"}`. The
//! first time they are parsed, checked, sorted and looked up tag by tag; from then on one lookup of the bytes is enough, for equal
//! bytes mean equal tags. Only names that were accepted are remembered, and they are compared whole: a hash that two
//! share costs time, never a wrong series.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Bytes of names that are remembered: a million series with names of usual length. When it is full everything is forgotten, and
/// names are parsed once more.
const MOST_BYTES: usize = 256 << 20;

/// Bytes of shared texts whose numbers are remembered: a publisher's table has some thousand.
const MOST_SHARED: usize = 32 << 20;

/// The bytes by which a message names a series.
#[derive(Clone, Copy, Debug)]
pub struct Alias<'a> {
    /// The form that the bytes are of, with whatever else of the message makes up the tags: equal bytes of two contexts are two names.
    context: u64,
    bytes: &'a [u8],
    hash: u64,
}

/// Makes names of bytes, without the store's lock.
#[derive(Debug, Default)]
pub struct Naming {
    hasher: RandomState,
    numbers: Mutex<Numbers>,
}

/// Texts by numbers that are never given out again.
#[derive(Debug, Default)]
struct Numbers {
    known: HashMap<Box<[u8]>, u32, RandomState>,
    bytes: usize,
    next: u32,
}

impl Naming {
    /// The name that these bytes are in a context.
    #[inline]
    pub fn alias<'a>(&self, context: u64, bytes: &'a [u8]) -> Alias<'a> {
        Alias { context, bytes, hash: self.hasher.hash_one((context, bytes)) }
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

struct Entry {
    hash: u64,
    context: u64,
    start: u32,
    length: u32,
    series: u32,
}

/// The names that are remembered.
#[derive(Default)]
pub(super) struct Aliases {
    table: HashTable<Entry>,
    bytes: Vec<u8>,
}

impl Aliases {
    #[inline]
    pub(super) fn find(&self, alias: Alias<'_>) -> Option<u32> {
        self.table.find(alias.hash, |entry| self.is(entry, alias)).map(|entry| entry.series)
    }

    #[inline]
    fn is(&self, entry: &Entry, alias: Alias<'_>) -> bool {
        entry.hash == alias.hash
            && entry.context == alias.context
            && entry.length as usize == alias.bytes.len()
            && &self.bytes[entry.start as usize..][..entry.length as usize] == alias.bytes
    }

    /// Remembers which series a name is of; a name that is known moves to the new series.
    pub(super) fn remember(&mut self, alias: Alias<'_>, series: u32) {
        let Self { table, bytes } = self;
        let same = |entry: &Entry| {
            entry.hash == alias.hash
                && entry.context == alias.context
                && &bytes[entry.start as usize..][..entry.length as usize] == alias.bytes
        };
        if let Some(entry) = table.find_mut(alias.hash, same) {
            entry.series = series;
            return;
        }
        if bytes.len() + alias.bytes.len() > MOST_BYTES {
            *self = Self::default();
        }
        let entry = Entry {
            hash: alias.hash,
            context: alias.context,
            start: self.bytes.len() as u32,
            length: alias.bytes.len() as u32,
            series,
        };
        self.bytes.extend_from_slice(alias.bytes);
        self.table.insert_unique(alias.hash, entry, |entry| entry.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_their_context_and_move() {
        let (hasher, mut aliases) = (Naming::default(), Aliases::default());
        let (one, two) = (hasher.context(0, b""), hasher.context(0, b"nf.app=www"));
        assert_eq!(two, hasher.context(0, b"nf.app=www"));
        aliases.remember(hasher.alias(one, b"up"), 1);
        aliases.remember(hasher.alias(two, b"up"), 2);
        assert_eq!(aliases.find(hasher.alias(one, b"up")), Some(1));
        assert_eq!(aliases.find(hasher.alias(two, b"up")), Some(2));
        assert_eq!(aliases.find(hasher.alias(one, b"upp")), None);
        aliases.remember(hasher.alias(one, b"up"), 3);
        assert_eq!(aliases.find(hasher.alias(one, b"up")), Some(3));
    }
}
