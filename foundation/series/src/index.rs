//! Which series fulfil a query: for each key and value the set of series that have it, as compressed bitmaps.
//!
//! A condition on one key looks at that key's values (one for an equality, a range for a comparison, each distinct value once
//! for a pattern), joins their bitmaps, and conjunctions intersect them. The work depends on distinct values, not on series.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::{Query, Tags};

/// An index of series, each known by a number of its owner's choice.
#[derive(Clone, Debug, Default)]
pub struct TagIndex {
    all: RoaringBitmap,
    keys: HashMap<Arc<str>, Key>,
}

#[derive(Clone, Debug, Default)]
struct Key {
    all: RoaringBitmap,
    values: BTreeMap<Arc<str>, RoaringBitmap>,
}

/// A key or a value, and how many series have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCount {
    /// The key or value.
    pub name: Arc<str>,
    /// How many series have it.
    pub count: u64,
}

impl TagIndex {
    /// Adds a series.
    pub fn insert(&mut self, id: u32, tags: &Tags) {
        self.all.insert(id);
        for (name, value) in tags.pairs() {
            let key = self.keys.entry(name.clone()).or_default();
            key.all.insert(id);
            key.values.entry(value.clone()).or_default().insert(id);
        }
    }

    /// Forgets a series; its tags as they were when it was added.
    pub fn remove(&mut self, id: u32, tags: &Tags) {
        self.all.remove(id);
        for (name, value) in tags.pairs() {
            let Some(key) = self.keys.get_mut(name) else { continue };
            key.all.remove(id);
            if let Some(bitmap) = key.values.get_mut(value) {
                bitmap.remove(id);
                if bitmap.is_empty() {
                    key.values.remove(value);
                }
            }
            if key.all.is_empty() {
                self.keys.remove(name);
            }
        }
    }

    /// How many series there are.
    pub fn len(&self) -> u64 {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The series that fulfil a query.
    pub fn find(&self, query: &Query) -> RoaringBitmap {
        match query {
            Query::True => self.all.clone(),
            Query::False => RoaringBitmap::new(),
            Query::And(left, right) => {
                let found = self.find(left);
                // A condition that nothing fulfils spares the other, which may be a costly pattern.
                if found.is_empty() { found } else { found & self.find(right) }
            }
            Query::Or(left, right) => self.find(left) | self.find(right),
            Query::Not(inner) => &self.all - self.find(inner),
            _ => query
                .key()
                .and_then(|key| self.keys.get(key))
                .map_or_else(RoaringBitmap::new, |key| key.find(query)),
        }
    }

    /// All keys of the series that fulfil a query, in order, with how many have each.
    pub fn keys(&self, query: &Query) -> Vec<KeyCount> {
        let found = self.find(query);
        let counted = |(name, key): (&Arc<str>, &Key)| KeyCount {
            name: name.clone(),
            count: key.all.intersection_len(&found),
        };
        let mut keys: Vec<KeyCount> = self.keys.iter().map(counted).filter(|key| key.count > 0).collect();
        keys.sort_by(|left, right| left.name.cmp(&right.name));
        keys
    }

    /// All values of a key among the series that fulfil a query, in order, with how many have each.
    pub fn values(&self, key: &str, query: &Query) -> Vec<KeyCount> {
        let Some(key) = self.keys.get(key) else { return Vec::new() };
        let found = self.find(query) & &key.all;
        let counted = |(name, series): (&Arc<str>, &RoaringBitmap)| KeyCount {
            name: name.clone(),
            count: series.intersection_len(&found),
        };
        key.values.iter().map(counted).filter(|value| value.count > 0).collect()
    }
}

impl Key {
    fn find(&self, query: &Query) -> RoaringBitmap {
        let range = |bounds: (Bound<&str>, Bound<&str>)| {
            self.values
                .range::<str, _>(bounds)
                .fold(RoaringBitmap::new(), |found, (_, series)| found | series)
        };
        match query {
            Query::Has(_) => self.all.clone(),
            Query::Equal(_, value) => self.values.get(value).cloned().unwrap_or_default(),
            Query::In(_, values) => values
                .iter()
                .filter_map(|value| self.values.get(value))
                .fold(RoaringBitmap::new(), |found, series| found | series),
            Query::Less(_, value) => range((Bound::Unbounded, Bound::Excluded(value))),
            Query::LessEqual(_, value) => range((Bound::Unbounded, Bound::Included(value))),
            Query::Greater(_, value) => range((Bound::Excluded(value), Bound::Unbounded)),
            Query::GreaterEqual(_, value) => range((Bound::Included(value), Bound::Unbounded)),
            _ => {
                let accepted = self.values.iter().filter(|(value, _)| query.accepts(value));
                accepted.fold(RoaringBitmap::new(), |found, (_, series)| found | series)
            }
        }
    }
}
