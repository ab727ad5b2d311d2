//! Silences: alerts that nobody wants to hear of for a while.
//!
//! A silence holds from its start to its end. One with time intervals is *recurring*: within that span it holds only at those
//! times ("every Sunday from two to four, this year"). That is an extension; clients that do not know it see a plain silence.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::interval::{Interval, IntervalText, any_contains};
use crate::matcher::{MOST_MATCHERS, Matcher, Operator};
use crate::{Labels, stamp};

/// How long a silence that is over is shown.
const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(120);

/// Most silences that are kept.
pub const MOST_SILENCES: usize = 20_000;

/// A silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    /// Its id.
    pub id: String,
    /// Which alerts: those that fulfil all.
    pub matchers: Vec<Matcher>,
    /// From when.
    #[serde(with = "stamp")]
    pub starts_at: Timestamp,
    /// Until when.
    #[serde(with = "stamp")]
    pub ends_at: Timestamp,
    /// When it was last changed.
    #[serde(with = "stamp")]
    pub updated_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// At which times only; at all, if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_intervals: Vec<IntervalText>,
}

/// Where a silence is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SilenceState {
    /// It holds (a recurring one: at its times).
    Active,
    /// It will hold.
    Pending,
    /// It is over.
    Expired,
}

impl SilenceState {
    /// As clients know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Expired => "expired",
        }
    }
}

/// Why a silence is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SilenceError {
    /// Nobody knows it.
    #[error("silence not found")]
    NotFound,
    /// It is over already.
    #[error("silence {0} already expired")]
    Expired(String),
    /// It cannot be one.
    #[error("silence invalid: {0}")]
    Invalid(String),
    /// There are too many.
    #[error("there are {MOST_SILENCES} silences already; expire some")]
    TooMany,
}

impl Silence {
    /// Where it is in its life.
    pub fn state(&self, now: Timestamp) -> SilenceState {
        if now >= self.ends_at {
            SilenceState::Expired
        } else if now < self.starts_at {
            SilenceState::Pending
        } else {
            SilenceState::Active
        }
    }

    fn validate(&self) -> Result<Vec<Interval>, SilenceError> {
        let invalid = |reason: &str| Err(SilenceError::Invalid(reason.to_owned()));
        if self.matchers.is_empty() {
            return invalid("at least one matcher required");
        }
        if self.matchers.len() > MOST_MATCHERS {
            return invalid("too many matchers; use a regular expression");
        }
        if self.matchers.iter().all(|matcher| matcher.accepts("")) {
            return invalid("at least one matcher must not match the empty string");
        }
        if self.ends_at < self.starts_at {
            return invalid("end time must not be before start time");
        }
        let size = self.comment.len() + self.created_by.len();
        if size > 8192 {
            return invalid("comment and author are longer than 8192 bytes");
        }
        self.time_intervals
            .iter()
            .map(|text| Interval::new(text.clone()).map_err(|error| SilenceError::Invalid(error.to_string())))
            .collect()
    }
}

/// All silences, found by the label values that they ask for.
#[derive(Clone, Debug, Default)]
pub struct Silences {
    all: BTreeMap<String, Compiled>,
    /// By one equality of each that has one; a silence of a host is looked at for that host's alerts only.
    by_value: HashMap<(String, String), Vec<String>>,
    others: Vec<String>,
}

#[derive(Clone, Debug)]
struct Compiled {
    silence: Silence,
    intervals: Vec<Interval>,
}

impl Compiled {
    fn holds(&self, now: Timestamp) -> bool {
        self.silence.state(now) == SilenceState::Active
            && (self.intervals.is_empty() || any_contains(&self.intervals, now))
    }
}

impl Silences {
    /// Takes a silence as it was kept. What cannot be read any more is left out.
    pub fn restore(&mut self, silence: Silence) {
        if let Ok(intervals) = silence.validate() {
            self.insert(silence, intervals);
        }
    }

    /// Sets a silence: a new one, or a changed one by its id. A change that would tell another story (other matchers, another
    /// beginning of one that holds) ends the old one and makes a new one. Gives all that changed; the last is the one set.
    ///
    /// # Errors
    /// What it lacks; an id that nobody knows.
    pub fn set(
        &mut self,
        mut silence: Silence,
        new_id: String,
        now: Timestamp,
    ) -> Result<Vec<Silence>, SilenceError> {
        silence.updated_at = now;
        let intervals = silence.validate()?;
        let mut changed = Vec::new();
        if !silence.id.is_empty() {
            let before = self.all.get(&silence.id).ok_or(SilenceError::NotFound)?.silence.clone();
            let may_change = before.matchers == silence.matchers
                && match before.state(now) {
                    SilenceState::Active => {
                        silence.starts_at.as_second() == before.starts_at.as_second()
                            && silence.ends_at >= now
                    }
                    SilenceState::Pending => silence.starts_at >= now,
                    SilenceState::Expired => false,
                };
            if may_change {
                silence.starts_at = if before.state(now) == SilenceState::Active {
                    before.starts_at
                } else {
                    silence.starts_at
                };
                self.insert(silence.clone(), intervals);
                return Ok(vec![silence]);
            }
            if silence.ends_at <= now {
                return Err(SilenceError::Invalid("end time can't be in the past".to_owned()));
            }
            if before.state(now) != SilenceState::Expired {
                changed.push(self.expire(&before.id, now)?);
            }
        }
        if silence.ends_at <= now {
            return Err(SilenceError::Invalid("end time can't be in the past".to_owned()));
        }
        if self.all.len() >= MOST_SILENCES {
            return Err(SilenceError::TooMany);
        }
        silence.starts_at = silence.starts_at.max(now);
        silence.id = new_id;
        self.insert(silence.clone(), intervals);
        changed.push(silence);
        Ok(changed)
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// Nobody knows it, or it is over.
    pub fn expire(&mut self, id: &str, now: Timestamp) -> Result<Silence, SilenceError> {
        let compiled = self.all.get_mut(id).ok_or(SilenceError::NotFound)?;
        match compiled.silence.state(now) {
            SilenceState::Expired => return Err(SilenceError::Expired(id.to_owned())),
            SilenceState::Active => compiled.silence.ends_at = now,
            SilenceState::Pending => {
                compiled.silence.starts_at = now;
                compiled.silence.ends_at = now;
            }
        }
        compiled.silence.updated_at = now;
        Ok(compiled.silence.clone())
    }

    /// Forgets those that have been over for long; gives their ids.
    pub fn forget_old(&mut self, now: Timestamp) -> Vec<String> {
        let is_old = |silence: &Silence| silence.ends_at.checked_add(KEPT).is_ok_and(|end| end < now);
        let old: Vec<String> =
            self.all.values().filter(|one| is_old(&one.silence)).map(|one| one.silence.id.clone()).collect();
        for id in &old {
            self.remove(id);
        }
        old
    }

    /// The ids of those that silence these labels now.
    pub fn silencing(&self, labels: &Labels, now: Timestamp) -> Vec<String> {
        let mut found = Vec::new();
        let mut look = |id: &String| {
            let holds = self.all.get(id).is_some_and(|one| {
                one.holds(now) && one.silence.matchers.iter().all(|matcher| matcher.matches(labels))
            });
            if holds {
                found.push(id.clone());
            }
        };
        self.others.iter().for_each(&mut look);
        if !self.by_value.is_empty() {
            for (name, value) in &labels.0 {
                if let Some(ids) = self.by_value.get(&(name.clone(), value.clone())) {
                    ids.iter().for_each(&mut look);
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<&Silence> {
        self.all.get(id).map(|one| &one.silence)
    }

    /// All: those that hold first, then those to come, then those that are over.
    pub fn iter_by_state(&self, now: Timestamp) -> Vec<&Silence> {
        let mut all: Vec<&Silence> = self.all.values().map(|one| &one.silence).collect();
        all.sort_by(|left, right| {
            let state = left.state(now).cmp(&right.state(now));
            state.then_with(|| match left.state(now) {
                SilenceState::Active => left.ends_at.cmp(&right.ends_at),
                SilenceState::Pending => left.starts_at.cmp(&right.starts_at),
                SilenceState::Expired => right.ends_at.cmp(&left.ends_at),
            })
        });
        all
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn insert(&mut self, silence: Silence, intervals: Vec<Interval>) {
        self.remove(&silence.id.clone());
        let equality = silence
            .matchers
            .iter()
            .find(|matcher| matcher.operator() == Operator::Equal && !matcher.value().is_empty());
        match equality {
            Some(matcher) => {
                let key = (matcher.name().to_owned(), matcher.value().to_owned());
                self.by_value.entry(key).or_default().push(silence.id.clone());
            }
            None => self.others.push(silence.id.clone()),
        }
        self.all.insert(silence.id.clone(), Compiled { silence, intervals });
    }

    fn remove(&mut self, id: &str) {
        if self.all.remove(id).is_some() {
            self.others.retain(|known| known != id);
            self.by_value.retain(|_, ids| {
                ids.retain(|known| known != id);
                !ids.is_empty()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::parse_matchers;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn silence(matchers: &str, from: &str, until: &str) -> Silence {
        Silence {
            id: String::new(),
            matchers: parse_matchers(matchers).unwrap(),
            starts_at: at(from),
            ends_at: at(until),
            updated_at: at(from),
            created_by: "me".to_owned(),
            comment: "why".to_owned(),
            time_intervals: Vec::new(),
        }
    }

    const NINE: &str = "2026-11-29T09:00:00Z";
    const TEN: &str = "2026-11-29T10:00:00Z";
    const NOON: &str = "2026-11-29T12:00:00Z";

    #[test]
    fn they_hold_from_start_to_end() {
        let mut all = Silences::default();
        all.set(silence("a=b", NINE, NOON), "1".to_owned(), at(NINE)).unwrap();
        all.set(silence("a=~b|c", TEN, NOON), "2".to_owned(), at(NINE)).unwrap();
        let labels: Labels = [("a", "b")].into_iter().collect();
        assert_eq!(all.silencing(&labels, at(NINE)), ["1"]);
        assert_eq!(all.silencing(&labels, at(TEN)), ["1", "2"]);
        assert!(all.silencing(&labels, at(NOON)).is_empty());
        all.expire("1", at(TEN)).unwrap();
        assert_eq!(all.silencing(&labels, at(TEN)), ["2"]);
        assert_eq!(all.expire("1", at(TEN)), Err(SilenceError::Expired("1".to_owned())));
        assert_eq!(all.forget_old(at("2026-12-10T00:00:00Z")).len(), 2);
    }

    #[test]
    fn recurring_ones_hold_at_their_times_only() {
        let mut all = Silences::default();
        let mut sundays = silence("a=b", NINE, "2027-11-29T00:00:00Z");
        sundays.time_intervals = vec![
            serde_json::from_str(
                r#"{"weekdays":["sunday"],"times":[{"start_time":"10:00","end_time":"11:00"}]}"#,
            )
            .unwrap(),
        ];
        all.set(sundays, "1".to_owned(), at(NINE)).unwrap();
        let labels: Labels = [("a", "b")].into_iter().collect();
        for (instant, expected) in
            [(NINE, 0), (TEN, 1), (NOON, 0), ("2026-12-06T10:30:00Z", 1), ("2026-12-07T10:30:00Z", 0)]
        {
            assert_eq!(all.silencing(&labels, at(instant)).len(), expected, "{instant}");
        }
    }

    #[test]
    fn changes_keep_the_id_where_the_story_is_the_same() {
        let mut all = Silences::default();
        all.set(silence("a=b", NINE, TEN), "1".to_owned(), at(NINE)).unwrap();
        let longer = Silence { id: "1".to_owned(), ..silence("a=b", NINE, NOON) };
        assert_eq!(all.set(longer, "x".to_owned(), at(NINE)).unwrap()[0].id, "1");
        let other = Silence { id: "1".to_owned(), ..silence("a=c", NINE, NOON) };
        let changed = all.set(other, "2".to_owned(), at(TEN)).unwrap();
        assert_eq!((changed[0].id.as_str(), changed[1].id.as_str()), ("1", "2"));
        assert_eq!(changed[0].ends_at, at(TEN));
        let unknown = Silence { id: "9".to_owned(), ..silence("a=c", NINE, NOON) };
        assert_eq!(all.set(unknown, "3".to_owned(), at(TEN)), Err(SilenceError::NotFound));
    }

    #[test]
    fn what_would_silence_everything_or_nothing_is_refused() {
        let mut all = Silences::default();
        for (matchers, until) in
            [("a=~.*", NOON), ("a=", NOON), ("a!=b", NOON), ("a=b", "2026-11-29T08:00:00Z"), ("a=b", NINE)]
        {
            assert!(all.set(silence(matchers, NINE, until), "1".to_owned(), at(NINE)).is_err(), "{matchers}");
        }
        assert!(all.is_empty());
    }
}
