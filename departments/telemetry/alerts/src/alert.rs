//! Alerts: what is wrong, since when, until when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::labels::{Fingerprint, is_label_name};
use crate::{Labels, stamp};

/// Most bytes of an alert's labels and annotations. An event and a page carry them whole.
pub const LARGEST_ALERT: usize = 32 << 10;

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What identifies it.
    pub labels: Labels,
    /// What explains it.
    pub annotations: Labels,
    /// Since when.
    #[serde(with = "stamp")]
    pub starts_at: Timestamp,
    /// Until when: in the future while it fires.
    #[serde(with = "stamp")]
    pub ends_at: Timestamp,
    /// When it was last heard of.
    #[serde(with = "stamp")]
    pub updated_at: Timestamp,
    /// When this activity of it was first heard of: groups wait from here.
    #[serde(with = "stamp")]
    pub received_at: Timestamp,
    /// Where it comes from, for people.
    pub generator_url: String,
    /// Whether its end is only a guess of ours, in case nobody sends it again.
    pub timeout: bool,
    /// The rule of ours that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Whether its firing has been told on the bus, and its end not yet.
    #[serde(default)]
    pub announced: bool,
}

/// The rule that an alert comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The rule's id.
    pub rule: String,
    /// Its expression.
    pub expression: String,
    /// The value of the line, when it was last looked at.
    pub value: Option<f64>,
    /// The step at which it is evaluated.
    pub step_ms: i64,
}

/// Why an alert is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlertError {
    /// It ends before it begins.
    #[error("start time must be before end time")]
    Times,
    /// It has no labels.
    #[error("at least one label pair required")]
    NoLabels,
    /// A name is none.
    #[error("invalid label set: invalid name {0:?}")]
    Label(String),
    /// A name of an annotation is none.
    #[error("invalid annotations: invalid name {0:?}")]
    Annotation(String),
    /// It is too large.
    #[error(
        "labels and annotations are {0} bytes; at most {LARGEST_ALERT} are kept, put a link in their place"
    )]
    TooLarge(usize),
    /// There are too many.
    #[error("there are {0} alerts already; resolve some, or alert on fewer, larger things")]
    TooMany(usize),
}

impl Alert {
    /// Its identity.
    pub fn fingerprint(&self) -> Fingerprint {
        self.labels.fingerprint()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.labels.get("alertname")
    }

    /// Whether it is over.
    pub fn is_resolved(&self, now: Timestamp) -> bool {
        self.ends_at <= now
    }

    /// Checks it.
    ///
    /// # Errors
    /// The first thing that is wrong, in the words that Alertmanager's clients know.
    pub fn validate(&self) -> Result<(), AlertError> {
        if self.ends_at < self.starts_at {
            return Err(AlertError::Times);
        }
        if self.labels.0.is_empty() {
            return Err(AlertError::NoLabels);
        }
        if let Some((name, _)) = self.labels.iter().find(|(name, _)| !is_label_name(name)) {
            return Err(AlertError::Label(name.chars().take(100).collect()));
        }
        if let Some((name, _)) = self.annotations.iter().find(|(name, _)| !is_label_name(name)) {
            return Err(AlertError::Annotation(name.chars().take(100).collect()));
        }
        let size =
            |labels: &Labels| labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let bytes = size(&self.labels) + size(&self.annotations);
        if bytes > LARGEST_ALERT { Err(AlertError::TooLarge(bytes)) } else { Ok(()) }
    }

    /// This newer message about an alert, with what stays of the older one. Two that overlap in time are one activity: it
    /// began when the earlier began, and a guessed end never shortens a given one.
    pub fn merged_onto(mut self, old: &Self, now: Timestamp) -> Self {
        let overlaps = (self.ends_at > old.starts_at && self.ends_at < old.ends_at)
            || (self.starts_at > old.starts_at && self.starts_at < old.ends_at);
        let was_firing = !old.is_resolved(now);
        if overlaps {
            self.starts_at = self.starts_at.min(old.starts_at);
            if self.is_resolved(now) {
                if old.is_resolved(now) {
                    self.ends_at = self.ends_at.max(old.ends_at);
                }
            } else if !old.timeout {
                self.ends_at = self.ends_at.max(old.ends_at);
            }
        }
        if was_firing {
            self.received_at = old.received_at;
        }
        self.announced = old.announced;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn alert(starts: i64, ends: i64, timeout: bool) -> Alert {
        Alert {
            labels: [("alertname", "a")].into_iter().collect(),
            annotations: Labels::default(),
            starts_at: at(starts),
            ends_at: at(ends),
            updated_at: at(starts),
            received_at: at(starts),
            generator_url: String::new(),
            timeout,
            origin: None,
            announced: true,
        }
    }

    #[test]
    fn overlapping_messages_are_one_activity() {
        let merged = alert(50, 400, true).merged_onto(&alert(10, 300, true), at(60));
        assert_eq!((merged.starts_at, merged.ends_at, merged.received_at), (at(10), at(400), at(10)));
        // A given end is not shortened by a guess, an explicit end rules.
        assert_eq!(alert(50, 400, true).merged_onto(&alert(10, 900, false), at(60)).ends_at, at(900));
        assert_eq!(alert(10, 55, false).merged_onto(&alert(10, 900, false), at(60)).ends_at, at(55));
        // After the end another activity begins.
        let again = alert(500, 900, true).merged_onto(&alert(10, 300, true), at(500));
        assert_eq!((again.starts_at, again.received_at), (at(500), at(500)));
    }

    #[test]
    fn slips_are_told_in_known_words() {
        assert_eq!(alert(10, 5, false).validate(), Err(AlertError::Times));
        let mut bad = alert(1, 2, false);
        bad.labels.set("a.b", "c");
        assert_eq!(bad.validate().unwrap_err().to_string(), "invalid label set: invalid name \"a.b\"");
        bad.labels = Labels::default();
        assert_eq!(bad.validate(), Err(AlertError::NoLabels));
        let mut large = alert(1, 2, false);
        large.annotations.set("text", "x".repeat(LARGEST_ALERT));
        assert!(matches!(large.validate(), Err(AlertError::TooLarge(_))));
    }
}
