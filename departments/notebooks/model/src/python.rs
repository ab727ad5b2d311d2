//! How Python writes and reads numbers: `repr(float)`, `int(text)`, `float(text)`.
//!
//! Notebooks and parameters pass through Python's own number formats, so their texts must be Python's to the byte. Integers
//! have any size there; they stay decimal texts here.

/// The most digits that Python's `int` takes from a text (`sys.int_info.default_max_str_digits`).
const MAX_INT_DIGITS: usize = 4300;

/// The code points of the digit zero in every script (Unicode category Nd); nine more digits follow each.
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
    0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
    0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066,
    0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950,
    0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6,
    0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// `repr` of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e16.
pub fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) || value == 0.0 {
        let plain = format!("{value}");
        if plain.contains('.') { plain } else { plain + ".0" }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

/// `int(text)` as decimal digits without leading zeros; `None` where Python raises `ValueError`.
pub fn parse_int(text: &str) -> Option<String> {
    let text = text.trim_matches(is_space);
    let (negative, digits) = sign(text);
    let digits = decimal_digits(digits)?;
    if digits.len() > MAX_INT_DIGITS {
        return None;
    }
    Some(signed(negative, &digits))
}

/// `float(text)`; `None` where Python raises `ValueError`.
pub fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    let (negative, body) = sign(text);
    let lower = body.to_lowercase();
    let magnitude = match lower.as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" => f64::NAN,
        _ => {
            let (mantissa, exponent) = match lower.split_once('e') {
                Some((mantissa, exponent)) => (mantissa, Some(exponent)),
                None => (lower.as_str(), None),
            };
            let (whole, fraction) = match mantissa.split_once('.') {
                Some((whole, fraction)) => (whole, fraction),
                None => (mantissa, ""),
            };
            if whole.is_empty() && fraction.is_empty() {
                return None;
            }
            let part = |digits: &str| {
                if digits.is_empty() { Some(String::new()) } else { decimal_digits(digits) }
            };
            let mut plain = format!("{}.{}", part(whole)?, part(fraction)?);
            if let Some(exponent) = exponent {
                let (negative, digits) = sign(exponent);
                plain.push_str(if negative { "e-" } else { "e" });
                plain.push_str(&decimal_digits(digits)?);
            }
            plain.parse().ok()?
        }
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// `str.splitlines(keepends=True)`.
pub fn split_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let is_end = match char {
            '\r' => {
                if chars.peek().is_some_and(|(_, next)| *next == '\n') {
                    chars.next();
                }
                true
            }
            '\n' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}' => true,
            _ => false,
        };
        if is_end {
            let end = chars.peek().map_or(text.len(), |(next, _)| *next);
            debug_assert!(end > at);
            lines.push(&text[start..end]);
            start = end;
        }
    }
    if start < text.len() {
        lines.push(&text[start..]);
    }
    lines
}

/// `text.encode('unicode_escape')`: ASCII with `\x`, `\u` and `\U` escapes.
pub fn unicode_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            ' '..='~' => escaped.push(char),
            '\0'..='\u{ff}' => escaped.push_str(&format!("\\x{:02x}", char as u32)),
            '\u{100}'..='\u{ffff}' => escaped.push_str(&format!("\\u{:04x}", char as u32)),
            _ => escaped.push_str(&format!("\\U{:08x}", char as u32)),
        }
    }
    escaped
}

/// `shlex.quote(text)`: a word for a POSIX shell.
pub fn shell_quote(text: &str) -> String {
    let is_safe = |char: char| char.is_ascii_alphanumeric() || "_@%+=:,./-".contains(char);
    if !text.is_empty() && text.chars().all(is_safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// An integer in another base, digits already free of underscores, as a decimal text.
pub(crate) fn from_base(digits: &str, base: u32) -> Option<String> {
    const LIMB: u64 = 1_000_000_000;
    if digits.is_empty() {
        return None;
    }
    // Limbs of base 10^9, least significant first.
    let mut limbs: Vec<u64> = vec![0];
    for char in digits.chars() {
        let mut carry = u64::from(char.to_digit(base)?);
        for limb in &mut limbs {
            let next = *limb * u64::from(base) + carry;
            *limb = next % LIMB;
            carry = next / LIMB;
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    let mut text = String::new();
    for (index, limb) in limbs.iter().rev().enumerate() {
        text.push_str(&if index == 0 { format!("{limb}") } else { format!("{limb:09}") });
    }
    Some(text)
}

/// Joins a sign and digits; zero has no sign.
pub(crate) fn signed(negative: bool, digits: &str) -> String {
    let digits = digits.trim_start_matches('0');
    match (digits, negative) {
        ("", _) => "0".to_owned(),
        (digits, true) => format!("-{digits}"),
        (digits, false) => digits.to_owned(),
    }
}

/// What Python's `str.strip` and `str.isspace` take for white space.
pub(crate) fn is_space(char: char) -> bool {
    char.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&char)
}

fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// ASCII digits for a run of decimal digits of any script, single underscores allowed between them.
fn decimal_digits(text: &str) -> Option<String> {
    let mut digits = String::with_capacity(text.len());
    let mut after_digit = false;
    for char in text.chars() {
        if char == '_' {
            if !after_digit {
                return None;
            }
            after_digit = false;
            continue;
        }
        let code = char as u32;
        let zero = ZEROS[ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?];
        digits.push(char::from_digit(code - zero, 10)?);
        after_digit = true;
    }
    after_digit.then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_does() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in cases {
            assert_eq!(float_repr(value), text);
        }
    }

    #[test]
    fn integers_are_read_as_python_does() {
        let good =
            [("1_000", "1000"), (" +5 ", "5"), ("-0", "0"), ("007", "7"), ("٤٢", "42"), ("\u{1f}9", "9")];
        for (text, value) in good {
            assert_eq!(parse_int(text).as_deref(), Some(value), "{text:?}");
        }
        for text in ["", "1__0", "_1", "1_", "1.0", "0x10", "- 1", "+-1", "²"] {
            assert_eq!(parse_int(text), None, "{text:?}");
        }
        assert_eq!(parse_int(&"9".repeat(4301)), None);
    }

    #[test]
    fn floats_are_read_as_python_does() {
        let good = [
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1_0.0_1", 10.01),
            (" -Infinity", f64::NEG_INFINITY),
        ];
        for (text, value) in good {
            assert_eq!(parse_float(text), Some(value), "{text:?}");
        }
        assert!(parse_float("NaN").is_some_and(f64::is_nan));
        for text in ["", ".", "e3", "1e", "1_.0", "0x1p3", "infi"] {
            assert_eq!(parse_float(text), None, "{text:?}");
        }
    }

    #[test]
    fn lines_end_where_python_ends_them() {
        assert_eq!(split_lines("a\r\nb\rc\u{2028}d\n"), ["a\r\n", "b\r", "c\u{2028}", "d\n"]);
        assert_eq!(split_lines("\n\n"), ["\n", "\n"]);
        assert!(split_lines("").is_empty());
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(
            unicode_escape("é€😀\n\t\"\u{1}\u{7f}\\"),
            "\\xe9\\u20ac\\U0001f600\\n\\t\"\\x01\\x7f\\\\"
        );
        assert_eq!(shell_quote("it's"), "'it'\"'\"'s'");
        assert_eq!(shell_quote(""), "''");
        assert_eq!(shell_quote("a/b-c"), "a/b-c");
    }

    #[test]
    fn any_base_becomes_decimal() {
        assert_eq!(from_base("ffffffffffffffffffff", 16).unwrap(), "1208925819614629174706175");
        assert_eq!(from_base("0", 8).unwrap(), "0");
        assert_eq!(from_base("8", 8), None);
    }
}
