//! The functions that expressions apply: of one value, of two, of a line's values so far, of time, and among lines.

use backlot_series::Statistic;

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the words say what they do")]
pub enum Unary {
    Abs,
    Neg,
    Sqrt,
    Sin,
    Cos,
    PerStep,
    ClampMin(f64),
    ClampMax(f64),
}

impl Unary {
    /// Its value; `step` in milliseconds.
    pub fn apply(self, value: f64, step: i64) -> f64 {
        match self {
            Self::Abs => value.abs(),
            Self::Neg => -value,
            Self::Sqrt => value.sqrt(),
            Self::Sin => value.sin(),
            Self::Cos => value.cos(),
            Self::PerStep => value * (step as f64 / 1000.0),
            Self::ClampMin(least) => {
                if value < least {
                    least
                } else {
                    value
                }
            }
            Self::ClampMax(most) => {
                if value > most {
                    most
                } else {
                    value
                }
            }
        }
    }
}

/// A function of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say what they do")]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    FAdd,
    FSub,
    FMul,
    FDiv,
    Gt,
    Ge,
    Lt,
    Le,
    And,
    Or,
}

/// Words for [`Binary`].
pub(crate) const BINARY: [(&str, Binary); 15] = [
    ("add", Binary::Add),
    ("sub", Binary::Sub),
    ("mul", Binary::Mul),
    ("div", Binary::Div),
    ("pow", Binary::Pow),
    ("fadd", Binary::FAdd),
    ("fsub", Binary::FSub),
    ("fmul", Binary::FMul),
    ("fdiv", Binary::FDiv),
    ("gt", Binary::Gt),
    ("ge", Binary::Ge),
    ("lt", Binary::Lt),
    ("le", Binary::Le),
    ("and", Binary::And),
    ("or", Binary::Or),
];

impl Binary {
    /// Its value. `Add` and `Sub` read a missing side as zero; `Div` by zero is zero for zero, else missing; the others
    /// are those of IEEE 754, in which a comparison with NaN is false.
    pub fn apply(self, a: f64, b: f64) -> f64 {
        let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
        match self {
            Self::Add => backlot_series::nan::add(a, b),
            Self::Sub => backlot_series::nan::sub(a, b),
            Self::Mul | Self::FMul => a * b,
            Self::Div if b == 0.0 => {
                if a == 0.0 {
                    0.0
                } else {
                    f64::NAN
                }
            }
            Self::Div | Self::FDiv => a / b,
            Self::Pow => a.powf(b),
            Self::FAdd => a + b,
            Self::FSub => a - b,
            Self::Gt => truth(a > b),
            Self::Ge => truth(a >= b),
            Self::Lt => truth(a < b),
            Self::Le => truth(a <= b),
            Self::And => truth(backlot_series::nan::is_true(a) && backlot_series::nan::is_true(b)),
            Self::Or => truth(backlot_series::nan::is_true(a) || backlot_series::nan::is_true(b)),
        }
    }
}

/// A function of the values so far; see [`backlot_series::window`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the words say what they do")]
pub enum Window {
    RollingCount(usize),
    RollingMin(usize),
    RollingMax(usize),
    RollingSum(usize),
    RollingMean(usize, usize),
    Delay(usize),
    /// Over a duration in milliseconds.
    Trend(i64),
    Integral,
    Derivative,
    CumulativeMax,
    Des(usize, f64, f64),
    SlidingDes(usize, f64, f64),
}

impl Window {
    /// How many earlier steps its value depends on.
    pub(super) fn memory(self, step: i64) -> usize {
        /// What no bound is known of: as much as a graph shows.
        const UNBOUNDED: usize = 1440;
        match self {
            Self::RollingCount(n)
            | Self::RollingMin(n)
            | Self::RollingMax(n)
            | Self::RollingSum(n)
            | Self::RollingMean(n, _)
            | Self::Delay(n) => n,
            Self::Trend(duration) => usize::try_from(duration / step.max(1)).unwrap_or(0),
            Self::Derivative => 1,
            // Two turns, each begun at its training.
            Self::SlidingDes(training, ..) => training.saturating_mul(2),
            // A value's weight falls by 1 − α a step: below a millionth after 14/α of them.
            Self::Des(training, alpha, _) if alpha > 0.0 => {
                training.saturating_add((14.0 / alpha).min(UNBOUNDED as f64) as usize)
            }
            Self::Integral | Self::CumulativeMax | Self::Des(..) => UNBOUNDED,
        }
    }

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::RollingCount(_) => "rolling-count",
            Self::RollingMin(_) => "rolling-min",
            Self::RollingMax(_) => "rolling-max",
            Self::RollingSum(_) => "rolling-sum",
            Self::RollingMean(..) => "rolling-mean",
            Self::Delay(_) => "delay",
            Self::Trend(_) => "trend",
            Self::Integral => "integral",
            Self::Derivative => "derivative",
            Self::CumulativeMax => "cumulative-max",
            Self::Des(..) => "des",
            Self::SlidingDes(..) => "sdes",
        }
    }
}

/// A field of the time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say what they do")]
pub enum TimeField {
    SecondOfMinute,
    SecondOfDay,
    MinuteOfHour,
    MinuteOfDay,
    HourOfDay,
    DayOfWeek,
    DayOfMonth,
    DayOfYear,
    MonthOfYear,
    YearOfCentury,
    YearOfEra,
    Seconds,
    Minutes,
    Hours,
    Days,
    Weeks,
}

/// Words for [`TimeField`].
pub(crate) const TIME_FIELDS: [(&str, TimeField); 16] = [
    ("secondOfMinute", TimeField::SecondOfMinute),
    ("secondOfDay", TimeField::SecondOfDay),
    ("minuteOfHour", TimeField::MinuteOfHour),
    ("minuteOfDay", TimeField::MinuteOfDay),
    ("hourOfDay", TimeField::HourOfDay),
    ("dayOfWeek", TimeField::DayOfWeek),
    ("dayOfMonth", TimeField::DayOfMonth),
    ("dayOfYear", TimeField::DayOfYear),
    ("monthOfYear", TimeField::MonthOfYear),
    ("yearOfCentury", TimeField::YearOfCentury),
    ("yearOfEra", TimeField::YearOfEra),
    ("seconds", TimeField::Seconds),
    ("minutes", TimeField::Minutes),
    ("hours", TimeField::Hours),
    ("days", TimeField::Days),
    ("weeks", TimeField::Weeks),
];

impl TimeField {
    /// Its word.
    pub fn name(self) -> &'static str {
        TIME_FIELDS.iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }
}

/// Which lines are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// Those with the most or the least.
    pub best: Best,
    /// Of what.
    pub statistic: Statistic,
    /// How many.
    pub count: usize,
    /// What becomes of the others.
    pub others: Option<Others>,
}

/// Which end of an order is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Best {
    /// The largest.
    Top,
    /// The least.
    Bottom,
}

/// How the lines that are not kept become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say what they do")]
pub enum Others {
    Sum,
    Min,
    Max,
    Avg,
}

impl Priority {
    /// Its word.
    pub fn name(&self) -> String {
        let best = match self.best {
            Best::Top => "topk",
            Best::Bottom => "bottomk",
        };
        match self.others {
            None => best.to_owned(),
            Some(others) => format!("{best}-others-{}", format!("{others:?}").to_lowercase()),
        }
    }
}
