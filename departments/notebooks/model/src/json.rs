//! JSON as notebooks need it: key order and number texts are kept, `NaN` and `Infinity` are read and written as Python does.
//!
//! `serde_json` turns `1.10` into a float and `10**30` into an approximation, and refuses `NaN`; a notebook that passes
//! through us must not lose any of them. Reading keeps each number's text; writing gives the text that Python's `json.dumps`
//! would write for it.

use indexmap::IndexMap;

use crate::python::float_repr;

/// How deep arrays and objects may nest: what Python's reader allows is about 1,000; a bound keeps hostile input off the stack.
pub const MAX_DEPTH: usize = 500;

/// An object; its keys keep the order in which they came.
pub type Object = IndexMap<String, Value>;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

/// A number as the text it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// An integer of any size, as its decimal digits.
    pub fn from_digits(digits: String) -> Number {
        Number(digits)
    }

    /// The text as it was read.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether Python reads it as an `int`.
    pub fn is_integer(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    }

    /// Its value as a float; beyond the range of floats, infinite.
    pub fn as_f64(&self) -> f64 {
        match self.0.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            text => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// The text that Python's `json.dumps` writes after `json.loads` has read this number.
    pub fn to_python(&self) -> String {
        if self.is_integer() {
            return if self.0 == "-0" { "0".to_owned() } else { self.0.clone() };
        }
        match float_repr(self.as_f64()).as_str() {
            "nan" => "NaN".to_owned(),
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            text => text.to_owned(),
        }
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Number {
        Number(value.to_string())
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Number {
        Number(match float_repr(value).as_str() {
            "nan" => "NaN".to_owned(),
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            text => text.to_owned(),
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Number(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Number(value.into())
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Value {
        Value::Object(object)
    }
}

impl From<Vec<Value>> for Value {
    fn from(array: Vec<Value>) -> Value {
        Value::Array(array)
    }
}

impl Value {
    /// The member of an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// The items, if it is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(items) = self { Some(items) } else { None }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<&Object> {
        if let Value::Object(object) = self { Some(object) } else { None }
    }

    /// The members, if it is an object.
    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        if let Value::Object(object) = self { Some(object) } else { None }
    }

    /// The value, if it is an integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        if let Value::Number(number) = self { number.text().parse().ok() } else { None }
    }

    /// Whether Python takes it for false: nothing, zero, empty.
    pub fn is_falsy(&self) -> bool {
        match self {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(number) => number.as_f64() == 0.0,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(object) => object.is_empty(),
        }
    }

    /// The value in one line without spaces, keys in their order: what goes over a wire.
    pub fn to_compact(&self) -> String {
        let mut text = String::new();
        self.write_compact(&mut text);
        text
    }

    fn write_compact(&self, out: &mut String) {
        match self {
            Value::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_compact(out);
                }
                out.push(']');
            }
            Value::Object(object) => {
                out.push('{');
                for (index, (key, value)) in object.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(key, out);
                    out.push(':');
                    value.write_compact(out);
                }
                out.push('}');
            }
            scalar => scalar.write_scalar(out),
        }
    }

    fn write_scalar(&self, out: &mut String) {
        match self {
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Number(number) => out.push_str(&number.to_python()),
            Value::String(text) => write_string(text, out),
            Value::Null | Value::Array(_) | Value::Object(_) => out.push_str("null"),
        }
    }

    /// Writes the value as `json.dumps(indent=1, sort_keys=True, ensure_ascii=False)` does at this depth: the notebook's form.
    pub fn write_sorted(&self, depth: usize, out: &mut String) {
        match self {
            Value::Array(items) if items.is_empty() => out.push_str("[]"),
            Value::Object(object) if object.is_empty() => out.push_str("{}"),
            Value::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    new_line(index, depth + 1, out);
                    item.write_sorted(depth + 1, out);
                }
                new_line(0, depth, out);
                out.push(']');
            }
            Value::Object(object) => {
                let mut members: Vec<(&String, &Value)> = object.iter().collect();
                members.sort_by_key(|(key, _)| *key);
                out.push('{');
                for (index, (key, value)) in members.into_iter().enumerate() {
                    new_line(index, depth + 1, out);
                    write_string(key, out);
                    out.push_str(": ");
                    value.write_sorted(depth + 1, out);
                }
                new_line(0, depth, out);
                out.push('}');
            }
            scalar => scalar.write_scalar(out),
        }
    }
}

/// The comma after what came before, the line's end and the indent.
pub(crate) fn new_line(index: usize, depth: usize, out: &mut String) {
    out.push_str(if index > 0 { ",\n" } else { "\n" });
    out.extend(std::iter::repeat_n(' ', depth));
}

/// A string in quotes, escaped as Python's `json` does without `ensure_ascii`.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x8 => out.push_str("\\b"),
            0xc => out.push_str("\\f"),
            byte => out.push_str(&format!("\\u{byte:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// What is wrong with a JSON text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// Reads one JSON value and nothing after it.
///
/// # Errors
/// Where the text stops being JSON, or goes beyond [`MAX_DEPTH`].
pub fn parse(text: &str) -> Result<Value, SyntaxError> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    if parser.at < text.len() { Err(parser.wrong("text after the value")) } else { Ok(value) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn wrong(&self, what: impl Into<String>) -> SyntaxError {
        let before = &self.text.as_bytes()[..self.at.min(self.text.len())];
        SyntaxError { line: before.split(|byte| *byte == b'\n').count(), what: what.into() }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(self.wrong(format!("nested more than {MAX_DEPTH} deep")));
        }
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b't') if self.literal("true") => Ok(Value::Bool(true)),
            Some(b'f') if self.literal("false") => Ok(Value::Bool(false)),
            Some(b'n') if self.literal("null") => Ok(Value::Null),
            Some(b'N' | b'I' | b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.wrong("expected a value")),
            None => Err(self.wrong("the text ends where a value should be")),
        }
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        for word in ["NaN", "Infinity", "-Infinity"] {
            if self.literal(word) {
                return Ok(Value::Number(Number(word.to_owned())));
            }
        }
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.at;
        let digits = self.digits();
        if digits == 0 || (digits > 1 && self.text.as_bytes()[whole] == b'0') {
            return Err(self.wrong("not a number"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.wrong("a number needs digits after its point"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.wrong("a number needs digits in its exponent"));
            }
        }
        Ok(Value::Number(Number(self.text[start..self.at].to_owned())))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn array(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                _ => return Err(self.wrong("expected `,` or `]`")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut object = Object::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(object));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("expected a key in quotes"));
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.wrong("expected `:` after a key"));
            }
            self.at += 1;
            // Of equal keys the last value counts, at the first one's place, as in Python.
            object.insert(key, self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(object));
                }
                _ => return Err(self.wrong("expected `,` or `}`")),
            }
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        self.at += 1;
        let mut string = String::new();
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let Some(plain) = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\')
            else {
                return Err(self.wrong("a string does not end"));
            };
            string.push_str(&self.text[self.at..self.at + plain]);
            self.at += plain + 1;
            match rest[plain] {
                b'"' => return Ok(string),
                b'\\' => string.push(self.escape()?),
                _ => {
                    self.at -= 1;
                    return Err(self.wrong("a control character in a string; it must be escaped"));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let code = self.peek().ok_or_else(|| self.wrong("a string does not end"))?;
        self.at += 1;
        Ok(match code {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex()?;
                let code = if (0xd800..0xdc00).contains(&high) && self.literal("\\u") {
                    let low = self.hex()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(self.wrong("half of a surrogate pair, which UTF-8 cannot hold"));
                    }
                    0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    high
                };
                char::from_u32(code)
                    .ok_or_else(|| self.wrong("half of a surrogate pair, which UTF-8 cannot hold"))?
            }
            _ => return Err(self.wrong("no such escape in a string")),
        })
    }

    fn hex(&mut self) -> Result<u32, SyntaxError> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| self.wrong("`\\u` needs four hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(text: &str) -> String {
        let mut out = String::new();
        parse(text).unwrap().write_sorted(0, &mut out);
        out
    }

    #[test]
    fn numbers_keep_their_text_and_are_written_as_python_writes_them() {
        let value = parse("[1.10, 1000000000000000000000000000000, -0, 1E5, NaN, -Infinity, 1e400]").unwrap();
        let Value::Array(items) = &value else { panic!() };
        let Value::Number(first) = &items[0] else { panic!() };
        assert_eq!(first.text(), "1.10");
        assert_eq!(
            value.to_compact(),
            "[1.1,1000000000000000000000000000000,0,100000.0,NaN,-Infinity,Infinity]"
        );
    }

    #[test]
    fn what_is_no_json_names_its_line() {
        let cases = [
            ("{\"a\": 1,\n}", "line 2: expected a key in quotes"),
            ("[01]", "line 1: not a number"),
            ("[1] x", "line 1: text after the value"),
            ("\"a\nb\"", "line 1: a control character in a string; it must be escaped"),
            ("\"\\ud83d\"", "line 1: half of a surrogate pair, which UTF-8 cannot hold"),
            ("\"\\u12é\"", "line 1: `\\u` needs four hexadecimal digits"),
            ("", "line 1: the text ends where a value should be"),
            ("nul", "line 1: expected a value"),
        ];
        for (text, error) in cases {
            assert!(
                parse(text).unwrap_err().to_string().starts_with(&error[..30.min(error.len())]),
                "{text:?}"
            );
        }
        let deep = "[".repeat(100_000);
        assert_eq!(parse(&deep).unwrap_err().what, "nested more than 500 deep");
    }

    #[test]
    fn the_notebook_form_is_sorted_and_indented_by_one() {
        assert_eq!(
            sorted("{\"b\": [1, {}], \"a\": {\"é\": \"\\u0001\\u007f\\ud83d\\ude00\"}, \"c\": []}"),
            "{\n \"a\": {\n  \"é\": \"\\u0001\u{7f}😀\"\n },\n \"b\": [\n  1,\n  {}\n ],\n \"c\": []\n}"
        );
    }

    #[test]
    fn keys_keep_their_order_and_the_last_of_equals_counts() {
        assert_eq!(parse("{\"b\":1,\"a\":2,\"b\":3}").unwrap().to_compact(), "{\"b\":3,\"a\":2}");
    }
}
