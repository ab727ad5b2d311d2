//! Plotly's dates: texts such as `2024`, `2024-05`, `2024-05-01`, `2024-05-01 12:30:05.25` or with a `T` between.
//!
//! As in Plotly, a zone at the end (`Z`, `+02:00`) is read over: a date is a calendar reading, not an instant. On an
//! axis a date is milliseconds since 1970-01-01 00:00 of its own calendar.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};

/// Midnight of 1970-01-01, the zero of a date axis.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The calendar reading at `millis` after the epoch; `None` outside the years -9999 to 9999.
pub(crate) fn from_millis(millis: f64) -> Option<DateTime> {
    // Twice the span of the calendar, so that the conversion to an integer is exact before the real check.
    if millis.is_nan() || millis.abs() >= 1e15 {
        return None;
    }
    EPOCH.checked_add(SignedDuration::from_micros((millis * 1000.0).round() as i64)).ok()
}

/// Milliseconds from the epoch to `date`.
pub(crate) fn to_millis(date: DateTime) -> f64 {
    date.duration_since(EPOCH).as_micros() as f64 / 1000.0
}

/// `millis` as a text that Plotly reads, with the fraction only if there is one.
pub(crate) fn format_millis(millis: f64) -> Option<String> {
    let date = from_millis(millis)?;
    let pattern = if date.subsec_nanosecond() == 0 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S%.f" };
    jiff::fmt::strtime::format(pattern, date).ok()
}

/// Reads a date text to milliseconds; `None` if it is not one.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    let (day, time) = match text.split_once(['T', ' ']) {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let (sign, digits) = day.strip_prefix('-').map_or((1, day), |digits| (-1, digits));
    let mut parts = digits.split('-');
    let year = sign * fixed_digits::<i16>(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |part| fixed_digits::<i8>(part, 2))?;
    let day_of_month = parts.next().map_or(Some(1), |part| fixed_digits::<i8>(part, 2))?;
    if parts.next().is_some() {
        return None;
    }
    let date = Date::new(year, month, day_of_month).ok()?;
    let time = time.map_or(Some(Time::midnight()), parse_time)?;
    Some(to_millis(date.to_datetime(time)))
}

/// `12`, `12:30`, `12:30:05` or `12:30:05.25`, with a zone at the end read over.
fn parse_time(text: &str) -> Option<Time> {
    let clock = text.find(['Z', 'z', '+', '-']).map_or(text, |end| &text[..end]).trim_end();
    let mut parts = clock.split(':');
    let hour = fixed_digits::<i8>(parts.next()?, 2)?;
    let minute = parts.next().map_or(Some(0), |part| fixed_digits::<i8>(part, 2))?;
    let (second, fraction) = match parts.next() {
        None => (0, 0),
        Some(part) => {
            let (whole, fraction) = part.split_once('.').unwrap_or((part, "0"));
            if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let nanos = format!("{fraction:0<9}");
            (fixed_digits::<i8>(whole, 2)?, nanos.get(..9)?.parse::<i32>().ok()?)
        }
    };
    if parts.next().is_some() {
        return None;
    }
    Time::new(hour, minute, second, fraction).ok()
}

fn fixed_digits<T: std::str::FromStr>(text: &str, count: usize) -> Option<T> {
    let well_formed = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if well_formed { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_plotly_writes_and_writes_it_back() {
        assert_eq!(parse("1970-01-02"), Some(86_400_000.0));
        assert_eq!(parse("1970-01-01T00:00:01.5"), Some(1500.0));
        assert_eq!(parse("1970-01-01 01:00:00+02:00"), Some(3_600_000.0));
        assert_eq!(parse("1970-02"), parse("1970-02-01"));
        assert_eq!(parse("-0001-01-01"), parse("-0001"));
        assert_eq!(format_millis(1500.0).as_deref(), Some("1970-01-01 00:00:01.5"));
        assert_eq!(format_millis(0.0).as_deref(), Some("1970-01-01 00:00:00"));
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            "-",
            "24",
            "720p",
            "2024-13",
            "2024-02-30",
            "2024-01-01 25:00",
            "2024-01-01 10:00:00.",
            "20é4",
            "2024-01-01 10:00:00.é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(format_millis(f64::NAN), None);
        assert_eq!(format_millis(1e300), None);
    }
}
