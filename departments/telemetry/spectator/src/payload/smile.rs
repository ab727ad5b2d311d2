//! Smile, as far as a payload has it: one array of numbers and strings. Written from its specification, version 1.
//!
//! A writer that shares strings refers to earlier ones by number. The header says so, and then each string of up to 65 bytes is
//! remembered; after 1024 the numbers begin again.

use super::PayloadError;
use super::token::{Token, Tokens};

pub(super) const HEADER: [u8; 4] = *b":)\n\0";

const SHARES_STRINGS: u8 = 0x02;
const VERSION: u8 = 0xF0;

/// How many strings are remembered before the numbers begin again.
const SHARED: usize = 1024;

pub(super) const ARRAY_START: u8 = 0xF8;
pub(super) const ARRAY_END: u8 = 0xF9;
pub(super) const INT_32: u8 = 0x24;
pub(super) const INT_64: u8 = 0x25;
pub(super) const FLOAT_64: u8 = 0x29;
pub(super) const EMPTY_STRING: u8 = 0x20;
pub(super) const TINY_ASCII: u8 = 0x40;
pub(super) const LONG_ASCII: u8 = 0xE0;
pub(super) const SMALL_INT: u8 = 0xC0;
pub(super) const END_OF_STRING: u8 = 0xFC;
const LONG_UNICODE: u8 = 0xE4;
const NULL: u8 = 0x21;
const FLOAT_32: u8 = 0x28;
const END_OF_CONTENT: u8 = 0xFF;

pub(super) struct Reader<'a> {
    body: &'a [u8],
    place: usize,
    /// The strings that may be referred to, if the writer shares them.
    shared: Option<Vec<&'a str>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Result<Self, PayloadError> {
        match body.get(..4) {
            Some([a, b, c, flags]) if [*a, *b, *c] == HEADER[..3] && flags & VERSION == 0 => {
                let shared = (flags & SHARES_STRINGS != 0).then(Vec::new);
                Ok(Reader { body, place: 4, shared })
            }
            _ => Err(PayloadError::NoSmileHeader),
        }
    }

    fn byte(&mut self) -> Result<u8, PayloadError> {
        let byte = *self.body.get(self.place).ok_or(PayloadError::Truncated(self.body.len()))?;
        self.place += 1;
        Ok(byte)
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], PayloadError> {
        let end = self.place + count;
        let bytes = self.body.get(self.place..end).ok_or(PayloadError::Truncated(self.body.len()))?;
        self.place = end;
        Ok(bytes)
    }

    /// Groups of seven bits, of which the last has six and the sign bit set; zigzag.
    fn integer(&mut self) -> Result<i64, PayloadError> {
        let start = self.place;
        let mut value = 0_u64;
        loop {
            let byte = self.byte()?;
            let (bits, part) = if byte & 0x80 == 0 { (7, byte) } else { (6, byte & 0x3F) };
            if value >> (64 - bits) != 0 {
                return Err(PayloadError::Unsupported {
                    what: "an integer of more than 64 bits",
                    place: start,
                });
            }
            value = value << bits | u64::from(part);
            if byte & 0x80 != 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
    }

    /// A float in groups of seven bits.
    fn groups(&mut self, count: usize) -> Result<u64, PayloadError> {
        let groups = self.bytes(count)?;
        Ok(groups.iter().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7F)))
    }

    /// A string of known length, which may be referred to later.
    fn short(&mut self, length: usize, text: &mut String) -> Result<Token, PayloadError> {
        let place = self.place;
        let string = std::str::from_utf8(self.bytes(length)?).map_err(|_| PayloadError::NotUtf8(place))?;
        if let Some(shared) = &mut self.shared {
            if shared.len() == SHARED {
                shared.clear();
            }
            shared.push(string);
        }
        text.push_str(string);
        Ok(Token::Text)
    }

    fn long(&mut self, text: &mut String) -> Result<Token, PayloadError> {
        let place = self.place;
        let length = memchr::memchr(END_OF_STRING, &self.body[place..]);
        let bytes = self.bytes(length.ok_or(PayloadError::Truncated(self.body.len()))?)?;
        text.push_str(std::str::from_utf8(bytes).map_err(|_| PayloadError::NotUtf8(place))?);
        self.place += 1;
        Ok(Token::Text)
    }

    fn reference(&self, index: usize, place: usize, text: &mut String) -> Result<Token, PayloadError> {
        let found = self.shared.as_ref().and_then(|shared| shared.get(index));
        let unknown = PayloadError::Unsupported { what: "a reference to a string that is not shared", place };
        text.push_str(found.ok_or(unknown)?);
        Ok(Token::Text)
    }
}

impl Tokens for Reader<'_> {
    fn next(&mut self, text: &mut String) -> Result<Token, PayloadError> {
        let place = self.place;
        let first = self.byte()?;
        let low = usize::from(first & 0x1F);
        match first {
            0x01..=0x1F => self.reference(low - 1, place, text),
            EMPTY_STRING => Ok(Token::Text),
            NULL => Ok(Token::Null),
            INT_32 | INT_64 => self.integer().map(Token::Integer),
            FLOAT_32 => {
                let bits = self.groups(5)?;
                Ok(Token::Float(f64::from(f32::from_bits(bits as u32))))
            }
            FLOAT_64 => self.groups(10).map(|bits| Token::Float(f64::from_bits(bits))),
            // Lengths: ASCII 1 to 64, Unicode 2 to 65.
            0x40..=0x5F => self.short(low + 1, text),
            0x60..=0x7F => self.short(low + 33, text),
            0x80..=0x9F => self.short(low + 2, text),
            0xA0..=0xBF => self.short(low + 34, text),
            0xC0..=0xDF => {
                let zigzag = i64::from(first & 0x1F);
                Ok(Token::Integer((zigzag >> 1) ^ -(zigzag & 1)))
            }
            LONG_ASCII | LONG_UNICODE => self.long(text),
            0xEC..=0xEF => {
                let index = usize::from(first & 0x03) << 8 | usize::from(self.byte()?);
                self.reference(index, place, text)
            }
            ARRAY_START => Ok(Token::ArrayStart),
            ARRAY_END => Ok(Token::ArrayEnd),
            0xFA | 0xFB => Err(PayloadError::Unsupported { what: "an object", place }),
            _ => Err(PayloadError::Unsupported { what: "a value of another type", place }),
        }
    }

    fn place(&self) -> usize {
        self.place
    }

    fn is_at_end(&self) -> bool {
        matches!(self.body[self.place..], [] | [END_OF_CONTENT])
    }
}
