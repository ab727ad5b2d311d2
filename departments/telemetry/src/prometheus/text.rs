//! The text format of exporters ("Exposition formats", text 0.0.4, prometheus.io).

use backlot_atlas::wire::Outcome;

use super::{MOST_LABELS, Refused, shortened};
use crate::ingest::form;
use crate::ingest::rows::{self, NoTags, Pairs, Row};
use crate::state::State;
use crate::store::{Effect, Sample};

/// Takes samples in the text format, and gives how many. Lines without a timestamp are of now. `added` are tags that every sample
/// gets; a label of its own with the same name becomes `exported_…`, as with Prometheus.
pub(crate) fn text_format(state: &State, text: &str, added: &[(String, String)]) -> Result<usize, Refused> {
    let now = state.now();
    let naming = state.store.naming();
    let shared: String = added.iter().map(|(key, value)| format!("{key}\0{value}\0")).collect();
    let context = naming.context(form::TEXT, shared.as_bytes());
    let (mut rows, mut names) = (Vec::new(), Vec::new());
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]);
    for (number, end) in ends.enumerate() {
        let line = text[start..end].trim();
        start = end + 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let malformed = || {
            let shown: String = line.chars().take(100).collect();
            Refused::Malformed(format!("line {} is no sample: {shown}", number + 1))
        };
        let (name, rest) = line.split_at(name_end(line).ok_or_else(malformed)?);
        let (value, time) = read_value(rest).ok_or_else(malformed)?;
        let alias = naming.alias(context, name.as_bytes());
        rows.push(Row { alias, time: time.unwrap_or(now), sample: Sample::Value(Effect::Set, value) });
        names.push((number, name));
    }
    let mut outcome = Outcome::default();
    rows::write(state, &rows, &mut outcome, |row| {
        let (number, name) = names[row];
        let mut pairs = read_labels(name).ok_or_else(|| {
            let shown: String = name.chars().take(100).collect();
            NoTags::Malformed(Refused::Malformed(format!("line {} is no sample: {shown}", number + 1)))
        })?;
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

/// ` number [milliseconds]`.
fn read_value(rest: &str) -> Option<(f64, Option<i64>)> {
    let mut words = rest.split_ascii_whitespace();
    let value = match words.next()? {
        "NaN" => f64::NAN,
        "+Inf" | "Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    let time = words.next().map(str::parse).transpose().ok()?;
    Some((value, time))
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
        let (value, time) = read_value(rest)?;
        Some((read_labels(name)?, value, time))
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
        for wrong in ["x", "x{a=\"b} 1", "x{a} 1", "x abc", "x 1 abc", "x{a=\"b\\\"} 1"] {
            assert!(line(wrong).is_none(), "{wrong}");
        }
    }
}
