//! The text format of exporters ("Exposition formats", text 0.0.4, prometheus.io).

use backlot_atlas::wire::Outcome;

use super::{MOST_LABELS, Refused, shortened};
use crate::ingest::form;
use crate::ingest::rows::{self, NoTags, Pairs, Rows};
use crate::state::State;
use crate::store::{Effect, Sample};

/// Bytes of a line, as most are.
const USUAL_LINE: usize = 100;

/// Takes samples in the text format, and gives how many. Lines without a timestamp are of now. `added` are tags that every sample
/// gets; a label of its own with the same name becomes `exported_…`, as with Prometheus.
pub(crate) fn text_format(state: &State, text: &str, added: &[(String, String)]) -> Result<usize, Refused> {
    let now = state.now();
    let shared: String = added.iter().map(|(key, value)| format!("{key}\0{value}\0")).collect();
    let context = state.store.naming().context(form::TEXT, shared.as_bytes());
    let mut rows = Rows::new(state, text.len() / USUAL_LINE);
    // The number of the line of each row, and its name.
    let mut names = Vec::with_capacity(text.len() / USUAL_LINE);
    let (mut rest, mut number, mut last) = (text, 0, ("", 0));
    while !rest.is_empty() {
        number += 1;
        let expected = rows.expected(context, rest.as_bytes());
        // Where a blank follows, the expected name is all of the line's: this is where `name_end` would end it.
        let expected =
            expected.filter(|(length, _)| matches!(rest.as_bytes().get(*length), Some(b' ' | b'\t')));
        let named = expected.map_or(0, |(length, _)| length);
        let end = memchr::memchr(b'\n', &rest.as_bytes()[named..]).map_or(rest.len(), |end| named + end);
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        let (name, numbers, found) = match expected {
            Some((length, found)) => (&line[..length], &line[length..], Some(found)),
            None => {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let end = name_end(line).ok_or_else(|| malformed(number, line))?;
                let (name, numbers) = line.split_at(end);
                (name, numbers, rows.find(context, name.as_bytes()))
            }
        };
        let (value, time) = read_value(numbers, &mut last).ok_or_else(|| malformed(number, line))?;
        let sample = Sample::Value(Effect::Set, value);
        rows.push_found(found, (context, name.as_bytes()), time.unwrap_or(now), sample);
        names.push((number, name));
    }
    let mut outcome = Outcome::default();
    rows::write(state, rows, &mut outcome, |row| {
        let (number, name) = names[row];
        let mut pairs = read_labels(name).ok_or_else(|| NoTags::Malformed(malformed(number, name)))?;
        for (key, value) in added {
            if let Some((own, _)) = pairs.iter_mut().find(|(own, _)| own == key) {
                *own = format!("exported_{key}").into();
            }
            pairs.push((key.clone().into(), shortened(value).to_owned().into()));
        }
        rows::sort(&mut pairs);
        Ok(pairs)
    })?;
    state.counters.count(outcome.taken, outcome.refused);
    Ok(outcome.taken)
}

fn malformed(number: usize, line: &str) -> Refused {
    let shown: String = line.trim().chars().take(100).collect();
    Refused::Malformed(format!("line {number} is no sample: {shown}"))
}

/// Where the name and the labels of a line end: at a blank, or after the brace that no text holds.
fn name_end(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let at = memchr::memchr3(b'{', b' ', b'\t', bytes)?;
    if bytes[at] != b'{' {
        return Some(at);
    }
    let (mut end, mut quotes, mut from) = (at, 0, at);
    loop {
        end += memchr::memchr(b'}', &bytes[end..])? + 1;
        let part = &bytes[from..end];
        if memchr::memchr(b'\\', part).is_some() {
            return escaped_end(bytes, at);
        }
        quotes += memchr::memchr_iter(b'"', part).count();
        if quotes.is_multiple_of(2) {
            return Some(end);
        }
        from = end;
    }
}

/// As [`name_end`], with escapes in the texts.
fn escaped_end(bytes: &[u8], from: usize) -> Option<usize> {
    let (mut is_text, mut is_escaped) = (false, false);
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'}' if !is_text => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// ` number [milliseconds]`. Most lines of a message say the same time, so the last is remembered with its text.
fn read_value<'a>(rest: &'a str, last: &mut (&'a str, i64)) -> Option<(f64, Option<i64>)> {
    let (number, rest) = first_word(rest);
    let value = match number {
        "NaN" => f64::NAN,
        "+Inf" | "Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => read_whole(number).map_or_else(|| number.parse().ok(), Some)?,
    };
    // More may follow, which later versions of the format say of a sample.
    let (time, _) = first_word(rest);
    if time.is_empty() {
        return Some((value, None));
    }
    if time != last.0 {
        *last = (time, time.parse().ok()?);
    }
    Some((value, Some(last.1)))
}

/// A whole number of few digits, as most counts are: no rounding to think of.
fn read_whole(text: &str) -> Option<f64> {
    /// All whole numbers of so many digits are doubles.
    const DIGITS: usize = 15;
    if text.is_empty() || text.len() > DIGITS {
        return None;
    }
    let mut value = 0;
    for byte in text.bytes() {
        value = value * 10 + u64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    Some(value as f64)
}

/// The first word of a text, which may be empty, and what follows it.
fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_ascii_start();
    let end = text.bytes().position(|byte| byte.is_ascii_whitespace());
    text.split_at(end.unwrap_or(text.len()))
}

/// `name{label="value",…}`.
fn read_labels(text: &str) -> Option<Pairs<'_>> {
    let Some((name, mut rest)) = text.split_once('{') else {
        return Some(vec![("name".into(), shortened(text).into())]);
    };
    let mut labels: Pairs<'_> = vec![("name".into(), shortened(name.trim_end()).into())];
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if rest.starts_with('}') {
            return Some(labels);
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        let name = name.trim();
        if labels.len() < MOST_LABELS && !value.is_empty() && !name.is_empty() {
            labels.push((name.into(), value));
        }
        rest = after;
    }
}

/// A value up to its closing quote, escapes replaced, and what follows.
fn quoted(text: &str) -> Option<(std::borrow::Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text.as_bytes()[end] == b'"' {
        return Some((shortened(&text[..end]).into(), &text[end + 1..]));
    }
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((shortened(&value).to_owned().into(), &text[at + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(line: &str) -> Option<(Pairs<'_>, f64, Option<i64>)> {
        let (name, rest) = line.split_at(name_end(line)?);
        let (value, time) = read_value(rest, &mut ("", 0))?;
        Some((read_labels(name)?, value, time))
    }

    fn text_of_times(all: &[&'static str]) -> Vec<(f64, Option<i64>)> {
        let mut last = ("", 0);
        all.iter().map(|numbers| read_value(numbers, &mut last).unwrap()).collect()
    }

    #[test]
    fn lines_of_exporters_are_read() {
        let (labels, value, time) =
            line(r#"http_total{path="/a\"b}",code="200",} 1.5e3 1700000000000"#).unwrap();
        let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(labels, [("name", "http_total"), ("path", "/a\"b}"), ("code", "200")]);
        assert_eq!((value, time), (1500.0, Some(1_700_000_000_000)));
        let (labels, ..) = line(r#"x{a="}{",b="="} 1"#).unwrap();
        assert_eq!(labels[1..], [("a".into(), "}{".into()), ("b".into(), "=".into())]);
        assert!(line("up 1").is_some_and(|(_, value, time)| value == 1.0 && time.is_none()));
        assert!(line("x{} +Inf").is_some_and(|(_, value, _)| value == f64::INFINITY));
        let same_time = text_of_times(&["1 5", "2\t5 ", "3", "4 6 # more"]);
        assert_eq!(same_time, [(1.0, Some(5)), (2.0, Some(5)), (3.0, None), (4.0, Some(6))]);
        let largest = line("x 999999999999999").unwrap().1;
        assert_eq!(
            (largest, line("x 1234567890123456789").unwrap().1),
            (999_999_999_999_999.0, 1_234_567_890_123_456_789.0)
        );
        for wrong in ["x", "x{a=\"b} 1", "x{a} 1", "x abc", "x 1 abc", "x{a=\"b\\\"} 1"] {
            assert!(line(wrong).is_none(), "{wrong}");
        }
    }
}
