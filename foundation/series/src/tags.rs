//! The dimensions of a series.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

type Pair = (Arc<str>, Arc<str>);

/// Keys and values, sorted by key, each key once. Cloning is cheap; equal tags are the same series.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tags(Arc<[Pair]>);

impl Tags {
    /// Tags of these pairs; of two with one key the later holds.
    pub fn new<K: Into<Arc<str>>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut pairs: Vec<Pair> = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        if !pairs.is_sorted_by(|left, right| left.0 < right.0) {
            // The sort is stable, so the last of a key's pairs is the one that came last.
            pairs.sort_by(|left, right| left.0.cmp(&right.0));
            pairs.reverse();
            pairs.dedup_by(|left, right| left.0 == right.0);
            pairs.reverse();
        }
        Self(pairs.into())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.shared(key).map(|value| &**value)
    }

    /// The value of a key, to keep.
    pub fn shared(&self, key: &str) -> Option<&Arc<str>> {
        // Few tags: a scan beats a binary search.
        self.0.iter().find(|(known, _)| &**known == key).map(|(_, value)| value)
    }

    /// All pairs by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// All pairs by key, to keep.
    pub fn pairs(&self) -> &[(Arc<str>, Arc<str>)] {
        &self.0
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These tags with one more, or with another value for its key.
    pub fn with(&self, key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self::new(self.0.iter().cloned().chain([(key.into(), value.into())]))
    }

    /// These tags without a key.
    pub fn without(&self, key: &str) -> Self {
        self.only(|known| known != key)
    }

    /// The tags whose keys are wanted.
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(key, _)| wanted(key)).cloned().collect())
    }
}

/// `k=v, k2=v2`, or `NO TAGS`.
impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("NO TAGS");
        }
        for (position, (key, value)) in self.iter().enumerate() {
            write!(f, "{}{key}={value}", if position == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(K, V)> for Tags {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self::new(pairs)
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(BTreeMap::<String, String>::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_repetition_do_not_matter_but_the_last_value_does() {
        let tags = Tags::new([("b", "1"), ("a", "2"), ("b", "3")]);
        assert_eq!(tags, Tags::new([("a", "2"), ("b", "3")]));
        assert_eq!(tags.to_string(), "a=2, b=3");
        assert_eq!((tags.get("b"), tags.get("c")), (Some("3"), None));
        assert_eq!(tags.with("a", "9").without("b"), Tags::new([("a", "9")]));
        assert_eq!(Tags::default().to_string(), "NO TAGS");
    }
}
