//! Path templates: Python's `str.format` over the parameters and papermill's own `pm`.
//!
//! `out_{a:03d}_{d[key]}_{pm[current_datetime_utc]:%Y%m%d}.ipynb`. The mini-language of format specifications is that of
//! Python's `str`, `int` and `float`; a date takes a `strftime` pattern. Attributes exist only of dates.

use jiff::civil::DateTime;

use crate::param::{Param, Parameters};
use crate::python::float_repr;

/// How deep replacement fields may nest in specifications; Python allows two levels as well.
const MAX_NESTING: usize = 2;

/// The widest field: a path is never wider, and a width is user input.
const MAX_WIDTH: usize = 4096;

/// Why a template cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A name that no parameter has.
    #[error("Missing parameter '{0}'")]
    Missing(String),
    /// It is not a template.
    #[error("the path `{template}` is no template: {what}; write a brace that is meant as such twice")]
    Syntax {
        /// The template.
        template: String,
        /// What is wrong.
        what: String,
    },
}

/// What `pm` holds besides the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builtins {
    /// `pm[run_uuid]`
    pub run_uuid: String,
    /// `pm[current_datetime_local]`
    pub local: DateTime,
    /// `pm[current_datetime_utc]`
    pub utc: DateTime,
}

/// Fills in a path.
///
/// # Errors
/// A name that is missing, a template that is none, a specification that does not fit its value.
pub fn fill(template: &str, parameters: &Parameters, builtins: &Builtins) -> Result<String, TemplateError> {
    let filler = Filler { parameters, builtins };
    filler.fill(template, 0).map_err(|error| match error {
        Wrong::Missing(name) => TemplateError::Missing(name),
        Wrong::Syntax(what) => TemplateError::Syntax { template: template.to_owned(), what },
    })
}

enum Wrong {
    Missing(String),
    Syntax(String),
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::Syntax(what.into()))
}

/// A value that a field names.
enum Named {
    Param(Param),
    Date(DateTime, Zone),
    Pm,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    None,
    Utc,
}

struct Filler<'a> {
    parameters: &'a Parameters,
    builtins: &'a Builtins,
}

impl Filler<'_> {
    fn fill(&self, template: &str, nesting: usize) -> Result<String, Wrong> {
        if nesting > MAX_NESTING {
            return wrong("Max string recursion exceeded");
        }
        let mut out = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
            } else if brace == "}" {
                return wrong("Single '}' encountered in format string");
            } else {
                let end = closing(after)
                    .ok_or_else(|| Wrong::Syntax("expected '}' before end of string".to_owned()))?;
                out.push_str(&self.field(&after[..end], nesting)?);
                rest = &after[end + 1..];
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn field(&self, field: &str, nesting: usize) -> Result<String, Wrong> {
        // A colon or exclamation mark within `[…]` belongs to the key.
        let mut in_key = false;
        let split = field.find(|char: char| {
            in_key = (in_key || char == '[') && char != ']';
            !in_key && (char == ':' || char == '!')
        });
        let (name, tail) = field.split_at(split.unwrap_or(field.len()));
        let (conversion, spec) = match tail.strip_prefix('!') {
            Some(tail) => match tail.split_once(':') {
                Some((conversion, spec)) => (Some(conversion), spec),
                None => (Some(tail), ""),
            },
            None => (None, tail.strip_prefix(':').unwrap_or_default()),
        };
        let spec = self.fill(spec, nesting + 1)?;
        let value = self.look_up(name)?;
        let value = match conversion {
            None => value,
            Some("s") => Named::Param(Param::Str(text(&value))),
            Some("r" | "a") => Named::Param(Param::Str(match &value {
                Named::Param(param) => param.to_repr(),
                other => text(other),
            })),
            Some(other) => return wrong(format!("Unknown conversion specifier '{other}'")),
        };
        format_value(&value, &spec)
    }

    fn look_up(&self, path: &str) -> Result<Named, Wrong> {
        let end = path.find(['.', '[']).unwrap_or(path.len());
        let (name, mut rest) = path.split_at(end);
        let mut value = match self.parameters.get(name) {
            Some(param) => Named::Param(param.clone()),
            None if name == "pm" => Named::Pm,
            None if name.is_empty() || name.bytes().all(|byte| byte.is_ascii_digit()) => {
                return wrong("a field needs a name: there are no positional values");
            }
            None => return Err(Wrong::Missing(name.to_owned())),
        };
        while !rest.is_empty() {
            if let Some(tail) = rest.strip_prefix('[') {
                let (key, after) = tail
                    .split_once(']')
                    .ok_or_else(|| Wrong::Syntax("Missing ']' in format string".to_owned()))?;
                value = self.item(value, key)?;
                rest = after;
            } else {
                let tail = rest.strip_prefix('.').unwrap_or(rest);
                let end = tail.find(['.', '[']).unwrap_or(tail.len());
                value = attribute(&value, &tail[..end])?;
                rest = &tail[end..];
            }
        }
        Ok(value)
    }

    fn item(&self, value: Named, key: &str) -> Result<Named, Wrong> {
        let is_index = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
        match value {
            Named::Pm => match key {
                "run_uuid" => Ok(Named::Param(Param::Str(self.builtins.run_uuid.clone()))),
                "current_datetime_local" => Ok(Named::Date(self.builtins.local, Zone::None)),
                "current_datetime_utc" => Ok(Named::Date(self.builtins.utc, Zone::Utc)),
                key => Err(Wrong::Missing(key.to_owned())),
            },
            Named::Param(Param::Dict(members)) => {
                let found = members.into_iter().find(|(name, _)| match name {
                    crate::param::Key::Str(text) => !is_index && text == key,
                    crate::param::Key::Other(value) => is_index && value.to_text() == key,
                });
                found.map(|(_, value)| Named::Param(value)).ok_or_else(|| Wrong::Missing(key.to_owned()))
            }
            Named::Param(Param::List(items)) if is_index => {
                let index: usize = key.parse().unwrap_or(usize::MAX);
                let found = items.into_iter().nth(index).map(Named::Param);
                found.ok_or_else(|| Wrong::Syntax("list index out of range".to_owned()))
            }
            Named::Param(Param::Str(text)) if is_index => {
                let index: usize = key.parse().unwrap_or(usize::MAX);
                let found = text.chars().nth(index).map(|char| Named::Param(Param::Str(char.to_string())));
                found.ok_or_else(|| Wrong::Syntax("string index out of range".to_owned()))
            }
            _ => wrong(format!("`[{key}]` of a value that has no items")),
        }
    }
}

/// The closing brace of a field that began before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    for (at, char) in text.char_indices() {
        match char {
            '{' => open += 1,
            '}' => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn attribute(value: &Named, name: &str) -> Result<Named, Wrong> {
    let Named::Date(date, _) = value else {
        return wrong(format!("only dates have attributes, such as `.{name}`"));
    };
    let part = match name {
        "year" => i64::from(date.year()),
        "month" => i64::from(date.month()),
        "day" => i64::from(date.day()),
        "hour" => i64::from(date.hour()),
        "minute" => i64::from(date.minute()),
        "second" => i64::from(date.second()),
        "microsecond" => i64::from(date.subsec_nanosecond() / 1000),
        _ => return wrong(format!("a date has no `.{name}`")),
    };
    Ok(Named::Param(Param::Int(part.to_string())))
}

fn text(value: &Named) -> String {
    match value {
        Named::Param(param) => param.to_text(),
        Named::Date(date, zone) => {
            let micros = date.subsec_nanosecond() / 1000;
            let mut text = date.strftime("%Y-%m-%d %H:%M:%S").to_string();
            if micros > 0 {
                text.push_str(&format!(".{micros:06}"));
            }
            if *zone == Zone::Utc {
                text.push_str("+00:00");
            }
            text
        }
        Named::Pm => "pm".to_owned(),
    }
}

fn format_value(value: &Named, spec: &str) -> Result<String, Wrong> {
    if spec.is_empty() {
        return match value {
            Named::Pm => {
                wrong("`pm` has three values: run_uuid, current_datetime_local and current_datetime_utc")
            }
            value => Ok(text(value)),
        };
    }
    match value {
        Named::Date(date, zone) => {
            let spec = spec.replace("%f", &format!("{:06}", date.subsec_nanosecond() / 1000));
            let spec = spec.replace("%z", if *zone == Zone::Utc { "+0000" } else { "" });
            let spec = spec.replace("%Z", if *zone == Zone::Utc { "UTC" } else { "" });
            jiff::fmt::strtime::format(&spec, *date).map_err(|error| Wrong::Syntax(error.to_string()))
        }
        Named::Param(Param::Str(text)) => Spec::parse(spec)?.string(text),
        Named::Param(Param::Int(digits)) => Spec::parse(spec)?.int(digits),
        Named::Param(Param::Bool(value)) => Spec::parse(spec)?.int(if *value { "1" } else { "0" }),
        Named::Param(Param::Float(value)) => Spec::parse(spec)?.float(*value),
        _ => {
            wrong(format!("`:{spec}` does not fit the value; only texts, numbers and dates can be formatted"))
        }
    }
}

/// A format specification: `[[fill]align][sign][#][0][width][,_][.precision][type]`.
#[derive(Debug)]
struct Spec {
    fill: char,
    align: Option<char>,
    sign: char,
    alternate: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Spec {
    fn parse(spec: &str) -> Result<Spec, Wrong> {
        let chars: Vec<char> = spec.chars().collect();
        let mut at = 0;
        let is_align = |char: Option<&char>| char.is_some_and(|char| "<>=^".contains(*char));
        let mut parsed = Spec {
            fill: ' ',
            align: None,
            sign: '-',
            alternate: false,
            width: 0,
            grouping: None,
            precision: None,
            kind: None,
        };
        if is_align(chars.get(1)) {
            (parsed.fill, parsed.align, at) = (chars[0], Some(chars[1]), 2);
        } else if is_align(chars.first()) {
            (parsed.align, at) = (Some(chars[0]), 1);
        }
        let mut take = |allowed: &str| {
            let found = chars.get(at).copied().filter(|char| allowed.contains(*char));
            at += usize::from(found.is_some());
            found
        };
        parsed.sign = take("+- ").unwrap_or('-');
        parsed.alternate = take("#").is_some();
        if take("0").is_some() {
            parsed.fill = if parsed.align.is_none() || parsed.fill == ' ' { '0' } else { parsed.fill };
            parsed.align = parsed.align.or(Some('0'));
        }
        let mut number = || {
            let mut digits = String::new();
            while let Some(digit) = take("0123456789") {
                digits.push(digit);
            }
            digits
        };
        let width = number();
        parsed.width = if width.is_empty() { 0 } else { width.parse().unwrap_or(usize::MAX) };
        parsed.grouping = take(",_");
        if take(".").is_some() {
            let mut digits = String::new();
            while let Some(digit) = take("0123456789") {
                digits.push(digit);
            }
            parsed.precision =
                Some(digits.parse().map_err(|_| Wrong::Syntax("Format specifier missing precision".into()))?);
        }
        parsed.kind = take("bcdeEfFgGnosxX%");
        if at < chars.len() {
            return wrong(format!("Invalid format specifier '{spec}'"));
        }
        if parsed.width > MAX_WIDTH || parsed.precision.is_some_and(|precision| precision > MAX_WIDTH) {
            return wrong(format!("a field wider than {MAX_WIDTH}"));
        }
        Ok(parsed)
    }

    fn string(&self, text: &str) -> Result<String, Wrong> {
        if self.kind.is_some_and(|kind| kind != 's') || self.align == Some('=') || self.sign != '-' {
            return wrong("a specification for numbers on a text");
        }
        let kept: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        Ok(self.pad("", &kept, '<'))
    }

    fn int(&self, digits: &str) -> Result<String, Wrong> {
        let (negative, magnitude) = match digits.strip_prefix('-') {
            Some(magnitude) => (true, magnitude),
            None => (false, digits),
        };
        let small = || {
            magnitude
                .parse::<u128>()
                .map_err(|_| Wrong::Syntax("the number is too large for this type".to_owned()))
        };
        let (prefix, body, group) = match self.kind {
            None | Some('d' | 'n') => ("", magnitude.to_owned(), 3),
            Some('b') => ("0b", format!("{:b}", small()?), 4),
            Some('o') => ("0o", format!("{:o}", small()?), 4),
            Some('x') => ("0x", format!("{:x}", small()?), 4),
            Some('X') => ("0X", format!("{:X}", small()?), 4),
            Some('c') => {
                let char = u32::try_from(small()?).ok().and_then(char::from_u32);
                let char = char.ok_or_else(|| Wrong::Syntax("no such character".to_owned()))?;
                return Ok(self.pad("", &char.to_string(), '<'));
            }
            Some('s') => return wrong("Unknown format code 's' for object of type 'int'"),
            Some(_) => return self.float(digits.parse().unwrap_or(f64::INFINITY)),
        };
        if self.precision.is_some() {
            return wrong("Precision not allowed in integer format specifier");
        }
        let prefix = if self.alternate { prefix } else { "" };
        Ok(self.number(negative, prefix, &body, "", group))
    }

    fn float(&self, value: f64) -> Result<String, Wrong> {
        let magnitude = value.abs();
        let precision = self.precision.unwrap_or(6);
        let body = if value.is_finite() {
            match self.kind {
                None if self.precision.is_none() => float_repr(magnitude),
                None => {
                    let text = general(magnitude, precision.max(1), 1);
                    if text.contains(['.', 'e']) { text } else { text + ".0" }
                }
                Some('f' | 'F') => format!("{magnitude:.precision$}"),
                Some('e') => exponent(magnitude, precision),
                Some('E') => exponent(magnitude, precision).to_uppercase(),
                Some('g' | 'n') => general(magnitude, precision.max(1), 0),
                Some('G') => general(magnitude, precision.max(1), 0).to_uppercase(),
                Some('%') => format!("{:.precision$}%", magnitude * 100.0),
                Some(other) => {
                    return wrong(format!("Unknown format code '{other}' for object of type 'float'"));
                }
            }
        } else {
            float_repr(magnitude)
        };
        let end = body.find(|char: char| !char.is_ascii_digit()).unwrap_or(body.len());
        let (whole, tail) = body.split_at(end);
        Ok(self.number(value.is_sign_negative() && !value.is_nan(), "", whole, tail, 3))
    }

    /// Sign, prefix, grouped whole part and tail, padded.
    fn number(&self, negative: bool, prefix: &str, whole: &str, tail: &str, group: usize) -> String {
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, '+') => "+",
            (false, ' ') => " ",
            _ => "",
        };
        let mut whole = whole.to_owned();
        if let Some(separator) = self.grouping {
            // Zeros that fill the width are grouped as well.
            let fills = self.align == Some('0');
            let taken = sign.len() + prefix.len() + tail.len();
            while fills && taken + grouped(&whole, separator, group).len() < self.width {
                whole.insert(0, '0');
            }
            whole = grouped(&whole, separator, group);
        }
        self.pad(&format!("{sign}{prefix}"), &format!("{whole}{tail}"), '>')
    }

    fn pad(&self, lead: &str, body: &str, natural: char) -> String {
        let missing = self.width.saturating_sub(lead.chars().count() + body.chars().count());
        let fill = |count: usize| self.fill.to_string().repeat(count);
        let align = match self.align {
            Some('0') if natural == '<' => '<',
            Some('0') => '=',
            Some(align) => align,
            None => natural,
        };
        match align {
            '<' => format!("{lead}{body}{}", fill(missing)),
            '=' => format!("{lead}{}{body}", fill(missing)),
            '^' => format!("{}{lead}{body}{}", fill(missing / 2), fill(missing - missing / 2)),
            _ => format!("{}{lead}{body}", fill(missing)),
        }
    }
}

fn grouped(digits: &str, separator: char, group: usize) -> String {
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(group) {
            out.push(separator);
        }
        out.push(digit);
    }
    out
}

fn exponent(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Python's `g`; `slack` is 1 where one digit after the point must have room (no type given).
fn general(value: f64, precision: usize, slack: i32) -> String {
    let scientific = exponent(value, precision - 1);
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if power < -4 || power >= precision as i32 - slack + i32::from(slack == 0 && precision == 0) {
        let tail = &scientific[mantissa.len()..];
        format!("{}{tail}", trim(mantissa))
    } else {
        let decimals = (precision as i32 - 1 - power).max(0) as usize;
        trim(&format!("{value:.decimals$}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn fill_in(template: &str) -> Result<String, TemplateError> {
        let parameters = yaml::parameters(
            "{a: 5, f: 1234.5678, s: hé, d: {k: v, 1: one}, l: [x, y], n: ~, b: yes, big: 1234567890123456789012}",
        );
        let builtins = Builtins {
            run_uuid: "u-1".to_owned(),
            local: jiff::civil::date(2026, 11, 22).at(13, 4, 5, 120_000),
            utc: jiff::civil::date(2026, 11, 22).at(12, 4, 5, 0),
        };
        fill(template, &parameters.unwrap(), &builtins)
    }

    #[test]
    fn fields_are_filled_as_python_fills_them() {
        let cases = [
            ("o_{a:03d}", "o_005"),
            ("{d[k]}-{d[1]}", "v-one"),
            ("{l[1]}", "y"),
            ("{{x}}", "{x}"),
            ("{pm[current_datetime_utc]:%Y%m%d}", "20261122"),
            ("{pm[current_datetime_local]}", "2026-11-22 13:04:05.000120"),
            ("{pm[current_datetime_utc]}", "2026-11-22 12:04:05+00:00"),
            ("{pm[run_uuid]}", "u-1"),
            ("{pm[current_datetime_utc].year}", "2026"),
            (
                "{f:.2f}|{f:,.1f}|{f:e}|{f:g}|{f:10.1f}|{f}",
                "1234.57|1,234.6|1.234568e+03|1234.57|    1234.6|1234.5678",
            ),
            ("{s:>4}|{s:*^5}|{s!r}|{s:05}|{s:.1}", "  hé|*hé**|'hé'|hé000|h"),
            ("{a:+}|{a:x}|{a:#b}|{a:>{a}}|{a:<3}|{a:%}", "+5|5|0b101|    5|5  |500.000000%"),
            ("{n}|{b}|{b:d}|{l}", "None|True|1|['x', 'y']"),
            ("{big:,}|{a:05,}", "1,234,567,890,123,456,789,012|0,005"),
            ("{f:.3}", "1.23e+03"),
        ];
        for (template, filled) in cases {
            assert_eq!(fill_in(template).as_deref(), Ok(filled), "{template}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert_eq!(fill_in("{zz}").unwrap_err().to_string(), "Missing parameter 'zz'");
        assert_eq!(fill_in("{d[zz]}").unwrap_err(), TemplateError::Missing("zz".to_owned()));
        for template in [
            "{a",
            "a}",
            "{}",
            "{0}",
            "{a:s}",
            "{s:d}",
            "{l[9]}",
            "{a.real}",
            "{n:3}",
            "{a!x}",
            "{a:999999}",
            "{pm}",
        ] {
            assert!(matches!(fill_in(template), Err(TemplateError::Syntax { .. })), "{template}");
        }
    }
}
