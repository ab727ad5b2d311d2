//! Data expressions: what is asked of a store.

use std::fmt;
use std::sync::Arc;

use backlot_series::{Consolidation, Grid, Query, Tags, nan};

use crate::time::duration_text;
use crate::{Error, Line};

/// How the values of all fulfilling series become those of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// Their sum.
    Sum,
    /// How many have a value.
    Count,
    /// The least.
    Min,
    /// The largest.
    Max,
    /// Not at all: each series is a line.
    All,
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sum => "sum",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::All => "all",
        })
    }
}

impl Aggregate {
    /// How steps are made wider, where the expression does not say.
    pub fn consolidation(self) -> Consolidation {
        match self {
            Self::Sum | Self::Count => Consolidation::Average,
            Self::All => Consolidation::Sum,
            Self::Min => Consolidation::Min,
            Self::Max => Consolidation::Max,
        }
    }
}

/// A query, an aggregate, and how both are modified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DataExpr {
    /// Which series.
    pub query: Query,
    /// What becomes of them.
    pub aggregate: Aggregate,
    /// How steps are made wider; by default as fits the aggregate.
    pub consolidation: Option<Consolidation>,
    /// Keys by whose values lines are kept apart; none for one line of all.
    pub keys: Vec<Arc<str>>,
    /// How much earlier the data is, in milliseconds.
    pub offset: i64,
}

impl DataExpr {
    /// An aggregate of what fulfils a query.
    pub fn new(query: Query, aggregate: Aggregate) -> Self {
        Self { query, aggregate, consolidation: None, keys: Vec::new(), offset: 0 }
    }

    /// How steps are made wider.
    pub fn consolidation(&self) -> Consolidation {
        self.consolidation.unwrap_or_else(|| self.aggregate.consolidation())
    }

    /// The label of a line with these tags.
    pub fn label(&self, tags: &Tags) -> String {
        let label = if !self.keys.is_empty() {
            group_label(&self.keys, tags).unwrap_or_default()
        } else if self.aggregate == Aggregate::All {
            tags.to_string()
        } else {
            format!("{}({})", self.aggregate, self.query.label())
        };
        if self.offset == 0 { label } else { format!("{label} (offset={})", duration_text(self.offset)) }
    }

    /// The tags of the group that a series belongs to: the keys that the query fixes and those by which lines are kept apart;
    /// `None` for a series that lacks one of the latter.
    pub fn group(&self, tags: &Tags) -> Option<Tags> {
        if self.aggregate == Aggregate::All && self.keys.is_empty() {
            return Some(tags.clone());
        }
        if self.keys.iter().any(|key| tags.get(key).is_none()) {
            return None;
        }
        let exact = self.query.exact();
        let group =
            tags.only(|key| exact.get(key).is_some() || self.keys.iter().any(|wanted| &**wanted == key));
        Some(if group.is_empty() { Tags::new([("name", "unknown")]) } else { group })
    }

    /// The lines of a store that has no series for it: one that says so, or none where lines are kept apart.
    pub fn no_data(&self, grid: Grid) -> Vec<Line> {
        if !self.keys.is_empty() || self.aggregate == Aggregate::All {
            return Vec::new();
        }
        let exact = self.query.exact();
        let tags = if exact.is_empty() { Tags::new([("name", "NO_DATA")]) } else { exact };
        vec![Line::new(tags, Some("NO DATA".to_owned()), vec![f64::NAN; grid.len])]
    }

    /// Aggregates series, given with their columns on the finer grid of `multiple` points for each of the result's. For
    /// stores; `None` stands for a column without values.
    pub fn collect<'a>(
        &self,
        grid: Grid,
        multiple: usize,
        series: impl IntoIterator<Item = (&'a Tags, Option<&'a [f64]>)>,
    ) -> Vec<Line> {
        let mut groups = std::collections::BTreeMap::<Tags, Vec<f64>>::new();
        for (tags, column) in series {
            let Some(group) = self.group(tags) else { continue };
            let sums = groups.entry(group).or_insert_with(|| vec![f64::NAN; grid.len]);
            if let Some(column) = column {
                self.fold(sums, column, multiple);
            }
        }
        self.lines(grid, groups)
    }

    /// Folds one series' column into a line's.
    pub fn fold(&self, line: &mut [f64], column: &[f64], multiple: usize) {
        let counted: Vec<f64>;
        let column = if self.aggregate == Aggregate::Count {
            counted = column.iter().map(|&value| nan::present(value)).collect();
            &counted
        } else {
            column
        };
        let wider: Vec<f64>;
        let column = if multiple > 1 {
            wider = self.consolidation().apply(column, multiple);
            &wider
        } else {
            column
        };
        match self.aggregate {
            Aggregate::Sum | Aggregate::Count | Aggregate::All => nan::add_all(line, column),
            Aggregate::Min => nan::fold_all(line, column, nan::min),
            Aggregate::Max => nan::fold_all(line, column, nan::max),
        }
    }

    /// The groups as labelled lines, in the order of their labels.
    pub fn lines(&self, grid: Grid, groups: impl IntoIterator<Item = (Tags, Vec<f64>)>) -> Vec<Line> {
        let line =
            |(tags, values): (Tags, Vec<f64>)| Line::new(tags.clone(), Some(self.label(&tags)), values);
        let mut lines: Vec<Line> = groups.into_iter().map(line).collect();
        lines.sort_by_cached_key(Line::label);
        if lines.is_empty() { self.no_data(grid) } else { lines }
    }
}

/// `(k=v k2=v2)`; `None` if a key is missing.
pub(crate) fn group_label(keys: &[Arc<str>], tags: &Tags) -> Option<String> {
    let pairs: Option<Vec<String>> =
        keys.iter().map(|key| tags.get(key).map(|value| format!("{key}={value}"))).collect();
    pairs.map(|pairs| format!("({})", pairs.join(" ")))
}

impl fmt::Display for DataExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},:{}", self.query, self.aggregate)?;
        if let Some(consolidation) = self.consolidation {
            write!(f, ",:cf-{consolidation}")?;
        }
        if !self.keys.is_empty() {
            write!(f, ",{},:by", crate::expr::ListText(&self.keys))?;
        }
        if self.offset != 0 {
            write!(f, ",{},:offset", duration_text(self.offset))?;
        }
        Ok(())
    }
}

/// What answers data expressions: a store.
pub trait Database {
    /// The lines of a data expression, each with one value for each point of the grid. The expression's offset has been
    /// taken account of: the grid is the one to read.
    ///
    /// # Errors
    /// A grid that cannot be served, more data than a request may read, a store that cannot be read.
    fn lines(&self, data: &DataExpr, grid: Grid) -> Result<Vec<Line>, Error>;

    /// The narrowest step in milliseconds at which what was written at a time is still kept; a graph that begins there has no
    /// narrower one. Zero, if the store keeps everything as it is.
    fn step_at(&self, _time: i64) -> i64 {
        0
    }
}
