//! Numbers as people read them: `12,000`, `2.5M`, `10⁻⁶`, and the part of d3-format that figures use.

use crate::layout::ExponentFormat;

/// Ten to the power `exponent`, correctly rounded; infinite above 308, zero below -323.
pub(crate) fn pow10(exponent: i32) -> f64 {
    // Parsing is exact where a chain of multiplications is not.
    format!("1e{exponent}").parse().unwrap_or(f64::NAN)
}

/// The largest power of ten not above `value`, which must be positive and finite.
pub(crate) fn floor_log10(value: f64) -> i32 {
    let guess = libm::log10(value).floor() as i32;
    // The logarithm of a number just below a power of ten may round up to it.
    if pow10(guess) > value {
        guess - 1
    } else if pow10(guess + 1) <= value {
        guess + 1
    } else {
        guess
    }
}

/// How all the ticks of one axis are written, chosen from the largest number and the distance of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum NumberStyle {
    /// In full with so many decimals.
    Plain { decimals: usize },
    /// Divided by a power of 1000 with its letter.
    Letter { thousands: i32, decimals: usize, billions: bool },
    /// Digits and a power of ten.
    Power { exponent: i32, decimals: usize, form: ExponentFormat },
}

/// SI prefixes (BIPM, SI brochure, table 7) for 1000^-4 to 1000^5.
const LETTERS: [&str; 10] = ["p", "n", "µ", "m", "", "k", "M", "G", "T", "P"];

impl NumberStyle {
    /// The style for numbers up to `largest` (in size) that are at least `step` apart.
    pub(crate) fn choose(largest: f64, step: f64, wish: Option<ExponentFormat>) -> Self {
        let largest = if largest.is_finite() && largest > 0.0 { largest } else { 1.0 };
        let step_exponent = if step.is_finite() && step > 0.0 { step_digits(step) } else { 0 };
        let exponent = floor_log10(largest);
        let decimals = |shift: i32| usize::try_from(shift - step_exponent).unwrap_or(0).min(12);
        let power = |form| Self::Power { exponent, decimals: decimals(exponent), form };
        let letter = |billions| {
            let thousands = exponent.div_euclid(3).clamp(-4, 5);
            Self::Letter { thousands, decimals: decimals(thousands * 3), billions }
        };
        let plain = Self::Plain { decimals: decimals(0) };
        match wish {
            Some(ExponentFormat::None) if exponent.abs() <= 15 => plain,
            Some(ExponentFormat::Si) if (-12..18).contains(&exponent) && !(0..3).contains(&exponent) => {
                letter(false)
            }
            Some(ExponentFormat::B) if (6..18).contains(&exponent) => letter(true),
            Some(form @ (ExponentFormat::Lower | ExponentFormat::Upper | ExponentFormat::Power))
                if !(-3..6).contains(&exponent) =>
            {
                power(form)
            }
            _ if (-4..6).contains(&exponent) => plain,
            _ if (6..16).contains(&exponent) => letter(false),
            _ => power(ExponentFormat::Power),
        }
    }

    /// `value` in this style.
    pub(crate) fn format(self, value: f64) -> String {
        if value == 0.0 {
            return "0".to_owned();
        }
        match self {
            Self::Plain { decimals } => grouped(value, decimals),
            Self::Letter { thousands, decimals, billions } => {
                let letter = LETTERS[(thousands + 4) as usize];
                let letter = if billions && letter == "G" { "B" } else { letter };
                grouped(value / pow10(thousands * 3), decimals) + letter
            }
            Self::Power { exponent, decimals, form } => {
                // Divided twice, because 10^exponent alone may be beyond what a number can hold.
                let half = exponent / 2;
                let digits = grouped(value / pow10(half) / pow10(exponent - half), decimals);
                let power = match form {
                    ExponentFormat::Lower => return format!("{digits}e{exponent:+}"),
                    ExponentFormat::Upper => return format!("{digits}E{exponent:+}"),
                    _ => power_of_ten(exponent),
                };
                match digits.as_str() {
                    "1" => power,
                    "−1" => format!("−{power}"),
                    _ => format!("{digits}×{power}"),
                }
            }
        }
    }
}

/// The decimal place that still tells multiples of `step` apart: -1 for 0.5, -2 for 0.25, 3 for 2000.
fn step_digits(step: f64) -> i32 {
    let first = floor_log10(step);
    // Up to three more places for steps such as 2.5 and 0.125.
    (0..3)
        .map(|more| first - more)
        .find(|place| {
            let units = step / pow10(*place);
            (units - units.round()).abs() < 1e-6
        })
        .unwrap_or(first - 3)
}

/// `10<sup>exponent</sup>`.
pub(crate) fn power_of_ten(exponent: i32) -> String {
    format!("10<sup>{}</sup>", exponent.to_string().replace('-', "−"))
}

/// `value` with commas between thousands, a true minus, and no minus before a zero.
pub(crate) fn grouped(value: f64, decimals: usize) -> String {
    signed(value, &group(&format!("{:.decimals$}", value.abs())))
}

fn signed(value: f64, digits: &str) -> String {
    let is_zero = digits.bytes().all(|byte| matches!(byte, b'0' | b'.' | b','));
    if value < 0.0 && !is_zero { format!("−{digits}") } else { digits.to_owned() }
}

fn group(digits: &str) -> String {
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut out = String::with_capacity(digits.len() + whole.len() / 3 + 1);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// A number that stands alone (a colour bar's end, a bar's label): up to four significant digits.
pub(crate) fn compact(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { String::new() };
    }
    // Rounding up the largest numbers there are would leave what a number can hold.
    let value = value.clamp(-1e300, 1e300);
    let step = pow10((floor_log10(value.abs()) - 3).max(-300));
    // Rounded to its four digits first, so that no digit is shown that carries nothing.
    let rounded = (value / step).round() * step;
    let shortest = [1000.0, 100.0, 10.0].into_iter().map(|times| step * times);
    let step = shortest
        .into_iter()
        .find(|step| ((rounded / step) - (rounded / step).round()).abs() < 1e-6)
        .unwrap_or(step);
    NumberStyle::choose(rounded.abs(), step, None).format(rounded)
}

/// Formats `value` by a d3-format specifier: `[,][.precision][~](f|e|g|r|s|d|%|p)`, with `$` and `+` read; `None` for what
/// this does not cover.
pub(crate) fn d3_format(specifier: &str, value: f64) -> Option<String> {
    if !value.is_finite() {
        return Some(String::new());
    }
    let mut rest = specifier;
    let mut eat = |mark: char| match rest.strip_prefix(mark) {
        Some(after) => {
            rest = after;
            true
        }
        None => false,
    };
    let plus = eat('+');
    let dollar = eat('$');
    let _zero = eat('0');
    let comma = eat(',');
    let mut precision = None;
    if let Some(after) = rest.strip_prefix('.') {
        let end = after.find(|character: char| !character.is_ascii_digit()).unwrap_or(after.len());
        precision = Some(after[..end].parse::<usize>().ok()?.min(20));
        rest = &after[end..];
    }
    let trim = rest.starts_with('~');
    let kind = rest.trim_start_matches('~');
    let size = value.abs();
    let significant = |digits: usize| {
        let exponent = if size > 0.0 { floor_log10(size) } else { 0 };
        usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0).min(20)
    };
    let digits = match kind {
        "f" => format!("{size:.*}", precision.unwrap_or(6)),
        "d" => format!("{:.0}", size.round()),
        "%" => format!("{:.*}%", precision.unwrap_or(6), size * 100.0),
        "p" => format!("{:.*}%", significant(precision.unwrap_or(6)), size * 100.0),
        "e" => format!("{size:.*e}", precision.unwrap_or(6)),
        "g" | "r" => format!("{size:.*}", significant(precision.unwrap_or(6).max(1))),
        "" => match precision {
            Some(precision) => trimmed(&format!("{size:.*}", significant(precision.max(1)))),
            None => format!("{size}"),
        },
        "s" => {
            let exponent = if size > 0.0 { floor_log10(size) } else { 0 };
            let thousands = exponent.div_euclid(3).clamp(-4, 5);
            let scaled = size / pow10(thousands * 3);
            let shown =
                usize::try_from(precision.unwrap_or(6) as i32 - 1 - (exponent - thousands * 3)).unwrap_or(0);
            let digits = format!("{scaled:.*}", shown.min(20));
            let digits = if trim { trimmed(&digits) } else { digits };
            digits + LETTERS[(thousands + 4) as usize]
        }
        _ => return None,
    };
    let digits = if trim && kind != "s" { trimmed(&digits) } else { digits };
    let digits = if comma { group_leading(&digits) } else { digits };
    let sign = if value < 0.0 && digits.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
        "−"
    } else if plus {
        "+"
    } else {
        ""
    };
    Some(format!("{sign}{}{digits}", if dollar { "$" } else { "" }))
}

/// Groups the leading digits and leaves a suffix as it is.
fn group_leading(text: &str) -> String {
    let end =
        text.find(|character: char| !(character.is_ascii_digit() || character == '.')).unwrap_or(text.len());
    group(&text[..end]) + &text[end..]
}

/// Without zeros at the end of the fraction, keeping a suffix.
fn trimmed(text: &str) -> String {
    let end =
        text.find(|character: char| !(character.is_ascii_digit() || character == '.')).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{digits}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_follows_size_and_step() {
        let format =
            |largest: f64, step: f64, value: f64| NumberStyle::choose(largest, step, None).format(value);
        assert_eq!(format(1.0, 0.25, 0.5), "0.50");
        assert_eq!(format(50_000.0, 10_000.0, 20_000.0), "20,000");
        assert_eq!(format(3e6, 5e5, 1.5e6), "1.5M");
        assert_eq!(format(3e6, 5e5, -5e5), "−0.5M");
        assert_eq!(format(2e9, 1e9, 1e9), "1G");
        assert_eq!(format(2e-7, 1e-7, 1e-7), "10<sup>−7</sup>");
        assert_eq!(format(3e300, 1e300, 2e300), "2×10<sup>300</sup>");
        assert_eq!(format(1e15, 1e14, 0.0), "0");
    }

    #[test]
    fn single_numbers_show_what_they_have() {
        for (value, text) in [
            (0.5, "0.5"),
            (12.0, "12"),
            (1234.5678, "1,235"),
            (2_500_000.0, "2.5M"),
            (0.001_234, "0.001234"),
            (-3.1, "−3.1"),
            (f64::MAX, "10<sup>300</sup>"),
        ] {
            assert_eq!(compact(value), text);
        }
    }

    #[test]
    fn d3_specifiers() {
        for (specifier, value, text) in [
            (".2f", 1.005e3, "1005.00"),
            (",.0f", 1_234_567.0, "1,234,567"),
            (".1%", 0.1234, "12.3%"),
            (",d", -4200.0, "−4,200"),
            ("~s", 1500.0, "1.5k"),
            (".2s", 1_234_000.0, "1.2M"),
            (".3g", 2.345_67, "2.35"),
            ("$,.2f", 1234.5, "$1,234.50"),
            ("+.1f", 2.0, "+2.0"),
            (".2e", 1500.0, "1.50e3"),
        ] {
            assert_eq!(d3_format(specifier, value).as_deref(), Some(text), "{specifier}");
        }
        assert_eq!(d3_format("%Y", 1.0), None);
        assert_eq!(d3_format(".99999999999999999999f", 1.0), None);
    }

    #[test]
    fn powers_are_exact_at_their_edges() {
        for exponent in -300..=300 {
            assert_eq!(floor_log10(pow10(exponent)), exponent);
            assert_eq!(floor_log10(pow10(exponent).next_down()), exponent - 1);
        }
    }
}
