//! JSON, as far as a payload has it: one array of numbers, strings and nulls.

use super::PayloadError;
use super::token::{Token, Tokens};
use crate::number;

pub(super) struct Reader<'a> {
    body: &'a [u8],
    place: usize,
    follows: Follows,
}

/// What the next token follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    /// The beginning of the body or of the array.
    Start,
    /// A comma, which has been read together with the value before it.
    Comma,
    /// A value without a comma.
    Value,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        let mut reader = Reader { body, place: 0, follows: Follows::Start };
        reader.skip_space();
        reader
    }

    fn skip_space(&mut self) {
        while matches!(self.body.get(self.place), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.place += 1;
        }
    }

    fn unexpected(&self, expected: &'static str) -> PayloadError {
        if self.place >= self.body.len() {
            PayloadError::Truncated(self.body.len())
        } else {
            PayloadError::Unexpected { expected, place: self.place }
        }
    }

    fn number(&mut self) -> Result<Token, PayloadError> {
        let rest = &self.body[self.place..];
        let is_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(|byte| is_number(byte)).count();
        let text = &rest[..length];
        // No integer is minus zero.
        let is_float = text == b"-0" || text.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
        // More digits than an integer has are a float, as in JSON itself there is no difference.
        let is_short = length <= 18;
        let read = if is_float || !is_short {
            number::float(text).map(|(value, taken)| (Token::Float(value), taken))
        } else {
            number::signed(text).map(|(value, taken)| (Token::Integer(value), taken))
        };
        match read {
            Some((token, taken)) if taken == length && text[0] != b'+' => {
                self.place += length;
                Ok(token)
            }
            _ => Err(self.unexpected("a number")),
        }
    }

    fn string(&mut self, text: &mut String) -> Result<Token, PayloadError> {
        let start = self.place;
        self.place += 1;
        loop {
            let rest = &self.body[self.place..];
            let plain = memchr::memchr2(b'"', b'\\', rest).ok_or(PayloadError::Truncated(self.body.len()))?;
            let part = std::str::from_utf8(&rest[..plain]).map_err(|_| PayloadError::NotUtf8(start))?;
            text.push_str(part);
            self.place += plain + 1;
            if rest[plain] == b'"' {
                return Ok(Token::Text);
            }
            text.push(self.escape()?);
        }
    }

    /// The character after a backslash.
    fn escape(&mut self) -> Result<char, PayloadError> {
        let letter = *self.body.get(self.place).ok_or(PayloadError::Truncated(self.body.len()))?;
        self.place += 1;
        Ok(match letter {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' | b'/' => char::from(letter),
            b'u' => {
                let unit = self.hex()?;
                let is_high = (0xD800..0xDC00).contains(&unit);
                if is_high && self.body.get(self.place..self.place + 2) == Some(b"\\u") {
                    self.place += 2;
                    let low = self.hex()?;
                    let pair = [unit as u16, low as u16];
                    char::decode_utf16(pair)
                        .next()
                        .and_then(Result::ok)
                        .unwrap_or(char::REPLACEMENT_CHARACTER)
                } else {
                    char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
            }
            _ => {
                self.place -= 1;
                return Err(self.unexpected("an escape of JSON"));
            }
        })
    }

    fn hex(&mut self) -> Result<u32, PayloadError> {
        let digits =
            self.body.get(self.place..self.place + 4).ok_or(PayloadError::Truncated(self.body.len()))?;
        let value = digits
            .iter()
            .try_fold(0, |value, digit| char::from(*digit).to_digit(16).map(|digit| value * 16 + digit));
        let value = value.ok_or_else(|| self.unexpected("four hexadecimal digits"))?;
        self.place += 4;
        Ok(value)
    }

    fn word(&mut self, word: &'static [u8], token: Token) -> Result<Token, PayloadError> {
        if self.body[self.place..].starts_with(word) {
            self.place += word.len();
            Ok(token)
        } else {
            Err(self.unexpected("a value"))
        }
    }
}

impl Tokens for Reader<'_> {
    fn next(&mut self, text: &mut String) -> Result<Token, PayloadError> {
        let is_end = self.body.get(self.place) == Some(&b']');
        if is_end && self.follows != Follows::Comma {
            self.place += 1;
            self.skip_space();
            return Ok(Token::ArrayEnd);
        }
        if self.follows == Follows::Value {
            return Err(self.unexpected("a comma or the end of the array"));
        }
        let token = match self.body.get(self.place) {
            Some(b'[') => {
                self.place += 1;
                Token::ArrayStart
            }
            Some(b'"') => self.string(text)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'n') => self.word(b"null", Token::Null)?,
            Some(b'N') => self.word(b"NaN", Token::Float(f64::NAN))?,
            _ => return Err(self.unexpected("a value")),
        };
        self.skip_space();
        self.follows = if token == Token::ArrayStart {
            Follows::Start
        } else if self.body.get(self.place) == Some(&b',') {
            self.place += 1;
            self.skip_space();
            Follows::Comma
        } else {
            Follows::Value
        };
        Ok(token)
    }

    fn place(&self) -> usize {
        self.place
    }

    fn is_at_end(&self) -> bool {
        self.place == self.body.len()
    }
}
