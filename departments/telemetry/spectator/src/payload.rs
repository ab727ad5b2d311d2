//! The body of `POST /api/v4/update`: the measurements of an interval, as agents and in-process clients publish them.
//!
//! A payload is one flat array: the number of strings, the strings, and for each update the number of tags, the tags as pairs of
//! indices into the strings, the operation, and the value. The name is an ordinary tag with the key `name`. It is written as
//! JSON or as [Smile](https://github.com/FasterXML/smile-format-specification), plain or gzipped. Both directions are here: the
//! agent encodes, an aggregator decodes.
//!
//! Decoding is one pass over tokens, which are the same for both formats. A body can claim any number of strings or tags;
//! nothing is reserved for what has not been read, so memory is bounded by the length of the body.
//!
//! ```
//! use backlot_spectator::payload::{self, Format, Operation};
//!
//! let body = br#"[3,"name","requests","count",1,0,1,0,3.0]"#;
//! let payload = payload::decode(Format::Json, body)?;
//! let update = payload.updates().next().unwrap();
//! assert_eq!(update.tags().collect::<Vec<_>>(), [("name", "requests")]);
//! assert_eq!((update.operation, update.value), (Operation::Add, 3.0));
//! # Ok::<(), backlot_spectator::payload::PayloadError>(())
//! ```

mod encode;
mod gzip;
mod json;
mod smile;
mod token;

pub use encode::encode;
pub use gzip::{compress, decompress};
use token::{Token, Tokens};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `application/json`.
    Json,
    /// `application/x-jackson-smile`.
    Smile,
}

impl Format {
    /// The media type of the body.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Smile => "application/x-jackson-smile",
        }
    }

    /// The format of a body with this media type; JSON unless it is Smile's.
    pub fn of_content_type(content_type: Option<&str>) -> Format {
        let media_type = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case(Format::Smile.content_type()) {
            Format::Smile
        } else {
            Format::Json
        }
    }
}

/// Why a body cannot be read. Places are in bytes of the (decompressed) body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// It ends in the middle.
    #[error("the body ends at byte {0} within the array")]
    Truncated(usize),
    /// Something else stands where one thing must be.
    #[error("expected {expected} at byte {place}")]
    Unexpected {
        /// What must be there.
        expected: &'static str,
        /// Where.
        place: usize,
    },
    /// An index beyond the strings.
    #[error("string {index} of {count} at byte {place} does not exist")]
    NoSuchString {
        /// The index.
        index: i64,
        /// How many strings there are.
        count: usize,
        /// Where.
        place: usize,
    },
    /// A string that is not UTF-8.
    #[error("the string at byte {0} is not UTF-8")]
    NotUtf8(usize),
    /// The first bytes are not those of Smile.
    #[error("the body does not begin with the header of Smile")]
    NoSmileHeader,
    /// Something that this format has and a payload does not.
    #[error("{what} at byte {place} has no place in a payload")]
    Unsupported {
        /// What.
        what: &'static str,
        /// Where.
        place: usize,
    },
    /// It is greater than the receiver allows.
    #[error("the decompressed body is greater than {0} bytes; send smaller batches")]
    TooLarge(usize),
    /// It is not gzip, or damaged.
    #[error("the body is not valid gzip: {0}")]
    Gzip(String),
    /// An encoding other than gzip.
    #[error("the content encoding {0} is not known; send gzip or none")]
    UnknownEncoding(String),
}

/// What an aggregator is to do with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// 0: add it to the others of its id in this step.
    Add,
    /// 10: keep the greatest.
    Max,
    /// Any other number: the update is invalid, the rest of the payload is not.
    Unknown(i64),
}

impl Operation {
    pub(crate) const ADD: u64 = 0;
    pub(crate) const MAX: u64 = 10;
}

/// A payload that has been read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Payload {
    /// All strings, one after the other.
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
    /// The tags of all updates, as indices of strings.
    pairs: Vec<(u32, u32)>,
    updates: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    /// Where its tags end.
    pairs_end: u32,
    operation: Operation,
    value: f64,
}

impl Payload {
    /// The string of this index; empty if there is none.
    pub fn string(&self, index: u32) -> &str {
        let index = index as usize;
        let start = if index == 0 { 0 } else { self.ends.get(index - 1).map_or(0, |end| *end as usize) };
        let end = self.ends.get(index).map_or(start, |end| *end as usize);
        self.text.get(start..end).unwrap_or_default()
    }

    /// How many strings there are.
    pub fn strings(&self) -> usize {
        self.ends.len()
    }

    /// How many updates there are.
    pub fn len(&self) -> usize {
        self.updates.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// The updates, in the order of the body.
    pub fn updates(&self) -> impl Iterator<Item = Update<'_>> {
        let mut start = 0;
        self.updates.iter().map(move |entry| {
            let end = entry.pairs_end as usize;
            let pairs = self.pairs.get(start..end).unwrap_or_default();
            start = end;
            Update { payload: self, pairs, operation: entry.operation, value: entry.value }
        })
    }
}

/// One update of a [`Payload`].
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    payload: &'a Payload,
    /// Its tags as indices of strings, for those who keep what they know of each string.
    pub pairs: &'a [(u32, u32)],
    /// What to do with the value.
    pub operation: Operation,
    /// The value; `NaN` where the body has `null` or a word for it.
    pub value: f64,
}

impl<'a> Update<'a> {
    /// Its tags, the name among them, as they were sent: unchecked, in any order, and of equal keys the last is to stand.
    pub fn tags(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let payload = self.payload;
        self.pairs.iter().map(|(key, value)| (payload.string(*key), payload.string(*value)))
    }
}

/// Reads a body.
///
/// # Errors
/// A body that is not a payload from beginning to end; what is before the error is lost with it.
pub fn decode(format: Format, body: &[u8]) -> Result<Payload, PayloadError> {
    match format {
        Format::Json => decode_tokens(json::Reader::new(body), body.len()),
        Format::Smile => decode_tokens(smile::Reader::new(body)?, body.len()),
    }
}

/// Reads the body of a request, by its headers `Content-Type` and `Content-Encoding`. No more than `limit` bytes are
/// decompressed.
///
/// # Errors
/// As [`decode`] and [`decompress`].
pub fn decode_request(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    body: &[u8],
    limit: usize,
) -> Result<Payload, PayloadError> {
    let format = Format::of_content_type(content_type);
    match content_encoding.map(str::trim) {
        None | Some("" | "identity") if body.len() <= limit => decode(format, body),
        None | Some("" | "identity") => Err(PayloadError::TooLarge(limit)),
        Some(gzip) if gzip.eq_ignore_ascii_case("gzip") => decode(format, &decompress(body, limit)?),
        Some(other) => Err(PayloadError::UnknownEncoding(other.to_owned())),
    }
}

/// Offsets and indices are kept in 32 bits.
const LONGEST_BODY: usize = u32::MAX as usize;

fn decode_tokens(mut tokens: impl Tokens, length: usize) -> Result<Payload, PayloadError> {
    if length > LONGEST_BODY {
        return Err(PayloadError::TooLarge(LONGEST_BODY));
    }
    let mut payload = Payload::default();
    let place = tokens.place();
    if !matches!(tokens.next(&mut payload.text)?, Token::ArrayStart) {
        return Err(PayloadError::Unexpected { expected: "the start of an array", place });
    }
    let count = integer(&mut tokens, &mut payload.text, "the number of strings")?;
    for _ in 0..count {
        let place = tokens.place();
        if !matches!(tokens.next(&mut payload.text)?, Token::Text) {
            return Err(PayloadError::Unexpected { expected: "a string", place });
        }
        payload.ends.push(payload.text.len() as u32);
    }
    let strings_end = payload.text.len();
    loop {
        let place = tokens.place();
        let tags = match tokens.next(&mut payload.text)? {
            Token::Integer(tags) => tags,
            Token::ArrayEnd => break,
            _ => return Err(PayloadError::Unexpected { expected: "the number of tags", place }),
        };
        for _ in 0..tags {
            let key = index(&mut tokens, &mut payload)?;
            let value = index(&mut tokens, &mut payload)?;
            payload.pairs.push((key, value));
        }
        let operation = match integer(&mut tokens, &mut payload.text, "an operation")? {
            0 => Operation::Add,
            10 => Operation::Max,
            unknown => Operation::Unknown(unknown),
        };
        let place = tokens.place();
        let value = match tokens.next(&mut payload.text)? {
            Token::Integer(value) => value as f64,
            Token::Float(value) => value,
            Token::Null => f64::NAN,
            // "NaN" and "Infinity", as some writers of JSON put them.
            Token::Text => payload.text[strings_end..].parse().unwrap_or(f64::NAN),
            Token::ArrayStart | Token::ArrayEnd => {
                return Err(PayloadError::Unexpected { expected: "a value", place });
            }
        };
        payload.text.truncate(strings_end);
        payload.updates.push(Entry { pairs_end: payload.pairs.len() as u32, operation, value });
    }
    let place = tokens.place();
    if tokens.is_at_end() {
        Ok(payload)
    } else {
        Err(PayloadError::Unexpected { expected: "the end", place })
    }
}

fn integer(tokens: &mut impl Tokens, text: &mut String, expected: &'static str) -> Result<i64, PayloadError> {
    let place = tokens.place();
    match tokens.next(text)? {
        Token::Integer(value) => Ok(value),
        _ => Err(PayloadError::Unexpected { expected, place }),
    }
}

fn index(tokens: &mut impl Tokens, payload: &mut Payload) -> Result<u32, PayloadError> {
    let place = tokens.place();
    let index = integer(tokens, &mut payload.text, "the index of a string")?;
    let count = payload.ends.len();
    usize::try_from(index)
        .ok()
        .filter(|index| *index < count)
        .map(|index| index as u32)
        .ok_or(PayloadError::NoSuchString { index, count, place })
}

#[cfg(test)]
mod tests;
