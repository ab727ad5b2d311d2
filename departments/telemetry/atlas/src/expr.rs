//! Expressions over lines, as the stack language builds them.
//!
//! A node knows its grouping (the keys by which its lines are kept apart), its weight (how many nodes evaluating it visits) and
//! its depth. The stack's `:dup` shares nodes, so a short text can denote a tree of any weight; a node beyond the limits is
//! refused where it is built, and everything that walks a tree can rely on them.

mod operators;
mod text;

use std::sync::Arc;

use backlot_series::{Consolidation, Query, Statistic};

pub(crate) use self::operators::{BINARY, TIME_FIELDS};
pub use self::operators::{Best, Binary, Others, Priority, TimeField, Unary, Window};
pub(crate) use self::text::ListText;
use crate::Error;
use crate::data::{Aggregate, DataExpr};

/// Most nodes that evaluating an expression visits. Dashboards of hundreds of words have some thousand.
pub const HEAVIEST: usize = 20_000;

/// Deepest nesting: walking a tree recurses, and stacks are finite.
pub const DEEPEST: usize = 200;

/// An expression whose value is a set of lines. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr(Arc<Node>);

#[derive(Debug, PartialEq)]
struct Node {
    kind: Kind,
    grouping: Vec<Arc<str>>,
    weight: usize,
    depth: usize,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// Lines from a store.
    Data(DataExpr),
    /// The same number in every step.
    Constant(f64),
    /// A number in [0, 1) that depends on the time only.
    Random,
    /// Another one for each seed.
    SeededRandom(i32),
    /// A field of the time, such as `hourOfDay`.
    Time(TimeField),
    /// One between two times, else zero.
    TimeSpan(Arc<str>, Arc<str>),
    /// A function of each value.
    Unary(Unary, Expr),
    /// Another name for a tag.
    Rename(Expr, Arc<str>, Arc<str>),
    /// A function of the values of two sides, joined by their groupings.
    Binary(Binary, Expr, Expr),
    /// Lines of lines: all in one, or one for each value of these keys.
    Aggregate(Aggregate, Expr, Vec<Arc<str>>),
    /// Percentiles estimated from the counts of buckets.
    Percentiles(DataExpr, Vec<f64>),
    /// A function of each value and those before it.
    Window(Window, Expr),
    /// A statistic of each line, in every step.
    Stat(Statistic, Expr),
    /// In a filter's condition: a statistic of the line that is filtered.
    StatOf(Statistic),
    /// The lines for which a condition is true in some step.
    Filter(Expr, Expr),
    /// The lines with the largest or least of a statistic.
    Priority(Priority, Expr),
    /// What a macro stands for, and how it was called.
    Named(Named),
}

/// What a macro stands for, and how it was called.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The macro: `avg`.
    pub name: Arc<str>,
    /// Its parameters beyond the first.
    pub parameters: Vec<Arc<str>>,
    /// What it was called on.
    pub on: On,
    /// What it stands for.
    pub expr: Expr,
}

/// What a macro was called on.
#[derive(Clone, Debug, PartialEq)]
pub enum On {
    /// A query.
    Query(Query),
    /// Lines.
    Expr(Expr),
}

/// A change of everything that an expression reads.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Offset(i64),
    And(Query),
    WithoutKeys(Vec<Arc<str>>),
    By(Vec<Arc<str>>),
    AlsoBy(Vec<Arc<str>>),
    Consolidate(Consolidation),
}

impl Expr {
    /// Builds a node.
    ///
    /// # Errors
    /// Sides whose groupings cannot be joined; a tree beyond the limits.
    pub fn new(kind: Kind) -> Result<Self, Error> {
        let kind = kind.folded();
        let grouping = grouping(&kind)?;
        let (mut weight, mut depth) = (1, 0);
        kind.children(&mut |child| {
            weight += child.0.weight;
            depth = depth.max(child.0.depth);
        });
        if weight > HEAVIEST || depth >= DEEPEST {
            return Err(Error::state(format!(
                "the expression is too large; at most {HEAVIEST} operations, nested {DEEPEST} deep, are evaluated"
            )));
        }
        Ok(Self(Arc::new(Node { kind, grouping, weight, depth: depth + 1 })))
    }

    /// What it is.
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The keys by which its lines are kept apart.
    pub fn grouping(&self) -> &[Arc<str>] {
        &self.0.grouping
    }

    /// What it reads from a store, in the order of the text, each as often as it stands there.
    pub fn data(&self) -> Vec<&DataExpr> {
        let mut found = Vec::new();
        self.collect_data(&mut found);
        found
    }

    fn collect_data<'a>(&'a self, found: &mut Vec<&'a DataExpr>) {
        match self.kind() {
            Kind::Data(data) | Kind::Percentiles(data, _) => found.push(data),
            kind => kind.children(&mut |child| child.collect_data(found)),
        }
    }

    /// Whether it depends on the values of earlier steps.
    pub fn has_window(&self) -> bool {
        let mut found = matches!(self.kind(), Kind::Window(..));
        self.kind().children(&mut |child| found |= child.has_window());
        found
    }

    /// How many steps of the past its value may depend on; what depends on all of it depends little on what is long ago.
    pub fn memory(&self, step: i64) -> usize {
        let mut below = 0;
        self.kind().children(&mut |child| below = below.max(child.memory(step)));
        let own = match self.kind() {
            Kind::Window(window, _) => window.memory(step),
            _ => 0,
        };
        below.saturating_add(own)
    }

    pub(crate) fn change(&self, change: &Change) -> Result<Self, Error> {
        let kind = match (self.kind(), change) {
            (Kind::Data(data), _) => Kind::Data(changed(data, change)),
            (Kind::Percentiles(data, wanted), Change::By(keys)) => {
                let percentile = data.keys.iter().filter(|key| &***key == "percentile");
                let keys = keys.iter().chain(percentile).cloned().collect();
                Kind::Percentiles(DataExpr { keys, ..data.clone() }, wanted.clone())
            }
            (Kind::Percentiles(data, wanted), _) => Kind::Percentiles(changed(data, change), wanted.clone()),
            (Kind::Aggregate(aggregate, inner, _), Change::By(keys)) if !inner.grouping().is_empty() => {
                if let Some(key) = keys.iter().find(|key| !inner.grouping().contains(key)) {
                    return Err(Error::argument(format!(
                        "requirement failed: {key} is not among the keys that the input is grouped by"
                    )));
                }
                Kind::Aggregate(*aggregate, inner.clone(), keys.clone())
            }
            (Kind::Named(named), _) => {
                let on = match (&named.on, change) {
                    (On::Query(query), Change::And(more)) => On::Query(query.clone().and(more.clone())),
                    (On::Query(query), Change::WithoutKeys(keys)) => On::Query(query.without_keys(keys)),
                    (On::Expr(expr), Change::And(_) | Change::WithoutKeys(_) | Change::Offset(_)) => {
                        On::Expr(expr.change(change)?)
                    }
                    (on, _) => on.clone(),
                };
                Kind::Named(Named { on, expr: named.expr.change(change)?, ..named.clone() })
            }
            (kind, _) => kind.with_children(&|child| child.change(change))?,
        };
        Self::new(kind)
    }

    /// The expression with its queries without their conditions on these keys.
    ///
    /// # Errors
    /// As [`Expr::new`].
    pub fn without_keys(&self, keys: &[Arc<str>]) -> Result<Self, Error> {
        self.change(&Change::WithoutKeys(keys.to_vec()))
    }

    /// The expression with every filter replaced by what it filters.
    ///
    /// # Errors
    /// As [`Expr::new`].
    pub fn without_filters(&self) -> Result<Self, Error> {
        match self.kind() {
            Kind::Filter(inner, _) | Kind::Stat(_, inner) | Kind::Priority(_, inner) => {
                inner.without_filters()
            }
            kind => Self::new(kind.with_children(&|child| child.without_filters())?),
        }
    }

    /// The expression with the statistics of a filter's condition bound to the line that is filtered.
    pub(crate) fn bind_stat(&self, line: &Expr) -> Result<Self, Error> {
        match self.kind() {
            Kind::StatOf(statistic) => Self::new(Kind::Stat(*statistic, line.clone())),
            kind => Self::new(kind.with_children(&|child| child.bind_stat(line))?),
        }
    }

    /// The distance back in time of all that is read, if it is one.
    fn offset(&self) -> i64 {
        self.data().iter().map(|data| data.offset).min().unwrap_or(0)
    }
}

fn changed(data: &DataExpr, change: &Change) -> DataExpr {
    let mut data = data.clone();
    match change {
        Change::Offset(offset) => data.offset = *offset,
        Change::And(query) => data.query = data.query.and(query.clone()),
        Change::WithoutKeys(keys) => data.query = data.query.without_keys(keys),
        Change::By(keys) => data.keys.clone_from(keys),
        Change::AlsoBy(keys) => {
            let more = keys.iter().filter(|key| !data.keys.contains(key)).cloned().collect::<Vec<_>>();
            data.keys.extend(more);
        }
        Change::Consolidate(consolidation) => {
            data.consolidation = (data.aggregate.consolidation() != *consolidation).then_some(*consolidation);
        }
    }
    data
}

/// Whether the left side's grouping is that of a pair: the right side's keys are all among its own.
pub(crate) fn left_leads(left: &Expr, right: &Expr) -> bool {
    right.grouping().iter().all(|key| left.grouping().contains(key))
}

fn grouping(kind: &Kind) -> Result<Vec<Arc<str>>, Error> {
    Ok(match kind {
        Kind::Data(data) | Kind::Percentiles(data, _) => data.keys.clone(),
        Kind::Constant(_)
        | Kind::Random
        | Kind::SeededRandom(_)
        | Kind::Time(_)
        | Kind::TimeSpan(..)
        | Kind::StatOf(_) => Vec::new(),
        Kind::Unary(_, expr)
        | Kind::Window(_, expr)
        | Kind::Stat(_, expr)
        | Kind::Filter(expr, _)
        | Kind::Priority(_, expr) => expr.grouping().to_vec(),
        Kind::Named(named) => named.expr.grouping().to_vec(),
        Kind::Aggregate(_, _, keys) => keys.clone(),
        Kind::Rename(expr, from, to) => {
            expr.grouping().iter().map(|key| if key == from { to.clone() } else { key.clone() }).collect()
        }
        Kind::Binary(_, left, right) => {
            let (a, b) = (left.grouping(), right.grouping());
            if left_leads(left, right) {
                a.to_vec()
            } else if a.iter().all(|key| b.contains(key)) {
                b.to_vec()
            } else {
                return Err(Error::argument(format!(
                    "both sides of binary operation must have the same grouping or one side must be a subset of the other [{} ⊈ {}]",
                    ListText(a),
                    ListText(b)
                )));
            }
        }
    })
}

impl Kind {
    /// A function of constants is a constant. What depends on the step is none.
    fn folded(self) -> Self {
        match &self {
            Self::Unary(function, expr) if *function != Unary::PerStep => match expr.kind() {
                Self::Constant(value) => Self::Constant(function.apply(*value, 0)),
                _ => self,
            },
            Self::Binary(function, left, right) => match (left.kind(), right.kind()) {
                (Self::Constant(a), Self::Constant(b)) => Self::Constant(function.apply(*a, *b)),
                _ => self,
            },
            _ => self,
        }
    }

    fn children<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match self {
            Self::Unary(_, expr)
            | Self::Rename(expr, ..)
            | Self::Aggregate(_, expr, _)
            | Self::Window(_, expr)
            | Self::Stat(_, expr)
            | Self::Priority(_, expr) => visit(expr),
            Self::Named(named) => visit(&named.expr),
            Self::Binary(_, left, right) | Self::Filter(left, right) => {
                visit(left);
                visit(right);
            }
            _ => {}
        }
    }

    fn with_children(&self, change: &dyn Fn(&Expr) -> Result<Expr, Error>) -> Result<Self, Error> {
        Ok(match self {
            Self::Unary(function, expr) => Self::Unary(*function, change(expr)?),
            Self::Rename(expr, from, to) => Self::Rename(change(expr)?, from.clone(), to.clone()),
            Self::Aggregate(aggregate, expr, keys) => {
                Self::Aggregate(*aggregate, change(expr)?, keys.clone())
            }
            Self::Window(window, expr) => Self::Window(*window, change(expr)?),
            Self::Stat(statistic, expr) => Self::Stat(*statistic, change(expr)?),
            Self::Priority(priority, expr) => Self::Priority(*priority, change(expr)?),
            Self::Named(named) => Self::Named(Named { expr: change(&named.expr)?, ..named.clone() }),
            Self::Binary(function, left, right) => Self::Binary(*function, change(left)?, change(right)?),
            Self::Filter(left, right) => Self::Filter(change(left)?, change(right)?),
            other => other.clone(),
        })
    }
}
