//! Words that compute with lines.

use backlot_series::Statistic;

use super::Operand::{Lines, Number, Text};
use super::{Form, LONGEST_WINDOW, Operand, named, on_lines};
use crate::expr::{BINARY, Best, Binary, Kind, Others, Priority, TIME_FIELDS, Unary, Window};
use crate::stack::{MOST_ITEMS, Machine};
use crate::{Error, Expr, Styled, time};

const ONE: &[Operand] = &[Lines];
const TWO: &[Operand] = &[Lines, Lines];
const COUNTED: &[Operand] = &[Lines, Number];
const SMOOTHED: &[Operand] = &[Lines, Number, Number, Number];
const RANKED: &[Operand] = &[Lines, Text, Number];

const fn form(
    word: &'static str,
    operands: &'static [Operand],
    about: &'static str,
    action: fn(&mut Machine) -> Result<(), Error>,
) -> Form {
    Form { word, operands, result: "TimeSeriesExpr", about, action }
}

pub(super) const FORMS: &[Form] = &[
    form("const", &[Number], "The same number in every step.", |m| {
        let value = m.pop_number()?;
        m.push_kind(Kind::Constant(value))
    }),
    form("pi", &[], "π.", |m| m.push_kind(Kind::Constant(std::f64::consts::PI))),
    form("random", &[], "A number in [0, 1) for each time.", |m| m.push_kind(Kind::Random)),
    form("srandom", &[Number], "As :random, another for each seed.", |m| {
        let seed = m.pop_number()?;
        m.push_kind(Kind::SeededRandom(seed as i32))
    }),
    form(
        "time",
        &[Text],
        "A field of the time in UTC: secondOfMinute, minuteOfHour, hourOfDay, dayOfWeek, …",
        |m| {
            let name = m.pop_text()?;
            // Java's names are taken too: HOUR_OF_DAY.
            let plain = name.replace('_', "");
            let known = TIME_FIELDS.iter().find(|(known, _)| {
                *known == &*name || (name.contains('_') && known.eq_ignore_ascii_case(&plain))
            });
            let (_, field) = known.ok_or_else(|| Error::argument(format!("unknown field of time {name}")))?;
            m.push_kind(Kind::Time(*field))
        },
    ),
    form("time-span", &[Text, Text], "One between two times, else zero.", |m| {
        let end = m.pop_text()?;
        let start = m.pop_text()?;
        m.push_kind(Kind::TimeSpan(start, end))
    }),
    form("abs", ONE, "The distance from zero.", |m| unary(m, Unary::Abs)),
    form("neg", ONE, "The other sign.", |m| unary(m, Unary::Neg)),
    form("sqrt", ONE, "The square root.", |m| unary(m, Unary::Sqrt)),
    form("sin", ONE, "The sine.", |m| unary(m, Unary::Sin)),
    form("cos", ONE, "The cosine.", |m| unary(m, Unary::Cos)),
    form("tan", ONE, "The tangent.", |m| m.run_macro(":dup,:sin,:swap,:cos,:div")),
    form("cot", ONE, "The cotangent.", |m| m.run_macro(":dup,:cos,:swap,:sin,:div")),
    form("sec", ONE, "The secant.", |m| m.run_macro("1,:swap,:cos,:div")),
    form("csc", ONE, "The cosecant.", |m| m.run_macro("1,:swap,:sin,:div")),
    form("per-step", ONE, "From a rate per second to a rate per step.", |m| unary(m, Unary::PerStep)),
    form("clamp-min", COUNTED, "No less than a bound.", |m| {
        let bound = m.pop_number()?;
        unary(m, Unary::ClampMin(bound))
    }),
    form("clamp-max", COUNTED, "No more than a bound.", |m| {
        let bound = m.pop_number()?;
        unary(m, Unary::ClampMax(bound))
    }),
    form("as", &[Lines, Text, Text], "Another name for a tag: old key, new key.", |m| {
        let to = m.pop_text()?;
        let from = m.pop_text()?;
        on_lines(m, |expr| Ok(Kind::Rename(expr, from, to)))
    }),
    form("add", TWO, "The sum; a missing side counts as zero.", |m| binary(m, "add")),
    form("sub", TWO, "The difference; a missing side counts as zero.", |m| binary(m, "sub")),
    form("mul", TWO, "The product.", |m| binary(m, "mul")),
    form("div", TWO, "The quotient; by zero it is zero for zero, else missing.", |m| binary(m, "div")),
    form("pow", TWO, "The first to the power of the second.", |m| binary(m, "pow")),
    form("fadd", TWO, "The sum; missing if a side is.", |m| binary(m, "fadd")),
    form("fsub", TWO, "The difference; missing if a side is.", |m| binary(m, "fsub")),
    form("fmul", TWO, "The product.", |m| binary(m, "fmul")),
    form("fdiv", TWO, "The quotient as IEEE 754 has it.", |m| binary(m, "fdiv")),
    form("gt", TWO, "1 where the first is greater, else 0.", |m| binary(m, "gt")),
    form("ge", TWO, "1 where the first is no less, else 0.", |m| binary(m, "ge")),
    form("lt", TWO, "1 where the first is less, else 0.", |m| binary(m, "lt")),
    form("le", TWO, "1 where the first is no greater, else 0.", |m| binary(m, "le")),
    form("and", TWO, "1 where both are true (not zero), else 0.", |m| binary(m, "and")),
    form("or", TWO, "1 where one is true (not zero), else 0.", |m| binary(m, "or")),
    form("rolling-count", COUNTED, "How many of the last n steps are true.", |m| {
        counted(m, Window::RollingCount)
    }),
    form("rolling-min", COUNTED, "The least of the last n steps.", |m| counted(m, Window::RollingMin)),
    form("rolling-max", COUNTED, "The largest of the last n steps.", |m| counted(m, Window::RollingMax)),
    form("rolling-sum", COUNTED, "The sum of the last n steps.", |m| counted(m, Window::RollingSum)),
    form(
        "rolling-mean",
        &[Lines, Number, Number],
        "The mean of the last n steps, if at least m have a value.",
        |m| {
            let least = m.pop_whole(LONGEST_WINDOW)?;
            let n = length(m)?;
            on_lines(m, |expr| Ok(Kind::Window(Window::RollingMean(n, least), expr)))
        },
    ),
    form("delay", COUNTED, "The value of n steps ago.", |m| counted(m, Window::Delay)),
    form("trend", &[Lines, Text], "The mean over a duration.", |m| {
        let duration = time::duration(&m.pop_text()?)?;
        on_lines(m, |expr| Ok(Kind::Window(Window::Trend(duration), expr)))
    }),
    form("integral", ONE, "The running sum.", |m| {
        on_lines(m, |expr| Ok(Kind::Window(Window::Integral, expr)))
    }),
    form("derivative", ONE, "The difference to the step before.", |m| {
        on_lines(m, |expr| Ok(Kind::Window(Window::Derivative, expr)))
    }),
    form("cumulative-max", ONE, "The largest so far.", |m| {
        on_lines(m, |expr| Ok(Kind::Window(Window::CumulativeMax, expr)))
    }),
    form("des", SMOOTHED, "Forecast by double exponential smoothing: training, alpha, beta.", |m| {
        smoothed(m, Window::Des)
    }),
    form("sdes", SMOOTHED, "Forecast by two smoothings by turns: training, alpha, beta.", |m| {
        smoothed(m, Window::SlidingDes)
    }),
    form("des-simple", ONE, "Forecast: 10,0.1,0.5,:des.", |m| preset(m, "des-simple", "10,0.1,0.5,:des")),
    form("des-fast", ONE, "Forecast: 10,0.1,0.02,:des.", |m| preset(m, "des-fast", "10,0.1,0.02,:des")),
    form("des-slower", ONE, "Forecast: 10,0.05,0.03,:des.", |m| preset(m, "des-slower", "10,0.05,0.03,:des")),
    form("des-slow", ONE, "Forecast: 10,0.03,0.04,:des.", |m| preset(m, "des-slow", "10,0.03,0.04,:des")),
    form("sdes-simple", ONE, "Forecast: 10,0.1,0.5,:sdes.", |m| preset(m, "sdes-simple", "10,0.1,0.5,:sdes")),
    form("sdes-fast", ONE, "Forecast: 10,0.1,0.02,:sdes.", |m| preset(m, "sdes-fast", "10,0.1,0.02,:sdes")),
    form("sdes-slower", ONE, "Forecast: 10,0.05,0.03,:sdes.", |m| {
        preset(m, "sdes-slower", "10,0.05,0.03,:sdes")
    }),
    form("sdes-slow", ONE, "Forecast: 10,0.03,0.04,:sdes.", |m| preset(m, "sdes-slow", "10,0.03,0.04,:sdes")),
    form(
        "des-epic-signal",
        EPIC,
        "1 where a line leaves the band around its forecast: training, alpha, beta, largest share above, largest share below, noise.",
        |m| {
            let band = Band::pop(m)?;
            m.push(band.signal()?)
        },
    ),
    form("des-epic-viz", EPIC, "A line, the band around its forecast, and where it leaves it.", |m| {
        let band = Band::pop(m)?;
        let shown = |expr: Expr, legend: &str, more: &[(&str, &str)]| {
            let settings = more
                .iter()
                .copied()
                .chain([("legend", legend)])
                .map(|(word, value)| (word.into(), value.into()));
            Styled { expr, settings: settings.collect() }
        };
        let (low, high) = band.bounds()?;
        m.push(shown(band.signal()?, "triggered", &[("ls", "vspan"), ("color", "40ff0000")]))?;
        m.push(shown(band.line.clone(), "line", &[]))?;
        m.push(shown(low, "lower bound", &[]))?;
        m.push(shown(high, "upper bound", &[]))
    }),
    form("stat", &[Lines, Text], "A statistic of each line: avg, max, min, last, count, total.", |m| {
        let statistic = statistic(m)?;
        on_lines(m, |expr| Ok(Kind::Stat(statistic, expr)))
    }),
    form("stat-avg", &[], "In a filter: the line's mean.", |m| m.push_kind(Kind::StatOf(Statistic::Average))),
    form("stat-max", &[], "In a filter: the line's largest value.", |m| {
        m.push_kind(Kind::StatOf(Statistic::Max))
    }),
    form("stat-min", &[], "In a filter: the line's least value.", |m| {
        m.push_kind(Kind::StatOf(Statistic::Min))
    }),
    form("stat-last", &[], "In a filter: the line's last value.", |m| {
        m.push_kind(Kind::StatOf(Statistic::Last))
    }),
    form("stat-count", &[], "In a filter: how many values the line has.", |m| {
        m.push_kind(Kind::StatOf(Statistic::Count))
    }),
    form("stat-total", &[], "In a filter: the sum of the line's values.", |m| {
        m.push_kind(Kind::StatOf(Statistic::Total))
    }),
    form("stat-avg-mf", ONE, "The mean of each line.", |m| m.run_macro("avg,:stat")),
    form("stat-max-mf", ONE, "The largest value of each line.", |m| m.run_macro("max,:stat")),
    form("stat-min-mf", ONE, "The least value of each line.", |m| m.run_macro("min,:stat")),
    form("filter", TWO, "The lines for which a condition is true in some step.", |m| {
        let condition = m.pop_expr()?;
        let styled = m.pop_styled()?;
        let condition = condition.bind_stat(&styled.expr)?;
        if styled.expr.grouping().is_empty() && !condition.grouping().is_empty() {
            return Err(Error::argument("requirement failed: filter grouping must match expr grouping"));
        }
        let expr = Expr::new(Kind::Filter(styled.expr, condition))?;
        m.push(Styled { expr, ..styled })
    }),
    form("topk", RANKED, "The k lines with the largest statistic.", |m| ranked(m, Best::Top, None)),
    form("topk-others-sum", RANKED, "As :topk, and the sum of the others.", |m| {
        ranked(m, Best::Top, Some(Others::Sum))
    }),
    form("topk-others-min", RANKED, "As :topk, and the least of the others.", |m| {
        ranked(m, Best::Top, Some(Others::Min))
    }),
    form("topk-others-max", RANKED, "As :topk, and the largest of the others.", |m| {
        ranked(m, Best::Top, Some(Others::Max))
    }),
    form("topk-others-avg", RANKED, "As :topk, and the mean of the others.", |m| {
        ranked(m, Best::Top, Some(Others::Avg))
    }),
    form("bottomk", RANKED, "The k lines with the least statistic.", |m| ranked(m, Best::Bottom, None)),
    form("bottomk-others-sum", RANKED, "As :bottomk, and the sum of the others.", |m| {
        ranked(m, Best::Bottom, Some(Others::Sum))
    }),
    form("bottomk-others-min", RANKED, "As :bottomk, and the least of the others.", |m| {
        ranked(m, Best::Bottom, Some(Others::Min))
    }),
    form("bottomk-others-max", RANKED, "As :bottomk, and the largest of the others.", |m| {
        ranked(m, Best::Bottom, Some(Others::Max))
    }),
    form("bottomk-others-avg", RANKED, "As :bottomk, and the mean of the others.", |m| {
        ranked(m, Best::Bottom, Some(Others::Avg))
    }),
];

const EPIC: &[Operand] = &[Lines, Number, Number, Number, Number, Number, Number];

fn unary(machine: &mut Machine, function: Unary) -> Result<(), Error> {
    on_lines(machine, |expr| Ok(Kind::Unary(function, expr)))
}

fn binary(machine: &mut Machine, word: &str) -> Result<(), Error> {
    let function =
        BINARY.iter().find(|(known, _)| *known == word).map_or(Binary::Add, |(_, function)| *function);
    let right = machine.pop_expr()?;
    on_lines(machine, |left| Ok(Kind::Binary(function, left, right)))
}

/// The length of a window.
fn length(machine: &mut Machine) -> Result<usize, Error> {
    match machine.pop_whole(LONGEST_WINDOW)? {
        0 => Err(Error::argument("requirement failed: a window has at least one step")),
        n => Ok(n),
    }
}

fn counted(machine: &mut Machine, window: fn(usize) -> Window) -> Result<(), Error> {
    let n = length(machine)?;
    on_lines(machine, |expr| Ok(Kind::Window(window(n), expr)))
}

fn smoothed(machine: &mut Machine, window: fn(usize, f64, f64) -> Window) -> Result<(), Error> {
    let beta = machine.pop_number()?;
    let alpha = machine.pop_number()?;
    let training = machine.pop_whole(LONGEST_WINDOW)?;
    on_lines(machine, |expr| Ok(Kind::Window(window(training, alpha, beta), expr)))
}

fn preset(machine: &mut Machine, name: &str, body: &str) -> Result<(), Error> {
    named(machine, name, Vec::new(), |machine| machine.run_macro(body))
}

fn statistic(machine: &mut Machine) -> Result<Statistic, Error> {
    let name = machine.pop_text()?;
    name.parse().map_err(|()| {
        Error::argument(format!("unknown stat: {name}; use avg, max, min, last, count or total"))
    })
}

fn ranked(machine: &mut Machine, best: Best, others: Option<Others>) -> Result<(), Error> {
    let count = machine.pop_whole(MOST_ITEMS)?;
    if count == 0 {
        return Err(Error::argument("requirement failed: k must be positive (0 <= 0)"));
    }
    let statistic = statistic(machine)?;
    on_lines(machine, |expr| Ok(Kind::Priority(Priority { best, statistic, count, others }, expr)))
}

/// A line, its forecast, and how far it may be from it.
struct Band {
    line: Expr,
    forecast: Expr,
    /// The largest share of the forecast by which the line may be above it, and below it.
    shares: (f64, f64),
    /// The largest distance from the forecast that is nothing but noise.
    noise: f64,
}

impl Band {
    fn pop(machine: &mut Machine) -> Result<Self, Error> {
        let noise = machine.pop_number()?;
        let below = machine.pop_number()?;
        let above = machine.pop_number()?;
        let beta = machine.pop_number()?;
        let alpha = machine.pop_number()?;
        let training = machine.pop_whole(LONGEST_WINDOW)?;
        let line = machine.pop_expr()?;
        let forecast = Expr::new(Kind::Window(Window::Des(training, alpha, beta), line.clone()))?;
        Ok(Self { line, forecast, shares: (above, below), noise })
    }

    fn of_forecast(&self, function: Binary, value: f64) -> Result<Expr, Error> {
        Expr::new(Kind::Binary(function, self.forecast.clone(), Expr::new(Kind::Constant(value))?))
    }

    /// The bounds by share.
    fn bounds(&self) -> Result<(Expr, Expr), Error> {
        let (above, below) = self.shares;
        Ok((
            self.of_forecast(Binary::FMul, 1.0 - below)?,
            self.of_forecast(Binary::FMul, 2.0 - (1.0 - above))?,
        ))
    }

    /// One where the line is beyond both its bounds, by share and by noise.
    fn signal(&self) -> Result<Expr, Error> {
        let compare = |function, bound| Expr::new(Kind::Binary(function, self.line.clone(), bound));
        let both = |left, right| Expr::new(Kind::Binary(Binary::And, left, right));
        let (low, high) = self.bounds()?;
        let below = both(
            compare(Binary::Lt, self.of_forecast(Binary::Sub, self.noise)?)?,
            compare(Binary::Lt, low)?,
        )?;
        let above = both(
            compare(Binary::Gt, self.of_forecast(Binary::Add, self.noise)?)?,
            compare(Binary::Gt, high)?,
        )?;
        Expr::new(Kind::Binary(Binary::Or, below, above))
    }
}
