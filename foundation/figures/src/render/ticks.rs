//! Where ticks stand and what is written at them.
//!
//! Linear axes step by 1, 2 or 5 times a power of ten, as few as keep `most` ticks; log axes by powers of ten, with 2 and 5 (or
//! 3) between where there is room, and like linear ones when they span less than about a decade; date axes by the units of
//! the calendar, with the larger unit on a second line where it changes. Positions are in the axis's own unit (see
//! [`super::scale`]): log10 of the value on a log axis, milliseconds on a date axis.

use jiff::ToSpan;
use jiff::civil::DateTime;

use super::number::{NumberStyle, d3_format, floor_log10, pow10, power_of_ten};
use crate::dates;
use crate::layout::ExponentFormat;

/// One tick.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Position in the axis's unit.
    pub(crate) at: f64,
    /// What is written at it.
    pub(crate) label: String,
    /// A second line, under the label.
    pub(crate) below: Option<String>,
}

impl Tick {
    pub(crate) fn new(at: f64, label: impl Into<String>) -> Self {
        Self { at, label: label.into(), below: None }
    }
}

/// How numbers at ticks are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct TickFormat {
    pub(crate) specifier: Option<String>,
    pub(crate) prefix: String,
    pub(crate) suffix: String,
    pub(crate) exponent: Option<ExponentFormat>,
}

impl TickFormat {
    pub(crate) fn number(&self, style: NumberStyle, value: f64) -> String {
        let formatted = self.specifier.as_deref().and_then(|specifier| d3_format(specifier, value));
        format!("{}{}{}", self.prefix, formatted.unwrap_or_else(|| style.format(value)), self.suffix)
    }
}

/// The most ticks of an axis, whatever a figure asks for: more than a screen has room for.
const MOST_TICKS: usize = 500;

/// 1, 2 or 5 times a power of ten, the smallest that is at least `rough`, which must be positive and finite.
fn nice_step(rough: f64) -> (f64, i32) {
    let exponent = floor_log10(rough);
    let share = rough / pow10(exponent);
    // A hair's breadth of room, so that a share that should be exactly 2 is not taken for more.
    let slack = 1.0 + 1e-9;
    match share {
        _ if share <= slack => (1.0, exponent),
        _ if share <= 2.0 * slack => (2.0, exponent),
        _ if share <= 5.0 * slack => (5.0, exponent),
        _ => (1.0, exponent + 1),
    }
}

/// `count` times `mantissa` times ten to `exponent`, rounded once: dividing by a power of ten is exact where multiplying by
/// its inverse is not (3 / 10 against 3 * 0.1).
fn multiple(count: f64, mantissa: f64, exponent: i32) -> f64 {
    if exponent < 0 { count * mantissa / pow10(-exponent) } else { count * mantissa * pow10(exponent) }
}

/// The positions of the ticks between `low` and `high`, ascending, and their distance.
pub(crate) fn linear_positions(low: f64, high: f64, most: usize) -> (Vec<f64>, f64) {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) {
        return (vec![low], 1.0);
    }
    let rough = (span / most.max(1) as f64).max(1e-290);
    let (mantissa, exponent) = nice_step(rough);
    let step = multiple(1.0, mantissa, exponent);
    (multiples(low, high, |count| multiple(count, mantissa, exponent), step), step)
}

fn multiples(low: f64, high: f64, at: impl Fn(f64) -> f64, step: f64) -> Vec<f64> {
    // Ends that are meant to be on a tick stay on it in spite of rounding.
    let slack = 1e-9;
    let first = (low / step - slack).ceil();
    let last = (high / step + slack).floor();
    let count = (last - first).clamp(-1.0, MOST_TICKS as f64) as i64;
    (0..=count).map(|index| at(first + index as f64)).collect()
}

/// Ticks of a linear axis.
pub(crate) fn linear(low: f64, high: f64, most: usize, dtick: Option<f64>, format: &TickFormat) -> Vec<Tick> {
    let wished = dtick.filter(|step| *step > 0.0 && (high - low) / step <= MOST_TICKS as f64);
    let (positions, step) = match wished {
        Some(step) => (multiples(low, high, |count| count * step, step), step),
        None => linear_positions(low, high, most),
    };
    let largest = positions.iter().fold(0.0_f64, |largest, at| largest.max(at.abs()));
    let style = NumberStyle::choose(largest, step, format.exponent);
    positions.into_iter().map(|at| Tick::new(at, format.number(style, at))).collect()
}

/// Ticks of a log axis from ten to the power `low` to ten to the power `high`, and the positions of its fine grid.
pub(crate) fn log(
    low: f64,
    high: f64,
    most: usize,
    dtick: Option<f64>,
    format: &TickFormat,
) -> (Vec<Tick>, Vec<f64>) {
    let most = most.max(1);
    let decades = high - low;
    if decades < 1.1 && low.abs() < 300.0 && high.abs() < 300.0 {
        let value = |power: f64| libm::pow(10.0, power);
        let (positions, step) = linear_positions(value(low), value(high), most);
        let style = NumberStyle::choose(value(high), step, format.exponent);
        let tick = |at: &f64| Tick::new(libm::log10(*at), format.number(style, *at));
        let ticks: Vec<Tick> = positions.iter().filter(|at| **at > 0.0).map(tick).collect();
        if ticks.len() >= 2 {
            return (ticks, Vec::new());
        }
    }
    let slack = 1e-9;
    let (first, last) = ((low - slack).ceil() as i32, (high + slack).floor() as i32);
    let whole = dtick
        .filter(|step| *step >= 1.0 && decades / step <= MOST_TICKS as f64)
        .map(|step| step.round() as i32);
    let stride = whole.unwrap_or_else(|| {
        let rough = (decades / most as f64).ceil().max(1.0);
        [1, 2, 3, 5, 10, 20, 30, 50, 100, 200]
            .into_iter()
            .find(|stride| f64::from(*stride) >= rough)
            .unwrap_or(300)
    });
    let between: &[f64] = match decades * 3.0 {
        _ if stride > 1 => &[1.0],
        labels if labels <= most as f64 => &[1.0, 2.0, 5.0],
        labels if labels / 3.0 * 2.0 <= most as f64 => &[1.0, 3.0],
        _ => &[1.0],
    };
    let mut ticks = Vec::new();
    let mut fine = Vec::new();
    let largest = high.max(-low);
    for exponent in (first.saturating_sub(1)..=last).filter(|exponent| exponent.rem_euclid(stride) == 0) {
        for digit in between {
            let at = f64::from(exponent) + libm::log10(*digit);
            if at >= low - slack && at <= high + slack {
                ticks.push(Tick::new(at, log_label(exponent, *digit, largest, format)));
            }
        }
        if stride == 1 && decades <= 8.0 {
            let digits = (2..10).map(f64::from).filter(|digit| !between.contains(digit));
            let positions = digits.map(|digit| f64::from(exponent) + libm::log10(digit));
            fine.extend(positions.filter(|at| (low..=high).contains(at)));
        }
    }
    (ticks, fine)
}

/// A label on a log axis whose largest exponent is `largest`.
fn log_label(exponent: i32, digit: f64, largest: f64, format: &TickFormat) -> String {
    let value = digit * pow10(exponent);
    let power = matches!(format.exponent, Some(ExponentFormat::Power)) || largest > 15.0;
    if power && format.specifier.is_none() {
        let power = power_of_ten(exponent);
        let text = if digit == 1.0 { power } else { format!("{digit}×{power}") };
        return format!("{}{text}{}", format.prefix, format.suffix);
    }
    let style = if largest >= 6.0 && exponent >= 3 {
        NumberStyle::choose(value, value, Some(ExponentFormat::Si))
    } else {
        NumberStyle::choose(value.max(1.0), value, format.exponent)
    };
    format.number(style, value)
}

/// A distance of ticks on a date axis.
#[derive(Clone, Copy, Debug, PartialEq)]
enum DateStep {
    /// Milliseconds, aligned to midnight of 1970-01-01.
    Millis(f64),
    /// Weeks, aligned to Mondays.
    Weeks(f64),
    Months(i32),
    Years(i32),
}

const SECOND: f64 = 1000.0;
const MINUTE: f64 = 60.0 * SECOND;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;
/// Mean length of a Gregorian year.
const YEAR: f64 = 365.2425 * DAY;

const DATE_STEPS: [DateStep; 38] = {
    use DateStep::{Millis, Months, Weeks, Years};
    [
        Millis(1.0),
        Millis(2.0),
        Millis(5.0),
        Millis(10.0),
        Millis(20.0),
        Millis(50.0),
        Millis(100.0),
        Millis(200.0),
        Millis(500.0),
        Millis(SECOND),
        Millis(2.0 * SECOND),
        Millis(5.0 * SECOND),
        Millis(10.0 * SECOND),
        Millis(15.0 * SECOND),
        Millis(30.0 * SECOND),
        Millis(MINUTE),
        Millis(2.0 * MINUTE),
        Millis(5.0 * MINUTE),
        Millis(10.0 * MINUTE),
        Millis(15.0 * MINUTE),
        Millis(30.0 * MINUTE),
        Millis(HOUR),
        Millis(2.0 * HOUR),
        Millis(3.0 * HOUR),
        Millis(6.0 * HOUR),
        Millis(12.0 * HOUR),
        Millis(DAY),
        Millis(2.0 * DAY),
        Weeks(1.0),
        Weeks(2.0),
        Months(1),
        Months(2),
        Months(3),
        Months(6),
        Years(1),
        Years(2),
        Years(5),
        Years(10),
    ]
};

impl DateStep {
    fn millis(self) -> f64 {
        match self {
            Self::Millis(millis) => millis,
            Self::Weeks(weeks) => weeks * 7.0 * DAY,
            Self::Months(months) => f64::from(months) * YEAR / 12.0,
            Self::Years(years) => f64::from(years) * YEAR,
        }
    }

    fn positions(self, low: f64, high: f64) -> Vec<f64> {
        match self {
            Self::Millis(step) => multiples(low, high, |count| count * step, step),
            Self::Weeks(weeks) => {
                // 1970-01-05 was a Monday.
                let (monday, step) = (4.0 * DAY, weeks * 7.0 * DAY);
                multiples(low - monday, high - monday, |count| count * step + monday, step)
            }
            Self::Months(months) => calendar_positions(low, high, months),
            Self::Years(years) => calendar_positions(low, high, years.saturating_mul(12)),
        }
    }

    /// Formats of a label and of the larger unit under it.
    fn formats(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Millis(step) if step < SECOND => ("%H:%M:%S%.3f", Some("%-d %b %Y")),
            Self::Millis(step) if step < MINUTE => ("%H:%M:%S", Some("%-d %b %Y")),
            Self::Millis(step) if step < DAY => ("%H:%M", Some("%-d %b %Y")),
            Self::Millis(_) | Self::Weeks(_) => ("%-d %b", Some("%Y")),
            Self::Months(_) => ("%b", Some("%Y")),
            Self::Years(_) => ("%Y", None),
        }
    }
}

/// Firsts of months whose count since year 0 is a multiple of `months`.
fn calendar_positions(low: f64, high: f64, months: i32) -> Vec<f64> {
    let Some(start) = dates::from_millis(low) else { return Vec::new() };
    let months = months.max(1);
    let counted = i32::from(start.year()) * 12 + i32::from(start.month()) - 1;
    let mut count = counted.div_euclid(months) * months;
    let mut positions = Vec::new();
    while positions.len() < MOST_TICKS {
        let (year, month) = (count.div_euclid(12), count.rem_euclid(12) + 1);
        count += months;
        let Ok(year) = i16::try_from(year) else { break };
        let Ok(date) = DateTime::new(year, month as i8, 1, 0, 0, 0, 0) else {
            // Before the calendar's first year; beyond its last there is nothing more to find.
            if year > 0 {
                break;
            }
            continue;
        };
        let at = dates::to_millis(date);
        if at > high {
            break;
        }
        if at >= low {
            positions.push(at);
        }
    }
    positions
}

/// Ticks of a date axis; `months` is a wished distance in months, `dtick` one in milliseconds.
pub(crate) fn date(
    low: f64,
    high: f64,
    most: usize,
    dtick: Option<f64>,
    months: Option<i32>,
    format: &TickFormat,
) -> Vec<Tick> {
    let rough = (high - low) / most.max(1) as f64;
    let found = DATE_STEPS.into_iter().find(|step| step.millis() >= rough);
    let step = match (months, dtick) {
        (Some(months), _) => DateStep::Months(months),
        (None, Some(millis)) if millis >= 1.0 && (high - low) / millis <= MOST_TICKS as f64 => {
            DateStep::Millis(millis)
        }
        _ => found.unwrap_or_else(|| {
            let (mantissa, exponent) = nice_step((rough / YEAR).max(1.0));
            DateStep::Years(multiple(1.0, mantissa, exponent).min(20_000.0) as i32)
        }),
    };
    let (pattern, larger) = step.formats();
    let wished = format.specifier.as_deref();
    let mut shown = None;
    let mut ticks = Vec::new();
    for at in step.positions(low, high) {
        let Some(date) = dates::from_millis(at) else { continue };
        let write = |pattern: &str| jiff::fmt::strtime::format(pattern, date).ok();
        if let Some(label) = wished.and_then(write) {
            ticks.push(Tick::new(at, format!("{}{label}{}", format.prefix, format.suffix)));
            continue;
        }
        let below = larger.and_then(write);
        let changed = below != shown;
        if changed {
            shown.clone_from(&below);
        }
        let label = write(pattern).unwrap_or_default();
        ticks.push(Tick { at, label, below: below.filter(|_| changed) });
    }
    if ticks.is_empty() {
        // The axis is shorter than a millisecond or lies beyond the calendar: name its middle at least.
        let middle = f64::midpoint(low, high);
        ticks.extend(dates::format_millis(middle).map(|label| Tick::new(middle, label)));
    }
    ticks
}

/// The date in words, for the description of a drawing.
pub(crate) fn spoken_date(millis: f64) -> Option<String> {
    let date = dates::from_millis(millis)?;
    // Rounded to the second: a description is read aloud.
    let date = date.checked_add(500.milliseconds()).unwrap_or(date);
    let midnight = date.hour() == 0 && date.minute() == 0 && date.second() == 0;
    jiff::fmt::strtime::format(if midnight { "%-d %B %Y" } else { "%-d %B %Y %H:%M:%S" }, date).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<String> {
        let with_below = |tick: &Tick| match &tick.below {
            Some(below) => format!("{}|{below}", tick.label),
            None => tick.label.clone(),
        };
        ticks.iter().map(with_below).collect()
    }

    #[test]
    fn linear_steps_are_one_two_five() {
        let format = TickFormat::default();
        assert_eq!(labels(&linear(0.0, 1.0, 5, None, &format)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&linear(-3.0, 7.0, 4, None, &format)), ["0", "5"]);
        assert_eq!(labels(&linear(0.0, 100.0, 4, Some(25.0), &format)), ["0", "25", "50", "75", "100"]);
    }

    #[test]
    fn log_axes_name_decades_and_halves_where_there_is_room() {
        let format = TickFormat::default();
        assert_eq!(
            labels(&log(2.0, 4.0, 7, None, &format).0),
            ["100", "200", "500", "1,000", "2,000", "5,000", "10,000"]
        );
        assert_eq!(
            labels(&log(0.0, 7.0, 8, None, &format).0),
            ["1", "10", "100", "1k", "10k", "100k", "1M", "10M"]
        );
        assert_eq!(labels(&log(3.0, 3.5, 4, None, &format).0), ["1,000", "2,000", "3,000"]);
        assert_eq!(
            labels(&log(0.0, 300.0, 4, None, &format).0),
            ["10<sup>0</sup>", "10<sup>100</sup>", "10<sup>200</sup>", "10<sup>300</sup>"]
        );
        assert_eq!(labels(&log(-3.0, 0.0, 4, None, &format).0), ["0.001", "0.01", "0.1", "1"]);
    }

    #[test]
    fn date_axes_step_by_the_calendar() {
        let format = TickFormat::default();
        let at = |text: &str| dates::parse(text).unwrap();
        let ticks = |low: &str, high: &str, most| labels(&date(at(low), at(high), most, None, None, &format));
        assert_eq!(
            ticks("2024-12-31 22:00", "2025-01-01 02:00", 4),
            ["22:00|31 Dec 2024", "23:00", "00:00|1 Jan 2025", "01:00", "02:00"]
        );
        assert_eq!(ticks("2024-11-01", "2025-02-01", 4), ["Nov|2024", "Dec", "Jan|2025", "Feb"]);
        assert_eq!(ticks("2020", "2024", 5), ["2020", "2021", "2022", "2023", "2024"]);
        assert!(ticks("-9000", "9000", 6).len() == 3);
    }

    proptest::proptest! {
        #[test]
        fn linear_ticks_cover_the_range_in_even_steps(start in -1e9..1e9_f64, size in -12..12_i32, digits in 1.0..10.0_f64, most in 1_usize..20) {
            let span = digits * pow10(size);
            // A span that the start's own digits cannot carry is widened before it comes here.
            proptest::prop_assume!(span > start.abs() * 1e-9);
            let (low, high) = (start, start + span);
            let (positions, step) = linear_positions(low, high, most);
            let slack = step * 1e-5;
            let first_digit = step / pow10(floor_log10(step));
            proptest::prop_assert!([1.0, 2.0, 5.0].iter().any(|nice| (first_digit - nice).abs() < 1e-9), "step {}", step);
            proptest::prop_assert!(positions.len() <= most + 1);
            proptest::prop_assert!(positions.windows(2).all(|pair| ((pair[1] - pair[0]) - step).abs() < slack));
            proptest::prop_assert!(positions.iter().all(|at| (low - slack..=high + slack).contains(at)));
            if let (Some(first), Some(last)) = (positions.first(), positions.last()) {
                proptest::prop_assert!(first - low < step + slack && high - last < step + slack);
            } else {
                proptest::prop_assert!(span < step);
            }
        }

        #[test]
        fn log_and_date_ticks_ascend_within_the_range(low in -290.0..290.0_f64, span in 0.01..100.0_f64, most in 1_usize..20) {
            let format = TickFormat::default();
            let (ticks, fine) = log(low, low + span, most, None, &format);
            let millis = (low * 1e11, (low + span) * 1e11);
            let dates = date(millis.0, millis.1, most, None, None, &format);
            for (ticks, low, high) in [(ticks, low, low + span), (dates, millis.0, millis.1)] {
                let slack = (high - low) * 1e-6;
                proptest::prop_assert!(ticks.windows(2).all(|pair| pair[0].at < pair[1].at));
                proptest::prop_assert!(ticks.iter().all(|tick| (low - slack..=high + slack).contains(&tick.at)));
                proptest::prop_assert!(ticks.iter().all(|tick| !tick.label.is_empty()));
                proptest::prop_assert!(ticks.len() <= 3 * most + 3, "{} ticks for {most}", ticks.len());
            }
            proptest::prop_assert!(fine.iter().all(|at| (low..=low + span).contains(at)));
        }
    }
}
