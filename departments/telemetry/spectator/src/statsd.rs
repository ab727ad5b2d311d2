//! A line of DogStatsD: `NAME:VALUE|TYPE[|@RATE][|#KEY:VALUE,FLAG]`.
//!
//! Types: `c` counter, `g` gauge, `h` and `d` distribution summary, `ms` timer (milliseconds), `s` set, which is ignored, as
//! are events (`_e{`) and service checks (`_sc|`). Of DogStatsD's later additions, several values in one line (`1:2:3`) are read,
//! and the sections for container, card, external data and time are skipped. A gauge is always set, never moved: `+5|g` is 5,
//! as in Datadog's agent.

use backlot_meters::Id;

use crate::line::MAX_ID;
use crate::number;

/// What kind of meter a line updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatsdKind {
    /// `c`: the value divided by the rate is counted.
    Counter,
    /// `g`: the value is set; the rate means nothing.
    Gauge,
    /// `h` and `d`: the value is recorded as often as one over the rate, rounded.
    Histogram,
    /// `ms`: as a histogram, of milliseconds.
    Timing,
    /// `s`, an event or a service check: nothing is recorded.
    Ignored,
}

/// Why a line is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatsdError {
    /// Nothing before the first colon, or no colon.
    #[error("Invalid format: name is required")]
    NoName,
    /// No number where one should be.
    #[error("Unable to parse value starting at index {0}")]
    NoNumber(usize),
    /// No bar after the value.
    #[error("Invalid format. Expected | starting at index {0}")]
    NoType(usize),
    /// Not one of the known types.
    #[error("Invalid type starting at index {0}")]
    UnknownType(usize),
    /// Not above zero and at most one.
    #[error("Invalid sampling rate")]
    InvalidRate,
    /// A tag with an empty key or value.
    #[error("Invalid tags")]
    InvalidTags,
    /// Longer than a line of the Spectator protocol may be.
    #[error("Name and tags are longer than {MAX_ID} bytes")]
    IdTooLong,
}

/// A line, cut into its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StatsdLine<'a> {
    /// The type.
    pub kind: StatsdKind,
    /// The share of events that the client sends; in (0, 1].
    pub rate: f64,
    /// The name as it was sent.
    pub name: &'a [u8],
    /// The tags as they were sent, not yet checked.
    pub raw_tags: &'a [u8],
    /// One number or several, parted by colons; checked.
    values: &'a [u8],
}

impl<'a> StatsdLine<'a> {
    /// Cuts a line, without its newline.
    ///
    /// # Errors
    /// See [`StatsdError`]. Tags are not looked at; [`StatsdLine::id`] does so.
    pub fn cut(line: &'a [u8]) -> Result<StatsdLine<'a>, StatsdError> {
        if line.starts_with(b"_e{") || line.starts_with(b"_sc|") {
            return Ok(StatsdLine {
                kind: StatsdKind::Ignored,
                rate: 1.0,
                name: b"",
                raw_tags: b"",
                values: b"",
            });
        }
        let colon = memchr::memchr(b':', line).filter(|colon| *colon > 0).ok_or(StatsdError::NoName)?;
        let bar = check_values(line, colon + 1)?;
        let mut sections = line[bar + 1..].split(|byte| *byte == b'|');
        let kind = match sections.next().map(<[u8]>::trim_ascii_end) {
            Some(b"c") => StatsdKind::Counter,
            Some(b"g") => StatsdKind::Gauge,
            Some(b"h" | b"d") => StatsdKind::Histogram,
            Some(b"ms") => StatsdKind::Timing,
            Some(b"s") => StatsdKind::Ignored,
            _ => return Err(StatsdError::UnknownType(bar + 1)),
        };
        let (mut rate, mut raw_tags) = (1.0, &b""[..]);
        for section in sections {
            match section.first() {
                Some(b'@') => rate = check_rate(&section[1..])?,
                Some(b'#') => raw_tags = section[1..].trim_ascii_end(),
                _ => {}
            }
        }
        let name = &line[..colon];
        if name.len() + raw_tags.len() > MAX_ID {
            return Err(StatsdError::IdTooLong);
        }
        Ok(StatsdLine { kind, rate, name, raw_tags, values: &line[colon + 1..bar] })
    }

    /// The values.
    pub fn values(&self) -> impl Iterator<Item = f64> + 'a {
        self.values.split(|byte| *byte == b':').filter_map(|text| number::float(text).map(|(value, _)| value))
    }

    /// How many events each value stands for: one over the rate, rounded.
    pub fn repeats(&self) -> f64 {
        (1.0 / self.rate).round()
    }

    /// Reads the name and tags. A tag without a value has the value `1`.
    ///
    /// # Errors
    /// [`StatsdError::InvalidTags`].
    pub fn id(&self) -> Result<Id, StatsdError> {
        let mut tags = Vec::new();
        for tag in self.raw_tags.split(|byte| *byte == b',').filter(|_| !self.raw_tags.is_empty()) {
            let (key, value) = match memchr::memchr(b':', tag) {
                Some(colon) => (&tag[..colon], &tag[colon + 1..]),
                None => (tag, &b"1"[..]),
            };
            if key.is_empty() || value.is_empty() {
                return Err(StatsdError::InvalidTags);
            }
            tags.push((key, value));
        }
        Ok(Id::from_bytes(self.name, tags))
    }
}

/// Checks that there are numbers from `start` on, parted by colons; gives the place of the bar after them.
fn check_values(line: &[u8], start: usize) -> Result<usize, StatsdError> {
    let mut at = start;
    loop {
        let (_, length) = number::float(&line[at..]).ok_or(StatsdError::NoNumber(at))?;
        at += length;
        match line.get(at) {
            Some(b'|') => return Ok(at),
            Some(b':') => at += 1,
            _ => return Err(StatsdError::NoType(at)),
        }
    }
}

fn check_rate(text: &[u8]) -> Result<f64, StatsdError> {
    let (rate, _) = number::float(text).ok_or(StatsdError::InvalidRate)?;
    if rate > 0.0 && rate <= 1.0 { Ok(rate) } else { Err(StatsdError::InvalidRate) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Result<(StatsdKind, f64, String, Vec<f64>), StatsdError> {
        let line = StatsdLine::cut(line.as_bytes())?;
        Ok((line.kind, line.rate, line.id()?.to_string(), line.values().collect()))
    }

    #[test]
    fn lines_are_read() {
        use StatsdKind as K;
        let table = [
            ("custom:60|g|#shell", K::Gauge, 1.0, "custom,shell=1", vec![60.0]),
            ("page.views:1|c", K::Counter, 1.0, "page.views", vec![1.0]),
            ("song:240|h|@0.5", K::Histogram, 0.5, "song", vec![240.0]),
            ("users:1|c|@0.5|#country:china,a:b:c", K::Counter, 0.5, "users,a=b_c,country=china", vec![1.0]),
            ("users:1|c|#a:1|@0.5", K::Counter, 0.5, "users,a=1", vec![1.0]),
            ("t:12.5|ms\r", K::Timing, 1.0, "t", vec![12.5]),
            ("d:1:2:3|d|#a:b|c:container|T1656581400", K::Histogram, 1.0, "d,a=b", vec![1.0, 2.0, 3.0]),
            ("g:+5|g", K::Gauge, 1.0, "g", vec![5.0]),
            ("u:7|s", K::Ignored, 1.0, "u", vec![7.0]),
            ("_e{5,4}:title|text", K::Ignored, 1.0, "", vec![]),
            ("_sc|name|0", K::Ignored, 1.0, "", vec![]),
        ];
        for (line, kind, rate, id, values) in table {
            assert_eq!(read(line), Ok((kind, rate, id.to_owned(), values)), "{line}");
        }
        assert_eq!(StatsdLine::cut(b"h:1|h|@0.3").unwrap().repeats(), 3.0);
    }

    #[test]
    fn each_error_is_told() {
        use StatsdError as E;
        let table = [
            ("name", E::NoName),
            (":1|c", E::NoName),
            ("n:|c", E::NoNumber(2)),
            ("n:x|c", E::NoNumber(2)),
            ("n:1:|c", E::NoNumber(4)),
            ("n:1", E::NoType(3)),
            ("n:1x|c", E::NoType(3)),
            ("n:1|", E::UnknownType(4)),
            ("n:1|q", E::UnknownType(4)),
            ("n:1|m", E::UnknownType(4)),
            ("n:1|c|@0", E::InvalidRate),
            ("n:1|c|@1.1", E::InvalidRate),
            ("n:1|c|@-1", E::InvalidRate),
            ("n:1|c|@nan", E::InvalidRate),
            ("n:1|c|@", E::InvalidRate),
            ("n:1|c|#a,,b", E::InvalidTags),
            ("n:1|c|#:v", E::InvalidTags),
            ("n:1|c|#k:", E::InvalidTags),
        ];
        for (line, error) in table {
            assert_eq!(read(line), Err(error), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(line) = StatsdLine::cut(&bytes) {
                let _checked = (line.id(), line.values().count());
            }
        }

        #[test]
        fn bytes_like_those_of_lines_are_survived(line in "[a-z]{0,3}:[0-9.:]{0,9}\\|[cghdms]{0,2}[|@#0-9.:a-z,]{0,30}") {
            if let Ok(line) = StatsdLine::cut(line.as_bytes()) {
                prop_assert!(line.rate > 0.0 && line.rate <= 1.0);
                let _checked = (line.id(), line.values().count());
            }
        }
    }
}
