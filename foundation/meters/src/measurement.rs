//! What a meter gives for one interval.

use std::fmt;

use crate::Id;

/// How the values of one id from several hosts are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// They are added: a count or an amount of one interval.
    Add,
    /// The greatest stands.
    Max,
}

/// Which number of a meter a measurement is: the value of its tag `statistic`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Statistic {
    /// The value that the id itself has as `statistic`.
    Own,
    /// How often, or how much, in the interval.
    Count,
    /// The sum of times, in seconds.
    TotalTime,
    /// The sum of amounts.
    TotalAmount,
    /// The sum of squares, of seconds or amounts.
    TotalOfSquares,
    /// The greatest value of the interval.
    Max,
    /// The last value.
    Gauge,
    /// How many times fell into this bucket (see [`buckets`](crate::buckets)).
    PercentileTimer(u16),
    /// How many amounts fell into this bucket.
    PercentileSummary(u16),
    /// This register of a sketch that counts distinct values.
    Distinct(u8),
}

impl Statistic {
    /// `self`, or [`Statistic::Own`] if the id names its statistic itself.
    #[must_use]
    pub fn unless_named_by(self, id: &Id) -> Statistic {
        if id.tag(STATISTIC).is_some() { Statistic::Own } else { self }
    }

    fn as_str(self) -> Option<&'static str> {
        match self {
            Statistic::Own => None,
            Statistic::Count => Some("count"),
            Statistic::TotalTime => Some("totalTime"),
            Statistic::TotalAmount => Some("totalAmount"),
            Statistic::TotalOfSquares => Some("totalOfSquares"),
            Statistic::Max => Some("max"),
            Statistic::Gauge => Some("gauge"),
            Statistic::PercentileTimer(_) | Statistic::PercentileSummary(_) => Some("percentile"),
            Statistic::Distinct(_) => Some("distinct"),
        }
    }

    /// The tag that tells the parts of a meter apart: `percentile=T0091`, `distinct=R3F`.
    fn part(self) -> Option<(&'static str, TagValue<'static>)> {
        match self {
            Statistic::PercentileTimer(index) => Some(("percentile", TagValue::bucket(b'T', index))),
            Statistic::PercentileSummary(index) => Some(("percentile", TagValue::bucket(b'D', index))),
            Statistic::Distinct(index) => Some(("distinct", TagValue::register(index))),
            _ => None,
        }
    }
}

const STATISTIC: &str = "statistic";

/// The statistics whose values are added; all others are maxima.
const ADDED: [&str; 5] = ["count", "totalAmount", "totalTime", "totalOfSquares", "percentile"];

/// One number of one meter.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The meter.
    pub id: Id,
    /// Which of its numbers.
    pub statistic: Statistic,
    /// The number.
    pub value: f64,
}

impl Measurement {
    /// How it is put together with those of other hosts: by its statistic.
    pub fn op(&self) -> Op {
        let statistic = self.statistic.as_str().or_else(|| self.id.tag(STATISTIC));
        if statistic.is_some_and(|statistic| ADDED.contains(&statistic)) { Op::Add } else { Op::Max }
    }

    /// The tags of the id with those of the statistic, in the order of their keys, without the name.
    pub fn tags(&self) -> FinalTags<'_> {
        let statistic = self.statistic.as_str().map(|statistic| (STATISTIC, TagValue::Text(statistic)));
        FinalTags { own: self.id.tags().peekable(), added: [self.statistic.part(), statistic] }
    }
}

impl fmt::Display for Measurement {
    /// `name,key=value,statistic=count 1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id.name())?;
        self.tags().try_for_each(|(key, value)| write!(f, ",{key}={}", value.as_str()))?;
        write!(f, " {}", self.value)
    }
}

/// The tags of a [`Measurement`].
#[derive(Clone, Debug)]
pub struct FinalTags<'a> {
    own: std::iter::Peekable<crate::Tags<'a>>,
    /// Those of the statistic, in the order of their keys.
    added: [Option<(&'static str, TagValue<'static>)>; 2],
}

impl<'a> Iterator for FinalTags<'a> {
    type Item = (&'a str, TagValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let pending = self.added.iter_mut().find(|added| added.is_some());
        match (self.own.peek(), pending) {
            (Some((key, _)), Some(added)) => {
                let added_key = added.as_ref().map_or(*key, |(added_key, _)| *added_key);
                if *key < added_key {
                    return self.own.next().map(|(key, value)| (key, TagValue::Text(value)));
                }
                if *key == added_key {
                    self.own.next();
                }
                added.take()
            }
            (Some(_), None) => self.own.next().map(|(key, value)| (key, TagValue::Text(value))),
            (None, Some(added)) => added.take(),
            (None, None) => None,
        }
    }
}

/// The value of a tag: text of the id or the statistic, or the name of a bucket or register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagValue<'a> {
    /// As it is.
    Text(&'a str),
    /// A letter and four hexadecimal digits, in ASCII.
    Bucket([u8; 5]),
    /// A letter and two hexadecimal digits, in ASCII.
    Register([u8; 3]),
}

impl TagValue<'_> {
    fn bucket(letter: u8, index: u16) -> TagValue<'static> {
        TagValue::Bucket([letter, digit(index >> 12), digit(index >> 8), digit(index >> 4), digit(index)])
    }

    fn register(index: u8) -> TagValue<'static> {
        TagValue::Register([b'R', digit(u16::from(index) >> 4), digit(index.into())])
    }

    /// The value as text.
    pub fn as_str(&self) -> &str {
        match self {
            TagValue::Text(text) => text,
            TagValue::Bucket(ascii) => std::str::from_utf8(ascii).unwrap_or_default(),
            TagValue::Register(ascii) => std::str::from_utf8(ascii).unwrap_or_default(),
        }
    }
}

/// The hexadecimal digit of the low four bits.
fn digit(value: u16) -> u8 {
    b"0123456789ABCDEF"[usize::from(value & 0xF)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(id: Id, statistic: Statistic) -> (String, Op) {
        let measurement = Measurement { id, statistic, value: 1.5 };
        (measurement.to_string(), measurement.op())
    }

    #[test]
    fn the_statistic_decides_how_values_are_put_together() {
        let id = || Id::new("n").with("z", "1").with("a", "2");
        assert_eq!(shown(id(), Statistic::Count), ("n,a=2,statistic=count,z=1 1.5".to_owned(), Op::Add));
        assert_eq!(shown(id(), Statistic::Gauge), ("n,a=2,statistic=gauge,z=1 1.5".to_owned(), Op::Max));
        assert_eq!(
            shown(id(), Statistic::PercentileTimer(0xAB)),
            ("n,a=2,percentile=T00AB,statistic=percentile,z=1 1.5".to_owned(), Op::Add)
        );
        assert_eq!(
            shown(id(), Statistic::Distinct(0x3F)),
            ("n,a=2,distinct=R3F,statistic=distinct,z=1 1.5".to_owned(), Op::Max)
        );
        let named = id().with("statistic", "duration");
        assert_eq!(Statistic::Count.unless_named_by(&named), Statistic::Own);
        assert_eq!(shown(named, Statistic::Own), ("n,a=2,statistic=duration,z=1 1.5".to_owned(), Op::Max));
    }

    #[test]
    fn a_statistic_replaces_the_one_that_the_id_has() {
        let id = Id::new("n").with("statistic", "mine").with("percentile", "x");
        assert_eq!(shown(id.clone(), Statistic::Max).0, "n,percentile=x,statistic=max 1.5");
        assert_eq!(
            shown(id, Statistic::PercentileSummary(1)).0,
            "n,percentile=D0001,statistic=percentile 1.5"
        );
    }
}
