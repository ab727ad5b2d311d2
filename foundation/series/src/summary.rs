//! Statistics of a column.

use std::fmt;
use std::str::FromStr;

use crate::nan;

/// One statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// The mean of the values there are.
    Average,
    /// The largest.
    Max,
    /// The least.
    Min,
    /// The last value there is.
    Last,
    /// How many values there are.
    Count,
    /// Their sum.
    Total,
}

impl FromStr for Statistic {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Ok(match word {
            "avg" => Self::Average,
            "max" => Self::Max,
            "min" => Self::Min,
            "last" => Self::Last,
            "count" => Self::Count,
            "total" => Self::Total,
            _ => return Err(()),
        })
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Average => "avg",
            Self::Max => "max",
            Self::Min => "min",
            Self::Last => "last",
            Self::Count => "count",
            Self::Total => "total",
        })
    }
}

/// The statistics of a column. All but the count are NaN where there is no value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many values there are.
    pub count: u64,
    /// Their sum.
    pub total: f64,
    /// The largest.
    pub max: f64,
    /// The least.
    pub min: f64,
    /// The last.
    pub last: f64,
}

impl Summary {
    /// Of these values.
    pub fn of(values: &[f64]) -> Self {
        let none = Self { count: 0, total: f64::NAN, max: f64::NAN, min: f64::NAN, last: f64::NAN };
        values.iter().filter(|value| !value.is_nan()).fold(none, |sum, &value| Self {
            count: sum.count + 1,
            total: nan::add(sum.total, value),
            max: nan::max(sum.max, value),
            min: nan::min(sum.min, value),
            last: value,
        })
    }

    /// The mean of the values there are.
    pub fn average(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.total / self.count as f64 }
    }

    /// One of them.
    pub fn get(&self, statistic: Statistic) -> f64 {
        match statistic {
            Statistic::Average => self.average(),
            Statistic::Max => self.max,
            Statistic::Min => self.min,
            Statistic::Last => self.last,
            Statistic::Count => self.count as f64,
            Statistic::Total => self.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_that_are_there_count() {
        let summary = Summary::of(&[f64::NAN, 3.0, 1.0, f64::NAN]);
        assert_eq!(
            (summary.count, summary.total, summary.max, summary.min, summary.last),
            (2, 4.0, 3.0, 1.0, 1.0)
        );
        assert_eq!(summary.average(), 2.0);
        let none = Summary::of(&[f64::NAN]);
        assert!(none.count == 0 && none.average().is_nan() && none.last.is_nan());
        assert_eq!("last".parse(), Ok(Statistic::Last));
    }
}
