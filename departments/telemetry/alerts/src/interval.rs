//! Times of the week, the month and the year: when a route is muted or active, and when a recurring silence holds.
//!
//! The fields are Alertmanager's: a time interval holds at an instant if every field that it names has a range around it, in the
//! interval's own zone (UTC without one). Days of the month may count from its end.

use std::ops::RangeInclusive;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why an interval is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time interval: {what} `{text}` {mend}")]
pub struct IntervalError {
    what: &'static str,
    text: String,
    mend: &'static str,
}

fn wrong(what: &'static str, text: &str, mend: &'static str) -> IntervalError {
    IntervalError { what, text: text.chars().take(100).collect(), mend }
}

/// As it is written in a configuration or a silence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntervalText {
    /// Times of day.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub times: Vec<TimesText>,
    /// `monday:friday`, `saturday`
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub weekdays: Vec<String>,
    /// `1:5`, `-3:-1`
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub days_of_month: Vec<String>,
    /// `january:march`, `1:3`
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub months: Vec<String>,
    /// `2026:2028`
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub years: Vec<String>,
    /// A zone by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// From when to when on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimesText {
    /// `HH:MM`
    pub start_time: String,
    /// `HH:MM`, up to `24:00`; it does not belong to the range.
    pub end_time: String,
}

fn null_is_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Texts, or numbers where somebody wrote `years: [2026]` as JSON.
fn texts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let values = Option::<Vec<Value>>::deserialize(deserializer)?.unwrap_or_default();
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(serde::de::Error::custom(format!("{other} is no range"))),
    };
    values.into_iter().map(text).collect()
}

/// A time interval, ready to be asked.
#[derive(Clone, Debug)]
pub struct Interval {
    text: IntervalText,
    /// Minutes of the day, the end excluded.
    times: Vec<(i32, i32)>,
    /// Sunday is 0.
    weekdays: Vec<RangeInclusive<i32>>,
    /// From 1, or from -1 for the last.
    days: Vec<RangeInclusive<i32>>,
    months: Vec<RangeInclusive<i32>>,
    years: Vec<RangeInclusive<i32>>,
    zone: TimeZone,
}

impl PartialEq for Interval {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl Interval {
    /// Reads an interval.
    ///
    /// # Errors
    /// A range that is none, or is empty; a zone that nobody knows.
    pub fn new(text: IntervalText) -> Result<Self, IntervalError> {
        let times = text.times.iter().map(day_range).collect::<Result<_, _>>()?;
        let weekday = |word: &str| WEEKDAYS.iter().position(|day| *day == word).map(|at| at as i32);
        let month = |word: &str| {
            let by_name = MONTHS.iter().position(|month| *month == word).map(|at| at as i32 + 1);
            by_name.or_else(|| word.parse().ok().filter(|number| (1..=12).contains(number)))
        };
        let day = |word: &str| word.parse::<i32>().ok().filter(|day| *day != 0 && (-31..=31).contains(day));
        let year = |word: &str| word.parse().ok().filter(|year| (1..=9999).contains(year));
        let weekdays = ranges("weekday", &text.weekdays, weekday)?;
        let days = ranges("day of the month", &text.days_of_month, day)?;
        for range in &days {
            if *range.start() < 0 && *range.end() > 0 {
                let mend = "begins at the month's end and ends at its beginning; write two ranges";
                return Err(wrong("day of the month", &format!("{}:{}", range.start(), range.end()), mend));
            }
        }
        let months = ranges("month", &text.months, month)?;
        let years = ranges("year", &text.years, year)?;
        let zone = match text.location.as_deref() {
            None | Some("" | "UTC") => TimeZone::UTC,
            Some(name) => TimeZone::get(name)
                .map_err(|_| wrong("location", name, "is no time zone; write Europe/Berlin"))?,
        };
        Ok(Self { text, times, weekdays, days, months, years, zone })
    }

    /// As it was written.
    pub fn text(&self) -> &IntervalText {
        &self.text
    }

    /// Whether it holds at an instant.
    pub fn contains(&self, instant: Timestamp) -> bool {
        let local = instant.to_zoned(self.zone.clone());
        let within = |ranges: &[RangeInclusive<i32>], value: i32| {
            ranges.is_empty() || ranges.iter().any(|range| range.contains(&value))
        };
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        (self.times.is_empty() || self.times.iter().any(|(start, end)| (*start..*end).contains(&minute)))
            && self.holds_on_day(&local)
            && within(&self.weekdays, i32::from(local.weekday().to_sunday_zero_offset()))
            && within(&self.months, i32::from(local.month()))
            && within(&self.years, i32::from(local.year()))
    }

    fn holds_on_day(&self, local: &Zoned) -> bool {
        let last = i32::from(local.date().days_in_month());
        let day = i32::from(local.day());
        let from_start = |number: i32| if number < 0 { last + number + 1 } else { number };
        self.days.is_empty()
            || self.days.iter().any(|range| {
                // A month of 28 days ends a range that would go on to the 31st.
                let (start, end) = (from_start(*range.start()).max(1), from_start(*range.end()).min(last));
                (start..=end).contains(&day)
            })
    }
}

/// Whether one of the intervals holds.
pub fn any_contains(intervals: &[Interval], instant: Timestamp) -> bool {
    intervals.iter().any(|interval| interval.contains(instant))
}

fn day_range(text: &TimesText) -> Result<(i32, i32), IntervalError> {
    let minutes = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let is_pair = |digits: &str| digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !(is_pair(hour) && is_pair(minute)) {
            return None;
        }
        let (hour, minute): (i32, i32) = (hour.parse().ok()?, minute.parse().ok()?);
        let total = hour * 60 + minute;
        (minute < 60 && total <= 24 * 60).then_some(total)
    };
    let read =
        |text: &str| minutes(text).ok_or_else(|| wrong("time", text, "is no time of day; write HH:MM"));
    let (start, end) = (read(&text.start_time)?, read(&text.end_time)?);
    if start >= end {
        let mend = "is empty; a range over midnight is two ranges";
        return Err(wrong("times", &format!("{}–{}", text.start_time, text.end_time), mend));
    }
    Ok((start, end))
}

fn ranges(
    what: &'static str,
    texts: &[String],
    read: impl Fn(&str) -> Option<i32>,
) -> Result<Vec<RangeInclusive<i32>>, IntervalError> {
    let one = |text: &String| {
        let lower = text.trim().to_ascii_lowercase();
        let (first, last) = lower.split_once(':').unwrap_or((&lower, &lower));
        match (read(first.trim()), read(last.trim())) {
            (Some(first), Some(last)) if first <= last || (first > 0 && last < 0) => Ok(first..=last),
            (Some(_), Some(_)) => Err(wrong(what, text, "ends before it begins")),
            _ => Err(wrong(what, text, "is none; write one, or two with a colon between")),
        }
    };
    texts.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn interval(value: Value) -> Result<Interval, IntervalError> {
        Interval::new(serde_json::from_value(value).unwrap())
    }

    fn holds(value: Value, at: &str) -> bool {
        interval(value).unwrap().contains(at.parse().unwrap())
    }

    #[test]
    fn fields_must_all_hold() {
        let office = json!({ "times": [{ "start_time": "09:00", "end_time": "17:00" }], "weekdays": ["monday:friday"] });
        assert!(holds(office.clone(), "2026-11-30T09:00:00Z"));
        assert!(!holds(office.clone(), "2026-11-30T17:00:00Z"));
        assert!(!holds(office, "2026-11-29T12:00:00Z"));
        assert!(holds(json!({}), "2026-11-29T12:00:00Z"));
        assert!(holds(json!({ "months": ["november", "1:3"], "years": [2026] }), "2026-11-29T12:00:00Z"));
        assert!(!holds(json!({ "months": ["1:3"] }), "2026-11-29T12:00:00Z"));
    }

    #[test]
    fn days_count_from_both_ends() {
        for (range, at, expected) in [
            ("-1", "2026-02-28T00:00:00Z", true),
            ("-1", "2024-02-28T00:00:00Z", false),
            ("1:5", "2026-11-05T23:59:59Z", true),
            ("-3:-1", "2026-11-28T00:00:00Z", true),
            ("25:-1", "2026-02-28T00:00:00Z", true),
            ("29:31", "2026-02-28T00:00:00Z", false),
        ] {
            assert_eq!(holds(json!({ "days_of_month": [range] }), at), expected, "{range} {at}");
        }
    }

    #[test]
    fn zones_move_with_their_summer() {
        let nine =
            json!({ "times": [{ "start_time": "09:00", "end_time": "10:00" }], "location": "Europe/Berlin" });
        assert!(holds(nine.clone(), "2026-07-01T07:30:00Z") && !holds(nine.clone(), "2026-07-01T08:30:00Z"));
        assert!(holds(nine, "2026-12-01T08:30:00Z"));
    }

    #[test]
    fn slips_name_what_is_wrong() {
        for (value, part) in [
            (json!({ "times": [{ "start_time": "22:00", "end_time": "06:00" }] }), "midnight"),
            (json!({ "times": [{ "start_time": "9:00", "end_time": "10:00" }] }), "HH:MM"),
            (json!({ "weekdays": ["friday:monday"] }), "ends before"),
            (json!({ "weekdays": ["someday"] }), "someday"),
            (json!({ "days_of_month": ["0"] }), "`0`"),
            (json!({ "months": ["13"] }), "13"),
            (json!({ "location": "Mars/Olympus" }), "Mars"),
            (json!({ "days_of_month": ["-1:3"] }), "two ranges"),
        ] {
            let error = interval(value).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
