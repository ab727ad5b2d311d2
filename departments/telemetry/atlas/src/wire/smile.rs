//! Smile, the binary form of JSON (github.com/FasterXML/smile-format-specification, version 1.0.4), as tokens.

use std::borrow::Cow;

use super::{Token, Tokens, WireError};

/// Deepest nesting, as in JSON.
const DEEPEST: usize = 64;

/// Most names or texts that back references reach; the tables begin anew when they are full (section "Shared names").
const SHARED: usize = 1024;

/// Longest shared text in bytes.
const LONGEST_SHARED: usize = 64;

const END_OF_TEXT: u8 = 0xfc;

/// A Smile document.
pub struct Smile<'a> {
    bytes: &'a [u8],
    at: usize,
    open: Vec<bool>,
    key: bool,
    names: Option<Vec<Cow<'a, str>>>,
    texts: Option<Vec<Cow<'a, str>>>,
    begun: bool,
}

impl<'a> Smile<'a> {
    /// Reads this.
    ///
    /// # Errors
    /// Bytes that do not begin as a Smile document does.
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        let [b':', b')', b'\n', flags, ..] = *bytes else {
            return Err(WireError::Malformed("the document does not begin with Smile's header".to_owned()));
        };
        let table = |bit: u8| (flags & bit != 0).then(Vec::new);
        Ok(Self {
            bytes,
            at: 4,
            open: Vec::new(),
            key: false,
            names: table(1),
            texts: table(2),
            begun: false,
        })
    }

    fn wrong<T>(&self, what: &str) -> Result<T, WireError> {
        Err(WireError::Malformed(format!("{what} at byte {}", self.at)))
    }

    fn byte(&mut self) -> Result<u8, WireError> {
        match self.bytes.get(self.at) {
            Some(&byte) => {
                self.at += 1;
                Ok(byte)
            }
            None => self.wrong("an early end"),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..length)) {
            Some(bytes) => {
                self.at += length;
                Ok(bytes)
            }
            None => self.wrong("an early end"),
        }
    }

    fn utf8(&self, bytes: &'a [u8]) -> Result<Cow<'a, str>, WireError> {
        std::str::from_utf8(bytes).map(Cow::Borrowed).or_else(|_| self.wrong("text that is not UTF-8"))
    }

    fn until_end_of_text(&mut self) -> Result<Cow<'a, str>, WireError> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.iter().position(|&byte| byte == END_OF_TEXT) else {
            return self.wrong("a text that does not end");
        };
        self.at += length + 1;
        self.utf8(&rest[..length])
    }

    /// Seven bits a byte, six in the last, which is marked by its highest bit.
    fn whole(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for _ in 0..11 {
            let byte = self.byte()?;
            if byte & 0x80 != 0 {
                return Ok(value << 6 | u64::from(byte & 0x3f));
            }
            value = value << 7 | u64::from(byte);
        }
        self.wrong("a number that is too long")
    }

    /// `bytes` times seven bits.
    fn seven_bits(&mut self, bytes: usize) -> Result<u128, WireError> {
        Ok(self.take(bytes)?.iter().fold(0, |value, &byte| value << 7 | u128::from(byte & 0x7f)))
    }

    fn refer(table: Option<&Vec<Cow<'a, str>>>, index: usize) -> Result<Cow<'a, str>, WireError> {
        let found = table.and_then(|table| table.get(index)).cloned();
        found.ok_or_else(|| {
            WireError::Malformed(format!("a reference to the shared text {index}, which there is not"))
        })
    }

    #[expect(clippy::ptr_arg, reason = "the text is kept as it is: borrowed, or shared")]
    fn share(table: Option<&mut Vec<Cow<'a, str>>>, text: &Cow<'a, str>) {
        if let Some(table) = table
            && text.len() <= LONGEST_SHARED
        {
            if table.len() == SHARED {
                table.clear();
            }
            table.push(text.clone());
        }
    }

    fn member(&mut self) -> Result<Token<'a>, WireError> {
        let byte = self.byte()?;
        let name = match byte {
            0xfb => return self.close(true),
            0x20 => Cow::Borrowed(""),
            0x30..=0x33 => {
                let index = usize::from(byte & 3) << 8 | usize::from(self.byte()?);
                Self::refer(self.names.as_ref(), index)?
            }
            0x34 => self.until_end_of_text()?,
            0x40..=0x7f => Self::refer(self.names.as_ref(), usize::from(byte & 0x3f))?,
            0x80..=0xf7 => {
                let length =
                    if byte < 0xc0 { usize::from(byte & 0x3f) + 1 } else { usize::from(byte - 0xc0) + 2 };
                let bytes = self.take(length)?;
                let name = self.utf8(bytes)?;
                Self::share(self.names.as_mut(), &name);
                name
            }
            _ => return self.wrong("an unknown kind of name"),
        };
        self.key = false;
        Ok(Token::Key(name))
    }

    fn close(&mut self, object: bool) -> Result<Token<'a>, WireError> {
        if self.open.pop() != Some(object) {
            return self.wrong("an unexpected end of an array or object");
        }
        Ok(if object { Token::ObjectEnd } else { Token::ArrayEnd })
    }

    fn start(&mut self, object: bool) -> Result<Token<'a>, WireError> {
        if self.open.len() == DEEPEST {
            return self.wrong("nesting that is too deep");
        }
        self.open.push(object);
        Ok(if object { Token::ObjectStart } else { Token::ArrayStart })
    }

    fn value(&mut self) -> Result<Token<'a>, WireError> {
        let byte = self.byte()?;
        let zigzag = |value: u64| (value >> 1) as i64 ^ -((value & 1) as i64);
        let token = match byte {
            0x01..=0x1f => Token::Text(Self::refer(self.texts.as_ref(), usize::from(byte) - 1)?),
            0xec..=0xef => {
                let index = usize::from(byte & 3) << 8 | usize::from(self.byte()?);
                Token::Text(Self::refer(self.texts.as_ref(), index)?)
            }
            0x20 => Token::Text(Cow::Borrowed("")),
            0x21..=0x23 => Token::Other,
            0x24 | 0x25 => Token::Number(zigzag(self.whole()?) as f64),
            0x28 => Token::Number(f64::from(f32::from_bits(self.seven_bits(5)? as u32))),
            0x29 => Token::Number(f64::from_bits(self.seven_bits(10)? as u64)),
            0x40..=0xbf => {
                // Four ranges of 32 lengths: ASCII from 1 and 33, other text from 2 and 34.
                let least = [1, 33, 2, 34][usize::from(byte - 0x40) / 32];
                let bytes = self.take(least + usize::from(byte & 0x1f))?;
                let text = self.utf8(bytes)?;
                Self::share(self.texts.as_mut(), &text);
                Token::Text(text)
            }
            0xc0..=0xdf => Token::Number(zigzag(u64::from(byte & 0x1f)) as f64),
            0xe0 | 0xe4 => Token::Text(self.until_end_of_text()?),
            0xf8 => return self.start(false),
            0xf9 => return self.close(false),
            0xfa => return self.start(true),
            0xfb => return self.close(true),
            0xff if self.open.is_empty() && self.begun => return Ok(Token::End),
            _ => return self.wrong("an unknown kind of value"),
        };
        Ok(token)
    }
}

impl<'a> Tokens<'a> for Smile<'a> {
    fn token(&mut self) -> Result<Token<'a>, WireError> {
        if self.open.is_empty() && self.begun {
            return match self.bytes.get(self.at) {
                None | Some(0xff) => Ok(Token::End),
                Some(_) => self.wrong("something after the end"),
            };
        }
        let token = if self.key { self.member()? } else { self.value()? };
        self.begun = true;
        // After a name comes a value; after a value in an object the next name.
        self.key = self.open.last() == Some(&true) && !matches!(token, Token::Key(_));
        Ok(token)
    }
}

/// Writes a Smile document, without shared texts.
#[derive(Clone, Debug)]
pub struct SmileWriter {
    bytes: Vec<u8>,
}

impl Default for SmileWriter {
    fn default() -> Self {
        Self { bytes: b":)\n\0".to_vec() }
    }
}

impl SmileWriter {
    /// An array begins.
    pub fn array_start(&mut self) {
        self.bytes.push(0xf8);
    }

    /// An array ends.
    pub fn array_end(&mut self) {
        self.bytes.push(0xf9);
    }

    /// A whole number.
    pub fn whole(&mut self, value: i64) {
        let zigzag = (value << 1 ^ value >> 63) as u64;
        if zigzag < 32 {
            self.bytes.push(0xc0 + zigzag as u8);
            return;
        }
        self.bytes.push(if i32::try_from(value).is_ok() { 0x24 } else { 0x25 });
        // Six bits at the end, seven before, without leading zeros.
        let groups = (zigzag >> 6).checked_ilog2().map_or(0, |top| top / 7 + 1);
        let group = |group: u32| (zigzag >> (6 + 7 * group) & 0x7f) as u8;
        self.bytes.extend((0..groups).rev().map(group));
        self.bytes.push(0x80 | (zigzag & 0x3f) as u8);
    }

    /// A number as a double.
    pub fn double(&mut self, value: f64) {
        self.bytes.push(0x29);
        let bits = value.to_bits();
        self.bytes.extend((0..10).rev().map(|group| (bits >> (7 * group) & 0x7f) as u8));
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        let long = if text.is_ascii() { 0xe0 } else { 0xe4 };
        let head = match (text.len(), text.is_ascii()) {
            (0, _) => 0x20,
            (length @ 1..=32, true) => 0x40 + (length - 1) as u8,
            (length @ 33..=64, true) => 0x60 + (length - 33) as u8,
            (length @ 2..=33, false) => 0x80 + (length - 2) as u8,
            (length @ 34..=65, false) => 0xa0 + (length - 34) as u8,
            _ => long,
        };
        self.named(head, text, head == long);
    }

    /// The name of a member.
    pub fn key(&mut self, name: &str) {
        let head = match name.len() {
            0 => 0x20,
            length @ 1..=64 if name.is_ascii() => 0x80 + (length - 1) as u8,
            length @ 2..=57 if !name.is_ascii() => 0xc0 + (length - 2) as u8,
            _ => 0x34,
        };
        self.named(head, name, head == 0x34);
    }

    fn named(&mut self, head: u8, text: &str, is_long: bool) {
        self.bytes.push(head);
        self.bytes.extend_from_slice(text.as_bytes());
        if is_long {
            self.bytes.push(END_OF_TEXT);
        }
    }

    /// A token; a number without a fraction as a whole one.
    pub fn token(&mut self, token: &Token<'_>) {
        match token {
            Token::ArrayStart => self.array_start(),
            Token::ArrayEnd => self.array_end(),
            Token::ObjectStart => self.bytes.push(0xfa),
            Token::ObjectEnd => self.bytes.push(0xfb),
            Token::Other => self.bytes.push(0x21),
            Token::End => self.bytes.push(0xff),
            Token::Key(name) => self.key(name),
            Token::Text(text) => self.text(text),
            Token::Number(value)
                if value.fract() == 0.0
                    && value.abs() <= 9e15
                    && (*value != 0.0 || value.is_sign_positive()) =>
            {
                self.whole(*value as i64);
            }
            Token::Number(value) => self.double(*value),
        }
    }

    /// The document.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Writes tokens as a Smile document, without shared texts.
pub fn write_smile<'a>(tokens: impl IntoIterator<Item = Token<'a>>) -> Vec<u8> {
    let mut writer = SmileWriter::default();
    for token in tokens {
        writer.token(&token);
    }
    writer.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let texts = [
            "",
            "a",
            "é",
            &"x".repeat(32),
            &"x".repeat(33),
            &"x".repeat(65),
            &"é".repeat(17),
            &"é".repeat(40),
        ];
        let mut tokens = vec![Token::ArrayStart];
        tokens.extend(texts.iter().map(|text| Token::Text((*text).into())));
        tokens.extend(
            [0.0, -0.0, 1.0, -16.0, 15.0, 16.0, 1e15, -7e12, 0.1, f64::MAX, 2_147_483_648.0]
                .map(Token::Number),
        );
        tokens.push(Token::ObjectStart);
        tokens.extend(texts.iter().flat_map(|text| [Token::Key((*text).into()), Token::Other]));
        tokens.extend([Token::ObjectEnd, Token::ArrayEnd, Token::End]);
        let bytes = write_smile(tokens.clone());
        let mut smile = Smile::new(&bytes).unwrap();
        let read: Vec<Token<'_>> = tokens.iter().map(|_| smile.token().unwrap()).collect();
        assert_eq!(read, tokens);
    }

    #[test]
    fn shared_texts_are_found() {
        // Flags 3: an array of "abc", a reference to it, then {"k": …} twice, the second name a reference.
        let bytes = b":)\n\x03\xf8\x42abc\x01\xfa\x80k\xc2\xfb\xfa\x40\xc2\xfb\xf9";
        let mut smile = Smile::new(bytes).unwrap();
        let read: Vec<Token<'_>> = (0..12).map(|_| smile.token().unwrap()).collect();
        assert_eq!(read[1], read[2]);
        assert_eq!(read[4], Token::Key("k".into()));
        assert_eq!(read[8], Token::Key("k".into()));
        assert_eq!(smile.token().unwrap(), Token::End);
        assert!(Smile::new(b":)\n\x00\xf8\x01\xf9").unwrap().skip(&Token::ArrayStart).is_err());
    }
}
