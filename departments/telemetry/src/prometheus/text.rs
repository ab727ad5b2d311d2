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
    let mut lines = Lines::new(text);
    while let Some(line) = lines.next(|bytes| rows.expected(context, bytes))? {
        let name = line.name.as_bytes();
        let found = line.found.or_else(|| rows.find(context, name));
        let (time, sample) = (line.time.unwrap_or(now), Sample::Value(Effect::Set, line.value));
        rows.push_found(found, (context, name), time, sample);
        names.push((line.number, line.name));
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

/// The lines of a text that are samples.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
    /// The last time that was read, and its text: most lines of a message say the same.
    time: (&'a str, i64),
}

/// A sample, and what was found by its name if that was expected.
#[derive(Debug, PartialEq)]
struct Line<'a, T> {
    number: usize,
    name: &'a str,
    value: f64,
    time: Option<i64>,
    found: Option<T>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text, number: 0, time: ("", 0) }
    }

    /// The next sample. `expected` says of bytes how many of them are a name that was read as such before, and whose it is; of a name that
    /// was expected the end need not be looked for.
    fn next<T>(
        &mut self,
        mut expected: impl FnMut(&[u8]) -> Option<(usize, T)>,
    ) -> Result<Option<Line<'a, T>>, Refused> {
        while !self.rest.is_empty() {
            self.number += 1;
            let number = self.number;
            let bytes = self.rest.as_bytes();
            // Where a blank follows, the name is all of the line's: this is where `name_end` would end it.
            let named =
                expected(bytes).filter(|(length, _)| matches!(bytes.get(*length), Some(b' ' | b'\t')));
            let from = named.as_ref().map_or(0, |(length, _)| *length);
            let end = memchr::memchr(b'\n', &bytes[from..]).map_or(bytes.len(), |end| from + end);
            let line = &self.rest[..end];
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            let (end, line, found) = match named {
                Some((length, found)) => (length, line, Some(found)),
                None => {
                    let line = line.trim();
                    if line.is_empty() || line.starts_with('#') {
                        continue;
                    }
                    (name_end(line).ok_or_else(|| malformed(number, line))?, line, None)
                }
            };
            let (name, numbers) = line.split_at(end);
            let (value, time) = self.numbers(numbers).ok_or_else(|| malformed(number, line))?;
            return Ok(Some(Line { number, name, value, time, found }));
        }
        Ok(None)
    }

    /// ` number [milliseconds]`.
    fn numbers(&mut self, text: &'a str) -> Option<(f64, Option<i64>)> {
        let (number, rest) = first_word(text);
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
        if time != self.time.0 {
            self.time = (time, time.parse().ok()?);
        }
        Some((value, Some(self.time.1)))
    }
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
        let line = Lines::new(line).next(|_| None::<(usize, ())>).ok()??;
        Some((read_labels(line.name)?, line.value, line.time))
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
        assert!(
            line("x 999999999999999 5 # more")
                .is_some_and(|(_, value, time)| { value == 999_999_999_999_999.0 && time == Some(5) })
        );
        assert!(
            line("x 1234567890123456789").is_some_and(|(_, value, _)| value == 1_234_567_890_123_456_789.0)
        );
        for wrong in ["x", "x{a=\"b} 1", "x{a} 1", "x abc", "x 1 abc", "x 1 5x", "x 1 abc", "x{a=\"b\\\"} 1"]
        {
            assert!(line(wrong).is_none(), "{wrong}");
        }
    }

    /// The number of the line, the name, the value and the time.
    type Read<'a> = (usize, &'a str, f64, Option<i64>);

    /// All samples of a text up to the first line that is none, and that line's error.
    fn all(
        text: &str,
        mut expected: impl FnMut(usize, &[u8]) -> Option<usize>,
    ) -> (Vec<Read<'_>>, Option<String>) {
        let (mut lines, mut read) = (Lines::new(text), Vec::new());
        loop {
            let sample = read.len();
            match lines.next(|bytes| expected(sample, bytes).map(|length| (length, ()))) {
                Ok(Some(line)) => read.push((line.number, line.name, line.value, line.time)),
                Ok(None) => return (read, None),
                Err(error) => return (read, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn what_is_expected_changes_nothing_but_the_time_it_takes() {
        let names = [
            "up",
            "u",
            "up{}",
            "up{a=\"b\"}",
            "up{a=\"b\",c=\"} 1\"}",
            "up}",
            "x{q=\"\\\"}\"}",
            "é{ü=\"ö\"}",
        ];
        let numbers = [" 1", "\t2 5", " 3.5e3  5 ", "  -Inf 6", "4 7", " 5 5\r", " 6 5 # more", " x", ""];
        let between = ["", "# HELP up", "  ", "\t# up 1", " up 1 5"];
        let mut random = fastrand::Rng::with_seed(7);
        let mut broken = 0;
        for _ in 0..3000 {
            // Mostly what can be read, so that texts go on.
            let mut text = String::new();
            for _ in 0..random.usize(1..12) {
                if random.u8(..) < 60 {
                    text.push_str(between[random.usize(..between.len())]);
                } else {
                    text.push_str(names[random.usize(..names.len())]);
                    let at =
                        if random.u8(..) < 20 { random.usize(..numbers.len()) } else { random.usize(..4) };
                    text.push_str(numbers[at]);
                }
                text.push('\n');
            }
            let plain = all(&text, |_, _| None);
            broken += usize::from(plain.1.is_some());
            // Those that come, and any other: what is expected was a name once, and the bytes begin with it.
            let right = all(&text, |sample, bytes| {
                let name = plain.0.get(sample)?.1;
                bytes.starts_with(name.as_bytes()).then_some(name.len())
            });
            let any = all(&text, |_, bytes| {
                let name = names[random.usize(..names.len())];
                bytes.starts_with(name.as_bytes()).then_some(name.len())
            });
            assert_eq!((&right, &any), (&plain, &plain), "{text}");
        }
        assert!((100..2900).contains(&broken), "{broken} of 3000 texts are broken");
    }
}
