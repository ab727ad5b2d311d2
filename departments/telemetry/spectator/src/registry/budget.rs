//! How many ids there may be, and what they may take.

use std::collections::HashMap;
use std::time::Duration;

use backlot_meters::Id;

/// What a registry holds at most, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Meters of all kinds together. A host that reports more is one with runaway tags: an aggregator would be drowned by a
    /// thousand of them. With ids of usual length these take about 60 MB.
    pub meters: usize,
    /// Meters of one name.
    pub meters_of_a_name: usize,
    /// Bytes of all ids, so that long ids do not take what many short ones may not.
    pub id_bytes: usize,
    /// Age gauges: they never expire, so they have a limit of their own. spectatord's is 1000.
    pub age_gauges: usize,
    /// How long a meter that is not updated is kept, and a gauge published. spectatord's is 15 minutes.
    pub time_to_live: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            meters: 200_000,
            meters_of_a_name: 50_000,
            id_bytes: 64 << 20,
            age_gauges: 1000,
            time_to_live: Duration::from_mins(15),
        }
    }
}

/// Names whose ids over the limit are folded. Beyond these their lines are dropped: names, too, can run away.
const FOLDED_NAMES: usize = 1000;

/// The tag of meters that stand for those over the limit.
const OVERFLOW: (&str, &str) = ("overflow", "ids");

/// What to do with a meter over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    /// Go on under its name.
    ByName,
    /// Drop it.
    Drop,
}

/// Whether a new meter fits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It does, and has been counted.
    Admitted,
    /// It does not; its lines go to the meter that stands for its name.
    Folded,
    /// It does not, and its lines are lost.
    Dropped,
}

/// How a meter was counted, to count it back when it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// As one of the meters.
    Regular,
    /// As one that stands for others.
    Overflow,
}

/// The limits, and what is used of them.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) limits: Limits,
    meters: usize,
    bytes: usize,
    names: HashMap<Box<str>, usize>,
    overflowing: usize,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Budget {
        Budget { limits, meters: 0, bytes: 0, names: HashMap::new(), overflowing: 0 }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Asks for a new meter of this id.
    pub(crate) fn admit(&mut self, id: &Id, fold: Fold) -> Admission {
        let name = id.name();
        let of_the_name = self.names.get(name).copied().unwrap_or(0);
        let fits = self.meters < self.limits.meters
            && of_the_name < self.limits.meters_of_a_name
            && self.bytes + id.bytes() <= self.limits.id_bytes;
        if fits {
            self.meters += 1;
            self.bytes += id.bytes();
            match self.names.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(self.names.insert(name.into(), 1)),
            }
            return Admission::Admitted;
        }
        match fold {
            Fold::ByName => Admission::Folded,
            Fold::Drop => Admission::Dropped,
        }
    }

    /// Asks for a new meter that stands for all others of this name; gives its id.
    pub(crate) fn admit_overflow(&mut self, name: &str) -> Option<Id> {
        if self.overflowing == FOLDED_NAMES {
            return None;
        }
        self.overflowing += 1;
        Some(Id::new(name).with(OVERFLOW.0, OVERFLOW.1))
    }

    /// Gives back what a meter took.
    pub(crate) fn release(&mut self, id: &Id, account: Account) {
        if account == Account::Overflow {
            self.overflowing -= 1;
            return;
        }
        self.meters -= 1;
        self.bytes -= id.bytes();
        let name = id.name();
        if let Some(count) = self.names.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.names.remove(name);
            }
        }
    }
}
