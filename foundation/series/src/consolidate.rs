//! Fewer, wider steps.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the values of several steps become the value of one. Steps without any value have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consolidation {
    /// The sum over *all* steps, a missing one read as zero, divided by their number: right for rates.
    #[default]
    #[serde(rename = "avg")]
    Average,
    /// The sum of the values there are.
    Sum,
    /// The least value.
    Min,
    /// The largest value.
    Max,
}

impl Consolidation {
    /// One value of these.
    pub fn one(self, values: &[f64]) -> f64 {
        let fold = |combine: fn(f64, f64) -> f64| values.iter().copied().fold(f64::NAN, combine);
        match self {
            Self::Average => fold(crate::nan::add) / values.len() as f64,
            Self::Sum => fold(crate::nan::add),
            Self::Min => fold(crate::nan::min),
            Self::Max => fold(crate::nan::max),
        }
    }

    /// A column with `multiple` steps made one. A last, shorter group counts the steps that it lacks as missing.
    pub fn apply(self, values: &[f64], multiple: usize) -> Vec<f64> {
        if multiple <= 1 {
            return values.to_vec();
        }
        let group = |group: &[f64]| {
            let short = group.len() as f64 / multiple as f64;
            let value = self.one(group);
            if self == Self::Average { value * short } else { value }
        };
        values.chunks(multiple).map(group).collect()
    }
}

/// The word for it: `avg`, `sum`, `min`, `max`.
impl fmt::Display for Consolidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Average => "avg",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_step_counts_in_an_average_and_only_there() {
        let column = [2.0, f64::NAN, 4.0];
        let of = |how: Consolidation| how.apply(&column, 3)[0];
        assert_eq!(of(Consolidation::Average), 2.0);
        assert_eq!(of(Consolidation::Sum), 6.0);
        assert_eq!(of(Consolidation::Min), 2.0);
        assert_eq!(of(Consolidation::Max), 4.0);
        assert!(Consolidation::Average.one(&[f64::NAN; 3]).is_nan());
        assert_eq!(Consolidation::Average.apply(&[3.0, 3.0, 3.0], 2), [3.0, 1.5]);
    }
}
