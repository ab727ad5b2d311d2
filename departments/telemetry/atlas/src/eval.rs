//! From an expression and a store to lines.
//!
//! A graph evaluates all steps of its window at once; a stream evaluates one step at a time and keeps the [`State`] between.
//! Both take the same path, so what an alert sees is what its graph shows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use backlot_series::window::{self, Online};
use backlot_series::{Grid, Query, Summary, Tags, nan};
use jiff::tz::TimeZone;

use crate::data::{Aggregate, DataExpr, Database, group_label};
use crate::expr::{Best, Binary, Kind, Others, Priority, TimeField, Window, left_leads};
use crate::{Error, Expr, number, percentile, time};

/// Most values that evaluating one expression holds at once: half a gigabyte of doubles.
const MOST_VALUES: usize = 64 << 20;

/// A line: tags, a label and a value for each step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// What it is of.
    pub tags: Tags,
    label: Option<String>,
    /// The values; NaN where there is none.
    pub values: Vec<f64>,
}

impl Line {
    /// A line; without a label it is called by its tags.
    pub fn new(tags: Tags, label: Option<String>, values: Vec<f64>) -> Self {
        Self { tags, label, values }
    }

    /// What it is called.
    pub fn label(&self) -> String {
        self.label.clone().unwrap_or_else(|| self.tags.to_string())
    }

    fn of_values(&self, values: Vec<f64>) -> Self {
        Self { tags: self.tags.clone(), label: None, values }
    }
}

/// What functions of earlier values remember between evaluations.
#[derive(Default)]
pub struct State {
    functions: Vec<HashMap<Tags, Box<dyn Online>>>,
}

impl State {
    /// How many lines are remembered.
    pub fn len(&self) -> usize {
        self.functions.iter().map(HashMap::len).sum()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.functions.iter().all(HashMap::is_empty)
    }
}

/// Evaluates an expression over a window.
///
/// # Errors
/// Whatever the store refuses; lines that cannot be joined; too many values.
pub fn evaluate(
    expr: &Expr,
    database: &dyn Database,
    grid: Grid,
    zone: &TimeZone,
) -> Result<Vec<Line>, Error> {
    evaluate_with(expr, database, grid, zone, &mut State::default())
}

/// Evaluates the next part of a stream: the window must begin where the last one ended.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_with(
    expr: &Expr,
    database: &dyn Database,
    grid: Grid,
    zone: &TimeZone,
    state: &mut State,
) -> Result<Vec<Line>, Error> {
    let mut evaluation =
        Evaluation { database, grid, zone, state, read: HashMap::new(), values: 0, window: 0 };
    evaluation.lines(expr)
}

struct Evaluation<'a> {
    database: &'a dyn Database,
    grid: Grid,
    zone: &'a TimeZone,
    state: &'a mut State,
    /// What has been read: an expression often stands in a text more than once.
    read: HashMap<DataExpr, Arc<Vec<Line>>>,
    /// How many values have been made.
    values: usize,
    /// How many functions of earlier values have been met: the position of a function's memory.
    window: usize,
}

impl Evaluation<'_> {
    fn lines(&mut self, expr: &Expr) -> Result<Vec<Line>, Error> {
        let lines = self.lines_of(expr)?;
        self.values += lines.len() * self.grid.len;
        if self.values > MOST_VALUES {
            return Err(Error::TooLarge(format!(
                "the expression makes more than {MOST_VALUES} values; ask for fewer lines or wider steps"
            )));
        }
        Ok(lines)
    }

    fn lines_of(&mut self, expr: &Expr) -> Result<Vec<Line>, Error> {
        let step = self.grid.step;
        match expr.kind() {
            Kind::Data(data) => self.data(data),
            Kind::Constant(value) => {
                let name = number::text(*value);
                Ok(vec![self.function(&name, |_| *value)])
            }
            Kind::Random => Ok(vec![self.function("random", |time| random(time, 0))]),
            Kind::SeededRandom(seed) => Ok(vec![
                self.function(&format!("seeded-random({seed})"), |time| random(time, i64::from(*seed))),
            ]),
            Kind::Time(field) => Ok(vec![self.function(field.name(), |time| time_field(*field, time))]),
            Kind::TimeSpan(start, end) => {
                let references = [("gs", self.grid.start), ("ge", self.grid.last())];
                let (first, last) = time::window_with(start, end, self.zone, self.grid.last(), &references)?;
                if first > last {
                    return Err(Error::argument("requirement failed: start must be <= end"));
                }
                Ok(vec![self.function(&format!("{start} to {end}"), |time| {
                    f64::from(u8::from((first..=last).contains(&time)))
                })])
            }
            Kind::Unary(function, inner) => {
                let lines = self.lines(inner)?;
                let apply = |line: Line| {
                    let values = line.values.iter().map(|&value| function.apply(value, step)).collect();
                    line.of_values(values)
                };
                Ok(lines.into_iter().map(apply).collect())
            }
            Kind::Rename(inner, from, to) => {
                let rename = |line: Line| match line.tags.shared(from).cloned() {
                    Some(value) => Line { tags: line.tags.without(from).with(to.clone(), value), ..line },
                    None => line,
                };
                Ok(self.lines(inner)?.into_iter().map(rename).collect())
            }
            Kind::Binary(function, left, right) => self.binary(*function, left, right),
            Kind::Aggregate(aggregate, inner, keys) => self.aggregate(*aggregate, inner, keys),
            Kind::Percentiles(data, wanted) => {
                let lines = self.data(data)?;
                Ok(percentile::estimate(data, wanted, &lines, self.grid))
            }
            Kind::Window(function, inner) => self.windowed(*function, inner),
            Kind::Stat(statistic, inner) => {
                let of = |line: Line| {
                    let value = Summary::of(&line.values).get(*statistic);
                    let label = format!("stat-{statistic}({})", line.label());
                    Line { label: Some(label), values: vec![value; line.values.len()], ..line }
                };
                Ok(self.lines(inner)?.into_iter().map(of).collect())
            }
            // Outside of a filter there is no line that it could be of.
            Kind::StatOf(_) => Ok(Vec::new()),
            Kind::Filter(inner, condition) => self.filter(inner, condition),
            Kind::Priority(priority, inner) => {
                let lines = self.lines(inner)?;
                Ok(prioritise(*priority, lines, inner.grouping(), self.grid.len))
            }
            Kind::Named(named) => self.lines(&named.expr),
        }
    }

    fn function(&self, name: &str, value: impl Fn(i64) -> f64) -> Line {
        named(name, self.grid.times().map(value).collect())
    }

    fn data(&mut self, data: &DataExpr) -> Result<Vec<Line>, Error> {
        if let Some(lines) = self.read.get(data) {
            return Ok(lines.to_vec());
        }
        let lines = self.database.lines(data, self.grid.earlier(data.offset))?;
        self.read.insert(data.clone(), Arc::new(lines.clone()));
        Ok(lines)
    }

    fn binary(&mut self, function: Binary, left: &Expr, right: &Expr) -> Result<Vec<Line>, Error> {
        let (ours, theirs) = (self.lines(left)?, self.lines(right)?);
        let lead = left_leads(left, right);
        let (leading, joined, keys) =
            if lead { (ours, theirs, right.grouping()) } else { (theirs, ours, left.grouping()) };
        let mut by_key: HashMap<Option<String>, Vec<usize>> = HashMap::new();
        for (position, line) in joined.iter().enumerate() {
            by_key.entry(join_key(keys, &line.tags)).or_default().push(position);
        }
        let mut lines = Vec::with_capacity(leading.len());
        for line in leading {
            match by_key.get(&join_key(keys, &line.tags)).map(Vec::as_slice) {
                None => {}
                Some(&[position]) => {
                    let other = &joined[position].values;
                    let (a, b) = if lead { (&line.values, other) } else { (other, &line.values) };
                    let values = a.iter().zip(b).map(|(&a, &b)| function.apply(a, b)).collect();
                    lines.push(line.of_values(values));
                }
                Some(_) => {
                    return Err(Error::state(
                        "too many values for key; a side has several lines for one group",
                    ));
                }
            }
        }
        Ok(lines)
    }

    fn aggregate(
        &mut self,
        aggregate: Aggregate,
        inner: &Expr,
        keys: &[Arc<str>],
    ) -> Result<Vec<Line>, Error> {
        let lines = self.lines(inner)?;
        if keys.is_empty() {
            let Some(first) = lines.first() else { return Ok(vec![named_no_data(self.grid.len)]) };
            let tags = match inner.data().first() {
                Some(data) => exact_only(&first.tags, &data.query),
                None => first.tags.clone(),
            };
            let label = format!("{aggregate}({tags})");
            let values = fold(aggregate, lines.iter(), self.grid.len);
            return Ok(vec![Line::new(tags, Some(label), values)]);
        }
        let mut common: Option<Vec<Arc<str>>> = None;
        for data in inner.data() {
            let exact = data.query.exact();
            common = Some(match common {
                None => exact.pairs().iter().map(|(key, _)| key.clone()).collect(),
                Some(keys) => keys.into_iter().filter(|key| exact.get(key).is_some()).collect(),
            });
        }
        let common = common.unwrap_or_default();
        let mut groups: BTreeMap<String, Vec<&Line>> = BTreeMap::new();
        for line in &lines {
            if let Some(label) = group_label(keys, &line.tags) {
                groups.entry(label).or_default().push(line);
            }
        }
        let group = |(label, lines): (String, Vec<&Line>)| {
            let tags = lines[0].tags.only(|key| keys.iter().chain(&common).any(|kept| &**kept == key));
            Line::new(tags, Some(label), fold(aggregate, lines.into_iter(), self.grid.len))
        };
        Ok(groups.into_iter().map(group).collect())
    }

    fn windowed(&mut self, function: Window, inner: &Expr) -> Result<Vec<Line>, Error> {
        let lines = self.lines(inner)?;
        let position = self.window;
        self.window += 1;
        if self.state.functions.len() <= position {
            self.state.functions.resize_with(position + 1, HashMap::new);
        }
        let grid = self.grid;
        let memory = &mut self.state.functions[position];
        // A line that is absent now goes on without values, until all that is remembered of it is their absence.
        memory.retain(|tags, remembered| {
            if !lines.iter().any(|line| line.tags == *tags) {
                for _ in 0..grid.len {
                    remembered.next(f64::NAN);
                }
            }
            !remembered.is_empty()
        });
        let mut results = Vec::with_capacity(lines.len());
        for line in lines {
            let label = Some(format!("{}({})", function.name(), line.label()));
            let mut remembered = memory.remove(&line.tags).unwrap_or_else(|| online(function, grid));
            let values = line.values.iter().map(|&value| remembered.next(value)).collect();
            if !remembered.is_empty() {
                memory.insert(line.tags.clone(), remembered);
            }
            results.push(Line { label, values, ..line });
        }
        Ok(results)
    }

    fn filter(&mut self, inner: &Expr, condition: &Expr) -> Result<Vec<Line>, Error> {
        let (lines, conditions) = (self.lines(inner)?, self.lines(condition)?);
        let holds = |line: &Line| line.values.iter().any(|&value| nan::is_true(value));
        if condition.grouping().is_empty() {
            let [one] = &conditions[..] else {
                return Err(Error::argument("requirement failed: empty result for filter expression"));
            };
            return Ok(if holds(one) { lines } else { Vec::new() });
        }
        let keys = inner.grouping();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut by_key: HashMap<Option<String>, Vec<bool>> = HashMap::new();
        for line in &conditions {
            by_key.entry(join_key(keys, &line.tags)).or_default().push(holds(line));
        }
        Ok(lines
            .into_iter()
            .filter(|line| by_key.get(&join_key(keys, &line.tags)).is_some_and(|found| *found == [true]))
            .collect())
    }
}

fn named(name: &str, values: Vec<f64>) -> Line {
    Line::new(Tags::new([("name", name)]), Some(name.to_owned()), values)
}

fn named_no_data(len: usize) -> Line {
    Line::new(Tags::new([("name", "NO_DATA")]), Some("NO DATA".to_owned()), vec![f64::NAN; len])
}

fn exact_only(tags: &Tags, query: &Query) -> Tags {
    let exact = query.exact();
    tags.only(|key| exact.get(key).is_some())
}

/// What pairs are joined by; all lines of an ungrouped side have the same.
fn join_key(keys: &[Arc<str>], tags: &Tags) -> Option<String> {
    if keys.is_empty() { None } else { group_label(keys, tags) }
}

fn fold<'a>(aggregate: Aggregate, lines: impl Iterator<Item = &'a Line>, len: usize) -> Vec<f64> {
    let mut folded = vec![f64::NAN; len];
    for line in lines {
        match aggregate {
            Aggregate::Sum | Aggregate::All => nan::add_all(&mut folded, &line.values),
            Aggregate::Count => {
                nan::fold_all(&mut folded, &line.values, |count, value| nan::add(count, nan::present(value)));
            }
            Aggregate::Min => nan::fold_all(&mut folded, &line.values, nan::min),
            Aggregate::Max => nan::fold_all(&mut folded, &line.values, nan::max),
        }
    }
    folded
}

fn prioritise(priority: Priority, lines: Vec<Line>, keys: &[Arc<str>], len: usize) -> Vec<Line> {
    let mut ranked: Vec<(f64, Line)> =
        lines.into_iter().map(|line| (Summary::of(&line.values).get(priority.statistic), line)).collect();
    // A line without the statistic is neither among the largest nor among the least.
    ranked.sort_by(|(a, _), (b, _)| match priority.best {
        _ if a.is_nan() || b.is_nan() => a.is_nan().cmp(&b.is_nan()),
        Best::Top => b.total_cmp(a),
        Best::Bottom => a.total_cmp(b),
    });
    let rest = ranked.split_off(priority.count.min(ranked.len()));
    let mut kept: Vec<Line> = ranked.into_iter().map(|(_, line)| line).collect();
    let (Some(others), Some((_, first))) = (priority.others, rest.first()) else { return kept };
    let all = || rest.iter().map(|(_, line)| line);
    let values = match others {
        Others::Sum => fold(Aggregate::Sum, all(), len),
        Others::Min => fold(Aggregate::Min, all(), len),
        Others::Max => fold(Aggregate::Max, all(), len),
        Others::Avg => {
            let counts = fold(Aggregate::Count, all(), len);
            fold(Aggregate::Sum, all(), len).iter().zip(counts).map(|(sum, count)| sum / count).collect()
        }
    };
    let tags = keys.iter().fold(first.tags.clone(), |tags, key| tags.with(key.clone(), "--others--"));
    kept.insert(0, Line::new(tags, None, values));
    kept
}

fn online(function: Window, grid: Grid) -> Box<dyn Online> {
    match function {
        Window::RollingCount(n) => Box::new(window::RollingCount::new(n)),
        Window::RollingMin(n) => Box::new(window::RollingMin::new(n)),
        Window::RollingMax(n) => Box::new(window::RollingMax::new(n)),
        Window::RollingSum(n) => Box::new(window::RollingSum::new(n)),
        Window::RollingMean(n, least) => Box::new(window::RollingMean::new(n, least)),
        Window::Delay(n) => Box::new(window::Delay::new(n)),
        Window::Trend(duration) => {
            match usize::try_from(duration / grid.step).unwrap_or(0).min(crate::words::LONGEST_WINDOW) {
                0 | 1 => Box::new(window::Identity),
                n => Box::new(window::Trend::new(n)),
            }
        }
        Window::Integral => Box::new(window::Integral::default()),
        Window::Derivative => Box::new(window::Derivative::default()),
        Window::CumulativeMax => Box::new(window::CumulativeMax::default()),
        Window::Des(training, alpha, beta) => Box::new(window::Des::new(training, alpha, beta)),
        Window::SlidingDes(training, alpha, beta) => {
            // Turns begin at multiples of their length, so that two graphs with different starts agree.
            let turn = grid.step.saturating_mul(training.max(1) as i64);
            let late = grid.start.rem_euclid(turn);
            let skipped = if late == 0 { 0 } else { (turn - late) / grid.step };
            Box::new(window::Skip::new(skipped as usize, window::SlidingDes::new(training, alpha, beta)))
        }
    }
}

/// A number in [0, 1) with three digits, the same for the same time and seed (the mixer of SplitMix64).
fn random(time: i64, seed: i64) -> f64 {
    let mut bits = (time ^ seed.rotate_left(32)) as u64;
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ bits >> 31) % 1000) as f64 / 1000.0
}

fn time_field(field: TimeField, millis: i64) -> f64 {
    let since = |unit: i64| millis as f64 / (unit * 1000) as f64;
    let day_seconds = millis.div_euclid(1000).rem_euclid(86_400);
    let date = || time::local(millis, &TimeZone::UTC);
    let value = match field {
        TimeField::Seconds => return since(1),
        TimeField::Minutes => return since(60),
        TimeField::Hours => return since(3600),
        TimeField::Days => return since(86_400),
        TimeField::Weeks => return since(7 * 86_400),
        TimeField::SecondOfMinute => day_seconds % 60,
        TimeField::SecondOfDay => day_seconds,
        TimeField::MinuteOfHour => day_seconds / 60 % 60,
        TimeField::MinuteOfDay => day_seconds / 60,
        TimeField::HourOfDay => day_seconds / 3600,
        // 1970 began on a Thursday; Monday is 1.
        TimeField::DayOfWeek => (millis.div_euclid(86_400_000) + 3).rem_euclid(7) + 1,
        TimeField::DayOfMonth => i64::from(date().day()),
        TimeField::DayOfYear => i64::from(date().day_of_year()),
        TimeField::MonthOfYear => i64::from(date().month()),
        TimeField::YearOfCentury | TimeField::YearOfEra => i64::from(date().year()),
    };
    value as f64
}
