//! Reading: lines of data expressions.

use std::collections::HashMap;

use backlot_atlas::{Aggregate, DataExpr, Database, Error, Line};
use backlot_series::{Grid, Tags, nan};

use super::series::SeriesData;
use super::{Inner, Store};

/// What one query may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Most values that are read from series.
    pub values: usize,
    /// Most lines that come of a data expression.
    pub lines: usize,
}

impl Default for ReadLimits {
    /// Half a gigabyte of doubles; as many lines as a graph could never show.
    fn default() -> Self {
        Self { values: 64 << 20, lines: 100_000 }
    }
}

impl Database for Store {
    fn step_at(&self, time: i64) -> i64 {
        Store::step_at(self, time)
    }

    fn lines(&self, data: &DataExpr, grid: Grid) -> Result<Vec<Line>, Error> {
        let step = self.options.step;
        if grid.step % step != 0 {
            return Err(Error::Argument(format!(
                "requirement failed: the step must be a multiple of {step} ms"
            )));
        }
        let multiple = usize::try_from(grid.step / step).unwrap_or(1);
        let fine = grid.refined(multiple);
        let inner = self.read();
        let mut tier = self.read_tier(&inner, grid);
        let rolled = tier.as_ref().map_or(0, |tier| tier.points);
        let ids = inner.index.find(&data.query);
        let each = (rolled + (grid.len - rolled) * multiple) as u64;
        if ids.len().saturating_mul(each) > self.options.limits.values as u64 {
            return Err(Error::TooLarge(format!(
                "{} series of {each} steps each are more than {} values; narrow the query or the time",
                ids.len(),
                self.options.limits.values
            )));
        }
        let mut groups = Groups::new(data, self.options.limits.lines);
        let mut reader = Reader {
            data,
            multiple,
            first: fine.start.div_euclid(step) + (rolled * multiple) as i64,
            column: vec![f64::NAN; fine.len - rolled * multiple],
            scratch: Vec::new(),
        };
        for id in ids {
            let Some(series) = inner.series.get(id as usize).and_then(Option::as_ref) else { continue };
            if let Some(group) = groups.of(&series.tags, grid.len)? {
                if let Some(tier) = &mut tier {
                    tier.add(series, data, &mut group[..rolled]);
                }
                reader.add(series, &mut group[rolled..]);
            }
        }
        Ok(data.lines(grid, groups.into_lines()))
    }
}

/// The groups that series belong to, without building the tags of a group for each of its series.
struct Groups<'a> {
    data: &'a DataExpr,
    most: usize,
    by_values: HashMap<Vec<std::sync::Arc<str>>, usize>,
    lines: Vec<(Tags, Vec<f64>)>,
}

impl<'a> Groups<'a> {
    fn new(data: &'a DataExpr, most: usize) -> Self {
        Self { data, most, by_values: HashMap::new(), lines: Vec::new() }
    }

    fn of(&mut self, tags: &Tags, len: usize) -> Result<Option<&mut Vec<f64>>, Error> {
        let is_each = self.data.aggregate == Aggregate::All;
        let position = if is_each {
            None
        } else if self.data.keys.is_empty() {
            (!self.lines.is_empty()).then_some(0)
        } else {
            let values: Option<Vec<_>> = self.data.keys.iter().map(|key| tags.shared(key).cloned()).collect();
            let Some(values) = values else { return Ok(None) };
            let next = self.lines.len();
            let position = *self.by_values.entry(values).or_insert(next);
            (position < next).then_some(position)
        };
        let position = match position {
            Some(position) => position,
            None => {
                if self.lines.len() == self.most {
                    return Err(Error::TooLarge(format!(
                        "the expression has more than {} lines; group by fewer keys",
                        self.most
                    )));
                }
                let Some(group) = self.data.group(tags) else { return Ok(None) };
                self.lines.push((group, vec![f64::NAN; len]));
                self.lines.len() - 1
            }
        };
        Ok(Some(&mut self.lines[position].1))
    }

    fn into_lines(self) -> Vec<(Tags, Vec<f64>)> {
        self.lines
    }
}

struct Reader<'a> {
    data: &'a DataExpr,
    multiple: usize,
    first: i64,
    column: Vec<f64>,
    scratch: Vec<f64>,
}

impl Reader<'_> {
    fn add(&mut self, series: &SeriesData, line: &mut [f64]) {
        // The common case, a sum of recent values at the store's own step, needs no copy.
        if self.multiple == 1
            && matches!(self.data.aggregate, Aggregate::Sum | Aggregate::All)
            && series.is_raw_from(self.first)
        {
            let end = self.first + self.column.len() as i64;
            for (from, values) in series.raw_parts(self.first, end) {
                nan::add_all(&mut line[(from - self.first) as usize..], values);
            }
            return;
        }
        series.read(self.first, &mut self.column, &mut self.scratch);
        self.data.fold(line, &self.column, self.multiple);
    }
}

/// Which series make up the lines of a data expression, kept from step to step: what an alert reads costs as much as its series,
/// not as much as a search.
#[derive(Debug, Default)]
pub struct Membership {
    generation: Option<u64>,
    groups: Vec<(Tags, Vec<u32>)>,
}

impl Store {
    /// The lines of a data expression at one step of the store.
    ///
    /// # Errors
    /// Too many lines.
    pub fn lines_at(&self, data: &DataExpr, time: i64, members: &mut Membership) -> Result<Vec<Line>, Error> {
        let inner = self.read();
        if members.generation != Some(inner.generation) {
            members.groups = self.members(&inner, data)?;
            members.generation = Some(inner.generation);
        }
        let step = time.div_euclid(self.options.step);
        let grid = Grid::new(time, self.options.step, 1);
        let mut scratch = Vec::new();
        let mut value = |ids: &[u32]| {
            let mut line = [f64::NAN];
            for id in ids {
                if let Some(series) = inner.series.get(*id as usize).and_then(Option::as_ref) {
                    data.fold(&mut line, &[series.value(step, &mut scratch)], 1);
                }
            }
            line.to_vec()
        };
        let lines: Vec<_> = members.groups.iter().map(|(tags, ids)| (tags.clone(), value(ids))).collect();
        Ok(data.lines(grid, lines))
    }

    fn members(&self, inner: &Inner, data: &DataExpr) -> Result<Vec<(Tags, Vec<u32>)>, Error> {
        let mut groups: HashMap<Tags, Vec<u32>> = HashMap::new();
        for id in inner.index.find(&data.query) {
            let group = inner
                .series
                .get(id as usize)
                .and_then(Option::as_ref)
                .and_then(|series| data.group(&series.tags));
            if let Some(group) = group {
                groups.entry(group).or_default().push(id);
            }
        }
        if groups.len() > self.options.limits.lines {
            return Err(Error::TooLarge(format!(
                "the expression has more than {} lines; group by fewer keys",
                self.options.limits.lines
            )));
        }
        Ok(groups.into_iter().collect())
    }
}
