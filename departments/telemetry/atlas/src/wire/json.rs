//! JSON (RFC 8259) as tokens, with `NaN` and `Infinity` as numbers, which Jackson writes.

use std::borrow::Cow;

use super::{Token, Tokens, WireError};

/// Deepest nesting. Datapoints need five levels.
const DEEPEST: usize = 64;

/// Longest object whose end is looked for in texts with braces, which are looked through again for each brace.
const LONGEST_RAW: usize = 16 << 10;

/// A JSON document.
pub struct Json<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What is open: true for an object.
    open: Vec<bool>,
    /// Whether the next text is a member's name.
    key: bool,
    /// Whether a value has been read since the last opening, so that a comma must come.
    after: bool,
}

impl<'a> Json<'a> {
    /// Reads this.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, open: Vec::new(), key: false, after: false }
    }

    fn wrong<T>(&self, what: &str) -> Result<T, WireError> {
        Err(WireError::Malformed(format!("{what} at byte {}", self.at)))
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn close(&mut self, object: bool) -> Result<Token<'a>, WireError> {
        if self.open.pop() != Some(object) {
            return self.wrong("an unexpected end of an array or object");
        }
        self.at += 1;
        self.key = false;
        self.after = true;
        Ok(if object { Token::ObjectEnd } else { Token::ArrayEnd })
    }

    fn start(&mut self, object: bool) -> Result<Token<'a>, WireError> {
        if self.open.len() == DEEPEST {
            return self.wrong("nesting that is too deep");
        }
        self.open.push(object);
        self.at += 1;
        self.key = object;
        self.after = false;
        Ok(if object { Token::ObjectStart } else { Token::ArrayStart })
    }

    fn text(&mut self) -> Result<Cow<'a, str>, WireError> {
        self.at += 1;
        let start = self.at;
        self.at += plain(&self.bytes[start..]);
        match self.bytes.get(self.at) {
            Some(b'"') => {
                let text = std::str::from_utf8(&self.bytes[start..self.at]);
                self.at += 1;
                text.map(Cow::Borrowed).or_else(|_| self.wrong("text that is not UTF-8"))
            }
            Some(b'\\') => self.escaped(start),
            _ => self.wrong("a text that does not end"),
        }
    }

    /// A text from `start` with an escape here.
    fn escaped(&mut self, start: usize) -> Result<Cow<'a, str>, WireError> {
        let mut text = self.bytes[start..self.at].to_vec();
        loop {
            let Some(&byte) = self.bytes.get(self.at) else { return self.wrong("a text that does not end") };
            self.at += 1;
            match byte {
                b'"' => {
                    return String::from_utf8(text)
                        .map(Cow::Owned)
                        .or_else(|_| self.wrong("text that is not UTF-8"));
                }
                b'\\' => {
                    let Some(&escape) = self.bytes.get(self.at) else {
                        return self.wrong("a text that does not end");
                    };
                    self.at += 1;
                    match escape {
                        b'"' | b'\\' | b'/' => text.push(escape),
                        b'b' => text.push(8),
                        b'f' => text.push(12),
                        b'n' => text.push(b'\n'),
                        b'r' => text.push(b'\r'),
                        b't' => text.push(b'\t'),
                        b'u' => {
                            let letter = self.unicode()?;
                            text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                        _ => return self.wrong("an unknown escape"),
                    }
                }
                0..=0x1f => return self.wrong("a control character in a text"),
                byte => text.push(byte),
            }
        }
    }

    fn unicode(&mut self) -> Result<char, WireError> {
        let mut unit = || {
            let digits =
                self.bytes.get(self.at..self.at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
            self.at += 4;
            digits.and_then(|digits| u32::from_str_radix(digits, 16).ok())
        };
        let Some(first) = unit() else { return self.wrong("a bad unicode escape") };
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        self.at += 2;
        let Some(second) = self
            .bytes
            .get(self.at..self.at + 4)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        else {
            return self.wrong("a bad unicode escape");
        };
        self.at += 4;
        let letter = 0x10000 + ((first - 0xd800) << 10) + second.wrapping_sub(0xdc00) % 0x400;
        Ok(char::from_u32(letter).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// A small whole number, as most are: positions in a table, counts, times. Nothing is read if it is something else.
    #[inline]
    fn digits(&mut self) -> Option<f64> {
        let mut value = 0u64;
        for (length, &byte) in self.bytes[self.at..].iter().enumerate() {
            match byte {
                b'0'..=b'9' if length < 15 => value = value * 10 + u64::from(byte - b'0'),
                b',' | b']' | b'}' | b' ' | b'\n' => {
                    self.at += length;
                    return Some(value as f64);
                }
                _ => return None,
            }
        }
        None
    }

    fn word(&mut self) -> Result<Token<'a>, WireError> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'a'..=b'z' | b'A'..=b'Z'))
            .unwrap_or(rest.len());
        let word = &rest[..length];
        self.at += length;
        match word {
            b"null" | b"true" | b"false" => return Ok(Token::Other),
            b"NaN" => return Ok(Token::Number(f64::NAN)),
            b"Infinity" | b"+Infinity" => return Ok(Token::Number(f64::INFINITY)),
            b"-Infinity" => return Ok(Token::Number(f64::NEG_INFINITY)),
            _ => {}
        }
        let is_number = matches!(word, [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..]);
        let number = std::str::from_utf8(word).ok().filter(|_| is_number).and_then(|word| word.parse().ok());
        number.map_or_else(|| self.wrong("something that is no value"), |number| Ok(Token::Number(number)))
    }
}

/// How many bytes of a text come before a quote, a backslash or a control character. Eight are looked at together: in a word, the lowest byte
/// that borrows when something is taken from all of them is one that was too small.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    let below = |word: u64, least: u64| word.wrapping_sub(ONES * least) & !word & TOPS;
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let ends = is(word, b'"') | is(word, b'\\') | below(word, 0x20);
        if ends != 0 {
            return number * 8 + ends.trailing_zeros() as usize / 8;
        }
    }
    let at = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
    words.len() * 8 + at.unwrap_or(rest.len())
}

impl<'a> Tokens<'a> for Json<'a> {
    fn token(&mut self) -> Result<Token<'a>, WireError> {
        self.blank();
        let Some(&byte) = self.bytes.get(self.at) else {
            return if self.open.is_empty() && self.after {
                Ok(Token::End)
            } else {
                self.wrong("an early end")
            };
        };
        match byte {
            b']' => return self.close(false),
            b'}' => return self.close(true),
            _ => {}
        }
        if self.after {
            if self.open.is_empty() || byte != b',' {
                return self.wrong("something other than a comma or an end");
            }
            self.at += 1;
            self.after = false;
            self.key = self.open.last() == Some(&true);
            self.blank();
        }
        let Some(&byte) = self.bytes.get(self.at) else { return self.wrong("an early end") };
        if !self.key
            && byte.is_ascii_digit()
            && let Some(value) = self.digits()
        {
            self.after = true;
            return Ok(Token::Number(value));
        }
        if self.key {
            if byte != b'"' {
                return self.wrong("something other than a member's name");
            }
            let key = self.text()?;
            self.blank();
            if self.bytes.get(self.at) != Some(&b':') {
                return self.wrong("a member without a colon");
            }
            self.at += 1;
            self.key = false;
            return Ok(Token::Key(key));
        }
        match byte {
            b'[' => return self.start(false),
            b'{' => return self.start(true),
            _ => {}
        }
        let token = if byte == b'"' { Token::Text(self.text()?) } else { self.word()? };
        self.after = true;
        Ok(token)
    }

    #[inline]
    fn small_whole(&mut self) -> Option<u32> {
        let rest = self.bytes.get(self.at..)?;
        if !self.after || self.open.last() != Some(&false) || rest.first() != Some(&b',') {
            return None;
        }
        let mut value = 0;
        for (length, &byte) in rest[1..].iter().enumerate() {
            match byte {
                b'0'..=b'9' if length < 9 => value = value * 10 + u32::from(byte - b'0'),
                b',' | b']' if length > 0 => {
                    self.at += length + 1;
                    return Some(value);
                }
                _ => return None,
            }
        }
        None
    }

    fn raw_object(&mut self) -> Option<&'a [u8]> {
        if self.after || self.key {
            return None;
        }
        self.blank();
        let rest = &self.bytes[self.at..];
        if rest.first() != Some(&b'{') {
            return None;
        }
        // Without escapes every second quote ends a text, so a brace after an even number of them is no text's. Tags hold no
        // objects: what has a second opening brace, in a text or not, is read piece by piece.
        let mut end = 0;
        loop {
            end += memchr::memchr(b'}', &rest[end..])? + 1;
            let object = &rest[..end];
            if memchr::memchr2(b'\\', b'{', &object[1..]).is_some() {
                return None;
            }
            if memchr::memchr_iter(b'"', object).count().is_multiple_of(2) {
                self.at += end;
                self.after = true;
                return Some(object);
            }
            if end > LONGEST_RAW {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<Token<'_>>, WireError> {
        let mut json = Json::new(text.as_bytes());
        let mut tokens = Vec::new();
        loop {
            match json.token()? {
                Token::End => return Ok(tokens),
                token => tokens.push(token),
            }
        }
    }

    #[test]
    fn eight_bytes_are_looked_at_as_one_by_one() {
        for length in 0..20 {
            for (at, byte) in (0..length).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
                // What follows the first that counts, and bytes that are one off, must not be taken for it.
                for filler in [b'a', b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff] {
                    let mut bytes = vec![filler; length];
                    bytes[at] = byte;
                    if let Some(last) = bytes.get_mut(at + 1) {
                        *last = b'"';
                    }
                    let one_by_one = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
                    assert_eq!(plain(&bytes), one_by_one.unwrap_or(length), "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn documents_become_tokens() {
        let tokens = all(r#" {"a\u0041" : [1, -2.5e3, "x\né\ud83d\ude00", null], "b": {}} "#).unwrap();
        let expected = [
            Token::ObjectStart,
            Token::Key("aA".into()),
            Token::ArrayStart,
            Token::Number(1.0),
            Token::Number(-2500.0),
            Token::Text("x\né😀".into()),
            Token::Other,
            Token::ArrayEnd,
            Token::Key("b".into()),
            Token::ObjectStart,
            Token::ObjectEnd,
            Token::ObjectEnd,
        ];
        assert_eq!(tokens, expected);
    }

    #[test]
    fn small_numbers_are_read_at_a_glance_or_not_at_all() {
        let mut json = Json::new(b"[7,12,345678901,1234567890,-1,2.5, 3,\"a\",4]");
        assert_eq!(json.small_whole(), None, "there is no array yet");
        let mut read = vec![json.token().unwrap(), json.token().unwrap()];
        assert_eq!((json.small_whole(), json.small_whole()), (Some(12), Some(345_678_901)));
        while json.small_whole().is_none() {
            read.push(json.token().unwrap());
        }
        let numbers = [7.0, 1_234_567_890.0, -1.0, 2.5, 3.0].map(Token::Number);
        assert_eq!(read[1..6], numbers);
        assert_eq!(read[6..], [Token::Text("a".into())]);
        assert_eq!(json.token().unwrap(), Token::ArrayEnd);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let wrong = [
            "",
            "[",
            "[1 2]",
            "[1,]x",
            "{1:2}",
            "{\"a\"}",
            "[}",
            "]",
            "[\"a]",
            "[1]]",
            "[abc]",
            "[\"\\x\"]",
            "[\"\\ud800\"",
            "1 1",
            "[-]",
        ];
        for text in wrong {
            assert!(all(text).is_err(), "{text}");
        }
        assert!(all(&"[".repeat(100)).is_err());
    }
}
