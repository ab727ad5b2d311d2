//! Numbers, sizes, durations and times as people read them.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

/// A count with thin spaces between thousands: `1 234 567`.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A size in binary units with three significant digits: `512 B`, `1.50 KiB`, `23.4 MiB`.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    let mut value = size as f64;
    let mut unit = 0;
    // 999.5 and not 1024, so that three digits are always enough.
    while value >= 999.5 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A duration with two units at most: `340 µs`, `12 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match span.as_micros() {
        micros @ 0..1_000 => format!("{micros} µs"),
        micros @ 1_000..1_000_000 => format!("{} ms", micros / 1_000),
        micros @ 1_000_000..10_000_000 => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
        _ if seconds < 60 => format!("{seconds} s"),
        _ => two_units(seconds),
    }
}

fn two_units(seconds: u64) -> String {
    let (large, large_unit, small, small_unit) = match seconds {
        0..3_600 => (seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => (seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => (seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    };
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// How `at` lies to `now`, in one unit: `just now`, `5 min ago`, `in 2 h`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(at.as_second());
    let distance = seconds.unsigned_abs();
    let text = match distance {
        0..10 => return "just now".to_owned(),
        10..60 => format!("{distance} s"),
        60..3_600 => format!("{} min", distance / 60),
        3_600..86_400 => format!("{} h", distance / 3_600),
        _ => format!("{} d", distance / 86_400),
    };
    if seconds > 0 { format!("{text} ago") } else { format!("in {text}") }
}

/// A moment as a `time` element: relative text, the exact UTC time as its title. The script keeps the text current.
pub fn time(at: Timestamp, now: Timestamp) -> Markup {
    let exact = at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(at) title=(exact) data-relative="" { (relative(at, now)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (size, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (1023 * 1024, "1.00 MiB"),
            (24 * 1024 * 1024, "24.0 MiB"),
            (500 * 1024 * 1024 * 1024, "500 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (micros, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1 ms"),
            (999_999, "999 ms"),
            (4_250_000, "4.2 s"),
            (59_900_000, "59 s"),
            (60_000_000, "1 min"),
            (200_000_000, "3 min 20 s"),
            (7_500_000_000, "2 h 5 min"),
            (273_600_000_000, "3 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn relative_times_look_both_ways() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let at = |offset: i64| relative(Timestamp::from_second(1_000_000 + offset).unwrap(), now);
        assert_eq!(at(0), "just now");
        assert_eq!(at(-9), "just now");
        assert_eq!(at(-59), "59 s ago");
        assert_eq!(at(-3600), "1 h ago");
        assert_eq!(at(300), "in 5 min");
        assert_eq!(at(-200_000), "2 d ago");
        assert_eq!(
            relative(Timestamp::MIN, Timestamp::MAX),
            format!("{} d ago", (Timestamp::MAX.as_second() - Timestamp::MIN.as_second()) / 86_400)
        );
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(number(7), "7");
        assert_eq!(number(1000), "1\u{202f}000");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
