//! Numbers as text, in and out, in the form that Java's `Double.toString` gives: clients and labels depend on it.

use std::fmt::Write;

/// Writes a number: `8.0`, `1.0E10`, `NaN`, `Infinity`; the shortest digits that read back as the same double.
pub(crate) fn write(value: f64, into: &mut String) {
    let size = value.abs();
    // Writing to a string does not fail.
    let _ = if value.is_nan() {
        write!(into, "NaN")
    } else if value.is_infinite() {
        write!(into, "{}Infinity", if value < 0.0 { "-" } else { "" })
    } else if size == 0.0 || (1e-3..1e7).contains(&size) {
        write!(into, "{value:?}")
    } else {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let point = if digits.contains('.') { "" } else { ".0" };
        write!(into, "{digits}{point}E{exponent}")
    };
}

/// A number as text; see [`write`].
pub fn text(value: f64) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// Reads a number as Java's `Double.parseDouble` does, without hexadecimal.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        _ => {}
    }
    // Rust also reads `inf` and `infinity`; Java reads a trailing `d` or `f`.
    let first = unsigned.bytes().next()?;
    let number = if text.ends_with(['d', 'D', 'f', 'F']) { &text[..text.len() - 1] } else { text };
    (first.is_ascii_digit() || first == b'.').then(|| number.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_java_writes_them() {
        let cases = [
            (8.0, "8.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (0.001, "0.001"),
            (0.00012, "1.2E-4"),
            (1.5e300, "1.5E300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn numbers_are_read_as_java_reads_them() {
        let read = ["42", "-1e3", ".5", "1d", "NaN", "-Infinity", "inf", "abc", "", "1x"].map(parse);
        assert_eq!(read[..4], [Some(42.0), Some(-1000.0), Some(0.5), Some(1.0)]);
        assert!(read[4].is_some_and(f64::is_nan) && read[5] == Some(f64::NEG_INFINITY));
        assert_eq!(read[6..], [None; 4]);
    }
}
