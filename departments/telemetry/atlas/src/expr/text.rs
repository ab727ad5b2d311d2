//! The text that evaluates to an expression.

use std::fmt;
use std::sync::Arc;

use backlot_series::StackWord;

use super::{BINARY, Expr, Kind, Named, On, Unary, Window};
use crate::number;
use crate::time::duration_text;

/// `(,a,b,)`.
pub(crate) struct ListText<'a>(pub(crate) &'a [Arc<str>]);

impl fmt::Display for ListText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(,")?;
        for item in self.0 {
            write!(f, "{},", StackWord(item))?;
        }
        f.write_str(")")
    }
}

/// The text that evaluates to this expression.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::Data(data) => write!(f, "{data}"),
            Kind::Constant(value) => write!(f, "{},:const", number::text(*value)),
            Kind::Random => f.write_str(":random"),
            Kind::SeededRandom(seed) => write!(f, "{seed},:srandom"),
            Kind::Time(field) => write!(f, "{},:time", field.name()),
            Kind::TimeSpan(start, end) => write!(f, "{},{},:time-span", StackWord(start), StackWord(end)),
            Kind::Unary(function, expr) => match function {
                Unary::ClampMin(bound) => write!(f, "{expr},{},:clamp-min", number::text(*bound)),
                Unary::ClampMax(bound) => write!(f, "{expr},{},:clamp-max", number::text(*bound)),
                Unary::PerStep => write!(f, "{expr},:per-step"),
                other => write!(f, "{expr},:{}", format!("{other:?}").to_lowercase()),
            },
            Kind::Rename(expr, from, to) => write!(f, "{expr},{},{},:as", StackWord(from), StackWord(to)),
            Kind::Binary(function, left, right) => {
                let word = BINARY.iter().find(|(_, known)| known == function).map_or("", |(word, _)| word);
                write!(f, "{left},{right},:{word}")
            }
            Kind::Aggregate(aggregate, expr, keys) => {
                write!(f, "{expr},:{aggregate}")?;
                if keys.is_empty() { Ok(()) } else { write!(f, ",{},:by", ListText(keys)) }
            }
            Kind::Percentiles(data, wanted) => {
                write!(f, "{}", data.query)?;
                let keys: Vec<Arc<str>> =
                    data.keys.iter().filter(|key| &***key != "percentile").cloned().collect();
                if !keys.is_empty() {
                    write!(f, ",{},:by", ListText(&keys))?;
                }
                let wanted: Vec<Arc<str>> =
                    wanted.iter().map(|percentile| number::text(*percentile).into()).collect();
                write!(f, ",{},:percentiles", ListText(&wanted))?;
                if data.offset == 0 { Ok(()) } else { write!(f, ",{},:offset", duration_text(data.offset)) }
            }
            Kind::Window(window, expr) => {
                write!(f, "{expr},")?;
                match window {
                    Window::RollingCount(n)
                    | Window::RollingMin(n)
                    | Window::RollingMax(n)
                    | Window::RollingSum(n)
                    | Window::Delay(n) => write!(f, "{n},")?,
                    Window::RollingMean(n, least) => write!(f, "{n},{least},")?,
                    Window::Trend(duration) => write!(f, "{},", duration_text(*duration))?,
                    Window::Des(training, alpha, beta) | Window::SlidingDes(training, alpha, beta) => {
                        write!(f, "{training},{},{},", number::text(*alpha), number::text(*beta))?;
                    }
                    Window::Integral | Window::Derivative | Window::CumulativeMax => {}
                }
                write!(f, ":{}", window.name())
            }
            Kind::Stat(statistic, expr) => write!(f, "{expr},{statistic},:stat"),
            Kind::StatOf(statistic) => write!(f, ":stat-{statistic}"),
            Kind::Filter(expr, condition) => write!(f, "{expr},{condition},:filter"),
            Kind::Priority(priority, expr) => {
                write!(f, "{expr},{},{},:{}", priority.statistic, priority.count, priority.name())
            }
            Kind::Named(named) => write_named(named, f),
        }
    }
}

fn write_named(named: &Named, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let own_grouping = match &named.on {
        On::Query(query) => {
            write!(f, "{query}")?;
            &[][..]
        }
        On::Expr(expr) => {
            write!(f, "{expr}")?;
            expr.grouping()
        }
    };
    for parameter in &named.parameters {
        write!(f, ",{}", StackWord(parameter))?;
    }
    write!(f, ",:{}", named.name)?;
    let offset = named.expr.offset();
    if matches!(named.on, On::Query(_)) && offset != 0 {
        write!(f, ",{},:offset", duration_text(offset))?;
    }
    let grouping = named.expr.grouping();
    if grouping.is_empty() || grouping == own_grouping {
        Ok(())
    } else {
        write!(f, ",{},:by", ListText(grouping))
    }
}
