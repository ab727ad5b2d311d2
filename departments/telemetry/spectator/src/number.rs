//! Numbers at the start of text, as C's `strtod`, `strtoull` and `strtoll` read them.
//!
//! Clients of spectatord rely on C's rules: leading white space is skipped, a number ends where it stops making sense, what
//! is too great saturates. Each function gives the number and how many bytes it took, or nothing where C would take none.
//!
//! Most values are short decimals. Such a one is an integer below 2^53 divided by a power of ten up to 10^22; both are exact as
//! floats, so one division rounds correctly (Clinger, "How to read floating point numbers accurately", 1990). All others go
//! to the standard library.

/// `strtod`: decimal, hexadecimal (`0x1.8p3`), `inf`, `infinity`, `nan`, `nan(...)`.
pub(crate) fn float(text: &[u8]) -> Option<(f64, usize)> {
    let start = skip_space(text);
    let (is_negative, digits) = sign(text, start);
    let rest = &text[digits..];
    let (magnitude, length) = decimal(rest)
        .map(|(value, length)| match hexadecimal(rest) {
            Some(found) => found,
            None => (value, length),
        })
        .or_else(|| named(rest))?;
    Some((if is_negative { -magnitude } else { magnitude }, digits + length))
}

/// `strtoull`, base 10: a minus wraps around.
pub(crate) fn unsigned(text: &[u8]) -> Option<(u64, usize)> {
    let (is_negative, digits) = sign(text, skip_space(text));
    let (magnitude, length) = saturating(&text[digits..])?;
    // Too great a number is ULLONG_MAX, whatever its sign.
    let is_wrapped = is_negative && magnitude != u64::MAX;
    Some((if is_wrapped { magnitude.wrapping_neg() } else { magnitude }, digits + length))
}

/// `strtoll`, base 10.
pub(crate) fn signed(text: &[u8]) -> Option<(i64, usize)> {
    let (is_negative, digits) = sign(text, skip_space(text));
    let (magnitude, length) = saturating(&text[digits..])?;
    let value = i64::try_from(magnitude).unwrap_or(if is_negative { i64::MIN } else { i64::MAX });
    let is_negated = is_negative && value != i64::MIN;
    Some((if is_negated { -value } else { value }, digits + length))
}

/// What C's `isspace` calls white space.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn skip_space(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_space(**byte)).count()
}

fn sign(text: &[u8], at: usize) -> (bool, usize) {
    match text.get(at) {
        Some(b'-') => (true, at + 1),
        Some(b'+') => (false, at + 1),
        _ => (false, at),
    }
}

/// Digits as a number; the greatest one if they are too many.
fn saturating(text: &[u8]) -> Option<(u64, usize)> {
    let length = count_digits(text);
    let value = text[..length].iter().fold(0_u64, |value, digit| {
        value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0'))).unwrap_or(u64::MAX)
    });
    // Once saturated the fold would wrap no further: MAX times ten does not fit either.
    (length > 0).then_some((value, length))
}

fn count_digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The greatest mantissa that is exact as a float has 53 bits, so fifteen digits always fit.
const EXACT_DIGITS: usize = 15;

const POWERS: [f64; EXACT_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    let whole = count_digits(text);
    let mut end = whole;
    let mut fraction = 0;
    if text.get(end) == Some(&b'.') {
        fraction = count_digits(&text[end + 1..]);
        // "1." is a number, "." is none.
        end += usize::from(whole + fraction > 0) + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    let exponent = exponent_length(&text[end..], b'e');
    if exponent == 0 && whole + fraction <= EXACT_DIGITS {
        let digits = text[..whole].iter().chain(text.get(whole + 1..end).unwrap_or_default());
        let mantissa = digits.fold(0_u64, |value, digit| 10 * value + u64::from(digit - b'0'));
        return Some((mantissa as f64 / POWERS[fraction], end));
    }
    end += exponent;
    let ascii = std::str::from_utf8(&text[..end]).ok()?;
    Some((ascii.parse().ok()?, end))
}

/// The length of `e`, a sign, and digits; zero unless there are digits.
fn exponent_length(text: &[u8], letter: u8) -> usize {
    if !text.first().is_some_and(|first| first.eq_ignore_ascii_case(&letter)) {
        return 0;
    }
    let (_, digits) = sign(text, 1);
    let length = count_digits(&text[digits..]);
    if length == 0 { 0 } else { digits + length }
}

fn hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    if !text.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"0x")) {
        return None;
    }
    let (mut mantissa, mut scale, mut digits, mut end) = (0.0_f64, 0_i32, 0, 2);
    let mut is_fraction = false;
    while let Some(byte) = text.get(end) {
        match char::from(*byte).to_digit(16) {
            Some(digit) => {
                mantissa = mantissa * 16.0 + f64::from(digit);
                scale -= i32::from(is_fraction) * 4;
                digits += 1;
            }
            None if *byte == b'.' && !is_fraction => is_fraction = true,
            None => break,
        }
        end += 1;
    }
    if digits == 0 {
        return None;
    }
    let exponent = exponent_length(&text[end..], b'p');
    if exponent > 0 {
        let (power, _) = signed(&text[end + 1..])?;
        scale =
            scale.saturating_add(i32::try_from(power).unwrap_or(if power < 0 { i32::MIN } else { i32::MAX }));
    }
    Some((mantissa * 2.0_f64.powi(scale), end + exponent))
}

fn named(text: &[u8]) -> Option<(f64, usize)> {
    let starts = |name: &[u8]| text.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
    if starts(b"infinity") {
        return Some((f64::INFINITY, 8));
    }
    if starts(b"inf") {
        return Some((f64::INFINITY, 3));
    }
    if !starts(b"nan") {
        return None;
    }
    let payload = text[3..].strip_prefix(b"(").and_then(|inside| {
        let length = inside.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        (inside.get(length) == Some(&b')')).then_some(length + 2)
    });
    Some((f64::NAN, 3 + payload.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn floats_are_read_as_in_c() {
        let table: [(&str, Option<(f64, usize)>); 26] = [
            ("1", Some((1.0, 1))),
            ("0.042", Some((0.042, 5))),
            (" \t+1.5e3x", Some((1500.0, 8))),
            ("-.5", Some((-0.5, 3))),
            ("1.", Some((1.0, 2))),
            ("1.e2", Some((100.0, 4))),
            (".", None),
            ("-", None),
            ("", None),
            ("e5", None),
            ("1e", Some((1.0, 1))),
            ("1e+", Some((1.0, 1))),
            ("1e400", Some((f64::INFINITY, 5))),
            ("1e-400", Some((0.0, 6))),
            ("123junk", Some((123.0, 3))),
            ("1,5", Some((1.0, 1))),
            ("0x", Some((0.0, 1))),
            ("0x10", Some((16.0, 4))),
            ("0X1.8p3", Some((12.0, 7))),
            ("0x.8", Some((0.5, 4))),
            ("0x1p", Some((1.0, 3))),
            ("-inf", Some((f64::NEG_INFINITY, 4))),
            ("INFINITYx", Some((f64::INFINITY, 8))),
            ("infi", Some((f64::INFINITY, 3))),
            ("123456789012345678", Some((123_456_789_012_345_678.0, 18))),
            ("in", None),
        ];
        for (text, expected) in table {
            assert_eq!(float(text.as_bytes()), expected, "{text}");
        }
        for (text, length) in [("nan", 3), ("NaN(12_a)", 9), ("nan(", 3), ("nan(-)", 3)] {
            let (value, taken) = float(text.as_bytes()).unwrap();
            assert!(value.is_nan() && taken == length, "{text}");
        }
    }

    #[test]
    fn integers_are_read_as_in_c() {
        let table = [
            ("7", Some((7, 1))),
            ("1.5", Some((1, 1))),
            (" +7 ", Some((7, 3))),
            ("-1", Some((u64::MAX, 2))),
            ("-0", Some((0, 2))),
            ("18446744073709551615", Some((u64::MAX, 20))),
            ("18446744073709551616", Some((u64::MAX, 20))),
            ("-99999999999999999999", Some((u64::MAX, 21))),
            ("", None),
            ("-", None),
            ("x", None),
        ];
        for (text, expected) in table {
            assert_eq!(unsigned(text.as_bytes()), expected, "{text}");
        }
        let table = [
            ("120", Some((120, 3))),
            ("-5:", Some((-5, 2))),
            ("9223372036854775808", Some((i64::MAX, 19))),
            ("-9223372036854775808", Some((i64::MIN, 20))),
            ("-99999999999999999999", Some((i64::MIN, 21))),
            (":", None),
        ];
        for (text, expected) in table {
            assert_eq!(signed(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_float_is_read_exactly(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            for text in [value.to_string(), format!("{value:e}")] {
                let (read, length) = float(text.as_bytes()).unwrap();
                prop_assert_eq!((read.to_bits(), length), (value.to_bits(), text.len()));
            }
        }

        #[test]
        fn short_decimals_are_read_exactly(digits in "[0-9]{0,9}\\.?[0-9]{1,9}") {
            prop_assert_eq!(float(digits.as_bytes()), Some((digits.parse().unwrap(), digits.len())));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for length in [float(&bytes).map(|f| f.1), unsigned(&bytes).map(|f| f.1), signed(&bytes).map(|f| f.1)] {
                prop_assert!(length.is_none_or(|length| 0 < length && length <= bytes.len()));
            }
        }
    }
}
