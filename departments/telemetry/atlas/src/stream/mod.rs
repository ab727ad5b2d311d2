//! Expressions evaluated as data arrives.
//!
//! ```text
//! value ──► its series ──► which data expressions want it (once a series: index.rs) ──► value of its step
//!                                                             step closes ──► groups ──► the evaluator, with its memory
//! ```
//!
//! Nothing is polled: what a value costs depends on the expressions that want it, not on how many there are. Values come as the store
//! applies them, made rates and spread over steps already. When a step
//! closes, each series' value is folded into the groups of the data expressions that want it, and every expression is evaluated at
//! that one step by the evaluator that graphs use, with the memory of its functions kept from step to step. So a stream fed
//! from a window's first step gives, step by step, what a graph of that window gives (`tests/it/stream.rs`).
//!
//! Two things cannot be the same. `:stat`, `:filter` and `:topk` look at a whole line; a stream has one step at a time. And a datapoint
//! for a step that has closed is too late for the stream, not for the graph; such are counted.

mod index;

use std::collections::{BTreeMap, HashMap};

use backlot_series::{Grid, Tags, nan};
use jiff::tz::TimeZone;

pub use index::QueryIndex;

use crate::{Aggregate, DataExpr, Database, Error, Expr, Line, State, evaluate_with};

/// Steps after which a series or a group that has no values any more is forgotten: a day of minutes.
const REMEMBERED: i64 = 1440;

/// Most groups of one data expression: an alert on more lines is one that nobody reads.
pub const MOST_GROUPS: usize = 20_000;

/// Steps without any evaluation (a machine that slept) that are made up for. After more, functions begin anew.
const LONGEST_GAP: i64 = 120;

/// Steps that may be open at once: the present one, those around it, and what late publishers send.
const MOST_OPEN: usize = 16;

/// What a value does to the one that its series has in its step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// It takes its place.
    Set(f64),
    /// It is added.
    Add(f64),
    /// The larger stays.
    Max(f64),
}

/// An expression in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExprId(u64);

/// A data expression in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataId(u32);

/// What became of the datapoints so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken.
    pub taken: u64,
    /// For a step that had closed.
    pub late: u64,
    /// Of more series than are remembered.
    pub refused: u64,
}

/// Expressions, and what they need of the data that arrives.
pub struct Stream {
    step: i64,
    most_series: usize,
    zone: TimeZone,
    expressions: BTreeMap<ExprId, Evaluated>,
    next_expr: u64,
    data: Vec<Slot>,
    free_data: Vec<DataId>,
    by_expr: HashMap<DataExpr, DataId>,
    index: QueryIndex<DataId>,
    /// Grows when the data expressions change: series look again who wants them.
    generation: u64,
    /// By the store's numbers for them.
    series: HashMap<u32, Series>,
    open: BTreeMap<i64, Open>,
    /// The number of the last step that has closed.
    closed: Option<i64>,
    counts: Counts,
}

struct Evaluated {
    expr: Expr,
    data: Vec<DataId>,
    state: State,
}

/// A data expression, its groups, and their values of the step that is being closed.
struct Slot {
    expr: Option<DataExpr>,
    users: usize,
    groups: Vec<Group>,
    by_tags: HashMap<Tags, u32>,
    overflows: bool,
}

struct Group {
    tags: Tags,
    value: f64,
    last: i64,
}

struct Series {
    tags: Tags,
    generation: u64,
    wanted_by: Box<[(DataId, u32)]>,
    last: i64,
}

/// The values of a step: by series, and which series have one.
#[derive(Default)]
struct Open {
    values: HashMap<u32, f64>,
}

impl Stream {
    /// A stream of this step in milliseconds, which remembers at most so many series.
    pub fn new(step: i64, most_series: usize, zone: TimeZone) -> Self {
        Self {
            step,
            most_series,
            zone,
            expressions: BTreeMap::new(),
            next_expr: 1,
            data: Vec::new(),
            free_data: Vec::new(),
            by_expr: HashMap::new(),
            index: QueryIndex::default(),
            generation: 1,
            series: HashMap::new(),
            open: BTreeMap::new(),
            closed: None,
            counts: Counts::default(),
        }
    }

    /// What became of the datapoints so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many expressions are evaluated.
    pub fn len(&self) -> usize {
        self.expressions.len()
    }

    /// How many series are remembered.
    pub fn series(&self) -> usize {
        self.series.len()
    }

    /// Whether nobody wants anything.
    pub fn is_empty(&self) -> bool {
        self.expressions.is_empty() && self.by_expr.is_empty()
    }

    /// Adds an expression; it is evaluated from the next step that closes.
    pub fn add(&mut self, expr: Expr) -> ExprId {
        let own: Vec<DataExpr> = expr.data().into_iter().filter(|data| data.offset == 0).cloned().collect();
        let data = own.into_iter().map(|data| self.watch(data)).collect();
        let id = ExprId(self.next_expr);
        self.next_expr += 1;
        self.expressions.insert(id, Evaluated { expr, data, state: State::default() });
        id
    }

    /// Removes an expression.
    pub fn remove(&mut self, id: ExprId) {
        if let Some(gone) = self.expressions.remove(&id) {
            for data in gone.data {
                self.unwatch(data);
            }
        }
    }

    /// Wants the groups of a data expression in each step, once more.
    pub fn watch(&mut self, expr: DataExpr) -> DataId {
        if let Some(id) = self.by_expr.get(&expr) {
            self.data[id.0 as usize].users += 1;
            return *id;
        }
        let slot = Slot {
            expr: Some(expr.clone()),
            users: 1,
            groups: Vec::new(),
            by_tags: HashMap::new(),
            overflows: false,
        };
        let id = match self.free_data.pop() {
            Some(id) => {
                self.data[id.0 as usize] = slot;
                id
            }
            None => {
                self.data.push(slot);
                DataId(self.data.len() as u32 - 1)
            }
        };
        self.index.insert(&expr.query, id);
        self.by_expr.insert(expr, id);
        self.generation += 1;
        id
    }

    /// Wants them once less.
    pub fn unwatch(&mut self, id: DataId) {
        let slot = &mut self.data[id.0 as usize];
        slot.users = slot.users.saturating_sub(1);
        if slot.users > 0 {
            return;
        }
        if let Some(expr) = slot.expr.take() {
            slot.groups = Vec::new();
            slot.by_tags = HashMap::new();
            self.index.remove(&expr.query, id);
            self.by_expr.remove(&expr);
            self.free_data.push(id);
            self.generation += 1;
        }
    }

    /// Gives an expression the memory that it would have if it had been there before: evaluates it over the past. The
    /// window ends where the stream goes on. Its lines are given to whoever wants to go on from them.
    ///
    /// # Errors
    /// Whatever the store refuses.
    pub fn warm(&mut self, id: ExprId, past: &dyn Database, grid: Grid) -> Result<Vec<Line>, Error> {
        let Some(evaluated) = self.expressions.get_mut(&id) else { return Ok(Vec::new()) };
        let mut state = State::default();
        let lines = evaluate_with(&evaluated.expr, past, grid, &self.zone, &mut state)?;
        evaluated.state = state;
        let ids = evaluated.data.clone();
        let last = Grid::new(grid.last(), grid.step, 1);
        for id in ids {
            let slot = &mut self.data[id.0 as usize];
            let Some(expr) = slot.expr.clone() else { continue };
            // The groups that a graph would show, so that the stream shows their absence too.
            for line in past.lines(&expr, last)? {
                if line.label() != "NO DATA" {
                    slot.group(line.tags, grid.last().div_euclid(self.step));
                }
            }
        }
        Ok(lines)
    }

    /// Takes a value of a series for the step that ends at `end`. The series is called by its store's number for it; `tags` is
    /// asked for what it is only once.
    pub fn update(&mut self, id: u32, end: i64, input: Input, tags: impl FnOnce() -> Option<Tags>) {
        let number = end.div_euclid(self.step);
        if self.closed.is_some_and(|closed| number <= closed)
            || (self.open.len() >= MOST_OPEN && !self.open.contains_key(&number))
        {
            self.counts.late += 1;
            return;
        }
        if let Some(series) = self.series.get_mut(&id) {
            series.last = series.last.max(number);
        } else if self.series.len() >= self.most_series {
            self.counts.refused += 1;
            return;
        } else if let Some(tags) = tags() {
            self.series.insert(id, Series { tags, generation: 0, wanted_by: Box::default(), last: number });
        } else {
            return;
        }
        let value = self.open.entry(number).or_default().values.entry(id).or_insert(f64::NAN);
        *value = match input {
            Input::Set(new) => new,
            Input::Add(more) => nan::add(*value, more),
            Input::Max(new) => nan::max(*value, new),
        };
        self.counts.taken += 1;
    }

    /// Finds the groups that a series belongs to, if the data expressions have changed since it was last looked at.
    fn look_who_wants(&mut self, id: u32) {
        let Some(series) = self.series.get_mut(&id).filter(|series| series.generation != self.generation)
        else {
            return;
        };
        let mut wanted_by = Vec::new();
        let data = &mut self.data;
        self.index.find(&series.tags, |id| {
            let slot = &mut data[id.0 as usize];
            let group = slot.expr.as_ref().and_then(|expr| expr.group(&series.tags));
            if let Some(tags) = group
                && let Some(position) = slot.group(tags, series.last)
            {
                wanted_by.push((id, position));
            }
        });
        series.wanted_by = wanted_by.into_boxed_slice();
        series.generation = self.generation;
    }

    /// The last step that has closed.
    pub fn closed(&self) -> Option<i64> {
        self.closed.map(|number| number * self.step)
    }

    /// Closes every step that ends by `end`, one after the other, and gives what each expression is there. `past` answers what
    /// looks back (`:offset`).
    pub fn close(
        &mut self,
        end: i64,
        past: &dyn Database,
        mut each: impl FnMut(ExprId, i64, Result<Vec<Line>, Error>),
        mut watched: impl FnMut(&Self, i64),
    ) {
        let last = end.div_euclid(self.step);
        let mut number = self.closed.map_or(last, |closed| closed + 1);
        if last - number >= LONGEST_GAP {
            number = last;
            for evaluated in self.expressions.values_mut() {
                evaluated.state = State::default();
            }
        }
        while number <= last {
            // What was open before is too late by now.
            while self.open.first_key_value().is_some_and(|(first, _)| *first < number) {
                self.open.pop_first();
            }
            self.gather(number);
            let grid = Grid::new(number * self.step, self.step, 1);
            let mut expressions = std::mem::take(&mut self.expressions);
            for (id, evaluated) in &mut expressions {
                let database = StepData { stream: self, past };
                let lines = evaluate_with(&evaluated.expr, &database, grid, &self.zone, &mut evaluated.state);
                each(*id, grid.start, lines);
            }
            self.expressions = expressions;
            watched(self, grid.start);
            self.closed = Some(number);
            if number % 60 == 0 {
                self.forget(number);
            }
            number += 1;
        }
    }

    /// Folds the values of a step into groups.
    fn gather(&mut self, number: i64) {
        for slot in &mut self.data {
            for group in &mut slot.groups {
                group.value = f64::NAN;
            }
        }
        let Some(open) = self.open.remove(&number) else { return };
        // In the order of the series, so that sums have the same bits every time.
        let mut values: Vec<(u32, f64)> = open.values.into_iter().collect();
        values.sort_unstable_by_key(|(id, _)| *id);
        for (id, value) in values {
            self.look_who_wants(id);
            let Some(series) = self.series.get(&id) else { continue };
            for &(data, position) in &series.wanted_by {
                let slot = &mut self.data[data.0 as usize];
                let Some(aggregate) = slot.expr.as_ref().map(|expr| expr.aggregate) else { continue };
                let Some(group) = slot.groups.get_mut(position as usize) else { continue };
                group.last = number;
                group.value = match aggregate {
                    Aggregate::Sum | Aggregate::All => nan::add(group.value, value),
                    Aggregate::Count => nan::add(group.value, nan::present(value)),
                    Aggregate::Min => nan::min(group.value, value),
                    Aggregate::Max => nan::max(group.value, value),
                };
            }
        }
    }

    /// The groups of a data expression that have a value in the step that is being closed.
    pub fn values(&self, id: DataId) -> impl Iterator<Item = (&Tags, f64)> {
        let groups = self.data.get(id.0 as usize).map_or(&[][..], |slot| &slot.groups[..]);
        groups.iter().filter(|group| !group.value.is_nan()).map(|group| (&group.tags, group.value))
    }

    /// Forgets series and groups that have had no values for long.
    fn forget(&mut self, number: i64) {
        let oldest = number - REMEMBERED;
        self.series.retain(|_, series| series.last >= oldest);
        let mut moved = false;
        for slot in &mut self.data {
            if slot.groups.iter().any(|group| group.last < oldest) || slot.overflows {
                slot.groups.retain(|group| group.last >= oldest);
                slot.by_tags = slot
                    .groups
                    .iter()
                    .enumerate()
                    .map(|(at, group)| (group.tags.clone(), at as u32))
                    .collect();
                slot.overflows = false;
                moved = true;
            }
        }
        if moved {
            self.generation += 1;
        }
    }
}

impl Slot {
    fn group(&mut self, tags: Tags, number: i64) -> Option<u32> {
        if let Some(position) = self.by_tags.get(&tags) {
            return Some(*position);
        }
        if self.groups.len() >= MOST_GROUPS {
            self.overflows = true;
            return None;
        }
        let position = self.groups.len() as u32;
        self.groups.push(Group { tags: tags.clone(), value: f64::NAN, last: number });
        self.by_tags.insert(tags, position);
        Some(position)
    }
}

/// A stream's groups at the step that is being closed, as a store.
struct StepData<'a> {
    stream: &'a Stream,
    past: &'a dyn Database,
}

impl Database for StepData<'_> {
    fn lines(&self, data: &DataExpr, grid: Grid) -> Result<Vec<Line>, Error> {
        if data.offset != 0 {
            return self.past.lines(data, grid);
        }
        let slot = self.stream.by_expr.get(data).map(|id| &self.stream.data[id.0 as usize]);
        let Some(slot) = slot else { return Ok(data.no_data(grid)) };
        if slot.overflows {
            return Err(Error::TooLarge(format!(
                "the expression has more than {MOST_GROUPS} lines; group by fewer keys"
            )));
        }
        Ok(data.lines(grid, slot.groups.iter().map(|group| (group.tags.clone(), vec![group.value]))))
    }
}

/// A past that nobody remembers.
pub struct NoPast;

impl Database for NoPast {
    fn lines(&self, data: &DataExpr, grid: Grid) -> Result<Vec<Line>, Error> {
        Ok(data.no_data(grid))
    }
}
