//! Durations and points in time as requests write them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

use crate::Error;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

/// Epoch numbers up to here are seconds, above they are milliseconds.
const LARGEST_SECONDS: i64 = i32::MAX as i64;

/// Reads a duration in milliseconds: `5m`, `1h`, `3d`, `1w`, `2month` (30 days), `1y` (365 days), `PT5M`, `P1DT12H`.
///
/// # Errors
/// Anything else, and durations beyond a thousand years.
pub fn duration(text: &str) -> Result<i64, Error> {
    let wrong = || Error::argument(format!("invalid period {text}; write it like 5m, 1h, 1w or PT5M"));
    if text.starts_with(['P', 'p']) {
        let span: Span = text.parse().map_err(|_| wrong())?;
        let days = i64::from(span.get_days())
            + i64::from(span.get_weeks()) * 7
            + i64::from(span.get_months()) * 30
            + i64::from(span.get_years()) * 365;
        let time = i64::from(span.get_hours()) * HOUR
            + span.get_minutes() * MINUTE
            + span.get_seconds() * SECOND
            + span.get_milliseconds();
        return days
            .checked_mul(DAY)
            .and_then(|days| days.checked_add(time))
            .filter(in_bounds)
            .ok_or_else(wrong);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "seconds" | "second" | "s" => SECOND,
        "minutes" | "minute" | "min" | "m" => MINUTE,
        "hours" | "hour" | "h" => HOUR,
        "days" | "day" | "d" => DAY,
        "weeks" | "week" | "wk" | "w" => WEEK,
        "months" | "month" => 30 * DAY,
        "years" | "year" | "y" => 365 * DAY,
        _ => return Err(wrong()),
    };
    number.parse::<i64>().ok().and_then(|number| number.checked_mul(unit)).filter(in_bounds).ok_or_else(wrong)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "a predicate for `filter`")]
fn in_bounds(duration: &i64) -> bool {
    duration.abs() <= 1000 * 365 * DAY
}

/// A duration in the form that expressions are written in: the largest unit that fits.
pub fn duration_text(millis: i64) -> String {
    for (unit, letter) in [(WEEK, "w"), (DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")] {
        if millis % unit == 0 {
            return format!("{}{letter}", millis / unit);
        }
    }
    format!("{millis}ms")
}

/// A named point that another time is told from: `e` in `e-3h`.
pub(crate) type Reference<'a> = (&'a str, i64);

/// Reads a point in time as milliseconds since 1970 UTC: a name (`now`, `epoch`, one of the references), a name and a distance
/// (`e-3h`, `now-PT5M`, a bare `-3h` is from `e`), an ISO date or date and time with or without zone, seconds or milliseconds since 1970.
///
/// # Errors
/// Anything else.
pub(crate) fn instant(
    text: &str,
    zone: &TimeZone,
    now: i64,
    references: &[Reference<'_>],
) -> Result<i64, Error> {
    let wrong = || {
        Error::argument(format!(
            "invalid date {text}; write it like now, e-3h, 2012-01-01T09:00 or seconds since 1970"
        ))
    };
    let named = |name: &str| match name {
        "now" => Some(now),
        "epoch" => Some(0),
        _ => references.iter().find(|(known, _)| *known == name).map(|(_, time)| *time),
    };
    if let Some(time) = named(text) {
        return Ok(time);
    }
    if let Ok(number) = text.parse::<i64>()
        && number >= 0
    {
        return Ok(if number <= LARGEST_SECONDS { number * SECOND } else { number });
    }
    if let Some(sign) = text.find(['-', '+'])
        && text[..sign].bytes().all(|letter| letter.is_ascii_alphabetic())
    {
        let name = if sign == 0 { "e" } else { &text[..sign] };
        let from = named(name)
            .ok_or_else(|| Error::argument(format!("unknown reference point {name} in {text}")))?;
        let distance = duration(&text[sign + 1..])?;
        return Ok(if text.as_bytes()[sign] == b'-' { from - distance } else { from + distance });
    }
    calendar(text, zone).ok_or_else(wrong)
}

fn calendar(text: &str, zone: &TimeZone) -> Option<i64> {
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    let offset = time.find(['Z', '+', '-']);
    let (clock, offset) = time.split_at(offset.unwrap_or(time.len()));
    let clock = match clock.len() {
        0 => "00:00:00".to_owned(),
        5 => format!("{clock}:00"),
        _ => clock.to_owned(),
    };
    let local: DateTime = format!("{date}T{clock}").parse().ok()?;
    let zone = match offset {
        "" => zone.clone(),
        "Z" => TimeZone::UTC,
        _ => {
            let (hours, minutes) = offset[1..].split_once(':').unwrap_or((&offset[1..], "0"));
            let seconds = (hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?) * 60;
            let signed = if offset.starts_with('-') { -seconds } else { seconds };
            TimeZone::fixed(jiff::tz::Offset::from_seconds(signed).ok()?)
        }
    };
    Some(local.to_zoned(zone).ok()?.timestamp().as_millisecond())
}

/// Start and end of a window of which each may be told from the other.
///
/// # Errors
/// Times told from each other in a circle, or that cannot be read.
pub fn window(start: &str, end: &str, zone: &TimeZone, now: i64) -> Result<(i64, i64), Error> {
    window_with(start, end, zone, now, &[])
}

pub(crate) fn window_with(
    start: &str,
    end: &str,
    zone: &TimeZone,
    now: i64,
    references: &[Reference<'_>],
) -> Result<(i64, i64), Error> {
    let from = |text: &str, name: &str| {
        text == name
            || text.strip_prefix(name).is_some_and(|rest| rest.starts_with(['-', '+']))
            || (name == "e" && text.starts_with('-'))
    };
    let with =
        |name: &'static str, time: i64| references.iter().copied().chain([(name, time)]).collect::<Vec<_>>();
    if from(start, "s") || from(end, "e") {
        return Err(Error::argument("a time is relative to itself"));
    }
    if from(end, "s") {
        if from(start, "e") {
            return Err(Error::argument("start and end time are relative to each other"));
        }
        let start = instant(start, zone, now, references)?;
        return Ok((start, instant(end, zone, now, &with("s", start))?));
    }
    let end = instant(end, zone, now, references)?;
    Ok((instant(start, zone, now, &with("e", end))?, end))
}

/// A time zone by name: `UTC`, `US/Pacific`, `Z`, `+02:00`.
///
/// # Errors
/// No such zone.
pub fn zone(name: &str) -> Result<TimeZone, Error> {
    if name == "Z" || name == "UTC" || name == "GMT" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name)
        .map_err(|_| Error::argument(format!("unknown time zone {name}; use a name like UTC or US/Pacific")))
}

/// The local time at an instant.
pub(crate) fn local(millis: i64, zone: &TimeZone) -> Zoned {
    let last = Timestamp::MAX.saturating_sub(1.day().hours(48)).unwrap_or(Timestamp::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(last).to_zoned(zone.clone())
}

/// `2012-01-01T09:00:00Z`.
pub fn utc_text(millis: i64) -> String {
    let at = local(millis.div_euclid(SECOND) * SECOND, &TimeZone::UTC);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        let read =
            ["5m", "1h", "1w", "1month", "1y", "PT5M", "P1DT1H", "0h"].map(|text| duration(text).unwrap());
        assert_eq!(read, [5 * MINUTE, HOUR, WEEK, 30 * DAY, 365 * DAY, 5 * MINUTE, DAY + HOUR, 0]);
        assert!(["5", "m", "5x", "999999999999y", "P", ""].iter().all(|text| duration(text).is_err()));
        assert_eq!([WEEK, 8 * DAY, 90 * MINUTE, 61_000].map(duration_text), ["1w", "8d", "90m", "61s"]);
    }

    #[test]
    fn times_are_read() {
        let utc = TimeZone::UTC;
        let nine = 1_325_408_400_000;
        let read = |text: &str| instant(text, &utc, 5000, &[("e", nine)]);
        for text in [
            "2012-01-01T09:00",
            "2012-01-01T09:00:00Z",
            "2012-01-01T11:00+02:00",
            "1325408400",
            "1325408400000",
            "e",
        ] {
            assert_eq!(read(text), Ok(nine), "{text}");
        }
        assert_eq!(read("e-5m"), Ok(nine - 5 * MINUTE));
        assert_eq!(read("now+1s"), Ok(6000));
        assert_eq!(read("2012-01-01"), Ok(nine - 9 * HOUR));
        let pacific = zone("US/Pacific").unwrap();
        assert_eq!(instant("2012-01-01T01:00", &pacific, 0, &[]), Ok(nine));
        assert!(read("x-5m").is_err() && read("2012-13-01").is_err() && read("").is_err());
        assert_eq!(window("e-1h", "2012-01-01T09:00", &utc, 0), Ok((nine - HOUR, nine)));
        assert_eq!(window("0", "s+1h", &utc, 0), Ok((0, HOUR)));
        assert!(window("e-1h", "s+1h", &utc, 0).is_err() && window("s-1h", "now", &utc, 0).is_err());
    }
}
