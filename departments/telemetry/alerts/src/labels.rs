//! Labels and their fingerprints.
//!
//! A fingerprint is the 64-bit FNV-1a hash over the labels sorted by name, each name and value followed by the byte 255, as
//! Prometheus' `common/model` computes it: clients compare ours with theirs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Names and values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

/// The identity of a set of labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Labels {
    /// The value of a label; a label that is not there is the empty text.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Sets a label.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// With one more label.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Their identity.
    pub fn fingerprint(&self) -> Fingerprint {
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let mut hash = BASIS;
        let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        for (name, value) in &self.0 {
            for byte in name.bytes().chain([255]).chain(value.bytes()).chain([255]) {
                add(byte);
            }
        }
        Fingerprint(hash)
    }

    /// The order in which alerts stand in a notification: by `job`, by `instance`, then fewer labels first, then by value.
    pub fn notification_order(&self, other: &Self) -> std::cmp::Ordering {
        use std::cmp::Ordering;
        for name in ["job", "instance"] {
            let order = match (self.0.get(name), other.0.get(name)) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(left), Some(right)) => left.cmp(right),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        self.set_order(other)
    }

    /// The order of sets of labels, as in lists of groups: fewer labels first, then by value, one without the label first.
    pub fn set_order(&self, other: &Self) -> std::cmp::Ordering {
        use std::cmp::Ordering;
        let mut names: Vec<&String> = self.0.keys().chain(other.0.keys()).collect();
        names.sort_unstable();
        let by_value = || {
            names.iter().find_map(|name| match (self.0.get(*name), other.0.get(*name)) {
                (None, _) => Some(Ordering::Less),
                (_, None) => Some(Ordering::Greater),
                (Some(left), Some(right)) => Some(left.cmp(right)).filter(|order| *order != Ordering::Equal),
            })
        };
        self.0.len().cmp(&other.0.len()).then_with(|| by_value().unwrap_or(Ordering::Equal))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// `{a="b", c="d"}`, as in group keys.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (position, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={}", if position == 0 { "" } else { ", " }, Quoted(value))?;
        }
        f.write_str("}")
    }
}

/// A text in double quotes, escaped as Go's `%q` does for what labels hold.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for letter in self.0.chars() {
            match letter {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                control if (control as u32) < 0x20 || control as u32 == 0x7f => {
                    write!(f, "\\x{:02x}", control as u32)?;
                }
                other => write!(f, "{other}")?,
            }
        }
        f.write_str("\"")
    }
}

/// Whether a label may have this name: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_prometheus() {
        // The empty set is the basis of FNV-1a.
        assert_eq!(Labels::default().fingerprint().to_string(), "cbf29ce484222325");
        let labels: Labels =
            [("name", "garland, briggs"), ("fear", "love is not enough")].into_iter().collect();
        // What Debian's Alertmanager 0.25 shows, and an example of `common/model`'s tests.
        let one: Labels = [("alertname", "x")].into_iter().collect();
        assert_eq!(one.fingerprint().to_string(), "d240efc3896bf266");
        assert_eq!(labels.fingerprint().0, 5_799_056_148_416_392_346);
        assert_eq!(labels.to_string(), r#"{fear="love is not enough", name="garland, briggs"}"#);
    }

    #[test]
    fn notifications_are_ordered_by_job_and_instance_first() {
        let of =
            |text: &str| -> Labels { text.split(' ').map(|pair| pair.split_once('=').unwrap()).collect() };
        let mut all =
            [of("a=1 b=2"), of("z=1"), of("job=b a=0"), of("job=a instance=2"), of("job=a instance=1 x=y")];
        all.sort_by(Labels::notification_order);
        let shown: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                r#"{instance="1", job="a", x="y"}"#,
                r#"{instance="2", job="a"}"#,
                r#"{a="0", job="b"}"#,
                r#"{z="1"}"#,
                r#"{a="1", b="2"}"#
            ]
        );
    }

    #[test]
    fn names_are_checked() {
        for good in ["a", "_x9", "alertname"] {
            assert!(is_label_name(good));
        }
        for bad in ["", "9a", "a.b", "é", "a-b"] {
            assert!(!is_label_name(bad), "{bad}");
        }
    }
}
