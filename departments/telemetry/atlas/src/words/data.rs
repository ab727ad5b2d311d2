//! Words that make lines of queries, and change how they are read.

use std::sync::Arc;

use backlot_meters::buckets;
use backlot_series::{Consolidation, Query};

use super::Operand::{Lines, List, Number, Query as Condition, Text};
use super::{Form, Operand, named};
use crate::expr::{Binary, Change, Kind, Unary};
use crate::stack::{Item, Machine};
use crate::{Aggregate, DataExpr, Error, Expr, Styled, number, time};

const fn form(
    word: &'static str,
    operands: &'static [Operand],
    about: &'static str,
    action: fn(&mut Machine) -> Result<(), Error>,
) -> Form {
    Form { word, operands, result: "TimeSeriesExpr", about, action }
}

pub(super) const FORMS: &[Form] = &[
    form("all", &[Condition], "Each series as a line of its own.", |m| of_query(m, Aggregate::All)),
    form("sum", &[Condition], "The sum of all series.", |m| of_query(m, Aggregate::Sum)),
    form("count", &[Condition], "How many series have a value.", |m| of_query(m, Aggregate::Count)),
    form("min", &[Condition], "The least of all series.", |m| of_query(m, Aggregate::Min)),
    form("max", &[Condition], "The largest of all series.", |m| of_query(m, Aggregate::Max)),
    form("sum", &[Lines], "The sum of all lines.", |m| of_lines(m, Aggregate::Sum)),
    form("count", &[Lines], "How many lines have a value.", |m| of_lines(m, Aggregate::Count)),
    form("min", &[Lines], "The least of all lines.", |m| of_lines(m, Aggregate::Min)),
    form("max", &[Lines], "The largest of all lines.", |m| of_lines(m, Aggregate::Max)),
    form("avg", &[Lines], "The mean over those that have a value.", |m| {
        named(m, "avg", Vec::new(), |m| m.run_macro(":dup,:sum,:swap,:count,:div"))
    }),
    form("by", &[Lines, List], "One line for each value of these keys.", |m| {
        let keys = m.pop_texts()?;
        if keys.is_empty() {
            return Err(Error::argument("requirement failed: the list of keys to group by is empty"));
        }
        change(m, &Change::By(keys))
    }),
    form("cg", &[Lines, List], "Adds keys to every group-by of an expression.", |m| {
        let keys = m.pop_texts()?;
        change(m, &Change::AlsoBy(keys))
    }),
    form("offset", &[Lines, Text], "Data of this much earlier.", |m| {
        let offset = time::duration(&m.pop_text()?)?;
        change(m, &Change::Offset(offset))
    }),
    form("offset", &[Lines, List], "The same lines for each of these offsets.", |m| {
        let offsets = m.pop_list()?;
        let mut styled = m.pop_styled()?;
        styled.settings.insert("offset".into(), Item::List(offsets).to_string().into());
        m.push(styled)
    }),
    form("cf-avg", &[Lines], "Wider steps hold the mean.", |m| {
        change(m, &Change::Consolidate(Consolidation::Average))
    }),
    form("cf-sum", &[Lines], "Wider steps hold the sum.", |m| {
        change(m, &Change::Consolidate(Consolidation::Sum))
    }),
    form("cf-min", &[Lines], "Wider steps hold the least.", |m| {
        change(m, &Change::Consolidate(Consolidation::Min))
    }),
    form("cf-max", &[Lines], "Wider steps hold the largest.", |m| {
        change(m, &Change::Consolidate(Consolidation::Max))
    }),
    form("pct", &[Lines], "Each line's percentage of the sum of all.", |m| {
        named(m, "pct", Vec::new(), |m| m.run_macro(":dup,:sum,:div,100,:mul"))
    }),
    form("stddev", &[Lines], "The standard deviation over the lines.", |m| {
        // √((N·Σx² − (Σx)²) / N²); adding 0 as IEEE does makes lines of a query and keeps what is missing.
        named(m, "stddev", Vec::new(), |m| {
            m.run_macro("0,:fadd,x,:sset,x,:get,:count,x,:get,:dup,:mul,:sum,:mul,x,:get,:sum,:dup,:mul,:sub,x,:get,:count,:dup,:mul,:div,:sqrt")
        })
    }),
    form("dist-avg", &[Condition], "The mean of what a timer or distribution summary recorded.", |m| {
        named(m, "dist-avg", Vec::new(), |m| {
            let query = m.pop_query()?;
            let total = statistics(&query, &["totalTime", "totalAmount"])?;
            m.push(binary(Binary::Div, total, statistics(&query, &["count"])?)?)
        })
    }),
    form("dist-max", &[Condition], "The largest that a timer or distribution summary recorded.", |m| {
        named(m, "dist-max", Vec::new(), |m| {
            let query = m.pop_query()?.and(Query::equal("statistic", "max"));
            m.push_kind(Kind::Data(DataExpr::new(query, Aggregate::Max)))
        })
    }),
    form(
        "dist-stddev",
        &[Condition],
        "The standard deviation of what a timer or distribution summary recorded.",
        |m| {
            named(m, "dist-stddev", Vec::new(), |m| {
                let query = m.pop_query()?;
                let count = statistics(&query, &["count"])?;
                let total = statistics(&query, &["totalTime", "totalAmount"])?;
                let squares = statistics(&query, &["totalOfSquares"])?;
                let above = binary(
                    Binary::Sub,
                    binary(Binary::Mul, count.clone(), squares)?,
                    binary(Binary::Mul, total.clone(), total)?,
                )?;
                let below = binary(Binary::Mul, count.clone(), count)?;
                m.push_kind(Kind::Unary(Unary::Sqrt, binary(Binary::Div, above, below)?))
            })
        },
    ),
    form(
        "percentiles",
        &[Lines, List],
        "Percentiles estimated from the buckets of percentile timers and distribution summaries.",
        |m| {
            let wanted = percentages(m)?;
            on_buckets(m, wanted)
        },
    ),
    form("median", &[Lines], "The 50th percentile; see :percentiles.", |m| on_buckets(m, vec![50.0])),
    form(
        "sample-count",
        &[Condition, Number, Number],
        "How many samples lie between two bounds, from the buckets.",
        |m| {
            let most = m.pop_number()?;
            let least = m.pop_number()?;
            sample_count(m, least, most)
        },
    ),
    form("sample-count", &[Condition], "How many samples there are, from the buckets.", |m| {
        sample_count(m, 0.0, f64::INFINITY)
    }),
];

fn of_query(machine: &mut Machine, aggregate: Aggregate) -> Result<(), Error> {
    let query = machine.pop_query()?;
    machine.push_kind(Kind::Data(DataExpr::new(query, aggregate)))
}

fn of_lines(machine: &mut Machine, aggregate: Aggregate) -> Result<(), Error> {
    let mut styled = machine.pop_styled()?;
    // An ungrouped aggregate is one line already; only counting it says something else.
    let is_one_line = matches!(styled.expr.kind(), Kind::Data(data) if data.keys.is_empty() && data.aggregate != Aggregate::All);
    if !is_one_line || aggregate == Aggregate::Count {
        styled.expr = Expr::new(Kind::Aggregate(aggregate, styled.expr, Vec::new()))?;
    }
    machine.push(styled)
}

fn change(machine: &mut Machine, change: &Change) -> Result<(), Error> {
    let styled = machine.pop_styled()?;
    machine.push(Styled { expr: styled.expr.change(change)?, ..styled })
}

fn statistics(query: &Query, names: &[&str]) -> Result<Expr, Error> {
    let condition = match names {
        [one] => Query::equal("statistic", *one),
        _ => Query::In("statistic".into(), names.iter().map(|&name| Arc::from(name)).collect()),
    };
    Expr::new(Kind::Data(DataExpr::new(query.clone().and(condition), Aggregate::Sum)))
}

fn binary(function: Binary, left: Expr, right: Expr) -> Result<Expr, Error> {
    Expr::new(Kind::Binary(function, left, right))
}

fn percentages(machine: &mut Machine) -> Result<Vec<f64>, Error> {
    let texts = machine.pop_texts()?;
    let percentage = |text: &Arc<str>| {
        let value = number::parse(text).filter(|value| (0.0..=100.0).contains(value));
        value.ok_or_else(|| {
            Error::argument(format!(
                "requirement failed: invalid percentile {text}, value must be 0.0 <= p <= 100.0"
            ))
        })
    };
    let wanted: Vec<f64> = texts.iter().map(percentage).collect::<Result<_, _>>()?;
    if wanted.is_empty() {
        Err(Error::argument("requirement failed: no percentile is asked for"))
    } else {
        Ok(wanted)
    }
}

fn on_buckets(machine: &mut Machine, wanted: Vec<f64>) -> Result<(), Error> {
    let mut styled = machine.pop_styled()?;
    let Kind::Data(data) = styled.expr.kind() else {
        return Err(Error::argument(":percentiles can only be used with :sum and :by"));
    };
    if data.aggregate != Aggregate::Sum {
        return Err(Error::argument(":percentiles can only be used with :sum and :by"));
    }
    let mut data = data.clone();
    if !data.keys.iter().any(|key| &**key == "percentile") {
        data.keys.insert(0, "percentile".into());
    }
    styled.expr = Expr::new(Kind::Percentiles(data, wanted))?;
    machine.push(styled)
}

fn sample_count(machine: &mut Machine, least: f64, most: f64) -> Result<(), Error> {
    let parameters = vec![number::text(least).into(), number::text(most).into()];
    named(machine, "sample-count", parameters, |machine| {
        let query = machine.pop_query()?;
        // Seconds for timers, plain for distribution summaries, whose buckets are in nanoseconds and plain.
        let within = |unit: f64, letter: char| {
            (0..buckets::COUNT)
                .filter(move |&bucket| (least..=most).contains(&(buckets::upper_bound(bucket) as f64 * unit)))
                .map(move |bucket| Arc::from(format!("{letter}{bucket:04X}")))
        };
        let names = within(1e-9, 'T').chain(within(1.0, 'D')).collect();
        let query = query.and(Query::In("percentile".into(), names));
        machine.push_kind(Kind::Data(DataExpr::new(query, Aggregate::Sum)))
    })
}
