//! A line of the Spectator protocol: `TYPE[,EXTRA]:NAME[,KEY=VALUE]*:VALUE`.
//!
//! A line is cut in two steps. [`Line::cut`] finds type, extra, id and value, which takes tens of nanoseconds and no memory;
//! [`Line::id`] reads the name and tags. The registry remembers ids as they were sent, so that a line of a known meter needs
//! only the first step.
//!
//! ```
//! use backlot_spectator::line::{Kind, Line, Value};
//!
//! let line = Line::cut(b"g,120:queue.size,nf.app=api:1.5")?;
//! assert_eq!((line.kind, line.extra, line.value), (Kind::Gauge, Some(120), Value::Float(1.5)));
//! assert_eq!(line.id()?.to_string(), "queue.size,nf.app=api");
//! # Ok::<(), backlot_spectator::line::LineError>(())
//! ```
//!
//! Stricter than spectatord in one point: a tag without `=` or with an empty key or value is an error of the line. There
//! it is taken apart oddly or sent on, and the aggregator refuses it later, where no one sees which line it came from.

use backlot_meters::Id;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{number, sketch};

/// The longest name and tags of a line, in bytes. The most that an aggregator takes is a name of 255 and twenty tags of 60 and
/// 120 characters: 3895 with their separators.
pub const MAX_ID: usize = 4096;

/// What kind of meter a line updates: its first letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `A`, seconds since something last succeeded.
    AgeGauge,
    /// `c`, how often something happened.
    Counter,
    /// `C`, a count that its source never resets.
    MonotonicCounter,
    /// `d`, the size of something.
    DistributionSummary,
    /// `D`, the size of something, with percentiles.
    PercentileDistributionSummary,
    /// `S` with a value in base64, `s` with its hash: how many distinct values there were.
    DistinctCountSketch,
    /// `g`, the last value.
    Gauge,
    /// `m`, the greatest value.
    MaxGauge,
    /// `t`, how long something took.
    Timer,
    /// `T`, how long something took, with percentiles.
    PercentileTimer,
    /// `U`, a count that its source never resets and that wraps at 2^64.
    MonotonicCounterUint,
    /// `X`, a count that its source never resets, with the time when it was read.
    MonotonicSampled,
}

impl Kind {
    fn from_letter(letter: u8) -> Option<Kind> {
        Some(match letter {
            b'A' => Kind::AgeGauge,
            b'c' => Kind::Counter,
            b'C' => Kind::MonotonicCounter,
            b'd' => Kind::DistributionSummary,
            b'D' => Kind::PercentileDistributionSummary,
            b's' | b'S' => Kind::DistinctCountSketch,
            b'g' => Kind::Gauge,
            b'm' => Kind::MaxGauge,
            b't' => Kind::Timer,
            b'T' => Kind::PercentileTimer,
            b'U' => Kind::MonotonicCounterUint,
            b'X' => Kind::MonotonicSampled,
            _ => return None,
        })
    }
}

/// The value of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Of all other kinds.
    Float(f64),
    /// Of [`Kind::MonotonicCounterUint`].
    Unsigned(u64),
    /// Of [`Kind::DistinctCountSketch`]: the xxHash64 of a value.
    Hash(u64),
}

/// Whether anything but white space follows the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing.
    Clean,
    /// Something, which is ignored. spectatord warns of it.
    Ignored,
}

/// Why a line is refused. The texts are those of spectatord, where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The type is not one of the known letters.
    #[error("Unknown type: {}", char::from(*.0).escape_default())]
    UnknownType(u8),
    /// There is no colon after type and extra.
    #[error("Expecting separator ':' at index {0}")]
    NoSeparator(usize),
    /// The extra of a gauge is not a positive number of seconds.
    #[error("Invalid ttl specified for gauge at index 2")]
    InvalidTtl,
    /// The extra of a sampled counter is not a positive time.
    #[error("Invalid timestamp specified for monotonic sampled source at index 2")]
    InvalidTimestamp,
    /// There is no name, or nothing ends it.
    #[error("Missing name")]
    NoName,
    /// A tag has no `=`, an empty key or value, or nothing ends it.
    #[error("Missing value")]
    NoTagValue,
    /// Name and tags are longer than [`MAX_ID`].
    #[error("Name and tags are longer than {MAX_ID} bytes")]
    IdTooLong,
    /// There is no number after the last colon.
    #[error("Unable to parse value for measurement")]
    NoNumber,
    /// The value to be told from others is not written in base64.
    #[error("The value of a distinct count sketch is not base64")]
    NotBase64,
}

/// A line, cut into its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line<'a> {
    /// The type.
    pub kind: Kind,
    /// The number after the type: seconds to live of a gauge, milliseconds since 1970 of a sampled counter.
    pub extra: Option<i64>,
    /// Name and tags as they were sent, not yet checked.
    pub raw_id: &'a [u8],
    /// The value.
    pub value: Value,
    /// What follows the value.
    pub rest: Rest,
}

impl<'a> Line<'a> {
    /// Cuts a line, without its newline.
    ///
    /// # Errors
    /// See [`LineError`]. Tags are not looked at; [`Line::id`] does so.
    pub fn cut(line: &'a [u8]) -> Result<Line<'a>, LineError> {
        let letter = *line.first().ok_or(LineError::NoSeparator(0))?;
        let kind = Kind::from_letter(letter);
        let mut at = 1;
        let mut extra = None;
        if line.get(at) == Some(&b',') {
            at += 1;
            let (number, length) = number::signed(&line[at..]).unwrap_or((0, 0));
            match kind {
                Some(Kind::Gauge) if number <= 0 => return Err(LineError::InvalidTtl),
                Some(Kind::MonotonicSampled) if number <= 0 => return Err(LineError::InvalidTimestamp),
                _ => extra = Some(number),
            }
            at += length;
        }
        if line.get(at) != Some(&b':') {
            return Err(LineError::NoSeparator(at));
        }
        let kind = kind.ok_or(LineError::UnknownType(letter))?;
        let tail = &line[at + 1..];
        let end = memchr::memchr(b':', tail).ok_or_else(|| unended(tail))?;
        let (raw_id, text) = (&tail[..end], &tail[end + 1..]);
        if raw_id.len() > MAX_ID {
            return Err(LineError::IdTooLong);
        }
        let (value, length) = match kind {
            Kind::MonotonicCounterUint => unsigned(text, Value::Unsigned),
            Kind::DistinctCountSketch if letter == b's' => unsigned(text, Value::Hash),
            Kind::DistinctCountSketch => {
                return Ok(Line { kind, extra, raw_id, value: hashed(text)?, rest: Rest::Clean });
            }
            _ => number::float(text).map(|(value, length)| (Value::Float(value), length)),
        }
        .ok_or(LineError::NoNumber)?;
        let rest = match text.get(length) {
            Some(byte) if !number::is_space(*byte) => Rest::Ignored,
            _ => Rest::Clean,
        };
        Ok(Line { kind, extra, raw_id, value, rest })
    }

    /// Reads the name and tags.
    ///
    /// # Errors
    /// [`LineError::NoName`], [`LineError::NoTagValue`].
    pub fn id(&self) -> Result<Id, LineError> {
        parse_id(self.raw_id)
    }
}

/// Reads `NAME[,KEY=VALUE]*`.
///
/// # Errors
/// [`LineError::NoName`], [`LineError::NoTagValue`].
pub fn parse_id(text: &[u8]) -> Result<Id, LineError> {
    let mut parts = text.split(|byte| *byte == b',');
    let name = parts.next().filter(|name| !name.is_empty()).ok_or(LineError::NoName)?;
    let mut tags = Vec::new();
    for part in parts {
        let equals = memchr::memchr(b'=', part).ok_or(LineError::NoTagValue)?;
        let (key, value) = (&part[..equals], &part[equals + 1..]);
        if key.is_empty() || value.is_empty() {
            return Err(LineError::NoTagValue);
        }
        tags.push((key, value));
    }
    Ok(Id::from_bytes(name, tags))
}

fn unsigned(text: &[u8], value: fn(u64) -> Value) -> Option<(Value, usize)> {
    number::unsigned(text).map(|(number, length)| (value(number), length))
}

/// The hash of a value in base64. Nothing at all is the empty value.
fn hashed(text: &[u8]) -> Result<Value, LineError> {
    // Values are names and addresses; a longer one takes memory for a moment.
    let mut short = [0; 192];
    let text = text.trim_ascii();
    let decoded = match STANDARD.decode_slice(text, &mut short) {
        Ok(length) => sketch::hash(&short[..length]),
        Err(_) => sketch::hash(&STANDARD.decode(text).map_err(|_| LineError::NotBase64)?),
    };
    Ok(Value::Hash(decoded))
}

/// What is missing from an id that no colon ends.
fn unended(id: &[u8]) -> LineError {
    if id.contains(&b',') && !id.starts_with(b",") { LineError::NoTagValue } else { LineError::NoName }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Result<(Kind, Option<i64>, String, Value, Rest), LineError> {
        let line = Line::cut(line.as_bytes())?;
        Ok((line.kind, line.extra, line.id()?.to_string(), line.value, line.rest))
    }

    #[test]
    fn lines_of_the_real_clients_are_read() {
        use {Kind as K, Rest::Clean, Value::Float, Value::Unsigned};
        let table = [
            (
                "c:server.numRequests,id=a_b,nf.process=p1,x=y_z:1",
                K::Counter,
                None,
                "server.numRequests,id=a_b,nf.process=p1,x=y_z",
                Float(1.0),
            ),
            ("g,120:g,nf.process=p1:1.5", K::Gauge, Some(120), "g,nf.process=p1", Float(1.5)),
            ("A:ag,nf.process=p1:0", K::AgeGauge, None, "ag,nf.process=p1", Float(0.0)),
            ("t:t,nf.process=p1:0.042", K::Timer, None, "t,nf.process=p1", Float(0.042)),
            ("T:n:0.1", K::PercentileTimer, None, "n", Float(0.1)),
            ("d:n:10", K::DistributionSummary, None, "n", Float(10.0)),
            ("D:n:3", K::PercentileDistributionSummary, None, "n", Float(3.0)),
            ("C:n:42.5", K::MonotonicCounter, None, "n", Float(42.5)),
            ("U:n:7", K::MonotonicCounterUint, None, "n", Unsigned(7)),
            ("m:n:3", K::MaxGauge, None, "n", Float(3.0)),
            ("s:n:7", K::DistinctCountSketch, None, "n", Value::Hash(7)),
            ("S:n:YQ==\r", K::DistinctCountSketch, None, "n", Value::Hash(0xD24E_C4F1_A98C_6E5B)),
            ("S:n:", K::DistinctCountSketch, None, "n", Value::Hash(0xEF46_DB37_51D8_E999)),
            ("X,1543160297100:n:12", K::MonotonicSampled, Some(1_543_160_297_100), "n", Float(12.0)),
        ];
        for (line, kind, extra, id, value) in table {
            assert_eq!(read(line), Ok((kind, extra, id.to_owned(), value, Clean)), "{line}");
        }
    }

    #[test]
    fn each_error_is_told() {
        use LineError as E;
        let table = [
            ("c", E::NoSeparator(1)),
            ("cx", E::NoSeparator(1)),
            (":x:1", E::NoSeparator(1)),
            ("c,x:n:1", E::NoSeparator(2)),
            ("c,5", E::NoSeparator(3)),
            ("q:n:1", E::UnknownType(b'q')),
            ("g,0:x:1", E::InvalidTtl),
            ("g,-1:x:1", E::InvalidTtl),
            ("g,:x:1", E::InvalidTtl),
            ("g,x:x:1", E::InvalidTtl),
            ("X,0:x:1", E::InvalidTimestamp),
            ("X,x:x:1", E::InvalidTimestamp),
            ("c::1", E::NoName),
            ("c:", E::NoName),
            ("c:n", E::NoName),
            ("c:,a=b:1", E::NoName),
            ("c:,a=b", E::NoName),
            ("c:n,k:1", E::NoTagValue),
            ("c:n,k=:1", E::NoTagValue),
            ("c:n,=v:1", E::NoTagValue),
            ("c:n,:1", E::NoTagValue),
            ("c:n,k=v", E::NoTagValue),
            ("c:n,k=v,:1", E::NoTagValue),
            ("c:n:", E::NoNumber),
            ("c:n:x", E::NoNumber),
            ("c:n: ", E::NoNumber),
            ("c:n:-", E::NoNumber),
            ("U:n:.5", E::NoNumber),
            ("s:n:x", E::NoNumber),
            ("S:n:YQ", E::NotBase64),
            ("S:n:Y Q=", E::NotBase64),
        ];
        for (line, error) in table {
            assert_eq!(read(line), Err(error), "{line}");
        }
        let long = format!("c:{}:1", "n".repeat(MAX_ID + 1));
        assert_eq!(read(&long), Err(E::IdTooLong));
        assert_eq!(E::UnknownType(0xFF).to_string(), "Unknown type: \\u{ff}");
        assert_eq!(E::NoSeparator(1).to_string(), "Expecting separator ':' at index 1");
    }

    #[test]
    fn oddities_are_read_as_spectatord_does() {
        // An extra means nothing to most kinds; a carriage return is white space; what follows the number is ignored.
        assert_eq!(
            read("c,5:n:1\r"),
            Ok((Kind::Counter, Some(5), "n".into(), Value::Float(1.0), Rest::Clean))
        );
        assert_eq!(read("c,:n:1").unwrap().1, Some(0));
        assert_eq!(read("c:n:123junk").unwrap().4, Rest::Ignored);
        assert_eq!(read("c:n:1:2").unwrap().4, Rest::Ignored);
        assert_eq!(read("c:n: 1 2").unwrap().3, Value::Float(1.0));
        assert_eq!(read("U:x:-1").unwrap().3, Value::Unsigned(u64::MAX));
        assert_eq!(read("X:x:1").unwrap().1, None);
        assert_eq!(read("c:n,a=b=c:1").unwrap().2, "n,a=b_c");
        let id = Line::cut(b"c:n\0\xff,k=\xc3\xa9:1").unwrap().id().unwrap();
        assert_eq!(id.to_string(), "n__,k=__");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(line) = Line::cut(&bytes) {
                let _checked = line.id();
            }
        }

        #[test]
        fn bytes_like_those_of_lines_are_survived(line in "[cCdDgmtTUXAsSz](,-?[0-9]{0,20})?[:,=a-z0-9.\\-]{0,40}") {
            if let Ok((_, _, id, _, _)) = read(&line) {
                prop_assert!(!id.is_empty() && !id.contains(':'));
            }
        }

        #[test]
        fn what_is_written_is_read(
            name in "[a-z.]{1,20}",
            tags in proptest::collection::btree_map("[a-z]{1,8}", "[a-zA-Z0-9^~_-]{1,8}", 0..8),
            value in any::<f64>(),
        ) {
            let tags: Vec<String> = tags.iter().map(|(key, value)| format!(",{key}={value}")).collect();
            let tags = tags.concat();
            let line = format!("c:{name}{tags}:{value}");
            let (_, _, id, read, rest) = read(&line).unwrap();
            prop_assert_eq!(id, format!("{name}{tags}"));
            prop_assert_eq!(rest, Rest::Clean);
            let Value::Float(read) = read else { panic!("{read:?}") };
            prop_assert!(read == value || read.is_nan() && value.is_nan());
        }
    }
}
